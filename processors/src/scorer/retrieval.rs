//! Answers from passages: grounded in them, and citing what exists.

use super::rules::Rule;

pub(super) const GROUNDING: Rule = Rule {
    name: "grounding",
    weight: "weight_grounding",
    doc: "The share of the answer's claims that stand in the passages; 1 if it claims nothing or says that they do not \
          tell, 0.5 if the run has no passages; absent of other classes.",
    judge: |signals, _, reasons| {
        let (claims, grounded) = (signals.get("claims")?, signals.get("grounded_claims")?);
        if signals.get("passages")? == 0.0 {
            reasons.push("the run has no passages: nothing was checked".to_owned());
            return Some(0.5);
        }
        if signals.get("declined").is_some_and(|is| is > 0.0) {
            reasons.push("the answer says that the passages do not tell".to_owned());
            return Some(1.0);
        }
        if grounded < claims {
            reasons.push(format!("{grounded} of {claims} claims stand in the passages"));
        }
        Some(if claims > 0.0 { (grounded / claims).min(1.0) } else { 1.0 })
    },
};

pub(super) const CITATIONS: Rule = Rule {
    name: "citations",
    weight: "weight_citations",
    doc: "The share of citations that name a passage that was given; absent without citations.",
    judge: |signals, _, reasons| {
        let (cited, unknown) = (signals.get("citations")?, signals.get("unknown_citations")?);
        if cited == 0.0 {
            return None;
        }
        if unknown > 0.0 {
            reasons.push(format!("{unknown} of {cited} citations name no passage that was given"));
        }
        Some(1.0 - (unknown / cited).min(1.0))
    },
};
