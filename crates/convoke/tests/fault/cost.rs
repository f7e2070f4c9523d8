//! What runs cost, three times over: in their reports, in the ledger, and at the model server.

use convoke_bench_mock::Mock;
use convoke_bench_mock::fault::Fault;
use convoke_bench_mock::options::{Options, ToolRule};
use convoke_domain::budget::Budget;
use convoke_domain::id::{RunId, WorkspaceId};
use convoke_domain::money::Money;
use convoke_engine::{Caps, StartRun};
use convoke_store::{Result as Stored, Tx, UseCase, budget, usage};
use convoke_testkit::hub::team;
use serde_json::json;

use crate::support::Hub;

const RUNS: usize = 50;
const MEMBERS: [&str; 4] = ["a", "b", "c", "d"];
/// 100 tokens in at 0.40 USD and 20 out at 1.60 USD per million: what `openai/gpt-4.1-mini` costs, in nano-dollars.
const CALL: i64 = 40_000 + 32_000;

/// The bills of a run, and the budgets of the workspace's days.
struct Ledger(RunId);

impl UseCase for Ledger {
    type Out = (Vec<usage::Record>, Vec<Budget>);

    fn ws(&self) -> WorkspaceId {
        WorkspaceId::DEFAULT
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Self::Out> {
        let days = budget::list(tx, "workspace:", 10).await?.into_iter().map(Budget::from).collect();
        Ok((usage::of_run(tx, self.0).await?, days))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_runs_at_once_cost_what_the_server_counted() {
    let faults = ["cut:every=17", "500:every=29"].map(|text| Fault::parse(text).expect("a fault")).to_vec();
    let tool = ToolRule { name: "write_file".into(), arguments: json!({"path": "a.md", "content": "x"}) };
    let plan_assignees = MEMBERS.map(str::to_owned).to_vec();
    let options = Options { latency_ms: 5, plan_assignees, tool: Some(tool), faults, ..Options::default() };
    let hub = Hub::new(Mock::start(options).expect("a mock"), |config| config.concurrency = 256).await;
    let more = json!({"tools": ["write_file"], "capacity": 1_000});
    let start = hub.prepare(team(&MEMBERS, json!({})), more).await;
    // A lost call is billed at its bound, so there must be room.
    let start = StartRun { caps: Caps { cost: Some(Money::from_usd(5.0)), tokens: None }, ..start };
    let mut runs = Vec::new();
    for _ in 0..RUNS {
        runs.push(hub.engine.start_run(start.clone()).await.expect("a run"));
    }
    let (mut sure, mut lost, mut cost) = (0, 0, Money::ZERO);
    for run in runs.clone() {
        let record = hub.rested(run).await;
        assert_eq!(record.summary.state, "completed", "{:?}", record.summary.error);
        let (bills, _) = hub.engine.store().read(Ledger(run)).await.expect("the ledger");
        let sum: Money = bills.iter().map(|bill| bill.cost).sum();
        assert_eq!((record.summary.cost_usd, record.usage.iter().map(|line| line.cost_usd).sum::<Money>()), (sum, sum));
        let mine = bills.iter().filter(|bill| bill.basis == "provider");
        assert!(mine.clone().all(|bill| bill.cost.as_nanos() == CALL), "{bills:?}");
        (sure, lost) = (sure + mine.count(), lost + bills.iter().filter(|bill| bill.basis == "bound").count());
        cost += sum;
    }
    let stats = hub.mock.stats();
    assert_eq!(u64::try_from(sure), Ok(stats.completed), "what was billed by the server's count is what it answered");
    assert_eq!(stats.prompt_tokens + stats.completion_tokens, stats.completed * 120);
    assert_eq!(
        u64::try_from(lost),
        Ok(stats.faults["cut"]),
        "what was cut is billed at its bound, errors are not billed"
    );
    let (_, days) = hub.engine.store().read(Ledger(runs[0])).await.expect("the ledger");
    assert_eq!(days.iter().map(|day| day.settled.cost).sum::<Money>(), cost, "the workspace's days hold all of it");
    assert!(days.iter().all(|day| day.reserved.cost == Money::ZERO && day.reserved.tokens == 0));
}
