//! Rules: how one field of a run is found in a record.
//!
//! | in TOML | gives |
//! |---|---|
//! | `"text"`, `"{path}"`, `"{a}/{b}"` | a template (see [`super::template`]) |
//! | `true`, `0.5` | the constant |
//! | `["{a}", "{b}"]` | the first that gives something; `[]` gives nothing |
//! | `{ from = R, map = { true = "pass", false = "fail" }, else = R }` | by value; a value that is not in the map and without `else` refuses the record |
//! | `{ from = R, at_least = 0.5, then = R, else = R }`, `above = …` | by threshold |
//! | `{ from = R, unit = "s" }` | a time in `s`, `ms`, `us` or `ns` since 1970 |
//!
//! Each of the last three takes `missing = R` for when `from` gives nothing; without it the rule gives nothing.

use super::document::{MappingError, Node, Table};
use super::moment::Unit;
use super::path::{Path, Scope};
use super::template::{Template, clip, spell};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// A value found, borrowed from the record where it can be.
pub(super) type Found<'a> = Option<Cow<'a, Value>>;

/// A compiled rule.
#[derive(Clone, Debug)]
pub(super) enum Rule {
    Template(Template),
    Constant(Value),
    FirstOf(Vec<Rule>),
    Choice(Box<Choice>),
}

/// A rule that decides.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    from: Rule,
    how: How,
    otherwise: Option<Rule>,
    missing: Option<Rule>,
}

#[derive(Clone, Debug)]
enum How {
    Map(BTreeMap<String, Rule>),
    Threshold { bound: f64, inclusive: bool, then: Rule },
    Time(Unit),
}

impl Rule {
    /// Compiles a rule; `time` allows `unit`.
    pub(super) fn compile(node: Node<'_>, time: bool) -> Result<Self, MappingError> {
        if let Some(text) = node.as_str() {
            return Template::parse(text).map(Self::Template).map_err(|e| node.error(e));
        }
        if let Some(constant) = node.scalar() {
            return Ok(Self::Constant(constant));
        }
        if let Some(list) = node.as_list() {
            return list.into_iter().map(|n| Self::compile(n, time)).collect::<Result<_, _>>().map(Self::FirstOf);
        }
        match node.as_table() {
            Some(table) => Choice::compile(&table, time).map(|c| Self::Choice(Box::new(c))),
            None => {
                Err(node
                    .error("expected text, a number, true or false, a list of alternatives, or a table with `from`"))
            }
        }
    }

    /// What it gives; the error is a sentence about the record.
    pub(super) fn give<'a>(&'a self, scope: Scope<'a>) -> Result<Found<'a>, String> {
        match self {
            Self::Template(template) => template.give(scope),
            Self::Constant(value) => Ok(Some(Cow::Borrowed(value))),
            Self::FirstOf(rules) => {
                for rule in rules {
                    if let Some(value) = rule.give(scope)? {
                        return Ok(Some(value));
                    }
                }
                Ok(None)
            }
            Self::Choice(choice) => choice.give(scope),
        }
    }

    /// Calls `visit` with every path of the rule.
    pub(super) fn paths(&self, visit: &mut dyn FnMut(&Path)) {
        match self {
            Self::Template(template) => template.paths().for_each(visit),
            Self::Constant(_) => {}
            Self::FirstOf(rules) => rules.iter().for_each(|r| r.paths(visit)),
            Self::Choice(choice) => {
                choice.from.paths(visit);
                match &choice.how {
                    How::Map(map) => map.values().for_each(|r| r.paths(visit)),
                    How::Threshold { then, .. } => then.paths(visit),
                    How::Time(_) => {}
                }
                for rule in [&choice.otherwise, &choice.missing].into_iter().flatten() {
                    rule.paths(visit);
                }
            }
        }
    }

    /// As it could be written, for errors.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Template(template) => template.source().to_owned(),
            Self::Constant(value) => value.to_string(),
            Self::FirstOf(rules) => rules.iter().map(Self::describe).collect::<Vec<_>>().join("` or `"),
            Self::Choice(choice) => choice.from.describe(),
        }
    }
}

impl Choice {
    fn compile(table: &Table<'_>, time: bool) -> Result<Self, MappingError> {
        let from = table.get("from").ok_or_else(|| table.error("this table needs `from = \"{path}\"`"))?;
        let from = Rule::compile(from, false)?;
        let rule = |key: &str| table.get(key).map(|n| Rule::compile(n, time)).transpose();
        let (otherwise, missing, then) = (rule("else")?, rule("missing")?, rule("then")?);
        let map = table.get("map");
        let (at_least, above) = (table.get("at_least"), table.get("above"));
        let unit = if time { table.get("unit") } else { None };
        table.finish()?;
        let threshold = |bound: Node<'_>, inclusive| -> Result<How, MappingError> {
            let then = then.clone().ok_or_else(|| table.error("a threshold needs `then`"))?;
            Ok(How::Threshold { bound: bound.number()?, inclusive, then })
        };
        let how = match (map, at_least, above, unit) {
            (Some(map), None, None, None) => {
                let entries = map.table()?;
                let compiled = entries.iter().map(|(key, node)| Ok((key.to_owned(), Rule::compile(node, time)?)));
                How::Map(compiled.collect::<Result<_, MappingError>>()?)
            }
            (None, Some(bound), None, None) => threshold(bound, true)?,
            (None, None, Some(bound), None) => threshold(bound, false)?,
            (None, None, None, Some(unit)) => How::Time(Unit::parse(unit.str()?).map_err(|e| unit.error(e))?),
            _ => {
                let kinds = if time { "`map`, `at_least`, `above`, `unit`" } else { "`map`, `at_least`, `above`" };
                return Err(table.error(format!("a table with `from` needs one of {kinds}")));
            }
        };
        if then.is_some() && !matches!(how, How::Threshold { .. }) {
            return Err(table.error("`then` belongs to `at_least` or `above`"));
        }
        Ok(Self { from, how, otherwise, missing })
    }

    fn give<'a>(&'a self, scope: Scope<'a>) -> Result<Found<'a>, String> {
        let Some(value) = self.from.give(scope)? else {
            return self.missing.as_ref().map_or(Ok(None), |rule| rule.give(scope));
        };
        let chosen = match &self.how {
            How::Time(unit) => return unit.convert(&value).map(|v| Some(Cow::Owned(v))),
            How::Map(map) => map.get(spell(&value).as_ref()),
            How::Threshold { bound, inclusive, then } => {
                let number = value.as_f64().ok_or_else(|| {
                    format!(
                        "`{}` gives {}, and a number is needed for the threshold",
                        self.from.describe(),
                        clip(&spell(&value))
                    )
                })?;
                let passed = if *inclusive { number >= *bound } else { number > *bound };
                return match (passed, &self.otherwise) {
                    (true, _) => then.give(scope),
                    (false, Some(rule)) => rule.give(scope),
                    (false, None) => Ok(None),
                };
            }
        };
        match chosen.or(self.otherwise.as_ref()) {
            Some(rule) => rule.give(scope),
            None => Err(format!(
                "`{}` gives `{}`, which is not in the map; add it or an `else`",
                self.from.describe(),
                clip(&spell(&value))
            )),
        }
    }
}
