//! What can be searched, and what was.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A text that can be searched: a page of a playbook, a solved task, an imported file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// Id; the key of its events. A later event of the same id replaces the earlier one.
    pub document_id: String,
    /// What it belongs to: `playbook`, `pathways`, or a name of the user's.
    pub collection: String,
    /// Title.
    #[serde(default)]
    pub title: Option<String>,
    /// The text.
    #[serde(default)]
    pub text: String,
    /// Role whose it is; of a gated corpus nobody else finds it.
    #[serde(default)]
    pub role: Option<String>,
    /// Where it is from: a path, a URL.
    #[serde(default)]
    pub source: Option<String>,
    /// What searches may filter by: name to value.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// The run that it was made of.
    #[serde(default)]
    pub run_id: Option<String>,
    /// Whether it is to be found no more.
    #[serde(default)]
    pub retired: bool,
}

fn yes() -> bool {
    true
}

/// An item of a corpus, cut into parts that fit the model, with a vector each. Of one item the latest counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Embedded {
    /// Corpus.
    pub corpus: String,
    /// The run or the document.
    pub item_id: String,
    /// Provider of the model; `lexical` for the one in process.
    pub provider: String,
    /// Model.
    pub model: String,
    /// Version or digest of the model; empty where the provider names none.
    #[serde(default)]
    pub model_version: String,
    /// Floats per vector; 0 when there are no parts.
    #[serde(default)]
    pub dims: i32,
    /// The parts, in order; none: the item is to be found no more.
    #[serde(default)]
    pub parts: Vec<EmbeddedPart>,
    /// Title.
    #[serde(default)]
    pub title: Option<String>,
    /// Whether searches find it in its role only, and if it has none, never.
    #[serde(default = "yes")]
    pub gated: bool,
    /// Role whose it is.
    #[serde(default)]
    pub role: Option<String>,
    /// How the role is known: `given`, `rule`, `model`.
    #[serde(default)]
    pub role_source: Option<String>,
    /// How sure that is, in [0,1].
    #[serde(default)]
    pub role_confidence: Option<f64>,
    /// What searches may filter by: name to value.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// The run that it is, or was made of.
    #[serde(default)]
    pub run_id: Option<String>,
    /// Revision of the run; 0 for what has none.
    #[serde(default)]
    pub revision: i64,
}

/// A part of an item with its vector.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmbeddedPart {
    /// What was embedded.
    pub text: String,
    /// The vector: 32-bit floats, little-endian.
    #[serde(default, with = "crate::bytes_or_base64")]
    pub vector: Option<Vec<u8>>,
}

/// A search that was answered, with what was withheld from it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Searched {
    /// This search.
    pub search_id: String,
    /// What was asked; empty when a vector was given.
    #[serde(default)]
    pub query: String,
    /// The vector that was given: 32-bit floats, little-endian.
    #[serde(default, with = "crate::bytes_or_base64")]
    pub vector: Option<Vec<u8>>,
    /// Corpora that were searched.
    #[serde(default)]
    pub corpora: Vec<String>,
    /// Role that the search was made in.
    #[serde(default)]
    pub query_role: Option<String>,
    /// How many hits were asked for.
    pub k: i32,
    /// The rest of the request, as JSON text.
    #[serde(default)]
    pub options: String,
    /// What was found, best first.
    #[serde(default)]
    pub hits: Vec<SearchHit>,
    /// Rows that the role gate kept out, by corpus.
    #[serde(default)]
    pub withheld: BTreeMap<String, i64>,
    /// How each corpus was searched: `exact`, `hnsw`, `lance`.
    #[serde(default)]
    pub plans: BTreeMap<String, String>,
    /// Generation of the index.
    #[serde(default)]
    pub generation: String,
    /// Ends up to which the index had read, as JSON text.
    #[serde(default)]
    pub as_of: String,
    /// Time that it took, in microseconds.
    #[serde(default)]
    pub took_us: i64,
}

/// What a search found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SearchHit {
    /// Corpus.
    pub corpus: String,
    /// Item.
    pub item_id: String,
    /// Its part, from 0.
    #[serde(default)]
    pub part: i32,
    /// Score, by which the hits are ranked.
    pub score: f64,
}
