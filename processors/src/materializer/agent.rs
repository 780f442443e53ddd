//! Work with tools: every reply answers a call.

use super::chat::conversation;
use super::class::Limits;
use super::{Refusal, policy};
use stillhouse_schemas::{Evidence, Run};

pub(super) const CLASS: &str = "agent";

/// Takes an agent's run. It may end in a call instead of an answer: a hand-over to a person is one. It may hold no call
/// at all: an agent that should have called and only talked is an agent all the same.
pub(super) fn take(run: &mut Run, limits: &Limits) -> Result<Evidence, Refusal> {
    let mut evidence = conversation(run, CLASS)?;
    let counted = |name: &str| evidence.signals.get(name).copied().unwrap_or_default();
    if counted("unmatched_replies") > 0.0 && !limits.count_unmatched {
        let detail = match super::calls::first_unmatched(&evidence.messages) {
            Some((i, Some(id))) => {
                format!("message {} replies to call `{}`, which nobody made before it", i + 1, id.escape_debug())
            }
            Some((i, None)) => format!("message {} is a tool's reply, and no call was waiting for one", i + 1),
            None => String::new(),
        };
        return Err(Refusal::new("unmatched_reply", detail));
    }
    if let Some(breaches) =
        evidence.context.as_deref().and_then(|context| policy::breaches(context, &evidence.messages))
    {
        evidence.signals.insert("policy_breaches".to_owned(), breaches as f64);
    }
    Ok(evidence)
}
