//! Agents of a workspace: default, rank, status, heartbeats, and those who fall silent.

use std::time::Duration;

use convoke_domain::agent::Standing;
use convoke_domain::id::WorkspaceId;
use convoke_domain::user::Role;
use convoke_engine::{AgentBeat, AgentChange};
use convoke_store::agent::{self as store, Record};
use convoke_store::{Result as Stored, Tx, UseCase};
use convoke_testkit::hub::{Hub, profile, team};
use convoke_testkit::model::{FakeModels, Gate};
use convoke_testkit::tool::FakeTools;
use serde_json::json;

use crate::play::usual;

async fn prepared(hub: &Hub) -> convoke_engine::StartRun {
    hub.engine.ensure_user("tester").await.expect("a user");
    let lead = profile("lead", json!({"role": "coordinator"}));
    let profiles = vec![lead, profile("logs", json!({})), profile("cost", json!({}))];
    let team = team(&["logs", "cost"], json!({"rules": {"planning": "same_task"}}));
    hub.prepare(team, profiles, "Look.").await.expect("a team")
}

async fn agent(hub: &Hub, name: &str) -> Record {
    hub.engine.agent(name).await.expect("the agent")
}

async fn until(hub: &Hub, name: &str, holds: impl Fn(&Record) -> bool) -> Record {
    let mut feed = hub.engine.store().subscribe();
    let wait = async {
        loop {
            let found = agent(hub, name).await;
            if holds(&found) {
                return found;
            }
            let _ = feed.next().await;
        }
    };
    match tokio::time::timeout(Duration::from_secs(30), wait).await {
        Ok(found) => found,
        Err(_) => panic!("it never was so: {:#?}", agent(hub, name).await),
    }
}

#[tokio::test]
async fn there_is_one_default_and_it_cannot_be_put_away() {
    let hub = Hub::new(FakeModels::new(usual), FakeTools::none()).await;
    prepared(&hub).await;
    assert!(agent(&hub, "lead").await.is_default, "the first coordinator");
    hub.engine.change_agent("logs", AgentChange::Default, "tester").await.expect("changed");
    let defaults: Vec<_> =
        hub.engine.agents().await.expect("agents").into_iter().filter(|one| one.is_default).collect();
    assert_eq!(defaults.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["logs"]);
    for change in [AgentChange::Deactivate, AgentChange::Retire] {
        let refused = hub.engine.change_agent("logs", change, "tester").await.expect_err("the default");
        assert_eq!(refused.code(), "is_default");
    }
    assert_eq!(
        hub.engine.set_profile_active("logs", false, "tester").await.expect_err("the same").code(),
        "is_default"
    );
    hub.engine.change_agent("cost", AgentChange::Deactivate, "tester").await.expect("changed");
    let refused = hub.engine.change_agent("cost", AgentChange::Default, "tester").await.expect_err("not active");
    assert_eq!(refused.to_string(), "the agent `cost` cannot be the default: it is switched off");
}

#[tokio::test]
async fn only_those_who_may_change_agents() {
    let hub = Hub::new(FakeModels::new(usual), FakeTools::none()).await;
    prepared(&hub).await;
    let standing = AgentChange::Standing(Standing::Supervisor);
    let refused = hub.engine.change_agent("logs", standing, "mallory").await.expect_err("a stranger");
    assert_eq!(refused.code(), "unknown_user");
    assert_eq!(agent(&hub, "logs").await.standing, "worker");
    hub.engine.change_agent("logs", standing, "tester").await.expect("changed");
    assert_eq!(agent(&hub, "logs").await.standing, "supervisor");
    let unknown = hub.engine.change_agent("ghost", standing, "tester").await.expect_err("nobody");
    assert_eq!(unknown.to_string(), "there is no agent `ghost`");
}

#[tokio::test]
async fn a_retired_agent_is_never_chosen_and_can_come_back() {
    let hub = Hub::new(FakeModels::new(usual), FakeTools::none()).await;
    prepared(&hub).await;
    hub.engine.change_agent("logs", AgentChange::Retire, "tester").await.expect("changed");
    let found = agent(&hub, "logs").await;
    assert_eq!((found.status.as_str(), found.active, found.away), ("retired", false, true));
    assert_eq!(hub.engine.assemble("test").await.expect_err("it is switched off").code(), "inactive");
    let refused = hub.engine.heartbeat("logs", AgentBeat::Well, "tester").await.expect_err("retired");
    assert_eq!(refused.code(), "agent_retired");
    assert_eq!(
        hub.engine.change_agent("logs", AgentChange::Block, "tester").await.expect_err("illegal").to_string(),
        "cannot block an agent that is retired"
    );
    hub.engine.change_agent("logs", AgentChange::Activate, "tester").await.expect("changed");
    let found = agent(&hub, "logs").await;
    assert_eq!((found.status.as_str(), found.active, found.away), ("idle", true, false));
    hub.engine.assemble("test").await.expect("a team again");
}

/// An agent that no worker of ours drives is expected to beat.
struct Expect {
    name: &'static str,
}

impl UseCase for Expect {
    type Out = ();

    fn ws(&self) -> WorkspaceId {
        WorkspaceId::DEFAULT
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<()> {
        store::beat(tx, self.name, true).await
    }
}

#[tokio::test]
async fn nobody_is_expected_to_beat_whom_a_worker_drives() {
    let gate = Gate::default();
    let hub = Hub::with(FakeModels::new(usual).with_gate(&gate), FakeTools::none(), |config| {
        config.stale_after = Duration::from_millis(60);
    })
    .await;
    let start = prepared(&hub).await;
    hub.engine.ensure_user("tester").await.expect("the owner");
    hub.engine.appoint("eve", Role::Viewer, true, "user:tester").await.expect("a viewer");
    let refusals = [
        ("eve", AgentBeat::Well, "not_allowed"),
        ("eve", AgentBeat::Leave, "not_allowed"),
        ("nobody", AgentBeat::Leave, "unknown_user"),
    ];
    for (user, beat, code) in refusals {
        let refused = hub.engine.heartbeat("logs", beat, user).await.expect_err("not theirs");
        assert_eq!(refused.code(), code, "{user}");
    }
    assert_eq!(agent(&hub, "logs").await.health, "unknown");
    for name in ["lead", "logs", "cost"] {
        hub.engine.heartbeat(name, AgentBeat::Well, "tester").await.expect("a beat");
        assert!(!agent(&hub, name).await.beats, "{name} is driven by a worker");
    }
    // Another agent that is expected to beat shows that the time after which silence counts is over.
    let other = vec![profile("other", json!({}))];
    hub.engine.save(other, Vec::new(), "system").await.expect("saved");
    hub.engine.heartbeat("other", AgentBeat::Well, "tester").await.expect("a beat");
    hub.engine.store().run(Expect { name: "other" }).await.expect("expected");
    until(&hub, "other", |one| one.health == "offline").await;
    assert_eq!(agent(&hub, "logs").await.health, "healthy");
    let run = hub.engine.start_run(start).await.expect("a run");
    gate.open();
    assert_eq!(hub.ended(run).await.summary.state, "completed");
}

#[tokio::test]
async fn a_silent_agent_is_found_and_its_work_goes_on_when_it_is_back() {
    let gate = Gate::default();
    let hub = Hub::with(FakeModels::new(usual).with_gate(&gate), FakeTools::none(), |config| {
        config.stale_after = Duration::from_millis(300);
    })
    .await;
    let start = prepared(&hub).await;
    hub.engine.heartbeat("logs", AgentBeat::Well, "tester").await.expect("a beat");
    assert_eq!(agent(&hub, "logs").await.health, "healthy");
    hub.engine.store().run(Expect { name: "logs" }).await.expect("expected");
    let run = hub.engine.start_run(start).await.expect("a run");
    gate.held(2).await;
    // `cost` is heard of through its worker, whose lease is long; `logs` beats by itself, and does not.
    let stale = until(&hub, "logs", |one| matches!(one.health.as_str(), "stale" | "offline")).await;
    assert_eq!((stale.running, stale.away), (0, true), "its task was put back, and it gets none");
    until(&hub, "logs", |one| one.health == "offline").await;
    gate.open();
    hub.engine.heartbeat("logs", AgentBeat::Trouble, "tester").await.expect("a beat");
    let record = hub.ended(run).await;
    assert_eq!(record.summary.state, "completed");
    let ws = hub.engine.config().workspace;
    let events = hub.engine.store().events_after(ws, 0, None, 10_000).await.expect("events");
    let healths: Vec<_> = events
        .iter()
        .filter(|event| event.kind == "agent.health_changed" && event.entity_id == "logs")
        .map(|event| event.payload["health"].as_str().unwrap_or_default().to_owned())
        .take(4)
        .collect();
    assert_eq!(healths, ["healthy", "stale", "offline", "degraded"]);
    assert!(events.iter().any(|event| event.kind == "task.taken_over"), "the attempt went on");
}

#[tokio::test]
async fn who_is_needed_is_not_retired_and_what_waits_for_whom_is_said() {
    let gate = Gate::default();
    let hub = Hub::new(FakeModels::new(usual).with_gate(&gate), FakeTools::none()).await;
    let start = prepared(&hub).await;
    hub.engine.change_agent("logs", AgentChange::Default, "tester").await.expect("changed");
    let run = hub.engine.start_run(start).await.expect("a run");
    gate.held(2).await;
    let refused = hub.engine.change_agent("lead", AgentChange::Retire, "tester").await.expect_err("its turn comes");
    assert_eq!(refused.code(), "agent_needed");
    assert!(refused.to_string().contains(&run.to_string()), "{refused}");
    assert_eq!(agent(&hub, "lead").await.status, "idle");
    // A run that has begun goes on with what it pinned.
    hub.engine.change_agent("lead", AgentChange::Deactivate, "tester").await.expect("for new runs");
    hub.engine.change_agent("lead", AgentChange::Block, "tester").await.expect("for all runs");
    assert!(hub.engine.held_up(&[run]).await.expect("a look").is_empty(), "nothing waits for it yet");
    gate.open();
    let mut feed = hub.engine.store().subscribe();
    let found = loop {
        let found = hub.engine.held_up(&[run]).await.expect("a look");
        if !found.is_empty() {
            break found;
        }
        let _ = feed.next().await;
    };
    let brief: Vec<_> = found.iter().map(|one| (one.agent.as_str(), one.status.as_str())).collect();
    assert_eq!((brief, found[0].run), (vec![("lead", "blocked")], run));
    hub.engine.change_agent("lead", AgentChange::Unblock, "tester").await.expect("changed");
    assert_eq!(hub.ended(run).await.summary.state, "completed");
    hub.engine.change_agent("lead", AgentChange::Retire, "tester").await.expect("nobody needs it any more");
}

#[tokio::test]
async fn other_capabilities_are_an_event() {
    let hub = Hub::new(FakeModels::new(usual), FakeTools::none()).await;
    prepared(&hub).await;
    let changed = profile("logs", json!({"capabilities": ["logs"]}));
    hub.engine.save(vec![changed], Vec::new(), "system").await.expect("saved");
    let ws = hub.engine.config().workspace;
    let events = hub.engine.store().events_after(ws, 0, None, 10_000).await.expect("events");
    let told: Vec<_> = events.iter().filter(|event| event.kind == "agent.capabilities_changed").collect();
    assert_eq!(told.len(), 1);
    assert_eq!((&told[0].payload["was"], &told[0].payload["capabilities"]), (&json!([]), &json!(["logs"])));
}
