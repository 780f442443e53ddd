//! Vectors and queries in files, the exact answers beside them.

use crate::Global;
use crate::failure::{Failure, Outcome, Status};
use crate::index::folder;
use crate::node;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use stillhouse_catalog::Reader;
use stillhouse_hnsw::measure::Clusters;
use stillhouse_processors::embedder;

/// Rows that are read at a time.
pub(super) const PAGE: usize = 4_096;
/// Shares of a hundred that are admitted: by no filter, by one of 10 %, by one of 1 %.
pub(super) const ADMITTED: [u64; 3] = [100, 10, 1];
/// Answers that are known of each query.
pub(super) const KNOWN: usize = 100;

/// What there is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Set {
    pub(super) rows: usize,
    pub(super) dims: usize,
    pub(super) queries: usize,
    #[serde(skip)]
    folder: PathBuf,
}

/// In which of a hundred parts a row is.
pub(super) fn part(row: u64) -> u64 {
    row.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33 & 0xFFFF_FFFF
}

/// Whether a filter of so many of a hundred admits a row.
pub(super) fn admits(of_hundred: u64, row: u64) -> bool {
    part(row) % 100 < of_hundred
}

struct Files {
    rows: BufWriter<File>,
    queries: BufWriter<File>,
}

impl Files {
    fn new(folder: &Path) -> Outcome<Self> {
        fs::create_dir_all(folder)?;
        let file = |name: &str| File::create(folder.join(name)).map(BufWriter::new);
        Ok(Self { rows: file("rows.f32")?, queries: file("queries.f32")? })
    }

    fn write(to: &mut BufWriter<File>, vector: &[f32]) -> Outcome {
        vector.iter().try_for_each(|x| to.write_all(&x.to_le_bytes()))?;
        Ok(())
    }

    fn finish(mut self, set: Set) -> Outcome<Set> {
        self.rows.flush()?;
        self.queries.flush()?;
        let said = serde_json::to_vec(&set).map_err(|e| Failure::new(Status::Failed, e.to_string()))?;
        fs::write(set.folder.join("set.json"), said)?;
        Ok(set)
    }
}

impl Set {
    /// Unit vectors in clusters.
    pub(super) fn generated(rows: usize, dims: usize, queries: usize, folder: &Path) -> Outcome<Self> {
        if rows == 0 || dims == 0 || queries == 0 {
            return Err(Failure::new(Status::Usage, "vectors, dimensions and queries are at least 1"));
        }
        let mut clusters = Clusters::new(rows, dims, 7);
        let mut files = Files::new(folder)?;
        for _ in 0..rows {
            Files::write(&mut files.rows, &clusters.vector())?;
        }
        for _ in 0..queries {
            Files::write(&mut files.queries, &clusters.vector())?;
        }
        files.finish(Self { rows, dims, queries, folder: folder.to_owned() })
    }

    /// Of the live generation: of the model that most of its rows are of.
    pub(super) async fn of_corpus(global: &Global, corpus: &str, queries: usize, folder_: &Path) -> Outcome<Self> {
        let context = global.open_to_read().await?;
        let generations = node::settle_first_generations(&context).await?;
        let generation = generations.live(embedder::NAME);
        crate::index::keeper::bring_up(&context, generation).await?;
        let reader = Reader::open(&folder(&context, generation))?;
        let mut models: BTreeMap<(String, u32), Vec<(i64, u64)>> = BTreeMap::new();
        for shelf in reader.shelves()?.into_iter().filter(|shelf| shelf.corpus == corpus) {
            models.entry((shelf.model, shelf.dims)).or_default().push((shelf.id, shelf.rows));
        }
        let count = |shelves: &Vec<(i64, u64)>| shelves.iter().map(|(_, rows)| rows).sum::<u64>();
        let most = models.into_iter().max_by_key(|(_, shelves)| count(shelves));
        let ((_, dims), shelves) = most.filter(|(_, shelves)| count(shelves) > 1).ok_or_else(|| {
            Failure::new(Status::NotFound, format!("corpus `{}` has no vectors to measure", corpus.escape_debug()))
        })?;
        let every = usize::try_from(count(&shelves)).unwrap_or(usize::MAX).div_ceil(queries.max(1)).max(2);
        let mut files = Files::new(folder_)?;
        let mut set = Self { rows: 0, dims: dims as usize, queries: 0, folder: folder_.to_owned() };
        let mut seen = 0;
        for (shelf, _) in shelves {
            let mut after = (0, 0);
            loop {
                let news = reader.news(shelf, after, PAGE)?;
                after = news.upto;
                for row in news.came {
                    let vector: Vec<f32> =
                        row.vector.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
                    // What has no direction is near to nothing.
                    if vector.iter().all(|x| *x == 0.0) {
                        continue;
                    }
                    if seen % every == 0 {
                        Files::write(&mut files.queries, &vector)?;
                        set.queries += 1;
                    } else {
                        Files::write(&mut files.rows, &vector)?;
                        set.rows += 1;
                    }
                    seen += 1;
                }
                if !news.more {
                    break;
                }
            }
        }
        files.finish(set)
    }

    pub(super) fn open(folder: &Path) -> Outcome<Self> {
        let said = fs::read(folder.join("set.json"))?;
        let set: Self = serde_json::from_slice(&said).map_err(|e| Failure::new(Status::Failed, e.to_string()))?;
        Ok(Self { folder: folder.to_owned(), ..set })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// All rows, some at a time: the number of the first, and the vectors one after the other.
    pub(super) fn pages(&self, mut of: impl FnMut(u64, &[f32]) -> Outcome) -> Outcome {
        let mut file = BufReader::new(File::open(self.folder.join("rows.f32"))?);
        let mut bytes = vec![0; PAGE * self.dims * 4];
        for first in (0..self.rows).step_by(PAGE) {
            let bytes = &mut bytes[..PAGE.min(self.rows - first) * self.dims * 4];
            file.read_exact(bytes)?;
            let floats: Vec<f32> =
                bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
            of(first as u64, &floats)?;
        }
        Ok(())
    }

    pub(super) fn queries(&self) -> Outcome<Vec<Vec<f32>>> {
        let bytes = fs::read(self.folder.join("queries.f32"))?;
        let floats: Vec<f32> = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        Ok(floats.chunks_exact(self.dims).map(<[f32]>::to_vec).collect())
    }

    /// Of each query the nearest rows that each filter admits.
    pub(super) fn truth(&self) -> Outcome<Vec<Vec<Vec<u64>>>> {
        let said = fs::read(self.folder.join("truth.json"))?;
        serde_json::from_slice(&said).map_err(|e| Failure::new(Status::Failed, e.to_string()))
    }

    pub(super) fn keep_truth(&self, truth: &[Vec<Vec<u64>>]) -> Outcome {
        let said = serde_json::to_vec(truth).map_err(|e| Failure::new(Status::Failed, e.to_string()))?;
        Ok(fs::write(self.folder.join("truth.json"), said)?)
    }
}
