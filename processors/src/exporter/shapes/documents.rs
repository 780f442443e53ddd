//! LangChain's `Document`: id, text, and everything else as metadata.

use super::columns::{Column, Type, column, text};
use super::messages::{row, trace};
use super::{Content, Form, Shape};
use crate::exporter::canonical::Json;

pub(super) const SHAPE: Shape = Shape {
    name: "langchain",
    doc: "LangChain's Document: page_content and metadata",
    forms: &[Form { kind: "rag", version: "1", columns: &RAG, declared: true, render }],
};

const RAG: [Column; 4] = [text("id"), text("page_content"), column("metadata", Type::Json), text("type")];

fn render<'a>(content: Content<'a>) -> Json<'a> {
    let Content::Chunk(c) = content else { return Json::Null };
    let place = [
        ("role", Json::text(c.role)),
        ("message_index", Json::Int(c.message_index)),
        ("start_char", Json::Int(c.start_char)),
        ("end_char", Json::Int(c.end_char)),
    ];
    Json::map([
        ("id", Json::text(c.id)),
        ("page_content", Json::text(c.text)),
        ("metadata", row(place, trace(c.source))),
        ("type", Json::text("Document")),
    ])
}
