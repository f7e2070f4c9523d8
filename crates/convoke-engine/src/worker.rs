//! The worker pool: claims tasks as far as there is room, drives each attempt, keeps the leases, cuts what is called off, and
//! stops gracefully.
//!
//! An attempt that ends may claim what its end made ready in the same commit, for its own place in the pool. The
//! dispatcher does the rest: work that was announced, work that nobody announced, and work whose time has come.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use convoke_domain::event::Kind;
use convoke_domain::id::WorkspaceId;
use convoke_domain::time::Timestamp;
use convoke_store::{Feed, Result as Stored, Tx, UseCase, workspace};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::agent::{LOOKS, Tend};
use crate::claim::{Assignment, Claim, ClaimSpec};
use crate::drive::drive;
use crate::lock::access::Expire;
use crate::recover::{PutBack, Reap, Renew};
use crate::{Engine, Result, scale};

/// Tasks claimed in one transaction.
const CLAIM_LIMIT: usize = 64;
/// Workspaces that one pool works for.
const WORKSPACES: u32 = 10_000;
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

    /// Takes what is free, up to a limit for claims inside other transactions. Where several workspaces want the same
    /// places, all of it is left to the dispatcher, which divides them.
    pub(crate) fn widen(&mut self, engine: &Engine) {
        if engine.workspaces().len() > 1 && engine.slots().available_permits() == 0 {
            self.permits.clear();
        } else {
            self.fill(engine, INLINE_LIMIT);
        }
    }

    fn fill(&mut self, engine: &Engine, limit: usize) {
        while self.permits.len() < limit
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
        if claimed.len() == room.permits.len() {
            // There may be more where these came from. Without a place, which the dispatcher may hold at this moment,
            // nothing was claimed at all.
            self.wake().notify_one();
        }
        let mut permits = room.permits.into_iter();
        for assignment in claimed {
            self.set_going(assignment, permits.next());
        }
    }

    /// Drives a claimed task in its place.
    fn set_going(&self, assignment: Assignment, place: Option<OwnedSemaphorePermit>) {
        let (engine, stop) = (self.clone(), self.stopping());
        let place = Room { permits: place.into_iter().collect() };
        tokio::spawn(async move { drive(engine, assignment, stop, place).await });
    }

    /// Takes over what a crash left behind, then works until the pool is stopped.
    pub async fn work(&self) -> Result<Worker> {
        let feed = self.store().subscribe();
        look_for_workspaces(self).await?;
        self.recover().await?;
        let stop = self.start_working();
        let duties = vec![
            tokio::spawn(dispatch(self.clone(), stop.clone())),
            tokio::spawn(keep_leases(self.clone(), stop.clone())),
            tokio::spawn(heed(self.clone(), feed)),
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
        self.engine.interrupt_these(&self.engine.driving_now());
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
    let mut outage = Outage::default();
    while !stop.is_cancelled() {
        let round = claim_round(&engine).await;
        outage.look(&engine, round.as_ref().err());
        let wait = match round {
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

/// How long the store has refused a duty. Work that waits to be claimed has no attempt that could tell of it.
#[derive(Default)]
struct Outage(Option<Instant>);

impl Outage {
    /// Takes note of how the duty went; past the patience of the engine that is told to whoever waits.
    fn look(&mut self, engine: &Engine, failed: Option<&crate::Error>) {
        let Some(error) = failed else { return self.0 = None };
        let since = *self.0.get_or_insert_with(Instant::now);
        if since.elapsed() >= engine.config().store_patience {
            engine.note_unrecorded(error);
        }
    }
}

enum Round {
    /// Places or tasks may be left.
    More,
    /// Nothing may be claimed now; perhaps then.
    Empty(Option<Timestamp>),
}

/// Fills the free places: first each workspace's share, then what is left for those who want more.
async fn claim_round(engine: &Engine) -> Result<Round> {
    let mut room = Room::none();
    let Ok(first) = engine.slots().clone().acquire_owned().await else { return Ok(Round::Empty(None)) };
    room.permits.push(first);
    room.fill(engine, CLAIM_LIMIT);
    let mut order = engine.workspaces();
    // Whoever comes first gets what does not divide evenly; nobody always does.
    let first = fastrand::usize(..order.len().max(1));
    order.rotate_left(first);
    let shares = shares(room.permits.len(), &engine.config().weights, &order);
    let (mut hungry, mut next) = (Vec::new(), None);
    for (ws, share) in order.into_iter().zip(shares) {
        let (filled, at) = claim_for(engine, ws, &mut room, share).await?;
        next = [next, at].into_iter().flatten().min();
        if filled {
            hungry.push(ws);
        }
    }
    let more = !hungry.is_empty();
    for ws in hungry {
        let left = room.permits.len();
        claim_for(engine, ws, &mut room, left).await?;
    }
    Ok(if more { Round::More } else { Round::Empty(next) })
}

/// Claims up to `share` tasks of a workspace. True if that was not too much for it.
async fn claim_for(
    engine: &Engine,
    ws: WorkspaceId,
    room: &mut Room,
    share: usize,
) -> Result<(bool, Option<Timestamp>)> {
    let mut part = Room { permits: room.permits.split_off(room.permits.len() - share.min(room.permits.len())) };
    let Some(spec) = part.spec(engine) else { return Ok((false, None)) };
    let limit = spec.limit;
    let (claimed, next) = engine.store().run(Claim { ws, spec }).await?;
    let filled = claimed.len() == limit;
    for assignment in claimed {
        engine.set_going(assignment, part.permits.pop());
    }
    room.permits.append(&mut part.permits);
    Ok((filled, next))
}

/// Divides places by weight, each workspace getting one at least while there are any.
fn shares(places: usize, weights: &BTreeMap<WorkspaceId, usize>, order: &[WorkspaceId]) -> Vec<usize> {
    let weight = |ws: &WorkspaceId| weights.get(ws).copied().unwrap_or(1);
    let total: usize = order.iter().map(weight).sum::<usize>().max(1);
    let mut left = places;
    let mut share = |ws| {
        let share = (places * weight(ws) / total).max(1).min(left);
        left -= share;
        share
    };
    order.iter().map(&mut share).collect()
}

/// How long to wait for work: until the next task may be claimed, at most a poll with a little jitter.
fn until(engine: &Engine, next: Option<Timestamp>) -> Duration {
    let poll = engine.config().poll.mul_f64(0.75 + 0.5 * fastrand::f64());
    next.map_or(poll, |at| at.since(engine.now()).min(poll).max(Duration::from_millis(1)))
}

/// Cuts what is driven here as soon as its task is called off in this process, whatever did that: a split that has enough, a
/// vote that is decided, the end of a run, a person. What another process calls off is found when leases are renewed.
async fn heed(engine: Engine, mut feed: Feed) {
    while let Some(event) = feed.next().await {
        match event {
            Ok(event) if event.kind == Kind::TaskCancelled.as_str() => {
                event.entity_id.parse().into_iter().for_each(|task| engine.interrupt_task(task));
            }
            Ok(_) => {}
            // Some went by unread; the leases tell.
            Err(_) => engine.look_again().notify_one(),
        }
    }
}

/// Puts back what could not be driven because the store failed; while it still fails, that waits for the next time.
async fn put_back(engine: &Engine) {
    for (ws, tasks) in engine.take_abandoned() {
        match engine.store().run(PutBack { ws, tasks: tasks.clone() }).await {
            Ok(()) => engine.wake().notify_one(),
            Err(error) => {
                tracing::warn!(%error, "tasks could not be put back; trying again");
                let engine = engine.within(ws);
                tasks.into_iter().for_each(|(task, fence)| engine.abandon(task, fence));
            }
        }
    }
}

/// Renews the leases of this worker, takes over those of others that have run out, and ends runs whose time is up.
async fn keep_leases(engine: Engine, stop: CancellationToken) {
    let beat = engine.config().lease / 3;
    let look = engine.config().stale_after / LOOKS;
    let (mut renewed, mut looked, mut outage) = (Instant::now(), Instant::now(), Outage::default());
    loop {
        let mut is_asked = false;
        tokio::select! {
            () = tokio::time::sleep(engine.config().poll.min(beat).min(look)) => {}
            () = engine.look_again().notified() => is_asked = true,
            () = stop.cancelled() => return,
        }
        if is_asked || renewed.elapsed() >= beat {
            renewed = Instant::now();
            renew(&engine).await;
        }
        put_back(&engine).await;
        match look_for_workspaces(&engine).await {
            Ok(()) => {}
            Err(error) => tracing::warn!(%error, "workspaces could not be listed"),
        }
        let looks = looked.elapsed() >= look;
        let mut reaped = Ok(());
        for ws in engine.workspaces() {
            reaped = reaped.and(reap(&engine, ws).await);
            end_waits(&engine, ws).await;
            end_locks(&engine, ws).await;
            scale(&engine, ws).await;
            if looks {
                tend(&engine, ws).await;
            }
        }
        if looks {
            looked = Instant::now();
        }
        if let Err(error) = &reaped {
            tracing::warn!(%error, "lapsed leases could not be taken over");
        }
        outage.look(&engine, reaped.as_ref().err());
    }
}

/// Keeps the leases of this worker, and drops what it does not hold any more.
async fn renew(engine: &Engine) {
    // Taken before the store is asked: what is claimed meanwhile is missing in its answer and yet held.
    let driven = engine.driving_now();
    let mut held = BTreeSet::new();
    for ws in engine.workspaces() {
        let renew = Renew { ws, worker: engine.worker_name().to_owned(), lease: engine.config().lease };
        match engine.store().run(renew).await {
            Ok(found) => held.extend(found),
            Err(error) => return tracing::warn!(%error, "leases could not be renewed"),
        }
    }
    let lost: Vec<_> = driven.into_iter().filter(|attempt| !held.contains(attempt)).collect();
    engine.interrupt_these(&lost);
}

async fn reap(engine: &Engine, ws: WorkspaceId) -> Result<()> {
    let reaped = engine.store().run(Reap { ws, sole: None }).await?;
    reaped.overdue.iter().for_each(|run| engine.interrupt(*run));
    if reaped.requeued > 0 {
        engine.wake().notify_one();
    }
    Ok(())
}

/// Looks for agents that have fallen silent, and for grants whose time is up.
async fn tend(engine: &Engine, ws: WorkspaceId) {
    match engine.store().run(Tend { ws, stale_after: engine.config().stale_after }).await {
        Ok(0) => {}
        Ok(_) => engine.wake().notify_one(),
        Err(error) => tracing::warn!(%error, "agents could not be looked after"),
    }
}

/// Ends waits whose time has come.
async fn end_waits(engine: &Engine, ws: WorkspaceId) {
    match engine.end_due(ws).await {
        Ok(0) => {}
        Ok(_) => {
            engine.wake().notify_one();
            engine.look_again().notify_one();
        }
        Err(error) => tracing::warn!(%error, "waits could not be ended"),
    }
}

/// Looks after queues that have changed without a task's end: by other runs, by time.
async fn scale(engine: &Engine, ws: WorkspaceId) {
    match scale::look(&engine.within(ws)).await {
        Ok(false) => {}
        Ok(true) => engine.wake().notify_one(),
        Err(error) => tracing::warn!(%error, "queues could not be looked after"),
    }
}

/// Ends locks whose holders were not heard of.
async fn end_locks(engine: &Engine, ws: WorkspaceId) {
    match engine.store().run(Expire { ws }).await {
        Ok(0) => {}
        Ok(_) => engine.wake().notify_one(),
        Err(error) => tracing::warn!(%error, "locks could not be ended"),
    }
}

/// Workspaces that others have made.
pub(crate) async fn look_for_workspaces(engine: &Engine) -> Result<()> {
    let found = engine.store().read(Workspaces { ws: engine.ws() }).await?;
    engine.know(found);
    Ok(())
}

struct Workspaces {
    ws: WorkspaceId,
}

impl UseCase for Workspaces {
    type Out = Vec<WorkspaceId>;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Vec<WorkspaceId>> {
        let found = workspace::list(tx, "", WORKSPACES).await?;
        Ok(found.into_iter().map(|workspace| workspace.id).collect())
    }
}

#[cfg(test)]
mod tests {
    use convoke_domain::id::derive;

    use super::*;

    #[test]
    fn places_are_divided_by_weight_and_nobody_is_left_out() {
        let ws = |n: u8| WorkspaceId(derive(Timestamp::default(), &[&[n]]));
        let order = [ws(1), ws(2), ws(3)];
        let heavy = BTreeMap::from([(ws(1), 8)]);
        assert_eq!(shares(64, &BTreeMap::new(), &order), [21, 21, 21]);
        assert_eq!(shares(60, &heavy, &order), [48, 6, 6]);
        assert_eq!(shares(2, &heavy, &order), [1, 1, 0]);
        assert_eq!(shares(5, &BTreeMap::new(), &order[..1]), [5]);
    }
}
