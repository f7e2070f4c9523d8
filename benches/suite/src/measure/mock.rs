//! The mock itself: requests in a second, and its processor time for each.
//!
//! It runs as a process of its own, as it does beside Convoke; the client here shares the machine with it.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use convoke_bench_mock::tally::Record;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::context::{Context, Process};
use crate::figure::{Figure, Wanted};
use crate::machine;

const CONNECTIONS: usize = 64;
const REQUESTS: usize = 60_000;
/// What the mock of the peers' comparison needed at most; see benches/RESULTS.md.
const CPU_US: f64 = 20.0;
/// A request of the size that a specialist's is.
const PROMPT: usize = 1500;

/// Starts the mock's program and returns it with its base URL.
pub fn start(context: &Context, options: &[&str]) -> Result<(Process, String)> {
    let mut command = Command::new(&context.mock);
    let child = command.args(options).stdout(Stdio::piped()).spawn().context("cannot start the mock")?;
    let mut process = Process(child);
    let out = process.0.stdout.take().context("the mock's output is piped")?;
    let mut url = String::new();
    BufReader::new(out).read_line(&mut url)?;
    Ok((process, url.trim().to_owned()))
}

/// Every request that the mock at this base URL has had, in order of arrival.
pub fn records(url: &str) -> Result<Vec<Record>> {
    let mut stream = std::net::TcpStream::connect(address(url))?;
    stream.write_all(b"GET /__records HTTP/1.1\r\nhost: mock\r\nconnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").context("the mock answered without a head")?;
    Ok(serde_json::from_slice(&answer[end + 4..])?)
}

fn address(url: &str) -> &str {
    url.trim_start_matches("http://").trim_end_matches("/v1")
}

/// Measures once.
pub fn run(context: &Context) -> Result<Vec<Figure>> {
    let (process, url) = start(context, &[])?;
    let address = address(&url).to_owned();
    let each = context.times(REQUESTS) / CONNECTIONS;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let cpu_before = machine::cpu(process.0.id()).context("the mock ended")?;
    let start = Instant::now();
    runtime.block_on(async {
        let mut clients = JoinSet::new();
        for _ in 0..CONNECTIONS {
            clients.spawn(client(address.clone(), each));
        }
        while let Some(client) = clients.join_next().await {
            client??;
        }
        anyhow::Ok(())
    })?;
    let seconds = start.elapsed().as_secs_f64();
    let cpu = machine::cpu(process.0.id()).context("the mock ended")?.saturating_sub(cpu_before);
    let requests = (each * CONNECTIONS) as f64;
    Ok(vec![
        Figure::new("rate", "requests/s", requests / seconds),
        Figure::new("CPU a request", "µs", cpu.as_secs_f64() * 1e6 / requests).wanted(Wanted::AtMost(CPU_US)),
    ])
}

async fn client(address: String, requests: usize) -> Result<()> {
    let mut stream = TcpStream::connect(&address).await?;
    stream.set_nodelay(true)?;
    let body = format!(
        r#"{{"model":"mock","messages":[{{"role":"system","content":"You look at logs."}},{{"role":"user","content":"{}"}}]}}"#,
        "x".repeat(PROMPT)
    );
    let request =
        format!("POST /v1/chat/completions HTTP/1.1\r\nhost: mock\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let mut answer = Vec::with_capacity(4096);
    for _ in 0..requests {
        stream.write_all(request.as_bytes()).await?;
        answer.clear();
        while !is_whole(&answer) {
            if stream.read_buf(&mut answer).await? == 0 {
                bail!("the mock closed the connection");
            }
        }
    }
    Ok(())
}

/// True once the head and as many bytes as it promises are there.
fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&answer[..end]);
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    length.is_some_and(|length| answer.len() >= end + 4 + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_with_its_last_byte() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        assert!(is_whole(answer) && !is_whole(&answer[..answer.len() - 1]) && !is_whole(b""));
    }
}
