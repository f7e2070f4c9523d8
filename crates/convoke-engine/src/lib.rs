//! What happens: use cases by noun, the agent loop, patterns driven to their end, duties.
//!
//! Rule: this is the only floor that writes state, and it writes through use cases alone. Model calls pass [`spend`], tool
//! calls pass [`act`]. Start at [`Engine`], then [`drive`] for what an agent does, [`advance`] for what a run does.

mod act;
mod address;
mod advance;
mod answer;
mod archive;
mod claim;
mod compact;
mod config;
mod context;
mod definition;
mod desk;
mod drive;
mod engine;
mod error;
mod follow;
mod handoff;
mod journal;
mod ledger;
mod letter;
mod load;
mod lock;
mod mail;
mod memory;
mod prompt;
mod pulse;
mod record;
mod recover;
mod resolve;
mod run;
mod say;
mod schema;
mod spend;
mod thread;
mod user;
mod wait;
mod worker;

pub use config::Config;
pub use context::Context;
pub use definition::Versioned;
pub use desk::tool_names;
pub use engine::Engine;
pub use error::{Error, Result};
pub use follow::{Follow, What};
pub use handoff::HandoffView;
pub use lock::access::{LockStats, LockView, WaitEdge, WaitGraph, Which};
pub use lock::{GRACE as LOCK_GRACE, Got, Holder, PARKED as LOCK_PARKED};
pub use memory::Kept;
pub use pulse::{Pulse, PulseKind};
pub use record::Stats;
pub use resolve::Outcome as EffectOutcome;
pub use run::{Caps, Resume, StartRun};
pub use say::{NewMessage, Said};
pub use thread::{Reader, ThreadFilter};
pub use worker::Worker;
