//! The rule by which it is decided what is held: pure, of the claims that there are and a time.
//!
//! 1. What counts was said by then. A claim that is not valid yet or no longer, or that is older than `stale_days`, does not
//!    stand; of one source the latest that is left stands, and `null` takes its word back.
//! 2. Of what stands, the sources with the most authority are asked. Their value that most sources give is the candidate;
//!    where recency counts, their newest is.
//! 3. Whoever says the same, within the attribute's tolerance, agrees. Whoever does not, and has less authority, is
//!    superseded, and so is an equal whose word is older by `recency_days`. Any other equal contests it: then nothing is held.
//! 4. What fewer than `agree` sources say is unverified, unless one that says so needs nobody (`alone_from`).
//!
//! Ties are decided by time, confidence and id, so that the order of claims says nothing.

use super::Status;
use super::quantity::{Meaning, Unit, meaning};
use crate::settings::{Setting, SettingError, Settings, Takes};
use serde::Deserialize;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use stillhouse_schemas::{Claim, ClaimSide, Micros, Verdict};

/// Most sides that a verdict lists.
pub const MAX_SIDES: usize = 200;
const DAY: f64 = 86_400e6;

/// Its settings.
pub static SETTINGS: &[Setting] = &[
    Setting {
        name: "authority",
        default: "{}",
        takes: Takes::Json,
        doc: "Rank by source: a higher one outranks; a name that ends in * stands for all that begin so; others have 0.",
    },
    Setting {
        name: "agree",
        default: "2",
        takes: Takes::Count,
        doc: "How many sources have to say the same for it to be agreed.",
    },
    Setting {
        name: "alone_from",
        default: "1",
        takes: Takes::Number,
        doc: "A source of at least this rank needs nobody to agree with it.",
    },
    Setting {
        name: "recency_days",
        default: "0",
        takes: Takes::Number,
        doc: "Among equals a word supersedes one that is older by this many days; 0: they contest each other, however old.",
    },
    Setting {
        name: "stale_days",
        default: "0",
        takes: Takes::Number,
        doc: "A word that is older than this many days does not stand any more; 0: it stands for ever.",
    },
    Setting {
        name: "attributes",
        default: "{}",
        takes: Takes::Json,
        doc: "By attribute: unit, absolute, relative (tolerances), and authority, agree, alone_from, recency_days, stale_days of its own.",
    },
];

/// What is said of an attribute in the settings.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Declared {
    unit: Option<String>,
    absolute: f64,
    relative: f64,
    authority: BTreeMap<String, f64>,
    agree: Option<u32>,
    alone_from: Option<f64>,
    recency_days: Option<f64>,
    stale_days: Option<f64>,
}

/// The rule for one attribute.
#[derive(Clone, Debug)]
struct Terms {
    /// Of bare numbers; there is one where numbers written as text count as numbers.
    unit: Option<Unit>,
    absolute: f64,
    relative: f64,
    authority: BTreeMap<String, f64>,
    agree: usize,
    alone_from: f64,
    recency: Option<Micros>,
    stale: Option<Micros>,
}

/// The rule of a generation.
#[derive(Clone, Debug)]
pub struct Rule {
    authority: BTreeMap<String, f64>,
    usual: Terms,
    attributes: BTreeMap<String, Terms>,
    config_hash: String,
}

/// A claim, with what its event says of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Word {
    /// Id of the event.
    pub claim_id: String,
    /// When it was said.
    pub asserted_at: Micros,
    /// What was said.
    pub claim: Claim,
}

/// A word that stands.
struct Standing<'a> {
    word: &'a Word,
    rank: f64,
    meaning: Meaning,
}

impl Rule {
    /// The rule that these settings make.
    pub fn new(settings: &Settings) -> Result<Self, SettingError> {
        let json = |name: &str, e: serde_json::Error| settings.clash(format!("`{name}`: {e}"));
        let authority: BTreeMap<String, f64> =
            serde_json::from_str(settings.word("authority")).map_err(|e| json("authority", e))?;
        let declared: BTreeMap<String, Declared> =
            serde_json::from_str(settings.word("attributes")).map_err(|e| json("attributes", e))?;
        let general = Declared {
            // A count: positive and whole.
            agree: Some(settings.number("agree") as u32),
            alone_from: Some(settings.number("alone_from")),
            recency_days: Some(settings.number("recency_days")),
            stale_days: Some(settings.number("stale_days")),
            ..Declared::default()
        };
        let terms = |at: &str, declared: Declared| {
            Terms::new(declared, &general).map_err(|why| settings.clash(format!("{at}: {why}")))
        };
        let usual = terms("the rule", Declared::default())?;
        let attributes = declared
            .into_iter()
            .map(|(name, declared)| Ok((name.clone(), terms(&format!("attribute `{name}`"), declared)?)))
            .collect::<Result<_, SettingError>>()?;
        Ok(Self { authority, usual, attributes, config_hash: settings.config_hash() })
    }

    /// What is held of an attribute at a time; none if nobody had claimed anything by then. All `words` are about it, in
    /// any order; one that is there twice counts once.
    pub fn held<'a>(&self, words: impl IntoIterator<Item = &'a Word>, at: Micros) -> Option<Verdict> {
        let mut words: Vec<&Word> = words.into_iter().filter(|word| word.asserted_at <= at).collect();
        words.sort_by(|a, b| place(a).cmp(&place(b)));
        words.dedup_by(|a, b| a.claim_id == b.claim_id);
        let about = &words.first()?.claim;
        let terms = self.attributes.get(&about.attribute).unwrap_or(&self.usual);
        let mut standings: BTreeMap<&str, &'static str> = BTreeMap::new();
        let stand = self.standing(terms, &words, at, &mut standings);
        let mut verdict = Verdict {
            entity: about.entity.clone(),
            attribute: about.attribute.clone(),
            status: Status::Unverified.as_str().to_owned(),
            as_of: at,
            revision: i64::try_from(words.len()).unwrap_or(i64::MAX),
            rule_version: super::VERSION.to_owned(),
            config_hash: self.config_hash.clone(),
            ..Verdict::default()
        };
        match terms.candidate(&stand) {
            None => verdict.reasons.push("nobody's word stands".to_owned()),
            Some(candidate) => terms.decide(candidate, &stand, &mut standings, &mut verdict),
        }
        self.list(terms, &words, &standings, &mut verdict);
        Some(verdict)
    }

    /// Whether two values, as JSON text, are the same to this attribute.
    pub fn same(&self, attribute: &str, a: &str, b: &str) -> bool {
        let terms = self.attributes.get(attribute).unwrap_or(&self.usual);
        terms.same(&meaning(a, terms.unit.as_ref()), &meaning(b, terms.unit.as_ref()))
    }

    /// Names the rule: the hash of its settings.
    pub fn config_hash(&self) -> &str {
        &self.config_hash
    }

    /// The latest word of each source that stands, and why the others do not.
    fn standing<'a>(
        &self,
        terms: &Terms,
        words: &[&'a Word],
        at: Micros,
        standings: &mut BTreeMap<&'a str, &'static str>,
    ) -> Vec<Standing<'a>> {
        let mut spoken = BTreeSet::new();
        let mut stand = Vec::new();
        for word in words.iter().rev() {
            let claim = &word.claim;
            let meaning = meaning(&claim.value, terms.unit.as_ref());
            let standing = if claim.valid_from.is_some_and(|from| from > at) {
                "early"
            } else if claim.valid_until.is_some_and(|until| until <= at) {
                "expired"
            } else if !spoken.insert(claim.source.as_str()) {
                "superseded"
            } else if terms.stale.is_some_and(|stale| word.asserted_at < at.saturating_sub(stale)) {
                "stale"
            } else if meaning == Meaning::Nothing {
                "withdrawn"
            } else {
                stand.push(Standing { word, rank: self.rank(terms, &claim.source), meaning });
                "superseded"
            };
            standings.insert(&word.claim_id, standing);
        }
        stand
    }

    fn rank(&self, terms: &Terms, source: &str) -> f64 {
        [&terms.authority, &self.authority].into_iter().find_map(|ranks| ranked(ranks, source)).unwrap_or_default()
    }

    fn list(&self, terms: &Terms, words: &[&Word], standings: &BTreeMap<&str, &'static str>, verdict: &mut Verdict) {
        let side = |word: &&Word| ClaimSide {
            claim_id: word.claim_id.clone(),
            source: word.claim.source.clone(),
            value: word.claim.value.clone(),
            asserted_at: word.asserted_at,
            standing: standings.get(word.claim_id.as_str()).copied().unwrap_or("superseded").to_owned(),
            authority: self.rank(terms, &word.claim.source),
            valid_from: word.claim.valid_from,
            valid_until: word.claim.valid_until,
            confidence: word.claim.confidence,
        };
        let mut sides: Vec<ClaimSide> = words.iter().map(side).collect();
        let first = |side: &ClaimSide| match side.standing.as_str() {
            "held" => 0,
            "contests" | "agrees" => 1,
            _ => 2,
        };
        sides.sort_by(|a, b| {
            let by_rank = first(a).cmp(&first(b)).then(b.authority.total_cmp(&a.authority));
            by_rank.then((Reverse(a.asserted_at), &a.claim_id).cmp(&(Reverse(b.asserted_at), &b.claim_id)))
        });
        verdict.omitted = i64::try_from(sides.len().saturating_sub(MAX_SIDES)).unwrap_or(i64::MAX);
        sides.truncate(MAX_SIDES);
        verdict.sides = sides;
    }
}

impl Terms {
    fn new(own: Declared, general: &Declared) -> Result<Self, String> {
        let days = |name: &str, days: Option<f64>| {
            let days = days.unwrap_or_default();
            if !(0.0..=1e6).contains(&days) {
                return Err(format!("`{name}` is to be from 0 to 1000000"));
            }
            Ok(if days > 0.0 { Some((days * DAY) as Micros) } else { None })
        };
        if own.absolute < 0.0 || own.relative < 0.0 {
            return Err("`absolute` and `relative` are not negative".to_owned());
        }
        let unit = match own.unit.as_deref() {
            None if own.absolute > 0.0 || own.relative > 0.0 => Some(Unit::none()),
            None => None,
            Some(text) => {
                let unit = Unit::parse(text)
                    .ok_or_else(|| format!("`unit` is to be one such as USD/h, km or %, not `{text}`"));
                Some(unit?)
            }
        };
        let agree = own.agree.or(general.agree).unwrap_or(1);
        Ok(Self {
            absolute: own.absolute * unit.as_ref().map_or(1.0, |unit| unit.factor),
            unit,
            relative: own.relative,
            authority: own.authority,
            agree: usize::try_from(agree).unwrap_or(usize::MAX),
            alone_from: own.alone_from.or(general.alone_from).unwrap_or(f64::MAX),
            recency: days("recency_days", own.recency_days.or(general.recency_days))?,
            stale: days("stale_days", own.stale_days.or(general.stale_days))?,
        })
    }

    /// Whether two values are the same to this attribute.
    fn same(&self, a: &Meaning, b: &Meaning) -> bool {
        match (a, b) {
            (Meaning::Quantity(a, x), Meaning::Quantity(b, y)) => {
                let most = x.abs().max(y.abs());
                // Conversions are not exact.
                let slack = self.absolute.max(self.relative.max(1e-9) * most);
                a == b && (x - y).abs() <= slack * (1.0 + 1e-9)
            }
            (a, b) => a == b,
        }
    }

    fn candidate<'s, 'a>(&self, stand: &'s [Standing<'a>]) -> Option<&'s Standing<'a>> {
        let top = stand.iter().map(|s| s.rank).max_by(f64::total_cmp)?;
        let support = |one: &Standing<'_>| match self.recency {
            Some(_) => 0,
            None => stand.iter().filter(|other| self.same(&one.meaning, &other.meaning)).count(),
        };
        let tops = stand.iter().filter(|s| s.rank >= top).map(|s| (support(s), s));
        let best = tops.max_by(|(many, a), (other, b)| {
            let sure = |s: &Standing<'_>| s.word.claim.confidence.unwrap_or_default();
            let newer = many.cmp(other).then(a.word.asserted_at.cmp(&b.word.asserted_at));
            newer.then(sure(a).total_cmp(&sure(b))).then(b.word.claim_id.cmp(&a.word.claim_id))
        });
        best.map(|(_, s)| s)
    }

    fn decide<'a>(
        &self,
        candidate: &Standing<'a>,
        stand: &[Standing<'a>],
        standings: &mut BTreeMap<&'a str, &'static str>,
        verdict: &mut Verdict,
    ) {
        let (mut agreeing, mut contesting, mut set_aside) = (Vec::new(), Vec::new(), Vec::new());
        for other in stand {
            let older = candidate.word.asserted_at.saturating_sub(other.word.asserted_at);
            if self.same(&candidate.meaning, &other.meaning) {
                agreeing.push(other);
            } else if other.rank < candidate.rank {
                set_aside.push((other, "has less authority"));
            } else if self.recency.is_some_and(|recency| older >= recency) {
                set_aside.push((other, "is older"));
            } else {
                contesting.push(other);
            }
        }
        let contested = !contesting.is_empty();
        for (group, standing) in [(&agreeing, "agrees"), (&contesting, "contests")] {
            for one in group {
                standings.insert(&one.word.claim_id, if contested { "contests" } else { standing });
            }
        }
        set_aside.sort_by_key(|(other, _)| place(other.word));
        for (other, why) in set_aside.iter().take(10) {
            verdict.reasons.push(format!("{} {why}", other.word.claim.source));
        }
        if contested {
            verdict.status = Status::Contested.as_str().to_owned();
            contesting.push(candidate);
            contesting.sort_by_key(|one| place(one.word));
            let sources: Vec<&str> = contesting.iter().take(10).map(|one| one.word.claim.source.as_str()).collect();
            verdict.reasons.push(format!("{} do not agree, and none outranks the others", sources.join(", ")));
            return;
        }
        let Word { claim_id, asserted_at, claim } = candidate.word;
        standings.insert(claim_id, "held");
        verdict.value = Some(claim.value.clone());
        verdict.source = Some(claim.source.clone());
        verdict.claim_id = Some(claim_id.clone());
        verdict.asserted_at = Some(*asserted_at);
        (verdict.valid_from, verdict.valid_until) = (claim.valid_from, claim.valid_until);
        verdict.agreeing = i64::try_from(agreeing.len()).unwrap_or(i64::MAX);
        let enough = agreeing.len() >= self.agree || candidate.rank >= self.alone_from;
        verdict.status = match (enough, set_aside.is_empty()) {
            (false, _) => Status::Unverified,
            (true, true) => Status::Agreed,
            (true, false) => Status::Superseded,
        }
        .as_str()
        .to_owned();
        verdict.reasons.push(match agreeing.len() {
            1 if enough => format!("{} says so, whose rank suffices", claim.source),
            1 => format!("only {} says so", claim.source),
            n => format!("{n} sources say so"),
        });
    }
}

fn place(word: &Word) -> (Micros, &str) {
    (word.asserted_at, &word.claim_id)
}

/// By its name, or the longest beginning of it that has a rank.
fn ranked(ranks: &BTreeMap<String, f64>, source: &str) -> Option<f64> {
    let begins = |pattern: &str| pattern.strip_suffix('*').is_some_and(|beginning| source.starts_with(beginning));
    let longest = || ranks.iter().filter(|(p, _)| begins(p)).max_by_key(|(p, _)| p.len()).map(|(_, rank)| *rank);
    ranks.get(source).copied().or_else(longest)
}
