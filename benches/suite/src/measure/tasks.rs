//! Durable task lifecycles: create, claim, complete, each answered after its commit; and the floors below them.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use convoke_domain::id::{RunId, TaskId};
use convoke_store::{Options, Store};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use crate::context::Context;
use crate::figure::{Figure, Wanted, percentile};
use crate::lifecycle::{AGENTS, Claim, Complete, Create, Lay, OneRow};
use crate::table::thousands;
use crate::{floor, machine, measure};

/// How many are in flight, and how many lifecycles that is measured over.
const LEVELS: [(usize, usize); 4] = [(1, 1_000), (16, 8_000), (128, 30_000), (1_024, 60_000)];
/// The level that the demands are about.
const FULL: usize = 1_024;
const RUNS: usize = 16;
const PER_SECOND: f64 = 20_000.0;
const OF_FLOOR: f64 = 0.5;
/// Acts of a lifecycle, each durable by itself.
const ACTS: usize = 3;

/// Measures once.
pub fn run(context: &Context) -> Result<Vec<Figure>> {
    let fsync_ms = measure::fsync::probe(context)? / 1e3;
    let mut figures = vec![Figure::new("fdatasync in the same round, p50", "ms", fsync_ms)];
    let mut full = None;
    for (in_flight, lifecycles) in LEVELS {
        let rate = level(context, in_flight, context.times(lifecycles), &mut figures)?;
        let folder = context.folder("tasks-bare")?;
        runtime()?.block_on(async { open(&folder).await?.0.close().await.map_err(anyhow::Error::from) })?;
        let bare = floor::bare_loop(&folder.join("convoke.db"), in_flight, context.times(lifecycles))?;
        figures.push(Figure::new(
            format!("{} in flight, bare loop over SQLite", thousands(in_flight as f64)),
            "lifecycles/s",
            bare,
        ));
        full = (in_flight == FULL).then_some((rate, bare)).or(full);
    }
    let (rate, bare) = full.context("the levels hold the full one")?;
    figures.push(Figure::new("1,024 in flight, of the bare loop", "×", rate / bare).wanted(Wanted::AtLeast(OF_FLOOR)));
    let lifecycles = context.times(60_000);
    let one_row = runtime()?.block_on(one_row(context, lifecycles))?;
    figures.push(Figure::new("1,024 in flight, one row an act through the store", "lifecycles/s", one_row));
    let appended = floor::appended(&context.folder("tasks-file")?.join("log"), FULL, lifecycles)?;
    figures.push(Figure::new("1,024 in flight, bytes at the end of a file", "lifecycles/s", appended));
    Ok(figures)
}

fn runtime() -> Result<Runtime> {
    Ok(Builder::new_multi_thread().enable_all().build()?)
}

async fn open(folder: &Path) -> Result<(Store, Arc<[RunId]>)> {
    let store = Store::open_sqlite(folder, Options::default()).await?;
    let runs = store.run(Lay { runs: RUNS }).await?;
    Ok((store, runs.into()))
}

/// One level of the curve; gives its rate.
fn level(context: &Context, in_flight: usize, lifecycles: usize, figures: &mut Vec<Figure>) -> Result<f64> {
    let folder = context.folder("tasks")?;
    runtime()?.block_on(async {
        let (store, runs) = open(&folder).await?;
        drive(&store, &runs, in_flight, ("warm", in_flight)).await?;
        let me = std::process::id();
        let (cpu, start) = (machine::cpu(me).context("this process runs")?, Instant::now());
        let mut millis = drive(&store, &runs, in_flight, ("task", lifecycles)).await?;
        let seconds = start.elapsed().as_secs_f64();
        let cpu = machine::cpu(me).context("this process runs")?.saturating_sub(cpu).as_secs_f64();
        store.close().await?;
        let acts = millis.len() as f64;
        let rate = acts / ACTS as f64 / seconds;
        let shown = thousands(in_flight as f64);
        let name = |what: &str| format!("{shown} in flight{what}");
        let figure = Figure::new(name(""), "lifecycles/s", rate);
        figures.push(if in_flight == FULL { figure.wanted(Wanted::AtLeast(PER_SECOND)) } else { figure });
        figures.push(Figure::new(name(", an act, p50"), "ms", percentile(&mut millis, 0.5)));
        figures.push(Figure::new(name(", an act, p99"), "ms", percentile(&mut millis, 0.99)));
        figures.push(Figure::new(name(", CPU an act"), "µs", cpu * 1e6 / acts));
        Ok(rate)
    })
}

/// So many lifecycles by so many clients; gives the milliseconds of each act.
async fn drive(
    store: &Store,
    runs: &Arc<[RunId]>,
    in_flight: usize,
    (name, lifecycles): (&'static str, usize),
) -> Result<Vec<f64>> {
    let each = (lifecycles / in_flight).max(1);
    let mut clients = JoinSet::new();
    for client in 0..in_flight {
        let (store, runs) = (store.clone(), Arc::clone(runs));
        clients.spawn(async move {
            let mut millis = Vec::with_capacity(each * ACTS);
            for n in 0..each {
                let (run, agent) = (runs[(client + n) % RUNS], AGENTS[(client + n) % AGENTS.len()]);
                live(&store, Create { run, key: format!("{name}-{client}-{n}"), agent }, &mut millis).await?;
            }
            anyhow::Ok(millis)
        });
    }
    let mut all = Vec::with_capacity(lifecycles * ACTS);
    while let Some(client) = clients.join_next().await {
        all.append(&mut client??);
    }
    Ok(all)
}

/// One lifecycle: makes a task, claims the one that comes first, which may be another's, and completes it.
async fn live(store: &Store, create: Create, millis: &mut Vec<f64>) -> Result<()> {
    let mut lap = Instant::now();
    let mut note = || {
        millis.push(lap.elapsed().as_secs_f64() * 1e3);
        lap = Instant::now();
    };
    store.run(create).await?;
    note();
    let claimed = store.run(Claim { limit: 1 }).await?.pop().context("a task was made and none could be claimed")?;
    note();
    store.run(Complete(claimed)).await?;
    note();
    Ok(())
}

/// The store with the smallest act there is, three of them for a lifecycle.
async fn one_row(context: &Context, lifecycles: usize) -> Result<f64> {
    let (store, runs) = open(&context.folder("tasks")?).await?;
    let each = (lifecycles * ACTS / FULL).max(1);
    let start = Instant::now();
    let mut clients = JoinSet::new();
    for client in 0..FULL {
        let (store, task) =
            (store.clone(), TaskId(convoke_domain::id::derive(Default::default(), &[&client.to_be_bytes()])));
        clients.spawn(async move {
            for n in 0..each {
                store.run(OneRow { task, n: n as i64 }).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(client) = clients.join_next().await {
        client??;
    }
    let seconds = start.elapsed().as_secs_f64();
    drop(runs);
    store.close().await?;
    Ok((each * FULL) as f64 / ACTS as f64 / seconds)
}
