//! The hash chain over the events of a workspace: each event's hash covers the one before, so that a changed, removed or
//! inserted event is found. Tamper evidence, not secrecy: who can write the table can also write a whole new chain,
//! which is why a head kept elsewhere (see `audit verify`) is worth having.

use std::collections::HashMap;

use convoke_domain::event::{Event, NewEvent};
use convoke_domain::id::WorkspaceId;
use convoke_domain::time::Timestamp;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::param::stored;

/// A SHA-256 digest.
pub type Hash = [u8; 32];

/// The hash before the first event of every workspace.
pub const START: Hash = [0; 32];

const DOMAIN: &[u8] = b"convoke.event.1";

/// What of an event is hashed.
#[derive(Debug, Clone, Copy)]
pub struct Link<'a> {
    /// The workspace.
    pub ws: Uuid,
    /// Its place.
    pub seq: i64,
    /// When, in microseconds.
    pub at: i64,
    /// What happened.
    pub kind: &'a str,
    /// To which noun.
    pub entity: &'a str,
    /// To which id.
    pub entity_id: &'a str,
    /// In which run.
    pub run: Option<Uuid>,
    /// By whom.
    pub actor: &'a str,
    /// The JSON text exactly as stored.
    pub payload: &'a str,
}

impl Link<'_> {
    /// The hash of this event after `before`.
    ///
    /// Canonical bytes: the tag `convoke.event.1`; the 32 bytes of `before`; the workspace's 16 bytes; `seq` and `at` as
    /// 8 bytes each, big-endian; the run as one byte 0, or one byte 1 and its 16 bytes; then `kind`, `entity`,
    /// `entity_id`, `actor` and `payload`, each as its length in bytes (8 bytes, big-endian) and its UTF-8 bytes.
    pub fn hash(&self, before: &Hash) -> Hash {
        let mut hash = Sha256::new();
        hash.update(DOMAIN);
        hash.update(before);
        hash.update(self.ws.as_bytes());
        hash.update(self.seq.to_be_bytes());
        hash.update(self.at.to_be_bytes());
        match self.run {
            None => hash.update([0]),
            Some(run) => {
                hash.update([1]);
                hash.update(run.as_bytes());
            }
        }
        for text in [self.kind, self.entity, self.entity_id, self.actor, self.payload] {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        }
        hash.finalize().into()
    }
}

/// The end of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The last number given; 0 before the first.
    pub seq: i64,
    /// The last hash.
    pub hash: Hash,
}

/// An event that has its place in the chain, and all that its row holds.
#[derive(Debug)]
pub(crate) struct Linked {
    pub(crate) event: Event,
    /// The JSON text exactly as stored.
    pub(crate) payload: String,
    pub(crate) before: Hash,
    pub(crate) hash: Hash,
}

impl Linked {
    /// The end of the chain with this event.
    pub(crate) fn head(&self) -> Head {
        Head { seq: self.event.seq, hash: self.hash }
    }
}

/// Gives an event the number after `head` and chains it there.
pub(crate) fn link(ws: WorkspaceId, now: Timestamp, head: Head, event: NewEvent) -> Linked {
    let payload = serde_json::to_string(&event.payload).unwrap_or_else(|_| event.payload.to_string());
    let event = Event {
        seq: head.seq + 1,
        workspace: ws.0,
        at: now,
        kind: event.kind.as_str().to_owned(),
        entity: event.entity.to_owned(),
        entity_id: stored(event.entity_id),
        run: event.run,
        actor: stored(event.actor),
        payload: event.payload,
    };
    let link = Link {
        ws: ws.0,
        seq: event.seq,
        at: now.as_micros(),
        kind: &event.kind,
        entity: &event.entity,
        entity_id: &event.entity_id,
        run: event.run.map(|run| run.0),
        actor: &event.actor,
        payload: &payload,
    };
    let hash = link.hash(&head.hash);
    Linked { event, payload, before: head.hash, hash }
}

/// The heads of a single writer in memory, undone together with the transaction that moved them.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    known: HashMap<Uuid, Head>,
    undo: Vec<(Uuid, Option<Head>)>,
}

/// How many workspaces a writer remembers before it starts again from the table.
const MAX_HEADS: usize = 100_000;

impl Heads {
    pub(crate) fn get(&self, ws: Uuid) -> Option<Head> {
        self.known.get(&ws).copied()
    }

    pub(crate) fn set(&mut self, ws: Uuid, head: Head) {
        let before = self.known.insert(ws, head);
        self.undo.push((ws, before));
    }

    /// A place to come back to.
    pub(crate) fn mark(&self) -> usize {
        self.undo.len()
    }

    /// Forgets every change after `mark`.
    pub(crate) fn undo_to(&mut self, mark: usize) {
        while self.undo.len() > mark {
            let Some((ws, before)) = self.undo.pop() else { return };
            match before {
                Some(head) => self.known.insert(ws, head),
                None => self.known.remove(&ws),
            };
        }
    }

    /// The workspaces whose head moved in this transaction, each once.
    pub(crate) fn moved(&self) -> Vec<(Uuid, Head)> {
        let mut moved: Vec<Uuid> = self.undo.iter().map(|(ws, _)| *ws).collect();
        moved.sort_unstable();
        moved.dedup();
        moved.into_iter().filter_map(|ws| self.get(ws).map(|head| (ws, head))).collect()
    }

    /// Starts again from the table, after it was changed behind the writer's back.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }

    /// The transaction is durable: nothing is undone any more.
    pub(crate) fn committed(&mut self) {
        self.undo.clear();
        if self.known.len() > MAX_HEADS {
            self.known.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link() -> Link<'static> {
        Link {
            ws: Uuid::from_u128(1),
            seq: 7,
            at: 1_763_703_000_123_456,
            kind: "task.completed",
            entity: "task",
            entity_id: "task_01h455vb4pex5vsknk084sn02q",
            run: Some(Uuid::from_u128(2)),
            actor: "agent:ada",
            payload: r#"{"tokens":12}"#,
        }
    }

    fn hex(hash: &Hash) -> String {
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Computed from the documented bytes by another program. If a value changes, no existing chain verifies any more.
    #[test]
    fn canonical_bytes_do_not_change() {
        assert_eq!(hex(&link().hash(&START)), "140776312877e45169f56b9ae14011484eac4db1e4603a9d8890e3fecd1c1e60");
        let other = Link { run: None, ..link() }.hash(&[1; 32]);
        assert_eq!(hex(&other), "1b38eadb5671f2060d610998e8f2a3acfd6804a0b3f9451c6e7deca85a8c421f");
    }

    #[test]
    fn every_field_counts_and_fields_do_not_run_together() {
        let base = link().hash(&START);
        for other in [
            Link { seq: 8, ..link() },
            Link { at: 0, ..link() },
            Link { run: None, ..link() },
            Link { kind: "task.complete", entity: "dtask", ..link() },
            Link { actor: "agent:bob", ..link() },
            Link { payload: "{}", ..link() },
        ] {
            assert_ne!(other.hash(&START), base);
        }
    }

    #[test]
    fn heads_come_back_with_their_transaction() {
        let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let head = |seq| Head { seq, hash: START };
        let mut heads = Heads::default();
        heads.set(a, head(1));
        heads.committed();
        heads.set(a, head(2));
        let mark = heads.mark();
        heads.set(a, head(3));
        heads.set(b, head(1));
        heads.undo_to(mark);
        assert_eq!((heads.get(a), heads.get(b)), (Some(head(2)), None));
        assert_eq!(heads.moved(), vec![(a, head(2))]);
        heads.undo_to(0);
        assert_eq!(heads.get(a), Some(head(1)));
    }
}
