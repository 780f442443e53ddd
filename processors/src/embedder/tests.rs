//! The embedder over a model that measures texts by their length.

use super::*;
use futures::executor::block_on;
use stillhouse_schemas::model::Embeddings;
use stillhouse_schemas::{Codec, Document, Envelope, Run};
use stillhouse_streams::Position;

/// Makes a vector of a text's length, and refuses what says so.
#[derive(Debug, Default)]
struct Lengths(std::sync::Mutex<Vec<usize>>);

#[async_trait]
impl Embedders for Lengths {
    async fn embed(&self, model: &str, texts: &[&str]) -> Result<Embeddings, ModelError> {
        self.0.lock().unwrap().push(texts.len());
        if texts.iter().any(|t| t.contains("refused")) {
            return Err(ModelError::Never("too long".into()));
        }
        if texts.iter().any(|t| t.contains("busy")) {
            return Err(ModelError::Retry { what: "busy".into(), after: None });
        }
        let vectors = texts.iter().map(|t| [t.len() as f32, 1.0].into()).collect();
        let version = "7".to_owned();
        Ok(Embeddings { provider: "test".into(), model: model.to_owned(), version, vectors, tokens: None })
    }
}

fn embedder(given: &[(&str, &str)]) -> (Embedder, Arc<Lengths>) {
    let lengths = Arc::new(Lengths::default());
    let definition = crate::processor(NAME).unwrap();
    let given = given.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let settings = definition.settings(&given).unwrap();
    let ports = Ports { embedders: Some(lengths.clone()), ..Ports::from(Codec::plain()) };
    (Embedder::new(&settings, Maker::new(definition.producer(&settings)), ports).unwrap(), lengths)
}

fn received(topic: &str, offset: u64, payload: Payload) -> Received {
    let envelope = Envelope {
        id: format!("event-{offset}"),
        key: payload.natural_key().unwrap().to_owned(),
        occurred_at: 1_767_225_600_000_000,
        subject: Some("subject-1".into()),
        ..Envelope::default()
    };
    let record = wire::encode(&Codec::plain(), &Event { envelope, payload }).unwrap();
    Received { position: Position::new(topic, 0, offset), record }
}

fn page(offset: u64, id: &str, collection: &str, text: &str) -> Received {
    let document = Document {
        document_id: id.into(),
        collection: collection.into(),
        title: Some("Page".into()),
        text: text.into(),
        run_id: Some("run-9".into()),
        ..Document::default()
    };
    received("documents", offset, Payload::Document(document))
}

fn made(emits: &[Emit]) -> Vec<(Event, Embedded)> {
    let event = |emit: &Emit| {
        let event = wire::decode(&Codec::plain(), &emit.record).unwrap().unwrap();
        let Payload::Embedded(embedded) = event.payload.clone() else { panic!("{event:?}") };
        (event, embedded)
    };
    emits.iter().map(event).collect()
}

#[test]
fn a_batch_is_one_question_and_every_item_has_its_own_answer() {
    let (embedder, lengths) = embedder(&[]);
    let long = "A sentence of some length. ".repeat(100);
    let batch = [page(0, "a", "playbook", "The recruiter calls first."), page(1, "b", "handbook", &long)];
    let out = block_on(embedder.apply(&batch));
    assert_eq!(*lengths.0.lock().unwrap(), [1 + 3]);
    // Of a document that left no trace in the other corpora they say so: an earlier one may have been there.
    let first = made(out[0].as_ref().unwrap());
    let by_corpus: Vec<(&str, usize)> = first.iter().map(|(_, e)| (e.corpus.as_str(), e.parts.len())).collect();
    assert_eq!(by_corpus, [("documents", 0), ("pathways", 0), ("playbook", 1)]);
    let (event, embedded) = &first[2];
    assert_eq!((event.envelope.key.as_str(), event.envelope.subject.as_deref()), ("a", Some("subject-1")));
    assert_eq!((embedded.role.as_deref(), embedded.role_source.as_deref()), (Some("recruiter"), Some("rule")));
    assert_eq!((embedded.dims, embedded.model_version.as_str()), (2, "7"));
    assert_eq!(embedded.parts[0].text, "Page\n\nThe recruiter calls first.");
    assert_eq!(first[0].1.dims, 0);
    let ids: std::collections::BTreeSet<_> = first.iter().map(|(event, _)| event.envelope.id.clone()).collect();
    assert_eq!(ids.len(), 3);
    let second = made(out[1].as_ref().unwrap());
    let parts = &second[0].1.parts;
    assert!(parts.len() == 3 && parts.iter().all(|p| p.text.chars().count() <= 1_000), "{}", parts.len());
    // The same however the batch is cut.
    let alone = block_on(embedder.apply(&batch[1..]));
    assert_eq!(made(alone[0].as_ref().unwrap()), second);
}

#[test]
fn what_a_model_refuses_takes_nothing_with_it() {
    let (embedder, _) = embedder(&[]);
    let batch = [page(0, "a", "x", "fine"), page(1, "b", "x", "refused"), page(2, "c", "x", "fine")];
    let out = block_on(embedder.apply(&batch));
    assert!(out[0].is_ok() && out[2].is_ok());
    assert!(matches!(&out[1], Err(Fault::Lasting { kind: MODEL, .. })), "{:?}", out[1]);
    // A model that is busy is asked again for all of them: nobody knows whose fault it is.
    let out = block_on(embedder.apply(&[page(0, "a", "x", "fine"), page(1, "b", "x", "busy")]));
    assert!(out.iter().all(|one| matches!(one, Err(Fault::Transient(_)))));
}

#[test]
fn what_belongs_to_no_corpus_asks_nobody() {
    let (embedder, lengths) = embedder(&[("corpora", r#"{"a":{"topic":"evidence"}}"#)]);
    let run = Run { run_id: "r".into(), ..Run::default() };
    let out = block_on(embedder.apply(&[received("runs", 0, Payload::Run(run)), page(1, "b", "x", "text")]));
    assert!(out.iter().all(|one| one.as_ref().is_ok_and(Vec::is_empty)));
    assert!(lengths.0.lock().unwrap().is_empty());
}
