use crate::support::*;
use proptest::prelude::*;
use stillhouse_processors::materializer::{CLASSES, REASONS, SIGNALS, class_of, is_error, reference_matches};
use stillhouse_schemas::{Message, Outcome, Payload, Run};

#[test]
fn a_class_is_said_or_told_by_what_the_run_holds() {
    let reference = Some("6".to_owned());
    let with_tools = Run { tools: vec![tool("find")], ..chat("r") };
    let with_reply = Run { messages: vec![message("user", "?"), reply("", "x")], ..chat("r") };
    for (what, run, class) in [
        ("a chat", chat("r"), "chat"),
        ("tools that could be called", with_tools, "agent"),
        ("calls", agent("r"), "agent"),
        ("a reply", with_reply, "agent"),
        ("a reference", Run { reference: reference.clone(), ..chat("r") }, "reasoning"),
        ("an empty reference", Run { reference: Some(" ".to_owned()), ..chat("r") }, "chat"),
        ("tools before a reference", Run { reference: reference.clone(), ..agent("r") }, "agent"),
    ] {
        assert_eq!(class_of(&run), class, "{what}");
    }
    for (said, class) in [("chat", "chat"), (" Reasoning ", "reasoning"), ("AGENT", "agent"), ("", "agent")] {
        let run = Run { source_class: Some(said.to_owned()), ..agent("r") };
        assert_eq!(evidence(run).source_class, class, "{said:?}");
    }
}

#[test]
fn every_class_is_taken_by_its_name() {
    for class in CLASSES {
        let run = Run { source_class: Some(class.name.to_owned()), ..agent("r") };
        assert_eq!(evidence(run).source_class, class.name);
        let Payload::Evidence(taken) = materialize(chat("r"), &[&format!("default_class={}", class.name)]).1.payload
        else {
            panic!("{} is taken", class.name)
        };
        assert_eq!(taken.source_class, class.name);
    }
}

#[test]
fn what_cannot_be_taken_is_quarantined_with_its_reason() {
    let with = |messages: Vec<Message>| Run { messages, ..chat("r") };
    let said = |class: &str| Run { source_class: Some(class.to_owned()), ..chat("r") };
    let two = || vec![message("user", "?"), message("assistant", "!")];
    let mut seen = vec![];
    for (run, reason, rule, detail) in [
        (with(vec![]), "no_messages", "chat", "no messages"),
        (Run { error: Some("rate limit".into()), ..with(vec![]) }, "no_messages", "chat", "rate limit"),
        (with(vec![message("assistant", "Hello?")]), "no_user_turn", "chat", "user"),
        (with(vec![message("user", "Hello?")]), "no_assistant_turn", "chat", "assistant"),
        (with(vec![message("narrator", "Once.")]), "unknown_role", "roles", "message 1 has the role `narrator`"),
        (said("caht"), "unknown_class", "class", "mean `chat`?"),
        (said("poetry"), "unknown_class", "class", "known are chat, agent, reasoning"),
        (
            with([two(), vec![calls(&[("a", "f", "{}")]), reply("b", "x")]].concat()),
            "unmatched_reply",
            "agent",
            "message 4 replies to call `b`",
        ),
        (with([two(), vec![reply("", "x")]].concat()), "unmatched_reply", "agent", "no call was waiting"),
        (Run { cost_usd: Some(-1.0), ..chat("r") }, "invalid_run", "event", "payload.cost_usd"),
        (
            Run { outcome: Outcome { reward: Some(f64::NAN), ..Outcome::default() }, ..chat("r") },
            "invalid_run",
            "event",
            "reward",
        ),
    ] {
        let left_out = quarantined(run, &[]);
        assert_eq!(
            (left_out.reason.as_str(), left_out.rule),
            (reason, format!("materializer.{rule}")),
            "{}",
            left_out.detail
        );
        assert!(left_out.detail.contains(detail), "{}", left_out.detail);
        assert_eq!(
            (left_out.run_id.as_str(), left_out.stage.as_str(), left_out.rule_version.as_str()),
            ("r", "materializer", "3")
        );
        seen.push(reason);
    }
    for (reason, _) in REASONS {
        assert!(seen.contains(reason), "no case for {reason}");
    }
}

#[test]
fn words_stay_and_names_are_made_one() {
    let text = "  Two\n spaces  and a ###STOP### ";
    let run = Run {
        messages: vec![
            message("developer", text),
            message("Human", text),
            calls(&[("a", "find", "not json")]),
            Message { role: "function".into(), content: Some(text.into()), ..Message::default() },
            message("ai", text),
        ],
        model: Some("m".into()),
        task_key: Some("t".into()),
        tags: vec!["x".into()],
        ..chat("r")
    };
    let evidence = evidence(run);
    let roles: Vec<&str> = evidence.messages.iter().map(|m| m.role.as_str()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool", "assistant"]);
    assert!(evidence.messages.iter().filter_map(|m| m.content.as_deref()).all(|content| content == text));
    assert_eq!(evidence.messages[2].tool_calls[0].arguments, "not json");
    let reply = &evidence.messages[3];
    assert_eq!((reply.name.as_deref(), reply.tool_call_id.as_deref()), (Some("find"), Some("a")));
    assert_eq!(evidence.answer.as_deref(), Some(text.trim()));
    assert_eq!(
        (evidence.model.as_deref(), evidence.task_key.as_deref(), &*evidence.tags),
        (Some("m"), Some("t"), &["x".to_owned()][..])
    );
}

/// The signals that are not zero, but for the answer's length.
fn signals(run: Run) -> Vec<(String, f64)> {
    let evidence = evidence(run);
    for signal in SIGNALS.iter().filter(|signal| signal.always) {
        assert!(evidence.signals.contains_key(signal.name), "{} is not counted", signal.name);
    }
    assert!(evidence.signals.keys().all(|name| SIGNALS.iter().any(|signal| signal.name == name)));
    evidence.signals.into_iter().filter(|(name, value)| *value != 0.0 && name != "answer_chars").collect()
}

#[test]
fn signals_count_what_they_say() {
    let with = |tail: Vec<Message>| Run { messages: [vec![message("user", "Go.")], tail].concat(), ..chat("r") };
    let done = || message("assistant", "Done.");
    let call = |id: &str| calls(&[(id, "f", r#"{"a":1,"b":2}"#)]);
    let same = |id: &str| calls(&[(id, "f", r#"{ "b":2, "a":1 }"#)]);
    let lists = |run: Run| Run { tools: vec![tool("g")], ..run };
    for (what, run, expected) in [
        ("a clean chat", chat("r"), vec![]),
        ("two turns", with(vec![done(), message("user", "And?"), message("assistant", "More.")]), vec![("turns", 2.0)]),
        ("a clean call", with(vec![call("a"), reply("a", "x"), done()]), vec![("tool_calls", 1.0)]),
        (
            "an error",
            with(vec![call("a"), reply("a", "Error: no"), done()]),
            vec![("tool_calls", 1.0), ("tool_errors", 1.0)],
        ),
        (
            "a loop",
            with(vec![call("a"), reply("a", "x"), same("b"), reply("b", "x"), done()]),
            vec![("repeated_calls", 1.0), ("tool_calls", 2.0)],
        ),
        (
            "polling that saw a change",
            with(vec![call("a"), reply("a", "x"), same("b"), reply("b", "y"), done()]),
            vec![("tool_calls", 2.0)],
        ),
        (
            "calls without answers",
            with(vec![call("a"), call("b")]),
            vec![("repeated_calls", 1.0), ("tool_calls", 2.0), ("unanswered_calls", 2.0)],
        ),
        (
            "arguments that are no JSON",
            with(vec![calls(&[("a", "f", "{'a'}")]), reply("a", "x"), done()]),
            vec![("invalid_arguments", 1.0), ("tool_calls", 1.0)],
        ),
        (
            "a tool that is not listed",
            lists(with(vec![call("a"), reply("a", "x"), done()])),
            vec![("tool_calls", 1.0), ("unknown_tools", 1.0)],
        ),
        (
            "said twice",
            with(vec![done(), message("user", "No."), done()]),
            vec![("repeated_answers", 1.0), ("turns", 2.0)],
        ),
        ("nothing said", with(vec![message("assistant", "  ")]), vec![("empty_answer", 1.0)]),
        (
            "nothing said in the end",
            with(vec![done(), message("user", "?"), message("assistant", "")]),
            vec![("empty_answer", 1.0), ("turns", 2.0)],
        ),
        ("cut off", Run { finish_reason: Some("MAX_TOKENS".into()), ..chat("r") }, vec![("truncated", 1.0)]),
        ("filtered", Run { finish_reason: Some("content_filter".into()), ..chat("r") }, vec![("filtered", 1.0)]),
        ("failed", Run { error: Some("boom".into()), ..chat("r") }, vec![("failed", 1.0)]),
        (
            "failed before it spoke",
            Run { error: Some("boom".into()), messages: vec![message("user", "?")], ..chat("r") },
            vec![("empty_answer", 1.0), ("failed", 1.0)],
        ),
        (
            "a right answer",
            Run {
                reference: Some("six".into()),
                messages: vec![message("user", "?"), message("assistant", "Six.")],
                ..chat("r")
            },
            vec![("reference_match", 1.0)],
        ),
    ] {
        let mut expected: Vec<(String, f64)> = expected.into_iter().map(|(name, n)| (name.to_owned(), n)).collect();
        if !expected.iter().any(|(name, _)| name == "turns") {
            expected.push(("turns".to_owned(), 1.0));
        }
        expected.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(signals(run), expected, "{what}");
    }
    let evidence = evidence(Run { reference: Some("7".into()), ..chat("r") });
    assert_eq!(evidence.signals["reference_match"], 0.0, "a wrong answer is counted, not left out");
}

#[test]
fn an_agent_may_end_in_a_call() {
    let mut run = agent("r");
    run.messages.extend([calls(&[("c2", "transfer_to_human_agents", "{}")]), reply("c2", "Transfer successful")]);
    let evidence = evidence(run);
    assert_eq!(evidence.answer.as_deref(), Some("Booked."));
    assert_eq!((evidence.signals["empty_answer"], evidence.signals["unanswered_calls"]), (0.0, 0.0));

    let talks_only = Run { source_class: Some("agent".into()), ..chat("r") };
    assert_eq!(crate::support::evidence(talks_only).signals["tool_calls"], 0.0);
}

#[test]
fn settings_change_what_is_taken() {
    let mut orphan = agent("r");
    orphan.messages.push(reply("z", "x"));
    assert_eq!(quarantined(orphan.clone(), &[]).reason, "unmatched_reply");
    let Payload::Evidence(taken) = materialize(orphan, &["unmatched_replies=count"]).1.payload else {
        panic!("is taken")
    };
    assert_eq!(taken.signals["unmatched_replies"], 1.0);

    let Payload::Evidence(taken) = materialize(chat("r"), &["default_class=reasoning"]).1.payload else {
        panic!("is taken")
    };
    assert_eq!(taken.source_class, "reasoning");
    assert!(!taken.signals.contains_key("reference_match"), "nothing to compare with");
}

proptest! {
    /// Whatever models and tools write, it is judged and breaks nothing.
    #[test]
    fn any_text_is_taken(
        answer in r"([0-9.,$€%A:#*/+\-×{} \nİß]|\\\\boxed\{|####|Answer: ){0,24}|\PC{0,40}",
        number in -1_000_000_i64..1_000_000,
    ) {
        let _ = (reference_matches(&answer, &answer), reference_matches(&answer, "12"), is_error(&answer));
        // A number is found behind its marker whatever stands in the lines before it.
        let solved = format!("{answer}\n#### {number}\n");
        prop_assert!(reference_matches(&solved, &number.to_string()), "{solved}");
        prop_assert!(!reference_matches(&solved, &(number + 1).to_string()), "{solved}");
    }
}

#[test]
fn answers_of_no_weight_are_counted() {
    let weigh = |weights: &[(&str, &str)]| {
        let extra = weights.iter().map(|(at, text)| (format!("messages[{at}].weight"), (*text).to_owned())).collect();
        evidence(Run { extra, ..chat("r") }).signals.get("untrained_answers").copied()
    };
    let answer = chat("r").messages.iter().position(|m| m.role == "assistant").unwrap().to_string();
    let question = chat("r").messages.iter().position(|m| m.role == "user").unwrap().to_string();
    assert_eq!(weigh(&[]), None);
    assert_eq!(weigh(&[(&answer, "1")]), None);
    assert_eq!(weigh(&[(&question, "0")]), None, "nobody learns from a question");
    assert_eq!(weigh(&[(&answer, "0")]), Some(1.0));
    assert_eq!(weigh(&[(&answer, "0.0")]), Some(1.0));
}
