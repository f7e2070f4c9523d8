//! Idle memory: a Convoke that has a run, an open store and a connection, and nothing to do but wait.
//!
//! The mock takes the request and never answers, so the process is up and idle without a sleep of its own.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use convoke_bench_mock::Mock;
use convoke_bench_mock::fault::{Fault, Kind, When};
use convoke_bench_mock::options::Options;

use crate::context::{Context, Process};
use crate::figure::{Figure, Wanted};
use crate::machine;

const MEMORY_MB: f64 = 40.0;
/// Time until the first model call must have arrived.
const ARRIVES: Duration = Duration::from_secs(20);
/// Time over which it must do nothing.
const RESTS: Duration = Duration::from_secs(1);

/// Measures once.
pub fn run(context: &Context) -> Result<Vec<Figure>> {
    let hang = Fault { kind: Kind::Hang, when: When::Always };
    let mock = Mock::start(Options { faults: vec![hang], ..Options::default() })?;
    let data = context.folder("idle")?;
    let mut command = context.convoke(&data);
    command.env("OPENAI_BASE_URL", mock.base_url()).env("OPENAI_API_KEY", "bench");
    command.args(["run", "code-review", "wait", "--model", "openai/mock"]).current_dir(&data);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut process = Process(command.spawn().context("cannot start the binary")?);
    let pid = process.0.id();
    let start = Instant::now();
    while mock.stats().requests == 0 {
        if let Some(status) = process.0.try_wait()? {
            bail!("`convoke run` ended before it called the model: {status}");
        }
        if start.elapsed() > ARRIVES {
            bail!("`convoke run` called no model within {ARRIVES:?}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let cpu_before = machine::cpu(pid).context("the process ended")?;
    std::thread::sleep(RESTS);
    let cpu = machine::cpu(pid).context("the process ended")?.saturating_sub(cpu_before);
    let (now, highest) = machine::memory(pid).context("the process ended")?;
    Ok(vec![
        Figure::new("resident", "MB", now as f64 / 1e6).wanted(Wanted::AtMost(MEMORY_MB)),
        Figure::new("resident, highest", "MB", highest as f64 / 1e6),
        Figure::new("CPU in a second of waiting", "ms", cpu.as_secs_f64() * 1e3),
    ])
}
