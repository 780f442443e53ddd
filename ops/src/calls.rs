//! Calls of models, recorded: the same call is made once, ever.
//!
//! ```text
//!   call ─▶ recorded? ─▶ yes: the first reply in the partition
//!              └▶ no: append call_requested ─▶ ask the model ─▶ append call_replied ─▶ the first reply in the partition
//! ```
//!
//! Both events are durable before the caller has its answer, and outside of its transaction: a batch that is taken again
//! after a crash is answered from the journal. Two processes that make one call at the same time both pay for it, and
//! both go on with the reply that came first. A failure is recorded too, and answers nothing: whoever asks again asks the
//! model again.
//!
//! What was recorded is found by an index from the hash of a call to where its reply stands, built by reading the topic
//! once: 50 bytes a call. Beyond [`MOST`] calls the later ones are not in it; before a call that is not in it is made, its
//! partition is looked through.

use crate::failure::{Failure, Outcome, Status};
use crate::settings::Models;
use async_trait::async_trait;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use stillhouse_processors::exporter::{Short, short};
use stillhouse_processors::wire;
use stillhouse_schemas::model::{Answered, Call, CallError, Calls, Model, Reply, call_hash};
use stillhouse_schemas::{
    CallReplied, CallRequested, Cause, Codec, CodecError, Envelope, Event, Message, Payload, Producer, ids,
};
use stillhouse_streams::runner::ends;
use stillhouse_streams::{Journal, Position, partition_for};

/// Calls that the index holds, over all partitions.
const MOST: usize = 1 << 20;
/// Records of a page.
const PAGE: usize = 500;

/// The calls of an instance.
pub struct RecordedCalls {
    journal: Arc<dyn Journal>,
    codec: Codec,
    topic: String,
    settings: Models,
    models: Mutex<HashMap<String, Arc<dyn Model>>>,
    /// One a partition, once the topic is known.
    seen: tokio::sync::OnceCell<Vec<tokio::sync::Mutex<Seen>>>,
    /// Calls under way: whoever wants the same waits for it.
    flights: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl std::fmt::Debug for RecordedCalls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordedCalls").field("topic", &self.topic).finish_non_exhaustive()
    }
}

/// Answers what was answered before, and asks nobody.
#[derive(Debug)]
pub struct OnlyRecorded(pub Arc<RecordedCalls>);

#[async_trait]
impl Calls for OnlyRecorded {
    async fn call(&self, call: &Call) -> Result<Answered, CallError> {
        let refused = || CallError::NoModel("only recorded answers are used here, and this call has none".to_owned());
        self.recorded(call).await?.ok_or_else(refused)
    }

    async fn recorded(&self, call: &Call) -> Result<Option<Answered>, CallError> {
        self.0.recorded(call).await
    }
}

/// What of a partition was read.
#[derive(Debug, Default)]
struct Seen {
    next: u64,
    replies: HashMap<Short, u64>,
    /// Some replies before `next` are not in it.
    overflows: bool,
}

/// A call as it is recorded.
struct Asked<'a> {
    call: &'a Call,
    model: Arc<dyn Model>,
    body: String,
    hash: String,
}

impl RecordedCalls {
    /// The calls in `topic` (physical) of a journal.
    pub fn new(journal: Arc<dyn Journal>, codec: Codec, topic: String, settings: Models) -> Self {
        Self {
            journal,
            codec,
            topic,
            settings,
            models: Mutex::default(),
            seen: tokio::sync::OnceCell::new(),
            flights: Mutex::default(),
        }
    }

    /// The model of a URI, made once.
    pub fn model(&self, uri: &str) -> Outcome<Arc<dyn Model>> {
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(model) = models.get(uri) {
            return Ok(model.clone());
        }
        let model = crate::models::open(&self.settings, uri)?;
        models.insert(uri.to_owned(), model.clone());
        Ok(model)
    }

    fn asked<'a>(&self, call: &'a Call) -> Result<Asked<'a>, CallError> {
        let model = self.model(&call.model).map_err(|failure| CallError::NoModel(failure.message))?;
        let body = call.request.canonical();
        let hash = call_hash(&call.purpose, model.provider(), model.name(), &body);
        Ok(Asked { call, model, body, hash })
    }

    async fn seen(&self) -> Outcome<&Vec<tokio::sync::Mutex<Seen>>> {
        self.seen
            .get_or_try_init(|| async {
                let ends = ends(self.journal.as_ref(), std::slice::from_ref(&self.topic)).await?;
                Ok(ends.iter().map(|_| tokio::sync::Mutex::default()).collect())
            })
            .await
    }

    /// Where the first reply to a call stands.
    async fn find(&self, hash: &str) -> Outcome<Option<Position>> {
        let seen = self.seen().await?;
        let partition = partition_for(Some(hash.as_bytes()), u32::try_from(seen.len()).unwrap_or(1));
        let place = usize::try_from(partition).unwrap_or(0);
        let limit = (MOST / seen.len().max(1)).max(1);
        let mut seen = seen[place].lock().await;
        let key = short(hash);
        if let Some(offset) = seen.replies.get(&key) {
            return Ok(Some(Position::new(self.topic.as_str(), partition, *offset)));
        }
        let end = ends(self.journal.as_ref(), std::slice::from_ref(&self.topic)).await?;
        let end = end.get(&self.topic, partition).unwrap_or(0);
        // What overflowed is looked through again from the beginning, and not remembered.
        let from = if seen.overflows { 0 } else { seen.next };
        let mut scan = self.journal.scan(&self.topic, partition, from, Some(end)).await?;
        loop {
            let page = scan.next(PAGE).await?;
            let Some(last) = page.last() else { break };
            seen.next = seen.next.max(last.offset + 1);
            for stored in &page {
                let Some(reply) = self.reply(wire::stored(&self.codec, stored))? else {
                    continue;
                };
                let known = short(&reply.call_hash);
                if seen.replies.contains_key(&known) {
                    continue;
                }
                if seen.replies.len() < limit {
                    seen.replies.insert(known, stored.offset);
                    continue;
                }
                seen.overflows = true;
                if known == key {
                    return Ok(Some(Position::new(self.topic.as_str(), partition, stored.offset)));
                }
            }
        }
        Ok(seen.replies.get(&key).map(|offset| Position::new(self.topic.as_str(), partition, *offset)))
    }

    /// A reply that answers its call. One that nobody can read any more, because the person it is about was erased,
    /// answers nothing.
    fn reply(&self, read: Result<Option<Event>, CodecError>) -> Outcome<Option<CallReplied>> {
        match read {
            Ok(Some(Event { payload: Payload::CallReplied(reply), .. })) if reply.text.is_some() => Ok(Some(reply)),
            Ok(_) | Err(CodecError::Erased { .. }) => Ok(None),
            Err(error) => Err(Failure::new(Status::Failed, format!("{}: {error}", self.topic))),
        }
    }

    async fn answer(&self, asked: &Asked<'_>, recorded: bool) -> Outcome<Option<Answered>> {
        let Some(position) = self.find(&asked.hash).await? else { return Ok(None) };
        let mut scan =
            self.journal.scan(&position.topic, position.partition, position.offset, Some(position.offset + 1)).await?;
        let stored = scan.next(1).await?.pop().filter(|stored| stored.offset == position.offset);
        let event = stored.map(|stored| wire::stored(&self.codec, &stored));
        let Some(reply) = event.map_or(Ok(None), |read| self.reply(read))? else { return Ok(None) };
        Ok(Some(Answered {
            call_hash: reply.call_hash.clone(),
            recorded,
            cost_usd: reply.cost_usd,
            reply: restored(reply),
        }))
    }

    /// Appends an event about a call, and returns its place.
    async fn record(&self, asked: &Asked<'_>, causes: Vec<Cause>, payload: Payload) -> Outcome<Cause> {
        let event = Event {
            envelope: Envelope {
                id: ids::live(),
                key: asked.hash.clone(),
                occurred_at: jiff::Timestamp::now().as_microsecond(),
                subject: asked.call.subject.clone(),
                producer: Producer {
                    name: "calls".into(),
                    version: env!("CARGO_PKG_VERSION").into(),
                    config_hash: String::new(),
                },
                causes,
                ..Envelope::default()
            },
            payload,
        };
        let append = wire::append(self.topic.as_str(), &self.codec, &event)
            .map_err(|e| Failure::new(Status::Failed, e.to_string()))?;
        let receipt = self.journal.append(vec![append]).await?.pop();
        let receipt = receipt.ok_or_else(|| Failure::new(Status::Failed, "the journal gave no receipt"))?;
        Ok(wire::cause(&event.envelope.id, &receipt.position))
    }

    /// Makes a call: request, model, reply.
    async fn make(&self, asked: &Asked<'_>) -> Result<(), CallError> {
        let (call, model) = (asked.call, &asked.model);
        let (provider, name) = (model.provider().to_owned(), model.name().to_owned());
        let requested = CallRequested {
            call_hash: asked.hash.clone(),
            purpose: call.purpose.clone(),
            provider: provider.clone(),
            model: name.clone(),
            body: asked.body.clone(),
            run_id: call.run_id.clone(),
        };
        let requested =
            self.record(asked, call.causes.clone(), Payload::CallRequested(requested)).await.map_err(unrecorded)?;
        let answer = model.generate(&call.request).await;
        let mut replied = CallReplied {
            call_hash: asked.hash.clone(),
            purpose: call.purpose.clone(),
            provider: provider.clone(),
            model: name.clone(),
            run_id: call.run_id.clone(),
            attempts: 1,
            ..CallReplied::default()
        };
        match &answer {
            Ok(reply) => {
                let tokens = |of: fn(&stillhouse_schemas::Usage) -> Option<i64>| reply.usage.as_ref().and_then(of);
                let priced = self.settings.price(&provider, &name).map(|price| {
                    price.of(tokens(|u| u.input_tokens).unwrap_or(0), tokens(|u| u.output_tokens).unwrap_or(0))
                });
                replied.model.clone_from(&reply.model);
                replied.text = Some(reply.text().to_owned());
                replied.attempts = i32::try_from(reply.attempts).unwrap_or(i32::MAX);
                replied.latency_ms = i64::try_from(reply.latency.as_millis()).unwrap_or(i64::MAX);
                replied.usage.clone_from(&reply.usage);
                replied.cost_usd = reply.cost_usd.or(priced);
                replied.body = Some(whole(reply));
            }
            Err(error) => replied.error = Some(error.to_string()),
        }
        self.record(asked, vec![requested], Payload::CallReplied(replied)).await.map_err(unrecorded)?;
        answer.map(drop).map_err(|error| CallError::Model { call_hash: asked.hash.clone(), error })
    }

    /// The right to make a call, one at a time.
    fn flight(&self, hash: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that nobody waits for are over.
        if flights.len() > 1_024 {
            flights.retain(|_, flight| Arc::strong_count(flight) > 1);
        }
        flights.entry(hash.to_owned()).or_default().clone()
    }
}

#[async_trait]
impl Calls for RecordedCalls {
    async fn call(&self, call: &Call) -> Result<Answered, CallError> {
        let asked = self.asked(call)?;
        let flight = self.flight(&asked.hash);
        let _mine = flight.lock().await;
        if let Some(answer) = self.answer(&asked, true).await.map_err(unrecorded)? {
            return Ok(answer);
        }
        self.make(&asked).await?;
        let answer = self.answer(&asked, false).await.map_err(unrecorded)?;
        answer
            .ok_or_else(|| CallError::Unrecorded(format!("the reply to call {} is not in {}", asked.hash, self.topic)))
    }

    async fn recorded(&self, call: &Call) -> Result<Option<Answered>, CallError> {
        let asked = self.asked(call)?;
        self.answer(&asked, true).await.map_err(unrecorded)
    }
}

fn unrecorded(failure: Failure) -> CallError {
    CallError::Unrecorded(failure.message)
}

/// What the event's own fields do not hold of a reply.
fn whole(reply: &Reply) -> String {
    serde_json::json!({ "finish_reason": reply.finish_reason, "message": reply.message }).to_string()
}

fn restored(replied: CallReplied) -> Reply {
    let body: serde_json::Value =
        replied.body.as_deref().and_then(|b| serde_json::from_str(b).ok()).unwrap_or_default();
    let message = serde_json::from_value::<Message>(body["message"].clone()).unwrap_or_else(|_| Message {
        role: "assistant".to_owned(),
        content: replied.text.clone(),
        ..Message::default()
    });
    Reply {
        message,
        finish_reason: body["finish_reason"].as_str().map(str::to_owned),
        usage: replied.usage,
        model: replied.model,
        latency: std::time::Duration::from_millis(u64::try_from(replied.latency_ms).unwrap_or(0)),
        attempts: u32::try_from(replied.attempts).unwrap_or(0),
        cost_usd: replied.cost_usd,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};
    use stillhouse_schemas::model::{ModelError, Request};
    use stillhouse_streams::memory::MemoryJournal;
    use stillhouse_streams::{Cleanup, TopicSpec};

    const URI: &str = "ollama://127.0.0.1:9/m";

    /// Says how often it was asked; refuses what says `refuse`.
    #[derive(Debug, Default)]
    struct Counting(AtomicU64);

    #[async_trait]
    impl Model for Counting {
        fn provider(&self) -> &str {
            "counting"
        }

        fn name(&self) -> &str {
            "m"
        }

        async fn generate(&self, request: &Request) -> Result<Reply, ModelError> {
            let number = self.0.fetch_add(1, Ordering::SeqCst) + 1;
            if request.messages[0].content.as_deref() == Some("refuse") {
                return Err(ModelError::Never("refused".into()));
            }
            let message = Message { content: Some(number.to_string()), ..Message::default() };
            Ok(Reply { message, finish_reason: Some("stop".into()), model: "m-1".into(), ..Reply::default() })
        }
    }

    async fn calls(journal: &MemoryJournal, model: &Arc<Counting>) -> Arc<RecordedCalls> {
        let spec = TopicSpec { name: "calls".into(), partitions: 2, cleanup: Cleanup::Keep };
        journal.ensure(&[spec]).await.expect("a topic");
        let journal: Arc<dyn Journal> = Arc::new(journal.clone());
        let calls = RecordedCalls::new(journal, Codec::plain(), "calls".into(), Models::default());
        calls.models.lock().expect("unpoisoned").insert(URI.into(), model.clone());
        Arc::new(calls)
    }

    fn asks(content: &str) -> Call {
        let message = Message { role: "user".into(), content: Some(content.into()), ..Message::default() };
        let request = Request { messages: vec![message], ..Request::default() };
        Call { purpose: "judge".into(), model: URI.into(), request, ..Call::default() }
    }

    #[tokio::test]
    async fn a_call_is_made_once_by_whoever_asks_and_a_refusal_answers_nothing() {
        let (journal, model) = (MemoryJournal::new(), Arc::new(Counting::default()));
        let first = calls(&journal, &model).await;
        let (a, b) = (first.clone(), first.clone());
        let (a, b) = tokio::join!(
            tokio::spawn(async move { a.call(&asks("q")).await }),
            tokio::spawn(async move { b.call(&asks("q")).await })
        );
        let (a, b) = (a.expect("no panic").expect("an answer"), b.expect("no panic").expect("an answer"));
        assert_eq!((a.reply.text(), b.reply.text(), model.0.load(Ordering::SeqCst)), ("1", "1", 1));
        assert!(a.recorded != b.recorded, "one of them asked");
        assert_eq!((a.reply.model.as_str(), a.reply.finish_reason.as_deref()), ("m-1", Some("stop")));

        // Another process, or this one after a restart, finds it.
        let second = calls(&journal, &model).await;
        assert!(second.call(&asks("q")).await.expect("an answer").recorded);
        assert!(second.recorded(&asks("another")).await.expect("readable").is_none());
        for _ in 0..2 {
            let refused = second.call(&asks("refuse")).await.expect_err("refused");
            assert!(matches!(refused, CallError::Model { error: ModelError::Never(_), .. }), "{refused}");
        }
        assert_eq!(model.0.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn of_two_replies_the_first_counts_for_everybody() {
        let (journal, model) = (MemoryJournal::new(), Arc::new(Counting::default()));
        let (here, there) = (calls(&journal, &model).await, calls(&journal, &model).await);
        let call = asks("q");
        // Both found nothing, and both ask.
        let (mine, theirs) = (here.asked(&call).expect("a model"), there.asked(&call).expect("a model"));
        there.make(&theirs).await.expect("made");
        here.make(&mine).await.expect("made");
        let answers = [&here, &there].map(|calls| calls.recorded(&call));
        for answer in futures::future::join_all(answers).await {
            assert_eq!(answer.expect("readable").expect("an answer").reply.text(), "1");
        }
    }
}
