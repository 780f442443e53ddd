//! Structured output: is it in the form asked for, and does it say what the reference says.

use super::rules::{Rule, up_to};
use crate::materializer::Unusable;

pub(super) const SCHEMA: Rule = Rule {
    name: "schema",
    weight: "weight_schema",
    doc: "0 if the answer holds no JSON; without violations of its schema 1, from max_schema_errors on 0, linear between; \
          0.5 if the schema cannot be used; absent of other classes.",
    judge: |signals, limits, reasons| {
        if signals.get("json_answer")? == 0.0 {
            reasons.push("the answer holds no JSON".to_owned());
            return Some(0.0);
        }
        if signals.get("schema_unusable").is_some_and(|is| is > 0.0) {
            let why = Unusable::ALL.into_iter().find(|why| signals.get(why.signal()).is_some());
            let why = why.map(|why| format!(" ({})", why.words())).unwrap_or_default();
            reasons.push(format!("the response schema cannot be used{why}: nothing was checked"));
            return Some(0.5);
        }
        let Some(errors) = signals.get("schema_errors") else {
            reasons.push("the run has no response schema: only that it is JSON was checked".to_owned());
            return Some(1.0);
        };
        Some(up_to(errors, limits.max_schema_errors, "violations of the response schema", reasons))
    },
};

pub(super) const FIELDS: Rule = Rule {
    name: "fields",
    weight: "weight_fields",
    doc: "The share of the reference's fields that the answer has; absent without a reference.",
    judge: |signals, _, reasons| {
        let (all, met) = (signals.get("reference_fields")?, signals.get("reference_fields_met")?);
        if met < all {
            reasons.push(format!("{met} of the {all} fields of the reference are met"));
        }
        Some(if all > 0.0 { (met / all).min(1.0) } else { 1.0 })
    },
};
