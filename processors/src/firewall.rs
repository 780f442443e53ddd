//! What may be trained on.
//!
//! A row of an SFT dataset is rendered from an [`Admitted`], and [`admit`] is the only way to one: it takes an evidence
//! event, the judgement of that evidence and a policy, and the policy has no word for the categories in [`SFT_NEVER`].
//! There is no constructor, no default, no deserialisation, no way to change one; the compiler holds this:
//!
//! ```
//! use stillhouse_processors::firewall::{Admitted, Judgement, Policy, Standing, admit};
//! use stillhouse_schemas::Event;
//! // The one way in, and it can say no.
//! fn row(evidence: &Event, judgement: &Judgement, standing: &Standing) -> bool {
//!     let admitted: Option<Admitted<'_>> = admit(evidence, judgement, standing, &Policy::default()).ok();
//!     admitted.is_some()
//! }
//! ```
//!
//! ```compile_fail
//! use stillhouse_processors::firewall::Admitted;
//! use stillhouse_schemas::{Category, Event, Evidence};
//! fn forge<'a>(event: &'a Event, evidence: &'a Evidence) -> Admitted<'a> {
//!     Admitted { event, evidence, score_id: String::new(), score: 1.0, category: Category::Accepted }
//! }
//! ```
//!
//! ```compile_fail
//! use stillhouse_processors::firewall::Admitted;
//! let forged: Admitted<'static> = Default::default();
//! ```
//!
//! ```compile_fail
//! use stillhouse_processors::firewall::Admitted;
//! let forged: Admitted<'static> = serde_json::from_str("{}").unwrap();
//! ```
//!
//! ```compile_fail
//! use stillhouse_processors::firewall::Admitted;
//! use stillhouse_schemas::Category;
//! fn launder(admitted: &mut Admitted<'_>) {
//!     admitted.category = Category::Accepted;
//! }
//! ```
//!
//! ```compile_fail
//! use stillhouse_processors::firewall::Judgement;
//! let forged: Judgement = Default::default();
//! ```
//!
//! ```compile_fail
//! use stillhouse_processors::firewall::Standing;
//! let forged: Standing = Default::default();
//! ```
//!
//! ```compile_fail
//! use stillhouse_processors::firewall::Policy;
//! let open = Policy { partially_accepted: true, rejected: true };
//! ```
//!
//! ```compile_fail
//! use stillhouse_processors::exporter::Row;
//! let forged = Row { split: "train", line: b"{}".to_vec(), origins: vec![] };
//! ```
//!
//! The worse side of a preference pair is made of a [`Declined`] (of [`decline`], for runs judged [`Category::Rejected`]
//! and no others) or of a [`Corrected`] (of [`correct`], for runs that a person wrote a better answer for), the better
//! side of an [`Admitted`] or of a [`Corrected`]; no row of an SFT dataset can be made of these two:
//!
//! ```compile_fail
//! use stillhouse_processors::firewall::Declined;
//! use stillhouse_schemas::{Event, Evidence};
//! fn forge<'a>(event: &'a Event, evidence: &'a Evidence) -> Declined<'a> {
//!     Declined { event, evidence }
//! }
//! ```
//!
//! ```compile_fail
//! use stillhouse_processors::firewall::{Admitted, Declined};
//! fn launder<'a>(declined: Declined<'a>) -> Admitted<'a> {
//!     declined.into()
//! }
//! ```
//!
//! ```compile_fail
//! use stillhouse_processors::firewall::Corrected;
//! let forged: Corrected<'static> = Default::default();
//! ```
//!
//! ```compile_fail
//! use stillhouse_processors::firewall::Correction;
//! let forged: Correction = Default::default();
//! ```

use crate::exporter::{Id, Reason, Short, Withheld, short};
use crate::validator::Verdict as Validity;
use stillhouse_schemas::{Category, Event, Evidence, Micros, Payload};
use stillhouse_streams::Position;

/// Categories that never enter an SFT dataset. A constant: no option, setting or request overrides it.
pub const SFT_NEVER: [Category; 2] = [Category::Rejected, Category::NeedsHumanReview];

/// Version of these rules, as quarantine names it.
pub const VERSION: &str = "1";

/// What may be asked for beyond `accepted`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Lets `partially_accepted` in.
    pub partially_accepted: bool,
}

impl Policy {
    /// Whether runs of this category may become rows.
    pub fn allows(self, category: Category) -> bool {
        if SFT_NEVER.contains(&category) {
            return false;
        }
        match category {
            Category::Accepted => true,
            Category::PartiallyAccepted => self.partially_accepted,
            Category::NeedsHumanReview | Category::Rejected => false,
        }
    }
}

/// What a score event says, kept small enough to fold over a whole history. Made from an event only.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    id: Id,
    evidence: Short,
    run: Short,
    occurred_at: Micros,
    verdict: Verdict,
    of_run: bool,
    partition: u32,
    offset: u64,
}

/// `decided_by` of a score that a person's label gave.
pub const HUMAN_LABEL: &str = "human_label";

/// What a judge said.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// The category.
    pub category: Category,
    /// The score, as it was given.
    pub score: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Verdict {
    Failed,
    Scored { category: Category, score: f64 },
}

impl Judgement {
    /// What `event`, read at `position`, says; `None` if it is neither a score nor a failed one.
    pub fn of(event: &Event, position: &Position) -> Option<Self> {
        let (evidence, run, verdict, of_run) = match &event.payload {
            Payload::Score(s) => {
                let of_run = s.evidence_id.is_empty() && s.decided_by == HUMAN_LABEL;
                (&s.evidence_id, &s.run_id, Verdict::Scored { category: s.category, score: s.score }, of_run)
            }
            Payload::ScoreFailed(s) => (&s.evidence_id, &s.run_id, Verdict::Failed, false),
            _ => return None,
        };
        Some(Self {
            id: Id::from(event.envelope.id.as_str()),
            evidence: short(evidence),
            run: short(run),
            occurred_at: event.envelope.occurred_at,
            verdict,
            of_run,
            partition: position.partition,
            offset: position.offset,
        })
    }

    /// Id of the score event.
    pub fn id(&self) -> &Id {
        &self.id
    }

    /// The evidence it is about.
    pub fn evidence(&self) -> Short {
        self.evidence
    }

    /// The run that it speaks of as a whole, whatever its evidence: what a person's label says. It counts before all
    /// that is said of one evidence; of several the later one by (`occurred_at`, id) counts, as [`Self::outranks`] has it.
    pub fn of_run(&self) -> Option<Short> {
        self.of_run.then_some(self.run)
    }

    /// Partition and offset of the score event.
    pub fn place(&self) -> (u32, u64) {
        (self.partition, self.offset)
    }

    /// When the score was given.
    pub fn occurred_at(&self) -> Micros {
        self.occurred_at
    }

    /// Category and score, unless the judge failed.
    pub fn judged(&self) -> Option<Judged> {
        match self.verdict {
            Verdict::Scored { category, score } => Some(Judged { category, score }),
            Verdict::Failed => None,
        }
    }

    /// Whether this one counts where `other` is about the same evidence, or both about the same
    /// run: a judgement before a failure (which says
    /// nothing about the run), then the later one by (`occurred_at`, id).
    pub fn outranks(&self, other: &Self) -> bool {
        let rank = |j: &Self| (j.verdict != Verdict::Failed, j.occurred_at);
        rank(self).cmp(&rank(other)).then_with(|| self.id.cmp(&other.id)).is_gt()
    }
}

/// What a validation event says of an evidence. Made from an event only.
#[derive(Clone, Debug, PartialEq)]
pub struct Validated {
    id: Id,
    evidence: Short,
    occurred_at: Micros,
    verdict: Validity,
}

impl Validated {
    /// What `event` says; `None` if it is no validation of an evidence. A verdict of no known word is a `skipped` one.
    pub fn of(event: &Event) -> Option<Self> {
        let Payload::Validation(validation) = &event.payload else { return None };
        (!validation.evidence_id.is_empty()).then(|| Self {
            id: Id::from(event.envelope.id.as_str()),
            evidence: short(&validation.evidence_id),
            occurred_at: event.envelope.occurred_at,
            verdict: Validity::named(&validation.verdict).unwrap_or(Validity::Skipped),
        })
    }

    /// The evidence it is about.
    pub fn evidence(&self) -> Short {
        self.evidence
    }

    /// Whether this one counts where `other` is about the same evidence: the later one by (`occurred_at`, id).
    pub fn outranks(&self, other: &Self) -> bool {
        (self.occurred_at, &self.id) > (other.occurred_at, &other.id)
    }
}

/// How an evidence stands with validators: the last word about it, and whether there has to be one.
#[derive(Clone, Debug)]
pub struct Standing(Option<Withheld>);

impl Standing {
    /// By these rules, and no score, label or release overrides them:
    ///
    /// 1. what failed is kept out, whether or not it had to be validated;
    /// 2. what has to be validated (its class is one that a policy of the live validator requires) and was not, or could
    ///    only be looked at in part, is kept out;
    /// 3. else validators have nothing to say.
    pub fn of(validated: Option<&Validated>, required: bool) -> Self {
        let withheld = |reason, detail: String| Some(Withheld::new(reason, detail));
        Self(match validated.map(|validated| (validated.verdict, &validated.id)) {
            Some((Validity::Fail, id)) => {
                withheld(Reason::ValidationFailed, format!("validation {id} found what blocks"))
            }
            Some((Validity::Skipped, id)) if required => {
                withheld(Reason::NotValidated, format!("validation {id} could not look at all of it"))
            }
            None if required => {
                withheld(Reason::NotValidated, "its class has to be validated, and it was not".to_owned())
            }
            Some((Validity::Pass | Validity::Skipped, _)) | None => None,
        })
    }
}

/// Evidence that may be trained on, with the judgement that says so. See the module for how one comes to be.
#[derive(Debug)]
pub struct Admitted<'a> {
    event: &'a Event,
    evidence: &'a Evidence,
    score_id: String,
    score: f64,
    category: Category,
}

impl<'a> Admitted<'a> {
    /// The evidence event.
    pub fn event(&self) -> &'a Event {
        self.event
    }

    /// Its payload.
    pub fn evidence(&self) -> &'a Evidence {
        self.evidence
    }

    /// Id of the score that let it in.
    pub fn score_id(&self) -> &str {
        &self.score_id
    }

    /// The score, in [0, 1].
    pub fn score(&self) -> f64 {
        self.score
    }

    /// Its category, one of those that the policy allows.
    pub fn category(&self) -> Category {
        self.category
    }
}

/// Lets `event` in if `judgement` is about it, is sound and says so under `policy`, and validators have nothing against it.
pub fn admit<'a>(
    event: &'a Event,
    judgement: &Judgement,
    standing: &Standing,
    policy: &Policy,
) -> Result<Admitted<'a>, Withheld> {
    let (evidence, Judged { category, score }) = sound(event, judgement)?;
    if !policy.allows(category) {
        let reason = match category {
            Category::PartiallyAccepted => Reason::CategoryPartiallyAccepted,
            Category::NeedsHumanReview => Reason::CategoryNeedsHumanReview,
            Category::Rejected | Category::Accepted => Reason::CategoryRejected,
        };
        return Err(Withheld::new(reason, format!("judged {} with {score:.4}", category.as_str())));
    }
    if let Some(withheld) = &standing.0 {
        return Err(withheld.clone());
    }
    // A row has no word for it, so that the whole conversation would be learned from.
    if let Some(answers) = evidence.signals.get("untrained_answers").filter(|answers| **answers > 0.0) {
        let detail = format!("{answers} of its answers are not to be learned from (`weight` 0)");
        return Err(Withheld::new(Reason::NotForTraining, detail));
    }
    Ok(Admitted { event, evidence, score_id: judgement.id.to_string(), score, category })
}

/// What a judgement says of the evidence, if it is about it and is sound.
fn sound<'a>(event: &'a Event, judgement: &Judgement) -> Result<(&'a Evidence, Judged), Withheld> {
    let Payload::Evidence(evidence) = &event.payload else {
        return Err(Withheld::new(Reason::ScoreMismatch, "the event is no evidence"));
    };
    if !judgement.of_run && judgement.evidence != short(&event.envelope.id) {
        return Err(Withheld::new(Reason::ScoreMismatch, format!("score {} is about another evidence", judgement.id)));
    }
    if judgement.run != short(&evidence.run_id) {
        return Err(Withheld::new(Reason::ScoreMismatch, format!("score {} is about another run", judgement.id)));
    }
    let Some(judged) = judgement.judged() else {
        return Err(Withheld::new(Reason::ScoreFailed, format!("the judge failed: {}", judgement.id)));
    };
    // `score < 0.0 || score > 1.0` would let a NaN in; it is in no range.
    if !(0.0..=1.0).contains(&judged.score) {
        return Err(Withheld::new(Reason::ScoreInvalid, format!("score {} is not in [0, 1]", judged.score)));
    }
    Ok((evidence, judged))
}

/// Evidence of a run that was judged bad: it may be the worse side of a pair, and nothing else.
#[derive(Debug)]
pub struct Declined<'a> {
    event: &'a Event,
    evidence: &'a Evidence,
}

impl<'a> Declined<'a> {
    /// The evidence event.
    pub fn event(&self) -> &'a Event {
        self.event
    }

    /// Its payload.
    pub fn evidence(&self) -> &'a Evidence {
        self.evidence
    }
}

/// The worse side that `event` may be if `judgement` is about it, is sound and rejects it. A run that needs a human's
/// review is none: nobody has said that it is bad.
pub fn decline<'a>(event: &'a Event, judgement: &Judgement) -> Result<Declined<'a>, Withheld> {
    let (evidence, judged) = sound(event, judgement)?;
    if judged.category != Category::Rejected {
        return Err(Withheld::new(Reason::NoCounterpart, format!("judged {}", judged.category.as_str())));
    }
    Ok(Declined { event, evidence })
}

/// A better answer that a person wrote for a run. Made from a label event only.
#[derive(Clone, Debug, PartialEq)]
pub struct Correction {
    id: Id,
    run: Short,
    occurred_at: Micros,
    text: String,
}

impl Correction {
    /// What `event` says; `None` if it is no label, or one without a better answer.
    pub fn of(event: &Event) -> Option<Self> {
        let Payload::Label(label) = &event.payload else { return None };
        let text = label.correction.as_deref().filter(|text| !text.trim().is_empty())?;
        Some(Self {
            id: Id::from(event.envelope.id.as_str()),
            run: short(&label.run_id),
            occurred_at: event.envelope.occurred_at,
            text: text.to_owned(),
        })
    }

    /// The run it is about.
    pub fn run(&self) -> Short {
        self.run
    }

    /// Whether this one counts where `other` is about the same run: the later one by (`occurred_at`, id).
    pub fn outranks(&self, other: &Self) -> bool {
        (self.occurred_at, &self.id) > (other.occurred_at, &other.id)
    }
}

/// Evidence of a run with the better answer that a person wrote for it: both sides of a pair.
#[derive(Debug)]
pub struct Corrected<'a> {
    evidence: &'a Evidence,
    text: &'a str,
    label_id: String,
}

impl<'a> Corrected<'a> {
    /// The evidence, whose answer is the worse one.
    pub fn evidence(&self) -> &'a Evidence {
        self.evidence
    }

    /// The better answer.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// Id of the label.
    pub fn label_id(&self) -> &str {
        &self.label_id
    }
}

/// Both sides of a pair, if `correction` is about the run of `event`.
pub fn correct<'a>(event: &'a Event, correction: &'a Correction) -> Option<Corrected<'a>> {
    let Payload::Evidence(evidence) = &event.payload else { return None };
    let corrected = || Corrected { evidence, text: &correction.text, label_id: correction.id.to_string() };
    (correction.run == short(&evidence.run_id)).then(corrected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use stillhouse_schemas::{Envelope, Score, ScoreFailed, Validation};

    fn evidence(id: &str, run: &str) -> Event {
        Event {
            envelope: Envelope { id: id.into(), key: run.into(), ..Envelope::default() },
            payload: Payload::Evidence(Evidence {
                run_id: run.into(),
                source_class: "chat".into(),
                ..Evidence::default()
            }),
        }
    }

    fn score(evidence: &str, run: &str, category: Category, score: f64) -> Event {
        Event {
            envelope: Envelope { id: "s".into(), key: run.into(), ..Envelope::default() },
            payload: Payload::Score(Score {
                run_id: run.into(),
                evidence_id: evidence.into(),
                scorer: "scorer".into(),
                scorer_version: "1".into(),
                config_hash: String::new(),
                score,
                sub_scores: Default::default(),
                reasons: vec![],
                category,
                decided_by: "rules".into(),
                source_class: "chat".into(),
                call_hash: None,
                cost_usd: None,
            }),
        }
    }

    fn admit<'a>(event: &'a Event, judgement: &Judgement, policy: &Policy) -> Result<Admitted<'a>, Withheld> {
        super::admit(event, judgement, &Standing::of(None, false), policy)
    }

    #[test]
    fn what_failed_or_was_not_looked_at_stays_out_whatever_it_was_scored() {
        let validation = |id: &str, at: i64, verdict: &str| {
            let validation = Validation { evidence_id: "e".into(), verdict: verdict.into(), ..Validation::default() };
            let envelope = Envelope { id: id.into(), occurred_at: at, ..Envelope::default() };
            Validated::of(&Event { envelope, payload: Payload::Validation(validation) }).expect("a validation")
        };
        let event = evidence("e", "r");
        let judgement = judged(&score("e", "r", Category::Accepted, 1.0));
        let (failed, none) = (Some(Reason::ValidationFailed), Some(Reason::NotValidated));
        for (verdict, free, required) in [
            (Some("pass"), None, None),
            (Some("fail"), failed, failed),
            (Some("skipped"), None, none),
            (Some("nonsense"), None, none),
            (None, None, none),
        ] {
            let validated = verdict.map(|verdict| validation("v", 1, verdict));
            for (is_required, expected) in [(false, free), (true, required)] {
                let standing = Standing::of(validated.as_ref(), is_required);
                let refused =
                    super::admit(&event, &judgement, &standing, &POLICIES[1]).err().map(|withheld| withheld.reason);
                assert_eq!(refused, expected, "{verdict:?} {is_required}");
            }
        }
        let (early, late) = (validation("z", 1, "fail"), validation("a", 2, "pass"));
        assert!(late.outranks(&early) && !early.outranks(&late) && !early.outranks(&early));
    }

    fn at(offset: u64) -> Position {
        Position::new("scores.v1", 0, offset)
    }

    fn judged(event: &Event) -> Judgement {
        Judgement::of(event, &at(0)).expect("a score")
    }

    const POLICIES: [Policy; 2] = [Policy { partially_accepted: false }, Policy { partially_accepted: true }];

    #[test]
    fn never_is_a_constant() {
        assert_eq!(SFT_NEVER, [Category::Rejected, Category::NeedsHumanReview]);
        for policy in POLICIES {
            for never in SFT_NEVER {
                assert!(!policy.allows(never));
            }
        }
    }

    #[test]
    fn every_category_under_every_policy() {
        let event = evidence("e", "r");
        for policy in POLICIES {
            for category in Category::ALL {
                for value in [0.0, 0.5, 1.0] {
                    let admitted = admit(&event, &judged(&score("e", "r", category, value)), &policy);
                    let expected = category == Category::Accepted
                        || (category == Category::PartiallyAccepted && policy.partially_accepted);
                    assert_eq!(admitted.is_ok(), expected, "{category:?} {policy:?}");
                    if let Ok(admitted) = admitted {
                        assert_eq!(
                            (admitted.category(), admitted.score(), admitted.score_id()),
                            (category, value, "s")
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_score_about_something_else_lets_nothing_in() {
        let event = evidence("e", "r");
        for (e, r) in [("e2", "r"), ("e", "r2"), ("", "r"), ("e", ""), ("r", "e"), ("E", "r")] {
            let refused =
                admit(&event, &judged(&score(e, r, Category::Accepted, 1.0)), &POLICIES[1]).expect_err("mismatch");
            assert_eq!(refused.reason, Reason::ScoreMismatch, "{e} {r}");
        }
        let no_evidence = score("e", "r", Category::Accepted, 1.0);
        assert!(admit(&no_evidence, &judged(&no_evidence), &POLICIES[1]).is_err());
    }

    #[test]
    fn an_answer_of_no_weight_keeps_the_run_out() {
        let mut event = evidence("e", "r");
        let accepted = judged(&score("e", "r", Category::Accepted, 1.0));
        assert!(admit(&event, &accepted, &POLICIES[1]).is_ok());
        if let Payload::Evidence(evidence) = &mut event.payload {
            evidence.signals.insert("untrained_answers".into(), 1.0);
        }
        assert_eq!(admit(&event, &accepted, &POLICIES[1]).expect_err("withheld").reason, Reason::NotForTraining);
    }

    #[test]
    fn what_a_person_says_of_a_run_is_about_all_of_its_evidence_and_of_no_other_run() {
        let label = |run: &str, evidence: &str, decided_by: &str| {
            let mut event = score(evidence, run, Category::Accepted, 1.0);
            if let Payload::Score(score) = &mut event.payload {
                score.decided_by = decided_by.into();
            }
            judged(&event)
        };
        for id in ["e", "e2"] {
            assert!(admit(&evidence(id, "r"), &label("r", "", HUMAN_LABEL), &POLICIES[0]).is_ok(), "{id}");
        }
        for (run, evidence_id, decided_by) in [("r2", "", HUMAN_LABEL), ("r", "", "rules"), ("r", "e2", HUMAN_LABEL)] {
            let event = evidence("e", "r");
            let refused = admit(&event, &label(run, evidence_id, decided_by), &POLICIES[1]);
            assert_eq!(refused.expect_err("about something else").reason, Reason::ScoreMismatch);
        }
        let mut rejected = score("", "r", Category::Rejected, 1.0);
        if let Payload::Score(score) = &mut rejected.payload {
            score.decided_by = HUMAN_LABEL.into();
        }
        assert!(admit(&evidence("e", "r"), &judged(&rejected), &POLICIES[1]).is_err());
    }

    #[test]
    fn a_score_that_is_no_score_lets_nothing_in() {
        let event = evidence("e", "r");
        for value in [f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.000_1, 1.000_1, 100.0] {
            let refused =
                admit(&event, &judged(&score("e", "r", Category::Accepted, value)), &POLICIES[1]).expect_err("invalid");
            assert_eq!(refused.reason, Reason::ScoreInvalid, "{value}");
        }
        let failed = Event {
            envelope: Envelope { id: "f".into(), ..Envelope::default() },
            payload: Payload::ScoreFailed(ScoreFailed {
                run_id: "r".into(),
                evidence_id: "e".into(),
                ..ScoreFailed::default()
            }),
        };
        assert_eq!(admit(&event, &judged(&failed), &POLICIES[1]).expect_err("failed").reason, Reason::ScoreFailed);
        assert_eq!(Judgement::of(&event, &at(0)), None);
    }

    #[test]
    fn the_latest_judgement_counts_and_a_failure_counts_least() {
        let make = |id: &str, occurred_at, payload: Payload| {
            judged(&Event { envelope: Envelope { id: id.into(), occurred_at, ..Envelope::default() }, payload })
        };
        let scored = |id: &str, t| make(id, t, score("e", "r", Category::Accepted, 1.0).payload);
        let failed = |id: &str, t| make(id, t, Payload::ScoreFailed(ScoreFailed::default()));
        let ranked = [failed("z", 9), scored("a", 1), scored("b", 1), scored("a", 2)];
        for (i, low) in ranked.iter().enumerate() {
            for (j, high) in ranked.iter().enumerate() {
                assert_eq!(high.outranks(low), j > i, "{j} over {i}");
            }
        }
    }
}
