//! ShareGPT's turns, as LLaMA-Factory and Unsloth read them: every turn has `from` and `value`, both text, and nothing
//! else. Calls are a turn of their own (`function_call`: one call as a JSON object, several as a list), answers of tools
//! are `observation`; readers that know texts only refuse conversations with these. Reasoning is not in this form.

use super::columns::{Column, TRACE, Type, column, joined, text};
use super::messages::{as_text, member, row, said, trace};
use super::{Content, Form, Shape};
use crate::exporter::canonical::Json;

pub(super) const SHAPE: Shape = Shape {
    name: "sharegpt",
    doc: "ShareGPT's turns of `from` and `value`, for LLaMA-Factory and Unsloth",
    forms: &[Form { kind: "sft", version: "1", columns: &SFT, declared: true, render }],
};

const SFT: [Column; 10] = joined(&[
    &[column("conversations", Type::List(&Type::Struct(&[text("from"), text("value")]))), text("tools")],
    &TRACE,
]);

fn render<'a>(content: Content<'a>) -> Json<'a> {
    let Content::Conversation(c) = content else { return Json::Null };
    let turns = c.messages.iter().flat_map(turns).collect();
    // A text in every row: a column that is null in the first thousand rows has no type for readers that guess.
    let tools = if c.tools == Json::Null { Json::text("") } else { as_text(&c.tools) };
    row([("conversations", Json::List(turns)), ("tools", tools)], trace(c.source))
}

fn turns<'a>(message: &Json<'a>) -> Vec<Json<'a>> {
    let turn = |from: &'static str, value: Json<'a>| Json::map([("from", Json::text(from)), ("value", value)]);
    let content = || member(message, "content").clone();
    match said(message, "role") {
        "system" => vec![turn("system", content())],
        "user" => vec![turn("human", content())],
        "tool" => vec![turn("observation", content())],
        _ => match member(message, "tool_calls") {
            Json::List(calls) => {
                let call = |call: &Json<'a>| {
                    let function = member(call, "function");
                    let part = |name: &'static str| (name, member(function, name).clone());
                    Json::map([part("name"), part("arguments")])
                };
                let calls: Vec<_> = calls.iter().map(call).collect();
                let value = match calls.as_slice() {
                    [one] => as_text(one),
                    _ => as_text(&Json::List(calls)),
                };
                let text = (!said(message, "content").trim().is_empty()).then(|| turn("gpt", content()));
                text.into_iter().chain([turn("function_call", value)]).collect()
            }
            _ => vec![turn("gpt", content())],
        },
    }
}
