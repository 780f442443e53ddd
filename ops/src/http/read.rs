//! What can be read: topics, events, lag, processors, schemas. Bounded pages, no effects.

use super::answer::Refusal;
use super::body;
use super::quarantine::refused;
use super::{HttpState, ROUTES};
use crate::figures;
use crate::records;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use stillhouse_processors::{Generations, PROCESSORS};
use stillhouse_schemas::{EVENTS, TOPICS, Topic, Writer, ids};
use stillhouse_streams::{Cleanup, Position, TopicState};

type Answer = Result<Json<Value>, Refusal>;

/// Events of one page, at most.
const MAX_LIMIT: usize = 1_000;
/// A page that has this many bytes of records is full.
const PAGE_BYTES: usize = 2 << 20;
/// A page waits this long for others to be done.
const PATIENCE: Duration = Duration::from_secs(5);

/// Query parameters: each known, and there once.
pub(crate) struct Params(BTreeMap<&'static str, String>);

impl Params {
    pub(crate) fn of(uri: &Uri, known: &[&'static str]) -> Result<Self, Refusal> {
        let mut params = BTreeMap::new();
        let axum::extract::Query(pairs) = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|_| Refusal::bad("query", "the query string is malformed"))?;
        for (name, value) in pairs {
            let short: String = name.chars().take(64).collect();
            let Some(known) = known.iter().find(|k| **k == name) else {
                let names = if known.is_empty() { "none here".to_owned() } else { known.join(", ") };
                return Err(Refusal::bad(&short, format!("unknown parameter; known: {names}")));
            };
            if params.insert(*known, value).is_some() {
                return Err(Refusal::bad(known, "the parameter is there twice"));
            }
        }
        Ok(Self(params))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(crate) fn number<T: std::str::FromStr + PartialOrd + std::fmt::Display>(
        &self,
        name: &str,
        min: T,
        max: T,
    ) -> Result<Option<T>, Refusal> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let legal = text.parse::<T>().ok().filter(|n| (&min..=&max).contains(&n));
        legal.map(Some).ok_or_else(|| Refusal::bad(name, format!("{name} must be a whole number from {min} to {max}")))
    }
}

/// A name in a path: decoded, and of the characters that ids and topics have.
pub(crate) fn path_id(path: Result<Path<String>, PathRejection>, field: &str) -> Result<String, Refusal> {
    let Ok(Path(name)) = path else {
        return Err(Refusal::bad(field, "the path is not UTF-8 once it is decoded"));
    };
    ids::check(&name).map_err(|why| Refusal::bad(field, format!("the name in the path {why}")))?;
    Ok(name)
}

/// `GET /v1`: what there is.
pub(crate) async fn index() -> Json<Value> {
    let routes: Vec<Value> = ROUTES
        .iter()
        .map(|r| json!({"method": r.method, "path": r.path, "role": r.role.map(|r| r.as_str()), "doc": r.doc}))
        .collect();
    Json(json!({"name": "stillhouse", "version": env!("CARGO_PKG_VERSION"), "routes": routes}))
}

/// `GET /v1/topics`.
pub(crate) async fn topics(State(state): State<HttpState>, uri: Uri) -> Answer {
    let params = Params::of(&uri, &["judged"])?;
    let topics = state.journal.topics().await?;
    let generations = state.health.node().generations().await?;
    let own = topics.iter().filter(|t| state.names.owns(&t.spec.name));
    let topics: Vec<Value> = own.map(|t| describe(&state, &generations, t)).collect();
    with_figures(json!({"journal": state.journal.uri(), "topics": topics}), &state, &params).await
}

/// Adds what the scorers made of what they have taken, if `judged` asks for it: all scores and all evidence are read.
async fn with_figures(mut answer: Value, state: &HttpState, params: &Params) -> Answer {
    match params.get("judged") {
        None | Some("false") => {}
        Some("true") => {
            let _place = state.place().await?;
            let scorers = figures::scorers(state.log()).await.map_err(refused)?;
            answer["judged"] = serde_json::to_value(scorers).unwrap_or_default();
        }
        Some(_) => return Err(Refusal::bad("judged", "judged is `true` or `false`")),
    }
    Ok(Json(answer))
}

fn describe(state: &HttpState, generations: &Generations, topic: &TopicState) -> Value {
    let logical = logical(state.names.prefix(), &topic.spec.name);
    let live = logical
        .filter(|l| l.derived)
        .map(|l| generations.resolve(l.name).is_ok_and(|live| live.contains(&topic.spec.name)));
    let partitions: Vec<Value> = (0..)
        .zip(&topic.partitions)
        .map(|(n, p): (u32, _)| json!({"partition": n, "start": p.start, "end": p.end}))
        .collect();
    json!({
        "topic": topic.spec.name,
        "logical": logical.map(|l| l.name),
        "live": live,
        "written_by": logical.map(written_by),
        "events": logical.map(|l| l.events),
        "cleanup": cleanup(&topic.spec.cleanup),
        "records": topic.partitions.iter().map(|p| p.end - p.start).sum::<u64>(),
        "partitions": partitions,
    })
}

/// Who writes a topic, in a word or two.
pub fn written_by(topic: &Topic) -> String {
    match topic.writer {
        Writer::Outside => "outside".into(),
        Writer::Processor(name) => name.into(),
        Writer::Runner => "runner".into(),
        Writer::Operator => "operators".into(),
        Writer::Node => "node".into(),
    }
}

/// What a topic may throw away, in a word or two.
pub fn cleanup(cleanup: &Cleanup) -> String {
    match cleanup {
        Cleanup::Keep => "keep".into(),
        Cleanup::Retain(time) => format!("retain {} s", time.as_secs()),
        Cleanup::Compact => "compact".into(),
    }
}

/// The logical topic that a physical name spells.
pub fn logical(prefix: &str, physical: &str) -> Option<&'static Topic> {
    let name = physical.strip_prefix(prefix)?;
    TOPICS.iter().find(|topic| {
        if topic.derived {
            name.strip_prefix(topic.name)
                .and_then(|rest| rest.strip_prefix('.'))
                .is_some_and(|generation| !generation.contains('.'))
        } else {
            topic.name == name
        }
    })
}

/// The topic that a name in a request means: physical, or logical and then the live generation.
async fn resolve(state: &HttpState, name: &str) -> Result<TopicState, Refusal> {
    let mut topics = state.journal.topics().await?;
    topics.retain(|topic| state.names.owns(&topic.spec.name));
    let mut names = vec![name.to_owned()];
    names.extend(state.health.node().generations().await?.locate(name).unwrap_or_default());
    let meant: Vec<usize> = (0..topics.len()).filter(|at| names.contains(&topics[*at].spec.name)).collect();
    match meant.as_slice() {
        [at] => return Ok(topics.swap_remove(*at)),
        [] => (),
        several => {
            let several: Vec<&str> = several.iter().map(|at| topics[*at].spec.name.as_str()).collect();
            let message = format!("that name stands for several topics; ask for one of {}", several.join(", "));
            return Err(Refusal::bad("topic", message));
        }
    }
    let known: Vec<&str> = topics.iter().map(|t| t.spec.name.as_str()).collect();
    Err(Refusal::missing(format!("there is no such topic; there are {}", known.join(", "))).field("topic"))
}

/// Where a page goes on: per partition the next offset, and the end that was there when the first page was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cursor(Vec<(u32, u64, u64)>);

impl Cursor {
    /// `0:5-10,1:7-9`.
    fn text(&self) -> String {
        self.0.iter().map(|(p, next, end)| format!("{p}:{next}-{end}")).collect::<Vec<_>>().join(",")
    }

    fn parse(text: &str, topic: &TopicState) -> Option<Self> {
        if text.len() > 64 << 10 {
            return None;
        }
        let one = |part: &str| {
            let (partition, range) = part.split_once(':')?;
            let (next, end) = range.split_once('-')?;
            let (partition, next, end) = (partition.parse().ok()?, next.parse().ok()?, end.parse().ok()?);
            let state = topic.partitions.get(usize::try_from(partition).ok()?)?;
            (next <= end && end <= state.end).then_some((partition, next, end))
        };
        let parts: Option<Vec<(u32, u64, u64)>> = text.split(',').map(one).collect();
        parts.filter(|parts| parts.is_sorted_by(|a, b| a.0 < b.0)).map(Self)
    }
}

/// `GET /v1/topics/{topic}/events`.
pub(crate) async fn events(
    State(state): State<HttpState>,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Answer {
    let name = path_id(path, "topic")?;
    let params = Params::of(&uri, &["partition", "from", "limit", "cursor"])?;
    let limit = params.number("limit", 1, MAX_LIMIT)?.unwrap_or(100);
    let topic = resolve(&state, &name).await?;
    let mut cursor = match params.get("cursor") {
        Some(text) => {
            if params.get("from").is_some() || params.get("partition").is_some() {
                return Err(Refusal::bad("cursor", "a cursor says where to go on; leave out from and partition"));
            }
            Cursor::parse(text, &topic).ok_or_else(|| Refusal::bad("cursor", "this is not a cursor of this topic"))?
        }
        None => begin(&state, &topic, &params).await?,
    };
    // A page in the making is a large tree: there are few at a time.
    let turn = tokio::time::timeout(PATIENCE, state.pages.acquire()).await.map_err(|_| body::busy())?;
    let mut events = Vec::new();
    let mut bytes = 0;
    for (partition, next, end) in &mut cursor.0 {
        if events.len() == limit || bytes >= PAGE_BYTES || next >= end {
            continue;
        }
        let mut scan = state.journal.scan(&topic.spec.name, *partition, *next, Some(*end)).await?;
        while events.len() < limit && bytes < PAGE_BYTES {
            // Few at a time: a page is bounded in bytes too, and records may be large.
            let page = scan.next((limit - events.len()).min(16)).await?;
            if page.is_empty() {
                *next = *end;
                break;
            }
            for stored in page {
                bytes += stored.record.size();
                *next = stored.offset + 1;
                let position = Position::new(topic.spec.name.as_str(), *partition, stored.offset);
                events.push(records::to_json(&state.codec, &position, &stored.record));
            }
        }
    }
    drop(turn);
    let done = cursor.0.iter().all(|(_, next, end)| next >= end);
    let as_of: Vec<Value> = cursor.0.iter().map(|(p, _, end)| json!({"partition": p, "end": end})).collect();
    Ok(Json(json!({
        "topic": topic.spec.name,
        "as_of": as_of,
        "events": events,
        "next": (!done).then(|| cursor.text()),
    })))
}

async fn begin(state: &HttpState, topic: &TopicState, params: &Params) -> Result<Cursor, Refusal> {
    let count = u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX);
    let one = params.number("partition", 0, count.saturating_sub(1))?;
    let from = params.get("from").unwrap_or("beginning");
    let mut parts = Vec::new();
    for (partition, at) in (0..).zip(&topic.partitions).filter(|(n, _)| one.is_none_or(|one| one == *n)) {
        let next = match from {
            "beginning" => at.start,
            "end" => at.end,
            text => match (text.parse::<u64>(), stillhouse_schemas::time::parse(text)) {
                (Ok(_), _) if one.is_none() => {
                    return Err(Refusal::bad("from", "an offset needs a partition: say partition=N too"));
                }
                (Ok(offset), _) => offset.clamp(at.start, at.end),
                (_, Ok(micros)) => {
                    state.journal.offset_at(&topic.spec.name, partition, micros.div_euclid(1_000)).await?.min(at.end)
                }
                _ => {
                    return Err(Refusal::bad(
                        "from",
                        "from is `beginning`, `end`, an offset, or a time as 2026-01-31T12:00:00Z",
                    ));
                }
            },
        };
        parts.push((partition, next, at.end));
    }
    Ok(Cursor(parts))
}

/// `GET /v1/events/{id}`.
pub(crate) async fn event(
    State(state): State<HttpState>,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Answer {
    let id = path_id(path, "id")?;
    Params::of(&uri, &[])?;
    let missing = || Refusal::missing("no event with this id is in the journal's index");
    let position = state.journal.find(&id).await?.filter(|p| state.names.owns(&p.topic)).ok_or_else(missing)?;
    let Position { topic, partition, offset } = &position;
    let page = state.journal.scan(topic, *partition, *offset, Some(offset + 1)).await?.next(1).await?;
    let stored = page.into_iter().find(|s| s.offset == *offset).ok_or_else(missing)?;
    Ok(Json(records::to_json(&state.codec, &position, &stored.record)))
}

/// `GET /v1/lag`.
pub(crate) async fn lag(State(state): State<HttpState>, uri: Uri) -> Answer {
    let params = Params::of(&uri, &["judged"])?;
    let look = state.health.look().await?;
    with_figures(json!({"groups": look.groups}), &state, &params).await
}

/// `GET /v1/processors`.
pub(crate) async fn processors(State(state): State<HttpState>, uri: Uri) -> Answer {
    let params = Params::of(&uri, &["judged"])?;
    let look = state.health.look().await?;
    let running = state.health.node().processors();
    let all: Vec<Value> = PROCESSORS
        .iter()
        .map(|definition| {
            let generations: Vec<Value> = running
                .iter()
                .filter(|p| p.processor == definition.name)
                .map(|p| {
                    let mut status = serde_json::to_value(p).unwrap_or_default();
                    let group = look.groups.iter().find(|g| g.group == p.group);
                    status["lag"] = group.map(|g| g.lag).into();
                    status["lag_seconds"] = group.map(|g| g.lag_seconds).into();
                    status
                })
                .collect();
            json!({
                "processor": definition.name,
                "version": definition.version,
                "inputs": definition.inputs,
                "outputs": definition.outputs,
                "generations": generations,
            })
        })
        .collect();
    with_figures(json!({"processors": all}), &state, &params).await
}

/// `GET /v1/schemas`.
pub(crate) async fn schemas(uri: Uri) -> Answer {
    Params::of(&uri, &[])?;
    let all: Vec<Value> = EVENTS
        .iter()
        .map(|e| {
            let topics: Vec<&str> = TOPICS.iter().filter(|t| t.events.contains(&e.name)).map(|t| t.name).collect();
            json!({
                "name": e.name,
                "type": e.ce_type,
                "record": e.record,
                "doc": e.doc,
                "versions": e.released.len(),
                "fingerprint": e.fingerprint(),
                "topics": topics,
            })
        })
        .collect();
    Ok(Json(json!({"schemas": all})))
}

/// `GET /v1/schemas/{name}`: the published Avro schema.
pub(crate) async fn schema(path: Result<Path<String>, PathRejection>, uri: Uri) -> Result<Response, Refusal> {
    let name = path_id(path, "name")?;
    Params::of(&uri, &[])?;
    let found = EVENTS.iter().find(|e| [e.name, e.ce_type, e.record].contains(&name.as_str())).ok_or_else(|| {
        let known: Vec<&str> = EVENTS.iter().map(|e| e.name).collect();
        Refusal::missing(format!("there is no such schema; there are {}", known.join(", "))).field("name")
    })?;
    Ok((StatusCode::OK, [(CONTENT_TYPE, "application/json")], found.schema_json()).into_response())
}

/// `GET /healthz`: the process answers.
pub(crate) async fn healthz() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// `GET /readyz`: the node can work, or why it cannot.
pub(crate) async fn readyz(State(state): State<HttpState>) -> Response {
    let reasons = state.health.reasons().await;
    let (status, word) =
        if reasons.is_empty() { (StatusCode::OK, "ready") } else { (StatusCode::SERVICE_UNAVAILABLE, "not_ready") };
    (status, Json(json!({"status": word, "reasons": reasons}))).into_response()
}

/// `GET /metrics`.
pub(crate) async fn metrics(State(state): State<HttpState>) -> Response {
    let text = crate::metrics::render(&state.health, &state.counters, &state.serving).await;
    ([(CONTENT_TYPE, crate::metrics::CONTENT_TYPE)], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use stillhouse_streams::{PartitionState, TopicSpec};

    #[test]
    fn cursors_are_read_back_and_checked() {
        let spec = TopicSpec { name: "runs".into(), partitions: 2, cleanup: Cleanup::Keep };
        let partition = PartitionState { start: 0, end: 10 };
        let topic = TopicState { spec, partitions: vec![partition; 2] };
        let cursor = Cursor(vec![(0, 5, 10), (1, 7, 9)]);
        assert_eq!(Cursor::parse(&cursor.text(), &topic), Some(cursor));
        for bad in
            ["", "garbage", "0:5", "0:11-10", "0:5-11", "2:0-1", "1:0-1,0:0-1", "0:0-1,0:0-1", "-1:0-1", "0:0-1,"]
        {
            assert_eq!(Cursor::parse(bad, &topic), None, "{bad}");
        }
    }

    #[test]
    fn physical_names_are_read_back() {
        let name = |physical| logical("", physical).map(|t| t.name);
        assert_eq!(name("runs"), Some("runs"));
        assert_eq!(name("scores.v1"), Some("scores"));
        assert_eq!(name("quarantine.exporter.v2"), Some("quarantine.exporter"));
        assert_eq!(name("scores"), None);
        assert_eq!(name("other"), None);
        assert_eq!(logical("a.", "a.scores.v1").map(|t| t.name), Some("scores"));
    }
}
