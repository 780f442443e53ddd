//! Verdicts: given, definite, and over something.

use super::rules::Rule;

pub(super) const VERDICT: Rule = Rule {
    name: "verdict",
    weight: "weight_verdict",
    doc: "0 without a verdict; 0.5 if it does not decide, or there is nothing that was reviewed; else 1; absent of other \
          classes.",
    judge: |signals, _, reasons| {
        let is = |name: &str| signals.get(name).is_some_and(|is| is > 0.0);
        signals.get("verdict_given")?;
        if !is("verdict_given") {
            reasons.push("the review gives no verdict".to_owned());
            return Some(0.0);
        }
        if !is("verdict_definite") {
            reasons.push("the verdict does not decide".to_owned());
            return Some(0.5);
        }
        if !is("artefact_given") {
            reasons.push("the run does not hold what was reviewed".to_owned());
            return Some(0.5);
        }
        Some(1.0)
    },
};
