//! Fills and e-mails, until validators speak of them: is the form whole.

use super::rules::{Rule, up_to};

pub(super) const STRUCTURE: Rule = Rule {
    name: "structure",
    weight: "weight_structure",
    doc: "1 if nothing of a fill or an e-mail is missing, stands twice, is left to be filled in, or was not there to be \
          chosen; 0 from max_structure_errors on, linear between; absent of other classes.",
    judge: |signals, limits, reasons| {
        let errors = signals.get("structure_errors")?;
        let strangers = signals.get("unknown_workers").unwrap_or_default();
        let blanks = signals.get("placeholders").unwrap_or_default();
        if strangers > 0.0 {
            reasons.push(format!("{strangers} workers were not among those to choose from"));
        }
        if blanks > 0.0 {
            reasons.push(format!("{blanks} blanks are left to be filled in"));
        }
        let all = errors + strangers + blanks;
        Some(up_to(all, limits.max_structure_errors, "errors of form", reasons))
    },
};
