//! Spawning: one more agent for a run that is under way, durable when it is told.
//!
//! Each spawn is one transaction of the engine's: rights, limits and family are looked at, and agent, task and events are
//! written. It is made one after another, each in a run of its own, with no pool at work.

use std::time::Instant;

use anyhow::Result;
use convoke_engine::{AdHoc, SpawnOrder, SpawnWhat};
use convoke_store::{Options, Store};

use crate::answer::{Answers, engine, fixed_plan, fixed_task};
use crate::context::Context;
use crate::figure::{Figure, Wanted, percentile};
use crate::lifecycle::AGENTS;
use crate::measure::fsync;

const SPAWNS: usize = 1_000;
/// What a spawn may take beside the disk.
const BEYOND_MS: f64 = 1.0;

/// Measures once.
pub fn run(context: &Context) -> Result<Vec<Figure>> {
    let folder = context.folder("spawn")?;
    let floors = [0.5, 0.99].map(|share| fsync::at(context, share).map(|micros| micros / 1e3));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut millis = runtime.block_on(async {
        let store = Store::open_sqlite(&folder, Options::default()).await?;
        let engine = engine(store, &folder, &Answers::default());
        engine.ensure_user("bench").await?;
        let start = fixed_plan(&engine, vec![fixed_task("look".to_owned(), AGENTS[0], Vec::new())]).await?;
        let mut runs = Vec::new();
        for _ in 0..context.times(SPAWNS) {
            runs.push(engine.start_run(start.clone()).await?);
        }
        let mut millis = Vec::with_capacity(runs.len());
        for run in runs {
            let (order, seed) = (order(), engine.fresh());
            let at = Instant::now();
            engine.spawn(run, order, "bench", seed).await?;
            millis.push(at.elapsed().as_secs_f64() * 1e3);
        }
        engine.store().close().await?;
        anyhow::Ok(millis)
    })?;
    let mut figures = Vec::new();
    for (name, share, floor) in [("p50", 0.5, &floors[0]), ("p99", 0.99, &floors[1])] {
        let floor = *floor.as_ref().map_err(|error| anyhow::anyhow!("{error}"))?;
        let took = percentile(&mut millis, share);
        figures.push(Figure::new(format!("a spawn with its commit, {name}"), "ms", took));
        let beyond = Figure::new(format!("the same beyond `fdatasync` in the same round, {name}"), "ms", took - floor);
        figures.push(beyond.wanted(Wanted::AtMost(BEYOND_MS)));
    }
    Ok(figures)
}

fn order() -> SpawnOrder {
    let made = AdHoc {
        name: "digger".to_owned(),
        prompt: "Dig where you are told to.".to_owned(),
        capabilities: vec!["digging".to_owned()],
        tools: vec!["read_file".to_owned()],
    };
    let what = SpawnWhat::AdHoc(made);
    SpawnOrder { what, task: "Dig at the north wall.".to_owned(), title: None, limits: Default::default() }
}
