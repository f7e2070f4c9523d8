//! Agents that agents spawn: results, rights, limits, budgets, and the switch that stops a whole family.

use std::collections::BTreeMap;

use convoke_domain::budget::Amount;
use convoke_domain::event::Event;
use convoke_domain::id::{RunId, WorkspaceId};
use convoke_domain::message::{Ask, Kind as MessageKind};
use convoke_domain::record::RunRecord;
use convoke_engine::{AdHoc, MoveBudget, NewMessage, SpawnOrder, SpawnWhat};
use convoke_port::model::{ModelError, ModelReply, ModelRequest};
use convoke_port::tool::Repeat;
use convoke_store::{Options, PgOptions, Store, Tx, UseCase, budget};
use convoke_testkit::hub::{Hub, profile, team};
use convoke_testkit::model::{FakeModels, Gate, asks, says};
use convoke_testkit::tool::{FakeTools, gives};
use serde_json::{Value, json};

/// Starts a run of one member that may spawn, with its profile as given.
async fn start(hub: &Hub, rights: Value, rules: Value) -> RunId {
    let mut more = json!({"tools": ["spawn", "read"], "authority": {"can_spawn": true}});
    more.as_object_mut().expect("fields").extend(rights.as_object().expect("fields").clone());
    let digger = profile("digger", json!({"model_settings": {"max_output_tokens": 8_000}}));
    let profiles = vec![profile("lead", json!({})), profile("logs", more), digger];
    let mut all = json!({"planning": "same_task"});
    all.as_object_mut().expect("rules").extend(rules.as_object().expect("rules").clone());
    let team = team(&["logs"], json!({"rules": all, "budget": {"on_exhausted": "stop"}}));
    let start = hub.prepare(team, profiles, "Look.").await.expect("a team");
    hub.engine.start_run(start).await.expect("a run")
}

/// A call that makes up an agent.
fn dig(id: &'static str, tools: &[&str]) -> (&'static str, &'static str, Value) {
    (id, "spawn", json!({"name": "dig", "prompt": "Dig.", "task": format!("Dig at {id}."), "tools": tools}))
}

fn tools() -> FakeTools {
    FakeTools::new(&[("read", Repeat::Harmless), ("write", Repeat::Once)], |request| {
        gives(format!("did {}", request.id))
    })
}

/// What a member says: first these calls, then what came back.
fn spawner(
    calls: Vec<(&'static str, &'static str, Value)>,
    child: impl Fn(&ModelRequest) -> Result<ModelReply, ModelError> + Send + Sync + 'static,
) -> FakeModels {
    FakeModels::new(move |request| match (request.origin.agent.as_str(), request.origin.turn) {
        ("logs", 1) => Ok(asks(&calls)),
        ("logs", _) => Ok(says(format!("{:?}", request.turns.last().expect("a turn").blocks))),
        ("lead", _) => Ok(says("the result")),
        _ => child(request),
    })
}

async fn events(hub: &Hub, run: RunId, kind: &str) -> Vec<Event> {
    let ws = hub.engine.config().workspace;
    let events = hub.engine.store().events_after(ws, 0, Some(run), 10_000).await.expect("events");
    events.into_iter().filter(|event| event.kind == kind).collect()
}

fn output_of(record: &RunRecord, agent: &str) -> String {
    let task = record.tasks.iter().find(|task| task.agent == agent).expect("its task");
    task.output.clone().unwrap_or_else(|| panic!("{agent} gave no result: {record:#?}"))
}

#[tokio::test]
async fn the_spawned_work_and_their_results_come_back() {
    let models = spawner(vec![dig("c1", &[]), dig("c2", &[])], |request| {
        let text = request.turns[0].text();
        Ok(says(if text.contains("Dig at c1.") { "gold" } else { "silver" }))
    });
    let hub = Hub::new(models, tools()).await;
    let run = start(&hub, json!({}), json!({})).await;
    let record = hub.ended(run).await;
    assert_eq!(record.summary.state, "completed", "{record:#?}");
    let seen = output_of(&record, "logs");
    assert!(seen.contains("gold") && seen.contains("silver"), "{seen}");
    let spawned = events(&hub, run, "agent.spawned").await;
    assert_eq!(spawned.len(), 2);
    assert_eq!(events(&hub, run, "agent.retired").await.len(), 2);
    for event in spawned {
        assert_eq!((event.actor.as_str(), &event.payload["parent"]), ("agent:logs", &json!("logs")));
        assert!(event.entity_id.starts_with("dig-"), "{}", event.entity_id);
        let agent = hub.engine.agent(&event.entity_id).await.expect("the agent is kept");
        assert_eq!((agent.status.as_str(), agent.active, agent.running), ("completed", false, 0));
    }
}

#[tokio::test]
async fn a_child_has_no_more_than_its_parent() {
    let models = spawner(vec![dig("c1", &["read", "write", "shell"])], |request| match request.origin.turn {
        1 => Ok(asks(&[("w", "write", json!({})), ("r", "read", json!({}))])),
        _ => Ok(says(format!("{:?}", request.turns.last().expect("a turn").blocks))),
    });
    let tools = tools();
    let hub = Hub::new(models, tools.clone()).await;
    let run = start(&hub, json!({}), json!({})).await;
    assert_eq!(hub.ended(run).await.summary.state, "completed");
    let called: Vec<_> = tools.calls().into_iter().map(|call| call.id).collect();
    assert_eq!(called, ["read"], "what the parent may not use, the child may not either");
    let spawned = events(&hub, run, "agent.spawned").await;
    assert_eq!(spawned[0].payload["tools"], json!(["read"]));
    assert_eq!(spawned[0].payload["without"], json!(["write", "shell"]));
    assert_eq!(spawned[0].payload["authority"]["shell"], json!(false));
    let denied = events(&hub, run, "tool.denied").await;
    assert_eq!((denied.len(), &denied[0].payload["rule"]), (1, &json!("tools")));
}

#[tokio::test]
async fn each_denial_names_its_rule() {
    let many = |n: usize| ["c1", "c2", "c3", "c4", "c5"][..n].iter().map(|id| dig(id, &[])).collect::<Vec<_>>();
    for (calls, rights, rules, rule) in [
        (many(1), json!({"authority": {"can_spawn": false}}), json!({}), "authority.can_spawn"),
        (many(1), json!({"tools": ["read"]}), json!({}), "tools"),
        (
            many(1),
            json!({"authority": {"can_spawn": true, "forbidden_actions": ["spawn"]}}),
            json!({}),
            "authority.forbidden_actions",
        ),
        (many(1), json!({"authority": {"can_spawn": true, "phases": ["synthesis"]}}), json!({}), "authority.phases"),
        (
            many(3),
            json!({"authority": {"can_spawn": true, "max_parallel_agents": 2}}),
            json!({}),
            "authority.max_parallel_agents",
        ),
        (many(3), json!({}), json!({"spawn": {"max_agents": 2}}), "rules.spawn.max_agents"),
    ] {
        let hub = Hub::new(spawner(calls, |_| Ok(says("dug"))), tools()).await;
        let run = start(&hub, rights, rules).await;
        assert_eq!(hub.ended(run).await.summary.state, "completed", "{rule}");
        let denied = events(&hub, run, "tool.denied").await;
        let rules: Vec<_> = denied.iter().map(|event| event.payload["rule"].clone()).collect();
        assert_eq!(rules, [json!(rule)]);
    }
}

#[tokio::test]
async fn bad_calls_say_what_is_wrong() {
    let long = "x".repeat(70_000);
    let calls = vec![
        ("a", "spawn", json!({})),
        ("b", "spawn", json!({"task": "  ", "name": "dig", "prompt": "Dig."})),
        ("c", "spawn", json!({"task": "Dig.", "profile": "logs", "name": "dig"})),
        ("d", "spawn", json!({"task": "Dig.", "name": "dig"})),
        ("e", "spawn", json!({"task": "Dig.", "profile": "ghost"})),
        ("f", "spawn", json!({"task": "Dig.", "name": "Dig it!", "prompt": "Dig."})),
        ("g", "spawn", json!({"task": "Dig.", "name": "dig", "prompt": " "})),
        ("h", "spawn", json!({"task": long, "name": "dig", "prompt": "Dig."})),
        ("i", "spawn", json!({"task": "Dig.", "name": "dig", "prompt": "Dig.", "tools": vec!["read"; 101]})),
        ("j", "spawn", json!({"task": "Dig.", "name": "dig", "prompt": "Dig.", "max_tokens": 0})),
        ("k", "spawn", json!({"task": "Dig.", "name": "dig", "prompt": "Dig.", "role": "owner"})),
    ];
    let hub = Hub::new(spawner(calls, |_| Ok(says("never"))), tools()).await;
    let run = start(&hub, json!({}), json!({})).await;
    let record = hub.ended(run).await;
    let task = record.tasks.iter().find(|task| task.agent == "logs").expect("its task");
    let steps = task.attempts[0].steps.iter().filter(|step| step.kind == "tool");
    let said: Vec<_> = steps.map(|step| step.error.clone().unwrap_or_default()).collect();
    insta::assert_snapshot!(said.join("\n"));
    assert!(events(&hub, run, "agent.spawned").await.is_empty());
}

#[tokio::test]
async fn a_childs_calls_count_as_its_parents() {
    // The parent has room for its own calls, and not for the longer ones of its child, who has no limit of its own.
    let calls = vec![("c1", "spawn", json!({"profile": "digger", "task": "Dig."}))];
    let hub = Hub::new(spawner(calls, |_| Ok(says("dug"))), tools()).await;
    let settings = json!({"limits": {"max_tokens": 8_600}});
    let run = start(&hub, settings, json!({})).await;
    let record = hub.ended(run).await;
    assert_eq!(record.summary.state, "failed", "{record:#?}");
    let exhausted = events(&hub, run, "budget.exhausted").await;
    assert_eq!(exhausted[0].entity_id, format!("agent:{run}:logs"), "{:?}", exhausted[0]);
    assert!(exhausted[0].actor.starts_with("agent:digger-"), "{}", exhausted[0].actor);
}

#[tokio::test]
async fn all_that_are_spawned_share_the_presets_tokens() {
    let hub = Hub::new(spawner(vec![dig("c1", &[])], |_| Ok(says("dug"))), tools()).await;
    let run = start(&hub, json!({}), json!({"spawn": {"max_tokens": 1_000}})).await;
    assert_eq!(hub.ended(run).await.summary.state, "failed");
    let exhausted = events(&hub, run, "budget.exhausted").await;
    assert_eq!(exhausted[0].entity_id, format!("spawned:{run}"));
}

#[tokio::test]
async fn killing_an_agent_stops_all_below_it() {
    let gate = Gate::default();
    // Call 1 is the member's; its child and its grandchild hang in the gate's hands.
    let models = FakeModels::new(|request| match (request.origin.agent.as_str(), request.origin.turn) {
        ("logs", 1) => Ok(asks(&[dig("c1", &["spawn"])])),
        ("lead", _) => Ok(says("the result")),
        (name, 1) if name.starts_with("dig-") && request.turns[0].text().contains("Dig at c1.") => {
            Ok(asks(&[dig("c2", &[])]))
        }
        _ => Ok(says("never")),
    });
    let hub = Hub::new(models.with_gate_from(&gate, 3), tools()).await;
    let run = start(&hub, json!({}), json!({})).await;
    gate.held(1).await;
    hub.engine.ensure_user("tester").await.expect("a user");
    let killed = hub.engine.kill(run, "logs", "tester").await.expect("killed");
    assert_eq!((killed.agents.len(), killed.tasks.len()), (3, 3), "{killed:?}");
    let record = hub.ended(run).await;
    let states: Vec<_> = record.tasks.iter().map(|task| (task.stage.as_str(), task.state.as_str())).collect();
    assert_eq!(states[..3], [("work", "cancelled"), ("spawned", "cancelled"), ("spawned", "cancelled")]);
    for name in &killed.agents[1..] {
        let agent = hub.engine.agent(name).await.expect("kept");
        assert_eq!((agent.status.as_str(), agent.running), ("retired", 0), "{name}");
    }
    assert_eq!(hub.engine.agent("logs").await.expect("the member").status, "idle");
    let late = hub.engine.kill(run, "logs", "tester").await.expect_err("it has ended");
    assert_eq!(late.code(), "run_ended");
    assert!(late.to_string().contains(&format!("run {run} has ended ({})", record.summary.state)), "{late}");
    gate.open();
}

#[tokio::test]
async fn a_person_spawns_for_a_run_and_others_may_not() {
    let gate = Gate::default();
    let models = spawner(vec![], |_| Ok(says("dug")));
    let hub = Hub::new(models.with_gate(&gate), tools()).await;
    let run = start(&hub, json!({}), json!({})).await;
    gate.held(1).await;
    let what = SpawnWhat::AdHoc(AdHoc {
        name: "dig".into(),
        prompt: "Dig.".into(),
        capabilities: vec![],
        tools: vec!["read".into()],
    });
    let order = SpawnOrder { what, task: "Dig here.".into(), title: None, limits: Default::default() };
    let refused = hub.engine.spawn(run, order.clone(), "mallory", hub.engine.fresh()).await.expect_err("not an owner");
    assert_eq!(
        (refused.code(), refused.to_string().as_str()),
        ("unknown_user", "the user `mallory` is not known here, and may not spawn agents")
    );
    let ws = hub.engine.config().workspace;
    let all = hub.engine.store().events_after(ws, 0, None, 10_000).await.expect("events");
    assert!(all.iter().any(|event| event.kind == "authority.denied" && event.actor == "user:mallory"));
    hub.engine.ensure_user("tester").await.expect("a user");
    let spawned = hub.engine.spawn(run, order, "tester", hub.engine.fresh()).await.expect("spawned");
    gate.open();
    let record = hub.ended(run).await;
    assert_eq!(output_of(&record, &spawned.name), "dug");
}

/// A run of `logs`, who spawns one that may hand its task over, and `bob`, who takes it.
async fn start_givers(hub: &Hub) -> RunId {
    let rights = json!({"tools": ["spawn", "hand_off"], "authority": {"can_spawn": true}});
    let bob = profile("bob", json!({"tools": ["accept"], "capacity": 4}));
    let profiles = vec![profile("lead", json!({})), profile("logs", rights), bob];
    let tasks = json!([{"key": "main", "title": "Main", "instructions": "Do it.", "assignee": "logs"}]);
    let team = team(&["logs", "bob"], json!({"tasks": tasks, "rules": {"planning": "fixed"}}));
    let start = hub.prepare(team, profiles, "Look.").await.expect("a team");
    hub.engine.start_run(start).await.expect("a run")
}

/// `bob` takes over what `logs` has spawned somebody for; whatever the spawned says is the caller's to choose.
fn givers(
    spawned: impl Fn(&ModelRequest) -> Result<ModelReply, ModelError> + Send + Sync + 'static,
    at_work: impl Fn() + Send + Sync + 'static,
) -> FakeModels {
    FakeModels::new(move |request| {
        match (request.origin.agent.as_str(), request.origin.stage.as_str(), request.origin.turn) {
            ("logs", _, 1) => Ok(asks(&[dig("c1", &["hand_off"])])),
            ("logs" | "lead", ..) => Ok(says("the result")),
            ("bob", "offer", 1) => Ok(asks(&[("c1", "accept", json!({}))])),
            ("bob", "spawned", _) => {
                at_work();
                Ok(says("dug"))
            }
            ("bob", ..) => Ok(says("yes")),
            _ => spawned(request),
        }
    })
}

fn hand_off() -> Result<ModelReply, ModelError> {
    Ok(asks(&[("c1", "hand_off", json!({"to": "bob", "reason": "You dig better.", "left": "All of it."}))]))
}

#[tokio::test]
async fn a_spawned_agent_whose_task_was_handed_away_goes() {
    let hub = Hub::new(givers(|_| hand_off(), || {}), tools()).await;
    let run = start_givers(&hub).await;
    let record = hub.ended(run).await;
    assert_eq!(record.summary.state, "completed", "{record:#?}");
    let retired = events(&hub, run, "agent.retired").await;
    let done = events(&hub, run, "task.completed").await;
    let given = record.tasks.iter().find(|task| task.stage == "spawned").expect("the task").id.to_string();
    let done = done.iter().find(|event| event.entity_id == given).expect("it was done");
    assert_eq!(retired.len(), 1, "{retired:?}");
    assert!(retired[0].seq < done.seq, "it held nothing from then on: {retired:?} {done:?}");
    let agent = hub.engine.agent(&retired[0].entity_id).await.expect("kept");
    assert_eq!((agent.status.as_str(), agent.running), ("retired", 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_spawned_agent_that_is_asked_something_goes_after_its_answer() {
    let (named, name) = std::sync::mpsc::channel::<String>();
    let gates: [_; 3] = std::array::from_fn(|_| std::sync::mpsc::channel::<()>());
    let [(give, may_give), (reply, may_reply), (work, may_work)] =
        gates.map(|(open, gate)| (open, std::sync::Mutex::new(gate)));
    let wait = |gate: &std::sync::Mutex<std::sync::mpsc::Receiver<()>>| {
        let _ = tokio::task::block_in_place(|| gate.lock().expect("no panic").recv());
    };
    let spawned = move |request: &ModelRequest| match request.origin.stage.as_str() {
        "reply" => {
            wait(&may_reply);
            Ok(says("Here."))
        }
        _ => {
            let _ = named.send(request.origin.agent.clone());
            wait(&may_give);
            hand_off()
        }
    };
    let hub = Hub::new(givers(spawned, move || wait(&may_work)), tools()).await;
    hub.engine.ensure_user("tester").await.expect("a user");
    let run = start_givers(&hub).await;
    let name = tokio::task::spawn_blocking(move || name.recv().expect("it was spawned")).await.expect("a name");
    let question = NewMessage {
        kind: MessageKind::Request,
        ask: Some(Ask { within_s: Some(600), ..Ask::default() }),
        ..NewMessage::note(name.clone(), "Where did you dig?")
    };
    hub.engine.say("tester", Some(run), question).await.expect("asked");
    drop(give);
    has_come(&hub, run, "agent.handoff.accepted").await;
    assert!(events(&hub, run, "agent.retired").await.is_empty(), "it is still to answer");
    drop(reply);
    has_come(&hub, run, "agent.retired").await;
    assert_eq!(hub.engine.agent(&name).await.expect("kept").status, "retired");
    drop(work);
    assert_eq!(hub.ended(run).await.decisions[0].standing, "answered");
}

/// Waits for the first event of a kind.
async fn has_come(hub: &Hub, run: RunId, kind: &str) {
    let mut feed = hub.engine.store().subscribe();
    while events(hub, run, kind).await.is_empty() {
        let _ = feed.next().await;
    }
}

/// Where random families are kept.
#[derive(Clone, Copy)]
enum Kept {
    Sqlite,
    Postgres,
}

/// Runs with random families, on one store.
const FAMILIES: u64 = 200;
/// Tokens of each member.
const CAP: i64 = 100_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_families_stay_within_their_limits_on_sqlite() {
    families(Kept::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_families_stay_within_their_limits_on_postgres() {
    families(Kept::Postgres).await;
}

/// Chances that come from a text: the same prompt always gets the same answer.
fn chance(text: &str, turn: u32, bound: u64) -> u64 {
    let mut mixed = 0xcbf2_9ce4_8422_2325_u64 ^ u64::from(turn);
    for byte in text.bytes() {
        mixed = (mixed ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) % bound
}

/// Whoever is asked spawns none, one or two, with any tools, once or twice, and then is done.
fn random(request: &ModelRequest) -> Result<ModelReply, ModelError> {
    let origin = &request.origin;
    let member = if origin.stage == "work" { origin.agent.as_str() } else { "" };
    let text = format!("{member} {}", request.turns[0].text());
    if origin.agent == "lead" || origin.turn > 1 || chance(&text, origin.turn, 5) > 1 {
        return Ok(says("done"));
    }
    let tools: Vec<&str> = ["spawn", "read", "write", "shell"]
        .into_iter()
        .enumerate()
        .filter(|(at, _)| *at == 0 || chance(&text, 10 + u32::try_from(*at).expect("small"), 2) == 0)
        .map(|(_, tool)| tool)
        .collect();
    let task = |n: u64| format!("Path {}.{}.{n}", chance(&text, 7, 1_000_000), origin.turn);
    let call = |n: u64| json!({"name": "dig", "prompt": "Dig.", "task": task(n), "tools": tools, "max_tokens": 30_000});
    let calls = [("a", "spawn", call(1)), ("b", "spawn", call(2))];
    Ok(asks(&calls[..=usize::try_from(chance(&text, 20, 2)).expect("small")]))
}

async fn families(kept: Kept) {
    let dir = tempfile::tempdir().expect("a folder");
    let store = match kept {
        Kept::Sqlite => Store::open_sqlite(dir.path(), Options::default()).await.expect("a store"),
        Kept::Postgres => {
            let url = std::env::var("CONVOKE_TEST_PG");
            let url =
                url.expect("CONVOKE_TEST_PG names no PostgreSQL for tests; run `cargo xtask test`, which starts one");
            let schema = format!("family_{}_{:08x}", std::process::id(), fastrand::u32(..));
            let options = PgOptions { schema: Some(schema), create_schema: true, ..PgOptions::default() };
            Store::open_postgres(&url, options, Options::default()).await.expect("a schema")
        }
    };
    let mut hub = Hub::over(store, dir.path().join("work"), FakeModels::new(random), tools(), |_| {});
    hub.start().await;
    hub.engine.ensure_user("tester").await.expect("a user");
    let own = json!({
        "tools": ["spawn", "read", "write"], "authority": {"can_spawn": true, "max_parallel_agents": 2},
        "limits": {"max_tokens": CAP}, "model_settings": {"max_output_tokens": 500},
    });
    let profiles = vec![profile("lead", json!({})), profile("a", own.clone()), profile("b", own)];
    let rules = json!({"planning": "same_task", "retries": 0, "spawn": {"max_agents": 5, "max_groups": 3}});
    let team = team(&["a", "b"], json!({"rules": rules, "budget": {"max_cost_usd": 1_000.0, "on_exhausted": "stop"}}));
    let start = hub.prepare(team, profiles, "x").await.expect("a team");
    let mut runs = Vec::new();
    for seed in 0..FAMILIES {
        let start = convoke_engine::StartRun { task: format!("Seed {seed}."), ..start.clone() };
        runs.push((seed, hub.engine.start_run(start).await.expect("a run")));
        disturb(&hub, seed, runs.last().expect("a run").1).await;
    }
    let mut spawned = 0;
    for (seed, run) in runs {
        let record = hub.ended(run).await;
        let ws = hub.engine.config().workspace;
        let events = hub.engine.store().events_after(ws, 0, Some(run), 10_000).await.expect("events");
        spawned += events.iter().filter(|event| event.kind == "agent.spawned").count();
        println!("seed {seed}: {} tasks, {}", record.tasks.len(), record.summary.state);
        check_family(&events, 5, 2);
        hub.engine.store().read(Purse { ws, run }).await.expect("budgets");
    }
    println!("{spawned} agents in {FAMILIES} families");
    assert!(spawned > 100, "{spawned} agents were spawned, which is no test");
    assert_eq!(hub.engine.store().verify().await.expect("verified").problems, []);
}

/// Moves budget between the members, and stops one of them now and then.
async fn disturb(hub: &Hub, seed: u64, run: RunId) {
    let tokens = i64::try_from(seed % 7).expect("small") * 2_000;
    let amount = Amount { tokens, ..Amount::default() };
    let (from, to) = if seed.is_multiple_of(2) { ("a", "b") } else { ("b", "a") };
    let what = MoveBudget { run, from: from.into(), to: to.into(), amount, user: "tester".into() };
    // A run that has ended, or nothing left to move, is refused; the sums must hold all the same.
    let _ = hub.engine.move_budget(what).await;
    if seed.is_multiple_of(5) {
        let _ = hub.engine.kill(run, "a", "tester").await;
    }
}

/// Looks into the budgets of a run that has ended: nothing is held, no cap is passed, and moving made and lost nothing.
struct Purse {
    ws: WorkspaceId,
    run: RunId,
}

impl UseCase for Purse {
    type Out = ();

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> convoke_store::Result<()> {
        let rows = budget::list(tx, &format!("agent:{}:", self.run), 1_000).await?;
        for row in &rows {
            assert_eq!((row.reserved_cost, row.reserved_tokens), (0, 0), "{row:?}");
            assert!(row.cap_tokens.is_none_or(|cap| row.settled_tokens <= cap), "{row:?}");
        }
        let members: Vec<_> =
            rows.iter().filter(|row| row.scope.ends_with(":a") || row.scope.ends_with(":b")).collect();
        let sum: i64 = members.iter().filter_map(|row| row.cap_tokens).sum();
        assert_eq!(sum, CAP * i64::try_from(members.len()).expect("few"), "{members:?}");
        assert_eq!(members.iter().map(|row| row.moved_tokens).sum::<i64>(), 0);
        Ok(())
    }
}

/// What must be true of every family, whatever happened: read from the record of events alone.
fn check_family(events: &[Event], most: usize, each: usize) {
    let mut living: BTreeMap<String, (String, Vec<String>)> = BTreeMap::new();
    let mut tools: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for event in events {
        match event.kind.as_str() {
            "agent.spawned" => {
                let parent = event.payload["parent"].as_str().unwrap_or_default().to_owned();
                let own: Vec<String> = serde_json::from_value(event.payload["tools"].clone()).expect("tools");
                if let Some(above) = tools.get(&parent) {
                    assert!(own.iter().all(|tool| above.contains(tool)), "{} is wider than {parent}", event.entity_id);
                }
                tools.insert(event.entity_id.clone(), own.clone());
                living.insert(event.entity_id.clone(), (parent.clone(), own));
                assert!(living.len() <= most, "{} agents live", living.len());
                assert!(living.values().filter(|(of, _)| *of == parent).count() <= each, "{parent} has too many");
            }
            "agent.retired" => {
                living.remove(&event.entity_id);
            }
            _ => {}
        }
    }
    assert!(living.is_empty(), "the run has ended, and these live on: {living:?}");
}
