//! What each role may do: every change that a person makes, tried by a user of each role and by nobody known.

use convoke_domain::context::Write;
use convoke_domain::id::{HandoffId, MemoryId, RunId, ThreadId, WorkspaceId};
use convoke_domain::memory::{Note, Scope, Shelf};
use convoke_domain::time::Timestamp;
use convoke_domain::user::Role;
use convoke_engine::{About, EffectOutcome, Error, Rate, Resume, StartRun, TaskAnswer, Which};
use convoke_testkit::hub::{Hub, profile, team};
use convoke_testkit::model::{FakeModels, Gate};
use convoke_testkit::tool::FakeTools;
use serde_json::json;
use uuid::Uuid;

use crate::play::usual;

/// Which roles may do something.
type Allows = fn(Role) -> bool;

/// What may be tried, and by whom it may be done: those who answer for others, or those who govern.
const ACTS: &[(&str, Allows)] = &[
    ("accept", Role::may_answer),
    ("decline", Role::may_answer),
    ("resolve", Role::may_answer),
    ("force", Role::may_govern),
    ("write", Role::may_govern),
    ("add", Role::may_govern),
    ("forget", Role::may_govern),
    ("close", Role::may_govern),
    ("reopen", Role::may_govern),
    ("archive", Role::may_govern),
    ("pause", Role::may_govern),
    ("resume", Role::may_govern),
    ("start", Role::may_govern),
    ("end", Role::may_govern),
    ("rate", Role::may_rate),
    ("appoint", Role::may_appoint),
    ("cancel", Role::may_govern),
];

/// Tries it on things that are not there, but for the run: whoever may not is not told so much.
async fn try_it(hub: &Hub, act: &str, run: RunId, user: &str) -> Result<(), Error> {
    let (engine, none) = (&hub.engine, Uuid::nil());
    match act {
        "accept" => engine.accept_handoff(HandoffId(none), user).await,
        "decline" => engine.decline_handoff(HandoffId(none), "no", user).await,
        "resolve" => engine.resolve_effect("none", EffectOutcome::Retry, user).await,
        "force" => engine.force_locks(Which::All, user).await.map(drop),
        "write" => {
            let wish = Write { name: user.into(), value: Some("x".into()), version: 0 };
            engine.write_context(run, wish, user).await.map(drop)
        }
        "add" => {
            let shelf = Shelf { scope: Scope::Workspace, owner: String::new() };
            let note = Note { text: format!("by {user}"), tags: Vec::new(), days: None };
            engine.add_memory(shelf, note, user).await.map(drop)
        }
        "forget" => engine.forget_memory(MemoryId(none), user).await,
        "close" => engine.set_thread_open(ThreadId(none), user, false).await,
        "reopen" => engine.set_thread_open(ThreadId(none), user, true).await,
        "archive" => engine.archive_threads(Timestamp::default(), user, 1).await.map(drop),
        "pause" => engine.pause(run, user).await,
        "resume" => engine.resume(run, Resume { user: user.into(), ..Resume::default() }).await,
        "start" => {
            let team = team(&["logs"], json!({"rules": {"planning": "same_task"}}));
            let profiles = ["lead", "logs"].map(|name| profile(name, json!({}))).into();
            let start = hub.prepare(team, profiles, "Look again.").await.expect("a team");
            engine.start_run(StartRun { user: user.into(), ..start }).await.map(drop)
        }
        "end" => engine.close_run(run, TaskAnswer::Done("x".into()), &format!("user:{user}")).await,
        "rate" => {
            let rate = Rate { run, about: About::Run, stars: 3, note: String::new() };
            engine.rate(rate, user).await.map(drop)
        }
        "appoint" => engine.appoint("ghost of a user", Role::Viewer, false, &format!("user:{user}")).await,
        "cancel" => engine.cancel(run, user).await,
        other => panic!("nobody knows how to {other}"),
    }
}

#[tokio::test]
async fn each_role_may_what_it_is_for_and_what_is_refused_is_on_record() {
    let gate = Gate::default();
    let hub = Hub::new(FakeModels::new(usual).with_gate(&gate), FakeTools::none()).await;
    hub.engine.ensure_user("owner").await.expect("the first one owns");
    for role in [Role::Operator, Role::Approver, Role::Viewer] {
        hub.engine.appoint(role.as_str(), role, true, "user:owner").await.expect("appointed");
    }
    let run = hub.run(team(&["logs"], json!({"rules": {"planning": "same_task"}})), "Look.").await;
    gate.held(1).await;
    let mut refused = Vec::new();
    for (act, allows) in ACTS {
        // The mightiest last, so that what is refused is refused while it could be done.
        for (user, role) in
            [("ghost", None)].into_iter().chain(Role::ALL.into_iter().rev().map(|role| (role.as_str(), Some(role))))
        {
            let outcome = try_it(&hub, act, run, user).await;
            let is_refused = matches!(&outcome, Err(error) if matches!(error.code(), "not_allowed" | "unknown_user"));
            assert_eq!(is_refused, !role.is_some_and(allows), "{act} by {user}: {outcome:?}");
            if is_refused {
                refused.push(format!("user:{user}"));
            }
        }
    }
    let all = hub.engine.store().events_after(WorkspaceId::DEFAULT, 0, None, 10_000).await.expect("events");
    let denied = all.iter().filter(|event| event.kind == "authority.denied");
    assert_eq!(denied.map(|event| event.actor.clone()).collect::<Vec<_>>(), refused);
    let state = hub.engine.run_record(run).await.expect("the run").summary.state;
    assert_eq!(state, "cancelled", "the owner's word counts");
    gate.open();
}
