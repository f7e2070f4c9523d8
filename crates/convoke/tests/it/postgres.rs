//! The same commands on PostgreSQL: `--database` in place of the data folder's own database.

use convoke_store::{Options, PgOptions, Store};

use crate::support::{Place, SLOW, WORKS, strs};

/// A schema of its own on the server that the tests are given, as a URL.
pub fn database(what: &str) -> String {
    let url = std::env::var("CONVOKE_TEST_PG");
    let url = url.expect("CONVOKE_TEST_PG names no PostgreSQL for tests; run `cargo xtask test`, which starts one");
    let schema = format!("cli_{what}_{}", std::process::id());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let options = PgOptions { schema: Some(schema.clone()), create_schema: true, ..PgOptions::default() };
        let store = Store::open_postgres(&url, options, Options::default()).await.expect("a schema");
        store.close().await.expect("closed");
    });
    let joint = if url.contains('?') { '&' } else { '?' };
    format!("{url}{joint}options=-csearch_path%3D{schema}")
}

/// What must be the same wherever it was kept.
fn gist(record: &serde_json::Value) -> serde_json::Value {
    let tasks = record["tasks"].as_array().expect("tasks").iter();
    let tasks: Vec<_> =
        tasks.map(|task| (task["key"].clone(), task["state"].clone(), task["output"].clone())).collect();
    serde_json::json!([
        record["state"],
        record["output"],
        record["model_calls"],
        record["tokens"],
        record["cost_usd"],
        tasks
    ])
}

#[test]
fn a_run_is_the_same_on_postgresql() {
    let place = Place::new();
    let run = place.team(WORKS);
    place.done(&strs(&run));
    let here = place.json(&["show", "last"]);
    let url = database("run");
    let there = ["--database", url.as_str()];
    place.done(&[strs(&run).as_slice(), &there].concat());
    let kept = place.json(&[&["show", "last"], there.as_slice()].concat());
    assert_eq!(gist(&kept), gist(&here));
    assert_ne!(kept["id"], here["id"]);
    assert_eq!(place.json(&[&["runs"], there.as_slice()].concat()).as_array().map(Vec::len), Some(1));
    place.done(&[&["db", "verify"], there.as_slice()].concat());
    place.done(&[&["audit", "verify"], there.as_slice()].concat());
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let place = Place::new();
    let ended = place.run(&["runs", "--database", "postgres://nobody:secret@127.0.0.1:1/none"]);
    assert_eq!(ended.code, 1, "{}", ended.err);
    assert!(ended.err.contains("127.0.0.1") && !ended.err.contains("secret"), "{}", ended.err);
}

#[test]
fn authorities_are_named_by_the_environment_as_for_other_programs() {
    let place = Place::new();
    let mut command = place.command(&["runs", "--database", "postgres://nobody:secret@db.example.org/none"]);
    let ended = command.env("PGSSLROOTCERT", "/nowhere/ca.pem").output().expect("runs");
    let told = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{told}");
    assert!(told.contains("/nowhere/ca.pem (`sslrootcert`) cannot be used"), "{told}");
    let ended = command.env("PGSSLMODE", "disable").output().expect("runs");
    let told = String::from_utf8_lossy(&ended.stderr);
    assert!(told.contains("might not be encrypted") && !told.contains("secret"), "{told}");
}

#[test]
fn a_run_that_another_process_brings_to_its_end_ends_here_too() {
    let place = Place::new();
    let run = place.team(SLOW);
    let url = database("two");
    let there = ["--database", url.as_str()];
    let mut first = place.start(&[strs(&run).as_slice(), &there].concat());
    first.until("search_files");
    // The first process drives the worker's task, so this one has nothing but what the other stores.
    let second = place.run(&[&["resume"], there.as_slice()].concat());
    assert_eq!(second.code, 0, "{}{}", second.out, second.err);
    assert!(second.out.contains("Together: Found ERROR two"), "{}", second.out);
    let first = first.end();
    assert_eq!(first.code, 0, "{}{}", first.out, first.err);
    assert!(first.out.contains("Together: Found ERROR two"), "{}", first.out);
}
