//! A store that takes nothing for a while: what was paid for is kept, and the work goes on when it can.
//!
//! The writer is held inside a use case of its own, behind a queue of one place, so that everything else is refused.

use std::sync::{Mutex, mpsc};
use std::time::Duration;

use convoke_domain::id::{RunId, WorkspaceId};
use convoke_engine::PulseKind;
use convoke_store::{Options, Result as Stored, Store, Tx, UseCase};
use convoke_testkit::hub::{Hub, team};
use convoke_testkit::model::{FakeModels, Gate};
use convoke_testkit::tool::FakeTools;
use serde_json::json;
use tokio::sync::oneshot;

use crate::play::usual;

/// Time in which a writer that is not held takes in what is queued, however busy the machine is.
const QUEUE_WAIT: Duration = Duration::from_millis(500);

/// Holds the writer until it is let go.
struct Hold(Mutex<Option<(oneshot::Sender<()>, mpsc::Receiver<()>)>>);

impl UseCase for Hold {
    type Out = ();

    fn ws(&self) -> WorkspaceId {
        WorkspaceId::DEFAULT
    }

    async fn run(&self, _tx: &mut Tx<'_>) -> Stored<()> {
        if let Some((entered, let_go)) = self.0.lock().expect("not poisoned").take() {
            let _ = entered.send(());
            let _ = let_go.recv();
        }
        Ok(())
    }
}

/// Fills the store, so that it refuses everything; it works again when the answer is dropped.
async fn fill(store: &Store) -> mpsc::Sender<()> {
    let ((entered, inside), (let_go, held)) = (oneshot::channel(), mpsc::channel());
    let holder = store.clone();
    tokio::spawn(async move { holder.run(Hold(Mutex::new(Some((entered, held))))).await });
    inside.await.expect("the writer comes in");
    // One more is refused because the only place in the queue is taken, or takes it and waits there.
    let filler = store.clone();
    let filled = tokio::spawn(async move { filler.try_run(Hold(Mutex::new(None))).await });
    let _ = tokio::time::timeout(Duration::from_millis(100), filled).await;
    let_go
}

/// A hub whose first call has been sent, and its run.
async fn begin(models: FakeModels, gate: &Gate, patience: Duration) -> (tempfile::TempDir, Hub, RunId) {
    let dir = tempfile::tempdir().expect("a folder");
    let options = Options { queue: 1, max_batch: 1, queue_wait: QUEUE_WAIT, ..Options::default() };
    let store = Store::open_sqlite(dir.path(), options).await.expect("a store");
    let set = |config: &mut convoke_engine::Config| config.store_patience = patience;
    let mut hub = Hub::over(store, dir.path().join("work"), models, FakeTools::none(), set);
    hub.start().await;
    let run = hub.run(team(&["logs"], json!({"rules": {"planning": "same_task"}})), "Look.").await;
    gate.held(1).await;
    (dir, hub, run)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_that_cannot_be_stored_at_once_is_kept_until_it_can() {
    let gate = Gate::default();
    let models = FakeModels::new(usual).with_gate(&gate);
    let (_dir, hub, run) = begin(models.clone(), &gate, Duration::from_secs(60)).await;
    let mut pulses = hub.engine.pulses();
    let let_go = fill(hub.engine.store()).await;
    gate.open();
    while !matches!(pulses.recv().await.expect("a pulse").kind, PulseKind::Notice(_)) {}
    drop(let_go);
    let record = hub.ended(run).await;
    assert_eq!((record.summary.state.as_str(), record.summary.model_calls), ("completed", 2));
    assert_eq!(models.calls().len(), 2, "no call was made again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_could_not_be_recorded_goes_on_when_the_store_works_again() {
    let gate = Gate::default();
    let models = FakeModels::new(usual).with_gate(&gate);
    let (_dir, hub, run) = begin(models, &gate, Duration::ZERO).await;
    let mut pulses = hub.engine.pulses();
    let let_go = fill(hub.engine.store()).await;
    gate.open();
    while !matches!(pulses.recv().await.expect("a pulse").kind, PulseKind::Unrecorded(_)) {}
    drop(let_go);
    let record = hub.ended(run).await;
    assert_eq!(record.summary.state, "completed");
    let lost: i64 = record.usage.iter().map(|usage| usage.lost_calls).sum();
    assert_eq!((record.summary.model_calls, lost), (3, 1), "the reply that was lost is billed at its bound");
    assert!(record.budgets.iter().all(|budget| budget.reserved.tokens == 0), "{:?}", record.budgets);
    assert!(hub.engine.agents().await.expect("agents").iter().all(|agent| agent.running == 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_takes_nothing_is_told_of_although_nothing_is_driven() {
    let dir = tempfile::tempdir().expect("a folder");
    let options = Options { queue: 1, max_batch: 1, queue_wait: QUEUE_WAIT, ..Options::default() };
    let store = Store::open_sqlite(dir.path(), options).await.expect("a store");
    let set = |config: &mut convoke_engine::Config| config.store_patience = Duration::from_millis(200);
    let mut hub = Hub::over(store, dir.path().join("work"), FakeModels::new(usual), FakeTools::none(), set);
    hub.start().await;
    let mut unrecorded = hub.engine.unrecorded();
    assert_eq!(*unrecorded.borrow(), None);
    let let_go = fill(hub.engine.store()).await;
    let told = tokio::time::timeout(Duration::from_secs(30), unrecorded.wait_for(Option::is_some)).await;
    let why = told.expect("in time").expect("the engine is there").clone().unwrap_or_default();
    assert!(why.contains("the write queue of the store was full"), "{why}");
    drop(let_go);
    let run = hub.run(team(&["logs"], json!({"rules": {"planning": "same_task"}})), "Look.").await;
    assert_eq!(hub.ended(run).await.summary.state, "completed", "it goes on when the store works again");
}
