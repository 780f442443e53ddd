//! What shapes do with messages in the canonical form of templates.

use super::super::canonical::Json;
use super::super::source::Source;
use super::columns::{Type, column, text};
use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

/// The members of a row that trace it.
pub(super) fn trace<'a>(source: &'a Source) -> [(&'static str, Json<'a>); 8] {
    let judged = source.judged.as_ref();
    [
        ("category", judged.map_or(Json::Null, |j| Json::text(j.category.as_str()))),
        ("evidence_id", Json::text(source.evidence_id.as_str())),
        ("model", Json::optional(source.model.as_deref())),
        ("run_id", Json::text(source.run_id.as_str())),
        ("score", score(source)),
        ("score_id", Json::text(source.score_id())),
        ("source_class", Json::text(source.source_class.as_str())),
        ("task_key", Json::optional(source.task_key.as_deref())),
    ]
}

fn score(source: &Source) -> Json<'static> {
    // A score that is no number lets no run in, and may stand at the worse side of a correction.
    source.judged.as_ref().filter(|j| j.score.is_finite()).map_or(Json::Null, |j| Json::Float(j.score))
}

fn known(id: &str) -> Json<'_> {
    if id.is_empty() { Json::Null } else { Json::text(id) }
}

/// The members of a pair that trace it.
pub(super) fn pair_trace<'a>(id: &'a str, chosen: &'a Source, rejected: &'a Source) -> [(&'static str, Json<'a>); 13] {
    // The score of a run says nothing about what a person wrote in its place.
    let own = chosen.label_id.is_none();
    [
        ("chosen_evidence_id", Json::text(chosen.evidence_id.as_str())),
        ("chosen_label_id", Json::optional(chosen.label_id.as_deref())),
        ("chosen_model", if own { Json::optional(chosen.model.as_deref()) } else { Json::Null }),
        ("chosen_run_id", Json::text(chosen.run_id.as_str())),
        ("chosen_score", if own { score(chosen) } else { Json::Null }),
        ("chosen_score_id", known(chosen.score_id())),
        ("pair_id", Json::text(id)),
        ("rejected_evidence_id", Json::text(rejected.evidence_id.as_str())),
        ("rejected_model", Json::optional(rejected.model.as_deref())),
        ("rejected_run_id", Json::text(rejected.run_id.as_str())),
        ("rejected_score", score(rejected)),
        ("rejected_score_id", known(rejected.score_id())),
        ("task_key", Json::optional(rejected.task_key.as_deref())),
    ]
}

/// A member of an object.
pub(super) fn member<'j, 'a>(json: &'j Json<'a>, name: &str) -> &'j Json<'a> {
    match json {
        Json::Map(members) => members.get(name).unwrap_or(&Json::Null),
        _ => &Json::Null,
    }
}

/// The text of a member; empty if it is none.
pub(super) fn said<'j>(json: &'j Json<'_>, name: &str) -> &'j str {
    match member(json, name) {
        Json::Text(text) => text,
        _ => "",
    }
}

/// A value as JSON text.
pub(super) fn as_text<'a>(json: &Json<'_>) -> Json<'a> {
    let bytes = json.to_bytes().unwrap_or_default();
    Json::Text(Cow::Owned(String::from_utf8(bytes).unwrap_or_default()))
}

/// All messages but the answer, and the answer.
pub(super) fn parted<'a>(mut messages: Vec<Json<'a>>) -> (Vec<Json<'a>>, Json<'a>) {
    let answer = messages.pop().unwrap_or(Json::Null);
    (messages, answer)
}

/// Messages for readers that want arguments as JSON text and an id on every call: absent members are left out, calls
/// without an id get one by their number, and their answers the same.
pub(super) struct Strict {
    calls: usize,
    open: VecDeque<String>,
    /// Whether answers of tools keep the tool's name.
    pub(super) names: bool,
}

impl Strict {
    pub(super) fn new(names: bool) -> Self {
        Self { calls: 0, open: VecDeque::new(), names }
    }

    pub(super) fn messages<'a>(&mut self, messages: &[Json<'a>]) -> Vec<Json<'a>> {
        messages.iter().map(|message| self.message(message)).collect()
    }

    pub(super) fn message<'a>(&mut self, message: &Json<'a>) -> Json<'a> {
        let mut out: BTreeMap<Cow<'a, str>, Json<'a>> = BTreeMap::new();
        let mut put = |name: &'static str, json: Json<'a>| out.insert(Cow::Borrowed(name), json);
        put("role", member(message, "role").clone());
        put("content", member(message, "content").clone());
        if let Json::List(calls) = member(message, "tool_calls") {
            put("tool_calls", Json::List(calls.iter().map(|call| self.call(call)).collect()));
        }
        if said(message, "role") == "tool" {
            let id = match member(message, "tool_call_id") {
                Json::Text(id) => {
                    self.open.retain(|open| *open != **id);
                    id.clone().into_owned()
                }
                _ => self.open.pop_front().unwrap_or_default(),
            };
            put("tool_call_id", Json::Text(Cow::Owned(id)));
            if self.names {
                put("name", member(message, "name").clone());
            }
        }
        Json::Map(out)
    }

    fn call<'a>(&mut self, call: &Json<'a>) -> Json<'a> {
        self.calls += 1;
        let id = match member(call, "id") {
            Json::Text(id) => id.clone().into_owned(),
            _ => format!("call_{}", self.calls),
        };
        self.open.push_back(id.clone());
        let function = member(call, "function");
        Json::map([
            ("id", Json::Text(Cow::Owned(id))),
            ("type", Json::text("function")),
            (
                "function",
                Json::map([
                    ("name", member(function, "name").clone()),
                    ("arguments", as_text(member(function, "arguments"))),
                ]),
            ),
        ])
    }
}

/// A call as [`Strict`] writes it.
const STRICT_CALL: Type =
    Type::Struct(&[column("function", Type::Struct(&[text("arguments"), text("name")])), text("id"), text("type")]);

/// A message as [`Strict`] writes it.
pub(super) const STRICT_MESSAGE: Type = Type::Struct(&[
    text("content"),
    text("role"),
    text("tool_call_id"),
    column("tool_calls", Type::List(&STRICT_CALL)),
]);

/// The same, with the names of tools.
pub(super) const NAMED_MESSAGE: Type = Type::Struct(&[
    text("content"),
    text("name"),
    text("role"),
    text("tool_call_id"),
    column("tool_calls", Type::List(&STRICT_CALL)),
]);

/// A message in the canonical form of templates.
pub(super) const MESSAGE: Type = Type::Struct(&[
    text("content"),
    text("name"),
    text("reasoning_content"),
    text("role"),
    text("tool_call_id"),
    column("tool_calls", Type::Json),
]);

/// An object of these members and those.
pub(super) fn row<'a>(
    own: impl IntoIterator<Item = (&'static str, Json<'a>)>,
    trace: impl IntoIterator<Item = (&'static str, Json<'a>)>,
) -> Json<'a> {
    Json::Map(own.into_iter().chain(trace).map(|(name, json)| (Cow::Borrowed(name), json)).collect())
}
