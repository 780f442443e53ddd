//! Which rows of a dataset hold a run.
//!
//! `lineage.jsonl` says it. In the first layout of datasets a row says which runs it is made of in members whose names end
//! in `run_id` (`run_id`, `chosen_run_id`) or `run_ids`, at the top or in objects within. Kinds of datasets are not known
//! here: whatever has such members is found.

use super::{Dataset, DatasetError, RowLine, lineage, on};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};

/// Longest line that is read.
const LINE: u64 = 256 << 20;
/// How deep objects are looked into.
const DEPTH: usize = 3;

/// A place where a dataset holds a run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Held {
    /// The run.
    pub run_id: String,
    /// File within the dataset.
    pub file: String,
    /// Line of the file, from 1.
    pub line: u64,
    /// Row of the dataset, from 1.
    pub row: u64,
    /// As what: `row`, or `chosen` or `rejected` for a side of a pair.
    #[serde(rename = "as")]
    pub role: String,
}

impl Dataset {
    /// Whether its rows can be looked through: what they were made of has a file of its own, or they are lines of JSON that
    /// say it; and it is there.
    pub fn is_readable(&self) -> bool {
        let there = |path: &str| self.path().join(path).is_file();
        if self.is_traced() {
            return there(lineage::NAME);
        }
        let mut lines = self.data().peekable();
        lines.peek().is_some() && lines.all(|file| there(&file.path))
    }

    fn is_traced(&self) -> bool {
        self.manifest().files.iter().any(|file| file.path == lineage::NAME)
    }

    fn data(&self) -> impl Iterator<Item = &super::File> {
        self.manifest().files.iter().filter(|f| f.path.starts_with("data/") && f.path.ends_with(".jsonl"))
    }

    /// Where it holds any of these runs, in the order of its rows.
    pub fn holding(&self, runs: &BTreeSet<String>) -> Result<Vec<Held>, DatasetError> {
        if self.is_traced() { self.traced(runs) } else { self.said(runs) }
    }

    /// By `lineage.jsonl`, whatever the format and the shape of the data.
    fn traced(&self, runs: &BTreeSet<String>) -> Result<Vec<Held>, DatasetError> {
        let mut held = Vec::new();
        let (mut row, mut last) = (0, None);
        let mut sides = 0;
        for line in self.rows() {
            let RowLine { split, number, run_id, .. } = line?;
            let place = (split, number);
            if last.as_ref() == Some(&place) {
                sides += 1;
            } else {
                (row, sides) = (row + 1, 0);
                last = Some(place.clone());
            }
            if runs.contains(&run_id) {
                let (file, line) = self.placed(&place.0, number);
                let role = match (self.manifest().kind.as_str(), sides) {
                    ("preference", 0) => "chosen",
                    ("preference", _) => "rejected",
                    _ => "row",
                };
                held.push(Held { run_id, file, line, row, role: role.to_owned() });
            }
        }
        Ok(held)
    }

    /// The file that a row of a split is in, and its number there. Of a format whose files are directories, the directory.
    fn placed(&self, split: &str, number: u64) -> (String, u64) {
        let mut before = 0;
        for file in &self.manifest().files {
            let of_split = file.path.strip_prefix("data/").and_then(|name| name.strip_prefix(split));
            if let Some(rest) = of_split.filter(|rest| rest.starts_with(['-', '.'])) {
                if number <= before + file.rows {
                    let within = rest.find('/').map_or(0, |at| rest.len() - at);
                    return (file.path[..file.path.len() - within].to_owned(), number - before);
                }
                before += file.rows;
            }
        }
        (format!("data/{split}"), number)
    }

    /// By the members of each line, for the first layout.
    fn said(&self, runs: &BTreeSet<String>) -> Result<Vec<Held>, DatasetError> {
        let spelled: Vec<String> = runs.iter().map(|run| Value::from(run.as_str()).to_string()).collect();
        let (mut held, mut row) = (Vec::new(), 0);
        for file in self.data() {
            let path = self.path().join(&file.path);
            let mut reader = BufReader::with_capacity(1 << 18, File::open(&path).map_err(on("open", &path))?);
            let mut text = Vec::new();
            for line in 1.. {
                text.clear();
                if reader.by_ref().take(LINE).read_until(b'\n', &mut text).map_err(on("read", &path))? == 0 {
                    break;
                }
                row += 1;
                let damaged =
                    |what: String| DatasetError::Damaged { path: path.clone(), what: format!("line {line}: {what}") };
                let text = std::str::from_utf8(&text).map_err(|e| damaged(e.to_string()))?;
                // Most rows hold none of them: only those that may are parsed.
                if !spelled.iter().any(|run| text.contains(run.as_str())) {
                    continue;
                }
                let value: Value = serde_json::from_str(text).map_err(|e| damaged(e.to_string()))?;
                let mut of_row = BTreeSet::new();
                runs_of(&value, "", DEPTH, &mut of_row);
                held.extend(of_row.into_iter().filter(|(run, _)| runs.contains(run)).map(|(run_id, role)| Held {
                    run_id,
                    file: file.path.clone(),
                    line,
                    row,
                    role,
                }));
            }
        }
        Ok(held)
    }
}

/// The runs that a row is made of, each with its part in it.
fn runs_of(value: &Value, within: &str, depth: usize, found: &mut BTreeSet<(String, String)>) {
    let Value::Object(members) = value else { return };
    for (name, value) in members {
        let stem = name.strip_suffix("run_ids").or_else(|| name.strip_suffix("run_id"));
        let role = |stem: &str| match (stem.trim_end_matches('_'), within) {
            ("", "") => "row".to_owned(),
            ("", within) => within.to_owned(),
            (own, _) => own.to_owned(),
        };
        match (stem, value) {
            (Some(stem), Value::String(run)) => drop(found.insert((run.clone(), role(stem)))),
            (Some(stem), Value::Array(runs)) => {
                found.extend(runs.iter().filter_map(Value::as_str).map(|run| (run.to_owned(), role(stem))));
            }
            (None, Value::Object(_)) if depth > 0 => runs_of(value, name, depth - 1, found),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn runs_are_found_by_the_names_of_members_and_never_in_what_was_said() {
        let found = |value: Value| {
            let mut found = BTreeSet::new();
            runs_of(&value, "", DEPTH, &mut found);
            found.into_iter().map(|(run, role)| format!("{run} {role}")).collect::<Vec<_>>()
        };
        assert_eq!(found(json!({"run_id": "a", "messages": [{"run_id": "b", "content": "c"}]})), ["a row"]);
        assert_eq!(found(json!({"chosen_run_id": "a", "rejected_run_id": "b"})), ["a chosen", "b rejected"]);
        assert_eq!(found(json!({"rejected": {"run_id": "b"}, "run_ids": ["c", 1]})), ["b rejected", "c row"]);
        assert_eq!(found(json!({"prompt": "run_id", "run_id": 7})), Vec::<String>::new());
    }
}
