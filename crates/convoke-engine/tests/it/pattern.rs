//! `coordinator_worker` on a real store: rounds, objections, partial results.

use std::sync::atomic::{AtomicU32, Ordering};

use convoke_domain::id::{RunId, WorkspaceId};
use convoke_port::model::Fault;
use convoke_testkit::hub::{Hub, team};
use convoke_testkit::model::{FakeModels, fault, says};
use convoke_testkit::tool::FakeTools;
use serde_json::{Value, json};

use crate::play::{models, plan, usual};

#[tokio::test]
async fn a_failed_member_leaves_a_partial_result_that_says_so() {
    let play = models("cost", |_| Err(fault(Fault::BadRequest, "no such parameter")));
    let hub = Hub::new(play.clone(), FakeTools::none()).await;
    let run = hub.run(team(&["logs", "cost"], json!({})), "Look.").await;
    let record = hub.ended(run).await;
    assert_eq!(record.summary.state, "completed");
    let failed = record.tasks.iter().find(|task| task.key == "cost").expect("the task");
    assert_eq!((failed.state.as_str(), failed.error.as_deref()), ("failed", Some("bad_request: no such parameter")));
    let synthesis = play.calls().into_iter().find(|call| call.origin.stage == "synthesis").expect("a synthesis");
    assert!(synthesis.turns[0].text().contains("this member failed (bad_request"), "{}", synthesis.turns[0].text());
}

#[tokio::test]
async fn all_members_failed_is_a_failed_run() {
    let play = FakeModels::new(|request| match request.origin.stage.as_str() {
        "work" => Err(fault(Fault::Auth, "the key was refused")),
        _ => usual(request),
    });
    let hub = Hub::new(play, FakeTools::none()).await;
    let run = hub.run(team(&["logs", "cost"], json!({})), "Look.").await;
    let record = hub.ended(run).await;
    let error = record.summary.error.expect("a reason");
    assert_eq!(record.summary.state, "failed");
    assert!(error.starts_with("all_members_failed: logs (logs): auth: the key was refused"), "{error}");
}

#[tokio::test]
async fn a_bad_plan_gets_one_more_chance() {
    let asked = AtomicU32::new(0);
    let play =
        models("lead", move |request| match (request.origin.stage.as_str(), asked.fetch_add(1, Ordering::SeqCst)) {
            ("plan", 0) => Ok(says(plan(&["logs", "ghost"]))),
            ("plan", _) => {
                let told = request.turns.last().expect("a turn").text();
                assert!(told.contains("ghost"), "the coordinator is told what is wrong: {told}");
                Ok(says(plan(&["logs"])))
            }
            _ => usual(request),
        });
    let hub = Hub::new(play, FakeTools::none()).await;
    let run = hub.run(team(&["logs", "cost"], json!({})), "Look.").await;
    assert_eq!(hub.ended(run).await.summary.state, "completed");
}

#[tokio::test]
async fn a_coordinator_that_cannot_plan_hands_over_to_a_person() {
    let play = models("lead", |_| Ok(says("I would rather not use JSON")));
    let hub = Hub::new(play, FakeTools::none()).await;
    let run = hub.run(team(&["logs", "cost"], json!({})), "Look.").await;
    let record = hub.ended(run).await;
    assert_eq!(record.summary.state, "escalated");
    assert!(record.summary.error.expect("a reason").contains("schema_mismatch"));
}

#[tokio::test]
async fn objections_are_met_or_go_to_a_person() {
    let play = models("cost", |request| match request.origin.stage.as_str() {
        "validation" => Ok(says(r#"{"verdict":"disagree","comment":"too dear"}"#)),
        _ => usual(request),
    });
    let hub = Hub::new(play.clone(), FakeTools::none()).await;
    let run = hub.run(team(&["logs", "cost"], json!({"rules": {"validation_rounds": 2}})), "Look.").await;
    let record = hub.ended(run).await;
    assert_eq!(record.summary.state, "escalated");
    assert_eq!(record.summary.error.as_deref(), Some("members disagree with the result: cost: too dear"));
    assert_eq!(record.output.as_deref(), Some("the result"));
    let second =
        play.calls().into_iter().filter(|call| call.origin.stage == "synthesis").nth(1).expect("a second synthesis");
    assert!(second.turns[0].text().contains("too dear"));
    let told = hub.engine.analytics(run).await.expect("figures");
    let polls: Vec<_> =
        told.agreement.polls.iter().map(|poll| (poll.stage.as_str(), poll.with, poll.against)).collect();
    assert_eq!(polls, [("validation", 1, 1); 2], "each voice counts once, whatever events tell of it");
}

/// What the events tell of a run's coordination, in order.
async fn coordination(hub: &Hub, run: RunId) -> Vec<(String, Value)> {
    let events = hub.engine.store().events_after(WorkspaceId::DEFAULT, 0, Some(run), 1_000).await.expect("events");
    let own = events
        .into_iter()
        .filter_map(|event| Some((event.kind.strip_prefix("coordination.")?.to_owned(), event.payload)));
    own.collect()
}

#[tokio::test]
async fn its_coordination_is_told_by_events_as_that_of_flows() {
    let play = models("cost", |request| match request.origin.stage.as_str() {
        "validation" => Ok(says(r#"{"verdict":"disagree","comment":"too dear"}"#)),
        _ => usual(request),
    });
    let hub = Hub::new(play, FakeTools::none()).await;
    let rules = json!({"rules": {"validation_rounds": 1, "escalation_policy": "never"}});
    let run = hub.run(team(&["logs", "cost"], rules), "Look.").await;
    assert_eq!(hub.ended(run).await.summary.state, "completed");
    let of = |kind: &str, payload: Value| (kind.to_owned(), payload);
    let expected = [
        of("split.created", json!({"path": "work/1", "items": 2, "width": 2, "wait": "all"})),
        of("sync.created", json!({"path": "work/1", "items": 2, "wait": "all", "count": 2})),
        of("sync.ready", json!({"path": "work/1", "items": 2, "completed": 2, "failed": 0, "met": true})),
        of("join.created", json!({"path": "synthesis/1", "of": ["work/1"]})),
        of(
            "merge.completed",
            json!({"path": "synthesis/1", "how": "synthesis", "from": ["logs", "cost"], "missing": []}),
        ),
        of(
            "review.ended",
            json!({"path": "validation/1", "author": "lead", "verdict": "revise", "rounds": 1, "dissent": ["cost"], "silent": []}),
        ),
    ];
    assert_eq!(coordination(&hub, run).await, expected);
}

#[tokio::test]
async fn a_fallback_agent_takes_over_for_good() {
    let play = models("logs", |_| Err(fault(Fault::BadRequest, "broken")));
    let hub = Hub::new(play, FakeTools::none()).await;
    let rules = json!({"rules": {"fallback_agent": "cost", "planning": "same_task"}});
    let run = hub.run(team(&["logs", "cost"], rules), "Look.").await;
    let record = hub.ended(run).await;
    let task = record.tasks.iter().find(|task| task.key == "logs").expect("the task");
    assert_eq!((task.state.as_str(), task.agent.as_str()), ("completed", "cost"));
    assert_eq!(task.attempts.iter().map(|attempt| attempt.agent.as_str()).collect::<Vec<_>>(), ["logs", "cost"]);
}
