//! Attempts, steps, effects, budgets and bills on each database, and the checks that hold them together.

use convoke_domain::budget::Amount;
use convoke_domain::id::{RunId, TaskId};
use convoke_domain::money::Money;
use convoke_domain::transcript::Usage;
use convoke_store::{Store, attempt, blob, budget, effect, p, step, task, usage};
use uuid::Uuid;

use crate::noun::{NOW, RUN, WS, ready, step_at, task_id, with_run};
use crate::support::{Place, act, cases, look};

cases! { attempts_are_kept, the_steps_of_a_run_come_in_pages, a_step_is_started_finished_and_resolved, effects_are_told_apart_by_key, budgets_hold_and_bill, checks_find_what_does_not_add_up, a_blob_that_was_changed_is_found }

/// Before every task.
const NO_TASK: TaskId = TaskId(Uuid::nil());

fn scope() -> String {
    format!("run:{RUN}")
}

fn amount(cost: i64, tokens: i64) -> Amount {
    Amount { cost: Money::from_nanos(cost), tokens }
}

pub fn new_step<'a>(n: i64, kind: &'static str, scopes: &'a str) -> step::NewRow<'a> {
    step::NewRow {
        at: step_at(n),
        run: RUN,
        turn: 1,
        kind,
        name: "mock/m",
        call_id: "",
        input_hash: "h",
        input: None,
        fence: 7,
        bound_cost: 100,
        bound_tokens: 10,
        scopes,
        tariff: "priced",
    }
}

fn bill<'a>(n: i64, cost: i64, tariff: &'a str, scopes: &'a str) -> usage::NewRow<'a> {
    usage::NewRow {
        at: step_at(n),
        try_n: 1,
        run: RUN,
        agent: "ada",
        model: "mock/m",
        tariff,
        basis: "provider",
        response_id: None,
        usage: Usage {
            input_tokens: 3,
            cache_read_tokens: 1,
            cache_write_tokens: 0,
            output_tokens: 4,
            reasoning_tokens: 2,
        },
        cost: Money::from_nanos(cost),
        bound_cost: Money::from_nanos(100),
        scopes,
    }
}

async fn attempts_are_kept(place: Place) {
    let store = with_run(&place).await;
    let id = task_id(1);
    act!(store, tx => {
        task::insert(tx, &ready(1, "ada")).await?;
        attempt::insert(tx, id, 1, "ada").await?;
        attempt::end(tx, id, 1, "failed", Some("tired")).await?;
        attempt::insert(tx, id, 2, "bob").await
    });
    let found = look!(store, tx => attempt::of_task(tx, id).await);
    let brief: Vec<_> =
        found.iter().map(|a| (a.n, a.agent.as_str(), a.state.as_str(), a.error.as_deref(), a.finished_at)).collect();
    assert_eq!(brief, [(1, "ada", "failed", Some("tired"), Some(NOW)), (2, "bob", "running", None, None)]);
    assert_eq!(look!(store, tx => attempt::of_run(tx, RUN, (NO_TASK, 0), 10).await), found);
    assert_eq!(look!(store, tx => attempt::of_run(tx, RUN, (NO_TASK, 0), 1).await), found[..1]);
    assert_eq!(look!(store, tx => attempt::of_run(tx, RUN, (id, 1), 10).await), found[1..]);
    assert_eq!(look!(store, tx => attempt::of_run(tx, RunId(Uuid::from_u128(9)), (NO_TASK, 0), 10).await), []);
}

async fn the_steps_of_a_run_come_in_pages(place: Place) {
    let store = with_run(&place).await;
    let at = |task: u8, attempt, n| step::StepRef { task: task_id(task), attempt, n };
    let order = [at(1, 1, 1), at(1, 1, 2), at(1, 2, 1), at(2, 1, 1)];
    act!(store, tx => {
        for at in [order[3], order[1], order[2], order[0]] {
            step::start(tx, &step::NewRow { at, ..new_step(1, "model", "") }).await?;
        }
        Ok(())
    });
    let names = |found: &[step::Record]| -> Vec<_> {
        found.iter().map(|step| step::StepRef { task: step.task, attempt: step.attempt, n: step.n }).collect()
    };
    let first = look!(store, tx => step::of_run(tx, RUN, step::StepRef { task: NO_TASK, attempt: 0, n: 0 }, 3).await);
    assert_eq!(names(&first), order[..3]);
    for after in 0..order.len() {
        let rest = look!(store, tx => step::of_run(tx, RUN, order[after], 10).await);
        assert_eq!(names(&rest), order[after + 1..]);
    }
}

async fn a_step_is_started_finished_and_resolved(place: Place) {
    let store = with_run(&place).await;
    let scopes: &str = scope().leak();
    act!(store, tx => {
        task::insert(tx, &ready(1, "ada")).await?;
        step::start(tx, &new_step(1, "model", scopes)).await?;
        step::start(tx, &new_step(1, "model", scopes)).await?;
        step::start(tx, &step::NewRow { input: Some("{}"), call_id: "c1", ..new_step(2, "tool", "") }).await
    });
    let orphans = act!(store, tx => step::orphans(tx, RUN).await);
    assert_eq!(orphans.iter().map(|o| (o.n, o.agent.as_str())).collect::<Vec<_>>(), [(1, "ada")]);
    let other = act!(store, tx => step::finish(tx, step_at(1), 8, "done", (None, None)).await);
    assert_eq!(other, None, "started under another token");
    let done = act!(store, tx => step::finish(tx, step_at(1), 7, "done", (Some("hi"), None)).await).expect("under way");
    assert_eq!((done.tries, done.bound_cost, done.bound_tokens, done.scopes), (2, 100, 10, scope()));
    assert_eq!(act!(store, tx => step::finish(tx, step_at(1), 0, "done", (None, None)).await), None, "not under way");
    act!(store, tx => step::finish(tx, step_at(2), 0, "unknown", (None, Some("gone"))).await.map(drop));
    let late = |fence, why| {
        let store = store.clone();
        async move {
            act!(store, tx => step::come_late(tx, step_at(2), (fence, why), "unknown", (None, Some("late"))).await)
        }
    };
    assert!(!late(8, "gone").await && !late(7, "lost").await, "of another worker, or not given up so");
    assert!(late(7, "gone").await && !late(7, "gone").await, "once");
    assert!(act!(store, tx => step::resolve(tx, step_at(2), "done", (Some("yes"), None)).await));
    assert!(!act!(store, tx => step::resolve(tx, step_at(2), "done", (Some("yes"), None)).await));
    let found = look!(store, tx => step::of_attempt(tx, task_id(1), 1, 0, 10).await);
    let brief: Vec<_> = found.iter().map(|s| (s.n, s.status.as_str(), s.output.as_deref(), s.tries)).collect();
    assert_eq!(brief, [(1, "done", Some("hi"), 2), (2, "done", Some("yes"), 1)]);
    assert_eq!(look!(store, tx => step::of_attempt(tx, task_id(1), 1, 1, 10).await).len(), 1);
    let turn = found[0].turn;
    assert_eq!(look!(store, tx => step::of_turn(tx, task_id(1), 1, turn, 10).await).first(), found.first());
    let tally = look!(store, tx => step::tally(tx, RUN).await);
    assert_eq!(tally.iter().map(|t| (t.kind.as_str(), t.count)).collect::<Vec<_>>(), [("model", 1), ("tool", 1)]);
}

async fn effects_are_told_apart_by_key(place: Place) {
    let store = with_run(&place).await;
    act!(store, tx => {
        task::insert(tx, &ready(1, "ada")).await?;
        let row = effect::NewRow { key: "k1", run: RUN, at: step_at(1), tool: "mail", args_hash: "h", repeat_rule: "once" };
        effect::dispatch(tx, &row).await?;
        effect::dispatch(tx, &row).await
    });
    let open = look!(store, tx => effect::open_of_run(tx, RUN).await);
    let brief: Vec<_> = open.iter().map(|e| (e.task, e.n, e.repeat_rule.as_str(), e.state.as_str())).collect();
    assert_eq!(brief, [(task_id(1), 1, "once", "dispatched")]);
    act!(store, tx => effect::settle(tx, step_at(1), "unknown").await);
    assert!(look!(store, tx => effect::open_of_run(tx, RUN).await).is_empty());
    let unknown = look!(store, tx => effect::unknown(tx, 10).await);
    assert_eq!(
        unknown.iter().map(|e| (e.key.as_str(), e.task, e.dispatched_at)).collect::<Vec<_>>(),
        [("k1", task_id(1), NOW)]
    );
    assert_eq!((unknown[0].run_state.as_str(), unknown[0].task_state.as_str()), ("initializing", "ready"));
    act!(store, tx => effect::resolve(tx, "k1", "done", "user:ada", "it arrived").await);
    let held = act!(store, tx => effect::hold(tx, "k1").await);
    assert_eq!(
        (held.state.as_str(), held.resolved_by.as_deref(), held.note.as_deref()),
        ("done", Some("user:ada"), Some("it arrived"))
    );
    assert_eq!(look!(store, tx => effect::of_run(tx, RUN).await), [held]);
    assert_eq!(act!(try store, tx => effect::hold(tx, "k2").await).expect_err("none").code(), "missing");
}

async fn budgets_hold_and_bill(place: Place) {
    let store = with_run(&place).await;
    let scopes: &[String] = vec![scope(), "session:s".to_owned(), "nothing:here".to_owned()].leak();
    act!(store, tx => {
        budget::open(tx, "session:s", Some(Money::from_nanos(500)), None).await?;
        budget::open(tx, "session:s", None, None).await?;
        budget::reserve(tx, scopes, amount(100, 10)).await
    });
    let held = look!(store, tx => budget::hold(tx, scopes).await);
    let brief: Vec<_> = held.iter().map(|b| (b.scope.as_str(), b.cap_cost, b.cap_tokens, b.reserved_cost)).collect();
    assert_eq!(brief, [(scopes[0].as_str(), None, Some(1_000), 100), ("session:s", Some(500), None, 100)]);
    let mut after = act!(store, tx => budget::settle(tx, scopes, amount(100, 10), amount(130, 7)).await);
    after.sort_by(|a, b| a.scope.cmp(&b.scope));
    let brief: Vec<_> =
        after.iter().map(|b| (b.reserved_cost, b.settled_cost, b.settled_tokens, b.overrun, b.warned)).collect();
    assert_eq!(brief, [(0, 130, 7, 30, false), (0, 130, 7, 30, false)]);
    act!(store, tx => budget::set_warned(tx, "session:s").await);
    assert!(look!(store, tx => budget::list(tx, "session:", 10).await)[0].warned);
    assert!(act!(store, tx => budget::set_cap(tx, "session:s", None, Some(9)).await));
    assert!(!act!(store, tx => budget::set_cap(tx, "session:t", None, Some(9)).await));
    let listed = look!(store, tx => budget::list(tx, "session:", 10).await);
    assert_eq!((listed.len(), listed[0].cap_cost, listed[0].cap_tokens, listed[0].warned), (1, None, Some(9), false));
    assert_eq!(look!(store, tx => budget::list(tx, "", 10).await).len(), 2);
    act!(store, tx => usage::insert(tx, &bill(1, 130, "priced", &format!("{}\nsession:s", scope()))).await);
    act!(store, tx => usage::insert(tx, &bill(2, 0, "unpriced", &scope())).await);
    let total = look!(store, tx => usage::total(tx, RUN).await);
    assert_eq!(
        (total.calls, total.input_tokens, total.output_tokens, total.cost.as_nanos(), total.unpriced),
        (2, 6, 8, 130, 1)
    );
    let empty = look!(store, tx => usage::total(tx, convoke_domain::id::RunId(uuid::Uuid::nil())).await);
    assert_eq!((empty.calls, empty.cost.as_nanos()), (0, 0));
    let bills = look!(store, tx => usage::of_run(tx, RUN).await);
    assert_eq!(bills.iter().map(|b| (b.n, b.cost.as_nanos(), b.at)).collect::<Vec<_>>(), [(1, 130, NOW), (2, 0, NOW)]);
    assert_eq!(look!(store, tx => usage::mismatches(tx, 10).await), []);
    assert_eq!(store.verify().await.expect("verified").problems, []);
}

async fn problems(store: &Store) -> Vec<(&'static str, String, String)> {
    let report = store.verify().await.expect("verified");
    report.problems.into_iter().map(|problem| (problem.check, problem.place, problem.what)).collect()
}

async fn checks_find_what_does_not_add_up(place: Place) {
    let store = with_run(&place).await;
    let scopes: &str = format!("{}\nsession:s", scope()).leak();
    act!(store, tx => {
        budget::reserve(tx, &[scope()], amount(100, 10)).await?;
        step::start(tx, &new_step(1, "model", scopes)).await?;
        step::start(tx, &new_step(2, "tool", "")).await
    });
    assert_eq!(problems(&store).await, [], "what is held back is what is under way");
    act!(store, tx => {
        step::start(tx, &new_step(3, "model", scopes)).await?;
        usage::insert(tx, &bill(4, 5, "priced", scopes)).await
    });
    let at = format!("{WS} budget {}", scope());
    let expected = [
        ("bills", at.clone(), "it says that 0 nano-dollars were billed, its bills add up to 5".to_owned()),
        (
            "reservations",
            at,
            "it holds back 100 nano-dollars and 10 tokens, its calls under way need 200 and 20".to_owned(),
        ),
    ];
    assert_eq!(problems(&store).await, expected);
}

async fn a_blob_that_was_changed_is_found(place: Place) {
    let store = with_run(&place).await;
    let mut names = Vec::new();
    for n in 0..20u8 {
        let body: &[u8] = vec![n; 100].leak();
        names.push(act!(store, tx => blob::put(tx, body).await));
    }
    assert_eq!(problems(&store).await, []);
    let name: &[u8] = names[13].0.to_vec().leak();
    act!(store, tx => tx.exec("UPDATE blob SET body=$1 WHERE hash=$2", p![&[7u8; 100][..], name]).await);
    let what = "it does not hold what its name says; restore it from a backup".to_owned();
    assert_eq!(problems(&store).await, [("blobs", format!("{WS} blob {}", names[13]), what)]);
}
