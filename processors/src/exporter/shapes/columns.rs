//! Columns that shapes have in common.

pub use stillhouse_schemas::columns::{Column, Type};

/// A column of this name.
pub(super) const fn column(name: &'static str, ty: Type) -> Column {
    Column { name, ty }
}

/// Text columns of these names.
pub(super) const fn text(name: &'static str) -> Column {
    column(name, Type::Text)
}

/// Puts lists of columns one after another.
pub(super) const fn joined<const N: usize>(lists: &[&[Column]]) -> [Column; N] {
    let mut all = [text(""); N];
    let (mut list, mut n) = (0, 0);
    while list < lists.len() {
        let mut i = 0;
        while i < lists[list].len() {
            all[n] = lists[list][i];
            n += 1;
            i += 1;
        }
        list += 1;
    }
    assert!(n == N, "as many columns as were counted");
    all
}

/// Ids of one row's run and its judgement.
pub(super) const TRACE: [Column; 8] = [
    text("category"),
    text("evidence_id"),
    text("model"),
    text("run_id"),
    column("score", Type::Float),
    text("score_id"),
    text("source_class"),
    text("task_key"),
];

/// Ids of both sides of a pair.
pub(super) const PAIR_TRACE: [Column; 13] = [
    text("chosen_evidence_id"),
    text("chosen_label_id"),
    text("chosen_model"),
    text("chosen_run_id"),
    column("chosen_score", Type::Float),
    text("chosen_score_id"),
    text("pair_id"),
    text("rejected_evidence_id"),
    text("rejected_model"),
    text("rejected_run_id"),
    column("rejected_score", Type::Float),
    text("rejected_score_id"),
    text("task_key"),
];
