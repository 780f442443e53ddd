//! What the HTTP API counts about itself.

use super::ROUTES;
use crate::metrics::{Exposition, Kind};
use axum::http::StatusCode;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Upper bounds, in seconds, of the buckets of the request histogram.
const SECONDS: [f64; 9] = [0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0, 30.0];

/// Counters of the HTTP API. Shared; all methods take `&self`.
#[derive(Debug)]
pub struct Counters {
    /// One per route, and one for what is none.
    routes: Vec<Route>,
    /// Events added and duplicates, by topic.
    events: Mutex<BTreeMap<&'static str, (u64, u64)>>,
    conflicts: AtomicU64,
    rejected_spans: AtomicU64,
    connections: AtomicU64,
    open: AtomicI64,
    running: AtomicI64,
}

#[derive(Debug, Default)]
struct Route {
    statuses: Mutex<BTreeMap<u16, u64>>,
    buckets: [AtomicU64; SECONDS.len() + 1],
    micros: AtomicU64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            routes: (0..=ROUTES.len()).map(|_| Route::default()).collect(),
            events: Mutex::default(),
            conflicts: AtomicU64::new(0),
            rejected_spans: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            open: AtomicI64::new(0),
            running: AtomicI64::new(0),
        }
    }
}

impl Counters {
    pub(crate) fn connected(&self) {
        self.connections.fetch_add(1, Relaxed);
        self.open.fetch_add(1, Relaxed);
    }

    pub(crate) fn disconnected(&self) {
        self.open.fetch_sub(1, Relaxed);
    }

    pub(crate) fn conflict(&self) {
        self.conflicts.fetch_add(1, Relaxed);
    }

    pub(crate) fn rejected_spans(&self, count: u64) {
        self.rejected_spans.fetch_add(count, Relaxed);
    }

    pub(crate) fn events(&self, topic: &'static str, added: usize, duplicates: usize) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = events.entry(topic).or_default();
        counts.0 += added as u64;
        counts.1 += duplicates as u64;
    }

    /// A request begins; it ends when the guard is dropped.
    pub(crate) fn begin(&self) -> Running<'_> {
        self.running.fetch_add(1, Relaxed);
        Running(self)
    }

    /// A request was answered. `route` is its place in [`ROUTES`].
    pub(crate) fn answered(&self, route: Option<usize>, status: StatusCode, took: Duration) {
        let Some(route) = self.routes.get(route.unwrap_or(ROUTES.len())) else { return };
        *route.statuses.lock().unwrap_or_else(PoisonError::into_inner).entry(status.as_u16()).or_default() += 1;
        let seconds = took.as_secs_f64();
        let bucket = SECONDS.iter().position(|bound| seconds <= *bound).unwrap_or(SECONDS.len());
        route.buckets[bucket].fetch_add(1, Relaxed);
        route.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    pub(crate) fn render(&self, out: &mut Exposition) {
        let names = || ROUTES.iter().map(|r| (r.method, r.path)).chain([("", "unknown")]).zip(&self.routes);
        let mut family = out.family("stillhouse_http_requests_total", Kind::Counter, "Requests answered, by status.");
        for ((method, path), route) in names() {
            for (status, count) in route.statuses.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                family.sample(&[("method", method), ("route", path), ("status", &status.to_string())], *count as f64);
            }
        }
        let mut family = out.family("stillhouse_http_request_seconds", Kind::Histogram, "Seconds from head to answer.");
        for ((method, path), route) in names() {
            let counts: Vec<u64> = route.buckets.iter().map(|b| b.load(Relaxed)).collect();
            if counts.iter().any(|c| *c > 0) {
                let sum = route.micros.load(Relaxed) as f64 / 1e6;
                family.histogram(&[("method", method), ("route", path)], &SECONDS, &counts, sum);
            }
        }
        let mut family =
            out.family("stillhouse_http_events_total", Kind::Counter, "Events taken, by what became of them.");
        for (topic, (added, duplicates)) in self.events.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            family.sample(&[("topic", topic), ("outcome", "added")], *added as f64);
            family.sample(&[("topic", topic), ("outcome", "duplicate")], *duplicates as f64);
        }
        let help = "Requests refused because an id was taken by an event with other content.";
        out.family("stillhouse_http_conflicts_total", Kind::Counter, help)
            .sample(&[], self.conflicts.load(Relaxed) as f64);
        out.family("stillhouse_otlp_rejected_spans_total", Kind::Counter, "Spans that could not be taken.")
            .sample(&[], self.rejected_spans.load(Relaxed) as f64);
        out.family("stillhouse_http_connections_total", Kind::Counter, "Connections accepted.")
            .sample(&[], self.connections.load(Relaxed) as f64);
        out.family("stillhouse_http_connections_open", Kind::Gauge, "Connections that are open.")
            .sample(&[], self.open.load(Relaxed) as f64);
        out.family("stillhouse_http_requests_running", Kind::Gauge, "Requests that are not answered yet.")
            .sample(&[], self.running.load(Relaxed) as f64);
    }
}

pub(crate) struct Running<'a>(&'a Counters);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Relaxed);
    }
}
