//! Times and weighs a roster: `cargo run --release -p stillhouse-roster --example load -- FILE`.
//!
//! Prints how long the table with its look-ups took, the resident memory of the process before, at its peak and after, and
//! what a look-up takes. `load FILE raw` is the limit beside it: every column decoded, nothing kept. `load FILE make`
//! writes a synthetic file of 500,000 workers first.

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::error::Error;
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Instant;
use stillhouse_schemas::roster::Roster as _;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A line of `/proc/self/status`, in MB.
fn megabytes(name: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|kb| kb.parse::<f64>().ok()).unwrap_or_default() / 1024.0
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    let mut arguments = std::env::args().skip(1);
    let path = PathBuf::from(arguments.next().ok_or("usage: load FILE [make|raw]")?);
    let before = megabytes("VmRSS:");
    let start = Instant::now();
    let what = arguments.next().unwrap_or_default();
    if what == "make" {
        let made = stillhouse_roster::generate(500_000, 1, File::create(&path)?)?;
        writeln!(
            out,
            "made       {} workers  {:.1} MB  {:.3} s",
            made.workers,
            made.bytes as f64 / 1e6,
            start.elapsed().as_secs_f64()
        )?;
        return Ok(());
    }
    if what == "raw" {
        let rows = ParquetRecordBatchReaderBuilder::try_new(File::open(&path)?)?
            .with_batch_size(4_096)
            .build()?
            .try_fold(0, |rows, batch| batch.map(|batch| rows + batch.num_rows()))?;
        writeln!(
            out,
            "raw read   {rows} rows  {:.3} s  peak {:.1} MB",
            start.elapsed().as_secs_f64(),
            megabytes("VmHWM:")
        )?;
        return Ok(());
    }
    let loaded = stillhouse_roster::load(&path)?;
    let took = start.elapsed().as_secs_f64();
    let (rows, after, peak) = (loaded.len(), megabytes("VmRSS:"), megabytes("VmHWM:"));
    writeln!(out, "table      {rows} rows  {took:.3} s  resident {before:.1} -> {after:.1} MB, peak {peak:.1} MB")?;
    std::thread::sleep(std::time::Duration::from_millis(200));
    let ids: Vec<String> = loaded.table.workers().step_by(7).map(|worker| worker.id.to_owned()).collect();
    let names: Vec<String> = loaded.table.workers().step_by(97).map(|worker| worker.name.to_uppercase()).collect();
    let start = Instant::now();
    let found = ids.iter().filter(|id| loaded.table.worker(id).is_some()).count();
    let id_ns = start.elapsed().as_nanos() as f64 / found.max(1) as f64;
    let start = Instant::now();
    let found = names.iter().map(|name| loaded.table.named(name, 20).len()).sum::<usize>();
    let name_ns = start.elapsed().as_nanos() as f64 / names.len().max(1) as f64;
    writeln!(
        out,
        "look-ups   id {id_ns:.0} ns, name {name_ns:.0} ns ({found} found), resident {:.1} MB, version {}",
        megabytes("VmRSS:"),
        loaded.table.version()
    )?;
    Ok(())
}
