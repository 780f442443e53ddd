//! Whether a broker answers.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(1);

/// An ApiVersions request, version 0: length, key 18, version, correlation 7, no client id.
const API_VERSIONS: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff];

/// Whether anything accepts connections.
pub(crate) fn listens(port: u16) -> bool {
    connect(port).is_ok()
}

/// Whether a Kafka broker says which requests it knows.
pub(crate) fn answers(port: u16) -> bool {
    let ask = || -> std::io::Result<[u8; 10]> {
        let mut stream = connect(port)?;
        stream.set_read_timeout(Some(WAIT))?;
        stream.set_write_timeout(Some(WAIT))?;
        stream.write_all(&API_VERSIONS)?;
        let mut head = [0; 10];
        stream.read_exact(&mut head)?;
        Ok(head)
    };
    // Behind the length: our correlation, and no error.
    ask().is_ok_and(|head| head[4..] == [0, 0, 0, 7, 0, 0])
}

fn connect(port: u16) -> std::io::Result<TcpStream> {
    TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), WAIT)
}
