//! Authority: what an agent may do. What is not granted is denied, and each denial names its rule.
//!
//! Rule: rights only ever meet. What an agent spawns has what both have ([`child`]); only a [`Right`] that a person gave,
//! for a time, makes them wider ([`widen`]), and it does not pass on. What a profile forbids, no grant gives.

mod right;
#[cfg(test)]
pub(crate) mod tests;

pub use right::Right;

use crate::agent::Standing;
use crate::profile::{Authority, Limits, Profile};
use crate::program;
use crate::run::Phase;
use crate::team::Rules;

/// The tool that runs commands; it needs `authority.shell` besides being allowed.
pub const SHELL: &str = "shell";
/// The tool that fetches pages; it needs `authority.http_hosts` besides being allowed.
pub const HTTP_GET: &str = "http_get";
/// The tool that spawns agents; it needs `authority.can_spawn` besides being allowed.
pub const SPAWN: &str = "spawn";
/// The tool that gives a task to another agent; it needs `authority.can_delegate` besides being allowed.
pub const DELEGATE: &str = "delegate";

/// The tool that replaces a decision; it needs `authority.can_override_decisions` besides being allowed.
pub const OVERRIDE: &str = "override_decision";

/// Groups of tools by which agents work together, for the `tools` of a profile.
pub const GROUPS: &[(&str, &[&str])] = &[
    ("@talk", &["send", "broadcast", "ask", "answer", "reply", "wait_for", OVERRIDE]),
    ("@share", &["read_context", "write_context", "add_finding", "read_dropped", "remember", "recall"]),
    ("@work", &["progress", "escalate", "delegate", "hand_off", "accept", "decline"]),
    ("@lock", &["lock", "unlock"]),
];

/// A denial, with the rule that denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The rule, as it stands in the profile: `tools`, `authority.shell`, `authority.http_hosts`.
    pub rule: &'static str,
    /// For the model and the audit.
    pub message: String,
}

impl Denial {
    /// A denial by `rule`.
    pub fn new(rule: &'static str, message: impl Into<String>) -> Self {
        Self { rule, message: message.into() }
    }
}

/// True if the pattern of a profile's `tools` covers `tool`: the name itself, `mcp:SERVER/*`, or a group such as `@talk`.
/// A pattern covers another one if it covers all that the other does.
pub fn covers(pattern: &str, tool: &str) -> bool {
    if pattern == tool {
        return true;
    }
    if let Some((_, tools)) = GROUPS.iter().find(|(name, _)| *name == pattern) {
        return tools.contains(&tool);
    }
    match pattern.strip_suffix("/*") {
        Some(server) => tool.strip_prefix(server).is_some_and(|rest| rest.starts_with('/')),
        None => false,
    }
}

/// True if the pattern of `http_hosts` covers a host, or all that another pattern covers.
pub fn covers_host(pattern: &str, host: &str) -> bool {
    let (pattern, host) = (pattern.to_ascii_lowercase(), host.to_ascii_lowercase());
    if pattern == host || pattern == "*" {
        return true;
    }
    let Some(parent) = pattern.strip_prefix("*.") else { return false };
    host.strip_suffix(parent).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.') && rest != "*.")
}

/// Whether `profile` may use `tool` (its id: `read_file`, `mcp:SERVER/TOOL`).
pub fn may_use(profile: &Profile, tool: &str) -> Result<(), Denial> {
    if tool == program::TOOL {
        return program::may_run(profile);
    }
    let (name, authority) = (&profile.name, &profile.authority);
    let deny = |rule, what: &str| Err(Denial::new(rule, format!("agent `{name}` {what}")));
    if let Some(pattern) = authority.forbidden_actions.iter().find(|pattern| covers(pattern, tool)) {
        return deny(
            "authority.forbidden_actions",
            &format!("must not use the tool `{tool}`: `{pattern}` is forbidden"),
        );
    }
    if !profile.tools.iter().any(|pattern| covers(pattern, tool)) {
        return deny("tools", &format!("is not allowed to use the tool `{tool}`"));
    }
    match tool {
        SHELL if !authority.shell => deny("authority.shell", "has no authority to run shell commands"),
        HTTP_GET if authority.http_hosts.is_empty() => {
            deny("authority.http_hosts", "has no authority to reach any host")
        }
        SPAWN if !authority.can_spawn => deny("authority.can_spawn", "has no authority to spawn agents"),
        OVERRIDE => may_override(profile),
        DELEGATE if !authority.can_delegate => deny("authority.can_delegate", "has no authority to delegate tasks"),
        _ => Ok(()),
    }
}

/// Whether `profile` may act in this phase of a run at all.
pub fn may_act_in(profile: &Profile, phase: Phase) -> Result<(), Denial> {
    match &profile.authority.phases {
        Some(phases) if !phases.contains(&phase) => {
            let message =
                format!("agent `{}` has no authority to use tools in the phase {}", profile.name, phase.as_str());
            Err(Denial::new("authority.phases", message))
        }
        _ => Ok(()),
    }
}

/// Whether `profile` may replace a decision that stands.
pub fn may_override(profile: &Profile) -> Result<(), Denial> {
    if profile.authority.can_override_decisions {
        return Ok(());
    }
    let message = format!("agent `{}` has no authority to replace a decision that stands", profile.name);
    Err(Denial::new("authority.can_override_decisions", message))
}

/// Whether an agent may give a task to another one that it did not spawn. Who leads the team, and a supervisor of the
/// workspace, may; all others are peers, and need the right as well as the team's rule.
pub fn may_assign(profile: &Profile, leads: bool, standing: Standing, rules: &Rules) -> Result<(), Denial> {
    if leads || standing == Standing::Supervisor {
        return Ok(());
    }
    if !profile.authority.can_assign_to_peers {
        let message = format!("agent `{}` has no authority to give tasks to its peers", profile.name);
        return Err(Denial::new("authority.can_assign_to_peers", message));
    }
    if !rules.allow_peer_assignment {
        let message = "the team's rules do not let members give each other tasks";
        return Err(Denial::new("rules.allow_peer_assignment", message));
    }
    Ok(())
}

/// Whether a call to `tool` waits for a person's approval.
pub fn must_ask(profile: &Profile, tool: &str) -> bool {
    profile.ask.iter().any(|pattern| covers(pattern, tool))
}

/// What a profile grants: all that authority is about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rights {
    /// Tools, as patterns.
    pub tools: Vec<String>,
    /// Rights beyond tools.
    pub authority: Authority,
    /// Spending limits in one run.
    pub limits: Limits,
}

impl Rights {
    /// Those of a profile.
    pub fn of(profile: &Profile) -> Self {
        Self { tools: profile.tools.clone(), authority: profile.authority.clone(), limits: profile.limits }
    }

    /// The profile with these rights instead of its own.
    #[must_use]
    pub fn onto(self, profile: Profile) -> Profile {
        Profile { tools: self.tools, authority: self.authority, limits: self.limits, ..profile }
    }
}

/// What an agent may do that `parent` spawns from `own`: what both have, and nothing else.
pub fn child(parent: &Rights, own: &Rights) -> Rights {
    let (a, b) = (&parent.authority, &own.authority);
    let mut forbidden = [a.forbidden_actions.clone(), b.forbidden_actions.clone()].concat();
    tidy(&mut forbidden, covers);
    let authority = Authority {
        shell: a.shell && b.shell,
        http_hosts: meet(&a.http_hosts, &b.http_hosts, covers_host),
        private_network: a.private_network && b.private_network,
        forbidden_actions: forbidden,
        phases: meet_phases(a.phases.as_deref(), b.phases.as_deref()),
        can_spawn: a.can_spawn && b.can_spawn,
        max_parallel_agents: a.max_parallel_agents.min(b.max_parallel_agents),
        can_delegate: a.can_delegate && b.can_delegate,
        can_override_decisions: a.can_override_decisions && b.can_override_decisions,
        can_assign_to_peers: a.can_assign_to_peers && b.can_assign_to_peers,
        can_escalate_to_supervisor: a.can_escalate_to_supervisor && b.can_escalate_to_supervisor,
    };
    let limits = Limits {
        max_cost_usd: least(parent.limits.max_cost_usd, own.limits.max_cost_usd),
        max_tokens: least(parent.limits.max_tokens, own.limits.max_tokens),
    };
    Rights { tools: meet(&parent.tools, &own.tools, covers), authority, limits }
}

/// The smaller limit; what is absent limits nothing.
fn least<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// The patterns that cover what both lists cover. Of two patterns, one covers the other or they have nothing in common.
fn meet(a: &[String], b: &[String], covers: fn(&str, &str) -> bool) -> Vec<String> {
    let pairs = a.iter().flat_map(|a| b.iter().map(move |b| (a, b)));
    let narrower = |(a, b): (&String, &String)| match (covers(a, b), covers(b, a)) {
        (true, _) => Some(b.clone()),
        (false, true) => Some(a.clone()),
        (false, false) => None,
    };
    let mut found: Vec<String> = pairs.filter_map(narrower).collect();
    tidy(&mut found, covers);
    found
}

/// Sorts patterns, and drops those that another one covers.
fn tidy(patterns: &mut Vec<String>, covers: fn(&str, &str) -> bool) {
    patterns.sort();
    patterns.dedup();
    let all = patterns.clone();
    patterns.retain(|one| !all.iter().any(|other| other != one && covers(other, one)));
}

fn meet_phases(a: Option<&[Phase]>, b: Option<&[Phase]>) -> Option<Vec<Phase>> {
    let both = |phase: &Phase| a.is_none_or(|a| a.contains(phase)) && b.is_none_or(|b| b.contains(phase));
    (a.is_some() || b.is_some()).then(|| Phase::ALL.into_iter().filter(both).collect())
}

/// The profile with rights that were granted to its agent for now.
#[must_use]
pub fn widen(profile: &Profile, granted: &[Right]) -> Profile {
    let mut wide = profile.clone();
    let authority = &mut wide.authority;
    for right in granted {
        match right {
            Right::Tool(tool) => wide.tools.push(tool.clone()),
            Right::Phase(phase) => authority.phases.iter_mut().for_each(|phases| phases.push(*phase)),
            Right::Host(host) => authority.http_hosts.push(host.clone()),
            Right::Shell => authority.shell = true,
            Right::PrivateNetwork => authority.private_network = true,
            Right::Spawn => authority.can_spawn = true,
            Right::Parallel(most) => authority.max_parallel_agents = authority.max_parallel_agents.max(*most),
            Right::Delegate => authority.can_delegate = true,
            Right::OverrideDecisions => authority.can_override_decisions = true,
            Right::AssignToPeers => authority.can_assign_to_peers = true,
            Right::EscalateToSupervisor => authority.can_escalate_to_supervisor = true,
        }
    }
    wide
}
