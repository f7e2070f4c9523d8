//! The release binary: its size, and its cold start.

use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::context::Context;
use crate::figure::{Figure, Wanted, percentile};

const STARTS: usize = 30;
const START_MS: f64 = 50.0;
const SIZE_MB: f64 = 60.0;

/// Measures once.
pub fn run(context: &Context) -> Result<Vec<Figure>> {
    let size = std::fs::metadata(&context.binary)?.len() as f64 / 1e6;
    let data = context.folder("binary")?;
    let mut millis = Vec::with_capacity(STARTS);
    for _ in 0..context.times(STARTS) {
        let mut command = context.convoke(&data);
        let start = Instant::now();
        let status = command.arg("--version").stdout(Stdio::null()).status().context("cannot start the binary")?;
        millis.push(start.elapsed().as_secs_f64() * 1e3);
        if !status.success() {
            bail!("`convoke --version` failed: {status}");
        }
    }
    Ok(vec![
        Figure::new("size", "MB", size).wanted(Wanted::AtMost(SIZE_MB)),
        Figure::new("cold start, p50", "ms", percentile(&mut millis, 0.5)).wanted(Wanted::AtMost(START_MS)),
        Figure::new("cold start, slowest", "ms", percentile(&mut millis, 1.0)),
    ])
}
