//! The *act* door: authority, records before dispatch, outcomes that nobody knows.

use std::sync::atomic::{AtomicU32, Ordering};

use convoke_engine::EffectOutcome;
use convoke_port::model::{ModelError, ModelReply, ModelRequest};
use convoke_port::tool::{Repeat, ToolError};
use convoke_testkit::hub::{Hub, profile, team};
use convoke_testkit::model::{FakeModels, asks, says};
use convoke_testkit::tool::{FakeTools, gives};
use serde_json::json;

use crate::play::models;

async fn run_with_tools(hub: &Hub, tools: &[&str]) -> convoke_domain::id::RunId {
    let profiles = vec![profile("lead", json!({})), profile("logs", json!({"tools": tools}))];
    let team = team(&["logs"], json!({"rules": {"planning": "same_task"}}));
    let start = hub.prepare(team, profiles, "Look.").await.expect("a team");
    hub.engine.start_run(start).await.expect("a run")
}

/// Asks for one call, then repeats what came back.
fn one_call(name: &'static str) -> impl Fn(&ModelRequest) -> Result<ModelReply, ModelError> + Send + Sync {
    move |request| match request.origin.turn {
        1 => Ok(asks(&[("c1", name, json!({"x": 1}))])),
        _ => Ok(says(format!("got {:?}", request.turns.last().expect("a turn").blocks))),
    }
}

#[tokio::test]
async fn tools_run_in_parallel_and_their_results_come_back() {
    let play = models("logs", |request| match request.origin.turn {
        1 => Ok(asks(&[("a", "read", json!({"n": 1})), ("b", "read", json!({"n": 2}))])),
        _ => {
            let text = format!("{:?}", request.turns.last().expect("a turn").blocks);
            assert!(text.contains("read 1") && text.contains("read 2"), "{text}");
            Ok(says("both"))
        }
    });
    let tools = FakeTools::new(&[("read", Repeat::Harmless)], |request| gives(format!("read {}", request.input["n"])));
    let hub = Hub::new(play, tools).await;
    let run = run_with_tools(&hub, &["read"]).await;
    let record = hub.ended(run).await;
    assert_eq!((record.summary.state.as_str(), record.summary.tool_calls), ("completed", 2));
}

#[tokio::test]
async fn what_is_not_granted_is_denied_and_recorded() {
    let tools = FakeTools::new(&[("read", Repeat::Harmless), ("write", Repeat::Once), ("shell", Repeat::Once)], |_| {
        gives("done")
    });
    for (allowed, called, rule) in
        [("read", "write", "tools"), ("shell", "shell", "authority.shell"), ("read", "ghost", "tools")]
    {
        let hub = Hub::new(models("logs", one_call(called)), tools.clone()).await;
        let run = run_with_tools(&hub, &[allowed]).await;
        let record = hub.ended(run).await;
        assert_eq!(record.summary.state, "completed");
        let steps = &record.tasks[0].attempts[0].steps;
        assert_eq!(steps[1].status, "denied", "{steps:?}");
        let ws = hub.engine.config().workspace;
        let events = hub.engine.store().events_after(ws, 0, Some(run), 1_000).await.expect("events");
        let denial = events.iter().find(|event| event.kind == "tool.denied").expect("the denial is on record");
        assert_eq!(denial.payload["rule"], rule);
    }
    assert!(tools.calls().is_empty(), "nothing that was denied ran");
}

#[tokio::test]
async fn an_unknown_outcome_waits_for_a_person() {
    for (outcome, seen) in [
        (EffectOutcome::Done("it was sent".into()), "it was sent"),
        (EffectOutcome::Failed("it was not sent".into()), "it was not sent"),
        (EffectOutcome::Retry, "sent at the second try"),
    ] {
        let tried = AtomicU32::new(0);
        let tools =
            FakeTools::new(&[("mail_out", Repeat::Once)], move |_| match tried.fetch_add(1, Ordering::SeqCst) {
                0 => Err(ToolError::Unknown("no answer came".into())),
                _ => gives("sent at the second try"),
            });
        let hub = Hub::new(models("logs", one_call("mail_out")), tools.clone()).await;
        hub.engine.ensure_user("ann").await.expect("the owner");
        let run = run_with_tools(&hub, &["mail_out"]).await;
        let record = hub.until(run, &["waiting"]).await;
        assert_eq!(record.effects.len(), 1);
        assert_eq!(record.effects[0].state, "unknown");
        let resume = convoke_engine::Resume { user: "ann".into(), ..Default::default() };
        let refused = hub.engine.resume(run, resume).await.expect_err("a person must say first");
        assert_eq!(refused.code(), "outcome_unknown");
        hub.engine.resolve_effect(&record.effects[0].key, outcome.clone(), "ann").await.expect("resolved");
        let record = hub.ended(run).await;
        assert_eq!(record.summary.state, "completed");
        assert!(record.tasks[0].output.as_deref().unwrap_or_default().contains(seen), "{:?}", record.tasks[0].output);
        let again = hub.engine.resolve_effect(&record.effects[0].key, outcome.clone(), "ann").await.expect_err("known");
        assert_eq!(again.code(), "outcome_known");
        let calls = tools.calls();
        assert_eq!(calls.len(), if outcome == EffectOutcome::Retry { 2 } else { 1 });
        assert!(calls.iter().all(|call| call.key == calls[0].key), "the key of an effect is stable");
    }
}

#[tokio::test]
async fn a_failed_tool_is_told_to_the_model_and_not_the_end() {
    let tools =
        FakeTools::new(&[("read", Repeat::Harmless)], |_| Err(ToolError::Failed("there is no such file".into())));
    let hub = Hub::new(models("logs", one_call("read")), tools).await;
    let run = run_with_tools(&hub, &["read"]).await;
    let record = hub.ended(run).await;
    assert_eq!(record.summary.state, "completed");
    assert!(record.tasks[0].output.as_deref().unwrap_or_default().contains("there is no such file"));
}

#[tokio::test]
async fn arguments_that_are_not_json_are_told_to_the_model() {
    let play = FakeModels::new(|request| match (request.origin.agent.as_str(), request.origin.turn) {
        ("logs", 1) => Ok(asks(&[("c1", "read", json!("{\"path\": tru"))])),
        ("logs", _) => Ok(says(format!("{:?}", request.turns.last().expect("a turn").blocks))),
        _ => crate::play::usual(request),
    });
    let tools = FakeTools::new(&[("read", Repeat::Harmless)], |_| gives("never"));
    let hub = Hub::new(play, tools.clone()).await;
    let run = run_with_tools(&hub, &["read"]).await;
    let record = hub.ended(run).await;
    assert!(record.tasks[0].output.as_deref().unwrap_or_default().contains("are not a JSON object"));
    assert!(tools.calls().is_empty());
}
