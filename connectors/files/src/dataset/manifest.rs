//! What a dataset says about itself. Persisted: fields are only added, and [`VERSION`] grows when a reader must know.

use super::DatasetError;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Component, Path};

/// What `format` says in every manifest.
pub(super) const FORMAT: &str = "stillhouse-dataset";
/// Version of the layout.
pub(super) const VERSION: u32 = 2;

/// The manifest. Exports of the same events from different journals differ in [`Manifest::cut`] and in nothing else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// `stillhouse-dataset`.
    pub format: String,
    /// Version of the layout.
    pub format_version: u32,
    /// `sft`, `rag`, `preference`.
    pub kind: String,
    /// Shape of the rows, such as `trl/messages`.
    pub shape: String,
    /// Form of the files, such as `jsonl`.
    pub file_format: String,
    /// What was let in: name to value.
    pub filters: BTreeMap<String, Value>,
    /// Who wrote it.
    pub exporter: Maker,
    /// The generations that the rows come from, in the order of the pipeline.
    pub stages: Vec<Stage>,
    /// What became of everything in the cut.
    pub counts: Counts,
    /// The splits that rows may be in.
    #[serde(default)]
    pub splits: Vec<Split>,
    /// Every file but this one.
    pub files: Vec<File>,
    /// Up to where the journal was read.
    pub cut: Cut,
    /// Why exporting this cut cannot give the bytes that it once gave, if it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub irreproducible: Option<String>,
    /// Why nothing is left of it but this manifest, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erased: Option<super::Tombstone>,
}

/// Who wrote a dataset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maker {
    /// Name.
    pub name: String,
    /// Version of the code.
    pub version: String,
    /// Hash of the settings.
    pub config_hash: String,
    /// The settings.
    pub settings: BTreeMap<String, String>,
}

/// A processor at one version and configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// The processor.
    pub processor: String,
    /// Its generation.
    pub generation: String,
    /// Version of its code.
    pub version: String,
    /// Hash of its settings.
    pub config_hash: String,
}

/// One split.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// `train`, `validation` or `test`.
    pub name: String,
    /// Its rows.
    pub rows: u64,
    /// BLAKE3 of its rows as canonical JSON lines, hex; where the format's bytes are not fixed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_blake3: Option<String>,
}

/// `evidence` is `used` and all of `withheld`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Runs that were asked for and could be in rows.
    pub evidence: u64,
    /// Runs that were not asked for.
    #[serde(default)]
    pub filtered: u64,
    /// Runs that are in rows.
    #[serde(default)]
    pub used: u64,
    /// Rows.
    pub rows: u64,
    /// Runs left out, by reason.
    pub withheld: BTreeMap<String, u64>,
    /// Rows left out that are no runs (chunks, pairs), by reason.
    #[serde(default)]
    pub dropped: BTreeMap<String, u64>,
    /// What was redacted in rows, by kind.
    #[serde(default)]
    pub redacted: BTreeMap<String, u64>,
}

/// One file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Path within the dataset, parts separated by `/`.
    pub path: String,
    /// Bytes.
    pub bytes: u64,
    /// Rows.
    pub rows: u64,
    /// SHA-256, hex.
    pub sha256: String,
}

/// Up to where the journal was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// SHA-256 over positions, generations and settings, hex; the dataset is named after it.
    pub id: String,
    /// Topic, partition, end offset.
    pub positions: Vec<(String, u32, u64)>,
}

impl Manifest {
    /// As written: two spaces, members in the order of this type, a line end.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("a manifest has text keys and finite numbers");
        bytes.push(b'\n');
        bytes
    }

    /// Reads one, refusing what is none and what is of a newer layout.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self, DatasetError> {
        #[derive(Deserialize)]
        struct Head {
            format: String,
            format_version: u32,
        }
        let refuse = |why: String| DatasetError::NoDataset { path: path.to_path_buf(), why };
        let head: Head = serde_json::from_slice(bytes).map_err(|e| refuse(format!("not a dataset's manifest: {e}")))?;
        if head.format != FORMAT {
            return Err(refuse(format!("not a dataset's manifest: its format is `{}`", head.format.escape_debug())));
        }
        if head.format_version > VERSION {
            let newer = head.format_version;
            return Err(refuse(format!("written by a newer release: layout {newer}, this one reads up to {VERSION}")));
        }
        let manifest: Self =
            serde_json::from_slice(bytes).map_err(|e| refuse(format!("not a dataset's manifest: {e}")))?;
        for file in &manifest.files {
            let inside =
                !file.path.is_empty() && Path::new(&file.path).components().all(|c| matches!(c, Component::Normal(_)));
            if !inside {
                return Err(refuse(format!("its manifest names a file outside of it: `{}`", file.path.escape_debug())));
            }
        }
        Ok(manifest)
    }
}
