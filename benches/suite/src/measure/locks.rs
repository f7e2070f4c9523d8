//! Durable locks: acquire and release, each answered after its commit, on resources that nobody else wants.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use convoke_connect::model::script::Scripts;
use convoke_connect::model::{ModelConfig, PriceTable, Providers};
use convoke_connect::tool::{ToolLimits, Toolbox};
use convoke_domain::id::{RunId, TaskId};
use convoke_domain::lock::{Item, Mode};
use convoke_domain::time::Timestamp;
use convoke_engine::{Config, Engine, Got, Holder};
use convoke_port::clock::SystemClock;
use convoke_store::{Options, Store};
use tokio::runtime::Builder;
use tokio::task::JoinSet;

use crate::context::Context;
use crate::figure::{Figure, Wanted, percentile};
use crate::{machine, measure};

/// How many are in flight, and how many pairs that is measured over.
const LEVELS: [(usize, usize); 4] = [(1, 1_000), (16, 8_000), (128, 30_000), (1_024, 60_000)];
/// The level that the demand is about.
const FULL: usize = 1_024;
const PER_SECOND: f64 = 10_000.0;

/// Measures once.
pub fn run(context: &Context) -> Result<Vec<Figure>> {
    let fsync_ms = measure::fsync::probe(context)? / 1e3;
    let mut figures = vec![Figure::new("fdatasync in the same round, p50", "ms", fsync_ms)];
    for (in_flight, pairs) in LEVELS {
        level(context, in_flight, context.times(pairs), &mut figures)?;
    }
    Ok(figures)
}

fn engine(store: Store, folder: &Path) -> Engine {
    // A second engine in one process finds it installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let scripts = Arc::new(Scripts { built_in: &[] });
    let models = Providers::new(ModelConfig::default(), PriceTable::built_in(), scripts);
    let tools = Arc::new(Toolbox::new(ToolLimits::default()));
    Engine::new(store, Arc::new(models), tools, Arc::new(SystemClock), Config::new(folder.join("work")))
}

/// One level of the curve.
fn level(context: &Context, in_flight: usize, pairs: usize, figures: &mut Vec<Figure>) -> Result<()> {
    let folder = context.folder("locks")?;
    Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let store = Store::open_sqlite(&folder, Options::default()).await?;
        let engine = engine(store, &folder);
        drive(&engine, in_flight, in_flight).await?;
        let me = std::process::id();
        let (cpu, start) = (machine::cpu(me).context("this process runs")?, Instant::now());
        let mut millis = drive(&engine, in_flight, pairs).await?;
        let seconds = start.elapsed().as_secs_f64();
        let cpu = machine::cpu(me).context("this process runs")?.saturating_sub(cpu).as_secs_f64();
        engine.store().close().await?;
        let done = millis.len() as f64 / 2.0;
        let name = |what: &str| format!("{in_flight} in flight{what}");
        let figure = Figure::new(name(""), "pairs/s", done / seconds);
        figures.push(if in_flight == FULL { figure.wanted(Wanted::AtLeast(PER_SECOND)) } else { figure });
        figures.push(Figure::new(name(", an act, p50"), "ms", percentile(&mut millis, 0.5)));
        figures.push(Figure::new(name(", an act, p99"), "ms", percentile(&mut millis, 0.99)));
        figures.push(Figure::new(name(", CPU an act"), "µs", cpu * 1e6 / (done * 2.0)));
        Ok(())
    })
}

/// So many pairs by so many holders; gives the milliseconds of each act.
async fn drive(engine: &Engine, in_flight: usize, pairs: usize) -> Result<Vec<f64>> {
    let each = (pairs / in_flight).max(1);
    let mut holders = JoinSet::new();
    for number in 0..in_flight {
        let engine = engine.clone();
        holders.spawn(async move { hold(&engine, number, each).await });
    }
    let mut millis = Vec::with_capacity(pairs * 2);
    while let Some(one) = holders.join_next().await {
        millis.extend(one??);
    }
    Ok(millis)
}

async fn hold(engine: &Engine, number: usize, pairs: usize) -> Result<Vec<f64>> {
    let seed = number.to_be_bytes();
    let (run, task) =
        (RunId::derived(Timestamp::default(), &[b"run"]), TaskId::derived(Timestamp::default(), &[&seed]));
    let holder = Holder { run, task, agent: format!("agent-{number}") };
    let resource = format!("file:shared/part-{}/file-{number}.md", number % 16).parse()?;
    let items = vec![Item { resource, mode: Mode::Exclusive }];
    let mut millis = Vec::with_capacity(pairs * 2);
    for _ in 0..pairs {
        let start = Instant::now();
        let got = engine.acquire_locks(holder.clone(), items.clone(), Duration::ZERO).await?;
        ensure!(matches!(got, Got::Held { .. }), "nobody else wants it: {got:?}");
        let held = Instant::now();
        engine.release_locks(holder.clone(), None).await?;
        millis.extend([(held - start).as_secs_f64() * 1e3, held.elapsed().as_secs_f64() * 1e3]);
    }
    Ok(millis)
}
