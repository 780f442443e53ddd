//! Answers from passages: what of the answer stands in them, and whether what it cites exists.
//!
//! Grounded is meant literally: a claim (a sentence with something to say) is grounded when enough of its words
//! (`grounded_overlap`) stand in one of the passages and all of its numbers in any. This misses a good paraphrase rather
//! than it takes a made-up fact for a found one. An answer that says that the passages do not tell has no claims.

use super::Refusal;
use super::chat::conversation;
use super::class::Limits;
use super::reference::matches;
use super::signals::{empty_for_want_of_text, put};
use std::collections::BTreeSet;
use stillhouse_schemas::{Evidence, Passage, Run};

pub(super) const CLASS: &str = "retrieval";

/// How answers say that the passages do not tell, in lower case. They count in answers of at most [`SHORT`] words.
pub static DECLINES: &[&str] = &[
    "not in the passages",
    "not in the passage",
    "not in the provided",
    "not in the context",
    "not mentioned in",
    "not stated in",
    "not provided in",
    "not found in",
    "passages do not",
    "passages don't",
    "passage does not",
    "context does not",
    "documents do not",
    "sources do not",
    "does not say",
    "do not say",
    "cannot be answered",
    "can't be answered",
    "cannot answer",
    "can't answer",
    "unanswerable",
    "no answer",
    "no information about",
    "not enough information",
    "insufficient information",
    "i don't know",
    "i do not know",
];
const SHORT: usize = 60;

/// Words that say nothing of their own.
static FILLERS: &[&str] = &[
    "about",
    "after",
    "all",
    "also",
    "and",
    "any",
    "are",
    "because",
    "been",
    "before",
    "being",
    "both",
    "but",
    "can",
    "could",
    "did",
    "does",
    "each",
    "for",
    "from",
    "had",
    "has",
    "have",
    "her",
    "his",
    "how",
    "into",
    "its",
    "may",
    "more",
    "most",
    "must",
    "not",
    "only",
    "other",
    "our",
    "out",
    "over",
    "per",
    "should",
    "since",
    "some",
    "such",
    "than",
    "that",
    "the",
    "their",
    "them",
    "then",
    "there",
    "these",
    "they",
    "this",
    "those",
    "through",
    "under",
    "until",
    "was",
    "were",
    "what",
    "when",
    "where",
    "which",
    "while",
    "who",
    "will",
    "with",
    "would",
    "you",
    "your",
    "according",
    "passage",
    "passages",
    "answer",
];

/// Takes an answer from passages.
pub(super) fn take(run: &mut Run, limits: &Limits) -> Result<Evidence, Refusal> {
    let mut evidence = conversation(run, CLASS)?;
    empty_for_want_of_text(&mut evidence);
    let answer = evidence.answer.clone().unwrap_or_default();
    let (text, cited) = citations(&answer, &evidence.passages);
    let unknown = cited.iter().filter(|cited| !is_known(cited, &evidence.passages)).count();
    let declined = declines(&text);
    let claims: Vec<BTreeSet<String>> = if declined { Vec::new() } else { claims(&text) };
    let passages: Vec<BTreeSet<String>> = evidence.passages.iter().map(|p| words(&p.text)).collect();
    let grounded = claims.iter().filter(|claim| is_grounded(claim, &passages, limits.grounded_overlap)).count();
    for (name, count) in [
        ("passages", passages.len()),
        ("claims", claims.len()),
        ("grounded_claims", grounded),
        ("citations", cited.len()),
        ("unknown_citations", unknown),
    ] {
        evidence.signals.insert(name.to_owned(), count as f64);
    }
    put(&mut evidence, "declined", declined);
    if let Some(reference) = evidence.reference.clone().filter(|reference| !reference.trim().is_empty()) {
        let met = if declines(&reference) {
            declined
        } else {
            !declined && (matches(&text, &reference) || holds(&text, &reference))
        };
        put(&mut evidence, "reference_match", met);
    }
    Ok(evidence)
}

fn declines(text: &str) -> bool {
    let lower = text.to_lowercase().replace('’', "'");
    DECLINES.iter().any(|phrase| lower.contains(phrase)) && lower.split_whitespace().nth(SHORT).is_none()
}

/// The text without its citations, and what is cited: `[1]`, `[doc-3, doc-4]`, `【2】`. What is in brackets and could be
/// no id (`[sic]`, a link's text) stays.
fn citations(answer: &str, passages: &[Passage]) -> (String, Vec<String>) {
    let (mut text, mut cited) = (String::with_capacity(answer.len()), Vec::new());
    let mut rest = answer;
    while let Some(at) = rest.find(['[', '【']) {
        let (before, bracket) = rest.split_at(at);
        text.push_str(before);
        let (open, close) = if bracket.starts_with('[') { ('[', ']') } else { ('【', '】') };
        let inner = &bracket[open.len_utf8()..];
        let ids = inner.find(close).map(|end| (&inner[..end], &inner[end + close.len_utf8()..]));
        let ids = ids.filter(|(ids, after)| !after.starts_with('(') && are_ids(ids, passages));
        match ids {
            Some((ids, after)) => {
                cited.extend(ids.split([',', ';']).map(|id| id.trim().trim_start_matches('^').to_owned()));
                rest = after;
            }
            None => {
                text.push(open);
                rest = inner;
            }
        }
    }
    text.push_str(rest);
    (text, cited)
}

fn are_ids(ids: &str, passages: &[Passage]) -> bool {
    let is_id = |id: &str| {
        let id = id.trim().trim_start_matches('^');
        let shaped = id.chars().any(|c| c.is_ascii_digit()) && !id.contains(char::is_whitespace);
        !id.is_empty() && id.len() <= 128 && (shaped || is_known(id, passages))
    };
    ids.split([',', ';']).all(is_id)
}

/// An id is that of a passage, or the place of one, counted from 1, where they have no ids.
fn is_known(cited: &str, passages: &[Passage]) -> bool {
    let by_id = passages.iter().any(|p| p.id.as_deref() == Some(cited));
    let place = cited.parse::<usize>().ok().and_then(|place| place.checked_sub(1)).and_then(|i| passages.get(i));
    by_id || place.is_some()
}

/// The words of every sentence that says something.
fn claims(text: &str) -> Vec<BTreeSet<String>> {
    let mut sentences = Vec::new();
    for line in text.lines() {
        let mut start = 0;
        let marks = line.match_indices(['.', '!', '?', ';']);
        for (at, mark) in marks {
            let end = at + mark.len();
            // `3.5` and `e.g.` do not end a sentence.
            if line[end..].is_empty() || line[end..].starts_with(char::is_whitespace) {
                sentences.push(&line[start..end]);
                start = end;
            }
        }
        sentences.push(&line[start..]);
    }
    sentences.into_iter().map(words).filter(|words| words.len() >= 2 || words.iter().any(|w| is_number(w))).collect()
}

fn is_number(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit())
}

/// The words of a text that mean something: in lower case, without fillers, endings of plurals cut off. Numbers without
/// their commas.
fn words(text: &str) -> BTreeSet<String> {
    let split = |c: char| !(c.is_alphanumeric() || matches!(c, '\'' | '’' | '.' | ',' | ':'));
    let words = text.split(split).flat_map(|word| {
        let word = word.trim_matches(|c: char| !c.is_alphanumeric());
        let number = is_number(word);
        // Between letters these part words; between digits they belong to the number.
        let parts: Vec<&str> = if number { vec![word] } else { word.split(['.', ',', ':', '\'', '’']).collect() };
        parts.into_iter().map(str::to_owned).collect::<Vec<_>>()
    });
    words
        .map(|word| word.to_lowercase())
        .filter(|word| is_number(word) || (word.chars().nth(2).is_some() && !FILLERS.contains(&word.as_str())))
        .map(|word| match is_number(&word) {
            true => word.replace(',', ""),
            false => word.strip_suffix('s').filter(|stem| stem.len() > 3).map_or(word.clone(), str::to_owned),
        })
        .collect()
}

fn is_grounded(claim: &BTreeSet<String>, passages: &[BTreeSet<String>], overlap: f64) -> bool {
    let numbers_found = claim.iter().filter(|w| is_number(w)).all(|n| passages.iter().any(|p| p.contains(n)));
    let share = |passage: &BTreeSet<String>| claim.intersection(passage).count() as f64 / claim.len().max(1) as f64;
    numbers_found && passages.iter().any(|passage| share(passage) >= overlap)
}

/// Whether the words of a short reference stand in the answer, in order and side by side.
fn holds(answer: &str, reference: &str) -> bool {
    let plain = |text: &str| {
        let text: String = text.chars().map(|c| if c.is_alphanumeric() { c } else { ' ' }).collect();
        format!(" {} ", text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" "))
    };
    let reference = plain(reference);
    !reference.trim().is_empty() && plain(answer).contains(&reference)
}
