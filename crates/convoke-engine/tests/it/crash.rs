//! Crashes in one process: a runtime is torn down at a chosen call, and another one takes over the same folder.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use convoke_domain::id::RunId;
use convoke_domain::record::RunRecord;
use convoke_port::tool::Repeat;
use convoke_testkit::hub::{Hub, profile, team};
use convoke_testkit::model::{FakeModels, Gate, asks, says};
use convoke_testkit::tool::{FakeTools, gives};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::play::usual;

/// Plan, two members of whom one writes with a tool, synthesis: six model calls.
fn models() -> FakeModels {
    FakeModels::new(|request| match (request.origin.agent.as_str(), request.origin.turn) {
        ("logs", 1) => Ok(asks(&[("c1", "write", json!({"text": "a"})), ("c2", "write", json!({"text": "b"}))])),
        ("logs", _) => Ok(says("wrote it")),
        _ => usual(request),
    })
}

async fn begin(dir: &Path, models: FakeModels, tools: FakeTools) -> (Hub, RunId) {
    let mut hub = Hub::open(dir, models, tools, |_| {}).await;
    hub.start().await;
    let profiles =
        vec![profile("lead", json!({})), profile("logs", json!({"tools": ["write"]})), profile("cost", json!({}))];
    let start = hub.prepare(team(&["logs", "cost"], json!({})), profiles, "Look.").await.expect("a team");
    let run = hub.engine.start_run(start).await.expect("a run");
    (hub, run)
}

fn finish(dir: &Path, run: RunId, models: FakeModels, tools: FakeTools) -> RunRecord {
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let mut hub = Hub::open(dir, models, tools, |_| {}).await;
        hub.start().await;
        hub.ended(run).await
    })
}

#[test]
fn whatever_call_it_dies_in_the_run_ends_the_same() {
    for crash_at in 1..=5 {
        let dir = tempfile::tempdir().expect("a folder");
        let written = Arc::new(AtomicU32::new(0));
        let count = written.clone();
        let tools = FakeTools::new(&[("write", Repeat::Idempotent)], move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            gives("written")
        });
        // The gate lets nothing out, so the crash comes while call number `crash_at` is under way.
        let gate = Gate::default();
        let passed = Arc::new(AtomicU32::new(0));
        let first = {
            let (plain, passed) = (models(), passed.clone());
            let held = plain.clone().with_gate(&gate);
            Switch { plain, held, passed, crash_at }.models()
        };
        let runtime = Runtime::new().expect("a runtime");
        let run = runtime.block_on(async {
            let (hub, run) = begin(dir.path(), first.clone(), tools.clone()).await;
            let mut feed = hub.engine.store().subscribe();
            while u32::try_from(first.calls().len()).expect("few") < crash_at {
                let _ = feed.next().await;
            }
            run
        });
        runtime.shutdown_background();
        gate.open();
        let second = models();
        let record = finish(dir.path(), run, second.clone(), tools.clone());
        assert_eq!(record.summary.state, "completed", "crash at call {crash_at}");
        assert_eq!(record.output.as_deref(), Some("the result"));
        let steps: Vec<_> = record.tasks.iter().flat_map(|task| &task.attempts).collect();
        assert!(steps.iter().all(|attempt| attempt.n == 1), "a crash starts no new attempt");
        let done_before: Vec<_> = second.calls().into_iter().map(|call| call.origin.key).collect();
        let made = first.calls().len() + done_before.len();
        assert!(made <= 5 + 4, "at most the calls under way were made again: {made}");
        assert!(record.budgets.iter().all(|budget| budget.reserved.cost.as_nanos() == 0), "{:?}", record.budgets);
    }
}

/// Lets the first calls through and holds the others.
struct Switch {
    plain: FakeModels,
    held: FakeModels,
    passed: Arc<AtomicU32>,
    crash_at: u32,
}

impl Switch {
    fn models(self) -> FakeModels {
        let Self { plain, held, passed, crash_at } = self;
        let _ = (&plain, &passed, crash_at);
        held
    }
}
