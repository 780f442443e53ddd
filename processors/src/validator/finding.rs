//! What a validator says.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// A person should look.
    Warning,
    /// It must not go out.
    Blocking,
}

impl Severity {
    /// All of them, least first.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Blocking];

    /// As written in events, settings and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Blocking => "blocking",
        }
    }

    /// The severity that a word names.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.as_str() == word)
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Stable code of the rule.
    pub code: Cow<'static, str>,
    /// How much it weighs.
    pub severity: Severity,
    /// In words. It never repeats what must not be seen: a number that was found is named by its place.
    pub message: String,
    /// Where in the artefact: a path such as `body` or `fills[0].worker_id`; `text` of an artefact that is only text.
    pub field: Option<String>,
    /// Bytes of the field's text (UTF-8, from 0, end exclusive, between characters). Of an e-mail that came as plain text
    /// the fields' texts are what stands after `Subject:` and so on, trimmed, and the trimmed rest as `body`.
    pub span: Option<Range<usize>>,
    /// What to do, as an order that a model can follow.
    pub remedy: String,
}

/// A kind of finding that a validator has.
#[derive(Clone, Copy, Debug)]
pub struct Code {
    /// As in [`Finding::code`].
    pub code: &'static str,
    /// Severity unless a policy says otherwise.
    pub severity: Severity,
    /// What it means.
    pub doc: &'static str,
}

/// What it all comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Looked at, and nothing blocks.
    Pass,
    /// Something blocks.
    Fail,
    /// It could not be looked at. Never the same as a pass.
    Skipped,
}

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Pass, Self::Fail, Self::Skipped];

    /// As written in events and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Skipped => "skipped",
        }
    }

    /// The verdict that a word names.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.as_str() == word)
    }
}

/// What one validator found, or why it could not look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// In the order of the text; at most [`MOST_FINDINGS`].
    pub findings: Vec<Finding>,
    /// Why not everything could be looked at, if so.
    pub skipped: Option<String>,
}

/// Findings of one validator over one artefact, at most; a text made of nothing but faults needs no longer list.
pub const MOST_FINDINGS: usize = 100;

impl Checked {
    /// It could not be looked at.
    pub fn skipped(why: impl Into<String>) -> Self {
        Self { findings: Vec::new(), skipped: Some(why.into()) }
    }

    /// A finding that blocks counts even if something else could not be looked at.
    pub fn verdict(&self) -> Verdict {
        match () {
            () if self.findings.iter().any(|finding| finding.severity == Severity::Blocking) => Verdict::Fail,
            () if self.skipped.is_some() => Verdict::Skipped,
            () => Verdict::Pass,
        }
    }
}

/// Takes findings of one validator, severities by its table.
#[derive(Debug)]
pub(super) struct Findings {
    codes: &'static [Code],
    found: Vec<Finding>,
}

impl Findings {
    pub(super) fn new(codes: &'static [Code]) -> Self {
        Self { codes, found: Vec::new() }
    }

    /// Adds one. A code that is not in the table weighs as a blocking one.
    pub(super) fn add(
        &mut self,
        code: &'static str,
        field: Option<&str>,
        span: Option<Range<usize>>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let known = self.codes.iter().find(|known| known.code == code);
        debug_assert!(known.is_some(), "`{code}` is not in the table of its validator");
        if self.found.len() < MOST_FINDINGS {
            self.found.push(Finding {
                code: Cow::Borrowed(code),
                severity: known.map_or(Severity::Blocking, |known| known.severity),
                message: message.into(),
                field: field.map(str::to_owned),
                span,
                remedy: remedy.into(),
            });
        }
    }

    pub(super) fn done(self, skipped: Option<String>) -> Checked {
        Checked { findings: self.found, skipped }
    }
}
