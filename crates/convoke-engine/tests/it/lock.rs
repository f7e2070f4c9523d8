//! Locks on real stores: random schedules beside the machine in memory, a storm of agents, and agents that edit the same
//! file.

mod desk;
mod schedule;
mod storm;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use convoke_domain::lock::{Item, Mode};
use convoke_domain::time::Timestamp;
use convoke_store::{Options, PgOptions, Store};

/// A clock that a test sets.
#[derive(Clone)]
pub struct Hands(Arc<AtomicI64>);

impl Hands {
    pub fn at(secs: i64) -> Self {
        Self(Arc::new(AtomicI64::new(secs * 1_000_000)))
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }

    pub fn advance(&self, secs: i64) {
        self.0.fetch_add(secs * 1_000_000, Ordering::SeqCst);
    }

    fn options(&self) -> Options {
        let hands = self.clone();
        Options { clock: Arc::new(move || hands.now()), ..Options::default() }
    }
}

/// Where a case keeps its data.
#[derive(Clone, Copy, PartialEq)]
pub enum Kept {
    Sqlite,
    Postgres,
}

impl Kept {
    pub async fn open(self, dir: &Path, hands: &Hands) -> Store {
        match self {
            Self::Sqlite => Store::open_sqlite(dir, hands.options()).await.expect("a store"),
            Self::Postgres => {
                let url = std::env::var("CONVOKE_TEST_PG");
                let url = url
                    .expect("CONVOKE_TEST_PG names no PostgreSQL for tests; run `cargo xtask test`, which starts one");
                let schema = format!("lock_{}_{:08x}", std::process::id(), fastrand::u32(..));
                let options = PgOptions { schema: Some(schema), create_schema: true, ..PgOptions::default() };
                Store::open_postgres(&url, options, hands.options()).await.expect("a schema")
            }
        }
    }
}

/// Chances that all come from one seed.
pub struct Chance(pub u64);

impl Chance {
    pub fn below(&mut self, bound: u64) -> u64 {
        convoke_domain::flow::made::split_mix(&mut self.0) % bound
    }

    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).expect("small")].clone()
    }

    /// Up to `most` of these, each shared or exclusive.
    pub fn items(&mut self, names: &[&str], most: u64) -> Vec<Item> {
        let count = 1 + self.below(most);
        let items = (0..count).map(|_| Item {
            resource: self.pick(names).parse().expect("a resource"),
            mode: self.pick(&[Mode::Shared, Mode::Exclusive]),
        });
        convoke_domain::lock::canonical(items.collect()).expect("a few")
    }
}
