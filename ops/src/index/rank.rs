//! One fair ranking over corpora of different size and model.
//!
//! **Vectors.** How near is near depends on the model, and the nearest of a million is nearer by chance than the nearest
//! of a hundred. So a similarity `s` is judged against those of the query to rows that were not asked for: with their
//! mean `m` and deviation `d`, `z = (s - m) / d`, a row is that near by chance with `p = Q(z)` (the tail of the normal
//! distribution), and among the `n` rows of its corpus `E = n · p` are. `E` is what BLAST calls the expect value of a
//! hit (Karlin and Altschul, 1990); the score is `1 / (1 + E^(1/4))`, in (0, 1) and falling with `E`; the root keeps good hits apart.
//!
//! **Words.** The share of what a row could score under BM25 that had every word of the question, in [0, 1].
//!
//! **Both.** The mean of the two, or reciprocal-rank fusion: the sum of `1 / (60 + rank)` over the lists that a row is in
//! (Cormack, Clarke and Büttcher, 2009).

/// The constant of reciprocal-rank fusion.
const RRF: f64 = 60.0;
/// Rows below which the deviation is not believed alone.
const FEW: f64 = 8.0;

/// What chance looks like to one query under one model.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chance {
    mean: f64,
    deviation: f64,
}

impl Chance {
    /// Of the similarities to rows that were not asked for.
    pub(super) fn of(similarities: &[f32]) -> Self {
        let n = similarities.len() as f64;
        let mean = similarities.iter().map(|s| f64::from(*s)).sum::<f64>() / n.max(1.0);
        let squares: f64 = similarities.iter().map(|s| (f64::from(*s) - mean).powi(2)).sum();
        // As if some more rows had been seen that lie a tenth apart: of one or two rows nobody knows.
        let deviation = ((squares + FEW * 0.01) / (n + FEW)).sqrt();
        Self { mean, deviation }
    }

    /// The natural logarithm of how many of `rows` are as near by chance.
    pub(super) fn expect(&self, similarity: f32, rows: u64) -> f64 {
        let z = (f64::from(similarity) - self.mean) / self.deviation;
        (rows.max(1) as f64).ln() + ln_tail(z)
    }
}

/// ln Q(z), the upper tail of the normal distribution: Q(z) = erfc(z/√2)/2, by its continued fraction where it is
/// small (Abramowitz and Stegun 26.2.14) and by 26.2.17 elsewhere.
fn ln_tail(z: f64) -> f64 {
    let density = -z * z / 2.0 - (2.0 * std::f64::consts::PI).ln() / 2.0;
    if z > 3.0 {
        let mut fraction = z;
        for k in (1..40).rev() {
            fraction = z + f64::from(k) / fraction;
        }
        return density - fraction.ln();
    }
    let tail = |z: f64| {
        let t = 1.0 / (1.0 + 0.231_641_9 * z);
        let sum = [0.319_381_530, -0.356_563_782, 1.781_477_937, -1.821_255_978, 1.330_274_429]
            .iter()
            .rev()
            .fold(0.0, |sum, b| (sum + b) * t);
        (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() * sum
    };
    let q = if z < 0.0 { 1.0 - tail(-z) } else { tail(z) };
    q.max(f64::MIN_POSITIVE).ln()
}

/// The score of a row by its expect value.
pub(super) fn score(expect: f64) -> f64 {
    1.0 / (1.0 + (expect / 4.0).exp())
}

/// What a rank adds in reciprocal-rank fusion; ranks begin at 1.
pub(super) fn reciprocal(rank: usize) -> f64 {
    1.0 / (RRF + rank as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_that_of_the_normal_distribution() {
        for (z, q) in
            [(-1.0, 0.841_344_746), (0.0, 0.5), (1.0, 0.158_655_254), (2.5, 0.006_209_665), (4.0, 3.167_124e-5)]
        {
            assert!((ln_tail(z).exp() / q - 1.0).abs() < 1e-4, "{z}: {}", ln_tail(z).exp());
        }
        // Where it is no number any more it still orders.
        assert!(ln_tail(60.0) > ln_tail(61.0) && ln_tail(61.0).is_finite());
        assert!((ln_tail(3.0 - 1e-9) - ln_tail(3.0 + 1e-9)).abs() < 1e-4);
    }

    #[test]
    fn size_and_model_make_no_difference() {
        let near = |mean: f32, spread: f32| -> Vec<f32> {
            (0..200).map(|i| mean + spread * ((i % 21) as f32 - 10.0) / 10.0).collect()
        };
        // A model under which everything is near: its hits are judged against that.
        let (wide, narrow) = (Chance::of(&near(0.1, 0.2)), Chance::of(&near(0.8, 0.05)));
        let far = wide.expect(0.6, 1_000);
        assert!(far < narrow.expect(0.85, 1_000), "0.6 is rare there, 0.85 is not here");
        // As near, a hit among fewer says more.
        assert!(wide.expect(0.6, 100) < far && score(wide.expect(0.6, 100)) > score(far));
        for e in [-900.0, -1.0, 0.0, 1.0, 900.0] {
            assert!((0.0..=1.0).contains(&score(e)));
        }
        // One row is no measure of chance.
        let alone = Chance::of(&[0.9]);
        assert!(alone.expect(0.9, 1).is_finite() && Chance::of(&[]).expect(0.5, 0).is_finite());
    }
}
