//! Vectors of texts in this process: no server, no download, nothing learnt. **Lexical**: two texts are near when they
//! share words, pairs of words and parts of words. Synonyms, paraphrases and other languages are as far apart as anything
//! else; a model of [`stillhouse_schemas::model::Embedder`] that was trained knows those, this one is what there is
//! without.
//!
//! ```text
//!   text ─▶ NFKC, lower case ─▶ words ─┬▶ words ────────────────┐
//!                                      ├▶ pairs of neighbours ──┼▶ weight ─▶ signed hashing into the dimensions ─▶ length 1
//!                                      └▶ parts of 3 to 5 ──────┘
//! ```
//!
//! A feature found `n` times counts `√n` times its weight. The weight stands for the rarity that an IDF table would
//! have told, and needs no table: it grows with the length of the word, because the frequent words of every language that
//! writes words are short (`ops/benchmarks.md` has what it finds beside a table learnt from the very texts). So a vector
//! depends on its text and on nothing else, is the same on every host, and never has to be made again because the log grew.
//!
//! Promises: a vector of [`VERSION`] is the same for ever; another recipe is another version. Deliberately absent: word
//! lists, stemming, stop words, anything of one language.

mod features;

use async_trait::async_trait;
use std::sync::Arc;
use std::task::Poll;
use stillhouse_schemas::model::{Embedder, Embeddings, ModelError};

/// The scheme of URIs.
pub const SCHEME: &str = "lexical";
/// The form of URIs.
pub const FORM: &str = "lexical:DIMENSIONS";
/// What the vectors are made by. Forever: stored vectors are compared with new ones.
pub const VERSION: &str = "1";
/// Dimensions where a URI names none.
pub const DIMENSIONS: usize = 384;

/// Fewer would mix everything with everything, more buy nothing.
const RANGE: std::ops::RangeInclusive<usize> = 16..=8_192;

/// After so many bytes of text others get their turn: a millisecond or two.
const TURN: usize = 32 << 10;

/// The embedder of a URI: `lexical:384`, `lexical://384`, or without a number. Nothing if it is of another scheme.
pub fn open(uri: &str) -> Option<Result<Arc<dyn Embedder>, String>> {
    let rest = uri.strip_prefix(SCHEME)?;
    let rest = if rest.is_empty() { rest } else { rest.strip_prefix("://").or(rest.strip_prefix(':'))? };
    let dimensions = if rest.is_empty() { Some(DIMENSIONS) } else { rest.parse().ok() };
    let known = dimensions.filter(|n| RANGE.contains(n));
    Some(known.map(|n| Arc::new(Lexical::new(n)) as Arc<dyn Embedder>).ok_or_else(|| {
        let (least, most) = (RANGE.start(), RANGE.end());
        format!("`{}` names no dimensions from {least} to {most}; write {FORM}", uri.escape_debug())
    }))
}

/// The embedder.
#[derive(Clone, Debug)]
pub struct Lexical {
    dimensions: usize,
    name: String,
}

impl Lexical {
    /// Makes vectors of so many numbers.
    pub fn new(dimensions: usize) -> Self {
        Self { dimensions, name: format!("{SCHEME}:{dimensions}") }
    }

    /// The vector of a text: of length 1, or of zeros where the text holds neither letter nor digit.
    pub fn vector(&self, text: &str) -> Vec<f32> {
        let mut vector = vec![0_f32; self.dimensions];
        features::each(text, |hash, weight| {
            // The upper half says where, the lowest bit which sign: what collides cancels out as often as it adds up.
            let place = ((hash >> 32) * self.dimensions as u64) >> 32;
            let signed = if hash & 1 == 0 { weight } else { -weight };
            vector[usize::try_from(place).unwrap_or(0)] += signed;
        });
        let length = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
        if length > 0.0 {
            for x in &mut vector {
                *x = (f64::from(*x) / length) as f32;
            }
        }
        vector
    }
}

#[async_trait]
impl Embedder for Lexical {
    fn provider(&self) -> &str {
        SCHEME
    }

    fn name(&self) -> &str {
        &self.name
    }

    async fn version(&self) -> Result<String, ModelError> {
        Ok(VERSION.to_owned())
    }

    async fn embed(&self, texts: &[&str]) -> Result<Embeddings, ModelError> {
        let (mut vectors, mut bytes) = (Vec::with_capacity(texts.len()), 0);
        for text in texts {
            vectors.push(self.vector(text).into());
            bytes += text.len();
            if bytes > TURN {
                bytes = 0;
                step_aside().await;
            }
        }
        Ok(Embeddings {
            provider: SCHEME.to_owned(),
            model: self.name.clone(),
            version: VERSION.to_owned(),
            vectors,
            tokens: None,
        })
    }
}

/// Lets the other tasks of this thread run.
async fn step_aside() {
    let mut aside = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut aside, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn likeness(a: &str, b: &str) -> f32 {
        let lexical = Lexical::new(DIMENSIONS);
        lexical.vector(a).iter().zip(lexical.vector(b)).map(|(a, b)| a * b).sum()
    }

    /// Stored vectors are compared with new ones: these bits are for ever, on every host.
    #[test]
    fn a_vector_of_this_version_is_the_same_for_ever() {
        let golden = |text: &str| {
            let bits = Lexical::new(16).vector(text).into_iter().map(f32::to_bits);
            bits.fold(0xcbf2_9ce4_8422_2325_u64, |hash, bits| (hash ^ u64::from(bits)).wrapping_mul(0x0100_0000_01b3))
        };
        let found = ["the refund of order 17 was refused", "Straße, ﬁn, ΣΊΣΥΦΟΣ", "返金 was refused", "\u{1f600} — !"]
            .map(golden);
        assert_eq!(
            found.map(|hash| format!("{hash:016x}")),
            ["d8f95c29a2fa7591", "d835fcea0340549b", "6dc3c747874bfaf8", "88201fb960ff6465"]
        );
    }

    #[test]
    fn likeness_follows_shared_words_and_parts_not_case_or_form() {
        let text = "The customer asks for a refund of the cancelled flight";
        assert!((likeness(text, text) - 1.0).abs() < 1e-5);
        assert!((likeness(text, &text.to_uppercase()) - 1.0).abs() < 1e-5);
        assert!((likeness("ﬁne Å", "fine A\u{30a}") - 1.0).abs() < 1e-5, "NFKC");
        let (near, inflected, far) = (
            likeness(text, "cancelled flight: does the customer get a refund?"),
            likeness(text, "customers asking about refunds for cancelled flights"),
            likeness(text, "seven apples and three pears make ten pieces of fruit"),
        );
        assert!(near > 0.5 && inflected > 0.35 && far < 0.15, "{near} {inflected} {far}");
        assert!(likeness("東京都の天気予報", "天気予報は東京都") > 0.5);
        assert!(likeness("東京都の天気予報", "株価は上がった") < 0.2);
    }

    #[test]
    fn any_text_has_a_vector_of_finite_numbers() {
        let lexical = Lexical::new(DIMENSIONS);
        assert!(lexical.vector("").iter().all(|x| *x == 0.0));
        assert!(lexical.vector(" \u{200b}\n—").iter().all(|x| *x == 0.0));
        for text in ["a".repeat(1 << 20), "\u{fdfa}".repeat(1_000), "e\u{301}".repeat(50_000), "x y ".repeat(100_000)] {
            let vector = lexical.vector(&text);
            let length: f32 = vector.iter().map(|x| x * x).sum();
            assert!((length - 1.0).abs() < 1e-4, "{length}");
        }
    }

    #[test]
    fn uris() {
        for (uri, name) in [
            ("lexical:384", "lexical:384"),
            ("lexical://768", "lexical:768"),
            ("lexical", "lexical:384"),
            ("lexical:", "lexical:384"),
        ] {
            assert_eq!(open(uri).expect("ours").expect("dimensions").name(), name);
        }
        for uri in ["lexical:x", "lexical://15", "lexical:8193", "lexical:384 "] {
            assert!(open(uri).expect("ours").expect_err("no dimensions").contains("lexical:DIMENSIONS"), "{uri}");
        }
        assert!(open("lexicality:384").is_none() && open("ollama://h/m").is_none());
    }
}
