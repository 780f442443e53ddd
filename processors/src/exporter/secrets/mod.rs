//! Secrets and personal data in what was said, found by rules: a table, one rule a kind.
//!
//! The rules know forms, not meanings. A key of a known provider, a card number whose check digit is right, an e-mail
//! address are found; a password in a sentence, a name, a street are not. What is found is written `[REDACTED:kind]`, or
//! keeps the whole row out, as configured.

mod credentials;
mod personal;
mod scan;

use super::canonical::Json;
use super::reason::{Reason, Withheld};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::str::FromStr;

/// One rule.
#[derive(Debug)]
pub struct Rule {
    /// What it finds, as in `[REDACTED:kind]`.
    pub kind: &'static str,
    /// `secrets` or `personal`.
    pub group: &'static str,
    /// In words.
    pub doc: &'static str,
    /// How far the find that begins at this byte goes; nothing if none begins there. Called where a word begins.
    finds: fn(&[u8], usize) -> Option<usize>,
    /// How far before the byte it begins; an address is noticed at its `@`.
    back: fn(&[u8], usize) -> usize,
    /// Bytes that a find may be noticed at.
    at: fn(u8) -> bool,
}

/// All rules; of two finds at one place, that of the first rule counts.
pub static RULES: &[Rule] = &[
    credentials::PRIVATE_KEY,
    credentials::JWT,
    credentials::API_KEY,
    personal::EMAIL,
    personal::SSN,
    personal::CARD,
    personal::PHONE,
];

/// Raised with every change of what the rules find.
pub const VERSION: &str = "1";

/// What is done with finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// They are left as they are.
    Keep,
    /// They are written `[REDACTED:kind]`.
    Redact,
    /// They keep the row out.
    Quarantine,
}

/// What is done with the finds of each rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Screen([Action; RULES.len()]);

impl Default for Screen {
    /// Credentials are redacted, which nobody wants a model to repeat; the rest is as it was said.
    fn default() -> Self {
        let mut screen = Self::open();
        screen.set(&Finds(vec!["secrets"]), Action::Redact);
        screen
    }
}

/// Groups or kinds of finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finds(Vec<&'static str>);

impl Finds {
    /// Of every rule.
    pub const ALL: &'static str = "all";
    /// Of none.
    pub const NONE: &'static str = "none";

    /// All names there are.
    pub fn names() -> Vec<&'static str> {
        let mut names = vec![Self::ALL, Self::NONE, "secrets", "personal"];
        names.extend(RULES.iter().map(|rule| rule.kind));
        names
    }
}

/// A name that no rule has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nothing is found by the name `{name}`: there are {}", Finds::names().join(", "))]
pub struct UnknownFind {
    name: String,
}

impl FromStr for Finds {
    type Err = UnknownFind;

    fn from_str(text: &str) -> Result<Self, UnknownFind> {
        let known = Self::names();
        let find = |name: &str| known.iter().find(|known| **known == name).copied();
        let named = |name: &str| find(name).ok_or_else(|| UnknownFind { name: name.escape_debug().to_string() });
        text.split(',').map(|name| named(name.trim())).collect::<Result<_, _>>().map(Self)
    }
}

impl Screen {
    /// Nothing is touched.
    pub fn open() -> Self {
        Self([Action::Keep; RULES.len()])
    }

    /// Does this with those finds.
    pub fn set(&mut self, finds: &Finds, action: Action) {
        for (own, rule) in self.0.iter_mut().zip(RULES) {
            if finds.0.iter().any(|name| [Finds::ALL, rule.group, rule.kind].contains(name)) {
                *own = action;
            }
        }
    }

    /// The same, but what would keep a row out is left as it is.
    pub(super) fn without_quarantine(&self) -> Self {
        Self(self.0.map(|action| if action == Action::Quarantine { Action::Keep } else { action }))
    }

    /// Kinds with this action, sorted.
    pub fn kinds(&self, action: Action) -> Vec<&'static str> {
        let mut kinds: Vec<_> =
            RULES.iter().zip(self.0).filter(|(_, own)| *own == action).map(|(rule, _)| rule.kind).collect();
        kinds.sort_unstable();
        kinds
    }

    fn is_open(&self) -> bool {
        self.0.iter().all(|action| *action == Action::Keep)
    }

    /// What is found in a text and not kept: spans of bytes in order, apart, each with its rule.
    fn finds(&self, text: &str) -> Vec<(std::ops::Range<usize>, usize)> {
        if self.is_open() { Vec::new() } else { scan::scan(text, |rule| self.0[rule] != Action::Keep) }
    }

    /// One that finds these, for whoever wants to know and not to change.
    pub fn finding(finds: &Finds) -> Self {
        let mut screen = Self::open();
        screen.set(finds, Action::Redact);
        screen
    }

    /// What is found in a text, in order and apart: bytes and kind.
    pub fn found(&self, text: &str) -> Vec<(std::ops::Range<usize>, &'static str)> {
        self.finds(text).into_iter().map(|(range, rule)| (range, RULES[rule].kind)).collect()
    }

    /// Redacts a text in place.
    pub(super) fn text(&self, text: &mut Cow<'_, str>, redacted: &mut Redacted) -> Result<(), Withheld> {
        let finds = self.finds(text);
        if finds.is_empty() {
            return Ok(());
        }
        let spans = self.spans(finds, redacted)?;
        *text = Cow::Owned(rewritten(text, &spans));
        Ok(())
    }

    /// Spans that are to be redacted; what is to be quarantined is an error.
    fn spans(
        &self,
        finds: Vec<(std::ops::Range<usize>, usize)>,
        redacted: &mut Redacted,
    ) -> Result<Vec<Span>, Withheld> {
        let mut spans = Vec::with_capacity(finds.len());
        for (range, rule) in finds {
            if self.0[rule] == Action::Quarantine {
                let detail = format!("holds what looks like {}", RULES[rule].doc);
                return Err(Withheld::new(Reason::SecretFound, detail));
            }
            redacted.0[rule] += 1;
            spans.push(Span { range, kind: RULES[rule].kind });
        }
        Ok(spans)
    }

    /// The spans of a text that are to be redacted wherever the text is cut.
    pub(super) fn marks(&self, text: &str) -> Result<Vec<Span>, Withheld> {
        self.spans(self.finds(text), &mut Redacted::default())
    }

    /// Redacts every text in a value: of members, not their names; numbers that are finds become texts.
    pub(super) fn json(&self, json: &mut Json<'_>, redacted: &mut Redacted) -> Result<(), Withheld> {
        if self.is_open() {
            return Ok(());
        }
        match json {
            Json::Text(text) => self.text(text, redacted),
            Json::List(items) => items.iter_mut().try_for_each(|item| self.json(item, redacted)),
            Json::Map(members) => members.values_mut().try_for_each(|value| self.json(value, redacted)),
            Json::Verbatim(number) => {
                let mut text = Cow::Owned(number.clone().into_owned());
                self.text(&mut text, redacted)?;
                if text != *number {
                    *json = Json::Text(Cow::Owned(text.into_owned()));
                }
                Ok(())
            }
            Json::Null | Json::Bool(_) | Json::Int(_) | Json::Float(_) => Ok(()),
        }
    }
}

/// What is to be redacted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// Bytes.
    pub(super) range: std::ops::Range<usize>,
    kind: &'static str,
}

/// The part of a text in `range`, its spans redacted, those that are cut too; with their counts.
pub(super) fn part(text: &str, range: std::ops::Range<usize>, spans: &[Span], redacted: &mut Redacted) -> String {
    let inside: Vec<Span> = spans
        .iter()
        .filter(|span| span.range.start < range.end && range.start < span.range.end)
        .map(|span| {
            if let Some(rule) = RULES.iter().position(|rule| rule.kind == span.kind) {
                redacted.0[rule] += 1;
            }
            let clamp = |at: usize| at.clamp(range.start, range.end) - range.start;
            Span { range: clamp(span.range.start)..clamp(span.range.end), kind: span.kind }
        })
        .collect();
    rewritten(&text[range], &inside)
}

fn rewritten(text: &str, spans: &[Span]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for span in spans {
        out.push_str(&text[done..span.range.start]);
        out.push_str("[REDACTED:");
        out.push_str(span.kind);
        out.push(']');
        done = span.range.end;
    }
    out.push_str(&text[done..]);
    out
}

/// How often each rule redacted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Redacted([u32; RULES.len()]);

impl Redacted {
    pub(super) fn add(&mut self, other: &Self) {
        for (own, other) in self.0.iter_mut().zip(other.0) {
            *own = own.saturating_add(other);
        }
    }

    pub(super) fn counts(self, into: &mut BTreeMap<&'static str, u64>) {
        for (rule, n) in RULES.iter().zip(self.0).filter(|(_, n)| *n > 0) {
            *into.entry(rule.kind).or_default() += u64::from(n);
        }
    }

    pub(super) fn pack(&self, pack: &mut super::pack::Pack) {
        let any = self.0.iter().any(|n| *n > 0);
        pack.byte(any.into());
        if any {
            for n in self.0 {
                pack.number(n.into());
            }
        }
    }

    pub(super) fn unpack(from: &mut super::pack::Unpack<'_>) -> Result<Self, super::pack::Damaged> {
        let mut redacted = Self::default();
        if from.byte()? != 0 {
            for n in &mut redacted.0 {
                *n = u32::try_from(from.number()?).map_err(|_| super::pack::Damaged)?;
            }
        }
        Ok(redacted)
    }
}

#[cfg(test)]
mod tests;
