//! A graph of 100,000 tasks: making it, its ready set, and what one task costs in it beside one in a graph of 1,000.
//!
//! The graph is in layers; each task but those of the first layer waits for two of the layer before, hard. It is started
//! as a run through the engine with no pool at work; its tasks are claimed and completed by the acts of
//! [`crate::lifecycle`].

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use convoke_domain::id::WorkspaceId;
use convoke_domain::team::FixedTask;
use convoke_engine::Engine;
use convoke_store::{Result as Stored, Tx, UseCase, task};

use crate::answer::{Answers, engine, fixed_plan, fixed_task};
use crate::context::Context;
use crate::figure::{Figure, Wanted, percentile};
use crate::lifecycle::{AGENTS, Claim, Complete, Pass};
use crate::table::thousands;

/// Layers and tasks in each.
const LARGE: (usize, usize) = (100, 1_000);
const SMALL: (usize, usize) = (10, 100);
const READY: i64 = 1_000;
const READS: usize = 50;
const READY_MS: f64 = 50.0;
/// Claims and completions with a commit each, in either graph.
const SINGLES: usize = 300;
/// Passes of several tasks in one commit, in either graph. In all, fewer tasks than the small graph has.
const PASSES: usize = 60;
const PASS_TASKS: usize = 10;
const GROWTH: f64 = 1.5;

/// Measures once.
pub fn run(context: &Context) -> Result<Vec<Figure>> {
    let (large, small) = (context.folder("graph-large")?, context.folder("graph-small")?);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let shape = (LARGE.0, context.times(LARGE.1));
        let (large, seconds) = graph(&large, shape).await?;
        let (small, _) = graph(&small, SMALL).await?;
        let mut figures = vec![Figure::new(
            format!("start of a run of {} tasks", thousands((shape.0 * shape.1) as f64)),
            "s",
            seconds,
        )];
        figures.push(ready_set(&large).await?);
        figures.extend(with_commits(&large, &small).await?);
        figures.extend(without_commits(&large, &small).await?);
        large.store().close().await?;
        small.store().close().await?;
        Ok(figures)
    })
}

/// A run of so many layers of so many tasks, and the seconds that its start took.
async fn graph(folder: &Path, (layers, width): (usize, usize)) -> Result<(Engine, f64)> {
    let store = convoke_store::Store::open_sqlite(folder, Default::default()).await?;
    let engine = engine(store, folder, &Answers::default());
    let start = fixed_plan(&engine, plan(layers, width)).await?;
    let at = Instant::now();
    engine.start_run(start).await?;
    Ok((engine, at.elapsed().as_secs_f64()))
}

fn plan(layers: usize, width: usize) -> Vec<FixedTask> {
    let key = |layer: usize, place: usize| (layer * width + place % width).to_string();
    let task = |number: usize| {
        let (layer, place) = (number / width, number % width);
        let parents = if layer == 0 { Vec::new() } else { vec![key(layer - 1, place), key(layer - 1, place + 1)] };
        fixed_task(key(layer, place), AGENTS[place % AGENTS.len()], parents)
    };
    (0..layers * width).map(task).collect()
}

struct Ready;

impl UseCase for Ready {
    type Out = Vec<task::Candidate>;

    fn ws(&self) -> WorkspaceId {
        WorkspaceId::DEFAULT
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Self::Out> {
        task::candidates(tx, READY).await
    }
}

async fn ready_set(engine: &Engine) -> Result<Figure> {
    let mut millis = Vec::with_capacity(READS);
    let mut count = 0;
    for _ in 0..READS {
        let start = Instant::now();
        count = engine.store().read(Ready).await?.len();
        millis.push(start.elapsed().as_secs_f64() * 1e3);
    }
    ensure!(count > 0, "the graph has no ready task");
    let name = format!("ready set of the large graph ({} tasks in full), p50", thousands(count as f64));
    Ok(Figure::new(name, "ms", percentile(&mut millis, 0.5)).wanted(Wanted::AtMost(READY_MS)))
}

/// Claim and completion by a commit each, in turns, so that both graphs see the same disk.
async fn with_commits(large: &Engine, small: &Engine) -> Result<Vec<Figure>> {
    let (mut of_large, mut of_small) = (Vec::new(), Vec::new());
    for _ in 0..SINGLES {
        of_large.push(one(large).await?);
        of_small.push(one(small).await?);
    }
    Ok(compared("claim and completion, a commit each", (of_large, of_small), ("ms", 1e3)))
}

async fn one(engine: &Engine) -> Result<f64> {
    let start = Instant::now();
    let claimed = engine.store().run(Claim { limit: 1 }).await?.pop().context("the graph has no ready task")?;
    engine.store().run(Complete(claimed)).await?;
    Ok(start.elapsed().as_secs_f64())
}

/// The same, many in one commit: what the acts themselves cost.
async fn without_commits(large: &Engine, small: &Engine) -> Result<Vec<Figure>> {
    let (mut of_large, mut of_small) = (Vec::new(), Vec::new());
    for _ in 0..PASSES {
        of_large.push(pass(large).await?);
        of_small.push(pass(small).await?);
    }
    Ok(compared("claim and completion, 10 in one commit, each", (of_large, of_small), ("µs", 1e6)))
}

async fn pass(engine: &Engine) -> Result<f64> {
    let start = Instant::now();
    let done = engine.store().run(Pass { tasks: PASS_TASKS }).await?;
    ensure!(done == PASS_TASKS, "the graph has no ready task");
    Ok(start.elapsed().as_secs_f64() / PASS_TASKS as f64)
}

/// Both medians, and how many times the one of the small graph that of the large one is.
fn compared(
    what: &str,
    (mut large, mut small): (Vec<f64>, Vec<f64>),
    (unit, factor): (&'static str, f64),
) -> Vec<Figure> {
    let (large, small) = (percentile(&mut large, 0.5) * factor, percentile(&mut small, 0.5) * factor);
    vec![
        Figure::new(format!("{what}, large graph, p50"), unit, large),
        Figure::new(format!("{what}, 1,000 tasks, p50"), unit, small),
        Figure::new(format!("{what}, large to small"), "×", large / small).wanted(Wanted::AtMost(GROWTH)),
    ]
}
