//! LlamaIndex's `TextNode`: id, text, span, and everything else as metadata that is neither embedded nor shown.

use super::columns::{Column, Type, column, text};
use super::messages::{row, trace};
use super::{Content, Form, Shape};
use crate::exporter::canonical::Json;

pub(super) const SHAPE: Shape = Shape {
    name: "llama-index",
    doc: "LlamaIndex's TextNode: text, span and metadata",
    forms: &[Form { kind: "rag", version: "1", columns: &RAG, declared: true, render }],
};

const RAG: [Column; 9] = [
    text("id_"),
    text("text"),
    column("metadata", Type::Json),
    column("excluded_embed_metadata_keys", Type::List(&Type::Text)),
    column("excluded_llm_metadata_keys", Type::List(&Type::Text)),
    column("start_char_idx", Type::Int),
    column("end_char_idx", Type::Int),
    text("mimetype"),
    text("class_name"),
];

fn render<'a>(content: Content<'a>) -> Json<'a> {
    let Content::Chunk(c) = content else { return Json::Null };
    let metadata = row([("role", Json::text(c.role)), ("message_index", Json::Int(c.message_index))], trace(c.source));
    let names = || match &metadata {
        Json::Map(members) => Json::List(members.keys().cloned().map(Json::Text).collect()),
        _ => Json::List(vec![]),
    };
    Json::map([
        ("id_", Json::text(c.id)),
        ("text", Json::text(c.text)),
        ("excluded_embed_metadata_keys", names()),
        ("excluded_llm_metadata_keys", names()),
        ("start_char_idx", Json::Int(c.start_char)),
        ("end_char_idx", Json::Int(c.end_char)),
        ("mimetype", Json::text("text/plain")),
        ("class_name", Json::text("TextNode")),
        ("metadata", metadata),
    ])
}
