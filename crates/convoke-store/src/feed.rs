//! The live feed: events of all workspaces after their commit, in commit order. A reader that is too slow is told how
//! many it missed and continues from its cursor with [`crate::Store::events_after`]; it never slows the writer.

use std::sync::Arc;

use convoke_domain::event::Event;
use tokio::sync::broadcast::{self, error::RecvError};

/// The reader was too slow: this many events went by and must be read from the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} events went by unread; continue from the last sequence number seen")]
pub struct Lagged(pub u64);

/// A subscription; see [`crate::Store::subscribe`].
#[derive(Debug)]
pub struct Feed(pub(crate) broadcast::Receiver<Arc<Event>>);

impl Feed {
    /// The next event; `None` when the store was closed.
    pub async fn next(&mut self) -> Option<Result<Arc<Event>, Lagged>> {
        match self.0.recv().await {
            Ok(event) => Some(Ok(event)),
            Err(RecvError::Lagged(missed)) => Some(Err(Lagged(missed))),
            Err(RecvError::Closed) => None,
        }
    }
}
