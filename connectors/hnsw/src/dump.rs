//! An index as a folder, and back.
//!
//! A dump writes the segments that have no file yet, one file of everything else (rows that are gone, rows that are young),
//! and then the manifest, whose renaming is the commit: of rows and of the caller's progress alike. Segments that were in
//! memory are mapped from their files from then on. Whoever puts rows in calls it between two changes, so that the
//! progress it hands over is that of the rows that are in.

use std::collections::hash_map::Entry;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::Path;
use std::sync::{Arc, PoisonError};

use crate::bits::Dead;
use crate::error::Error;
use crate::files;
use crate::frozen::{Frozen, Stored};
use crate::index::{Index, Parts, Place, Writer};
use crate::manifest::Manifest;
use crate::segment::Segment;
use crate::settings::Settings;
use crate::young::{Row, Young};

const MAGIC: &[u8; 8] = b"stillrow";
const VERSION: u32 = 1;
const SEGMENT: &str = "segment";
const STATE: &str = "state";

/// The state of one instant: parts grow on while it is written.
struct Cut {
    parts: Arc<Parts>,
    dead: Vec<Vec<u64>>,
    young: Vec<(Arc<Young>, u32, Vec<u64>)>,
    rows: u64,
}

fn has(words: &[u64], row: u32) -> bool {
    words.get(row as usize / 64).is_some_and(|word| word >> (row % 64) & 1 == 1)
}

impl Cut {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(MAGIC)?;
        out.write_all(&VERSION.to_le_bytes())?;
        for words in &self.dead {
            out.write_all(bytemuck::cast_slice(words))?;
        }
        let rows = || {
            let live = self
                .young
                .iter()
                .flat_map(|(part, len, dead)| (0..*len).filter(|&at| !has(dead, at)).filter_map(|at| part.row(at)));
            live.collect::<Vec<_>>()
        };
        let rows = rows();
        out.write_all(&(rows.len() as u64).to_le_bytes())?;
        for row in rows {
            out.write_all(&row.key.to_le_bytes())?;
            out.write_all(&row.group.to_le_bytes())?;
            out.write_all(bytemuck::cast_slice(&row.vector))?;
        }
        Ok(())
    }
}

impl Index {
    /// Writes the index to a folder, with the caller's progress.
    pub fn dump(&self, folder: &Path, progress: &[u8]) -> Result<(), Error> {
        let _held = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let cut = self.cut();
        let mut segments = Vec::new();
        for part in &cut.parts.frozen {
            segments.push(match &part.stored {
                Some(stored) if files::is_there(folder, stored) => stored.clone(),
                _ => files::store(folder, SEGMENT, |out| out.write_all(part.segment.bytes()))?,
            });
        }
        let state = files::store(folder, STATE, |out| cut.write(out))?;
        let Settings { dims, distance, .. } = self.settings;
        let manifest = Manifest::new(dims, distance, cut.rows, segments.clone(), state, progress);
        let path = Manifest::path(folder);
        let bytes = manifest.to_bytes().map_err(|e| Error::io(&path)(e.into()))?;
        files::commit(folder, &path, &bytes)?;
        self.map(folder, &cut.parts, &segments)?;
        files::sweep(folder, manifest.names());
        Ok(())
    }

    fn cut(&self) -> Cut {
        let writer = self.writer();
        let parts = self.parts.load_full();
        Cut {
            dead: parts.frozen.iter().map(|part| part.dead.words()).collect(),
            young: parts.young.iter().map(|part| (Arc::clone(part), part.len(), part.dead.words())).collect(),
            rows: writer.places.len() as u64,
            parts,
        }
    }

    /// From memory to files.
    fn map(&self, folder: &Path, dumped: &Parts, segments: &[Stored]) -> Result<(), Error> {
        let mut mapped = Vec::new();
        for (part, stored) in dumped.frozen.iter().zip(segments).filter(|(part, _)| part.stored.is_none()) {
            let segment = Segment::open(&folder.join(&stored.file), self.settings.dims, self.settings.distance)?;
            mapped.push(Arc::new(Frozen {
                segment: Arc::new(segment),
                stored: Some(stored.clone()),
                ..Frozen::clone(part)
            }));
        }
        let _writer = self.writer();
        let mut parts = Parts::clone(&self.parts.load());
        for fresh in mapped {
            if let Some(part) = parts.frozen.iter_mut().find(|part| part.id == fresh.id) {
                *part = fresh;
            }
        }
        self.parts.store(Arc::new(parts));
        Ok(())
    }

    /// The index that was dumped to a folder, and the progress that was handed over with it. Every byte is compared with
    /// its checksum first; [`Error::Missing`] where nothing was dumped, [`Error::Refused`] where something does not fit.
    pub fn open(folder: &Path, settings: Settings) -> Result<(Self, Vec<u8>), Error> {
        settings.check()?;
        let (manifest, progress) = Manifest::read(folder)?;
        if (manifest.dims, manifest.distance) != (settings.dims, settings.distance) {
            let Manifest { dims, distance, .. } = manifest;
            let reason =
                format!("of {dims} dimensions under {distance:?}, not {} under {:?}", settings.dims, settings.distance);
            return Err(Error::refused(&Manifest::path(folder), reason));
        }
        let mut segments = Vec::new();
        for stored in &manifest.segments {
            let path = files::checked(folder, stored)?;
            segments.push(Segment::open(&path, settings.dims, settings.distance)?);
        }
        let path = files::checked(folder, &manifest.state)?;
        let file = File::open(&path).map_err(Error::io(&path))?;
        let mut state = State { file: BufReader::with_capacity(1 << 20, file), path: &path };
        let (parts, writer) = state.read(segments, &manifest, &settings)?;
        if writer.places.len() as u64 != manifest.rows {
            return Err(Error::refused(
                &path,
                format!("{} rows, and the manifest says {}", writer.places.len(), manifest.rows),
            ));
        }
        Ok((Self::of(settings, parts, writer), progress))
    }
}

struct State<'a> {
    file: BufReader<File>,
    path: &'a Path,
}

impl State<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        match self.file.read_exact(&mut bytes) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Err(Error::refused(self.path, "it ends too early")),
            other => other.map_err(Error::io(self.path)).map(|()| bytes),
        }
    }

    fn read(
        &mut self,
        segments: Vec<Segment>,
        manifest: &Manifest,
        settings: &Settings,
    ) -> Result<(Parts, Writer), Error> {
        if &self.take::<8>()? != MAGIC || u32::from_le_bytes(self.take()?) != VERSION {
            return Err(Error::refused(self.path, "not the state of an index of this format"));
        }
        let (mut parts, mut writer) = (Parts::default(), Writer::default());
        for (segment, stored) in segments.into_iter().zip(&manifest.segments) {
            let mut words = vec![0u64; (segment.rows() as usize).div_ceil(64)];
            for word in &mut words {
                *word = u64::from_le_bytes(self.take()?);
            }
            let id = writer.next;
            writer.next += 1;
            for row in (0..segment.rows()).filter(|&row| !has(&words, row)) {
                self.place(&mut writer, segment.view().keys[row as usize], Place { part: id, row })?;
            }
            let dead = Dead::from_words(&words);
            parts.frozen.push(Arc::new(Frozen::new(id, segment, dead, Some(stored.clone()))));
        }
        let rows = u64::from_le_bytes(self.take()?);
        for _ in 0..rows {
            let (key, group) = (u64::from_le_bytes(self.take()?), u32::from_le_bytes(self.take()?));
            let mut vector = vec![0.0f32; settings.dims];
            for x in &mut vector {
                *x = f32::from_le_bytes(self.take()?);
            }
            if parts.young.last().is_none_or(|part| part.is_full()) {
                parts.young.push(Arc::new(Young::new(writer.next, settings.young_rows)));
                writer.next += 1;
            }
            if let Some(part) = parts.young.last() {
                let row = part.push(Row { key, group, vector: vector.into_boxed_slice() });
                self.place(&mut writer, key, Place { part: part.id, row })?;
            }
        }
        match self.file.read(&mut [0]).map_err(Error::io(self.path))? {
            0 => Ok((parts, writer)),
            _ => Err(Error::refused(self.path, "there is something behind its end")),
        }
    }

    fn place(&self, writer: &mut Writer, key: u64, place: Place) -> Result<(), Error> {
        match writer.places.entry(key) {
            Entry::Occupied(_) => Err(Error::refused(self.path, format!("two rows have the key {key}"))),
            Entry::Vacant(free) => {
                free.insert(place);
                Ok(())
            }
        }
    }
}
