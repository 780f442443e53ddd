//! Where a command's words go: data to standard output, everything else to standard error.

use crate::failure::{Failure, Outcome};
use serde::Serialize;
use std::fmt::Display;
use std::io::{IsTerminal, Write};

/// How data is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For reading.
    #[default]
    Text,
    /// One JSON document.
    Json,
    /// One JSON object a line.
    Jsonl,
}

/// The two streams of a command.
#[derive(Clone, Debug)]
pub struct Output {
    /// Format of the data.
    pub format: Format,
    /// Say only what was asked for.
    pub quiet: bool,
}

impl Output {
    /// Whether data is JSON of either kind.
    pub fn is_json(&self) -> bool {
        self.format != Format::Text
    }

    /// Whether progress bars make sense.
    pub fn shows_progress(&self) -> bool {
        !self.quiet && !self.is_json() && std::io::stderr().is_terminal()
    }

    /// A line of data. A closed pipe ends the command quietly.
    pub fn line(&self, line: impl Display) -> Outcome {
        writeln!(std::io::stdout().lock(), "{line}").map_err(Failure::from)
    }

    /// A line of data made of terminal-safe text: control characters are escaped.
    pub fn text(&self, line: &str) -> Outcome {
        self.line(safe(line))
    }

    /// A JSON document: pretty for `json`, one line for `jsonl`.
    pub fn json(&self, value: &impl Serialize) -> Outcome {
        let text = if self.format == Format::Json {
            serde_json::to_string_pretty(value)
        } else {
            serde_json::to_string(value)
        };
        self.line(text.map_err(anyhow::Error::from)?)
    }

    /// Several JSON objects: an array for `json`, lines for `jsonl`.
    pub fn rows(&self, rows: &[impl Serialize]) -> Outcome {
        if self.format == Format::Json {
            return self.json(&rows);
        }
        rows.iter().try_for_each(|row| self.json(row))
    }

    /// A remark on standard error.
    pub fn note(&self, line: impl Display) {
        if !self.quiet {
            let _ = writeln!(std::io::stderr().lock(), "{line}");
        }
    }

    /// Something that went wrong with what was asked for: said even to who wants quiet.
    pub fn complaint(&self, line: impl Display) {
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    }

    /// Rows under a header, columns aligned by two spaces. Cells are made terminal-safe.
    pub fn table(&self, header: &[&str], rows: &[Vec<String>]) -> Outcome {
        let rows: Vec<Vec<String>> = rows.iter().map(|r| r.iter().map(|c| safe(c)).collect()).collect();
        let mut widths: Vec<usize> = header.iter().map(|h| h.chars().count()).collect();
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let render = |cells: &mut dyn Iterator<Item = &str>| {
            let line: Vec<String> = cells.zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            line.join("  ").trim_end().to_owned()
        };
        self.line(render(&mut header.iter().copied()))?;
        rows.iter().try_for_each(|row| self.line(render(&mut row.iter().map(String::as_str))))
    }
}

/// Control characters (and direction marks that could disguise text) written as escapes.
pub fn safe(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(hidden) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if hidden(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}
