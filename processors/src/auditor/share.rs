//! One share of the runs: all that is about them, brought together.

use super::fact::{Fact, Found, Remade, Spot};
use super::gather::{self, Again, Dead, Decided, Gathered, Pick, Scope, record};
use super::rows::{RowKey, any_category};
use crate::exporter::{Id, Short, short};
use crate::firewall::{HUMAN_LABEL, SFT_NEVER};
use crate::replayer::{self, Comparison, Plan};
use crate::wire;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use stillhouse_schemas::{Category, Cause, Codec, Envelope, Event, Micros, Payload};
use stillhouse_streams::runner::{Emit, Fault};
use stillhouse_streams::{Position, Received};

/// Source, partition, offset.
type Place = (usize, u32, u64);

/// Bytes of an event, wherever its causes stand: hashed.
type Content = [u8; 16];

struct Stood {
    id: Id,
    occurred_at: Micros,
}

struct Known {
    content: Content,
    place: Place,
    /// Where its first cause stands; nothing where no topic of the cut is named.
    made_of: Option<Place>,
    /// It names no cause at all.
    uncaused: bool,
    met: bool,
    /// A release, which no transform makes.
    apart: bool,
}

struct Evidence {
    place: Place,
    run: Short,
    /// Where the run stands that it was made of.
    made_of: Option<(String, u32, u64)>,
    class: String,
}

struct Opinion {
    id: Id,
    place: Place,
    run: Short,
    occurred_at: Micros,
    /// Scorer, version and configuration.
    judge: Short,
    /// Where its first cause stands.
    made_of: Option<Position>,
    scored: Option<(Category, f64)>,
}

/// All that is about some runs.
pub(super) struct Share<'a> {
    codec: &'a Codec,
    plain: Codec,
    scope: &'a Scope,
    keys: Vec<RowKey>,
    dead: &'a Dead,
    /// By dataset.
    decided: &'a [Decided],
    /// Evidence that pairs were made of, and what each dataset would ask of it.
    asked: HashMap<Short, Vec<(u32, Option<Short>)>>,
    numbers: HashMap<&'a str, usize>,
    stood: HashMap<Place, Stood>,
    erased: HashSet<Place>,
    /// With the keys that they were sealed with.
    erased_ids: HashMap<Short, String>,
    known: BTreeMap<(usize, Short), Known>,
    runs: HashSet<Short>,
    evidence: BTreeMap<Short, Evidence>,
    opinions: BTreeMap<Short, Vec<Opinion>>,
    /// What people said of runs as a whole.
    labels: BTreeMap<Short, Vec<Opinion>>,
    /// Events that are in quarantine, by the kind of dataset that they were left out of, with the reasons.
    quarantined: HashMap<(Short, Option<Short>), BTreeSet<String>>,
    left_out: HashSet<Short>,
    releases: Vec<(Position, String)>,
    later: Vec<(Position, Envelope, Cause)>,
}

impl<'a> Share<'a> {
    pub(super) fn new(
        codec: &'a Codec,
        scope: &'a Scope,
        keys: Vec<RowKey>,
        dead: &'a Dead,
        decided: &'a [Decided],
    ) -> Self {
        let mut asked: HashMap<Short, Vec<(u32, Option<Short>)>> = HashMap::new();
        for key in keys.iter().filter(|key| key.asked != Short::default() && key.evidence != Short::default()) {
            let datasets = asked.entry(key.evidence).or_default();
            if datasets.iter().all(|(dataset, _)| *dataset != key.dataset) {
                datasets.push((key.dataset, None));
            }
        }
        let numbers = scope.sources.iter().enumerate().map(|(n, s)| (s.physical.as_str(), n)).collect();
        Self {
            codec,
            plain: Codec::plain(),
            scope,
            keys,
            dead,
            decided,
            asked,
            numbers,
            stood: HashMap::new(),
            erased: HashSet::new(),
            erased_ids: HashMap::new(),
            known: BTreeMap::new(),
            runs: HashSet::new(),
            evidence: BTreeMap::new(),
            opinions: BTreeMap::new(),
            labels: BTreeMap::new(),
            quarantined: HashMap::new(),
            left_out: HashSet::new(),
            releases: Vec::new(),
            later: Vec::new(),
        }
    }

    fn position(&self, (source, partition, offset): Place) -> Position {
        Position::new(self.scope.sources[source].physical.as_str(), partition, offset)
    }

    fn place(&self, cause: &Cause) -> Option<Place> {
        let at = wire::position(cause)?;
        Some((*self.numbers.get(&*at.topic)?, at.partition, at.offset))
    }

    /// Takes a record of a source. Upstream comes first.
    pub(super) fn take(&mut self, number: usize, received: &Received, found: &mut Gathered) {
        let source = &self.scope.sources[number];
        *found.records.entry(source.topic.name).or_default() += 1;
        let place = (number, received.position.partition, received.position.offset);
        let mut event = match record(self.codec, source, received, found) {
            gather::Known::Event(event) => event,
            gather::Known::Erased(key_id) => {
                self.erased.insert(place);
                self.erased_ids.extend(received.record.id().map(|id| (short(id), key_id)));
                return;
            }
            gather::Known::Nothing => return,
        };
        let id = short(&event.envelope.id);
        for (dataset, asked) in self.asked.get_mut(&id).into_iter().flatten() {
            let dataset = self.scope.datasets.get(*dataset as usize);
            *asked = dataset.and_then(|d| d.asked.as_ref()?.of_evidence(&event, &received.position));
        }
        let content = content(&self.plain, &mut event);
        let made_of = event.envelope.causes.first().and_then(|cause| self.place(cause));
        match self.known.get(&(number, id)) {
            Some(known) => {
                let same = known.content == content;
                found.tally.take(&Fact::Twice { position: &received.position, id: &event.envelope.id, same });
                if same {
                    // The repetition of an append, which folds drop; what follows of it was told.
                    self.stood.insert(
                        place,
                        Stood { id: Id::from(event.envelope.id.as_str()), occurred_at: event.envelope.occurred_at },
                    );
                    return;
                }
            }
            None => {
                let apart = matches!(event.payload, Payload::Released(_));
                self.known.insert(
                    (number, id),
                    Known { content, place, made_of, uncaused: event.envelope.causes.is_empty(), met: false, apart },
                );
            }
        }
        self.causes(&event.envelope, &received.position, found);
        let Event { envelope, payload } = *event;
        self.stood.insert(place, Stood { id: Id::from(envelope.id.as_str()), occurred_at: envelope.occurred_at });
        self.said(place, id, &envelope, payload);
    }

    fn causes(&mut self, envelope: &Envelope, position: &Position, found: &mut Gathered) {
        for cause in &envelope.causes {
            let told = match self.place(cause) {
                // A topic that is not in the cut: of a generation that was dropped, or of no instance of ours.
                None => Found::Untold,
                Some(place) => match self.stood.get(&place) {
                    Some(stood) if stood.id == Id::from(cause.id.as_str()) => Found::Here(stood.occurred_at),
                    Some(stood) => {
                        let other = stood.id.to_string();
                        found.tally.take(&Fact::Cause { position, envelope, cause, found: Found::Other(&other) });
                        continue;
                    }
                    None if self.is_outside(place) || self.erased.contains(&place) => Found::Untold,
                    None => {
                        self.later.push((position.clone(), envelope.clone(), cause.clone()));
                        continue;
                    }
                },
            };
            found.tally.take(&Fact::Cause { position, envelope, cause, found: told });
        }
    }

    /// Whether a place is not between the ends of its partition.
    fn is_outside(&self, (source, partition, offset): Place) -> bool {
        let bounds = usize::try_from(partition).ok().and_then(|p| self.scope.sources[source].partitions.get(p));
        bounds.is_none_or(|(start, end)| offset < *start || offset >= *end)
    }

    fn said(&mut self, place: Place, id: Short, envelope: &Envelope, payload: Payload) {
        let opinion = |judge: [&str; 3], run: &str, scored| Opinion {
            id: Id::from(envelope.id.as_str()),
            place,
            run: short(run),
            occurred_at: envelope.occurred_at,
            judge: short(judge.join("\0")),
            made_of: envelope.causes.first().and_then(wire::position),
            scored,
        };
        match payload {
            Payload::Run(run) => {
                self.runs.insert(short(&run.run_id));
            }
            Payload::Evidence(evidence) => {
                let of_run = |cause: &&Cause| {
                    let topic = self.numbers.get(cause.topic.as_str()).map(|n| self.scope.sources[*n].topic);
                    topic.is_some_and(|topic| topic.events == ["run"])
                };
                let made_of = envelope.causes.iter().find(of_run).and_then(wire::position);
                let made_of = made_of.map(|at| (at.topic.to_string(), at.partition, at.offset));
                let run = short(&evidence.run_id);
                self.evidence.entry(id).or_insert(Evidence { place, run, made_of, class: evidence.source_class });
            }
            Payload::Score(s) => {
                let opinion =
                    opinion([&s.scorer, &s.scorer_version, &s.config_hash], &s.run_id, Some((s.category, s.score)));
                if s.evidence_id.is_empty() && s.decided_by == HUMAN_LABEL {
                    self.labels.entry(short(&s.run_id)).or_default().push(opinion);
                } else {
                    self.opinions.entry(short(&s.evidence_id)).or_default().push(opinion);
                }
            }
            Payload::ScoreFailed(s) => {
                let opinion = opinion([&s.scorer, &s.scorer_version, &s.config_hash], &s.run_id, None);
                self.opinions.entry(short(&s.evidence_id)).or_default().push(opinion);
            }
            Payload::Quarantined(q) => {
                self.left_out.insert(id);
                let about = (short(&q.event_id), q.kind.as_deref().map(short));
                self.quarantined.entry(about).or_default().insert(q.reason);
            }
            Payload::Released(released) => {
                self.releases.push((self.position(place), released.quarantined_id));
            }
            _ => {}
        }
    }

    /// Takes what a generation makes of records of one of its inputs now.
    pub(super) fn remake(
        &mut self,
        again: &Again,
        input: usize,
        batch: &[Received],
        made: Vec<Result<Vec<Emit>, Fault>>,
        found: &mut Gathered,
    ) {
        let is_run = self.scope.sources[input].topic.events == ["run"];
        for (received, made) in batch.iter().zip(made) {
            let position = &received.position;
            let place = (input, position.partition, position.offset);
            if self.erased.contains(&place) {
                continue;
            }
            let mut accounted = match &made {
                Ok(emits) => !emits.is_empty(),
                Err(_) => self.dead.contains(&(position.topic.to_string(), position.partition, position.offset)),
            };
            for emit in made.unwrap_or_default() {
                let remade = self.compare(again, &emit, found);
                let Some((id, remade)) = remade else { continue };
                accounted &= remade != Remade::Missing;
                let processor = again.processor;
                found.tally.take(&Fact::Remade { processor, position, id: &id, remade });
            }
            if is_run && again.accounts {
                found.tally.take(&Fact::Run { position, accounted });
                self.replay(received, found);
            }
        }
    }

    fn compare(&mut self, again: &Again, emit: &Emit, _found: &mut Gathered) -> Option<(String, Remade)> {
        let mut event = wire::decode(self.codec, &emit.record).ok()??;
        let id = event.envelope.id.clone();
        let number = *again.outputs.get(emit.topic)?;
        let now = content(&self.plain, &mut event);
        let remade = match self.known.get_mut(&(number, short(&id))) {
            None if self.erased_ids.contains_key(&short(&id)) => return None,
            None => Remade::Missing,
            Some(known) => {
                known.met = true;
                if known.content == now { Remade::Equal } else { Remade::Differs }
            }
        };
        Some((id, remade))
    }

    /// Replays a run with its recorded answers, and holds it against what was said of that before.
    fn replay(&mut self, received: &Received, found: &mut Gathered) {
        let Ok(Some(event)) = wire::received(self.codec, received) else { return };
        let Payload::Run(run) = &event.payload else { return };
        for comparison in Comparison::ALL {
            let plan = Plan { model: None, comparison };
            let replayed = replayer::recorded(run, comparison);
            if comparison == Comparison::default() {
                *found.replays.entry(replayed.verdict.clone()).or_default() += 1;
                found.outside_calls += replayed.outside_calls;
            }
            let Some(number) = self.scope.replays else { continue };
            let mut now = plan.event((&event.envelope, &received.position), replayed);
            let id = short(&now.envelope.id);
            let content = content(&self.plain, &mut now);
            let Some(known) = self.known.get_mut(&(number, id)) else { continue };
            known.met = true;
            let (place, same) = (known.place, known.content == content);
            found.tally.take(&Fact::Replay { position: &self.position(place), same: Some(same) });
        }
    }

    /// Everything that only shows when all is there. Gives back the causes that stand with no run of this share.
    pub(super) fn finish(mut self, found: &mut Gathered) -> Vec<(Position, Envelope, Cause)> {
        self.unmade(found);
        self.judged(found);
        for (position, quarantined) in &self.releases {
            let known = self.left_out.contains(&short(quarantined));
            found.tally.take(&Fact::Released { position, quarantined, known });
        }
        self.rows(found);
        std::mem::take(&mut self.later)
    }

    /// Outputs that nothing gives, though their input is there to be taken.
    fn unmade(&self, found: &mut Gathered) {
        for again in &self.scope.again {
            for number in again.outputs.values() {
                let outputs = self.known.range((*number, Short::default())..=(*number, [u8::MAX; 16]));
                for (_, known) in outputs.filter(|(_, known)| !known.met && !known.apart) {
                    // It may have read another topic before, when another generation was live there.
                    let untold = known.made_of.map_or(!known.uncaused, |place| {
                        let reads = again.inputs.contains(&place.0) && again.took(&self.position(place));
                        self.erased.contains(&place) || self.is_outside(place) || !reads
                    });
                    let Some(stood) = self.stood.get(&known.place).filter(|_| !untold) else { continue };
                    found.tally.take(&Fact::Remade {
                        processor: again.processor,
                        position: &self.position(known.place),
                        id: &stood.id.to_string(),
                        remade: Remade::Unmade,
                    });
                }
            }
        }
    }

    /// Judgements of each evidence, and the figures of those that are live.
    fn judged(&self, found: &mut Gathered) {
        for (evidence, opinions) in &self.opinions {
            let mut judges: BTreeMap<Short, (bool, bool, Place)> = BTreeMap::new();
            for opinion in opinions {
                let zero = opinion.scored.is_some_and(|(_, score)| score == 0.0);
                let judge = judges.entry(opinion.judge).or_insert((false, false, opinion.place));
                *judge = (judge.0 || opinion.scored.is_none(), judge.1 || zero, opinion.place);
            }
            for (failed, zero, place) in judges.into_values() {
                let named = Id::Uuid(*evidence).to_string();
                let position = &self.position(place);
                found.tally.take(&Fact::Judged { position, evidence: &named, failed, zero });
            }
        }
        let Some((live, scores)) = self.scope.live else { return };
        for (id, evidence) in self.evidence.iter().filter(|(_, evidence)| evidence.place.0 == live) {
            let last = last(self.labels.get(&evidence.run), |o| o.place.0 == scores)
                .or_else(|| last(self.opinions.get(id), |o| o.place.0 == scores));
            let slice = found.slices.entry(evidence.class.clone()).or_default();
            match last.map(|opinion| opinion.scored) {
                Some(Some((category, score))) => slice.score(category, score),
                Some(None) => slice.failed += 1,
                None => slice.skipped += 1,
            }
            let pick = Pick {
                evidence: self.position(evidence.place),
                score: last.map(|opinion| self.position(opinion.place)),
            };
            // The least hashes: the same runs whatever journal they stand in.
            found.picks.insert(evidence.run, pick);
            if found.picks.len() > self.scope.summaries {
                found.picks.pop_last();
            }
        }
    }

    /// Rows of datasets, held against all this.
    fn rows(&self, found: &mut Gathered) {
        let mut rows: HashSet<(u32, Short)> = HashSet::new();
        let mut runs: HashSet<(u32, Short)> = HashSet::new();
        for key in self.keys.iter().filter(|key| key.run != Short::default()) {
            let Some(dataset) = self.scope.datasets.get(key.dataset as usize) else { continue };
            rows.insert((key.dataset, key.evidence));
            let pairs = any_category(&dataset.kind);
            let again = !runs.insert((key.dataset, key.run));
            let erased = self.erased_ids.get(&key.evidence);
            let decided = &self.decided[key.dataset as usize];
            let kept_out = [
                ("recalled", decided.recalled.contains(&key.run)),
                ("discarded", decided.discarded.contains(&key.evidence)),
                ("erased", erased.is_some_and(|key_id| decided.erased.contains(key_id))),
            ];
            let erased = erased.is_some();
            let evidence = self.evidence.get(&key.evidence).is_some_and(|evidence| evidence.run == key.run);
            let opinions =
                [self.labels.get(&key.run), self.opinions.get(&key.evidence)].into_iter().flatten().flatten();
            let score = opinions.into_iter().find(|o| short(o.id.to_string()) == key.score && o.run == key.run);
            // What a person said within the cut counts before the score that the row names.
            let heard = |o: &Opinion| {
                let at = o.made_of.as_ref();
                at.and_then(|at| Some((at, dataset.cut.get(&at.topic, at.partition)?)))
                    .is_some_and(|(at, end)| at.offset < end)
            };
            let category = last(self.labels.get(&key.run), heard).or(score).and_then(|o| o.scored);
            let category = category.map(|(category, _)| category);
            let file = dataset.files.get(key.file as usize).map(String::as_str).unwrap_or_default();
            let place = Spot { dataset: &dataset.name, file, line: key.line };
            let of_evidence = self.asked.get(&key.evidence).into_iter().flatten();
            for asked in of_evidence.filter(|(of, _)| *of == key.dataset).filter_map(|(_, asked)| *asked) {
                found.tally.take(&Fact::Asked { place, same: asked == key.asked });
            }
            found.tally.take(&Fact::Row {
                place,
                run: erased || self.runs.contains(&key.run),
                evidence: erased || evidence,
                score: erased || key.written || score.is_some_and(|score| score.scored.is_some()),
                never: !pairs && !key.written && category.is_some_and(|category| SFT_NEVER.contains(&category)),
                twice: dataset.kind == "sft" && again,
                kept_out: kept_out.into_iter().find_map(|(action, is)| is.then_some(action)),
            });
        }
        for (number, dataset) in self.scope.datasets.iter().enumerate() {
            let Some(source) = dataset.evidence else { continue };
            let here = |evidence: &&Evidence| {
                let inside = |(topic, partition, offset): &(String, u32, u64)| {
                    dataset.cut.get(topic, *partition).is_some_and(|end| *offset < end)
                };
                evidence.place.0 == source && evidence.made_of.as_ref().is_some_and(inside)
            };
            let kind = Some(short(&dataset.kind));
            for (id, evidence) in self.evidence.iter().filter(|(_, evidence)| here(evidence)) {
                found.datasets[number] += 1;
                if dataset.filtered {
                    continue;
                }
                let row = u32::try_from(number).is_ok_and(|number| rows.contains(&(number, *id)));
                let reasons = [kind, None].into_iter().filter_map(|kind| self.quarantined.get(&(*id, kind)));
                let reasons: Vec<&String> = reasons.flatten().collect();
                let position = &self.position(evidence.place);
                let quarantined = !reasons.is_empty();
                found.tally.take(&Fact::Evidence { dataset: &dataset.name, position, row, quarantined });
                if let Some(reason) = self.decided[number].released.get(id) {
                    let left_out = !row && reasons.iter().all(|left_out| *left_out == reason);
                    found.tally.take(&Fact::LetIn { dataset: &dataset.name, position, reason, left_out });
                }
            }
        }
    }
}

/// The one that counts, as the firewall ranks them.
fn last(opinions: Option<&Vec<Opinion>>, counts: impl Fn(&Opinion) -> bool) -> Option<&Opinion> {
    let rank = |o: &Opinion| (o.scored.is_some(), o.occurred_at);
    let counting = opinions.into_iter().flatten().filter(|o| counts(o));
    counting.max_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.id.cmp(&b.id)))
}

/// Hash of an event as it is written, its causes' places left out: they differ where a record was appended twice.
fn content(plain: &Codec, event: &mut Event) -> Content {
    let subject = event.envelope.subject.clone();
    let places: Vec<(i32, i64)> = event.envelope.causes.iter().map(|cause| (cause.partition, cause.offset)).collect();
    for cause in &mut event.envelope.causes {
        (cause.partition, cause.offset) = (0, 0);
    }
    let bytes = plain.encode(event).map(|encoded| encoded.value).unwrap_or_default();
    for (cause, (partition, offset)) in event.envelope.causes.iter_mut().zip(places) {
        (cause.partition, cause.offset) = (partition, offset);
    }
    event.envelope.subject = subject;
    let digest = Sha256::digest(&bytes);
    std::array::from_fn(|i| digest[i])
}
