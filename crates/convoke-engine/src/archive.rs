//! Archival: messages of threads in which nothing was said for long are put into blobs; a summary is kept, and all of it can
//! still be shown and exported.
//!
//! Rule: what is removed from the tables is in a blob by the same transaction. Start at [`Engine::archive_threads`].

use std::collections::BTreeMap;
use std::fmt::Write as _;

use convoke_domain::event::Kind as EventKind;
use convoke_domain::id::{ThreadId, WorkspaceId};
use convoke_domain::record::MessageRecord;
use convoke_domain::thread::{Command, Status, decide};
use convoke_domain::time::Timestamp;
use convoke_store::{OrMissing, Result as Stored, Tx, UseCase, blob, message, thread};
use serde_json::json;

use crate::engine::emit;
use crate::thread::{idle, message_record};
use crate::{Engine, Result};

/// Messages read at once.
const PAGE: i64 = 1_000;
/// Bytes after which another blob is begun.
const PIECE: usize = 8 * 1024 * 1024;
/// Characters of the first and the last message that a summary shows.
const SHOWN: usize = 160;

impl Engine {
    /// Puts away the threads that nobody needs in which nothing was said since `before`, at most `limit`. Gives which.
    /// A thread with an open question, or of a run that has not ended, stays.
    pub async fn archive_threads(&self, before: Timestamp, user: &str, limit: i64) -> Result<Vec<ThreadId>> {
        let found = self.govern(user, "put threads away", Idle { ws: self.ws(), before, limit }).await?;
        for id in &found {
            let act = Archive { ws: self.ws(), id: *id, before, who: format!("user:{user}") };
            self.store().run(act).await?;
        }
        Ok(found)
    }
}

/// The messages that these blobs hold.
pub(crate) async fn read(tx: &mut Tx<'_>, blobs: &str) -> Stored<Vec<MessageRecord>> {
    let names: Vec<String> = serde_json::from_str(blobs)?;
    let mut messages = Vec::new();
    for name in names {
        let piece: Vec<MessageRecord> = serde_json::from_slice(&blob::get(tx, name.parse()?).await?)?;
        messages.extend(piece);
    }
    Ok(messages)
}

struct Idle {
    ws: WorkspaceId,
    before: Timestamp,
    limit: i64,
}

impl UseCase for Idle {
    type Out = Vec<ThreadId>;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Vec<ThreadId>> {
        idle(tx, self.before, self.limit).await
    }
}

struct Archive {
    ws: WorkspaceId,
    id: ThreadId,
    before: Timestamp,
    who: String,
}

impl UseCase for Archive {
    type Out = ();

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<()> {
        let held = thread::hold(tx, self.id).await?.or_missing("thread", self.id)?;
        let status = Status::parse(&held.status).unwrap_or(Status::Open);
        // Somebody may have spoken or asked, or put it away, since the list was made.
        if !thread::is_idle(tx, self.id, self.before).await? || decide(status, Command::Archive).is_err() {
            return Ok(());
        }
        let mut piles = Piles::default();
        loop {
            let page = message::of_thread(tx, self.id, piles.last, PAGE).await?;
            let full = i64::try_from(page.len()).unwrap_or(0) == PAGE;
            for row in page {
                piles.add(tx, message_record(row, Vec::new())?).await?;
            }
            if !full {
                break;
            }
        }
        piles.put(tx).await?;
        let (summary, blobs) = (piles.summary(), json!(piles.blobs).to_string());
        thread::archive(tx, self.id, &summary, &blobs).await?;
        message::remove(tx, self.id).await?;
        let payload = json!({"messages": held.last_n});
        emit(tx, EventKind::ThreadArchived, ("thread", self.id.to_string()), (held.run, &self.who), payload);
        Ok(())
    }
}

/// Messages on their way into blobs, and what there is to say about them.
#[derive(Default)]
struct Piles {
    pile: Vec<MessageRecord>,
    bytes: usize,
    blobs: Vec<String>,
    last: i64,
    count: usize,
    senders: BTreeMap<String, usize>,
    kinds: BTreeMap<String, usize>,
    ends: Option<(MessageRecord, MessageRecord)>,
}

impl Piles {
    async fn add(&mut self, tx: &mut Tx<'_>, found: MessageRecord) -> Stored<()> {
        self.last = found.n;
        self.count += 1;
        *self.senders.entry(found.from.clone()).or_default() += 1;
        *self.kinds.entry(found.kind.clone()).or_default() += 1;
        let first = self.ends.take().map_or_else(|| found.clone(), |(first, _)| first);
        self.ends = Some((first, found.clone()));
        self.bytes += found.body.len();
        self.pile.push(found);
        if self.bytes >= PIECE { self.put(tx).await } else { Ok(()) }
    }

    async fn put(&mut self, tx: &mut Tx<'_>) -> Stored<()> {
        if self.pile.is_empty() {
            return Ok(());
        }
        let body = serde_json::to_vec(&std::mem::take(&mut self.pile))?;
        self.bytes = 0;
        self.blobs.push(blob::put(tx, &body).await?.to_string());
        Ok(())
    }

    fn summary(&self) -> String {
        let Some((first, last)) = &self.ends else { return "no messages".to_owned() };
        let listed = |counts: &BTreeMap<String, usize>| {
            counts.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
        };
        let mut text = format!("{} messages from {} to {}", self.count, first.at, last.at);
        let _ = write!(text, "; by {}; {}", listed(&self.senders), listed(&self.kinds));
        let _ = write!(text, "; first: {}", short(&first.body));
        if self.count > 1 {
            let _ = write!(text, "; last: {}", short(&last.body));
        }
        text
    }
}

fn short(body: &str) -> String {
    let line: String = body.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= SHOWN { line } else { line.chars().take(SHOWN).chain(['…']).collect() }
}
