//! Looks at request heads on their way to hyper, for one thing only: a message whose length is said twice.
//!
//! hyper follows the RFC in preferring `Transfer-Encoding` and drops the other header before anybody can see it. That is
//! safe here and unsafe behind a proxy that prefers `Content-Length` (request smuggling), so such a head is refused.
//! After a chunked body the boundaries of messages are not followed any more, and the rest of the connection goes
//! unwatched, with hyper's preference.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// More than hyper's largest head; what is longer is refused there.
const MAX_HEAD: usize = 64 << 10;

/// What was seen on a connection.
#[derive(Debug, Default)]
pub(super) struct Heads(AtomicBool);

impl Heads {
    /// Whether a head said its length twice.
    pub(super) fn ambiguous(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

pub(super) struct Sniffer {
    heads: Arc<Heads>,
    state: State,
}

enum State {
    Head(Vec<u8>),
    Body(u64),
    Off,
}

impl Sniffer {
    pub(super) fn new(heads: Arc<Heads>) -> Self {
        Self { heads, state: State::Head(Vec::new()) }
    }

    pub(super) fn see(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match &mut self.state {
                State::Off => return,
                State::Body(left) => {
                    let n = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    *left -= n as u64;
                    bytes = &bytes[n..];
                    if *left == 0 {
                        self.state = State::Head(Vec::new());
                    }
                }
                State::Head(head) => {
                    let before = head.len();
                    head.extend_from_slice(bytes);
                    let from = before.saturating_sub(3);
                    let Some(end) = end_of_head(&head[from..]).map(|n| from + n) else {
                        if head.len() > MAX_HEAD {
                            self.state = State::Off;
                        }
                        return;
                    };
                    bytes = &bytes[end - before..];
                    self.state = match length(&head[..end]) {
                        Length::Twice => {
                            self.heads.0.store(true, Ordering::Release);
                            State::Off
                        }
                        Length::Chunked => State::Off,
                        Length::Bytes(0) => State::Head(Vec::new()),
                        Length::Bytes(n) => State::Body(n),
                    };
                }
            }
        }
    }
}

/// Where the head ends: after an empty line.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let feeds = bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(n, _)| n);
    for at in feeds {
        match &bytes[at + 1..] {
            [b'\n', ..] => return Some(at + 2),
            [b'\r', b'\n', ..] => return Some(at + 3),
            _ => (),
        }
    }
    None
}

#[derive(Debug, PartialEq, Eq)]
enum Length {
    Bytes(u64),
    Chunked,
    Twice,
}

fn length(head: &[u8]) -> Length {
    let (mut lengths, mut encodings, mut bytes) = (0, 0, 0);
    for line in head.split(|b| *b == b'\n').skip(1) {
        let Some(colon) = line.iter().position(|b| *b == b':') else { continue };
        let (name, value) = (line[..colon].trim_ascii(), line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            lengths += 1;
            bytes = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok()).unwrap_or(0);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            encodings += 1;
        }
    }
    match (lengths, encodings) {
        (0 | 1, 0) => Length::Bytes(bytes),
        (0, 1) => Length::Chunked,
        _ => Length::Twice,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ambiguous(bytes: &[u8], step: usize) -> bool {
        let heads = Arc::new(Heads::default());
        let mut sniffer = Sniffer::new(heads.clone());
        bytes.chunks(step).for_each(|chunk| sniffer.see(chunk));
        heads.ambiguous()
    }

    #[test]
    fn a_length_said_twice_is_seen_in_any_cut_of_the_stream() {
        let plain = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60\r\n\r\n\
                     GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: c\r\n\r\nab";
        let fine = [
            plain.to_owned(),
            "GET / HTTP/1.1\r\n\r\n".repeat(3),
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n".to_owned(),
        ];
        let twice = [
            "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length: 1\r\n\r\n".to_owned(),
            "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n".to_owned(),
            "POST / HTTP/1.1\nTransfer-Encoding : x\nTransfer-Encoding: chunked\n\n".to_owned(),
            format!(
                "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nab{}",
                "GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
            ),
        ];
        for step in 1..40 {
            for bytes in &fine {
                assert!(!ambiguous(bytes.as_bytes(), step), "{bytes} by {step}");
            }
            for bytes in &twice {
                assert!(ambiguous(bytes.as_bytes(), step), "{bytes} by {step}");
            }
        }
    }
}
