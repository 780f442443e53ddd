//! Sealing of payloads with the key of their subject, so that destroying the key erases what was said of them.
//!
//! XChaCha20-Poly1305. The nonce is a keyed hash of event id, type and plaintext: the same event seals to the same
//! bytes (a rebuild gives equal topics), and two plaintexts never share a nonce but by a collision of 192 bits. The
//! associated data are event id and type, so a sealed payload cannot be moved to another event. The subject itself is
//! sealed with the payload, because an identifier of a person that stays in the clear would outlive the erasure.
//!
//! Deliberately absent: hiding that two events have the same subject (they share the key's pseudonym), and their sizes.

use crate::error::CodecError;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use rand::RngCore as _;
use std::collections::HashMap;
use std::fmt;
use std::sync::Mutex;

/// The key of one subject.
#[derive(Clone, PartialEq, Eq)]
pub struct SubjectKey {
    /// Pseudonym: random, says nothing about the subject. At most 128 bytes of `[A-Za-z0-9._:-]`.
    pub key_id: String,
    /// 256 random bits.
    pub secret: [u8; 32],
}

impl SubjectKey {
    /// A new key with a new pseudonym.
    pub fn random() -> Self {
        let mut bytes = [0; 48];
        rand::rng().fill_bytes(&mut bytes);
        let (secret, id) = bytes.split_at(32);
        Self { key_id: crate::compiled::hex(id), secret: secret.try_into().expect("32 of 48 bytes") }
    }
}

impl fmt::Debug for SubjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubjectKey").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// Why a key store did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// It could not be read or written. A later try may succeed.
    #[error("{0}")]
    Failed(String),
    /// The key should be there, and is not: the store is not the one that sealed. Says what to do about it.
    #[error("{0}")]
    Lost(String),
}

/// Keeps the keys of subjects, outside of the journal and of its backups.
pub trait Keys: Send + Sync {
    /// The key to seal with; made, and durable before this returns, if the subject has none. A subject that was erased
    /// gets a new one.
    fn seal_key(&self, subject: &str) -> Result<SubjectKey, KeysError>;

    /// The key with this pseudonym; `None` if it was destroyed. [`KeysError::Lost`] if it is gone without that.
    fn open_key(&self, key_id: &str) -> Result<Option<SubjectKey>, KeysError>;
}

/// Keys in memory, for tests.
#[derive(Debug, Default)]
pub struct MemoryKeys {
    by_subject: Mutex<HashMap<String, SubjectKey>>,
}

impl MemoryKeys {
    /// With no keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// Destroys the key of `subject`; gives its pseudonym, if there was one.
    pub fn erase(&self, subject: &str) -> Option<String> {
        self.by_subject.lock().ok()?.remove(subject).map(|k| k.key_id)
    }

    /// Gives `subject` this key.
    pub fn insert(&self, subject: &str, key: SubjectKey) {
        if let Ok(mut keys) = self.by_subject.lock() {
            keys.insert(subject.to_owned(), key);
        }
    }
}

impl Keys for MemoryKeys {
    fn seal_key(&self, subject: &str) -> Result<SubjectKey, KeysError> {
        let mut keys = self.by_subject.lock().map_err(|e| KeysError::Failed(e.to_string()))?;
        Ok(keys.entry(subject.to_owned()).or_insert_with(SubjectKey::random).clone())
    }

    fn open_key(&self, key_id: &str) -> Result<Option<SubjectKey>, KeysError> {
        let keys = self.by_subject.lock().map_err(|e| KeysError::Failed(e.to_string()))?;
        Ok(keys.values().find(|k| k.key_id == key_id).cloned())
    }
}

// Contexts of key derivation. Persisted: other words would open nothing.
const CIPHER_CONTEXT: &str = "stillhouse 2026 payload sealing: cipher key";
const NONCE_CONTEXT: &str = "stillhouse 2026 payload sealing: nonce key";

/// Nonce and ciphertext of `plaintext`.
pub(crate) fn seal(key: &SubjectKey, id: &str, kind: &str, plaintext: &[u8]) -> Option<([u8; 24], Vec<u8>)> {
    let aad = associated(id, kind);
    let mut hasher = blake3::Hasher::new_keyed(&blake3::derive_key(NONCE_CONTEXT, &key.secret));
    hasher.update(&aad).update(plaintext);
    let mut nonce = [0; 24];
    hasher.finalize_xof().fill(&mut nonce);
    let ciphertext = cipher(key).encrypt(XNonce::from_slice(&nonce), Payload { msg: plaintext, aad: &aad }).ok()?;
    Some((nonce, ciphertext))
}

/// The plaintext.
pub(crate) fn open(
    key: &SubjectKey,
    id: &str,
    kind: &str,
    nonce: &[u8],
    ciphertext: &[u8],
) -> Result<Vec<u8>, CodecError> {
    let altered = || CodecError::Unsealable { key_id: key.key_id.clone(), event_id: id.to_owned() };
    if nonce.len() != 24 {
        return Err(altered());
    }
    cipher(key)
        .decrypt(XNonce::from_slice(nonce), Payload { msg: ciphertext, aad: &associated(id, kind) })
        .map_err(|_| altered())
}

fn cipher(key: &SubjectKey) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&blake3::derive_key(CIPHER_CONTEXT, &key.secret).into())
}

/// Each with its length before it, so that no two pairs are the same bytes.
fn associated(id: &str, kind: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(16 + id.len() + kind.len());
    for part in [id, kind] {
        out.extend_from_slice(&(part.len() as u64).to_le_bytes());
        out.extend_from_slice(part.as_bytes());
    }
    out
}
