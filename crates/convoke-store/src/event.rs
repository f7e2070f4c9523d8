//! Events as they are kept, and reading them from a cursor. They are written by [`crate::Tx::emit`] alone.

use convoke_domain::event::Event;
use convoke_domain::id::{RunId, WorkspaceId};

use crate::error::{Error, Result};
use crate::row::{FromRow, Row};
use crate::tx::Tx;
use crate::use_case::UseCase;
use crate::{p, store::Store};

/// The most events that one page holds, whatever is asked for.
pub const MAX_PAGE: u32 = 1_000;

impl FromRow for Event {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        row.expect_columns(9)?;
        Ok(Self {
            workspace: row.field(0, "ws")?,
            seq: row.field(1, "seq")?,
            at: row.field(2, "at")?,
            kind: row.field(3, "kind")?,
            entity: row.field(4, "entity")?,
            entity_id: row.field(5, "entity_id")?,
            run: row.field(6, "run")?,
            actor: row.field(7, "actor")?,
            payload: row.field(8, "payload")?,
        })
    }
}

/// The events of a workspace with a number above `after`, in order; of one run only, if one is given.
pub async fn after(tx: &mut Tx<'_>, ws: WorkspaceId, after: i64, run: Option<RunId>, limit: u32) -> Result<Vec<Event>> {
    let limit = limit.min(MAX_PAGE);
    match run {
        None => {
            let sql = "SELECT ws, seq, at, kind, entity, entity_id, run, actor, payload FROM event
                WHERE ws=$1 AND seq>$2 ORDER BY seq LIMIT $3";
            tx.many(sql, p![ws, after, limit]).await
        }
        Some(run) => {
            let sql = "SELECT ws, seq, at, kind, entity, entity_id, run, actor, payload FROM event
                WHERE ws=$1 AND run=$4 AND seq>$2 ORDER BY seq LIMIT $3";
            tx.many(sql, p![ws, after, limit, run]).await
        }
    }
}

/// What was written down of how a run was coordinated, with a number above `after`, in order: gates, merges, votes, steps that were
/// left out, phases.
pub async fn of_coordination(tx: &mut Tx<'_>, run: RunId, after: i64, limit: u32) -> Result<Vec<Event>> {
    let (ws, limit) = (tx.ws(), limit.min(MAX_PAGE));
    let sql = "SELECT ws, seq, at, kind, entity, entity_id, run, actor, payload FROM event
        WHERE ws=$1 AND run=$2 AND seq>$3 AND kind IN ('coordination.gate.checked', 'coordination.merge.completed',
        'coordination.vote.opened', 'coordination.vote.counted', 'coordination.step.skipped', 'run.phase_changed',
        'run.phase_ended') ORDER BY seq LIMIT $4";
    tx.many(sql, p![ws, run, after, limit]).await
}

/// The number of the last event of a workspace; 0 if there is none.
pub async fn head(tx: &mut Tx<'_>, ws: WorkspaceId) -> Result<i64> {
    // Not from `ws_head`, which a batch on SQLite writes once, at its end.
    Ok(tx.opt("SELECT seq FROM event WHERE ws=$1 ORDER BY seq DESC LIMIT 1", p![ws]).await?.unwrap_or(0))
}

struct After {
    ws: WorkspaceId,
    after: i64,
    run: Option<RunId>,
    limit: u32,
}

impl UseCase for After {
    type Out = Vec<Event>;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Vec<Event>> {
        after(tx, self.ws, self.after, self.run, self.limit).await
    }
}

struct Head(WorkspaceId);

impl UseCase for Head {
    type Out = i64;

    fn ws(&self) -> WorkspaceId {
        self.0
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<i64> {
        head(tx, self.0).await
    }
}

impl Store {
    /// The number of the last event of the default workspace; 0 if there is none.
    pub async fn events_head(&self) -> Result<i64> {
        self.read(Head(WorkspaceId::DEFAULT)).await
    }

    /// A page of events after a cursor; see [`after`]. At most [`MAX_PAGE`].
    pub async fn events_after(
        &self,
        ws: WorkspaceId,
        after: i64,
        run: Option<RunId>,
        limit: u32,
    ) -> Result<Vec<Event>> {
        if after < 0 {
            return Err(Error::broken(format!("an event cursor is 0 or more, not {after}")));
        }
        self.read(After { ws, after, run, limit }).await
    }
}
