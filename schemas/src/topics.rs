//! The table of logical topics: what they hold, who writes them, how they are kept.

/// Who appends to a topic. Every topic has one writer, so that data flows one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// Whoever has something to say: HTTP, import, `append`, any Kafka producer.
    Outside,
    /// The processor of this name.
    Processor(&'static str),
    /// The runner, for any processor.
    Runner,
    /// Operators, by the command line or the API.
    Operator,
    /// The node, for its own bookkeeping.
    Node,
}

/// How many partitions a topic gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partitions {
    /// As many as all topics about runs (setting `partitions`), so that what has one key meets in one worker.
    PerRun,
    /// One: total order.
    One,
}

/// How a topic is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cleanup {
    /// Everything, until retention says otherwise.
    Delete,
    /// The last record of each key.
    Compact,
}

/// A logical topic.
#[derive(Debug)]
pub struct Topic {
    /// Logical name.
    pub name: &'static str,
    /// Names of the event types it holds; none: its records are JSON, not events.
    pub events: &'static [&'static str],
    /// Who writes it.
    pub writer: Writer,
    /// How many partitions.
    pub partitions: Partitions,
    /// How it is kept.
    pub cleanup: Cleanup,
    /// Whether each generation of its writer has a physical topic of its own (`scores.v1`).
    pub derived: bool,
    /// What it is for.
    pub doc: &'static str,
}

/// Every logical topic there is.
pub static TOPICS: &[Topic] = &[
    Topic {
        name: "runs",
        events: &["run"],
        writer: Writer::Outside,
        partitions: Partitions::PerRun,
        cleanup: Cleanup::Delete,
        derived: false,
        doc: "Recorded runs of agents, as they came in.",
    },
    Topic {
        name: "claims",
        events: &["claim"],
        writer: Writer::Outside,
        partitions: Partitions::PerRun,
        cleanup: Cleanup::Delete,
        derived: false,
        doc: "What sources say to be so, by entity.",
    },
    Topic {
        name: "verdicts",
        events: &["verdict"],
        writer: Writer::Processor("reconciler"),
        partitions: Partitions::PerRun,
        cleanup: Cleanup::Delete,
        derived: true,
        doc: "What is held of what sources say, and on whose word.",
    },
    Topic {
        name: "spans",
        events: &["span"],
        writer: Writer::Outside,
        partitions: Partitions::PerRun,
        cleanup: Cleanup::Delete,
        derived: false,
        doc: "Spans of traces, as OTLP exporters sent them.",
    },
    Topic {
        name: "traces",
        events: &["run"],
        writer: Writer::Processor("assembler"),
        partitions: Partitions::PerRun,
        cleanup: Cleanup::Delete,
        derived: true,
        doc: "Runs put together from the spans of their traces.",
    },
    Topic {
        name: "documents",
        events: &["document"],
        writer: Writer::Outside,
        partitions: Partitions::PerRun,
        cleanup: Cleanup::Delete,
        derived: false,
        doc: "Texts that can be searched: playbooks, solved tasks, imported files.",
    },
    Topic {
        name: "labels",
        events: &["label"],
        writer: Writer::Outside,
        partitions: Partitions::PerRun,
        cleanup: Cleanup::Delete,
        derived: false,
        doc: "What people say of runs.",
    },
    Topic {
        name: "evidence",
        events: &["evidence"],
        writer: Writer::Processor("materializer"),
        partitions: Partitions::PerRun,
        cleanup: Cleanup::Delete,
        derived: true,
        doc: "Runs made ready to be scored and exported.",
    },
    Topic {
        name: "scores",
        events: &["score", "score_failed"],
        writer: Writer::Processor("scorer"),
        partitions: Partitions::PerRun,
        cleanup: Cleanup::Delete,
        derived: true,
        doc: "Judgements of evidence, and those that could not be made.",
    },
    Topic {
        name: "validations",
        events: &["validation"],
        writer: Writer::Processor("validator"),
        partitions: Partitions::PerRun,
        cleanup: Cleanup::Delete,
        derived: true,
        doc: "Verdicts of validators.",
    },
    Topic {
        name: "quarantine.materializer",
        events: &["quarantined", "released"],
        writer: Writer::Processor("materializer"),
        partitions: Partitions::PerRun,
        cleanup: Cleanup::Delete,
        derived: true,
        doc: "Runs that could not be made into evidence, and why.",
    },
    Topic {
        name: "quarantine.exporter",
        events: &["quarantined", "released"],
        writer: Writer::Processor("exporter"),
        partitions: Partitions::PerRun,
        cleanup: Cleanup::Delete,
        derived: true,
        doc: "Rows that were kept out of a dataset, and why.",
    },
    Topic {
        name: "exports",
        events: &["exported"],
        writer: Writer::Processor("exporter"),
        partitions: Partitions::One,
        cleanup: Cleanup::Delete,
        derived: false,
        doc: "Datasets that were written.",
    },
    Topic {
        name: "embeddings",
        events: &["embedded"],
        writer: Writer::Processor("embedder"),
        partitions: Partitions::PerRun,
        cleanup: Cleanup::Delete,
        derived: true,
        doc: "Items of the corpora with their vectors.",
    },
    Topic {
        name: "replays",
        events: &["replayed"],
        writer: Writer::Processor("replayer"),
        partitions: Partitions::PerRun,
        cleanup: Cleanup::Delete,
        derived: true,
        doc: "Recorded runs that were run again.",
    },
    Topic {
        name: "audits",
        events: &["audited"],
        writer: Writer::Processor("auditor"),
        partitions: Partitions::One,
        cleanup: Cleanup::Delete,
        derived: false,
        doc: "What audits found.",
    },
    Topic {
        name: "calls",
        events: &["call_requested", "call_replied"],
        writer: Writer::Node,
        partitions: Partitions::PerRun,
        cleanup: Cleanup::Delete,
        derived: false,
        doc: "Calls of models, with what came back.",
    },
    Topic {
        name: "searches",
        events: &["searched"],
        writer: Writer::Node,
        partitions: Partitions::PerRun,
        cleanup: Cleanup::Delete,
        derived: false,
        doc: "Searches that were answered, with what was withheld.",
    },
    Topic {
        name: "checks",
        events: &["checked"],
        writer: Writer::Node,
        partitions: Partitions::PerRun,
        cleanup: Cleanup::Delete,
        derived: false,
        doc: "Artefacts that somebody asked validators about, with the verdicts.",
    },
    Topic {
        name: "decisions",
        events: &["decision", "erasure_certified"],
        writer: Writer::Operator,
        partitions: Partitions::One,
        cleanup: Cleanup::Delete,
        derived: false,
        doc: "What operators decide about runs, rows and persons: recalls, releases, erasures.",
    },
    Topic {
        name: "roster",
        events: &["roster_changed", "roster_loaded"],
        writer: Writer::Operator,
        partitions: Partitions::One,
        cleanup: Cleanup::Delete,
        derived: false,
        doc: "The workers that there are, load by load.",
    },
    Topic {
        name: "control",
        events: &["control"],
        writer: Writer::Operator,
        partitions: Partitions::One,
        cleanup: Cleanup::Delete,
        derived: false,
        doc: "Generations started, promoted and dropped.",
    },
    Topic {
        name: "deadletters",
        events: &["dead_lettered"],
        writer: Writer::Runner,
        partitions: Partitions::One,
        cleanup: Cleanup::Delete,
        derived: false,
        doc: "Records that a processor could not take.",
    },
    Topic {
        name: "seals",
        events: &["range_sealed"],
        writer: Writer::Node,
        partitions: Partitions::One,
        cleanup: Cleanup::Delete,
        derived: false,
        doc: "Sealed digests of what stands in the other topics, on journals that have no hash chain.",
    },
    Topic {
        name: "requests",
        events: &[],
        writer: Writer::Node,
        partitions: Partitions::One,
        cleanup: Cleanup::Compact,
        derived: false,
        doc: "Idempotency keys of the HTTP API with the answers given.",
    },
];

/// The logical topic of this name.
pub fn topic(name: &str) -> Option<&'static Topic> {
    TOPICS.iter().find(|t| t.name == name)
}
