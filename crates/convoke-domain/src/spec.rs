//! What a run pins when it starts: team, profiles and models as they were then.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use serde_json::Value;

use crate::flow::lists::Lists;
use crate::flow::{Flow, expand, parameter};
use crate::money::Money;
use crate::profile::{AgentKind, Profile};
use crate::team::Team;
use crate::weight::Pinned;

/// A run's definition, kept once per content however many runs share it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSpec {
    /// The team.
    pub team: Team,
    /// The coordinator's profile and the members', by name.
    pub profiles: BTreeMap<String, Profile>,
    /// The models each agent uses, by agent: the first, then its fallbacks; each as `provider/model`.
    pub models: BTreeMap<String, Vec<String>>,
    /// Models without a known price may be used, under token caps alone.
    #[serde(default)]
    pub allow_unpriced: bool,
    /// The most dollars of the whole workspace on one day in UTC.
    #[serde(default)]
    pub workspace_daily_cap: Option<Money>,
    /// What the team does, in the smaller primitives; `None` where a coordinator and workers need no flow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<Flow>,
    /// The values of the flow's parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, Value>,
    /// What is known of how often the members are right.
    #[serde(default, skip_serializing_if = "Pinned::is_empty")]
    pub weights: Pinned,
    /// The index of the lists of `flow`.
    #[serde(skip)]
    pub lists: Lists,
}

impl RunSpec {
    /// A team and its profiles by name, with nothing settled yet: see [`Self::settle_flow`] and [`Self::choose_models`].
    pub fn new(team: Team, profiles: BTreeMap<String, Profile>) -> Self {
        Self {
            team,
            profiles,
            models: BTreeMap::new(),
            allow_unpriced: false,
            workspace_daily_cap: None,
            flow: None,
            parameters: BTreeMap::new(),
            weights: Pinned::default(),
            lists: Lists::default(),
        }
    }

    /// The members in the order of their priority, with what each can do.
    pub fn members(&self) -> Vec<(String, Vec<String>)> {
        let mut members: Vec<_> = self.team.members.iter().collect();
        members.sort_by_key(|member| member.priority);
        members
            .into_iter()
            .map(|member| {
                let can =
                    self.profiles.get(&member.profile).map(|profile| profile.capabilities.clone()).unwrap_or_default();
                (member.profile.clone(), can)
            })
            .collect()
    }

    /// Settles the team's flow and its parameters, or says what is wrong with them.
    pub fn settle_flow(&mut self) -> Result<(), String> {
        let Some(flow) = &self.team.flow else { return Ok(()) };
        self.parameters = parameter::settle(&flow.parameters, &self.team.with, &parameter::team_variables(self))?;
        self.flow = Some(expand::expand(flow, self.team.rules.conflict));
        self.lists = Lists::default();
        Ok(())
    }

    /// Chooses the models of every agent that is driven by one. The first that is given wins: `over` (the command line), the member, the
    /// profile, the team by role, `default`. Gives the agents for which none is given.
    pub fn choose_models(&mut self, over: Option<&str>, default: Option<&str>) -> Vec<String> {
        let mut without = Vec::new();
        let names: Vec<String> = self.profiles.keys().cloned().collect();
        for name in names {
            let profile = &self.profiles[&name];
            if profile.agent_kind != AgentKind::Llm {
                continue;
            }
            let member = self.team.members.iter().find(|member| member.profile == name);
            let role = member.and_then(|member| member.role).unwrap_or(profile.role);
            let first = over
                .or_else(|| member.and_then(|member| member.model.as_deref()))
                .or(profile.model.as_deref())
                .or_else(|| self.team.models.get(role.as_str()).map(String::as_str))
                .or(default);
            let Some(first) = first else {
                without.push(name);
                continue;
            };
            // An override is meant for every call, so it leaves no fallback behind.
            let fallbacks = if over.is_some() { &[] } else { profile.model_settings.fallback.as_slice() };
            let models = std::iter::once(first.to_owned()).chain(fallbacks.iter().cloned()).collect();
            self.models.insert(name, models);
        }
        without
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec() -> RunSpec {
        let profile = |name: &str, rest: serde_json::Value| {
            let mut value = json!({"name": name, "prompt": "x"});
            value.as_object_mut().expect("object").extend(rest.as_object().expect("object").clone());
            (name.to_owned(), serde_json::from_value(value).expect("a profile"))
        };
        let team = json!({
            "name": "t", "coordinator": "lead", "models": {"specialist": "p/by-role"},
            "members": [{"profile": "b", "priority": 2, "model": "p/member"}, {"profile": "a", "priority": 1}, {"profile": "c", "priority": 3}],
        });
        let profiles = [
            profile("lead", json!({"role": "coordinator"})),
            profile("a", json!({"capabilities": ["x"]})),
            profile("b", json!({"model": "p/profile"})),
            profile("c", json!({"model": "p/own", "model_settings": {"fallback": ["p/second"]}})),
        ];
        RunSpec::new(serde_json::from_value(team).expect("a team"), profiles.into())
    }

    #[test]
    fn the_nearest_choice_of_model_wins() {
        let mut spec = spec();
        assert_eq!(spec.choose_models(None, None), ["lead"]);
        assert_eq!(spec.models["a"], ["p/by-role"]);
        assert_eq!(spec.models["b"], ["p/member"]);
        assert_eq!(spec.models["c"], ["p/own", "p/second"]);
        assert!(spec.choose_models(None, Some("p/default")).is_empty());
        assert_eq!(spec.models["lead"], ["p/default"]);
        spec.choose_models(Some("q/all"), None);
        assert!(spec.models.values().all(|models| models == &["q/all"]));
    }

    #[test]
    fn members_come_by_priority() {
        let names: Vec<_> = spec().members().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a", "b", "c"]);
    }
}
