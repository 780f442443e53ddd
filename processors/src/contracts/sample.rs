//! `sft_sample`: the rows of SFT datasets in TRL's conversational form. [`Row`](crate::exporter::Row) writes them.

use super::Shape;

pub(super) const SHAPE: Shape = Shape::Members(&[
    ("category", Shape::Word(&["accepted", "partially_accepted"])),
    ("evidence_id", Shape::Text),
    ("messages", Shape::List(&MESSAGE)),
    ("model", Shape::Optional(&Shape::Text)),
    ("run_id", Shape::Text),
    ("score", Shape::Float),
    ("score_id", Shape::Text),
    ("source_class", Shape::Text),
    ("task_key", Shape::Optional(&Shape::Text)),
    ("tools", Shape::Optional(&Shape::List(&Shape::Recorded))),
]);

static MESSAGE: Shape = Shape::Members(&[
    ("content", Shape::Text),
    ("name", Shape::Optional(&Shape::Text)),
    ("reasoning_content", Shape::Optional(&Shape::Text)),
    ("role", Shape::Word(&["system", "user", "assistant", "tool"])),
    ("tool_call_id", Shape::Optional(&Shape::Text)),
    ("tool_calls", Shape::Optional(&Shape::List(&CALL))),
]);

static CALL: Shape = Shape::Members(&[
    ("function", Shape::Members(&[("arguments", Shape::Recorded), ("name", Shape::Text)])),
    ("id", Shape::Optional(&Shape::Text)),
    ("type", Shape::Word(&["function"])),
]);
