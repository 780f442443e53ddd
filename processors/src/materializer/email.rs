//! Messages to a worker. What is checked is form only: that there is a recipient, a subject and a body, and no blank left
//! to be filled in. What a message must not say is for validators.

use super::Refusal;
use super::chat::conversation;
use super::class::Limits;
use super::json_answer::find;
use super::signals::empty_for_want_of_text;
use serde_json::Value;
use stillhouse_schemas::{Evidence, Run};

pub(super) const CLASS: &str = "email";

/// Names of the parts of a message, in JSON and as header lines.
static RECIPIENT: &[&str] = &["to", "recipient", "recipients", "worker_id", "worker", "email"];
static SUBJECT: &[&str] = &["subject", "title"];
static BODY: &[&str] = &["body", "text", "content", "html", "message"];

/// Takes a message.
pub(super) fn take(run: &mut Run, _: &Limits) -> Result<Evidence, Refusal> {
    let mut evidence = conversation(run, CLASS)?;
    let given = evidence.artefact.clone();
    if given.is_none() {
        empty_for_want_of_text(&mut evidence);
    }
    let said = given.as_deref().or(evidence.answer.as_deref()).unwrap_or_default();
    let context: Value = evidence.context.as_deref().and_then(|c| serde_json::from_str(c).ok()).unwrap_or_default();
    let json = find(said).map(|found| found.value).filter(|value| value.is_object() || value.is_string());
    let message = match &json {
        Some(Value::String(text)) => Message::of_text(text),
        Some(object) => Message::of_json(object),
        None => Message::of_text(said),
    };
    let recipient = message.recipient || RECIPIENT.iter().any(|name| holds(&context[*name]));
    let errors =
        [recipient, message.subject.is_some(), message.body.is_some()].into_iter().filter(|there| !there).count();
    let blanks = [&message.subject, &message.body].into_iter().flatten().map(|text| blanks(text)).sum::<usize>();
    let artefact = message.artefact();
    evidence.signals.insert("structure_errors".to_owned(), errors as f64);
    evidence.signals.insert("placeholders".to_owned(), blanks as f64);
    if given.is_none() {
        evidence.artefact = artefact;
    }
    Ok(evidence)
}

/// Whether an artefact looks like a message.
pub(super) fn is_one(artefact: &Value) -> bool {
    let has = |names: &[&str]| names.iter().any(|name| holds(&artefact[*name]));
    has(&["body", "html"]) && (has(SUBJECT) || has(&["to", "recipient", "recipients"]))
}

/// What of a message is there.
#[derive(Debug, Default)]
struct Message {
    to: Option<String>,
    recipient: bool,
    subject: Option<String>,
    body: Option<String>,
}

impl Message {
    fn of_json(object: &Value) -> Self {
        let text = |names: &[&str]| names.iter().find_map(|name| object[*name].as_str()).and_then(some);
        Self {
            to: text(RECIPIENT),
            recipient: RECIPIENT.iter().any(|name| holds(&object[*name])),
            subject: text(SUBJECT),
            body: text(BODY),
        }
    }

    /// Header lines, a blank line, the body. Without a header line all of it is the body.
    fn of_text(text: &str) -> Self {
        let mut message = Self::default();
        let mut rest = text.trim();
        while let Some((name, value)) = rest.lines().next().and_then(|line| line.split_once(':')) {
            let name = name.trim().trim_matches(['*', '#', ' ']).to_lowercase();
            let value = some(value.trim_matches(['*', ' ']));
            match name.as_str() {
                "subject" => message.subject = value,
                "to" => message.to = value,
                "from" | "cc" | "bcc" | "date" | "reply-to" => {}
                _ => break,
            }
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest).trim_start_matches(['\r', '\n']);
        }
        message.recipient = message.to.is_some();
        message.body = some(rest);
        message
    }

    fn artefact(&self) -> Option<String> {
        self.body.as_ref()?;
        let members = [("body", &self.body), ("subject", &self.subject), ("to", &self.to)];
        let members = members.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text.as_deref()?.into())));
        Some(Value::Object(members.collect()).to_string())
    }
}

fn some(text: &str) -> Option<String> {
    Some(text.trim()).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn holds(value: &Value) -> bool {
    match value {
        Value::String(text) => !text.trim().is_empty(),
        Value::Array(entries) => entries.iter().any(holds),
        Value::Object(members) => !members.is_empty(),
        Value::Number(_) => true,
        Value::Null | Value::Bool(_) => false,
    }
}

/// Blanks left to be filled in: `[Your Name]`, `{{name}}`, `<NAME>`.
fn blanks(text: &str) -> usize {
    let mut count = text.matches("{{").count();
    for (open, close) in [('[', ']'), ('<', '>')] {
        for (at, _) in text.match_indices(open) {
            let inner = &text[at + 1..];
            let Some(inner) = inner.find(close).map(|end| (&inner[..end], &inner[end + 1..])) else { continue };
            let (name, after) = inner;
            let legal = |c: char| c.is_alphabetic() || matches!(c, ' ' | '_' | '\'' | '’' | '/' | '-');
            let shaped = match open {
                '[' => name.starts_with(|c: char| c.is_uppercase()) || name.contains("name") || name.contains("insert"),
                _ => name.chars().all(|c| !c.is_lowercase()) && name.chars().count() > 2,
            };
            let named = !name.is_empty() && name.chars().count() <= 40 && name.chars().all(legal);
            count += usize::from(named && shaped && !after.starts_with('('));
        }
    }
    count
}
