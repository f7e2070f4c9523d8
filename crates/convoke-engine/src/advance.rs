//! What a run does next, inside the transaction that ended a task: dependents are released or fail, the pattern decides,
//! its moves are carried out. There is no moment in which a run stands still and nobody knows.

use std::collections::BTreeMap;

use convoke_domain::event::Kind;
use convoke_domain::graph::Edge;
use convoke_domain::id::{RunId, TaskId};
use convoke_domain::pattern::{self, Ending, Move, NewTask, RunView, SideStage, Stage, TaskRef, TaskView};
use convoke_domain::refusal::Refusal;
use convoke_domain::run::{Command, Phase, State, decide};
use convoke_domain::spec::RunSpec;
use convoke_domain::task::{self as domain_task, Priority, WaitReason, rank};
use convoke_store::{Result, Tx, agent, attempt, run, spawn as spawned, task};
use serde_json::json;

use crate::engine::emit;
use crate::run::state_of;
use crate::{answer, desk, flow, memory, recover, scale, spawn, wait};

/// Tasks of one run, those of its pattern included, after which no agent may add one.
const TASKS_MAX: i64 = 10_000;

/// After `ended` has ended: its dependents, the count, and if this was the last one open, the pattern.
pub(crate) async fn task_ended(
    tx: &mut Tx<'_>,
    run: RunId,
    ended: TaskId,
    completed: bool,
    spec: &RunSpec,
) -> Result<()> {
    carry_on(tx, run, ended, completed, spec).await?;
    scale::balance(tx, run, spec).await
}

async fn carry_on(tx: &mut Tx<'_>, run: RunId, ended: TaskId, completed: bool, spec: &RunSpec) -> Result<()> {
    let counted = run::ask_count_tasks(tx, run, 0, -1).await?;
    let failed = follow(tx, run, vec![(ended, completed)]).await?;
    let left = tx.answer(counted).await?.pop();
    let (mut open,) = left.ok_or_else(|| convoke_store::Error::missing("run", run))?;
    if !failed.is_empty() {
        open = run::count_tasks(tx, run, 0, -number(failed.len())).await?;
    }
    if spec.flow.is_some() {
        return flow::tasks_ended(tx, run, spec, std::iter::once(ended).chain(failed)).await;
    }
    if open == 0 || !spec.team.rules.wait_for_all {
        decide_next(tx, run, spec).await?;
    }
    Ok(())
}

fn microseconds(seconds: u64) -> i64 {
    i64::try_from(seconds.saturating_mul(1_000_000)).unwrap_or(i64::MAX)
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Releases or fails what waits for tasks that have ended. Gives those that failed.
async fn follow(tx: &mut Tx<'_>, run: RunId, mut queue: Vec<(TaskId, bool)>) -> Result<Vec<TaskId>> {
    let mut failed = Vec::new();
    while let Some((parent, completed)) = queue.pop() {
        for child in task::children(tx, parent).await?.into_iter().filter(|child| child.state == "pending") {
            if child.hard && !completed {
                fail_dependent(tx, run, &child).await?;
                failed.push(child.id);
                queue.push((child.id, false));
            } else {
                release(tx, run, &child).await?;
            }
        }
    }
    Ok(failed)
}

/// Cancels tasks that somebody stopped, and lets their run go on without them.
pub(crate) async fn cancel_tasks(
    tx: &mut Tx<'_>,
    id: RunId,
    tasks: &[TaskId],
    (who, why): (&str, &str),
    spec: &RunSpec,
) -> Result<()> {
    cancel_open(tx, id, Some(tasks), who).await?;
    for task in tasks {
        task::explain(tx, *task, why).await?;
    }
    recover::bill_orphans(tx, id, Some(tasks)).await?;
    let failed = follow(tx, id, tasks.iter().map(|task| (*task, false)).collect()).await?;
    let open = run::count_tasks(tx, id, 0, -number(failed.len())).await?;
    if spec.flow.is_some() {
        return flow::tasks_ended(tx, id, spec, tasks.iter().copied().chain(failed)).await;
    }
    if !tasks.is_empty() && (open == 0 || !spec.team.rules.wait_for_all) {
        decide_next(tx, id, spec).await?;
    }
    Ok(())
}

async fn fail_dependent(tx: &mut Tx<'_>, run: RunId, child: &task::Child) -> Result<()> {
    let reason = "a task it depends on was not completed";
    domain_task::decide(domain_task::State::Pending, domain_task::Command::Fail)?;
    task::end(tx, child.id, "failed", None, Some(reason)).await?;
    let payload = json!({"key": child.key, "code": "dependency_failed", "error": reason});
    emit(tx, Kind::TaskFailed, ("task", child.id.to_string()), (Some(run), "system"), payload);
    Ok(())
}

async fn release(tx: &mut Tx<'_>, run: RunId, child: &task::Child) -> Result<()> {
    let left = child.deps_left - 1;
    let rank = rank(Priority::parse(&child.priority), tx.now());
    task::release(tx, child.id, left, rank).await?;
    if left == 0 {
        emit(tx, Kind::TaskReady, ("task", child.id.to_string()), (Some(run), "system"), json!({"key": child.key}));
    }
    Ok(())
}

/// Tells the task that waits for one of its parts how that ended.
pub(crate) async fn tell_parent(
    tx: &mut Tx<'_>,
    run: RunId,
    parent: Option<TaskId>,
    ended: TaskId,
    result: std::result::Result<&str, &str>,
) -> Result<()> {
    if parent.is_none() {
        return Ok(());
    }
    let outcome = match result {
        Ok(output) => wait::Outcome::Done(output),
        Err(error) => wait::Outcome::Failed(error),
    };
    let waiting = wait::fulfil(tx, WaitReason::Child, &ended.to_string(), outcome).await?;
    for parent in waiting {
        let state = if result.is_ok() { "completed" } else { "failed" };
        let payload = json!({"parent": parent, "state": state});
        emit(tx, Kind::CollabEnded, ("task", ended.to_string()), (Some(run), "system"), payload);
    }
    Ok(())
}

/// A task that no pattern made: part of another one, or of none.
pub(crate) struct SideTask<'a> {
    /// The task it is a part of.
    pub parent: TaskId,
    /// How many tasks are above it.
    pub depth: i64,
    /// What it is for.
    pub stage: SideStage,
    /// Its name, unique among those of its stage.
    pub key: &'a str,
    /// One line.
    pub title: &'a str,
    /// What to do.
    pub instructions: &'a str,
    /// Who does it.
    pub agent: &'a str,
    /// JSON Schema of the answer, as text.
    pub output_schema: Option<String>,
    /// How urgent it is.
    pub priority: Priority,
    /// Time for one attempt.
    pub timeout: std::time::Duration,
}

/// Adds a task that no pattern made. The pattern does not see it; its run does not go on before it has ended.
pub(crate) async fn add_side_task(tx: &mut Tx<'_>, run: RunId, spec: &RunSpec, new: &SideTask<'_>) -> Result<TaskId> {
    let held = run::hold(tx, run).await?;
    if held.made_tasks >= TASKS_MAX {
        let message = format!("the run has made {TASKS_MAX} tasks and may make no more");
        return Err(Refusal::new("too_many_tasks", message).into());
    }
    let seed = format!("{}/{}", new.stage.as_str(), new.key);
    let id = TaskId::derived(tx.now(), &[run.0.as_bytes(), seed.as_bytes()]);
    let row = task::NewRow {
        id,
        run,
        n: held.made_tasks + 1,
        key: new.key,
        title: new.title,
        stage: new.stage.as_str(),
        round: 1,
        agent: new.agent,
        instructions: new.instructions,
        output_schema: new.output_schema.clone(),
        priority: new.priority.as_str(),
        state: "ready",
        rank: rank(new.priority, tx.now()),
        held: held.state == "paused",
        deps_left: 0,
        parents: 0,
        retries_left: spec.team.rules.retries.into(),
        timeout_us: i64::try_from(new.timeout.as_micros()).unwrap_or(i64::MAX),
        parent: Some(new.parent),
        depth: new.depth,
    };
    task::insert(tx, &row).await?;
    run::add_tasks(tx, run, 1, 1).await?;
    let payload = json!({"key": new.key, "title": new.title, "stage": new.stage, "round": 1, "agent": new.agent, "state": row.state, "parent": new.parent});
    emit(tx, Kind::TaskCreated, ("task", id.to_string()), (Some(run), "system"), payload);
    Ok(id)
}

/// Calls off what is open of the parts of a task.
pub(crate) async fn cancel_parts(tx: &mut Tx<'_>, run: RunId, parent: TaskId, who: &str) -> Result<()> {
    cancel_parts_but(tx, run, parent, None, who).await
}

/// The same, but for one of them.
pub(crate) async fn cancel_parts_but(
    tx: &mut Tx<'_>,
    run: RunId,
    parent: TaskId,
    but: Option<TaskId>,
    who: &str,
) -> Result<()> {
    let mut queue = vec![parent];
    while let Some(next) = queue.pop() {
        let mut open = task::open_parts(tx, next).await?;
        open.retain(|part| Some(part.id) != but);
        queue.extend(open.iter().map(|part| part.id));
        let count = i64::try_from(open.len()).unwrap_or(i64::MAX);
        for part in &open {
            call_off(tx, run, part, who).await?;
        }
        if count > 0 {
            run::add_tasks(tx, run, 0, -count).await?;
        }
    }
    Ok(())
}

/// Calls off one part of a task, with its own parts, if it has not ended.
pub(crate) async fn cancel_part(tx: &mut Tx<'_>, run: RunId, parent: TaskId, part: TaskId, who: &str) -> Result<()> {
    let open = task::open_parts(tx, parent).await?;
    if let Some(found) = open.iter().find(|found| found.id == part) {
        call_off(tx, run, found, who).await?;
        run::add_tasks(tx, run, 0, -1).await?;
        cancel_parts(tx, run, part, who).await?;
    }
    Ok(())
}

/// Asks the pattern what comes next and carries it out.
pub(crate) async fn decide_next(tx: &mut Tx<'_>, id: RunId, spec: &RunSpec) -> Result<()> {
    if spec.flow.is_some() {
        return flow::begin(tx, id, spec).await;
    }
    let (held, records) = (run::ask_hold(tx, id).await?, task::ask_of_run(tx, id).await?);
    let held = run::held(tx, id, held).await?;
    let state = state_of(&held)?;
    if state.has_ended() {
        return Ok(());
    }
    let mut records = tx.answer(records).await?;
    records.retain(|record| record.parent.is_none());
    let members_of = scale::members(tx, id, spec).await?;
    records.iter_mut().for_each(|record| members_of.name_member(&mut record.agent));
    let views = records.iter().map(view_of).collect::<Result<Vec<_>>>()?;
    let members = spec.members();
    let moves = pattern::next(&RunView { team: &spec.team, members: &members, task: &held.task, tasks: &views });
    let known: BTreeMap<TaskRef, (TaskId, bool)> =
        views.iter().zip(&records).map(|(view, record)| (ref_of(view), (record.id, view.ending.is_some()))).collect();
    let mut turn = Turn { run: held, known, spec };
    for step in moves {
        turn.carry_out(tx, step).await?;
    }
    Ok(())
}

fn view_of(record: &task::Record) -> Result<TaskView> {
    let stage = Stage::parse(&record.stage);
    let stage = stage
        .ok_or_else(|| convoke_store::Error::broken(format!("task {} has no stage `{}`", record.id, record.stage)))?;
    let ending = match record.state.as_str() {
        "completed" => Some(Ending::Completed(record.output.clone().unwrap_or_default())),
        "failed" => Some(Ending::Failed(record.error.clone().unwrap_or_default())),
        "cancelled" => Some(record.error.clone().map_or(Ending::Cancelled, Ending::Failed)),
        _ => None,
    };
    let round = u32::try_from(record.round).unwrap_or(u32::MAX);
    Ok(TaskView { key: record.key.clone(), stage, round, agent: record.agent.clone(), ending })
}

fn ref_of(view: &TaskView) -> TaskRef {
    TaskRef { stage: view.stage.as_str(), round: view.round, key: view.key.clone() }
}

/// A part of the run begins.
pub(crate) async fn enter(tx: &mut Tx<'_>, run: &mut run::Held, phase: &str, command: Command) -> Result<()> {
    let state = state_of(run)?;
    // A paused run keeps its state; a run that is there already has nothing to change but its phase.
    let next = decide(state, command).unwrap_or(state);
    run::set_phase(tx, run.id, phase, next.as_str()).await?;
    run.state = next.as_str().to_owned();
    let payload = json!({"phase": phase, "was": run.phase});
    run.phase = phase.to_owned();
    emit(tx, Kind::RunPhaseChanged, ("run", run.id.to_string()), (Some(run.id), "system"), payload);
    Ok(())
}

/// Makes tasks of a flow.
pub(crate) async fn create(tx: &mut Tx<'_>, run: &mut run::Held, spec: &RunSpec, tasks: &[NewTask]) -> Result<()> {
    let mut turn = Turn { run: run.clone(), known: BTreeMap::new(), spec };
    turn.create(tx, tasks).await?;
    *run = turn.run;
    Ok(())
}

/// The moves of one turn of the pattern.
struct Turn<'a> {
    run: run::Held,
    known: BTreeMap<TaskRef, (TaskId, bool)>,
    spec: &'a RunSpec,
}

impl Turn<'_> {
    async fn carry_out(&mut self, tx: &mut Tx<'_>, step: Move) -> Result<()> {
        let id = self.run.id;
        match step {
            Move::Enter(phase) => self.enter(tx, phase).await,
            Move::Create(tasks) => self.create(tx, &tasks).await,
            Move::Cancel(refs) => self.call_off(tx, &refs).await,
            Move::Note(note) => {
                flow::tell(tx, id, note);
                Ok(())
            }
            Move::Complete(output) => {
                memory::propagate(tx, id, self.spec).await?;
                end_run(tx, id, State::Completed, (Some(&output), None), "system").await
            }
            Move::Fail(code, reason) => {
                let error = format!("{code}: {reason}");
                end_run(tx, id, State::Failed, (None, Some(&error)), "system").await
            }
            Move::Escalate { reason, output } => {
                end_run(tx, id, State::Escalated, (output.as_deref(), Some(&reason)), "system").await
            }
        }
    }

    async fn enter(&mut self, tx: &mut Tx<'_>, phase: Phase) -> Result<()> {
        let command = match phase {
            Phase::Delegation | Phase::Execution => Command::Reopen,
            Phase::Synthesis | Phase::Validation => Command::Aggregate,
        };
        enter(tx, &mut self.run, phase.as_str(), command).await
    }

    async fn create(&mut self, tx: &mut Tx<'_>, tasks: &[NewTask]) -> Result<()> {
        let now = tx.now();
        for new in tasks {
            let name = TaskRef { stage: new.stage.as_str(), round: new.round, key: new.key.clone() };
            let seed = format!("{}/{}/{}", name.stage, name.round, name.key);
            let id = TaskId::derived(now, &[self.run.id.0.as_bytes(), seed.as_bytes()]);
            self.known.insert(name, (id, false));
        }
        for (place, new) in tasks.iter().enumerate() {
            let n = self.run.made_tasks + i64::try_from(place).unwrap_or(i64::MAX) + 1;
            self.create_one(tx, new, n).await?;
        }
        let count = i64::try_from(tasks.len()).unwrap_or(i64::MAX);
        self.run.made_tasks += count;
        run::add_tasks(tx, self.run.id, count, count).await?;
        scale::balance(tx, self.run.id, self.spec).await
    }

    async fn create_one(&self, tx: &mut Tx<'_>, new: &NewTask, n: i64) -> Result<()> {
        let find = |name: &TaskRef| self.known.get(name).copied();
        let name = TaskRef { stage: new.stage.as_str(), round: new.round, key: new.key.clone() };
        let (id, _) = find(&name).ok_or_else(|| convoke_store::Error::broken("a task without an id"))?;
        let parents: Vec<_> = new.after.iter().filter_map(|(on, edge)| Some((find(on)?, *edge))).collect();
        let deps_left = parents.iter().filter(|((_, ended), _)| !ended).count();
        let rules = &self.spec.team.rules;
        let row = task::NewRow {
            id,
            run: self.run.id,
            n,
            key: &new.key,
            title: &new.title,
            stage: new.stage.as_str(),
            round: new.round.into(),
            agent: &new.agent,
            instructions: &new.instructions,
            output_schema: new.output_schema.as_ref().map(ToString::to_string),
            priority: new.priority.as_str(),
            state: if deps_left == 0 { "ready" } else { "pending" },
            rank: rank(new.priority, tx.now()),
            held: self.run.state == "paused",
            deps_left: i64::try_from(deps_left).unwrap_or(i64::MAX),
            parents: i64::try_from(parents.len()).unwrap_or(i64::MAX),
            retries_left: new.retries.unwrap_or(rules.retries).into(),
            timeout_us: microseconds(new.timeout_s.unwrap_or(rules.timeout_per_agent_s)),
            parent: None,
            depth: 0,
        };
        task::insert(tx, &row).await?;
        for ((parent, _), edge) in parents {
            task::insert_edge(tx, parent, id, edge == Edge::Hard).await?;
        }
        let payload = json!({"key": new.key, "title": new.title, "stage": new.stage, "round": new.round, "agent": new.agent, "state": row.state});
        emit(tx, Kind::TaskCreated, ("task", id.to_string()), (Some(self.run.id), "system"), payload);
        Ok(())
    }

    async fn call_off(&self, tx: &mut Tx<'_>, refs: &[TaskRef]) -> Result<()> {
        let ids: Vec<_> = refs.iter().filter_map(|name| self.known.get(name).map(|(id, _)| *id)).collect();
        cancel_open(tx, self.run.id, Some(&ids), "system").await
    }
}

/// Cancels tasks that have not ended: those named, or all of the run.
pub(crate) async fn cancel_open(tx: &mut Tx<'_>, run: RunId, only: Option<&[TaskId]>, who: &str) -> Result<()> {
    let open = task::open(tx, run).await?;
    let mut count = 0;
    for found in open.iter().filter(|found| only.is_none_or(|ids| ids.contains(&found.id))) {
        // With whoever asked, the side task that was to answer has been called off and counted.
        let now = task::hold(tx, found.id).await?.state;
        if domain_task::State::parse(&now).is_some_and(domain_task::State::has_ended) {
            continue;
        }
        call_off(tx, run, found, who).await?;
        count += 1;
    }
    if count > 0 {
        run::add_tasks(tx, run, 0, -count).await?;
    }
    // Those named may have parts that are not; with all of the run, the parts were among them.
    for id in only.unwrap_or_default() {
        cancel_parts(tx, run, *id, who).await?;
    }
    Ok(())
}

/// Cancels the open tasks of a flow in a range of paths.
pub(crate) async fn cancel_within(tx: &mut Tx<'_>, run: RunId, range: (&str, &str)) -> Result<()> {
    let open = task::open_within(tx, run, range).await?;
    for found in &open {
        call_off(tx, run, found, "system").await?;
    }
    if !open.is_empty() {
        run::add_tasks(tx, run, 0, -number(open.len())).await?;
    }
    for found in open.iter().filter(|found| found.ties) {
        cancel_parts(tx, run, found.id, "system").await?;
    }
    Ok(())
}

/// Cancels one open task.
async fn call_off(tx: &mut Tx<'_>, run: RunId, found: &task::Open, who: &str) -> Result<()> {
    if found.state == "running" {
        agent::count(tx, &found.agent, -1).await?;
    }
    if matches!(found.state.as_str(), "running" | "waiting") || is_put_back(tx, found).await? {
        attempt::end(tx, found.id, found.attempt, "cancelled", None).await?;
    }
    task::end(tx, found.id, "cancelled", None, None).await?;
    emit(tx, Kind::TaskCancelled, ("task", found.id.to_string()), (Some(run), who), json!({}));
    if !found.ties {
        return Ok(());
    }
    let left = desk::Left { run, task: found.id, agent: &found.agent, is_over: true, handed_to: None };
    desk::left(tx, &left).await?;
    wait::fulfil(tx, WaitReason::Child, &found.id.to_string(), wait::Outcome::Failed("the task was cancelled")).await?;
    Ok(())
}

/// Whether the attempt of a task that may be claimed goes on with the next claim: it was put back, or woken from a wait.
async fn is_put_back(tx: &mut Tx<'_>, found: &task::Open) -> Result<bool> {
    if found.state != "ready" || found.attempt == 0 {
        return Ok(false);
    }
    let attempts = attempt::of_task(tx, found.id).await?;
    Ok(attempts.iter().any(|attempt| attempt.n == found.attempt && attempt.finished_at.is_none()))
}

/// Ends a run, calling off what is open.
pub(crate) async fn end_run(
    tx: &mut Tx<'_>,
    id: RunId,
    state: State,
    (output, error): (Option<&str>, Option<&str>),
    who: &str,
) -> Result<()> {
    answer::run_ends(tx, id).await?;
    cancel_open(tx, id, None, who).await?;
    spawn::end_run(tx, id).await?;
    convoke_store::scale::end_run(tx, id).await?;
    run::end(tx, id, state.as_str(), output, error).await?;
    recover::bill_orphans(tx, id, None).await?;
    recover::settle_calls(tx, id).await?;
    spawned::forget_stopped(tx, id).await?;
    let kind = match state {
        State::Completed => Kind::RunCompleted,
        State::Cancelled => Kind::RunCancelled,
        State::Escalated => Kind::RunEscalated,
        State::Failed | State::Initializing | State::Running | State::Paused | State::Waiting | State::Aggregating => {
            Kind::RunFailed
        }
    };
    emit(tx, kind, ("run", id.to_string()), (Some(id), who), json!({"error": error}));
    Ok(())
}
