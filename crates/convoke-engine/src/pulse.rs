//! Pulses: what happens between two events, for those who watch live. Never stored, dropped when nobody keeps up.

use convoke_domain::id::{RunId, TaskId};
use convoke_domain::money::Money;

/// Something that happens in an attempt right now.
#[derive(Debug, Clone)]
pub struct Pulse {
    /// The run.
    pub run: RunId,
    /// The task.
    pub task: TaskId,
    /// The agent.
    pub agent: String,
    /// What happens.
    pub kind: PulseKind,
}

/// What happens.
#[derive(Debug, Clone)]
pub enum PulseKind {
    /// A model call was sent.
    Calling {
        /// The model.
        model: String,
        /// Which model call of the attempt it is.
        turn: u32,
    },
    /// More of a reply arrived.
    Text(String),
    /// A model call was billed.
    Billed {
        /// Tokens in and out.
        tokens: u64,
        /// Dollars.
        cost: Money,
    },
    /// A tool call began.
    Tool {
        /// The tool's id.
        tool: String,
        /// Its arguments, cut short.
        args: String,
    },
    /// A model call failed and will be made again.
    Retrying {
        /// Why.
        reason: String,
        /// After how many milliseconds.
        wait_ms: u64,
    },
    /// Something the person who watches should know.
    Notice(String),
    /// What happened could not be stored, for this reason; the attempt stops and goes on when the store works again.
    Unrecorded(String),
}
