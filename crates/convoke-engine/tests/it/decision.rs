//! Decisions that stand, and who replaces them: agents with the authority, and people who govern.

use std::sync::{Arc, OnceLock};

use convoke_domain::id::{MessageId, RunId, WorkspaceId};
use convoke_domain::record::{DecisionRecord, RunRecord};
use convoke_domain::user::Role;
use convoke_engine::{NewMessage, Reader};
use convoke_port::model::{ModelReply, ModelRequest};
use convoke_testkit::hub::{Hub, profile, team};
use convoke_testkit::model::{FakeModels, Gate, asks, says};
use convoke_testkit::tool::FakeTools;
use serde_json::{Value, json};

/// `logs` asks `cost` and has its answer; what `cost` does then, `play` says, with the question's id.
async fn begin(
    gate: &Gate,
    may: bool,
    play: impl Fn(&ModelRequest, &str) -> ModelReply + Send + Sync + 'static,
) -> (Hub, RunId) {
    let models = FakeModels::new(move |request| {
        Ok(match (request.origin.agent.as_str(), request.origin.stage.as_str(), request.origin.turn) {
            ("logs", "work", 1) => {
                asks(&[("c1", "ask", json!({"to": "cost", "question": "Which?", "options": ["a", "b", "c"]}))])
            }
            ("logs", "work", _) => says(heard(request)),
            ("cost", "work", _) => match heard(request).split_once("[question msg_") {
                Some((_, rest)) => play(request, &format!("msg_{}", &rest[..26])),
                None => asks(&[("w", "wait_for", json!({"kind": "question"}))]),
            },
            _ => says("fine"),
        })
    });
    let hub = Hub::new(models.with_gate_for(gate, &["lead"]), FakeTools::none()).await;
    hub.engine.ensure_user("tester").await.expect("the owner");
    let can = json!({"tools": ["@talk"], "authority": {"can_override_decisions": may}});
    let profiles = vec![profile("lead", json!({})), profile("logs", json!({"tools": ["@talk"]})), profile("cost", can)];
    let rules = json!({"rules": {"planning": "same_task", "retries": 0}});
    let start = hub.prepare(team(&["logs", "cost"], rules), profiles, "Look.").await.expect("a team");
    let run = hub.engine.start_run(start).await.expect("a run");
    (hub, run)
}

fn heard(request: &ModelRequest) -> String {
    let blocks = request.turns.iter().flat_map(|turn| &turn.blocks);
    blocks.map(|block| serde_json::to_string(block).expect("JSON")).collect::<Vec<_>>().join("\n")
}

/// How far `cost` is: it has answered, and then tried to replace that.
fn turns_of(request: &ModelRequest) -> usize {
    let text = heard(request);
    usize::from(text.contains("ends the question")) + usize::from(text.contains("override_decision"))
}

fn answer(id: &str) -> ModelReply {
    asks(&[("a", "answer", json!({"question": id, "choice": "a"}))])
}

fn instead(id: &str, choice: &str, reason: &str) -> Value {
    json!({"decision": id, "choice": choice, "reason": reason})
}

/// What became of the calls to the tool, in order: its status, and the text.
fn overrides(record: &RunRecord) -> Vec<(String, String)> {
    let task = record.tasks.iter().find(|task| task.agent == "cost" && task.stage == "work").expect("its task");
    let steps = task.attempts[0].steps.iter().filter(|step| step.name == "override_decision");
    steps.map(|step| (step.status.clone(), step.output.clone().unwrap_or_default())).collect()
}

fn history(decision: &DecisionRecord) -> Vec<(&str, &str, &str)> {
    let past = decision.replaced.iter();
    let word =
        |text: &'_ Option<String>| -> &'static str { Box::leak(text.clone().unwrap_or_default().into_boxed_str()) };
    past.map(|one| (one.standing.as_str(), word(&one.choice), word(&one.approver))).collect()
}

#[tokio::test]
async fn an_agent_with_the_authority_replaces_a_decision_and_who_asked_is_told() {
    let gate = Gate::default();
    let (hub, run) = begin(&gate, true, |request, id| match turns_of(request) {
        0 => answer(id),
        1 => asks(&[
            ("o1", "override_decision", instead(id, "d", "No.")),
            ("o2", "override_decision", instead(id, "a", "No.")),
            ("o3", "override_decision", instead(id, "b", " ")),
            ("o4", "override_decision", instead("msg_00000000000000000000000001", "b", "No.")),
            ("o5", "override_decision", instead(id, "b", "The disk says so.")),
        ]),
        _ => says("done"),
    })
    .await;
    gate.held(1).await;
    let seen = hub.engine.decisions(Some(run), None, Reader::User("tester".into()), 10).await.expect("the log");
    assert_eq!((seen[0].standing.as_str(), seen[0].choice.as_deref()), ("overridden", Some("b")));
    gate.open();
    let record = hub.ended(run).await;
    insta::assert_snapshot!(told(&record, &overrides(&record)));
    let decision = &record.decisions[0];
    assert_eq!(
        (decision.approver.as_deref(), decision.rationale.as_deref()),
        (Some("agent:cost"), Some("The disk says so."))
    );
    assert_eq!(history(decision), [("answered", "a", "agent:cost")]);
    let all = hub.engine.store().events_after(WorkspaceId::DEFAULT, 0, Some(run), 10_000).await.expect("events");
    let event = all.iter().find(|event| event.kind == "question.overridden").expect("it is on record");
    assert_eq!(event.payload, json!({"by": "agent:cost", "was": "a", "choice": "b"}));
    let message = hub.engine.message(answer_of(&hub, run).await, Reader::User("tester".into())).await.expect("a look");
    let message = message.expect("the message that tells of it");
    assert_eq!((message.to, message.kind.as_str()), (vec!["agent:logs".to_owned()], "decision"));
    assert!(message.body.contains("This replaces what was decided: a"), "{}", message.body);
}

/// The refusals, with the ids left out.
fn told(record: &RunRecord, calls: &[(String, String)]) -> String {
    let id = record.decisions[0].id.to_string();
    calls.iter().map(|(status, text)| format!("{status}: {}", text.replace(&id, "[id]"))).collect::<Vec<_>>().join("\n")
}

/// The last message of the run's thread.
async fn answer_of(hub: &Hub, run: RunId) -> MessageId {
    let found = hub.engine.search_messages("replaces", Some(run), Reader::User("tester".into()), 10).await;
    found.expect("a search").first().expect("one").id
}

#[tokio::test]
async fn an_agent_without_the_authority_is_not_offered_it_and_is_denied() {
    let gate = Gate::default();
    let (hub, run) = begin(&gate, false, |request, id| match turns_of(request) {
        0 => answer(id),
        1 => {
            assert!(request.tools.iter().all(|tool| tool.name != "override_decision"));
            asks(&[("o", "override_decision", instead(id, "b", "I would rather."))])
        }
        _ => says("done"),
    })
    .await;
    gate.open();
    let record = hub.ended(run).await;
    assert_eq!((record.decisions[0].standing.as_str(), record.decisions[0].choice.as_deref()), ("answered", Some("a")));
    let all = hub.engine.store().events_after(WorkspaceId::DEFAULT, 0, Some(run), 10_000).await.expect("events");
    let denied = all.iter().find(|event| event.kind == "tool.denied").expect("it is on record");
    assert_eq!(denied.payload["rule"], "authority.can_override_decisions");
}

#[tokio::test]
async fn people_who_govern_replace_decisions_of_runs_that_go_on() {
    let (gate, asked) = (Gate::default(), Arc::new(OnceLock::new()));
    let note = Arc::clone(&asked);
    let (hub, run) = begin(&gate, false, move |request, id| match turns_of(request) {
        0 => {
            let _ = note.set(id.parse::<MessageId>().expect("an id"));
            answer(id)
        }
        _ => says("done"),
    })
    .await;
    for role in [Role::Operator, Role::Viewer] {
        hub.engine.appoint(role.as_str(), role, true, "user:tester").await.expect("appointed");
    }
    gate.held(1).await;
    let id = *asked.get().expect("asked by now");
    let code = |outcome: Result<_, convoke_engine::Error>| outcome.map(drop).expect_err("refused").code().to_owned();
    assert_eq!(code(hub.engine.override_decision("viewer", id, "b", "I say so.").await), "not_allowed");
    assert_eq!(code(hub.engine.override_decision("operator", id, "x", "I say so.").await), "not_an_option");
    let open =
        NewMessage { kind: convoke_domain::message::Kind::Question, ..NewMessage::note("user:tester", "Still open?") };
    let open = hub.engine.say("operator", Some(run), open).await.expect("asked");
    assert_eq!(code(hub.engine.override_decision("operator", open.message, "b", "I say so.").await), "no_decision");
    for n in 0..convoke_domain::message::OVERRIDES {
        let choice = if n % 2 == 0 { "b" } else { "c" };
        let replaced = hub.engine.override_decision("operator", id, choice, "I say so.").await.expect("replaced");
        assert_eq!((replaced.run, replaced.told[0].as_str()), (Some(run), "agent:logs"));
    }
    assert_eq!(code(hub.engine.override_decision("operator", id, "a", "Enough.").await), "overridden_too_often");
    let log = hub.engine.decisions(Some(run), None, Reader::User("viewer".into()), 10).await.expect("the log");
    let decision = log.iter().find(|one| one.id == id).expect("it");
    assert_eq!(history(decision)[..2], [("answered", "a", "agent:cost"), ("overridden", "b", "user:operator")]);
    gate.open();
    hub.ended(run).await;
    assert_eq!(code(hub.engine.override_decision("operator", id, "a", "Too late.").await), "run_over");
}
