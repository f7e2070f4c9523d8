//! Following: messages as they come, of a run or of a thread, from a cursor on and without gaps.
//!
//! The cursor is the number of an event, because those have no gaps and commit in their order. Whoever commits in this
//! process is heard at once; what other processes commit is found by looking. Start at [`Engine::follow`].

use std::time::Duration;

use convoke_domain::event::{Event, Kind};
use convoke_domain::id::{MessageId, RunId, ThreadId};
use convoke_domain::record::MessageRecord;
use convoke_store::Feed;
use tokio::time::{Instant, timeout_at};

use crate::{Engine, Reader, Result};

/// Events read at once.
const PAGE: u32 = 1_000;
/// Time between two looks for what other processes commit.
const LOOK: Duration = Duration::from_millis(200);

/// What is followed; nothing for every message of the workspace.
#[derive(Debug, Clone, Copy, Default)]
pub struct What {
    /// Messages of this run.
    pub run: Option<RunId>,
    /// Messages of this thread.
    pub thread: Option<ThreadId>,
}

/// A follower; see [`Engine::follow`].
pub struct Follow {
    engine: Engine,
    reader: Reader,
    what: What,
    after: i64,
    feed: Feed,
}

impl Engine {
    /// Follows messages that `reader` may read, beginning behind the event number `after`.
    pub fn follow(&self, what: What, reader: Reader, after: i64) -> Follow {
        Follow { engine: self.clone(), reader, what, after, feed: self.store().subscribe() }
    }
}

impl Follow {
    /// The number of the last event that was looked at: where another follower goes on.
    pub const fn cursor(&self) -> i64 {
        self.after
    }

    /// The messages that have come, each with the number of its event; waits up to `patience` for the first.
    pub async fn next(&mut self, patience: Duration) -> Result<Vec<(i64, MessageRecord)>> {
        let deadline = Instant::now() + patience;
        loop {
            let (found, is_page) = self.read().await?;
            if !found.is_empty() || (!is_page && Instant::now() >= deadline) {
                return Ok(found);
            }
            if !is_page {
                // Whatever comes, or was missed, is a reason to look again.
                let _ = timeout_at(deadline.min(Instant::now() + LOOK), self.feed.next()).await;
            }
        }
    }

    /// The messages of one page of events, and whether the page was full.
    async fn read(&mut self) -> Result<(Vec<(i64, MessageRecord)>, bool)> {
        let ws = self.engine.ws();
        let page = self.engine.store().events_after(ws, self.after, self.what.run, PAGE).await?;
        let mut found = Vec::new();
        for event in &page {
            self.after = event.seq;
            let Some(id) = self.wanted(event) else { continue };
            if let Some(message) = self.engine.message(id, self.reader.clone()).await? {
                found.push((event.seq, message));
            }
        }
        Ok((found, page.len() >= usize::try_from(PAGE).unwrap_or(usize::MAX)))
    }

    fn wanted(&self, event: &Event) -> Option<MessageId> {
        let is_message = event.kind == Kind::AgentMessageSent.as_str();
        let here = self.what.thread.is_none_or(|thread| event.payload["thread"] == thread.to_string());
        if is_message && here { event.entity_id.parse().ok() } else { None }
    }
}
