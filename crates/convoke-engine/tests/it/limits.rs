//! Loops and limits of an agent: it is told once, then stopped.

use convoke_port::tool::Repeat;
use convoke_testkit::hub::{Hub, profile, team};
use convoke_testkit::model::{asks, says};
use convoke_testkit::tool::{FakeTools, gives};
use serde_json::json;

use crate::play::models;

async fn run(hub: &Hub, more: serde_json::Value) -> convoke_domain::record::RunRecord {
    let profiles = vec![profile("lead", json!({})), profile("logs", more)];
    let team = team(&["logs"], json!({"rules": {"planning": "same_task"}}));
    let start = hub.prepare(team, profiles, "Look.").await.expect("a team");
    let run = hub.engine.start_run(start).await.expect("a run");
    hub.ended(run).await
}

fn reading() -> FakeTools {
    FakeTools::new(&[("read", Repeat::Harmless)], |_| gives("the same as ever"))
}

#[tokio::test]
async fn the_same_call_again_and_again_is_stopped() {
    let play =
        models("logs", |request| Ok(asks(&[(&format!("c{}", request.origin.turn), "read", json!({"path": "x"}))])));
    let hub = Hub::new(play.clone(), reading()).await;
    let record = run(&hub, json!({"tools": ["read"]})).await;
    let error = record.tasks[0].error.as_deref().unwrap_or_default();
    assert_eq!(error, "repeated_call: the agent made the same call to `read` 5 times");
    let told = play.calls().iter().any(|call| format!("{:?}", call.turns).contains("Note from the runtime"));
    assert!(told, "the agent is told before it is stopped");
    let ws = hub.engine.config().workspace;
    let events = hub.engine.store().events_after(ws, 0, None, 1_000).await.expect("events");
    let on_record: Vec<_> =
        events.iter().filter(|event| event.kind == "loop.detected").map(|event| &event.payload).collect();
    assert_eq!(on_record, [&json!({"tool": "read", "count": 3})], "told once, and on record once");
}

#[tokio::test]
async fn the_last_turn_is_for_an_answer() {
    let play = models("logs", |request| match request.tools.is_empty() {
        true => Ok(says("all I have")),
        false => Ok(asks(&[(&format!("c{}", request.origin.turn), "read", json!({"n": request.origin.turn}))])),
    });
    let hub = Hub::new(play.clone(), reading()).await;
    let record = run(&hub, json!({"tools": ["read"], "max_turns": 3})).await;
    assert_eq!(record.tasks[0].output.as_deref(), Some("all I have"));
    assert_eq!(play.calls().iter().filter(|call| call.origin.agent == "logs").count(), 4);
}

#[tokio::test]
async fn capacity_is_never_passed() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};
    let (now, most) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicI64::new(0)));
    let (inside, highest) = (now.clone(), most.clone());
    let tools = FakeTools::new(&[("read", Repeat::Harmless)], move |_| {
        highest.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::yield_now();
        inside.fetch_sub(1, Ordering::SeqCst);
        gives("x")
    });
    let play = models("logs", |request| match request.origin.turn {
        1 => Ok(asks(&[("c", "read", json!({}))])),
        _ => Ok(says("done")),
    });
    let hub = Hub::new(play, tools).await;
    let profiles = vec![profile("lead", json!({})), profile("logs", json!({"tools": ["read"], "capacity": 2}))];
    let team = team(&["logs"], json!({"rules": {"planning": "same_task"}}));
    let start = hub.prepare(team, profiles, "Look.").await.expect("a team");
    let mut runs = Vec::new();
    for _ in 0..30 {
        runs.push(hub.engine.start_run(start.clone()).await.expect("a run"));
    }
    for run in runs {
        assert_eq!(hub.ended(run).await.summary.state, "completed");
    }
    assert!(most.load(Ordering::SeqCst) <= 2);
    let agents = hub.engine.agents().await.expect("agents");
    assert!(agents.iter().all(|agent| agent.running == 0), "{agents:?}");
}

#[tokio::test]
async fn an_answer_with_more_text_than_is_kept_is_billed_and_refused() {
    for (bytes, state) in [(100, "completed"), (101, "failed")] {
        let play = models("logs", move |_| Ok(says("x".repeat(bytes))));
        let hub = Hub::with(play.clone(), FakeTools::none(), |config| config.max_answer_bytes = 100).await;
        let record = run(&hub, json!({})).await;
        assert_eq!(record.tasks[0].state, state, "{record:#?}");
        assert_eq!(play.calls().iter().filter(|call| call.origin.agent == "logs").count(), 1, "nothing is tried again");
        let usage = record.usage.iter().find(|usage| usage.agent == "logs").expect("it is billed");
        assert_eq!((usage.calls, usage.lost_calls), (1, 0));
        if state == "failed" {
            let error = record.tasks[0].error.as_deref().unwrap_or_default();
            assert!(error.starts_with("answer_too_large: ") && error.contains("101 bytes"), "{error}");
        }
    }
}
