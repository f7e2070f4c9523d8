//! Checks that what is counted in one place agrees with what is listed in another. Each is one statement, so it sees one
//! moment however much is written meanwhile, and reads each table once.

use std::fmt::Display;

use crate::error::Result;
use crate::p;
use crate::tx::Tx;
use crate::usage;
use crate::verify::{Check, MAX_PROBLEMS, Problem};

/// The checks of one workspace beyond the chain and the database's own: name and function.
pub const CHECKS: &[(&str, Check)] = &[
    (BILLS, |tx| Box::pin(bills(tx))),
    (RESERVATIONS, |tx| Box::pin(reservations(tx))),
    (OPEN_TASKS, |tx| Box::pin(open_tasks(tx))),
    (AGENTS, |tx| Box::pin(agents(tx))),
];

const BILLS: &str = "bills";
const RESERVATIONS: &str = "reservations";
const OPEN_TASKS: &str = "open tasks";
const AGENTS: &str = "agents";

fn problem(tx: &Tx<'_>, check: &'static str, place: impl Display, what: String) -> Problem {
    Problem { check, place: format!("{} {place}", tx.ws()), what }
}

/// What a run's budget says was billed is what its bills add up to.
async fn bills(tx: &mut Tx<'_>) -> Result<Vec<Problem>> {
    let found = usage::mismatches(tx, MAX_PROBLEMS as i64).await?;
    let told = |bad: usage::Mismatch| {
        let what = format!("it says that {} nano-dollars were billed, its bills add up to {}", bad.settled, bad.billed);
        problem(tx, BILLS, format_args!("budget {}", bad.scope), what)
    };
    Ok(found.into_iter().map(told).collect())
}

/// What a run's budget holds back is what its model calls under way may cost. Like [`usage::mismatches`] this relies on
/// the run's budget being the first that a call names.
async fn reservations(tx: &mut Tx<'_>) -> Result<Vec<Problem>> {
    type Found = (String, i64, i64, i64, i64);
    let sql = "SELECT b.scope, b.reserved_cost, b.reserved_tokens, CAST(COALESCE(s.cost, 0) AS BIGINT),
            CAST(COALESCE(s.tokens, 0) AS BIGINT)
        FROM budget b LEFT JOIN (
            SELECT SUBSTR(scopes, 1, /*lite INSTR*//*pg STRPOS*/(scopes || '\n', '\n') - 1) AS scope,
                SUM(bound_cost) AS cost, SUM(bound_tokens) AS tokens
            FROM step WHERE ws=$1 AND status='started' AND kind='model' GROUP BY 1
        ) s ON s.scope=b.scope
        WHERE b.ws=$1 AND b.scope LIKE 'run:%'
            AND (b.reserved_cost<>COALESCE(s.cost, 0) OR b.reserved_tokens<>COALESCE(s.tokens, 0))
        ORDER BY b.scope LIMIT $2";
    let found: Vec<Found> = tx.many(sql, p![tx.ws(), MAX_PROBLEMS]).await?;
    let told = |(scope, cost, tokens, needed, needed_tokens): Found| {
        let what = format!(
            "it holds back {cost} nano-dollars and {tokens} tokens, its calls under way need {needed} and {needed_tokens}"
        );
        problem(tx, RESERVATIONS, format_args!("budget {scope}"), what)
    };
    Ok(found.into_iter().map(told).collect())
}

/// What a run counts as open is the number of its tasks that have not ended.
async fn open_tasks(tx: &mut Tx<'_>) -> Result<Vec<Problem>> {
    let sql = "SELECT r.id, r.open_tasks, COUNT(t.id) FROM run r LEFT JOIN task t ON t.ws=r.ws AND t.run=r.id
            AND t.state IN ('pending', 'ready', 'running', 'waiting', 'blocked')
        WHERE r.ws=$1 GROUP BY r.id, r.open_tasks HAVING r.open_tasks<>COUNT(t.id) ORDER BY r.id LIMIT $2";
    let found: Vec<(convoke_domain::id::RunId, i64, i64)> = tx.many(sql, p![tx.ws(), MAX_PROBLEMS]).await?;
    let told = |(run, says, are)| problem(tx, OPEN_TASKS, run, format!("it counts {says} open tasks, there are {are}"));
    Ok(found.into_iter().map(told).collect())
}

/// What an agent counts as running is the number of its running tasks.
async fn agents(tx: &mut Tx<'_>) -> Result<Vec<Problem>> {
    let sql = "SELECT a.name, a.running, COALESCE(t.running, 0) FROM agent a LEFT JOIN (
            SELECT agent, COUNT(*) AS running FROM task WHERE ws=$1 AND state='running' GROUP BY agent
        ) t ON t.agent=a.name
        WHERE a.ws=$1 AND a.running<>COALESCE(t.running, 0) ORDER BY a.name LIMIT $2";
    let found: Vec<(String, i64, i64)> = tx.many(sql, p![tx.ws(), MAX_PROBLEMS]).await?;
    let told = |(name, says, are): (String, i64, i64)| {
        problem(tx, AGENTS, format_args!("agent {name}"), format!("it counts {says} running tasks, there are {are}"))
    };
    Ok(found.into_iter().map(told).collect())
}
