//! Users' own validators, declared in settings (`[validators.NAME]`), without Rust.
//!
//! ```toml
//! [validators.house]
//! rules = [
//!   { code = "competitor", terms = ["Acme Staffing", "Acme Temps"], severity = "warning", remedy = "Name no other agency." },
//!   { code = "internal_id", regex = 'INT-\d{4}', field = "body", severity = "blocking" },
//!   { code = "no_signature", required = ["signature"] },
//!   { code = "hours", number = { field = "hours", min = 1, max = 12 } },
//!   { code = "says_hello", regex = '(?i)^(hi|hello)', must = "match", field = "body" },
//! ]
//! ```
//!
//! A rule is one of `regex`, `terms`, `required`, `number`. Terms are compared as folded words, so case, accents and
//! look-alikes make no difference; a pattern is matched against the text as it is, or with `folded = true` against the folded
//! one. Patterns are those of the `regex` crate: linear, without look-around or going back.

use super::artefact::number;
use super::finding::{Checked, Finding, MOST_FINDINGS, Severity};
use super::fold::Folded;
use super::words::{Phrases, Words};
use super::{Check, Subject};
use ::regex::{Regex, RegexBuilder};
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;
use std::ops::Range;

/// Rules of one validator, at most.
const MOST_RULES: usize = 200;
/// Bytes of a pattern, compiled.
const MOST_PATTERN: usize = 1 << 20;

/// A validator that is declared.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declared {
    /// What it is for.
    #[serde(default)]
    pub doc: String,
    /// Its rules; or else a URL.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// Where it answers over HTTP.
    #[serde(default)]
    pub url: Option<String>,
    /// How long it may take.
    #[serde(default = "usual_timeout")]
    pub timeout_ms: u64,
}

fn usual_timeout() -> u64 {
    2_000
}

/// One rule, as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Code of its findings.
    pub code: String,
    /// A pattern.
    #[serde(default)]
    pub regex: Option<String>,
    /// `not_match` (the usual one): the pattern must not be found; `match`: it must.
    #[serde(default)]
    pub must: Option<String>,
    /// Words or phrases that must not stand there.
    #[serde(default)]
    pub terms: Vec<String>,
    /// Fields that must be there and not empty.
    #[serde(default)]
    pub required: Vec<String>,
    /// A number within bounds.
    #[serde(default)]
    pub number: Option<Bounds>,
    /// The only field that is looked at; without it, all.
    #[serde(default)]
    pub field: Option<String>,
    /// Matches the folded text.
    #[serde(default)]
    pub folded: bool,
    /// `blocking` unless said.
    #[serde(default)]
    pub severity: Option<String>,
    /// In words.
    #[serde(default)]
    pub message: Option<String>,
    /// What to do.
    #[serde(default)]
    pub remedy: Option<String>,
}

/// Bounds of a number.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// Path of the number.
    pub field: String,
    /// At least.
    #[serde(default)]
    pub min: Option<f64>,
    /// At most.
    #[serde(default)]
    pub max: Option<f64>,
}

/// Rules, ready to be applied.
#[derive(Debug)]
pub struct Rules(Vec<Ready>);

#[derive(Debug)]
struct Ready {
    code: Cow<'static, str>,
    severity: Severity,
    field: Option<String>,
    message: Option<String>,
    remedy: Option<String>,
    test: Test,
}

#[derive(Debug)]
enum Test {
    Pattern { regex: Regex, must: bool, folded: bool },
    Terms(Phrases),
    Required(Vec<String>),
    Number(Bounds),
}

impl Rules {
    /// Makes rules; the error names the rule and what is wrong with it.
    pub fn new(rules: &[Rule]) -> Result<Self, String> {
        if rules.is_empty() || rules.len() > MOST_RULES {
            return Err(format!("{} rules: write 1 to {MOST_RULES}", rules.len()));
        }
        let ready = |(number, rule): (usize, &Rule)| {
            Ready::new(rule).map_err(|why| format!("rule {} (`{}`): {why}", number + 1, rule.code.escape_debug()))
        };
        rules.iter().enumerate().map(ready).collect::<Result<_, _>>().map(Self)
    }
}

impl Ready {
    fn new(rule: &Rule) -> Result<Self, String> {
        let word = !rule.code.is_empty()
            && rule.code.len() <= 64
            && rule.code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !word {
            return Err("`code` is a word of small letters, digits and `_`".to_owned());
        }
        let severity = match rule.severity.as_deref() {
            None => Severity::Blocking,
            Some(word) => Severity::named(word).ok_or("`severity` is info, warning or blocking")?,
        };
        let must = match rule.must.as_deref() {
            None | Some("not_match") => false,
            Some("match") => true,
            Some(_) => return Err("`must` is match or not_match".to_owned()),
        };
        let mut tests = Vec::new();
        if let Some(pattern) = &rule.regex {
            let regex = RegexBuilder::new(pattern).size_limit(MOST_PATTERN).dfa_size_limit(4 * MOST_PATTERN).build();
            let regex = regex.map_err(|error| format!("`regex` cannot be used: {}", one_line(&error.to_string())))?;
            tests.push(Test::Pattern { regex, must, folded: rule.folded });
        } else if must {
            return Err("`must` goes with `regex`".to_owned());
        }
        if !rule.terms.is_empty() {
            if rule.terms.iter().any(|term| !term.chars().any(char::is_alphanumeric)) {
                return Err("a term without letters".to_owned());
            }
            tests.push(Test::Terms(Phrases::of_texts(rule.terms.iter().map(String::as_str))));
        }
        if !rule.required.is_empty() {
            tests.push(Test::Required(rule.required.clone()));
        }
        if let Some(bounds) = &rule.number {
            let legal = bounds.min.is_some() || bounds.max.is_some();
            let ordered = bounds.min.zip(bounds.max).is_none_or(|(min, max)| min <= max);
            if !legal || !ordered {
                return Err("`number` has a `min`, a `max`, or both in order".to_owned());
            }
            tests.push(Test::Number(bounds.clone()));
        }
        let [test] =
            <[Test; 1]>::try_from(tests).map_err(|_| "write one of regex, terms, required, number".to_owned())?;
        let (field, message, remedy) = (rule.field.clone(), rule.message.clone(), rule.remedy.clone());
        Ok(Self { code: rule.code.clone().into(), severity, field, message, remedy, test })
    }

    fn find(&self, texts: &[(String, String)], subject: &Subject<'_>, found: &mut Vec<Finding>) {
        let mut add = |field: Option<&str>, span: Option<Range<usize>>, message: &str, remedy: &str| {
            if found.len() < MOST_FINDINGS {
                found.push(Finding {
                    code: self.code.clone(),
                    severity: self.severity,
                    message: self.message.clone().unwrap_or_else(|| message.to_owned()),
                    field: field.map(str::to_owned),
                    span,
                    remedy: self.remedy.clone().unwrap_or_else(|| remedy.to_owned()),
                });
            }
        };
        let wanted = texts.iter().filter(|(field, _)| self.field.as_ref().is_none_or(|own| own == field));
        match &self.test {
            Test::Pattern { regex, must: false, folded } => {
                for (field, text) in wanted {
                    let remedy = "Change the text so that the pattern is not in it.";
                    if *folded {
                        let text = Folded::new(text);
                        for found in regex.find_iter(text.text()).take(MOST_FINDINGS) {
                            add(
                                Some(field),
                                Some(text.span(found.range())),
                                "matches a pattern that is not allowed",
                                remedy,
                            );
                        }
                    } else {
                        for found in regex.find_iter(text).take(MOST_FINDINGS) {
                            add(Some(field), Some(found.range()), "matches a pattern that is not allowed", remedy);
                        }
                    }
                }
            }
            Test::Pattern { regex, must: true, folded } => {
                let matches =
                    |text: &str| if *folded { regex.is_match(Folded::new(text).text()) } else { regex.is_match(text) };
                let mut wanted = wanted.peekable();
                let first = self.field.clone().or_else(|| wanted.peek().map(|(field, _)| field.clone()));
                if !wanted.any(|(_, text)| matches(text)) {
                    add(
                        first.as_deref(),
                        None,
                        "does not match the pattern that is wanted",
                        "Change the text so that it matches the pattern.",
                    );
                }
            }
            Test::Terms(phrases) => {
                for (field, text) in wanted {
                    let words = Words::new(text);
                    for (_, range) in phrases.find(&words).into_iter().take(MOST_FINDINGS) {
                        add(Some(field), Some(words.span(range)), "says what is not to be said", "Delete these words.");
                    }
                }
            }
            Test::Required(fields) => {
                for field in fields {
                    let there = subject.artefact.at(field).is_some_and(|value| match value {
                        Value::Null => false,
                        Value::String(text) => !text.trim().is_empty(),
                        Value::Array(items) => !items.is_empty(),
                        Value::Object(members) => !members.is_empty(),
                        Value::Bool(_) | Value::Number(_) => true,
                    });
                    if !there {
                        add(
                            Some(field),
                            None,
                            "a field that is wanted is not there, or empty",
                            &format!("Add `{field}`."),
                        );
                    }
                }
            }
            Test::Number(Bounds { field, min, max }) => {
                let bounds = match (min, max) {
                    (Some(min), Some(max)) => format!("from {min} to {max}"),
                    (Some(min), None) => format!("at least {min}"),
                    (None, max) => format!("at most {}", max.unwrap_or_default()),
                };
                let remedy = format!("Write a number for `{field}`, {bounds}.");
                match subject.artefact.at(field).and_then(|value| number(Some(value))) {
                    None => add(Some(field), None, "there is no number", &remedy),
                    Some(n) if min.is_some_and(|min| n < min) || max.is_some_and(|max| n > max) => {
                        add(Some(field), None, &format!("{n} is not {bounds}"), &remedy);
                    }
                    Some(_) => {}
                }
            }
        }
    }
}

impl Check for Rules {
    fn check(&self, subject: &Subject<'_>) -> Checked {
        let texts = subject.artefact.texts();
        let mut findings = Vec::new();
        for rule in &self.0 {
            rule.find(&texts, subject, &mut findings);
        }
        Checked { findings, skipped: None }
    }
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default().to_owned()
}
