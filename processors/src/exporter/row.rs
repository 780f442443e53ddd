//! One row of a dataset.

use super::canonical::write_text;
use super::source::Source;

/// A row in its canonical spelling, with its split and what it was made of. Comes out of an export, which makes it of what
/// the firewall let in; there is no other way to one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    split: &'static str,
    line: Vec<u8>,
    origins: Vec<u8>,
}

impl Row {
    pub(super) fn new(split: &'static str, line: &[u8], sources: &[Source]) -> Self {
        let mut origins = vec![b'['];
        for (i, source) in sources.iter().enumerate() {
            origins.extend_from_slice(if i == 0 { b"{" } else { b",{" });
            // Members in the order of their names, and written by hand: there is one of these for every row.
            let members = [
                ("evidence_id", Some(source.evidence_id.as_str())),
                ("label_id", source.label_id.as_deref()),
                ("run_id", Some(source.run_id.as_str())),
                ("score_id", Some(source.score_id()).filter(|id| !id.is_empty())),
            ];
            for (j, (name, id)) in
                members.into_iter().filter(|(name, id)| id.is_some() || *name == "score_id").enumerate()
            {
                origins.extend_from_slice(if j == 0 { b"\"" } else { b",\"" });
                origins.extend_from_slice(name.as_bytes());
                origins.extend_from_slice(b"\":");
                match id {
                    Some(id) => write_text(id, &mut origins),
                    None => origins.extend_from_slice(b"null"),
                }
            }
            origins.push(b'}');
        }
        origins.push(b']');
        Self { split, line: line.to_vec(), origins }
    }

    /// Name of its split.
    pub fn split(&self) -> &'static str {
        self.split
    }

    /// The JSON text, without a line end.
    pub fn line(&self) -> &[u8] {
        &self.line
    }

    /// What it was made of, a JSON list of objects with `run_id`, `evidence_id`, `score_id`, and `label_id` where a person
    /// wrote it.
    pub fn origins(&self) -> &[u8] {
        &self.origins
    }
}
