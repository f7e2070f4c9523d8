//! Whole runs of six model calls, durable on SQLite, against the mock at a fixed latency.
//!
//! Every run is started, driven and recorded as in production; a run counts when its last commit is durable and its end
//! was seen in the event feed.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::context::Context;
use crate::figure::{Figure, Wanted, percentile};
use crate::hub::{Hub, SPECIALISTS};
use crate::machine;
use crate::measure::mock;

const LATENCY: Duration = Duration::from_millis(50);
/// Calls one after the other: plan, one of the specialists, synthesis.
const CRITICAL_CALLS: u32 = 3;
/// Commits on the critical path: the run; then for each call the intent, and the outcome with all that follows from it.
const CRITICAL_COMMITS: f64 = 7.0;
const SINGLE_RUNS: usize = 60;
/// Time without an end after which the measurement gives up.
const STUCK: Duration = Duration::from_secs(60);

/// One run at a time, at latency 0 and 50 ms: what Convoke adds.
pub fn overhead(context: &Context) -> Result<Vec<Figure>> {
    let fsync_ms = crate::measure::fsync::probe(context)? / 1e3;
    let mut figures = vec![Figure::new("fdatasync in the same round, p50", "ms", fsync_ms)];
    for latency in [Duration::ZERO, LATENCY] {
        let count = context.times(SINGLE_RUNS);
        let (mut walls, cpu) = measure(context, latency, 1, count)?;
        let wall = percentile(&mut walls, 0.5);
        let over = wall - latency.as_secs_f64() * 1e3 * f64::from(CRITICAL_CALLS);
        let name = |what: &str| format!("{what} at {} ms", latency.as_millis());
        figures.push(Figure::new(name("overhead of a run, p50"), "ms", over));
        let rest = over - CRITICAL_COMMITS * fsync_ms;
        figures.push(Figure::new(name("of that, without 7 commits"), "ms", rest).wanted(Wanted::AtMost(2.0)));
        figures.push(Figure::new(name("CPU a run"), "ms", cpu / count as f64));
    }
    Ok(figures)
}

/// Many runs at once at 50 ms.
pub fn throughput(context: &Context) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for at_once in [1, 16, 64, 256] {
        let count = context.times(at_once * 12).max(at_once * 2).max(20);
        let start = Instant::now();
        let (mut walls, cpu) = measure(context, LATENCY, at_once, count)?;
        let _ = start;
        let total = walls.pop().context("the wall time of all")?;
        let rate = Figure::new(format!("{at_once} at once"), "runs/s", count as f64 / (total / 1e3));
        figures.push(if at_once == 256 { rate.wanted(Wanted::AtLeast(400.0)) } else { rate });
        figures.push(Figure::new(format!("{at_once} at once, p50"), "ms", percentile(&mut walls, 0.5)));
        figures.push(Figure::new(format!("{at_once} at once, p99"), "ms", percentile(&mut walls, 0.99)));
        figures.push(
            Figure::new(format!("{at_once} at once, CPU a run"), "ms", cpu / count as f64).wanted(Wanted::AtMost(3.0)),
        );
    }
    let (_, highest) = machine::memory(std::process::id()).context("this process runs")?;
    figures.push(Figure::new("memory, highest", "MB", highest as f64 / 1e6));
    Ok(figures)
}

/// Runs the job `count` times, `at_once` at a time. Gives the milliseconds of each run (and, for more than one at once,
/// of all together as the last), and the CPU milliseconds of this process.
fn measure(context: &Context, latency: Duration, at_once: usize, count: usize) -> Result<(Vec<f64>, f64)> {
    let millis = latency.as_millis().to_string();
    let (_mock, url) = mock::start(context, &["--latency-ms", &millis, "--plan-assignees", &SPECIALISTS.join(",")])?;
    let folder = context.folder("runs")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let hub = Hub::sqlite(&folder, &url).await?;
        drive(&hub, at_once, at_once.max(4)).await?;
        let cpu_before = machine::cpu(std::process::id()).context("this process runs")?;
        let start = Instant::now();
        let mut walls = drive(&hub, at_once, count).await?;
        let total = start.elapsed().as_secs_f64() * 1e3;
        let cpu = machine::cpu(std::process::id()).context("this process runs")?.saturating_sub(cpu_before);
        if at_once > 1 || latency == LATENCY {
            walls.push(total);
        }
        hub.close().await?;
        Ok((walls, cpu.as_secs_f64() * 1e3))
    })
}

/// Keeps `at_once` runs going until `count` have ended.
async fn drive(hub: &Hub, at_once: usize, count: usize) -> Result<Vec<f64>> {
    let mut feed = hub.engine.store().subscribe();
    let mut begun: std::collections::HashMap<String, Instant> = Default::default();
    let mut ended: HashSet<String> = HashSet::new();
    let mut walls = Vec::with_capacity(count);
    let mut started = 0;
    while walls.len() < count {
        while started < count && started - walls.len() < at_once {
            let at = Instant::now();
            let run = hub.engine.start_run(hub.job.clone()).await?;
            begun.insert(run.to_string(), at);
            started += 1;
        }
        let event = tokio::time::timeout(STUCK, feed.next()).await.context("no run ended")?;
        let event = event.context("the store was closed")?.context("the bench was slower than the feed")?;
        match event.kind.as_str() {
            "run.completed" if ended.insert(event.entity_id.clone()) => {
                let at = begun.get(&event.entity_id).copied();
                walls.extend(at.map(|at| at.elapsed().as_secs_f64() * 1e3));
            }
            "run.failed" | "run.paused" | "run.escalated" | "run.waiting" => {
                bail!("a run ended as {}: {}", event.kind, event.payload)
            }
            _ => {}
        }
    }
    Ok(walls)
}
