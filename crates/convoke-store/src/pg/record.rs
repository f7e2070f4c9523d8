//! Events on their way into PostgreSQL: kept until the transaction ends or somebody looks at them, then numbered under the
//! lock on their workspace's head, chained, and written together.

use std::collections::BTreeSet;
use std::sync::Arc;

use convoke_domain::event::NewEvent;
use convoke_domain::id::WorkspaceId;
use convoke_domain::time::Timestamp;
use futures_util::future::join;
use tokio_postgres::Statement;
use uuid::Uuid;

use super::conn::{Conn, LOCK, Param, ask, dynamic, dynamic_arrays, ids};
use crate::chain::{START, link};
use crate::error::{Error, Result};
use crate::param::P;

const NEW_HEAD: &str = "INSERT INTO ws_head (ws, seq, hash) VALUES ($1, 0, $2) ON CONFLICT DO NOTHING";
const MOVE_HEADS: &str = "UPDATE ws_head SET seq=moved.seq, hash=moved.hash
    FROM UNNEST($1::uuid[], $2::bigint[], $3::bytea[]) AS moved (ws, seq, hash) WHERE ws_head.ws=moved.ws";
const RECORD: &str = "INSERT INTO event (ws, seq, at, kind, entity, entity_id, run, actor, payload, prev_hash, hash)
    SELECT * FROM UNNEST($1::uuid[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::uuid[],
    $8::text[], $9::text[], $10::bytea[], $11::bytea[])";

impl Conn {
    /// Keeps events until the transaction ends or somebody looks at them.
    pub(crate) fn record(&mut self, ws: WorkspaceId, now: Timestamp, events: Vec<NewEvent>) -> Result<()> {
        if self.reads_only {
            return Err(Error::broken("a use case that was only to read recorded an event; run it instead"));
        }
        self.waiting.extend(events.into_iter().map(|event| (ws, now, event)));
        Ok(())
    }

    /// Holds the heads of workspaces that had none when the transaction began.
    async fn hold_new_heads(&mut self) -> Result<()> {
        let known = |ws: &Uuid| self.heads.contains_key(ws);
        let new: BTreeSet<Uuid> = self.waiting.iter().map(|(ws, ..)| ws.0).filter(|ws| !known(ws)).collect();
        for ws in new {
            let (make, lock) = (self.prepared(NEW_HEAD).await?.statement, self.prepared(LOCK).await?.statement);
            let client = Arc::clone(&self.client);
            let (row, id) = ([P::from(ws), P::from(&START)], ids(&[ws]));
            let (made, held) = join(ask(&client, &make, dynamic(&row)), ask(&client, &lock, vec![&id])).await;
            self.told(made)?;
            let held = self.told(held)?;
            self.hold(&held.rows)?;
        }
        Ok(())
    }

    /// Numbers and chains the events that wait. Gives the columns of their rows.
    fn number(&mut self) -> Result<Columns> {
        let mut columns = Columns::default();
        for (ws, now, event) in std::mem::take(&mut self.waiting) {
            let Some(head) = self.heads.get_mut(&ws.0) else {
                return Err(Error::broken(format!("{ws} has no head although it is held")));
            };
            let link = link(ws, now, *head, event);
            *head = link.head();
            self.moved.insert(ws.0);
            columns.push(&link);
            self.recorded.push(link.event);
        }
        Ok(columns)
    }

    /// Writes the events that wait, before a statement that looks at them.
    pub(super) async fn write_events(&mut self) -> Result<()> {
        self.open().await?;
        self.settle().await?;
        self.hold_new_heads().await?;
        let (record, heads) = (self.prepared(RECORD).await?, self.prepared(MOVE_HEADS).await?);
        let columns = self.number()?;
        (self.wrote, self.changed) = (true, true);
        let moved = self.moved_heads();
        let client = Arc::clone(&self.client);
        let recorded = ask(&client, &record.statement, columns.params());
        let (recorded, moved) = join(recorded, ask(&client, &heads.statement, dynamic_arrays(&moved))).await;
        self.told(recorded)?;
        self.told(moved).map(drop)
    }

    pub(super) fn moved_heads(&mut self) -> [Vec<P<'static>>; 3] {
        let mut columns = <[Vec<P<'static>>; 3]>::default();
        for ws in std::mem::take(&mut self.moved) {
            let Some(head) = self.heads.get(&ws) else { continue };
            columns[0].push(P::Uuid(ws));
            columns[1].push(P::Int(head.seq));
            columns[2].push(P::from(head.hash.to_vec()));
        }
        columns
    }

    /// What is sent with COMMIT: the statements for events and heads, and the events.
    pub(super) async fn prepare_commit(&mut self) -> Result<(Statement, Statement, Columns)> {
        self.open().await?;
        self.settle().await?;
        self.hold_new_heads().await?;
        let (record, heads) = (self.prepared(RECORD).await?, self.prepared(MOVE_HEADS).await?);
        Ok((record.statement, heads.statement, self.number()?))
    }
}

/// Events as the columns of their table.
#[derive(Default)]
pub(super) struct Columns([Vec<P<'static>>; 11]);

impl Columns {
    fn push(&mut self, link: &crate::chain::Linked) {
        let event = &link.event;
        let row: [P<'static>; 11] = [
            event.workspace.into(),
            event.seq.into(),
            event.at.into(),
            event.kind.clone().into(),
            event.entity.clone().into(),
            event.entity_id.clone().into(),
            event.run.into(),
            event.actor.clone().into(),
            link.payload.clone().into(),
            link.before.to_vec().into(),
            link.hash.to_vec().into(),
        ];
        for (column, value) in self.0.iter_mut().zip(row) {
            column.push(value);
        }
    }

    pub(super) fn params(&self) -> Vec<Param<'_>> {
        dynamic_arrays(&self.0)
    }
}
