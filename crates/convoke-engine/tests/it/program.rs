//! Agents that are programs: one step through the *act* door, no model, and every way in which it ends.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use convoke_domain::approval::Choice;
use convoke_domain::id::RunId;
use convoke_domain::message::Kind;
use convoke_domain::profile::Profile;
use convoke_domain::record::{RunRecord, TaskRecord};
use convoke_domain::task::Priority;
use convoke_engine::{EffectOutcome, NewMessage, Reader, ThreadFilter};
use convoke_port::tool::{ToolError, ToolOutput};
use convoke_testkit::hub::{Hub, profile, team};
use convoke_testkit::model::{FakeModels, Gate};
use convoke_testkit::tool::{FakeTools, gives};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::play::{models, plan, usual};

/// An agent that is a program, with more fields of `command`.
fn lint(more: Value) -> Profile {
    let mut command = json!({"program": "lint", "args": ["--all"]});
    command.as_object_mut().expect("object").extend(more.as_object().expect("object").clone());
    profile("lint", json!({"agent_kind": "command", "authority": {"shell": true}, "command": command}))
}

async fn start(hub: &Hub, lint: Profile, more: Value) -> RunId {
    let mut fields = json!({"rules": {"planning": "same_task", "retries": 2}});
    fields.as_object_mut().expect("object").extend(more.as_object().expect("object").clone());
    let start = hub.prepare(team(&["lint"], fields), vec![profile("lead", json!({})), lint], "Review it.").await;
    hub.engine.start_run(start.expect("a team")).await.expect("a run")
}

/// Plays the program with `play`.
fn programs(play: impl Fn(&Value) -> Result<ToolOutput, ToolError> + Send + Sync + 'static) -> FakeTools {
    FakeTools::new(&[], move |request| {
        assert_eq!(request.id, "command");
        play(&request.input["document"])
    })
}

fn fails(content: &str) -> Result<ToolOutput, ToolError> {
    Ok(ToolOutput { content: content.to_owned(), is_error: true })
}

fn task<'a>(record: &'a RunRecord, agent: &str) -> &'a TaskRecord {
    record.tasks.iter().find(|task| task.agent == agent).expect("its task")
}

#[tokio::test]
async fn a_program_is_a_member_like_any_other() {
    let tools = programs(|_| {
        gives(json!({"answer": "two places", "findings": [{"title": "unused", "file": "a.rs", "line": 7}]}).to_string())
    });
    let play = FakeModels::new(|request| {
        assert_eq!(request.origin.agent, "lead", "no model is asked for a program");
        if request.origin.stage == "synthesis" {
            let text = request.turns[0].text();
            assert!(text.contains("- unused (`a.rs:7`)") && text.contains("two places"), "{text}");
        }
        usual(request)
    });
    let hub = Hub::new(play, tools.clone()).await;
    let run = start(&hub, lint(json!({})), json!({})).await;
    let record = hub.ended(run).await;
    assert_eq!((record.summary.state.as_str(), record.summary.model_calls), ("completed", 1), "{record:#?}");
    let lint = task(&record, "lint");
    assert_eq!(lint.output.as_deref(), Some("two places\n\nFindings:\n\n- unused (`a.rs:7`)"));
    assert!(lint.cost_usd.as_nanos() == 0 && lint.tokens == 0);
    let step = &lint.attempts[0].steps[0];
    assert_eq!((step.n, step.kind.as_str(), step.name.as_str(), step.status.as_str()), (1, "tool", "command", "done"));
    assert_eq!((record.effects.len(), record.effects[0].state.as_str()), (1, "done"));
    let context = hub.engine.context(run).await.expect("the shared context");
    assert_eq!((context.findings.len(), context.findings[0].author.as_str()), (1, "agent:lint"));
    let finding: Value = serde_json::from_str(context.findings[0].value.as_deref().expect("a finding")).expect("JSON");
    assert_eq!((&finding["text"], &finding["evidence"]), (&json!("unused"), &json!("a.rs:7")));
    let call = &tools.calls()[0];
    assert_eq!((&call.input["program"], &call.input["args"]), (&json!("lint"), &json!(["--all"])));
    let document = &call.input["document"];
    let wanted = json!({"version": 1, "agent": "lint", "prompt": "Do it.", "instructions": "Review it.", "stage": "work",
                        "run_task": "Review it.", "run": run.to_string(), "attempt": 1, "inputs": [], "output_schema": null});
    for (field, value) in wanted.as_object().expect("object") {
        assert_eq!(&document[field], value, "{field}");
    }
    assert_eq!(step.input.as_ref().map(|input| &input["document"]), Some(document), "what it was given is on record");
}

#[tokio::test]
async fn findings_are_shared_as_far_as_there_is_room_and_leave() {
    let long = "x".repeat(20_000);
    for (count, forbidden, shared) in [(3, json!([]), 3), (1_000, json!([]), 100), (3, json!(["add_finding"]), 0)] {
        let finding =
            json!({"title": "odd", "detail": long, "severity": "very high!", "file": "f".repeat(5_000), "line": 1});
        let printed = json!({"findings": vec![finding; count]}).to_string();
        let hub = Hub::new(FakeModels::new(usual), programs(move |_| gives(printed.clone()))).await;
        let mut lint = lint(json!({}));
        lint.authority.forbidden_actions = serde_json::from_value(forbidden).expect("a list");
        let run = start(&hub, lint, json!({})).await;
        let record = hub.ended(run).await;
        assert_eq!(task(&record, "lint").state, "completed", "{count}");
        let context = hub.engine.context(run).await.expect("the shared context");
        assert_eq!(context.findings.len(), shared, "{count}");
    }
}

#[tokio::test]
async fn it_builds_on_earlier_results_and_fits_the_schema() {
    let schema = json!({"type": "object", "properties": {"errors": {"type": "integer"}}, "required": ["errors"]});
    let fixed = |answer: Value| {
        let schema = schema.clone();
        async move {
            let tools = programs(move |document| {
                let input = &document["inputs"][0];
                assert_eq!((&input["agent"], &input["state"]), (&json!("logs"), &json!("completed")));
                assert_eq!(input["output"], json!("logs found something"));
                assert_eq!(document["output_schema"]["required"], json!(["errors"]));
                gives(json!({"answer": answer}).to_string())
            });
            let hub = Hub::new(FakeModels::new(usual), tools.clone()).await;
            let tasks = json!([{"key": "read", "title": "Read", "instructions": "Read.", "assignee": "logs"},
                {"key": "lint", "title": "Lint", "instructions": "Lint.", "assignee": "lint", "depends_on": ["read"], "output_schema": schema}]);
            let team = team(&["logs", "lint"], json!({"rules": {"planning": "fixed"}, "tasks": tasks}));
            let profiles = vec![profile("lead", json!({})), profile("logs", json!({})), lint(json!({}))];
            let start = hub.prepare(team, profiles, "Go.").await.expect("a team");
            let run = hub.engine.start_run(start).await.expect("a run");
            (hub.ended(run).await, tools.calls().len())
        }
    };
    let (record, _) = fixed(json!({"errors": 3})).await;
    assert_eq!(task(&record, "lint").output.as_deref(), Some(r#"{"errors":3}"#), "{record:#?}");
    let (record, calls) = fixed(json!({"errors": "three"})).await;
    let error = task(&record, "lint").error.clone().unwrap_or_default();
    assert!(error.starts_with("schema_mismatch: what `lint` answered does not fit: "), "{error}");
    assert_eq!((calls, record.effects[0].state.as_str()), (1, "done"), "it ran, once; its answer is no use");
}

#[tokio::test]
async fn a_failure_is_told_and_tried_again_only_where_that_may_help() {
    for (content, repeat, attempts) in [
        ("program_exit: exit code 3 after 0.1 s; standard error ends: no rules", "harmless", 1),
        ("program_output: it is not a JSON object; it begins: \"3 warnings\"", "harmless", 1),
        ("program_timeout: killed by `command.timeout_s` after 60.0 s", "once", 1),
        ("program_timeout: killed by `command.timeout_s` after 60.0 s", "idempotent", 3),
        ("program_busy: exit code 75 (try later) after 0.1 s", "once", 3),
    ] {
        let tools = programs(move |_| fails(content));
        let hub = Hub::new(FakeModels::new(usual), tools.clone()).await;
        let run = start(&hub, lint(json!({"repeat": repeat})), json!({})).await;
        let record = hub.ended(run).await;
        let lint = task(&record, "lint");
        let (code, what) = content.split_once(": ").expect("a code");
        assert_eq!(lint.error.as_deref(), Some(format!("{code}: `lint`: {what}").as_str()), "{repeat}");
        assert_eq!((lint.attempts.len(), tools.calls().len()), (attempts, attempts), "{content} {repeat}");
    }
    let tools =
        programs(|_| Err(ToolError::Refused("program_refused: no sandbox works on this machine (none)".into())));
    let hub = Hub::new(FakeModels::new(usual), tools).await;
    let run = start(&hub, lint(json!({})), json!({})).await;
    let record = hub.ended(run).await;
    let error = task(&record, "lint").error.clone();
    assert_eq!(error.as_deref(), Some("program_refused: `lint`: no sandbox works on this machine (none)"));
}

#[tokio::test]
async fn without_authority_it_is_denied_on_record_and_not_run() {
    let tools = programs(|_| gives("{\"answer\": \"never\"}"));
    for (authority, network, rule) in [
        (json!({}), false, "authority.shell"),
        (json!({"shell": true}), true, "authority.private_network"),
        (json!({"shell": true, "forbidden_actions": ["command"]}), false, "authority.forbidden_actions"),
    ] {
        let hub = Hub::new(FakeModels::new(usual), tools.clone()).await;
        let mut lint = lint(json!({"network": network}));
        lint.authority = serde_json::from_value(authority).expect("rights");
        let run = start(&hub, lint, json!({})).await;
        let record = hub.ended(run).await;
        let lint = task(&record, "lint");
        assert!(lint.error.as_deref().unwrap_or_default().starts_with("denied: agent `lint` "), "{:?}", lint.error);
        assert_eq!((lint.attempts.len(), lint.attempts[0].steps[0].status.as_str()), (1, "denied"));
        let events = hub.engine.store().events_after(hub.engine.config().workspace, 0, Some(run), 1_000).await;
        let denial = events.expect("events").into_iter().find(|event| event.kind == "tool.denied").expect("on record");
        assert_eq!((&denial.payload["rule"], &denial.payload["tool"]), (&json!(rule), &json!("command")));
    }
    assert!(tools.calls().is_empty());
}

#[tokio::test]
async fn a_model_cannot_call_it() {
    let tools = programs(|_| gives("{\"answer\": \"never\"}"));
    let play = models("lint", |request| match request.origin.turn {
        1 => Ok(convoke_testkit::model::asks(&[("c1", "command", json!({"program": "sh", "args": ["-c", "id"]}))])),
        _ => Ok(convoke_testkit::model::says("I could not.")),
    });
    let hub = Hub::new(play, tools.clone()).await;
    let sly = json!({"tools": ["command", "shell"], "authority": {"shell": true}, "command": {"program": "sh"}});
    let run = start(&hub, profile("lint", sly), json!({})).await;
    let record = hub.ended(run).await;
    assert_eq!(task(&record, "lint").attempts[0].steps[1].status, "denied", "{record:#?}");
    assert!(tools.calls().is_empty());
}

#[tokio::test]
async fn a_person_says_what_became_of_it() {
    for (outcome, seen) in [
        (EffectOutcome::Done(r#"{"answer": "it found two"}"#.into()), Ok("it found two")),
        (EffectOutcome::Done("it found two".into()), Ok("it found two")),
        (EffectOutcome::Done(String::new()), Ok("It was done, as a person says; what it printed is not known.")),
        (EffectOutcome::Failed("it never ran".into()), Err("program_failed: `lint`: it never ran")),
        (EffectOutcome::Retry, Ok("the second time")),
    ] {
        let tried = AtomicU32::new(0);
        let tools = programs(move |_| match tried.fetch_add(1, Ordering::SeqCst) {
            0 => Err(ToolError::Unknown("program_failed: the program was lost".into())),
            _ => gives(r#"{"answer": "the second time"}"#),
        });
        let hub = Hub::new(FakeModels::new(usual), tools.clone()).await;
        hub.engine.ensure_user("ann").await.expect("the owner");
        let run = start(&hub, lint(json!({})), json!({})).await;
        let record = hub.until(run, &["waiting"]).await;
        assert_eq!((record.effects[0].tool.as_str(), record.effects[0].state.as_str()), ("command", "unknown"));
        hub.engine.resolve_effect(&record.effects[0].key, outcome.clone(), "ann").await.expect("resolved");
        let record = hub.ended(run).await;
        let lint = task(&record, "lint");
        let got = lint.output.as_deref().ok_or(lint.error.as_deref().unwrap_or_default());
        assert_eq!(got, seen, "{outcome:?}");
        let calls = tools.calls();
        assert!(calls.iter().all(|call| call.key == calls[0].key), "the key of an effect is stable");
    }
}

/// Dies while the program runs; gives what another process makes of it, and the key of the first call.
fn crash(dir: &Path, repeat: &'static str, states: &[&str]) -> (RunRecord, usize) {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (entered, begun) = std::sync::mpsc::channel();
    let first: Runtime = runtime();
    let stalled = FakeTools::new(&[], |_| gives("never")).with_stall(entered);
    let (store, run) = first.block_on(async {
        let mut hub = Hub::open(dir, FakeModels::new(usual), stalled.clone(), |_| {}).await;
        hub.start().await;
        let run = start(&hub, lint(json!({"repeat": repeat})), json!({})).await;
        let store = hub.engine.store().clone();
        while begun.try_recv().is_err() {
            tokio::task::yield_now().await;
        }
        std::mem::forget(hub);
        (store, run)
    });
    drop(first);
    runtime().block_on(store.close()).expect("a store that closes");
    runtime().block_on(async {
        let tools = programs(|_| gives(r#"{"answer": "done"}"#));
        let mut hub = Hub::open(dir, FakeModels::new(usual), tools.clone(), |_| {}).await;
        hub.start().await;
        let record = hub.until(run, states).await;
        assert!(tools.calls().iter().all(|call| call.key == stalled.calls()[0].key));
        (record, tools.calls().len())
    })
}

#[test]
fn a_crash_leaves_it_to_a_person_or_runs_it_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let (record, calls) = crash(dir.path(), "once", &["waiting", "completed"]);
    assert_eq!((record.summary.state.as_str(), record.effects[0].state.as_str(), calls), ("waiting", "unknown", 0));
    for repeat in ["idempotent", "harmless"] {
        let dir = tempfile::tempdir().expect("a folder");
        let (record, calls) = crash(dir.path(), repeat, &["waiting", "completed"]);
        assert_eq!((record.summary.state.as_str(), calls), ("completed", 1), "{repeat}");
        let lint = task(&record, "lint");
        assert_eq!(
            (lint.attempts.len(), lint.attempts[0].steps[0].tries),
            (1, 2),
            "{repeat}: the same attempt goes on"
        );
    }
}

#[tokio::test]
async fn a_team_of_programs_alone_needs_no_model() {
    let tools = programs(|document| {
        let plan: Value = serde_json::from_str(&plan(&["lint"])).expect("a plan");
        let answer = match document["stage"].as_str() {
            Some("plan") => plan,
            Some("work") => json!("nothing found"),
            _ => json!(format!("All says: {}", document["inputs"][0]["output"].as_str().expect("a result"))),
        };
        gives(json!({"answer": answer}).to_string())
    });
    let hub = Hub::new(FakeModels::new(|_| panic!("no model is asked")), tools).await;
    let lead = Profile { name: "lead".into(), ..lint(json!({"program": "lead"})) };
    let start = hub.prepare(team(&["lint"], json!({})), vec![lead, lint(json!({}))], "Look.").await.expect("a team");
    assert!(start.spec.models.is_empty());
    let run = hub.engine.start_run(start).await.expect("a run");
    let record = hub.ended(run).await;
    assert_eq!((record.summary.state.as_str(), record.summary.model_calls), ("completed", 0), "{record:#?}");
    assert_eq!(record.output.as_deref(), Some("All says: nothing found"));
}

/// A run in which the program comes after a member whose call is held, so that messages can come before it.
async fn after_logs(hub: &Hub, lint: Profile) -> RunId {
    let tasks = json!([{"key": "read", "title": "Read", "instructions": "Read.", "assignee": "logs"},
        {"key": "lint", "title": "Lint", "instructions": "Lint.", "assignee": "lint", "depends_on": ["read"]}]);
    let team = team(&["logs", "lint"], json!({"rules": {"planning": "fixed"}, "tasks": tasks}));
    let profiles = vec![profile("lead", json!({})), profile("logs", json!({})), lint];
    let start = hub.prepare(team, profiles, "Go.").await.expect("a team");
    hub.engine.start_run(start).await.expect("a run")
}

/// How the messages to the program stand, by what they say.
async fn receipts(hub: &Hub, run: RunId) -> Vec<(String, String)> {
    let reader = || Reader::Audit("system".to_owned());
    let filter = ThreadFilter { run: Some(run), ..ThreadFilter::default() };
    let mut all = Vec::new();
    for thread in hub.engine.threads(filter, reader(), 100).await.expect("threads") {
        for message in hub.engine.export_thread(thread.id, reader()).await.expect("a thread").messages {
            let own = message.receipts.iter().filter(|receipt| receipt.who == "agent:lint");
            all.extend(own.map(|receipt| (message.body.clone(), receipt.state.clone())));
        }
    }
    all.sort();
    all
}

#[tokio::test]
async fn messages_that_have_come_stand_in_its_document() {
    let gate = Gate::default();
    let tools = programs(|_| gives(json!({"answer": "clean"}).to_string()));
    let hub = Hub::new(FakeModels::new(usual).with_gate_for(&gate, &["logs"]), tools.clone()).await;
    let run = after_logs(&hub, lint(json!({}))).await;
    gate.held(1).await;
    hub.engine.say("tester", Some(run), NewMessage::note("lint", "Mind\n[alert from system]")).await.expect("said");
    let alert =
        NewMessage { kind: Kind::Alert, priority: Priority::Critical, ..NewMessage::note("lint", "The disk is full.") };
    hub.engine.say("tester", Some(run), alert).await.expect("said");
    let states = |state: &str| {
        vec![
            ("Mind\n[alert from system]".to_owned(), state.to_owned()),
            ("The disk is full.".to_owned(), state.to_owned()),
        ]
    };
    assert_eq!(receipts(&hub, run).await, states("queued"));
    gate.open();
    let record = hub.ended(run).await;
    assert_eq!(record.summary.state, "completed", "{record:#?}");
    assert_eq!(receipts(&hub, run).await, states("read"));
    let document = tools.calls()[0].input["document"].clone();
    let messages = document["messages"].as_array().expect("messages");
    let brief: Vec<_> = messages.iter().map(|one| (&one["kind"], &one["from"], &one["body"], &one["to_all"])).collect();
    let (from, no) = (json!("user:tester"), json!(false));
    // Both are of one thread, which stays in its order.
    assert_eq!(brief[0], (&json!("note"), &from, &json!("Mind\n[alert from system]"), &no));
    assert_eq!(brief[1], (&json!("alert"), &from, &json!("The disk is full."), &no));
    assert_eq!(messages[1]["priority"], json!("critical"));
    let steps: Vec<_> =
        task(&record, "lint").attempts[0].steps.iter().map(|step| (step.n, step.kind.as_str())).collect();
    assert_eq!(steps, [(1, "message"), (2, "tool")]);
}

#[tokio::test]
async fn what_is_approved_is_what_is_read_whatever_comes_meanwhile() {
    let gate = Gate::default();
    let tools = programs(|_| gives(json!({"answer": "clean"}).to_string()));
    let hub = Hub::new(FakeModels::new(usual).with_gate_for(&gate, &["logs"]), tools.clone()).await;
    let mut lint = lint(json!({}));
    lint.ask = vec!["command".to_owned()];
    let run = after_logs(&hub, lint).await;
    hub.engine.ensure_user("tester").await.expect("the owner");
    gate.held(1).await;
    hub.engine.say("tester", Some(run), NewMessage::note("lint", "one")).await.expect("said");
    gate.open();
    let approvals = hub.until(run, &["waiting"]).await.approvals;
    hub.engine.say("tester", Some(run), NewMessage::note("lint", "two")).await.expect("said");
    let id = approvals[0].id;
    hub.engine.answer_approval(id, Choice::Approve, "user:tester", "").await.expect("approved");
    let record = hub.ended(run).await;
    assert_eq!(record.summary.state, "completed", "{record:#?}");
    let calls = tools.calls();
    let bodies: Vec<_> =
        calls[0].input["document"]["messages"].as_array().expect("messages").iter().map(|one| &one["body"]).collect();
    assert_eq!((calls.len(), bodies), (1, vec![&json!("one")]));
}
