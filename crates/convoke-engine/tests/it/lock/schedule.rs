//! Random schedules on each real store, act by act beside the machine in memory. All of them go on together, each in a
//! workspace of its own, so that their acts share commits.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use convoke_domain::id::{RunId, TaskId, WorkspaceId};
use convoke_domain::lock::table::{Outcome, Table};
use convoke_domain::lock::{Item, Mode, Resource};
use convoke_domain::task::Priority;
use convoke_domain::time::Timestamp;
use convoke_engine::{Engine, Got, Holder, LOCK_GRACE, LOCK_PARKED, Which};
use convoke_store::{Result, Tx, UseCase, task, workspace};
use convoke_testkit::hub::Hub;
use convoke_testkit::model::{FakeModels, says};
use convoke_testkit::tool::FakeTools;
use uuid::Uuid;

use super::{Chance, Hands, Kept};

const SCHEDULES: u64 = 200;
const ROUNDS: usize = 24;
const HOLDERS: u64 = 6;
const WAIT: Duration = Duration::from_secs(20);
const NAMES: &[&str] = &[
    "file:shared",
    "file:shared/src",
    "file:shared/src/api.rs",
    "file:shared/src/api",
    "file:shared/docs/a/b/c/d.md",
    "file:shared/docs/a/b",
    "topic:a",
    "topic:a/b",
    "topic:b",
];
const RUN: RunId = RunId(Uuid::from_u128(7));

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_does_what_the_machine_does() {
    play(Kept::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_does_what_the_machine_does() {
    play(Kept::Postgres).await;
}

fn task_id(holder: u64) -> TaskId {
    TaskId(Uuid::from_u128(1_000 + u128::from(holder)))
}

fn holder(holder: u64) -> Holder {
    Holder { run: RUN, task: task_id(holder), agent: format!("agent{holder}") }
}

/// Makes a workspace with a task for each holder, of every priority.
struct Lay(WorkspaceId);

impl UseCase for Lay {
    type Out = ();

    fn ws(&self) -> WorkspaceId {
        self.0
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<()> {
        workspace::insert(tx, &self.0.to_string(), "system").await?;
        for n in 0..HOLDERS {
            let key = format!("t{n}");
            let row = task::NewRow {
                id: task_id(n),
                run: RUN,
                n: i64::try_from(n).expect("small"),
                key: &key,
                title: "Look",
                stage: "work",
                round: 0,
                agent: "ada",
                instructions: "look",
                output_schema: None,
                priority: priority(n).as_str(),
                state: "pending",
                rank: 0,
                held: false,
                deps_left: 1,
                parents: 0,
                retries_left: 0,
                timeout_us: 1,
                parent: None,
                depth: 0,
            };
            task::insert(tx, &row).await?;
        }
        Ok(())
    }
}

fn priority(holder: u64) -> Priority {
    Priority::ALL[usize::try_from(holder % 4).expect("small")]
}

/// One schedule: the store's side and the machine's.
struct Pair {
    seed: u64,
    chance: Chance,
    engine: Engine,
    table: Table<TaskId>,
}

impl Pair {
    async fn act(&mut self, now: Timestamp) {
        let who = self.chance.below(HOLDERS);
        match self.chance.below(10) {
            0..=5 => self.ask(who, now).await,
            6 => self.release(who, now).await,
            7 => {
                self.engine.leave_locks(holder(who)).await.expect("left");
                self.table.leave(task_id(who), now);
            }
            8 => {
                self.engine.keep_locks(task_id(who), LOCK_GRACE).await.expect("kept");
                self.table.renew(task_id(who), now);
            }
            _ => {}
        }
    }

    async fn ask(&mut self, who: u64, now: Timestamp) {
        let items = self.chance.items(NAMES, 3);
        let wait = if self.chance.below(5) == 0 { Duration::ZERO } else { WAIT };
        let due = (!wait.is_zero()).then(|| now.after(wait));
        let got = self.engine.acquire_locks(holder(who), items.clone(), wait).await;
        let wanted = self.table.acquire(task_id(who), &items, priority(who), (now, due));
        let agree = match (&got, &wanted) {
            (Ok(Got::Held { .. }), Outcome::Held) => true,
            (Ok(Got::Waiting { due: at, .. }), Outcome::Waiting(_)) => Some(*at) == due,
            (Err(error), Outcome::Die(_)) => error.code() == "would_deadlock",
            (Err(error), Outcome::Busy(_)) => error.code() == "locked",
            (Err(error), Outcome::WaitsAlready) => error.code() == "waits_already",
            _ => false,
        };
        assert!(agree, "seed {}: {who} asks for {items:?}: {got:?}, not {wanted:?}; {:#?}", self.seed, self.table);
    }

    async fn release(&mut self, who: u64, now: Timestamp) {
        if self.table.waiting().iter().any(|wait| wait.ask.holder == task_id(who)) {
            return;
        }
        let has: Vec<Resource> = self.table.of(task_id(who)).into_iter().map(|item| item.resource).collect();
        let some: Vec<_> = has.into_iter().filter(|_| self.chance.below(2) == 0).collect();
        if !some.is_empty() {
            self.engine.release_locks(holder(who), Some(some.clone())).await.expect("released");
            self.table.release(task_id(who), &some, now);
        }
    }

    async fn expire(&mut self, now: Timestamp) {
        let ended = self.engine.expire_locks().await.expect("expired");
        let wanted = self.table.expire(now);
        assert_eq!(ended, wanted.lost.len() + wanted.late.len(), "seed {}", self.seed);
    }

    /// Both sides say the same: who holds what until when, in the same order of tokens, and who waits.
    async fn compare(&self) {
        let views = self.engine.locks(Which::All).await.expect("locks");
        let store: Vec<_> = views.iter().filter(|view| view.state == "held").collect();
        let held = store.iter().map(|view| (view.task, line(&view.resource, view.mode), view.until));
        let wanted = self.table.held().iter().map(|lock| (lock.holder, of(&lock.item), lock.until));
        assert_eq!(sorted(held), sorted(wanted), "seed {}: what is held", self.seed);
        let waits = views.iter().filter(|view| view.state == "waiting");
        let waits = waits.map(|view| (view.task, line(&view.resource, view.mode), view.until));
        let wanted = self.table.waiting().iter();
        let wanted = wanted.flat_map(|wait| wait.ask.items.iter().map(|item| (wait.ask.holder, of(item), wait.due)));
        assert_eq!(sorted(waits), sorted(wanted), "seed {}: what is waited for", self.seed);
        let first = views.iter().map(|view| view.token).filter(|token| *token > 0).min().unwrap_or(0);
        let low = self.table.held().iter().map(|lock| lock.token).min().unwrap_or(0);
        let ours: BTreeMap<_, _> =
            store.iter().map(|view| ((view.task, view.resource.to_string()), view.token - first)).collect();
        let theirs = self.table.held().iter();
        let theirs: BTreeMap<_, _> =
            theirs.map(|lock| ((lock.holder, lock.item.resource.to_string()), lock.token - low)).collect();
        assert_eq!(ours, theirs, "seed {}: tokens", self.seed);
    }
}

fn of(item: &Item) -> String {
    line(&item.resource, item.mode)
}

fn line(resource: &Resource, mode: Mode) -> String {
    format!("{resource} {}", mode.as_str())
}

fn sorted<T: Ord>(found: impl Iterator<Item = T>) -> Vec<T> {
    let mut found: Vec<T> = found.collect();
    found.sort();
    found
}

async fn play(kept: Kept) {
    let (begun, dir, hands) = (Instant::now(), tempfile::tempdir().expect("a folder"), Hands::at(1_000));
    let store = kept.open(dir.path(), &hands).await;
    let models = FakeModels::new(|_| Ok(says("")));
    let hub = Hub::over(store, dir.path().join("work"), models, FakeTools::none(), |_| {});
    let mut pairs = Vec::new();
    for seed in 0..SCHEDULES {
        let engine = hub.engine.within(WorkspaceId(Uuid::from_u128(50 + u128::from(seed))));
        pairs.push(Pair { seed, chance: Chance(seed), engine, table: Table::new(LOCK_GRACE, LOCK_PARKED) });
    }
    let lay =
        pairs.iter().map(|pair| hub.engine.store().run(Lay(WorkspaceId(Uuid::from_u128(50 + u128::from(pair.seed))))));
    futures_util::future::try_join_all(lay).await.expect("workspaces");
    let mut steps = Chance(4_711);
    for _ in 0..ROUNDS {
        let now = hands.now();
        futures_util::future::join_all(pairs.iter_mut().map(|pair| pair.act(now))).await;
        if steps.below(3) == 0 {
            hands.advance(if steps.below(6) == 0 { 900 } else { i64::try_from(steps.below(25)).expect("small") });
            let now = hands.now();
            futures_util::future::join_all(pairs.iter_mut().map(|pair| pair.expire(now))).await;
        }
        futures_util::future::join_all(pairs.iter().map(Pair::compare)).await;
    }
    println!("{SCHEDULES} schedules from seed 0, {ROUNDS} acts each, in {:?}", begun.elapsed());
}
