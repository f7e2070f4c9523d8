//! Flows: what a step costs in short and long ones, and what coordination adds to the models' time.
//!
//! Runs are started, driven and recorded as in production, on SQLite, with models in this process: at once where the cost of
//! steps is measured, after 50 ms where that of coordination is: what they took is counted as served.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use convoke_domain::flow::Flow;
use convoke_domain::plan;
use convoke_store::{Options, Store};
use serde_json::{Value, json};

use crate::answer::{Answers, engine, flow};
use crate::context::Context;
use crate::figure::{Figure, Wanted, percentile};
use crate::lifecycle::AGENTS;
use crate::measure::fsync;

/// Stages of the short and the long sequence.
const STAGES: [usize; 2] = [100, 1_000];
/// Items of the narrow and the wide split.
const WIDTHS: [usize; 2] = [1_000, 10_000];
const LATENCY: Duration = Duration::from_millis(50);
/// Tasks one after another at that latency.
const SLOW_STAGES: usize = 40;
/// Items for each member at that latency.
const ITEMS: usize = 5;
/// Commits on the way of a step: its intent and its outcome; the claim of the next is in the latter.
const STEP_COMMITS: f64 = 2.0;
/// Time without an end after which the measurement gives up.
const STUCK: Duration = Duration::from_secs(300);
/// Events that the feed may be behind.
const FEED: usize = 1 << 18;
const ROUNDS: usize = 3;

/// Measures once.
pub fn run(context: &Context) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let mut costs = Vec::new();
    for stages in STAGES {
        let stages = context.times(stages);
        let took = wall(context, Duration::ZERO, stages_of(stages))?.0;
        costs.push(took / stages as f64);
        figures.push(Figure::new(format!("a stage of a sequence of {stages}"), "ms", took / stages as f64));
    }
    figures.push(
        Figure::new("the long one's to the short one's", "times", costs[1] / costs[0]).wanted(Wanted::AtMost(1.25)),
    );
    costs.clear();
    for width in WIDTHS {
        let width = context.times(width);
        let took = wall(context, Duration::ZERO, split(width, None))?.0;
        costs.push(took / width as f64);
        figures.push(Figure::new(format!("an item of a split of {width}, joined"), "ms", took / width as f64));
    }
    figures.push(
        Figure::new("the wide one's to the narrow one's", "times", costs[1] / costs[0]).wanted(Wanted::AtMost(1.25)),
    );
    figures.extend(planning(context)?);
    figures.extend(coordination(context)?);
    figures.extend(parallel(context)?);
    Ok(figures)
}

/// What `convoke plan` takes for a stage: the flow is settled as when a run starts, and the machine plays it to its end many times.
fn planning(context: &Context) -> Result<Vec<Figure>> {
    let mut costs = Vec::new();
    let mut figures = Vec::new();
    for stages in STAGES {
        let stages = context.times(stages);
        let folder = context.folder("flow")?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let start = runtime.block_on(async {
            let store = Store::open_sqlite(&folder, Options::default()).await?;
            let engine = engine(store, &folder, &Answers::default());
            let flow = Flow { steps: serde_json::from_value(stages_of(stages))?, ..Flow::default() };
            let start = self::flow(&engine, &flow).await?;
            engine.store().close().await?;
            anyhow::Ok(start)
        })?;
        let at = Instant::now();
        let mut spec = start.spec;
        spec.settle_flow().map_err(anyhow::Error::msg)?;
        let forecast = plan::forecast(&Arc::new(spec), &start.task, &BTreeMap::new());
        ensure!(forecast.completed == forecast.rehearsals, "a rehearsal did not end: {forecast:?}");
        let steps = stages as f64 * forecast.rehearsals as f64;
        costs.push(at.elapsed().as_secs_f64() * 1e6 / steps);
        figures.push(Figure::new(
            format!("a stage of {stages} in a rehearsal of `convoke plan`"),
            "µs",
            costs[costs.len() - 1],
        ));
    }
    figures.push(
        Figure::new("the long one's to the short one's, rehearsed", "times", costs[1] / costs[0])
            .wanted(Wanted::AtMost(1.25)),
    );
    Ok(figures)
}

/// What stages one after another take beyond their models.
fn coordination(context: &Context) -> Result<Vec<Figure>> {
    let fsync_ms = fsync::rested(context, LATENCY, 0.5)? / 1e3;
    let stages = context.times(SLOW_STAGES).max(10);
    let mut shares = Vec::new();
    for _ in 0..ROUNDS {
        let (wall, models) = wall(context, LATENCY, stages_of(stages))?;
        shares.push(100.0 * (wall - models) / models);
    }
    let share = percentile(&mut shares, 0.5);
    let commits = 100.0 * STEP_COMMITS * fsync_ms / ms(LATENCY);
    Ok(vec![
        Figure::new("fdatasync after 50 ms of rest in the same round, p50", "ms", fsync_ms),
        Figure::new("coordination at 50 ms, of the models' time", "%", share).wanted(Wanted::AtMost(10.0)),
        Figure::new("the same without two fdatasync a stage", "%", share - commits).wanted(Wanted::AtMost(2.0)),
    ])
}

/// What a team at work at the same time gains on one after another.
fn parallel(context: &Context) -> Result<Vec<Figure>> {
    let items = AGENTS.len() * context.times(ITEMS).max(2);
    let (mut walls, mut used) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (together, busy) = wall(context, LATENCY, split(items, Some(AGENTS.len())))?;
        walls.push(together);
        used.push(100.0 * busy / (together * AGENTS.len() as f64));
    }
    let (alone, _) = wall(context, LATENCY, split(items, Some(1)))?;
    let faster = 100.0 * (1.0 - percentile(&mut walls, 0.5) / alone);
    let used = percentile(&mut used, 0.5);
    Ok(vec![
        Figure::new("utilization, 8 at a time", "%", used).wanted(Wanted::AtLeast(90.0)),
        Figure::new("8 at a time against one after another, less time", "%", faster).wanted(Wanted::AtLeast(50.0)),
    ])
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// So many tasks one after another.
fn stages_of(stages: usize) -> Value {
    (0..stages).map(|n| task(&format!("s{n}"), AGENTS[n % AGENTS.len()])).collect()
}

fn task(id: &str, agent: &str) -> Value {
    json!({"id": id, "task": {"agent": agent, "instructions": "Say what you see."}})
}

/// A split over so many items among all members, and a join that reads all of their results.
fn split(items: usize, width: Option<usize>) -> Value {
    let who = format!("{{{{ members[index % {}] }}}}", AGENTS.len());
    let mut split = json!({"over": format!("range({items}) | list"), "do": [task("x", &who)], "limit": items});
    if let Some(width) = width {
        split["width"] = width.into();
    }
    json!([{"id": "all", "split": split}, {"id": "n", "value": "results.all | values | length"}])
}

/// What a run of these steps takes from its start to its end, and its model calls one added to the other, in milliseconds.
fn wall(context: &Context, latency: Duration, steps: Value) -> Result<(f64, f64)> {
    let flow = Flow { steps: serde_json::from_value(steps)?, ..Flow::default() };
    let folder = context.folder("flow")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let options = Options { feed: FEED, ..Options::default() };
        let answers = Answers::after(latency);
        let engine = engine(Store::open_sqlite(&folder, options).await?, &folder, &answers);
        let start = self::flow(&engine, &flow).await?;
        let worker = engine.work().await?;
        let mut feed = engine.store().subscribe();
        let at = Instant::now();
        let run = engine.start_run(start).await?;
        loop {
            let event = tokio::time::timeout(STUCK, feed.next()).await.context("the run did not end")?;
            let event = event.context("the store was closed")?.context("the bench was slower than the feed")?;
            match event.kind.as_str() {
                "run.completed" => break,
                "run.failed" | "run.paused" | "run.escalated" | "run.waiting" => {
                    bail!("run {run} ended as {}: {}", event.kind, event.payload)
                }
                _ => {}
            }
        }
        let took = ms(at.elapsed());
        worker.stop().await;
        engine.store().close().await?;
        Ok((took, ms(answers.served())))
    })
}
