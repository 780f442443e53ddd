//! OpenAI's fine-tuning lines, which Azure, Fireworks and Together read too. Strictly their members: a validator refuses
//! others, so rows are traced by `lineage.jsonl` alone. Reasoning is not in this form.

use super::columns::{Column, Type, column};
use super::messages::{STRICT_MESSAGE, Strict, parted};
use super::{Content, Form, Shape};
use crate::exporter::canonical::Json;

pub(super) const SHAPE: Shape = Shape {
    name: "openai",
    doc: "OpenAI's fine-tuning lines, and nothing else in them; preference as input, preferred and non-preferred output",
    forms: &[
        Form { kind: "sft", version: "1", columns: &SFT, declared: false, render },
        Form { kind: "preference", version: "1", columns: &PREFERENCE, declared: false, render },
    ],
};

const SFT: [Column; 2] = [column("messages", Type::List(&STRICT_MESSAGE)), column("tools", Type::Json)];
const PREFERENCE: [Column; 3] = [
    column(
        "input",
        Type::Struct(&[
            column("messages", Type::List(&STRICT_MESSAGE)),
            column("parallel_tool_calls", Type::Bool),
            column("tools", Type::Json),
        ]),
    ),
    column("preferred_output", Type::List(&STRICT_MESSAGE)),
    column("non_preferred_output", Type::List(&STRICT_MESSAGE)),
];

fn render<'a>(content: Content<'a>) -> Json<'a> {
    let mut strict = Strict::new(false);
    match content {
        Content::Conversation(c) => {
            let (prompt, answer) = parted(c.messages);
            let mut messages = strict.messages(&prompt);
            messages.push(strict.message(&answer));
            let tools = (c.tools != Json::Null).then(|| ("tools", tools(&c.tools)));
            Json::map([("messages", Json::List(messages))].into_iter().chain(tools))
        }
        Content::Pair(p) => {
            let input = Json::map([
                ("messages", Json::List(strict.messages(&p.prompt))),
                ("tools", if p.tools == Json::Null { Json::List(vec![]) } else { tools(&p.tools) }),
                ("parallel_tool_calls", Json::Bool(true)),
            ]);
            Json::map([
                ("input", input),
                ("preferred_output", Json::List(vec![strict.message(&p.chosen)])),
                ("non_preferred_output", Json::List(vec![strict.message(&p.rejected)])),
            ])
        }
        Content::Chunk(_) => Json::Null,
    }
}

/// Without the members that are null, which the validator takes for wrong types.
fn tools<'a>(tools: &Json<'a>) -> Json<'a> {
    match tools {
        Json::List(tools) => Json::List(tools.iter().map(self::tools).collect()),
        Json::Map(members) => {
            let there = members.iter().filter(|(_, value)| **value != Json::Null);
            // Only the two outer levels are ours; what is in `parameters` is a schema and stays as it was.
            let inner =
                |name: &str, value: &Json<'a>| if name == "function" { self::tools(value) } else { value.clone() };
            Json::Map(there.map(|(name, value)| (name.clone(), inner(name, value))).collect())
        }
        other => other.clone(),
    }
}
