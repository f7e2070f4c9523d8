//! Models and tools that do what they must not: each ends in a named outcome, through the real adapters and tools.

use std::time::Duration;

use convoke_bench_mock::Mock;
use convoke_bench_mock::call::Call;
use convoke_bench_mock::fault::Fault;
use convoke_bench_mock::options::Options;
use convoke_bench_mock::reply::Reply;
use convoke_domain::money::Money;
use convoke_domain::record::{RunRecord, TaskRecord};
use convoke_engine::EffectOutcome;
use convoke_testkit::hub::team;
use serde_json::{Value, json};

use crate::support::{Hub, one, processes_with};

fn faulty(faults: &[&str]) -> Mock {
    let faults = faults.iter().map(|text| Fault::parse(text).expect("a fault")).collect();
    Mock::start(Options { faults, plan_assignees: vec!["logs".into()], ..Options::default() }).expect("a mock")
}

fn answering(reply: impl Fn(&Call<'_>) -> Reply + Send + Sync + 'static) -> Mock {
    Mock::start_with(Options::default(), reply).expect("a mock")
}

fn text(words: &str) -> Reply {
    Reply::Text(words.to_owned())
}

fn calls(tool: &str, arguments: Value) -> Reply {
    Reply::ToolCalls(vec![(tool.to_owned(), arguments)])
}

fn work(record: &RunRecord) -> &TaskRecord {
    record.tasks.iter().find(|task| task.stage == "work").expect("the member's task")
}

fn lost(record: &RunRecord) -> i64 {
    record.usage.iter().map(|line| line.lost_calls).sum()
}

/// Nothing is held, nobody is busy, and the store is sound.
async fn nothing_is_left(hub: &Hub, record: &RunRecord) {
    assert!(record.budgets.iter().all(|budget| budget.reserved.cost == Money::ZERO), "{:?}", record.budgets);
    assert_eq!(record.usage.iter().map(|line| line.cost_usd).sum::<Money>(), record.summary.cost_usd);
    let agents = hub.engine.agents().await.expect("agents");
    assert!(agents.iter().all(|agent| agent.running == 0), "{agents:?}");
    assert_eq!(hub.engine.store().verify().await.expect("verified").problems, []);
}

#[tokio::test]
async fn a_wrong_key_fails_at_once_and_costs_nothing() {
    let hub = Hub::new(faulty(&["401:always"]), |_| {}).await;
    let record = hub.run(team(&["logs"], json!({})), json!({})).await;
    assert_eq!(record.summary.state, "failed");
    let error = record.tasks[0].error.as_deref().unwrap_or_default();
    assert_eq!(error, "auth: openai/gpt-4.1-mini refused the key (401); check OPENAI_API_KEY");
    assert_eq!((hub.mock.stats().requests, record.summary.model_calls, record.summary.cost_usd), (1, 0, Money::ZERO));
    nothing_is_left(&hub, &record).await;
}

#[tokio::test]
async fn a_storm_of_429_is_weathered_or_ends_as_what_it_is() {
    let hub = Hub::new(faulty(&["429:first=2"]), |_| {}).await;
    let record = hub.run(one(json!({})), json!({})).await;
    assert_eq!((record.summary.state.as_str(), record.summary.model_calls, lost(&record)), ("completed", 2, 0));
    assert_eq!(hub.mock.stats().requests, 4);

    let hub = Hub::new(faulty(&["429:always"]), |_| {}).await;
    let record = hub.run(one(json!({})), json!({})).await;
    assert_eq!(record.summary.state, "failed");
    let error = work(&record).error.as_deref().unwrap_or_default();
    assert!(error.starts_with("rate_limited: "), "{error}");
    assert_eq!((hub.mock.stats().requests, record.summary.model_calls), (3, 0), "three tries of one attempt");
    nothing_is_left(&hub, &record).await;
}

#[tokio::test]
async fn a_stream_that_is_cut_in_a_tool_call_acts_once_and_is_billed() {
    let reply = |call: &Call<'_>| match call.offers("write_file") && !call.has_tool_results() {
        true => calls("write_file", json!({"path": "a.md", "content": "x".repeat(4_000)})),
        false => text("done"),
    };
    let faults = vec![Fault::parse("cut:nth=1").expect("a fault")];
    let mock = Mock::start_with(Options { faults, ..Options::default() }, reply).expect("a mock");
    let hub = Hub::new(mock, |_| {}).await;
    let record = hub.run(one(json!({})), json!({"tools": ["write_file"]})).await;
    assert_eq!((record.summary.state.as_str(), record.summary.model_calls, lost(&record)), ("completed", 4, 1));
    assert_eq!(record.effects.len(), 1, "{:?}", record.effects);
    assert_eq!((record.summary.tool_calls, record.effects[0].state.as_str()), (1, "done"));
    nothing_is_left(&hub, &record).await;

    let hub = Hub::new(faulty(&["cut:always"]), |_| {}).await;
    let record = hub.run(one(json!({})), json!({})).await;
    assert_eq!(record.summary.state, "failed");
    let error = work(&record).error.as_deref().unwrap_or_default();
    assert!(error.starts_with("cut: "), "{error}");
    assert_eq!((record.summary.model_calls, lost(&record)), (3, 3), "each try may have been paid for");
    nothing_is_left(&hub, &record).await;
}

#[tokio::test]
async fn arguments_that_are_no_json_are_told_to_the_model() {
    let hub = Hub::new(
        answering(|call| match (call.offers("write_file"), call.has_tool_results()) {
            (true, false) => Reply::RawToolCall("write_file".into(), r#"{"path": "a.md", "content": "#.into()),
            _ => text("I give up"),
        }),
        |_| {},
    )
    .await;
    let record = hub.run(one(json!({})), json!({"tools": ["write_file"]})).await;
    assert_eq!((record.summary.state.as_str(), work(&record).output.as_deref()), ("completed", Some("I give up")));
    let step = work(&record).attempts[0].steps.iter().find(|step| step.kind == "tool").expect("the call");
    assert_eq!(step.status, "denied");
    let error = step.error.as_deref().unwrap_or_default();
    assert!(error.starts_with("the arguments of `write_file` are not a JSON object: "), "{error}");
    assert!(record.effects.is_empty(), "nothing was done");
    nothing_is_left(&hub, &record).await;
}

#[tokio::test]
async fn a_plan_that_breaks_off_is_asked_for_again_and_then_handed_to_a_person() {
    let hub = Hub::new(faulty(&["malformed:nth=1"]), |_| {}).await;
    let record = hub.run(team(&["logs"], json!({})), json!({})).await;
    assert_eq!((record.summary.state.as_str(), record.summary.model_calls, lost(&record)), ("completed", 4, 0));

    let hub = Hub::new(faulty(&["malformed:always"]), |_| {}).await;
    let record = hub.run(team(&["logs"], json!({})), json!({})).await;
    assert_eq!(record.summary.state, "escalated");
    let error = record.tasks[0].error.as_deref().unwrap_or_default();
    assert!(error.starts_with("schema_mismatch: "), "{error}");
    nothing_is_left(&hub, &record).await;
}

#[tokio::test]
async fn a_model_that_loops_is_stopped() {
    let hub = Hub::new(
        answering(|call| match call.offers("list_files") {
            true => calls("list_files", json!({})),
            false => text("nothing came of it"),
        }),
        |_| {},
    )
    .await;
    let record = hub.run(one(json!({})), json!({"tools": ["list_files"], "max_turns": 50})).await;
    let error = work(&record).error.as_deref().unwrap_or_default();
    assert_eq!(error, "repeated_call: the agent made the same call to `list_files` 5 times");
    assert_eq!(record.summary.state, "failed", "its only member gave nothing");
    nothing_is_left(&hub, &record).await;
}

#[tokio::test]
async fn a_model_that_never_answers_is_given_up() {
    let hub = Hub::new(faulty(&["hang:always"]), |config| config.call_tries = 2).await;
    let record = hub.run(one(json!({})), json!({"model_settings": {"timeout_s": 1}})).await;
    let error = work(&record).error.as_deref().unwrap_or_default();
    assert!(error.starts_with("timeout: "), "{error}");
    assert_eq!((record.summary.state.as_str(), lost(&record)), ("failed", 2), "it may have been paid for");
    nothing_is_left(&hub, &record).await;
}

fn with_shell() -> Value {
    json!({"tools": ["shell"], "authority": {"shell": true}})
}

/// Calls the shell once, then answers.
fn shell(command: &'static str) -> Mock {
    answering(move |call| match call.offers("shell") && !call.has_tool_results() {
        true => calls("shell", json!({"command": command})),
        false => text("done"),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tool_that_hangs_is_ended_and_a_person_says_what_became_of_it() {
    let hub = Hub::new(shell("sleep 98765.4321"), |config| config.tool_timeout = Duration::from_millis(700)).await;
    let record = hub.run(one(json!({})), with_shell()).await;
    assert_eq!(record.summary.state, "waiting", "{:?}", record.summary.error);
    let reason = record.summary.reason.as_deref().unwrap_or_default();
    assert_eq!(reason, "the outcome of a call to `shell` is not known; a person must say what became of it");
    assert_eq!(record.effects.iter().map(|effect| effect.state.as_str()).collect::<Vec<_>>(), ["unknown"]);
    assert_eq!(processes_with("98765.4321"), 0, "it was ended");
    nothing_is_left(&hub, &record).await;
    let key = record.effects[0].key.clone();
    hub.engine.ensure_user("ann").await.expect("the owner");
    hub.engine.resolve_effect(&key, EffectOutcome::Failed("it hung".into()), "ann").await.expect("resolved");
    let record = hub.rested(record.summary.id).await;
    assert_eq!(record.summary.state, "completed");
    nothing_is_left(&hub, &record).await;
}

/// The most memory this process has had, in bytes.
fn most_memory() -> u64 {
    convoke_bench::machine::memory(std::process::id()).expect("this process runs").1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tool_that_prints_a_gigabyte_is_cut_short() {
    let hub = Hub::new(shell("head -c 1000000000 /dev/zero | tr '\\0' x"), |_| {}).await;
    let before = most_memory();
    let record = hub.run(one(json!({})), with_shell()).await;
    assert_eq!(record.summary.state, "completed", "{:?}", record.summary);
    let step = work(&record).attempts[0].steps.iter().find(|step| step.kind == "tool").expect("the call");
    let output = step.output.as_deref().unwrap_or_default();
    assert!(output.len() < 200_000 && output.contains("xxx"), "{} bytes", output.len());
    let more = most_memory().saturating_sub(before);
    assert!(more < 100_000_000, "{more} bytes of memory for it");
    nothing_is_left(&hub, &record).await;
}
