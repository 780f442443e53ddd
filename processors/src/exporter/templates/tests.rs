//! What templates make, and what they refuse to make.

use super::super::canonical::Json;
use super::super::reason::Reason;
use super::{TEMPLATES, template};
use stillhouse_schemas::{Evidence, Message, Passage, Tool, ToolCall};

fn says(role: &str, content: &str) -> Message {
    Message { role: role.into(), content: Some(content.into()), ..Message::default() }
}

fn calls(calls: &[(Option<&str>, &str, &str)]) -> Message {
    let call = |(id, name, arguments): &(Option<&str>, &str, &str)| ToolCall {
        id: id.map(str::to_owned),
        name: (*name).into(),
        arguments: (*arguments).into(),
    };
    Message { role: "assistant".into(), tool_calls: calls.iter().map(call).collect(), ..Message::default() }
}

fn answers(id: Option<&str>, name: Option<&str>, content: &str) -> Message {
    Message { tool_call_id: id.map(str::to_owned), name: name.map(str::to_owned), ..says("tool", content) }
}

fn evidence(class: &str, messages: Vec<Message>) -> Evidence {
    Evidence { run_id: "r".into(), source_class: class.into(), messages, ..Evidence::default() }
}

fn made(evidence: &Evidence) -> Result<String, Reason> {
    let sample = template(&evidence.source_class).and_then(|t| (t.synthesise)(evidence)).map_err(|w| w.reason)?;
    let both = Json::map([("messages", Json::List(sample.messages)), ("tools", sample.tools)]);
    Ok(String::from_utf8(both.to_bytes().expect("canonical")).expect("UTF-8"))
}

fn message(role: &str, content: &str) -> String {
    let rest = r#""tool_call_id":null,"tool_calls":null}"#;
    format!(r#"{{"content":"{content}","name":null,"reasoning_content":null,"role":"{role}",{rest}"#)
}

#[test]
fn the_table_is_sorted_and_versioned() {
    assert!(TEMPLATES.is_sorted_by(|a, b| a.source_class < b.source_class));
    assert!(TEMPLATES.iter().all(|t| !t.version.is_empty()));
    assert_eq!(made(&evidence("prophecy", vec![])), Err(Reason::NoTemplate));
}

#[test]
fn a_conversation_ends_with_the_assistants_last_text() {
    for class in TEMPLATES.iter().map(|template| template.source_class) {
        let messages = vec![
            says("developer", "be kind"),
            says("user", "1+1?"),
            says("assistant", " 2 "),
            says("assistant", "  "),
            says("user", "thanks ###STOP###"),
        ];
        let expected = [message("system", "be kind"), message("user", "1+1?"), message("assistant", " 2 ")].join(",");
        assert_eq!(
            made(&evidence(class, messages)),
            Ok(format!(r#"{{"messages":[{expected}],"tools":null}}"#)),
            "{class}"
        );
    }
}

#[test]
fn an_agents_last_act_may_be_a_call() {
    let messages = vec![
        says("user", "help"),
        calls(&[(Some("c1"), "transfer", r#"{"b": 1.50, "a": "x"}"#)]),
        answers(Some("c1"), Some("transfer"), "done"),
    ];
    let call = r#"{"function":{"arguments":{"a":"x","b":1.50},"name":"transfer"},"id":"c1","type":"function"}"#;
    let acted = format!(
        r#"{{"content":"","name":null,"reasoning_content":null,"role":"assistant","tool_call_id":null,"tool_calls":[{call}]}}"#
    );
    let expected = format!(r#"{{"messages":[{},{acted}],"tools":null}}"#, message("user", "help"));
    assert_eq!(made(&evidence("agent", messages.clone())), Ok(expected));
    assert_eq!(made(&evidence("chat", messages)), Err(Reason::NoAssistantAnswer));
}

#[test]
fn answers_of_tools_are_joined_to_their_calls() {
    let both = calls(&[(Some("a"), "f", "{}"), (Some("b"), "g", "")]);
    let by_id = [answers(Some("b"), None, "G"), answers(Some("a"), Some("f"), "F")];
    let by_order = [answers(None, None, "F"), answers(None, Some("g"), "G")];
    let names = |replies: &[Message; 2]| {
        let mut messages = vec![says("user", "q"), both.clone()];
        messages.extend_from_slice(replies);
        messages.push(says("assistant", "end"));
        let made = made(&evidence("agent", messages)).expect("a row");
        assert!(made.contains(r#""arguments":{},"name":"g""#));
        let of = |content: &str| {
            let start = made.find(&format!(r#"{{"content":"{content}""#)).expect("the answer");
            made[start..].split('}').next().expect("its end").to_owned()
        };
        [of("F"), of("G")]
    };
    for replies in [by_id, by_order] {
        let [f, g] = names(&replies);
        assert!(f.contains(r#""name":"f""#) && f.contains(r#""tool_call_id":"a""#), "{f}");
        assert!(g.contains(r#""name":"g""#) && g.contains(r#""tool_call_id":"b""#), "{g}");
    }
}

#[test]
fn what_cannot_be_rendered_as_it_was_is_withheld() {
    let user = || says("user", "q");
    let end = || says("assistant", "a");
    let image = Message { parts: Some(r#"[{"type":"text","text":"q"},{"type":"image_url"}]"#.into()), ..user() };
    let broken = Message { parts: Some("[".into()), ..user() };
    let user_calls = Message { role: "user".into(), ..calls(&[(None, "f", "{}")]) };
    for (class, messages, reason) in [
        ("chat", vec![], Reason::NoAssistantAnswer),
        ("chat", vec![user()], Reason::NoAssistantAnswer),
        ("chat", vec![user(), says("assistant", "\n")], Reason::NoAssistantAnswer),
        ("agent", vec![user(), Message { role: "assistant".into(), ..Message::default() }], Reason::NoAssistantAnswer),
        ("chat", vec![end()], Reason::NoPrompt),
        ("chat", vec![says("user", " "), end()], Reason::NoPrompt),
        ("chat", vec![end(), user(), end()], Reason::NoPrompt),
        ("chat", vec![user(), says("oracle", "x"), end()], Reason::UnknownRole),
        ("chat", vec![image, end()], Reason::UnsupportedContent),
        ("chat", vec![broken, end()], Reason::UnsupportedContent),
        ("agent", vec![user(), user_calls, end()], Reason::UnsupportedContent),
        ("agent", vec![user(), answers(Some("c"), None, "x"), end()], Reason::ToolResultWithoutCall),
        (
            "agent",
            vec![
                user(),
                calls(&[(Some("c"), "f", "{}")]),
                answers(Some("c"), None, "x"),
                answers(Some("c"), None, "x"),
                end(),
            ],
            Reason::ToolResultWithoutCall,
        ),
    ] {
        assert_eq!(made(&evidence(class, messages.clone())), Err(reason), "{messages:?}");
    }
    for bad in ["{", "[]", "1", "null", "\"{}\"", "{\"a\":1,\"a\":2}", "{a:1}", "{} {}", "{\"a\":\"\\ud800\"}"] {
        let messages = vec![user(), calls(&[(None, "f", bad)]), end()];
        assert_eq!(made(&evidence("agent", messages)), Err(Reason::InvalidToolArguments), "{bad}");
    }
}

#[test]
fn text_in_parts_is_text() {
    let parts = r#"[{"type":"text","text":"q"},"more",{"type":"input_text","text":"x"}]"#;
    let message = Message { parts: Some(parts.into()), ..says("user", "q\nmore\nx") };
    assert!(made(&evidence("chat", vec![message, says("assistant", "a")])).is_ok());
}

#[test]
fn tools_are_functions_and_names_of_people_stay_out() {
    let named = Message { name: Some("Somebody".into()), ..says("user", "q") };
    let thinks = Message { reasoning: Some("hm".into()), ..says("assistant", "a") };
    let mut evidence = evidence("agent", vec![named, thinks]);
    evidence.tools = vec![
        Tool {
            name: "f".into(),
            description: Some("does".into()),
            parameters: Some(r#"{"type":"object","properties":{"n":{"maximum":1.0e3}}}"#.into()),
        },
        Tool { name: "g".into(), ..Tool::default() },
    ];
    let row = made(&evidence).expect("a row");
    assert!(!row.contains("Somebody"));
    assert!(row.contains(r#""reasoning_content":"hm""#));
    let f = r#"{"function":{"description":"does","name":"f","parameters":{"properties":{"n":{"maximum":1.0e3}},"type":"object"}},"type":"function"}"#;
    let g = r#"{"function":{"description":null,"name":"g","parameters":null},"type":"function"}"#;
    assert!(row.ends_with(&format!(r#""tools":[{f},{g}]}}"#)), "{row}");
    for bad in ["{", "[]", "7", "{\"a\":1,\"a\":1}"] {
        evidence.tools[1].parameters = Some(bad.into());
        assert_eq!(made(&evidence), Err(Reason::InvalidToolSchema), "{bad}");
    }
}

/// Classes, what they were shown, and the system message that says it.
#[test]
fn what_was_shown_stands_in_front_unless_it_was_said() {
    let passage = |id: Option<&str>, text: &str| Passage { id: id.map(str::to_owned), text: text.into(), source: None };
    let asked = |class: &str, question: &str| evidence(class, vec![says("user", question), says("assistant", "a")]);
    let retrieval = |question: &str| Evidence {
        passages: vec![passage(Some("d-1"), " Gate 4 is open. "), passage(None, "Gate 5 is not.")],
        ..asked("retrieval", question)
    };
    let json = Some(r#"{"a": [1]}"#.to_owned());
    for (evidence, told) in [
        (retrieval("q"), Some(r"Passages:\n\n[d-1] Gate 4 is open.\n\n[2] Gate 5 is not.")),
        (retrieval("Gate 5 is not. q"), Some(r"Passages:\n\n[d-1] Gate 4 is open.")),
        (retrieval("Gate 5 is not. Gate 4 is open."), None),
        (Evidence { passages: vec![], ..retrieval("q") }, None),
        (
            Evidence { response_schema: json.clone(), ..asked("extraction", "q") },
            Some(r#"Answer with JSON that satisfies this schema:\n\n{\"a\": [1]}"#),
        ),
        (Evidence { response_schema: json.clone(), ..asked("extraction", r#"so: {"a":[1]}"#) }, None),
        (Evidence { artefact: json.clone(), ..asked("review", "q") }, Some(r#"Under review:\n\n{\"a\": [1]}"#)),
        (Evidence { context: json.clone(), ..asked("fill", "q") }, Some(r#"Context:\n\n{\"a\": [1]}"#)),
        (Evidence { context: json.clone(), ..asked("email", "q") }, Some(r#"Context:\n\n{\"a\": [1]}"#)),
        (
            Evidence {
                context: json.clone(),
                artefact: json.clone(),
                ..asked("email", "{\n  \"a\": [\n    1\n  ]\n}")
            },
            None,
        ),
        (Evidence { context: json, ..asked("chat", "q") }, None),
    ] {
        let row = made(&evidence).expect("a row");
        match told {
            Some(told) => {
                let start = format!(r#"{{"messages":[{}"#, message("system", told));
                assert!(row.starts_with(&start), "{row}\n{start}");
            }
            None => assert!(!row.contains("system"), "{row}"),
        }
    }
    let mut brief = retrieval("q");
    brief.messages.insert(0, says("system", "Be brief.\n"));
    let row = made(&brief).expect("a row");
    assert!(row.contains(r#""content":"Be brief.\n\nPassages:\n\n[d-1] Gate"#), "{row}");
    assert_eq!(row.matches("system").count(), 1);
}
