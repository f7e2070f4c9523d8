//! Budgets: reserved and settled amounts at every level, and the one statement that changes them all.

use convoke_domain::budget::{Amount, Budget};
use convoke_domain::money::Money;

use crate::{Asked, Result, Tx, p, row};

/// The most budgets that a call of a team's agent can fall under: task, agent, run, session, team and workspace.
pub const LEVELS: usize = 6;
/// The most that a call of a spawned agent can fall under: those, all spawned agents of the run, those above it, and where its task was
/// handed to it, the agent that the task was made for with those above that.
pub const DEEP_LEVELS: usize = LEVELS + 2 + 2 * convoke_domain::spawn::MAX_DEPTH as usize;

row! {
    /// A budget as it is kept.
    pub struct Record {
        /// What it limits.
        pub scope: String,
        /// The most dollars.
        pub cap_cost: Option<i64>,
        /// The most tokens.
        pub cap_tokens: Option<i64>,
        /// Held for calls under way.
        pub reserved_cost: i64,
        /// Held for calls under way.
        pub reserved_tokens: i64,
        /// Billed.
        pub settled_cost: i64,
        /// Billed.
        pub settled_tokens: i64,
        /// Billed above what was reserved.
        pub overrun: i64,
        /// The warning was given.
        pub warned: bool,
        /// Moved here from other budgets, in nano-dollars.
        pub moved_cost: i64,
        /// Moved here from other budgets.
        pub moved_tokens: i64,
    }
}

impl From<Record> for Budget {
    fn from(row: Record) -> Self {
        let amount = |cost, tokens| Amount { cost: Money::from_nanos(cost), tokens };
        Self {
            scope: row.scope,
            cap_cost: row.cap_cost.map(Money::from_nanos),
            cap_tokens: row.cap_tokens,
            reserved: amount(row.reserved_cost, row.reserved_tokens),
            settled: amount(row.settled_cost, row.settled_tokens),
            overrun: Money::from_nanos(row.overrun),
            warned: row.warned,
        }
    }
}

/// Makes a budget if there is none for this scope; one that stands keeps its caps.
pub async fn open(tx: &mut Tx<'_>, scope: &str, cap_cost: Option<Money>, cap_tokens: Option<i64>) -> Result<()> {
    let ws = tx.ws();
    tx.put(
        "INSERT INTO budget (ws, scope, cap_cost, cap_tokens, reserved_cost, reserved_tokens, settled_cost, settled_tokens, \
         overrun, warned) VALUES ($1, $2, $3, $4, 0, 0, 0, 0, 0, 0) ON CONFLICT (ws, scope) DO NOTHING",
        p![ws, scope, cap_cost, cap_tokens],
    )
    .await?;
    Ok(())
}

/// Changes a cap; the warning may be given again.
pub async fn set_cap(tx: &mut Tx<'_>, scope: &str, cap_cost: Option<Money>, cap_tokens: Option<i64>) -> Result<bool> {
    let ws = tx.ws();
    let changed = tx
        .exec(
            "UPDATE budget SET cap_cost = $3, cap_tokens = $4, warned = 0 WHERE ws = $1 AND scope = $2",
            p![ws, scope, cap_cost, cap_tokens],
        )
        .await?;
    Ok(changed > 0)
}

/// One parameter for each level; levels that are not there match nothing.
fn padded<const N: usize>(scopes: &[String]) -> [&str; N] {
    std::array::from_fn(|place| scopes.get(place).map_or("", String::as_str))
}

/// The budgets that stand for these scopes, locked in a fixed order until the transaction ends.
pub async fn hold(tx: &mut Tx<'_>, scopes: &[String]) -> Result<Vec<Record>> {
    let asked = ask_hold(tx, scopes).await?;
    tx.answer(asked).await
}

/// The same, to be looked at later.
pub async fn ask_hold(tx: &mut Tx<'_>, scopes: &[String]) -> Result<Asked<Record>> {
    let ws = tx.ws();
    if scopes.len() > LEVELS {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, q] = padded::<DEEP_LEVELS>(scopes);
        return tx
            .ask(
                "SELECT scope, cap_cost, cap_tokens, reserved_cost, reserved_tokens, settled_cost, settled_tokens, overrun, warned, moved_cost, moved_tokens \
                 FROM budget WHERE ws = $1 AND scope IN ($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) ORDER BY scope /*pg FOR UPDATE*/",
                p![ws, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, q],
            )
            .await;
    }
    let [a, b, c, d, e, f] = padded::<LEVELS>(scopes);
    tx.ask(
        "SELECT scope, cap_cost, cap_tokens, reserved_cost, reserved_tokens, settled_cost, settled_tokens, overrun, warned, moved_cost, moved_tokens \
         FROM budget WHERE ws = $1 AND scope IN ($2, $3, $4, $5, $6, $7) ORDER BY scope /*pg FOR UPDATE*/",
        p![ws, a, b, c, d, e, f],
    )
    .await
}

/// Holds an amount in all these budgets. The caller has seen that it fits.
pub async fn reserve(tx: &mut Tx<'_>, scopes: &[String], bound: Amount) -> Result<()> {
    let ws = tx.ws();
    if scopes.len() > LEVELS {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, q] = padded::<DEEP_LEVELS>(scopes);
        tx.put(
            "UPDATE budget SET reserved_cost = reserved_cost + $2, reserved_tokens = reserved_tokens + $3 \
             WHERE ws = $1 AND scope IN ($4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)",
            p![ws, bound.cost, bound.tokens, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, q],
        )
        .await?;
        return Ok(());
    }
    let [a, b, c, d, e, f] = padded::<LEVELS>(scopes);
    tx.put(
        "UPDATE budget SET reserved_cost = reserved_cost + $8, reserved_tokens = reserved_tokens + $9 \
         WHERE ws = $1 AND scope IN ($2, $3, $4, $5, $6, $7)",
        p![ws, a, b, c, d, e, f, bound.cost, bound.tokens],
    )
    .await?;
    Ok(())
}

/// Lets go of a reservation and bills what was used. Gives the budgets as they stand then.
pub async fn settle(tx: &mut Tx<'_>, scopes: &[String], bound: Amount, billed: Amount) -> Result<Vec<Record>> {
    let asked = ask_settle(tx, scopes, bound, billed).await?;
    tx.answer(asked).await
}

/// The same, to be looked at later.
pub async fn ask_settle(tx: &mut Tx<'_>, scopes: &[String], bound: Amount, billed: Amount) -> Result<Asked<Record>> {
    let (ws, over) = (tx.ws(), billed.cost.beyond(bound.cost));
    if scopes.len() > LEVELS {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, q] = padded::<DEEP_LEVELS>(scopes);
        return tx
            .ask(
                "UPDATE budget SET reserved_cost = reserved_cost - $2, reserved_tokens = reserved_tokens - $3, \
                 settled_cost = settled_cost + $4, settled_tokens = settled_tokens + $5, overrun = overrun + $6 \
                 WHERE ws = $1 AND scope IN ($7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22) \
                 RETURNING scope, cap_cost, cap_tokens, reserved_cost, reserved_tokens, settled_cost, settled_tokens, overrun, warned, moved_cost, moved_tokens",
                p![ws, bound.cost, bound.tokens, billed.cost, billed.tokens, over, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, q],
            )
            .await;
    }
    let [a, b, c, d, e, f] = padded::<LEVELS>(scopes);
    if tx.is_sqlite() {
        // A look is cheaper there than RETURNING, which fills a temporary table.
        tx.put(
            "UPDATE budget SET reserved_cost = reserved_cost - $8, reserved_tokens = reserved_tokens - $9, \
             settled_cost = settled_cost + $10, settled_tokens = settled_tokens + $11, overrun = overrun + $12 \
             WHERE ws = $1 AND scope IN ($2, $3, $4, $5, $6, $7)",
            p![ws, a, b, c, d, e, f, bound.cost, bound.tokens, billed.cost, billed.tokens, over],
        )
        .await?;
        return ask_hold(tx, scopes).await;
    }
    tx.ask(
        "UPDATE budget SET reserved_cost = reserved_cost - $8, reserved_tokens = reserved_tokens - $9, \
         settled_cost = settled_cost + $10, settled_tokens = settled_tokens + $11, overrun = overrun + $12 \
         WHERE ws = $1 AND scope IN ($2, $3, $4, $5, $6, $7) RETURNING scope, cap_cost, cap_tokens, reserved_cost, \
         reserved_tokens, settled_cost, settled_tokens, overrun, warned, moved_cost, moved_tokens",
        p![ws, a, b, c, d, e, f, bound.cost, bound.tokens, billed.cost, billed.tokens, over],
    )
    .await
}

/// Moves an amount to a budget from others, or away from it below 0: its caps change, and it is remembered.
pub async fn shift(tx: &mut Tx<'_>, scope: &str, cost: Money, tokens: i64) -> Result<()> {
    let ws = tx.ws();
    tx.put(
        "UPDATE budget SET cap_cost = cap_cost + $3, moved_cost = moved_cost + $3, cap_tokens = cap_tokens + $4, \
         moved_tokens = moved_tokens + $4, warned = 0 WHERE ws = $1 AND scope = $2",
        p![ws, scope, cost, tokens],
    )
    .await?;
    Ok(())
}

/// Remembers that the warning was given.
pub async fn set_warned(tx: &mut Tx<'_>, scope: &str) -> Result<()> {
    let ws = tx.ws();
    tx.put("UPDATE budget SET warned = 1 WHERE ws = $1 AND scope = $2", p![ws, scope]).await?;
    Ok(())
}

/// Every budget whose scope begins with `prefix`, in order.
pub async fn list(tx: &mut Tx<'_>, prefix: &str, limit: i64) -> Result<Vec<Record>> {
    let ws = tx.ws();
    let end = format!("{prefix}\u{10ffff}");
    tx.many(
        "SELECT scope, cap_cost, cap_tokens, reserved_cost, reserved_tokens, settled_cost, settled_tokens, overrun, warned, moved_cost, moved_tokens \
         FROM budget WHERE ws = $1 AND scope >= $2 AND scope < $3 ORDER BY scope LIMIT $4",
        p![ws, prefix, end.as_str(), limit],
    )
    .await
}
