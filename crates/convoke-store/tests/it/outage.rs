//! PostgreSQL goes away while work goes on: nothing acknowledged is lost, and work goes on again.

use std::time::Duration;

use convoke_domain::id::WorkspaceId;
use convoke_store::{Error, Options, PgOptions, Store};

use crate::load::Load;
use crate::server::Server;
use crate::support::{Names, Place, add, workspace};

const WS: WorkspaceId = WorkspaceId::DEFAULT;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_connections_lose_nothing_that_was_answered() {
    let place = Place::postgres();
    let store = place.open().await;
    let other = workspace(&store, 1).await;
    let admin = place.pg.as_ref().expect("on PostgreSQL").connect().await;
    let (one, two) = (Load::start(&store, WS, "one", 6), Load::start(&store, other, "two", 6));
    let cut = "SELECT pg_terminate_backend(l.pid) FROM pg_locks l WHERE l.relation = 'ws_head'::regclass";
    let mut count = 0;
    while count < 30 {
        one.more(5).await;
        count += admin.query(cut, &[]).await.expect("cut").len();
    }
    one.more(5).await;
    two.more(5).await;
    let (one, two) = (one.stop().await, two.stop().await);
    one.hold(&store, WS).await;
    two.hold(&store, other).await;
    assert_eq!(store.verify().await.expect("verified").problems, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_crashes_under_load_loses_nothing_that_was_answered() {
    let mut server = Server::start();
    let (pg, options) = (PgOptions { lanes: 3, ..PgOptions::default() }, Options::default());
    let store = Store::open_postgres(&server.url(), pg, options).await.expect("the store opens over a socket");
    let other = workspace(&store, 1).await;
    let (one, two) = (Load::start(&store, WS, "one", 8), Load::start(&store, other, "two", 8));
    for _ in 0..3 {
        one.more(50).await;
        server = tokio::task::spawn_blocking(move || {
            server.crash();
            server.up();
            server
        })
        .await
        .expect("the server is back");
    }
    one.more(50).await;
    two.more(50).await;
    let (one, two) = (one.stop().await, two.stop().await);
    one.hold(&store, WS).await;
    two.hold(&store, other).await;
    assert_eq!(store.verify().await.expect("verified").problems, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stays_away_is_told_and_found_again() {
    let mut server = Server::start();
    let pg = PgOptions { reconnect_for: Duration::from_millis(200), ..PgOptions::default() };
    let store = Store::open_postgres(&server.url(), pg.clone(), Options::default()).await.expect("opens");
    store.run(add(WS, "before")).await.expect("added");
    store.read(Names(WS)).await.expect("read");
    server.crash();
    let error = store.run(add(WS, "meanwhile")).await.expect_err("nobody is there");
    assert!(matches!(&error, Error::Unavailable(why) if why.contains("cannot be used")), "{error:?}");
    assert_eq!(store.read(Names(WS)).await.expect_err("nobody is there").code(), "unavailable");
    let opened = Store::open_postgres(&server.url(), pg, Options::default()).await;
    assert_eq!(opened.err().expect("nobody is there").code(), "unavailable");
    server.up();
    store.run(add(WS, "after")).await.expect("added");
    assert_eq!(store.read(Names(WS)).await.expect("names"), ["after", "before"]);
}
