//! Queues that back up: agents of a member's profile come, take what waits, and go; within the limits of all spawning.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use convoke_domain::event::Event;
use convoke_domain::id::RunId;
use convoke_domain::profile::Profile;
use convoke_domain::record::RunRecord;
use convoke_domain::time::Timestamp;
use convoke_engine::StartRun;
use convoke_store::{Options, PgOptions, Store};
use convoke_testkit::hub::{Hub, profile, team};
use convoke_testkit::model::{FakeModels, Gate, says};
use convoke_testkit::tool::FakeTools;
use serde_json::{Value, json};

use crate::play::usual;

/// Who works: one task at a time.
fn coder(more: Value) -> Profile {
    let mut own = json!({"capacity": 1});
    own.as_object_mut().expect("fields").extend(more.as_object().expect("fields").clone());
    profile("coder", own)
}

/// A team whose one member has `tasks` tasks at once.
async fn prepare(hub: &Hub, tasks: usize, scale: Value, coder: Profile, rules: Value) -> StartRun {
    let fixed = |n| json!({"key": format!("t{n}"), "title": format!("Part {n}"), "assignee": "coder"});
    let fixed: Vec<_> = (1..=tasks).map(fixed).collect();
    let mut all = json!({"planning": "fixed"});
    all.as_object_mut().expect("rules").extend(rules.as_object().expect("rules").clone());
    let members = json!([{"profile": "coder", "scale": scale}]);
    let team = team(&[], json!({"members": members, "tasks": fixed, "rules": all, "budget": {"on_exhausted": "stop"}}));
    hub.prepare(team, vec![profile("lead", json!({})), coder], "Build.").await.expect("a team")
}

fn rule() -> Value {
    json!({"max": 3, "backlog": 1, "idle_s": 0})
}

async fn events(hub: &Hub, run: RunId, kind: &str) -> Vec<Event> {
    let ws = hub.engine.config().workspace;
    let events = hub.engine.store().events_after(ws, 0, Some(run), 10_000).await.expect("events");
    events.into_iter().filter(|event| event.kind == kind).collect()
}

/// Every task has been done, once.
fn all_done(record: &RunRecord, tasks: usize) {
    assert_eq!(record.summary.state, "completed", "{record:#?}");
    let work: Vec<_> = record.tasks.iter().filter(|task| task.stage == "work").collect();
    assert_eq!(work.len(), tasks);
    for task in work {
        assert_eq!((task.state.as_str(), task.attempts.len()), ("completed", 1), "{task:#?}");
    }
}

/// A store of each kind.
#[derive(Clone, Copy)]
enum Kept {
    Sqlite,
    Postgres,
}

async fn open(kept: Kept, dir: &Path, options: Options) -> Store {
    match kept {
        Kept::Sqlite => Store::open_sqlite(dir, options).await.expect("a store"),
        Kept::Postgres => {
            let url = std::env::var("CONVOKE_TEST_PG");
            let url =
                url.expect("CONVOKE_TEST_PG names no PostgreSQL for tests; run `cargo xtask test`, which starts one");
            let schema = format!("scale_{}_{:08x}", std::process::id(), fastrand::u32(..));
            let pg = PgOptions { schema: Some(schema), create_schema: true, ..PgOptions::default() };
            Store::open_postgres(&url, pg, options).await.expect("a schema")
        }
    }
}

#[tokio::test]
async fn a_queue_that_backs_up_is_shared_on_sqlite() {
    shared(Kept::Sqlite).await;
}

#[tokio::test]
async fn a_queue_that_backs_up_is_shared_on_postgres() {
    shared(Kept::Postgres).await;
}

async fn shared(kept: Kept) {
    let (dir, gate) = (tempfile::tempdir().expect("a folder"), Gate::default());
    let store = open(kept, dir.path(), Options::default()).await;
    let models = FakeModels::new(usual).with_gate(&gate);
    let mut hub = Hub::over(store, dir.path().join("work"), models.clone(), FakeTools::none(), |_| {});
    hub.start().await;
    let start = prepare(&hub, 8, rule(), coder(json!({})), json!({"validation_rounds": 1})).await;
    let run = hub.engine.start_run(start).await.expect("a run");
    // The member and three others work at the same time; eight tasks wait for nobody else.
    gate.held(4).await;
    let spawned = events(&hub, run, "agent.spawned").await;
    assert_eq!(spawned.len(), 3);
    for event in &spawned {
        let (actor, payload) = (event.actor.as_str(), &event.payload);
        assert_eq!((actor, &payload["parent"], &payload["why"]), ("system", &json!("coder"), &json!("backlog")));
        assert!(payload["task"].is_null() && event.entity_id.starts_with("coder-"), "{event:?}");
    }
    gate.open();
    let record = hub.ended(run).await;
    all_done(&record, 8);
    let own = models.calls().iter().filter(|call| call.origin.agent == "coder" && call.origin.stage == "work").count();
    let moved = events(&hub, run, "task.reassigned").await;
    assert_eq!(own + moved.len(), 8, "{moved:?}");
    assert!(own > 0 && moved.len() >= 3, "the member works, and so do others: {moved:?}");
    assert_eq!(events(&hub, run, "agent.spawned").await.len(), events(&hub, run, "agent.retired").await.len());
    for event in spawned {
        let agent = hub.engine.agent(&event.entity_id).await.expect("it is kept");
        assert_eq!((agent.status.as_str(), agent.active, agent.running), ("retired", false, 0));
    }
    // To the pattern it was the member that did it all, and the member judges the result.
    let judges: Vec<_> =
        record.tasks.iter().filter(|task| task.stage == "validation").map(|task| &task.agent).collect();
    assert_eq!(judges, ["coder"]);
    assert_eq!(hub.engine.store().verify().await.expect("verified").problems, []);
}

#[tokio::test]
async fn nobody_comes_for_a_queue_within_the_backlog() {
    let hub = Hub::new(FakeModels::new(usual), FakeTools::none()).await;
    let rule = json!({"max": 3, "backlog": 4});
    let start = prepare(&hub, 5, rule, coder(json!({})), json!({})).await;
    let run = hub.engine.start_run(start).await.expect("a run");
    all_done(&hub.ended(run).await, 5);
    assert_eq!(events(&hub, run, "agent.spawned").await.len(), 0);
}

#[tokio::test]
async fn limits_of_spawning_hold_and_are_told_once() {
    for (own, rules, rule, most) in [
        (json!({}), json!({"spawn": {"max_agents": 2}}), "rules.spawn.max_agents", 2),
        (json!({"authority": {"max_parallel_agents": 1}}), json!({}), "authority.max_parallel_agents", 1),
        (json!({}), json!({"spawn": {"max_agents": 0}}), "rules.spawn.max_agents", 0),
    ] {
        let hub = Hub::new(FakeModels::new(usual), FakeTools::none()).await;
        let start = prepare(&hub, 12, json!({"max": 3, "idle_s": 600}), coder(own), rules).await;
        let run = hub.engine.start_run(start).await.expect("a run");
        all_done(&hub.ended(run).await, 12);
        assert_eq!(events(&hub, run, "agent.spawned").await.len(), most, "{rule}");
        let denied = events(&hub, run, "authority.denied").await;
        let told: Vec<_> = denied.iter().map(|event| (event.actor.as_str(), &event.payload["rule"])).collect();
        assert_eq!(told, [("system", &json!(rule))]);
    }
}

#[tokio::test]
async fn all_of_them_spend_what_the_member_may() {
    // One call fits into what the member may use; the next, whoever makes it, does not.
    let settings = json!({"limits": {"max_tokens": 1_500}, "model_settings": {"max_output_tokens": 1_000}});
    let hub = Hub::new(FakeModels::new(usual), FakeTools::none()).await;
    let start = prepare(&hub, 6, rule(), coder(settings), json!({})).await;
    let run = hub.engine.start_run(start).await.expect("a run");
    assert_eq!(hub.ended(run).await.summary.state, "failed");
    let exhausted = events(&hub, run, "budget.exhausted").await;
    assert_eq!(exhausted[0].entity_id, format!("agent:{run}:coder"), "{:?}", exhausted[0]);
}

#[tokio::test]
async fn one_has_its_members_rights_and_no_more() {
    let tools = json!({"tools": ["read"], "ask": ["read"], "authority": {"phases": ["execution"]}});
    let gate = Gate::default();
    let hub = Hub::new(FakeModels::new(usual).with_gate(&gate), FakeTools::none()).await;
    let start = prepare(&hub, 3, json!({"max": 1}), coder(tools), json!({})).await;
    let run = hub.engine.start_run(start).await.expect("a run");
    gate.held(2).await;
    let spawned = events(&hub, run, "agent.spawned").await;
    let payload = &spawned[0].payload;
    assert_eq!((&payload["tools"], &payload["without"]), (&json!(["read"]), &json!([])));
    assert_eq!(payload["authority"]["can_spawn"], json!(false), "the team's rule spawns, not the member");
    gate.open();
    hub.ended(run).await;
}

#[tokio::test]
async fn a_crash_leaves_no_double() {
    let dir = tempfile::tempdir().expect("a folder");
    let hub = Hub::open(dir.path(), FakeModels::new(usual), FakeTools::none(), |_| {}).await;
    let start = prepare(&hub, 6, rule(), coder(json!({})), json!({})).await;
    let run = hub.engine.start_run(start).await.expect("a run");
    let before = events(&hub, run, "agent.spawned").await;
    assert_eq!(before.len(), 3, "they come with the tasks, before anybody works");
    drop(hub);
    let mut hub = Hub::open(dir.path(), FakeModels::new(usual), FakeTools::none(), |_| {}).await;
    hub.start().await;
    all_done(&hub.ended(run).await, 6);
    let names = |events: Vec<Event>| events.into_iter().map(|event| event.entity_id).collect::<BTreeSet<_>>();
    assert_eq!(names(events(&hub, run, "agent.spawned").await), names(before));
}

#[tokio::test]
async fn one_without_work_goes_when_its_time_is_up_on_sqlite() {
    idle(Kept::Sqlite).await;
}

#[tokio::test]
async fn one_without_work_goes_when_its_time_is_up_on_postgres() {
    idle(Kept::Postgres).await;
}

async fn idle(kept: Kept) {
    let (dir, gate) = (tempfile::tempdir().expect("a folder"), Gate::default());
    let later = Arc::new(AtomicI64::new(0));
    let clock = Arc::clone(&later);
    let start = Timestamp::from_micros(1_800_000_000_000_000);
    let options = Options {
        clock: Arc::new(move || Timestamp::from_micros(start.as_micros() + clock.load(Ordering::SeqCst))),
        ..Options::default()
    };
    let store = open(kept, dir.path(), options).await;
    let models = FakeModels::new(usual).with_gate_for(&gate, &["coder"]);
    let set = |config: &mut convoke_engine::Config| config.lease = Duration::from_secs(9_000);
    let mut hub = Hub::over(store, dir.path().join("work"), models, FakeTools::none(), set);
    hub.start().await;
    let team = prepare(&hub, 2, json!({"max": 1, "idle_s": 60}), coder(json!({})), json!({})).await;
    let run = hub.engine.start_run(team).await.expect("a run");
    // The member hangs at its task, the other one has done its own.
    gate.held(1).await;
    let mut feed = hub.engine.store().subscribe();
    while events(&hub, run, "task.completed").await.is_empty() {
        let _ = feed.next().await;
    }
    let name = events(&hub, run, "agent.spawned").await[0].entity_id.clone();
    assert_eq!(hub.engine.agent(&name).await.expect("it").status, "idle");
    later.store(59_000_000, Ordering::SeqCst);
    assert_eq!(events(&hub, run, "agent.retired").await.len(), 0);
    later.store(61_000_000, Ordering::SeqCst);
    while events(&hub, run, "agent.retired").await.is_empty() {
        let _ = feed.next().await;
    }
    assert_eq!(hub.engine.agent(&name).await.expect("it").status, "retired");
    gate.open();
    all_done(&hub.ended(run).await, 2);
}

#[tokio::test]
async fn a_flow_counts_by_members() {
    let gate = Gate::default();
    let models = FakeModels::new(|_| Ok(says(r#"{"choice": "yes", "confidence": 1.0, "rationale": "x"}"#)));
    let hub = Hub::new(models.with_gate(&gate), FakeTools::none()).await;
    let part = json!({"id": "part", "task": {"agent": "coder", "instructions": "Part {{ item }}."}});
    let flow = json!({"steps": [{"id": "parts", "split": {"over": "[1, 2, 3, 4, 5]", "do": [part]}}]});
    let members = json!([{"profile": "coder", "scale": {"max": 2, "idle_s": 0}}]);
    let team = team(&[], json!({"members": members, "pattern": "own", "flow": flow}));
    let start = hub.prepare(team, vec![profile("lead", json!({})), coder(json!({}))], "Build.").await.expect("a team");
    let run = hub.engine.start_run(start).await.expect("a run");
    gate.held(3).await;
    assert_eq!(events(&hub, run, "agent.spawned").await.len(), 2);
    gate.open();
    let record = hub.ended(run).await;
    assert_eq!(record.summary.state, "completed", "{record:#?}");
}
