//! Corpora, as users declare them: what enters, what of it is embedded, and who may find it.

use super::fields::{self, Source};
use super::template::Template;
use serde::Deserialize;
use std::collections::BTreeMap;
use stillhouse_schemas::Payload;

/// The corpora of a user who declares none.
pub const DEFAULT: &str = concat!(
    r#"{"documents":{"topic":"documents","except":{"collection":["playbook","pathways"]}},"#,
    r#""evidence":{"topic":"evidence","text":"{prompt}\n\n{answer}"},"#,
    r#""pathways":{"topic":"documents","where":{"collection":["pathways"]}},"#,
    r#""playbook":{"topic":"documents","where":{"collection":["playbook"]},"gated":true}}"#
);

/// A corpus as written in the settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Declared {
    topic: String,
    #[serde(default, rename = "where")]
    only: BTreeMap<String, OneOrMany>,
    #[serde(default)]
    except: BTreeMap<String, OneOrMany>,
    text: Option<String>,
    title: Option<String>,
    role: Option<String>,
    metadata: Option<Vec<String>>,
    #[serde(default)]
    gated: bool,
    model: Option<String>,
    part_characters: Option<usize>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn values(self) -> Vec<String> {
        match self {
            Self::One(value) => vec![value],
            Self::Many(values) => values,
        }
    }
}

/// A corpus: a filter and templates over one kind of event.
#[derive(Clone, Debug)]
pub struct Corpus {
    /// Name.
    pub name: String,
    /// Whether a search finds what has a role in that role only, and what has none not at all.
    pub gated: bool,
    /// URI of the model.
    pub model: String,
    /// Most characters of a part.
    pub part_characters: usize,
    source: Source,
    only: Vec<(&'static str, Vec<String>)>,
    except: Vec<(&'static str, Vec<String>)>,
    text: Template,
    title: Template,
    role: Template,
    metadata: Vec<&'static str>,
}

/// What a corpus takes of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Item {
    /// What is embedded; empty: it is to be found no more.
    pub text: String,
    /// Title.
    pub title: Option<String>,
    /// Role, as the event has it.
    pub role: Option<String>,
    /// What searches may filter by.
    pub metadata: BTreeMap<String, String>,
}

/// Reads the corpora of a setting. Errors name the corpus and the field.
pub fn parse(json: &str, default_model: &str) -> Result<Vec<Corpus>, String> {
    let declared: BTreeMap<String, Declared> = serde_json::from_str(json).map_err(|e| format!("corpora: {e}"))?;
    declared.into_iter().map(|(name, declared)| corpus(name, declared, default_model)).collect()
}

fn corpus(name: String, declared: Declared, default_model: &str) -> Result<Corpus, String> {
    let wrong = |what: String| format!("corpora.{name}: {what}");
    if name.is_empty() || name.len() > 64 || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
        return Err(wrong("a name has 1 to 64 of a-z A-Z 0-9 _ -".into()));
    }
    let source = fields::source(&declared.topic).map_err(wrong)?;
    let field = |name: &str| source.field(name).map_err(wrong);
    let lists = |lists: BTreeMap<String, OneOrMany>| -> Result<Vec<_>, String> {
        lists.into_iter().map(|(name, values)| Ok((field(&name)?, values.values()))).collect()
    };
    let template = |what: &str, given: Option<String>, default: &str| {
        let text = given.as_deref().unwrap_or(default);
        Template::parse(text, &source).map_err(|e| wrong(format!("{what}: {e}")))
    };
    let model = declared.model.unwrap_or_else(|| default_model.to_owned());
    if !crate::settings::is_embedding(&model) {
        return Err(wrong(format!("model: `{}` is no URI of a model", model.escape_debug())));
    }
    let part_characters = declared.part_characters.unwrap_or(1_000);
    if !(50..=100_000).contains(&part_characters) {
        return Err(wrong(format!("part_characters = {part_characters} is out of range: 50 to 100000")));
    }
    let metadata = declared.metadata.map_or_else(
        || Ok(source.metadata.to_vec()),
        |names| names.iter().map(|name| field(name)).collect::<Result<Vec<_>, _>>(),
    )?;
    Ok(Corpus {
        gated: declared.gated,
        part_characters,
        only: lists(declared.only)?,
        except: lists(declared.except)?,
        text: template("text", declared.text, source.text)?,
        title: template("title", declared.title, source.title)?,
        role: template("role", declared.role, "{role}")?,
        metadata,
        source,
        model,
        name,
    })
}

impl Corpus {
    /// The logical topic that it is made of.
    pub fn topic(&self) -> &'static str {
        self.source.topic
    }

    /// What it takes of an event; nothing, if the event is none of its own. An item that is to be found no more has an
    /// empty text, and so has one that left the corpus: an earlier event of the same key may have been in it.
    pub fn item(&self, payload: &Payload) -> Option<Item> {
        if !self.source.takes(payload) {
            return None;
        }
        let value = |name| fields::value(payload, name).unwrap_or_default();
        let among = |(name, values): &(&'static str, Vec<String>)| {
            let value = value(name);
            values.iter().any(|v| *v == value)
        };
        let inside = self.only.iter().all(among) && !self.except.iter().any(among);
        if !inside || matches!(payload, Payload::Document(d) if d.retired) {
            return Some(Item::default());
        }
        let some = |text: String| (!text.is_empty()).then_some(text);
        let mut metadata: BTreeMap<String, String> = self
            .metadata
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), fields::value(payload, name)?.into_owned())))
            .collect();
        if let Payload::Document(document) = payload {
            metadata.extend(document.metadata.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
        Some(Item {
            text: self.text.fill(payload),
            title: some(self.title.fill(payload)),
            role: some(self.role.fill(payload)),
            metadata,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stillhouse_schemas::{Document, Evidence, Message};

    fn one(json: &str) -> Result<Corpus, String> {
        parse(&format!(r#"{{"c":{json}}}"#), "lexical:8").map(|mut all| all.remove(0))
    }

    fn page(collection: &str) -> Payload {
        Payload::Document(Document {
            document_id: "d".into(),
            collection: collection.into(),
            title: Some("Nights".into()),
            text: "Call before six.".into(),
            role: Some(" dispatcher ".into()),
            metadata: BTreeMap::from([("city".into(), "Springfield".into())]),
            ..Document::default()
        })
    }

    #[test]
    fn the_default_takes_each_document_once() {
        let all = parse(DEFAULT, "lexical:8").unwrap();
        for collection in ["playbook", "pathways", "handbook"] {
            let payload = page(collection);
            let takers = all.iter().filter(|c| c.item(&payload).is_some_and(|i| !i.text.is_empty()));
            assert_eq!(takers.count(), 1, "{collection}");
        }
        assert!(all.iter().any(|c| c.name == "playbook" && c.gated));
    }

    #[test]
    fn templates_filters_and_metadata() {
        let corpus = one(
            r#"{"topic":"documents","where":{"collection":"a"},"text":"{title}: {text} {{x}} {run_id}","metadata":["source"]}"#,
        )
        .unwrap();
        let item = corpus.item(&page("a")).unwrap();
        assert_eq!(item.text, "Nights: Call before six. {x}");
        assert_eq!(item.role.as_deref(), Some("dispatcher"));
        assert_eq!(item.metadata, BTreeMap::from([("city".into(), "Springfield".into())]));
        // What leaves a corpus is taken out of it.
        assert_eq!(corpus.item(&page("b")), Some(Item::default()));
        assert_eq!(corpus.item(&Payload::Evidence(Evidence::default())), None);

        let evidence = Payload::Evidence(Evidence {
            source_class: "chat".into(),
            messages: vec![
                Message { role: "system".into(), content: Some("be kind".into()), ..Message::default() },
                Message { role: "user".into(), content: Some("why?".into()), ..Message::default() },
            ],
            answer: Some("so".into()),
            ..Evidence::default()
        });
        let item = one(r#"{"topic":"evidence","where":{"source_class":["agent","chat"]}}"#).unwrap().item(&evidence);
        assert_eq!(item.unwrap().text, "why?\n\nso");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (json, says) in [
            (r#"{"topic":"evidense"}"#, "did you mean `evidence`?"),
            (r#"{"topic":"documents","text":"{txt}"}"#, "corpora.c: text: no field `txt`; did you mean `text`?"),
            (r#"{"topic":"documents","text":"{text"}"#, "text: `{` at 0 is not closed"),
            (r#"{"topic":"documents","where":{"colection":"a"}}"#, "did you mean `collection`?"),
            (r#"{"topic":"documents","model":"minilm"}"#, "`minilm` is no URI"),
            (r#"{"topic":"documents","part_characters":3}"#, "out of range"),
            (r#"{"topic":"documents","gate":true}"#, "unknown field `gate`"),
        ] {
            let error = one(json).unwrap_err();
            assert!(error.contains(says), "{json}: {error}");
        }
    }
}
