//! Starting programs that die with this process.
//!
//! Rule: every child leads its own session, so that it and all it starts can be ended at once, and gets SIGKILL when Convoke
//! ends in whatever way. Linux sends that signal when the *thread* that started the child ends, so children are started from
//! one thread that lives as long as the process. What a child has started is ended by the [`guard`].

use std::io;
use std::sync::{LazyLock, mpsc};

use rustix::process::{Pid, Signal};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::guard;

type Start = Box<dyn FnOnce() + Send>;

/// The thread that starts children.
static STARTER: LazyLock<Result<mpsc::Sender<Start>, String>> = LazyLock::new(|| {
    let (sender, receiver) = mpsc::channel::<Start>();
    std::thread::Builder::new()
        .name("convoke-start".into())
        .spawn(move || receiver.into_iter().for_each(|start| start()))
        .map(|_| sender)
        .map_err(|error| error.to_string())
});

/// Our ends of a child's pipes.
pub(crate) struct Pipes {
    pub(crate) stdin: ChildStdin,
    pub(crate) stdout: ChildStdout,
    pub(crate) stderr: ChildStderr,
}

/// A running child; dropping it kills it and its whole session group.
pub(crate) struct Leader {
    child: Child,
    pid: Option<Pid>,
}

impl Leader {
    /// The process id while it has not been waited for.
    pub(crate) fn pid(&self) -> Option<Pid> {
        self.pid
    }

    /// Our ends of its pipes, once, if it was started with all three.
    pub(crate) fn pipes(&mut self) -> Option<Pipes> {
        let child = &mut self.child;
        Some(Pipes { stdin: child.stdin.take()?, stdout: child.stdout.take()?, stderr: child.stderr.take()? })
    }

    /// Waits for its end. What it started may still run.
    pub(crate) async fn wait(&mut self) -> io::Result<std::process::ExitStatus> {
        self.child.wait().await
    }

    /// Kills it and all processes of its group.
    pub(crate) fn kill(&mut self) {
        if let Some(pid) = self.pid {
            // The group outlives its leader while it has members; an id is not used again as long as a group has it.
            let _ = rustix::process::kill_process_group(pid, Signal::KILL);
        }
        let _ = self.child.start_kill();
    }

    /// Kills what is left of the group after the leader has ended, and forgets it.
    pub(crate) fn sweep(&mut self) {
        if let Some(pid) = self.pid.take() {
            let _ = rustix::process::kill_process_group(pid, Signal::KILL);
            guard::has_ended(pid);
        }
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        self.kill();
        self.sweep();
    }
}

/// Starts `command`, prepared by [`lead`], as the leader of a session that dies with this process.
pub(crate) async fn start(mut command: Command) -> io::Result<Leader> {
    command.kill_on_drop(true);
    let runtime = Handle::current();
    let (sender, receiver) = oneshot::channel();
    let start: Start = Box::new(move || {
        let _inside = runtime.enter();
        guard::starts(true);
        let started = command.spawn().map(|child| {
            let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
            Leader { child, pid }
        });
        if started.is_err() {
            guard::starts(false);
        }
        // If nobody waits any more, the leader is dropped here and so ended.
        let _ = sender.send(started);
    });
    let starter = STARTER.as_ref().map_err(|error| io::Error::other(error.clone()))?;
    starter.send(start).map_err(|_| io::Error::other("the thread that starts programs has ended"))?;
    receiver.await.map_err(|_| io::Error::other("the thread that starts programs has ended"))?
}

/// Adds what the child does before it becomes the program. What is added later is done later.
#[allow(unsafe_code)]
pub(crate) fn lead(command: &mut Command) {
    let (parent, guard) = (rustix::process::getpid(), guard::line());
    // SAFETY: between fork and exec only async-signal-safe work is allowed. The closure makes five system calls without libc
    // state (rustix calls the kernel itself), allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(move || {
            rustix::process::setsid()?;
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
            // The parent may have died before the line above.
            if rustix::process::getppid() != Some(parent) {
                return Err(rustix::io::Errno::SRCH.into());
            }
            guard.into_iter().for_each(|line| guard::begins(line, rustix::process::getpid()));
            Ok(())
        });
    }
}
