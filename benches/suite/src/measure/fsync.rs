//! The disk's floor: how long it takes until 4 KiB at the end of a file are safe.

use std::fs::File;
use std::io::Write;
use std::time::Instant;

use anyhow::Result;

use crate::context::Context;
use crate::figure::{Figure, percentile};

const BLOCK: usize = 4096;
const WRITES: usize = 1000;

/// Microseconds that half of the writes take at most.
pub fn probe(context: &Context) -> Result<f64> {
    at(context, 0.5)
}

/// Microseconds that this share of the writes stays below.
pub fn at(context: &Context, share: f64) -> Result<f64> {
    Ok(percentile(&mut write(context)?.0, share))
}

/// Microseconds that 99 of 100 writes take at most.
pub fn probe_p99(context: &Context) -> Result<f64> {
    Ok(percentile(&mut write(context)?.0, 0.99))
}

/// Measures once.
pub fn run(context: &Context) -> Result<Vec<Figure>> {
    let (mut micros, per_second) = write(context)?;
    Ok(vec![
        Figure::new("p50", "µs", percentile(&mut micros, 0.5)),
        Figure::new("p99", "µs", percentile(&mut micros, 0.99)),
        Figure::new("rate", "writes/s", per_second),
    ])
}

/// Writes and gives the microseconds of each write, and how many a second.
fn write(context: &Context) -> Result<(Vec<f64>, f64)> {
    let mut file = File::create(context.folder("fsync")?.join("log"))?;
    let block = [7_u8; BLOCK];
    let mut micros = Vec::with_capacity(WRITES);
    let start = Instant::now();
    for _ in 0..context.times(WRITES) {
        let write = Instant::now();
        file.write_all(&block)?;
        file.sync_data()?;
        micros.push(write.elapsed().as_secs_f64() * 1e6);
    }
    let per_second = micros.len() as f64 / start.elapsed().as_secs_f64();
    Ok((micros, per_second))
}
