//! A use case: plain data and one function that may run more than once.
//!
//! Rule: inside `run` there is no clock (take [`Tx::now`]), no randomness (ids arrive inside `self` or are derived), no
//! state outside the transaction, and nothing is awaited but the [`Tx`]. A batch whose member fails late is run again.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use convoke_domain::id::WorkspaceId;
use tokio::sync::oneshot;

use crate::error::{Error, Result};
use crate::tx::Tx;

/// One unit of work: all of it commits, or nothing.
pub trait UseCase: Send + Sync + 'static {
    /// What the caller gets after the commit is durable.
    type Out: Send + 'static;

    /// The workspace it belongs to: the scope of its rows and the sequence of its events.
    fn ws(&self) -> WorkspaceId;

    /// Loads, decides, writes. May be called again after a rollback, so it must give the same from the same data.
    fn run(&self, tx: &mut Tx<'_>) -> impl Future<Output = Result<Self::Out>> + Send;
}

pub(crate) type Running<'a> = Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;

/// A use case of any type while it waits and runs.
pub(crate) trait Job: Send {
    fn name(&self) -> &'static str;
    fn ws(&self) -> WorkspaceId;
    fn caller_gone(&self) -> bool;
    /// Runs it and numbers its events; the output is kept for [`Job::answer`].
    fn run<'a>(&'a mut self, tx: &'a mut Tx<'_>) -> Running<'a>;
    /// Replaces whatever it gave by an error.
    fn fail(&mut self, error: Error);
    /// Tells the caller; only after the commit is durable, or when it is certain that there is none.
    fn answer(self: Box<Self>);
}

pub(crate) struct Queued<U: UseCase> {
    use_case: U,
    output: Option<Result<U::Out>>,
    caller: oneshot::Sender<Result<U::Out>>,
}

/// Wraps a use case for a queue, with the receiver of its answer.
pub(crate) fn queued<U: UseCase>(use_case: U) -> (Box<dyn Job>, oneshot::Receiver<Result<U::Out>>) {
    let (caller, answer) = oneshot::channel();
    (Box::new(Queued { use_case, output: None, caller }), answer)
}

impl<U: UseCase> Job for Queued<U> {
    fn name(&self) -> &'static str {
        std::any::type_name::<U>()
    }

    fn ws(&self) -> WorkspaceId {
        self.use_case.ws()
    }

    fn caller_gone(&self) -> bool {
        self.caller.is_closed()
    }

    fn run<'a>(&'a mut self, tx: &'a mut Tx<'_>) -> Running<'a> {
        Box::pin(async move {
            self.output = None;
            let output = self.use_case.run(tx).await?;
            tx.finish().await?;
            self.output = Some(Ok(output));
            Ok(())
        })
    }

    fn fail(&mut self, error: Error) {
        self.output = Some(Err(error));
    }

    fn answer(self: Box<Self>) {
        let name = self.name();
        let output = self.output.unwrap_or_else(|| Err(Error::broken(format!("{name} was answered before it ran"))));
        // A caller that went away does not need the answer; what was committed stays.
        let _ = self.caller.send(output);
    }
}

/// Runs a job whose database answers at once: one poll must finish it, and a panic becomes its error.
pub(crate) fn run_at_once(job: &mut dyn Job, tx: &mut Tx<'_>) -> Result<()> {
    let name = job.name();
    let polled = catch_unwind(AssertUnwindSafe(|| job.run(tx).as_mut().poll(&mut Context::from_waker(Waker::noop()))));
    match polled {
        Ok(Poll::Ready(result)) => result,
        Ok(Poll::Pending) => Err(waits_elsewhere(name)),
        Err(panic) => Err(panicked(name, panic.as_ref())),
    }
}

/// The error of a use case that waits for anything but its transaction.
pub(crate) fn waits_elsewhere(name: &str) -> Error {
    Error::broken(format!("{name} awaited something other than its transaction; do that before or after the use case"))
}

/// The error of a use case that panicked.
pub(crate) fn panicked(name: &str, panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    Error::broken(format!("{name} panicked: {text}; nothing of it was stored"))
}
