//! Grants: rights that a person gave to an agent for a time. A grant is kept when it has ended; only its end is added.

use convoke_domain::id::{GrantId, RunId};
use convoke_domain::time::Timestamp;

use crate::{Result, Tx, p, row};

/// A grant that is about to be kept.
#[derive(Debug, Clone)]
pub struct NewRow<'a> {
    /// Its id.
    pub id: GrantId,
    /// To whom.
    pub agent: &'a str,
    /// In which run; in all if absent.
    pub run: Option<RunId>,
    /// The right, as one word.
    pub right: &'a str,
    /// Why.
    pub reason: &'a str,
    /// Who gave it: `user:NAME`.
    pub by: &'a str,
    /// When it ends.
    pub until: Timestamp,
}

row! {
    /// A grant in full.
    pub struct Record {
        /// Its id.
        pub id: GrantId,
        /// To whom.
        pub agent: String,
        /// In which run; in all if absent.
        pub run: Option<RunId>,
        /// The right, as one word.
        pub right_name: String,
        /// Why.
        pub reason: String,
        /// Who gave it.
        pub given_by: String,
        /// When it was given.
        pub given_at: Timestamp,
        /// When it ends.
        pub until: Timestamp,
        /// When it was taken back.
        pub revoked_at: Option<Timestamp>,
        /// Who took it back.
        pub revoked_by: Option<String>,
    }
}

/// Keeps a grant.
pub async fn insert(tx: &mut Tx<'_>, new: &NewRow<'_>) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.put(
        "INSERT INTO agent_grant (ws, id, agent, run, right_name, reason, given_by, given_at, until, ended) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0)",
        p![ws, new.id, new.agent, new.run, new.right, new.reason, new.by, now, new.until],
    )
    .await?;
    Ok(())
}

/// The rights that an agent is granted in a run now, as words.
pub async fn in_force(tx: &mut Tx<'_>, agent: &str, run: RunId) -> Result<Vec<(String,)>> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.many(
        "SELECT right_name FROM agent_grant WHERE ws = $1 AND agent = $2 AND ended = 0 AND until > $3 AND (run IS NULL OR run = $4) \
         ORDER BY id",
        p![ws, agent, now, run],
    )
    .await
}

/// The grant, locked until the transaction ends.
pub async fn hold(tx: &mut Tx<'_>, id: GrantId) -> Result<Option<Record>> {
    let ws = tx.ws();
    tx.opt(
        "SELECT id, agent, run, right_name, reason, given_by, given_at, until, revoked_at, revoked_by FROM agent_grant \
         WHERE ws = $1 AND id = $2 /*pg FOR UPDATE*/",
        p![ws, id],
    )
    .await
}

/// Takes a grant back.
pub async fn revoke(tx: &mut Tx<'_>, id: GrantId, by: &str) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.put(
        "UPDATE agent_grant SET ended = 1, revoked_at = $3, revoked_by = $4 WHERE ws = $1 AND id = $2",
        p![ws, id, now, by],
    )
    .await?;
    Ok(())
}

/// Ends those whose time is up, and gives them: id, agent, run and right.
pub async fn expire(tx: &mut Tx<'_>) -> Result<Vec<(GrantId, String, Option<RunId>, String)>> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.many(
        "UPDATE agent_grant SET ended = 1 WHERE ws = $1 AND ended = 0 AND until <= $2 RETURNING id, agent, run, right_name",
        p![ws, now],
    )
    .await
}

/// Grants before `before`, the newest first.
pub async fn list(tx: &mut Tx<'_>, before: GrantId, limit: i64) -> Result<Vec<Record>> {
    let ws = tx.ws();
    tx.many(
        "SELECT id, agent, run, right_name, reason, given_by, given_at, until, revoked_at, revoked_by FROM agent_grant \
         WHERE ws = $1 AND id < $2 ORDER BY id DESC LIMIT $3",
        p![ws, before, limit],
    )
    .await
}
