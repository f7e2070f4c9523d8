//! What a run must not leave behind when it has ended: open tasks, waits, locks, reservations, leases, steps and effects under way.

use convoke_domain::id::{RunId, TaskId, WorkspaceId};
use convoke_domain::record::RunRecord;
use convoke_domain::task::WaitReason;
use convoke_engine::Engine;
use convoke_store::step::StepRef;
use convoke_store::{
    Result as Stored, Tx, UseCase, agent, approval, attempt, budget, effect, frame, lock, run, spawn, step, task, wait,
};
use uuid::Uuid;

/// More than any run of these tests has.
const MANY: i64 = 100_000;
/// All that something can wait for.
const REASONS: [WaitReason; 9] = [
    WaitReason::UnknownEffect,
    WaitReason::Budget,
    WaitReason::Message,
    WaitReason::Answer,
    WaitReason::Child,
    WaitReason::Handoff,
    WaitReason::Lock,
    WaitReason::Approval,
    WaitReason::Person,
];

/// Fails if a run that has ended has left something.
pub async fn nothing_of(engine: &Engine, record: &RunRecord, seed: u64) {
    let left = engine.store().run(OfRun { run: record.summary.id }).await.expect("the run");
    assert!(left.is_empty(), "seed {seed}: a run that is `{}` has left {left:?}", record.summary.state);
    let error = record.summary.error.as_deref().unwrap_or_default();
    assert!(!error.contains("flow_stuck"), "seed {seed}: {error}");
}

/// Fails if there is something in a workspace where every run has ended.
pub async fn nothing_at_all(engine: &Engine) {
    let left = engine.store().run(OfAll).await.expect("the workspace");
    assert!(left.is_empty(), "all runs have ended, and there is {left:?}");
}

struct OfRun {
    run: RunId,
}

impl UseCase for OfRun {
    type Out = Vec<String>;

    fn ws(&self) -> WorkspaceId {
        WorkspaceId::DEFAULT
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Vec<String>> {
        let mut left = Vec::new();
        for task in task::open(tx, self.run).await? {
            left.push(format!("a task that is {}", task.state));
        }
        let open = run::count_tasks(tx, self.run, 0, 0).await?;
        left.extend((open != 0).then(|| format!("a count of {open} open tasks")));
        for reason in REASONS {
            for row in wait::of_run(tx, reason.as_str(), self.run).await? {
                left.push(format!("a wait for {}", row.reason));
            }
        }
        let query = lock::Query { run: Some(self.run), ..lock::Query::default() };
        left.extend(lock::list(tx, &query, MANY).await?.into_iter().map(|row| format!("a lock of {}", row.path)));
        left.extend(frame::next_due(tx, self.run).await?.map(|due| format!("a step that falls due at {due}")));
        let first = StepRef { task: TaskId(Uuid::nil()), attempt: 0, n: 0 };
        for row in step::of_run(tx, self.run, first, MANY).await? {
            let under_way = matches!(row.status.as_str(), "started" | "waiting" | "retry");
            left.extend(under_way.then(|| format!("a step `{}` that is {}", row.name, row.status)));
        }
        let effects = effect::of_run(tx, self.run).await?.into_iter();
        left.extend(effects.filter(|row| row.state == "dispatched").map(|row| format!("the effect {}", row.key)));
        let asked = approval::of_run(tx, self.run, MANY).await?.into_iter();
        left.extend(asked.filter(|row| row.state == "pending").map(|row| format!("a question for leave {}", row.id)));
        let spawned = spawn::of_run(tx, self.run).await?.into_iter();
        left.extend(spawned.filter(|row| row.living).map(|row| format!("the agent {}", row.name)));
        for task in task::of_run(tx, self.run).await? {
            let leased = lock::holder(tx, task.id).await?.and_then(|(_, until)| until);
            left.extend(leased.map(|until| format!("a lease of {} until {until}", task.key)));
            let attempts = attempt::of_task(tx, task.id).await?.into_iter();
            let open = attempts.filter(|attempt| attempt.state == "running");
            left.extend(open.map(|attempt| format!("the attempt {} of {}", attempt.n, task.key)));
        }
        Ok(left)
    }
}

struct OfAll;

impl UseCase for OfAll {
    type Out = Vec<String>;

    fn ws(&self) -> WorkspaceId {
        WorkspaceId::DEFAULT
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Vec<String>> {
        let reserved = budget::list(tx, "", MANY).await?.into_iter();
        let reserved = reserved.filter(|row| row.reserved_cost != 0 || row.reserved_tokens != 0);
        let mut left: Vec<String> = reserved.map(|row| format!("a reservation in {}", row.scope)).collect();
        let agents = agent::list(tx, "", MANY).await?.into_iter().filter(|row| row.running != 0);
        left.extend(agents.map(|row| format!("{} tasks that {} holds", row.running, row.name)));
        let unfinished = run::unfinished(tx, MANY).await?.into_iter();
        left.extend(unfinished.map(|(id, state, _)| format!("the run {id} that is {state}")));
        Ok(left)
    }
}
