//! What agents may do of their own accord, beyond what their pattern has them do: no rehearsal knows how often a model would.
//!
//! Rule: told, never counted. A typical number would be made up, and the largest (calls to the power of the depth) says nothing;
//! what holds is the budget. Start at [`beyond`].

use serde::Serialize;

use crate::agent::Standing;
use crate::authority::{DELEGATE, SPAWN, may_assign, may_use};
use crate::handoff::{DEPTH_MAX, HANDOFFS_MAX};
use crate::profile::AgentKind;
use crate::spawn;
use crate::spec::RunSpec;
use crate::team::Talk;

const HAND_OFF: &str = "hand_off";
const ASK: &str = "ask";

/// Something that an agent may do with a tool, which makes others call their models.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Beyond {
    /// The agent.
    pub agent: String,
    /// The tool.
    pub tool: &'static str,
    /// What comes of it and how far it may go, as the end of a sentence about the agent.
    pub may: String,
}

/// What each of these agents may do, in this order.
pub fn beyond<'a>(spec: &RunSpec, agents: impl Iterator<Item = &'a str>) -> Vec<Beyond> {
    agents.flat_map(|agent| of_agent(spec, agent)).collect()
}

fn of_agent(spec: &RunSpec, agent: &str) -> Vec<Beyond> {
    let Some(profile) = spec.profiles.get(agent).filter(|profile| profile.agent_kind == AgentKind::Llm) else {
        return Vec::new();
    };
    let (team, leads) = (&spec.team, spec.team.coordinator == agent);
    let has_others = team.members.iter().any(|member| member.profile != agent);
    let may_talk = match team.rules.talk {
        Talk::Everyone => true,
        Talk::Coordinator => leads || team.coordinator != agent,
        Talk::Nobody => false,
    };
    let assigns = may_assign(profile, leads, Standing::default(), &team.rules).is_ok();
    let bounds = spawn::bounds(&team.rules.spawn);
    let all = [
        (
            HAND_OFF,
            has_others,
            format!(
                "hand each of its tasks over, at most {HANDOFFS_MAX} times: who is offered it and who takes it make calls of their own"
            ),
        ),
        (
            DELEGATE,
            has_others && assigns,
            format!(
                "give parts of its tasks to others, at most {DEPTH_MAX} deep: whoever does one makes calls of its own"
            ),
        ),
        (ASK, has_others && may_talk, "ask others: an agent that is asked makes calls to answer".to_owned()),
        (
            SPAWN,
            bounds.agents > 0,
            format!("spawn agents: at most {} at the same time, with {} tokens together", bounds.agents, bounds.tokens),
        ),
    ];
    let is_so = |(tool, can, _): &(&'static str, bool, String)| *can && may_use(profile, tool).is_ok();
    all.into_iter().filter(is_so).map(|(tool, _, may)| Beyond { agent: agent.to_owned(), tool, may }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The tools that `a` is said to use beyond its tasks, with this profile and these rules of the team.
    fn tools(profile: Value, team: Value) -> Vec<&'static str> {
        let mut a = json!({"name": "a", "prompt": "x"});
        a.as_object_mut().expect("an object").extend(profile.as_object().expect("an object").clone());
        let mut whole = json!({"name": "t", "coordinator": "lead", "members": [{"profile": "a"}, {"profile": "b"}]});
        whole.as_object_mut().expect("an object").extend(team.as_object().expect("an object").clone());
        let profiles = [("a".to_owned(), serde_json::from_value(a).expect("a profile"))].into();
        let spec = RunSpec::new(serde_json::from_value(whole).expect("a team"), profiles);
        beyond(&spec, ["lead", "a", "b"].into_iter()).into_iter().map(|one| one.tool).collect()
    }

    #[test]
    fn who_may_make_others_work_is_told() {
        let work = json!({"tools": ["@work"]});
        let delegates = json!({"tools": ["@work"], "authority": {"can_delegate": true, "can_assign_to_peers": true}});
        let spawns = json!({"tools": ["spawn"], "authority": {"can_spawn": true}});
        let peers = json!({"rules": {"allow_peer_assignment": true}});
        let forbidden = json!({"tools": ["@work"], "authority": {"forbidden_actions": ["hand_off"]}});
        let leads = json!({"coordinator": "a"});
        let alone = json!({"members": [{"profile": "a"}]});
        for (name, profile, team, expected) in [
            ("no tools", json!({}), json!({}), vec![]),
            ("other tools", json!({"tools": ["read_file", "@share", "@lock"]}), json!({}), vec![]),
            ("work, without the right to delegate", work.clone(), json!({}), vec!["hand_off"]),
            ("nobody to hand over to", work.clone(), alone, vec![]),
            ("forbidden", forbidden, json!({}), vec![]),
            ("delegates, but not to peers", delegates.clone(), json!({}), vec!["hand_off"]),
            ("delegates to peers", delegates.clone(), peers, vec!["hand_off", "delegate"]),
            ("leads, and delegates", delegates, leads, vec!["hand_off", "delegate"]),
            ("talks", json!({"tools": ["@talk"]}), json!({}), vec!["ask"]),
            ("may not talk", json!({"tools": ["@talk"]}), json!({"rules": {"talk": "nobody"}}), vec![]),
            ("spawns", spawns.clone(), json!({}), vec!["spawn"]),
            ("may spawn nobody", spawns, json!({"rules": {"spawn": {"max_agents": 0}}}), vec![]),
            ("has the tool and no right to spawn", json!({"tools": ["spawn"]}), json!({}), vec![]),
        ] {
            assert_eq!(tools(profile, team), expected, "{name}");
        }
    }
}
