//! Settings of processors: declared in a table, given as text, checked before anything runs.
//!
//! A generation is a version and *all* its settings, the defaults too: the hash of a generation's configuration covers
//! every setting of its processor, in one spelling per value (`1`, `1.0` and `1.00` are one number). So a default that
//! changes in a later release changes the hash, and ids derived under one configuration never meet those of another.

use crate::nearest::nearest;
use std::collections::BTreeMap;
use std::fmt;

/// One setting of a processor, as declared.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Name, as in `--set name=value`.
    pub name: &'static str,
    /// Value unless given.
    pub default: &'static str,
    /// What values it takes.
    pub takes: Takes,
    /// What it does, in a sentence.
    pub doc: &'static str,
}

/// What values a setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Any finite number.
    Number,
    /// A number from 0 to 1.
    Fraction,
    /// A whole number from 1 to 1,000,000.
    Count,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A URI without blanks and without secrets, or nothing.
    Uri,
    /// The URI of a model that makes vectors.
    Embedding,
    /// A JSON object.
    Json,
    /// Which roster is looked in: nothing, `newest`, a version, or a time.
    AsOf,
}

impl fmt::Display for Takes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number => f.write_str("a finite number"),
            Self::Fraction => f.write_str("a number from 0 to 1"),
            Self::Count => f.write_str("a whole number from 1 to 1000000"),
            Self::Word(words) => write!(f, "one of {}", words.join(", ")),
            Self::Uri => f.write_str("a URI such as ollama://HOST:PORT/MODEL, without user or password"),
            Self::Embedding => f.write_str("the URI of a model that makes vectors, such as lexical:384"),
            Self::Json => f.write_str("a JSON object"),
            Self::AsOf => f.write_str("nothing, newest, a roster's version, or a time such as 2026-01-31T12:00:00Z"),
        }
    }
}

/// Why settings were refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// No such setting.
    #[error("`{processor}` has no setting `{name}`{}", hint(nearest, known))]
    Unknown {
        /// Whose settings.
        processor: String,
        /// The name given.
        name: String,
        /// The most similar name, if one is similar.
        nearest: Option<&'static str>,
        /// All names.
        known: Vec<&'static str>,
    },
    /// A value that the setting does not take.
    #[error("setting `{name}` of `{processor}` takes {takes}, not `{value}`")]
    Value {
        /// Whose setting.
        processor: String,
        /// Its name.
        name: &'static str,
        /// The value given.
        value: String,
        /// What it takes.
        takes: Takes,
    },
    /// Values that do not go together.
    #[error("settings of `{processor}` do not go together: {why}")]
    Together {
        /// Whose settings.
        processor: String,
        /// Which, and why.
        why: String,
    },
    /// Text that is not `name=value`, or a name given twice.
    #[error("`{0}`: write a setting once, as name=value")]
    Form(String),
}

fn hint(nearest: &Option<&'static str>, known: &[&'static str]) -> String {
    match nearest {
        Some(name) => format!("; did you mean `{name}`?"),
        None if known.is_empty() => "; it has none".to_owned(),
        None => format!("; it has {}", known.join(", ")),
    }
}

/// The settings of one generation of a processor: every declared one has a checked value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    processor: &'static str,
    values: BTreeMap<String, String>,
}

impl Settings {
    /// The declared settings of `processor`, with the given values over the defaults.
    pub fn new(
        processor: &'static str,
        declared: &'static [Setting],
        given: &BTreeMap<String, String>,
    ) -> Result<Self, SettingError> {
        if let Some(name) = given.keys().find(|name| declared.iter().all(|s| s.name != name.as_str())) {
            let known: Vec<_> = declared.iter().map(|s| s.name).collect();
            return Err(SettingError::Unknown {
                processor: processor.to_owned(),
                name: name.escape_debug().to_string(),
                nearest: nearest(name, known.iter().copied()),
                known,
            });
        }
        let values = declared
            .iter()
            .map(|setting| {
                let value = given.get(setting.name).map_or(setting.default, String::as_str);
                match spell(setting.takes, value) {
                    Some(value) => Ok((setting.name.to_owned(), value)),
                    None => Err(SettingError::Value {
                        processor: processor.to_owned(),
                        name: setting.name,
                        value: value.escape_debug().to_string(),
                        takes: setting.takes,
                    }),
                }
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { processor, values })
    }

    /// Name to value of every setting, each value in its one spelling.
    pub fn values(&self) -> &BTreeMap<String, String> {
        &self.values
    }

    /// The hash over all of them; empty for a processor without settings.
    pub fn config_hash(&self) -> String {
        if self.values.is_empty() { String::new() } else { stillhouse_schemas::config_hash(&self.values) }
    }

    /// The value of a number, fraction or count.
    ///
    /// # Panics
    /// If the processor declares no such setting, or declares it as a word: a mistake in the code, not in the input.
    pub fn number(&self, name: &str) -> f64 {
        self.word(name).parse().expect("declared as a number and checked")
    }

    /// The value as text.
    ///
    /// # Panics
    /// If the processor declares no such setting: a mistake in the code, not in the input.
    pub fn word(&self, name: &str) -> &str {
        self.values.get(name).expect("a setting that the processor declares")
    }

    /// A [`SettingError::Together`] about these settings.
    pub fn clash(&self, why: impl Into<String>) -> SettingError {
        SettingError::Together { processor: self.processor.to_owned(), why: why.into() }
    }
}

/// Reads `name=value` texts, as `--set` gives them.
pub fn pairs<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<BTreeMap<String, String>, SettingError> {
    let mut pairs = BTreeMap::new();
    for text in texts {
        let form = || SettingError::Form(text.escape_debug().to_string());
        let (name, value) = text.split_once('=').ok_or_else(form)?;
        if name.trim().is_empty() || pairs.insert(name.trim().to_owned(), value.trim().to_owned()).is_some() {
            return Err(form());
        }
    }
    Ok(pairs)
}

/// The one spelling of a value, or nothing if the setting does not take it.
fn spell(takes: Takes, value: &str) -> Option<String> {
    let number = || value.parse::<f64>().ok().filter(|n| n.is_finite()).map(|n| if n == 0.0 { 0.0 } else { n });
    match takes {
        Takes::Number => number().map(|n| n.to_string()),
        Takes::Fraction => number().filter(|n| (0.0..=1.0).contains(n)).map(|n| n.to_string()),
        Takes::Count => value.parse::<u32>().ok().filter(|n| (1..=1_000_000).contains(n)).map(|n| n.to_string()),
        Takes::Word(words) => words.iter().find(|w| **w == value).map(|w| (*w).to_owned()),
        Takes::Uri => is_uri(value.trim()).then(|| value.trim().to_owned()),
        Takes::Embedding => is_embedding(value.trim()).then(|| value.trim().to_owned()),
        Takes::Json => {
            let mut object =
                serde_json::from_str::<serde_json::Value>(value).ok().filter(serde_json::Value::is_object)?;
            object.sort_all_objects();
            Some(object.to_string())
        }
        Takes::AsOf => {
            let word = value.trim();
            (word.len() <= 200 && !word.contains(char::is_whitespace)).then(|| word.to_owned())
        }
    }
}

/// Nothing, or `scheme://…`; an `@` would part a host from what may be a secret, and settings are no place for one.
fn is_uri(text: &str) -> bool {
    let shaped = text.split_once("://").is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty());
    text.is_empty() || (shaped && text.len() <= 512 && !text.contains(|c: char| c.is_whitespace() || c == '@'))
}

/// `lexical:N`, or a URI.
pub(crate) fn is_embedding(text: &str) -> bool {
    text.strip_prefix("lexical:").is_some_and(|dims| dims.parse::<u32>().is_ok()) || (!text.is_empty() && is_uri(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECLARED: &[Setting] = &[
        Setting { name: "accept_at", default: "0.8", takes: Takes::Fraction, doc: "" },
        Setting { name: "max_errors", default: "3", takes: Takes::Count, doc: "" },
        Setting { name: "mode", default: "soft", takes: Takes::Word(&["soft", "hard"]), doc: "" },
        Setting { name: "offset", default: "0", takes: Takes::Number, doc: "" },
        Setting { name: "model", default: "", takes: Takes::Uri, doc: "" },
    ];

    fn settings(texts: &[&str]) -> Result<Settings, SettingError> {
        Settings::new("judge", DECLARED, &pairs(texts.iter().copied())?)
    }

    #[test]
    fn a_value_has_one_spelling() {
        let default = settings(&[]).unwrap();
        for same in ["accept_at=0.80", "accept_at=8e-1", "accept_at = .8", "max_errors=03", "offset=-0", "mode=soft"] {
            assert_eq!(settings(&[same]).unwrap().config_hash(), default.config_hash(), "{same}");
        }
        for other in ["accept_at=0.81", "max_errors=4", "offset=0.1", "mode=hard"] {
            assert_ne!(settings(&[other]).unwrap().config_hash(), default.config_hash(), "{other}");
        }
        assert_eq!(settings(&["accept_at=1"]).unwrap().number("accept_at"), 1.0);
    }

    #[test]
    fn refusals_say_what_would_do() {
        for (given, says) in [
            ("acept_at=1", "`judge` has no setting `acept_at`; did you mean `accept_at`?"),
            ("colour=red", "`judge` has no setting `colour`; it has accept_at, max_errors, mode, offset, model"),
            ("accept_at=1.1", "setting `accept_at` of `judge` takes a number from 0 to 1, not `1.1`"),
            ("accept_at=NaN", "setting `accept_at` of `judge` takes a number from 0 to 1, not `NaN`"),
            ("offset=inf", "setting `offset` of `judge` takes a finite number, not `inf`"),
            ("max_errors=0", "setting `max_errors` of `judge` takes a whole number from 1 to 1000000, not `0`"),
            ("mode=Soft", "setting `mode` of `judge` takes one of soft, hard, not `Soft`"),
            (
                "model=m",
                "setting `model` of `judge` takes a URI such as ollama://HOST:PORT/MODEL, without user or password, not `m`",
            ),
            (
                "model=a://u:p@h/m",
                "setting `model` of `judge` takes a URI such as ollama://HOST:PORT/MODEL, without user or password, not `a://u:p@h/m`",
            ),
            ("mode", "`mode`: write a setting once, as name=value"),
            ("=1", "`=1`: write a setting once, as name=value"),
        ] {
            assert_eq!(settings(&[given]).unwrap_err().to_string(), says);
        }
        assert!(matches!(settings(&["mode=soft", "mode=hard"]), Err(SettingError::Form(_))));
    }
}
