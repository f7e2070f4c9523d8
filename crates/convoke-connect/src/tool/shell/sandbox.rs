//! Which sandbox works on this machine.
//!
//! Rule: a sandbox counts only after it has been tried. None means that `shell` is refused, with what was tried and why it
//! failed; there is no way to run without.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::Command;

use super::{bubblewrap, kernel};
use crate::tool::child;
use crate::tool::limits::ShellLimits;

/// How much a command stands back for everything else: a bomb must not keep us from ending it.
const NICE: i32 = 15;
/// Time a trial may take.
const TRIAL: Duration = Duration::from_secs(10);
/// Bytes of what it says that are read.
const SAID: u64 = 64 << 10;

/// Which sandbox to use for `shell`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SandboxChoice {
    /// Bubblewrap if it works, else Landlock.
    #[default]
    Auto,
    /// Bubblewrap or none.
    Bubblewrap,
    /// Landlock or none.
    Landlock,
}

/// A sandbox that works here.
#[derive(Debug, Clone)]
pub(crate) enum Sandbox {
    /// Namespaces, by the program at this path.
    Bubblewrap(PathBuf),
    /// Landlock and a system call filter, by the kernel itself.
    Kernel(kernel::Kernel),
}

/// What to run and where.
#[derive(Default)]
pub(crate) struct Ground<'a> {
    /// The program by its full path, and its arguments.
    pub(crate) line: Vec<OsString>,
    pub(crate) workdir: PathBuf,
    pub(crate) input: Option<&'a Path>,
    /// One more file that may be read and run.
    pub(crate) program: Option<PathBuf>,
    /// Variables besides the usual ones.
    pub(crate) variables: Vec<(String, OsString)>,
    /// The network may be reached.
    pub(crate) network: bool,
}

impl<'a> Ground<'a> {
    /// A command line for the shell.
    pub(crate) fn of(command: &str, workdir: &Path, input: Option<&'a Path>) -> Self {
        let line = [shell(), "-c", command].map(OsString::from).into();
        Self { line, workdir: workdir.to_owned(), input, ..Self::default() }
    }
}

impl Sandbox {
    /// A process that runs the command inside, which may compute for `time`.
    pub(crate) fn command(&self, ground: &Ground<'_>, limits: &ShellLimits, time: Duration) -> Result<Command, String> {
        let mut command = match self {
            Self::Bubblewrap(program) => bubblewrap::command(program, ground),
            Self::Kernel(_) => kernel::command(ground),
        };
        child::lead(&mut command);
        bound(&mut command, limits, time);
        // Last: inside, a process may no longer do what the two lines above do.
        if let Self::Kernel(kernel) = self {
            kernel.enter(&mut command, ground)?;
        }
        Ok(command)
    }
}

/// Finds the sandbox, or says why there is none.
pub(crate) async fn detect(choice: SandboxChoice) -> Result<Sandbox, String> {
    let mut reasons = Vec::new();
    if choice != SandboxChoice::Landlock {
        match try_bubblewrap().await {
            Ok(program) => return Ok(Sandbox::Bubblewrap(program)),
            Err(why) => reasons.push(format!("bubblewrap: {why}")),
        }
    }
    if choice != SandboxChoice::Bubblewrap {
        match kernel::Kernel::new() {
            Ok(kernel) => return Ok(Sandbox::Kernel(kernel)),
            Err(why) => reasons.push(format!("Landlock: {why}")),
        }
    }
    Err(format!(
        "shell: no sandbox works on this machine ({}); install bubblewrap (the program `bwrap`) or use a kernel with Landlock",
        reasons.join("; ")
    ))
}

async fn try_bubblewrap() -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let program = std::env::split_paths(&path)
        .map(|folder| folder.join("bwrap"))
        .find(|file| file.is_file())
        .ok_or("the program `bwrap` is not installed")?;
    let ground = Ground::of("exit 0", Path::new("/"), None);
    let mut trial = bubblewrap::trial(&program, &ground);
    child::lead(&mut trial);
    trial.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut leader = child::start(trial).await.map_err(|error| error.to_string())?;
    let pipes = leader.pipes().ok_or("it has no pipes")?;
    let mut said = String::new();
    let done = tokio::time::timeout(TRIAL, async {
        let _ = pipes.stderr.take(SAID).read_to_string(&mut said).await;
        leader.wait().await
    });
    let done = done.await.map_err(|_| "it does not end")?.map_err(|error| error.to_string())?;
    leader.sweep();
    if done.success() {
        return Ok(program);
    }
    Err(said.lines().last().unwrap_or("it fails without a word").chars().take(200).collect())
}

/// Adds the system's limits for each process.
#[allow(unsafe_code)]
fn bound(command: &mut Command, limits: &ShellLimits, time: Duration) {
    use rustix::process::{Resource, Rlimit, setrlimit};
    // Counts what the user runs elsewhere too, so that is added. It does not bind root: see `family`.
    let processes = (super::family::tasks().unwrap_or(0) + limits.processes) as u64;
    let bounds = [
        (Resource::Core, 0),
        (Resource::As, limits.memory_bytes),
        (Resource::Fsize, limits.file_bytes),
        (Resource::Nofile, limits.open_files),
        (Resource::Nproc, processes),
        (Resource::Cpu, time.as_secs() + 5),
    ];
    let nice = rustix::process::getpriority_process(None).unwrap_or(0) + NICE;
    // SAFETY: runs between fork and exec; makes only system calls through rustix, which neither allocates nor locks.
    unsafe {
        command.pre_exec(move || {
            for (resource, most) in bounds {
                setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) }).or_else(|errno| {
                    // A limit may already be lower and may not be raised; then it stays.
                    if errno == rustix::io::Errno::PERM { Ok(()) } else { Err(errno) }
                })?;
            }
            Ok(rustix::process::setpriority_process(None, nice)?)
        });
    }
}

/// The program that reads the command.
pub(crate) fn shell() -> &'static str {
    if Path::new("/bin/bash").exists() { "/bin/bash" } else { "/bin/sh" }
}

/// What a command finds in its environment: nothing of Convoke's own.
pub(crate) fn environment(workdir: &Path, temporary: &Path) -> Vec<(&'static str, OsString)> {
    vec![
        ("PATH", PATH.into()),
        ("HOME", workdir.into()),
        ("TMPDIR", temporary.into()),
        ("LANG", "C.UTF-8".into()),
        ("TERM", "dumb".into()),
    ]
}

/// Where programs are looked for.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Files of `/etc` that programs need to reach the network.
pub(crate) const NETWORK_SETTINGS: [&str; 4] = ["/etc/resolv.conf", "/etc/hosts", "/etc/gai.conf", "/etc/host.conf"];

/// System folders a command may read and run programs from.
pub(crate) const SYSTEM: [&str; 8] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix/store", "/gnu/store"];

/// Files of `/etc` that programs need; nothing with a secret.
pub(crate) const SETTINGS: [&str; 14] = [
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/alternatives",
    "/etc/passwd",
    "/etc/group",
    "/etc/nsswitch.conf",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/mime.types",
    "/etc/ssl/certs",
    "/etc/ca-certificates.conf",
    "/etc/protocols",
    "/etc/services",
];
