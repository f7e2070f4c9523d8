//! The disk's floor: how long it takes until 4 KiB at the end of a file are safe.
//!
//! After a rest it takes longer than at once after the last, because the machine has gone to sleep meanwhile; so a floor is
//! measured with rests as long as those of what stands on it.

use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::context::Context;
use crate::figure::{Figure, percentile};

const BLOCK: usize = 4096;
const WRITES: usize = 1000;
/// What the rests may take all together.
const RESTS: Duration = Duration::from_secs(10);

/// Microseconds that half of the writes take at most.
pub fn probe(context: &Context) -> Result<f64> {
    at(context, 0.5)
}

/// Microseconds that this share of the writes stays below.
pub fn at(context: &Context, share: f64) -> Result<f64> {
    rested(context, Duration::ZERO, share)
}

/// Microseconds that this share of the writes stays below, each after a rest.
pub fn rested(context: &Context, rest: Duration, share: f64) -> Result<f64> {
    Ok(percentile(&mut write(context, rest)?.0, share))
}

/// Measures once.
pub fn run(context: &Context) -> Result<Vec<Figure>> {
    let (mut micros, per_second) = write(context, Duration::ZERO)?;
    Ok(vec![
        Figure::new("p50", "µs", percentile(&mut micros, 0.5)),
        Figure::new("p99", "µs", percentile(&mut micros, 0.99)),
        Figure::new("rate", "writes/s", per_second),
    ])
}

/// Writes and gives the microseconds of each write, and how many a second.
fn write(context: &Context, rest: Duration) -> Result<(Vec<f64>, f64)> {
    let mut file = File::create(context.folder("fsync")?.join("log"))?;
    let block = [7_u8; BLOCK];
    let mut micros = Vec::with_capacity(WRITES);
    let most = RESTS.as_micros().checked_div(rest.as_micros()).map_or(WRITES, |most| most as usize);
    let start = Instant::now();
    for _ in 0..context.times(WRITES.min(most)) {
        std::thread::sleep(rest);
        let write = Instant::now();
        file.write_all(&block)?;
        file.sync_data()?;
        micros.push(write.elapsed().as_secs_f64() * 1e6);
    }
    let per_second = micros.len() as f64 / start.elapsed().as_secs_f64();
    Ok((micros, per_second))
}
