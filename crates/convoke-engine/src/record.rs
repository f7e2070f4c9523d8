//! Runs as people and programs are told of them: lists, one in full, counts.

use std::collections::BTreeMap;

use convoke_domain::budget::Budget;
use convoke_domain::id::{RunId, TaskId, WorkspaceId};
use convoke_domain::money::Money;
use convoke_domain::record::{
    AttemptRecord, DecisionRecord, EffectRecord, RunRecord, RunSummary, StepRecord, TalkRecord, TaskRecord, UsageRecord,
};
use convoke_domain::spec::RunSpec;
use convoke_domain::transcript::{Usage, calls_of, text_of};
use convoke_store::step::StepRef;
use convoke_store::thread::Viewer;
use convoke_store::{
    Error, Result as Stored, Tx, UseCase, attempt, blob, budget, decision, effect, message, run, stats, step, task,
    usage,
};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::decision::logged;
use crate::mail;
use crate::spend::Journaled;
use crate::{Engine, Result, account, analytics, inbox};

/// Steps told of one attempt.
const STEPS: usize = 10_000;
/// Attempts or steps read at once.
const PAGE: i64 = 10_000;
/// Before every task.
const NO_TASK: TaskId = TaskId(Uuid::nil());
/// Decisions told of one run.
const DECISIONS: i64 = 1_000;

/// Counts over a workspace.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stats {
    /// Agents that are registered.
    pub agents_total: i64,
    /// Of those, agents that hold a task now.
    pub agents_active: i64,
    /// Tasks that all agents may hold together.
    pub capacity: i64,
    /// Tasks that are ready and wait for a worker.
    pub queue_size: i64,
    /// Tasks by state.
    pub tasks: BTreeMap<String, i64>,
    /// Runs by state.
    pub runs: BTreeMap<String, i64>,
    /// Messages that were said and are not archived.
    pub messages: i64,
    /// Questions and requests that were decided.
    pub decisions: i64,
    /// Questions and requests that are open.
    pub open_questions: i64,
    /// Events recorded.
    pub events: i64,
}

impl Engine {
    /// Runs from the newest, older than `before` where that is given.
    pub async fn runs(&self, before: Option<RunId>, limit: i64) -> Result<Vec<RunSummary>> {
        Ok(self.store().read(Runs { ws: self.ws(), before, limit }).await?)
    }

    /// Ids of runs alone, from the newest, older than `before` where that is given.
    pub async fn run_ids(&self, before: Option<RunId>, limit: i64) -> Result<Vec<RunId>> {
        Ok(self.store().read(Ids { ws: self.ws(), before, limit }).await?)
    }

    /// One run in full.
    pub async fn run_record(&self, run: RunId) -> Result<RunRecord> {
        Ok(self.store().read(Full { ws: self.ws(), run }).await?)
    }

    /// What a diagram of a run needs besides its record: what it pinned, and which task waited for which.
    pub async fn run_course(&self, run: RunId) -> Result<(RunSpec, Vec<(TaskId, TaskId)>)> {
        Ok(self.store().read(Course { ws: self.ws(), run }).await?)
    }

    /// The budgets that a run falls under: its own and its session's.
    pub async fn run_budgets(&self, run: RunId) -> Result<Vec<Budget>> {
        Ok(self.store().read(Budgets { ws: self.ws(), run }).await?)
    }

    /// Where one run stands: state, reason, when it changed last.
    pub async fn run_summary(&self, run: RunId) -> Result<RunSummary> {
        Ok(self.store().read(Summary { ws: self.ws(), run }).await?)
    }

    /// Runs that have not ended, oldest first: id, state, reason.
    pub async fn unfinished(&self, limit: i64) -> Result<Vec<(RunId, String, Option<String>)>> {
        Ok(self.store().read(Unfinished { ws: self.ws(), limit }).await?)
    }

    /// Counts over the workspace.
    pub async fn stats(&self) -> Result<Stats> {
        Ok(self.store().read(Counts { ws: self.ws() }).await?)
    }
}

async fn summarize(tx: &mut Tx<'_>, row: &run::Record) -> Stored<RunSummary> {
    let total = usage::total(tx, row.id).await?;
    let tally = step::tally(tx, row.id).await?;
    let tool_calls = tally.iter().filter(|tally| tally.kind == "tool").map(|tally| tally.count).sum();
    Ok(RunSummary {
        id: row.id,
        session: row.session,
        team: row.team.clone(),
        team_version: row.team_version,
        task: row.task.clone(),
        input: row.input.clone(),
        state: row.state.clone(),
        phase: row.phase.clone(),
        reason: row.reason.clone(),
        simulated: row.simulated,
        created_by: row.created_by.clone(),
        model_calls: total.calls,
        tool_calls,
        tokens: total.input_tokens + total.output_tokens,
        cost_usd: total.cost,
        unpriced_calls: total.unpriced,
        created_at: row.created_at,
        started_at: row.started_at,
        finished_at: row.finished_at,
        error: row.error.clone(),
    })
}

async fn budgets(tx: &mut Tx<'_>, row: &run::Record) -> Stored<Vec<Budget>> {
    let scopes = [format!("run:{}", row.id), format!("session:{}", row.session)];
    Ok(budget::hold(tx, &scopes).await?.into_iter().map(Budget::from).collect())
}

async fn find(tx: &mut Tx<'_>, id: RunId) -> Stored<run::Record> {
    run::find(tx, id).await?.ok_or_else(|| Error::missing("run", id))
}

struct Runs {
    ws: WorkspaceId,
    before: Option<RunId>,
    limit: i64,
}

impl UseCase for Runs {
    type Out = Vec<RunSummary>;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Self::Out> {
        let mut runs = Vec::new();
        for row in run::list(tx, self.before, self.limit).await? {
            runs.push(summarize(tx, &row).await?);
        }
        Ok(runs)
    }
}

struct Budgets {
    ws: WorkspaceId,
    run: RunId,
}

impl UseCase for Budgets {
    type Out = Vec<Budget>;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Self::Out> {
        let row = find(tx, self.run).await?;
        budgets(tx, &row).await
    }
}

struct Ids {
    ws: WorkspaceId,
    before: Option<RunId>,
    limit: i64,
}

impl UseCase for Ids {
    type Out = Vec<RunId>;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Self::Out> {
        run::ids(tx, self.before, self.limit).await
    }
}

struct Summary {
    ws: WorkspaceId,
    run: RunId,
}

impl UseCase for Summary {
    type Out = RunSummary;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Self::Out> {
        let row = find(tx, self.run).await?;
        summarize(tx, &row).await
    }
}

struct Course {
    ws: WorkspaceId,
    run: RunId,
}

impl UseCase for Course {
    type Out = (RunSpec, Vec<(TaskId, TaskId)>);

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Self::Out> {
        let row = find(tx, self.run).await?;
        let spec: RunSpec = serde_json::from_slice(&blob::get(tx, row.spec.parse()?).await?)?;
        Ok((spec, analytics::edges(tx, self.run).await?))
    }
}

struct Full {
    ws: WorkspaceId,
    run: RunId,
}

impl UseCase for Full {
    type Out = RunRecord;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Self::Out> {
        let row = find(tx, self.run).await?;
        let summary = summarize(tx, &row).await?;
        let spec: RunSpec = serde_json::from_slice(&blob::get(tx, row.spec.parse()?).await?)?;
        let bills = usage::of_run(tx, self.run).await?;
        let (mut attempts, mut bills_of) = (attempts(tx, self.run).await?, by_task(&bills));
        let tasks = task::of_run(tx, self.run).await?.into_iter().map(|task| {
            let own = (attempts.remove(&task.id).unwrap_or_default(), bills_of.remove(&task.id).unwrap_or_default());
            task_record(task, own)
        });
        let tasks = tasks.collect();
        let budgets = budgets(tx, &row).await?;
        let effects = effect::of_run(tx, self.run).await?.into_iter().map(effect_record).collect();
        let decisions = decisions(tx, self.run).await?;
        let talks = talks(message::tally(tx, self.run).await?);
        let mut record = RunRecord {
            decisions,
            talks,
            summary,
            output: row.output,
            coordinator: spec.team.coordinator.clone(),
            tasks,
            usage: by_agent(&bills),
            budgets,
            effects,
            approvals: inbox::approvals_of(tx, self.run).await?,
            handoffs: Vec::new(),
            ratings: Vec::new(),
            analytics: None,
            flow: None,
        };
        analytics::complete(tx, &mut record, &spec).await?;
        record.flow = account::of(tx, &record, &spec).await?;
        Ok(record)
    }
}

/// A run's decisions in their order.
pub(crate) async fn decisions(tx: &mut Tx<'_>, run: RunId) -> Stored<Vec<DecisionRecord>> {
    let mut rows = decision::list(tx, Some(run), None, Viewer::Party(""), DECISIONS).await?;
    rows.reverse();
    logged(tx, rows).await
}

/// Counts by kind, put together by thread.
fn talks(tally: Vec<message::Tally>) -> Vec<TalkRecord> {
    let mut talks: Vec<TalkRecord> = Vec::new();
    for message::Tally { channel, kind, count } in tally {
        if talks.last().is_none_or(|last| last.channel != channel) {
            talks.push(TalkRecord { channel, messages: 0, kinds: Vec::new() });
        }
        if let Some(last) = talks.last_mut() {
            last.messages += count;
            last.kinds.push((kind, count));
        }
    }
    talks
}

/// The attempts of a run's tasks, each with its steps. However many there are, they are read in pages of the whole run.
async fn attempts(tx: &mut Tx<'_>, run: RunId) -> Stored<BTreeMap<TaskId, Vec<AttemptRecord>>> {
    let mut steps = steps(tx, run).await?;
    let (mut attempts, mut after): (BTreeMap<_, Vec<_>>, _) = (BTreeMap::new(), (NO_TASK, 0));
    loop {
        let page = attempt::of_run(tx, run, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(attempts) };
        after = (last.task, last.n);
        for found in page {
            let attempt::Record { task, n, agent, state, started_at, finished_at, error } = found;
            let steps = steps.remove(&(task, n)).unwrap_or_default();
            let found = AttemptRecord { n, agent, state, started_at, finished_at, error, steps };
            attempts.entry(task).or_default().push(found);
        }
    }
}

/// The steps of a run by task and attempt.
async fn steps(tx: &mut Tx<'_>, run: RunId) -> Stored<BTreeMap<(TaskId, i64), Vec<StepRecord>>> {
    let mut steps: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let mut after = StepRef { task: NO_TASK, attempt: 0, n: 0 };
    loop {
        let page = step::of_run(tx, run, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(steps) };
        after = StepRef { task: last.task, attempt: last.attempt, n: last.n };
        for step in page {
            let told = steps.entry((step.task, step.attempt)).or_default();
            if told.len() < STEPS {
                told.push(step_record(step));
            }
        }
    }
}

/// What a task was billed: dollars and tokens.
type Billed = (Money, i64);

fn by_task(bills: &[usage::Record]) -> BTreeMap<TaskId, Billed> {
    let mut sums: BTreeMap<TaskId, Billed> = BTreeMap::new();
    for bill in bills {
        let (cost, tokens) = sums.entry(bill.task).or_default();
        *cost += bill.cost;
        *tokens += i64::try_from(bill.input_tokens + bill.output_tokens).unwrap_or(i64::MAX);
    }
    sums
}

fn task_record(task: task::Record, (attempts, (cost_usd, tokens)): (Vec<AttemptRecord>, Billed)) -> TaskRecord {
    TaskRecord {
        id: task.id,
        cost_usd,
        tokens,
        key: task.key,
        title: task.title,
        stage: task.stage,
        part: None,
        round: task.round,
        agent: task.agent,
        state: task.state,
        priority: task.priority,
        waits_for: task.waits_for,
        output: task.output,
        error: task.error,
        created_at: task.created_at,
        started_at: task.started_at,
        finished_at: task.finished_at,
        attempts,
    }
}

fn step_record(step: step::Record) -> StepRecord {
    let output = match step.kind.as_str() {
        "model" => step.output.as_deref().map(told),
        // What was said is in its thread, for those who may read it.
        mail::STEP => step.output.map(|text| format!("{} bytes of messages, in their threads", text.len())),
        crate::compact::STEP => step.output.as_deref().map(crate::compact::told),
        _ => step.output,
    };
    let input = step.input.map(|text| serde_json::from_str(&text).unwrap_or(Value::String(text)));
    StepRecord {
        n: step.n,
        turn: step.turn,
        kind: step.kind,
        input: input.map(|input| discreet(&step.name, input)),
        name: step.name,
        status: step.status,
        output,
        error: step.error,
        tries: step.tries,
        started_at: step.started_at,
        finished_at: step.finished_at,
    }
}

/// A call's arguments without the text of a message that may be private: it is in its thread, for those who may read it.
fn discreet(tool: &str, mut input: Value) -> Value {
    if matches!(tool, "send" | "reply") && input.is_object() {
        let bytes = input["message"].as_str().map_or(0, str::len);
        input["message"] = format!("{bytes} bytes, in its thread").into();
    }
    input
}

/// A reply in words: its text, or which tools it asks for.
fn told(output: &str) -> String {
    let Ok(reply) = serde_json::from_str::<Journaled>(output) else { return output.to_owned() };
    let calls: Vec<_> = calls_of(&reply.blocks)
        .map(|call| format!("{}({})", call.name, discreet(&call.name, call.input.clone())))
        .collect();
    let text = text_of(&reply.blocks);
    [text, calls.join("\n")].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
}

fn effect_record(effect: effect::Record) -> EffectRecord {
    let effect::Record { key, task, tool, state, dispatched_at, resolved_by, note, .. } = effect;
    EffectRecord { key, task, tool, state, dispatched_at, resolved_by, note }
}

fn by_agent(bills: &[usage::Record]) -> Vec<UsageRecord> {
    let mut sums: BTreeMap<(&str, &str, &str), UsageRecord> = BTreeMap::new();
    for bill in bills {
        let key = (bill.agent.as_str(), bill.model.as_str(), bill.tariff.as_str());
        let sum = sums.entry(key).or_insert_with(|| UsageRecord {
            agent: bill.agent.clone(),
            model: bill.model.clone(),
            tariff: bill.tariff.clone(),
            calls: 0,
            lost_calls: 0,
            usage: Usage::default(),
            cost_usd: Default::default(),
        });
        sum.calls += 1;
        sum.lost_calls += i64::from(bill.basis == "bound");
        sum.cost_usd += bill.cost;
        sum.usage = sum.usage
            + Usage {
                input_tokens: bill.input_tokens,
                cache_read_tokens: bill.cache_read_tokens,
                cache_write_tokens: bill.cache_write_tokens,
                output_tokens: bill.output_tokens,
                reasoning_tokens: bill.reasoning_tokens,
            };
    }
    sums.into_values().collect()
}

struct Unfinished {
    ws: WorkspaceId,
    limit: i64,
}

impl UseCase for Unfinished {
    type Out = Vec<(RunId, String, Option<String>)>;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Self::Out> {
        run::unfinished(tx, self.limit).await
    }
}

struct Counts {
    ws: WorkspaceId,
}

impl UseCase for Counts {
    type Out = Stats;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Stats> {
        let (agents_total, agents_active, capacity) = stats::agents(tx).await?;
        let (decisions, open_questions) = stats::decisions(tx).await?;
        Ok(Stats {
            agents_total,
            agents_active,
            capacity,
            queue_size: stats::queue_size(tx).await?,
            tasks: stats::tasks_by_state(tx).await?.into_iter().collect(),
            runs: stats::runs_by_state(tx).await?.into_iter().collect(),
            messages: stats::messages(tx).await?,
            decisions,
            open_questions,
            events: stats::events(tx).await?,
        })
    }
}
