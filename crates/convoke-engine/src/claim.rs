//! Claiming: ready tasks go to a worker, under a lease with a fencing token, as far as their agents have room.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use convoke_domain::event::Kind;
use convoke_domain::id::{RunId, SessionId, TaskId, WorkspaceId};
use convoke_domain::task::{self as domain, Command, State};
use convoke_domain::time::Timestamp;
use convoke_store::{Result, Tx, UseCase, agent, attempt, run, task};
use serde_json::json;

use crate::engine::emit;
use crate::{lock, spawn};

/// Candidates looked at for each task wanted where those in front do not do, before the search goes agent by agent.
const LOOKAHEAD: i64 = 4;
/// Agents looked at when those in front have no room.
const AGENTS: i64 = 256;

/// A task that a worker holds, with all it needs to begin.
#[derive(Debug, Clone)]
pub(crate) struct Assignment {
    pub ws: WorkspaceId,
    pub task: TaskId,
    pub run: RunId,
    pub key: String,
    pub title: String,
    pub stage: String,
    pub round: i64,
    pub agent: String,
    pub instructions: String,
    pub output_schema: Option<String>,
    pub attempt: i64,
    /// The attempt was begun before: its steps are in the store.
    pub continued: bool,
    /// It is given results of other tasks.
    pub has_inputs: bool,
    pub fence: i64,
    pub timeout: Duration,
    pub spec: String,
    pub run_task: String,
    pub input: Option<String>,
    pub session: SessionId,
    /// There are messages for the agent.
    pub has_mail: bool,
    /// Rights were granted to the agent.
    pub has_grants: bool,
}

/// Who claims how much.
#[derive(Debug, Clone)]
pub(crate) struct ClaimSpec {
    pub worker: String,
    pub lease: Duration,
    pub limit: usize,
}

/// Claims what is ready in a workspace.
pub(crate) struct Claim {
    pub ws: WorkspaceId,
    pub spec: ClaimSpec,
}

impl UseCase for Claim {
    /// What was claimed, and when to look again for what may not be claimed yet.
    type Out = (Vec<Assignment>, Option<Timestamp>);

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Self::Out> {
        spawn::lose_all(tx).await?;
        let claimed = claim_ready(tx, &self.spec).await?;
        let next = if claimed.is_empty() { task::next_not_before(tx).await? } else { None };
        Ok((claimed, next))
    }
}

/// Claims up to the limit, in the order of rank, passing over agents without room.
pub(crate) async fn claim_ready(tx: &mut Tx<'_>, spec: &ClaimSpec) -> Result<Vec<Assignment>> {
    let chosen = choose(tx, spec.limit).await?;
    let mut by_agent: BTreeMap<String, i64> = BTreeMap::new();
    let mut started: BTreeSet<RunId> = BTreeSet::new();
    let mut assignments = Vec::with_capacity(chosen.len());
    for candidate in chosen {
        *by_agent.entry(candidate.agent.clone()).or_default() += 1;
        if candidate.run_state == "initializing" && started.insert(candidate.run) {
            run::set_state(tx, candidate.run, "running", None).await?;
            emit(tx, Kind::RunStarted, ("run", candidate.run.to_string()), (Some(candidate.run), "system"), json!({}));
        }
        assignments.push(start(tx, spec, candidate).await?);
    }
    for (name, more) in by_agent {
        agent::count(tx, &name, more).await?;
    }
    Ok(assignments)
}

/// The tasks to claim: from the front of the queue, from further behind where some in front belong to agents without
/// room, and agent by agent where all of those do.
async fn choose(tx: &mut Tx<'_>, limit: usize) -> Result<Vec<task::Candidate>> {
    let want = i64::try_from(limit).unwrap_or(i64::MAX);
    let (mut room, mut chosen) = (BTreeMap::new(), Vec::new());
    for look in [want, want.saturating_mul(LOOKAHEAD)] {
        let front = task::candidates(tx, look).await?;
        let is_all = i64::try_from(front.len()).unwrap_or(i64::MAX) < look;
        room.clear();
        chosen = take_fitting(front, limit, &mut room);
        if is_all || chosen.len() == limit {
            return Ok(chosen);
        }
    }
    for (name, free) in agent::with_room(tx, AGENTS).await? {
        let free = room.get(&name).copied().unwrap_or(free);
        if free > 0 && chosen.len() < limit {
            let known: BTreeSet<_> = chosen.iter().map(|task| task.id).collect();
            let mut more = task::candidates_of(tx, &name, free.min(want).saturating_add(want)).await?;
            more.retain(|task| !known.contains(&task.id));
            let left = limit - chosen.len();
            chosen.extend(take_fitting(more, left, &mut room));
        }
    }
    Ok(chosen)
}

fn take_fitting(
    candidates: Vec<task::Candidate>,
    limit: usize,
    room: &mut BTreeMap<String, i64>,
) -> Vec<task::Candidate> {
    let mut taken = Vec::new();
    for candidate in candidates {
        let free = room.entry(candidate.agent.clone()).or_insert(candidate.capacity - candidate.running);
        if *free > 0 && taken.len() < limit {
            *free -= 1;
            taken.push(candidate);
        }
    }
    taken
}

async fn start(tx: &mut Tx<'_>, spec: &ClaimSpec, found: task::Candidate) -> Result<Assignment> {
    domain::decide(State::Ready, Command::Claim)?;
    let continued = found.resume && found.attempt > 0;
    let number = if continued { found.attempt } else { found.attempt + 1 };
    let fence = found.fence + 1;
    task::start(tx, found.id, number, fence, (&spec.worker, tx.now().after(spec.lease))).await?;
    if continued {
        lock::taken_over(tx, found.id, tx.now().after(spec.lease)).await?;
    } else {
        attempt::insert(tx, found.id, number, &found.agent).await?;
    }
    let kind = if continued { Kind::TaskTakenOver } else { Kind::TaskStarted };
    let payload = json!({"key": found.key, "stage": found.stage, "attempt": number, "fence": fence});
    let actor = format!("agent:{}", found.agent);
    emit(tx, kind, ("task", found.id.to_string()), (Some(found.run), &actor), payload);
    Ok(Assignment {
        ws: tx.ws(),
        task: found.id,
        run: found.run,
        key: found.key,
        title: found.title,
        stage: found.stage,
        round: found.round,
        agent: found.agent,
        instructions: found.instructions,
        output_schema: found.output_schema,
        attempt: number,
        continued,
        has_inputs: found.parents > 0,
        fence,
        timeout: Duration::from_micros(u64::try_from(found.timeout_us).unwrap_or(0)),
        spec: found.spec,
        run_task: found.run_task,
        input: found.input,
        session: found.session,
        has_mail: found.mail > 0,
        has_grants: found.granted > 0,
    })
}
