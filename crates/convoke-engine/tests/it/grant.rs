//! Grants: what a person gives for a time works from the next call on, and no longer than that time.

use std::time::Duration;

use convoke_domain::id::{GrantId, RunId};
use convoke_engine::{GiveGrant, LONGEST_GRANT};
use convoke_port::model::{ModelError, ModelReply, ModelRequest};
use convoke_port::tool::Repeat;
use convoke_testkit::hub::{Hub, profile, team};
use convoke_testkit::model::{Gate, asks, says};
use convoke_testkit::tool::{FakeTools, gives};
use serde_json::json;

use crate::play::models;

fn write_each_turn(last: u32) -> impl Fn(&ModelRequest) -> Result<ModelReply, ModelError> + Send + Sync {
    move |request| match request.origin.turn {
        turn if turn < last => Ok(asks(&[("w", "write", json!({"turn": turn}))])),
        _ => Ok(says("done")),
    }
}

fn tools() -> FakeTools {
    FakeTools::new(&[("read", Repeat::Harmless), ("write", Repeat::Once)], |_| gives("written"))
}

async fn start(hub: &Hub, forbidden: &[&str]) -> RunId {
    hub.engine.ensure_user("tester").await.expect("a user");
    let own = json!({"tools": ["read"], "authority": {"forbidden_actions": forbidden}});
    let profiles = vec![profile("lead", json!({})), profile("logs", own)];
    let team = team(&["logs"], json!({"rules": {"planning": "same_task"}}));
    let start = hub.prepare(team, profiles, "Look.").await.expect("a team");
    hub.engine.start_run(start).await.expect("a run")
}

fn write_for(run: Option<RunId>, lasts: Duration) -> GiveGrant {
    let right = "tool:write".parse().expect("a right");
    GiveGrant { agent: "logs".into(), run, right, lasts, reason: "for the test".into(), user: "tester".into() }
}

/// What became of each tool call, in order.
async fn statuses(hub: &Hub, run: RunId) -> Vec<String> {
    let record = hub.ended(run).await;
    let task = record.tasks.iter().find(|task| task.agent == "logs").expect("its task");
    let steps = task.attempts[0].steps.iter().filter(|step| step.kind == "tool");
    steps.map(|step| step.status.clone()).collect()
}

#[tokio::test]
async fn a_grant_works_from_the_next_call_and_ends_when_it_is_revoked() {
    let gate = Gate::default();
    let hub = Hub::new(models("logs", write_each_turn(4)).with_gate(&gate), tools()).await;
    let run = start(&hub, &[]).await;
    // Each model call is let through by hand, so that what is granted stands between two calls for sure.
    let play = async {
        gate.held(1).await;
        let id = hub.engine.grant(GrantId(hub.engine.fresh()), write_for(Some(run), Duration::from_secs(60))).await;
        let id = id.expect("granted");
        gate.open();
        id
    };
    let id = play.await;
    assert_eq!(statuses(&hub, run).await, ["done", "done", "done"]);
    hub.engine.revoke(id, "tester").await.expect("revoked");
    let again = start(&hub, &[]).await;
    assert_eq!(statuses(&hub, again).await, ["denied", "denied", "denied"]);
    let twice = hub.engine.revoke(id, "tester").await.expect_err("it has ended");
    assert_eq!(twice.code(), "grant_ended");
}

#[tokio::test]
async fn a_grant_for_a_run_is_for_no_other_and_one_for_all_is() {
    let hub = Hub::new(models("logs", write_each_turn(2)), tools()).await;
    let first = start(&hub, &[]).await;
    assert_eq!(statuses(&hub, first).await, ["denied"]);
    let give = |run| hub.engine.grant(GrantId(hub.engine.fresh()), write_for(run, Duration::from_secs(60)));
    give(Some(first)).await.expect("granted");
    let second = start(&hub, &[]).await;
    assert_eq!(statuses(&hub, second).await, ["denied"]);
    give(None).await.expect("granted");
    let third = start(&hub, &[]).await;
    assert_eq!(statuses(&hub, third).await, ["done"]);
}

#[tokio::test]
async fn a_grant_ends_by_itself_and_that_is_on_record() {
    let hub = Hub::with(models("logs", write_each_turn(2)), tools(), |config| {
        config.stale_after = Duration::from_millis(600);
    })
    .await;
    start(&hub, &[]).await;
    let id = GrantId(hub.engine.fresh());
    hub.engine.grant(id, write_for(None, Duration::from_millis(1))).await.expect("granted");
    let mut feed = hub.engine.store().subscribe();
    let ws = hub.engine.config().workspace;
    let expired = async {
        loop {
            let events = hub.engine.store().events_after(ws, 0, None, 10_000).await.expect("events");
            if events.iter().any(|event| event.kind == "grant.expired" && event.entity_id == id.to_string()) {
                return;
            }
            let _ = feed.next().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), expired).await.expect("the server finds it");
    let run = start(&hub, &[]).await;
    assert_eq!(statuses(&hub, run).await, ["denied"]);
}

#[tokio::test]
async fn bad_grants_are_refused_word_for_word() {
    let hub = Hub::new(models("logs", write_each_turn(2)), tools()).await;
    let run = start(&hub, &["write"]).await;
    hub.ended(run).await;
    let hour = Duration::from_secs(3_600);
    let fine = write_for(None, hour);
    let ghost = RunId(hub.engine.fresh());
    let mut said = Vec::new();
    for give in [
        fine.clone(),
        GiveGrant { agent: "ghost".into(), ..fine.clone() },
        GiveGrant { run: Some(ghost), ..fine.clone() },
        GiveGrant { lasts: Duration::ZERO, ..fine.clone() },
        GiveGrant { lasts: LONGEST_GRANT + hour, ..fine.clone() },
        GiveGrant { reason: "x".repeat(5_000), ..fine.clone() },
        GiveGrant { user: "mallory".into(), ..fine.clone() },
    ] {
        let error = hub.engine.grant(GrantId(hub.engine.fresh()), give).await.expect_err("refused");
        let hint = error.hint().unwrap_or("-").to_owned();
        said.push(format!("{}: {error} | {hint}", error.code()).replace(&ghost.to_string(), "RUN"));
    }
    insta::assert_snapshot!(said.join("\n"));
    assert!(hub.engine.grants(None).await.expect("a list").is_empty());
}
