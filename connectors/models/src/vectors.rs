//! A model that makes vectors.
//!
//! Texts go in batches, bounded in number and bytes, some at a time. An answer counts only if it is what was asked for: a
//! vector a text, all of one length, the length that this model has had before, all finite, none empty. What is not is an
//! error that names host and model, never a vector.
//!
//! Asking again does no harm here: the same text gets the same vector, for next to nothing. So a request that may have
//! been worked on (a time-out, a connection that broke, nonsense) is tried again like one that was refused, and what is
//! left when the tries are over is an error that says so: [`ModelError::Unknown`] never comes out of here.
//!
//! A provider that tells digests of its models is asked for them, so that vectors of two models that were given one name
//! after the other are told apart.

use crate::Options;
use crate::dialect::{EmbedRequest, Vectors};
use crate::http::Asked;
use crate::steady::{Again, Steady};
use async_trait::async_trait;
use futures::stream::{self, StreamExt, TryStreamExt};
use std::sync::{Arc, Mutex, PoisonError};
use stillhouse_schemas::model::{Embedder, Embeddings, ModelError};

#[derive(Debug)]
pub(crate) struct Vectoriser {
    asked: Asked,
    steady: Steady,
    asks: EmbedRequest,
    batch_texts: usize,
    batch_bytes: usize,
    concurrency: usize,
    seen: Mutex<Seen>,
}

/// What is known of the model.
#[derive(Debug, Default)]
struct Seen {
    version: Option<String>,
    dimensions: Option<usize>,
}

impl Vectoriser {
    pub(crate) fn new(asked: Asked, dimensions: Option<usize>, options: &Options) -> Self {
        Self {
            steady: Steady::new(&asked.target.host, Again::Anything, options),
            asks: EmbedRequest { dimensions, truncate: options.truncate },
            batch_texts: options.batch_texts.max(1),
            batch_bytes: options.batch_bytes,
            concurrency: options.concurrency.max(1),
            asked,
            seen: Mutex::default(),
        }
    }

    /// The texts as they are sent together.
    fn batches<'a, 'b>(&self, texts: &'a [&'b str]) -> Vec<&'a [&'b str]> {
        let (mut batches, mut rest) = (Vec::new(), texts);
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = |text: &&str| {
                bytes += text.len();
                bytes <= self.batch_bytes
            };
            let count = rest.iter().take(self.batch_texts).copied().take_while(fits).count().max(1);
            let (batch, after) = rest.split_at(count);
            batches.push(batch);
            rest = after;
        }
        batches
    }

    async fn batch(&self, texts: &[&str]) -> Result<Vectors, ModelError> {
        let ask = || async {
            let vectors = self.asked.embed(texts, &self.asks).await?;
            self.check(texts.len(), &vectors)?;
            Ok(vectors)
        };
        Ok(self.steady.run(ask).await?.0)
    }

    /// Whether an answer is one.
    fn check(&self, texts: usize, answer: &Vectors) -> Result<(), ModelError> {
        let vectors = &answer.vectors;
        if vectors.len() != texts {
            return Err(self.asked.nonsense(&format!("{} vectors for {texts} texts", vectors.len())));
        }
        let Some(first) = vectors.first() else { return Ok(()) };
        let length = first.len();
        if length == 0 {
            return Err(self.asked.nonsense("an empty vector"));
        }
        if let Some(other) = vectors.iter().find(|vector| vector.len() != length) {
            return Err(self.asked.nonsense(&format!("vectors of {length} and of {} numbers", other.len())));
        }
        if vectors.iter().flatten().any(|number| !number.is_finite()) {
            return Err(self.asked.nonsense("a vector with a number that is not finite"));
        }
        let (host, model) = (&self.asked.target.host, &self.asked.target.model);
        if let Some(wanted) = self.asks.dimensions.filter(|wanted| *wanted != length) {
            return Err(ModelError::Never(format!(
                "{host} answered vectors of {length} numbers for model `{model}`, and {wanted} were asked for: it cannot \
                 be cut to that"
            )));
        }
        let known = *self.seen().dimensions.get_or_insert(length);
        if known != length {
            return Err(ModelError::Never(format!(
                "{host} answered vectors of {length} numbers for model `{model}`, and of {known} before: two models \
                 have one name there, and their vectors cannot be compared; name the one that is meant"
            )));
        }
        Ok(())
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Embedder for Vectoriser {
    fn provider(&self) -> &str {
        self.asked.target.provider()
    }

    fn name(&self) -> &str {
        &self.asked.target.model
    }

    async fn version(&self) -> Result<String, ModelError> {
        let (version, _) = self.steady.run(|| self.asked.version()).await?;
        let mut seen = self.seen();
        if seen.version.as_ref() != Some(&version) {
            // Another model may have another length.
            *seen = Seen { version: Some(version.clone()), dimensions: None };
        }
        Ok(version)
    }

    async fn embed(&self, texts: &[&str]) -> Result<Embeddings, ModelError> {
        if let Some(place) = texts.iter().position(|text| text.trim().is_empty()) {
            return Err(ModelError::Never(format!("text {place} is empty: there is nothing to make a vector of")));
        }
        let known = self.seen().version.clone();
        let version = match known {
            Some(version) => version,
            None => self.version().await?,
        };
        let batches: Vec<_> = self.batches(texts).into_iter().map(|batch| self.batch(batch)).collect();
        let answers: Vec<Vectors> = stream::iter(batches).buffered(self.concurrency).try_collect().await?;
        let mut all = Embeddings {
            provider: self.provider().to_owned(),
            model: self.name().to_owned(),
            version,
            ..Embeddings::default()
        };
        for answer in answers {
            if !answer.model.is_empty() {
                all.model = answer.model;
            }
            all.tokens = match (all.tokens, answer.tokens) {
                (Some(so_far), Some(more)) => Some(so_far.saturating_add(more)),
                (so_far, more) => so_far.or(more),
            };
            all.vectors.extend(answer.vectors.into_iter().map(Arc::<[f32]>::from));
        }
        Ok(all)
    }
}
