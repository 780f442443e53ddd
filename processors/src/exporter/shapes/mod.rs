//! The shapes of rows: what the trainer or the index that reads a dataset expects. Adding one is a file and a line here.
//!
//! A shape has a form for each kind of dataset that it knows, and says what the columns of that form are, so that any
//! file format can hold it. It arranges what a template made and adds no word to it.

mod axolotl;
mod chunks;
mod columns;
mod documents;
mod messages;
mod nodes;
mod openai;
mod prompt_completion;
mod sharegpt;
mod trl;

pub use columns::{Column, Type};

use super::canonical::Json;
use super::kinds::Kind;
use super::source::Source;

/// One shape.
#[derive(Debug)]
pub struct Shape {
    /// Name, as on the command line.
    pub name: &'static str,
    /// Whose it is and what it looks like, in a sentence.
    pub doc: &'static str,
    /// Its forms, one for each kind that it knows.
    pub forms: &'static [Form],
}

/// A shape for one kind.
#[derive(Debug)]
pub struct Form {
    /// Name of the kind.
    pub kind: &'static str,
    /// Changes with every change of what it makes.
    pub version: &'static str,
    /// The columns, in order.
    pub columns: &'static [Column],
    /// Whether every row has every column, so that readers may be told of them.
    pub declared: bool,
    /// Makes the row.
    pub render: for<'a> fn(Content<'a>) -> Json<'a>,
}

/// What a row is made of.
#[derive(Debug)]
pub enum Content<'a> {
    /// A conversation, its last message the answer.
    Conversation(Conversation<'a>),
    /// Two answers to one prompt.
    Pair(Pair<'a>),
    /// A piece of a text.
    Chunk(Chunk<'a>),
}

/// A conversation.
#[derive(Debug)]
pub struct Conversation<'a> {
    /// Messages in the canonical form of templates.
    pub messages: Vec<Json<'a>>,
    /// Tools, or null.
    pub tools: Json<'a>,
    /// What it was made of.
    pub(super) source: &'a Source,
}

/// Two answers to one prompt.
#[derive(Debug)]
pub struct Pair<'a> {
    /// Identifies the pair by what it says.
    pub id: &'a str,
    /// Messages before the answer.
    pub prompt: Vec<Json<'a>>,
    /// Tools, or null.
    pub tools: Json<'a>,
    /// The better answer.
    pub chosen: Json<'a>,
    /// The worse one.
    pub rejected: Json<'a>,
    /// What the better one was made of.
    pub(super) chosen_source: &'a Source,
    /// What the worse one was made of.
    pub(super) rejected_source: &'a Source,
}

/// A piece of a message.
#[derive(Debug)]
pub struct Chunk<'a> {
    /// Stable: of the run, the message, the span and the text.
    pub id: &'a str,
    /// The text, as the dataset says it.
    pub text: &'a str,
    /// Hash of the text, hex.
    pub content_hash: &'a str,
    /// Who said it.
    pub role: &'a str,
    /// Message of the run, from 0.
    pub message_index: i64,
    /// Number among the chunks of the message, from 0.
    pub chunk_index: i64,
    /// Chunks of the message.
    pub n_chunks: i64,
    /// First character of the message that is in it.
    pub start_char: i64,
    /// First character after it.
    pub end_char: i64,
    /// What it was made of.
    pub(super) source: &'a Source,
}

/// All shapes; the first that knows a kind is its canonical one.
pub static SHAPES: &[Shape] = &[
    trl::SHAPE,
    prompt_completion::SHAPE,
    openai::SHAPE,
    sharegpt::SHAPE,
    axolotl::SHAPE,
    chunks::SHAPE,
    documents::SHAPE,
    nodes::SHAPE,
];

/// No such shape, or none for this kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no shape `{name}` for {kind}: there are {}", known.join(", "))]
pub struct UnknownShape {
    name: String,
    kind: &'static str,
    known: Vec<&'static str>,
}

impl Shape {
    /// The shape of this name that knows this kind; without a name, the kind's canonical one.
    pub fn find(kind: &Kind, name: Option<&str>) -> Result<&'static Self, UnknownShape> {
        let mut knowing = SHAPES.iter().filter(|shape| shape.forms.iter().any(|form| form.kind == kind.name));
        knowing.clone().find(|shape| name.is_none_or(|name| name == shape.name)).ok_or_else(|| UnknownShape {
            name: name.unwrap_or_default().escape_debug().to_string(),
            kind: kind.name,
            known: knowing.by_ref().map(|shape| shape.name).collect(),
        })
    }

    /// Its form for a kind.
    pub fn form(&self, kind: &Kind) -> Option<&'static Form> {
        self.forms.iter().find(|form| form.kind == kind.name)
    }
}

#[cfg(test)]
mod tests;
