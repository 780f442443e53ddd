//! The index against exact search, damage and other threads.

mod concurrency;
mod damage;
mod recall;
mod reference;

use stillhouse_hnsw::{Distance, Hit, Settings};

/// The distance as it is defined, in double precision.
pub(crate) fn distance(kind: Distance, a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum::<f64>();
    match kind {
        Distance::Cosine => 1.0 - dot(a, b) / (dot(a, a) * dot(b, b)).sqrt(),
        Distance::Euclidean => {
            a.iter().zip(b).map(|(&x, &y)| (f64::from(x) - f64::from(y)).powi(2)).sum::<f64>().sqrt()
        }
        Distance::Dot => -dot(a, b),
    }
}

pub(crate) fn keys(hits: &[Hit]) -> Vec<u64> {
    hits.iter().map(|hit| hit.key).collect()
}

/// Two threads, whatever the machine has.
pub(crate) fn settings(dims: usize, distance: Distance) -> Settings {
    Settings { threads: 2, ..Settings::new(dims, distance) }
}
