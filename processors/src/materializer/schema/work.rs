//! How much work a schema makes over an answer, counted before anybody does it.
//!
//! A few lines of JSON Schema can ask for more steps than there are seconds: `$ref`s that double at every level, or that
//! lead in circles over one and the same value. So each pair of a schema and a value that it is applied to is counted once,
//! and what it asks for is added up, however often it would be done. The sum is an upper bound of what a validator does
//! that remembers nothing: it knows no shortcuts, and takes every branch.
//!
//! Only references within the document can be followed here; whatever leads elsewhere is refused.

use super::Unusable;
use serde_json::{Map, Value};
use std::collections::HashMap;

/// Steps that a check may take.
const MOST_STEPS: u64 = 250_000;
/// Schemas that may be applied within one another, references and descents into the answer among them.
const MOST_DEPTH: u32 = 512;
/// Patterns of a schema: a compiled one may have a megabyte.
const MOST_PATTERNS: usize = 100;
/// Steps of matching a pattern that may have to be taken back.
const PATTERN: u64 = 500;
/// Bytes of a text or a list of constants that one step looks at.
const STRIDE: u64 = 16;

/// Refuses a schema that asks for more than the limits when it is applied to this value.
pub(super) fn bounded(schema: &Value, value: &Value) -> Result<(), Unusable> {
    let draft = schema.get("$schema").and_then(Value::as_str).unwrap_or_default();
    let mut document = Document { fourth: draft.contains("draft-04"), ..Document::default() };
    document.survey(schema, schema, true)?;
    let name = Value::String(String::new());
    let mut work = Work { root: schema, document, name: &name, known: HashMap::new(), spent: 0 };
    let found = work.apply(schema, value, 0)?;
    if found.collect > MOST_STEPS { Err(Unusable::Costly) } else { Ok(()) }
}

/// What of a schema is known by name, and how much there is of it.
#[derive(Default)]
struct Document<'a> {
    id: Option<&'a str>,
    /// Of the draft that wrote `id` for `$id`.
    fourth: bool,
    anchors: HashMap<&'a str, &'a Value>,
    patterns: usize,
}

/// Keywords whose value names schemas.
const NAMED: &[&str] = &["properties", "patternProperties", "dependentSchemas", "dependencies", "$defs", "definitions"];

impl<'a> Document<'a> {
    /// Goes through the whole document. What stands below unknown keywords is looked at too: a reference may lead there.
    fn survey(&mut self, root: &'a Value, schema: &'a Value, is_schema: bool) -> Result<(), Unusable> {
        match schema {
            Value::Array(items) => items.iter().try_for_each(|item| self.survey(root, item, is_schema)),
            Value::Object(members) => {
                if is_schema {
                    self.named(std::ptr::eq(root, schema), schema, members)?;
                }
                members.iter().try_for_each(|(name, value)| {
                    let constants = is_schema && matches!(name.as_str(), "enum" | "const" | "default" | "examples");
                    // Members of `properties` are names, not keywords.
                    let names = is_schema && NAMED.contains(&name.as_str());
                    if constants { Ok(()) } else { self.survey(root, value, !names) }
                })
            }
            _ => Ok(()),
        }
    }

    fn named(&mut self, is_root: bool, schema: &'a Value, members: &'a Map<String, Value>) -> Result<(), Unusable> {
        let text = |name: &str| members.get(name).and_then(Value::as_str);
        let id = if self.fourth { text("id") } else { text("$id") };
        if let Some(id) = id {
            match (is_root, id.strip_prefix('#')) {
                // How anchors were written once.
                (_, Some(anchor)) => drop(self.anchors.insert(anchor, schema)),
                (true, None) => self.id = Some(id.trim_end_matches('#')),
                // A document of its own, within which references mean something else.
                (false, None) => return Err(Unusable::Foreign),
            }
        }
        for anchor in [text("$anchor"), text("$dynamicAnchor")].into_iter().flatten() {
            self.anchors.insert(anchor, schema);
        }
        let keys = members.get("patternProperties").and_then(Value::as_object).map_or(0, Map::len);
        self.patterns += keys + usize::from(members.contains_key("pattern"));
        if self.patterns > MOST_PATTERNS { Err(Unusable::Large) } else { Ok(()) }
    }

    /// What a reference leads to.
    fn find(&self, root: &'a Value, reference: &str) -> Result<&'a Value, Unusable> {
        let own =
            self.id.and_then(|id| reference.strip_prefix(id)).filter(|rest| rest.is_empty() || rest.starts_with('#'));
        let fragment = match own.unwrap_or(reference) {
            "" if own.is_some() => "",
            within => within.strip_prefix('#').ok_or(Unusable::Foreign)?,
        };
        let fragment = percent_decoded(fragment);
        let found = match fragment.is_empty() || fragment.starts_with('/') {
            true => root.pointer(&fragment),
            false => self.anchors.get(fragment.as_str()).copied(),
        };
        found.ok_or(Unusable::Foreign)
    }
}

fn percent_decoded(text: &str) -> String {
    let (bytes, mut out, mut at) = (text.as_bytes(), Vec::with_capacity(text.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let escaped = bytes.get(at + 1..at + 3).filter(|_| *byte == b'%');
        let escaped = escaped.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        out.push(escaped.unwrap_or(*byte));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Steps of applying a schema to a value: to say whether it holds, to collect what does not, and to say which members
/// were looked at.
#[derive(Clone, Copy, Debug, Default)]
struct Steps {
    valid: u64,
    collect: u64,
    mark: u64,
    /// Schemas applied within one another.
    height: u32,
}

impl Steps {
    fn of(steps: u64) -> Self {
        Self { valid: steps, collect: steps, mark: steps, height: 1 }
    }

    /// Another schema, applied to the same value or to a part of it, so many times.
    fn add(&mut self, other: Self, times: u64) {
        self.valid = self.valid.saturating_add(other.valid.saturating_mul(times));
        self.collect = self.collect.saturating_add(other.collect.saturating_mul(times));
        self.mark = self.mark.saturating_add(other.mark.saturating_mul(times));
        self.height = self.height.max(other.height.saturating_add(1));
    }

    /// One that is applied to the same value: what it looked at counts only if it holds.
    fn in_place(self) -> Self {
        Self { mark: self.mark.saturating_add(self.valid), ..self }
    }

    /// One that is asked whether it holds before it is asked what does not.
    fn asked_first(self) -> Self {
        Self { collect: self.collect.saturating_add(self.valid), ..self }
    }

    /// Everything that may happen to it, for what looks at which members were looked at.
    fn marked(self) -> Self {
        let all = self.valid.saturating_add(self.mark);
        Self { valid: all, collect: self.collect.saturating_add(self.mark), mark: all, ..self }
    }
}

struct Work<'a> {
    root: &'a Value,
    document: Document<'a>,
    /// Stands for names of members.
    name: &'a Value,
    /// By schema and value; nothing while it is being counted.
    known: HashMap<(*const Value, *const Value), Option<Steps>>,
    /// Steps of all pairs that were counted, each once: so that counting ends in time too.
    spent: u64,
}

impl<'a> Work<'a> {
    fn apply(&mut self, schema: &'a Value, value: &'a Value, depth: u32) -> Result<Steps, Unusable> {
        let pair = (std::ptr::from_ref(schema), std::ptr::from_ref(value));
        let steps = match self.known.get(&pair) {
            Some(Some(steps)) => *steps,
            Some(None) => return Err(Unusable::Endless),
            None => {
                if depth >= MOST_DEPTH {
                    return Err(Unusable::Deep);
                }
                self.known.insert(pair, None);
                let steps = self.count(schema, value, depth + 1)?;
                self.known.insert(pair, Some(steps));
                steps
            }
        };
        if depth.saturating_add(steps.height) > MOST_DEPTH { Err(Unusable::Deep) } else { Ok(steps) }
    }

    fn count(&mut self, schema: &'a Value, value: &'a Value, depth: u32) -> Result<Steps, Unusable> {
        let Value::Object(keywords) = schema else { return Ok(Steps::of(1)) };
        let own = own(keywords, value);
        self.spent = self.spent.saturating_add(own);
        if self.spent > MOST_STEPS {
            return Err(Unusable::Costly);
        }
        let mut steps = Steps::of(own);
        for keyword in ["$ref", "$dynamicRef", "$recursiveRef"] {
            if let Some(reference) = keywords.get(keyword).and_then(Value::as_str) {
                let target = self.document.find(self.root, reference)?;
                steps.add(self.apply(target, value, depth)?.in_place(), 1);
            }
        }
        for (keyword, asked_first) in [("allOf", false), ("anyOf", true), ("oneOf", true)] {
            for branch in list(keywords, keyword) {
                let branch = self.apply(branch, value, depth)?.in_place();
                steps.add(if asked_first { branch.asked_first() } else { branch }, 1);
            }
        }
        for keyword in ["not", "if", "then", "else"] {
            if let Some(branch) = keywords.get(keyword) {
                steps.add(self.apply(branch, value, depth)?.in_place().asked_first(), 1);
            }
        }
        for keyword in ["dependentSchemas", "dependencies"] {
            for (_, branch) in named(keywords, keyword) {
                steps.add(self.apply(branch, value, depth)?.in_place(), 1);
            }
        }
        match value {
            Value::Object(members) => self.members(keywords, members, depth, &mut steps)?,
            Value::Array(items) => self.items(keywords, items, depth, &mut steps)?,
            _ => {}
        }
        let marks = ["unevaluatedProperties", "unevaluatedItems"].iter().any(|name| keywords.contains_key(*name));
        Ok(if marks { steps.marked() } else { steps })
    }

    fn members(
        &mut self,
        keywords: &'a Map<String, Value>,
        members: &'a Map<String, Value>,
        depth: u32,
        steps: &mut Steps,
    ) -> Result<(), Unusable> {
        for (name, schema) in named(keywords, "properties") {
            if let Some(member) = members.get(name) {
                steps.add(self.apply(schema, member, depth)?, 1);
            }
        }
        let patterns = named(keywords, "patternProperties").map(|(_, schema)| schema);
        let rest = ["additionalProperties", "unevaluatedProperties"].iter().filter_map(|name| keywords.get(*name));
        for schema in patterns.chain(rest) {
            for member in members.values() {
                steps.add(self.apply(schema, member, depth)?, 1);
            }
        }
        if let Some(schema) = keywords.get("propertyNames") {
            let name = self.name;
            steps.add(self.apply(schema, name, depth)?, members.len() as u64);
        }
        Ok(())
    }

    fn items(
        &mut self,
        keywords: &'a Map<String, Value>,
        items: &'a [Value],
        depth: u32,
        steps: &mut Steps,
    ) -> Result<(), Unusable> {
        for keyword in ["prefixItems", "items"] {
            for (schema, item) in list(keywords, keyword).iter().zip(items) {
                steps.add(self.apply(schema, item, depth)?, 1);
            }
        }
        for keyword in ["items", "additionalItems", "unevaluatedItems", "contains"] {
            if let Some(schema) = keywords.get(keyword).filter(|schema| !schema.is_array()) {
                for item in items {
                    steps.add(self.apply(schema, item, depth)?, 1);
                }
            }
        }
        Ok(())
    }
}

fn list<'a>(keywords: &'a Map<String, Value>, keyword: &str) -> &'a [Value] {
    keywords.get(keyword).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn named<'a>(keywords: &'a Map<String, Value>, keyword: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    let members = keywords.get(keyword).and_then(Value::as_object).into_iter().flatten();
    // `dependencies` may list names of members instead.
    members.filter(|(_, schema)| !schema.is_array())
}

/// Steps that the keywords of a schema take by themselves.
fn own(keywords: &Map<String, Value>, value: &Value) -> u64 {
    let size = match value {
        Value::Object(members) => members.len() as u64,
        Value::Array(items) => items.len() as u64,
        Value::String(text) => text.len() as u64 / STRIDE,
        _ => 0,
    };
    let constants = ["enum", "const", "required", "dependentRequired"].iter().filter_map(|name| keywords.get(*name));
    let constants: u64 = constants.map(bytes).sum::<u64>() / STRIDE;
    let patterns: u64 = match value {
        Value::String(text) => keywords.get("pattern").and_then(Value::as_str).map_or(0, |p| matching(p, text)),
        Value::Object(members) => {
            let patterns = named(keywords, "patternProperties");
            patterns.map(|(pattern, _)| members.keys().map(|name| matching(pattern, name)).sum::<u64>()).sum()
        }
        _ => 0,
    };
    let properties = keywords.get("properties").and_then(Value::as_object).map_or(0, Map::len) as u64;
    // What is said to be a pattern is compiled as one.
    let compiled = keywords.get("format").is_some_and(|format| format == "regex") && value.is_string();
    // Whether two items are the same is asked by hashing all that is in them.
    let unique = keywords.get("uniqueItems").filter(|_| value.is_array()).map_or(0, |_| bytes(value) / STRIDE);
    1 + size
        + constants
        + unique
        + keywords.len() as u64
        + patterns
        + properties / STRIDE
        + if compiled { PATTERN } else { 0 }
}

/// Steps of matching a pattern. One that looks around itself, or back at what it found, may take back what it did.
fn matching(pattern: &str, text: &str) -> u64 {
    let looks = ["(?=", "(?!", "(?<", "(?>"].iter().any(|group| pattern.contains(group));
    let backs = pattern.as_bytes().windows(2).any(|two| two[0] == b'\\' && (two[1] == b'k' || two[1].is_ascii_digit()));
    let size = 1 + text.len() as u64 / STRIDE;
    if looks || backs { size + PATTERN.min(1 << text.len().min(16)) } else { size }
}

/// About how much there is in a value.
fn bytes(value: &Value) -> u64 {
    match value {
        Value::String(text) => text.len() as u64 + 8,
        Value::Array(items) => items.iter().map(bytes).sum::<u64>() + 8,
        Value::Object(members) => members.iter().map(|(name, value)| name.len() as u64 + bytes(value)).sum::<u64>() + 8,
        _ => 8,
    }
}
