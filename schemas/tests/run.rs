//! Runs of JSON in the shapes that sources have.

use serde_json::{Value, json};
use stillhouse_schemas::{BadEvent, Message, Run, Tool, ToolCall, Usage};

fn run(value: Value) -> Run {
    Run::from_json(value).unwrap_or_else(|e| panic!("{e}"))
}

fn refused(value: Value) -> BadEvent {
    match Run::from_json(value) {
        Err(e) => e,
        Ok(run) => panic!("was taken: {run:?}"),
    }
}

fn messages(value: Value) -> Vec<Message> {
    run(json!({"run_id": "r", "messages": value})).messages
}

fn call(id: Option<&str>, name: &str, arguments: &str) -> ToolCall {
    ToolCall { id: id.map(str::to_owned), name: name.to_owned(), arguments: arguments.to_owned() }
}

#[test]
fn a_conversation_of_openai_chat() {
    let found = messages(json!([
        {"role": "system", "content": "s"},
        {"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "image_url", "image_url": {"url": "u"}}, {"type": "text", "text": "two"}]},
        {"role": "assistant", "content": null, "refusal": null, "reasoning_content": "hm", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}},
            {"id": "c2", "type": "function", "function": {"name": "g", "arguments": {"b": [1, 2]}}},
            {"name": "h"}
        ]},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "done"}]},
        {"role": "assistant", "content": "", "tool_calls": null, "function_call": null}
    ]));
    assert_eq!(found[0], Message { role: "system".to_owned(), content: Some("s".to_owned()), ..Message::default() });
    assert_eq!(found[1].content.as_deref(), Some("one\ntwo"));
    let parts: Value = serde_json::from_str(found[1].parts.as_deref().expect("parts")).expect("JSON");
    assert_eq!(parts[1]["image_url"]["url"], "u");
    assert_eq!((found[2].content.as_deref(), found[2].reasoning.as_deref()), (None, Some("hm")));
    let calls = [call(Some("c1"), "f", "{\"a\": 1}"), call(Some("c2"), "g", "{\"b\":[1,2]}"), call(None, "h", "{}")];
    assert_eq!(found[2].tool_calls, calls);
    assert_eq!((found[3].content.as_deref(), found[3].tool_call_id.as_deref()), (Some("done"), Some("c1")));
    assert_eq!(found[4], Message { role: "assistant".to_owned(), content: Some(String::new()), ..Message::default() });
}

#[test]
fn the_older_function_shapes() {
    let found = run(json!({"run_id": "r",
    "functions": [{"name": "f", "parameters": {"type": "object"}}],
    "messages": [
        {"role": "assistant", "content": null, "function_call": {"name": "f", "arguments": "not json"}},
        {"role": "function", "name": "f", "content": "1"}
    ]}));
    assert_eq!(found.messages[0].tool_calls, [call(None, "f", "not json")]);
    assert_eq!((found.messages[1].role.as_str(), found.messages[1].name.as_deref()), ("tool", Some("f")));
    assert_eq!(found.tools[0].parameters.as_deref(), Some("{\"type\":\"object\"}"));
    assert!(found.extra.is_empty());
}

#[test]
fn tools_nested_flat_and_in_our_own_shape() {
    let found = run(json!({"run_id": "r", "tools": [
        {"type": "function", "function": {"name": "a", "description": "d", "parameters": {"type": "object", "b": 1, "a": 2}, "strict": true}},
        {"type": "function", "name": "b", "parameters": null},
        {"name": "c", "input_schema": {}},
        {"name": "d", "description": null, "parameters": "{}"}
    ]}));
    let tool = |name: &str, description: Option<&str>, parameters: Option<&str>| Tool {
        name: name.to_owned(),
        description: description.map(str::to_owned),
        parameters: parameters.map(str::to_owned),
    };
    let expected = [
        tool("a", Some("d"), Some(r#"{"type":"object","b":1,"a":2}"#)),
        tool("b", None, None),
        tool("c", None, Some("{}")),
        tool("d", None, Some("{}")),
    ];
    assert_eq!(found.tools, expected);
    assert_eq!(found.extra.get("tools[0].strict").map(String::as_str), Some("true"));
    assert_eq!(found.extra.len(), 1);
}

#[test]
fn usage_under_either_name() {
    let expected =
        Usage { input_tokens: Some(10), output_tokens: Some(5), cached_tokens: Some(3), reasoning_tokens: Some(2) };
    for usage in [
        json!({"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 3}, "completion_tokens_details": {"reasoning_tokens": 2}}),
        json!({"input_tokens": 10, "output_tokens": 5, "input_tokens_details": {"cached_tokens": 3}, "output_tokens_details": {"reasoning_tokens": 2}}),
        json!({"input_tokens": 10, "output_tokens": 5, "cached_tokens": 3, "reasoning_tokens": 2}),
    ] {
        let found = run(json!({"run_id": "r", "usage": usage}));
        assert_eq!(found.usage, Some(expected.clone()));
        assert!(found.extra.is_empty(), "{:?}", found.extra);
    }
    let found = run(
        json!({"run_id": "r", "usage": {"prompt_tokens": 1, "total_tokens": 2, "prompt_tokens_details": {"audio_tokens": 0}}}),
    );
    assert_eq!(found.extra["usage.total_tokens"], "2");
    assert_eq!(found.extra["usage.prompt_tokens_details"], "{\"audio_tokens\":0}");
}

#[test]
fn what_is_not_known_is_kept_under_its_path() {
    let found = run(json!({"run_id": "r", "temperature": 0.5, "nothing": null, "seed": 1e3, "text": "t",
        "metadata": {"b": [1], "a": null},
        "outcome": {"reward": 1, "grader": "g"},
        "messages": [{"role": "user", "content": "x", "weight": 0}],
        "extra": {"own": "\"text\"", "number": 7}}));
    let extra: Vec<(&str, &str)> = found.extra.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let expected = [
        ("messages[0].weight", "0"),
        ("metadata", r#"{"b":[1],"a":null}"#),
        ("number", "7"),
        ("outcome.grader", "\"g\""),
        ("own", "\"text\""),
        ("seed", "1000.0"),
        ("temperature", "0.5"),
        ("text", "\"t\""),
    ];
    assert_eq!(extra, expected);
    assert_eq!(found.outcome.reward, Some(1.0));
}

#[test]
fn outcomes_beside_the_outcome_are_taken_into_it() {
    let found = run(
        json!({"run_id": "r", "reward": 0.5, "verdict": "pass", "human_label": null, "outcome": {"source": "env"}}),
    );
    assert_eq!((found.outcome.reward, found.outcome.verdict.as_deref()), (Some(0.5), Some("pass")));
    assert_eq!((found.outcome.human_label, found.outcome.source.as_deref()), (None, Some("env")));
    assert!(found.extra.is_empty());
}

#[test]
fn saying_a_thing_twice_is_refused() {
    let said = |value: Value, field: &str| {
        let e = refused(value);
        assert_eq!(e.field, field, "{e}");
        assert!(e.message.contains("twice") || e.message.contains("one of the two"), "{e}");
    };
    let message = |m: Value| json!({"run_id": "r", "messages": [m]});
    said(json!({"run_id": "r", "tools": [], "functions": []}), "functions");
    said(json!({"run_id": "r", "reward": 1, "outcome": {"reward": 0}}), "reward");
    said(json!({"run_id": "r", "seed": 1, "extra": {"seed": "2"}}), "seed");
    said(json!({"run_id": "r", "usage": {"input_tokens": 1, "prompt_tokens": 1}}), "usage.prompt_tokens");
    said(message(json!({"role": "user", "content": [], "parts": "[]"})), "messages[0].content");
    said(
        message(json!({"role": "assistant", "tool_calls": [], "function_call": {"name": "f"}})),
        "messages[0].function_call",
    );
    said(
        message(json!({"role": "assistant", "reasoning": "a", "reasoning_content": "a"})),
        "messages[0].reasoning_content",
    );
    said(
        message(
            json!({"role": "assistant", "tool_calls": [{"name": "f", "function": {"name": "f", "arguments": ""}}]}),
        ),
        "messages[0].tool_calls[0].name",
    );
    said(json!({"run_id": "r", "tools": [{"name": "f", "function": {"name": "g"}}]}), "tools[0].name");
}

#[test]
fn what_is_wrong_is_named() {
    let named = |value: Value, field: &str| assert_eq!(refused(value.clone()).field, field, "{value}");
    named(json!([]), "event");
    named(json!({}), "run_id");
    named(json!({"run_id": null}), "run_id");
    named(json!({"run_id": 1}), "run_id");
    named(json!({"run_id": "r", "messages": {}}), "messages");
    named(json!({"run_id": "r", "messages": ["hello"]}), "messages[0]");
    named(json!({"run_id": "r", "messages": [{"content": "x"}]}), "messages[0].role");
    named(json!({"run_id": "r", "messages": [{"role": "user", "content": 1}]}), "messages[0].content");
    named(json!({"run_id": "r", "messages": [{"role": "user", "content": {"text": "x"}}]}), "messages[0].content");
    named(json!({"run_id": "r", "messages": [{"role": "user", "content": [1]}]}), "messages[0].content[0]");
    named(
        json!({"run_id": "r", "messages": [{"role": "assistant", "tool_calls": ["f"]}]}),
        "messages[0].tool_calls[0]",
    );
    named(
        json!({"run_id": "r", "messages": [{"role": "assistant", "tool_calls": [{"function": "f"}]}]}),
        "messages[0].tool_calls[0].function",
    );
    named(
        json!({"run_id": "r", "messages": [{"role": "assistant", "tool_calls": [{"id": "c"}]}]}),
        "messages[0].tool_calls[0].name",
    );
    named(json!({"run_id": "r", "tools": [{"type": "web_search"}]}), "tools[0].name");
    named(json!({"run_id": "r", "outcome": "pass"}), "outcome");
    named(json!({"run_id": "r", "reward": "1"}), "outcome.reward");
    named(json!({"run_id": "r", "tags": "one"}), "tags");
    named(json!({"run_id": "r", "extra": []}), "extra");
    named(json!({"run_id": "r", "ended_at": "yesterday"}), "ended_at");
}

#[test]
fn text_with_odd_characters_is_kept_exactly() {
    let odd = "\0\u{1b}[31m\u{202e}\u{2028}\r\n😀";
    let found = messages(json!([{"role": "user", "content": odd}]));
    assert_eq!(found[0].content.as_deref(), Some(odd));
}
