//! Generated vectors and what is measured on them.

use std::time::Instant;

use crate::{Distance, Error, Groups, Index, Plan, Query, Settings};

/// Unit vectors in clusters: a row is its cluster's centre plus noise. The same for one seed on every machine.
#[derive(Clone, Debug)]
pub struct Clusters {
    centres: Vec<Vec<f32>>,
    noise: f32,
    state: u64,
    dims: usize,
}

impl Clusters {
    /// One cluster for about every hundred of `rows`.
    pub fn new(rows: usize, dims: usize, seed: u64) -> Self {
        let mut made = Self { centres: Vec::new(), noise: 0.7, state: seed, dims };
        made.centres = (0..(rows / 100).max(8)).map(|_| made.direction()).collect();
        made
    }

    fn uniform(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ z >> 31) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn direction(&mut self) -> Vec<f32> {
        // Sums of uniform numbers, near enough to a normal distribution.
        let made: Vec<f32> = (0..self.dims).map(|_| (0..4).map(|_| self.uniform() as f32 - 0.5).sum()).collect();
        unit(made)
    }

    /// Another vector.
    pub fn vector(&mut self) -> Vec<f32> {
        let centre = (self.uniform() * self.centres.len() as f64) as usize;
        let noise = self.direction();
        let strength = self.noise;
        unit(self.centres[centre].iter().zip(noise).map(|(c, n)| c + strength * n).collect())
    }
}

fn unit(vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    vector.into_iter().map(|x| x / length).collect()
}

/// What is measured.
#[derive(Clone, Debug)]
pub struct Plan1 {
    /// Rows.
    pub rows: usize,
}

/// Of one ef.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Candidates kept.
    pub ef: usize,
    /// Share of the true nearest found.
    pub recall: f64,
    /// Queries a second.
    pub qps: f64,
    /// Rows looked at, per query.
    pub visited: f64,
}

/// An index of the vectors in one segment, and the seconds it took to build.
pub fn build(vectors: &[Vec<f32>], threads: usize) -> Result<(Index, f64), Error> {
    let mut settings = Settings::new(vectors[0].len(), Distance::Cosine);
    settings.threads = threads;
    let index = Index::new(settings)?;
    for (key, vector) in vectors.iter().enumerate() {
        index.put(key as u64, 0, vector)?;
    }
    let begun = Instant::now();
    index.freeze()?;
    Ok((index, begun.elapsed().as_secs_f64()))
}

/// Keys of the true nearest.
pub fn truth(index: &Index, queries: &[Vec<f32>], k: usize) -> Result<Vec<Vec<u64>>, Error> {
    let exact = |vector: &Vec<f32>| {
        let query = Query { vector, k, groups: Groups::all(), plan: Some(Plan::Exact), ..Query::default() };
        index.search(&query).map(|answer| answer.hits.iter().map(|hit| hit.key).collect())
    };
    queries.iter().map(exact).collect()
}

/// Of one ef on one thread.
pub fn sweep(index: &Index, queries: &[Vec<f32>], truth: &[Vec<u64>], ef: usize) -> Result<Figures, Error> {
    let k = truth[0].len();
    let (mut found, mut visited, mut done) = (0, 0, 0);
    let begun = Instant::now();
    for _ in 0..3 {
        for (vector, truth) in queries.iter().zip(truth) {
            let query =
                Query { vector, k, ef: Some(ef), groups: Groups::all(), plan: Some(Plan::Hnsw), ..Query::default() };
            let answer = index.search(&query)?;
            found += answer.hits.iter().filter(|hit| truth.contains(&hit.key)).count();
            visited += answer.visited;
            done += 1;
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    Ok(Figures {
        ef,
        recall: found as f64 / (done * k) as f64,
        qps: done as f64 / seconds,
        visited: visited as f64 / done as f64,
    })
}
