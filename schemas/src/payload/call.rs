//! Calls of models: what was asked, what came back.

use crate::payload::Usage;
use serde::{Deserialize, Serialize};

/// A call of a model that is about to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRequested {
    /// SHA-256 of purpose, provider, model and body, hex; the key of what belongs to it.
    pub call_hash: String,
    /// `judge`, `generate`, `replay`, …
    pub purpose: String,
    /// Provider.
    pub provider: String,
    /// Model.
    pub model: String,
    /// What is asked, as JSON text.
    pub body: String,
    /// The run it is about.
    #[serde(default)]
    pub run_id: Option<String>,
}

/// What became of a call of a model. Of one call the first reply counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CallReplied {
    /// The call.
    pub call_hash: String,
    /// As in the request.
    pub purpose: String,
    /// As in the request.
    pub provider: String,
    /// Model, as answered.
    pub model: String,
    /// The answer; absent when it failed.
    #[serde(default)]
    pub text: Option<String>,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<String>,
    /// How often it was tried.
    #[serde(default = "once")]
    pub attempts: i32,
    /// Time of the last attempt, in milliseconds.
    #[serde(default)]
    pub latency_ms: i64,
    /// Tokens used.
    #[serde(default)]
    pub usage: Option<Usage>,
    /// Cost in US dollars.
    #[serde(default)]
    pub cost_usd: Option<f64>,
    /// The run it is about.
    #[serde(default)]
    pub run_id: Option<String>,
    /// The whole answer, as JSON text.
    #[serde(default)]
    pub body: Option<String>,
}

fn once() -> i32 {
    1
}
