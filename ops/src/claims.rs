//! What was held at a time, and on whose word: the claims up to then, folded by the rule of the live reconciler.
//!
//! The answer is made of the claims themselves, so it is there whether or not the reconciler runs, and for any time.

use crate::events::{Log, Records};
use crate::failure::{Failure, Outcome, Status};
use std::collections::BTreeMap;
use stillhouse_processors::control::Generations;
use stillhouse_processors::reconciler::{NAME, Rule, Word, word};
use stillhouse_processors::{processor, wire};
use stillhouse_schemas::{CodecError, Micros, Verdict, time};

/// What is asked about.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// An entity; or, where that is allowed, `ENTITY.ATTRIBUTE`.
    pub name: &'a str,
    /// One of its attributes; else all.
    pub attribute: Option<&'a str>,
    /// Whether the name may have an attribute at its end. An entity of the whole name comes first.
    pub dotted: bool,
}

/// The rule of the live generation; of one that never ran, that of the settings.
pub fn rule(generations: &Generations, configured: Option<&BTreeMap<String, String>>) -> Outcome<Rule> {
    let config = |e: String| Failure::new(Status::Config, e);
    let definition = processor(NAME).map_err(|e| config(e.to_string()))?;
    let live = generations.live(NAME);
    let started = generations.of(NAME).find(|generation| generation.name == live && generation.started_at.is_some());
    let given = started.map(|generation| &generation.settings).or(configured).cloned().unwrap_or_default();
    let settings = definition.settings(&given).map_err(|e| config(e.to_string()))?;
    Rule::new(&settings).map_err(|e| config(e.to_string()))
}

/// What was held at that time, by attribute.
pub async fn held<'a>(log: impl Into<Log<'a>>, rule: &Rule, asked: &Asked<'_>, at: Micros) -> Outcome<Vec<Verdict>> {
    let words = claimed(log.into(), asked).await?;
    let found: Vec<Verdict> = words.values().filter_map(|words| rule.held(words, at)).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let name = asked.name.escape_debug();
    let attribute = asked.attribute.map(|a| format!(".{}", a.escape_debug())).unwrap_or_default();
    let earliest = words.values().flatten().map(|word| word.asserted_at).min();
    Err(match earliest {
        Some(earliest) => Failure::new(
            Status::NotFound,
            format!(
                "nobody had claimed anything of `{name}{attribute}` by then; the first claim is of {}",
                time::format(earliest)
            ),
        ),
        None => Failure::new(Status::NotFound, format!("nobody has claimed anything of `{name}{attribute}`"))
            .hint("`stillhouse tail claims` shows what was claimed of whom"),
    })
}

/// The claims that are asked about, by attribute.
async fn claimed(log: Log<'_>, asked: &Asked<'_>) -> Outcome<BTreeMap<String, Vec<Word>>> {
    let mut records = Records::of(log, &[log.names.topic("claims")]).await?;
    let (mut whole, mut dotted): (BTreeMap<String, Vec<Word>>, BTreeMap<String, Vec<Word>>) = Default::default();
    while let Some(page) = records.page().await? {
        for received in page {
            let key = received.record.key.as_deref().and_then(|key| std::str::from_utf8(key).ok());
            let Some(rest) = key.and_then(|key| asked.name.strip_prefix(key)) else { continue };
            let attribute = match rest.strip_prefix('.') {
                _ if rest.is_empty() => None,
                Some(attribute) if asked.dotted => Some(attribute),
                _ => continue,
            };
            let event = match wire::received(log.codec, &received) {
                Ok(Some(event)) => event,
                // Whoever was erased claims nothing, and nothing is claimed of them.
                Ok(None) | Err(CodecError::Erased { .. }) => continue,
                Err(error) => {
                    tracing::warn!(position = %received.position, %error, "a claim cannot be read; it is left out");
                    continue;
                }
            };
            // What the reconciler does not take counts nowhere.
            let Ok(word) = word(event) else { continue };
            if asked.attribute.or(attribute).is_some_and(|wanted| wanted != word.claim.attribute) {
                continue;
            }
            let into = if attribute.is_some() { &mut dotted } else { &mut whole };
            into.entry(word.claim.attribute.clone()).or_default().push(word);
        }
    }
    Ok(if whole.is_empty() { dotted } else { whole })
}
