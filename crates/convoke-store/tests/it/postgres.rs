//! What only PostgreSQL can do wrong: schemas, time limits, conflicts between transactions, plans that went stale.

use std::pin::pin;
use std::time::Duration;

use convoke_domain::id::WorkspaceId;
use convoke_store::{Error, Options, PgOptions, Result, Store, Tx, UseCase, p};
use futures_util::future::{Either, select};

use crate::support::{Names, Place, Schema, add, hold, poll};

const WS: WorkspaceId = WorkspaceId::DEFAULT;

fn schema(place: &Place) -> &Schema {
    place.pg.as_ref().expect("on PostgreSQL")
}

async fn open_with(place: &Place, change: impl FnOnce(&mut PgOptions)) -> Store {
    let mut pg = schema(place).options();
    change(&mut pg);
    Store::open_postgres(&schema(place).url, pg, Options::default()).await.expect("the store opens")
}

/// Asks one question, which must have a number for an answer.
struct Ask(&'static str);

impl UseCase for Ask {
    type Out = i64;

    fn ws(&self) -> WorkspaceId {
        WS
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<i64> {
        tx.one(self.0, p![]).await
    }
}

#[tokio::test]
async fn a_schema_is_made_only_when_asked() {
    let pg = Schema::new();
    let options = PgOptions { create_schema: false, ..pg.options() };
    let error = Store::open_postgres(&pg.url, options, Options::default()).await.err().expect("not there");
    let name = &pg.name;
    let expected =
        format!("the database has no schema `{name}`; make it with `CREATE SCHEMA {name}`, or let Convoke make it");
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn a_session_is_set_up() {
    let place = Place::postgres();
    let store = open_with(&place, |pg| pg.application_name = "convoke-test".to_owned()).await;
    for (setting, expected) in [
        ("SELECT CAST(EXTRACT(EPOCH FROM CAST(current_setting('statement_timeout') AS INTERVAL)) AS BIGINT)", 15),
        (
            "SELECT CAST(EXTRACT(EPOCH FROM CAST(current_setting('idle_in_transaction_session_timeout') AS INTERVAL)) \
             AS BIGINT)",
            15,
        ),
        ("SELECT CAST(current_setting('application_name') = 'convoke-test' AS INT)", 1),
        ("SELECT CAST(current_setting('transaction_isolation') = 'read committed' AS INT)", 1),
        ("SELECT CAST(current_setting('plan_cache_mode') = 'force_generic_plan' AS INT)", 1),
    ] {
        assert_eq!(store.run(Ask(setting)).await.expect("known"), expected, "{setting}");
    }
    let reading = "SELECT CAST(current_setting('transaction_isolation') = 'repeatable read' AS INT)";
    assert_eq!(store.read(Ask(reading)).await.expect("known"), 1);
    let error = store.run(Ask("SELECT CAST($1 || 'x' AS BIGINT)")).await.expect_err("no parameter");
    assert!(error.to_string().contains("has 1 parameters, 0 were given"), "{error}");
    let error = store.run(Ask("SELECT SUM(seq) FROM event")).await.expect_err("a sum is NUMERIC");
    assert!(error.to_string().contains("column 1 has the type numeric, which is not read; CAST it"), "{error}");
}

#[tokio::test]
async fn events_cannot_be_changed_or_removed() {
    let place = Place::postgres();
    let store = place.open().await;
    let beside = schema(&place).connect().await;
    for change in ["UPDATE event SET kind='x'", "DELETE FROM event", "TRUNCATE event"] {
        let error = beside.batch_execute(change).await.expect_err(change);
        assert_eq!(error.as_db_error().expect("the server says").message(), "events are append-only");
    }
    beside
        .batch_execute("ALTER TABLE event DISABLE TRIGGER event_no_change; UPDATE event SET kind='x'")
        .await
        .expect("forced");
    let problems = store.verify().await.expect("verified").problems;
    let found: Vec<_> = problems.iter().map(|problem| (problem.check, problem.what.as_str())).collect();
    let expected = [
        ("chain", "its content is not what was recorded"),
        ("integrity", "it is missing or off, so events can be changed"),
    ];
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_statement_fails_alone() {
    let place = Place::postgres();
    let store = open_with(&place, |pg| pg.statement_timeout = Duration::from_secs(1)).await;
    let held = hold(&store).await;
    let (mut one, mut slow) = (pin!(store.run(add(WS, "one"))), pin!(store.run(Ask("SELECT 1 FROM pg_sleep(60)"))));
    let mut two = pin!(store.run(add(WS, "two")));
    assert!(poll(&mut one).await.is_pending());
    assert!(poll(&mut slow).await.is_pending());
    assert!(poll(&mut two).await.is_pending());
    held.release().await;
    let (one, slow, two) = tokio::join!(one, slow, two);
    one.expect("kept");
    two.expect("kept");
    assert!(matches!(&slow, Err(Error::Unavailable(why)) if why.contains("took too long")), "{slow:?}");
    assert_eq!(store.read(Names(WS)).await.expect("names"), ["one", "two"]);
}

/// Gives up a statement before its answer, in favour of something else.
struct GivesUp;

impl UseCase for GivesUp {
    type Out = ();

    fn ws(&self) -> WorkspaceId {
        WS
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<()> {
        let slow = Box::pin(tx.one::<i64>("SELECT 1 FROM pg_sleep(60)", p![]));
        let given_up = match select(slow, pin!(tokio::time::sleep(Duration::from_millis(20)))).await {
            Either::Left(_) => panic!("nobody sleeps that short"),
            Either::Right((_, slow)) => slow,
        };
        drop(given_up);
        tx.one::<i64>("SELECT 1", p![]).await.map(drop)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_is_given_up_costs_its_use_case_and_no_other() {
    let place = Place::postgres();
    let store = place.open().await;
    let held = hold(&store).await;
    let (mut one, mut bad) = (pin!(store.run(add(WS, "one"))), pin!(store.run(GivesUp)));
    assert!(poll(&mut one).await.is_pending());
    assert!(poll(&mut bad).await.is_pending());
    held.release().await;
    let (one, bad) = tokio::join!(one, bad);
    one.expect("kept");
    assert!(bad.expect_err("refused").to_string().contains("await each to its end"));
    store.run(add(WS, "two")).await.expect("the lane goes on");
    assert_eq!(store.verify().await.expect("verified").problems, []);
}

/// Waits for a statement and for something else, for too long.
struct Drags;

impl UseCase for Drags {
    type Out = ();

    fn ws(&self) -> WorkspaceId {
        WS
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<()> {
        tx.one::<i64>("SELECT 1 FROM pg_sleep(60)", p![]).await.map(drop)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_use_case_has_its_time() {
    let place = Place::postgres();
    let store = open_with(&place, |pg| pg.use_case_timeout = Duration::from_secs(2)).await;
    let error = store.run(Drags).await.expect_err("too slow");
    assert!(error.to_string().contains("Drags took longer than 2s; nothing of it was stored"), "{error}");
    let error = store.read(Drags).await.expect_err("too slow");
    assert!(error.to_string().contains("Drags took longer than 2s"), "{error}");
    store.run(add(WS, "ada")).await.expect("the lane goes on");
    assert_eq!(store.read(Names(WS)).await.expect("names"), ["ada"]);
}

#[tokio::test]
async fn a_transaction_that_lost_is_tried_again_but_not_for_ever() {
    let place = Place::postgres();
    let store = place.open().await;
    let beside = schema(&place).connect().await;
    let function = |name: &str, until: i64, code: &str| {
        format!(
            "CREATE FUNCTION {name}() RETURNS BIGINT LANGUAGE plpgsql AS $$ BEGIN
             IF nextval('tries') < {until} THEN RAISE EXCEPTION 'in the way' USING ERRCODE='{code}'; END IF;
             RETURN currval('tries'); END $$;"
        )
    };
    let functions =
        [function("twice", 3, "40001"), function("deadlock", 6, "40P01"), function("ever", 1_000_000, "40001")];
    beside.batch_execute(&format!("CREATE SEQUENCE tries; {}", functions.concat())).await.expect("made");
    assert_eq!(store.run(Ask("SELECT twice()")).await.expect("the third time"), 3);
    assert_eq!(store.run(Ask("SELECT deadlock()")).await.expect("the third time"), 6);
    let error = store.run(Ask("SELECT ever()")).await.expect_err("never");
    let expected = "other transactions were in the way 5 times (in the way); try again";
    assert_eq!((error.code(), error.to_string().as_str()), ("unavailable", expected));
}

static NUMBER: &str = "SELECT * FROM number";

#[tokio::test]
async fn a_statement_whose_table_changed_is_prepared_anew() {
    let place = Place::postgres();
    let store = place.open().await;
    let beside = schema(&place).connect().await;
    beside.batch_execute("CREATE TABLE number AS SELECT 1::bigint AS n").await.expect("made");
    for _ in 0..2 {
        assert_eq!(store.run(Ask(NUMBER)).await.expect("a number"), 1);
        assert_eq!(store.read(Ask(NUMBER)).await.expect("a number"), 1);
    }
    beside.batch_execute("ALTER TABLE number ALTER n TYPE int").await.expect("changed");
    assert_eq!(store.run(Ask(NUMBER)).await.expect("a number"), 1);
    assert_eq!(store.read(Ask(NUMBER)).await.expect("a number"), 1);
}

#[tokio::test]
async fn a_workspace_held_by_another_process_is_told_in_time() {
    let place = Place::postgres();
    let store = open_with(&place, |pg| pg.statement_timeout = Duration::from_secs(1)).await;
    let beside = schema(&place).connect().await;
    beside.batch_execute("BEGIN; SELECT 1 FROM ws_head FOR UPDATE").await.expect("held");
    let error = store.run(add(WS, "ada")).await.expect_err("held");
    assert!(
        matches!(&error, Error::Unavailable(why) if why.contains("another process holds the workspace")),
        "{error:?}"
    );
    beside.batch_execute("ROLLBACK").await.expect("let go");
    store.run(add(WS, "ada")).await.expect("added");
}

#[tokio::test]
async fn an_address_where_nobody_listens_is_told_without_the_password() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("known").port();
    drop(listener);
    let url = format!("postgres://me:secret@127.0.0.1:{port}/db");
    let error = Store::open_postgres(&url, PgOptions::default(), Options::default()).await.err().expect("nobody");
    let told = format!("{error} {error:?}");
    assert!(told.contains(&format!("PostgreSQL at me@127.0.0.1:{port}/db cannot be used")), "{told}");
    assert!(!told.contains("secret"), "{told}");
}
