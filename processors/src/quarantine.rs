//! What is left out now: the fold of a quarantine topic, and what of it an operator may let in.
//!
//! Of everything that was left out the last word counts: `quarantined` opens an entry, `released` closes it. Entries are
//! about one event and one kind of dataset. What another generation made of a run (its evidence has other ids) takes the
//! place of all that was said of the run before, so that no entry stays open for evidence that nobody exports any more.
//!
//! An event that is repeated, as a Kafka topic may do, counts once. Memory: some 170 bytes an entry.

use crate::exporter::{Id, Short, short};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashSet};
use stillhouse_schemas::{Envelope, Event, Micros, Payload, Quarantined, Released};
use stillhouse_streams::Position;

/// Whether an operator may let in what was left out for a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// Yes: the reason is a judgement about usefulness or risk, which a person may make otherwise for one row.
    Operator,
    /// No; and what helps instead.
    Never(&'static str),
}

const LABEL: &str = "no release overrides this category. If the judgement is wrong, label run RUN accepted: an event in \
                     `labels` (`stillhouse append labels`, POST /v1/events/labels)";
const JUDGE: &str = "nobody has judged it: run or mend the scorer, or label the run";
const CONTENT: &str =
    "the run holds nothing that a row could be made of: record it again, mended, under the same run id";
const RULE: &str = "a rule cannot take it: `stillhouse rewind` with corrected settings or a newer version lets it in, and \
                    says so";

/// The table: reasons by code, and whether an operator may override them. What is not here may not be.
pub static RELEASES: &[(&str, Release)] = &[
    ("category_rejected", Release::Never(LABEL)),
    ("category_needs_human_review", Release::Never(LABEL)),
    // `--allow-partial` asks for all of them; a release asks for one.
    ("category_partially_accepted", Release::Operator),
    ("no_score", Release::Never(JUDGE)),
    ("score_failed", Release::Never(JUDGE)),
    ("score_invalid", Release::Never(JUDGE)),
    ("score_mismatch", Release::Never(JUDGE)),
    (
        "not_for_training",
        Release::Never("its source says that an answer in it is not to be learned from; record it again"),
    ),
    (
        "validation_failed",
        Release::Never(
            "no release overrides a validator. The validation says what to mend (`stillhouse tail validations`): record the \
             run again, mended, or correct the policy and `stillhouse rewind validator`",
        ),
    ),
    (
        "not_validated",
        Release::Never(
            "its class has to be validated: give the validator what it lacks and `stillhouse rewind validator`",
        ),
    ),
    ("superseded", Release::Never("a later recording of the same run took its place")),
    ("duplicate", Release::Never("the same row is in the dataset already: a second one would only weigh it double")),
    ("near_duplicate", Release::Operator),
    ("secret_found", Release::Operator),
    ("no_text", Release::Never(CONTENT)),
    (
        "no_counterpart",
        Release::Never("a pair needs an answer that is judged otherwise: record or label one, or write a correction"),
    ),
    ("over_max_pairs", Release::Never("other pairs of the prompt were taken: ask for more with --max-pairs")),
    ("contaminated", Release::Never("it is in a set that models are tested on; take it out of that set")),
    ("no_template", Release::Never(RULE)),
    ("no_assistant_answer", Release::Never(CONTENT)),
    ("no_prompt", Release::Never(CONTENT)),
    ("unknown_role", Release::Never(CONTENT)),
    ("unsupported_content", Release::Never(CONTENT)),
    ("invalid_tool_arguments", Release::Never(CONTENT)),
    ("invalid_tool_schema", Release::Never(CONTENT)),
    ("tool_result_without_call", Release::Never(CONTENT)),
    ("untraceable", Release::Never("its causes name no run, so no cut can hold it")),
    ("recalled", Release::Never("the run was recalled: `stillhouse reinstate RUN` takes that back")),
    ("discarded", Release::Never("it was discarded for good")),
    ("erased", Release::Never("its subject was erased: nobody can read it any more")),
];

/// Whether what was left out for `reason` may be let in by an operator.
pub fn may_release(reason: &str) -> Release {
    RELEASES.iter().find(|(code, _)| *code == reason).map_or(Release::Never(RULE), |(_, release)| *release)
}

/// The last word about an event that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    /// The event that was left out.
    pub event: Id,
    /// The event that says so (or that it entered).
    pub id: Id,
    /// When that happened.
    pub occurred_at: Micros,
    /// Its partition.
    pub partition: u32,
    /// Its offset.
    pub offset: u64,
    /// Whether it is still left out.
    pub open: bool,
    ground: Short,
    rule: u32,
}

/// What is said of one run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Entries {
    /// Number of the topic whose events it is about.
    about: u32,
    words: Vec<Word>,
}

/// A reason with its place: what words have in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ground {
    /// Kind of dataset, if it is about one.
    pub kind: Option<String>,
    /// Stable code of the reason.
    pub reason: String,
    /// The rule.
    pub rule: String,
    /// Its version.
    pub rule_version: String,
}

/// What a quarantine topic says.
#[derive(Clone, Debug, Default)]
pub struct Fold {
    runs: BTreeMap<Short, Entries>,
    topics: Vec<String>,
    grounds: Vec<Ground>,
    seen: HashSet<Short>,
}

/// What a [`Fold`] says of one run, on its way.
#[derive(Serialize, Deserialize)]
struct Part {
    entries: Entries,
    topics: Vec<String>,
    grounds: Vec<Ground>,
    seen: HashSet<Short>,
}

/// What a withheld event still has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsaid {
    /// Nothing: this is the last word already.
    Nothing,
    /// The event as it is.
    New,
    /// It was said before, and something else since: once more, caused by that.
    Again(Box<(Envelope, Position)>),
}

impl Fold {
    /// Takes the next event of a partition; events of other types say nothing here.
    pub fn apply(&mut self, event: &Event, position: &Position) {
        let (event_id, run_id, open) = match &event.payload {
            Payload::Quarantined(q) => (&q.event_id, &q.run_id, true),
            Payload::Released(r) => (&r.event_id, &r.run_id, false),
            _ => return,
        };
        if !self.seen.insert(short(&event.envelope.id)) {
            return;
        }
        let about = event.envelope.causes.first().map_or("", |cause| cause.topic.as_str());
        let about = number(&mut self.topics, about, str::to_owned);
        let ground_of = Ground::of(&event.payload);
        let rule = number(&mut self.grounds, &ground_of, Ground::clone);
        let word = Word {
            event: Id::from(event_id.as_str()),
            id: Id::from(event.envelope.id.as_str()),
            occurred_at: event.envelope.occurred_at,
            partition: position.partition,
            offset: position.offset,
            open,
            ground: ground(event, &position.topic),
            rule,
        };
        let entries = self.runs.entry(short(run_id)).or_default();
        if entries.about != about {
            *entries = Entries { about, words: Vec::new() };
        }
        let kind = &ground_of.kind;
        let grounds = &self.grounds;
        match entries.words.iter_mut().find(|w| w.event == word.event && grounds[w.rule as usize].kind == *kind) {
            Some(known) => *known = word,
            None => entries.words.push(word),
        }
    }

    /// Whether anything was ever said of this run.
    pub fn knows(&self, run_id: &str) -> bool {
        self.runs.contains_key(&short(run_id))
    }

    /// What it says of one run and of events with these ids, as bytes that [`Self::again`] takes.
    pub fn of_run(&self, run_id: &str, ids: &[String]) -> Option<Vec<u8>> {
        let entries = self.runs.get(&short(run_id))?.clone();
        let seen = ids.iter().map(short).filter(|id| self.seen.contains(id)).collect();
        let part = Part { entries, topics: self.topics.clone(), grounds: self.grounds.clone(), seen };
        serde_json::to_vec(&part).ok()
    }

    /// What was said of one run.
    pub fn again(run_id: &str, bytes: &[u8]) -> Option<Self> {
        let Part { entries, topics, grounds, seen } = serde_json::from_slice(bytes).ok()?;
        Some(Self { runs: BTreeMap::from([(short(run_id), entries)]), topics, grounds, seen })
    }

    /// Takes an event of which nothing but the id can be read.
    pub fn see(&mut self, id: &str) {
        self.seen.insert(short(id));
    }

    /// Whether an event is in the topic.
    pub fn has(&self, id: &str) -> bool {
        self.seen.contains(&short(id))
    }

    /// What is still to be said of an event that is withheld: `said` is how it would be said the first time, and
    /// `topic` the quarantine topic. `present` is whether this is about now: what an earlier cut withheld is no news.
    pub fn unsaid(&self, said: &Event, topic: &str, present: bool) -> Unsaid {
        let Payload::Quarantined(q) = &said.payload else { return Unsaid::Nothing };
        if !self.has(&said.envelope.id) {
            return Unsaid::New;
        }
        let Some(word) = self.word(&q.run_id, &q.event_id, q.kind.as_deref()).filter(|_| present) else {
            return Unsaid::Nothing;
        };
        if word.open && word.ground == ground(said, topic) {
            Unsaid::Nothing
        } else {
            Unsaid::Again(Box::new(cause(word, topic)))
        }
    }

    fn word(&self, run_id: &str, event_id: &str, kind: Option<&str>) -> Option<&Word> {
        let event = Id::from(event_id);
        let words = &self.runs.get(&short(run_id))?.words;
        words.iter().find(|word| word.event == event && self.ground(word).kind.as_deref() == kind)
    }

    /// What an event of `topic` that enters a dataset of this kind closes: the entry about itself, and those that an
    /// earlier generation left of its run.
    pub fn closes(&self, run_id: &str, event_id: &str, topic: &str, kind: Option<&str>) -> Vec<&Word> {
        let Some(entries) = self.runs.get(&short(run_id)) else { return Vec::new() };
        let event = Id::from(event_id);
        let other = self.topics.get(entries.about as usize).is_none_or(|about| about != topic);
        let words = entries.words.iter().filter(|w| w.open && self.ground(w).kind.as_deref() == kind);
        words.filter(|word| other || word.event == event).collect()
    }

    /// Reason and rule of a word.
    pub fn ground(&self, word: &Word) -> &Ground {
        &self.grounds[word.rule as usize]
    }

    /// The last word about everything that was ever left out, by run.
    pub fn words(&self) -> impl Iterator<Item = &Word> {
        self.runs.values().flat_map(|entries| &entries.words)
    }
}

impl Ground {
    fn of(payload: &Payload) -> Self {
        match payload {
            Payload::Quarantined(Quarantined { kind, reason, rule, rule_version, .. })
            | Payload::Released(Released { kind, reason, rule, rule_version, .. }) => Self {
                kind: kind.clone(),
                reason: reason.clone(),
                rule: rule.clone(),
                rule_version: rule_version.clone(),
            },
            _ => Self { kind: None, reason: String::new(), rule: String::new(), rule_version: String::new() },
        }
    }
}

/// A word as a cause of what is said next.
pub fn cause(word: &Word, topic: &str) -> (Envelope, Position) {
    let envelope = Envelope { id: word.id.to_string(), occurred_at: word.occurred_at, ..Envelope::default() };
    (envelope, Position::new(topic, word.partition, word.offset))
}

/// What two events that say the same have in common: all but what was said before them.
fn ground(event: &Event, topic: &str) -> Short {
    let Ground { kind, reason, rule, rule_version } = Ground::of(&event.payload);
    let config = event.envelope.producer.config_hash.as_str();
    let mut hash = Sha256::new();
    let causes = event.envelope.causes.iter().filter(|cause| cause.topic != topic).map(|cause| cause.id.as_str());
    for part in [kind.as_deref().unwrap_or_default(), &reason, &rule, &rule_version, config].into_iter().chain(causes) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    std::array::from_fn(|i| digest[i])
}

fn number<T: PartialEq<Q>, Q: ?Sized>(known: &mut Vec<T>, one: &Q, own: impl Fn(&Q) -> T) -> u32 {
    let at = known.iter().position(|k| k == one).unwrap_or_else(|| {
        known.push(own(one));
        known.len() - 1
    });
    u32::try_from(at).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exporter::Reason;

    #[test]
    fn the_table_has_every_reason_and_the_never_categories_are_never_released() {
        for reason in Reason::ALL {
            assert!(RELEASES.iter().any(|(code, _)| *code == reason.as_str()), "{reason} is not in the table");
        }
        for never in ["category_rejected", "category_needs_human_review"] {
            let Release::Never(remedy) = may_release(never) else { panic!("{never} can be released") };
            assert!(remedy.contains("label"), "{remedy}");
        }
        assert!(matches!(may_release("anything_else"), Release::Never(_)));
    }
}
