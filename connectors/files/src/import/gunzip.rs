//! Gzip as files really hold it: several members one after another, with the offset of whatever is wrong.

use flate2::bufread::GzDecoder;
use std::io::{self, BufRead, Read};

/// Output that is taken whatever its ratio to the input.
const FREE: u64 = 256 << 20;
/// Beyond that, output at most this many times the input: text of real runs shrinks 5 to 50 times, a bomb 1,000 times.
const RATIO: u64 = 300;

/// Decompresses; errors name the byte of the compressed input.
pub(super) struct Gunzip<R> {
    state: State<R>,
    /// Input of the members before the current one.
    before: u64,
    out: u64,
    free: u64,
}

enum State<R> {
    Member(Box<GzDecoder<Counted<R>>>),
    Failed(String),
    Done,
}

struct Counted<R> {
    inner: R,
    used: u64,
}

impl<R: BufRead> Gunzip<R> {
    pub(super) fn new(inner: R) -> Self {
        Self {
            state: State::Member(Box::new(GzDecoder::new(Counted { inner, used: 0 }))),
            before: 0,
            out: 0,
            free: FREE,
        }
    }

    fn fail(&mut self, message: String) -> io::Error {
        self.state = State::Failed(message.clone());
        io::Error::new(io::ErrorKind::InvalidData, message)
    }

    /// After a member: the next one, the end, or garbage.
    fn turn(&mut self) -> io::Result<()> {
        let State::Member(member) = std::mem::replace(&mut self.state, State::Done) else { return Ok(()) };
        let Counted { mut inner, used } = member.into_inner();
        self.before += used;
        match inner.fill_buf()?.first() {
            None => Ok(()),
            Some(0x1f) => {
                self.state = State::Member(Box::new(GzDecoder::new(Counted { inner, used: 0 })));
                Ok(())
            }
            Some(_) => Err(self.fail(format!(
                "something that is not gzip follows the gzip data, at byte {} of the compressed file",
                self.before
            ))),
        }
    }
}

impl<R: BufRead> Read for Gunzip<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            let (read, used) = match &mut self.state {
                State::Done => return Ok(0),
                State::Failed(message) => return Err(io::Error::new(io::ErrorKind::InvalidData, message.clone())),
                State::Member(member) => (member.read(buf), member.get_ref().used),
            };
            let at = self.before + used;
            match read {
                Ok(0) => self.turn()?,
                Ok(read) => {
                    self.out += read as u64;
                    if self.out > self.free && self.out / RATIO > at {
                        return Err(self.fail(format!(
                            "{at} bytes of gzip have become {}, more than {RATIO} times as many: this looks like a decompression bomb; unpack it yourself if it is not",
                            self.out
                        )));
                    }
                    return Ok(read);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                    return Err(self.fail(format!("the gzip data is cut at byte {at} of the compressed file")));
                }
                Err(e)
                    if matches!(
                        e.kind(),
                        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::Other
                    ) =>
                {
                    return Err(
                        self.fail(format!("the gzip data is damaged before byte {at} of the compressed file: {e}"))
                    );
                }
                Err(e) => return Err(e),
            }
        }
    }
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buf)?;
        self.used += read as u64;
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.used += amount as u64;
        self.inner.consume(amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_bomb_is_stopped_and_stays_stopped() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        for _ in 0..8 {
            encoder.write_all(&[b' '; 1 << 20]).unwrap();
        }
        let packed = encoder.finish().unwrap();
        let mut all = Gunzip::new(&packed[..]);
        assert_eq!(io::copy(&mut all, &mut io::sink()).unwrap(), 8 << 20, "small ones are harmless");
        let mut capped = Gunzip { free: 1 << 20, ..Gunzip::new(&packed[..]) };
        for _ in 0..2 {
            let error = io::copy(&mut capped, &mut io::sink()).unwrap_err();
            assert!(error.to_string().contains("decompression bomb"), "{error}");
        }
    }
}
