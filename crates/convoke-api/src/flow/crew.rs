//! The team for which a flow is checked: who there is, what they may do, what the run may take.

use std::collections::BTreeMap;

use convoke_domain::profile::{AgentKind, Role};
use serde_json::{Map, Value};

use crate::known::Facts;
use crate::node::Node;
use crate::team::TeamCheck;

/// Tokens that a provider adds around a prompt; see docs/concept/budgets.md.
const AROUND: u64 = 400;
/// The most bytes of a prompt that any tokenizer makes one token of, in the mean.
const BYTES_MOST: usize = 8;
/// Bytes of a prompt for which a call reserves a token.
const BYTES_RESERVED: usize = 2;

/// A team.
pub(crate) struct Crew<'n> {
    pub(crate) coordinator: &'n str,
    pub(crate) members: Vec<&'n str>,
    /// What is known of the profiles of those in the team.
    pub(crate) facts: BTreeMap<&'n str, Facts>,
    /// `coordinator`, `members`, `by_role`, `by_capability`, and the parameters.
    pub(crate) variables: Map<String, Value>,
    /// Seconds that a run may take.
    pub(crate) timeout_s: u64,
    /// Tokens that a run may use, and where that is said.
    pub(crate) max_tokens: Option<(u64, &'n Node)>,
}

impl<'n> Crew<'n> {
    pub(crate) fn new(
        check: &TeamCheck<'n, '_, '_, '_>,
        members: &[(&'n str, Role)],
        mut variables: Map<String, Value>,
        parameters: BTreeMap<String, Value>,
    ) -> Self {
        let team = check.team;
        let coordinator = team.text_at("coordinator").map_or("", |(name, _)| name);
        let members: Vec<&str> = members.iter().map(|(name, _)| *name).collect();
        let all = members.iter().chain([&coordinator]);
        let facts =
            all.filter_map(|name| check.known.profiles.get(*name).map(|facts| (*name, facts.clone()))).collect();
        let number = |part: &str, field: &str| {
            let node = team.get(part)?.get(field)?;
            Some((node.to_json().as_u64()?, node))
        };
        variables.extend(parameters);
        Self {
            coordinator,
            members,
            facts,
            variables,
            timeout_s: number("rules", "timeout_s").map_or(3_600, |(seconds, _)| seconds),
            max_tokens: number("budget", "max_tokens"),
        }
    }

    /// True for a member and for the coordinator.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.coordinator == name || self.members.contains(&name)
    }

    /// All names.
    pub(crate) fn names(&self) -> Vec<&'n str> {
        let others = self.members.iter().filter(|name| **name != self.coordinator);
        others.copied().chain([self.coordinator]).collect()
    }

    /// True unless it is known that no model is asked when this one does something.
    pub(crate) fn asks_model(&self, name: &str) -> bool {
        self.facts.get(name).is_none_or(|facts| facts.kind == AgentKind::Llm)
    }

    /// The least tokens that so many calls need, whoever makes them: each uses its prompt, and the last must find room for its reply.
    pub(crate) fn least_tokens(&self, calls: u64) -> u64 {
        let models = || self.facts.values().filter(|facts| facts.kind == AgentKind::Llm);
        let used = models().map(|facts| (facts.prompt / BYTES_MOST) as u64 + 1).min().unwrap_or(0);
        let reserved =
            models().map(|facts| (facts.prompt / BYTES_RESERVED) as u64 + AROUND + facts.reply).min().unwrap_or(0);
        if calls == 0 { 0 } else { (calls - 1).saturating_mul(used).saturating_add(reserved) }
    }
}
