//! What is given together, and to which task: urgent threads first, what has ended moves nothing, and nothing is given twice
//! where clocks are coarse.

use std::sync::Arc;

use convoke_domain::id::RunId;
use convoke_domain::message::{Ask, Kind};
use convoke_domain::task::Priority;
use convoke_domain::time::Timestamp;
use convoke_engine::NewMessage;
use convoke_store::{Options, Store};
use convoke_testkit::hub::{Hub, profile, team};
use convoke_testkit::model::{FakeModels, Gate, says};
use convoke_testkit::tool::FakeTools;
use serde_json::json;

use super::{begin, calls, heard, output};

#[tokio::test]
async fn a_question_that_has_ended_makes_nothing_before_it_urgent() {
    let gate = Gate::default();
    let models = FakeModels::new(|request| match (request.origin.agent.as_str(), request.origin.turn) {
        ("cost", 1) => calls("wait_for", json!({"from": "user:tester"})),
        ("cost", _) => Ok(says(heard(request))),
        _ => Ok(says("fine")),
    });
    let (hub, run) = begin(models.with_gate_for(&gate, &["cost"]), json!({})).await;
    // While `cost` is at its first call: of low urgency to all, then a question in the same thread, then a note.
    gate.held(1).await;
    let low = NewMessage { to: Vec::new(), priority: Priority::Low, ..NewMessage::note("", "By the way.") };
    let within = Ask { within_s: Some(1), ..Ask::default() };
    let question = NewMessage {
        kind: Kind::Question,
        priority: Priority::High,
        ask: Some(within),
        ..NewMessage::note("cost", "How much?")
    };
    for message in [low, question, NewMessage::note("cost", "Read this.")] {
        hub.engine.say("tester", Some(run), message).await.expect("a message");
    }
    expired(&hub, run).await;
    gate.open();
    let record = hub.ended(run).await;
    let given = output(&record, "cost");
    assert!(!given.contains("How much?"), "nobody needs an answer any more: {given}");
    let (low, note) = (given.find("By the way.").expect("the low one"), given.find("Read this.").expect("the note"));
    assert!(note < low, "the question no longer lifts what stands before it: {given}");
}

/// Waits until the run's question has ended.
async fn expired(hub: &Hub, run: RunId) {
    let mut feed = hub.engine.store().subscribe();
    while hub.engine.run_record(run).await.expect("a record").decisions.iter().all(|one| one.standing == "open") {
        let _ = feed.next().await;
    }
}

/// All that happens in this test has the same time, as it does in one batch.
#[tokio::test]
async fn an_alert_is_given_once_in_each_task_where_the_clock_stands_still() {
    let models = FakeModels::new(|request| match (request.origin.agent.as_str(), request.origin.turn) {
        ("logs", 1) => calls("wait_for", json!({"kind": "alert"})),
        ("logs", 2) => calls("send", json!({"to": "cost", "message": "heard"})),
        ("logs", 3) => calls("wait_for", json!({"kind": "finding"})),
        ("logs", _) => Ok(says(heard(request))),
        ("cost", _) => {
            let said = heard(request);
            // Once both tasks have heard it, they are told something else, so that they look for messages again.
            match (said.contains("alert sent"), said.matches("| heard").count(), said.contains("finding sent")) {
                (false, ..) => calls(
                    "broadcast",
                    json!({"kind": "alert", "priority": "critical", "message": "Stop.", "subject": "alert sent"}),
                ),
                (_, 0 | 1, _) => calls("wait_for", json!({"from": "logs"})),
                (_, _, false) => {
                    calls("broadcast", json!({"kind": "finding", "message": "A disk.", "subject": "finding sent"}))
                }
                _ => Ok(says("done")),
            }
        }
        _ => Ok(says("fine")),
    });
    let dir = tempfile::tempdir().expect("a folder");
    let still = Options { clock: Arc::new(|| Timestamp::from_micros(1_900_000_000_000_000)), ..Options::default() };
    let store = Store::open_sqlite(dir.path(), still).await.expect("a store");
    let mut hub = Hub::over(store, dir.path().join("work"), models, FakeTools::none(), |_| {});
    hub.start().await;
    let can = json!({"tools": ["@talk"]});
    let profiles = ["lead", "logs", "cost"].map(|name| profile(name, can.clone())).to_vec();
    let task = |key: &str, who: &str| json!({"key": key, "title": key, "assignee": who});
    let tasks = json!([task("reads", "logs"), task("watches", "logs"), task("bills", "cost")]);
    let team = team(&["logs", "cost"], json!({"rules": {"planning": "fixed", "retries": 0}, "tasks": tasks}));
    let run = hub.engine.start_run(hub.prepare(team, profiles, "Look.").await.expect("a team")).await.expect("a run");
    let record = hub.ended(run).await;
    for key in ["reads", "watches"] {
        let task = record.tasks.iter().find(|task| task.key == key).expect("a task");
        let read = task.output.as_deref().expect("an output");
        assert_eq!(read.matches("[alert msg_").count(), 1, "{key}: {read}");
    }
    hub.stop().await;
}

/// `logs` has two tasks at once.
#[tokio::test]
async fn an_alert_reaches_every_task_of_an_agent_and_an_answer_the_one_that_asked() {
    let models = FakeModels::new(|request| {
        match (request.origin.agent.as_str(), request.origin.task_key.as_str(), request.origin.turn) {
            // It asks, and goes on without waiting; the other task looks for messages first.
            ("logs", "asks", 1) => {
                calls("ask", json!({"to": "cost", "question": "How much?", "kind": "request", "wait": false}))
            }
            ("logs", "asks", 2) => calls("wait_for", json!({"from": "cost", "kind": "response", "timeout_s": 20})),
            ("logs", "asks", 3) if !heard(request).contains("Stop at once.") => {
                calls("wait_for", json!({"kind": "alert", "timeout_s": 20}))
            }
            ("logs", "watches", 1) => calls("wait_for", json!({"from": "cost", "timeout_s": 20})),
            ("logs", _, _) => Ok(says(heard(request))),
            ("cost", "bills", 1) => calls("wait_for", json!({"kind": "request", "timeout_s": 20})),
            ("cost", "bills", 2) => {
                let text = heard(request);
                let id = text.split("[request ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_default();
                calls("reply", json!({"to": id, "message": "Twice as much."}))
            }
            ("cost", "bills", 3) => calls(
                "send",
                json!({"to": "logs", "kind": "alert", "priority": "critical", "message": "Stop at once."}),
            ),
            _ => Ok(says("fine")),
        }
    });
    let hub = Hub::new(models, FakeTools::none()).await;
    hub.engine.ensure_user("tester").await.expect("a user");
    let can = json!({"tools": ["@talk"]});
    let profiles = ["lead", "logs", "cost"].map(|name| profile(name, can.clone())).to_vec();
    let task = |key: &str, who: &str| json!({"key": key, "title": key, "assignee": who});
    let tasks = json!([task("asks", "logs"), task("watches", "logs"), task("bills", "cost")]);
    let rules = json!({"planning": "fixed", "retries": 0});
    let team = team(&["logs", "cost"], json!({"rules": rules, "tasks": tasks}));
    let start = hub.prepare(team, profiles, "Look.").await.expect("a team");
    let run = hub.engine.start_run(start).await.expect("a run");
    let record = hub.ended(run).await;
    let output = |key: &str| {
        let found = record.tasks.iter().find(|task| task.key == key).expect("a task");
        found.output.clone().unwrap_or_default()
    };
    let (asks, watches) = (output("asks"), output("watches"));
    assert!(asks.contains("| Twice as much."), "the answer comes to the task that asked: {asks}");
    assert!(!watches.contains("Twice as much."), "and to no other: {watches}");
    assert!(watches.contains("| Stop at once.") && asks.contains("| Stop at once."), "{watches}\n{asks}");
}
