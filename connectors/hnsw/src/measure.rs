//! Generated vectors and what is measured on them.

use std::thread;
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

/// Of one `ef`, for the ten nearest.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Candidates kept.
    pub ef: usize,
    /// Share of the true nearest that is found.
    pub recall: f64,
    /// Queries a second of all threads together.
    pub qps: f64,
    /// Milliseconds that half of the queries take at most.
    pub p50: f64,
    /// And 99 of 100.
    pub p99: f64,
    /// Rows looked at, a query.
    pub visited: f64,
}

/// Resident memory of this process in bytes: its own, and pages of mapped files. None where the system does not say.
pub fn resident() -> Option<(u64, u64)> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib << 10)
    };
    Some((field("RssAnon:")?, field("RssFile:")?))
}

/// An index of the vectors in one segment, and the seconds that building it took.
pub fn build(vectors: &[Vec<f32>], threads: usize) -> Result<(Index, f64), Error> {
    let dims = vectors.first().map_or(1, Vec::len);
    let index = Index::new(Settings { threads, ..Settings::new(dims, Distance::Cosine) })?;
    for (key, vector) in vectors.iter().enumerate() {
        index.put(key as u64, 0, vector)?;
    }
    let begun = Instant::now();
    index.freeze()?;
    Ok((index, begun.elapsed().as_secs_f64()))
}

/// Keys of the true nearest, and the seconds that finding them took.
pub fn truth(index: &Index, queries: &[Vec<f32>], k: usize) -> Result<(Vec<Vec<u64>>, f64), Error> {
    let exact = |vector: &Vec<f32>| {
        let query = Query { vector, k, groups: Groups::all(), plan: Some(Plan::Exact), ..Query::default() };
        index.search(&query).map(|answer| answer.hits.iter().map(|hit| hit.key).collect())
    };
    let begun = Instant::now();
    let found = queries.iter().map(exact).collect::<Result<_, _>>()?;
    Ok((found, begun.elapsed().as_secs_f64()))
}

/// The queries, each of them `rounds` times, by `threads` at a time; `k` is how many nearest `truth` has.
pub fn sweep(
    index: &Index,
    queries: &[Vec<f32>],
    truth: &[Vec<u64>],
    ef: usize,
    threads: usize,
    rounds: usize,
) -> Result<Figures, Error> {
    let k = truth.first().map_or(0, Vec::len);
    let work = |thread: usize| -> Result<(usize, u64, Vec<f64>), Error> {
        let (mut found, mut visited, mut times) = (0, 0, Vec::new());
        for at in 0..queries.len() * rounds {
            let at = (at + thread * queries.len() / threads) % queries.len();
            let begun = Instant::now();
            let query = Query {
                vector: &queries[at],
                k,
                ef: Some(ef),
                groups: Groups::all(),
                plan: Some(Plan::Hnsw),
                ..Query::default()
            };
            let answer = index.search(&query)?;
            times.push(begun.elapsed().as_secs_f64() * 1e3);
            found += answer.hits.iter().filter(|hit| truth[at].contains(&hit.key)).count();
            visited += answer.visited;
        }
        Ok((found, visited, times))
    };
    let begun = Instant::now();
    let parts: Vec<_> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|thread| {
                scope.spawn({
                    let work = &work;
                    move || work(thread)
                })
            })
            .collect();
        running.into_iter().filter_map(|thread| thread.join().ok()).collect::<Result<_, _>>()
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    let mut times: Vec<f64> = parts.iter().flat_map(|part| part.2.iter().copied()).collect();
    times.sort_by(f64::total_cmp);
    let done = times.len().max(1);
    let share = |of: f64| times.get((done as f64 * of) as usize).copied().unwrap_or_default();
    Ok(Figures {
        ef,
        recall: parts.iter().map(|part| part.0).sum::<usize>() as f64 / (done * k.max(1)) as f64,
        qps: done as f64 / seconds,
        p50: share(0.5),
        p99: share(0.99),
        visited: parts.iter().map(|part| part.1).sum::<u64>() as f64 / done as f64,
    })
}
