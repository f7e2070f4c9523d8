//! Several nodes on one PostgreSQL database. Two stores in one process share nothing but the database.

use convoke_domain::id::WorkspaceId;
use convoke_store::{Options, Result, Store, Tx, UseCase, migrate, p};

use crate::load::Load;
use crate::support::{Place, workspace};

const WS: WorkspaceId = WorkspaceId::DEFAULT;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_write_one_workspace_without_gaps_or_forks() {
    let place = Place::postgres();
    let (here, there) = (place.open().await, place.open().await);
    let mut feed = here.subscribe();
    let (one, two) = (Load::start(&here, WS, "here", 12), Load::start(&there, WS, "there", 12));
    one.more(200).await;
    two.more(200).await;
    let (one, two) = (one.stop().await, two.stop().await);
    assert!(one.refused.is_empty() && two.refused.is_empty(), "{:?} {:?}", one.refused, two.refused);
    let stored = one.added.len() + two.added.len();
    let report = here.verify().await.expect("verified");
    assert_eq!((report.problems, report.events as usize), (vec![], stored + 1));
    let mut heard = 0;
    for _ in 0..one.added.len() {
        let event = feed.next().await.expect("open").expect("not slow");
        assert!(event.seq > heard, "in order");
        heard = event.seq;
    }
}

/// Looks at a counter, then writes it: right only if nobody writes between the two.
struct Count;

impl UseCase for Count {
    type Out = i64;

    fn ws(&self) -> WorkspaceId {
        WS
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<i64> {
        let seen: i64 = tx.one("SELECT CAST(value AS BIGINT) FROM meta WHERE key='count'", p![]).await?;
        let next = seen + 1;
        tx.exec("UPDATE meta SET value=$1 WHERE key='count'", p![next.to_string()]).await?;
        Ok(next)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_use_case_saw_still_holds_when_it_writes() {
    let place = Place::postgres();
    let nodes = [place.open().await, place.open().await];
    crate::support::run(&nodes[0], |tx| Box::pin(async move { convoke_store::meta::set(tx, "count", "0").await }))
        .await
        .expect("set");
    let mut tasks = Vec::new();
    for n in 0..16 {
        let node = nodes[n % 2].clone();
        tasks.push(tokio::spawn(async move {
            for _ in 0..25 {
                node.run(Count).await.expect("counted");
            }
        }));
    }
    for task in tasks {
        task.await.expect("no panic");
    }
    assert_eq!(nodes[0].run(Count).await.expect("counted"), 16 * 25 + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_start_at_once_take_turns_with_the_schema() {
    let place = Place::postgres();
    let pg = place.pg.as_ref().expect("on PostgreSQL");
    let open = || Store::open_postgres(&pg.url, pg.options(), Options::default());
    let (a, b, c, d) = tokio::join!(open(), open(), open(), open());
    for store in [a, b, c, d] {
        let store = store.expect("opens");
        assert_eq!(store.schema_version().await.expect("known"), migrate::LATEST);
        assert_eq!(store.events_after(WS, 0, None, 10).await.expect("events").len(), 1, "made once");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_workspace_is_written_from_two_nodes() {
    let place = Place::postgres();
    let (here, there) = (place.open().await, place.open().await);
    for n in 0..10 {
        let ws = workspace(&here, n).await;
        let (one, two) = (Load::start(&here, ws, "here", 2), Load::start(&there, ws, "there", 2));
        one.more(2).await;
        two.more(2).await;
        one.stop().await.hold_with(two.stop().await, &here, ws).await;
    }
    assert_eq!(here.verify().await.expect("verified").problems, []);
}
