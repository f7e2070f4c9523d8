//! Reading: beside the writer, on one snapshot, and never writing.

use convoke_domain::id::WorkspaceId;
use convoke_store::blob::{self, BlobHash, MAX_BLOB};
use convoke_store::{Error, Result, Tx, UseCase};

use crate::support::{Names, Place, add, cases};

const WS: WorkspaceId = WorkspaceId::DEFAULT;

cases! { reads_see_all_that_was_answered, a_read_cannot_write, blobs_are_kept_once_and_bounded }

async fn reads_see_all_that_was_answered(place: Place) {
    let store = place.open().await;
    let mut tasks = Vec::new();
    for writer in 0..8 {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            for n in 0..20 {
                let name = format!("user-{writer}-{n}");
                store.run(add(WS, name.clone())).await.expect("added");
                assert!(store.read(Names(WS)).await.expect("names").contains(&name), "{name} was answered");
            }
        }));
    }
    for task in tasks {
        task.await.expect("no panic");
    }
    assert_eq!(store.read(Names(WS)).await.expect("names").len(), 160);
}

async fn a_read_cannot_write(place: Place) {
    let store = place.open().await;
    let error = store.read(add(WS, "nobody")).await.expect_err("a read");
    assert!(error.to_string().contains("only to read"), "{error}");
    assert!(store.read(Names(WS)).await.expect("names").is_empty());
}

struct Put(Vec<u8>);

impl UseCase for Put {
    type Out = BlobHash;

    fn ws(&self) -> WorkspaceId {
        WS
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<BlobHash> {
        blob::put(tx, &self.0).await
    }
}

struct Get(BlobHash);

impl UseCase for Get {
    type Out = Vec<u8>;

    fn ws(&self) -> WorkspaceId {
        WS
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Vec<u8>> {
        blob::get(tx, self.0).await
    }
}

async fn blobs_are_kept_once_and_bounded(place: Place) {
    let store = place.open().await;
    let hash = store.run(Put(b"body".to_vec())).await.expect("kept");
    assert_eq!(store.run(Put(b"body".to_vec())).await.expect("kept again"), hash);
    assert_eq!(store.read(Get(hash)).await.expect("found"), b"body");
    let nothing = BlobHash::of(b"nothing");
    assert!(matches!(store.read(Get(nothing)).await, Err(Error::Missing { noun: "blob", .. })));
    assert_eq!(nothing.to_string().parse::<BlobHash>().expect("its own text"), nothing);
    let error = store.run(Put(vec![0; MAX_BLOB + 1])).await.expect_err("too large");
    assert_eq!(error.to_string(), "a blob holds at most 16777216 bytes; this one has 16777217");
}
