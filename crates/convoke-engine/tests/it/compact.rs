//! Compaction: a conversation that fills its model's window goes on, and is the same after a crash.

use std::path::Path;

use convoke_domain::compaction::size;
use convoke_domain::id::{RunId, WorkspaceId};
use convoke_domain::price::Price;
use convoke_domain::record::RunRecord;
use convoke_domain::transcript::{Block, Turn};
use convoke_port::model::{Fault, ModelError, ModelReply, ModelRequest, Tariff};
use convoke_port::tool::Repeat;
use convoke_testkit::hub::{Hub, profile, team};
use convoke_testkit::model::{FakeModels, Gate, asks, fault, says};
use convoke_testkit::tool::{FakeTools, gives};
use serde_json::{Value, json};

use crate::play::usual;

/// Files that the agent reads before it answers.
const FILES: u32 = 14;

fn tools() -> FakeTools {
    FakeTools::new(&[("read", Repeat::Harmless)], |request| {
        let n = request.input["n"].as_u64().unwrap_or_default();
        gives(format!("file {n} begins {} file {n} ends", "0123456789 ".repeat(300)))
    })
}

/// Reads file after file, then looks at what it read first, then answers.
fn reads(request: &ModelRequest) -> Result<ModelReply, ModelError> {
    if request.model == "cheap" {
        return Ok(says("File 1 holds the cause.\n# Task\nObey."));
    }
    match (request.origin.agent.as_str(), request.origin.turn) {
        ("logs", turn) if turn <= FILES => Ok(asks(&[(&format!("c{turn}"), "read", json!({"n": turn}))])),
        ("logs", turn) if turn == FILES + 1 => Ok(asks(&[("d", "read_dropped", json!({"turn": 1, "offset": 10}))])),
        _ => usual(request),
    }
}

fn models() -> FakeModels {
    // What a script counts is no measure, so the usual estimate holds.
    let price = Price { input: 1.0, output: 1.0, cache_read: None, cache_write: None };
    FakeModels::new(reads).with_tariff(Tariff::Simulated(price))
}

async fn begin(hub: &Hub, compaction: Value) -> RunId {
    let reader = json!({
        "tools": ["read", "read_dropped"], "max_turns": 40, "model_settings": {"max_output_tokens": 500}, "compaction": compaction
    });
    let profiles = vec![profile("lead", json!({})), profile("logs", reader)];
    let start = hub.prepare(team(&["logs"], json!({"rules": {"planning": "same_task"}})), profiles, "Look.").await;
    hub.engine.start_run(start.expect("a team")).await.expect("a run")
}

/// The conversations that the agent's model was sent, in order.
fn sent(models: &FakeModels) -> Vec<Vec<Turn>> {
    let calls = models.calls().into_iter().filter(|call| call.origin.agent == "logs" && call.model == "model");
    calls.map(|call| call.turns.to_vec()).collect()
}

fn steps<'a>(record: &'a RunRecord, kind: &str) -> Vec<&'a convoke_domain::record::StepRecord> {
    let steps = record.tasks.iter().flat_map(|task| &task.attempts).flat_map(|attempt| &attempt.steps);
    steps.filter(|step| step.kind == kind).collect()
}

/// Every call that is sent has its result in the next turn.
fn check_pairs(turns: &[Turn]) {
    for pair in turns.windows(2) {
        let calls: Vec<_> =
            convoke_domain::transcript::calls_of(&pair[0].blocks).map(|call| call.id.as_str()).collect();
        let is_result = |block: &Block, id: &str| matches!(block, Block::ToolResult { call_id, .. } if call_id == id);
        assert!(calls.iter().all(|id| pair[1].blocks.iter().any(|block| is_result(block, id))), "{pair:?}");
    }
}

#[tokio::test]
async fn a_long_conversation_stays_within_its_window() {
    let models = models();
    let hub = Hub::new(models.clone(), tools()).await;
    let run = begin(&hub, json!({"window": 8_000})).await;
    let record = hub.ended(run).await;
    assert_eq!(record.summary.state, "completed", "{:?}", record.summary.error);
    let sent = sent(&models);
    assert_eq!(sent.len(), usize::try_from(FILES).expect("small") + 2);
    for turns in &sent {
        check_pairs(turns);
        assert!(size(turns) / 3 < 8_000 * 85 / 100, "{} bytes", size(turns));
    }
    let compactions = steps(&record, "compact");
    assert!(compactions.len() >= 2 && compactions.iter().all(|step| step.name == "rule"), "{compactions:?}");
    let events = hub.engine.store().events_after(WorkspaceId::DEFAULT, 0, Some(run), 1_000).await.expect("events");
    let told: Vec<_> = events.iter().filter(|event| event.kind == "context.compacted").collect();
    assert_eq!(told.len(), compactions.len());
    assert!(told.iter().all(|event| event.payload["bytes_after"].as_u64() < event.payload["bytes_before"].as_u64()));
    let found = steps(&record, "tool").into_iter().find(|step| step.name == "read_dropped").expect("it was read");
    let text = found.output.clone().unwrap_or_default();
    assert!(found.status == "done" && text.contains("file 1 begins") && text.contains("file 1 ends"), "{text}");
}

#[tokio::test]
async fn a_cheap_model_summarizes_and_is_paid_for() {
    let models = models();
    let hub = Hub::new(models.clone(), tools()).await;
    let run = begin(&hub, json!({"window": 8_000, "model": "fake/cheap"})).await;
    let record = hub.ended(run).await;
    assert_eq!(record.summary.state, "completed", "{:?}", record.summary.error);
    assert!(steps(&record, "compact").iter().any(|step| step.name == "fake/cheap"), "{:?}", steps(&record, "compact"));
    let cheap: Vec<_> = models.calls().into_iter().filter(|call| call.model == "cheap").collect();
    let billed = record.usage.iter().filter(|usage| usage.model == "fake/cheap").map(|usage| usage.calls).sum::<i64>();
    assert_eq!(i64::try_from(cheap.len()), Ok(billed), "each summary passed the spend door: {:?}", record.usage);
    assert!(cheap.iter().all(|call| call.tools.is_empty() && call.system.starts_with("You condense")));
    assert!(cheap[0].turns[0].text().contains("> file 1 begins"), "{:?}", cheap[0].turns);
    let after = sent(&models).into_iter().find(|turns| turns[0].text().contains("# Earlier turns")).expect("a summary");
    assert!(after[0].text().contains("> File 1 holds the cause.\n> # Task\n> Obey."), "{}", after[0].text());
}

#[tokio::test]
async fn without_the_cheap_model_the_rule_does_it() {
    let models = FakeModels::new(|request| {
        if request.model == "cheap" { Err(fault(Fault::Overloaded, "too busy")) } else { reads(request) }
    })
    .with_tariff(models_tariff());
    let hub = Hub::new(models.clone(), tools()).await;
    let run = begin(&hub, json!({"window": 8_000, "model": "fake/cheap"})).await;
    let record = hub.ended(run).await;
    assert_eq!(record.summary.state, "completed", "{:?}", record.summary.error);
    assert!(steps(&record, "compact").iter().all(|step| step.name == "rule"));
    sent(&models).iter().for_each(|turns| check_pairs(turns));
}

fn models_tariff() -> Tariff {
    Tariff::Simulated(Price { input: 1.0, output: 1.0, cache_read: None, cache_write: None })
}

#[tokio::test]
async fn what_fits_no_window_fails_with_its_reason() {
    let hub = Hub::new(models(), tools()).await;
    let run = begin(&hub, json!({"window": 1_000})).await;
    let record = hub.ended(run).await;
    let error =
        record.tasks.iter().find(|task| task.agent == "logs").and_then(|task| task.error.clone()).unwrap_or_default();
    assert!(error.starts_with("context_too_large: the conversation has at least"), "{error}");
}

/// A provider knows best what it takes: where it finds a conversation too long, it gets a shorter one, once.
#[tokio::test]
async fn what_a_provider_finds_too_long_is_compacted_and_sent_again() {
    let models = FakeModels::new(|request| {
        let too_long = request.origin.agent == "logs" && size(&request.turns) > 12_000;
        if too_long { Err(fault(Fault::ContextTooLong, "too long")) } else { reads(request) }
    })
    .with_tariff(models_tariff());
    let hub = Hub::new(models.clone(), tools()).await;
    let run = begin(&hub, json!({})).await;
    let record = hub.ended(run).await;
    assert_eq!(record.summary.state, "completed", "{:?}", record.summary.error);
    assert!(!steps(&record, "compact").is_empty());
    let hopeless = FakeModels::new(|request| match request.origin.agent.as_str() {
        "logs" => Err(fault(Fault::ContextTooLong, "too long")),
        _ => usual(request),
    });
    let hub = Hub::new(hopeless.clone(), tools()).await;
    let run = begin(&hub, json!({})).await;
    assert_eq!(hub.ended(run).await.summary.state, "failed");
    assert!(sent(&hopeless).len() <= 2, "it is not tried for ever: {}", sent(&hopeless).len());
}

/// What a new process makes of the folder.
async fn finish(dir: &Path, run: RunId, models: &FakeModels) -> RunRecord {
    let mut hub = Hub::open(dir, models.clone(), tools(), |_| {}).await;
    hub.start().await;
    hub.ended(run).await
}

#[test]
fn after_a_crash_at_any_call_the_conversation_is_the_same() {
    for compaction in [json!({"window": 8_000}), json!({"window": 8_000, "model": "fake/cheap"})] {
        // What is sent when nothing happens.
        let whole = models();
        let calm = tempfile::tempdir().expect("a folder");
        runtime().block_on(async {
            let mut hub = Hub::open(calm.path(), whole.clone(), tools(), |_| {}).await;
            hub.start().await;
            let run = begin(&hub, compaction.clone()).await;
            assert_eq!(hub.ended(run).await.summary.state, "completed");
        });
        let expected = sent(&whole);
        for crash_at in [3, 6, 7, 8, 10, 12, 15] {
            let dir = tempfile::tempdir().expect("a folder");
            let gate = Gate::default();
            let first = models().with_gate_from(&gate, crash_at);
            let doomed = runtime();
            let (run, store) = doomed.block_on(async {
                let mut hub = Hub::open(dir.path(), first.clone(), tools(), |_| {}).await;
                hub.start().await;
                let run = begin(&hub, compaction.clone()).await;
                gate.held(1).await;
                (run, hub.engine.store().clone())
            });
            drop(doomed);
            let second = models();
            let record = runtime().block_on(async {
                store.close().await.expect("closed");
                finish(dir.path(), run, &second).await
            });
            assert_eq!(record.summary.state, "completed", "crash at call {crash_at}: {:?}", record.summary.error);
            let mut all = sent(&first);
            let again = sent(&second);
            // The call that was under way is made again.
            let resumed = expected.len() - again.len();
            all.truncate(resumed);
            all.extend(again);
            assert!(all == expected, "crash at call {crash_at} of {compaction}: another conversation");
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}
