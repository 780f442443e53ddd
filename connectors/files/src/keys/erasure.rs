//! What an erasure asks the store beside destroying a key.

use super::{FileKeys, NAME};
use stillhouse_schemas::KeysError;

impl FileKeys {
    /// Pseudonym of the key of `subject`, if it has one. Makes none.
    pub fn key_of(&self, subject: &str) -> Result<Option<String>, KeysError> {
        let name = self.name(subject)?;
        Ok(self.load(&name)?.map(|key| key.key_id))
    }

    /// Whether a pseudonym is, or was before its destruction, of a key of `subject`.
    pub fn belongs(&self, key_id: &str, subject: &str) -> Result<bool, KeysError> {
        Ok(key_id.get(..NAME) == Some(self.name(subject)?.as_str()))
    }

    /// Whether the key with this pseudonym is there.
    pub fn has(&self, key_id: &str) -> Result<bool, KeysError> {
        let Some(name) = key_id.get(..NAME).filter(|name| name.bytes().all(|b| b.is_ascii_hexdigit())) else {
            return Ok(false);
        };
        Ok(self.load(name)?.is_some_and(|key| key.key_id == key_id))
    }

    /// Destroys the key with this pseudonym; whether there was one.
    pub fn destroy_key(&self, key_id: &str) -> Result<bool, KeysError> {
        if !self.has(key_id)? {
            return Ok(false);
        }
        self.remove(&key_id[..NAME], key_id).map(|()| true)
    }
}
