//! Schema registries, seen from the codec.

use std::collections::HashMap;
use std::sync::Mutex;

/// Why a registry did not answer with what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// There is no schema with that id.
    #[error("no schema with id {0}")]
    UnknownId(u32),
    /// It could not be reached, refused, or answered nonsense. A later try may succeed.
    #[error("{0}")]
    Unavailable(String),
}

/// Gives schemas ids that all readers and writers share. The codec asks once per schema and remembers the answers, so
/// a call may be slow; ids never change their meaning.
pub trait Registry: Send + Sync {
    /// The id of `schema` under `subject`, registering it if it is new there.
    fn id_of(&self, subject: &str, schema: &str) -> Result<u32, RegistryError>;

    /// The schema with this id.
    fn schema_of(&self, id: u32) -> Result<String, RegistryError>;
}

/// A registry in memory, for tests. Ids count from 1.
#[derive(Debug, Default)]
pub struct MemoryRegistry {
    schemas: Mutex<Vec<(String, String)>>,
    asked: Mutex<HashMap<u32, u32>>,
}

impl MemoryRegistry {
    /// With nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Subject and schema of each id, from 1 on.
    pub fn entries(&self) -> Vec<(String, String)> {
        self.schemas.lock().map(|s| s.clone()).unwrap_or_default()
    }

    /// How often the schema of `id` was asked for.
    pub fn asked(&self, id: u32) -> u32 {
        self.asked.lock().map(|a| a.get(&id).copied().unwrap_or(0)).unwrap_or_default()
    }
}

impl Registry for MemoryRegistry {
    fn id_of(&self, subject: &str, schema: &str) -> Result<u32, RegistryError> {
        let mut schemas = self.schemas.lock().map_err(|e| RegistryError::Unavailable(e.to_string()))?;
        let known = schemas.iter().position(|(s, j)| s == subject && j == schema);
        let index = known.unwrap_or_else(|| {
            schemas.push((subject.to_owned(), schema.to_owned()));
            schemas.len() - 1
        });
        u32::try_from(index + 1).map_err(|e| RegistryError::Unavailable(e.to_string()))
    }

    fn schema_of(&self, id: u32) -> Result<String, RegistryError> {
        if let Ok(mut asked) = self.asked.lock() {
            *asked.entry(id).or_default() += 1;
        }
        let schemas = self.schemas.lock().map_err(|e| RegistryError::Unavailable(e.to_string()))?;
        let index = (id as usize).checked_sub(1).ok_or(RegistryError::UnknownId(id))?;
        schemas.get(index).map(|(_, schema)| schema.clone()).ok_or(RegistryError::UnknownId(id))
    }
}
