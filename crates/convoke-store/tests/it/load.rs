//! Writers that remember what they were answered, to compare with what is stored in the end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use convoke_domain::id::WorkspaceId;
use convoke_store::{Error, Store};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::support::{Names, add};

/// What writers were answered, by the names that they added.
#[derive(Default)]
pub struct Answers {
    pub added: BTreeSet<String>,
    pub refused: BTreeSet<String>,
    pub unknown: BTreeSet<String>,
}

/// Writers at work.
pub struct Load {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
    more: Arc<Notify>,
    writers: Vec<JoinHandle<Answers>>,
}

impl Load {
    /// Starts `writers` that add users to `ws` through `store`; their names begin with `prefix`.
    pub fn start(store: &Store, ws: WorkspaceId, prefix: &str, writers: usize) -> Self {
        let mut load = Self { stop: Arc::default(), count: Arc::default(), more: Arc::default(), writers: Vec::new() };
        for writer in 0..writers {
            let (store, prefix) = (store.clone(), format!("{prefix}-{writer}"));
            let (stop, count, more) = (Arc::clone(&load.stop), Arc::clone(&load.count), Arc::clone(&load.more));
            load.writers.push(tokio::spawn(async move {
                let mut answers = Answers::default();
                for n in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let name = format!("{prefix}-{n:06}");
                    match store.run(add(ws, name.clone())).await {
                        Ok(_) => {
                            answers.added.insert(name);
                            count.fetch_add(1, Ordering::Relaxed);
                            more.notify_waiters();
                        }
                        Err(Error::Unavailable(_)) => drop(answers.refused.insert(name)),
                        Err(Error::Unknown(_)) => drop(answers.unknown.insert(name)),
                        Err(other) => panic!("a writer was answered {other:?}"),
                    }
                }
                answers
            }));
        }
        load
    }

    /// Waits until `count` more were added.
    pub async fn more(&self, count: usize) {
        let until = self.count.load(Ordering::Relaxed) + count;
        loop {
            let told = self.more.notified();
            if self.count.load(Ordering::Relaxed) >= until {
                return;
            }
            told.await;
        }
    }

    /// Ends the writers and tells what they were answered.
    pub async fn stop(self) -> Answers {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Answers::default();
        for writer in self.writers {
            let mut answers = writer.await.expect("a writer does not panic");
            all.added.append(&mut answers.added);
            all.refused.append(&mut answers.refused);
            all.unknown.append(&mut answers.unknown);
        }
        all
    }
}

impl Answers {
    /// The answers of two loads on one workspace hold together.
    pub async fn hold_with(mut self, other: Self, store: &Store, ws: WorkspaceId) {
        self.added.extend(other.added);
        self.refused.extend(other.refused);
        self.unknown.extend(other.unknown);
        self.hold(store, ws).await;
    }

    /// All that was acknowledged is stored, and nothing that was said not to be.
    pub async fn hold(&self, store: &Store, ws: WorkspaceId) {
        let names: BTreeSet<String> = store.read(Names(ws)).await.expect("names").into_iter().collect();
        let lost: Vec<_> = self.added.difference(&names).collect();
        assert!(lost.is_empty(), "acknowledged but not stored: {lost:?}");
        let ghosts: Vec<_> = self.refused.intersection(&names).collect();
        assert!(ghosts.is_empty(), "said not to be stored, but stored: {ghosts:?}");
        let strange: Vec<_> = names.iter().filter(|n| !self.added.contains(*n) && !self.unknown.contains(*n)).collect();
        assert!(strange.is_empty(), "stored, but nobody was told: {strange:?}");
    }
}
