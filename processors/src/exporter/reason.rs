//! Why a run is not in a dataset.

use std::fmt;

/// A reason with a stable code. Every evidence of a cut is either one row or withheld for exactly one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Judged bad. No option lets it in.
    CategoryRejected,
    /// Judged unclear. No option lets it in.
    CategoryNeedsHumanReview,
    /// Judged good in part, and partly good runs were not asked for.
    CategoryPartiallyAccepted,
    /// Nobody has judged it.
    NoScore,
    /// The judge failed, which says nothing about the run.
    ScoreFailed,
    /// The score is no number in [0, 1].
    ScoreInvalid,
    /// The score is about something else.
    ScoreMismatch,
    /// The source says that an answer in it is not to be learned from.
    NotForTraining,
    /// A validator found what blocks.
    ValidationFailed,
    /// Its class has to be validated, and it was not, or only in part.
    NotValidated,
    /// A later recording of the same run took its place.
    Superseded,
    /// No template makes rows of its source class.
    NoTemplate,
    /// The assistant never gave what could be learned from.
    NoAssistantAnswer,
    /// Nothing was said before the answer.
    NoPrompt,
    /// A speaker that chat templates do not know.
    UnknownRole,
    /// A message holds more than text (an image, a file), so its text alone would not be what was said.
    UnsupportedContent,
    /// The model called a tool with arguments that are no JSON object.
    InvalidToolArguments,
    /// A tool is described by parameters that are no JSON object.
    InvalidToolSchema,
    /// A tool answered what nobody asked.
    ToolResultWithoutCall,
    /// Its causes name no run, so no cut can hold it.
    Untraceable,
    /// Its subject was erased: nobody can read it any more.
    Erased,
    /// An operator recalled the run.
    Recalled,
    /// An operator decided that it stays out for good.
    Discarded,
    /// An earlier run said the same.
    Duplicate,
    /// An earlier run said nearly the same.
    NearDuplicate,
    /// It holds what looks like a secret, or leads to a person.
    SecretFound,
    /// Nothing in it could be searched.
    NoText,
    /// No run answered the same prompt with an answer that is judged otherwise.
    NoCounterpart,
    /// Its prompt has more pairs than were asked for, and others were taken.
    OverMaxPairs,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 29] = [
        Self::CategoryRejected,
        Self::CategoryNeedsHumanReview,
        Self::CategoryPartiallyAccepted,
        Self::NoScore,
        Self::ScoreFailed,
        Self::ScoreInvalid,
        Self::ScoreMismatch,
        Self::NotForTraining,
        Self::ValidationFailed,
        Self::NotValidated,
        Self::Superseded,
        Self::NoTemplate,
        Self::NoAssistantAnswer,
        Self::NoPrompt,
        Self::UnknownRole,
        Self::UnsupportedContent,
        Self::InvalidToolArguments,
        Self::InvalidToolSchema,
        Self::ToolResultWithoutCall,
        Self::Untraceable,
        Self::Erased,
        Self::Recalled,
        Self::Discarded,
        Self::Duplicate,
        Self::NearDuplicate,
        Self::SecretFound,
        Self::NoText,
        Self::NoCounterpart,
        Self::OverMaxPairs,
    ];

    /// As written in events, manifests and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CategoryRejected => "category_rejected",
            Self::CategoryNeedsHumanReview => "category_needs_human_review",
            Self::CategoryPartiallyAccepted => "category_partially_accepted",
            Self::NoScore => "no_score",
            Self::ScoreFailed => "score_failed",
            Self::ScoreInvalid => "score_invalid",
            Self::ScoreMismatch => "score_mismatch",
            Self::NotForTraining => "not_for_training",
            Self::ValidationFailed => "validation_failed",
            Self::NotValidated => "not_validated",
            Self::Superseded => "superseded",
            Self::NoTemplate => "no_template",
            Self::NoAssistantAnswer => "no_assistant_answer",
            Self::NoPrompt => "no_prompt",
            Self::UnknownRole => "unknown_role",
            Self::UnsupportedContent => "unsupported_content",
            Self::InvalidToolArguments => "invalid_tool_arguments",
            Self::InvalidToolSchema => "invalid_tool_schema",
            Self::ToolResultWithoutCall => "tool_result_without_call",
            Self::Untraceable => "untraceable",
            Self::Erased => "erased",
            Self::Recalled => "recalled",
            Self::Discarded => "discarded",
            Self::Duplicate => "duplicate",
            Self::NearDuplicate => "near_duplicate",
            Self::SecretFound => "secret_found",
            Self::NoText => "no_text",
            Self::NoCounterpart => "no_counterpart",
            Self::OverMaxPairs => "over_max_pairs",
        }
    }

    /// The rule that withholds for this reason.
    pub fn rule(self) -> &'static str {
        match self {
            Self::CategoryRejected
            | Self::CategoryNeedsHumanReview
            | Self::CategoryPartiallyAccepted
            | Self::NoScore
            | Self::ScoreFailed
            | Self::ScoreInvalid
            | Self::ScoreMismatch
            | Self::NotForTraining
            | Self::ValidationFailed
            | Self::NotValidated => "firewall",
            Self::Superseded | Self::Untraceable | Self::Erased => "fold",
            Self::Recalled | Self::Discarded => "decisions",
            Self::NoTemplate
            | Self::NoAssistantAnswer
            | Self::NoPrompt
            | Self::UnknownRole
            | Self::UnsupportedContent
            | Self::InvalidToolArguments
            | Self::InvalidToolSchema
            | Self::ToolResultWithoutCall => "template",
            Self::Duplicate | Self::NearDuplicate => "duplicates",
            Self::SecretFound => "secrets",
            Self::NoText => "chunks",
            Self::NoCounterpart | Self::OverMaxPairs => "pairs",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A run that makes no row, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withheld {
    /// The reason.
    pub reason: Reason,
    /// In words, about this run.
    pub detail: String,
}

impl Withheld {
    /// Withheld for `reason`, in words.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_distinct_words() {
        let codes: BTreeSet<_> = Reason::ALL.iter().map(|r| r.as_str()).collect();
        assert_eq!(codes.len(), Reason::ALL.len());
        assert!(codes.iter().all(|c| c.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
    }
}
