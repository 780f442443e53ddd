use crate::support::*;
use proptest::prelude::*;
use std::sync::Arc;
use stillhouse_processors::transform::{DECODE, FAULT};
use stillhouse_processors::{Maker, wire};
use stillhouse_schemas::{Codec, Envelope, Event, MemoryKeys, Outcome, Payload, Producer, Run};
use stillhouse_streams::runner::Fault;
use stillhouse_streams::{Position, Received, Record};

#[test]
fn a_derived_event_is_signed() {
    let mut event = run_event(chat("r1"));
    event.envelope.traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into());
    let batch = [received(&event, "runs", 7)];
    let made = apply(&*build("materializer", &[]), &batch).remove(0).unwrap().remove(0);
    let (topic, Event { envelope, .. }) = made;
    assert_eq!(topic, "evidence");
    assert_eq!((envelope.key.as_str(), envelope.occurred_at), ("r1", event.envelope.occurred_at));
    assert_eq!(envelope.traceparent, event.envelope.traceparent);
    assert_eq!(
        (envelope.producer.name.as_str(), envelope.producer.version.as_str()),
        ("materializer", stillhouse_processors::materializer::VERSION)
    );
    assert_eq!(envelope.producer.config_hash.len(), 16);
    let cause = &envelope.causes[0];
    assert_eq!(
        (cause.id.as_str(), cause.topic.as_str(), cause.partition, cause.offset),
        (event.envelope.id.as_str(), "runs", 0, 7)
    );
    assert_eq!(wire::position(cause), Some(Position::new("runs", 0, 7)));
}

#[test]
fn ids_are_of_causes_and_configuration_not_of_places() {
    let event = run_event(chat("r1"));
    let id = |set: &[&str], topic: &str, offset| {
        apply(&*build("materializer", set), &[received(&event, topic, offset)])
            .remove(0)
            .unwrap()
            .remove(0)
            .1
            .envelope
            .id
    };
    let first = id(&[], "runs", 0);
    assert_eq!(first, id(&[], "other.runs", 99), "the place makes no difference");
    assert_eq!(first, id(&["default_class=auto"], "runs", 0), "a default that is given makes no difference");
    assert_ne!(first, id(&["default_class=chat"], "runs", 0), "another configuration, another event");
}

#[test]
fn several_causes_make_one() {
    let maker = Maker::new(Producer { name: "p".into(), version: "1".into(), config_hash: String::new() });
    let of = |id: &str, at, subject: Option<&str>| Envelope {
        id: id.into(),
        key: "k".into(),
        occurred_at: at,
        subject: subject.map(str::to_owned),
        ..Envelope::default()
    };
    let (a, b, place) = (of("a", 5, None), of("b", 3, Some("s")), Position::new("t", 1, 2));
    let say = || Payload::Exported(Default::default());
    let made = maker.derive(&[(&a, &place), (&b, &place)], "exports", 0, say());
    assert_eq!(
        (made.envelope.occurred_at, made.envelope.subject.as_deref(), made.envelope.key.as_str()),
        (5, Some("s"), "k")
    );
    let ids = [
        made.envelope.id,
        maker.derive(&[(&b, &place), (&a, &place)], "exports", 0, say()).envelope.id,
        maker.derive(&[(&a, &place), (&b, &place)], "exports", 1, say()).envelope.id,
        maker.derive(&[(&a, &place), (&b, &place)], "scores", 0, say()).envelope.id,
    ];
    assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), 4, "{ids:?}");
}

#[test]
fn what_is_no_event_is_a_lasting_fault() {
    let bytes = |value: &'static [u8]| Received {
        position: Position::new("runs", 0, 0),
        record: Record { value: Some(value.into()), ..Record::default() },
    };
    let tombstone = Received {
        position: Position::new("runs", 0, 1),
        record: Record { key: Some("r".into()), ..Record::default() },
    };
    let score = received(&evidence_event(evidence(chat("r"))), "runs", 2);
    let mut nameless = run_event(chat("r"));
    nameless.envelope.id = "not an id".into();
    let batch = [
        bytes(b""),
        bytes(b"{\"run_id\":1}"),
        bytes(b"\xc3\x01\0\0\0\0\0\0\0\0"),
        tombstone,
        score,
        received(&nameless, "runs", 3),
        received(&run_event(chat("r")), "runs", 4),
    ];
    let made = apply(&*build("materializer", &[]), &batch);
    let kinds: Vec<&str> = made
        .iter()
        .map(|made| match made {
            Ok(events) if events.is_empty() => "nothing",
            Ok(_) => "made",
            Err(Fault::Lasting { kind, .. }) => kind,
            Err(Fault::Transient(_)) => "transient",
        })
        .collect();
    assert_eq!(kinds, [DECODE, DECODE, DECODE, "nothing", FAULT, FAULT, "made"]);
}

#[test]
fn the_sealed_stay_sealed_and_of_the_erased_nothing_is_made() {
    let keys = Arc::new(MemoryKeys::default());
    let codec = Codec::with_keys(keys.clone());
    let mut event = run_event(chat("r"));
    event.envelope.subject = Some("worker-1".into());
    let at = |record: Record| [Received { position: Position::new("runs", 0, 0), record }];
    let batch = at(wire::encode(&codec, &event).unwrap());
    let definition = stillhouse_processors::processor("materializer").unwrap();
    let settings = definition.settings(&map(&[])).unwrap();
    let transform = definition.build(&settings, codec.clone()).unwrap().unwrap();
    let emits = futures::executor::block_on(transform.apply(&batch)).remove(0).unwrap();
    let made = wire::decode(&codec, &emits[0].record).unwrap().unwrap();
    assert_eq!(made.envelope.subject.as_deref(), Some("worker-1"));
    assert!(wire::decode(&Codec::plain(), &emits[0].record).is_err(), "sealed with the subject's key");
    keys.erase("worker-1");
    assert_eq!(futures::executor::block_on(transform.apply(&batch)), [Ok(Vec::new())]);
}

fn runs() -> impl Strategy<Value = Vec<Run>> {
    let outcome = (prop::option::of(-1.0..2.0_f64), prop::option::of("pass|fail|partial|blue"));
    let texts = prop::collection::vec(("user|assistant|tool|developer", "[a-zA-Z0-9 .:{}]{0,20}"), 0..6);
    let run = (texts, outcome, any::<bool>()).prop_map(|(texts, (reward, verdict), tools)| {
        let mut run = if tools { agent("") } else { chat("") };
        run.messages.extend(texts.iter().map(|(role, text)| message(role, text)));
        run.outcome = Outcome { reward, verdict, ..Outcome::default() };
        run
    });
    prop::collection::vec(run, 1..30).prop_map(|runs| {
        let named = runs.into_iter().enumerate();
        named.map(|(i, run)| Run { run_id: format!("run-{i}"), ..run }).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Evidence and scores of any runs, in whatever batches: the same bytes.
    #[test]
    fn batches_can_be_cut_anywhere(runs in runs(), size in 1_usize..8) {
        let mut batch: Vec<Received> = runs.into_iter().zip(0..).map(|(run, i)| received(&run_event(run), "runs", i)).collect();
        for name in ["materializer", "scorer"] {
            let whole = futures::executor::block_on(build(name, &[]).transform_all(&batch, batch.len()));
            let cut = futures::executor::block_on(build(name, &[]).transform_all(&batch, size));
            prop_assert_eq!(&whole, &cut);
            prop_assert!(whole.iter().all(Result::is_ok));
            let evidence = whole.into_iter().flatten().flatten().filter(|emit| emit.topic == "evidence").zip(0..);
            batch = evidence.map(|(emit, i)| Received { position: Position::new("evidence.v1", 0, i), record: emit.record }).collect();
            if batch.is_empty() {
                break;
            }
        }
    }
}

trait InBatches {
    async fn transform_all(
        &self,
        records: &[Received],
        size: usize,
    ) -> Vec<Result<Vec<stillhouse_streams::runner::Emit>, Fault>>;
}

impl InBatches for Arc<dyn stillhouse_streams::runner::Transform> {
    async fn transform_all(
        &self,
        records: &[Received],
        size: usize,
    ) -> Vec<Result<Vec<stillhouse_streams::runner::Emit>, Fault>> {
        let mut results = Vec::new();
        for batch in records.chunks(size) {
            results.extend(self.apply(batch).await);
        }
        results
    }
}
