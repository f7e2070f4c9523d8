//! Statements that are not waited for: what fails among them is the failure of the use case that sent it, and spoils nothing else.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use convoke_domain::id::WorkspaceId;
use convoke_domain::refusal::Refusal;
use convoke_store::{Asked, Error, Result, Store, Tx, UseCase, agent, budget, p, run, step, task};
use uuid::Uuid;

use crate::noun::{RUN, ready, step_at, task_id, with_run};
use crate::support::{Names, Place, act, add, cases, hold, look, poll};

const WS: WorkspaceId = WorkspaceId::DEFAULT;
/// The longest that the server may take to be seen at work.
const SOON: Duration = Duration::from_secs(30);
const USER: &str = "INSERT INTO users (ws, id, name, role, created_at) VALUES ($1, $2, $3, 'viewer', 0)";

cases! {
    what_fails_last_of_all_fails_alone,
    what_fails_before_a_look_fails_alone,
    what_fails_before_a_refusal_is_what_is_told,
    what_fails_and_is_not_looked_at_fails_alone,
    more_than_may_be_under_way_keep_their_order,
    an_answer_is_as_of_when_it_was_asked,
    nouns_are_asked_first_and_looked_at_later,
    whoever_holds_a_task_finishes_its_steps,
}

/// What is done after the statement that fails.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    Nothing,
    Looks,
    Refuses,
    Swallows,
}

/// Sends a user whose name is taken.
struct Twice(Then);

impl UseCase for Twice {
    type Out = i64;

    fn ws(&self) -> WorkspaceId {
        WS
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<i64> {
        tx.put(USER, p![WS, Uuid::from_u128(1), "bad"]).await?;
        let sent = tx.put(USER, p![WS, Uuid::from_u128(2), "taken"]).await;
        match self.0 {
            Then::Nothing => sent.map(|()| 0),
            Then::Looks => {
                sent?;
                tx.one("SELECT COUNT(*) FROM users WHERE ws = $1", p![WS]).await
            }
            Then::Refuses => {
                sent?;
                Err(Refusal::new("too_late", "this came too late").into())
            }
            Then::Swallows => Ok(0),
        }
    }
}

/// Runs it between neighbours, in one transaction with them.
async fn between(place: Place, then: Then) -> Error {
    let store = place.open().await;
    store.run(add(WS, "taken")).await.expect("the first");
    let held = hold(&store).await;
    let mut before: Vec<_> = (0..20).map(|n| Box::pin(store.run(add(WS, format!("a-{n:02}"))))).collect();
    for task in &mut before {
        assert!(poll(task).await.is_pending());
    }
    let mut bad = pin!(store.run(Twice(then)));
    assert!(poll(&mut bad).await.is_pending());
    let mut after: Vec<_> = (0..20).map(|n| Box::pin(store.run(add(WS, format!("b-{n:02}"))))).collect();
    for task in &mut after {
        assert!(poll(task).await.is_pending());
    }
    held.release().await;
    for task in before.into_iter().chain(after) {
        task.await.expect("a good neighbour is kept");
    }
    let error = bad.await.expect_err("the bad one fails");
    let names = store.read(Names(WS)).await.expect("names");
    assert_eq!(names.iter().filter(|name| name.starts_with("a-") || name.starts_with("b-")).count(), 40);
    assert!(!names.contains(&"bad".to_owned()), "nothing of it is kept");
    let report = store.verify().await.expect("verified");
    assert_eq!((report.problems, report.events), (vec![], names.len() as u64 + 1));
    error
}

async fn what_fails_last_of_all_fails_alone(place: Place) {
    let error = between(place, Then::Nothing).await;
    assert!(matches!(error, Error::Conflict(_)), "{error}");
}

async fn what_fails_before_a_look_fails_alone(place: Place) {
    let error = between(place, Then::Looks).await;
    assert!(matches!(error, Error::Conflict(_)), "{error}");
}

async fn what_fails_before_a_refusal_is_what_is_told(place: Place) {
    let error = between(place, Then::Refuses).await;
    assert!(matches!(error, Error::Conflict(_)), "{error}");
}

async fn what_fails_and_is_not_looked_at_fails_alone(place: Place) {
    between(place, Then::Swallows).await;
}

async fn more_than_may_be_under_way_keep_their_order(place: Place) {
    let store = place.open().await;
    let names = act!(store, tx => {
        for n in 0..300_u128 {
            tx.put(USER, p![WS, Uuid::from_u128(n), format!("user-{n:03}")]).await?;
            tx.put("UPDATE users SET name = name || '!' WHERE ws = $1 AND id = $2", p![WS, Uuid::from_u128(n)]).await?;
        }
        tx.many::<String>("SELECT name FROM users WHERE ws = $1 ORDER BY name", p![WS]).await
    });
    assert_eq!(names, (0..300).map(|n| format!("user-{n:03}!")).collect::<Vec<_>>());
    assert_eq!(store.read(Names(WS)).await.expect("names"), names);
}

async fn an_answer_is_as_of_when_it_was_asked(place: Place) {
    const COUNT: &str = "SELECT COUNT(*) FROM users WHERE ws = $1";
    let store = place.open().await;
    let counts = act!(store, tx => {
        let none: Asked<i64> = tx.ask(COUNT, p![WS]).await?;
        tx.put(USER, p![WS, Uuid::from_u128(1), "one"]).await?;
        let one: Asked<i64> = tx.ask(COUNT, p![WS]).await?;
        tx.put(USER, p![WS, Uuid::from_u128(2), "two"]).await?;
        let two = tx.one::<i64>(COUNT, p![WS]).await?;
        // In another order than they were asked.
        let one = tx.answer(one).await?;
        Ok((tx.answer(none).await?, one, two))
    });
    assert_eq!(counts, (vec![0], vec![1], 2));
    let read = look!(store, tx => {
        let asked: Asked<i64> = tx.ask(COUNT, p![WS]).await?;
        tx.answer(asked).await
    });
    assert_eq!(read, [2]);
}

async fn nouns_are_asked_first_and_looked_at_later(place: Place) {
    let store = with_run(&place).await;
    act!(store, tx => {
        let made = run::ask_count_tasks(tx, RUN, 1, 1).await?;
        task::insert(tx, &ready(1, "ada")).await?;
        run::add_tasks(tx, RUN, 1, 1).await?;
        let (held, tasks) = (run::ask_hold(tx, RUN).await?, task::ask_of_run(tx, RUN).await?);
        let (one, waiting) = (task::ask_hold(tx, task_id(1)).await?, task::ask_waiting(tx, RUN).await?);
        task::park(tx, task_id(1), "budget", "").await?;
        agent::count(tx, "ada", 1).await?;
        assert_eq!(tx.answer(waiting).await?, []);
        let one = task::held(tx, task_id(1), one).await?;
        assert_eq!((one.state.as_str(), one.key.as_str()), ("ready", "a"));
        assert_eq!(tx.answer(tasks).await?.len(), 1);
        assert_eq!(run::held(tx, RUN, held).await?.open_tasks, 2);
        assert_eq!(tx.answer(made).await?, [(1,)]);
        assert_eq!(task::waiting(tx, RUN).await?, [("budget".to_owned(),)]);
        let scopes = [format!("run:{RUN}")];
        let before = budget::ask_hold(tx, &scopes).await?;
        let (bound, billed) = (Default::default(), convoke_domain::budget::Amount { tokens: 7, ..Default::default() });
        let after = budget::ask_settle(tx, &scopes, bound, billed).await?;
        let (before, after) = (tx.answer(before).await?, tx.answer(after).await?);
        assert_eq!((before[0].settled_tokens, after[0].settled_tokens), (0, 7));
        let finished = step::ask_finish(tx, step_at(1), 0, "done", (None, None)).await?;
        assert_eq!(tx.answer(finished).await?, []);
        Ok(())
    });
    let nobody = task_id(5);
    assert_eq!(act!(try store, tx => task::hold(tx, nobody).await).expect_err("none").code(), "missing");
}

async fn whoever_holds_a_task_finishes_its_steps(place: Place) {
    let store = with_run(&place).await;
    let new = |n| step::NewRow {
        at: step_at(n),
        run: RUN,
        turn: 1,
        kind: "model",
        name: "m",
        call_id: "",
        input_hash: "",
        input: None,
        fence: 7,
        bound_cost: 0,
        bound_tokens: 0,
        scopes: "",
        tariff: "",
    };
    act!(store, tx => {
        task::insert(tx, &ready(1, "ada")).await?;
        step::start(tx, &new(1)).await?;
        // Claimed anew, under token 8.
        task::start(tx, task_id(1), 1, 8, ("worker", tx.now())).await
    });
    let finish = |fence| {
        let store = store.clone();
        async move { act!(store, tx => step::finish(tx, step_at(1), fence, "done", (None, None)).await).is_some() }
    };
    assert!(!finish(9).await, "nobody holds it under this token, nor began the step");
    assert!(finish(8).await, "whoever holds the task");
    assert!(!finish(7).await, "done already");
}

/// Cuts its own connection the first time it runs, with statements under way before and after.
struct Cut(Arc<AtomicBool>);

impl UseCase for Cut {
    type Out = ();

    fn ws(&self) -> WorkspaceId {
        WS
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<()> {
        tx.put(USER, p![WS, Uuid::from_u128(1), "cut"]).await?;
        if !self.0.swap(true, Ordering::SeqCst) {
            tx.put("SELECT pg_terminate_backend(pg_backend_pid())", p![]).await?;
        }
        tx.put("UPDATE users SET role = 'operator' WHERE ws = $1 AND name = 'cut'", p![WS]).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_cut_between_statements_is_made_again() {
    let place = Place::postgres();
    let store = place.open().await;
    let held = hold(&store).await;
    let cut = Arc::new(AtomicBool::new(false));
    let (mut one, mut two) = (pin!(store.run(add(WS, "one"))), pin!(store.run(Cut(Arc::clone(&cut)))));
    let mut three = pin!(store.run(add(WS, "three")));
    assert!(poll(&mut one).await.is_pending());
    assert!(poll(&mut two).await.is_pending());
    assert!(poll(&mut three).await.is_pending());
    held.release().await;
    let (one, two, three) = tokio::join!(one, two, three);
    one.expect("stored once");
    two.expect("COMMIT was not sent, so it is known that nothing was stored, and it runs again");
    three.expect("stored once");
    assert!(cut.load(Ordering::SeqCst));
    assert_eq!(store.read(Names(WS)).await.expect("names"), ["cut", "one", "three"]);
    assert_eq!(store.verify().await.expect("verified").problems, []);
}

/// The number of the transaction, which changes something or not.
struct Number {
    writes: bool,
}

impl UseCase for Number {
    type Out = String;

    fn ws(&self) -> WorkspaceId {
        WS
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<String> {
        if self.writes {
            tx.put("UPDATE meta SET value = value WHERE key = 'fencing_epoch'", p![]).await?;
        }
        tx.one("SELECT CAST(pg_current_xact_id() AS TEXT)", p![]).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_changed_nothing_does_not_wait_for_the_disk() {
    let place = Place::postgres();
    let store = place.open().await;
    let beside = place.pg.as_ref().expect("on PostgreSQL").connect().await;
    for (writes, expected) in [(false, "aborted"), (true, "committed")] {
        let number = store.run(Number { writes }).await.expect("done");
        let status = beside.query_one(&format!("SELECT pg_xact_status('{number}'::xid8)"), &[]).await.expect("known");
        assert_eq!(status.get::<_, Option<String>>(0).as_deref(), Some(expected));
    }
}

/// Fills a table faster than the server's own routine comes by.
async fn fill(store: &Store) {
    for part in 0..10_u128 {
        act!(store, tx => {
            for n in part * 300..(part + 1) * 300 {
                tx.put(USER, p![WS, Uuid::from_u128(n), format!("user-{n:05}")]).await?;
            }
            Ok(())
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_grows_is_analyzed_at_once() {
    let place = Place::postgres();
    let store = place.open().await;
    fill(&store).await;
    let beside = place.pg.as_ref().expect("on PostgreSQL").connect().await;
    let known = "SELECT reltuples >= 1000 FROM pg_class WHERE oid = 'users'::regclass";
    let analyzed = async {
        while !beside.query_one(known, &[]).await.expect("told").get::<_, bool>(0) {
            // The server waits, and something is written meanwhile: only then is anybody to look.
            beside.batch_execute("SELECT pg_sleep(0.05)").await.expect("waited");
            store.run(Number { writes: true }).await.expect("written");
        }
    };
    tokio::time::timeout(SOON, analyzed).await.expect("long before autovacuum would");
    store.close().await.expect("closed");
}
