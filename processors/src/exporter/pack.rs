//! Values as bytes, for the way through a sorter. Not a format: nobody else reads it, and it does not outlive an export.

/// Bytes that were put together here and came back otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what was sorted came back damaged: the disk, or who wrote to the temporary directory")]
pub struct Damaged;

/// Puts values together.
#[derive(Debug, Default)]
pub(super) struct Pack(Vec<u8>);

impl Pack {
    pub(super) fn byte(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    pub(super) fn number(&mut self, value: u64) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub(super) fn signed(&mut self, value: i64) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub(super) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.number(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    pub(super) fn text(&mut self, value: &str) -> &mut Self {
        self.bytes(value.as_bytes())
    }

    pub(super) fn optional(&mut self, value: Option<&str>) -> &mut Self {
        match value {
            None => self.byte(0),
            Some(text) => self.byte(1).text(text),
        }
    }

    pub(super) fn done(self) -> Vec<u8> {
        self.0
    }
}

/// Takes them apart again, in the same order.
#[derive(Debug)]
pub(super) struct Unpack<'a>(&'a [u8]);

impl<'a> Unpack<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], Damaged> {
        let (taken, rest) = self.0.split_at_checked(n).ok_or(Damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    fn eight(&mut self) -> Result<[u8; 8], Damaged> {
        self.take(8)?.try_into().map_err(|_| Damaged)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Damaged> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn number(&mut self) -> Result<u64, Damaged> {
        Ok(u64::from_le_bytes(self.eight()?))
    }

    pub(super) fn signed(&mut self) -> Result<i64, Damaged> {
        Ok(i64::from_le_bytes(self.eight()?))
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Damaged> {
        let len = usize::try_from(self.number()?).map_err(|_| Damaged)?;
        self.take(len)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, Damaged> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Damaged)
    }

    pub(super) fn optional(&mut self) -> Result<Option<&'a str>, Damaged> {
        match self.byte()? {
            0 => Ok(None),
            _ => self.text().map(Some),
        }
    }
}
