//! A thousand calls at once against room for a hundred: exactly a hundred are made, at every level of the budget tree.
//!
//! Every call is held at a gate, so none is settled before all have asked. All calls of a case have the same bound, which
//! a first call of the same shape tells. A second reader looks at every budget after every event meanwhile. Start at
//! [`crowd`].

use std::path::Path;
use std::time::Duration;

use convoke_domain::budget::Budget;
use convoke_domain::id::{RunId, WorkspaceId};
use convoke_domain::money::Money;
use convoke_domain::transcript::Usage;
use convoke_engine::{Caps, StartRun};
use convoke_port::model::{Fault, ModelError};
use convoke_store::{Options, PgOptions, Result as Stored, Store, Tx, UseCase, budget};
use convoke_testkit::hub::{Hub, profile, team};
use convoke_testkit::model::{FakeModels, Gate, fault, says};
use convoke_testkit::tool::FakeTools;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Calls that ask for room at once.
const CALLS: usize = 1_000;
/// Calls there is room for.
const ROOM: i64 = 100;
/// A fact that is not there after so long will not come.
const PATIENCE: Duration = Duration::from_secs(60);
/// Dollars that no case comes near.
const PLENTY: Money = Money::from_nanos(1_000_000_000_000);

/// Every budget of the workspace.
struct All;

impl UseCase for All {
    type Out = Vec<Budget>;

    fn ws(&self) -> WorkspaceId {
        WorkspaceId::DEFAULT
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Self::Out> {
        Ok(budget::list(tx, "", 10_000).await?.into_iter().map(Budget::from).collect())
    }
}

/// Reads all budgets after every event.
struct Observer {
    stop: CancellationToken,
    looking: JoinHandle<usize>,
}

impl Observer {
    fn of(store: &Store) -> Self {
        let (stop, store) = (CancellationToken::new(), store.clone());
        let (told, mut feed) = (stop.clone(), store.subscribe());
        let looking = tokio::spawn(async move {
            let mut looks = 0;
            loop {
                for budget in store.read(All).await.expect("budgets") {
                    within(&budget);
                }
                looks += 1;
                tokio::select! {
                    // An event, or a word that some were missed: either way it is time to look again.
                    _ = feed.next() => {}
                    () = told.cancelled() => return looks,
                }
            }
        });
        Self { stop, looking }
    }

    async fn end(self) {
        self.stop.cancel();
        let looks = self.looking.await.expect("no budget was ever passed");
        assert!(looks > 10, "{looks} looks prove nothing");
    }
}

fn within(budget: &Budget) {
    let used = budget.reserved.cost + budget.settled.cost;
    assert!(budget.cap_cost.is_none_or(|cap| used <= cap), "more is used than may be: {budget:?}");
    assert!(budget.reserved.cost >= Money::ZERO && budget.reserved.tokens >= 0, "{budget:?}");
}

/// A team of one member with so many tasks that all cost the same at most.
async fn start(hub: &Hub, tasks: usize, limits: Value, rule: Value) -> StartRun {
    let task = |n| json!({"key": format!("t{n:04}"), "title": "Look", "instructions": "Look.", "assignee": "logs"});
    let tasks: Vec<_> = (0..tasks).map(task).collect();
    let settings = json!({"model_settings": {"max_output_tokens": 1_000}, "limits": limits});
    let rules = json!({"planning": "fixed", "max_tasks": 1_000});
    let team = team(&["logs"], json!({"tasks": tasks, "rules": rules, "budget": rule}));
    let profiles = vec![profile("lead", json!({})), profile("logs", settings)];
    let start = hub.prepare(team, profiles, "Look.").await.expect("a team that is right");
    StartRun { caps: Caps { cost: Some(PLENTY), tokens: None }, ..start }
}

/// Where a case keeps its data.
#[derive(Clone, Copy)]
enum Kept {
    Sqlite,
    Postgres,
}

impl Kept {
    async fn open(self, dir: &Path) -> Store {
        match self {
            Self::Sqlite => Store::open_sqlite(dir, Options::default()).await.expect("a store"),
            Self::Postgres => postgres().await,
        }
    }
}

/// A schema of its own on the server that the tests are given; several lanes write at once.
async fn postgres() -> Store {
    let url = std::env::var("CONVOKE_TEST_PG");
    let url = url.expect("CONVOKE_TEST_PG names no PostgreSQL for tests; run `cargo xtask test`, which starts one");
    let schema = format!("crowd_{}_{:08x}", std::process::id(), fastrand::u32(..));
    let options = PgOptions { schema: Some(schema), create_schema: true, ..PgOptions::default() };
    Store::open_postgres(&url, options, Options::default()).await.expect("a schema")
}

/// A hub with a place for everyone, and its folder.
async fn hub(kept: Kept, models: FakeModels, daily_cap: Option<Money>) -> (Hub, TempDir) {
    hub_with(kept, models, daily_cap, 2 * CALLS).await
}

/// The same with so many places.
async fn hub_with(kept: Kept, models: FakeModels, daily_cap: Option<Money>, places: usize) -> (Hub, TempDir) {
    let dir = tempfile::tempdir().expect("a folder");
    let store = kept.open(dir.path()).await;
    let mut hub = Hub::over(store, dir.path().join("work"), models, FakeTools::none(), |config| {
        config.concurrency = places;
        config.daily_cap = daily_cap;
        config.call_tries = 10 * u32::try_from(CALLS).expect("small");
        config.call_backoff.cap = Duration::ZERO;
    });
    hub.start().await;
    (hub, dir)
}

/// What one call of these teams may cost at most.
async fn bound() -> Money {
    let gate = Gate::default();
    let (hub, _dir) = hub(Kept::Sqlite, FakeModels::new(|_| Ok(says("found"))).with_gate(&gate), None).await;
    let start = start(&hub, 1, json!({}), json!({})).await;
    let run = hub.engine.start_run(start).await.expect("a run");
    gate.held(1).await;
    let bound = budget_of(&hub, &format!("run:{run}")).await.reserved.cost;
    assert!(bound > Money::ZERO);
    bound
}

async fn budget_of(hub: &Hub, prefix: &str) -> Budget {
    let all = hub.engine.store().read(All).await.expect("budgets");
    let mut found = all.into_iter().filter(|budget| budget.scope.starts_with(prefix));
    let budget = found.next().unwrap_or_else(|| panic!("no budget `{prefix}`"));
    assert!(found.next().is_none(), "one budget `{prefix}`");
    budget
}

/// Waits until a run is paused; why it is.
async fn paused(hub: &Hub, run: RunId) -> String {
    let mut feed = hub.engine.store().subscribe();
    let wait = async {
        loop {
            let summary = hub.engine.run_summary(run).await.expect("the run");
            if summary.state == "paused" {
                return summary.reason.unwrap_or_default();
            }
            let _ = feed.next().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("the budget is empty some time")
}

/// Waits until so many attempts are driven and no more.
async fn driven(hub: &Hub, count: usize) {
    let wait = async {
        while hub.engine.driven() > count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("the others give up");
}

/// Room for a hundred calls and all but a nano-dollar of another.
fn room(bound: Money) -> Money {
    Money::from_nanos(bound.as_nanos() * (ROOM + 1) - 1)
}

/// How a case spreads its calls and where it puts the cap.
struct Case {
    runs: usize,
    limits: Value,
    rule: Value,
    daily_cap: Option<Money>,
    /// What the first run may cost, and so its session.
    first_cap: Money,
    /// All in the session of the first.
    one_session: bool,
    /// The budget that is to be full.
    scope: &'static str,
}

impl Case {
    fn new(runs: usize, scope: &'static str) -> Self {
        let (limits, rule) = (json!({}), json!({}));
        Self { runs, limits, rule, daily_cap: None, first_cap: PLENTY, one_session: false, scope }
    }
}

/// Starts all runs, waits until each has found the budget empty, and counts the calls that were made.
async fn crowd(kept: Kept, case: Case, bound: Money) {
    let gate = Gate::default();
    let models = FakeModels::new(|_| Ok(says("found"))).with_gate(&gate);
    let (hub, _dir) = hub(kept, models.clone(), case.daily_cap).await;
    let observer = Observer::of(hub.engine.store());
    let plain = start(&hub, CALLS / case.runs, case.limits.clone(), case.rule.clone()).await;
    let first = StartRun { caps: Caps { cost: Some(case.first_cap), tokens: None }, ..plain.clone() };
    let mut runs: Vec<RunId> = vec![hub.engine.start_run(first).await.expect("a run")];
    let session = hub.engine.run_summary(runs[0]).await.expect("the run").session;
    for _ in 1..case.runs {
        let session = case.one_session.then_some(session);
        runs.push(hub.engine.start_run(StartRun { session, ..plain.clone() }).await.expect("a run"));
    }
    for run in &runs {
        let reason = paused(&hub, *run).await;
        assert!(reason.starts_with("budget: the "), "{reason}");
    }
    // Those that were not admitted have given up; the others wait at the gate.
    driven(&hub, usize::try_from(ROOM).expect("small")).await;
    assert_eq!(models.calls().len(), 100, "calls made with room for exactly 100");
    let full = budget_of(&hub, case.scope).await;
    assert_eq!(full.reserved.cost.as_nanos(), bound.as_nanos() * ROOM, "{full:?}");
    gate.open();
    driven(&hub, 0).await;
    observer.end().await;
    let settled = budget_of(&hub, case.scope).await;
    // 100 tokens in at 1 USD and 10 out at 2 USD per million, each.
    assert_eq!((settled.reserved.cost, settled.settled.cost), (Money::ZERO, Money::from_nanos(ROOM * 120_000)));
    assert_eq!(models.calls().len(), 100);
    assert_eq!(hub.engine.store().verify().await.expect("verified").problems, []);
}

/// Makes one test per database from `async fn case(kept: Kept)`.
macro_rules! cases {
    ($($case:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(super::Kept::Sqlite).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(super::Kept::Postgres).await;
            })+
        }
    };
}

cases! {
    a_run_with_room_for_a_hundred_makes_a_hundred_of_a_thousand_calls,
    an_agent_with_room_for_a_hundred_makes_a_hundred_of_a_thousand_calls,
    a_session_with_room_for_a_hundred_makes_a_hundred_of_a_thousand_calls,
    a_team_with_room_for_a_hundred_on_a_day_makes_a_hundred_of_a_thousand_calls,
    a_workspace_with_room_for_a_hundred_on_a_day_makes_a_hundred_of_a_thousand_calls,
    a_task_with_room_for_a_hundred_makes_a_hundred_calls,
    a_thousand_calls_that_come_and_go_never_pass_the_cap,
}

async fn a_run_with_room_for_a_hundred_makes_a_hundred_of_a_thousand_calls(kept: Kept) {
    let bound = bound().await;
    crowd(kept, Case { first_cap: room(bound), ..Case::new(1, "run:") }, bound).await;
}

async fn an_agent_with_room_for_a_hundred_makes_a_hundred_of_a_thousand_calls(kept: Kept) {
    let bound = bound().await;
    let limits = json!({"max_cost_usd": room(bound)});
    crowd(kept, Case { limits, ..Case::new(1, "agent:") }, bound).await;
}

async fn a_session_with_room_for_a_hundred_makes_a_hundred_of_a_thousand_calls(kept: Kept) {
    let bound = bound().await;
    crowd(kept, Case { first_cap: room(bound), one_session: true, ..Case::new(4, "session:") }, bound).await;
}

async fn a_team_with_room_for_a_hundred_on_a_day_makes_a_hundred_of_a_thousand_calls(kept: Kept) {
    let bound = bound().await;
    let rule = json!({"max_cost_per_day_usd": room(bound)});
    crowd(kept, Case { rule, ..Case::new(4, "team:") }, bound).await;
}

async fn a_workspace_with_room_for_a_hundred_on_a_day_makes_a_hundred_of_a_thousand_calls(kept: Kept) {
    let bound = bound().await;
    crowd(kept, Case { daily_cap: Some(room(bound)), ..Case::new(4, "workspace:") }, bound).await;
}

/// A task has one call under way at a time, so its room is used up one after the other: by calls that are all lost.
async fn a_task_with_room_for_a_hundred_makes_a_hundred_calls(kept: Kept) {
    let bound = bound().await;
    let lost = |_: &_| Err(ModelError { may_be_billed: true, ..fault(Fault::Cut, "the stream broke") });
    let models = FakeModels::new(lost);
    let (hub, _dir) = hub(kept, models.clone(), None).await;
    let observer = Observer::of(hub.engine.store());
    let start = start(&hub, 1, json!({}), json!({"max_cost_per_task_usd": room(bound)})).await;
    let mut runs = Vec::new();
    for _ in 0..10 {
        runs.push(hub.engine.start_run(start.clone()).await.expect("a run"));
    }
    for run in runs {
        let reason = paused(&hub, run).await;
        assert!(reason.starts_with("budget: the task budget"), "{reason}");
        let summary = hub.engine.run_summary(run).await.expect("the run");
        assert_eq!(summary.model_calls, ROOM);
        assert_eq!(summary.cost_usd.as_nanos(), ROOM * bound.as_nanos(), "a lost call is billed at its bound");
    }
    assert_eq!(models.calls().len(), CALLS, "ten tasks of a hundred calls");
    observer.end().await;
}

/// Calls that settle below their bound make room for others: the cap holds all the same.
async fn a_thousand_calls_that_come_and_go_never_pass_the_cap(kept: Kept) {
    let bound = bound().await;
    let models = FakeModels::new(|_| {
        let usage =
            Usage { input_tokens: fastrand::u64(1..400), output_tokens: fastrand::u64(1..1_000), ..Usage::default() };
        Ok(convoke_port::model::ModelReply { usage: Some(usage), ..says("found") })
    });
    // Fewer places than the budget has room for: it runs short only after calls have settled, however late they do.
    let (hub, _dir) = hub_with(kept, models.clone(), None, usize::try_from(ROOM).expect("small") / 2).await;
    let observer = Observer::of(hub.engine.store());
    let start = start(&hub, CALLS, json!({}), json!({})).await;
    let start = StartRun { caps: Caps { cost: Some(room(bound)), tokens: None }, ..start };
    let run = hub.engine.start_run(start).await.expect("a run");
    paused(&hub, run).await;
    driven(&hub, 0).await;
    observer.end().await;
    let made = models.calls().len();
    assert!(made > 100, "{made} calls: each that settled made room for more");
    let (budget, summary) = (budget_of(&hub, "run:").await, hub.engine.run_summary(run).await.expect("the run"));
    assert_eq!(budget.settled.cost, summary.cost_usd, "the budget is the ledger");
    assert_eq!(usize::try_from(summary.model_calls), Ok(made), "the ledger is what was called");
    within(&budget);
}
