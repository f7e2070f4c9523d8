//! Members with a rule of scale: what waits for them, who came to their relief.

use convoke_domain::id::RunId;
use convoke_domain::time::Timestamp;
use convoke_store::{agent, scale, spawn, task};
use uuid::Uuid;

use crate::noun::{NOW, RUN, ready, task_id, with_run};
use crate::support::{Place, act, cases, look};

cases! {
    a_queue_is_what_nobody_has_begun,
    reliefs_are_busy_while_they_have_open_tasks,
}

async fn a_queue_is_what_nobody_has_begun(place: Place) {
    let store = with_run(&place).await;
    act!(store, tx => {
        scale::insert(tx, RUN, "bob").await?;
        scale::insert(tx, RUN, "ada").await?;
        for n in 1..=4 {
            task::insert(tx, &ready(n, "bob")).await?;
        }
        // Of these, one is part of another task, and one has been begun.
        task::insert(tx, &task::NewRow { parent: Some(task_id(1)), ..ready(5, "bob") }).await?;
        task::start(tx, task_id(1), 1, 1, ("w", NOW)).await?;
        let how = task::Requeue { rank: 1, not_before: NOW, resume: true, retries_left: 1, agent: "bob", error: None };
        task::requeue(tx, task_id(1), &how).await
    });
    let queue = look!(store, tx => scale::queue(tx, RUN, "bob").await);
    assert_eq!((queue.fresh, queue.others, queue.room, queue.active), (3, 2, 1, true));
    act!(store, tx => agent::count(tx, "bob", 1).await);
    act!(store, tx => agent::set_active(tx, "bob", false).await);
    let queue = look!(store, tx => scale::queue(tx, RUN, "bob").await);
    assert_eq!((queue.room, queue.active), (0, false));
    let fresh = act!(store, tx => scale::fresh(tx, RUN, "bob", 2).await);
    assert_eq!(fresh, [(task_id(2), "b".to_owned()), (task_id(3), "c".to_owned())]);
    act!(store, tx => scale::give(tx, task_id(2), "ada").await);
    act!(store, tx => scale::give(tx, task_id(1), "ada").await);
    assert_eq!(look!(store, tx => task::hold(tx, task_id(2)).await).agent, "ada");
    assert_eq!(look!(store, tx => task::hold(tx, task_id(1)).await).agent, "bob", "it has been begun");

    act!(store, tx => scale::set_denied(tx, RUN, "ada", Some("rule")).await);
    let scaled = look!(store, tx => scale::of_run(tx, RUN).await);
    let brief: Vec<_> = scaled.iter().map(|row| (row.member.as_str(), row.denied.as_deref())).collect();
    assert_eq!(brief, [("ada", Some("rule")), ("bob", None)]);
    assert_eq!(look!(store, tx => scale::runs(tx, 9).await), [(RUN,)]);
    act!(store, tx => scale::end_run(tx, RunId(Uuid::from_u128(9))).await);
    assert_eq!(look!(store, tx => scale::runs(tx, 9).await), [(RUN,)]);
    act!(store, tx => scale::end_run(tx, RUN).await);
    assert!(look!(store, tx => scale::runs(tx, 9).await).is_empty());
}

async fn reliefs_are_busy_while_they_have_open_tasks(place: Place) {
    let store = with_run(&place).await;
    act!(store, tx => {
        for (n, name) in [(1, "bob-1"), (2, "bob-2")] {
            let row = spawn::NewRow {
                run: RUN, name, n, parent: Some("bob"), depth: 1, profile: "{}", models: "[]", task: task_id(9), created_by: "system",
            };
            spawn::insert(tx, &row).await?;
            scale::insert_relief(tx, RUN, name, "bob").await?;
        }
        task::insert(tx, &ready(1, "bob-2")).await?;
        scale::set_idle(tx, RUN, "bob-1", Some(NOW)).await
    });
    let open = |rows: Vec<scale::Relief>| -> Vec<(String, i64, Option<Timestamp>)> {
        rows.into_iter().map(|row| (row.name, row.open, row.idle_since)).collect()
    };
    let first = open(look!(store, tx => scale::reliefs(tx, RUN, "bob").await));
    assert_eq!(first, [("bob-1".to_owned(), 0, Some(NOW)), ("bob-2".to_owned(), 1, None)]);
    act!(store, tx => task::end(tx, task_id(1), "completed", None, None).await);
    act!(store, tx => scale::set_idle(tx, RUN, "bob-1", None).await);
    assert!(act!(store, tx => spawn::end(tx, RUN, "bob-1").await));
    let then = open(look!(store, tx => scale::reliefs(tx, RUN, "bob").await));
    assert_eq!(then, [("bob-2".to_owned(), 0, None)]);
    let all = look!(store, tx => scale::members(tx, RUN).await);
    assert_eq!(all, [("bob-1".to_owned(), "bob".to_owned()), ("bob-2".to_owned(), "bob".to_owned())]);
}
