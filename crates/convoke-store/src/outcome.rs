//! Outcomes: what became of an agent's work. One row for each agent, subject, capability and kind; the last word counts.

use convoke_domain::id::RunId;
use convoke_domain::time::Timestamp;

use crate::{Result, Tx, p, row};

/// An outcome that is about to be recorded.
#[derive(Debug, Clone)]
pub struct NewRow<'a> {
    /// What it is about.
    pub subject: &'a str,
    /// Whose it is.
    pub agent: &'a str,
    /// What it took; empty for work in general.
    pub capability: &'a str,
    /// How it is known.
    pub kind: &'a str,
    /// How right the agent was, from 0 to 1.
    pub value: f64,
    /// What it chose, where it did.
    pub choice: Option<&'a str>,
    /// The run it comes from, if any.
    pub run: Option<RunId>,
    /// When it was; now if absent.
    pub at: Option<Timestamp>,
}

row! {
    /// An outcome.
    pub struct Record {
        /// What it is about.
        pub subject: String,
        /// Whose it is.
        pub agent: String,
        /// What it took; empty for work in general.
        pub capability: String,
        /// How it is known.
        pub kind: String,
        /// How right the agent was, from 0 to 1.
        pub value: f64,
        /// What it chose, where it did.
        pub choice: Option<String>,
        /// When.
        pub at: Timestamp,
    }
}

/// Records outcomes, each in place of what was said of the same before.
pub async fn put(tx: &mut Tx<'_>, rows: &[NewRow<'_>]) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            let at = row.at.unwrap_or(now);
            p![ws, row.subject, row.agent, row.capability, row.kind, row.value, row.choice, row.run, at].to_vec()
        })
        .collect();
    tx.batch(
        "INSERT INTO outcome (ws, subject, agent, capability, kind, value, choice, run, at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
         ON CONFLICT (ws, subject, agent, capability, kind) DO UPDATE SET value = excluded.value, choice = excluded.choice, \
         run = excluded.run, at = excluded.at",
        &rows,
    )
    .await?;
    Ok(())
}

/// What was recorded of one subject, in one way of knowing.
pub async fn of_subject(tx: &mut Tx<'_>, subject: &str, kind: &str, limit: i64) -> Result<Vec<Record>> {
    let ws = tx.ws();
    tx.many(
        "SELECT subject, agent, capability, kind, value, choice, at FROM outcome WHERE ws = $1 AND subject = $2 AND kind = $3 \
         ORDER BY agent, capability LIMIT $4",
        p![ws, subject, kind, limit],
    )
    .await
}

/// An agent's newest outcomes.
pub async fn of_agent(tx: &mut Tx<'_>, agent: &str, limit: i64) -> Result<Vec<Record>> {
    let ws = tx.ws();
    tx.many(
        "SELECT subject, agent, capability, kind, value, choice, at FROM outcome WHERE ws = $1 AND agent = $2 \
         ORDER BY at DESC, subject DESC, capability, kind LIMIT $3",
        p![ws, agent, limit],
    )
    .await
}

/// Who has outcomes, by name, after `after`.
pub async fn agents(tx: &mut Tx<'_>, after: &str, limit: i64) -> Result<Vec<(String,)>> {
    let ws = tx.ws();
    tx.many(
        "SELECT DISTINCT agent FROM outcome WHERE ws = $1 AND agent > $2 ORDER BY agent LIMIT $3",
        p![ws, after, limit],
    )
    .await
}
