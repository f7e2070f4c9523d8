//! When a process is killed: so long after its start, or so long after a request of its has come to the mock.
//!
//! The first kind falls anywhere, start-up and migration included; the second falls among the calls, where most is at
//! stake.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::Result;
use convoke_bench_mock::Mock;
use fastrand::Rng;

use crate::context::Process;

/// The longest time from a request to the kill, in microseconds: an answer, its commit, and what follows.
const AFTER_REQUEST_US: u64 = 25_000;
/// The pause between two looks at the mock.
const LOOK: Duration = Duration::from_micros(200);

/// What chances there are.
#[derive(Debug, Clone, Copy)]
pub struct Chances {
    /// How long a run takes that is not disturbed.
    pub took: Duration,
    /// How many requests it makes.
    pub requests: u64,
}

/// The moment of a kill.
#[derive(Debug, Clone, Copy)]
pub enum Stop {
    /// So long after the start.
    Later(Duration),
    /// When so many requests have come since the start, and then so long.
    Request(u64, Duration),
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was killed.
    Killed,
    /// It came to its end before.
    ByItself,
}

impl Chances {
    /// Draws a moment before the end: of the calls that the run needs, some were asked for already.
    pub fn draw(&self, rng: &mut Rng, mock: &Mock) -> Stop {
        if rng.u8(0..5) == 0 {
            return Stop::Later(self.took.mul_f64(rng.f64()));
        }
        let asked: BTreeSet<String> = mock.records().into_iter().map(|record| record.key).collect();
        let left = self.requests.saturating_sub(asked.len() as u64).max(1);
        Stop::Request(rng.u64(1..=left), Duration::from_micros(rng.u64(0..AFTER_REQUEST_US)))
    }
}

impl Stop {
    /// Kills the process at this moment, unless it has ended.
    pub fn kill(self, process: &mut Process, mock: &Mock) -> Result<Ended> {
        let start = Instant::now();
        let before = mock.stats().requests;
        let mut due = None;
        loop {
            if process.0.try_wait()?.is_some() {
                return Ok(Ended::ByItself);
            }
            match self {
                Self::Later(after) => due = Some(start + after),
                Self::Request(count, after) if due.is_none() && mock.stats().requests >= before + count => {
                    due = Some(Instant::now() + after);
                }
                Self::Request(..) => {}
            }
            if due.is_some_and(|due| Instant::now() >= due) {
                process.0.kill()?;
                process.0.wait()?;
                return Ok(Ended::Killed);
            }
            std::thread::sleep(LOOK);
        }
    }
}
