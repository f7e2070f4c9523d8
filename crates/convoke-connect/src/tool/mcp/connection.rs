//! One server, kept alive: started, listed, started again when it ends, left alone when it keeps failing.
//!
//! Rule: all of it happens in a task of its own. Others see a [`State`] and wait for it as long as they like; nobody starts a
//! server twice, and the task ends with the connection or when nobody has used it for a while.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rmcp::model::Tool;
use rmcp::service::{Peer, RoleClient};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::session::{News, Session};
use super::settings::Settings;
use crate::tool::limits::{McpLimits, ToolLimits};

/// A connection that held for this long was a good one: what fails later is a first failure again.
const STEADY: Duration = Duration::from_secs(30);
/// Time between two looks whether anybody still uses it.
const LOOK: Duration = Duration::from_secs(1);

/// Where a server is.
#[derive(Debug, Clone)]
pub(crate) enum State {
    /// On its way.
    Starting,
    /// There.
    Up(Arc<Up>),
    /// Gone; it will be started again soon.
    Down(String),
    /// Gone too often; it is left alone for a while.
    Left(String),
}

/// A server that is there.
#[derive(Debug)]
pub(crate) struct Up {
    pub(crate) peer: Peer<RoleClient>,
    pub(crate) tools: Vec<Tool>,
    /// Which start of the server this is.
    start: u64,
}

/// What the task and its users share.
struct Shared {
    name: String,
    settings: Settings,
    limits: Arc<ToolLimits>,
    state: watch::Sender<State>,
    used: Mutex<Instant>,
    busy: AtomicUsize,
    /// Somebody wants it although it is left alone.
    wanted: Notify,
    /// A call found this start of it dead.
    broken: watch::Sender<u64>,
}

/// A server's connection; dropping it ends the server.
pub(crate) struct Connection {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Keeps a connection from being closed as unused.
pub(crate) struct Busy(Arc<Shared>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.touch();
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connection {
    /// Begins to connect; returns at once.
    pub(crate) fn begin(name: &str, settings: Settings, limits: Arc<ToolLimits>) -> Self {
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            settings,
            limits,
            state: watch::Sender::new(State::Starting),
            used: Mutex::new(Instant::now()),
            busy: AtomicUsize::new(0),
            wanted: Notify::new(),
            broken: watch::Sender::new(0),
        });
        let task = tokio::spawn(live(shared.clone()));
        Self { shared, task }
    }

    /// Waits until it is up, at most `until`. With `patient` also over a restart; else what is down now is an error now.
    pub(crate) async fn up(&self, until: Instant, patient: bool) -> Result<Arc<Up>, String> {
        let mut state = self.shared.state.subscribe();
        let settled = |state: &State| match state {
            State::Up(up) => self.is_alive(up),
            State::Left(_) => true,
            State::Down(_) => !patient,
            State::Starting => false,
        };
        if matches!(*state.borrow(), State::Left(_)) {
            self.shared.wanted.notify_one();
        }
        let _ = tokio::time::timeout_at(until.into(), state.wait_for(settled)).await;
        match &*state.borrow() {
            State::Up(up) if self.is_alive(up) => Ok(up.clone()),
            State::Up(_) => Err("it has ended; it is being started again".into()),
            other => Err(other.describe()),
        }
    }

    /// What a call has found dead is not up, even if the task does not know yet.
    fn is_alive(&self, up: &Up) -> bool {
        up.start > *self.shared.broken.borrow() && !up.peer.is_transport_closed()
    }

    /// A call found it dead: it is started again, unless that has happened already.
    pub(crate) fn broke(&self, up: &Up) {
        self.shared.broken.send_if_modified(|start| std::mem::replace(start, up.start.max(*start)) < up.start);
    }

    /// Holds it open.
    pub(crate) fn busy(&self) -> Busy {
        self.shared.busy.fetch_add(1, Ordering::Relaxed);
        Busy(self.shared.clone())
    }

    /// Notes that somebody wants it.
    pub(crate) fn touch(&self) {
        self.shared.touch();
    }

    /// How long nobody has used it; `None` while somebody does.
    pub(crate) fn unused_for(&self) -> Option<Duration> {
        self.shared.unused_for()
    }

    /// Has it ended for good?
    pub(crate) fn is_over(&self) -> bool {
        self.task.is_finished()
    }

    /// How long to wait for a call.
    pub(crate) fn timeout(&self) -> Duration {
        self.shared.settings.timeout
    }
}

impl Shared {
    fn touch(&self) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn unused_for(&self) -> Option<Duration> {
        let used = *self.used.lock().unwrap_or_else(PoisonError::into_inner);
        (self.busy.load(Ordering::Relaxed) == 0).then(|| used.elapsed())
    }

    fn limits(&self) -> &McpLimits {
        &self.limits.mcp
    }

    /// Returns when nobody has used it for long enough.
    async fn unused(&self) {
        let limits = self.limits();
        let most = if self.settings.bound { limits.folder_idle } else { limits.idle };
        while self.unused_for().is_none_or(|time| time < most) {
            tokio::time::sleep(LOOK.min(most)).await;
        }
    }
}

/// The life of a connection.
async fn live(shared: Arc<Shared>) {
    tokio::select! {
        () = restart(&shared) => {}
        () = shared.unused() => tracing::debug!(server = shared.name, "an unused MCP server is closed"),
    }
}

/// Starts the server again and again.
async fn restart(shared: &Shared) {
    let mut failures = 0;
    for start in 1.. {
        shared.state.send_replace(State::Starting);
        let begun = Instant::now();
        let why = match Session::open(&shared.settings, &shared.limits).await {
            Ok(session) => keep(shared, session, start).await,
            Err(why) => why,
        };
        failures = if begun.elapsed() > STEADY { 1 } else { failures + 1 };
        tracing::warn!(server = shared.name, failures, why, "an MCP server is down");
        if failures < shared.limits().failures {
            shared.state.send_replace(State::Down(why));
            tokio::time::sleep(pause(shared.limits(), failures)).await;
        } else {
            shared.state.send_replace(State::Left(why));
            tokio::time::sleep(shared.limits().open_time).await;
            shared.wanted.notified().await;
            // One try; if it fails, it is left alone again.
            failures = shared.limits().failures - 1;
        }
    }
}

/// The pause before the next start: doubled each time up to a cap, somewhere between half of it and all of it.
fn pause(limits: &McpLimits, failures: u32) -> Duration {
    let full = limits.backoff.saturating_mul(1 << (failures - 1).min(16)).min(limits.backoff_max);
    full.mul_f64(0.5 + fastrand::f64() / 2.0)
}

/// Keeps a session until it ends; says why it did.
async fn keep(shared: &Shared, mut session: Session, start: u64) -> String {
    let mut broken = shared.broken.subscribe();
    loop {
        let tools = match session.tools(shared.limits(), shared.settings.timeout).await {
            Ok(tools) => tools,
            Err(why) => return session.reason(&shared.settings, &why).await,
        };
        let up = Up { peer: session.peer(), tools, start };
        shared.state.send_replace(State::Up(Arc::new(up)));
        let news = tokio::select! {
            news = session.news() => news,
            _ = broken.wait_for(|dead| *dead >= start) => return "a call found it dead".into(),
            () = tokio::time::sleep(shared.limits().list_age) => News::Changed,
        };
        if news == News::Ended {
            return session.reason(&shared.settings, "it has ended").await;
        }
    }
}
