//! The worker pool: claims tasks as far as there is room, drives each attempt, keeps the leases, and stops gracefully.
//!
//! An attempt that ends may claim what its end made ready in the same commit, for its own place in the pool. The
//! dispatcher does the rest: work that was announced, work that nobody announced, and work whose time has come.

use std::time::Duration;

use convoke_domain::time::Timestamp;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::claim::{Assignment, Claim, ClaimSpec};
use crate::drive::drive;
use crate::recover::{PutBack, Reap, Renew};
use crate::{Engine, Result};

/// Tasks claimed in one transaction.
const CLAIM_LIMIT: usize = 64;
/// Further places that the end of an attempt may fill at once.
const INLINE_LIMIT: usize = 16;

/// Places in the pool that are held for tasks about to be claimed.
pub(crate) struct Room {
    permits: Vec<OwnedSemaphorePermit>,
}

impl Room {
    /// No place.
    pub(crate) fn none() -> Self {
        Self { permits: Vec::new() }
    }

    /// Takes what is free, up to a limit.
    pub(crate) fn widen(&mut self, engine: &Engine) {
        while self.permits.len() < INLINE_LIMIT
            && let Ok(permit) = engine.slots().clone().try_acquire_owned()
        {
            self.permits.push(permit);
        }
    }

    /// A claim for these places; `None` if there are none.
    pub(crate) fn spec(&self, engine: &Engine) -> Option<ClaimSpec> {
        let limit = self.permits.len();
        let spec = ClaimSpec { worker: engine.worker_name().to_owned(), lease: engine.config().lease, limit };
        (limit > 0 && engine.is_working()).then_some(spec)
    }
}

/// A running worker pool.
pub struct Worker {
    engine: Engine,
    stop: CancellationToken,
    duties: Vec<JoinHandle<()>>,
}

impl Engine {
    /// Places for tasks that the next transaction may claim, if a pool is at work here.
    pub(crate) fn inline_room(&self) -> Room {
        let mut room = Room::none();
        if self.is_working() {
            room.widen(self);
        }
        room
    }

    /// Drives claimed tasks, each in its place; places left over are given back.
    pub(crate) fn take_over(&self, claimed: Vec<Assignment>, room: Room) {
        if !claimed.is_empty() && claimed.len() == room.permits.len() {
            // There may be more where these came from.
            self.wake().notify_one();
        }
        let mut permits = room.permits.into_iter();
        for assignment in claimed {
            let (engine, stop) = (self.clone(), self.stopping());
            let place = Room { permits: permits.next().into_iter().collect() };
            tokio::spawn(async move { drive(engine, assignment, stop, place).await });
        }
    }

    /// Takes over what a crash left behind, then works until the pool is stopped.
    pub async fn work(&self) -> Result<Worker> {
        self.recover().await?;
        let stop = self.start_working();
        let duties = vec![
            tokio::spawn(dispatch(self.clone(), stop.clone())),
            tokio::spawn(keep_leases(self.clone(), stop.clone())),
        ];
        self.wake().notify_one();
        Ok(Worker { engine: self.clone(), stop, duties })
    }
}

impl Worker {
    /// Begins nothing more, lets steps under way end within the grace period, then cuts them. What was not finished goes
    /// on with the next start.
    pub async fn stop(self) {
        self.stop.cancel();
        let deadline = Instant::now() + self.engine.config().grace;
        while self.engine.driven() > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.engine.interrupt_all_but(&[]);
        let cut = Instant::now() + Duration::from_secs(2);
        while self.engine.driven() > 0 && Instant::now() < cut {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for duty in self.duties {
            duty.abort();
            let _ = duty.await;
        }
    }
}

/// Claims whatever may be claimed, whenever there is room and a reason to look.
async fn dispatch(engine: Engine, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let wait = match claim_round(&engine).await {
            Ok(Round::More) => continue,
            Ok(Round::Empty(next)) => until(&engine, next),
            Err(error) => {
                tracing::warn!(%error, "claiming failed; trying again");
                engine.config().poll
            }
        };
        tokio::select! {
            () = engine.wake().notified() => {}
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => {}
        }
    }
}

enum Round {
    /// Places or tasks may be left.
    More,
    /// Nothing may be claimed now; perhaps then.
    Empty(Option<Timestamp>),
}

async fn claim_round(engine: &Engine) -> Result<Round> {
    let mut room = Room::none();
    let Ok(first) = engine.slots().clone().acquire_owned().await else { return Ok(Round::Empty(None)) };
    room.permits.push(first);
    while room.permits.len() < CLAIM_LIMIT
        && let Ok(permit) = engine.slots().clone().try_acquire_owned()
    {
        room.permits.push(permit);
    }
    let Some(spec) = room.spec(engine) else { return Ok(Round::Empty(None)) };
    let (claimed, next) = engine.store().run(Claim { ws: engine.ws(), spec }).await?;
    let all = claimed.len() == room.permits.len();
    engine.take_over(claimed, room);
    Ok(if all { Round::More } else { Round::Empty(next) })
}

/// How long to wait for work: until the next task may be claimed, at most a poll with a little jitter.
fn until(engine: &Engine, next: Option<Timestamp>) -> Duration {
    let poll = engine.config().poll.mul_f64(0.75 + 0.5 * fastrand::f64());
    next.map_or(poll, |at| at.since(engine.now()).min(poll).max(Duration::from_millis(1)))
}

/// Puts back what could not be driven because the store failed; while it still fails, that waits for the next time.
async fn put_back(engine: &Engine) {
    let tasks = engine.take_abandoned();
    if tasks.is_empty() {
        return;
    }
    match engine.store().run(PutBack { ws: engine.ws(), tasks: tasks.clone() }).await {
        Ok(()) => engine.wake().notify_one(),
        Err(error) => {
            tracing::warn!(%error, "tasks could not be put back; trying again");
            tasks.into_iter().for_each(|(task, fence)| engine.abandon(task, fence));
        }
    }
}

/// Renews the leases of this worker, takes over those of others that have run out, and ends runs whose time is up.
async fn keep_leases(engine: Engine, stop: CancellationToken) {
    let beat = engine.config().lease / 3;
    let mut renewed = Instant::now();
    loop {
        tokio::select! {
            () = tokio::time::sleep(engine.config().poll.min(beat)) => {}
            () = stop.cancelled() => return,
        }
        if renewed.elapsed() >= beat {
            renewed = Instant::now();
            let renew =
                Renew { ws: engine.ws(), worker: engine.worker_name().to_owned(), lease: engine.config().lease };
            match engine.store().run(renew).await {
                Ok(held) => engine.interrupt_all_but(&held),
                Err(error) => tracing::warn!(%error, "leases could not be renewed"),
            }
        }
        put_back(&engine).await;
        match engine.store().run(Reap { ws: engine.ws(), sole: None }).await {
            Ok(reaped) => {
                reaped.overdue.iter().for_each(|run| engine.interrupt(*run));
                if reaped.requeued > 0 {
                    engine.wake().notify_one();
                }
            }
            Err(error) => tracing::warn!(%error, "lapsed leases could not be taken over"),
        }
    }
}
