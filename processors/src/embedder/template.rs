//! Templates: text with fields in braces. `{{` and `}}` are braces; what a field lacks leaves no gap at the ends.

use super::fields::{self, Source};
use stillhouse_schemas::Payload;

/// A template.
#[derive(Clone, Debug)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Field(&'static str),
}

impl Template {
    /// Reads a template. Fields are those of `source`.
    pub fn parse(text: &str, source: &Source) -> Result<Self, String> {
        let (mut pieces, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let place = text.len() - rest.len() + at;
            let (brace, after) = rest[at..].split_at(1);
            if let Some(after) = after.strip_prefix(brace) {
                plain.push_str(brace);
                rest = after;
                continue;
            }
            let (true, Some((name, after))) = (brace == "{", after.split_once('}')) else {
                let what = if brace == "{" { "is not closed" } else { "closes nothing" };
                return Err(format!("`{brace}` at {place} {what}; write {brace}{brace} for the character itself"));
            };
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::Field(source.field(name.trim())?));
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self(pieces))
    }

    /// The text of an event, trimmed; empty, if every field it names is.
    pub fn fill(&self, payload: &Payload) -> String {
        let mut out = String::new();
        let (mut named, mut found) = (false, false);
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Field(name) => {
                    named = true;
                    if let Some(value) = fields::value(payload, name) {
                        found = true;
                        out.push_str(&value);
                    }
                }
            }
        }
        if named && !found { String::new() } else { out.trim().to_owned() }
    }
}
