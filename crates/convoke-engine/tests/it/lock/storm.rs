//! A storm: many agents ask for random sets of few resources, some die while they hold them. Nobody is ever beside a
//! writer, nobody waits for ever, and whoever comes back from the dead writes nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use convoke_domain::id::{RunId, TaskId};
use convoke_domain::lock::{Item, Mode};
use convoke_engine::{Engine, Got, Holder, Which};
use convoke_testkit::hub::Hub;
use convoke_testkit::model::{FakeModels, says};
use convoke_testkit::tool::FakeTools;
use uuid::Uuid;

use super::{Chance, Hands, Kept};

const WAIT: Duration = Duration::from_secs(600);
/// A storm that lasts longer hangs.
const PATIENCE: Duration = Duration::from_secs(120);
const RESOURCES: [&str; 20] = [
    "file:shared",
    "file:shared/a",
    "file:shared/a/1",
    "file:shared/a/2",
    "file:shared/b",
    "file:shared/b/1",
    "file:shared/b/2",
    "file:shared/b/2/x",
    "topic:0",
    "topic:1",
    "topic:2",
    "topic:3",
    "topic:3/a",
    "topic:3/b",
    "topic:4",
    "topic:5",
    "topic:6",
    "topic:6/a/b/c/d",
    "topic:6/a/b",
    "topic:7",
];

struct Size {
    agents: u64,
    visits: u64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_storm_on_sqlite() {
    blow(Kept::Sqlite, Size { agents: 100, visits: 6 }, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_storm_on_postgres() {
    blow(Kept::Postgres, Size { agents: 30, visits: 4 }, 2).await;
}

/// What those who hold locks do with them: they are there, and write under their tokens.
#[derive(Default)]
struct Ground {
    /// Who is where now.
    present: Vec<(TaskId, Item)>,
    /// The token that wrote last, as a resource that checks tokens keeps it.
    written: BTreeMap<String, i64>,
    /// Those who died there: what they held, and their tokens.
    dead: Vec<(TaskId, Vec<Item>, i64)>,
    visits: u64,
    waited: u64,
    stepped_back: u64,
    refused: u64,
}

impl Ground {
    fn enter(&mut self, who: TaskId, items: &[Item], token: i64) {
        for item in items {
            let other = self.present.iter().find(|(other, there)| *other != who && there.conflicts(item));
            assert_eq!(other, None, "{who} has {item} and so has another");
            if item.mode == Mode::Exclusive {
                assert!(self.write(item, token), "{who} holds {item} under {token} and another wrote after it");
            }
        }
        self.present.extend(items.iter().map(|item| (who, item.clone())));
        self.visits += 1;
    }

    fn leave(&mut self, who: TaskId) {
        self.present.retain(|(other, _)| *other != who);
    }

    /// Writes, unless a higher token did before.
    fn write(&mut self, item: &Item, token: i64) -> bool {
        let last = self.written.entry(item.resource.to_string()).or_insert(0);
        let fits = *last <= token;
        if fits {
            *last = token;
        }
        fits
    }

    /// The dead come back and write what they were about to.
    fn wake_the_dead(&mut self) {
        for (_, items, token) in std::mem::take(&mut self.dead) {
            for item in items.iter().filter(|item| item.mode == Mode::Exclusive) {
                let newer = self.written.get(&item.resource.to_string()).is_some_and(|last| *last > token);
                assert_eq!(self.write(item, token), !newer, "{item}");
                self.refused += u64::from(newer);
            }
        }
    }
}

struct Storm {
    engine: Engine,
    ground: Mutex<Ground>,
}

impl Storm {
    fn ground(&self) -> std::sync::MutexGuard<'_, Ground> {
        self.ground.lock().expect("not poisoned")
    }

    /// Asks, and waits for its turn; `None` if it must let go of what it has first.
    async fn get(&self, who: &Holder, items: &[Item]) -> Option<i64> {
        let mut feed = self.engine.store().subscribe();
        match self.engine.acquire_locks(who.clone(), items.to_vec(), WAIT).await {
            Ok(Got::Held { token }) => return Some(token),
            Ok(_) => self.ground().waited += 1,
            Err(error) => {
                assert_eq!(error.code(), "would_deadlock", "{error}");
                self.ground().stepped_back += 1;
                return None;
            }
        }
        loop {
            let mine = self.engine.locks(Which::Task(who.task)).await.expect("locks");
            assert!(!mine.is_empty(), "{} was forgotten", who.agent);
            if mine.iter().all(|view| view.state == "held") {
                return mine.iter().map(|view| view.token).max();
            }
            // Whatever comes next, or was missed, is a reason to look again.
            let _ = feed.next().await;
        }
    }

    async fn visit(&self, who: &Holder, chance: &mut Chance) -> Fate {
        let items = chance.items(&RESOURCES, 4);
        let Some(token) = self.get(who, &items).await else { panic!("who holds nothing may always wait") };
        let mut all = items.clone();
        self.ground().enter(who.task, &items, token);
        if chance.below(3) == 0 {
            let more = chance.items(&RESOURCES, 2);
            // While it waits for more it does nothing with what it has, but still holds it.
            if let Some(token) = self.get(who, &more).await {
                self.ground().enter(who.task, &more, token);
                all.extend(more);
            }
        }
        tokio::task::yield_now().await;
        if chance.below(12) == 0 {
            let mut ground = self.ground();
            ground.leave(who.task);
            ground.dead.push((who.task, all, token));
            return Fate::Dead;
        }
        self.ground().leave(who.task);
        self.engine.release_locks(who.clone(), None).await.expect("released");
        Fate::Alive
    }

    /// The lease of who died runs out, here at once; the server finds it.
    async fn miss(&self, dead: TaskId) {
        self.engine.keep_locks(dead, Duration::ZERO).await.expect("set");
        self.engine.expire_locks().await.expect("expired");
    }
}

#[derive(PartialEq)]
enum Fate {
    Alive,
    Dead,
}

async fn live(storm: Arc<Storm>, number: u64, visits: u64, seed: u64) {
    let mut chance = Chance(seed * 1_000 + number);
    for life in 0..visits {
        // A new task each time, so that who died comes back as somebody younger.
        let task = TaskId(Uuid::from_u128(u128::from(life * 1_000 + number + 1)));
        let who = Holder { run: RunId(Uuid::from_u128(3)), task, agent: format!("agent{number}") };
        let fate = tokio::time::timeout(PATIENCE, storm.visit(&who, &mut chance)).await;
        let Ok(fate) = fate else { panic!("{} waits for ever", who.agent) };
        if fate == Fate::Dead {
            storm.miss(task).await;
        }
    }
}

async fn blow(kept: Kept, size: Size, seed: u64) {
    let (begun, dir, hands) = (Instant::now(), tempfile::tempdir().expect("a folder"), Hands::at(1_000));
    let store = kept.open(dir.path(), &hands).await;
    let models = FakeModels::new(|_| Ok(says("")));
    let hub = Hub::over(store, dir.path().join("work"), models, FakeTools::none(), |_| {});
    let storm = Arc::new(Storm { engine: hub.engine.clone(), ground: Mutex::default() });
    let agents: Vec<_> =
        (0..size.agents).map(|number| tokio::spawn(live(Arc::clone(&storm), number, size.visits, seed))).collect();
    for agent in agents {
        agent.await.expect("no violation");
    }
    storm.ground().wake_the_dead();
    assert_eq!(storm.engine.locks(Which::All).await.expect("locks"), [], "everybody left");
    let graph = storm.engine.lock_graph().await.expect("a graph");
    assert!(graph.edges.is_empty() && graph.circle.is_empty());
    let stats = storm.engine.lock_stats().await.expect("counters");
    let ground = storm.ground();
    println!(
        "seed {seed}: {} agents, {} visits, {} waits, {} stepped back, {} leases ran out, {} writes of the dead refused, {:?}",
        size.agents,
        ground.visits,
        ground.waited,
        ground.stepped_back,
        stats.expired,
        ground.refused,
        begun.elapsed()
    );
    assert!(ground.waited > size.agents && ground.refused > 0 && stats.expired > 0, "a storm must blow: {stats:?}");
    assert_eq!(u64::try_from(stats.waits), Ok(ground.waited));
}
