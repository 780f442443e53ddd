//! Progress bars on standard error: where there is a terminal, and nowhere else.

use crate::node::Stage;
use crate::output::Output;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::cell::RefCell;

/// A bar of `total` steps, hidden unless progress makes sense.
pub fn bar(out: &Output, total: u64, unit: &str) -> ProgressBar {
    let bar = ProgressBar::new(total);
    if !out.shows_progress() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let form = format!("{{msg:14}} {{bar:32}} {{human_pos}}/{{human_len}} {unit}  {{per_sec}}  {{eta}}");
    bar.set_style(ProgressStyle::with_template(&form).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// One bar after another, a processor each.
pub struct CatchUpBar {
    out: Output,
    bar: RefCell<Option<(&'static str, ProgressBar)>>,
}

impl CatchUpBar {
    /// No bar yet.
    pub fn new(out: &Output) -> Self {
        Self { out: out.clone(), bar: RefCell::new(None) }
    }

    /// Shows how far a processor is.
    pub fn show(&self, stage: Stage) {
        let mut current = self.bar.borrow_mut();
        let same = matches!(&*current, Some((name, _)) if *name == stage.processor);
        if !same {
            if let Some((_, bar)) = current.take() {
                bar.finish();
            }
            let bar = bar(&self.out, stage.total, "events");
            bar.set_message(stage.processor);
            *current = Some((stage.processor, bar));
        }
        if let Some((_, bar)) = &*current {
            bar.set_position(stage.total.saturating_sub(stage.behind));
        }
    }

    /// The last processor is done.
    pub fn finish(&self) {
        if let Some((_, bar)) = self.bar.borrow_mut().take() {
            bar.finish();
        }
    }
}
