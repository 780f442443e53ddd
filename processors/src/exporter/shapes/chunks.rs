//! Our table of chunks: the text, where in which run it was said, and how the run was judged.

use super::columns::{Column, TRACE, Type, column, joined, text};
use super::messages::{row, trace};
use super::{Content, Form, Shape};
use crate::exporter::canonical::Json;

pub(super) const SHAPE: Shape = Shape {
    name: "chunks",
    doc: "A table of chunks: id, text, run, message, span of characters",
    forms: &[Form { kind: "rag", version: "1", columns: &RAG, declared: true, render }],
};

const RAG: [Column; 18] = joined(&[
    &[
        text("id"),
        text("doc_id"),
        text("text"),
        text("content_hash"),
        text("role"),
        column("message_index", Type::Int),
        column("chunk_index", Type::Int),
        column("n_chunks", Type::Int),
        column("start_char", Type::Int),
        column("end_char", Type::Int),
    ],
    &TRACE,
]);

fn render<'a>(content: Content<'a>) -> Json<'a> {
    let Content::Chunk(c) = content else { return Json::Null };
    row(
        [
            ("id", Json::text(c.id)),
            ("doc_id", Json::text(c.source.run_id.as_str())),
            ("text", Json::text(c.text)),
            ("content_hash", Json::text(c.content_hash)),
            ("role", Json::text(c.role)),
            ("message_index", Json::Int(c.message_index)),
            ("chunk_index", Json::Int(c.chunk_index)),
            ("n_chunks", Json::Int(c.n_chunks)),
            ("start_char", Json::Int(c.start_char)),
            ("end_char", Json::Int(c.end_char)),
        ],
        trace(c.source),
    )
}
