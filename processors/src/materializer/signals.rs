//! What is counted in every run, and what each count means.

use super::calls::{Calls, canonical, name_replies, pair};
use super::replies::is_error;
use std::collections::BTreeSet;
use stillhouse_schemas::{Evidence, Message, Run};

/// One thing that is counted.
#[derive(Clone, Copy, Debug)]
pub struct Signal {
    /// As in `signals`.
    pub name: &'static str,
    /// What it counts.
    pub doc: &'static str,
    /// Whether every evidence has it.
    pub always: bool,
}

macro_rules! signals {
    ($($name:literal $always:literal $doc:literal)*) => {
        /// All of them. Those that every evidence has are counted, not absent, when they are zero.
        pub static SIGNALS: &[Signal] = &[$(Signal { name: $name, doc: $doc, always: $always }),*];
    };
}

signals! {
    "turns" true "messages of the user"
    "tool_calls" true "calls of tools"
    "tool_errors" true "replies of tools that are errors (`ERROR_STARTS`, `ERROR_FLAGS`)"
    "repeated_calls" true "calls of a tool that was called before with the same arguments and the same result: nothing had changed"
    "repeated_answers" true "messages of the assistant that say word for word what it had said before"
    "invalid_arguments" true "calls whose arguments are not a JSON object"
    "unknown_tools" true "calls of tools that the run does not list, where it lists any"
    "unanswered_calls" true "calls that no reply answers"
    "unmatched_replies" true "replies of tools to calls that nobody made"
    "empty_answer" true "1 if the assistant's last message says nothing and calls nothing, or it never said anything where text is the answer"
    "truncated" true "1 if the model stopped because of a length limit"
    "filtered" true "1 if the provider's content filter stopped the model"
    "failed" true "1 if an error ended the run"
    "answer_chars" true "characters of the answer"
    "untrained_answers" false "answers that the source marks as not to be learned from (`weight` 0); where there are any"
    "reference_match" false "of runs with a reference that can be checked: 1 if the answer meets it, else 0"
    "policy_breaches" false "of agent runs whose context has a policy: calls that it forbids, that nobody confirmed, or that are too many"
    "json_answer" false "of extractions: 1 if the answer holds JSON"
    "surrounded_json" false "of extractions: 1 if other words stand around the JSON"
    "schema_errors" false "of extractions with a schema: violations of it, 100 at most"
    "schema_unusable" false "of extractions with a schema: 1 if it cannot be used, beside one of the following"
    "schema_invalid" false "1 if it is no JSON Schema"
    "schema_foreign" false "1 if it refers to another document, or to what is not there"
    "schema_endless" false "1 if a reference of it leads back to itself without going into the answer"
    "schema_deep" false "1 if schemas in it are applied within one another more than 512 deep"
    "schema_large" false "1 if it or the answer has more than a megabyte, or it more than 100 patterns"
    "schema_costly" false "1 if checking the answer against it would take more than 250,000 steps"
    "reference_fields" false "of extractions with a reference: its fields"
    "reference_fields_met" false "of extractions with a reference: those of its fields that the answer has"
    "passages" false "of retrievals: passages given"
    "claims" false "of retrievals: sentences that say something"
    "grounded_claims" false "of retrievals: claims of which enough words stand in one passage, and all numbers in any"
    "citations" false "of retrievals: passages cited"
    "unknown_citations" false "of retrievals: citations of passages that were not given"
    "declined" false "of retrievals: 1 if the answer says that the passages do not tell"
    "artefact_given" false "of reviews: 1 if there is something that was reviewed"
    "verdict_given" false "of reviews: 1 if the answer gives a verdict"
    "verdict_definite" false "of reviews: 1 if the verdict decides"
    "structure_errors" false "of fills and e-mails: parts that are missing or stand twice"
    "unknown_workers" false "of fills: workers that were not among those to choose from"
    "placeholders" false "of e-mails: blanks left to be filled in"
}

/// Words for a finish reason, in lower case.
static TRUNCATED: &[&str] =
    &["length", "max_tokens", "max_output_tokens", "model_length", "model_context_window_exceeded"];
static FILTERED: &[&str] =
    &["content_filter", "content_filtered", "safety", "refusal", "prohibited_content", "recitation"];
static FAILED: &[&str] = &["error"];

/// Counts what any conversation has, and names the replies on the way.
pub(super) fn count(evidence: &mut Evidence) {
    let calls = pair(&evidence.messages);
    name_replies(&mut evidence.messages, &calls);
    let counted = of_calls(evidence, &calls);
    let messages = &evidence.messages;
    let assistant = || messages.iter().filter(|m| m.role == "assistant");
    let text = |content: &Option<String>| content.as_deref().is_some_and(|text| !text.trim().is_empty());

    let mut said = BTreeSet::new();
    let repeated = assistant()
        .filter(|m| text(&m.content) && m.tool_calls.is_empty())
        .filter(|m| !said.insert(&m.content))
        .count();
    let empty = assistant().next_back().is_none_or(|last| !text(&last.content) && last.tool_calls.is_empty());
    let finish = evidence.finish_reason.as_deref().map(|reason| reason.trim().to_ascii_lowercase());
    let finished = |words: &[&str]| usize::from(finish.as_deref().is_some_and(|reason| words.contains(&reason)));
    let failed =
        usize::from(evidence.error.as_deref().is_some_and(|error| !error.trim().is_empty())) | finished(FAILED);

    let all = [
        ("turns", messages.iter().filter(|m| m.role == "user").count()),
        ("repeated_answers", repeated),
        ("empty_answer", usize::from(empty)),
        ("truncated", finished(TRUNCATED)),
        ("filtered", finished(FILTERED)),
        ("failed", failed),
        ("answer_chars", evidence.answer.as_deref().map_or(0, |answer| answer.chars().count())),
    ];
    let all = all.into_iter().chain(counted).map(|(name, n)| (name.to_owned(), n as f64));
    evidence.signals.extend(all);
}

/// Answers that the source marks with `weight` 0, as OpenAI's fine-tuning lines do. Weights are no part of a message
/// here; what a message says beyond stands in the run's `extra`, under its path.
pub(super) fn untrained(run: &Run) -> Option<f64> {
    let unweighted = |(index, message): &(usize, &Message)| {
        let weight = run.extra.get(&format!("messages[{index}].weight")).and_then(|text| text.parse::<f64>().ok());
        message.role == "assistant" && weight == Some(0.0)
    };
    let count = run.messages.iter().enumerate().filter(unweighted).count();
    (count > 0).then_some(count as f64)
}

/// Says that something is so, or is not.
pub(super) fn put(evidence: &mut Evidence, name: &str, is: bool) {
    evidence.signals.insert(name.to_owned(), f64::from(u8::from(is)));
}

/// Where text is the answer, a run without any is empty, even if it ends in a call.
pub(super) fn empty_for_want_of_text(evidence: &mut Evidence) {
    if evidence.answer.is_none() {
        evidence.signals.insert("empty_answer".to_owned(), 1.0);
    }
}

fn of_calls(evidence: &Evidence, found: &Calls) -> [(&'static str, usize); 7] {
    let messages = &evidence.messages;
    let listed: BTreeSet<&str> = evidence.tools.iter().map(|tool| tool.name.as_str()).collect();
    let mut seen = BTreeSet::new();
    let (mut errors, mut repeated, mut invalid, mut unknown, mut unanswered) = (0, 0, 0, 0, 0);
    for paired in &found.calls {
        let call = paired.call(messages);
        let result = paired.result(messages);
        let arguments = canonical(&call.arguments);
        invalid += usize::from(arguments.is_none());
        unknown += usize::from(!listed.is_empty() && !listed.contains(call.name.as_str()));
        unanswered += usize::from(result.is_none());
        errors += usize::from(result.iter().flatten().any(|text| is_error(text)));
        let arguments = arguments.unwrap_or_else(|| call.arguments.clone());
        repeated += usize::from(!seen.insert((call.name.as_str(), arguments, result)));
    }
    errors += found.unmatched.iter().filter(|m| messages[**m].content.as_deref().is_some_and(is_error)).count();
    [
        ("tool_calls", found.calls.len()),
        ("tool_errors", errors),
        ("repeated_calls", repeated),
        ("invalid_arguments", invalid),
        ("unknown_tools", unknown),
        ("unanswered_calls", unanswered),
        ("unmatched_replies", found.unmatched.len()),
    ]
}
