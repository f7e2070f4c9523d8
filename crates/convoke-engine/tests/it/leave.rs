//! Crashes at each step of an approval: nothing is lost, nothing is done twice, and leave is never used for something else.

use std::path::Path;
use std::sync::mpsc;

use convoke_domain::approval::{Choice, State};
use convoke_domain::id::RunId;
use convoke_domain::record::RunRecord;
use convoke_engine::EffectOutcome;
use convoke_port::tool::Repeat;
use convoke_store::Store;
use convoke_testkit::hub::{Hub, profile, team};
use convoke_testkit::model::{FakeModels, Gate, asks, says};
use convoke_testkit::tool::{FakeTools, gives};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::play::usual;

fn models() -> FakeModels {
    FakeModels::new(|request| match (request.origin.agent.as_str(), request.origin.turn) {
        ("logs", 1) => Ok(asks(&[("c1", "post", json!({"to": "bob"}))])),
        ("logs", _) => Ok(says(format!("got {:?}", request.turns.last().expect("a turn").blocks))),
        _ => usual(request),
    })
}

fn tools(repeat: Repeat) -> FakeTools {
    FakeTools::new(&[("post", repeat)], |_| gives("sent"))
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Drops everything that is under way, as a crash would, and frees the folder.
fn crash(runtime: Runtime, store: Store) {
    drop(runtime);
    self::runtime().block_on(store.close()).expect("a store that closes");
}

async fn begin(dir: &Path, models: FakeModels, tools: FakeTools) -> (Hub, RunId) {
    let mut hub = Hub::open(dir, models, tools, |_| {}).await;
    hub.start().await;
    hub.engine.ensure_user("ada").await.expect("the owner");
    let profiles = vec![profile("lead", json!({})), profile("logs", json!({"tools": ["post"], "ask": ["post"]}))];
    let team = team(&["logs"], json!({"rules": {"planning": "same_task"}}));
    let start = hub.prepare(team, profiles, "Send it.").await.expect("a team");
    let run = hub.engine.start_run(start).await.expect("a run");
    (hub, run)
}

async fn again(dir: &Path, tools: FakeTools) -> Hub {
    let mut hub = Hub::open(dir, models(), tools, |_| {}).await;
    hub.start().await;
    hub
}

async fn approve(hub: &Hub, record: &RunRecord) {
    let pending = record.approvals.iter().find(|approval| approval.state == "pending").expect("one waits");
    let answered = hub.engine.answer_approval(pending.id, Choice::Approve, "user:ada", "").await.expect("approved");
    assert_eq!(answered.state, State::Approved);
}

#[test]
fn a_crash_in_the_call_that_asks_asks_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let (doomed, gate) = (runtime(), Gate::default());
    let (run, store) = doomed.block_on(async {
        let (hub, run) = begin(dir.path(), models().with_gate(&gate), tools(Repeat::Once)).await;
        gate.held(1).await;
        (run, hub.engine.store().clone())
    });
    crash(doomed, store);
    let tools = tools(Repeat::Once);
    let record = runtime().block_on(async {
        let hub = again(dir.path(), tools.clone()).await;
        let record = hub.until(run, &["waiting"]).await;
        approve(&hub, &record).await;
        hub.ended(run).await
    });
    assert_eq!((record.summary.state.as_str(), record.approvals.len(), tools.calls().len()), ("completed", 1, 1));
}

#[test]
fn a_crash_while_it_waits_or_right_after_the_answer_loses_neither() {
    for crash_after_answer in [false, true] {
        let dir = tempfile::tempdir().expect("a folder");
        let doomed = runtime();
        let (run, store) = doomed.block_on(async {
            let (mut hub, run) = begin(dir.path(), models(), tools(Repeat::Once)).await;
            let record = hub.until(run, &["waiting"]).await;
            if crash_after_answer {
                // Nobody is at work who could use it before the crash.
                hub.stop().await;
                approve(&hub, &record).await;
            }
            (run, hub.engine.store().clone())
        });
        crash(doomed, store);
        let tools = tools(Repeat::Once);
        let record = runtime().block_on(async {
            let hub = again(dir.path(), tools.clone()).await;
            if !crash_after_answer {
                let record = hub.until(run, &["waiting"]).await;
                assert!(tools.calls().is_empty(), "a restart is no leave");
                approve(&hub, &record).await;
            }
            hub.ended(run).await
        });
        assert_eq!((record.summary.state.as_str(), tools.calls().len()), ("completed", 1), "{crash_after_answer}");
        assert_eq!(record.approvals[0].state, "executed");
    }
}

/// Crashes while the call that was approved is under way.
fn crashed_in_the_call(dir: &Path, repeat: Repeat) -> RunId {
    let doomed = runtime();
    let (inside, entered) = mpsc::channel::<()>();
    let (run, store) = doomed.block_on(async {
        let (hub, run) = begin(dir, models(), tools(repeat).with_stall(inside)).await;
        let record = hub.until(run, &["waiting"]).await;
        approve(&hub, &record).await;
        while entered.try_recv().is_err() {
            tokio::task::yield_now().await;
        }
        (run, hub.engine.store().clone())
    });
    crash(doomed, store);
    run
}

#[test]
fn a_call_that_may_be_repeated_needs_no_second_leave_after_a_crash() {
    let dir = tempfile::tempdir().expect("a folder");
    let run = crashed_in_the_call(dir.path(), Repeat::Idempotent);
    let tools = tools(Repeat::Idempotent);
    let record = runtime().block_on(async { again(dir.path(), tools.clone()).await.ended(run).await });
    assert_eq!((record.summary.state.as_str(), record.approvals.len()), ("completed", 1));
    assert_eq!((record.approvals[0].state.as_str(), tools.calls().len()), ("executed", 1));
}

#[test]
fn a_call_that_must_not_be_repeated_is_asked_for_anew_if_it_is_to_be_made_again() {
    for (outcome, calls, states) in [
        (EffectOutcome::Done("it was sent".into()), 0, vec!["failed"]),
        (EffectOutcome::Retry, 1, vec!["failed", "executed"]),
    ] {
        let dir = tempfile::tempdir().expect("a folder");
        let run = crashed_in_the_call(dir.path(), Repeat::Once);
        let tools = tools(Repeat::Once);
        let record = runtime().block_on(async {
            let hub = again(dir.path(), tools.clone()).await;
            let record = hub.until(run, &["waiting"]).await;
            hub.engine.resolve_effect(&record.effects[0].key, outcome.clone(), "ada").await.expect("resolved");
            if outcome == EffectOutcome::Retry {
                let mut feed = hub.engine.store().subscribe();
                let record = loop {
                    let record = hub.engine.run_record(run).await.expect("the run");
                    if record.approvals.iter().any(|approval| approval.state == "pending") {
                        break record;
                    }
                    let _ = feed.next().await;
                };
                assert!(tools.calls().is_empty(), "leave serves once");
                approve(&hub, &record).await;
            }
            hub.ended(run).await
        });
        assert_eq!((record.summary.state.as_str(), tools.calls().len()), ("completed", calls));
        assert_eq!(record.approvals.iter().map(|approval| approval.state.as_str()).collect::<Vec<_>>(), states);
    }
}
