use crate::support::{agent, calls, chat, message, run_event};
use async_trait::async_trait;
use futures::executor::block_on;
use std::sync::Mutex;
use stillhouse_processors::replayer::{self, Comparison, Plan, Summary};
use stillhouse_processors::wire;
use stillhouse_schemas::model::{Answered, Call, CallError, Calls, ModelError, Reply};
use stillhouse_schemas::{Message, Payload, Replayed, Run, Usage};
use stillhouse_streams::Position;

/// Answers in order, and remembers what it was asked.
#[derive(Debug, Default)]
struct Script {
    answers: Vec<Option<Message>>,
    asked: Mutex<Vec<Call>>,
}

impl Script {
    fn of(answers: impl IntoIterator<Item = Message>) -> Self {
        Self { answers: answers.into_iter().map(Some).collect(), asked: Mutex::default() }
    }

    fn answer(&self, call: &Call) -> Option<Answered> {
        let mut asked = self.asked.lock().unwrap();
        asked.push(call.clone());
        let message = self.answers.get(asked.len() - 1).cloned().flatten()?;
        let usage = Usage { input_tokens: Some(10), output_tokens: Some(2), ..Usage::default() };
        let reply = Reply { message, usage: Some(usage), model: "asked-1".to_owned(), ..Reply::default() };
        Some(Answered { call_hash: String::new(), reply, recorded: false, cost_usd: Some(0.25) })
    }
}

#[async_trait]
impl Calls for Script {
    async fn call(&self, call: &Call) -> Result<Answered, CallError> {
        let error = ModelError::Never("too long".to_owned());
        self.answer(call).ok_or(CallError::Model { call_hash: String::new(), error })
    }

    async fn recorded(&self, call: &Call) -> Result<Option<Answered>, CallError> {
        Ok(self.answer(call))
    }
}

fn asked(run: &Run, script: &Script, comparison: Comparison, may_ask: bool) -> Replayed {
    let event = run_event(run.clone());
    let position = Position::new("runs", 0, 7);
    let plan = Plan { model: Some("ollama://host/model".to_owned()), comparison };
    let cause = wire::cause(&event.envelope.id, &position);
    let replayed = block_on(replayer::asked((&event.envelope, run, cause), &plan, script, may_ask)).unwrap();
    match plan.event((&event.envelope, &position), replayed).payload {
        Payload::Replayed(replayed) => replayed,
        other => panic!("{other:?}"),
    }
}

fn calling(name: &str, arguments: &str) -> Message {
    calls(&[("x", name, arguments)])
}

#[test]
fn a_model_that_answers_alike_is_the_same() {
    let run = agent("r");
    let script = Script::of([calling("find", r#"{ "to" : "SEA" }"#), message("assistant", "Booked.")]);
    let replayed = asked(&run, &script, Comparison::Exact, true);
    assert_eq!((replayed.verdict.as_str(), replayed.steps, replayed.matched), ("same", 2, 2));
    assert_eq!((replayed.cost_usd, replayed.outside_calls), (Some(0.5), 0));
    assert_eq!(replayed.usage.clone().unwrap().input_tokens, Some(20));
    assert_eq!((replayed.model.as_deref(), replayed.answer.as_deref()), (Some("asked-1"), Some("Booked.")));
    let said = script.asked.lock().unwrap();
    assert_eq!(said.iter().map(|call| call.request.messages.len()).collect::<Vec<_>>(), [2, 4]);
    assert_eq!(said[1].request.messages[3], run.messages[3], "the recorded result of the tool");
    assert_eq!((said[0].purpose.as_str(), said[0].causes[0].offset), ("replay", 7));
    let line = String::from_utf8(replayer::line(&replayed).unwrap()).unwrap();
    assert!(line.starts_with(r#"{"answer":"Booked.","cost_usd":0.5000,"divergence":null,"#), "{line}");
}

#[test]
fn the_first_divergence_is_named_with_both_sides() {
    let text = |text: &str| message("assistant", text);
    let found = r#"{"to":"SEA"}"#;
    for (what, answers, comparison, expected) in [
        (
            "a text for a call",
            vec![text("No.")],
            Comparison::Exact,
            Some((0, "finish", r#"find({"to":"SEA"})"#, "No.")),
        ),
        (
            "a call for a text",
            vec![calling("find", found), calling("book", "{}")],
            Comparison::Exact,
            Some((1, "finish", "Booked.", "book({})")),
        ),
        ("another tool", vec![calling("book", found)], Comparison::Exact, Some((0, "tool_name", "find", "book"))),
        (
            "other arguments",
            vec![calling("find", r#"{"to":"SFO"}"#)],
            Comparison::Calls,
            Some((0, "tool_arguments", found, r#"{"to":"SFO"}"#)),
        ),
        ("no JSON", vec![calling("find", "{")], Comparison::Exact, Some((0, "tool_arguments", found, "{"))),
        (
            "another answer",
            vec![calling("find", found), text("booked. ")],
            Comparison::Exact,
            Some((1, "answer", "Booked.", "booked. ")),
        ),
        (
            "the same but for case and blanks",
            vec![calling("find", found), text(" booked.\n")],
            Comparison::Normalised,
            None,
        ),
    ] {
        let replayed = asked(&agent("r"), &Script::of(answers), comparison, true);
        let divergence = replayed.divergence.as_ref().map(|d| {
            (
                d.step,
                d.what.as_str(),
                d.recorded.as_deref().unwrap_or_default(),
                d.replayed.as_deref().unwrap_or_default(),
            )
        });
        assert_eq!(divergence, expected, "{what}");
        let verdict = if expected.is_some() { "diverged" } else { "same" };
        assert_eq!(replayed.verdict, verdict, "{what}");
    }
    let two = Message {
        tool_calls: [calling("find", found), calling("book", "{}")].map(|m| m.tool_calls[0].clone()).to_vec(),
        ..calling("find", found)
    };
    let replayed = asked(&agent("r"), &Script::of([two]), Comparison::Exact, true);
    let divergence = replayed.divergence.unwrap();
    assert_eq!(
        (divergence.what.as_str(), divergence.recorded, divergence.replayed.as_deref()),
        ("tool_name", None, Some("book"))
    );
}

#[test]
fn what_cannot_be_asked_fails_and_says_why() {
    let nobody = Script { answers: vec![None], ..Script::default() };
    let replayed = asked(&chat("r"), &nobody, Comparison::Exact, false);
    assert_eq!(replayed.verdict, "failed");
    assert!(replayed.error.unwrap().contains("was not allowed"));
    let failing = Script { answers: vec![None], ..Script::default() };
    assert_eq!(asked(&chat("r"), &failing, Comparison::Exact, true).error.as_deref(), Some("too long"));
}

#[test]
fn a_summary_counts_steps() {
    let mut summary = Summary::default();
    let texts =
        |answers: &[&str]| Script::of(answers.iter().map(|text| message("assistant", text)).collect::<Vec<_>>());
    let run = Run { messages: [chat("r").messages, chat("r").messages].concat(), ..chat("r") };
    for answers in [[" At six. ", " At six. "], [" At six. ", "No."], ["No.", ""]] {
        summary.take(&asked(&run, &texts(&answers), Comparison::Exact, true));
    }
    let steps: Vec<_> = summary.by_step.iter().map(|step| (step.reached, step.matched)).collect();
    assert_eq!(steps, [(3, 2), (2, 1)]);
    assert_eq!((summary.steps, summary.matched, summary.verdicts["diverged"]), (6, 3, 2));
    assert_eq!(summary.cost_usd, 1.25);
}
