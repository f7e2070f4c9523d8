//! HTTP/1.1, just enough for a well-behaved client: keep-alive, bodies with a length, one request after another.
//!
//! Anything else is refused by an error that closes the connection. All sizes are bounded.

use std::io::{self, ErrorKind};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The most bytes of a request's head.
const HEAD_MAX: usize = 64 * 1024;
/// The most bytes of a request's body.
const BODY_MAX: usize = 64 * 1024 * 1024;
/// Bytes that are read at once.
const READ: usize = 16 * 1024;

/// A connection and what was read from it but not used yet.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// A request's head, and where its body is in the connection's buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) method: String,
    pub(crate) path: String,
    /// `Idempotency-Key` or `X-Client-Request-Id`.
    pub(crate) key: String,
    pub(crate) closes: bool,
    pub(crate) length: usize,
    pub(crate) size: usize,
    expects: bool,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: Vec::with_capacity(READ) }
    }

    /// Waits for the next whole request; `None` when the client is done.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Head>> {
        let head = loop {
            if let Some(head) = Head::parse(&self.buffer)? {
                break head;
            }
            if self.buffer.len() > HEAD_MAX {
                return Err(invalid("the head is too long"));
            }
            if self.read().await? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(ErrorKind::UnexpectedEof.into()) };
            }
        };
        if head.expects {
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        self.buffer.reserve((head.size + head.length).saturating_sub(self.buffer.len()));
        while self.buffer.len() < head.size + head.length {
            if self.read().await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(Some(head))
    }

    /// The body of the request that was read last.
    pub(crate) fn body(&self, head: &Head) -> &[u8] {
        &self.buffer[head.size..head.size + head.length]
    }

    /// Forgets the request that was read last.
    pub(crate) fn done(&mut self, head: &Head) {
        self.buffer.drain(..head.size + head.length);
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Waits until the client goes away; what it sends meanwhile is thrown away.
    pub(crate) async fn until_closed(&mut self) {
        let mut waste = [0; 256];
        while self.stream.read(&mut waste).await.is_ok_and(|read| read > 0) {}
    }

    async fn read(&mut self) -> io::Result<usize> {
        if self.buffer.capacity() - self.buffer.len() < READ / 4 {
            self.buffer.reserve(READ);
        }
        self.stream.read_buf(&mut self.buffer).await
    }
}

impl Head {
    /// Reads a head if the buffer holds a whole one.
    fn parse(buffer: &[u8]) -> io::Result<Option<Self>> {
        let Some(end) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return Ok(None) };
        let text = std::str::from_utf8(&buffer[..end]).map_err(|_| invalid("the head is no text"))?;
        let mut lines = text.split("\r\n");
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (Some(method), Some(path)) = (words.next(), words.next()) else {
            return Err(invalid("the first line is no request"));
        };
        let mut head = Self {
            method: method.to_owned(),
            path: path.to_owned(),
            key: String::new(),
            closes: false,
            length: 0,
            size: end + 4,
            expects: false,
        };
        for line in lines {
            head.field(line)?;
        }
        Ok(Some(head))
    }

    fn field(&mut self, line: &str) -> io::Result<()> {
        let Some((name, value)) = line.split_once(':') else { return Err(invalid("a header has no colon")) };
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            let length = value.parse().ok().filter(|length| *length <= BODY_MAX);
            self.length = length.ok_or_else(|| invalid("the body's length is no number or too large"))?;
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(invalid("a body needs a length; chunked requests are not understood"));
        } else if name.eq_ignore_ascii_case("connection") {
            self.closes = value.eq_ignore_ascii_case("close");
        } else if name.eq_ignore_ascii_case("expect") {
            self.expects = value.eq_ignore_ascii_case("100-continue");
        } else if name.eq_ignore_ascii_case("idempotency-key") || name.eq_ignore_ascii_case("x-client-request-id") {
            value.clone_into(&mut self.key);
        }
        Ok(())
    }
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_when_it_is_whole() {
        let bytes =
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nIdempotency-Key: r:1\r\n\r\n{}";
        assert_eq!(Head::parse(&bytes[..40]).expect("no error"), None);
        let head = Head::parse(bytes).expect("no error").expect("whole");
        assert_eq!((head.method.as_str(), head.path.as_str()), ("POST", "/v1/chat/completions"));
        assert_eq!((head.key.as_str(), head.length, head.size), ("r:1", 3, bytes.len() - 2));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in
            ["\r\n\r\n", "GET / HTTP/1.1\r\nnonsense\r\n\r\n", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"]
        {
            assert!(Head::parse(text.as_bytes()).is_err(), "{text:?}");
        }
        let long = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n", BODY_MAX + 1);
        assert!(Head::parse(long.as_bytes()).is_err());
    }
}
