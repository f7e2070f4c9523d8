//! Questions to people: in their inbox, the run at rest, and crashes between question and answer.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use convoke_domain::id::RunId;
use convoke_domain::message::{Ask, Kind};
use convoke_domain::record::{InboxKind, RunRecord};
use convoke_engine::{NewMessage, TaskAnswer};
use convoke_testkit::hub::{Hub, profile, team};
use convoke_testkit::model::{FakeModels, Gate, asks, says};
use convoke_testkit::tool::FakeTools;
use serde_json::json;

use crate::crash::{crash, runtime};
use crate::play::usual;

fn models() -> FakeModels {
    FakeModels::new(|request| match (request.origin.agent.as_str(), request.origin.turn) {
        ("logs", 1) => {
            Ok(asks(&[("c1", "ask", json!({"to": "user:ada", "question": "Go on?", "options": ["yes", "no"]}))]))
        }
        ("logs", _) => Ok(says(format!("got {:?}", request.turns.last().expect("a turn").blocks))),
        _ => usual(request),
    })
}

async fn open(dir: &Path, models: &FakeModels) -> Hub {
    let mut hub = Hub::open(dir, models.clone(), FakeTools::none(), |_| {}).await;
    hub.start().await;
    hub
}

async fn begin(hub: &Hub) -> RunId {
    hub.engine.ensure_user("ada").await.expect("the owner");
    let profiles = vec![profile("lead", json!({})), profile("logs", json!({"tools": ["ask"]}))];
    let team = team(&["logs"], json!({"rules": {"planning": "same_task"}}));
    let start = hub.prepare(team, profiles, "Look.").await.expect("a team");
    hub.engine.start_run(start).await.expect("a run")
}

/// The question of the run as it waits for ada, and for nobody else.
async fn check_waits(hub: &Hub, record: &RunRecord) {
    let task = record.tasks.iter().find(|task| task.agent == "logs").expect("a task");
    assert_eq!((task.state.as_str(), task.waits_for.as_deref()), ("waiting", Some("person")));
    let inbox = hub.engine.inbox("ada").await.expect("an inbox");
    let [entry] = inbox.as_slice() else { panic!("{inbox:?}") };
    assert_eq!((entry.kind, entry.id.clone()), (InboxKind::Question, record.decisions[0].id.to_string()));
    assert_eq!(entry.options, ["yes", "no"]);
    let done = TaskAnswer::Done("mine".into());
    let refused = hub.engine.answer_task(task.id, done, "user:ada").await.expect_err("it is the model's");
    assert_eq!(refused.code(), "not_waiting");
}

#[test]
fn between_question_and_answer_nothing_is_lost_and_nothing_is_twice() {
    let dir = tempfile::tempdir().expect("a folder");
    let models = models();
    let asked = runtime();
    let (run, store) = asked.block_on(async {
        let hub = open(dir.path(), &models).await;
        let run = begin(&hub).await;
        check_waits(&hub, &hub.until(run, &["waiting"]).await).await;
        (run, hub.engine.store().clone())
    });
    crash(asked, store);
    // Nobody works on the folder while it is answered; then that process dies as well.
    let answering = runtime();
    let store = answering.block_on(async {
        let hub = Hub::open(dir.path(), models.clone(), FakeTools::none(), |_| {}).await;
        let record = hub.engine.run_record(run).await.expect("a record");
        check_waits(&hub, &record).await;
        let said = hub.engine.answer_question("ada", record.decisions[0].id, "yes", Some("why not")).await;
        assert_eq!(said.expect("answered").run, Some(run));
        hub.engine.store().clone()
    });
    crash(answering, store);
    runtime().block_on(async {
        let hub = open(dir.path(), &models).await;
        let record = hub.ended(run).await;
        assert_eq!(record.summary.state, "completed");
        let task = record.tasks.iter().find(|task| task.agent == "logs").expect("a task");
        let output = task.output.as_deref().unwrap_or_default();
        assert_eq!((output.matches("| yes").count(), task.attempts.len()), (1, 1), "{output}");
        assert_eq!(record.decisions.len(), 1, "asked once");
        assert_eq!((record.decisions[0].standing.as_str(), record.summary.model_calls), ("answered", 3));
        assert!(hub.engine.inbox("ada").await.expect("an inbox").is_empty());
        let twice = hub.engine.answer_question("ada", record.decisions[0].id, "no", None).await.expect_err("closed");
        assert_eq!(twice.code(), "question_closed");
    });
    let of_logs = models.calls().into_iter().filter(|call| call.origin.agent == "logs").count();
    assert_eq!(of_logs, 2, "no call is made twice");
}

/// While `logs` works, `lead` is asked, who answers in a task of its own: by a tool, or never. That task is the last one open.
async fn ask_beside_the_work(answers: &'static str) -> RunRecord {
    let (gate, question) = (Gate::default(), Arc::new(OnceLock::new()));
    let asked = Arc::clone(&question);
    let models = FakeModels::new(move |request| match (request.origin.stage.as_str(), request.origin.turn) {
        ("reply", 1) if answers == "never" => Ok(asks(&[("c1", "wait_for", json!({"timeout_s": 600}))])),
        ("reply", 1) => Ok(asks(&[("c1", "answer", json!({"question": asked.get(), "choice": "yes"}))])),
        _ => usual(request),
    });
    let hub = Hub::new(models.with_gate(&gate), FakeTools::none()).await;
    hub.engine.ensure_user("tester").await.expect("the owner");
    let profiles = vec![profile("lead", json!({"tools": ["wait_for", "answer"]})), profile("logs", json!({}))];
    let team = team(&["logs"], json!({"rules": {"planning": "same_task"}}));
    let start = hub.prepare(team, profiles, "Look.").await.expect("a team");
    let run = hub.engine.start_run(start).await.expect("a run");
    gate.held(1).await;
    let ask = Ask { within_s: Some(1), ..Ask::default() };
    let new = NewMessage { kind: Kind::Question, ask: Some(ask), ..NewMessage::note("lead", "Go on?") };
    let said = hub.engine.say("tester", Some(run), new).await.expect("asked");
    question.set(said.message).expect("asked once");
    gate.open();
    hub.ended(run).await
}

#[tokio::test]
async fn a_side_task_that_is_called_off_as_the_last_one_does_not_hold_the_run_up() {
    for (answers, standing) in [("never", "expired"), ("by the tool", "answered")] {
        let record = ask_beside_the_work(answers).await;
        assert_eq!(record.summary.state, "completed", "{answers}");
        assert_eq!(record.decisions[0].standing, standing, "{answers}");
        let states: Vec<_> = record.tasks.iter().map(|task| (task.stage.as_str(), task.state.as_str())).collect();
        assert_eq!(states, [("work", "completed"), ("reply", "cancelled"), ("synthesis", "completed")], "{answers}");
    }
}

#[tokio::test]
async fn two_who_ask_each_other_are_both_answered() {
    let gate = Gate::default();
    let models = FakeModels::new(|request| {
        let other = if request.origin.agent == "logs" { "cost" } else { "logs" };
        match (request.origin.stage.as_str(), request.origin.turn) {
            ("work", 1) => {
                let args = json!({"to": other, "question": "What do you know?", "within_s": 25});
                Ok(asks(&[("c1", "ask", args)]))
            }
            ("work", _) => Ok(says(format!("got {:?}", request.turns.last().expect("a turn").blocks))),
            ("reply", _) => Ok(says(format!("{} knows", request.origin.agent))),
            _ => usual(request),
        }
    });
    let hub = Hub::new(models.with_gate(&gate), FakeTools::none()).await;
    hub.engine.ensure_user("tester").await.expect("the owner");
    let profiles = ["lead", "logs", "cost"].map(|name| profile(name, json!({"tools": ["@talk"]}))).to_vec();
    let team = team(&["logs", "cost"], json!({"rules": {"planning": "same_task"}}));
    let start = hub.prepare(team, profiles, "Look.").await.expect("a team");
    let run = hub.engine.start_run(start).await.expect("a run");
    // Both are at work when they are asked, so neither is given a task for the answer at first.
    gate.held(2).await;
    gate.open();
    let record = hub.ended(run).await;
    assert_eq!(record.summary.state, "completed", "{:?}", record.summary.error);
    let standing: Vec<_> = record.decisions.iter().map(|one| one.standing.as_str()).collect();
    assert_eq!(standing, ["answered", "answered"]);
    for (agent, other) in [("logs", "cost"), ("cost", "logs")] {
        let task = record.tasks.iter().find(|task| task.agent == agent && task.stage == "work").expect("a task");
        let output = task.output.as_deref().unwrap_or_default();
        assert!(output.contains(&format!("{other} knows")), "{agent}: {output}");
    }
}
