//! Golden rows of the shapes that others define.

use super::super::canonical::Json;
use super::super::source::Source;
use super::*;
use stillhouse_schemas::{Envelope, Event, Evidence, Payload};
use stillhouse_streams::Position;

fn source() -> Source {
    let evidence = Evidence { run_id: "r".into(), source_class: "agent".into(), ..Evidence::default() };
    let event = Event {
        envelope: Envelope { id: "e".into(), key: "r".into(), ..Envelope::default() },
        payload: Payload::Evidence(evidence.clone()),
    };
    Source::new(&event, &evidence, &Position::new("evidence.v1", 0, 0), None)
}

fn json(text: &str) -> Json<'_> {
    Json::recorded(text).expect("JSON")
}

fn list(text: &str) -> Vec<Json<'_>> {
    let Json::List(items) = json(text) else { panic!("no list") };
    items
}

const MESSAGES: &str = r#"[
    {"role":"system","content":"S","name":null,"tool_call_id":null,"tool_calls":null,"reasoning_content":null},
    {"role":"user","content":"U","name":null,"tool_call_id":null,"tool_calls":null,"reasoning_content":null},
    {"role":"assistant","content":"","name":null,"tool_call_id":null,"reasoning_content":"R","tool_calls":
        [{"id":null,"type":"function","function":{"name":"f","arguments":{"b":1.50,"a":"x"}}}]},
    {"role":"tool","content":"T","name":"f","tool_call_id":null,"tool_calls":null,"reasoning_content":null},
    {"role":"assistant","content":"A","name":null,"tool_call_id":null,"tool_calls":null,"reasoning_content":null}]"#;
const TOOLS: &str =
    r#"[{"type":"function","function":{"name":"f","description":null,"parameters":{"type":"object","default":null}}}]"#;

/// The members of the row that are not there to trace it.
fn own(shape: &str, kind: &str, content: Content<'_>, members: &[&str]) -> String {
    let kind = super::super::kinds::kind(kind).expect("a kind");
    let form = Shape::find(kind, Some(shape)).expect("a shape").form(kind).expect("a form");
    let Json::Map(row) = (form.render)(content) else { panic!("no object") };
    let own = row.into_iter().filter(|(name, _)| members.contains(&&**name));
    String::from_utf8(Json::Map(own.collect()).to_bytes().expect("canonical")).expect("UTF-8")
}

#[test]
fn conversations_are_as_each_trainer_wants_them() {
    let source = source();
    let content =
        || Content::Conversation(Conversation { messages: list(MESSAGES), tools: json(TOOLS), source: &source });
    assert_eq!(
        own("openai", "sft", content(), &["messages", "tools"]),
        r#"{"messages":[{"content":"S","role":"system"},{"content":"U","role":"user"},{"content":"","role":"assistant","tool_calls":[{"function":{"arguments":"{\"a\":\"x\",\"b\":1.50}","name":"f"},"id":"call_1","type":"function"}]},{"content":"T","role":"tool","tool_call_id":"call_1"},{"content":"A","role":"assistant"}],"tools":[{"function":{"name":"f","parameters":{"default":null,"type":"object"}},"type":"function"}]}"#
    );
    assert_eq!(
        own("axolotl", "sft", content(), &["messages", "tools"]),
        r#"{"messages":[{"content":"S","role":"system"},{"content":"U","role":"user"},{"content":"","role":"assistant","tool_calls":[{"function":{"arguments":"{\"a\":\"x\",\"b\":1.50}","name":"f"},"id":"call_1","type":"function"}]},{"content":"T","name":"f","role":"tool","tool_call_id":"call_1"},{"content":"A","role":"assistant"}],"tools":[{"function":{"description":null,"name":"f","parameters":"{\"default\":null,\"type\":\"object\"}"},"type":"function"}]}"#
    );
    assert_eq!(
        own("sharegpt", "sft", content(), &["conversations", "tools"]),
        r#"{"conversations":[{"from":"system","value":"S"},{"from":"human","value":"U"},{"from":"function_call","value":"{\"arguments\":{\"a\":\"x\",\"b\":1.50},\"name\":\"f\"}"},{"from":"observation","value":"T"},{"from":"gpt","value":"A"}],"tools":"[{\"function\":{\"description\":null,\"name\":\"f\",\"parameters\":{\"default\":null,\"type\":\"object\"}},\"type\":\"function\"}]"}"#
    );
    let completion = own("prompt-completion", "sft", content(), &["completion"]);
    assert!(completion.starts_with(r#"{"completion":[{"content":"A","name":null,"#), "{completion}");
}

#[test]
fn pairs_are_as_each_trainer_wants_them() {
    let source = source();
    let side = |text: &str| format!(r#"{{"role":"assistant","content":"{text}","tool_calls":null}}"#);
    let (good, bad) = (side("good"), side("bad"));
    let pair = || {
        Content::Pair(Pair {
            id: "p",
            prompt: list(r#"[{"role":"user","content":"U"}]"#),
            tools: Json::Null,
            chosen: json(&good),
            rejected: json(&bad),
            chosen_source: &source,
            rejected_source: &source,
        })
    };
    assert_eq!(
        own("openai", "preference", pair(), &["input", "preferred_output", "non_preferred_output"]),
        r#"{"input":{"messages":[{"content":"U","role":"user"}],"parallel_tool_calls":true,"tools":[]},"non_preferred_output":[{"content":"bad","role":"assistant"}],"preferred_output":[{"content":"good","role":"assistant"}]}"#
    );
    assert_eq!(
        own("axolotl", "preference", pair(), &["messages", "chosen", "rejected", "tools"]),
        r#"{"chosen":{"content":"good","role":"assistant"},"messages":[{"content":"U","role":"user"}],"rejected":{"content":"bad","role":"assistant"},"tools":null}"#
    );
    assert_eq!(
        own("trl", "preference", pair(), &["prompt", "chosen", "rejected", "tools"]),
        r#"{"chosen":[{"content":"good","role":"assistant","tool_calls":null}],"prompt":[{"content":"U","role":"user"}],"rejected":[{"content":"bad","role":"assistant","tool_calls":null}],"tools":null}"#
    );
}
