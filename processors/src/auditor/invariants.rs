//! The table of what must hold.

use super::fact::{Fact, Found, Remade};
use crate::firewall::{HUMAN_LABEL, SFT_NEVER};
use crate::scorer;
use stillhouse_schemas::{Event, Payload, Writer, ids};

/// What a check says: nothing if the fact does not concern it.
type Holds = Option<Result<(), String>>;

/// Something that must hold.
pub struct Invariant {
    /// `I-01` and on; never used again for another.
    pub id: &'static str,
    /// What must hold, in a sentence.
    pub statement: &'static str,
    /// The phase of an audit that checks it.
    pub phase: i32,
    /// Holds a fact against it.
    pub check: fn(&Fact<'_>) -> Holds,
}

/// What must hold of every journal and its datasets.
pub static INVARIANTS: &[Invariant] = &[
    Invariant { id: "I-01", statement: "The hash chain of the journal is whole.", phase: 0, check: chain },
    Invariant { id: "I-02", statement: "Every record is an event that its topic holds.", phase: 1, check: decodes },
    Invariant { id: "I-03", statement: "No id says two things in one topic.", phase: 1, check: once },
    Invariant { id: "I-04", statement: "What is made of a run has the run's id as its key.", phase: 1, check: keyed },
    Invariant {
        id: "I-05",
        statement: "The id of a derived event is that of its causes, its maker and its topic.",
        phase: 1,
        check: derived,
    },
    Invariant { id: "I-06", statement: "Every cause stands where its effect says.", phase: 2, check: caused },
    Invariant { id: "I-07", statement: "No cause lies after its effect.", phase: 2, check: after },
    Invariant {
        id: "I-08",
        statement: "Materialising the same runs again gives the same bytes, no event more and none less.",
        phase: 2,
        check: materialised,
    },
    Invariant {
        id: "I-09",
        statement: "Every score names its evidence, scorer, version and configuration, and lies in [0, 1].",
        phase: 3,
        check: named,
    },
    Invariant { id: "I-10", statement: "A judge that failed is nowhere a zero.", phase: 3, check: no_zero },
    Invariant {
        id: "I-11",
        statement: "Scoring the same evidence again gives the same bytes, no event more and none less.",
        phase: 3,
        check: rescored,
    },
    Invariant {
        id: "I-12",
        statement: "What is left out has a reason, a rule and its version; what is released had been left out.",
        phase: 4,
        check: left_out,
    },
    Invariant {
        id: "I-13",
        statement: "Counts add up: every run is evidence or left out, every evidence of a dataset's cut a row or left out.",
        phase: 4,
        check: sums,
    },
    Invariant {
        id: "I-14",
        statement: "The files of a dataset are those of its manifest, byte for byte.",
        phase: 4,
        check: hashes,
    },
    Invariant {
        id: "I-15",
        statement: "The journal says that a dataset was written, with that manifest, and the dataset's cut lies within it.",
        phase: 4,
        check: within,
    },
    Invariant {
        id: "I-16",
        statement: "Every row of a dataset has a run, its evidence and a score of that evidence, and names no others.",
        phase: 4,
        check: traced,
    },
    Invariant {
        id: "I-17",
        statement: "No row to train on is of a category that never enters.",
        phase: 4,
        check: never,
    },
    Invariant {
        id: "I-18",
        statement: "Every row is of its contract, in canonical JSON, and no run is two rows.",
        phase: 4,
        check: canonical,
    },
    Invariant { id: "I-19", statement: "No task is in two splits of a dataset.", phase: 4, check: one_split },
    Invariant {
        id: "I-20",
        statement: "The sides of a pair differ, and answer the same prompt, which is that of their evidence.",
        phase: 4,
        check: pair,
    },
    Invariant {
        id: "I-21",
        statement: "Datasets are as was decided before their cut: without what was recalled, discarded or erased, with what was released.",
        phase: 4,
        check: decided,
    },
    Invariant {
        id: "I-22",
        statement: "No replay made a call outside of the journal, and a recorded one comes out the same again.",
        phase: 7,
        check: replay,
    },
];

fn hold(holds: bool, why: impl FnOnce() -> String) -> Holds {
    Some(if holds { Ok(()) } else { Err(why()) })
}

fn chain(fact: &Fact<'_>) -> Holds {
    let Fact::Chain(damage) = fact else { return None };
    Some(damage.map_or(Ok(()), |damage| Err(damage.what.clone())))
}

fn decodes(fact: &Fact<'_>) -> Holds {
    let Fact::Record { topic, read, .. } = fact else { return None };
    Some(match read {
        Ok(event) => {
            let name = event.payload.event_type().name;
            if topic.events.contains(&name) { Ok(()) } else { Err(format!("`{}` holds no `{name}`", topic.name)) }
        }
        Err(error) => Err(error.to_string()),
    })
}

fn once(fact: &Fact<'_>) -> Holds {
    match fact {
        Fact::Record { .. } => Some(Ok(())),
        Fact::Twice { id, same, .. } => hold(*same, || format!("event {id} stands there with other content before")),
        _ => None,
    }
}

fn keyed(fact: &Fact<'_>) -> Holds {
    let Fact::Record { topic, record, read: Ok(event), .. } = fact else { return None };
    // Who writes from outside may say what it likes: the materializer keeps it out.
    if topic.writer == Writer::Outside {
        return None;
    }
    let run_id = event.payload.run_id()?;
    if event.payload.natural_key() != Some(run_id) {
        return None;
    }
    let key = record.key.as_deref().unwrap_or_default();
    hold(event.envelope.key == run_id && key == run_id.as_bytes(), || {
        format!("its key is `{}`, its run `{}`", String::from_utf8_lossy(key).escape_debug(), run_id.escape_debug())
    })
}

/// Most events that are made of the same causes for one topic.
const ORDINALS: u32 = 64;

fn derived(fact: &Fact<'_>) -> Holds {
    let Fact::Record { topic, read: Ok(event), .. } = fact else { return None };
    let Event { envelope, .. } = event;
    if !topic.derived || !matches!(topic.writer, Writer::Processor(_)) {
        return None;
    }
    let causes: Vec<&str> = envelope.causes.iter().map(|cause| cause.id.as_str()).collect();
    let maker = &envelope.producer;
    let id = |n| ids::derived(&causes, &maker.name, &maker.version, &maker.config_hash, topic.name, n);
    hold(!causes.is_empty() && (0..ORDINALS).any(|n| id(n) == envelope.id), || {
        format!("{} is not what its causes, `{}` {} and `{}` give", envelope.id, maker.name, maker.version, topic.name)
    })
}

fn caused(fact: &Fact<'_>) -> Holds {
    let Fact::Cause { cause, found, .. } = fact else { return None };
    let at = || format!("{}/{}/{}", cause.topic, cause.partition, cause.offset);
    match found {
        Found::Here(_) => Some(Ok(())),
        Found::Other(id) => Some(Err(format!("its cause {} is not at {}: {id} is", cause.id, at()))),
        Found::Nothing => Some(Err(format!("its cause {} is not at {}: nothing is", cause.id, at()))),
        Found::Untold => None,
    }
}

fn after(fact: &Fact<'_>) -> Holds {
    let Fact::Cause { position, envelope, cause, found } = fact else { return None };
    let together = *cause.topic == *position.topic && u32::try_from(cause.partition) == Ok(position.partition);
    let behind = together && u64::try_from(cause.offset).is_ok_and(|offset| offset >= position.offset);
    let later = matches!(found, Found::Here(then) if *then > envelope.occurred_at);
    hold(!behind && !later, || {
        let what = if behind { "stands after it" } else { "happened after it" };
        format!("its cause {} {what}", cause.id)
    })
}

fn remade(fact: &Fact<'_>, concerns: impl Fn(&str) -> bool) -> Holds {
    let Fact::Remade { processor, id, remade, .. } = fact else { return None };
    if !concerns(processor) {
        return None;
    }
    Some(match remade {
        Remade::Equal => Ok(()),
        Remade::Differs => Err(format!("{processor} makes {id} with other content now")),
        Remade::Missing => Err(format!("{processor} makes {id} of it, which is not there")),
        Remade::Unmade => Err(format!("{processor} makes no {id} of anything there")),
    })
}

fn materialised(fact: &Fact<'_>) -> Holds {
    remade(fact, |processor| processor != scorer::NAME)
}

fn rescored(fact: &Fact<'_>) -> Holds {
    remade(fact, |processor| processor == scorer::NAME)
}

fn named(fact: &Fact<'_>) -> Holds {
    let Fact::Record { read: Ok(event), .. } = fact else { return None };
    let within = |value: f64| (0.0..=1.0).contains(&value);
    let (evidence, names, sound) = match &event.payload {
        // What a person says of a run is of no one evidence, and comes of a label.
        Payload::Score(s) if s.evidence_id.is_empty() && s.decided_by == HUMAN_LABEL => {
            let names = [&s.run_id, &s.scorer, &s.scorer_version, &s.config_hash];
            let named = !event.envelope.causes.is_empty() && names.iter().all(|name| !name.is_empty());
            return hold(named && within(s.score) && s.sub_scores.values().all(|value| within(*value)), || {
                "it lacks its label, scorer, version or configuration, or is not in [0, 1]".to_owned()
            });
        }
        Payload::Score(s) => (
            &s.evidence_id,
            [&s.run_id, &s.scorer, &s.scorer_version, &s.config_hash, &s.decided_by],
            within(s.score) && s.sub_scores.values().all(|value| within(*value)),
        ),
        Payload::ScoreFailed(s) => {
            (&s.evidence_id, [&s.run_id, &s.scorer, &s.scorer_version, &s.config_hash, &s.error], true)
        }
        _ => return None,
    };
    if evidence.is_empty() || names.iter().any(|name| name.is_empty()) {
        return Some(Err("it lacks its evidence, scorer, version, configuration or reason".to_owned()));
    }
    if !event.envelope.causes.iter().any(|cause| cause.id == *evidence) {
        return Some(Err(format!("evidence {evidence} is not among its causes")));
    }
    hold(sound, || "a number of it is not in [0, 1]".to_owned())
}

fn no_zero(fact: &Fact<'_>) -> Holds {
    let Fact::Judged { evidence, failed, zero, .. } = fact else { return None };
    hold(!(*failed && *zero), || format!("the judge of evidence {evidence} failed, and gave it a zero"))
}

fn left_out(fact: &Fact<'_>) -> Holds {
    match fact {
        Fact::Record { read: Ok(event), .. } => {
            let Payload::Quarantined(q) = &event.payload else { return None };
            let words = [&q.run_id, &q.event_id, &q.stage, &q.reason, &q.rule, &q.rule_version];
            hold(words.iter().all(|word| !word.is_empty()), || {
                "it lacks a reason, a rule, its version, or what it is about".to_owned()
            })
        }
        Fact::Released { quarantined, known, .. } => {
            hold(*known, || format!("it releases {quarantined}, which nobody left out before"))
        }
        _ => None,
    }
}

fn sums(fact: &Fact<'_>) -> Holds {
    match fact {
        Fact::Run { accounted, .. } => {
            hold(*accounted, || "the run is neither evidence nor quarantined nor a dead letter".to_owned())
        }
        Fact::Evidence { dataset, row, quarantined, .. } => {
            hold(*row || *quarantined, || format!("it is no row of {dataset}, and not in quarantine"))
        }
        Fact::Dataset(dataset) => hold(dataset.sums.is_empty(), || dataset.sums.join("; ")),
        _ => None,
    }
}

fn hashes(fact: &Fact<'_>) -> Holds {
    let Fact::Dataset(dataset) = fact else { return None };
    Some(dataset.damage.clone().map_or(Ok(()), Err))
}

fn within(fact: &Fact<'_>) -> Holds {
    let Fact::Dataset(dataset) = fact else { return None };
    hold(dataset.misfit.is_empty(), || dataset.misfit.join("; "))
}

fn traced(fact: &Fact<'_>) -> Holds {
    if let Fact::Traced { same, .. } = fact {
        return Some(same.map_err(str::to_owned));
    }
    let Fact::Row { run, evidence, score, .. } = fact else { return None };
    let lacks = [(*run, "run"), (*evidence, "evidence of that run"), (*score, "score of that evidence")];
    let lacks: Vec<&str> = lacks.iter().filter(|(there, _)| !there).map(|(_, what)| *what).collect();
    hold(lacks.is_empty(), || format!("the journal has no {}", lacks.join(", no ")))
}

fn never(fact: &Fact<'_>) -> Holds {
    match fact {
        Fact::Line { category: Some(category), any_category: false, .. } => {
            let never = SFT_NEVER.iter().any(|never| never.as_str() == *category);
            hold(!never, || format!("it says itself that it is {category}"))
        }
        Fact::Row { never, .. } => hold(!never, || "its score is of a category that never enters".to_owned()),
        _ => None,
    }
}

fn canonical(fact: &Fact<'_>) -> Holds {
    match fact {
        Fact::Line { canonical, .. } => Some(canonical.map_err(str::to_owned)),
        Fact::Row { twice, .. } => hold(!twice, || "its run is another row too".to_owned()),
        _ => None,
    }
}

fn one_split(fact: &Fact<'_>) -> Holds {
    let Fact::Task { splits, .. } = fact else { return None };
    hold(*splits <= 1, || format!("its task is in {splits} splits"))
}

fn pair(fact: &Fact<'_>) -> Holds {
    if let Fact::Asked { same, .. } = fact {
        return hold(*same, || "it asks something else than was asked of a run that it was made of".to_owned());
    }
    let Fact::Pair { pair, .. } = fact else { return None };
    if !pair.one_prompt {
        return Some(Err("its sides answer different prompts".to_owned()));
    }
    hold(pair.differs, || "its sides are equal".to_owned())
}

fn decided(fact: &Fact<'_>) -> Holds {
    match fact {
        Fact::Row { kept_out, .. } => {
            Some(kept_out.map_or(Ok(()), |action| Err(format!("it was {action} before the dataset's cut"))))
        }
        Fact::LetIn { dataset, reason, left_out, .. } => hold(!left_out, || {
            format!("it was released from `{reason}` before the cut of {dataset}, and left out of it for that")
        }),
        _ => None,
    }
}

fn replay(fact: &Fact<'_>) -> Holds {
    match fact {
        Fact::Record { read: Ok(event), .. } => {
            let Payload::Replayed(replayed) = &event.payload else { return None };
            hold(replayed.outside_calls == 0, || format!("it made {} calls outside", replayed.outside_calls))
        }
        Fact::Replay { same: Some(same), .. } => hold(*same, || "replaying the run gives something else".to_owned()),
        _ => None,
    }
}
