//! A blocking HTTP client for tests: one connection, one request after another.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A connection to the mock.
pub struct Client(BufReader<TcpStream>);

/// What came back.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub retry_after: Option<String>,
    /// `None` if the connection broke before the body was whole.
    pub body: Option<String>,
}

impl Client {
    pub fn to(base_url: &str) -> Self {
        let address = base_url.trim_start_matches("http://").trim_end_matches("/v1");
        let stream = TcpStream::connect(address).expect("the mock listens");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout can be set");
        Self(BufReader::new(stream))
    }

    pub fn chat(&mut self, body: &str) -> Response {
        self.send("POST /v1/chat/completions", body);
        self.receive()
    }

    pub fn get(&mut self, path: &str) -> Response {
        self.send(&format!("GET {path}"), "");
        self.receive()
    }

    pub fn post(&mut self, path: &str, body: &str) -> Response {
        self.send(&format!("POST {path}"), body);
        self.receive()
    }

    pub fn send(&mut self, start: &str, body: &str) {
        let length = body.len();
        let request =
            format!("{start} HTTP/1.1\r\nhost: mock\r\nidempotency-key: k1\r\ncontent-length: {length}\r\n\r\n{body}");
        self.0.get_mut().write_all(request.as_bytes()).expect("the mock reads");
    }

    fn receive(&mut self) -> Response {
        let mut response = Response { status: 0, retry_after: None, body: None };
        let (mut length, mut chunked) = (0, false);
        let start = self.line().expect("an answer begins");
        response.status = start.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        while let Some(line) = self.line().filter(|line| !line.is_empty()) {
            match line.split_once(": ") {
                Some(("content-length", value)) => length = value.parse().expect("a length"),
                Some(("transfer-encoding", _)) => chunked = true,
                Some(("retry-after", value)) => response.retry_after = Some(value.to_owned()),
                _ => {}
            }
        }
        response.body = if chunked { self.chunks() } else { self.exact(length) };
        response
    }

    fn chunks(&mut self) -> Option<String> {
        let mut body = String::new();
        loop {
            let size = usize::from_str_radix(&self.line()?, 16).ok()?;
            body.push_str(&self.exact(size)?);
            self.line()?;
            if size == 0 {
                return Some(body);
            }
        }
    }

    fn exact(&mut self, length: usize) -> Option<String> {
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes).ok()?;
        String::from_utf8(bytes).ok()
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.0.read_line(&mut line).ok()?;
        (read > 0 && line.ends_with('\n')).then(|| line.trim_end().to_owned())
    }
}
