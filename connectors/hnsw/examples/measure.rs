//! Measures the index on generated vectors of 384 floats: `measure make FOLDER ROWS THREADS` builds, dumps and keeps the
//! vectors beside the dump (as `rows.f32` and `queries.f32`, for `ops/benchmarks/vectors-peers.sh`); `measure search
//! FOLDER` opens the dump in a process of its own and searches.

use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;
use stillhouse_hnsw::measure::{Clusters, build, resident, sweep, truth};
use stillhouse_hnsw::{Distance, Filter, Groups, Index, Keys, Query, Settings};

const DIMS: usize = 384;
const QUERIES: usize = 1_000;
const MIB: f64 = (1 << 20) as f64;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut out = std::io::stdout().lock();
    match args[..] {
        ["make", folder, rows, threads] => make(&mut out, Path::new(folder), rows.parse()?, threads.parse()?),
        ["search", folder] => search(&mut out, Path::new(folder)),
        _ => bail!("measure make FOLDER ROWS THREADS, then measure search FOLDER"),
    }
}

fn make(out: &mut impl Write, folder: &Path, rows: usize, threads: usize) -> Result<()> {
    fs::create_dir_all(folder)?;
    let mut clusters = Clusters::new(rows, DIMS, 7);
    let vectors: Vec<Vec<f32>> = (0..rows).map(|_| clusters.vector()).collect();
    let queries: Vec<Vec<f32>> = (0..QUERIES).map(|_| clusters.vector()).collect();
    for (name, set) in [("rows.f32", &vectors), ("queries.f32", &queries)] {
        let mut file = BufWriter::new(File::create(folder.join(name))?);
        for x in set.iter().flatten() {
            file.write_all(&x.to_le_bytes())?;
        }
        file.flush()?;
    }
    let (index, seconds) = build(&vectors, threads)?;
    writeln!(out, "{rows} rows built by {threads} threads in {seconds:.1} s")?;
    let begun = Instant::now();
    index.dump(&folder.join("index"), b"")?;
    let bytes: u64 = index.shape().segments.iter().map(|segment| segment.2).sum();
    writeln!(out, "dumped in {:.2} s, {:.0} MiB", begun.elapsed().as_secs_f64(), bytes as f64 / MIB)?;
    Ok(())
}

fn search(out: &mut impl Write, folder: &Path) -> Result<()> {
    let bytes = fs::read(folder.join("queries.f32")).context("measure make first")?;
    let floats: Vec<f32> = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    let queries: Vec<Vec<f32>> = floats.chunks_exact(DIMS).map(<[f32]>::to_vec).collect();
    let begun = Instant::now();
    let (index, _) = Index::open(&folder.join("index"), Settings::new(DIMS, Distance::Cosine))?;
    writeln!(out, "{} rows opened in {:.2} s", index.len(), begun.elapsed().as_secs_f64())?;
    let few = &queries[..queries.len().min(200)];
    for k in [1, 10, 100] {
        let (found, seconds) = truth(&index, few, k)?;
        writeln!(out, "exact, {k} nearest: {:.2} ms", seconds * 1e3 / few.len() as f64)?;
        sweep(&index, few, &found, 64.max(k), 1, 1)?;
        for ef in [10, 16, 24, 32, 48, 64, 128, 256].into_iter().filter(|&ef| ef >= k) {
            let f = sweep(&index, few, &found, ef, 1, 5)?;
            writeln!(
                out,
                "@{k} ef {ef}: recall {:.4}, {:.0} queries/s, p50 {:.3} ms, p99 {:.3} ms, {:.0} visited",
                f.recall, f.qps, f.p50, f.p99, f.visited
            )?;
        }
    }
    let (found, _) = truth(&index, &queries, 10)?;
    for threads in [1, 2] {
        for ef in [24, 32, 48, 64] {
            let f = sweep(&index, &queries, &found, ef, threads, 3)?;
            writeln!(out, "{threads} threads, @10 ef {ef}: recall {:.4}, {:.0} queries/s", f.recall, f.qps)?;
        }
    }
    filtered(out, &index, &queries)?;
    if let Some((own, files)) = resident() {
        writeln!(out, "resident: {:.0} MiB, and {:.0} MiB of mapped files", own as f64 / MIB, files as f64 / MIB)?;
    }
    Ok(())
}

fn filtered(out: &mut impl Write, index: &Index, queries: &[Vec<f32>]) -> Result<()> {
    for one_of in [2, 10, 100, 1_000] {
        let keys: Keys = (0..index.len()).filter(|key| key * 7_919 % 10_007 % one_of == 0).collect();
        let (mut times, mut found, mut of, mut plan) = (Vec::new(), 0, 0, None);
        for vector in &queries[..queries.len().min(200)] {
            let query = Query { vector, k: 10, groups: Groups::all(), filter: Filter::Keys(&keys), ..Query::default() };
            let begun = Instant::now();
            let answer = index.search(&query)?;
            times.push(begun.elapsed().as_secs_f64() * 1e3);
            plan = Some(answer.plan);
            let exact = index.search(&Query { plan: Some(stillhouse_hnsw::Plan::Exact), ..query })?;
            of += exact.hits.len();
            found += exact.hits.iter().filter(|hit| answer.hits.iter().any(|h| h.key == hit.key)).count();
        }
        times.sort_by(f64::total_cmp);
        let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
        let recall = found as f64 / of.max(1) as f64;
        writeln!(out, "filter, one of {one_of}: {plan:?}, recall {recall:.4}, p50 {p50:.3} ms, p99 {p99:.3} ms")?;
    }
    Ok(())
}
