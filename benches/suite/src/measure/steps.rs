//! An attempt of 100,000 steps: what a step costs its journal then, and how long it takes to go on after a crash.
//!
//! The journal is measured alone, on model calls. The crash is the whole engine's: all steps are in the store, their
//! worker is gone, and the clock runs from the start of the pool to the arrival of the next model call, which carries
//! the whole conversation. What a turn costs then is told beside it: it grows with the conversation, as its request does.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use convoke_domain::id::RunId;
use convoke_engine::Engine;
use convoke_store::{Feed, Options, Store};

use crate::answer::{Answers, engine, fixed_plan, fixed_task};
use crate::context::Context;
use crate::figure::{Figure, Wanted, percentile};
use crate::journal::{Entries, Turns};
use crate::lifecycle::{AGENTS, Claim, Claimed, Create, Lay};
use crate::measure::fsync;
use crate::table::thousands;

const STEPS: usize = 100_000;
/// Where the early window begins.
const EARLY: i64 = 10;
/// Entries of a window, each with its commit.
const WINDOW: i64 = 1_000;
/// Commits of several entries after a window, to see an entry without its commit.
const PASSES: i64 = 40;
const PASS: i64 = 10;
/// Entries in one commit on the way to the late window.
const BULK: i64 = 500;
/// Finished turns put into the store in one transaction.
const TURNS_BULK: i64 = 1_000;
/// Turns watched in the whole engine, each of a model call and a tool call.
const TURNS: usize = 20;
const GROWTH: f64 = 1.1;
const RESUME_S: f64 = 1.0;
/// Time without an end after which the measurement gives up.
const STUCK: Duration = Duration::from_secs(120);

/// What one more step costs the journal: the windows of a short and of a long attempt are taken in turns, each attempt in
/// a store of its own, so that both see the same disk and caches are as they would be.
pub fn journal(context: &Context) -> Result<Vec<Figure>> {
    let steps = i64::try_from(context.times(STEPS))?;
    let folders = (context.folder("steps-short")?, context.folder("steps")?);
    let fsync = fsync::probe(context)?;
    runtime()?.block_on(async {
        let mut short = Attempt::of(&folders.0, EARLY).await?;
        let mut long = Attempt::of(&folders.1, steps - WINDOW - PASSES * PASS).await?;
        let singles = in_turns((&mut short, &mut long), WINDOW, 1).await?;
        let passes = in_turns((&mut short, &mut long), PASSES, PASS).await?;
        short.store.close().await?;
        long.store.close().await?;
        let until = thousands(steps as f64);
        let mut figures = vec![Figure::new("fdatasync in the same round, p50", "µs", fsync)];
        for (how, (early, late)) in [("with its commit", singles), ("10 in one commit", passes)] {
            figures.push(Figure::new(format!("an entry from step {EARLY} on, {how}, p50"), "µs", early));
            figures.push(Figure::new(format!("an entry up to step {until}, {how}, p50"), "µs", late));
            let growth = Figure::new(format!("late to early, {how}"), "×", late / early);
            figures.push(growth.wanted(Wanted::AtMost(GROWTH)));
        }
        Ok(figures)
    })
}

/// An attempt that is under way, and how far it is.
struct Attempt {
    store: Store,
    at: Claimed,
    done: i64,
}

impl Attempt {
    /// An attempt in a new store that has come to this step.
    async fn of(folder: &Path, steps: i64) -> Result<Self> {
        let store = Store::open_sqlite(folder, Options::default()).await?;
        let run = store.run(Lay { runs: 1 }).await?[0];
        store.run(Create { run, key: "long".to_owned(), agent: AGENTS[0] }).await?;
        let at = store.run(Claim { limit: 1 }).await?.pop().context("the task can be claimed")?;
        let mut attempt = Self { store, at, done: 0 };
        while attempt.done < steps {
            attempt.go_on(BULK.min(steps - attempt.done)).await?;
        }
        Ok(attempt)
    }

    /// So many entries in one commit; gives microseconds an entry.
    async fn go_on(&mut self, entries: i64) -> Result<f64> {
        let start = Instant::now();
        self.store.run(Entries { at: self.at.clone(), done: self.done, entries }).await?;
        self.done += entries;
        Ok(start.elapsed().as_secs_f64() * 1e6 / entries as f64)
    }
}

/// The median of an entry in either attempt, over so many commits of so many entries.
async fn in_turns((short, long): (&mut Attempt, &mut Attempt), commits: i64, entries: i64) -> Result<(f64, f64)> {
    let (mut early, mut late) = (Vec::new(), Vec::new());
    for _ in 0..commits {
        early.push(short.go_on(entries).await?);
        late.push(long.go_on(entries).await?);
    }
    Ok((percentile(&mut early, 0.5), percentile(&mut late, 0.5)))
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// Going on after a crash.
pub fn resume(context: &Context) -> Result<Vec<Figure>> {
    let folder = context.folder("steps")?;
    let steps = context.times(STEPS) / 2 * 2;
    runtime()?.block_on(async {
        leave_behind(&folder, steps).await?;
        let start = Instant::now();
        let store = Store::open_sqlite(&folder, Options::default()).await?;
        let opened = start.elapsed().as_secs_f64() * 1e3;
        let answers = Answers::default();
        let engine = engine(store, &folder, &answers);
        let mut feed = engine.store().subscribe();
        answers.ask_for(TURNS);
        let start = Instant::now();
        let worker = engine.work().await?;
        completed(&mut feed).await?;
        let late = answers.take_arrivals();
        let resumed = late.first().context("a resumed run calls the model")?.duration_since(start).as_secs_f64();
        answers.ask_for(TURNS);
        begin(&engine).await?;
        completed(&mut feed).await?;
        let early = answers.take_arrivals();
        worker.stop().await;
        engine.store().close().await?;
        let shown = thousands(steps as f64);
        Ok(vec![
            Figure::new("opening the store", "ms", opened),
            Figure::new(format!("from the start of the pool to the model call after step {shown}"), "s", resumed)
                .wanted(Wanted::AtMost(RESUME_S)),
            Figure::new(
                "a turn of the whole engine (model call, tool call) of a new attempt, p50",
                "ms",
                turn(&early)?,
            ),
            Figure::new(format!("the same after step {shown}, p50"), "ms", turn(&late)?),
        ])
    })
}

/// A run whose only attempt has so many finished steps and whose worker is gone.
async fn leave_behind(folder: &Path, steps: usize) -> Result<()> {
    let store = Store::open_sqlite(folder, Options::default()).await?;
    let engine = engine(store, folder, &Answers::default());
    begin(&engine).await?;
    let at = engine.store().run(Claim { limit: 1 }).await?.pop().context("the task can be claimed")?;
    let turns = i64::try_from(steps / 2)?;
    for first in (1..=turns).step_by(usize::try_from(TURNS_BULK)?) {
        let some = TURNS_BULK.min(turns + 1 - first);
        engine.store().run(Turns { at: at.clone(), first, turns: some }).await?;
    }
    Ok(engine.store().close().await?)
}

async fn begin(engine: &Engine) -> Result<RunId> {
    let plan = vec![fixed_task("long".to_owned(), AGENTS[0], Vec::new())];
    Ok(engine.start_run(fixed_plan(engine, plan).await?).await?)
}

async fn completed(feed: &mut Feed) -> Result<()> {
    loop {
        let event = tokio::time::timeout(STUCK, feed.next()).await.context("the run did not end")?;
        let event = event.context("the store was closed")?.context("the bench was slower than the feed")?;
        match event.kind.as_str() {
            "run.completed" => return Ok(()),
            "run.failed" | "run.paused" | "run.escalated" | "run.waiting" | "task.failed" => {
                bail!("{}: {}", event.kind, event.payload)
            }
            _ => {}
        }
    }
}

/// The median time between two calls of the attempt in milliseconds; the last call is the synthesis.
fn turn(arrivals: &[Instant]) -> Result<f64> {
    ensure!(arrivals.len() == TURNS + 2, "{} model calls came, {} were expected", arrivals.len(), TURNS + 2);
    let gaps = arrivals[..=TURNS].windows(2);
    let mut millis: Vec<f64> = gaps.map(|pair| pair[1].duration_since(pair[0]).as_secs_f64() * 1e3).collect();
    Ok(percentile(&mut millis, 0.5))
}
