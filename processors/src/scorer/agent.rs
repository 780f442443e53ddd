//! Work with tools: beside the errors, loops and malformed calls that are counted in every run, its policy.

use super::rules::{Rule, up_to};

pub(super) const POLICY: Rule = Rule {
    name: "policy",
    weight: "weight_policy",
    doc: "1 without breaches of the policy in the run's context, 0 from max_policy_breaches on, linear between; absent \
          without a policy.",
    judge: |signals, limits, reasons| {
        let breaches = signals.get("policy_breaches")?;
        Some(up_to(breaches, limits.max_policy_breaches, "breaches of the policy", reasons))
    },
};
