//! What scripted models say in these tests: a plan, a finding, a synthesis, by the stage they are asked in.

use convoke_port::model::{ModelError, ModelReply, ModelRequest};
use convoke_store::{Options, PgOptions, Store};
use convoke_testkit::model::{FakeModels, says};
use serde_json::json;

/// A plan that gives each member one task.
pub fn plan(members: &[&str]) -> String {
    let task = |name: &&str| json!({"key": name, "title": format!("{name} looks"), "instructions": "Look.", "assignee": name, "depends_on": [], "expected_output": "A finding."});
    json!({"tasks": members.iter().map(task).collect::<Vec<_>>()}).to_string()
}

/// The usual answers of each stage.
pub fn usual(request: &ModelRequest) -> Result<ModelReply, ModelError> {
    let text = match request.origin.stage.as_str() {
        "plan" => plan(&["logs", "cost"]),
        "work" => format!("{} found something", request.origin.agent),
        "validation" => r#"{"verdict":"agree","comment":"fine"}"#.to_owned(),
        _ => "the result".to_owned(),
    };
    Ok(says(text))
}

/// Models that give the usual answers, but for one agent.
pub fn models(
    agent: &'static str,
    play: impl Fn(&ModelRequest) -> Result<ModelReply, ModelError> + Send + Sync + 'static,
) -> FakeModels {
    FakeModels::new(move |request| if request.origin.agent == agent { play(request) } else { usual(request) })
}

/// A store in a schema of its own on the server that the tests are given.
pub async fn postgres(what: &str) -> Store {
    let url = std::env::var("CONVOKE_TEST_PG");
    let url = url.expect("CONVOKE_TEST_PG names no PostgreSQL for tests; run `cargo xtask test`, which starts one");
    let schema = format!("{what}_{}_{:08x}", std::process::id(), fastrand::u32(..));
    let options = PgOptions { schema: Some(schema), create_schema: true, ..PgOptions::default() };
    Store::open_postgres(&url, options, Options::default()).await.expect("a schema")
}
