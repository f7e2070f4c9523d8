//! Budgets: what may still be spent, at every level at once.
//!
//! A call's upper bound is reserved before it is made and settled after, so `reserved + settled ≤ cap` holds always. A
//! bill above its bound is an overrun: it is recorded, and it blocks further calls until the cap is raised.

use serde::{Deserialize, Serialize};

use crate::money::Money;
use crate::refusal::Refusal;

/// Share of a cap at which a warning is given.
pub const WARN_AT_PERCENT: i64 = 80;

/// What a session may spend unless somebody says otherwise.
pub const SESSION_DEFAULT: Money = Money::from_nanos(500_000_000);

/// An amount of both things that budgets count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Amount {
    /// Dollars.
    pub cost: Money,
    /// Tokens, input and output together.
    pub tokens: i64,
}

/// One level's budget.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Budget {
    /// What it limits: `run:…`, `session:…`, `workspace:2026-11-21`.
    pub scope: String,
    /// The most dollars; no limit if absent.
    pub cap_cost: Option<Money>,
    /// The most tokens; no limit if absent.
    pub cap_tokens: Option<i64>,
    /// Held for calls that are under way.
    pub reserved: Amount,
    /// Billed.
    pub settled: Amount,
    /// Billed above what was reserved.
    pub overrun: Money,
    /// The warning was given.
    pub warned: bool,
}

/// A budget that did not admit a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shortage {
    /// Which budget.
    pub scope: String,
    /// In dollars or in tokens.
    pub unit: Unit,
    /// What is left, in the unit (nano-dollars or tokens).
    pub left: i64,
    /// What the call needs at most.
    pub wanted: i64,
    /// The cap.
    pub cap: i64,
}

/// What a budget counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Nano-dollars.
    Cost,
    /// Tokens.
    Tokens,
}

impl std::fmt::Display for Shortage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let level = self.scope.split(':').next().unwrap_or_default();
        match self.unit {
            Unit::Cost => {
                let [left, wanted, cap] = [self.left, self.wanted, self.cap].map(Money::from_nanos);
                write!(f, "the {level} budget of {cap} has {left} left and the next call may cost up to {wanted}")
            }
            Unit::Tokens => {
                let Self { left, wanted, cap, .. } = self;
                write!(f, "the {level} budget of {cap} tokens has {left} left and the next call may use up to {wanted}")
            }
        }
    }
}

impl Budget {
    /// True if `bound` still fits. A budget that was overrun past its cap admits nothing, not even what costs nothing.
    pub fn admit(&self, bound: Amount) -> Result<(), Shortage> {
        let short = |unit, cap: i64, used: i64, wanted: i64| {
            let left = cap.saturating_sub(used);
            (left < wanted || left < 0).then(|| Shortage { scope: self.scope.clone(), unit, left, wanted, cap })
        };
        let used_cost = self.settled.cost + self.reserved.cost;
        let used_tokens = self.settled.tokens.saturating_add(self.reserved.tokens);
        let shortage = self
            .cap_cost
            .and_then(|cap| short(Unit::Cost, cap.as_nanos(), used_cost.as_nanos(), bound.cost.as_nanos()))
            .or_else(|| self.cap_tokens.and_then(|cap| short(Unit::Tokens, cap, used_tokens, bound.tokens)));
        shortage.map_or(Ok(()), Err)
    }

    /// True if the part in use has passed [`WARN_AT_PERCENT`] and nobody was told.
    pub fn wants_warning(&self) -> bool {
        let passed = |cap: i64, used: i64| cap > 0 && used.saturating_mul(100) >= cap.saturating_mul(WARN_AT_PERCENT);
        let cost = self.cap_cost.is_some_and(|cap| passed(cap.as_nanos(), self.settled.cost.as_nanos()));
        !self.warned && (cost || self.cap_tokens.is_some_and(|cap| passed(cap, self.settled.tokens)))
    }
}

/// Moves unspent budget from one cap to another; their sum stays as it was. What is held or billed cannot move.
pub fn shift(from: &Budget, to: &Budget, amount: Amount) -> Result<(Budget, Budget), Refusal> {
    if amount.cost < Money::ZERO || amount.tokens < 0 || amount == Amount::default() {
        return Err(Refusal::new("bad_amount", "the amount to move is above 0"));
    }
    let (mut less, mut more) = (from.clone(), to.clone());
    if amount.cost > Money::ZERO {
        let (Some(cap), Some(other)) = (from.cap_cost, to.cap_cost) else { return Err(no_cap(from, to, "dollars")) };
        let left = cap.as_nanos() - (from.settled.cost + from.reserved.cost).as_nanos();
        if left < amount.cost.as_nanos() {
            return Err(too_much(&amount.cost, &Money::from_nanos(left)));
        }
        (less.cap_cost, more.cap_cost) =
            (Some(Money::from_nanos(cap.as_nanos() - amount.cost.as_nanos())), Some(other + amount.cost));
    }
    if amount.tokens > 0 {
        let (Some(cap), Some(other)) = (from.cap_tokens, to.cap_tokens) else { return Err(no_cap(from, to, "tokens")) };
        let left = cap - from.settled.tokens.saturating_add(from.reserved.tokens);
        if left < amount.tokens {
            return Err(too_much(&format!("{} tokens", amount.tokens), &left));
        }
        (less.cap_tokens, more.cap_tokens) = (Some(cap - amount.tokens), Some(other.saturating_add(amount.tokens)));
    }
    Ok((less, more))
}

fn no_cap(from: &Budget, to: &Budget, unit: &str) -> Refusal {
    let open = |budget: &Budget| if unit == "tokens" { budget.cap_tokens.is_none() } else { budget.cap_cost.is_none() };
    let scope = if open(from) { &from.scope } else { &to.scope };
    // `agent:RUN:NAME`
    let name = scope.rsplit(':').next().unwrap_or(scope);
    Refusal::new("no_cap", format!("the agent `{name}` has no cap in {unit}, so nothing can be moved from or to it"))
        .hint("give both agents `limits` in their profiles")
}

fn too_much(wanted: &dyn std::fmt::Display, left: &dyn std::fmt::Display) -> Refusal {
    Refusal::new("too_little_left", format!("{wanted} cannot be moved: {left} are left"))
}

/// The most tokens that `bytes` of prompt can be, for reserving. Tokenizers of today make one token of three to four
/// bytes of prose and of about two of dense tables or CJK text; what still exceeds this shows as an overrun.
pub fn tokens_at_most(bytes: usize) -> i64 {
    i64::try_from(bytes / 2).unwrap_or(i64::MAX).saturating_add(PROMPT_OVERHEAD_TOKENS)
}

/// Tokens that a provider adds around a prompt: role markers, the tool preamble.
const PROMPT_OVERHEAD_TOKENS: i64 = 400;

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(cap: i64, reserved: i64, settled: i64) -> Budget {
        let amount = |cost| Amount { cost: Money::from_nanos(cost), tokens: 0 };
        Budget {
            scope: "run:x".into(),
            cap_cost: Some(Money::from_nanos(cap)),
            reserved: amount(reserved),
            settled: amount(settled),
            ..Budget::default()
        }
    }

    fn cost(nanos: i64) -> Amount {
        Amount { cost: Money::from_nanos(nanos), tokens: 0 }
    }

    #[test]
    fn the_last_nano_dollar_is_admitted_and_no_more() {
        assert_eq!(budget(100, 40, 50).admit(cost(10)), Ok(()));
        let shortage = budget(100, 40, 50).admit(cost(11)).expect_err("one too much");
        assert_eq!((shortage.left, shortage.wanted, shortage.cap), (10, 11, 100));
    }

    #[test]
    fn an_overrun_blocks_even_free_calls() {
        assert_eq!(budget(100, 0, 100).admit(cost(0)), Ok(()));
        assert!(budget(100, 0, 101).admit(cost(0)).is_err());
    }

    #[test]
    fn tokens_are_counted_apart() {
        let mut both = budget(1_000, 0, 0);
        both.cap_tokens = Some(50);
        let shortage = both.admit(Amount { cost: Money::ZERO, tokens: 51 }).expect_err("too many tokens");
        assert_eq!(shortage.to_string(), "the run budget of 50 tokens has 50 left and the next call may use up to 51");
    }

    #[test]
    fn no_cap_admits_all() {
        let open = Budget { cap_cost: None, ..budget(0, 5, 5) };
        assert_eq!(open.admit(cost(i64::MAX)), Ok(()));
    }

    #[test]
    fn warns_once_at_eighty_percent() {
        assert!(!budget(100, 0, 79).wants_warning());
        assert!(budget(100, 0, 80).wants_warning());
        assert!(!Budget { warned: true, ..budget(100, 0, 90) }.wants_warning());
    }
}
