//! A task's life as use cases over the store's nouns: created, claimed, completed.
//!
//! Rule: each does the statements and emits the events that the engine's own does for the same act (`claim.rs`,
//! `journal.rs` and `advance.rs` there, which are private because an attempt must pass their doors), with the domain's
//! `decide` in between. Left out is what is not an act on a task: the steps of the attempt, and the pattern, which the
//! engine asks once per run when nothing is open. Start at [`Create`].

use std::collections::BTreeMap;
use std::time::Duration;

use convoke_domain::event::{Kind, NewEvent};
use convoke_domain::id::{RunId, SessionId, TaskId, WorkspaceId};
use convoke_domain::task::{Command, Priority, State, decide, rank};
use convoke_store::{Error, Result, Tx, UseCase, agent, attempt, run, session, task};
use serde_json::{Value, json};

/// Who takes part.
pub const AGENTS: [&str; 8] =
    ["architecture", "billing", "cost", "deploys", "logs", "network", "performance", "security"];
/// The worker that holds every claim.
pub const WORKER: &str = "worker-of-the-bench";
const LEASE: Duration = Duration::from_secs(30);
const CAPACITY: i64 = 1_000_000;
const TIMEOUT_US: i64 = 300_000_000;
/// What a task of the usual length says.
const INSTRUCTIONS: &str = "Look through what was recorded between 09:40 and 10:20 UTC for what changed first, compare it \
                            with the hour before, and say which of the changes can explain what customers saw, and why.";
/// What an answer of the usual length says.
const OUTPUT: &str = "The error rate of checkout rose at 10:02:14, two minutes after release 2093 began. Before that, \
                      nothing in this field differs from the day before. The release is the likely cause.";

pub(crate) fn emit(tx: &mut Tx<'_>, kind: Kind, on: (&'static str, String), by: (RunId, &str), payload: Value) {
    let (entity, entity_id) = on;
    tx.emit(NewEvent { kind, entity, entity_id, run: Some(by.0), actor: by.1.to_owned(), payload });
}

/// Adds the agents and some runs for tasks to belong to. Each run counts one task more than it has, so that it stays open.
pub struct Lay {
    /// How many runs.
    pub runs: usize,
}

impl UseCase for Lay {
    type Out = Vec<RunId>;

    fn ws(&self) -> WorkspaceId {
        WorkspaceId::DEFAULT
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Vec<RunId>> {
        for name in AGENTS {
            let row = agent::NewRow {
                kind: "llm",
                name,
                profile_version: 1,
                role: "specialist",
                capabilities: "[]",
                tags: "[]",
                capacity: CAPACITY,
                active: true,
            };
            agent::upsert(tx, &row).await?;
        }
        let mut runs = Vec::with_capacity(self.runs);
        for place in 0..self.runs {
            runs.push(add_run(tx, place).await?);
        }
        Ok(runs)
    }
}

async fn add_run(tx: &mut Tx<'_>, place: usize) -> Result<RunId> {
    let seed = place.to_be_bytes();
    let (id, session) = (RunId::derived(tx.now(), &[&seed]), SessionId::derived(tx.now(), &[&seed]));
    session::insert(tx, session, "Find the cause of the outage", "user:bench").await?;
    let row = run::NewRow {
        id,
        session,
        team: "bench",
        team_version: 1,
        spec: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        task: "Find the cause of the outage and say what to do.",
        input: None,
        simulated: false,
        created_by: "user:bench",
        idem_key: None,
        timeout_us: 12 * TIMEOUT_US,
    };
    run::insert(tx, &row).await?;
    run::count_tasks(tx, id, 1, 1).await?;
    Ok(id)
}

/// Adds a task that is ready at once.
pub struct Create {
    /// The run it belongs to.
    pub run: RunId,
    /// Its name, new within the run.
    pub key: String,
    /// Who does it.
    pub agent: &'static str,
}

impl UseCase for Create {
    type Out = TaskId;

    fn ws(&self) -> WorkspaceId {
        WorkspaceId::DEFAULT
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<TaskId> {
        let held = run::hold(tx, self.run).await?;
        let id = TaskId::derived(tx.now(), &[self.run.0.as_bytes(), self.key.as_bytes()]);
        let row = task::NewRow {
            id,
            run: self.run,
            n: held.made_tasks + 1,
            key: &self.key,
            title: "What changed first",
            stage: "work",
            round: 1,
            agent: self.agent,
            instructions: INSTRUCTIONS,
            output_schema: None,
            priority: Priority::Normal.as_str(),
            state: "ready",
            rank: rank(Priority::Normal, tx.now()),
            held: held.state == "paused",
            deps_left: 0,
            parents: 0,
            retries_left: 3,
            timeout_us: TIMEOUT_US,
            parent: None,
            depth: 0,
        };
        task::insert(tx, &row).await?;
        let payload = json!({"key": self.key, "title": row.title, "stage": row.stage, "round": 1, "agent": self.agent, "state": row.state});
        emit(tx, Kind::TaskCreated, ("task", id.to_string()), (self.run, "system"), payload);
        run::count_tasks(tx, self.run, 1, 1).await?;
        Ok(id)
    }
}

/// A task that was claimed.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The task.
    pub task: TaskId,
    /// Its run.
    pub run: RunId,
    /// Its name within stage and round.
    pub key: String,
    /// What it is for.
    pub stage: String,
    /// Who does it.
    pub agent: String,
    /// Which attempt this is.
    pub attempt: i64,
    /// The token of the claim.
    pub fence: i64,
}

/// Claims what comes first, whoever made it.
pub struct Claim {
    /// How many tasks at most.
    pub limit: usize,
}

impl UseCase for Claim {
    type Out = Vec<Claimed>;

    fn ws(&self) -> WorkspaceId {
        WorkspaceId::DEFAULT
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Vec<Claimed>> {
        let want = i64::try_from(self.limit).unwrap_or(i64::MAX);
        let mut front = task::candidates(tx, want).await?;
        front.retain(|found| found.running < found.capacity);
        front.truncate(self.limit);
        let mut by_agent: BTreeMap<String, i64> = BTreeMap::new();
        let mut started: Vec<RunId> = Vec::new();
        let mut claimed = Vec::with_capacity(front.len());
        for found in front {
            *by_agent.entry(found.agent.clone()).or_default() += 1;
            if found.run_state == "initializing" && !started.contains(&found.run) {
                started.push(found.run);
                run::set_state(tx, found.run, "running", None).await?;
                emit(tx, Kind::RunStarted, ("run", found.run.to_string()), (found.run, "system"), json!({}));
            }
            claimed.push(start(tx, found).await?);
        }
        for (name, more) in by_agent {
            agent::count(tx, &name, more).await?;
        }
        Ok(claimed)
    }
}

async fn start(tx: &mut Tx<'_>, found: task::Candidate) -> Result<Claimed> {
    decide(State::Ready, Command::Claim)?;
    let (number, fence) = (found.attempt + 1, found.fence + 1);
    task::start(tx, found.id, number, fence, (WORKER, tx.now().after(LEASE))).await?;
    attempt::insert(tx, found.id, number, &found.agent).await?;
    let payload = json!({"key": found.key, "stage": found.stage, "attempt": number, "fence": fence});
    let actor = format!("agent:{}", found.agent);
    emit(tx, Kind::TaskStarted, ("task", found.id.to_string()), (found.run, &actor), payload);
    let task::Candidate { id, run, key, stage, agent, .. } = found;
    Ok(Claimed { task: id, run, key, stage, agent, attempt: number, fence })
}

/// Ends a claimed task with a result, and lets go of those that waited for it.
pub struct Complete(pub Claimed);

impl UseCase for Complete {
    /// Tasks that became ready.
    type Out = usize;

    fn ws(&self) -> WorkspaceId {
        WorkspaceId::DEFAULT
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<usize> {
        let at = &self.0;
        let held = task::hold(tx, at.task).await?;
        if held.state != "running" || held.fence != at.fence {
            return Err(Error::Conflict(format!("task {} is not held any more", at.task)));
        }
        decide(State::Running, Command::Complete)?;
        attempt::end(tx, at.task, at.attempt, "completed", None).await?;
        agent::count(tx, &held.agent, -1).await?;
        task::end(tx, at.task, "completed", Some(OUTPUT), None).await?;
        let payload = json!({"key": at.key, "stage": at.stage, "attempt": at.attempt});
        let actor = format!("agent:{}", at.agent);
        emit(tx, Kind::TaskCompleted, ("task", at.task.to_string()), (at.run, &actor), payload);
        let mut ready = 0;
        for child in task::children(tx, at.task).await?.into_iter().filter(|child| child.state == "pending") {
            ready += usize::from(release(tx, at.run, &child).await?);
        }
        run::count_tasks(tx, at.run, 0, -1).await?;
        Ok(ready)
    }
}

async fn release(tx: &mut Tx<'_>, run: RunId, child: &task::Child) -> Result<bool> {
    let left = child.deps_left - 1;
    let rank = rank(Priority::parse(&child.priority), tx.now());
    task::release(tx, child.id, left, rank).await?;
    if left == 0 {
        emit(tx, Kind::TaskReady, ("task", child.id.to_string()), (run, "system"), json!({"key": child.key}));
    }
    Ok(left == 0)
}

/// Claims and completes so many tasks in one transaction: the cost of an act without that of its commit.
pub struct Pass {
    /// How many tasks.
    pub tasks: usize,
}

impl UseCase for Pass {
    /// How many there were.
    type Out = usize;

    fn ws(&self) -> WorkspaceId {
        WorkspaceId::DEFAULT
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<usize> {
        for done in 0..self.tasks {
            let Some(claimed) = Claim { limit: 1 }.run(tx).await?.pop() else { return Ok(done) };
            Complete(claimed).run(tx).await?;
        }
        Ok(self.tasks)
    }
}

/// The smallest durable act: one row into one table, no event.
pub struct OneRow {
    /// Makes it another row.
    pub task: TaskId,
    /// Makes it another row.
    pub n: i64,
}

impl UseCase for OneRow {
    type Out = ();

    fn ws(&self) -> WorkspaceId {
        WorkspaceId::DEFAULT
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<()> {
        attempt::insert(tx, self.task, self.n, AGENTS[0]).await
    }
}
