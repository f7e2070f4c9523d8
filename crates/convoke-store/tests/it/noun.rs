//! Every function of every noun runs here at least once on each database: SQL that only one of them takes, a parameter
//! whose type PostgreSQL guesses wrong, a sum of another type, an order that differs show here and not in the field.

use std::path::Path;
use std::sync::Arc;

use convoke_domain::id::{RunId, SessionId, TaskId, WorkspaceId};
use convoke_domain::time::Timestamp;
use convoke_store::step::StepRef;
use convoke_store::{Options, Store, agent, budget, run, session, task};
use uuid::Uuid;

use crate::support::{Place, act};

/// The nouns, by the names of their files.
const NOUNS: &[&str] = &[
    "agent",
    "analytics",
    "approval",
    "attempt",
    "blob",
    "budget",
    "context",
    "decision",
    "definition",
    "effect",
    "escalate",
    "event",
    "frame",
    "grant",
    "handoff",
    "lock",
    "memory",
    "message",
    "meta",
    "outcome",
    "rating",
    "run",
    "scale",
    "session",
    "spawn",
    "stats",
    "step",
    "task",
    "thread",
    "usage",
    "user",
    "wait",
    "workspace",
];

/// The workspace that all of it happens in.
pub const WS: WorkspaceId = WorkspaceId::DEFAULT;
/// Its session.
pub const SESSION: SessionId = SessionId(Uuid::from_u128(1));
/// Its run.
pub const RUN: RunId = RunId(Uuid::from_u128(2));
/// The time that it always is there.
pub const NOW: Timestamp = Timestamp::from_micros(1_000_000);

/// Task number `n`.
pub fn task_id(n: u8) -> TaskId {
    TaskId(Uuid::from_u128(100 + u128::from(n)))
}

/// A step of the first attempt of task 1.
pub fn step_at(n: i64) -> StepRef {
    StepRef { task: task_id(1), attempt: 1, n }
}

/// A store where time stands still.
pub async fn open(place: &Place) -> Store {
    place.open_with(Options { clock: Arc::new(|| NOW), ..Options::default() }).await
}

/// A task that is ready.
pub fn ready(n: u8, agent: &str) -> task::NewRow<'_> {
    task::NewRow {
        id: task_id(n),
        run: RUN,
        n: n.into(),
        key: ["a", "b", "c", "d", "e"][usize::from(n) - 1],
        title: "Look",
        stage: "work",
        round: 0,
        agent,
        instructions: "look closely",
        output_schema: None,
        priority: "normal",
        state: "ready",
        rank: i64::from(n) * 10,
        held: false,
        deps_left: 0,
        parents: 0,
        retries_left: 2,
        timeout_us: 60_000_000,
        parent: None,
        depth: 0,
    }
}

/// What makes a run.
pub fn new_run(id: RunId, idem_key: Option<&str>) -> run::NewRow<'_> {
    run::NewRow {
        id,
        session: SESSION,
        team: "crew",
        team_version: 3,
        spec: "00ff",
        task: "find the cause",
        input: None,
        simulated: true,
        created_by: "user:ada",
        idem_key,
        timeout_us: 5_000,
    }
}

/// A store with a session, the agents `ada` (room for 2) and `bob` (room for 1), a run, and its budget.
pub async fn with_run(place: &Place) -> Store {
    let store = open(place).await;
    act!(store, tx => {
        session::insert(tx, SESSION, "Talk", "user:ada").await?;
        for (name, capacity) in [("ada", 2), ("bob", 1)] {
            let row = agent::NewRow {
                name, kind: "llm", profile_version: 1, role: "specialist", capabilities: "[]", tags: "[]", capacity, active: true,
            };
            agent::upsert(tx, &row).await?;
        }
        run::insert(tx, &new_run(RUN, Some("key-1"))).await?;
        budget::open(tx, &format!("run:{RUN}"), None, Some(1_000)).await
    });
    store
}

/// The names of the functions in `source` that take a transaction.
fn functions(source: &str) -> Vec<&str> {
    let starts = source.split("pub async fn ").skip(1);
    starts
        .filter(|rest| rest[rest.find('(').unwrap_or(0) + 1..].trim_start().starts_with("tx:"))
        .filter_map(|rest| rest.split('(').next())
        .collect()
}

#[test]
fn every_function_is_called_by_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &Path| std::fs::read_to_string(path).expect("a source file");
    let tests: String = std::fs::read_dir(root.join("tests/it"))
        .expect("tests")
        .map(|file| read(&file.expect("a file").path()))
        .collect();
    let mut missing = Vec::new();
    for noun in NOUNS {
        let part = root.join(format!("src/{noun}/together.rs"));
        let more = if part.exists() { read(&part) } else { String::new() };
        let source = read(&root.join(format!("src/{noun}.rs"))) + &more;
        let modules: &[&str] = if *noun == "definition" { &["profile", "team"] } else { &[noun] };
        for (name, module) in
            functions(&source).into_iter().flat_map(|name| modules.iter().map(move |module| (name, module)))
        {
            let call = format!("{module}::{name}(");
            if !tests.contains(&call) {
                missing.push(call);
            }
        }
    }
    assert!(missing.is_empty(), "no test calls {missing:?}; add a case that runs on both databases");
}
