//! The data folder of SQLite: one writer, any number of readers beside it.

use convoke_domain::id::WorkspaceId;
use convoke_store::{Options, Store};

use crate::support::{Names, Place, add, cases};

const WS: WorkspaceId = WorkspaceId::DEFAULT;

cases! { a_closed_store_says_so }

#[tokio::test]
async fn a_second_writer_is_refused_and_told_who_holds_the_folder() {
    let place = Place::sqlite();
    let store = place.open().await;
    let error = Store::open_sqlite(place.dir.path(), Options::default()).await.err().expect("refused");
    let (dir, pid) = (place.dir.path().display(), std::process::id());
    assert_eq!(error.to_string(), format!("the data folder {dir} is in use by process {pid}"));
    assert_eq!(error.code(), "in_use");
    drop(store);
    place.open().await;
}

#[tokio::test]
async fn a_reader_sees_what_the_writer_commits() {
    let place = Place::sqlite();
    let error = Store::open_reader(place.dir.path(), Options::default()).await.err().expect("nothing there");
    assert_eq!(error.code(), "missing");
    let writer = place.open().await;
    let reader = Store::open_reader(place.dir.path(), Options::default()).await.expect("opens beside the writer");
    writer.run(add(WS, "ada")).await.expect("added");
    assert_eq!(reader.read(Names(WS)).await.expect("names"), ["ada"]);
    let error = reader.run(add(WS, "bob")).await.expect_err("a reader");
    assert_eq!(error.to_string(), "the store was opened for reading only, or is closed");
    writer.close().await.expect("closed");
    assert_eq!(reader.read(Names(WS)).await.expect("names"), ["ada"], "and after the writer is gone");
}

#[tokio::test]
async fn a_damaged_database_is_named_as_such() {
    let place = Place::sqlite();
    place.open().await.close().await.expect("closed");
    let path = place.dir.path().join("convoke.db");
    let mut bytes = std::fs::read(&path).expect("read");
    bytes[..100].fill(0x5a);
    std::fs::write(&path, bytes).expect("written");
    let error = Store::open_reader(place.dir.path(), Options::default()).await.err().expect("damaged");
    assert_eq!(error.code(), "broken");
    assert!(error.to_string().starts_with("the database is damaged; restore a backup"), "{error}");
}

#[tokio::test]
async fn the_log_begins_anew_while_it_is_written() {
    const COMMITS: u64 = 2_000;
    let place = Place::sqlite();
    let store = place.open().await;
    let log = || std::fs::metadata(place.dir.path().join("convoke.db-wal")).expect("a log").len();
    let mut each = 0;
    for n in 1..=COMMITS {
        store.run(add(WS, format!("user-{n}"))).await.expect("added");
        if n == 50 {
            each = log() / n;
        }
    }
    let written = each * COMMITS;
    assert!(written > 4 * (4 << 20), "too little was written to say: {written} bytes");
    assert!(log() < written / 2, "the log has {} bytes of {written} that were written", log());
    assert_eq!(store.read(Names(WS)).await.expect("names").len() as u64, COMMITS);
    store.close().await.expect("closed");
    assert!(!place.dir.path().join("convoke.db-wal").exists(), "what remains in the log is moved at the end");
}

async fn a_closed_store_says_so(place: Place) {
    let store = place.open().await;
    let mut early = store.subscribe();
    store.close().await.expect("closed");
    assert_eq!(store.run(add(WS, "ada")).await.expect_err("closed").code(), "unavailable");
    assert_eq!(store.read(Names(WS)).await.expect_err("closed").code(), "unavailable");
    assert_eq!(store.migrate_to(0).await.expect_err("closed").code(), "unavailable");
    assert_eq!(early.next().await, None, "a feed ends with its store");
    assert_eq!(store.subscribe().next().await, None, "and one that comes too late at once");
    store.close().await.expect("closing twice is fine");
}

#[cfg(unix)]
#[tokio::test]
async fn the_database_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).expect("rights");
    let store = Store::open_sqlite(dir.path(), Options::default()).await.expect("a store");
    for name in ["convoke.db", "convoke.db-wal"] {
        let mode = std::fs::metadata(dir.path().join(name)).expect(name).permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    store.close().await.expect("closed");
}
