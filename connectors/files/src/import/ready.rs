//! The table of mappings that are shipped.

use super::document::MappingError;
use super::mapping::Mapping;
use super::nearest;

/// A mapping that is shipped.
#[derive(Debug)]
pub struct Ready {
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub doc: &'static str,
    /// Its text.
    pub toml: &'static str,
}

/// All of them.
pub static READY: &[Ready] = &[
    Ready {
        name: "tau-bench",
        doc: "trajectories of tau-bench (historical_trajectories/*.json)",
        toml: include_str!("ready/tau-bench.toml"),
    },
    Ready {
        name: "openai-chat",
        doc: "OpenAI chat: fine-tuning lines, stored chat completions with their messages",
        toml: include_str!("ready/openai-chat.toml"),
    },
    Ready {
        name: "openai-batch",
        doc: "OpenAI Batch API: input and output file, joined by custom_id",
        toml: include_str!("ready/openai-batch.toml"),
    },
    Ready {
        name: "langfuse",
        doc: "Langfuse exports: generations, or traces with observations and scores",
        toml: include_str!("ready/langfuse.toml"),
    },
    Ready {
        name: "langfuse-batch",
        doc: "Langfuse's older ingestion batches: {\"batch\": […]}",
        toml: include_str!("ready/langfuse-batch.toml"),
    },
    Ready {
        name: "phoenix",
        doc: "Phoenix exports of OpenInference spans: pages of its API, data frames as JSON lines",
        toml: include_str!("ready/phoenix.toml"),
    },
    Ready {
        name: "otel",
        doc: "OpenTelemetry spans in files: what collectors write (OTLP JSON), what SDKs print (to_json)",
        toml: include_str!("ready/otel.toml"),
    },
    Ready {
        name: "sharegpt",
        doc: "ShareGPT conversations (from/value or role/content), with tools as LLaMA-Factory has them",
        toml: include_str!("ready/sharegpt.toml"),
    },
];

/// A shipped mapping by its name.
pub fn ready(name: &str) -> Option<&'static Ready> {
    READY.iter().find(|r| r.name == name)
}

impl Ready {
    /// Compiles it.
    pub fn mapping(&self) -> Result<Mapping, MappingError> {
        Mapping::parse(self.name, self.toml)
    }
}

/// A sentence for a name that is none.
pub fn unknown(name: &str) -> String {
    let known: Vec<&str> = READY.iter().map(|r| r.name).collect();
    format!(
        "there is no mapping `{name}`{}; shipped are {}, or give a TOML file",
        nearest::hint(name, &known),
        known.join(", ")
    )
}
