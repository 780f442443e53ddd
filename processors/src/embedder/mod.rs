//! The embedder: events that belong to a corpus become vectors of their parts.
//!
//! What belongs where is declared ([`corpus`]): a topic, a filter, templates for text, title and role. Of every event
//! that a corpus takes there is one [`Embedded`], with a part for each piece of text that fits the model; an event whose
//! item is to be found no more has one without parts. The model is asked through the port [`Embedders`], for a whole
//! batch at once, so that a model that is slow per call is not slow per event.
//!
//! What is absent: similarity, indexes, and any other text than the event's own.

pub mod corpus;
mod fields;
pub mod roles;
mod template;

pub use corpus::Corpus;

use crate::chunking::chunks;
use crate::settings::{Setting, SettingError, Settings, Takes};
use crate::transform::{self, FAULT, Maker, Ports, fault};
use crate::wire;
use async_trait::async_trait;
use roles::{Found, Roles};
use std::collections::BTreeMap;
use std::sync::Arc;
use stillhouse_schemas::model::{CallError, Embedders, ModelError};
use stillhouse_schemas::{Embedded, EmbeddedPart, Event, Payload};
use stillhouse_streams::Received;
use stillhouse_streams::runner::{Emit, Fault, Transform};

/// Name.
pub const NAME: &str = "embedder";
/// Version of the code.
pub const VERSION: &str = "1";

/// What can be set.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "corpora",
        default: corpus::DEFAULT,
        takes: Takes::Json,
        doc: "The corpora; in the settings file they are written as [corpora.NAME].",
    },
    Setting {
        name: "model",
        default: "lexical:384",
        takes: Takes::Embedding,
        doc: "Model of the corpora that name none; lexical:N is in process and finds what shares words.",
    },
    Setting {
        name: "roles",
        default: roles::DEFAULT,
        takes: Takes::Json,
        doc: "Roles by the words that mean them: {\"role\": [\"word\", …]}; empty: roles are only what events say.",
    },
    Setting {
        name: "role_model",
        default: "",
        takes: Takes::Uri,
        doc: "Model that is asked for the role of what is gated and has none that the rules find; empty: none is asked.",
    },
];

/// Kind of the lasting fault of a text that the model refuses.
const MODEL: &str = "model";

/// The embedder with its settings.
#[derive(Debug)]
pub struct Embedder {
    corpora: Vec<Corpus>,
    roles: Roles,
    maker: Maker,
    ports: Ports,
    embedders: Arc<dyn Embedders>,
}

/// What is to be embedded of one event for one corpus.
struct Wanted {
    corpus: usize,
    texts: Vec<String>,
    embedded: Embedded,
}

impl Embedder {
    /// With these settings; what is asked comes by the ports.
    pub fn new(settings: &Settings, maker: Maker, ports: Ports) -> Result<Self, SettingError> {
        let corpora = corpus::parse(settings.word("corpora"), settings.word("model")).map_err(|e| settings.clash(e))?;
        let roles = Roles::parse(settings.word("roles"), settings.word("role_model")).map_err(|e| settings.clash(e))?;
        if roles.asks_models() && ports.calls.is_none() {
            return Err(settings.clash("it has a role_model, and no models can be asked here"));
        }
        let embedders = ports.embedders.clone();
        let embedders = embedders.ok_or_else(|| settings.clash("there is nothing here that makes vectors"))?;
        Ok(Self { corpora, roles, maker, ports, embedders })
    }

    /// What is wanted of one record, roles found.
    async fn wanted(&self, received: &Received) -> Result<Option<(Event, Vec<Wanted>)>, Fault> {
        let Some(event) = transform::event(&self.ports.codec, received)? else { return Ok(None) };
        let mut wanted = Vec::new();
        for (at, corpus) in self.corpora.iter().enumerate() {
            let Some(item) = corpus.item(&event.payload) else { continue };
            let pieces = chunks(&item.text, corpus.part_characters, corpus.part_characters / 10);
            let texts: Vec<String> = pieces.into_iter().map(|piece| item.text[piece.bytes].to_owned()).collect();
            let found = match item.role {
                Some(role) => Some(Found::given(role)),
                None if corpus.gated && !texts.is_empty() => self.role(&event, received, &item).await?,
                None => None,
            };
            let embedded = Embedded {
                corpus: corpus.name.clone(),
                item_id: event.payload.natural_key().unwrap_or_default().to_owned(),
                title: item.title,
                gated: corpus.gated,
                role: found.as_ref().map(|f| f.role.clone()),
                role_source: found.as_ref().map(|f| f.source.to_owned()),
                role_confidence: found.map(|f| f.confidence),
                metadata: item.metadata,
                run_id: event.payload.run_id().map(str::to_owned),
                revision: match &event.payload {
                    Payload::Run(run) => run.revision,
                    Payload::Evidence(evidence) => evidence.revision,
                    _ => 0,
                },
                ..Embedded::default()
            };
            wanted.push(Wanted { corpus: at, texts, embedded });
        }
        Ok(Some((event, wanted)))
    }

    async fn role(&self, event: &Event, received: &Received, item: &corpus::Item) -> Result<Option<Found>, Fault> {
        if let Some(found) = self.roles.by_rules(item.title.as_deref().unwrap_or_default(), &item.text) {
            return Ok(Some(found));
        }
        let (Some(ask), Some(calls)) = (self.roles.asks(&item.text), &self.ports.calls) else { return Ok(None) };
        match calls.call(&ask.about(event, &received.position)).await {
            Ok(answered) => Ok(self.roles.answered(answered.reply.text())),
            Err(CallError::Model { error: ModelError::Never(_), .. }) => Ok(None),
            Err(error) => Err(Fault::Transient(error.to_string())),
        }
    }

    /// Vectors for the texts of these, in place. All or none.
    async fn embed(&self, wanted: &mut [&mut Wanted]) -> Result<(), Fault> {
        let mut by_model: BTreeMap<&str, Vec<&mut Wanted>> = BTreeMap::new();
        for one in wanted.iter_mut() {
            by_model.entry(&self.corpora[one.corpus].model).or_default().push(one);
        }
        for (model, of_model) in by_model {
            let texts: Vec<&str> = of_model.iter().flat_map(|w| w.texts.iter().map(String::as_str)).collect();
            let made = self.embedders.embed(model, &texts).await.map_err(|error| match error {
                ModelError::Never(what) => Fault::Lasting { kind: MODEL, message: what },
                ModelError::Retry { what, .. } | ModelError::Unknown(what) => Fault::Transient(what),
            })?;
            if made.vectors.len() != texts.len() {
                let message = format!("{model} made {} vectors of {} texts", made.vectors.len(), texts.len());
                return Err(Fault::Transient(message));
            }
            let mut vectors = made.vectors.iter();
            for one in of_model {
                let parts = one.texts.iter().zip(vectors.by_ref());
                one.embedded.parts = parts.map(|(text, vector)| part(text, vector)).collect();
                one.embedded.dims = made.vectors.first().map_or(0, |v| i32::try_from(v.len()).unwrap_or(i32::MAX));
                one.embedded.provider.clone_from(&made.provider);
                one.embedded.model.clone_from(&made.model);
                one.embedded.model_version.clone_from(&made.version);
                if one.embedded.parts.is_empty() {
                    one.embedded.dims = 0;
                }
            }
        }
        Ok(())
    }

    fn emits(&self, event: &Event, received: &Received, wanted: Vec<Wanted>) -> Result<Vec<Emit>, Fault> {
        let causes = [(&event.envelope, &received.position)];
        let emit = |(ordinal, one): (usize, Wanted)| {
            let ordinal = u32::try_from(ordinal).unwrap_or(u32::MAX);
            let derived = self.maker.derive(&causes, "embeddings", ordinal, Payload::Embedded(one.embedded));
            let record = wire::encode(&self.ports.codec, &derived).map_err(|error| fault(&error, FAULT))?;
            Ok(Emit { topic: "embeddings", record })
        };
        wanted.into_iter().enumerate().map(emit).collect()
    }
}

fn part(text: &str, vector: &[f32]) -> EmbeddedPart {
    let bytes = vector.iter().flat_map(|f| f.to_le_bytes()).collect();
    EmbeddedPart { text: text.to_owned(), vector: Some(bytes) }
}

#[async_trait]
impl Transform for Embedder {
    async fn apply(&self, batch: &[Received]) -> Vec<Result<Vec<Emit>, Fault>> {
        let asked = futures::future::join_all(batch.iter().map(|received| self.wanted(received))).await;
        let mut made: Vec<Result<Option<(Event, Vec<Wanted>)>, Fault>> = asked;
        let mut all: Vec<&mut Wanted> =
            made.iter_mut().flatten().flatten().flat_map(|(_, wanted)| wanted.iter_mut()).collect();
        if let Err(fault) = self.embed(&mut all).await {
            // One text that the model refuses must not take the others with it.
            let several = made.iter().filter(|one| matches!(one, Ok(Some(_)))).count() > 1;
            for one in &mut made {
                let Ok(Some((_, wanted))) = one else { continue };
                let alone = match &fault {
                    Fault::Lasting { .. } if several => self.embed(&mut wanted.iter_mut().collect::<Vec<_>>()).await,
                    fault => Err(fault.clone()),
                };
                if let Err(fault) = alone {
                    *one = Err(fault);
                }
            }
        }
        made.into_iter()
            .zip(batch)
            .map(|(one, received)| match one? {
                Some((event, wanted)) => self.emits(&event, received, wanted),
                None => Ok(Vec::new()),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
