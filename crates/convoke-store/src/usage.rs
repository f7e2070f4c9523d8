//! The ledger: one line for each bill, written once and never changed.

use convoke_domain::id::{RunId, TaskId};
use convoke_domain::money::Money;
use convoke_domain::time::Timestamp;
use convoke_domain::transcript::Usage;

use crate::step::StepRef;
use crate::{Result, Tx, p, row};

/// A bill.
#[derive(Debug, Clone)]
pub struct NewRow<'a> {
    /// The step it is for.
    pub at: StepRef,
    /// Which try of the step, from 1.
    pub try_n: i64,
    /// The run.
    pub run: RunId,
    /// Who made the call.
    pub agent: &'a str,
    /// The model as `provider/model`.
    pub model: &'a str,
    /// `priced`, `local`, `unpriced` or `simulated`.
    pub tariff: &'a str,
    /// Where the amounts come from: `provider`, `bound` (the call was lost or the provider did not say), `none`.
    pub basis: &'static str,
    /// The provider's id of the response.
    pub response_id: Option<&'a str>,
    /// Tokens.
    pub usage: Usage,
    /// What it costs.
    pub cost: Money,
    /// What was reserved.
    pub bound_cost: Money,
    /// The budgets it was billed to, one per line.
    pub scopes: &'a str,
}

/// Writes a bill.
pub async fn insert(tx: &mut Tx<'_>, bill: &NewRow<'_>) -> Result<()> {
    let (ws, now, used) = (tx.ws(), tx.now(), bill.usage);
    tx.put(
        "INSERT INTO usage (ws, task, attempt, n, try, run, agent, model, tariff, basis, response_id, input_tokens, \
         cache_read_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost, bound_cost, scopes, at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)",
        p![
            ws,
            bill.at.task,
            bill.at.attempt,
            bill.at.n,
            bill.try_n,
            bill.run,
            bill.agent,
            bill.model,
            bill.tariff,
            bill.basis,
            bill.response_id,
            used.input_tokens,
            used.cache_read_tokens,
            used.cache_write_tokens,
            used.output_tokens,
            used.reasoning_tokens,
            bill.cost,
            bill.bound_cost,
            bill.scopes,
            now
        ],
    )
    .await?;
    Ok(())
}

row! {
    /// A bill as a report shows it.
    pub struct Record {
        /// The task.
        pub task: TaskId,
        /// The attempt.
        pub attempt: i64,
        /// The step.
        pub n: i64,
        /// Who made the call.
        pub agent: String,
        /// The model.
        pub model: String,
        /// `priced`, `local`, `unpriced` or `simulated`.
        pub tariff: String,
        /// Where the amounts come from.
        pub basis: String,
        /// The provider's id of the response.
        pub response_id: Option<String>,
        /// Tokens in.
        pub input_tokens: u64,
        /// Of those, read from a cache.
        pub cache_read_tokens: u64,
        /// Of those, written to a cache.
        pub cache_write_tokens: u64,
        /// Tokens out.
        pub output_tokens: u64,
        /// Of those, reasoning.
        pub reasoning_tokens: u64,
        /// What it costs.
        pub cost: Money,
        /// When it was billed.
        pub at: Timestamp,
    }
}

/// All bills of a run in order.
pub async fn of_run(tx: &mut Tx<'_>, run: RunId) -> Result<Vec<Record>> {
    let ws = tx.ws();
    tx.many(
        "SELECT task, attempt, n, agent, model, tariff, basis, response_id, input_tokens, cache_read_tokens, cache_write_tokens, \
         output_tokens, reasoning_tokens, cost, at FROM usage WHERE ws = $1 AND run = $2 ORDER BY at, task, n, try",
        p![ws, run],
    )
    .await
}

row! {
    /// What a run used in all.
    pub struct Total {
        /// Bills, tries that failed included.
        pub calls: i64,
        /// Tokens in.
        pub input_tokens: i64,
        /// Tokens out.
        pub output_tokens: i64,
        /// Dollars.
        pub cost: Money,
        /// Calls whose price is not known.
        pub unpriced: i64,
    }
}

/// Adds up the bills of a run.
pub async fn total(tx: &mut Tx<'_>, run: RunId) -> Result<Total> {
    let ws = tx.ws();
    tx.one(
        "SELECT COUNT(*) AS calls, CAST(COALESCE(SUM(input_tokens), 0) AS BIGINT) AS input_tokens, \
         CAST(COALESCE(SUM(output_tokens), 0) AS BIGINT) AS output_tokens, CAST(COALESCE(SUM(cost), 0) AS BIGINT) AS cost, \
         CAST(COALESCE(SUM(CASE WHEN tariff = 'unpriced' THEN 1 ELSE 0 END), 0) AS BIGINT) AS unpriced \
         FROM usage WHERE ws = $1 AND run = $2",
        p![ws, run],
    )
    .await
}

row! {
    /// What a budget says was settled, and what the ledger says.
    pub struct Mismatch {
        /// The budget.
        pub scope: String,
        /// What it says was settled, in nano-dollars.
        pub settled: i64,
        /// What its bills add up to.
        pub billed: i64,
    }
}

/// Run budgets that do not agree with the ledger: there must be none. The run's budget is the first that a bill names.
pub async fn mismatches(tx: &mut Tx<'_>, limit: i64) -> Result<Vec<Mismatch>> {
    let ws = tx.ws();
    tx.many(
        "SELECT b.scope, b.settled_cost AS settled, CAST(COALESCE(u.cost, 0) AS BIGINT) AS billed FROM budget b LEFT JOIN \
         (SELECT SUBSTR(scopes, 1, /*lite INSTR*//*pg STRPOS*/(scopes || '\n', '\n') - 1) AS scope, SUM(cost) AS cost \
         FROM usage WHERE ws = $1 GROUP BY 1) u ON u.scope = b.scope \
         WHERE b.ws = $1 AND b.scope LIKE 'run:%' AND b.settled_cost <> COALESCE(u.cost, 0) ORDER BY b.scope LIMIT $2",
        p![ws, limit],
    )
    .await
}
