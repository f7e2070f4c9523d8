//! Settings of the engine: every queue, wait and retry has its bound here.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use convoke_domain::id::WorkspaceId;
use convoke_domain::money::Money;
use convoke_domain::retry::Backoff;

/// Settings of one engine.
#[derive(Debug, Clone)]
pub struct Config {
    /// The workspace that its first handle is for; see [`crate::Engine::within`].
    pub workspace: WorkspaceId,
    /// Where attempts get their folders.
    pub work_dir: PathBuf,
    /// Attempts at the same time.
    pub concurrency: usize,
    /// A worker that is not heard of for so long has lost its tasks.
    pub lease: Duration,
    /// An agent that is not heard of for so long is stale.
    pub stale_after: Duration,
    /// The longest time between two looks for work that nobody announced.
    pub poll: Duration,
    /// Tries of one model call at one model before the next model, or the next attempt.
    pub call_tries: u32,
    /// Waits between tries of a model call.
    pub call_backoff: Backoff,
    /// Waits between attempts of a task.
    pub attempt_backoff: Backoff,
    /// Time for one tool call.
    pub tool_timeout: Duration,
    /// Time that steps under way get when the worker stops.
    pub grace: Duration,
    /// The model for agents that name none.
    pub default_model: Option<String>,
    /// The most dollars of the workspace on one day in UTC.
    pub daily_cap: Option<Money>,
    /// Tool calls of one reply that run at the same time.
    pub parallel_tools: usize,
    /// Bytes of earlier results that a prompt takes over from one task.
    pub input_bytes: usize,
    /// Bytes of text that one answer of a model may have; a longer one is refused as `answer_too_large`.
    pub max_answer_bytes: usize,
    /// Shares of the pool by workspace, where they are not equal; a workspace that is not named has 1.
    pub weights: BTreeMap<WorkspaceId, usize>,
    /// How long what happened is offered to a store that cannot take it now, such as one on a full disk.
    pub store_patience: Duration,
    /// This process is the only one on the store, so whatever another holds is held by nobody.
    pub exclusive: bool,
}

impl Config {
    /// Defaults for a data folder of which this process is the only user.
    pub fn new(work_dir: PathBuf) -> Self {
        Self {
            workspace: WorkspaceId::DEFAULT,
            work_dir,
            concurrency: 64,
            lease: Duration::from_secs(30),
            stale_after: convoke_domain::agent::STALE_AFTER,
            poll: Duration::from_secs(1),
            call_tries: 3,
            call_backoff: Backoff::default(),
            attempt_backoff: Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(60) },
            tool_timeout: Duration::from_secs(60),
            grace: Duration::from_secs(10),
            default_model: None,
            daily_cap: None,
            parallel_tools: 8,
            input_bytes: 64 * 1024,
            max_answer_bytes: 1 << 20,
            weights: BTreeMap::new(),
            store_patience: Duration::from_secs(10),
            exclusive: true,
        }
    }
}
