//! A conversation written as one text with markers: `Human: …\n\nAssistant: …`.
//!
//! ```toml
//! messages = { text = "{chosen}", turns = { "Human:" = "user", "Assistant:" = "assistant" }, before = "system" }
//! ```
//!
//! A marker counts at the beginning of the text or of a line, the longest first. What stands between two markers is one
//! message, without the white space around it. Text before the first marker is a message of the role `before`, or
//! refuses the record where that is not declared.

use super::document::{MappingError, Node, Table};

/// Markers and their roles.
#[derive(Clone, Debug)]
pub(super) struct Turns {
    /// Longest first.
    markers: Vec<(String, String)>,
    before: Option<String>,
}

impl Turns {
    pub(super) fn compile(
        table: &Table<'_>,
        role: &dyn Fn(&str, Node<'_>) -> Result<String, MappingError>,
    ) -> Result<Self, MappingError> {
        let node =
            table.get("turns").ok_or_else(|| table.error("`text` needs `turns = { \"Human:\" = \"user\", … }`"))?;
        let mut markers = Vec::new();
        for (marker, to) in node.table()?.iter() {
            let marker = marker.trim();
            if marker.is_empty() {
                return Err(to.error("a marker is empty"));
            }
            markers.push((marker.to_owned(), role(to.str()?, to)?));
        }
        if markers.is_empty() {
            return Err(node.error("`turns` is empty"));
        }
        markers.sort_by_key(|(marker, _)| std::cmp::Reverse(marker.len()));
        let before = table.get("before").map(|n| role(n.str()?, n)).transpose()?;
        Ok(Self { markers, before })
    }

    /// Role and text of each turn.
    pub(super) fn split<'t>(&'t self, text: &'t str) -> Result<Vec<(&'t str, &'t str)>, String> {
        let mut turns = Vec::new();
        let mut open: Option<&str> = None;
        let mut start = 0;
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            let trimmed = line.trim_start_matches([' ', '\t']);
            if let Some((marker, role)) = self.markers.iter().find(|(marker, _)| trimmed.starts_with(marker.as_str())) {
                self.close(open, text[start..at].trim(), &mut turns)?;
                open = Some(role);
                start = at + (line.len() - trimmed.len()) + marker.len();
            }
            at += line.len();
        }
        if open.is_none() {
            let known: Vec<&str> = self.markers.iter().map(|(m, _)| m.as_str()).collect();
            return Err(format!("no line begins with one of the markers {}", known.join(", ")));
        }
        self.close(open, text[start..].trim(), &mut turns)?;
        Ok(turns)
    }

    fn close<'t>(
        &'t self,
        open: Option<&'t str>,
        text: &'t str,
        turns: &mut Vec<(&'t str, &'t str)>,
    ) -> Result<(), String> {
        match (open, &self.before) {
            (Some(role), _) => turns.push((role, text)),
            (None, _) if text.is_empty() => {}
            (None, Some(role)) => turns.push((role, text)),
            (None, None) => {
                return Err("text stands before the first marker; `before = \"system\"` would take it".into());
            }
        }
        Ok(())
    }
}
