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
//! How many texts go in a request is learnt from how long the last ones took: a model on a slow machine makes progress that is
//! seen, and one that timed out goes on with fewer texts from where it stopped.
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
use std::time::{Duration, Instant};
use stillhouse_schemas::model::{Embedder, Embeddings, ModelError};

/// Texts of the first request.
const FIRST: usize = 16;
/// An answer within this long: twice as many may go.
const QUICK: Duration = Duration::from_secs(2);
/// An answer after this long: half as many should go.
const SLOW: Duration = Duration::from_secs(15);
/// Quick answers after one that never came, before more texts are tried again.
const WARY: u32 = 64;

#[derive(Debug)]
pub(crate) struct Vectoriser {
    asked: Asked,
    steady: Steady,
    asks: EmbedRequest,
    batch_texts: usize,
    batch_bytes: usize,
    concurrency: usize,
    timeout: Duration,
    seen: Mutex<Seen>,
    pace: Mutex<Pace>,
}

/// How many texts go in a request.
#[derive(Debug)]
struct Pace {
    texts: usize,
    /// Answers to wait for before more are tried.
    wait: u32,
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
            timeout: options.timeout,
            asked,
            seen: Mutex::default(),
            pace: Mutex::new(Pace { texts: options.batch_texts.clamp(1, FIRST), wait: 0 }),
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
            let most = self.pace().texts;
            let count = rest.iter().take(most).copied().take_while(fits).count().max(1);
            let (batch, after) = rest.split_at(count);
            batches.push(batch);
            rest = after;
        }
        batches
    }

    async fn batch(&self, texts: &[&str]) -> Result<Vectors, ModelError> {
        let made: Mutex<Vectors> = Mutex::default();
        let got = || made.lock().unwrap_or_else(PoisonError::into_inner);
        let ask = || async {
            loop {
                let from = got().vectors.len();
                let rest = &texts[from..];
                if rest.is_empty() {
                    return Ok(());
                }
                let piece = &rest[..self.pace().texts.min(rest.len())];
                let begin = Instant::now();
                let answer = self.asked.embed(piece, &self.asks).await;
                let answer = answer.and_then(|vectors| self.check(piece.len(), &vectors).map(|()| vectors));
                self.learn(piece.len(), begin.elapsed(), answer.is_ok());
                got().add(answer?);
            }
        };
        self.steady.run(ask).await?;
        Ok(made.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes note of how long an answer to so many texts took, or was waited for in vain.
    fn learn(&self, texts: usize, took: Duration, came: bool) {
        let mut pace = self.pace();
        if !came && took >= self.timeout {
            *pace = Pace { texts: (texts / 2).max(1), wait: WARY };
        } else if took > SLOW {
            pace.texts = (texts / 2).max(1);
        } else if came && took < QUICK && texts >= pace.texts {
            match pace.wait {
                0 => pace.texts = (texts * 2).min(self.batch_texts),
                _ => pace.wait -= 1,
            }
        }
    }

    fn pace(&self) -> std::sync::MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut all = Vectors { model: self.name().to_owned(), ..Vectors::default() };
        answers.into_iter().for_each(|answer| all.add(answer));
        Ok(Embeddings {
            provider: self.provider().to_owned(),
            model: all.model,
            version,
            vectors: all.vectors.into_iter().map(Arc::<[f32]>::from).collect(),
            tokens: all.tokens,
        })
    }
}
