//! One measure, in a process of its own.

use super::set::{ADMITTED, KNOWN, Set, admits};
use crate::bench::report::{Figure, Latencies, memory_mb};
use crate::failure::{Failure, Outcome, Status};
use std::collections::BinaryHeap;
use std::path::Path;
use std::time::{Duration, Instant};
use stillhouse_hnsw::measure::resident;
use stillhouse_hnsw::{Distance, Index, Query, Settings};

/// What is measured beside comparing every row.
pub(super) const KINDS: &[&str] = &["hnsw", "lance"];
/// Steps of each, one process after the other.
pub(super) const STEPS: &[(&str, &[&str])] =
    &[("exact", &["exact"]), ("hnsw", &["hnsw-make", "hnsw-ask"]), ("lance", &["lance-make", "lance-ask"])];
/// Units of figures.
pub(super) const UNITS: &[&str] = &["s", "ms", "queries/s", "MB", "%"];
/// Rows that are held in memory to be compared; more are reckoned from these.
const HELD: usize = 1_000_000;
/// How long the same queries are asked again, for a rate.
const RATED: Duration = Duration::from_secs(3);
const MB: f64 = (1 << 20) as f64;

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(Status::Failed, error.to_string())
}

/// Measures, and says it.
pub(super) fn measure(what: &str, folder: &Path) -> Outcome<Vec<Figure>> {
    let set = Set::open(folder)?;
    match what {
        "exact" => exact(&set),
        "hnsw-make" => make_hnsw(&set),
        "hnsw-ask" => ask_hnsw(&set),
        #[cfg(feature = "lance")]
        "lance-make" => make_lance(&set),
        #[cfg(feature = "lance")]
        "lance-ask" => ask_lance(&set),
        #[cfg(not(feature = "lance"))]
        "lance-make" | "lance-ask" => Err(Failure::new(Status::Config, "this binary was built without Lance")
            .hint("build it with: cargo build --release -p stillhouse, or measure --only hnsw")),
        what => Err(Failure::new(Status::Usage, format!("there is no measure `{}`", what.escape_debug()))),
    }
}

/// In sixteen sums, so that the compiler may use as wide an instruction as there is.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (mut sums, wide) = ([0.0_f32; 16], a.len() / 16 * 16);
    for (a, b) in a[..wide].chunks_exact(16).zip(b[..wide].chunks_exact(16)) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f32>() + a[wide..].iter().zip(&b[wide..]).map(|(a, b)| a * b).sum::<f32>()
}

/// A row and how far it is, by what orders as numbers do.
type Far = (u32, u64);

fn far(cosine: f32, row: u64) -> Far {
    // Not negative, so its bits order as it does.
    ((1.0 - cosine).max(0.0).to_bits(), row)
}

/// The `k` nearest.
fn keep(heap: &mut BinaryHeap<Far>, k: usize, far: Far) {
    if heap.len() < k {
        heap.push(far);
    } else if heap.peek().is_some_and(|worst| far < *worst) {
        heap.pop();
        heap.push(far);
    }
}

/// Every row compared with every query: what is true, and what it takes in memory without any index.
fn exact(set: &Set) -> Outcome<Vec<Figure>> {
    let queries = set.queries()?;
    let unit: Vec<Vec<f32>> = queries
        .iter()
        .map(|query| {
            let length = dot(query, query).sqrt().max(f32::MIN_POSITIVE);
            query.iter().map(|x| x / length).collect()
        })
        .collect();
    let mut heaps: Vec<Vec<BinaryHeap<Far>>> = unit.iter().map(|_| vec![BinaryHeap::new(); ADMITTED.len()]).collect();
    let mut held: Vec<f32> = Vec::new();
    set.pages(|first, floats| {
        for (row, vector) in (first..).zip(floats.chunks_exact(set.dims)) {
            let length = dot(vector, vector).sqrt();
            for (query, heaps) in unit.iter().zip(&mut heaps) {
                let far = far(dot(query, vector) / length, row);
                for (of, heap) in ADMITTED.iter().zip(heaps) {
                    if admits(*of, row) {
                        keep(heap, KNOWN, far);
                    }
                }
            }
            if held.len() < HELD * set.dims {
                held.extend_from_slice(vector);
            }
        }
        Ok(())
    })?;
    let sorted = |heap: BinaryHeap<Far>| heap.into_sorted_vec().into_iter().map(|(_, row)| row).collect::<Vec<u64>>();
    let truth: Vec<Vec<Vec<u64>>> = heaps.into_iter().map(|heaps| heaps.into_iter().map(sorted).collect()).collect();
    set.keep_truth(&truth)?;
    let more = set.rows as f64 / (held.len() / set.dims) as f64;
    let scan = |query: &Vec<f32>| {
        let mut heap = BinaryHeap::new();
        for (row, vector) in (0..).zip(held.chunks_exact(set.dims)) {
            keep(&mut heap, 10, far(dot(query, vector), row));
        }
        heap.len()
    };
    let mut latencies = Latencies::default();
    for query in unit.iter().take(50) {
        let begun = Instant::now();
        std::hint::black_box(scan(query));
        latencies.add(begun.elapsed().mul_f64(more));
    }
    let mut figures = latencies.figures("10 nearest, every row compared in memory");
    figures.retain(|figure| !figure.what.ends_with("max"));
    Ok(figures)
}

/// What can be asked: the nearest, how many, and of how many in a hundred.
trait Asked: Sync {
    fn nearest(&self, vector: &[f32], k: usize, of_hundred: u64) -> Outcome<Vec<u64>>;
}

fn ask(set: &Set, index: &impl Asked) -> Outcome<Vec<Figure>> {
    let (queries, truth) = (set.queries()?, set.truth()?);
    let mut figures = Vec::new();
    for (at, of) in ADMITTED.iter().enumerate() {
        let named = |what: &str| if *of == 100 { what.to_owned() } else { format!("filter of {of} %") };
        // The first queries open files and fill caches.
        for query in queries.iter().take(20) {
            index.nearest(query, 10, *of)?;
        }
        let mut latencies = Latencies::default();
        for k in [1, 10, KNOWN] {
            if *of != 100 && k != 10 {
                continue;
            }
            let (mut found, mut known) = (0, 0);
            for (query, truth) in queries.iter().zip(&truth) {
                let begun = Instant::now();
                let rows = index.nearest(query, k, *of)?;
                if k == 10 {
                    latencies.add(begun.elapsed());
                }
                let truth = &truth[at][..k.min(truth[at].len())];
                known += truth.len();
                found += truth.iter().filter(|row| rows.contains(row)).count();
            }
            let share = f64::from(u32::try_from(found).unwrap_or(0)) / (known.max(1)) as f64;
            let name = if *of == 100 { format!("recall@{k}") } else { format!("recall@{k}, filter of {of} %") };
            figures.push(Figure::of(name, 100.0 * share, "%"));
        }
        let (name, unit) = (named("10 nearest"), "ms");
        for figure in latencies.figures("").into_iter().take(2) {
            let which = figure.what.trim_start_matches(", ");
            figures.push(Figure::of(format!("{which}, {name}"), figure.value, unit));
        }
    }
    for threads in [1, 2] {
        figures.push(Figure::of(format!("{threads} threads"), rate(index, &queries, threads)?, "queries/s"));
    }
    if let Some((own, files)) = resident() {
        figures.push(Figure::of("resident, own", own as f64 / MB, "MB"));
        figures.push(Figure::of("resident, mapped files", files as f64 / MB, "MB"));
    }
    Ok(figures)
}

fn rate(index: &impl Asked, queries: &[Vec<f32>], threads: usize) -> Outcome<f64> {
    let begun = Instant::now();
    let work = |thread: usize| -> Outcome<u64> {
        let mut done = 0;
        for query in queries.iter().cycle().skip(thread * queries.len() / threads) {
            if begun.elapsed() > RATED {
                break;
            }
            index.nearest(query, 10, 100)?;
            done += 1;
        }
        Ok(done)
    };
    let counts = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || work(thread))).collect();
        running
            .into_iter()
            .map(|thread| thread.join().map_err(|_| failed("a thread panicked"))?)
            .collect::<Outcome<Vec<_>>>()
    })?;
    Ok(counts.iter().sum::<u64>() as f64 / begun.elapsed().as_secs_f64())
}

/// What making it took, and what it left on disk.
fn made(begun: Instant, bytes: u64) -> Vec<Figure> {
    vec![
        Figure::of("build", begun.elapsed().as_secs_f64(), "s"),
        Figure::of("memory while building, highest", memory_mb().1, "MB"),
        Figure::of("on disk", bytes as f64 / MB, "MB"),
    ]
}

fn size(path: &Path) -> u64 {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let of = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => size(&entry.path()),
        found => found.map_or(0, |found| found.len()),
    };
    entries.map(of).sum()
}

/// As a node makes it: rows in the order they come, upkeep beside them, one segment in the end.
fn make_hnsw(set: &Set) -> Outcome<Vec<Figure>> {
    let index = Index::new(Settings::new(set.dims, Distance::Cosine)).map_err(failed)?;
    let begun = Instant::now();
    set.pages(|first, floats| {
        for (row, vector) in (first..).zip(floats.chunks_exact(set.dims)) {
            index.put(row, 0, vector).map_err(failed)?;
        }
        Ok(())
    })?;
    index.compact().map_err(failed)?;
    let place = set.folder().join("hnsw");
    index.dump(&place, b"").map_err(failed)?;
    Ok(made(begun, size(&place)))
}

struct Hnsw(Index);

impl Asked for Hnsw {
    fn nearest(&self, vector: &[f32], k: usize, of_hundred: u64) -> Outcome<Vec<u64>> {
        let passes = |row: u64| admits(of_hundred, row);
        let filter = match of_hundred {
            100 => stillhouse_hnsw::Filter::None,
            _ => stillhouse_hnsw::Filter::Where(&passes),
        };
        let groups = stillhouse_hnsw::Groups::all();
        let answer = self.0.search(&Query { vector, k, groups, filter, ..Query::default() }).map_err(failed)?;
        Ok(answer.hits.iter().map(|hit| hit.key).collect())
    }
}

fn ask_hnsw(set: &Set) -> Outcome<Vec<Figure>> {
    let settings = Settings::new(set.dims, Distance::Cosine);
    let (index, _) = Index::open(&set.folder().join("hnsw"), settings).map_err(failed)?;
    ask(set, &Hnsw(index))
}

#[cfg(feature = "lance")]
struct Lance(stillhouse_lance::Store);

#[cfg(feature = "lance")]
impl Lance {
    fn open(set: &Set) -> Outcome<Self> {
        use stillhouse_lance::{Engine, Settings, Store, StoreError};
        let engine = Engine::new(crate::settings::Search::default().lance_cache_mb << 20);
        let place = set.folder().join("lance");
        let place = place.to_str().ok_or_else(|| failed("a folder that is not UTF-8"))?;
        let about = std::collections::BTreeMap::new();
        let store = match Store::open(&engine, place, &about, Settings::new(set.dims)) {
            Err(StoreError::Missing { .. }) => Store::create(&engine, place, &about, Settings::new(set.dims)),
            store => store,
        };
        Ok(Self(store.map_err(failed)?))
    }
}

#[cfg(feature = "lance")]
impl Asked for Lance {
    fn nearest(&self, vector: &[f32], k: usize, of_hundred: u64) -> Outcome<Vec<u64>> {
        use stillhouse_lance::{Filter, Query};
        let among = match of_hundred {
            100 => None,
            of => {
                let metadata = std::collections::BTreeMap::from([(format!("in {of}"), vec!["yes".to_owned()])]);
                Some(self.0.select(&Filter { metadata, ..Filter::default() }).map_err(failed)?)
            }
        };
        let answer = self.0.nearest(&Query { vector, k, among, ..Query::default() }).map_err(failed)?;
        Ok(answer.hits.iter().map(|hit| hit.row.unsigned_abs()).collect())
    }
}

#[cfg(feature = "lance")]
fn make_lance(set: &Set) -> Outcome<Vec<Figure>> {
    use super::set::PAGE;
    use stillhouse_lance::Row;
    let store = Lance::open(set)?.0;
    let begun = Instant::now();
    set.pages(|first, floats| {
        let rows: Vec<Row> = (first..)
            .zip(floats.chunks_exact(set.dims))
            .map(|(row, vector)| Row {
                row: row.cast_signed(),
                event_id: format!("event-{row}"),
                occurred_at: row.cast_signed(),
                metadata: ADMITTED
                    .iter()
                    .filter(|of| **of < 100 && admits(**of, row))
                    .map(|of| (format!("in {of}"), "yes".to_owned()))
                    .collect(),
                vector: vector.to_vec(),
            })
            .collect();
        store.apply(&rows, &[], &(first + PAGE as u64).to_string()).map_err(failed)?;
        Ok(())
    })?;
    while !store.maintain().map_err(failed)?.is_idle() {}
    let mut figures = made(begun, 0);
    // Old versions are kept for a while; what is left when they are gone.
    store.scrub().map_err(failed)?;
    figures.retain(|figure| figure.what != "on disk");
    figures.push(Figure::of("on disk", store.bytes() as f64 / MB, "MB"));
    Ok(figures)
}

#[cfg(feature = "lance")]
fn ask_lance(set: &Set) -> Outcome<Vec<Figure>> {
    ask(set, &Lance::open(set)?)
}
