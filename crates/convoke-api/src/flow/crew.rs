//! The team for which a flow is checked: who there is, what they may do, what the run may take.

use std::collections::BTreeMap;

use convoke_domain::money::Money;
use convoke_domain::price::Price;
use convoke_domain::profile::Role;
use serde_json::{Map, Value};

use crate::known::Facts;
use crate::node::Node;
use crate::team::TeamCheck;

/// What is known of what a model costs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Priced {
    /// A price, and the longest reply.
    At(Price, u32),
    /// It has no known price.
    Unknown,
    /// Nobody has looked.
    Unasked,
}

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
    /// Dollars that a run may cost, and a task of it.
    pub(crate) max_cost: Option<(Money, &'n Node)>,
    pub(crate) max_task_cost: Option<(Money, &'n Node)>,
    /// The models that each agent may ask, as far as they are known before a run.
    pub(crate) models: BTreeMap<&'n str, Vec<(String, Priced)>>,
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
        let facts: BTreeMap<&'n str, Facts> =
            all.filter_map(|name| check.known.profiles.get(*name).map(|facts| (*name, facts.clone()))).collect();
        let number = |part: &str, field: &str| {
            let node = team.get(part)?.get(field)?;
            Some((node.to_json().as_u64()?, node))
        };
        let dollars = |field: &str| {
            let node = team.get("budget")?.get(field)?;
            Some((Money::from_usd(node.to_json().as_f64()?), node))
        };
        let models = |name: &&'n str| (*name, models_of(check, name));
        variables.extend(parameters);
        Self {
            max_cost: dollars("max_cost_usd"),
            max_task_cost: dollars("max_cost_per_task_usd"),
            models: facts.keys().map(models).collect(),
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
}

/// The models that an agent will ask in this team: the first, and those that it falls back on.
fn models_of(check: &TeamCheck<'_, '_, '_, '_>, name: &str) -> Vec<(String, Priced)> {
    let Some(facts) = check.known.profiles.get(name) else { return Vec::new() };
    let member = check
        .team
        .list("members")
        .iter()
        .find(|member| member.text_at("profile").is_some_and(|(profile, _)| profile == name));
    let said = |key: &str| member.and_then(|member| member.text_at(key)).map(|(text, _)| text);
    let role = said("role").unwrap_or(facts.role.as_str());
    let of_role = || check.team.get("models").and_then(|models| models.text_at(role)).map(|(text, _)| text);
    check.known.models(said("model").or(facts.model.as_deref()).or_else(of_role), &facts.fallback)
}
