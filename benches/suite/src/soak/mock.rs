//! The mock under random faults: if it lied, every crash test that asks it would mean nothing.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Result, ensure};
use convoke_bench_mock::Mock;
use convoke_bench_mock::fault::{Fault, Kind, When};
use convoke_bench_mock::options::Options;
use fastrand::Rng;

use crate::context::Context;

const REQUESTS: usize = 60;
const CLIENTS: usize = 4;

/// One round.
pub fn run(_: &Context, seed: u64) -> Result<()> {
    let mut chances = Rng::with_seed(seed);
    let kinds = [Kind::RateLimit, Kind::ServerError, Kind::Cut, Kind::Malformed, Kind::Delay(3)];
    let fault = |kind| Fault { kind, when: When::Every(chances.u64(2..12)) };
    let faults: Vec<Fault> = kinds.map(fault).to_vec();
    let mock = Mock::start(Options { faults, latency_ms: 1, ..Options::default() })?;
    let address = mock.base_url().trim_start_matches("http://").trim_end_matches("/v1").to_owned();
    let seeds: Vec<u64> = (0..CLIENTS).map(|_| chances.u64(..)).collect();
    let whole: u64 = std::thread::scope(|scope| {
        let clients: Vec<_> = seeds.iter().map(|seed| scope.spawn(|| client(&address, *seed))).collect();
        clients.into_iter().map(|client| client.join().expect("a client does not panic")).sum::<Result<u64>>()
    })?;

    let (stats, records) = (mock.stats(), mock.records());
    let written = records.iter().filter(|record| record.written).count() as u64;
    ensure!(stats.requests == (CLIENTS * REQUESTS) as u64, "{} requests arrived", stats.requests);
    ensure!(stats.requests == records.len() as u64, "{} requests, {} records", stats.requests, records.len());
    ensure!(stats.completed == written, "{} completed, {written} written", stats.completed);
    ensure!(stats.completed == whole, "{} completed, {whole} seen whole", stats.completed);
    let tokens: u64 = records.iter().filter(|record| record.written).map(|record| record.prompt_tokens).sum();
    ensure!(stats.prompt_tokens == tokens, "{} tokens counted, {tokens} recorded", stats.prompt_tokens);
    Ok(())
}

/// Sends requests on connections of their own and counts the good answers that came whole.
fn client(address: &str, seed: u64) -> Result<u64> {
    let mut chances = Rng::with_seed(seed);
    let mut whole = 0;
    for _ in 0..REQUESTS {
        let streamed = chances.bool();
        let body = format!(r#"{{"model":"m","stream":{streamed},"messages":[]}}"#);
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let length = body.len();
        write!(
            stream,
            "POST /v1/chat/completions HTTP/1.1\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer);
        let end = if streamed { "data: [DONE]\n\n\r\n0\r\n\r\n" } else { "}}}" };
        whole += u64::from(answer.starts_with("HTTP/1.1 200") && answer.ends_with(end));
    }
    Ok(whole)
}
