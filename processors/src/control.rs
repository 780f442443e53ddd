//! Generations: the fold of the control topic.
//!
//! Every processor has a generation `v1` from the start, with the settings of the first release's defaults unless a
//! `generation_started` says otherwise. Its control events, in the order of the topic's single partition, start others,
//! say which is live, and drop them:
//!
//! - `generation_started`: a new name with version, settings, bound inputs and where it began. Starting the same
//!   generation again changes nothing; a name is never used for two. It is a shadow until it is promoted.
//! - `promoted`: readers of the logical topics now get this generation's. Promoting the one before undoes it.
//! - `dropped`: the generation is no more. The live one cannot be dropped, nor one that another is bound to.
//!
//! The fold is total: an event that makes no sense (an unknown generation, another content for a taken name) is noted
//! in [`Generations::ignored`] and changes nothing, so that all readers of one control topic agree. [`Generations::check`]
//! is the same judgement beforehand, for those who are about to append such an event. An event that is repeated, as a
//! Kafka topic may do, counts once.

use crate::nearest::nearest;
use crate::table::{Definition, PROCESSORS, UnknownProcessor, processor};
use std::collections::{BTreeMap, BTreeSet};
use stillhouse_schemas::{Control, Event, Micros, Payload, Topic, Writer};
use stillhouse_streams::generation::{FIRST, Names, check_generation};

/// The action that starts a generation.
pub const STARTED: &str = "generation_started";
/// The action that makes a generation live.
pub const PROMOTED: &str = "promoted";
/// The action that ends a generation.
pub const DROPPED: &str = "dropped";

/// A generation of a processor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Its name.
    pub name: String,
    /// Version of the processor's code that it began with.
    pub version: String,
    /// Settings given; those that are not are the defaults.
    pub settings: BTreeMap<String, String>,
    /// Inputs bound to a generation of their own: logical topic to physical.
    pub inputs: BTreeMap<String, String>,
    /// Where it began, as JSON text; empty: at the beginning.
    pub from: String,
    /// Whether it still is.
    pub state: State,
    /// When it was started; nothing for a first generation that was never announced.
    pub started_at: Option<Micros>,
}

/// Whether a generation still is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It runs, live or as a shadow.
    Active,
    /// Its topics and its group may be gone.
    Dropped,
}

/// A control event that changed nothing, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignored {
    /// The event.
    pub event_id: String,
    /// Why.
    pub why: ControlError,
}

/// Why a control event makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// No such processor.
    #[error(transparent)]
    Processor(#[from] UnknownProcessor),
    /// The processor runs when asked for and has no generations but its first.
    #[error("`{0}` runs when asked for: it has no generations to start, promote or drop")]
    OnRequest(String),
    /// Not a name for a generation.
    #[error("{0}")]
    Name(String),
    /// No such generation.
    #[error("`{processor}` has no generation `{generation}`; it has {known}")]
    Unknown {
        /// The processor.
        processor: String,
        /// The name given.
        generation: String,
        /// Those there are.
        known: String,
    },
    /// The generation was dropped.
    #[error("generation `{generation}` of `{processor}` was dropped; start one under another name")]
    Dropped {
        /// The processor.
        processor: String,
        /// Its generation.
        generation: String,
    },
    /// The name belongs to a generation with other content.
    #[error("`{processor}` already has a generation `{generation}` that differs; choose another name")]
    Taken {
        /// The processor.
        processor: String,
        /// Its generation.
        generation: String,
    },
    /// The live generation cannot be dropped.
    #[error("generation `{generation}` of `{processor}` is live; promote another one first")]
    Live {
        /// The processor.
        processor: String,
        /// Its generation.
        generation: String,
    },
    /// Another generation reads it.
    #[error("generation `{generation}` of `{processor}` is read by generation `{by}`; drop that one first")]
    Bound {
        /// The processor.
        processor: String,
        /// Its generation.
        generation: String,
        /// The reader, as `processor.generation`.
        by: String,
    },
    /// An input that the processor does not have, or a topic that is not one of that input.
    #[error("{0}")]
    Input(String),
    /// An action that is none.
    #[error("`{0}` is no action; there are generation_started, promoted, dropped")]
    Action(String),
}

/// A name that is no topic's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no topic is called `{name}`{}", nearest.as_ref().map(|n| format!("; did you mean `{n}`?")).unwrap_or_default())]
pub struct UnknownTopic {
    /// The name given.
    pub name: String,
    /// The most similar one, if one is similar.
    pub nearest: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    live: String,
    generations: BTreeMap<String, Generation>,
    promotions: Vec<(Micros, String)>,
}

/// All generations of one instance, at a cut of its control topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generations {
    names: Names,
    lines: BTreeMap<&'static str, Line>,
    seen: BTreeSet<String>,
    ignored: Vec<Ignored>,
}

impl Generations {
    /// The generations of an instance whose control topic is empty.
    pub fn new(names: Names) -> Self {
        let first = Generation {
            name: FIRST.to_owned(),
            version: String::new(),
            settings: BTreeMap::new(),
            inputs: BTreeMap::new(),
            from: String::new(),
            state: State::Active,
            started_at: None,
        };
        let line = |definition: &Definition| Line {
            live: FIRST.to_owned(),
            generations: BTreeMap::from([(
                FIRST.to_owned(),
                Generation { version: definition.version.to_owned(), ..first.clone() },
            )]),
            promotions: Vec::new(),
        };
        let lines = PROCESSORS.iter().map(|definition| (definition.name, line(definition))).collect();
        Self { names, lines, seen: BTreeSet::new(), ignored: Vec::new() }
    }

    /// The generations after these control events.
    pub fn fold<'a>(names: Names, events: impl IntoIterator<Item = &'a Event>) -> Self {
        let mut generations = Self::new(names);
        events.into_iter().for_each(|event| generations.apply(event));
        generations
    }

    /// Takes the next event of the control topic. Events of other types say nothing here.
    pub fn apply(&mut self, event: &Event) {
        let Payload::Control(control) = &event.payload else { return };
        if !self.seen.insert(event.envelope.id.clone()) {
            return;
        }
        match self.check(control) {
            Ok(definition) => self.take(definition, control, event.envelope.occurred_at),
            Err(why) => self.ignored.push(Ignored { event_id: event.envelope.id.clone(), why }),
        }
    }

    /// Whether a control event would make sense now.
    pub fn check(&self, control: &Control) -> Result<&'static Definition, ControlError> {
        let definition = processor(&control.processor)?;
        if !definition.is_transform() {
            return Err(ControlError::OnRequest(definition.name.to_owned()));
        }
        match control.action.as_str() {
            STARTED => self.check_start(definition, control)?,
            PROMOTED => drop(self.active(definition, &control.generation)?),
            DROPPED => self.check_drop(definition, &control.generation)?,
            other => return Err(ControlError::Action(other.escape_debug().to_string())),
        }
        Ok(definition)
    }

    fn check_start(&self, definition: &'static Definition, control: &Control) -> Result<(), ControlError> {
        check_generation(&control.generation).map_err(ControlError::Name)?;
        for (logical, physical) in &control.inputs {
            let name = definition.name;
            if !definition.inputs.contains(&logical.as_str()) {
                let logical = logical.escape_debug();
                return Err(ControlError::Input(format!("`{name}` does not read `{logical}`")));
            }
            let known = self.physical(logical);
            if !known.contains(physical) {
                let (physical, known) = (physical.escape_debug(), known.join(", "));
                return Err(ControlError::Input(format!(
                    "`{physical}` is no generation of `{logical}`; there are {known}"
                )));
            }
        }
        let (processor, generation) = (definition.name.to_owned(), control.generation.clone());
        match self.line(definition.name).generations.get(&control.generation) {
            None => Ok(()),
            Some(known) if known.state == State::Dropped => Err(ControlError::Dropped { processor, generation }),
            // The first generation is there before it is announced.
            Some(known) if known.started_at.is_none() => Ok(()),
            Some(known) => {
                let same = known.version == control.version
                    && known.settings == control.settings
                    && known.inputs == control.inputs
                    && known.from == control.from;
                if same { Ok(()) } else { Err(ControlError::Taken { processor, generation }) }
            }
        }
    }

    fn check_drop(&self, definition: &'static Definition, generation: &str) -> Result<(), ControlError> {
        self.active(definition, generation)?;
        let named = || (definition.name.to_owned(), generation.to_owned());
        if self.live(definition.name) == generation {
            let (processor, generation) = named();
            return Err(ControlError::Live { processor, generation });
        }
        let written: Vec<String> = definition.outputs.iter().map(|logical| self.output(logical, generation)).collect();
        for (reader, line) in &self.lines {
            let active = line.generations.values().filter(|g| g.state == State::Active);
            if let Some(bound) = active.into_iter().find(|g| g.inputs.values().any(|topic| written.contains(topic))) {
                let (processor, generation) = named();
                return Err(ControlError::Bound { processor, generation, by: format!("{reader}.{}", bound.name) });
            }
        }
        Ok(())
    }

    fn take(&mut self, definition: &'static Definition, control: &Control, at: Micros) {
        let Some(line) = self.lines.get_mut(definition.name) else { return };
        let name = control.generation.clone();
        match control.action.as_str() {
            STARTED => {
                let known = line.generations.get(&name).is_some_and(|known| known.started_at.is_some());
                if !known {
                    let started = Generation {
                        name: name.clone(),
                        version: control.version.clone(),
                        settings: control.settings.clone(),
                        inputs: control.inputs.clone(),
                        from: control.from.clone(),
                        state: State::Active,
                        started_at: Some(at),
                    };
                    line.generations.insert(name, started);
                }
            }
            PROMOTED if line.live != name => {
                line.promotions.push((at, name.clone()));
                line.live = name;
            }
            DROPPED => {
                if let Some(generation) = line.generations.get_mut(&name) {
                    generation.state = State::Dropped;
                }
            }
            _ => {}
        }
    }

    /// Spells the names of this instance.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Events that changed nothing, in order.
    pub fn ignored(&self) -> &[Ignored] {
        &self.ignored
    }

    /// The live generation of a processor.
    ///
    /// # Panics
    /// If the table has no such processor; like everything here that takes a processor's name.
    pub fn live(&self, processor: &str) -> &str {
        &self.line(processor).live
    }

    /// The generation that was live before the live one: what an undo promotes.
    pub fn before(&self, processor: &str) -> Option<&str> {
        let line = self.line(processor);
        match line.promotions.as_slice() {
            [] => None,
            [_] => Some(FIRST),
            [.., (_, before), _] => Some(before),
        }
    }

    /// When what was promoted, in order.
    pub fn promotions(&self, processor: &str) -> &[(Micros, String)] {
        &self.line(processor).promotions
    }

    /// All generations of a processor, the dropped ones too, by name.
    pub fn of(&self, processor: &str) -> impl Iterator<Item = &Generation> {
        self.line(processor).generations.values()
    }

    /// A generation that has not been dropped.
    pub fn active(&self, definition: &'static Definition, generation: &str) -> Result<&Generation, ControlError> {
        let (processor, line) = (definition.name.to_owned(), self.line(definition.name));
        match line.generations.get(generation) {
            Some(found) if found.state == State::Active => Ok(found),
            Some(_) => Err(ControlError::Dropped { processor, generation: generation.to_owned() }),
            None => {
                let active = line.generations.values().filter(|g| g.state == State::Active);
                let known = active.map(|g| g.name.as_str()).collect::<Vec<_>>().join(", ");
                let generation = generation.escape_debug().to_string();
                Err(ControlError::Unknown { processor, generation, known })
            }
        }
    }

    /// The physical topics that readers of a logical name read now: one, or for `quarantine` one per writer.
    pub fn resolve(&self, logical: &str) -> Result<Vec<String>, UnknownTopic> {
        let topics = topics_of(logical);
        if topics.is_empty() {
            let known = stillhouse_schemas::TOPICS.iter().map(|topic| topic.name);
            return Err(UnknownTopic {
                name: logical.escape_debug().to_string(),
                nearest: nearest(logical, known).map(str::to_owned),
            });
        }
        Ok(topics.into_iter().map(|topic| self.output(topic.name, self.live_writer(topic))).collect())
    }

    /// As [`Self::resolve`], and besides `scores.v2` for one generation, and physical names as `topics` lists them.
    pub fn locate(&self, name: &str) -> Result<Vec<String>, UnknownTopic> {
        if let Ok(topics) = self.resolve(name) {
            return Ok(topics);
        }
        let prefix = self.names.prefix();
        let all: Vec<String> = stillhouse_schemas::TOPICS.iter().flat_map(|topic| self.physical(topic.name)).collect();
        let bare = name.strip_prefix(prefix).unwrap_or(name);
        if let Some(physical) = all.iter().find(|physical| physical.strip_prefix(prefix) == Some(bare)) {
            return Ok(vec![physical.clone()]);
        }
        let logical = stillhouse_schemas::TOPICS.iter().map(|topic| topic.name);
        let known = logical.chain(all.iter().filter_map(|physical| physical.strip_prefix(prefix)));
        Err(UnknownTopic { name: name.escape_debug().to_string(), nearest: nearest(bare, known).map(str::to_owned) })
    }

    /// What a generation reads: logical topic to physical ones, as bound when it was started, else the live ones.
    pub fn inputs(
        &self,
        definition: &'static Definition,
        generation: &str,
    ) -> Result<Vec<(&'static str, Vec<String>)>, ControlError> {
        let bound = &self.active(definition, generation)?.inputs;
        let read = |logical: &&'static str| match bound.get(*logical) {
            Some(physical) => (*logical, vec![physical.clone()]),
            None => (*logical, self.resolve(logical).unwrap_or_default()),
        };
        Ok(definition.inputs.iter().map(read).collect())
    }

    /// The physical topic that a generation writes for a logical one.
    pub fn output(&self, logical: &str, generation: &str) -> String {
        match stillhouse_schemas::topic(logical) {
            Some(topic) if topic.derived => self.names.derived(logical, generation),
            _ => self.names.topic(logical),
        }
    }

    /// The physical topics of all generations of a logical topic that have not been dropped.
    pub fn physical(&self, logical: &str) -> Vec<String> {
        let Some(topic) = stillhouse_schemas::topic(logical) else { return Vec::new() };
        match topic.writer {
            Writer::Processor(writer) if topic.derived => match self.lines.get(writer) {
                Some(line) => {
                    let active = line.generations.values().filter(|g| g.state == State::Active);
                    active.map(|generation| self.names.derived(logical, &generation.name)).collect()
                }
                None => vec![self.names.derived(logical, FIRST)],
            },
            _ => vec![self.names.topic(logical)],
        }
    }

    fn live_writer(&self, topic: &Topic) -> &str {
        match topic.writer {
            Writer::Processor(writer) => self.lines.get(writer).map_or(FIRST, |line| &line.live),
            _ => FIRST,
        }
    }

    fn line(&self, processor: &str) -> &Line {
        self.lines.get(processor).unwrap_or_else(|| panic!("`{processor}` is in the table of processors"))
    }
}

/// The topics that a logical name means: itself, or all whose names it begins (`quarantine`).
pub fn topics_of(logical: &str) -> Vec<&'static Topic> {
    match stillhouse_schemas::topic(logical) {
        Some(topic) => vec![topic],
        None => {
            let part = |topic: &&Topic| topic.name.strip_prefix(logical).is_some_and(|rest| rest.starts_with('.'));
            stillhouse_schemas::TOPICS.iter().filter(part).collect()
        }
    }
}
