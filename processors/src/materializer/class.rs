//! Source classes: what kind of work a run recorded.

use super::{Refusal, agent, chat, reasoning};
use crate::nearest::nearest;
use stillhouse_schemas::{Evidence, Run};

/// What the transforms are told by the settings.
#[derive(Debug)]
pub(super) struct Limits {
    /// Class of runs that do not say theirs; none: by what they hold.
    pub(super) default_class: Option<&'static SourceClass>,
    /// Take agent runs with replies to calls that nobody made.
    pub(super) count_unmatched: bool,
}

type Take = fn(&mut Run, &Limits) -> Result<Evidence, Refusal>;

/// A source class.
#[derive(Debug)]
pub struct SourceClass {
    /// As in `source_class`.
    pub name: &'static str,
    /// What its runs record.
    pub doc: &'static str,
    transform: Option<Take>,
}

impl SourceClass {
    /// Whether this version can take its runs.
    pub fn has_transform(&self) -> bool {
        self.transform.is_some()
    }
}

/// Every source class there is. Adding a transform is a file and its name here.
pub static CLASSES: &[SourceClass] = &[
    SourceClass { name: chat::CLASS, doc: "a conversation", transform: Some(chat::take) },
    SourceClass { name: agent::CLASS, doc: "work with tools", transform: Some(agent::take) },
    SourceClass { name: reasoning::CLASS, doc: "a question with a checkable answer", transform: Some(reasoning::take) },
    SourceClass { name: "extraction", doc: "structured output from a text", transform: None },
    SourceClass { name: "retrieval", doc: "an answer from passages", transform: None },
    SourceClass { name: "review", doc: "a verdict over an artefact", transform: None },
    SourceClass { name: "fill", doc: "a worker proposed for a job", transform: None },
    SourceClass { name: "email", doc: "a message to a worker", transform: None },
];

/// A class with its transform.
pub(super) struct Class {
    pub(super) name: &'static str,
    pub(super) transform: Take,
}

/// The class with this name.
pub(super) fn find(name: &str) -> Option<&'static SourceClass> {
    CLASSES.iter().find(|class| class.name == name)
}

/// The class of a run that does not say it: `agent` when it has tools, calls or tools' replies, `reasoning` when it has
/// a reference answer, else `chat`.
pub fn class_of(run: &Run) -> &'static str {
    let is_reply = |role: &str| super::roles::known(role) == Some("tool");
    if !run.tools.is_empty() || run.messages.iter().any(|m| !m.tool_calls.is_empty() || is_reply(&m.role)) {
        agent::CLASS
    } else if run.reference.as_deref().is_some_and(|reference| !reference.trim().is_empty()) {
        reasoning::CLASS
    } else {
        chat::CLASS
    }
}

/// The transform of a run.
pub(super) fn choose(run: &Run, limits: &Limits) -> Result<Class, Refusal> {
    let said = run.source_class.as_deref().map(|said| said.trim().to_ascii_lowercase()).filter(|said| !said.is_empty());
    let class = match (&said, limits.default_class) {
        (Some(said), _) => find(said),
        (None, Some(default)) => Some(default),
        (None, None) => find(class_of(run)),
    };
    let taken: Vec<&str> = CLASSES.iter().filter(|c| c.has_transform()).map(|c| c.name).collect();
    let taken = taken.join(", ");
    match class {
        Some(SourceClass { name, transform: Some(transform), .. }) => Ok(Class { name, transform: *transform }),
        Some(SourceClass { name, .. }) => Err(Refusal::new(
            "no_transform",
            format!("no transform takes source class `{name}` yet; taken are {taken}"),
        )),
        None => {
            let said = said.unwrap_or_default();
            let hint = match nearest(&said, CLASSES.iter().map(|c| c.name)) {
                Some(name) => format!("; did the producer mean `{name}`?"),
                None => String::new(),
            };
            let said: String = said.chars().take(64).collect();
            let said = said.escape_debug();
            Err(Refusal::new("unknown_class", format!("no source class is called `{said}`; taken are {taken}{hint}")))
        }
    }
}
