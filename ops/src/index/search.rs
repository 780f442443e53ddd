//! One question over many corpora: what is asked, who may see what, and one ranking of what is found.

use super::keeper::model_of;
use super::live::Live;
use super::rank::{Chance, reciprocal, score};
use super::shelf::{Ask, Chosen, Held, How, Wanted};
use crate::failure::{Failure, Outcome, Status};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;
use stillhouse_catalog::Hit;
use stillhouse_processors::embedder::Corpus;
use stillhouse_processors::nearest;
use stillhouse_schemas::model::{Embedders, ModelError};
use stillhouse_schemas::{SearchHit, Searched, time};

/// Hits of one answer, at most.
pub const MOST: usize = 1_000;
/// Characters of a question, at most.
const LONGEST: usize = 20_000;
/// Candidates of each list, for each hit that is asked for: several parts of one item are one hit.
const SPARE: usize = 4;

/// A question.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// In words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub query: String,
    /// As a vector of the corpora's model, instead of or beside the words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vector: Option<Vec<f32>>,
    /// Corpora; none: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub corpora: Vec<String>,
    /// Hits, at most.
    #[serde(default = "ten")]
    pub k: usize,
    /// The role in which it is asked: of gated corpora it opens what is of this role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_role: Option<String>,
    /// By nearness, by words, or by both.
    #[serde(default)]
    pub mode: Mode,
    /// How lists become one.
    #[serde(default)]
    pub fusion: Fusion,
    /// Metadata: name to the value, or to several of which one will do.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub filter: BTreeMap<String, OneOrMany>,
    /// Not before (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Before (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Look at every row.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub exact: bool,
    /// Candidates that a walk through a graph keeps: more find more and take longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ef: Option<usize>,
    /// Characters of a snippet.
    #[serde(default = "snippet")]
    pub snippet: usize,
    /// Whether hits carry their whole text.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub text: bool,
}

fn ten() -> usize {
    10
}

fn snippet() -> usize {
    200
}

/// One value, or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
#[expect(missing_docs, reason = "named after what they hold")]
pub enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// What is searched by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// By nearness and by words.
    #[default]
    Hybrid,
    /// By nearness.
    Vector,
    /// By words.
    Lexical,
}

/// How lists become one ranking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Fusion {
    /// By scores that are judged against chance, corpus by corpus.
    #[default]
    Calibrated,
    /// By ranks.
    Rrf,
}

/// An answer.
#[derive(Clone, Debug, Serialize)]
pub struct Answer {
    /// This search.
    pub search_id: String,
    /// Best first.
    pub hits: Vec<Ranked>,
    /// How each corpus was searched.
    pub corpora: Vec<Looked>,
    /// Rows that the role gate kept out.
    pub withheld: u64,
    /// How far the log had been taken in: `[topic, partition, next]`.
    pub as_of: Vec<(String, u32, u64)>,
    /// Generation of the embedder whose index was searched.
    pub generation: String,
    /// Time that it took, in microseconds.
    pub took_us: u64,
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Ranked {
    /// Corpus.
    pub corpus: String,
    /// The run or the document.
    pub item_id: String,
    /// Its part, from 0.
    pub part: u32,
    /// By this the hits are ranked.
    pub score: f64,
    /// What it is made of.
    pub score_parts: Parts,
    /// Title.
    pub title: Option<String>,
    /// Where in the text the answer is.
    pub snippet: String,
    /// The whole text of the part, if asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Role.
    pub role: Option<String>,
    /// The run it is about.
    pub run_id: Option<String>,
    /// What searches may filter by.
    pub metadata: BTreeMap<String, String>,
    /// When it happened (RFC 3339).
    pub occurred_at: String,
    /// The event in the embeddings topic.
    pub event_id: String,
    /// Where that stands: topic, partition, offset.
    pub position: (String, u32, u64),
}

/// What a score is made of.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Parts {
    /// Cosine similarity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub similarity: Option<f32>,
    /// The same, judged against chance, in [0, 1].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vector: Option<f64>,
    /// Rank by nearness in its corpus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vector_rank: Option<usize>,
    /// BM25.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bm25: Option<f64>,
    /// The share of the most that BM25 could be, in [0, 1].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lexical: Option<f64>,
    /// Rank by words in its corpus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lexical_rank: Option<usize>,
}

/// How a corpus was searched.
#[derive(Clone, Debug, Serialize)]
pub struct Looked {
    /// Its name.
    pub corpus: String,
    /// `exact` or `hnsw` in memory, `lance_exact` or `lance` on disk, `words` (no vectors were looked at), or `none`: there
    /// was nothing that the question may see.
    pub plan: &'static str,
    /// Rows that it may see.
    pub rows: u64,
    /// Rows that the role gate kept out.
    pub withheld: u64,
    /// Rows of another version of the model, which the question's vector says nothing of.
    #[serde(skip_serializing_if = "is_zero")]
    pub other_model: u64,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

fn invalid(message: impl Into<String>) -> Failure {
    Failure::new(Status::Invalid, message)
}

/// What a question asks, checked.
struct Asked {
    question: Question,
    role: Option<String>,
    wanted: Wanted,
    corpora: Vec<String>,
}

fn check(question: Question, declared: &[Corpus], live: &Live) -> Outcome<Asked> {
    if question.query.trim().is_empty() && question.vector.is_none() {
        return Err(invalid("`query` is empty: say what to search for, or give a `vector`"));
    }
    if question.query.chars().count() > LONGEST {
        return Err(invalid(format!("`query` is longer than {LONGEST} characters")));
    }
    if question.query.trim().is_empty() && question.mode != Mode::Vector {
        return Err(invalid("a `vector` alone is searched with `mode` = `vector`"));
    }
    if !(1..=MOST).contains(&question.k) {
        return Err(invalid(format!("`k` is from 1 to {MOST}")));
    }
    if question.ef.is_some_and(|ef| !(1..=10_000).contains(&ef)) {
        return Err(invalid("`ef` is from 1 to 10000"));
    }
    if question.vector.as_ref().is_some_and(|v| v.iter().any(|f| !f.is_finite())) {
        return Err(invalid("`vector` holds what is no number"));
    }
    let moment = |name: &str, text: &Option<String>| {
        let parse = |text: &String| time::parse(text).map_err(|e| invalid(format!("`{name}`: {e}")));
        text.as_ref().map(parse).transpose()
    };
    let values = |value: &OneOrMany| match value {
        OneOrMany::One(value) => vec![value.clone()],
        OneOrMany::Many(values) => values.clone(),
    };
    let metadata = question.filter.iter().map(|(name, value)| (name.clone(), values(value))).collect();
    let wanted =
        Wanted { metadata, since: moment("since", &question.since)?, until: moment("until", &question.until)? };
    let shelves = live.shelves.load();
    let mut known: BTreeSet<&str> = shelves.values().map(|held| held.shelf.corpus.as_str()).collect();
    known.extend(declared.iter().map(|c| c.name.as_str()));
    for corpus in &question.corpora {
        if !known.contains(corpus.as_str()) {
            let near = nearest(corpus, known.iter().copied()).map(|n| format!("; did you mean `{n}`?"));
            let hint = near.unwrap_or_else(|| format!("; there are {}", Vec::from_iter(known.clone()).join(", ")));
            let what = format!("there is no corpus `{}`{hint}", corpus.escape_debug());
            return Err(Failure::new(Status::NotFound, what));
        }
    }
    let corpora = if question.corpora.is_empty() {
        known.into_iter().map(str::to_owned).collect()
    } else {
        let mut once: Vec<String> = question.corpora.clone();
        once.sort();
        once.dedup();
        once
    };
    // A role is a name and nothing else: no case, accent or look-alike of it is the same.
    let role = question.query_role.as_deref().map(str::trim).filter(|r| !r.is_empty()).map(str::to_owned);
    Ok(Asked { question, role, wanted, corpora })
}

/// The shelves of the corpora that may be seen, and how many rows of each corpus may not.
fn open(asked: &Asked, live: &Live) -> (Vec<Arc<Held>>, BTreeMap<String, u64>) {
    let (mut open, mut withheld) = (Vec::new(), BTreeMap::new());
    for held in live.shelves.load().values().filter(|held| asked.corpora.contains(&held.shelf.corpus)) {
        let seen = match &held.shelf.gate {
            None => true,
            // What is gated and nobody's has an empty gate, and no role is empty.
            Some(gate) => asked.role.as_ref() == Some(gate),
        };
        if seen {
            open.push(held.clone());
        } else {
            *withheld.entry(held.shelf.corpus.clone()).or_default() += held.len();
        }
    }
    (open, withheld)
}

/// The question as vectors: by corpus, with the model that made it.
async fn vectors(
    asked: &Asked,
    declared: &[Corpus],
    embedders: &dyn Embedders,
) -> Outcome<HashMap<String, (Option<String>, Arc<[f32]>)>> {
    let mut of = HashMap::new();
    if asked.question.mode == Mode::Lexical {
        return Ok(of);
    }
    if let Some(vector) = &asked.question.vector {
        let vector: Arc<[f32]> = vector.as_slice().into();
        of.extend(asked.corpora.iter().map(|corpus| (corpus.clone(), (None, vector.clone()))));
        return Ok(of);
    }
    let mut by_model: HashMap<&str, (Option<String>, Arc<[f32]>)> = HashMap::new();
    for corpus in declared.iter().filter(|c| asked.corpora.contains(&c.name)) {
        if !by_model.contains_key(corpus.model.as_str()) {
            let made = embedders.embed(&corpus.model, &[&asked.question.query]).await.map_err(|error| match error {
                ModelError::Never(what) => invalid(what),
                ModelError::Retry { what, .. } | ModelError::Unknown(what) => {
                    Failure::new(Status::Unreachable, what).hint("search with mode = lexical needs no model")
                }
            })?;
            let vector = made.vectors.into_iter().next().ok_or_else(|| invalid("the model made no vector"))?;
            by_model.insert(&corpus.model, (Some(model_of(&made.provider, &made.model, &made.version)), vector));
        }
        of.insert(corpus.name.clone(), by_model[corpus.model.as_str()].clone());
    }
    Ok(of)
}

/// Answers a question.
pub async fn search(
    live: &Arc<Live>,
    declared: &[Corpus],
    embedders: &dyn Embedders,
    question: Question,
) -> Outcome<Answer> {
    let began = Instant::now();
    let asked = check(question, declared, live)?;
    let vectors = vectors(&asked, declared, embedders).await?;
    let live = live.clone();
    let look = move || {
        // Before it is looked: what is said to be covered is.
        let as_of = live.progress().borrow().clone();
        let mut answer = answer(&live, &asked, &vectors)?;
        answer.as_of = as_of;
        Ok::<_, Failure>(answer)
    };
    let mut answer =
        tokio::task::spawn_blocking(look).await.map_err(|e| Failure::new(Status::Failed, e.to_string()))??;
    answer.took_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    Ok(answer)
}

/// A row on its way to being a hit.
struct Candidate {
    row: i64,
    parts: Parts,
    score: f64,
}

fn answer(live: &Live, asked: &Asked, vectors: &HashMap<String, (Option<String>, Arc<[f32]>)>) -> Outcome<Answer> {
    let question = &asked.question;
    let (open, withheld) = open(asked, live);
    let mut looked: BTreeMap<&str, Looked> = asked
        .corpora
        .iter()
        .map(|corpus| {
            let withheld = withheld.get(corpus).copied().unwrap_or(0);
            let looked = Looked { corpus: corpus.clone(), plan: How::None.name(), rows: 0, withheld, other_model: 0 };
            (corpus.as_str(), looked)
        })
        .collect();
    // What chance looks like to the question: over all it may see under one model.
    let mut background: HashMap<&str, Vec<f32>> = HashMap::new();
    let mut sizes: HashMap<&str, u64> = HashMap::new();
    let vector_of = |held: &Held| {
        let (model, vector) = vectors.get(&held.shelf.corpus)?;
        let fits = model.as_ref().is_none_or(|model| *model == held.shelf.model)
            && vector.len() == usize::try_from(held.shelf.dims).unwrap_or(0);
        fits.then_some(vector)
    };
    for held in &open {
        *sizes.entry(&held.shelf.corpus).or_default() += held.len();
        if let Some(vector) = vector_of(held) {
            background.entry(&held.shelf.model).or_default().extend(held.vectors.background(vector));
        }
    }
    let chances: HashMap<&str, Chance> = background.iter().map(|(model, near)| (*model, Chance::of(near))).collect();
    let reach = (question.k * SPARE).max(50);
    let mut candidates: Vec<Candidate> = Vec::new();
    let mut ways: BTreeMap<&str, How> = BTreeMap::new();
    for held in &open {
        let Some(looked) = looked.get_mut(held.shelf.corpus.as_str()) else { continue };
        looked.rows += held.len();
        let rows = held.choose(&asked.wanted)?;
        let way = ways.entry(held.shelf.corpus.as_str()).or_insert(How::None);
        let mut of_shelf: HashMap<i64, Parts> = HashMap::new();
        let vector = vector_of(held);
        if question.mode != Mode::Lexical && vector.is_none() {
            looked.other_model += held.len();
        }
        let judged = |similarity: f32| {
            let chance = chances.get(held.shelf.model.as_str())?;
            Some(score(chance.expect(similarity, sizes[held.shelf.corpus.as_str()])))
        };
        if let Some(vector) = vector {
            let (exact, ef) = (question.exact, question.ef);
            let (near, how) = held.vectors.near(&Ask { vector, k: reach, among: rows.as_ref(), exact, ef })?;
            *way = how.max(*way);
            for (rank, near) in near.into_iter().enumerate() {
                let parts = of_shelf.entry(near.row).or_default();
                parts.similarity = Some(near.similarity);
                parts.vector = judged(near.similarity);
                parts.vector_rank = Some(rank + 1);
            }
        }
        if question.mode != Mode::Vector {
            *way = How::Words.max(*way);
            let filter = rows.as_ref().map(Chosen::filter);
            let found = live.reader().find(held.shelf.id, &question.query, reach, filter.as_ref())?;
            for (rank, found) in found.into_iter().enumerate() {
                let parts = of_shelf.entry(found.row).or_default();
                parts.bm25 = Some(found.bm25);
                parts.lexical = Some(found.share);
                parts.lexical_rank = Some(rank + 1);
                if let (None, Some(vector)) = (parts.similarity, vector) {
                    parts.similarity = held.vectors.similarity(found.row, vector);
                    parts.vector = parts.similarity.and_then(judged);
                }
            }
        }
        looked.plan = way.name();
        candidates.extend(of_shelf.into_iter().map(|(row, parts)| Candidate {
            row,
            parts,
            score: total(question, &parts),
        }));
    }
    candidates.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.row.cmp(&b.row)));
    let hits = items(live, question, &candidates)?;
    Ok(Answer {
        search_id: stillhouse_schemas::ids::live(),
        hits,
        withheld: withheld.values().sum(),
        corpora: looked.into_values().collect(),
        as_of: Vec::new(),
        generation: live.generation().to_owned(),
        took_us: 0,
    })
}

fn total(question: &Question, parts: &Parts) -> f64 {
    match question.fusion {
        Fusion::Rrf => [parts.vector_rank, parts.lexical_rank].into_iter().flatten().map(reciprocal).sum(),
        Fusion::Calibrated => {
            let (vector, lexical) = (parts.vector.unwrap_or(0.0), parts.lexical.unwrap_or(0.0));
            match question.mode {
                Mode::Vector => vector,
                Mode::Lexical => lexical,
                Mode::Hybrid => f64::midpoint(vector, lexical),
            }
        }
    }
}

/// The best part of each item, until there are enough of them.
fn items(live: &Live, question: &Question, candidates: &[Candidate]) -> Outcome<Vec<Ranked>> {
    let mut hits: Vec<Ranked> = Vec::new();
    let mut seen: BTreeSet<(String, String)> = BTreeSet::new();
    for some in candidates.chunks(question.k.max(16)) {
        let rows: Vec<i64> = some.iter().map(|c| c.row).collect();
        let mut found: HashMap<i64, Hit> = live
            .reader()
            .hits(&rows, &question.query, question.snippet.min(2_000))?
            .into_iter()
            .map(|h| (h.row, h))
            .collect();
        for candidate in some {
            let Some(hit) = found.remove(&candidate.row) else { continue };
            if !seen.insert((hit.corpus.clone(), hit.item_id.clone())) {
                continue;
            }
            hits.push(Ranked {
                corpus: hit.corpus,
                item_id: hit.item_id,
                part: hit.part,
                score: candidate.score,
                score_parts: candidate.parts,
                title: hit.title,
                snippet: hit.snippet,
                text: question.text.then_some(hit.text),
                role: hit.role,
                run_id: hit.run_id,
                metadata: hit.metadata,
                occurred_at: time::format(hit.occurred_at),
                event_id: hit.event_id,
                position: hit.position,
            });
            if hits.len() == question.k {
                return Ok(hits);
            }
        }
    }
    Ok(hits)
}

impl Answer {
    /// The event that keeps it.
    pub fn event(&self, question: &Question) -> Searched {
        let mut rest = serde_json::to_value(question).unwrap_or_default();
        if let Value::Object(members) = &mut rest {
            for told in ["query", "vector", "corpora", "query_role", "k"] {
                members.remove(told);
            }
        }
        let bytes = |vector: &Vec<f32>| vector.iter().flat_map(|f| f.to_le_bytes()).collect();
        let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        Searched {
            search_id: self.search_id.clone(),
            query: question.query.clone(),
            vector: question.vector.as_ref().map(bytes),
            corpora: question.corpora.clone(),
            query_role: question.query_role.clone(),
            k: i32::try_from(question.k).unwrap_or(i32::MAX),
            options: rest.to_string(),
            hits: self
                .hits
                .iter()
                .map(|hit| SearchHit {
                    corpus: hit.corpus.clone(),
                    item_id: hit.item_id.clone(),
                    part: i32::try_from(hit.part).unwrap_or(i32::MAX),
                    score: hit.score,
                })
                .collect(),
            withheld: self
                .corpora
                .iter()
                .filter(|c| c.withheld > 0)
                .map(|c| (c.corpus.clone(), count(c.withheld)))
                .collect(),
            plans: self.corpora.iter().map(|c| (c.corpus.clone(), c.plan.to_owned())).collect(),
            generation: self.generation.clone(),
            as_of: json!(self.as_of).to_string(),
            took_us: count(self.took_us),
        }
    }
}
