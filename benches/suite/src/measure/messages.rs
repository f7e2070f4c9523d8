//! Messages: how many a second are stored durably, and how long one takes from its sender to a follower in this process.
//!
//! All of it passes the *say* door, as people's messages to agents of a run do: checked, numbered in its thread, stored with a
//! receipt and its event. The follower reads what it is told of from the store, as a live view does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use convoke_domain::id::RunId;
use convoke_domain::user::Role;
use convoke_engine::{Engine, NewMessage, Reader, What};
use convoke_store::{Options, Store};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio::time::interval;

use crate::context::Context;
use crate::figure::{Figure, Wanted, percentile};
use crate::hub::{self, SPECIALISTS};
use crate::measure::fsync;
use crate::table::thousands;

const IN_FLIGHT: usize = 1_024;
const MESSAGES: usize = 60_000;
const PER_SECOND: f64 = 20_000.0;
/// People who write, each with a thread for every specialist.
const PEOPLE: usize = 64;
/// Messages at a steady pace, and the pace.
const STEADY: usize = 5_000;
const PACE: Duration = Duration::from_millis(1);
const OVER_FSYNC_MS: f64 = 1.0;
/// Time without a message after which the follower gives up.
const STUCK: Duration = Duration::from_secs(30);

/// Measures once.
pub fn run(context: &Context) -> Result<Vec<Figure>> {
    let fsync_p99 = fsync::rested(context, PACE, 0.99)? / 1e3;
    let folder = context.folder("messages")?;
    runtime()?.block_on(async {
        let store = Store::open_sqlite(&folder, Options::default()).await?;
        let (engine, run) = lay(store.clone(), &folder).await?;
        flood(&engine, run, IN_FLIGHT).await?;
        let count = context.times(MESSAGES);
        let start = Instant::now();
        flood(&engine, run, count).await?;
        let rate = count as f64 / start.elapsed().as_secs_f64();
        let mut millis = steady(&engine, run, context.times(STEADY)).await?;
        store.close().await?;
        let shown = thousands(IN_FLIGHT as f64);
        let p99 = percentile(&mut millis, 0.99);
        Ok(vec![
            Figure::new(format!("{shown} in flight, durable"), "messages/s", rate).wanted(Wanted::AtLeast(PER_SECOND)),
            Figure::new("fdatasync at the same pace in the same round, p99", "ms", fsync_p99),
            Figure::new("send to follower at 1,000 a second, p50", "ms", percentile(&mut millis, 0.5)),
            Figure::new("send to follower at 1,000 a second, p99", "ms", p99),
            Figure::new("the same above the fdatasync p99", "ms", p99 - fsync_p99)
                .wanted(Wanted::AtMost(OVER_FSYNC_MS)),
        ])
    })
}

fn runtime() -> Result<Runtime> {
    Ok(Builder::new_multi_thread().enable_all().build()?)
}

/// An engine without a pool, the people, and a run whose tasks nobody claims.
async fn lay(store: Store, folder: &std::path::Path) -> Result<(Engine, RunId)> {
    let (engine, job) = hub::idle(store, folder).await?;
    engine.ensure_user("bench").await?;
    for person in 0..PEOPLE {
        engine.appoint(&format!("p{person}"), Role::Viewer, true, "user:bench").await?;
    }
    let run = engine.start_run(job).await?;
    Ok((engine, run))
}

/// Who writes to whom when it is the `n`-th message.
fn letter(n: usize, body: String) -> (String, NewMessage) {
    (format!("p{}", n % PEOPLE), NewMessage::note(SPECIALISTS[n / PEOPLE % SPECIALISTS.len()], body))
}

/// So many messages, [`IN_FLIGHT`] at a time.
async fn flood(engine: &Engine, run: RunId, count: usize) -> Result<()> {
    let body = "The error rate of checkout rose at 10:02:14, two minutes after release 2093 began.";
    let mut lanes = JoinSet::new();
    for lane in 0..IN_FLIGHT.min(count) {
        let engine = engine.clone();
        lanes.spawn(async move {
            for n in (lane..count).step_by(IN_FLIGHT) {
                let (person, message) = letter(n, body.to_owned());
                engine.say(&person, Some(run), message).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = lanes.join_next().await {
        done??;
    }
    Ok(())
}

/// Messages at a steady pace; the milliseconds that each took until the follower had it.
async fn steady(engine: &Engine, run: RunId, count: usize) -> Result<Vec<f64>> {
    let head = engine.store().events_head().await?;
    let start = Arc::new(Instant::now());
    let mut follow = engine.follow(What { run: Some(run), thread: None }, Reader::Audit("bench".to_owned()), head);
    let clock = Arc::clone(&start);
    let following = tokio::spawn(async move {
        let mut millis = Vec::with_capacity(count);
        while millis.len() < count {
            let found = follow.next(STUCK).await?;
            ensure!(!found.is_empty(), "no message came for {STUCK:?}");
            let now = clock.elapsed().as_secs_f64();
            for (_, message) in found {
                millis.push((now - message.body.parse::<f64>()?) * 1e3);
            }
        }
        Ok(millis)
    });
    let (mut pace, mut under_way) = (interval(PACE), JoinSet::new());
    for n in 0..count {
        pace.tick().await;
        let (engine, start) = (engine.clone(), Arc::clone(&start));
        under_way.spawn(async move {
            let (person, message) = letter(n, start.elapsed().as_secs_f64().to_string());
            engine.say(&person, Some(run), message).await.map(drop)
        });
    }
    while let Some(done) = under_way.join_next().await {
        done??;
    }
    following.await?
}
