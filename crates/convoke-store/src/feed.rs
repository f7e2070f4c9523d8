//! The live feed: events of all workspaces after their commit, in commit order. A reader that is too slow is told so, and
//! continues from its cursor with [`crate::Store::events_after`]; it never slows the writer.
//!
//! Events travel as they were committed, many at once: to wake a sleeping reader for each of them costs more than the commit.

use std::sync::Arc;

use convoke_domain::event::Event;
use tokio::sync::broadcast::{self, error::RecvError};

/// The most events that travel at once; more are sent in several pieces, so that what a slow reader holds up has a bound.
const PIECE: usize = 32;

/// Events of one commit.
type Piece = Arc<[Arc<Event>]>;

/// The reader was too slow: events went by and must be read from the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("events went by unread; continue from the last sequence number seen")]
pub struct Lagged;

/// The end that speaks; clones speak to the same readers.
#[derive(Debug, Clone)]
pub(crate) struct Speaker(broadcast::Sender<Piece>);

impl Speaker {
    /// One whose readers may be `behind` pieces behind.
    pub(crate) fn new(behind: usize) -> Self {
        Self(broadcast::channel(behind.max(1)).0)
    }

    pub(crate) fn subscribe(&self) -> Feed {
        Feed { pieces: self.0.subscribe(), piece: Arc::new([]), next: 0 }
    }

    /// Tells what has been committed.
    pub(crate) fn tell(&self, events: &mut Vec<Event>) {
        let mut events = events.drain(..).map(Arc::new).peekable();
        while events.peek().is_some() && self.0.receiver_count() > 0 {
            // Fails only when the last reader has gone.
            let _ = self.0.send(events.by_ref().take(PIECE).collect());
        }
    }
}

/// A subscription; see [`crate::Store::subscribe`].
#[derive(Debug)]
pub struct Feed {
    pieces: broadcast::Receiver<Piece>,
    piece: Piece,
    next: usize,
}

impl Feed {
    /// One that has ended.
    pub(crate) fn ended() -> Self {
        Speaker::new(1).subscribe()
    }

    /// The next event; `None` when the store was closed. May be dropped while it waits; nothing is lost.
    pub async fn next(&mut self) -> Option<Result<Arc<Event>, Lagged>> {
        loop {
            if let Some(event) = self.piece.get(self.next) {
                self.next += 1;
                return Some(Ok(Arc::clone(event)));
            }
            match self.pieces.recv().await {
                Ok(piece) => (self.piece, self.next) = (piece, 0),
                Err(RecvError::Lagged(_)) => return Some(Err(Lagged)),
                Err(RecvError::Closed) => return None,
            }
        }
    }
}
