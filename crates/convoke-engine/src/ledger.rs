//! The ledger inside a transaction: reserve down the whole tree, settle, warn, and bill what was lost.

use std::collections::BTreeMap;

use convoke_domain::budget::{Amount, Budget, Shortage};
use convoke_domain::event::Kind;
use convoke_domain::id::RunId;
use convoke_domain::money::Money;
use convoke_domain::transcript::Usage;
use convoke_store::step::{Started, StepRef};
use convoke_store::{Asked, Result, Tx, budget, step, usage};
use serde_json::json;

use crate::engine::emit;

/// A budget that a call falls under, and its caps in case it has to be opened.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scope {
    /// `run:…`, `session:…`, `team:NAME:DAY`, `workspace:DAY`, `agent:RUN:NAME`, `task:…`.
    pub name: String,
    /// The most dollars.
    pub cap_cost: Option<Money>,
    /// The most tokens.
    pub cap_tokens: Option<i64>,
}

/// What a model call came to.
#[derive(Debug, Clone)]
pub(crate) struct Bill {
    /// The model as `provider/model`.
    pub model: String,
    /// `priced`, `local`, `unpriced` or `simulated`.
    pub tariff: String,
    /// `provider`, `bound` or `none`.
    pub basis: &'static str,
    /// The provider's id of the response.
    pub response_id: Option<String>,
    /// Tokens.
    pub usage: Usage,
    /// Dollars.
    pub cost: Money,
}

fn names(scopes: &[Scope]) -> Vec<String> {
    scopes.iter().map(|scope| scope.name.clone()).collect()
}

/// Asks for budgets that are to be reserved from.
pub(crate) async fn ask(tx: &mut Tx<'_>, scopes: &[Scope]) -> Result<Asked<budget::Record>> {
    budget::ask_hold(tx, &names(scopes)).await
}

/// Holds `bound` in every budget, or says which one has no room. Writes nothing in that case but budgets not yet open.
///
/// `asked` are the budgets, where [`ask`] asked for them and none was touched since.
pub(crate) async fn reserve(
    tx: &mut Tx<'_>,
    scopes: &[Scope],
    bound: Amount,
    asked: Option<Asked<budget::Record>>,
) -> Result<Result<(), Shortage>> {
    let names = names(scopes);
    let mut rows = match asked {
        Some(asked) => tx.answer(asked).await?,
        None => budget::hold(tx, &names).await?,
    };
    if rows.len() < scopes.len() {
        for scope in scopes.iter().filter(|scope| !rows.iter().any(|row| row.scope == scope.name)) {
            budget::open(tx, &scope.name, scope.cap_cost, scope.cap_tokens).await?;
        }
        rows = budget::hold(tx, &names).await?;
    }
    for row in &mut rows {
        adopt_cap(tx, scopes, row).await?;
    }
    for row in rows {
        if let Err(shortage) = Budget::from(row).admit(bound) {
            return Ok(Err(shortage));
        }
    }
    budget::reserve(tx, &names, bound).await?;
    Ok(Ok(()))
}

/// A cap that is stated anew, such as a higher one for the day, holds from the next call on.
async fn adopt_cap(tx: &mut Tx<'_>, scopes: &[Scope], row: &mut budget::Record) -> Result<()> {
    let Some(scope) = scopes.iter().find(|scope| scope.name == row.scope) else { return Ok(()) };
    // What was moved to it, or away, counts on top of what is stated.
    let cost = scope.cap_cost.map(|cap| cap.as_nanos().saturating_add(row.moved_cost)).or(row.cap_cost);
    let tokens = scope.cap_tokens.map(|cap| cap.saturating_add(row.moved_tokens)).or(row.cap_tokens);
    if (cost, tokens) != (row.cap_cost, row.cap_tokens) {
        budget::set_cap(tx, &row.scope, cost.map(Money::from_nanos), tokens).await?;
        (row.cap_cost, row.cap_tokens) = (cost, tokens);
    }
    Ok(())
}

/// What was settled, until somebody looks whether it calls for a warning: see [`warn`].
pub(crate) struct Settled {
    run: RunId,
    budgets: Asked<budget::Record>,
}

/// Lets go of a step's reservation and bills it.
pub(crate) async fn settle(tx: &mut Tx<'_>, at: StepRef, held: &Started, agent: &str, bill: &Bill) -> Result<Settled> {
    let scopes: Vec<String> = held.scopes.lines().map(str::to_owned).collect();
    let bound = Amount { cost: Money::from_nanos(held.bound_cost), tokens: held.bound_tokens };
    let tokens = i64::try_from(bill.usage.total()).unwrap_or(i64::MAX);
    let budgets = budget::ask_settle(tx, &scopes, bound, Amount { cost: bill.cost, tokens }).await?;
    if bill.basis != "none" {
        let line = usage::NewRow {
            at,
            try_n: held.tries,
            run: held.run,
            agent,
            model: &bill.model,
            tariff: &bill.tariff,
            basis: bill.basis,
            response_id: bill.response_id.as_deref(),
            usage: bill.usage,
            cost: bill.cost,
            bound_cost: bound.cost,
            scopes: &held.scopes,
        };
        usage::insert(tx, &line).await?;
    }
    if bill.cost > bound.cost {
        let payload = json!({"step": at.n, "bound_usd": bound.cost, "billed_usd": bill.cost});
        emit(tx, Kind::BudgetOverrun, ("task", at.task.to_string()), (Some(held.run), "system"), payload);
    }
    Ok(Settled { run: held.run, budgets })
}

/// Tells once that most of a budget is used.
pub(crate) async fn warn(tx: &mut Tx<'_>, settled: Vec<Settled>) -> Result<()> {
    let mut latest = BTreeMap::new();
    for Settled { run, budgets } in settled {
        for budget in tx.answer(budgets).await? {
            latest.insert(budget.scope.clone(), (run, budget));
        }
    }
    for (run, budget) in latest.into_values().map(|(run, budget)| (run, Budget::from(budget))) {
        if !budget.wants_warning() {
            continue;
        }
        budget::set_warned(tx, &budget.scope).await?;
        let payload =
            json!({"settled_usd": budget.settled.cost, "cap_usd": budget.cap_cost, "cap_tokens": budget.cap_tokens});
        emit(tx, Kind::BudgetWarning, ("budget", budget.scope.clone()), (Some(run), "system"), payload);
    }
    Ok(())
}

/// Why a call counts as lost whose worker died.
pub(crate) const LOST: &str = "the worker went away while the call was under way";
/// Why a call counts as lost that was cut.
pub(crate) const CUT: &str =
    "the call was cut before its answer came; it is billed at its bound, for it may be charged";

/// Ends a step whose outcome nobody knows. A model call is billed at its bound: it may have been answered and paid for.
pub(crate) async fn bill_lost(tx: &mut Tx<'_>, at: StepRef, agent: &str, why: &str) -> Result<bool> {
    let Some(held) = step::finish(tx, at, 0, "lost", (None, Some(why))).await? else { return Ok(false) };
    let mut payload =
        json!({"step": at.n, "kind": held.kind, "name": held.name, "try": held.tries, "error": format!("lost: {why}")});
    if held.kind == "model" {
        let bill = Bill {
            model: held.name.clone(),
            tariff: held.tariff.clone(),
            basis: "bound",
            response_id: None,
            usage: at_bound(held.bound_tokens),
            cost: Money::from_nanos(held.bound_cost),
        };
        let settled = settle(tx, at, &held, agent, &bill).await?;
        warn(tx, vec![settled]).await?;
        payload["tokens"] = held.bound_tokens.into();
        payload["cost_usd"] = bill.cost.as_usd().into();
    }
    let who = format!("agent:{agent}");
    emit(tx, Kind::StepFailed, ("task", at.task.to_string()), (Some(held.run), &who), payload);
    Ok(true)
}

/// Tokens of a call that nobody counted: its bound, all as input because it cannot be divided.
pub(crate) fn at_bound(tokens: i64) -> Usage {
    Usage { input_tokens: u64::try_from(tokens).unwrap_or(0), ..Usage::default() }
}
