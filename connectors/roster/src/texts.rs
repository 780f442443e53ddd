//! Packed texts: the id, name, phone and e-mail of each worker in one record, records in chunks that never move.

use std::str;

/// Bytes of a chunk; a record lies within one.
const CHUNK: usize = 1 << SHIFT;
const SHIFT: u32 = 20;

/// How many texts a record has.
pub(crate) const FIELDS: usize = 4;

/// Records of texts, each named by where it stands.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    chunks: Vec<Vec<u8>>,
}

impl Texts {
    /// Adds a record and returns its place; nothing when it is too long or there is no place left (4 GiB).
    pub(crate) fn push(&mut self, fields: [&str; FIELDS]) -> Option<u32> {
        let size = fields.iter().map(|text| text.len() + 2).sum::<usize>();
        if size > CHUNK || fields.iter().any(|text| text.len() >= 1 << 14) {
            return None;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() + size > CHUNK) {
            if self.chunks.len() == 1 << (32 - SHIFT) {
                return None;
            }
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let number = self.chunks.len() - 1;
        let chunk = self.chunks.last_mut()?;
        let place = (number << SHIFT) | chunk.len();
        for text in fields {
            // Seven bits, then seven more.
            match u8::try_from(text.len()) {
                Ok(short) if short < 0x80 => chunk.push(short),
                _ => chunk.extend([0x80 | (text.len() & 0x7f) as u8, (text.len() >> 7) as u8]),
            }
        }
        fields.iter().for_each(|text| chunk.extend_from_slice(text.as_bytes()));
        u32::try_from(place).ok()
    }

    /// The texts of a record.
    pub(crate) fn read(&self, place: u32) -> [&str; FIELDS] {
        self.raw(place).map(|bytes| str::from_utf8(bytes).unwrap_or_default())
    }

    /// The bytes of a record's texts.
    pub(crate) fn raw(&self, place: u32) -> [&[u8]; FIELDS] {
        let chunk = self.chunks.get((place >> SHIFT) as usize).map_or(&[][..], Vec::as_slice);
        let mut rest = chunk.get(place as usize & (CHUNK - 1)..).unwrap_or_default();
        let mut lengths = [0; FIELDS];
        for length in &mut lengths {
            (*length, rest) = match rest {
                [short, rest @ ..] if *short < 0x80 => (usize::from(*short), rest),
                [low, high, rest @ ..] => (usize::from(low & 0x7f) | usize::from(*high) << 7, rest),
                _ => (0, rest),
            };
        }
        lengths.map(|length| {
            let (bytes, after) = rest.split_at_checked(length).unwrap_or_default();
            rest = after;
            bytes
        })
    }

    /// Lets go of what the last chunk does not need.
    pub(crate) fn shrink(&mut self) {
        if let Some(last) = self.chunks.last_mut() {
            last.shrink_to_fit();
        }
        self.chunks.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pushed_is_read() {
        let mut texts = Texts::default();
        let long = "ä".repeat(5_000);
        let records: Vec<[String; FIELDS]> = (0..9_000)
            .map(|i| [format!("W-{i}"), "n".repeat(i % 300), String::new(), long[..2 * (i % 200)].to_owned()])
            .collect();
        let places: Vec<u32> =
            records.iter().map(|[a, b, c, d]| texts.push([a, b, c, d]).expect("there is place")).collect();
        texts.shrink();
        for (record, place) in records.iter().zip(places) {
            assert_eq!(texts.read(place), [&record[0], &record[1], &record[2], &record[3]].map(String::as_str));
        }
        assert!(texts.chunks.len() > 1);
        assert_eq!(texts.push(["", "", "", &"x".repeat(1 << 14)]), None);
        assert_eq!(texts.read(u32::MAX), [""; FIELDS]);
    }
}
