//! Tasks and their edges on each database.

use convoke_domain::id::TaskId;
use convoke_domain::time::Timestamp;
use convoke_store::{Error, agent, run, task};

use crate::noun::{NOW, RUN, SESSION, ready, task_id, with_run};
use crate::support::{Place, act, cases, look};

/// Back into the queue, but not yet.
const LATER: task::Requeue<'_> = task::Requeue {
    rank: 1,
    not_before: Timestamp::from_micros(2_000_000),
    resume: true,
    retries_left: 1,
    agent: "bob",
    error: Some("no"),
};

cases! {
    claiming_follows_rank_and_passes_over_what_may_not_be_claimed,
    a_claimed_task_is_renewed_put_back_parked_and_woken,
    a_lapsed_lease_is_found,
    edges_release_their_children,
    tasks_of_a_run_are_listed,
}

async fn claiming_follows_rank_and_passes_over_what_may_not_be_claimed(place: Place) {
    let store = with_run(&place).await;
    act!(store, tx => {
        for n in [2, 1, 3] {
            task::insert(tx, &ready(n, if n == 3 { "bob" } else { "ada" })).await?;
        }
        task::insert(tx, &task::NewRow { held: true, ..ready(4, "ada") }).await?;
        task::insert(tx, &task::NewRow { state: "pending", deps_left: 1, ..ready(5, "ada") }).await
    });
    let found = act!(store, tx => task::candidates(tx, 10).await);
    assert_eq!(found.iter().map(|task| task.id).collect::<Vec<_>>(), [task_id(1), task_id(2), task_id(3)]);
    let first = &found[0];
    assert_eq!((first.run, first.session, first.capacity, first.running, first.resume), (RUN, SESSION, 2, 0, false));
    assert_eq!(
        (first.key.as_str(), first.run_task.as_str(), first.run_state.as_str()),
        ("a", "find the cause", "initializing")
    );
    assert_eq!(look!(store, tx => task::candidates(tx, 1).await).len(), 1, "also where nothing may be locked");
    let bobs = act!(store, tx => task::candidates_of(tx, "bob", 5).await);
    assert_eq!(bobs.iter().map(|task| task.id).collect::<Vec<_>>(), [task_id(3)]);
    let room = |room: &[(&str, i64)]| room.iter().map(|(name, free)| (name.to_string(), *free)).collect::<Vec<_>>();
    assert_eq!(act!(store, tx => agent::with_room(tx, 10).await), room(&[("ada", 2), ("bob", 1)]));
    act!(store, tx => agent::count(tx, "bob", 1).await);
    assert_eq!(act!(store, tx => agent::with_room(tx, 10).await), room(&[("ada", 2)]));
    act!(store, tx => task::set_held(tx, RUN, true).await);
    assert_eq!(act!(store, tx => task::candidates(tx, 10).await), []);
    assert!(act!(store, tx => task::hold(tx, task_id(1)).await).held);
}

async fn a_claimed_task_is_renewed_put_back_parked_and_woken(place: Place) {
    let store = with_run(&place).await;
    let id = task_id(1);
    let until = LATER.not_before;
    act!(store, tx => {
        task::insert(tx, &ready(1, "ada")).await?;
        task::start(tx, id, 1, 7, ("node-1", until)).await
    });
    let held = act!(store, tx => task::hold(tx, id).await);
    assert_eq!((held.state.as_str(), held.fence, held.attempt, held.agent.as_str()), ("running", 7, 1, "ada"));
    assert_eq!(act!(store, tx => task::renew(tx, "node-1", until).await), [(id, 7)]);
    assert_eq!(act!(store, tx => task::renew(tx, "node-2", until).await), []);
    act!(store, tx => task::park(tx, id, "budget", "no money").await);
    assert_eq!(act!(store, tx => task::waits_for(tx, RUN, "budget").await), [(id,)]);
    assert_eq!(act!(store, tx => task::wake(tx, RUN, "approval", 5).await), []);
    assert_eq!(act!(store, tx => task::wake(tx, RUN, "budget", 5).await), [(id,)]);
    act!(store, tx => task::requeue(tx, id, &LATER).await);
    assert_eq!(act!(store, tx => task::next_not_before(tx).await), Some(until));
    assert_eq!(act!(store, tx => task::candidates(tx, 10).await), [], "it is not time yet");
    act!(store, tx => task::requeue(tx, id, &task::Requeue { not_before: NOW, error: None, ..LATER }).await);
    assert_eq!(act!(store, tx => task::next_not_before(tx).await), None);
    let found = act!(store, tx => task::candidates(tx, 10).await).remove(0);
    assert_eq!((found.agent.as_str(), found.resume, found.attempt), ("bob", true, 1));
    act!(store, tx => task::end(tx, id, "completed", Some("42"), None).await);
    assert_eq!(act!(store, tx => task::open(tx, RUN).await), []);
}

async fn a_lapsed_lease_is_found(place: Place) {
    let store = with_run(&place).await;
    let (past, future) = (Timestamp::from_micros(999_999), Timestamp::from_micros(1_000_001));
    act!(store, tx => {
        for (n, until, owner) in [(1, past, "node-1"), (2, future, "node-1"), (3, future, "node-2")] {
            task::insert(tx, &ready(n, "ada")).await?;
            task::start(tx, task_id(n), 1, 1, (owner, until)).await?;
        }
        Ok(())
    });
    let ids = |found: Vec<task::Lapsed>| found.into_iter().map(|task| task.id).collect::<Vec<TaskId>>();
    assert_eq!(ids(act!(store, tx => task::lapsed(tx, None, 10).await)), [task_id(1)]);
    assert_eq!(ids(act!(store, tx => task::lapsed(tx, Some("node-1"), 10).await)), [task_id(1), task_id(3)]);
    assert_eq!(ids(act!(store, tx => task::lapsed(tx, Some("node-1"), 1).await)), [task_id(1)]);
}

async fn edges_release_their_children(place: Place) {
    let store = with_run(&place).await;
    act!(store, tx => {
        task::insert(tx, &ready(1, "ada")).await?;
        task::insert(tx, &task::NewRow { state: "pending", deps_left: 2, ..ready(2, "ada") }).await?;
        task::insert_edge(tx, task_id(1), task_id(2), true).await
    });
    let again = act!(try store, tx => task::insert_edge(tx, task_id(1), task_id(2), true).await);
    assert!(matches!(again, Err(Error::Conflict(_))), "{again:?}");
    let children = act!(store, tx => task::children(tx, task_id(1)).await);
    assert_eq!(children.len(), 1);
    assert_eq!((children[0].id, children[0].hard, children[0].deps_left), (task_id(2), true, 2));
    act!(store, tx => task::release(tx, task_id(2), 1, 3).await);
    assert_eq!(act!(store, tx => task::hold(tx, task_id(2)).await).state, "pending");
    act!(store, tx => task::release(tx, task_id(2), 0, 3).await);
    assert_eq!(act!(store, tx => task::hold(tx, task_id(2)).await).state, "ready");
    act!(store, tx => task::end(tx, task_id(1), "completed", Some("found"), None).await);
    let inputs = look!(store, tx => task::inputs(tx, task_id(2)).await);
    assert_eq!((inputs.len(), inputs[0].key.as_str(), inputs[0].output.as_deref()), (1, "a", Some("found")));
    assert_eq!(look!(store, tx => task::inputs(tx, task_id(1)).await), []);
}

async fn tasks_of_a_run_are_listed(place: Place) {
    let store = with_run(&place).await;
    act!(store, tx => {
        task::insert(tx, &ready(2, "ada")).await?;
        let schema = Some("{}".to_owned());
        task::insert(tx, &task::NewRow { output_schema: schema, ..ready(1, "bob") }).await?;
        task::end(tx, task_id(2), "failed", None, Some("no \0 idea")).await?;
        run::count_tasks(tx, RUN, 2, 1).await.map(drop)
    });
    let rows = look!(store, tx => task::of_run(tx, RUN).await);
    assert_eq!(rows.iter().map(|task| task.n).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(rows[1].error.as_deref(), Some("no \u{FFFD} idea"), "PostgreSQL cannot keep a NUL in text");
    assert_eq!((rows[1].finished_at, rows[1].started_at, rows[1].created_at), (Some(NOW), None, NOW));
    let open = act!(store, tx => task::open(tx, RUN).await);
    assert_eq!(open.iter().map(|task| (task.id, task.state.as_str())).collect::<Vec<_>>(), [(task_id(1), "ready")]);
    let twice = act!(try store, tx => task::insert(tx, &task::NewRow { id: task_id(5), ..ready(1, "ada") }).await);
    assert!(matches!(twice, Err(Error::Conflict(_))), "{twice:?}");
    let none = act!(try store, tx => task::hold(tx, task_id(9)).await);
    assert_eq!(none.expect_err("no such task").code(), "missing");
    assert_eq!(store.verify().await.expect("verified").problems, []);
}
