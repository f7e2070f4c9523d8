//! Faults of the disk: a full one costs one use case, a failed commit stops the store.

use std::pin::pin;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use convoke_domain::id::WorkspaceId;
use convoke_store::{Error, OnPoison, Options, Result, Store, Tx, UseCase, blob, p};

use crate::support::{Names, Place, add, hold, poll};

const WS: WorkspaceId = WorkspaceId::DEFAULT;
/// Set in the process that runs with a limited file size; names its data folder.
const LIMITED: &str = "CONVOKE_TEST_LIMITED_FOLDER";

/// A blob of `size` bytes that differ by `n`.
struct Fill {
    n: u8,
    size: usize,
}

impl UseCase for Fill {
    type Out = ();

    fn ws(&self) -> WorkspaceId {
        WS
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<()> {
        blob::put(tx, &vec![self.n; self.size]).await.map(drop)
    }
}

struct Pragma(&'static str);

impl UseCase for Pragma {
    type Out = ();

    fn ws(&self) -> WorkspaceId {
        WS
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<()> {
        tx.many::<i64>(self.0, p![]).await.map(drop)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_database_fails_the_large_one_and_keeps_its_neighbours() {
    let place = Place::sqlite();
    let store = place.open().await;
    store.run(Pragma("PRAGMA max_page_count=200")).await.expect("set");
    let held = hold(&store).await;
    let mut before = pin!(store.run(add(WS, "before")));
    let mut full = pin!(store.run(Fill { n: 1, size: 4 << 20 }));
    let mut after = pin!(store.run(add(WS, "after")));
    assert!(poll(&mut before).await.is_pending());
    assert!(poll(&mut full).await.is_pending());
    assert!(poll(&mut after).await.is_pending());
    held.release().await;
    let (before, full, after) = tokio::join!(before, full, after);
    before.expect("kept");
    after.expect("kept");
    let full = full.expect_err("no room");
    assert_eq!(full.to_string(), "the disk is full; nothing of this was stored. Free space and try again");
    store.run(Pragma("PRAGMA max_page_count=100000")).await.expect("set");
    store.run(Fill { n: 1, size: 4 << 20 }).await.expect("room again");
    assert_eq!(store.read(Names(WS)).await.expect("names"), ["after", "before"]);
    assert_eq!(store.verify().await.expect("verified").problems, []);
}

/// Leaves a key check to the commit, where it fails.
struct Deferred;

impl UseCase for Deferred {
    type Out = ();

    fn ws(&self) -> WorkspaceId {
        WS
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<()> {
        tx.exec("PRAGMA defer_foreign_keys=ON", p![]).await?;
        let nowhere = uuid::Uuid::from_u128(404);
        let sql = "INSERT INTO users (ws, id, name, role, created_at) VALUES ($1, $1, 'x', 'viewer', 0)";
        tx.exec(sql, p![nowhere]).await.map(drop)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_that_fails_in_the_commit_fails_alone() {
    let place = Place::sqlite();
    let store = place.open().await;
    let held = hold(&store).await;
    let (mut one, mut bad) = (pin!(store.run(add(WS, "one"))), pin!(store.run(Deferred)));
    let mut two = pin!(store.run(add(WS, "two")));
    assert!(poll(&mut one).await.is_pending());
    assert!(poll(&mut bad).await.is_pending());
    assert!(poll(&mut two).await.is_pending());
    held.release().await;
    let (one, bad, two) = tokio::join!(one, bad, two);
    one.expect("kept");
    two.expect("kept");
    assert!(matches!(bad, Err(Error::Conflict(_))), "{bad:?}");
    assert_eq!(store.verify().await.expect("verified").problems, []);
}

/// The system refuses to let the log grow, in the middle of a commit: an I/O error, not "disk full".
///
/// The limit is per process, so the test starts itself again under `ulimit`, and this process then looks at what is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_commit_stops_the_store_and_loses_nothing_answered() {
    if let Ok(dir) = std::env::var(LIMITED) {
        return fill_until_it_fails(dir.as_ref()).await;
    }
    let place = Place::sqlite();
    place.open().await.close().await.expect("closed");
    let me = std::env::current_exe().expect("this program");
    let script = "trap '' XFSZ; ulimit -f 4096; exec \"$0\" --exact \"$1\" --nocapture --test-threads 1";
    let case = "fault::a_failed_commit_stops_the_store_and_loses_nothing_answered";
    let output = Command::new("sh").args(["-c", script]).arg(me).arg(case).env(LIMITED, place.dir.path()).output();
    let output = output.expect("sh runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let answered: usize = text.lines().find_map(|line| line.strip_prefix("answered ")?.parse().ok()).expect("a count");
    assert!(answered > 0, "the limit must not be hit by the first");

    let store = place.open().await;
    let names = store.read(Names(WS)).await.expect("names");
    assert!(names.len() == answered || names.len() == answered + 1, "{} of {answered}", names.len());
    assert_eq!(store.verify().await.expect("verified").problems, []);
}

/// Grows the log past the limit by one large row at a time.
async fn fill_until_it_fails(dir: &std::path::Path) {
    let told = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&told);
    let on_poison: OnPoison = Arc::new(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let options = Options { on_poison: Some(on_poison), ..Options::default() };
    let store = Store::open_sqlite(dir, options).await.expect("opens");
    let mut answered = 0;
    let failed = loop {
        let name = format!("{answered:03}-{}", "x".repeat(100_000));
        match store.run(add(WS, name)).await {
            Ok(_) => answered += 1,
            Err(error) => break error,
        }
        assert!(answered < 1_000, "the limit was never reached");
    };
    assert!(matches!(failed, Error::Unknown(_)), "{failed:?}");
    let later = store.run(add(WS, "later")).await.expect_err("stopped");
    assert!(later.to_string().contains("restart to recover from its log"), "{later}");
    store.read(Names(WS)).await.expect_err("reads stop too");
    assert_eq!(told.load(Ordering::SeqCst), 1);
    println!("\nanswered {answered}");
}
