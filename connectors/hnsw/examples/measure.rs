//! Measures.
use std::io::Write;
use stillhouse_hnsw::measure::{Clusters, build, sweep, truth};

fn main() -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let args: Vec<String> = std::env::args().collect();
    let rows: usize = args[1].parse()?;
    let threads: usize = args[2].parse()?;
    let mut clusters = Clusters::new(rows, 384, 7);
    let vectors: Vec<Vec<f32>> = (0..rows).map(|_| clusters.vector()).collect();
    let queries: Vec<Vec<f32>> = (0..1000).map(|_| clusters.vector()).collect();
    if let Some(path) = args.get(3) {
        for (name, set) in [("rows", &vectors), ("queries", &queries)] {
            let mut file = std::io::BufWriter::new(std::fs::File::create(format!("{path}.{name}.f32"))?);
            for v in set {
                for x in v {
                    file.write_all(&x.to_le_bytes())?;
                }
            }
        }
    }
    let (index, seconds) = build(&vectors, threads)?;
    writeln!(out, "build {seconds:.1} s")?;
    let begun = std::time::Instant::now();
    let truth = truth(&index, &queries, 10)?;
    writeln!(out, "exact {:.2} ms", begun.elapsed().as_secs_f64())?;
    for ef in [10, 12, 16, 24, 32, 48, 64, 128] {
        let f = sweep(&index, &queries, &truth, ef)?;
        writeln!(out, "ef {:4} recall {:.4} qps {:.0} visited {:.0}", f.ef, f.recall, f.qps, f.visited)?;
    }
    Ok(())
}
