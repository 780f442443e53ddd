//! Axolotl's `type: chat_template` and `chat_template.default`: messages whose arguments and schemas are JSON text, which
//! it advises where their types differ from row to row; the sides of a pair are objects, not lists.

use super::columns::{Column, PAIR_TRACE, TRACE, Type, column, joined, text};
use super::messages::{NAMED_MESSAGE, Strict, as_text, member, pair_trace, parted, row, trace};
use super::{Content, Form, Shape};
use crate::exporter::canonical::Json;

pub(super) const SHAPE: Shape = Shape {
    name: "axolotl",
    doc: "Axolotl's chat_template: arguments and schemas as JSON text; chosen and rejected as objects",
    forms: &[
        Form { kind: "sft", version: "1", columns: &SFT, declared: false, render },
        Form { kind: "preference", version: "1", columns: &PREFERENCE, declared: false, render },
    ],
};

const TOOL: Type = Type::Struct(&[
    column("function", Type::Struct(&[text("description"), text("name"), text("parameters")])),
    text("type"),
]);

const SFT: [Column; 10] =
    joined(&[&[column("messages", Type::List(&NAMED_MESSAGE)), column("tools", Type::List(&TOOL))], &TRACE]);
const PREFERENCE: [Column; 17] = joined(&[
    &[
        column("messages", Type::List(&NAMED_MESSAGE)),
        column("chosen", NAMED_MESSAGE),
        column("rejected", NAMED_MESSAGE),
        column("tools", Type::List(&TOOL)),
    ],
    &PAIR_TRACE,
]);

fn render<'a>(content: Content<'a>) -> Json<'a> {
    let mut strict = Strict::new(true);
    match content {
        Content::Conversation(c) => {
            let (prompt, answer) = parted(c.messages);
            let mut messages = strict.messages(&prompt);
            messages.push(strict.message(&answer));
            row([("messages", Json::List(messages)), ("tools", tools(&c.tools))], trace(c.source))
        }
        Content::Pair(p) => row(
            [
                ("messages", Json::List(strict.messages(&p.prompt))),
                ("chosen", strict.message(&p.chosen)),
                ("rejected", strict.message(&p.rejected)),
                ("tools", tools(&p.tools)),
            ],
            pair_trace(p.id, p.chosen_source, p.rejected_source),
        ),
        Content::Chunk(_) => Json::Null,
    }
}

fn tools<'a>(tools: &Json<'a>) -> Json<'a> {
    let Json::List(tools) = tools else { return Json::Null };
    let tool = |tool: &Json<'a>| {
        let function = member(tool, "function");
        let parameters = match member(function, "parameters") {
            Json::Null => Json::Null,
            schema => as_text(schema),
        };
        let function = Json::map([
            ("name", member(function, "name").clone()),
            ("description", member(function, "description").clone()),
            ("parameters", parameters),
        ]);
        Json::map([("type", Json::text("function")), ("function", function)])
    };
    Json::List(tools.iter().map(tool).collect())
}
