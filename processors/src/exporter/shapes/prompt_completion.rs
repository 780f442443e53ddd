//! TRL's prompt and completion: the loss is on the completion alone, whatever the chat template can mark.

use super::columns::{Column, TRACE, Type, column, joined};
use super::messages::{MESSAGE, parted, row, trace};
use super::{Content, Form, Shape};
use crate::exporter::canonical::Json;

pub(super) const SHAPE: Shape = Shape {
    name: "prompt-completion",
    doc: "TRL's prompt and completion: the loss is on the last answer alone",
    forms: &[Form { kind: "sft", version: "1", columns: &SFT, declared: true, render }],
};

const SFT: [Column; 11] = joined(&[
    &[column("prompt", Type::List(&MESSAGE)), column("completion", Type::List(&MESSAGE)), column("tools", Type::Json)],
    &TRACE,
]);

fn render<'a>(content: Content<'a>) -> Json<'a> {
    let Content::Conversation(c) = content else { return Json::Null };
    let (prompt, answer) = parted(c.messages);
    row([("prompt", Json::List(prompt)), ("completion", Json::List(vec![answer])), ("tools", c.tools)], trace(c.source))
}
