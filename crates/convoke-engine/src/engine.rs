//! The engine: the store, the ports and the settings in one handle that is cheap to clone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use convoke_domain::event::{Kind, NewEvent};
use convoke_domain::id::{RunId, TaskId, WorkspaceId};
use convoke_domain::spec::RunSpec;
use convoke_domain::time::Timestamp;
use convoke_port::clock::Clock;
use convoke_port::model::Models;
use convoke_port::tool::Tools;
use convoke_store::{Store, Tx};
use serde_json::Value;
use tokio::sync::{Notify, Semaphore, broadcast, watch};
use tokio_util::sync::CancellationToken;

use crate::pulse::Pulse;
use crate::schema::Schemas;
use crate::{Config, Result};

/// Pulses kept for a watcher that is slow.
const PULSES: usize = 1_024;
/// Specs kept in memory.
const SPECS: usize = 256;

/// An attempt that is driven here, and how it is reached.
pub(crate) struct Driven {
    /// Its run.
    pub run: RunId,
    /// The token it was claimed under.
    pub fence: i64,
    /// Cuts all of it.
    pub cancel: CancellationToken,
    /// Cuts the model call that is under way, and no more.
    pub cut: Arc<Notify>,
}

/// The engine, as one workspace sees it. Clones share everything.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
    ws: WorkspaceId,
}

struct Inner {
    store: Store,
    models: Arc<dyn Models>,
    tools: Arc<dyn Tools>,
    clock: Arc<dyn Clock>,
    config: Config,
    worker: String,
    specs: Mutex<HashMap<String, Arc<RunSpec>>>,
    schemas: Schemas,
    driving: Mutex<HashMap<TaskId, Driven>>,
    abandoned: Mutex<BTreeMap<WorkspaceId, Vec<(TaskId, i64)>>>,
    slots: Arc<Semaphore>,
    wake: Notify,
    look_again: Notify,
    stop: Mutex<Option<CancellationToken>>,
    /// Workspaces that may have work.
    workspaces: Mutex<BTreeSet<WorkspaceId>>,
    pulses: broadcast::Sender<Pulse>,
    unrecorded: watch::Sender<Option<String>>,
    /// Things that were told of, and are told of once.
    told: Mutex<BTreeSet<String>>,
}

impl Engine {
    /// An engine over an open store.
    pub fn new(
        store: Store,
        models: Arc<dyn Models>,
        tools: Arc<dyn Tools>,
        clock: Arc<dyn Clock>,
        config: Config,
    ) -> Self {
        let worker = format!("worker-{:016x}", fastrand::u64(..));
        let slots = Arc::new(Semaphore::new(config.concurrency));
        let (pulses, _) = broadcast::channel(PULSES);
        let ws = config.workspace;
        Self {
            ws,
            inner: Arc::new(Inner {
                store,
                models,
                tools,
                clock,
                config,
                worker,
                specs: Mutex::default(),
                schemas: Schemas::default(),
                driving: Mutex::default(),
                abandoned: Mutex::default(),
                slots,
                wake: Notify::new(),
                look_again: Notify::new(),
                stop: Mutex::default(),
                workspaces: Mutex::new(BTreeSet::from([ws])),
                pulses,
                unrecorded: watch::Sender::new(None),
                told: Mutex::default(),
            }),
        }
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// What happens right now, for those who watch.
    pub fn pulses(&self) -> broadcast::Receiver<Pulse> {
        self.inner.pulses.subscribe()
    }

    /// Why what happens cannot be stored, from when that was first so since the pool began to work. Whoever waits for a run
    /// should heed it: nothing may go on.
    pub fn unrecorded(&self) -> watch::Receiver<Option<String>> {
        self.inner.unrecorded.subscribe()
    }

    /// Notes that what happens cannot be stored; the first reason is kept.
    pub(crate) fn note_unrecorded(&self, why: &crate::Error) {
        self.inner.unrecorded.send_if_modified(|known| {
            let is_first = known.is_none();
            known.get_or_insert_with(|| why.to_string());
            is_first
        });
    }

    /// The same engine as another workspace sees it. Its pool works for all of them.
    #[must_use]
    pub fn within(&self, ws: WorkspaceId) -> Self {
        self.know([ws]);
        Self { inner: Arc::clone(&self.inner), ws }
    }

    pub(crate) fn ws(&self) -> WorkspaceId {
        self.ws
    }

    /// Remembers workspaces that may have work.
    pub(crate) fn know(&self, found: impl IntoIterator<Item = WorkspaceId>) {
        self.inner.workspaces.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
    }

    /// The workspaces that may have work.
    pub(crate) fn workspaces(&self) -> Vec<WorkspaceId> {
        self.inner.workspaces.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    pub(crate) fn models(&self) -> &dyn Models {
        self.inner.models.as_ref()
    }

    pub(crate) fn tools(&self) -> &dyn Tools {
        self.inner.tools.as_ref()
    }

    pub(crate) fn worker_name(&self) -> &str {
        &self.inner.worker
    }

    pub(crate) fn schemas(&self) -> &Schemas {
        &self.inner.schemas
    }

    pub(crate) fn slots(&self) -> &Arc<Semaphore> {
        &self.inner.slots
    }

    pub(crate) fn wake(&self) -> &Notify {
        &self.inner.wake
    }

    /// Rung when attempts that are driven here may have lost their task: the pool looks at once.
    pub(crate) fn look_again(&self) -> &Notify {
        &self.inner.look_again
    }

    /// Whether this thing is to be told of: not if it was, and not after `most` of them.
    pub(crate) fn tell_once(&self, what: String, most: usize) -> bool {
        let mut told = self.inner.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.len() < most && told.insert(what)
    }

    pub(crate) fn pulse(&self, pulse: Pulse) {
        // Nobody has to be watching.
        let _ = self.inner.pulses.send(pulse);
    }

    /// A fresh id in time order.
    pub fn fresh(&self) -> uuid::Uuid {
        convoke_domain::id::derive(self.now(), &[&fastrand::u128(..).to_be_bytes()])
    }

    /// The spec behind a digest, from memory or from the store.
    pub(crate) async fn spec(&self, digest: &str) -> Result<Arc<RunSpec>> {
        if let Some(spec) = self.remembered(digest) {
            return Ok(spec);
        }
        let body = self.store().read(crate::run::LoadSpec { ws: self.ws(), digest: digest.parse()? }).await?;
        let spec: RunSpec = serde_json::from_slice(&body).map_err(convoke_store::Error::from)?;
        Ok(self.remember(digest, Arc::new(spec)))
    }

    pub(crate) fn remembered(&self, digest: &str) -> Option<Arc<RunSpec>> {
        self.inner.specs.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned()
    }

    pub(crate) fn remember(&self, digest: &str, spec: Arc<RunSpec>) -> Arc<RunSpec> {
        let mut specs = self.inner.specs.lock().unwrap_or_else(PoisonError::into_inner);
        if specs.len() >= SPECS {
            specs.clear();
        }
        specs.insert(digest.to_owned(), Arc::clone(&spec));
        spec
    }

    /// Remembers which attempt is driven here, so that a cancellation reaches its running call.
    pub(crate) fn register(&self, task: TaskId, driven: Driven) {
        self.driving().insert(task, driven);
    }

    /// Cuts the model call that is under way for a task, if it is driven here: there is something to read first.
    pub(crate) fn cut(&self, task: TaskId) {
        if let Some(driven) = self.driving().get(&task) {
            // Kept for a call that is about to be made; one that is not made yet sees the mail itself.
            driven.cut.notify_one();
        }
    }

    pub(crate) fn unregister(&self, task: TaskId, fence: i64) {
        let mut driving = self.driving();
        if driving.get(&task).is_some_and(|driven| driven.fence == fence) {
            driving.remove(&task);
        }
    }

    /// Remembers an attempt that nobody drives here any more, though this worker holds its lease.
    pub(crate) fn abandon(&self, task: TaskId, fence: i64) {
        self.abandoned().entry(self.ws).or_default().push((task, fence));
    }

    /// Such attempts; whoever takes them puts them back.
    pub(crate) fn take_abandoned(&self) -> BTreeMap<WorkspaceId, Vec<(TaskId, i64)>> {
        std::mem::take(&mut self.abandoned())
    }

    fn abandoned(&self) -> std::sync::MutexGuard<'_, BTreeMap<WorkspaceId, Vec<(TaskId, i64)>>> {
        self.inner.abandoned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cancels every attempt of a run that is driven here.
    pub(crate) fn interrupt(&self, run: RunId) {
        self.driving().values().filter(|driven| driven.run == run).for_each(|driven| driven.cancel.cancel());
    }

    /// Cancels the attempt of a task, if it is driven here.
    pub(crate) fn interrupt_task(&self, task: TaskId) {
        if let Some(driven) = self.driving().get(&task) {
            driven.cancel.cancel();
        }
    }

    /// The attempts that are driven here now.
    pub(crate) fn driving_now(&self) -> Vec<(TaskId, i64)> {
        self.driving().iter().map(|(task, driven)| (*task, driven.fence)).collect()
    }

    /// Cancels these attempts, where they are still driven here.
    pub(crate) fn interrupt_these(&self, lost: &[(TaskId, i64)]) {
        let driving = self.driving();
        for (task, fence) in lost {
            if let Some(driven) = driving.get(task).filter(|driven| driven.fence == *fence) {
                driven.cancel.cancel();
            }
        }
    }

    /// True while a pool works here and is not about to stop.
    pub(crate) fn is_working(&self) -> bool {
        self.stop_signal().as_ref().is_some_and(|stop| !stop.is_cancelled())
    }

    /// The signal of the pool here to begin nothing more.
    pub(crate) fn stopping(&self) -> CancellationToken {
        self.stop_signal().clone().unwrap_or_default()
    }

    pub(crate) fn start_working(&self) -> CancellationToken {
        let stop = CancellationToken::new();
        *self.stop_signal() = Some(stop.clone());
        self.inner.unrecorded.send_replace(None);
        stop
    }

    fn stop_signal(&self) -> std::sync::MutexGuard<'_, Option<CancellationToken>> {
        self.inner.stop.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many attempts are driven here.
    pub fn driven(&self) -> usize {
        self.driving().len()
    }

    /// How many attempts of other runs than these are driven here.
    pub fn driven_beside(&self, runs: &[RunId]) -> usize {
        self.driving().values().filter(|driven| !runs.contains(&driven.run)).count()
    }

    fn driving(&self) -> std::sync::MutexGuard<'_, HashMap<TaskId, Driven>> {
        self.inner.driving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Records that something happened: `on` which noun and id, `by` whom and within which run.
pub(crate) fn emit(tx: &mut Tx<'_>, kind: Kind, on: (&'static str, String), by: (Option<RunId>, &str), payload: Value) {
    let (entity, entity_id) = on;
    let (run, who) = by;
    tx.emit(NewEvent { kind, entity, entity_id, run, actor: who.to_owned(), payload });
}
