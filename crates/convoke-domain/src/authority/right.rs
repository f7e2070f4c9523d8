//! A right that a person can grant to an agent for a time, as one word: `tool:write_file`, `host:api.example.com`, `spawn`.

use std::fmt;
use std::str::FromStr;

use crate::refusal::Refusal;
use crate::run::Phase;
use crate::spawn;

/// The longest word.
const MAX_BYTES: usize = 512;

/// One right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Right {
    /// To use a tool, a group of tools, or all of an MCP server's.
    Tool(String),
    /// To use tools in a phase.
    Phase(Phase),
    /// To reach hosts.
    Host(String),
    /// To run shell commands.
    Shell,
    /// To reach private addresses.
    PrivateNetwork,
    /// To spawn agents.
    Spawn,
    /// To have so many spawned agents at the same time.
    Parallel(u32),
    /// To delegate tasks.
    Delegate,
    /// To replace decisions.
    OverrideDecisions,
    /// To give tasks to peers.
    AssignToPeers,
    /// To escalate to the supervisor.
    EscalateToSupervisor,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tool(tool) => write!(f, "tool:{tool}"),
            Self::Phase(phase) => write!(f, "phase:{}", phase.as_str()),
            Self::Host(host) => write!(f, "host:{host}"),
            Self::Parallel(most) => write!(f, "parallel:{most}"),
            Self::Shell => f.write_str("shell"),
            Self::PrivateNetwork => f.write_str("private_network"),
            Self::Spawn => f.write_str("spawn"),
            Self::Delegate => f.write_str("delegate"),
            Self::OverrideDecisions => f.write_str("override_decisions"),
            Self::AssignToPeers => f.write_str("assign_to_peers"),
            Self::EscalateToSupervisor => f.write_str("escalate_to_supervisor"),
        }
    }
}

impl FromStr for Right {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let clean = |rest: &str| !rest.is_empty() && !rest.contains(|c: char| c.is_whitespace() || c.is_control());
        let (word, rest) = text.split_once(':').map_or((text, None), |(word, rest)| (word, Some(rest)));
        let right = match (word, rest.filter(|rest| clean(rest))) {
            _ if text.len() > MAX_BYTES => None,
            ("tool", Some(tool)) => Some(Self::Tool(tool.to_owned())),
            ("phase", Some(name)) => Phase::ALL.into_iter().find(|phase| phase.as_str() == name).map(Self::Phase),
            ("host", Some(host)) => Some(Self::Host(host.to_owned())),
            ("parallel", Some(most)) => {
                most.parse().ok().filter(|n| (1..=spawn::MAX_AGENTS).contains(n)).map(Self::Parallel)
            }
            ("shell", None) => Some(Self::Shell),
            ("private_network", None) => Some(Self::PrivateNetwork),
            ("spawn", None) => Some(Self::Spawn),
            ("delegate", None) => Some(Self::Delegate),
            ("override_decisions", None) => Some(Self::OverrideDecisions),
            ("assign_to_peers", None) => Some(Self::AssignToPeers),
            ("escalate_to_supervisor", None) => Some(Self::EscalateToSupervisor),
            _ => None,
        };
        // `shell:x` reads as a word with a rest, and must not pass as `shell`.
        right.filter(|right| right.to_string() == text).ok_or_else(|| refuse(text))
    }
}

fn refuse(text: &str) -> Refusal {
    let shown: String = text.chars().take(60).collect();
    Refusal::new("bad_right", format!("`{shown}` is not a right that can be granted")).hint(format!(
        "write `tool:NAME`, `host:NAME`, `phase:NAME`, `parallel:1` to `parallel:{}`, `shell`, `private_network`, `spawn`, `delegate`, \
         `override_decisions`, `assign_to_peers` or `escalate_to_supervisor`",
        spawn::MAX_AGENTS
    ))
}
