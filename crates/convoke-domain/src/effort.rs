//! What an agent's work costs and how long it takes, from what it has done. It stands beside what is known of how right the agent is
//! and has no part in what its ballot weighs: a cheap voter is no better witness than a dear one.
//!
//! Rule: old work fades as outcomes do ([`HALF_LIFE`]). Start at [`efforts`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::money::Money;
use crate::time::Timestamp;
use crate::weight::{HALF_LIFE, faded};

/// An attempt that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    /// Who made it.
    pub agent: String,
    /// It ended with a result.
    pub completed: bool,
    /// When it began.
    pub from: Timestamp,
    /// When it ended.
    pub to: Timestamp,
    /// What its model calls cost.
    pub cost: Money,
    /// Those of them whose price is not known.
    pub unpriced_calls: i64,
    /// Tokens in and out.
    pub tokens: i64,
}

/// What an agent's work takes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Effort {
    /// Attempts that are counted, faded or not.
    pub attempts: u64,
    /// Those that ended with a result.
    pub completed: u64,
    /// All that it cost, attempts that failed too, by task that it completed.
    pub cost_per_task_usd: Option<Money>,
    /// Model calls whose price is not known; they are not in it.
    pub unpriced_calls: i64,
    /// All tokens, by task that it completed.
    pub tokens_per_task: Option<i64>,
    /// Half of its tasks took no longer from claim to result, what they waited for included.
    pub median_ms: Option<i64>,
}

/// What the work of each agent takes. `now` fades it.
pub fn efforts(done: &[Done], now: Timestamp) -> BTreeMap<String, Effort> {
    let mut by_agent: BTreeMap<&str, Vec<&Done>> = BTreeMap::new();
    done.iter().for_each(|one| by_agent.entry(&one.agent).or_default().push(one));
    by_agent.into_iter().map(|(agent, own)| (agent.to_owned(), effort(&own, now))).collect()
}

fn effort(own: &[&Done], now: Timestamp) -> Effort {
    let counts = |one: &Done| faded(now.since(one.to), HALF_LIFE);
    let sum = |of: &dyn Fn(&Done) -> f64| own.iter().map(|one| of(one) * counts(one)).sum::<f64>();
    let completed = sum(&|one| f64::from(u8::from(one.completed)));
    let by_task =
        |of: &dyn Fn(&Done) -> i64| (completed > 0.0).then(|| (sum(&|one| of(one) as f64) / completed).round() as i64);
    let mut took: Vec<(i64, f64)> = own
        .iter()
        .filter(|one| one.completed)
        .map(|one| (one.to.as_micros().saturating_sub(one.from.as_micros()).max(0), counts(one)))
        .collect();
    took.sort_by_key(|(micros, _)| *micros);
    let count = |list: usize| u64::try_from(list).unwrap_or(u64::MAX);
    Effort {
        attempts: count(own.len()),
        completed: count(took.len()),
        cost_per_task_usd: by_task(&|one| one.cost.as_nanos()).map(Money::from_nanos),
        unpriced_calls: own.iter().map(|one| one.unpriced_calls).sum(),
        tokens_per_task: by_task(&|one| one.tokens),
        median_ms: middle(&took).map(|micros| (micros + 500) / 1_000),
    }
}

/// The first of these sorted values with which half of their weight is reached.
fn middle(sorted: &[(i64, f64)]) -> Option<i64> {
    let half = sorted.iter().map(|(_, weight)| weight).sum::<f64>() / 2.0;
    let mut reached = 0.0;
    let found = sorted.iter().find(|(_, weight)| {
        reached += weight;
        reached >= half
    });
    found.map(|(value, _)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000_000;

    fn at(days: i64) -> Timestamp {
        Timestamp::from_micros(days * DAY)
    }

    fn done(agent: &str, completed: bool, days: i64, (took_ms, cost, tokens): (i64, f64, i64)) -> Done {
        let to = at(days);
        let from = Timestamp::from_micros(to.as_micros() - took_ms * 1_000);
        Done { agent: agent.into(), completed, from, to, cost: Money::from_usd(cost), unpriced_calls: 1, tokens }
    }

    #[test]
    fn what_failed_counts_as_cost_and_what_is_old_counts_less() {
        let now = at(100);
        let all = [
            done("ada", true, 100, (1_000, 0.2, 100)),
            done("ada", true, 100, (3_000, 0.4, 300)),
            done("ada", false, 100, (9_000, 0.2, 200)),
            done("bob", false, 100, (1_000, 1.0, 10)),
            done("eve", true, 100, (1_000, 0.3, 60)),
            done("eve", true, 10, (8_000, 0.9, 180)),
            done("eve", true, 10, (9_000, 0.9, 180)),
        ];
        let found = efforts(&all, now);
        let told = |agent: &str| {
            let one = &found[agent];
            (one.attempts, one.completed, one.cost_per_task_usd, one.tokens_per_task, one.median_ms)
        };
        assert_eq!(told("ada"), (3, 2, Some(Money::from_usd(0.4)), Some(300), Some(1_000)));
        assert_eq!(told("bob"), (1, 0, None, None, None), "nothing to divide by");
        // 90 days ago counts half: (0.3 + 0.9) / 2, and half of the weight is reached by the newest.
        assert_eq!(told("eve"), (3, 3, Some(Money::from_usd(0.6)), Some(120), Some(1_000)));
        assert_eq!(found["ada"].unpriced_calls, 3);
        assert!(efforts(&[], now).is_empty());
    }
}
