//! The one file of a dump that says which others belong to it. JSON on one line, and its own checksum on the next.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::distance::Distance;
use crate::error::Error;
use crate::frozen::Stored;

const FORMAT: u32 = 1;
const NAME: &str = "manifest";
const LABEL: &str = "blake3 ";
/// Beyond this it is not one of ours.
const LARGEST: u64 = 1 << 28;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    format: u32,
    pub dims: usize,
    pub distance: Distance,
    /// Rows that can be found.
    pub rows: u64,
    pub segments: Vec<Stored>,
    /// Rows that are gone, and rows that are in no segment yet.
    pub state: Stored,
    /// The caller's, base64.
    progress: String,
}

impl Manifest {
    pub fn new(
        dims: usize,
        distance: Distance,
        rows: u64,
        segments: Vec<Stored>,
        state: Stored,
        progress: &[u8],
    ) -> Self {
        Self { format: FORMAT, dims, distance, rows, segments, state, progress: STANDARD.encode(progress) }
    }

    pub fn path(folder: &Path) -> PathBuf {
        folder.join(NAME)
    }

    pub fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = serde_json::to_vec(self)?;
        bytes.push(b'\n');
        let sum = blake3::hash(&bytes);
        bytes.extend_from_slice(format!("{LABEL}{sum}\n").as_bytes());
        Ok(bytes)
    }

    /// The manifest of a folder, and the caller's progress.
    pub fn read(folder: &Path) -> Result<(Self, Vec<u8>), Error> {
        let path = Self::path(folder);
        let refused = |reason: &str| Error::refused(&path, reason);
        let found = match fs::metadata(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Err(Error::Missing(folder.to_owned())),
            other => other.map_err(Error::io(&path))?,
        };
        if found.len() > LARGEST {
            return Err(refused("too large for a manifest"));
        }
        let bytes = fs::read(&path).map_err(Error::io(&path))?;
        let end = bytes.iter().position(|&b| b == b'\n').ok_or_else(|| refused("not a manifest of an index"))?;
        let (body, sum) = bytes.split_at(end + 1);
        if sum != format!("{LABEL}{}\n", blake3::hash(body)).as_bytes() {
            return Err(refused("its checksum does not fit: it is damaged, or not a manifest of an index"));
        }
        let manifest: Self = serde_json::from_slice(body).map_err(|e| refused(&e.to_string()))?;
        if manifest.format != FORMAT {
            return Err(refused(&format!("of format {}, and this is format {FORMAT}", manifest.format)));
        }
        let progress = STANDARD.decode(&manifest.progress).map_err(|e| refused(&e.to_string()))?;
        Ok((manifest, progress))
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().chain([&self.state]).map(|stored| stored.file.as_str()).chain([NAME])
    }
}
