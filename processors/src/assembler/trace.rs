//! The spans of a trace, as far as they are here.

use super::said::Said;
use super::vocabulary::said;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use stillhouse_schemas::{Micros, Span};

/// Marks a span whose parent is in another process (the attribute is added where OTLP is taken in).
const REMOTE_PARENT: &str = "otlp.remote_parent";

/// The spans of a trace.
#[derive(Debug, Default)]
pub struct Trace {
    /// By span id: the content that counts, and the id of its event.
    spans: BTreeMap<String, (String, Span)>,
    /// How many events there are; more than spans where some were sent with several contents.
    events: i64,
}

/// How many spans above one are looked at.
const MAX_DEPTH: usize = 200;

/// Which of two contents of one span counts: the greater.
fn rank<'a>(id: &'a str, span: &Span) -> (Option<Micros>, usize, usize, &'a str) {
    (span.ended_at, span.attributes.len(), span.events.len(), id)
}

impl Trace {
    /// Takes a span in. `id` is its event's, which nobody has given before.
    pub fn add(&mut self, id: String, mut span: Span) {
        self.events += 1;
        for text in [&mut span.trace_id, &mut span.span_id].into_iter().chain(span.parent_span_id.as_mut()) {
            text.make_ascii_lowercase();
        }
        let known = self.spans.get(&span.span_id);
        if known.is_none_or(|(other, known)| rank(&id, &span) > rank(other, known)) {
            self.spans.insert(span.span_id.clone(), (id, span));
        }
    }

    /// Number of its events.
    pub fn revision(&self) -> i64 {
        self.events
    }

    /// Spans that were sent with several contents count more than once as events.
    pub(super) fn conflicts(&self) -> i64 {
        self.events.saturating_sub(i64::try_from(self.spans.len()).unwrap_or(i64::MAX))
    }

    /// What it lacks to be closed, in words; nothing if it is.
    pub fn missing(&self) -> Option<String> {
        let roots = || self.spans.values().filter(|(_, span)| self.is_root(span)).map(|(_, span)| span);
        let absent: BTreeSet<&str> = self
            .spans
            .values()
            .filter(|(_, span)| !self.is_root(span))
            .filter_map(|(_, span)| span.parent_span_id.as_deref())
            .filter(|parent| !self.spans.contains_key(*parent))
            .collect();
        if !absent.is_empty() {
            Some(format!("{} parent spans were not sent", absent.len()))
        } else if roots().next().is_none() {
            Some("it has no root: its parents go round in a circle".to_owned())
        } else if roots().any(|root| root.ended_at.is_none()) {
            Some("its root has not ended".to_owned())
        } else {
            None
        }
    }

    fn is_root(&self, span: &Span) -> bool {
        match &span.parent_span_id {
            None => true,
            Some(parent) => {
                span.attributes.get(REMOTE_PARENT).is_some_and(|is| is == "true") && !self.spans.contains_key(parent)
            }
        }
    }

    /// Its spans with what they say, in the order of their starts.
    pub(super) fn steps(&self) -> Vec<Step<'_>> {
        let mut steps: Vec<Step<'_>> = self
            .spans
            .values()
            .map(|(_, span)| Step { span, said: said(span), depth: self.ancestors(span).count() })
            .collect();
        // Clocks of several hosts: a child may begin before its parent. Of equals the outer one is first.
        steps.sort_by(|a, b| a.order().cmp(&b.order()));
        steps
    }

    /// Whether one of these is above a span, and not below it as well, as in a circle.
    pub(super) fn is_within(&self, span: &Span, ids: &BTreeSet<&str>) -> bool {
        let below = |above: &Span| self.ancestors(above).any(|other| other.span_id == span.span_id);
        self.ancestors(span).any(|above| ids.contains(above.span_id.as_str()) && !below(above))
    }

    /// Those above a span, the nearest first and not without end; a circle is followed once.
    pub(super) fn ancestors<'a>(&'a self, span: &'a Span) -> impl Iterator<Item = &'a Span> {
        let mut seen = BTreeSet::from([span.span_id.as_str()]);
        let mut at = span;
        std::iter::from_fn(move || {
            let (_, parent) = self.spans.get(at.parent_span_id.as_deref()?)?;
            seen.insert(&parent.span_id).then(|| {
                at = parent;
                parent
            })
        })
        .take(MAX_DEPTH)
    }
}

/// A span with what it says.
#[derive(Debug)]
pub(super) struct Step<'a> {
    pub(super) span: &'a Span,
    pub(super) said: Said,
    /// How many are above it.
    pub(super) depth: usize,
}

impl Step<'_> {
    pub(super) fn began(&self) -> Micros {
        self.span.started_at.or(self.span.ended_at).unwrap_or_default()
    }

    pub(super) fn ended(&self) -> Micros {
        self.span.ended_at.unwrap_or_default().max(self.began())
    }

    fn order(&self) -> (Micros, usize, Reverse<Micros>, &str) {
        (self.began(), self.depth, Reverse(self.ended()), &self.span.span_id)
    }
}
