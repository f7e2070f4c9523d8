//! `coordinator_worker` on a real store: rounds, objections, partial results.

use std::sync::atomic::{AtomicU32, Ordering};

use convoke_port::model::Fault;
use convoke_testkit::hub::{Hub, team};
use convoke_testkit::model::{FakeModels, fault, says};
use convoke_testkit::tool::FakeTools;
use serde_json::json;

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
