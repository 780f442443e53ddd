//! What was kept, and how often it was found: `GET /v1/stats`, and the same as metrics.

use super::Serving;
use crate::http::HttpState;
use crate::metrics::{Exposition, Kind};
use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

/// `GET /v1/stats`.
pub(crate) async fn stats(State(state): State<HttpState>) -> Json<Value> {
    let Serving { cache, answers, disk, .. } = &*state.serving;
    let figures = cache.figures();
    let disk = disk.as_ref().and_then(|kept| kept.disk());
    let disk = disk.map(|(hits, bytes, works)| json!({"hits": hits, "bytes": bytes, "works": works}));
    Json(json!({"embeddings": {
        "answers": {"hits": answers.hits(), "kept": answers.len(), "bytes": answers.bytes()},
        "memory": {"hits": figures.hits, "kept": figures.vectors, "bytes": figures.bytes},
        "disk": disk,
        "joined": figures.joined,
        "misses": figures.misses,
        "calls": figures.calls,
        "failed": figures.failed,
    }}))
}

/// As metrics.
pub(crate) fn render(serving: &Serving, out: &mut Exposition) {
    let Serving { cache, answers, disk, .. } = serving;
    let figures = cache.figures();
    let help = "Texts whose vector was asked for, by where it was found.";
    out.family("stillhouse_embed_texts_total", Kind::Counter, help)
        .sample(&[("found", "memory")], figures.hits as f64)
        .sample(&[("found", "disk")], figures.shelf_hits as f64)
        .sample(&[("found", "under_way")], figures.joined as f64)
        .sample(&[("found", "nowhere")], figures.misses as f64);
    out.family("stillhouse_embed_calls_total", Kind::Counter, "Calls of models for vectors.")
        .sample(&[], figures.calls as f64);
    out.family("stillhouse_embed_calls_failed_total", Kind::Counter, "Those that failed.")
        .sample(&[], figures.failed as f64);
    out.family("stillhouse_embed_answers_ready_total", Kind::Counter, "Requests answered by an answer that was ready.")
        .sample(&[], answers.hits() as f64);
    let works = disk.as_ref().and_then(|kept| kept.disk());
    let mut bytes = out.family("stillhouse_embed_bytes", Kind::Gauge, "Bytes that are kept.");
    bytes.sample(&[("place", "memory")], figures.bytes as f64).sample(&[("place", "answers")], answers.bytes() as f64);
    if let Some((_, on_disk, _)) = works {
        bytes.sample(&[("place", "disk")], on_disk as f64);
    }
    if let Some((_, _, works)) = works {
        out.family("stillhouse_embed_disk_up", Kind::Gauge, "Whether vectors are kept on disk.")
            .sample(&[], if works { 1.0 } else { 0.0 });
    }
}
