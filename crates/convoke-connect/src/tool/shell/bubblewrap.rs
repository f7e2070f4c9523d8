//! The sandbox made of namespaces by bubblewrap.
//!
//! Rule: the root is empty and read only; in it are the system's programs, the run's input (both read only) and the attempt's
//! folder, at the same paths as outside. No network unless it is granted, no other
//! processes, no capabilities.

use std::path::Path;

use tokio::process::Command;

use super::sandbox::{Ground, NETWORK_SETTINGS, SETTINGS, SYSTEM, environment};
use crate::tool::file::ground::OWN;

/// The program that gives the command a session of its own. By bubblewrap's own `--new-session` the process that holds the sandbox
/// would leave our group before it is bound to our life, and outlive us if we are killed just then.
fn setsid() -> Option<&'static str> {
    ["/usr/bin/setsid", "/bin/setsid"].into_iter().find(|file| Path::new(file).is_file())
}

/// Runs the ground's command inside.
pub(crate) fn command(program: &Path, ground: &Ground<'_>) -> Command {
    let mut command = base(program);
    if ground.network {
        command.arg("--share-net");
        for path in NETWORK_SETTINGS {
            command.args(["--ro-bind-try", path, path]);
        }
    }
    let temporary = ground.workdir.join(OWN).join("tmp");
    command.arg("--bind").arg(&temporary).arg("/tmp");
    if let Some(input) = ground.input {
        command.arg("--ro-bind").arg(input).arg(input);
    }
    if let Some(file) = &ground.program {
        command.arg("--ro-bind").arg(file).arg(file);
    }
    command.arg("--bind").arg(&ground.workdir).arg(&ground.workdir);
    command.args(["--remount-ro", "/dev", "--remount-ro", "/"]).arg("--chdir").arg(&ground.workdir);
    // As its own environment, which it passes on: arguments can be read by everybody on the machine.
    command.envs(environment(&ground.workdir, Path::new("/tmp")));
    command.envs(ground.variables.iter().map(|(name, value)| (name, value)));
    command.arg("--").args(setsid()).args(&ground.line);
    command
}

/// Runs the ground's command inside, without folders: does it work here at all?
pub(crate) fn trial(program: &Path, ground: &Ground<'_>) -> Command {
    let mut command = base(program);
    command.args(["--remount-ro", "/dev", "--remount-ro", "/"]);
    command.arg("--").args(setsid()).args(&ground.line);
    command
}

fn base(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear();
    command.args(["--unshare-all", "--die-with-parent", "--cap-drop", "ALL"]);
    if setsid().is_none() {
        command.arg("--new-session");
    }
    command.args(["--hostname", "sandbox"]);
    for path in SYSTEM {
        match std::fs::read_link(path) {
            // `/bin` is a link to `usr/bin` on most systems.
            Ok(target) => command.arg("--symlink").arg(target).arg(path),
            Err(_) => command.args(["--ro-bind-try", path, path]),
        };
    }
    for path in SETTINGS {
        command.args(["--ro-bind-try", path, path]);
    }
    command.args(["--proc", "/proc", "--dev", "/dev"]);
    command
}
