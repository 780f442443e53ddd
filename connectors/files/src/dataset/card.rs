//! The card of a dataset: what a reader of the folder sees first, and what Hugging Face `datasets` loads it by.
//!
//! Features are spelled out because readers that infer them take them from the first rows: a file that begins with
//! conversations without tools would fail at the first call. `tool_calls` and `tools` are of type `json` (datasets 4.7
//! and later), as arguments differ from tool to tool. Counts must be true: a wrong `num_examples` fails the load.
//! Nothing here may depend on the cut.

use super::manifest::Manifest;
use std::fmt::Write;

const TRL_FEATURES: &str = "\
dataset_info:
- config_name: default
  features:
  - {name: category, dtype: string}
  - {name: evidence_id, dtype: string}
  - name: messages
    list:
    - {name: content, dtype: string}
    - {name: name, dtype: string}
    - {name: reasoning_content, dtype: string}
    - {name: role, dtype: string}
    - {name: tool_call_id, dtype: string}
    - {name: tool_calls, dtype: json}
  - {name: model, dtype: string}
  - {name: run_id, dtype: string}
  - {name: score, dtype: float64}
  - {name: score_id, dtype: string}
  - {name: source_class, dtype: string}
  - {name: task_key, dtype: string}
  - {name: tools, dtype: json}
";

/// The card, Markdown with a YAML header.
pub(super) fn card(manifest: &Manifest) -> String {
    let rows = manifest.counts.rows;
    let bytes: u64 = manifest.files.iter().map(|f| f.bytes).sum();
    let mut card = String::new();
    let kind = &manifest.kind;
    let _ = writeln!(card, "---\npretty_name: Stillhouse {kind}\ntags: [agent-traces, {kind}]");
    if kind == "sft" {
        card.push_str("task_categories: [text-generation]\n");
    }
    let _ = writeln!(card, "annotations_creators: [machine-generated]\nsize_categories: [{}]", size(rows));
    card.push_str("configs:\n- config_name: default\n  default: true\n  data_files:\n");
    card.push_str("  - {split: train, path: \"data/train-*\"}\n");
    // A split without rows cannot be declared.
    if rows > 0 && manifest.shape == "trl/messages" {
        card.push_str(TRL_FEATURES);
        let _ = writeln!(card, "  splits:\n  - {{name: train, num_bytes: {bytes}, num_examples: {rows}}}");
        let _ = writeln!(card, "  download_size: {bytes}\n  dataset_size: {bytes}");
    }
    card.push_str("---\n\n");
    body(&mut card, manifest);
    card
}

fn body(card: &mut String, manifest: &Manifest) {
    let Manifest { kind, shape, counts, exporter, stages, .. } = manifest;
    let _ = writeln!(card, "# {kind} dataset\n");
    let _ = writeln!(card, "{} rows made of {} recorded runs, in the shape `{shape}`.\n", counts.rows, counts.evidence);
    card.push_str("## Structure\n\n");
    card.push_str(
        "One JSON object a line, in order of time and id. `messages` is the conversation, the last message being the \
         assistant's; `tools` the functions it could call, or null; `run_id`, `evidence_id` and `score_id` lead back to \
         the run in the journal; `score` and `category` are its judgement. Absent members of a message are null.\n\n",
    );
    card.push_str("## Creation\n\n");
    let _ = writeln!(
        card,
        "Written by {} {} (configuration {}), from:\n",
        exporter.name, exporter.version, exporter.config_hash
    );
    for stage in stages {
        let _ = writeln!(
            card,
            "- {} {}, generation {}, configuration {}",
            stage.processor, stage.version, stage.generation, stage.config_hash
        );
    }
    card.push_str("\nSettings:\n\n");
    for (name, value) in &exporter.settings {
        let _ = writeln!(card, "- {name}: {value}");
    }
    card.push_str("\n## What was left out\n\n");
    if counts.withheld.is_empty() {
        card.push_str("Nothing.\n");
    } else {
        card.push_str("| reason | runs |\n|---|---|\n");
        for (reason, runs) in &counts.withheld {
            let _ = writeln!(card, "| {reason} | {runs} |");
        }
    }
    card.push_str(
        "\n`manifest.json` has the cut, the versions and the SHA-256 of every file.\n\n\
         ## Personal data, bias, licence\n\n\
         The rows are recorded conversations, word for word: whatever people and models said is in them. Nobody has \
         redacted them or checked them for bias. They are yours; no licence is implied.\n",
    );
}

fn size(rows: u64) -> &'static str {
    match rows {
        0..1_000 => "n<1K",
        1_000..10_000 => "1K<n<10K",
        10_000..100_000 => "10K<n<100K",
        100_000..1_000_000 => "100K<n<1M",
        1_000_000..10_000_000 => "1M<n<10M",
        _ => "n>10M",
    }
}
