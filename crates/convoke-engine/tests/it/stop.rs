//! Stopping an agent holds until its run ends: what needs it goes to the fallback agent or fails, and says who stopped it.

use convoke_domain::id::{RunId, WorkspaceId};
use convoke_domain::record::RunRecord;
use convoke_engine::Engine;
use convoke_store::Store;
use convoke_testkit::hub::{Hub, profile, team};
use convoke_testkit::model::{FakeModels, Gate};
use convoke_testkit::tool::FakeTools;
use serde_json::{Value, json};

use crate::play::{postgres, usual};

/// A run of `logs` under `lead`, with `spare` beside it, whose first model call is held.
async fn begin(gate: &Gate, store: Option<(Store, &std::path::Path)>, rules: Value) -> (Hub, RunId) {
    let models = FakeModels::new(usual).with_gate(gate);
    let hub = match store {
        None => Hub::new(models, FakeTools::none()).await,
        Some((store, dir)) => {
            let mut hub = Hub::over(store, dir.join("work"), models, FakeTools::none(), |_| {});
            hub.start().await;
            hub
        }
    };
    hub.engine.ensure_user("tester").await.expect("the owner");
    let mut all = json!({"planning": "same_task", "retries": 0});
    all.as_object_mut().expect("rules").extend(rules.as_object().expect("rules").clone());
    let profiles = ["lead", "logs", "spare"].map(|name| profile(name, json!({}))).to_vec();
    let start = hub.prepare(team(&["logs"], json!({"rules": all})), profiles, "Look.").await.expect("a team");
    let run = hub.engine.start_run(start).await.expect("a run");
    gate.held(1).await;
    (hub, run)
}

async fn kill(engine: &Engine, run: RunId, agent: &str) {
    engine.kill(run, agent, "tester").await.expect("stopped");
}

fn of_stage<'a>(record: &'a RunRecord, stage: &str) -> Vec<(&'a str, &'a str, Option<&'a str>)> {
    let tasks = record.tasks.iter().filter(|task| task.stage == stage);
    tasks.map(|task| (task.agent.as_str(), task.state.as_str(), task.error.as_deref())).collect()
}

async fn the_next_task_fails(store: Option<(Store, &std::path::Path)>) {
    let gate = Gate::default();
    let (hub, run) = begin(&gate, store, json!({})).await;
    // `lead` has nothing to do yet: its turn comes when the work is done.
    kill(&hub.engine, run, "lead").await;
    gate.open();
    let record = hub.ended(run).await;
    assert_eq!(record.summary.state, "failed", "{:?}", record.summary.error);
    assert_eq!(of_stage(&record, "synthesis"), [("lead", "failed", Some("agent_stopped: stopped by tester"))]);
    assert!(record.summary.error.as_deref().is_some_and(|error| error.contains("stopped by tester")));
}

#[tokio::test]
async fn who_was_stopped_gets_no_later_task_on_sqlite() {
    the_next_task_fails(None).await;
}

#[tokio::test]
async fn who_was_stopped_gets_no_later_task_on_postgresql() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = postgres("stop").await;
    the_next_task_fails(Some((store, dir.path()))).await;
}

#[tokio::test]
async fn the_fallback_agent_takes_over_what_is_under_way_and_what_comes_later() {
    for agent in ["logs", "lead"] {
        let gate = Gate::default();
        let (hub, run) = begin(&gate, None, json!({"fallback_agent": "spare"})).await;
        kill(&hub.engine, run, agent).await;
        gate.open();
        let record = hub.ended(run).await;
        assert_eq!(record.summary.state, "completed", "{agent}: {:?}", record.summary.error);
        let stage = if agent == "lead" { "synthesis" } else { "work" };
        assert_eq!(of_stage(&record, stage)[0].0, "spare", "{agent}");
    }
}

#[tokio::test]
async fn the_end_says_why_and_what_was_cut_is_billed_before_it() {
    let gate = Gate::default();
    let (hub, run) = begin(&gate, None, json!({})).await;
    kill(&hub.engine, run, "logs").await;
    let record = hub.ended(run).await;
    assert_eq!(
        record.summary.error.as_deref(),
        Some("all_members_failed: logs (logs): agent_stopped: stopped by tester")
    );
    gate.open();
    let all = hub.engine.store().events_after(WorkspaceId::DEFAULT, 0, Some(run), 1_000).await.expect("events");
    let place = |kind: &str| all.iter().position(|event| event.kind == kind).unwrap_or_else(|| panic!("no {kind}"));
    let cut = &all[place("step.failed")];
    assert!(place("step.failed") < place("run.failed"), "billed before the end is told");
    assert!(record.summary.tokens > 0);
    assert_eq!(cut.payload["tokens"], record.summary.tokens, "one truth of what was used");
    assert!(cut.payload["error"].as_str().is_some_and(|why| why.starts_with("lost: the call was cut")), "{cut:?}");
}

#[tokio::test]
async fn a_run_that_is_cancelled_tells_the_same_of_a_call_that_was_cut() {
    let gate = Gate::default();
    let (hub, run) = begin(&gate, None, json!({})).await;
    hub.engine.cancel(run, "tester").await.expect("cancelled");
    let record = hub.ended(run).await;
    gate.open();
    let all = hub.engine.store().events_after(WorkspaceId::DEFAULT, 0, Some(run), 1_000).await.expect("events");
    let told: i64 = all.iter().filter_map(|event| event.payload["tokens"].as_i64()).sum();
    assert_eq!(told, record.summary.tokens);
    assert_eq!(all.last().map(|event| event.kind.as_str()), Some("run.cancelled"));
}
