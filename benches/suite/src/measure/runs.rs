//! Whole runs of six model calls, durable, against the mock at a fixed latency.
//!
//! Every run is started, driven and recorded as in production; a run counts when its last commit is durable and its end
//! was seen in the event feed.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use convoke_bench_mock::tally::Record;
use convoke_store::{Options, PgOptions, Store};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use crate::context::Context;
use crate::figure::{Figure, Wanted, percentile};
use crate::hub::{Hub, SPECIALISTS};
use crate::machine;
use crate::measure::mock;

const LATENCY: Duration = Duration::from_millis(50);
/// Calls of a run: plan, the specialists, synthesis.
const CALLS: usize = SPECIALISTS.len() + 2;
/// Commits on the critical path: the run; then for each call the intent, and the outcome with all that follows from it.
const CRITICAL_COMMITS: f64 = 7.0;
const SINGLE_RUNS: usize = 60;
/// Time without an end after which the measurement gives up.
const STUCK: Duration = Duration::from_secs(60);
/// Events that a feed may be behind: more than all runs at once emit while the bench looks away.
const FEED: usize = 1 << 18;
/// Levels of the curve.
const AT_ONCE: [usize; 4] = [1, 16, 64, 256];

/// The database that runs are durable on.
#[derive(Debug, Clone, Copy)]
pub enum Base<'a> {
    /// SQLite in a folder of its own.
    Sqlite,
    /// PostgreSQL at this URL, in a schema of its own.
    Postgres(&'a str),
}

impl Base<'_> {
    async fn open(self, folder: &Path) -> Result<Store> {
        let options = Options { feed: FEED, ..Options::default() };
        match self {
            Self::Sqlite => Ok(Store::open_sqlite(folder, options).await?),
            Self::Postgres(url) => {
                let schema = format!("bench_{}_{:016x}", std::process::id(), fastrand::u64(..));
                let pg = PgOptions { schema: Some(schema), create_schema: true, ..PgOptions::default() };
                Ok(Store::open_postgres(url, pg, options).await?)
            }
        }
    }

    /// Leaves nothing behind on a server.
    async fn clear(self, store: &Store) -> Result<()> {
        match self {
            Self::Sqlite => Ok(()),
            Self::Postgres(_) => Ok(store.migrate_to(0).await?),
        }
    }
}

/// One run at a time, at latency 0 and 50 ms: what Convoke adds.
pub fn overhead(context: &Context) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for latency in [Duration::ZERO, LATENCY] {
        let fsync_ms = crate::measure::fsync::rested(context, latency, 0.5)? / 1e3;
        let count = context.times(SINGLE_RUNS);
        let done = measure((context, Base::Sqlite), latency, 1, count)?;
        let mut served = done.served.clone();
        let mut overs: Vec<f64> = done.walls.iter().zip(&served).map(|(wall, served)| wall - served).collect();
        let over = percentile(&mut overs, 0.5);
        let name = |what: &str| format!("{what} at {} ms", latency.as_millis());
        let rested = format!("fdatasync after {} ms of rest in the same round, p50", latency.as_millis());
        figures.push(Figure::new(rested, "ms", fsync_ms));
        figures.push(Figure::new(name("critical path as served, p50"), "ms", percentile(&mut served, 0.5)));
        figures.push(Figure::new(name("overhead of a run, p50"), "ms", over));
        let rest = over - CRITICAL_COMMITS * fsync_ms;
        figures.push(Figure::new(name("of that, without 7 commits"), "ms", rest).wanted(Wanted::AtMost(2.0)));
        figures.push(Figure::new(name("CPU a run"), "ms", done.cpu / count as f64));
    }
    Ok(figures)
}

/// Many runs at once at 50 ms on SQLite.
pub fn throughput(context: &Context) -> Result<Vec<Figure>> {
    let mut figures = curve(context, Base::Sqlite)?;
    for figure in &mut figures {
        figure.wanted = match (figure.name.as_str(), figure.unit) {
            ("256 at once", "runs/s") => Some(Wanted::AtLeast(400.0)),
            (name, _) if name.ends_with("CPU a run") => Some(Wanted::AtMost(3.0)),
            _ => None,
        };
    }
    Ok(figures)
}

/// Many runs at once at 50 ms.
pub fn curve(context: &Context, base: Base<'_>) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    // Other measurements in this process may have held more.
    machine::forget_highest_memory()?;
    for at_once in AT_ONCE {
        let count = context.times(at_once * 12).max(at_once * 2).max(20);
        let mut done = measure((context, base), LATENCY, at_once, count)?;
        let name = |what: &str| format!("{at_once} at once{what}");
        figures.push(Figure::new(name(""), "runs/s", count as f64 / (done.total / 1e3)));
        figures.push(Figure::new(name(", p50"), "ms", percentile(&mut done.walls, 0.5)));
        figures.push(Figure::new(name(", p99"), "ms", percentile(&mut done.walls, 0.99)));
        figures.push(Figure::new(name(", CPU a run"), "ms", done.cpu / count as f64));
    }
    let (_, highest) = machine::memory(std::process::id()).context("this process runs")?;
    figures.push(Figure::new("memory, highest", "MB", highest as f64 / 1e6));
    Ok(figures)
}

/// What some runs took, in milliseconds: each, all together, and processor time of this process.
struct Done {
    walls: Vec<f64>,
    total: f64,
    cpu: f64,
    /// Of each run, what the mock took for the calls on its critical path; only where one run goes at a time.
    served: Vec<f64>,
}

/// Runs the job `count` times, `at_once` at a time.
fn measure((context, base): (&Context, Base<'_>), latency: Duration, at_once: usize, count: usize) -> Result<Done> {
    let millis = latency.as_millis().to_string();
    let (_mock, url) = mock::start(context, &["--latency-ms", &millis, "--plan-assignees", &SPECIALISTS.join(",")])?;
    let folder = context.folder("runs")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut done = runtime.block_on(async {
        let hub = Hub::over(base.open(&folder).await?, &folder, &url).await?;
        drive(&hub, at_once, at_once.max(4)).await?;
        let cpu_before = machine::cpu(std::process::id()).context("this process runs")?;
        let start = Instant::now();
        let walls = drive(&hub, at_once, count).await?;
        let total = start.elapsed().as_secs_f64() * 1e3;
        let cpu = machine::cpu(std::process::id()).context("this process runs")?.saturating_sub(cpu_before);
        let store = hub.stop().await;
        base.clear(&store).await?;
        store.close().await?;
        anyhow::Ok(Done { walls, total, cpu: cpu.as_secs_f64() * 1e3, served: Vec::new() })
    })?;
    if at_once == 1 {
        done.served = critical_paths(&mock::records(&url)?, count)?;
    }
    Ok(done)
}

/// What the mock took for the calls of each of the last runs, one after another: the plan, the slowest of the specialists,
/// who are asked together, and the synthesis. In milliseconds.
fn critical_paths(records: &[Record], runs: usize) -> Result<Vec<f64>> {
    let from = records.len().checked_sub(runs * CALLS).context("the mock has fewer records than there were calls")?;
    let path = |calls: &[Record]| {
        let run = |call: &Record| call.key.split(':').next().unwrap_or_default().to_owned();
        let [plan, work @ .., synthesis] = calls else { bail!("a run without calls") };
        if calls.iter().any(|call| run(call) != run(plan) || !call.written) {
            bail!("the calls of a run did not come one after another, or one was tried again");
        }
        let slowest = work.iter().map(|call| call.served_us).max().unwrap_or(0);
        Ok((plan.served_us + slowest + synthesis.served_us) as f64 / 1e3)
    };
    records[from..].chunks(CALLS).map(path).collect()
}

/// Keeps `at_once` runs going until `count` have ended. Who starts one does not keep the others waiting: a start is answered
/// after its commit, and one after another they would be no more than one for each.
async fn drive(hub: &Hub, at_once: usize, count: usize) -> Result<Vec<f64>> {
    let mut feed = hub.engine.store().subscribe();
    let mut starting = FuturesUnordered::new();
    let (mut begun, mut ended) = (HashMap::new(), HashMap::new());
    let mut walls = Vec::with_capacity(count);
    let mut started = 0;
    while walls.len() < count {
        while started < count && started - walls.len() < at_once {
            let at = Instant::now();
            starting.push(async move { hub.engine.start_run(hub.job.clone()).await.map(|run| (run.to_string(), at)) });
            started += 1;
        }
        let run = tokio::select! {
            Some(start) = starting.next() => {
                let (run, at) = start?;
                begun.insert(run.clone(), at);
                run
            }
            event = tokio::time::timeout(STUCK, feed.next()) => {
                let event = event.context("no run ended")?.context("the store was closed")?;
                let event = event.context("the bench was slower than the feed")?;
                match event.kind.as_str() {
                    "run.completed" => ended.entry(event.entity_id.clone()).or_insert_with(Instant::now),
                    "run.failed" | "run.paused" | "run.escalated" | "run.waiting" => {
                        bail!("a run ended as {}: {}", event.kind, event.payload)
                    }
                    _ => continue,
                };
                event.entity_id.clone()
            }
        };
        // A run may be seen to end before its start is seen to be answered.
        if let (Some(start), Some(end)) = (begun.get(&run), ended.get(&run)) {
            walls.push(end.duration_since(*start).as_secs_f64() * 1e3);
            begun.remove(&run);
        }
    }
    Ok(walls)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(run: &str, served_us: u64) -> Record {
        let record = serde_json::json!({
            "number": 1, "id": "", "model": "", "key": format!("{run}:task:1:m1"), "digest": 0, "written": true,
            "fault": null, "served_us": served_us, "prompt_tokens": 0, "completion_tokens": 0,
        });
        serde_json::from_value(record).expect("a record")
    }

    #[test]
    fn a_critical_path_takes_the_slowest_of_those_asked_together() {
        let warm = [call("run_0", 9)];
        let first = [50_000, 51_000, 53_000, 50_000, 52_000, 51_500].map(|served| call("run_1", served));
        let second = [1_000; 6].map(|served| call("run_2", served));
        let records: Vec<_> = warm.into_iter().chain(first).chain(second).collect();
        assert_eq!(critical_paths(&records, 2).expect("two runs"), [154.5, 3.0]);
        assert!(critical_paths(&records[..12], 2).is_err(), "calls of three runs");
        assert!(critical_paths(&records, 3).is_err(), "too few");
    }
}
