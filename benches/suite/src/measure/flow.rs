//! Flows: what a step costs in short and long ones, and what coordination adds to the models' time.
//!
//! Runs are started, driven and recorded as in production, on SQLite, with models in this process: at once where the cost of
//! steps is measured, after 50 ms where that of coordination is.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use convoke_domain::flow::Flow;
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
        let steps: Vec<Value> = (0..stages).map(|n| task(&format!("s{n}"), AGENTS[n % AGENTS.len()])).collect();
        let took = wall(context, Duration::ZERO, json!(steps))?;
        costs.push(took / stages as f64);
        figures.push(Figure::new(format!("a stage of a sequence of {stages}"), "ms", took / stages as f64));
    }
    figures.push(
        Figure::new("the long one's to the short one's", "times", costs[1] / costs[0]).wanted(Wanted::AtMost(1.25)),
    );
    costs.clear();
    for width in WIDTHS {
        let width = context.times(width);
        let took = wall(context, Duration::ZERO, split(width, None))?;
        costs.push(took / width as f64);
        figures.push(Figure::new(format!("an item of a split of {width}, joined"), "ms", took / width as f64));
    }
    figures.push(
        Figure::new("the wide one's to the narrow one's", "times", costs[1] / costs[0]).wanted(Wanted::AtMost(1.25)),
    );
    figures.extend(coordination(context)?);
    figures.extend(parallel(context)?);
    Ok(figures)
}

/// What stages one after another take beyond their models.
fn coordination(context: &Context) -> Result<Vec<Figure>> {
    let fsync_ms = fsync::probe(context)? / 1e3;
    let stages = context.times(SLOW_STAGES).max(10);
    let steps: Vec<Value> = (0..stages).map(|n| task(&format!("s{n}"), AGENTS[n % AGENTS.len()])).collect();
    let mut walls = Vec::new();
    for _ in 0..ROUNDS {
        walls.push(wall(context, LATENCY, json!(steps))?);
    }
    let models = ms(LATENCY) * stages as f64;
    let over = percentile(&mut walls, 0.5) - models;
    let commits = STEP_COMMITS * stages as f64 * fsync_ms;
    let share = |over: f64| 100.0 * over / models;
    Ok(vec![
        Figure::new("fdatasync in the same round, p50", "ms", fsync_ms),
        Figure::new("coordination at 50 ms, of the models' time", "%", share(over)).wanted(Wanted::AtMost(10.0)),
        Figure::new("the same without two fdatasync a stage", "%", share(over - commits)).wanted(Wanted::AtMost(2.0)),
    ])
}

/// What a team at work at the same time gains on one after another.
fn parallel(context: &Context) -> Result<Vec<Figure>> {
    let items = AGENTS.len() * context.times(ITEMS).max(2);
    let mut together = Vec::new();
    for _ in 0..ROUNDS {
        together.push(wall(context, LATENCY, split(items, Some(AGENTS.len())))?);
    }
    let together = percentile(&mut together, 0.5);
    let alone = wall(context, LATENCY, split(items, Some(1)))?;
    let busy = ms(LATENCY) * items as f64;
    let used = 100.0 * busy / (together * AGENTS.len() as f64);
    let faster = 100.0 * (1.0 - together / alone);
    Ok(vec![
        Figure::new("utilization, 8 at a time", "%", used).wanted(Wanted::AtLeast(90.0)),
        Figure::new("8 at a time against one after another, less time", "%", faster).wanted(Wanted::AtLeast(50.0)),
    ])
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
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

/// What a run of these steps takes from its start to its end, in milliseconds.
fn wall(context: &Context, latency: Duration, steps: Value) -> Result<f64> {
    let flow = Flow { steps: serde_json::from_value(steps)?, ..Flow::default() };
    let folder = context.folder("flow")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
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
        Ok(took)
    })
}
