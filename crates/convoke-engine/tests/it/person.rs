//! Tasks that people do: parked, shown to whom they concern, answered, declined.

use convoke_domain::id::RunId;
use convoke_domain::record::InboxKind;
use convoke_domain::user::Role;
use convoke_engine::TaskAnswer;
use convoke_testkit::hub::{Hub, profile, team};
use convoke_testkit::model::FakeModels;
use convoke_testkit::tool::FakeTools;
use serde_json::{Value, json};

use crate::play::usual;

async fn start(hub: &Hub, rules: Value) -> RunId {
    hub.engine.ensure_user("ada").await.expect("the owner");
    for (name, role) in [("bob", Role::Approver), ("eve", Role::Viewer)] {
        hub.engine.appoint(name, role, true, "user:ada").await.expect("a user");
    }
    let person = json!({"agent_kind": "human", "users": ["bob", "role:viewer"]});
    let profiles = vec![profile("lead", json!({})), profile("logs", json!({})), profile("cost", person)];
    let start = hub.prepare(team(&["logs", "cost"], rules), profiles, "Look.").await.expect("a team");
    hub.engine.start_run(start).await.expect("a run")
}

#[tokio::test]
async fn a_task_waits_in_the_inbox_of_its_users_and_goes_on_with_their_answer() {
    let models = FakeModels::new(usual);
    let hub = Hub::new(models.clone(), FakeTools::none()).await;
    let run = start(&hub, json!({})).await;
    let record = hub.until(run, &["waiting"]).await;
    let task = record.tasks.iter().find(|task| task.agent == "cost").expect("a task");
    assert_eq!((task.state.as_str(), task.waits_for.as_deref()), ("waiting", Some("person")));
    assert_eq!(task.attempts.len(), 1, "the attempt has begun");
    assert!(models.calls().iter().all(|call| call.origin.agent != "cost"), "no model is asked");
    let inbox = hub.engine.inbox("bob").await.expect("an inbox");
    assert_eq!(
        inbox.iter().map(|entry| (entry.kind, entry.id.as_str())).collect::<Vec<_>>(),
        [(InboxKind::Task, task.id.to_string().as_str())]
    );
    assert!(hub.engine.inbox("ada").await.expect("an inbox").is_empty(), "it is bob's");
    for (who, code) in [
        ("user:ada", "role_denied"),
        ("user:eve", "role_denied"),
        ("agent:cost", "not_a_person"),
        ("user:x", "unknown_user"),
    ] {
        let refused = hub.engine.answer_task(task.id, TaskAnswer::Done("mine".into()), who).await.expect_err(who);
        assert_eq!(refused.code(), code, "{who}");
    }
    let ws = hub.engine.config().workspace;
    let events = hub.engine.store().events_after(ws, 0, Some(run), 10_000).await.expect("events");
    let denied = events.iter().filter(|event| event.kind == "authority.denied");
    let denied: Vec<_> = denied.map(|event| (event.actor.as_str(), event.payload["rule"].as_str())).collect();
    let role = Some("user.role");
    let on_record = [("user:ada", role), ("user:eve", role), ("agent:cost", Some("user.person")), ("user:x", role)];
    assert_eq!(denied, on_record, "whoever may not answer is on record");
    hub.engine.answer_task(task.id, TaskAnswer::Done("the bill is fine".into()), "user:bob").await.expect("answered");
    let record = hub.ended(run).await;
    assert_eq!(record.summary.state, "completed");
    let task = record.tasks.iter().find(|task| task.agent == "cost").expect("a task");
    assert_eq!((task.output.as_deref(), task.attempts.len()), (Some("the bill is fine"), 1));
    let twice =
        hub.engine.answer_task(task.id, TaskAnswer::Done("again".into()), "user:bob").await.expect_err("closed");
    assert_eq!(twice.code(), "not_waiting");
    let agents = hub.engine.agents().await.expect("agents");
    assert!(agents.iter().all(|agent| agent.running == 0), "{agents:?}");
}

#[tokio::test]
async fn a_declined_task_has_failed() {
    let hub = Hub::new(FakeModels::new(usual), FakeTools::none()).await;
    let run = start(&hub, json!({})).await;
    let record = hub.until(run, &["waiting"]).await;
    let task = record.tasks.iter().find(|task| task.agent == "cost").expect("a task").id;
    hub.engine.answer_task(task, TaskAnswer::Declined("not my field".into()), "user:bob").await.expect("declined");
    let record = hub.ended(run).await;
    let task = record.tasks.iter().find(|task| task.agent == "cost").expect("a task");
    assert_eq!((task.state.as_str(), task.error.as_deref()), ("failed", Some("declined: bob: not my field")));
    assert_eq!(record.summary.state, "completed", "the others' work is put together");
}

#[tokio::test]
async fn an_answer_must_fit_the_form_that_was_asked_for() {
    let hub = Hub::new(FakeModels::new(usual), FakeTools::none()).await;
    let schema = json!({"type": "object", "properties": {"cause": {"type": "string"}}, "required": ["cause"]});
    let tasks = json!([{"key": "bill", "title": "The bill", "assignee": "cost", "output_schema": schema}]);
    let run = start(&hub, json!({"rules": {"planning": "fixed"}, "tasks": tasks})).await;
    let task = hub.until(run, &["waiting"]).await.tasks[0].id;
    let misfit = hub.engine.answer_task(task, TaskAnswer::Done(r#"{"cause": 3}"#.into()), "user:bob").await;
    let error = misfit.expect_err("a number");
    assert_eq!(error.code(), "schema_mismatch");
    let told = "the answer does not fit the form that the task asks for: at /cause: 3 is not of type \"string\"";
    assert_eq!(error.to_string(), told);
    hub.engine.answer_task(task, TaskAnswer::Done(r#"{"cause": "a loop"}"#.into()), "user:bob").await.expect("it fits");
    assert_eq!(hub.ended(run).await.summary.state, "completed");
}

#[tokio::test]
async fn roles_are_given_by_owners_and_one_stays() {
    let hub = Hub::new(FakeModels::new(usual), FakeTools::none()).await;
    let engine = &hub.engine;
    for name in ["ada", "zoe"] {
        engine.ensure_user(name).await.expect("the first one owns, others are added");
    }
    assert_eq!(engine.users("").await.expect("users").len(), 1);
    engine.appoint("zoe", Role::Viewer, true, "user:ada").await.expect("added");
    let roles: Vec<_> = engine.users("").await.expect("users").into_iter().map(|user| (user.name, user.role)).collect();
    assert_eq!(roles, [("ada".to_owned(), "owner".to_owned()), ("zoe".to_owned(), "viewer".to_owned())]);
    for (name, role, is_new, by, code) in [
        ("zoe", Role::Owner, false, "user:zoe", "not_allowed"),
        ("zoe", Role::Owner, false, "agent:ada", "unknown_user"),
        ("ada", Role::Viewer, false, "user:ada", "last_owner"),
        ("zoe", Role::Viewer, true, "user:ada", "user_exists"),
        ("ghost", Role::Viewer, false, "user:ada", "missing"),
    ] {
        assert_eq!(engine.appoint(name, role, is_new, by).await.expect_err(code).code(), code);
    }
    engine.appoint("zoe", Role::Owner, false, "user:ada").await.expect("a second owner");
    engine.appoint("ada", Role::Viewer, false, "user:zoe").await.expect("now it may be");
}

/// A flow in which `cost`, a person, is asked with options and then votes.
fn asked() -> Value {
    let ask = json!({"whom": "cost", "question": "Shall we pay?", "options": ["yes", "no"]});
    let vote =
        json!({"voters": "['cost']", "question": "Which bill?", "rule": {"options": ["The first", "The second"]}});
    json!({"flow": {"steps": [{"id": "pay", "ask": ask}, {"id": "bill", "vote": vote}],
        "result": "{{ results.pay.answer }}: {{ results.bill.choice }}"}})
}

#[tokio::test]
async fn an_option_is_answered_by_its_words() {
    let hub = Hub::new(FakeModels::new(usual), FakeTools::none()).await;
    let run = start(&hub, asked()).await;
    let say = async |text: &str| {
        let entry = hub.engine.inbox("bob").await.expect("an inbox").remove(0);
        let id = entry.id.parse().expect("a task");
        (entry, hub.engine.answer_task(id, TaskAnswer::Done(text.into()), "user:bob").await)
    };
    hub.until(run, &["waiting"]).await;
    let (entry, refused) = say("perhaps").await;
    assert_eq!(entry.options, ["yes", "no"]);
    let error = refused.expect_err("no option");
    let told = "the answer names none of the options, which are `yes`, `no`";
    assert_eq!((error.code(), error.to_string().as_str()), ("schema_mismatch", told));
    let (_, half) = say(r#"{"answer": "yes"}"#).await;
    assert!(
        half.expect_err("no reason").to_string().contains("\"reason\" is a required property"),
        "JSON is held to the form"
    );
    say("Yes.").await.1.expect("an option");
    hub.until(run, &["completed", "waiting"]).await;
    let (entry, answered) = say("The second: it is due").await;
    assert_eq!(entry.options, ["The first", "The second"]);
    answered.expect("a ballot in plain text");
    let record = hub.ended(run).await;
    assert_eq!(record.output.as_deref(), Some("yes: The second"));
}
