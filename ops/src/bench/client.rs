//! A client that costs little: both sides of a measurement share the cores.

use crate::failure::{Failure, Outcome, Status};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection that is kept. Understands answers with a length, and nothing more.
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> Outcome<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(64 << 10) })
    }

    /// Sends a request; an answer that is no success is an error.
    pub async fn post(&mut self, path: &str, content_type: &str, body: &[u8]) -> Outcome {
        self.send(&request(path, content_type, body)).await.map(drop)
    }

    /// The same with bytes that were made before. The length of the answer's body.
    pub async fn send(&mut self, request: &[u8]) -> Outcome<usize> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let mut whole = None;
        loop {
            if whole.is_none()
                && let Some(end) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n")
            {
                let head = String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase();
                let length: usize = head
                    .lines()
                    .find_map(|l| l.strip_prefix("content-length:"))
                    .and_then(|v| v.trim().parse().ok())
                    .ok_or_else(|| Failure::new(Status::Failed, "an answer without a length"))?;
                whole = Some((end + 4, length, head.starts_with("http/1.1 2")));
            }
            if let Some((head, length, fine)) = whole
                && self.buffer.len() >= head + length
            {
                if !fine {
                    return Err(Failure::new(Status::Failed, String::from_utf8_lossy(&self.buffer).into_owned()));
                }
                return Ok(length);
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(Failure::new(Status::Failed, "the server closed the connection"));
            }
        }
    }
}

/// The bytes of a request.
pub fn request(path: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n"
    );
    let mut request = head.into_bytes();
    request.extend_from_slice(body);
    request
}
