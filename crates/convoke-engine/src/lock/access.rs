//! Locks for people and programs: ask, let go, look, take away.

use std::time::Duration;

use convoke_domain::event::Kind;
use convoke_domain::id::{RunId, TaskId, WorkspaceId};
use convoke_domain::lock::graph::{self, Edge};
use convoke_domain::lock::{Item, Mode, Resource};
use convoke_domain::time::Timestamp;
use convoke_store::lock::{self, Counts, Query, Record, Stats};
use convoke_store::{Result as Stored, Tx, UseCase};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Got, Holder, acquire, expire, leave, on, release, rows, serve};
use crate::engine::emit;
use crate::{Engine, Error, Result};

/// Locks read at once.
const PAGE: i64 = 1_000;
/// Locks read for one look at most.
const MOST: usize = 100_000;

/// A lock as people see it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LockView {
    /// What is claimed.
    pub resource: Resource,
    /// How much of it.
    pub mode: Mode,
    /// `held` or `waiting`.
    pub state: &'static str,
    /// The agent.
    pub agent: String,
    /// The task.
    pub task: TaskId,
    /// The run.
    pub run: RunId,
    /// The fencing token; 0 while it is waited for.
    pub token: i64,
    /// Since when.
    pub since: Timestamp,
    /// When the lease ends, or the wait.
    pub until: Timestamp,
}

/// One who waits, and those in the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WaitEdge {
    /// The task that waits.
    pub task: TaskId,
    /// Its agent.
    pub agent: String,
    /// The tasks it waits for.
    pub waits_for: Vec<TaskId>,
}

/// Who waits for whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WaitGraph {
    /// Everyone who waits.
    pub edges: Vec<WaitEdge>,
    /// Tasks that wait for each other in a circle; there should never be any.
    pub circle: Vec<TaskId>,
}

/// Counters over the locks of a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct LockStats {
    /// Locks that are held now.
    pub held: usize,
    /// Locks that are waited for now.
    pub waiting: usize,
    /// Requests that were granted.
    pub granted: i64,
    /// Requests that had to wait.
    pub waits: i64,
    /// Requests that were told to come again, because others were in the way.
    pub busy: i64,
    /// Requests that were told to let go first, because an older task was in the way.
    pub died: i64,
    /// Leases that ran out.
    pub expired: i64,
    /// Locks that people took away.
    pub forced: i64,
    /// Writes refused because their lock was over or their token old: near misses.
    pub stale_writes: i64,
    /// Writes refused because another held the lock: conflicts avoided.
    pub conflicts_avoided: i64,
    /// The mean wait of requests that waited and were granted, in milliseconds.
    pub mean_wait_ms: i64,
    /// The longest such wait, in milliseconds.
    pub longest_wait_ms: i64,
}

/// Which locks are meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// Those on this resource and below it; files of every run.
    Resource(Resource),
    /// Those of a task.
    Task(TaskId),
    /// Those of an agent.
    Agent(String),
    /// Those of a run.
    Run(RunId),
    /// All.
    All,
}

impl Which {
    fn query(&self) -> Query<'_> {
        match self {
            Self::Resource(_) | Self::All => Query::default(),
            Self::Task(task) => Query { task: Some(*task), ..Query::default() },
            Self::Agent(agent) => Query { agent, ..Query::default() },
            Self::Run(run) => Query { run: Some(*run), ..Query::default() },
        }
    }

    fn takes(&self, row: &Record) -> bool {
        match self {
            Self::Resource(wanted) => wanted.covers(&Resource::stored(&row.kind, &row.path).plain()),
            Self::Task(_) | Self::Agent(_) | Self::Run(_) | Self::All => true,
        }
    }
}

/// Locks for a holder that no attempt is driven for: a program beside the pool asks, keeps, and leaves by these, and has the
/// expiry run where there is no pool to do it. The benches and the lock storm are such programs; agents lock at their desk.
impl Engine {
    /// Asks for all of `items` or nothing; waits in turn up to `wait`. Who waits asks [`Engine::locks`] how it stands.
    pub async fn acquire_locks(&self, holder: Holder, items: Vec<Item>, wait: Duration) -> Result<Got> {
        match self.store().run(Acquire { ws: self.ws(), holder, items, wait }).await? {
            Got::Refused(refusal) => Err(Error::Refused(refusal)),
            got => Ok(got),
        }
    }

    /// Lets go of these resources, or of all that the holder has.
    pub async fn release_locks(&self, holder: Holder, only: Option<Vec<Resource>>) -> Result<Vec<Resource>> {
        let freed = self.store().run(Release { ws: self.ws(), holder, only }).await?;
        self.wake().notify_one();
        Ok(freed.iter().map(Resource::plain).collect())
    }

    /// Lets go of all that a holder has and waits for.
    pub async fn leave_locks(&self, holder: Holder) -> Result<()> {
        self.store().run(Leave { ws: self.ws(), holder }).await?;
        self.wake().notify_one();
        Ok(())
    }

    /// Keeps what a holder has that no worker keeps for it: it has been heard of.
    pub async fn keep_locks(&self, task: TaskId, lease: Duration) -> Result<()> {
        Ok(self.store().run(Keep { ws: self.ws(), task, lease }).await?)
    }

    /// Ends the leases and waits that have run out now; the pool does this by itself.
    pub async fn expire_locks(&self) -> Result<usize> {
        Ok(self.store().run(Expire { ws: self.ws() }).await?)
    }
}

impl Engine {
    /// The locks that are held and waited for.
    pub async fn locks(&self, which: Which) -> Result<Vec<LockView>> {
        let found = self.store().read(Look { ws: self.ws(), which }).await?;
        Ok(found.iter().map(view).collect::<Stored<Vec<_>>>()?)
    }

    /// Who waits for whom.
    pub async fn lock_graph(&self) -> Result<WaitGraph> {
        let found = self.store().read(Look { ws: self.ws(), which: Which::All }).await?;
        let edges = graph::edges(&rows(&found)?);
        let circle = graph::circle(&edges).unwrap_or_default();
        let agent = |task| found.iter().find(|row| row.task == task).map(|row| row.agent.clone()).unwrap_or_default();
        let edge = |edge: Edge<TaskId>| WaitEdge { agent: agent(edge.from), task: edge.from, waits_for: edge.to };
        Ok(WaitGraph { edges: edges.into_iter().map(edge).collect(), circle })
    }

    /// Counters over the locks of the workspace.
    pub async fn lock_stats(&self) -> Result<LockStats> {
        let (counts, rows) = self.store().read(Count { ws: self.ws() }).await?;
        let waiting = rows.iter().filter(|row| row.waits).count();
        let ended = counts.as_ref().map_or(0, |counts| counts.waits).max(1);
        let told = |counts: Stats| LockStats {
            held: rows.len() - waiting,
            waiting,
            granted: counts.granted,
            waits: counts.waits,
            busy: counts.busy,
            died: counts.died,
            expired: counts.expired,
            forced: counts.forced,
            stale_writes: counts.stale,
            conflicts_avoided: counts.avoided,
            mean_wait_ms: counts.waited_us / 1_000 / ended,
            longest_wait_ms: counts.longest_us / 1_000,
        };
        Ok(counts.map(told).unwrap_or_default())
    }

    /// Takes locks away from whoever holds them; gives what was taken. Their next write is refused.
    pub async fn force_locks(&self, which: Which, user: &str) -> Result<Vec<LockView>> {
        let force = Force { ws: self.ws(), which, who: format!("user:{user}") };
        let taken = self.govern(user, "take locks away", force).await?;
        self.wake().notify_one();
        Ok(taken.iter().map(view).collect::<Stored<Vec<_>>>()?)
    }
}

fn view(row: &Record) -> Stored<LockView> {
    let item = row.item()?;
    Ok(LockView {
        resource: item.resource.plain(),
        mode: item.mode,
        state: if row.waits { "waiting" } else { "held" },
        agent: row.agent.clone(),
        task: row.task,
        run: row.run,
        token: row.token,
        since: row.since,
        until: row.until,
    })
}

/// Reads what is meant, page by page.
async fn look(tx: &mut Tx<'_>, which: &Which) -> Stored<Vec<Record>> {
    let mut found: Vec<Record> = Vec::new();
    let mut last: Option<Record> = None;
    loop {
        let after = last.as_ref().map(|row| (row.kind.as_str(), row.path.as_str(), row.task, row.waits));
        let page = lock::list(tx, &Query { after, ..which.query() }, PAGE).await?;
        let more = i64::try_from(page.len()).unwrap_or(i64::MAX) == PAGE;
        last = page.last().cloned();
        found.extend(page.into_iter().filter(|row| which.takes(row)));
        if !more || found.len() >= MOST {
            return Ok(found);
        }
    }
}

macro_rules! use_case {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),* } -> $out:ty, |$this:ident, $tx:ident| $body:expr) => {
        $(#[$doc])*
        pub(crate) struct $name {
            pub ws: WorkspaceId,
            $(pub $field: $type,)*
        }

        impl UseCase for $name {
            type Out = $out;

            fn ws(&self) -> WorkspaceId {
                self.ws
            }

            async fn run(&self, $tx: &mut Tx<'_>) -> Stored<$out> {
                let $this = self;
                $body
            }
        }
    };
}

use_case! {
    /// Asks for locks.
    Acquire { holder: Holder, items: Vec<Item>, wait: Duration } -> Got,
    |this, tx| acquire(tx, &this.holder, this.items.clone(), this.wait).await
}

use_case! {
    /// Lets go of locks.
    Release { holder: Holder, only: Option<Vec<Resource>> } -> Vec<Resource>,
    |this, tx| release(tx, &this.holder, this.only.as_deref()).await
}

use_case! {
    /// Lets go of everything.
    Leave { holder: Holder } -> (),
    |this, tx| leave(tx, this.holder.run, this.holder.task, &this.holder.agent).await
}

use_case! {
    /// Keeps what a holder has.
    Keep { task: TaskId, lease: Duration } -> (),
    |this, tx| { let until = tx.now().after(this.lease); lock::keep(tx, this.task, until).await.map(drop) }
}

use_case! {
    /// Ends what has run out.
    Expire { } -> usize,
    |_this, tx| expire(tx).await
}

use_case! {
    /// Reads locks.
    Look { which: Which } -> Vec<Record>,
    |this, tx| look(tx, &this.which).await
}

use_case! {
    /// Reads the counters.
    Count { } -> (Option<Stats>, Vec<Record>),
    |_this, tx| Ok((lock::stats(tx).await?, look(tx, &Which::All).await?))
}

use_case! {
    /// Takes locks away.
    Force { which: Which, who: String } -> Vec<Record>,
    |this, tx| force(tx, &this.which, &this.who).await
}

async fn force(tx: &mut Tx<'_>, which: &Which, who: &str) -> Stored<Vec<Record>> {
    let taken: Vec<_> = look(tx, which).await?.into_iter().filter(|row| !row.waits).collect();
    let mut freed = Vec::with_capacity(taken.len());
    for row in &taken {
        let resource = row.item()?.resource;
        lock::remove(tx, row.task, &resource).await?;
        let payload = json!({"resource": resource.plain(), "agent": row.agent, "token": row.token});
        emit(tx, Kind::LockForced, on(row.task), (Some(row.run), who), payload);
        freed.push(resource);
    }
    if !freed.is_empty() {
        let forced = i64::try_from(freed.len()).unwrap_or(i64::MAX);
        lock::count(tx, &Counts { forced, ..Counts::default() }).await?;
        serve(tx, &freed).await?;
    }
    Ok(taken)
}
