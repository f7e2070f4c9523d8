//! Waits, parts of tasks and mail on each database.

use convoke_domain::time::Timestamp;
use convoke_store::step::{self, StepRef};
use convoke_store::{task, wait};

use crate::noun::{NOW, RUN, ready, step_at, task_id, with_run};
use crate::support::{Place, act, cases, look};

cases! {
    a_step_waits_and_gets_its_result,
    parts_of_a_task_are_known,
    mail_is_counted,
}

/// A tool's step, under way.
fn tool(at: StepRef) -> step::NewRow<'static> {
    step::NewRow {
        at,
        run: RUN,
        turn: 1,
        kind: "tool",
        name: "ask",
        call_id: "c1",
        input_hash: "00",
        input: Some("{}"),
        fence: 1,
        bound_cost: 0,
        bound_tokens: 0,
        scopes: "",
        tariff: "",
    }
}

async fn a_step_waits_and_gets_its_result(place: Place) {
    let store = with_run(&place).await;
    let later = Timestamp::from_micros(NOW.as_micros() + 5);
    act!(store, tx => {
        for (n, key, due) in [(1, "q1", Some(NOW)), (2, "q2", Some(later)), (3, "q1", None)] {
            step::start(tx, &tool(step_at(n))).await?;
            step::suspend(tx, step_at(n)).await?;
            wait::insert(tx, &wait::NewRow { at: step_at(n), run: RUN, reason: "answer", key, due }).await?;
        }
        Ok(())
    });
    let ns = |rows: Vec<wait::Record>| rows.into_iter().map(|row| row.n).collect::<Vec<_>>();
    assert_eq!(ns(act!(store, tx => wait::of_key(tx, "answer", "q1").await)), [1, 3]);
    assert_eq!(ns(act!(store, tx => wait::due(tx, 10).await)), [1], "only what is due now");
    assert_eq!(ns(look!(store, tx => wait::of_attempt(tx, task_id(1), 1).await)), [1, 2, 3]);
    assert!(look!(store, tx => wait::ends_by(tx, RUN, NOW).await));
    let before = Timestamp::from_micros(NOW.as_micros() - 1);
    assert!(!look!(store, tx => wait::ends_by(tx, RUN, before).await));
    assert!(act!(store, tx => step::fulfil(tx, step_at(1), "done", (Some("yes"), None)).await));
    assert!(!act!(store, tx => step::fulfil(tx, step_at(1), "done", (Some("no"), None)).await), "one result, no more");
    assert!(act!(store, tx => wait::delete(tx, step_at(1)).await));
    assert!(!act!(store, tx => wait::delete(tx, step_at(1)).await));
    let found = look!(store, tx => step::get(tx, step_at(1)).await).expect("the step");
    assert_eq!((found.status.as_str(), found.output.as_deref()), ("done", Some("yes")));
    assert_eq!(look!(store, tx => step::get(tx, step_at(9)).await), None);
    assert_eq!(act!(store, tx => wait::delete_of_task(tx, task_id(1)).await), 2);
    assert_eq!(look!(store, tx => step::get(tx, step_at(2)).await).expect("the step").status, "waiting");
    let given_up = act!(store, tx => step::give_up(tx, task_id(1), "over").await);
    assert_eq!(given_up.iter().map(|(n, name)| (*n, name.as_str())).collect::<Vec<_>>(), [(2, "ask"), (3, "ask")]);
    let found = look!(store, tx => step::get(tx, step_at(2)).await).expect("the step");
    assert_eq!((found.status.as_str(), found.error.as_deref()), ("failed", Some("over")));
    assert_eq!(act!(store, tx => step::give_up(tx, task_id(1), "over").await), [], "once");
}

async fn parts_of_a_task_are_known(place: Place) {
    let store = with_run(&place).await;
    act!(store, tx => {
        task::insert(tx, &ready(1, "ada")).await?;
        task::insert(tx, &task::NewRow { parent: Some(task_id(1)), depth: 1, ..ready(2, "bob") }).await
    });
    let parts = act!(store, tx => task::open_parts(tx, task_id(1)).await);
    assert_eq!(parts.iter().map(|part| part.id).collect::<Vec<_>>(), [task_id(2)]);
    let held = act!(store, tx => task::hold(tx, task_id(2)).await);
    assert_eq!((held.parent, held.depth, held.ties), (Some(task_id(1)), 1, true));
    assert!(!act!(store, tx => task::hold(tx, task_id(1)).await).ties);
    act!(store, tx => task::tie(tx, task_id(1)).await);
    assert!(act!(store, tx => task::hold(tx, task_id(1)).await).ties);
    assert!(look!(store, tx => task::is_busy(tx, RUN).await));
    act!(store, tx => {
        task::park(tx, task_id(1), "child", "").await?;
        task::park(tx, task_id(2), "approval", "").await
    });
    assert!(!look!(store, tx => task::is_busy(tx, RUN).await));
    let reasons = look!(store, tx => task::waiting(tx, RUN).await);
    assert_eq!(reasons, [("approval".to_owned(),), ("child".to_owned(),)]);
    assert!(act!(store, tx => task::wake_one(tx, task_id(1), 5).await));
    assert!(!act!(store, tx => task::wake_one(tx, task_id(1), 5).await), "awake already");
    act!(store, tx => task::end(tx, task_id(2), "completed", Some("x"), None).await);
    assert_eq!(act!(store, tx => task::open_parts(tx, task_id(1)).await), []);
}

async fn mail_is_counted(place: Place) {
    let store = with_run(&place).await;
    act!(store, tx => task::insert(tx, &ready(1, "ada")).await);
    act!(store, tx => task::add_mail(tx, task_id(1), 2).await);
    assert_eq!(act!(store, tx => task::hold(tx, task_id(1)).await).mail, 2);
    assert_eq!(act!(store, tx => task::candidates(tx, 1).await)[0].mail, 2);
    act!(store, tx => task::clear_mail(tx, task_id(1)).await);
    assert_eq!(act!(store, tx => task::hold(tx, task_id(1)).await).mail, 0);
}
