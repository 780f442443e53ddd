//! What an import says: progress on standard error, rejections, and the summary on standard output.

use super::appender::Voice;
use crate::failure::{Failure, Outcome, Status};
use crate::output::{Format, Output, safe};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use stillhouse_files::import::{Counts, Rejection};

/// Rejections shown; the others are counted.
const SHOWN: u64 = 20;
/// How often progress is told where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Tells what happens.
pub(super) struct Reporter {
    out: Output,
    bar: Option<ProgressBar>,
    total: Option<u64>,
    consumed: Arc<AtomicU64>,
    started: Instant,
    last_line: Instant,
    rejected: u64,
    rejects: Option<BufWriter<File>>,
    /// What records become, in the plural.
    events: &'static str,
}

/// How an import ended.
pub(super) struct Summary<'a> {
    pub(super) mapping: &'a str,
    pub(super) counts: Counts,
    pub(super) before: Counts,
    pub(super) blank_lines: u64,
    pub(super) seconds: f64,
    pub(super) dry_run: bool,
    pub(super) interrupted: bool,
}

impl Reporter {
    /// `total`: bytes of all files, where that is known.
    pub(super) fn new(
        out: Output,
        total: Option<u64>,
        consumed: Arc<AtomicU64>,
        rejects: Option<&Path>,
        events: &'static str,
    ) -> Outcome<Self> {
        let rejects = match rejects {
            None => None,
            Some(path) => {
                let file = File::create(path)
                    .map_err(|e| Failure::new(Status::Usage, format!("cannot write {}: {e}", path.display())))?;
                Some(BufWriter::new(file))
            }
        };
        let bar = out.shows_progress().then(|| bar(total));
        let now = Instant::now();
        Ok(Self { out, bar, total, consumed, started: now, last_line: now, rejected: 0, rejects, events })
    }

    /// For remarks from elsewhere; the same one is not repeated within a few seconds.
    pub(super) fn voice(&self) -> Voice {
        let (out, bar) = (self.out.clone(), self.bar.clone());
        let last: Mutex<Option<Instant>> = Mutex::default();
        Arc::new(move |text: &str| {
            let mut last = last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if last.is_none_or(|at| at.elapsed() >= LINE_EVERY) {
                *last = Some(Instant::now());
                remark(&out, bar.as_ref(), text);
            }
        })
    }

    /// Called now and then.
    pub(super) fn tick(&mut self, counts: &Counts) {
        let read = self.consumed.load(Ordering::Relaxed);
        let (taken, events) = (counts.appended + counts.already_there, self.events);
        let message = match counts.rejected {
            0 => format!("{taken} {events}"),
            bad => format!("{taken} {events}, {bad} rejected"),
        };
        if let Some(bar) = &self.bar {
            bar.set_position(read);
            bar.set_message(message);
        } else if self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            let rate = read as f64 / self.started.elapsed().as_secs_f64().max(0.001);
            let share = self
                .total
                .filter(|t| *t > 0)
                .map(|t| format!("{}% ", read.saturating_mul(100) / t))
                .unwrap_or_default();
            if !self.out.is_json() {
                self.out.note(format_args!(
                    "importing: {share}{:.1} MB, {:.1} MB/s, {message}",
                    read as f64 / 1e6,
                    rate / 1e6
                ));
            }
        }
    }

    /// A rejection, as it happens.
    pub(super) fn reject(&mut self, rejection: &Rejection) -> Outcome {
        if let Some(file) = &mut self.rejects {
            serde_json::to_writer(&mut *file, rejection).map_err(std::io::Error::from)?;
            file.write_all(b"\n")?;
        }
        self.rejected += 1;
        match self.out.format {
            Format::Text if self.rejected <= SHOWN => complain(&self.out, self.bar.as_ref(), &rejection.to_string()),
            Format::Text if self.rejected == SHOWN + 1 => {
                complain(
                    &self.out,
                    self.bar.as_ref(),
                    "more were rejected; they are counted, and --rejects FILE keeps all of them",
                );
            }
            Format::Text => {}
            // One document, written as it grows, so that memory does not.
            Format::Json => {
                let before = if self.rejected == 1 { "{\"rejections\": [" } else { "," };
                self.out.line(format_args!("{before}{}", line(rejection)?))?;
            }
            Format::Jsonl => self.out.line(line(&json!({"rejection": rejection}))?)?,
        }
        Ok(())
    }

    /// Something beside the data.
    pub(super) fn remark(&self, text: &str) {
        remark(&self.out, self.bar.as_ref(), text);
    }

    /// The end.
    pub(super) fn finish(&mut self, summary: &Summary<'_>) -> Outcome {
        if let Some(file) = &mut self.rejects {
            file.flush()?;
        }
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let document = summary.json(self.consumed.load(Ordering::Relaxed));
        match self.out.format {
            Format::Text => self.out.line(summary.text(self.events)),
            Format::Json => {
                let before = if self.rejected == 0 { "{\"rejections\": [" } else { "" };
                self.out.line(format_args!("{before}], \"summary\": {}}}", line(&document)?))
            }
            Format::Jsonl => self.out.line(line(&json!({"summary": document}))?),
        }
    }
}

impl Summary<'_> {
    fn json(&self, bytes: u64) -> Value {
        let c = &self.counts;
        json!({
            "schema_version": 1,
            "mapping": self.mapping,
            "records": c.records,
            "passed_over": c.passed_over,
            "appended": if self.dry_run { 0 } else { c.appended },
            "would_append": if self.dry_run { c.appended } else { 0 },
            "already_there": c.already_there,
            "repeats": c.repeats,
            "rejected": c.rejected,
            "blank_lines": self.blank_lines,
            "bytes": bytes,
            "duration_ms": (self.seconds * 1e3).round() as u64,
            "before": self.before,
            "dry_run": self.dry_run,
            "interrupted": self.interrupted,
        })
    }

    fn text(&self, events: &str) -> String {
        let c = &self.counts;
        let verb = if self.dry_run { "would be appended" } else { "appended" };
        let mut text = format!(
            "{} records read by {}: {} {events} {verb}, {} already there, {} repeats, {} rejected",
            c.records, self.mapping, c.appended, c.already_there, c.repeats, c.rejected
        );
        if c.passed_over > 0 {
            text.push_str(&format!(", {} records passed over", c.passed_over));
        }
        if self.blank_lines > 0 {
            text.push_str(&format!(", {} empty lines", self.blank_lines));
        }
        let rate = (c.appended + c.already_there) as f64 / self.seconds.max(0.001);
        text.push_str(&format!(" ({:.1} s, {rate:.0} {events}/s)", self.seconds));
        if self.before != Counts::default() {
            let b = &self.before;
            text.push_str(&format!(
                "\nbefore the interruption: {} records read, {} appended, {} rejected",
                b.records, b.appended, b.rejected
            ));
        }
        if self.interrupted && !self.dry_run {
            text.push_str("\nnot finished: the same command goes on from here");
        }
        text
    }
}

fn bar(total: Option<u64>) -> ProgressBar {
    let (bar, form) = match total {
        Some(total) => {
            (ProgressBar::new(total), "importing {bar:32} {bytes}/{total_bytes}  {bytes_per_sec}  {eta}  {msg}")
        }
        None => (ProgressBar::new_spinner(), "importing {spinner} {bytes}  {bytes_per_sec}  {msg}"),
    };
    bar.set_style(ProgressStyle::with_template(form).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

fn remark(out: &Output, bar: Option<&ProgressBar>, text: &str) {
    match bar {
        Some(bar) => bar.suspend(|| out.note(safe(text))),
        None => out.note(safe(text)),
    }
}

fn complain(out: &Output, bar: Option<&ProgressBar>, text: &str) {
    match bar {
        Some(bar) => bar.suspend(|| out.complaint(safe(text))),
        None => out.complaint(safe(text)),
    }
}

fn line(value: &impl serde::Serialize) -> Outcome<String> {
    serde_json::to_string(value).map_err(|e| Failure::new(Status::Failed, e.to_string()))
}
