//! Ids in sixteen bytes, for folds over millions of them.

use sha2::{Digest, Sha256};
use std::cmp::Ordering;
use std::fmt;

/// What an id is looked up by: the bytes of a UUID in its canonical spelling, else the first half of the SHA-256 of
/// its text.
pub type Short = [u8; 16];

/// The short form of any id.
pub fn short(id: impl AsRef<[u8]>) -> Short {
    let id = id.as_ref();
    uuid(id).unwrap_or_else(|| {
        let digest = Sha256::digest(id);
        std::array::from_fn(|i| digest[i])
    })
}

/// An id that can be given back as text. Ordered as its text is.
#[derive(Clone, PartialEq, Eq)]
pub enum Id {
    /// A UUID in its canonical spelling (lower case, hyphens).
    Uuid(Short),
    /// Anything else.
    Text(Box<str>),
}

impl serde::Serialize for Id {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Id {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|id| Self::from(id.as_str()))
    }
}

impl From<&str> for Id {
    fn from(id: &str) -> Self {
        uuid(id.as_bytes()).map_or_else(|| Self::Text(id.into()), Self::Uuid)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uuid(bytes) => {
                for (i, byte) in bytes.iter().enumerate() {
                    if matches!(i, 4 | 6 | 8 | 10) {
                        f.write_str("-")?;
                    }
                    write!(f, "{byte:02x}")?;
                }
                Ok(())
            }
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Ord for Id {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Uuid(a), Self::Uuid(b)) => a.cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            _ => self.to_string().cmp(&other.to_string()),
        }
    }
}

impl PartialOrd for Id {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn uuid(text: &[u8]) -> Option<Short> {
    if text.len() != 36 {
        return None;
    }
    let mut bytes = [0; 16];
    let mut at = 0;
    for (i, byte) in bytes.iter_mut().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            if text[at] != b'-' {
                return None;
            }
            at += 1;
        }
        *byte = nibble(text[at])? << 4 | nibble(text[at + 1])?;
        at += 2;
    }
    Some(bytes)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_back_as_they_were() {
        for id in [
            "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
            "6BA7B810-9DAD-11D1-80B4-00C04FD430C8",
            "6ba7b8109dad11d180b400c04fd430c8",
            "6ba7b810-9dad-11d1-80b4-00c04fd430cé",
            "6ba7b810-9dad-11d1-80b4-00c04fd430c",
            "run:7",
            "",
        ] {
            assert_eq!(Id::from(id).to_string(), id);
        }
        assert!(matches!(Id::from("6ba7b810-9dad-11d1-80b4-00c04fd430c8"), Id::Uuid(_)));
        assert_ne!(short("6BA7B810-9DAD-11D1-80B4-00C04FD430C8"), short("6ba7b810-9dad-11d1-80b4-00c04fd430c8"));
    }

    #[test]
    fn order_is_the_texts() {
        let ids =
            ["00000000-0000-0000-0000-00000000000a", "0000000", "a", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "7", "6c"];
        for a in ids {
            for b in ids {
                assert_eq!(Id::from(a).cmp(&Id::from(b)), a.cmp(b), "{a} {b}");
            }
        }
    }
}
