//! Votes: ballots, the rule they are counted by, and what comes of them.
//!
//! Rule: an answer is brought into one form before it is compared ([`canonical`]); every ballot and all dissent stay with
//! the result; a vote ends early only if no ballot that is still out can change what comes of it ([`tally`]). Pure, and
//! exact: weights are counted in millionths, so that ties are ties. Start at [`VoteRule`] and [`tally`].

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

mod ballot;
mod canonical;
#[cfg(test)]
mod situations;
mod tally;
#[cfg(test)]
mod tests;

pub use ballot::{Ballot, reason_of, says_abstention};
pub use canonical::{MAX_ANSWER, canonical, canonical_json, canonical_value, option};
pub use tally::{Outcome, Standing, Tally, is_weightless, tally};

/// Options that a vote may have.
pub const MAX_OPTIONS: usize = 100;
/// The largest weight that a voter may be given.
pub const MAX_WEIGHT: f64 = 1_000_000.0;
/// What a ballot's form says of the choice; by these words it is known again.
const CHOICE: &str = "your choice; null if you cannot or will not choose";
const CHOICE_EXACT: &str = "your choice, to the letter; null if you cannot or will not choose";

/// How many votes it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Majority {
    /// More than any other choice.
    #[default]
    Plurality,
    /// More than half of all who may vote, whether they do or not.
    Absolute,
    /// At least two thirds of what was cast.
    TwoThirds,
    /// All that was cast.
    Unanimous,
}

/// What happens when several choices are ahead with the same weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TieRule {
    /// The vote has failed.
    #[default]
    Fail,
    /// A person decides.
    Escalate,
    /// The choice that comes first among the options; in an open vote, the one of the voter who comes first.
    First,
    /// The coordinator decides among those that are tied.
    Coordinator,
    /// The voters vote again among those that are tied.
    Revote,
}

/// What a ballot weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Weights {
    /// The same for all.
    #[default]
    Equal,
    /// What `fixed` says.
    Fixed,
    /// What the voter's record says: how often it was right.
    Learnt,
}

/// What the quorum is a part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum QuorumOf {
    /// Of the voters.
    #[default]
    Heads,
    /// Of the weight of the voters.
    Weight,
}

/// How answers are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Canonical {
    /// By their words: case, marks, spaces and the way that numbers are written do not count.
    #[default]
    Text,
    /// By the last number in them: `$1,000.0` is `1000`.
    Number,
    /// As JSON: the order of keys does not count.
    Json,
    /// By every character.
    Exact,
}

/// How a vote is held.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct VoteRule {
    /// What may be chosen; empty for an open vote, in which each voter says its own answer.
    #[schemars(length(max = 100))]
    pub options: Vec<String>,
    /// The part of the voters that has to vote, from 0 to 1. Who abstains does not vote.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub quorum: f64,
    /// What the quorum is a part of.
    pub quorum_of: QuorumOf,
    /// How many votes it takes.
    pub majority: Majority,
    /// What happens when several choices are ahead with the same weight.
    pub tie: TieRule,
    /// What a ballot weighs.
    pub weights: Weights,
    /// Weights by voter, for `weights: fixed`; who is not named weighs 1.
    pub fixed: BTreeMap<String, f64>,
    /// The capability whose record counts, for `weights: learnt`; the whole record if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capability: Option<String>,
    /// The vote ends as soon as the ballots that are still out cannot change what comes of it.
    pub early_stop: bool,
    /// How answers are compared.
    pub canonical: Canonical,
    /// With `weights: learnt`: the best voter decides alone where its record says that it is right more often than the vote.
    pub collapse: bool,
}

impl Default for VoteRule {
    fn default() -> Self {
        Self {
            options: Vec::new(),
            quorum: 0.5,
            quorum_of: QuorumOf::Heads,
            majority: Majority::Plurality,
            tie: TieRule::Fail,
            weights: Weights::Equal,
            fixed: BTreeMap::new(),
            capability: None,
            early_stop: true,
            canonical: Canonical::Text,
            collapse: false,
        }
    }
}

impl VoteRule {
    /// What a schema cannot say and is wrong all the same: the field, and why in words for the author.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        if !(0.0..=1.0).contains(&self.quorum) {
            found.push(("quorum", format!("the quorum is {}, and it is a part of the voters: 0 to 1", self.quorum)));
        }
        if self.options.len() > MAX_OPTIONS {
            found.push(("options", format!("{} options, and {MAX_OPTIONS} is the most", self.options.len())));
        }
        let mut seen = BTreeMap::new();
        for option in &self.options {
            let form = canonical(self.canonical, option);
            if form.is_empty() {
                found.push(("options", "an option is empty".to_owned()));
            } else if let Some(earlier) = seen.insert(form, option) {
                found.push(("options", format!("`{earlier}` and `{option}` are the same when answers are compared")));
            }
        }
        for (voter, weight) in &self.fixed {
            if !(0.0..=MAX_WEIGHT).contains(weight) {
                found.push(("fixed", format!("`{voter}` weighs {weight}; a weight is 0 to {MAX_WEIGHT}")));
            }
        }
        found.extend(self.idle());
        found
    }

    /// Fields that say something for nothing.
    fn idle(&self) -> Vec<(&'static str, String)> {
        let idle = |is: bool, field, needs| is.then(|| (field, format!("`{field}` has no effect without `{needs}`")));
        let learnt = self.weights == Weights::Learnt;
        [
            idle(!self.fixed.is_empty() && self.weights != Weights::Fixed, "fixed", "weights: fixed"),
            idle(self.capability.is_some() && !learnt, "capability", "weights: learnt"),
            idle(self.collapse && !learnt, "collapse", "weights: learnt"),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// The option that an answer names, or in an open vote its one form; none if it names no option or says nothing.
    pub fn choice(&self, said: &str) -> Option<String> {
        if self.options.is_empty() {
            let form = canonical(self.canonical, said);
            let is_number = || form.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'.'));
            let is_readable = !form.is_empty() && (self.canonical != Canonical::Number || is_number());
            return is_readable.then_some(form);
        }
        option(self.canonical, &self.options, said).map(str::to_owned)
    }
}

/// Who votes and with what weight, each voter once. `learnt` is what the run pinned when it started
/// ([`crate::weight::Pinned`]); voters whom it does not know weigh what [`crate::weight::PRIOR`] makes of no record.
pub fn electorate(rule: &VoteRule, voters: &[String], learnt: &crate::weight::Pinned) -> Vec<(String, f64)> {
    let mut seen = BTreeSet::new();
    let voters = voters.iter().filter(|voter| seen.insert(voter.as_str()));
    let mut all: Vec<(String, f64)> = voters
        .map(|voter| {
            let weight = match rule.weights {
                Weights::Equal => 1.0,
                Weights::Fixed => rule.fixed.get(voter).copied().unwrap_or(1.0),
                Weights::Learnt => learnt.weight(voter, rule.capability.as_deref(), rule.options.len()),
            };
            (voter.clone(), weight)
        })
        .collect();
    if rule.collapse
        && rule.weights == Weights::Learnt
        && let Some(best) = learnt.best(rule.capability.as_deref())
    {
        crate::weight::collapse(&mut all, best);
    }
    all
}

/// The rule of a ballot as far as the form says it that [`schema`] gave; none if that is no ballot's.
pub fn rule_of(schema: &Value) -> Option<VoteRule> {
    let parts = schema["properties"].as_object().filter(|parts| parts.len() == 3)?;
    let choice = parts.get("choice").filter(|_| parts.contains_key("confidence") && parts.contains_key("reason"))?;
    let options = choice["enum"].as_array().into_iter().flatten();
    let canonical = match choice["description"].as_str()? {
        CHOICE_EXACT => Canonical::Exact,
        CHOICE if choice["type"].as_array().is_some_and(|types| types.contains(&json!("number"))) => Canonical::Number,
        CHOICE if choice.get("type").is_none() && choice.get("enum").is_none() => Canonical::Json,
        CHOICE => Canonical::Text,
        _ => return None,
    };
    let options = options.filter_map(Value::as_str).map(str::to_owned).collect();
    Some(VoteRule { options, canonical, ..VoteRule::default() })
}

/// The JSON Schema that a voter's answer must fit. `null` is an abstention.
pub fn schema(rule: &VoteRule) -> Value {
    let choice = if rule.options.is_empty() {
        match rule.canonical {
            Canonical::Number => json!({"type": ["number", "string", "null"]}),
            Canonical::Json => json!({}),
            Canonical::Text | Canonical::Exact => json!({"type": ["string", "null"]}),
        }
    } else {
        let options = rule.options.iter().map(|option| json!(option)).chain([Value::Null]);
        json!({"enum": options.collect::<Vec<_>>()})
    };
    let mut choice = choice;
    choice["description"] = json!(if rule.canonical == Canonical::Exact { CHOICE_EXACT } else { CHOICE });
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["choice", "confidence", "reason"],
        "properties": {
            "choice": choice,
            "confidence": {"type": ["number", "null"], "minimum": 0, "maximum": 1, "description": "how likely you are right"},
            "reason": {"type": "string", "description": "why, in a sentence or two"}
        }
    })
}
