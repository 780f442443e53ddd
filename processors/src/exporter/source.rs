//! What a row was made of: enough to trace it, and to say that it was left out without reading the journal again.

use super::pack::{Damaged, Pack, Unpack};
use crate::firewall::{Judged, Judgement};
use crate::quarantine::Fold;
use stillhouse_schemas::{Category, Envelope, Event, Evidence, Micros};
use stillhouse_streams::Position;

/// An evidence with its judgement.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Source {
    pub(super) run_id: String,
    pub(super) evidence_id: String,
    pub(super) occurred_at: Micros,
    pub(super) source_class: String,
    pub(super) task_key: Option<String>,
    pub(super) model: Option<String>,
    /// Id of the label that corrected it, for the side of a pair that a person wrote.
    pub(super) label_id: Option<String>,
    pub(super) judged: Option<Judged>,
    /// What quarantine says of the run, if it does: [`Fold::of_run`].
    pub(super) history: Option<Vec<u8>>,
    score: Option<ScorePlace>,
    key: String,
    subject: Option<String>,
    traceparent: Option<String>,
    partition: u32,
    offset: u64,
}

#[derive(Clone, Debug, PartialEq)]
struct ScorePlace {
    id: String,
    occurred_at: Micros,
    partition: u32,
    offset: u64,
}

impl Source {
    pub(super) fn new(event: &Event, evidence: &Evidence, position: &Position, judgement: Option<&Judgement>) -> Self {
        let envelope = &event.envelope;
        Self {
            run_id: evidence.run_id.clone(),
            evidence_id: envelope.id.clone(),
            occurred_at: envelope.occurred_at,
            source_class: evidence.source_class.clone(),
            task_key: evidence.task_key.clone(),
            model: evidence.model.clone(),
            label_id: None,
            judged: judgement.and_then(Judgement::judged),
            history: None,
            score: judgement.map(|judgement| {
                let (partition, offset) = judgement.place();
                ScorePlace { id: judgement.id().to_string(), occurred_at: judgement.occurred_at(), partition, offset }
            }),
            key: envelope.key.clone(),
            subject: envelope.subject.clone(),
            traceparent: envelope.traceparent.clone(),
            partition: position.partition,
            offset: position.offset,
        }
    }

    /// Id of the score; empty if nobody judged it.
    pub(super) fn score_id(&self) -> &str {
        self.score.as_ref().map_or("", |score| &score.id)
    }

    /// What quarantine says of the run.
    pub(super) fn left(&self) -> Fold {
        self.history.as_deref().and_then(|history| Fold::again(&self.run_id, history)).unwrap_or_default()
    }

    /// The envelope and the place of the evidence, in this topic.
    pub(super) fn evidence(&self, topic: &str) -> (Envelope, Position) {
        let envelope = Envelope {
            id: self.evidence_id.clone(),
            key: self.key.clone(),
            occurred_at: self.occurred_at,
            subject: self.subject.clone(),
            traceparent: self.traceparent.clone(),
            ..Envelope::default()
        };
        (envelope, Position::new(topic, self.partition, self.offset))
    }

    /// The envelope and the place of the score, in this topic.
    pub(super) fn score(&self, topic: &str) -> Option<(Envelope, Position)> {
        self.score.as_ref().map(|score| {
            let envelope = Envelope { id: score.id.clone(), occurred_at: score.occurred_at, ..Envelope::default() };
            (envelope, Position::new(topic, score.partition, score.offset))
        })
    }

    pub(super) fn pack(&self, pack: &mut Pack) {
        pack.text(&self.run_id)
            .text(&self.evidence_id)
            .signed(self.occurred_at)
            .text(&self.source_class)
            .optional(self.task_key.as_deref())
            .optional(self.model.as_deref())
            .optional(self.label_id.as_deref());
        match &self.judged {
            None => pack.byte(u8::MAX),
            Some(judged) => {
                let number = Category::ALL.iter().position(|c| *c == judged.category).unwrap_or_default();
                pack.byte(u8::try_from(number).unwrap_or_default()).number(judged.score.to_bits())
            }
        };
        match &self.score {
            None => pack.byte(0),
            Some(score) => pack
                .byte(1)
                .text(&score.id)
                .signed(score.occurred_at)
                .number(score.partition.into())
                .number(score.offset),
        };
        match &self.history {
            None => pack.byte(0),
            Some(history) => pack.byte(1).bytes(history),
        };
        pack.text(&self.key)
            .optional(self.subject.as_deref())
            .optional(self.traceparent.as_deref())
            .number(self.partition.into())
            .number(self.offset);
    }

    pub(super) fn unpack(from: &mut Unpack<'_>) -> Result<Self, Damaged> {
        let own = |text: Option<&str>| text.map(str::to_owned);
        let number = |n: u64| u32::try_from(n).map_err(|_| Damaged);
        Ok(Self {
            run_id: from.text()?.to_owned(),
            evidence_id: from.text()?.to_owned(),
            occurred_at: from.signed()?,
            source_class: from.text()?.to_owned(),
            task_key: own(from.optional()?),
            model: own(from.optional()?),
            label_id: own(from.optional()?),
            judged: match from.byte()? {
                u8::MAX => None,
                n => Some(Judged {
                    category: *Category::ALL.get(usize::from(n)).ok_or(Damaged)?,
                    score: f64::from_bits(from.number()?),
                }),
            },
            score: match from.byte()? {
                0 => None,
                _ => Some(ScorePlace {
                    id: from.text()?.to_owned(),
                    occurred_at: from.signed()?,
                    partition: number(from.number()?)?,
                    offset: from.number()?,
                }),
            },
            history: match from.byte()? {
                0 => None,
                _ => Some(from.bytes()?.to_vec()),
            },
            key: from.text()?.to_owned(),
            subject: own(from.optional()?),
            traceparent: own(from.optional()?),
            partition: number(from.number()?)?,
            offset: from.number()?,
        })
    }
}
