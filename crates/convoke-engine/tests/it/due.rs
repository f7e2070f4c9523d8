//! What falls due: threads that are needed stay where they are, and what cannot be ended holds up nothing else.

use std::path::Path;

use convoke_domain::id::{MessageId, RunId, TaskId, ThreadId, WorkspaceId};
use convoke_domain::message::{Ask, Kind};
use convoke_domain::time::Timestamp;
use convoke_domain::user::Role;
use convoke_engine::{NewMessage, Reader};
use convoke_store::step::StepRef;
use convoke_store::{Options, Result as Stored, Store, Tx, UseCase, decision, message, thread, wait};
use convoke_testkit::hub::{Hub, profile, team};
use convoke_testkit::model::{FakeModels, asks, says};
use convoke_testkit::tool::FakeTools;
use serde_json::json;
use uuid::Uuid;

use crate::play::usual;

const LATE: Timestamp = Timestamp::from_micros(i64::MAX);

fn over(store: Store, dir: &Path) -> Hub {
    let models = FakeModels::new(|request| match (request.origin.agent.as_str(), request.origin.turn) {
        ("logs", 1) => {
            let args = json!({"to": "user:ada", "question": "Go on?", "options": ["yes", "no"], "default": "no", "within_s": 2});
            Ok(asks(&[("c1", "ask", args)]))
        }
        ("logs", _) => Ok(says(format!("got {:?}", request.turns.last().expect("a turn").blocks))),
        _ => usual(request),
    });
    Hub::over(store, dir.join("work"), models, FakeTools::none(), |_| {})
}

async fn sqlite(dir: &Path) -> Store {
    Store::open_sqlite(dir, Options::default()).await.expect("a store")
}

#[tokio::test]
async fn threads_that_are_needed_are_not_put_away() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut hub = over(sqlite(dir.path()).await, dir.path());
    hub.start().await;
    hub.engine.ensure_user("ada").await.expect("the owner");
    let profiles = vec![profile("lead", json!({})), profile("logs", json!({"tools": ["ask"]}))];
    let start = hub.prepare(team(&["logs"], json!({"rules": {"planning": "same_task"}})), profiles, "Look.").await;
    let run = hub.engine.start_run(start.expect("a team")).await.expect("a run");
    let waiting = hub.until(run, &["running", "waiting"]).await;
    assert!(!waiting.decisions.is_empty() || waiting.summary.state == "running");
    // A question that belongs to no run is as open.
    hub.engine.appoint("bob", Role::Viewer, true, "user:ada").await.expect("another");
    let ask = Ask { options: vec!["yes".into(), "no".into()], ..Ask::default() };
    let new = NewMessage { kind: Kind::Question, ask: Some(ask), ..NewMessage::note("user:bob", "And then?") };
    let asked = hub.engine.say("ada", None, new).await.expect("asked");
    while hub.engine.run_record(run).await.expect("the run").decisions.is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(hub.engine.archive_threads(LATE, "ada", 10).await.expect("a look").is_empty(), "all are needed");
    let record = hub.ended(run).await;
    assert_eq!((record.decisions[0].standing.as_str(), record.summary.state.as_str()), ("defaulted", "completed"));
    let archived = hub.engine.archive_threads(LATE, "ada", 10).await.expect("archived");
    assert!(!archived.is_empty() && !archived.contains(&asked.thread), "{archived:?}");
    hub.engine.answer_question("bob", asked.message, "yes", None).await.expect("answered");
    let rest = hub.engine.archive_threads(LATE, "ada", 10).await.expect("archived");
    assert_eq!(rest, [asked.thread], "now nobody needs it");
}

/// Leaves behind a question whose terms cannot be read, one that is right but for its thread, which was put away, and a wait of no
/// kind; the time of all has come.
struct Break {
    thread: ThreadId,
}

const BAD: MessageId = MessageId(Uuid::from_u128(77));
const GOOD: MessageId = MessageId(Uuid::from_u128(78));

impl UseCase for Break {
    type Out = ();

    fn ws(&self) -> WorkspaceId {
        WorkspaceId::DEFAULT
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<()> {
        for (id, terms, due) in [(BAD, "no JSON", 1), (GOOD, r#"{"default":"no"}"#, 2)] {
            let row = decision::NewRow {
                id,
                thread: self.thread,
                run: None,
                task: None,
                kind: "question",
                asked_by: "user:ada",
                asked: "What?",
                audience: "[]",
                terms,
                due: Some(Timestamp::from_micros(due)),
            };
            decision::insert(tx, &row).await?;
        }
        thread::archive(tx, self.thread, "gone", "[]").await?;
        message::remove(tx, self.thread).await?;
        let at = StepRef { task: TaskId(Uuid::from_u128(5)), attempt: 1, n: 1 };
        let run = RunId(Uuid::from_u128(6));
        let due = Some(Timestamp::from_micros(1));
        wait::insert(tx, &wait::NewRow { at, run, reason: "nothing known", key: "x", due }).await
    }
}

async fn others_go_on(store: Store, dir: &Path) {
    let hub = over(store, dir);
    hub.engine.ensure_user("ada").await.expect("the owner");
    hub.engine.appoint("bob", Role::Viewer, true, "user:ada").await.expect("another");
    let said = hub.engine.say("ada", None, NewMessage::note("user:bob", "hello")).await.expect("said");
    hub.engine.store().run(Break { thread: said.thread }).await.expect("broken");
    assert_eq!(hub.engine.fall_due().await.expect("a look"), 3);
    assert_eq!(hub.engine.fall_due().await.expect("a look"), 0, "nothing is left over");
    let all = hub.engine.decisions(None, None, Reader::Audit("ada".into()), 10).await.expect("decisions");
    let of = |id: MessageId| all.iter().find(|one| one.id == id).expect("a decision");
    assert_eq!((of(GOOD).standing.as_str(), of(GOOD).choice.as_deref()), ("defaulted", Some("no")));
    assert_eq!(of(BAD).standing, "expired");
    assert!(of(BAD).rationale.as_deref().is_some_and(|why| why.starts_with("wait_broken: ")), "{:?}", of(BAD));
}

#[tokio::test]
async fn what_cannot_be_ended_holds_up_nothing_else_on_sqlite() {
    let dir = tempfile::tempdir().expect("a folder");
    others_go_on(sqlite(dir.path()).await, dir.path()).await;
}

#[tokio::test]
async fn what_cannot_be_ended_holds_up_nothing_else_on_postgresql() {
    let dir = tempfile::tempdir().expect("a folder");
    others_go_on(crate::play::postgres("due").await, dir.path()).await;
}
