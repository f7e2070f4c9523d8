//! The guard: a shell that outlives this process for a moment, and ends what it has left.
//!
//! Rule: the system ends a child with us (see [`super::child`]), but not what the child has started by then. So each child tells
//! the guard its process group before it becomes the program. The guard reads from a socket whose other end we alone hold: when that
//! closes, by whatever death of ours, it kills the groups that are left and ends.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use rustix::net::{SendFlags, send};
use rustix::process::Pid;

/// What the guard does: `?` says that one is about to start, `+N` that it leads the group N, `!` that it did not start after all, and
/// `-N` that nothing of that group is left.
const SCRIPT: &str = r#"all=' ' last=
drop() { case $all in *" $1 "*) all="${all%%" $1 "*} ${all#*" $1 "}" ;; esac; }
while read -r line; do
  case $line in
    '?') last= ;;
    +*) last=${line#+}; all="$all$last " ;;
    '!') [ -z "$last" ] || drop "$last" ;;
    -*) drop "${line#-}" ;;
  esac
done
for pid in $all; do kill -9 "-$pid" 2>/dev/null; done"#;
/// The longest line: a sign, ten digits, the end.
const LINE: usize = 12;

/// A guard that was started, and our end of its socket, which stays open as long as we live.
struct Guard {
    child: Child,
    line: BorrowedFd<'static>,
}

static GUARD: Mutex<Option<Guard>> = Mutex::new(None);

/// Where groups are told to the guard, which is started if there is none. Without `/bin/sh` there is nobody to tell; then a child
/// is ended with us all the same, and only what it has started may be left.
pub(super) fn line() -> Option<BorrowedFd<'static>> {
    let mut guard = GUARD.lock().unwrap_or_else(PoisonError::into_inner);
    let is_there = guard.as_mut().is_some_and(|guard| matches!(guard.child.try_wait(), Ok(None)));
    if !is_there {
        *guard = start().inspect_err(|error| tracing::warn!(%error, "no guard for child processes")).ok();
    }
    guard.as_ref().map(|guard| guard.line)
}

#[allow(unsafe_code)]
fn start() -> io::Result<Guard> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut command = Command::new("/bin/sh");
    command.args(["-c", SCRIPT]).env_clear().current_dir("/");
    command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::null()).stderr(Stdio::null());
    // SAFETY: between fork and exec; one system call, which neither allocates nor locks. A signal to our group or terminal is
    // not for the guard.
    unsafe {
        command.pre_exec(|| Ok(rustix::process::setsid().map(drop)?));
    }
    let child = command.spawn()?;
    // Open for ever: its closing is what tells the guard.
    let ours: &'static UnixStream = Box::leak(Box::new(ours));
    Ok(Guard { child, line: ours.as_fd() })
}

/// Tells that a child is about to start, or that it did not; the one thread that starts children does.
pub(super) fn starts(is_about_to: bool) {
    let guard = GUARD.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(guard) = guard.as_ref() {
        let _ = send(guard.line, if is_about_to { b"?\n" } else { b"!\n" }, SendFlags::NOSIGNAL);
    }
}

/// Tells of this process that it leads a group. Between fork and exec: it neither allocates nor locks.
pub(super) fn begins(line: BorrowedFd<'_>, pid: Pid) {
    tell(line, b'+', pid);
}

/// Tells that nothing of a group is left.
pub(super) fn has_ended(pid: Pid) {
    let guard = GUARD.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(guard) = guard.as_ref() {
        tell(guard.line, b'-', pid);
    }
}

fn tell(line: BorrowedFd<'_>, sign: u8, pid: Pid) {
    let mut text = [b'\n'; LINE];
    let (mut at, mut rest) = (LINE - 1, pid.as_raw_nonzero().get().unsigned_abs());
    while rest > 0 {
        at -= 1;
        text[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    at -= 1;
    text[at] = sign;
    // A guard that somebody has killed is replaced when the next child starts.
    let _ = send(line, &text[at..], SendFlags::NOSIGNAL);
}
