//! A run from start to end, and what a person may do with it on the way.

use std::time::Duration;

use convoke_domain::id::RunId;
use convoke_engine::{Resume, StartRun};
use convoke_port::tool::Repeat;
use convoke_testkit::hub::{Hub, profile, team};
use convoke_testkit::model::{FakeModels, Gate, asks, says};
use convoke_testkit::tool::{FakeTools, gives};
use serde_json::json;

use crate::play::{models, usual};

fn hub_models() -> FakeModels {
    FakeModels::new(usual)
}

#[tokio::test]
async fn a_team_carries_a_task_to_its_end() {
    let hub = Hub::new(hub_models(), FakeTools::none()).await;
    let run = hub.run(team(&["logs", "cost"], json!({"rules": {"validation_rounds": 1}})), "Why is it slow?").await;
    let record = hub.ended(run).await;
    assert_eq!((record.summary.state.as_str(), record.output.as_deref()), ("completed", Some("the result")));
    let stages: Vec<_> =
        record.tasks.iter().map(|task| (task.stage.as_str(), task.key.as_str(), task.state.as_str())).collect();
    assert_eq!(
        stages,
        [
            ("plan", "coordinator", "completed"),
            ("work", "logs", "completed"),
            ("work", "cost", "completed"),
            ("synthesis", "coordinator", "completed"),
            ("validation", "logs", "completed"),
            ("validation", "cost", "completed"),
        ]
    );
    assert_eq!(record.summary.model_calls, 6);
    // 100 tokens in at 1 USD and 10 out at 2 USD per million, six times.
    assert_eq!(record.summary.cost_usd.as_nanos(), 6 * (100_000 + 20_000));
    assert_eq!(
        record.usage.iter().map(|usage| usage.cost_usd).sum::<convoke_domain::money::Money>(),
        record.summary.cost_usd
    );
    assert!(
        record
            .budgets
            .iter()
            .all(|budget| budget.reserved.cost.as_nanos() == 0 && budget.settled.cost == record.summary.cost_usd)
    );
}

#[tokio::test]
async fn members_work_at_the_same_time() {
    let gate = Gate::default();
    let models = FakeModels::new(usual).with_gate(&gate);
    let hub = Hub::new(models.clone(), FakeTools::none()).await;
    let members = ["a", "b", "c", "d"];
    let run = hub.run(team(&members, json!({"rules": {"planning": "same_task"}})), "Look.").await;
    // All four are under way before one of them may answer.
    gate.held(4).await;
    assert_eq!(models.calls().len(), 4);
    gate.open();
    assert_eq!(hub.ended(run).await.summary.state, "completed");
}

#[tokio::test]
async fn dependent_tasks_wait_and_get_the_results() {
    let tasks = json!([
        {"key": "first", "title": "First", "assignee": "logs"},
        {"key": "second", "title": "Second", "assignee": "cost", "depends_on": ["first"]},
    ]);
    let models = hub_models();
    let hub = Hub::new(models.clone(), FakeTools::none()).await;
    let run = hub.run(team(&["logs", "cost"], json!({"rules": {"planning": "fixed"}, "tasks": tasks})), "Look.").await;
    assert_eq!(hub.ended(run).await.summary.state, "completed");
    let calls = models.calls();
    assert_eq!(calls[0].origin.task_key, "first");
    assert!(calls[1].turns[0].text().contains("logs found something"), "{}", calls[1].turns[0].text());
}

#[tokio::test]
async fn cancelling_reaches_a_running_call() {
    let gate = Gate::default();
    let hub = Hub::new(FakeModels::new(usual).with_gate(&gate), FakeTools::none()).await;
    hub.engine.ensure_user("ann").await.expect("the owner");
    let run = hub.run(team(&["logs", "cost"], json!({})), "Look.").await;
    gate.held(1).await;
    hub.engine.cancel(run, "ann").await.expect("cancelled");
    let record = hub.until(run, &["cancelled"]).await;
    assert!(record.tasks.iter().all(|task| task.state == "cancelled"));
    while hub.engine.driven() > 0 {
        tokio::task::yield_now().await;
    }
    let agents = hub.engine.agents().await.expect("agents");
    assert!(agents.iter().all(|agent| agent.running == 0), "{agents:?}");
    let refused = hub.engine.cancel(run, "ann").await.expect_err("ended");
    assert_eq!(refused.code(), "illegal_transition");
}

/// Waits until the tasks of a run stand like this.
async fn stand<const N: usize>(hub: &Hub, run: RunId, states: [&str; N]) {
    let mut feed = hub.engine.store().subscribe();
    let wait = async {
        loop {
            let record = hub.engine.run_record(run).await.expect("the run");
            if record.tasks.iter().map(|task| task.state.as_str()).eq(states) {
                return;
            }
            let _ = feed.next().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("the tasks stand like this");
}

#[tokio::test]
async fn a_call_that_waits_and_an_attempt_that_was_put_back_end_with_their_run() {
    let gate = Gate::default();
    // `logs` waits for a message that nobody sends; `apps` is put back, for its run is paused before its call.
    let play = FakeModels::new(|request| match (request.origin.agent.as_str(), request.origin.turn) {
        ("logs", 1) => Ok(asks(&[("c", "wait_for", json!({"from": "apps"}))])),
        ("apps", 1) => Ok(asks(&[("c", "look", json!({}))])),
        _ => usual(request),
    });
    let tools = FakeTools::new(&[("look", Repeat::Harmless)], |_| gives("nothing"));
    let hub = Hub::new(play.with_gate_for(&gate, &["apps"]), tools).await;
    hub.engine.ensure_user("ann").await.expect("the owner");
    let profiles = ["lead", "logs", "apps"].map(|name| profile(name, json!({"tools": ["@talk", "look"]})));
    let rules = json!({"rules": {"planning": "same_task"}});
    let start = hub.prepare(team(&["logs", "apps"], rules), profiles.to_vec(), "Look.").await.expect("a team");
    let run = hub.engine.start_run(start).await.expect("a run");
    gate.held(1).await;
    stand(&hub, run, ["waiting", "running"]).await;
    hub.engine.pause(run, "ann").await.expect("paused");
    gate.open();
    stand(&hub, run, ["waiting", "ready"]).await;
    hub.engine.cancel(run, "ann").await.expect("cancelled");
    let record = hub.until(run, &["cancelled"]).await;
    let attempts: Vec<_> = record.tasks.iter().flat_map(|task| &task.attempts).collect();
    let brief: Vec<_> = attempts.iter().map(|attempt| (attempt.agent.as_str(), attempt.state.as_str())).collect();
    assert_eq!(brief, [("logs", "cancelled"), ("apps", "cancelled")]);
    let waited = attempts[0].steps.last().expect("a step");
    assert_eq!((waited.name.as_str(), waited.status.as_str()), ("wait_for", "failed"), "{waited:?}");
    assert_eq!(waited.error.as_deref(), Some("the task ended while this waited"));
}

#[tokio::test]
async fn a_paused_run_begins_nothing_until_it_is_resumed() {
    let gate = Gate::default();
    let models = FakeModels::new(usual).with_gate(&gate);
    let hub = Hub::new(models.clone(), FakeTools::none()).await;
    hub.engine.ensure_user("ann").await.expect("the owner");
    let run = hub.run(team(&["logs", "cost"], json!({})), "Look.").await;
    gate.held(1).await;
    hub.engine.pause(run, "ann").await.expect("paused");
    gate.open();
    // The plan that was under way is finished and its tasks are made, held back.
    let mut feed = hub.engine.store().subscribe();
    while hub.engine.run_record(run).await.expect("run").tasks.len() < 3 {
        let _ = feed.next().await;
    }
    let record = hub.engine.run_record(run).await.expect("run");
    assert_eq!(record.summary.state, "paused");
    assert_eq!(models.calls().len(), 1);
    hub.engine.resume(run, Resume { user: "ann".into(), ..Resume::default() }).await.expect("resumed");
    assert_eq!(hub.ended(run).await.summary.state, "completed");
}

#[tokio::test]
async fn a_task_that_is_given_back_is_on_record() {
    let gate = Gate::default();
    let play = models("logs", |request| match request.origin.turn {
        1 => Ok(asks(&[("c1", "read", json!({}))])),
        _ => Ok(says("done")),
    });
    let tools = FakeTools::new(&[("read", Repeat::Harmless)], |_| gives("a line"));
    let hub = Hub::new(play.with_gate(&gate), tools).await;
    hub.engine.ensure_user("ann").await.expect("the owner");
    let profiles = vec![profile("lead", json!({})), profile("logs", json!({"tools": ["read"]}))];
    let same_task = team(&["logs"], json!({"rules": {"planning": "same_task"}}));
    let start = hub.prepare(same_task, profiles, "Look.").await.expect("a team");
    let run = hub.engine.start_run(start).await.expect("a run");
    gate.held(1).await;
    let mut feed = hub.engine.store().subscribe();
    hub.engine.pause(run, "ann").await.expect("paused");
    gate.open();
    while feed.next().await.is_some_and(|event| event.is_ok_and(|event| event.kind != "task.requeued")) {}
    assert_eq!(hub.engine.run_record(run).await.expect("the run").tasks[0].state, "ready");
    hub.engine.resume(run, Resume { user: "ann".into(), ..Resume::default() }).await.expect("resumed");
    assert_eq!(hub.ended(run).await.summary.state, "completed");
    let ws = hub.engine.config().workspace;
    let events = hub.engine.store().events_after(ws, 0, Some(run), 1_000).await.expect("events");
    let given_back: Vec<_> =
        events.iter().filter(|event| event.kind == "task.requeued").map(|event| &event.payload).collect();
    assert_eq!(given_back, [&json!({"key": "logs", "why": "yielded"})]);
}

#[tokio::test]
async fn the_same_idempotency_key_is_the_same_run() {
    let hub = Hub::new(hub_models(), FakeTools::none()).await;
    let profiles = || vec![profile("lead", json!({})), profile("logs", json!({}))];
    let start = hub.prepare(team(&["logs"], json!({})), profiles(), "Look.").await.expect("a team");
    let start = StartRun { idempotency_key: Some("k1".into()), ..start };
    let mut ids: Vec<RunId> = Vec::new();
    for _ in 0..20 {
        ids.push(hub.engine.start_run(start.clone()).await.expect("a run"));
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    let other = StartRun { task: "Something else.".into(), ..start };
    assert_eq!(hub.engine.start_run(other).await.expect_err("another task").code(), "idempotency_mismatch");
}

#[tokio::test]
async fn a_graceful_stop_loses_nothing() {
    let gate = Gate::default();
    let models = FakeModels::new(usual).with_gate(&gate);
    let mut hub = Hub::new(models.clone(), FakeTools::none()).await;
    let run = hub.run(team(&["logs", "cost"], json!({})), "Look.").await;
    gate.held(1).await;
    let (_, ()) = tokio::join!(hub.stop(), async { gate.open() });
    let record = hub.engine.run_record(run).await.expect("run");
    assert!(!["completed", "failed"].contains(&record.summary.state.as_str()));
    hub.start().await;
    assert_eq!(hub.ended(run).await.summary.state, "completed");
    let mut keys: Vec<_> = models.calls().into_iter().map(|call| call.origin.key).collect();
    let made = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), made, "a finished call was made again");
}

#[tokio::test]
async fn bad_starts_are_refused_and_change_nothing() {
    let hub = Hub::new(hub_models(), FakeTools::none()).await;
    let profiles = vec![profile("lead", json!({})), profile("logs", json!({}))];
    let start = hub.prepare(team(&["logs"], json!({})), profiles, "  \n ").await.expect("a team");
    let error = hub.engine.start_run(start).await.expect_err("empty");
    assert_eq!((error.code(), error.to_string().as_str()), ("empty_task", "the task is empty"));
    let missing = hub.engine.assemble("ghosts").await.expect_err("no such team");
    assert_eq!(missing.to_string(), "there is no team `ghosts`");
    hub.engine.set_team_active("test", false, "tester").await.expect("switched off");
    assert_eq!(hub.engine.assemble("test").await.expect_err("off").code(), "inactive");
    assert!(hub.engine.runs(None, 10).await.expect("runs").is_empty());
}
