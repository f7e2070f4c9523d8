//! Faults of models: what can pass is tried again, what cannot ends in a named outcome.

use std::sync::atomic::{AtomicU32, Ordering};

use convoke_domain::transcript::Usage;
use convoke_port::model::{Fault, ModelError, ModelReply};
use convoke_testkit::hub::{Hub, profile, team};
use convoke_testkit::model::{FakeModels, Gate, fault, says};
use convoke_testkit::tool::FakeTools;
use serde_json::json;

use crate::play::{models, usual};

fn same_task() -> serde_json::Value {
    json!({"rules": {"planning": "same_task"}})
}

#[tokio::test]
async fn a_fault_that_passes_costs_a_try() {
    let tried = AtomicU32::new(0);
    let play = models("logs", move |request| match tried.fetch_add(1, Ordering::SeqCst) {
        0 | 1 => Err(fault(Fault::RateLimited, "too many requests")),
        _ => usual(request),
    });
    let hub = Hub::new(play, FakeTools::none()).await;
    let run = hub.run(team(&["logs"], same_task()), "Look.").await;
    let record = hub.ended(run).await;
    assert_eq!(record.summary.state, "completed");
    let steps = &record.tasks[0].attempts[0].steps;
    assert_eq!((steps.len(), steps[0].tries), (1, 3));
    assert_eq!(record.summary.model_calls, 2, "tries that were not billed are not bills");
}

#[tokio::test]
async fn a_storm_of_faults_ends_the_task_after_its_retries() {
    let play = models("logs", |_| Err(fault(Fault::Overloaded, "try later")));
    let hub = Hub::new(play.clone(), FakeTools::none()).await;
    let rules = json!({"rules": {"planning": "same_task", "retries": 2}});
    let run = hub.run(team(&["logs", "cost"], rules), "Look.").await;
    let record = hub.ended(run).await;
    let task = record.tasks.iter().find(|task| task.key == "logs").expect("the task");
    assert_eq!((task.state.as_str(), task.attempts.len()), ("failed", 3));
    let calls = play.calls().iter().filter(|call| call.origin.agent == "logs").count();
    assert_eq!(calls, 9, "three attempts of three tries");
    assert_eq!(record.summary.state, "completed");
}

#[tokio::test]
async fn a_count_that_nobody_can_believe_is_billed_at_the_bound() {
    let play = models("logs", |request| {
        let usage = Usage { input_tokens: u64::MAX / 2, output_tokens: u64::MAX / 2, ..Usage::default() };
        usual(request).map(|reply| ModelReply { usage: Some(usage), ..reply })
    });
    let hub = Hub::new(play, FakeTools::none()).await;
    let run = hub.run(team(&["logs"], same_task()), "Look.").await;
    let record = hub.ended(run).await;
    assert_eq!(record.summary.state, "completed");
    let usage = record.usage.iter().find(|usage| usage.agent == "logs").expect("bills");
    assert_eq!((usage.calls, usage.lost_calls), (1, 1));
    assert!(record.summary.tokens < 10_000, "{}", record.summary.tokens);
    assert_eq!(hub.engine.store().verify().await.expect("verified").problems, []);
}

#[tokio::test]
async fn a_lost_call_is_billed_at_its_bound() {
    let tried = AtomicU32::new(0);
    let play = models("logs", move |request| match tried.fetch_add(1, Ordering::SeqCst) {
        0 => Err(ModelError { may_be_billed: true, ..fault(Fault::Cut, "the stream broke") }),
        _ => usual(request),
    });
    let hub = Hub::new(play, FakeTools::none()).await;
    let run = hub.run(team(&["logs"], same_task()), "Look.").await;
    let record = hub.ended(run).await;
    assert_eq!(record.summary.state, "completed");
    let usage = record.usage.iter().find(|usage| usage.agent == "logs").expect("bills");
    assert_eq!((usage.calls, usage.lost_calls), (2, 1));
    let reserved: i64 = record.budgets.iter().map(|budget| budget.reserved.cost.as_nanos()).sum();
    assert_eq!(reserved, 0);
}

#[tokio::test]
async fn a_fallback_model_is_asked_when_the_first_cannot_be_had() {
    let play = FakeModels::new(|request| match request.model.as_str() {
        "model" => Err(fault(Fault::NoSuchModel, "gone")),
        _ => usual(request),
    });
    let hub = Hub::new(play, FakeTools::none()).await;
    let settings = json!({"model_settings": {"fallback": ["fake/second"]}});
    let profiles = vec![profile("lead", settings.clone()), profile("logs", settings)];
    let start = hub.prepare(team(&["logs"], same_task()), profiles, "Look.").await.expect("a team");
    let run = hub.engine.start_run(start).await.expect("a run");
    let record = hub.ended(run).await;
    assert_eq!(record.summary.state, "completed");
    assert!(record.usage.iter().all(|usage| usage.model == "fake/second"));
}

#[tokio::test]
async fn an_attempt_that_takes_too_long_is_cut_and_tried_again() {
    let gate = Gate::default();
    let hub = Hub::new(FakeModels::new(usual).with_gate(&gate), FakeTools::none()).await;
    let rules = json!({"rules": {"planning": "same_task", "timeout_per_agent_s": 1, "retries": 1}});
    let run = hub.run(team(&["logs"], rules), "Look.").await;
    let record = hub.ended(run).await;
    assert_eq!(record.summary.state, "failed");
    let task = &record.tasks[0];
    assert_eq!(task.attempts.len(), 2);
    assert_eq!(task.error.as_deref(), Some("timeout: the attempt did not end within 1 s"));
}

#[tokio::test]
async fn a_run_whose_time_is_up_fails() {
    let gate = Gate::default();
    let hub = Hub::new(FakeModels::new(usual).with_gate(&gate), FakeTools::none()).await;
    let run = hub.run(team(&["logs"], json!({"rules": {"planning": "same_task", "timeout_s": 1}})), "Look.").await;
    let record = hub.ended(run).await;
    assert_eq!(record.summary.state, "failed");
    assert_eq!(record.summary.error.as_deref(), Some("timeout: the run did not end within its time"));
}

#[tokio::test]
async fn a_panic_in_an_adapter_costs_a_lost_call_and_not_the_run() {
    let tried = AtomicU32::new(0);
    let play = models("logs", move |request| match tried.fetch_add(1, Ordering::SeqCst) {
        0 => panic!("an adapter has a bug"),
        _ => usual(request),
    });
    let hub = Hub::new(play, FakeTools::none()).await;
    let run = hub.run(team(&["logs"], same_task()), "Look.").await;
    let record = hub.ended(run).await;
    assert_eq!(record.summary.state, "completed");
    let lost: i64 = record.usage.iter().map(|usage| usage.lost_calls).sum();
    assert_eq!(lost, 1);
}

#[tokio::test]
async fn a_coordinator_that_is_stuck_is_the_flows_matter_first() {
    let steps = |on_failure: serde_json::Value| {
        let output = json!({"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}});
        let task = json!({"agent": "{{ coordinator }}", "instructions": "Count.", "output": output});
        let mut count = json!({"id": "count", "task": task});
        count.as_object_mut().expect("a step").extend(on_failure.as_object().expect("an object").clone());
        let flow = json!({"steps": [count, {"id": "end", "value": "results.count.n"}]});
        json!({"pattern": "own", "flow": flow, "rules": {"retries": 0}})
    };
    let play = || FakeModels::new(|_| Ok(says("seven, I think")));
    let hub = Hub::new(play(), FakeTools::none()).await;
    let run = hub.run(team(&["logs"], steps(json!({"on_failure": "continue", "default": {"n": 7}}))), "Look.").await;
    let record = hub.ended(run).await;
    assert_eq!(
        (record.summary.state.as_str(), record.output.as_deref()),
        ("completed", Some("7")),
        "its rule says what then"
    );
    let hub = Hub::new(play(), FakeTools::none()).await;
    let run = hub.run(team(&["logs"], steps(json!({}))), "Look.").await;
    let record = hub.ended(run).await;
    let reason = record.summary.error.unwrap_or_default();
    assert_eq!(record.summary.state, "escalated", "without a rule a person has it");
    assert!(reason.starts_with("count (lead): schema_mismatch: "), "{reason}");
}
