//! Mappings: how the records of a source become runs, written down in TOML.

use super::canonical;
use super::conversation::Piece;
use super::document::{MappingError, Node, Source, Table};
use super::fields::{FIELDS, Field};
use super::path::{Path, Scope};
use super::rule::Rule;
use super::template::spell;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use stillhouse_schemas::Producer;

/// A compiled mapping. See the [module](super) for the language.
#[derive(Debug)]
pub struct Mapping {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) description: String,
    pub(super) text: String,
    pub(super) producer: Producer,
    pub(super) records: Vec<Path>,
    /// Records of one value that give the same here are parts of one.
    pub(super) merge: Option<Rule>,
    pub(super) only: Option<Only>,
    pub(super) each: Option<Each>,
    pub(super) join: Option<Join>,
    pub(super) key: Option<Rule>,
    pub(super) run_id: Option<Rule>,
    pub(super) occurred_at: Option<Rule>,
    pub(super) subject: Option<Rule>,
    pub(super) traceparent: Option<Rule>,
    pub(super) fields: Vec<(&'static Field, Rule)>,
    pub(super) messages: Vec<Piece>,
    pub(super) tools: Option<Rule>,
    pub(super) tags: Vec<Rule>,
    pub(super) extra: Vec<(String, Rule)>,
    pub(super) keep_extra: bool,
    pub(super) spans: bool,
    /// Top-level fields of the record that the mapping reads somewhere.
    pub(super) mentioned: BTreeSet<String>,
}

/// Which records are runs at all.
#[derive(Debug)]
pub(super) struct Only {
    from: Rule,
    is: Vec<String>,
}

/// Where the parts of a record are that are runs of their own.
#[derive(Debug)]
pub(super) enum Each {
    /// Fields of the record.
    Fields(Vec<String>),
    /// Elements of a list, or fields of an object.
    Within(Path, String),
}

/// Two kinds of records that make one.
#[derive(Debug)]
pub(super) struct Join {
    pub(super) on: Rule,
    pub(super) sides: [(String, Rule); 2],
}

impl Mapping {
    /// Compiles the text of a mapping; `file` is for complaints.
    pub fn parse(file: &str, text: &str) -> Result<Self, MappingError> {
        let source = Source { file, text };
        let document = source.parse()?;
        let root = Table::root(source, &document);
        let text_of = |key: &str| root.get(key).map(|n| n.str().map(|s| (s.to_owned(), n))).transpose();
        let (name, node) = text_of("name")?
            .ok_or_else(|| root.error("`name = \"…\"` is missing: it tells the runs of one source from another's"))?;
        legal_name(&name).map_err(|e| node.error(e))?;
        let (version, _) = text_of("version")?.unwrap_or_else(|| ("1".to_owned(), node));
        let description = text_of("description")?.map(|(d, _)| d).unwrap_or_default();
        let rule = |key: &str| root.get(key).map(|n| Rule::compile(n, false)).transpose();
        let time = |key: &str| root.get(key).map(|n| Rule::compile(n, true)).transpose();
        let records = root.get("records").map_or(Ok(Vec::new()), compile_records)?;
        let merge = rule("merge")?;
        let only = root.get("only").map(Only::compile).transpose()?;
        let each = root.get("each").map(Each::compile).transpose()?;
        let join = root.get("join").map(Join::compile).transpose()?;
        let (key, run_id, subject, traceparent) =
            (rule("key")?, rule("run_id")?, rule("subject")?, rule("traceparent")?);
        let (occurred_at, tools) = (time("occurred_at")?, rule("tools")?);
        let tags = match root.get("tags") {
            Some(node) => node.list()?.into_iter().map(|n| Rule::compile(n, false)).collect::<Result<_, _>>()?,
            None => Vec::new(),
        };
        let extra = match root.get("extra") {
            Some(node) => compile_extra(node)?,
            None => Vec::new(),
        };
        let keep_extra = root.get("keep_extra").map_or(Ok(false), Node::bool)?;
        let spans = root.get("spans").map_or(Ok(false), Node::bool)?;
        let fields = compile_fields(&root)?;
        let messages = root.get("messages").map(Piece::compile_all).transpose()?;
        root.finish()?;
        let messages = match messages {
            // Spans become runs when their traces are put together, not here.
            None if spans => Vec::new(),
            None => return Err(root.error("`messages` is missing: where is the conversation?")),
            Some(messages) => messages,
        };

        let mut said = root.json();
        if let Some(map) = said.as_object_mut() {
            for not_meant in ["name", "version", "description"] {
                map.remove(not_meant);
            }
        }
        let settings = BTreeMap::from([("mapping".to_owned(), canonical::text(&said))]);
        let config_hash = stillhouse_schemas::config_hash(&settings);
        let producer = Producer { name: format!("import/{name}"), version: version.clone(), config_hash };
        let mut mapping = Self {
            name,
            version,
            description,
            text: text.to_owned(),
            producer,
            records,
            merge,
            only,
            each,
            join,
            key,
            run_id,
            occurred_at,
            subject,
            traceparent,
            fields,
            messages,
            tools,
            tags,
            extra,
            keep_extra,
            spans,
            mentioned: BTreeSet::new(),
        };
        mapping.look_through(&root)?;
        Ok(mapping)
    }

    /// Its name: part of the identity of every run that it makes.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its version, for people; it is written into the events.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What it is for.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Its text, as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Hash of what it says, whatever its spelling, name and version.
    pub fn config_hash(&self) -> &str {
        &self.producer.config_hash
    }

    /// Whether records are spans of traces, which go to a topic of their own.
    pub fn spans(&self) -> bool {
        self.spans
    }

    /// Whether records meet others before they become runs, so that reading cannot begin in the middle.
    pub fn joins(&self) -> bool {
        self.join.is_some()
    }

    /// Collects the fields that are read, and complains where `each` is used without being declared.
    fn look_through(&mut self, root: &Table<'_>) -> Result<(), MappingError> {
        let mut mentioned = BTreeSet::new();
        let mut needs_each = false;
        let mut visit = |path: &Path| {
            mentioned.extend(path.top().map(str::to_owned));
            needs_each |= path.needs_each();
        };
        let single = [&self.key, &self.run_id, &self.occurred_at, &self.subject, &self.traceparent, &self.tools];
        single.into_iter().flatten().for_each(|r| r.paths(&mut visit));
        self.fields.iter().for_each(|(_, r)| r.paths(&mut visit));
        self.extra.iter().for_each(|(_, r)| r.paths(&mut visit));
        self.tags.iter().for_each(|r| r.paths(&mut visit));
        self.messages.iter().for_each(|p| p.paths(&mut visit));
        if let Some(only) = &self.only {
            only.from.paths(&mut visit);
        }
        match &self.each {
            Some(Each::Fields(keys)) => mentioned.extend(keys.iter().cloned()),
            Some(Each::Within(path, _)) => mentioned.extend(path.top().map(str::to_owned)),
            None if needs_each => return Err(root.error("`{each}` or `{item}` is used, but the mapping has no `each`")),
            None => {}
        }
        self.mentioned = mentioned;
        Ok(())
    }
}

impl Only {
    fn compile(node: Node<'_>) -> Result<Self, MappingError> {
        let table = node.table()?;
        let from = table.get("from").ok_or_else(|| table.error("`only` needs `from`"))?;
        let from = Rule::compile(from, false)?;
        let is = table.get("is").ok_or_else(|| table.error("`only` needs `is = [\"…\"]`"))?;
        let is = is.list()?.into_iter().map(|n| match n.scalar() {
            Some(constant) => Ok(spell(&constant).into_owned()),
            None => n.str().map(str::to_owned),
        });
        let is = is.collect::<Result<_, _>>()?;
        table.finish()?;
        Ok(Self { from, is })
    }

    /// Whether a record is meant.
    pub(super) fn takes(&self, scope: Scope<'_>) -> Result<bool, String> {
        let found = self.from.give(scope)?;
        Ok(found.is_some_and(|value| self.is.iter().any(|is| *is == spell(&value))))
    }
}

impl Each {
    fn compile(node: Node<'_>) -> Result<Self, MappingError> {
        if let Some(path) = node.as_str() {
            let compiled = Path::parse(path).map_err(|e| node.error(e))?;
            return Ok(Self::Within(compiled, path.to_owned()));
        }
        let fields: Vec<String> =
            node.list()?.into_iter().map(|n| n.str().map(str::to_owned)).collect::<Result<_, _>>()?;
        if fields.is_empty() {
            return Err(node.error("`each` is empty"));
        }
        Ok(Self::Fields(fields))
    }

    /// The parts of a record with their names; `None` where the record is one run.
    pub(super) fn parts<'a>(&'a self, record: &'a Value) -> Result<Option<Vec<(String, &'a Value)>>, String> {
        match self {
            Self::Fields(keys) => {
                let parts: Vec<_> =
                    keys.iter().filter_map(|k| Some((k.clone(), record.get(k).filter(|v| !v.is_null())?))).collect();
                if parts.is_empty() {
                    Err(format!("none of its parts is there: {}", keys.join(", ")))
                } else {
                    Ok(Some(parts))
                }
            }
            Self::Within(path, written) => {
                let scope = Scope { record, each: None, item: None };
                match path.follow(scope) {
                    None => Ok(None),
                    Some(std::borrow::Cow::Borrowed(Value::Array(list))) if list.is_empty() => Ok(None),
                    Some(std::borrow::Cow::Borrowed(Value::Array(list))) => {
                        Ok(Some(list.iter().enumerate().map(|(i, v)| (i.to_string(), v)).collect()))
                    }
                    Some(std::borrow::Cow::Borrowed(Value::Object(map))) => {
                        Ok(Some(map.iter().map(|(k, v)| (k.clone(), v)).collect()))
                    }
                    Some(_) => Err(format!(
                        "`{written}` should hold the parts of the record, and is neither a list nor an object"
                    )),
                }
            }
        }
    }
}

impl Join {
    fn compile(node: Node<'_>) -> Result<Self, MappingError> {
        let table = node.table()?;
        let on = table.get("on").ok_or_else(|| table.error("`join` needs `on`: what both records share"))?;
        let on = Rule::compile(on, false)?;
        let node = table
            .get("sides")
            .ok_or_else(|| table.error("`join` needs `sides`: two names, each with what only its records have"))?;
        let sides = node.table()?.iter().map(|(name, n)| Ok((name.to_owned(), Rule::compile(n, false)?)));
        let sides: Vec<(String, Rule)> = sides.collect::<Result<_, MappingError>>()?;
        let sides = <[_; 2]>::try_from(sides).map_err(|_| node.error("`sides` needs exactly two entries"))?;
        table.finish()?;
        Ok(Self { on, sides })
    }
}

fn compile_records(node: Node<'_>) -> Result<Vec<Path>, MappingError> {
    let list = node.as_list().unwrap_or_else(|| vec![node]);
    list.into_iter().map(|n| Path::parse(n.str()?).map_err(|e| n.error(e))).collect()
}

fn compile_extra(node: Node<'_>) -> Result<Vec<(String, Rule)>, MappingError> {
    node.table()?.iter().map(|(name, n)| Ok((name.to_owned(), Rule::compile(n, false)?))).collect()
}

fn compile_fields(root: &Table<'_>) -> Result<Vec<(&'static Field, Rule)>, MappingError> {
    let mut compiled = Vec::new();
    let groups: BTreeSet<&str> = FIELDS.iter().filter_map(|f| f.name.split_once('.')).map(|(group, _)| group).collect();
    let mut tables = BTreeMap::new();
    for group in groups {
        if let Some(node) = root.get(group) {
            tables.insert(group, node.table()?);
        }
    }
    for field in FIELDS {
        let node = match field.name.split_once('.') {
            Some((group, name)) => tables.get(group).and_then(|table| table.get(name)),
            None => root.get(field.name),
        };
        if let Some(node) = node {
            compiled.push((field, Rule::compile(node, matches!(field.kind, super::fields::Kind::Time(_)))?));
        }
    }
    tables.values().try_for_each(Table::finish)?;
    Ok(compiled)
}

fn legal_name(name: &str) -> Result<(), String> {
    let legal = !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if legal { Ok(()) } else { Err("a mapping's name has 1 to 64 characters of a-z A-Z 0-9 . _ -".into()) }
}
