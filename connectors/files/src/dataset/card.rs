//! The card of a dataset: what a reader of the folder sees first, and what Hugging Face `datasets` loads it by.
//!
//! Features are spelled out because readers that infer them take them from the first rows: a file that begins with
//! conversations without tools would fail at the first call. Columns of JSON, such as `tools`, are of type `json` (datasets
//! 4.7 and later), as arguments differ from tool to tool. Counts must be true: a wrong `num_examples` fails the load.
//! Nothing here may depend on the cut.

use super::columns::features;
use super::manifest::Manifest;
use super::write::Layout;
use std::fmt::Write;

/// The card, Markdown with a YAML header.
pub(super) fn card(manifest: &Manifest, layout: &Layout) -> String {
    let rows = manifest.counts.rows;
    let mut card = String::new();
    let kind = &manifest.kind;
    let _ = writeln!(card, "---\npretty_name: Stillhouse {kind}\ntags: [agent-traces, {kind}]");
    if kind != "rag" {
        card.push_str("task_categories: [text-generation]\n");
    }
    let _ = writeln!(card, "annotations_creators: [machine-generated]\nsize_categories: [{}]", size(rows));
    card.push_str("configs:\n- config_name: default\n  default: true\n  data_files:\n");
    let format = layout.format;
    let with_rows = || manifest.splits.iter().enumerate().filter(|(i, split)| split.rows > 0 || (*i == 0 && rows == 0));
    for (_, split) in with_rows() {
        let path = match format.sharded() {
            true => format!("data/{}-*", split.name),
            false => format!("data/{}.{}/**", split.name, format.extension()),
        };
        let _ = writeln!(card, "  - {{split: {}, path: \"{path}\"}}", split.name);
    }
    // A split without rows cannot be declared, nor a column that some rows lack where the file does not name it. A
    // directory of many files has no size that a reader could check.
    if rows > 0 && format.sharded() && (layout.declared || format.typed()) {
        card.push_str("dataset_info:\n- config_name: default\n  features:\n");
        features(layout.columns, 2, &mut card);
        card.push_str("  splits:\n");
        let mut all = 0;
        for (_, split) in with_rows() {
            let beginning = format!("data/{}-", split.name);
            let bytes: u64 = manifest.files.iter().filter(|f| f.path.starts_with(&beginning)).map(|f| f.bytes).sum();
            all += bytes;
            let _ = writeln!(card, "  - {{name: {}, num_bytes: {bytes}, num_examples: {}}}", split.name, split.rows);
        }
        let _ = writeln!(card, "  download_size: {all}\n  dataset_size: {all}");
    }
    card.push_str("---\n\n");
    body(&mut card, manifest);
    card
}

fn body(card: &mut String, manifest: &Manifest) {
    let Manifest { kind, shape, counts, exporter, stages, .. } = manifest;
    let _ = writeln!(card, "# {kind} dataset\n");
    let _ = writeln!(card, "{} rows made of {} recorded runs, in the shape `{shape}`.\n", counts.rows, counts.used);
    card.push_str("## Structure\n\n");
    card.push_str(structure(kind));
    card.push_str("\n\n| split | rows |\n|---|---|\n");
    for split in &manifest.splits {
        let _ = writeln!(card, "| {} | {} |", split.name, split.rows);
    }
    card.push_str(
        "\nA row's split is decided by a hash of its task key, or of its prompt where it has none. `lineage.jsonl` leads \
         from each row to its runs in the journal.\n\n",
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
    if !counts.dropped.is_empty() {
        card.push_str("\n| reason | rows |\n|---|---|\n");
        for (reason, rows) in &counts.dropped {
            let _ = writeln!(card, "| {reason} | {rows} |");
        }
    }
    card.push_str("\n`manifest.json` has the cut, the versions and the SHA-256 of every file.\n");
    card.push_str("\n## Personal data, bias, licence\n\n");
    card.push_str(
        "The rows are recorded conversations: whatever people and models said is in them, but for what rules found and \
         redacted",
    );
    if counts.redacted.is_empty() {
        card.push_str(" (nothing). ");
    } else {
        let list: Vec<String> = counts.redacted.iter().map(|(kind, n)| format!("{n} of kind {kind}")).collect();
        let _ = write!(card, " ({}). ", list.join(", "));
    }
    card.push_str(
        "Rules know forms, not meanings. Nobody has checked for bias. They are yours; no licence is implied.\n",
    );
}

fn structure(kind: &str) -> &'static str {
    match kind {
        "sft" => {
            "Conversations in order of time and id, the last message of each being the assistant's. Ids lead back to the \
             run in the journal; `score` and `category` are its judgement. Absent members of a message are null."
        }
        "preference" => {
            "Pairs of answers to the same prompt, byte for byte: one of a run that was accepted, or a person's correction, \
             and one of a run that was rejected or corrected."
        }
        _ => {
            "Chunks of what was said in accepted runs. Spans count characters of the message in the run, the end not \
             included."
        }
    }
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
