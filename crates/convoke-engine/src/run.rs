//! Runs: start, pause, resume, cancel. Each is one use case; what follows from it is [`crate::advance`]'s.

use std::sync::Arc;

use convoke_domain::budget::SESSION_DEFAULT;
use convoke_domain::event::Kind;
use convoke_domain::id::{RunId, SessionId, WorkspaceId};
use convoke_domain::money::Money;
use convoke_domain::refusal::Refusal;
use convoke_domain::run::{Command, State, decide};
use convoke_domain::spec::RunSpec;
use convoke_domain::task::{Priority, WaitReason, rank};
use convoke_store::{Result as Stored, Tx, UseCase, blob, budget, run, session, task};
use serde_json::json;

use crate::advance;
use crate::claim::{Assignment, ClaimSpec, claim_ready};
use crate::engine::emit;
use crate::{Engine, Result, scale, wait};

/// The longest task text, in bytes.
const TASK_BYTES: usize = 256 * 1024;

/// Spending caps of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Caps {
    /// The most dollars.
    pub cost: Option<Money>,
    /// The most tokens.
    pub tokens: Option<i64>,
}

/// What it takes to start a run.
#[derive(Debug, Clone)]
pub struct StartRun {
    /// Team, profiles and models.
    pub spec: RunSpec,
    /// The team's version.
    pub team_version: i64,
    /// What to do.
    pub task: String,
    /// A folder that members may read.
    pub input: Option<String>,
    /// The session; a new one if absent.
    pub session: Option<SessionId>,
    /// Caps of this run; the team's if absent.
    pub caps: Caps,
    /// A script plays the models.
    pub simulated: bool,
    /// Who asks for it, by name.
    pub user: String,
    /// The same key twice is the same run.
    pub idempotency_key: Option<String>,
}

/// How a run goes on.
#[derive(Debug, Clone, Default)]
pub struct Resume {
    /// New caps, where they shall change.
    pub caps: Caps,
    /// Who says so, by name.
    pub user: String,
}

pub(crate) struct LoadSpec {
    pub ws: WorkspaceId,
    pub digest: blob::BlobHash,
}

impl UseCase for LoadSpec {
    type Out = Vec<u8>;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Vec<u8>> {
        blob::get(tx, self.digest).await
    }
}

/// Reads which spec a run has pinned.
struct SpecOf {
    ws: WorkspaceId,
    run: RunId,
}

impl UseCase for SpecOf {
    type Out = String;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<String> {
        Ok(run::hold(tx, self.run).await?.spec)
    }
}

impl Engine {
    /// What a run has pinned.
    pub(crate) async fn spec_of(&self, run: RunId) -> Result<Arc<RunSpec>> {
        let digest = self.store().read(SpecOf { ws: self.ws(), run }).await?;
        self.spec(&digest).await
    }

    /// Accepts a run. It is durable when this returns; a worker takes it from there.
    pub async fn start_run(&self, mut start: StartRun) -> Result<RunId> {
        if start.task.trim().is_empty() {
            return Err(Refusal::new("empty_task", "the task is empty")
                .hint("say in a sentence what the team shall do")
                .into());
        }
        if start.task.len() > TASK_BYTES {
            let message = format!("the task has {} bytes; at most {TASK_BYTES} are allowed", start.task.len());
            return Err(Refusal::new("task_too_long", message).hint("put long material into the input folder").into());
        }
        self.pin_weights(&mut start.spec).await?;
        let body = serde_json::to_vec(&start.spec).map_err(convoke_store::Error::from)?;
        let digest = blob::BlobHash::of(&body).to_string();
        let spec = match self.remembered(&digest) {
            Some(spec) => spec,
            None => self.remember(&digest, Arc::new(start.spec.clone())),
        };
        let room = self.inline_room();
        let create = CreateRun {
            ws: self.ws(),
            id: RunId(self.fresh()),
            new_session: SessionId(self.fresh()),
            body,
            digest,
            spec,
            start,
            claim: room.spec(self),
        };
        let user = create.start.user.clone();
        let (id, claimed) = self.start_as(&user, create).await?;
        self.take_over(claimed, room);
        Ok(id)
    }

    /// Holds a run back: steps under way end, none begins.
    pub async fn pause(&self, run: RunId, user: &str) -> Result<()> {
        self.govern(user, "pause runs", Pause { ws: self.ws(), run, user: user.to_owned() }).await
    }

    /// Lets a paused or waiting run go on, with other caps where given.
    pub async fn resume(&self, run: RunId, how: Resume) -> Result<()> {
        let user = how.user.clone();
        self.govern(&user, "resume runs", ResumeRun { ws: self.ws(), run, how }).await?;
        self.wake().notify_one();
        Ok(())
    }

    /// Calls a run off: nothing begins any more, running calls are cut.
    pub async fn cancel(&self, run: RunId, user: &str) -> Result<()> {
        self.govern(user, "cancel runs", Cancel { ws: self.ws(), run, who: format!("user:{user}") }).await?;
        self.interrupt(run);
        Ok(())
    }
}

struct CreateRun {
    ws: WorkspaceId,
    id: RunId,
    new_session: SessionId,
    body: Vec<u8>,
    digest: String,
    spec: Arc<RunSpec>,
    start: StartRun,
    claim: Option<ClaimSpec>,
}

impl UseCase for CreateRun {
    type Out = (RunId, Vec<Assignment>);

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Self::Out> {
        if let Some(key) = &self.start.idempotency_key
            && let Some((id, team, task)) = run::by_key(tx, key).await?
        {
            if team == self.start.spec.team.name && task == self.start.task {
                return Ok((id, Vec::new()));
            }
            let message = format!("the idempotency key `{key}` was used for another run ({id})");
            return Err(Refusal::new("idempotency_mismatch", message).hint("use a new key for a new task").into());
        }
        let session = self.session(tx).await?;
        blob::put(tx, &self.body).await?;
        self.insert(tx, session).await?;
        scale::begin(tx, self.id, &self.spec).await?;
        advance::decide_next(tx, self.id, &self.spec).await?;
        let claimed = match &self.claim {
            Some(spec) => claim_ready(tx, spec).await?,
            None => Vec::new(),
        };
        Ok((self.id, claimed))
    }
}

impl CreateRun {
    fn who(&self) -> String {
        format!("user:{}", self.start.user)
    }

    /// The session to run in, with its budget.
    async fn session(&self, tx: &mut Tx<'_>) -> Stored<SessionId> {
        if let Some(session) = self.start.session {
            return if session::exists(tx, session).await? {
                Ok(session)
            } else {
                Err(convoke_store::Error::missing("session", session))
            };
        }
        let title: String = self.start.task.lines().next().unwrap_or_default().chars().take(80).collect();
        session::insert(tx, self.new_session, &title, &self.who()).await?;
        // A session of one run has that run's cap, so that `--budget` alone decides.
        let cap = self.cap().unwrap_or(SESSION_DEFAULT);
        budget::open(tx, &format!("session:{}", self.new_session), Some(cap), None).await?;
        let on = ("session", self.new_session.to_string());
        emit(tx, Kind::SessionCreated, on, (None, &self.who()), json!({"title": title, "cap_usd": cap}));
        Ok(self.new_session)
    }

    fn cap(&self) -> Option<Money> {
        self.start.caps.cost.or(self.start.spec.team.budget.max_cost_usd)
    }

    async fn insert(&self, tx: &mut Tx<'_>, session: SessionId) -> Stored<()> {
        let (start, team) = (&self.start, &self.start.spec.team);
        let timeout_us = i64::try_from(team.rules.timeout_s.saturating_mul(1_000_000)).unwrap_or(i64::MAX);
        let who = self.who();
        let row = run::NewRow {
            id: self.id,
            session,
            team: &team.name,
            team_version: start.team_version,
            spec: &self.digest,
            task: &start.task,
            input: start.input.as_deref(),
            simulated: start.simulated,
            created_by: &who,
            idem_key: start.idempotency_key.as_deref(),
            timeout_us,
        };
        run::insert(tx, &row).await?;
        let tokens = start.caps.tokens.or(team.budget.max_tokens.and_then(|tokens| i64::try_from(tokens).ok()));
        budget::open(tx, &format!("run:{}", self.id), self.cap(), tokens).await?;
        let payload = json!({
            "team": team.name, "team_version": start.team_version, "task": start.task, "input": start.input,
            "session": session, "simulated": start.simulated,
        });
        emit(tx, Kind::RunCreated, ("run", self.id.to_string()), (Some(self.id), &who), payload);
        Ok(())
    }
}

struct Pause {
    ws: WorkspaceId,
    run: RunId,
    user: String,
}

impl UseCase for Pause {
    type Out = ();

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<()> {
        let held = run::hold(tx, self.run).await?;
        let state = decide(state_of(&held)?, Command::Pause)?;
        run::set_state(tx, self.run, state.as_str(), Some("by a person")).await?;
        task::set_held(tx, self.run, true).await?;
        let who = format!("user:{}", self.user);
        emit(
            tx,
            Kind::RunPaused,
            ("run", self.run.to_string()),
            (Some(self.run), &who),
            json!({"reason": "by a person"}),
        );
        Ok(())
    }
}

struct ResumeRun {
    ws: WorkspaceId,
    run: RunId,
    how: Resume,
}

impl UseCase for ResumeRun {
    type Out = ();

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<()> {
        let held = run::hold(tx, self.run).await?;
        let state = state_of(&held)?;
        let who = format!("user:{}", self.how.user);
        if state.has_ended() {
            decide(state, Command::Resume)?;
        }
        self.change_caps(tx, &held, &who).await?;
        run::extend(tx, self.run).await?;
        if state == State::Waiting
            && !task::waits_for(tx, self.run, WaitReason::UnknownEffect.as_str()).await?.is_empty()
        {
            let refusal =
                Refusal::new("outcome_unknown", "the run waits for a person to say what became of a tool call");
            return Err(refusal.hint("see `convoke show RUN`, then `convoke resolve EFFECT done|failed|retry`").into());
        }
        if state == State::Waiting && wait::needs_people(tx, self.run).await? {
            let refusal =
                Refusal::new("waits_for_person", "the run waits for people, and nothing else of it can go on");
            return Err(refusal.hint("`convoke inbox` lists what waits, with the command that answers it").into());
        }
        if matches!(state, State::Paused | State::Waiting) {
            task::set_held(tx, self.run, false).await?;
            let rank = rank(Priority::High, tx.now());
            task::wake(tx, self.run, WaitReason::Budget.as_str(), rank).await?;
            set_going(tx, &held).await?;
            emit(tx, Kind::RunResumed, ("run", self.run.to_string()), (Some(self.run), &who), json!({}));
            wait::rest(tx, self.run).await?;
        }
        Ok(())
    }
}

impl ResumeRun {
    /// New caps hold for the run, and for its session where that is tighter.
    async fn change_caps(&self, tx: &mut Tx<'_>, held: &run::Held, who: &str) -> Stored<()> {
        let caps = self.how.caps;
        if caps == Caps::default() {
            return Ok(());
        }
        let names = [format!("run:{}", self.run), format!("session:{}", held.session)];
        for row in budget::hold(tx, &names).await? {
            let is_run = row.scope == names[0];
            let old_cost = row.cap_cost.map(Money::from_nanos);
            let cost = match caps.cost {
                Some(new) if is_run || old_cost.is_some_and(|old| old < new) => Some(new),
                _ => old_cost,
            };
            let tokens = if is_run { caps.tokens.or(row.cap_tokens) } else { row.cap_tokens };
            budget::set_cap(tx, &row.scope, cost, tokens).await?;
            let payload = json!({"cap_usd": cost, "cap_tokens": tokens, "was_usd": old_cost});
            emit(tx, Kind::BudgetChanged, ("budget", row.scope), (Some(self.run), who), payload);
        }
        Ok(())
    }
}

/// Lets a run go on in the state that fits its phase.
pub(crate) async fn set_going(tx: &mut Tx<'_>, held: &run::Held) -> Stored<()> {
    let aggregating = matches!(held.phase.as_str(), "synthesis" | "validation");
    let state = if aggregating { State::Aggregating } else { State::Running };
    run::set_state(tx, held.id, state.as_str(), None).await
}

/// True if a run in the state of this name has ended.
pub(crate) fn is_over(state: &str) -> bool {
    matches!(state, "completed" | "failed" | "cancelled" | "escalated")
}

pub(crate) fn state_of(held: &run::Held) -> Stored<State> {
    State::parse(&held.state)
        .ok_or_else(|| convoke_store::Error::broken(format!("run {} has no state `{}`", held.id, held.state)))
}

pub(crate) struct Cancel {
    pub ws: WorkspaceId,
    pub run: RunId,
    pub who: String,
}

impl UseCase for Cancel {
    type Out = ();

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<()> {
        let held = run::hold(tx, self.run).await?;
        decide(state_of(&held)?, Command::Cancel)?;
        advance::end_run(tx, self.run, State::Cancelled, (None, None), &self.who).await
    }
}
