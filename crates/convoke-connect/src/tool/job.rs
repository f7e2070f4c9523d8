//! One built-in call on its way: what it works on, and when it must stop. Long work asks [`Job::check`] every so often.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use convoke_port::tool::{Fence, ToolError, ToolOutput, ToolRequest, ToolScope};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::limits::ToolLimits;

/// What a built-in tool gets, owned, so that it can move to a thread that may block.
pub(crate) struct Job {
    pub(crate) workdir: PathBuf,
    pub(crate) input: Option<PathBuf>,
    pub(crate) shared: Option<PathBuf>,
    pub(crate) fence: Option<Fence>,
    pub(crate) arguments: Value,
    pub(crate) key: String,
    pub(crate) limits: Arc<ToolLimits>,
    pub(crate) end: Instant,
    pub(crate) cancel: CancellationToken,
}

impl Job {
    /// The job of a request.
    pub(crate) fn new(
        scope: &ToolScope,
        request: &ToolRequest,
        limits: &Arc<ToolLimits>,
        cancel: &CancellationToken,
    ) -> Self {
        Self {
            workdir: scope.workdir.clone(),
            input: scope.input.clone(),
            shared: scope.shared.clone(),
            fence: request.fence,
            arguments: request.input.clone(),
            key: request.key.clone(),
            limits: limits.clone(),
            end: Instant::now() + request.timeout,
            // A child: dropped calls stop too, see `run_blocking`.
            cancel: cancel.child_token(),
        }
    }

    /// The same job for a thread that may block.
    pub(crate) fn again(&self) -> Self {
        Self {
            workdir: self.workdir.clone(),
            input: self.input.clone(),
            shared: self.shared.clone(),
            fence: self.fence,
            arguments: Value::Null,
            key: self.key.clone(),
            limits: self.limits.clone(),
            end: self.end,
            cancel: self.cancel.child_token(),
        }
    }

    /// Says when to stop.
    pub(crate) fn check(&self) -> Result<(), ToolError> {
        if self.cancel.is_cancelled() {
            return Err(ToolError::Cancelled);
        }
        if Instant::now() >= self.end {
            return Err(ToolError::TimedOut("the call did not end in its time".into()));
        }
        Ok(())
    }
}

/// Runs `work` on a thread that may block and returns soon after the job must stop, even if the thread does not.
pub(crate) async fn run_blocking<F>(job: Job, work: F) -> Result<ToolOutput, ToolError>
where
    F: FnOnce(&Job) -> Result<ToolOutput, ToolError> + Send + 'static,
{
    let cancel = job.cancel.clone();
    let end = tokio::time::Instant::from_std(job.end);
    // If this future is dropped, the thread learns of it.
    let _stop = cancel.clone().drop_guard();
    let thread = tokio::task::spawn_blocking(move || work(&job));
    tokio::select! {
        done = thread => done.unwrap_or_else(|broken| {
            tracing::error!(error = %broken, "a built-in tool broke");
            Err(ToolError::Unknown("the tool broke; this is a fault of Convoke, please report it".into()))
        }),
        () = cancel.cancelled() => Err(ToolError::Cancelled),
        () = tokio::time::sleep_until(end) => Err(ToolError::TimedOut("the call did not end in its time".into())),
    }
}

/// An answer that worked.
pub(crate) fn said(content: String) -> ToolOutput {
    ToolOutput { content, is_error: false }
}

/// Cuts at a character boundary at or before `most` bytes.
pub(crate) fn cut(text: &str, most: usize) -> &str {
    if text.len() <= most {
        return text;
    }
    let mut end = most;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
