//! What a voter's word is worth: from how often it was right, with decay.
//!
//! The weight of a voter who is right with chance q among K choices is `ln(q (K - 1) / (1 - q))`, which is best where
//! voters err by themselves and alike: Nitzan and Paroush, "Optimal Decision Rules in Uncertain Dichotomous Choice
//! Situations", 1982 (K = 2); for more choices Li and Yu, "Error Rate Bounds and Iterative Weighted Majority Voting for
//! Crowdsourcing", 2014. Agents do not err by themselves, so where there are past votes, [`learn`] moves weights to where
//! they would have been decided best. The weighted vote can still be worse than its best voter; [`learn`] finds that out
//! from votes it has not learnt from, and [`collapse`] acts on it.
//!
//! Rule: a chance is never taken from few cases as it stands ([`PRIOR`]), and old cases fade ([`HALF_LIFE`]). Start at
//! [`Outcomes`] and [`Pinned`].

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

mod crowd;
mod held_out;
#[cfg(test)]
mod tests;

pub use crowd::{Asked, Consensus, Label, Size, chances, dawid_skene, expected};
pub use held_out::{Ballots, FEWEST, Learnt, MOST, Past, Untold, learn};

/// What is assumed of every voter before its first case: right twice and wrong once. A voter without a record is then
/// taken to be right two times of three: enough for its vote to count, and less than a voter with a good record has.
pub const PRIOR: Outcomes = Outcomes { right: 2.0, wrong: 1.0 };
/// After this time a case counts half.
pub const HALF_LIFE: Duration = Duration::from_secs(90 * 86_400);
/// No record makes a voter more certain than this, nor less than one minus this.
pub const MOST_CERTAIN: f64 = 0.99;
/// How many choices an open vote is taken to have: wrong answers are many, but some are made again and again. It says how
/// much weights differ before there are votes to learn from.
pub const OPEN_CHOICES: usize = 5;

/// How often a voter was right and wrong; parts of a case are possible.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcomes {
    /// Cases in which it was right.
    pub right: f64,
    /// Cases in which it was wrong.
    pub wrong: f64,
}

impl Outcomes {
    /// Adds a case: `value` is 1 for right and 0 for wrong, `age` says how long ago it was.
    pub fn add(&mut self, value: f64, age: Duration, half_life: Duration) {
        let (value, counts) = (value.clamp(0.0, 1.0), faded(age, half_life));
        self.right += value * counts;
        self.wrong += (1.0 - value) * counts;
    }

    /// How many cases there are, faded ones in part.
    pub fn cases(&self) -> f64 {
        self.right + self.wrong
    }

    /// As many cases with this part of them right.
    #[must_use]
    pub fn of(&self, accuracy: f64) -> Self {
        Self { right: self.cases() * accuracy, wrong: self.cases() * (1.0 - accuracy) }
    }

    /// The chance to be right next time: the mean of a beta distribution with `prior` (Laplace's rule, with its counts).
    pub fn accuracy(&self, prior: Self) -> f64 {
        (self.right + prior.right) / (self.cases() + prior.cases())
    }
}

/// How much a case counts after some time.
pub fn faded(age: Duration, half_life: Duration) -> f64 {
    if half_life.is_zero() { 1.0 } else { 0.5_f64.powf(age.as_secs_f64() / half_life.as_secs_f64()) }
}

/// The log-odds of a voter with this accuracy among so many choices; negative for one who is worse than chance.
pub fn log_odds(accuracy: f64, choices: usize) -> f64 {
    let sure = accuracy.clamp(1.0 - MOST_CERTAIN, MOST_CERTAIN);
    (sure * (choices.max(2) - 1) as f64 / (1.0 - sure)).ln()
}

/// What a ballot weighs: the log-odds, and nothing for a voter who is no better than chance.
pub fn weight(accuracy: f64, choices: usize) -> f64 {
    log_odds(accuracy, choices).max(0.0)
}

/// Lets one voter decide where it votes: it gets twice the weight of all others together on top of its own, which is
/// enough for any majority of what was cast. Where it abstains, the others decide as they would have.
pub fn collapse(electorate: &mut [(String, f64)], best: &str) {
    let others: f64 = electorate.iter().filter(|(voter, _)| voter != best).map(|(_, weight)| weight).sum();
    if let Some((_, weight)) = electorate.iter_mut().find(|(voter, _)| voter == best) {
        *weight += 2.0 * others;
    }
}

/// What a run pins of its agents' records when it starts, so that what happens in it does not depend on what happens beside it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Pinned {
    /// The chance to be right by `AGENT`, and by `AGENT:CAPABILITY` where there is a record of that.
    #[serde(default)]
    pub accuracy: BTreeMap<String, f64>,
    /// What a ballot weighs where past votes taught it, by the same names; else it follows from the chance to be right.
    #[serde(default)]
    pub weights: BTreeMap<String, f64>,
    /// The agent that is right more often than the weighted vote, by capability; by the empty name whatever the capability.
    #[serde(default)]
    pub best: BTreeMap<String, String>,
}

impl Pinned {
    /// True if nothing is pinned.
    pub fn is_empty(&self) -> bool {
        self.accuracy.is_empty() && self.weights.is_empty() && self.best.is_empty()
    }

    /// The name a record goes by.
    pub fn key(agent: &str, capability: &str) -> String {
        if capability.is_empty() { agent.to_owned() } else { format!("{agent}:{capability}") }
    }

    /// The chance of an agent to be right: by its record for the capability, else by its whole record, else by none.
    pub fn accuracy(&self, agent: &str, capability: Option<&str>) -> f64 {
        let special = capability.and_then(|capability| self.accuracy.get(&Self::key(agent, capability)));
        let found = special.or_else(|| self.accuracy.get(agent)).copied();
        found.unwrap_or_else(|| Outcomes::default().accuracy(PRIOR))
    }

    /// What an agent's ballot weighs in a vote with so many options; 0 options are an open vote.
    pub fn weight(&self, agent: &str, capability: Option<&str>, options: usize) -> f64 {
        let choices = if options == 0 { OPEN_CHOICES } else { options };
        let taught = self.weights.get(&Self::key(agent, capability.unwrap_or_default()));
        taught.map_or_else(|| weight(self.accuracy(agent, capability), choices), |weight| weight.max(0.0))
    }

    /// The agent that decides alone where a rule allows it.
    pub fn best(&self, capability: Option<&str>) -> Option<&str> {
        self.best.get(capability.unwrap_or_default()).map(String::as_str)
    }
}
