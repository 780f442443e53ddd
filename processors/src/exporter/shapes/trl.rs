//! TRL's conversational form, the canonical one: `messages` and `tools`; `prompt`, `chosen` and `rejected` as lists.

use super::columns::{Column, PAIR_TRACE, TRACE, Type, column, joined};
use super::messages::{MESSAGE, pair_trace, row, trace};
use super::{Content, Form, Shape};
use crate::exporter::canonical::Json;

pub(super) const SHAPE: Shape = Shape {
    name: "trl",
    doc: "TRL's conversational form: messages and tools; prompt, chosen and rejected",
    forms: &[
        Form { kind: "sft", version: "1", columns: &SFT, declared: true, render },
        Form { kind: "preference", version: "1", columns: &PREFERENCE, declared: true, render },
    ],
};

const SFT: [Column; 10] = joined(&[&[column("messages", Type::List(&MESSAGE)), column("tools", Type::Json)], &TRACE]);
const PREFERENCE: [Column; 17] = joined(&[
    &[
        column("prompt", Type::List(&MESSAGE)),
        column("chosen", Type::List(&MESSAGE)),
        column("rejected", Type::List(&MESSAGE)),
        column("tools", Type::Json),
    ],
    &PAIR_TRACE,
]);

fn render<'a>(content: Content<'a>) -> Json<'a> {
    match content {
        Content::Conversation(c) => row([("messages", Json::List(c.messages)), ("tools", c.tools)], trace(c.source)),
        Content::Pair(p) => row(
            [
                ("prompt", Json::List(p.prompt)),
                ("chosen", Json::List(vec![p.chosen])),
                ("rejected", Json::List(vec![p.rejected])),
                ("tools", p.tools),
            ],
            pair_trace(p.id, p.chosen_source, p.rejected_source),
        ),
        Content::Chunk(_) => Json::Null,
    }
}
