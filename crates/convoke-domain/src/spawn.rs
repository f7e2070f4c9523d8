//! Spawning: which agents a run may have beside its team, who is whose parent, and how much they may use.
//!
//! Rule: every spawn is admitted against the whole tree as it stands, so no order of spawns, ends and retirements passes
//! a limit. Spawning gives authority over one's own descendants alone.

use crate::authority::Denial;
use crate::profile::Profile;
use crate::team::{SpawnPreset, SpawnRules};

#[cfg(test)]
pub(crate) mod tests;

/// Spawned agents that may live at the same time in any run.
pub const MAX_AGENTS: u32 = 20;
/// Agents that one run may spawn in all.
pub const MAX_EVER: usize = 200;
/// How deep: an agent of the team spawns at depth 1.
pub const MAX_DEPTH: u32 = 4;

/// What a run's spawned agents are held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Living at the same time.
    pub agents: u32,
    /// Tokens of all together.
    pub tokens: u64,
    /// Parents with living agents at the same time.
    pub groups: u32,
    /// The first spawn is to warn of the cost.
    pub warns: bool,
}

/// The preset, with what the team says otherwise.
pub fn bounds(rules: &SpawnRules) -> Bounds {
    let (agents, tokens, groups, warns) = match rules.preset {
        SpawnPreset::Safe => (6, 200_000, 3, false),
        SpawnPreset::Aggressive => (10, 300_000, 5, false),
        SpawnPreset::Extreme => (MAX_AGENTS, 500_000, MAX_AGENTS, true),
    };
    Bounds {
        agents: rules.max_agents.unwrap_or(agents).min(MAX_AGENTS),
        tokens: rules.max_tokens.unwrap_or(tokens),
        groups: rules.max_groups.unwrap_or(groups),
        warns,
    }
}

/// True if `text` can be the name of an agent: lower-case letters, digits and hyphens; a letter or digit at both ends; at
/// most 64.
pub fn is_name(text: &str) -> bool {
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let ends = [text.bytes().next(), text.bytes().last()];
    text.len() <= 64
        && text.bytes().all(|c| plain(c) || c == b'-')
        && ends.into_iter().all(|end| end.is_some_and(plain))
}

/// A spawned agent in its run's tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Who spawned it: an agent of the team, or another spawned one; nobody if a person did.
    pub parent: Option<String>,
    /// How deep it stands, from 1.
    pub depth: u32,
    /// It was not retired.
    pub living: bool,
}

/// All agents that a run has spawned.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree {
    /// In the order of spawning, so that a parent comes before its children.
    pub nodes: Vec<Node>,
}

impl Tree {
    /// The agent of this name, if it was spawned here.
    pub fn find(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// Whether `parent` may spawn one more agent, or a person if there is none. Gives its depth.
    pub fn admit(&self, parent: Option<&Profile>, bounds: &Bounds) -> Result<u32, Denial> {
        let living = || self.nodes.iter().filter(|node| node.living);
        if let Some(parent) = parent {
            self.admit_parent(parent)?;
        }
        if self.nodes.len() >= MAX_EVER {
            return Err(Denial::new(
                "spawn.max_ever",
                format!("the run has spawned {MAX_EVER} agents, and may spawn no more"),
            ));
        }
        let count = living().count();
        if count >= bounds.agents as usize {
            let message = format!("{count} spawned agents live in this run; the team's rules allow {}", bounds.agents);
            return Err(Denial::new("rules.spawn.max_agents", message));
        }
        let name = parent.map(|parent| parent.name.clone());
        let mut groups: Vec<_> = living().map(|node| node.parent.clone()).collect();
        groups.push(name.clone());
        groups.sort();
        groups.dedup();
        if groups.len() > bounds.groups as usize {
            let message = format!(
                "{} agents have spawned others that live; the team's rules allow {}",
                groups.len() - 1,
                bounds.groups
            );
            return Err(Denial::new("rules.spawn.max_groups", message));
        }
        let depth = name.and_then(|name| self.find(&name)).map_or(0, |node| node.depth) + 1;
        if depth > MAX_DEPTH {
            return Err(Denial::new(
                "spawn.max_depth",
                format!("agents may be spawned {MAX_DEPTH} deep, and this would be one deeper"),
            ));
        }
        Ok(depth)
    }

    fn admit_parent(&self, parent: &Profile) -> Result<(), Denial> {
        let name = &parent.name;
        if !parent.authority.can_spawn {
            return Err(Denial::new("authority.can_spawn", format!("agent `{name}` has no authority to spawn agents")));
        }
        if self.find(name).is_some_and(|node| !node.living) {
            return Err(Denial::new("spawn.retired", format!("agent `{name}` is retired, and spawns nothing more")));
        }
        let (have, most) = (self.children(name).count(), parent.authority.max_parallel_agents);
        if have >= most as usize {
            let message = format!("agent `{name}` has spawned {have} agents that live; its authority allows {most}");
            return Err(Denial::new("authority.max_parallel_agents", message));
        }
        Ok(())
    }

    /// The living agents that `name` has spawned itself.
    pub fn children(&self, name: &str) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(move |node| node.living && node.parent.as_deref() == Some(name))
    }

    /// `name` and all that it has spawned, directly or not, whether they live or not.
    pub fn subtree(&self, name: &str) -> Vec<String> {
        let mut found = vec![name.to_owned()];
        for node in &self.nodes {
            if node.parent.as_ref().is_some_and(|parent| found.contains(parent)) {
                found.push(node.name.clone());
            }
        }
        found
    }

    /// Those who spawned `name`, the nearest first.
    pub fn above(&self, name: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut at = self.find(name).and_then(|node| node.parent.clone());
        while let Some(name) = at.filter(|_| found.len() <= MAX_DEPTH as usize) {
            at = self.find(&name).and_then(|node| node.parent.clone());
            found.push(name);
        }
        found
    }

    /// Whether `by` has authority over `whom` because it spawned it, directly or not.
    pub fn commands(&self, by: &str, whom: &str) -> bool {
        self.above(whom).iter().any(|name| name == by)
    }

    /// Whether two agents of a run are siblings: spawned by the same, or both of the team.
    pub fn siblings(&self, a: &str, b: &str) -> bool {
        let parent = |name| self.find(name).map(|node| node.parent.as_deref());
        a != b && parent(a) == parent(b)
    }
}
