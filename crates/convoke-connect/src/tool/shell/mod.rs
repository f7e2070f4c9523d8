//! `shell`: a command in a sandbox.
//!
//! Rule: only when the scope grants it, and only inside a sandbox that works here ([`sandbox`]); else it is refused with the
//! reason. The same holds for the programs of agents ([`super::program`]). [`run`] drives the command, [`output`] keeps a bounded part of what it prints, [`family`] counts its processes.

mod bubblewrap;
mod family;
mod kernel;
pub(crate) mod output;
pub(crate) mod run;
pub(crate) mod sandbox;

use std::time::Duration;

use convoke_port::tool::{ToolError, ToolOutput};
pub use sandbox::SandboxChoice;
pub(crate) use sandbox::{Sandbox, detect};
use serde_json::{Value, json};

use super::argument::Arguments;
use super::job::Job;
use super::limits::ToolLimits;

/// What a model is told about it.
pub(crate) const DESCRIPTION: &str = "Run a shell command in your working folder, in a sandbox: you can read system programs and \
    `input/`, write only in the working folder, and there is no network. Give a command that ends by itself; what it leaves \
    running is killed. The answer holds the exit code and what was printed; the middle of long output is left out.";

/// The schema of its arguments.
pub(crate) fn schema() -> Value {
    let limits = ToolLimits::default().shell;
    json!({
        "type": "object",
        "properties": {
            "command": {"type": "string", "description": "The command line, for example `sort input/a.txt | uniq -c`."},
            "timeout_s": {"type": "integer", "minimum": 1, "maximum": limits.time_max.as_secs(), "description":
                format!("Seconds after which the command is killed; {} if absent.", limits.time.as_secs())},
        },
        "required": ["command"],
        "additionalProperties": false,
    })
}

/// Runs a command.
pub(crate) async fn run(job: &Job, sandbox: &Sandbox) -> Result<ToolOutput, ToolError> {
    let limits = &job.limits.shell;
    let arguments = Arguments::read("shell", &job.arguments, &["command", "timeout_s"])?;
    let command = arguments.text("command")?;
    if command.trim().is_empty() || command.contains('\0') {
        return Err(arguments.wrong("command", "is empty or holds a NUL"));
    }
    if command.len() > limits.command_bytes {
        let what =
            format!("has {} bytes; {} are allowed; write a script file instead", command.len(), limits.command_bytes);
        return Err(arguments.wrong("command", &what));
    }
    let seconds = arguments.number("timeout_s", limits.time.as_secs(), 1, limits.time_max.as_secs())?;
    run::run(job, sandbox, command, Duration::from_secs(seconds)).await
}
