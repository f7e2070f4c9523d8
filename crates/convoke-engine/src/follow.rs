//! Following: messages as they come, of a run or of a thread, from a cursor on and without gaps.
//!
//! The cursor is the number of an event, because those have no gaps and commit in their order. Whoever commits in this
//! process is heard at once; what other processes commit is found by looking. Start at [`Engine::follow`].

use std::time::Duration;

use convoke_domain::event::{Event, Kind};
use convoke_domain::id::{MessageId, RunId, ThreadId};
use convoke_domain::record::MessageRecord;
use convoke_store::{Feed, event, message};
use tokio::time::{Instant, timeout_at};

use crate::thread::message_record;
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
                self.wait(deadline.min(Instant::now() + LOOK)).await;
            }
        }
    }

    /// Waits until something has come that was not looked at, or the time is up. Whatever was missed is a reason to look, too.
    async fn wait(&mut self, until: Instant) {
        let ws = self.engine.ws().0;
        while let Ok(Some(Ok(event))) = timeout_at(until, self.feed.next()).await {
            if event.workspace == ws && event.seq > self.after {
                return;
            }
        }
    }

    /// The messages of one page of events, and whether the page was full. All in one look: what comes in a burst waits for no
    /// other message of it.
    async fn read(&mut self) -> Result<(Vec<(i64, MessageRecord)>, bool)> {
        let (ws, what, after) = (self.engine.ws(), self.what, self.after);
        let (found, last, events) = self
            .engine
            .read(self.reader.clone(), (ws, what, after), |tx, (ws, what, after), viewer| {
                Box::pin(async move {
                    let page = event::after(tx, *ws, *after, what.run, PAGE).await?;
                    let mut found = Vec::new();
                    for event in &page {
                        let Some(id) = what.wanted(event) else { continue };
                        if let Some(row) = message::get(tx, id, viewer).await? {
                            found.push((event.seq, message_record(row, Vec::new())?));
                        }
                    }
                    Ok((found, page.last().map_or(*after, |event| event.seq), page.len()))
                })
            })
            .await?;
        self.after = last;
        Ok((found, events >= usize::try_from(PAGE).unwrap_or(usize::MAX)))
    }
}

impl What {
    fn wanted(&self, event: &Event) -> Option<MessageId> {
        let is_message = event.kind == Kind::AgentMessageSent.as_str();
        let here = self.thread.is_none_or(|thread| event.payload["thread"] == thread.to_string());
        if is_message && here { event.entity_id.parse().ok() } else { None }
    }
}
