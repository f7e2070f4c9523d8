//! Agents that lock by their tools, and the door that lets no write through without a lock.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use convoke_domain::id::RunId;
use convoke_domain::record::RunRecord;
use convoke_domain::transcript::Block;
use convoke_engine::{Holder, Which};
use convoke_port::model::{ModelReply, ModelRequest};
use convoke_port::tool::{Repeat, ToolOutput};
use convoke_testkit::hub::{Hub, profile, team};
use convoke_testkit::model::{FakeModels, asks, says};
use convoke_testkit::tool::{FakeTools, gives};
use serde_json::{Value, json};

use crate::play::usual;

const FILE: &str = "file:shared/report.md";

/// A run of members that may lock and write, played by `play`; all others say the usual.
async fn run(
    members: &[&str],
    play: impl Fn(&ModelRequest) -> ModelReply + Send + Sync + 'static,
    tools: FakeTools,
) -> (Hub, RunId) {
    let models = FakeModels::new(move |request| match request.origin.stage.as_str() {
        "work" => Ok(play(request)),
        _ => usual(request),
    });
    let hub = Hub::new(models, tools).await;
    let mut profiles = vec![profile("lead", json!({}))];
    profiles
        .extend(members.iter().map(|name| profile(name, json!({"tools": ["@lock", "write_file"], "max_turns": 40}))));
    let team = team(members, json!({"rules": {"planning": "same_task"}}));
    let start = hub.prepare(team, profiles, "Write.").await.expect("a team");
    let run = hub.engine.start_run(start).await.expect("a run");
    (hub, run)
}

fn writer() -> FakeTools {
    FakeTools::new(&[("write_file", Repeat::Idempotent)], |_| gives("written"))
}

fn lock(resources: &[&str]) -> Value {
    json!({"resources": resources})
}

fn write(content: &str) -> Value {
    json!({"path": "shared/report.md", "content": content})
}

/// The results of the calls so far, in order.
fn results(request: &ModelRequest) -> Vec<String> {
    let blocks = request.turns.iter().flat_map(|turn| &turn.blocks);
    blocks
        .filter_map(|block| match block {
            Block::ToolResult { content, .. } => Some(content.clone()),
            _ => None,
        })
        .collect()
}

async fn kinds(hub: &Hub, run: RunId) -> Vec<String> {
    let ws = hub.engine.config().workspace;
    let events = hub.engine.store().events_after(ws, 0, Some(run), 10_000).await.expect("events");
    events.into_iter().map(|event| event.kind).filter(|kind| kind.starts_with("lock.")).collect()
}

fn output(record: &RunRecord, agent: &str) -> String {
    let task = record.tasks.iter().find(|task| task.agent == agent).expect("a task");
    task.output.clone().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_without_a_lock_is_refused_with_advice() {
    let tools = writer();
    let (hub, run) = run(
        &["ann"],
        |request| match request.origin.turn {
            1 => {
                asks(&[("a", "write_file", write("x")), ("b", "write_file", json!({"path": "own.md", "content": "x"}))])
            }
            2 => asks(&[("c", "lock", json!({"resources": [FILE], "mode": "shared"}))]),
            3 => asks(&[("d", "write_file", write("x"))]),
            4 => asks(&[("e", "lock", lock(&["file:shared/"]))]),
            5 => asks(&[("f", "write_file", write("x")), ("g", "unlock", json!({}))]),
            6 => asks(&[("h", "write_file", write("y"))]),
            _ => says(results(request).join("\n")),
        },
        tools.clone(),
    )
    .await;
    let record = hub.ended(run).await;
    assert_eq!(record.summary.state, "completed");
    insta::assert_snapshot!(output(&record, "ann"));
    let calls = tools.calls();
    assert_eq!(calls.iter().map(|call| call.fence.is_some()).collect::<Vec<_>>(), [false, true]);
    let stats = hub.engine.lock_stats().await.expect("counters");
    assert_eq!((stats.held, stats.waiting, stats.granted, stats.conflicts_avoided), (0, 0, 2, 0));
    assert_eq!(
        kinds(&hub, run).await,
        ["lock.refused", "lock.acquired", "lock.refused", "lock.acquired", "lock.released", "lock.refused"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_who_edit_the_same_file_take_turns() {
    let inside = Arc::new(Mutex::new((0_u32, 0_u32)));
    let seen = Arc::clone(&inside);
    let tools = FakeTools::new(&[("write_file", Repeat::Idempotent)], move |request| {
        let mut seen = seen.lock().expect("not poisoned");
        // First and second write of each belong together.
        seen.0 = if request.input["content"] == "first" { seen.0 + 1 } else { seen.0 - 1 };
        seen.1 = seen.1.max(seen.0);
        Ok(ToolOutput { content: "written".into(), is_error: false })
    });
    let (hub, run) = run(
        &["ann", "bob", "cid"],
        |request| match request.origin.turn {
            1 => asks(&[("a", "lock", lock(&[FILE, "topic:order"]))]),
            2 => asks(&[("b", "write_file", write("first"))]),
            3 => asks(&[("c", "write_file", write("second"))]),
            _ => says(results(request).join("\n")),
        },
        tools.clone(),
    )
    .await;
    let record = hub.ended(run).await;
    assert_eq!(record.summary.state, "completed");
    assert_eq!(*inside.lock().expect("not poisoned"), (0, 1), "never two at the same time");
    let mut tokens: Vec<_> = tools.calls().iter().map(|call| call.fence.expect("under a lock").token).collect();
    assert!(tokens.is_sorted(), "{tokens:?}");
    tokens.dedup();
    assert!(tokens.len() >= 3, "each turn has a token of its own: {tokens:?}");
    for agent in ["ann", "bob", "cid"] {
        let told = output(&record, agent);
        assert!(told.starts_with("You hold exclusive `file:shared/report.md`, exclusive `topic:order`."), "{told}");
    }
    assert_eq!(hub.engine.locks(Which::All).await.expect("locks"), [], "a lock ends with its task");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_holds_more_than_it_asks_for_is_told_what_it_holds() {
    let (hub, run) = run(
        &["ann"],
        |request| {
            let shared = |name: &str| json!({"resources": [name], "mode": "shared"});
            match request.origin.turn {
                1 => asks(&[("a", "lock", lock(&["topic:mine", "file:shared/src/"]))]),
                2 => asks(&[("b", "lock", shared("topic:mine"))]),
                3 => asks(&[("c", "lock", shared("file:shared/src/api.rs"))]),
                4 => asks(&[("d", "lock", shared("topic:other"))]),
                _ => says(results(request).join("\n")),
            }
        },
        writer(),
    )
    .await;
    let record = hub.ended(run).await;
    let told: Vec<_> = output(&record, "ann").lines().map(str::to_owned).collect();
    assert!(told[1].starts_with("You hold exclusive `topic:mine`."), "{told:?}");
    assert!(told[2].starts_with("You hold exclusive `file:shared/src`."), "{told:?}");
    assert!(told[3].starts_with("You hold shared `topic:other`."), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_call_is_told() {
    let calls: Vec<(&str, Value)> = vec![
        ("lock", json!({})),
        ("lock", json!({"resources": []})),
        ("lock", json!({"resources": "file:a"})),
        ("lock", json!({"resources": [1]})),
        ("lock", lock(&["shared/report.md"])),
        ("lock", lock(&["file:../secret"])),
        ("lock", lock(&["file:/etc/passwd"])),
        ("lock", lock(&["file:a\u{1b}[2J"])),
        ("lock", json!({"resources": [FILE], "mode": "both"})),
        ("lock", json!({"resources": [FILE], "wait_seconds": -1})),
        ("lock", json!({"resources": [FILE], "wait_seconds": 601})),
        ("lock", json!({"resources": [FILE], "forever": true})),
        ("lock", json!({"resources": (0..33).map(|n| format!("topic:{n}")).collect::<Vec<_>>()})),
        ("unlock", lock(&[FILE])),
        ("unlock", json!({})),
        ("lock", lock(&["topic:mine"])),
        ("unlock", lock(&["topic:mine", FILE])),
        ("lock", json!({"resources": ["topic:taken"], "wait_seconds": 0})),
        ("write_file", json!({"path": "shared/a\tb", "content": ""})),
    ];
    let (hub, run) = run(
        &["ann"],
        move |request| match usize::try_from(request.origin.turn).expect("small") {
            turn if turn <= calls.len() => {
                let (name, input) = calls[turn - 1].clone();
                asks(&[(&format!("c{turn}"), name, input)])
            }
            _ => says(results(request).join("\n")),
        },
        writer(),
    )
    .await;
    let record = hub.ended(run).await;
    assert_eq!(record.summary.state, "completed", "{record:#?}");
    insta::assert_snapshot!(output(&record, "ann"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_is_taken_away_by_a_person_and_the_next_in_line_goes_on() {
    let models = FakeModels::new(|request| match (request.origin.stage.as_str(), request.origin.turn) {
        ("work", 1) => Ok(asks(&[("a", "lock", lock(&["topic:taken"]))])),
        ("work", _) => Ok(says(results(request).join("\n"))),
        _ => usual(request),
    });
    let hub = Hub::new(models, writer()).await;
    hub.engine.ensure_user("eve").await.expect("the owner");
    // Somebody else was there before.
    let other = Holder { run: RunId(uuid_of(1)), task: convoke_domain::id::TaskId(uuid_of(2)), agent: "old".into() };
    let item = convoke_domain::lock::Item {
        resource: "topic:taken".parse().expect("a resource"),
        mode: convoke_domain::lock::Mode::Shared,
    };
    hub.engine.acquire_locks(other, vec![item], Duration::ZERO).await.expect("free");
    let profiles = vec![profile("lead", json!({})), profile("ann", json!({"tools": ["lock"]}))];
    let start = hub.prepare(team(&["ann"], json!({"rules": {"planning": "same_task"}})), profiles, "Go.").await;
    let run = hub.engine.start_run(start.expect("a team")).await.expect("a run");
    let mut feed = hub.engine.store().subscribe();
    while hub.engine.lock_graph().await.expect("a graph").edges.is_empty() {
        let _ = feed.next().await;
    }
    let graph = hub.engine.lock_graph().await.expect("a graph");
    assert_eq!((graph.edges[0].agent.as_str(), graph.edges[0].waits_for.len()), ("ann", 1));
    let taken = hub.engine.force_locks(Which::Resource("topic:taken".parse().expect("a resource")), "eve").await;
    assert_eq!(taken.expect("taken").len(), 1);
    let record = hub.ended(run).await;
    assert!(output(&record, "ann").starts_with("You hold exclusive `topic:taken`."), "{}", output(&record, "ann"));
    let stats = hub.engine.lock_stats().await.expect("counters");
    assert_eq!((stats.forced, stats.waits, stats.granted), (1, 1, 2));
    let ws = hub.engine.config().workspace;
    let events = hub.engine.store().events_after(ws, 0, None, 10_000).await.expect("events");
    let forced = events.iter().find(|event| event.kind == "lock.forced").expect("it is on record");
    assert_eq!((forced.actor.as_str(), &forced.payload["agent"]), ("user:eve", &json!("old")));
}

fn uuid_of(n: u128) -> uuid::Uuid {
    uuid::Uuid::from_u128(n)
}
