//! Source classes: what kind of work a run recorded.

use super::{Refusal, agent, chat, email, extraction, fill, reasoning, retrieval, review};
use crate::nearest::nearest;
use stillhouse_schemas::{Evidence, Run};

/// What the transforms are told by the settings.
#[derive(Debug)]
pub(super) struct Limits {
    /// Class of runs that do not say theirs; none: by what they hold.
    pub(super) default_class: Option<&'static SourceClass>,
    /// Take agent runs with replies to calls that nobody made.
    pub(super) count_unmatched: bool,
    /// Share of a claim's words that make it grounded.
    pub(super) grounded_overlap: f64,
}

type Take = fn(&mut Run, &Limits) -> Result<Evidence, Refusal>;

/// A source class.
#[derive(Debug)]
pub struct SourceClass {
    /// As in `source_class`.
    pub name: &'static str,
    /// What its runs record.
    pub doc: &'static str,
    /// What makes such a run good, for a judge that has to say it in a number.
    pub criteria: &'static str,
    pub(super) transform: Take,
}

/// Every source class there is. Adding one is a file and a line here, a template (`exporter::templates`), and rules
/// (`scorer::RULES`) where it needs rules of its own.
pub static CLASSES: &[SourceClass] = &[
    SourceClass {
        name: chat::CLASS,
        doc: "a conversation",
        criteria: "The assistant's answers are correct, complete, to the point, and in keeping with its instructions.",
        transform: chat::take,
    },
    SourceClass {
        name: agent::CLASS,
        doc: "work with tools",
        criteria: "The task is done as the user asked, by the right calls and no needless ones, within the policy that \
                   the agent was given, and what it says agrees with what the tools said.",
        transform: agent::take,
    },
    SourceClass {
        name: reasoning::CLASS,
        doc: "a question with a checkable answer",
        criteria: "The final answer is right, and every step that leads to it holds.",
        transform: reasoning::take,
    },
    SourceClass {
        name: extraction::CLASS,
        doc: "structured output from a text",
        criteria: "The output is in the form asked for; every value stands in the text, and nothing that was asked for is \
                   left out or made up.",
        transform: extraction::take,
    },
    SourceClass {
        name: retrieval::CLASS,
        doc: "an answer from passages",
        criteria: "The answer follows from the passages and from nothing else, cites them where citations were asked for, \
                   and says so where they do not tell.",
        transform: retrieval::take,
    },
    SourceClass {
        name: review::CLASS,
        doc: "a verdict over an artefact",
        criteria: "The verdict is definite and right, and its grounds are in the artefact.",
        transform: review::take,
    },
    SourceClass {
        name: fill::CLASS,
        doc: "a worker proposed for a job",
        criteria: "The workers proposed fit the job's role, place, time and number, by what the context says of them.",
        transform: fill::take,
    },
    SourceClass {
        name: email::CLASS,
        doc: "a message to a worker",
        criteria: "The message says what it has to, correctly and politely, to the right person, and nothing that does not \
                   belong there.",
        transform: email::take,
    },
];

/// The class with this name.
pub(super) fn find(name: &str) -> Option<&'static SourceClass> {
    CLASSES.iter().find(|class| class.name == name)
}

/// The class of a run that does not say it, by the first of these that holds:
///
/// 1. it has an artefact: `review` if its last words give a verdict; else `email` if the artefact has a body and a subject
///    or recipient, `fill` if it names a worker, and `review` of anything else;
/// 2. it has tools, calls or tools' replies: `agent`;
/// 3. it has passages: `retrieval`;
/// 4. it has a response schema: `extraction`;
/// 5. it has a reference answer: `reasoning`;
/// 6. else `chat`.
pub fn class_of(run: &Run) -> &'static str {
    let is_reply = |role: &str| super::roles::known(role) == Some("tool");
    let says = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.trim().is_empty());
    if let Some(artefact) = run.artefact.as_deref().filter(|artefact| review::says_something(artefact)) {
        class_of_artefact(run, artefact)
    } else if !run.tools.is_empty() || run.messages.iter().any(|m| !m.tool_calls.is_empty() || is_reply(&m.role)) {
        agent::CLASS
    } else if !run.passages.is_empty() {
        retrieval::CLASS
    } else if says(&run.response_schema) {
        extraction::CLASS
    } else if says(&run.reference) {
        reasoning::CLASS
    } else {
        chat::CLASS
    }
}

fn class_of_artefact(run: &Run, artefact: &str) -> &'static str {
    let last = run.messages.iter().rev().find(|message| super::roles::known(&message.role) == Some("assistant"));
    let artefact = serde_json::from_str(artefact).unwrap_or_default();
    if last.and_then(|message| review::verdict(message.content.as_deref()?)).is_some() {
        review::CLASS
    } else if email::is_one(&artefact) {
        email::CLASS
    } else if fill::is_one(&artefact) {
        fill::CLASS
    } else {
        review::CLASS
    }
}

/// The transform of a run.
pub(super) fn choose(run: &Run, limits: &Limits) -> Result<&'static SourceClass, Refusal> {
    let said = run.source_class.as_deref().map(|said| said.trim().to_ascii_lowercase()).filter(|said| !said.is_empty());
    let class = match (&said, limits.default_class) {
        (Some(said), _) => find(said),
        (None, Some(default)) => Some(default),
        (None, None) => find(class_of(run)),
    };
    class.ok_or_else(|| {
        let said = said.unwrap_or_default();
        let hint = match nearest(&said, CLASSES.iter().map(|c| c.name)) {
            Some(name) => format!("; did the producer mean `{name}`?"),
            None => String::new(),
        };
        let known: Vec<&str> = CLASSES.iter().map(|class| class.name).collect();
        let said: String = said.chars().take(64).collect();
        let (said, known) = (said.escape_debug(), known.join(", "));
        Refusal::new("unknown_class", format!("no source class is called `{said}`; known are {known}{hint}"))
    })
}
