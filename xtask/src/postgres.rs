//! A private PostgreSQL for one command: own folder, own port, gone with whoever started it.
//!
//! The server is the child of a small shell that waits for its standard input to close. That pipe is held by this
//! process alone, so the server is stopped and its folder removed on a normal end, on a panic, on Ctrl-C and on a kill
//! that leaves no time for anything. What a power cut leaves is cleaned up by the next start.
//! Start at [`Postgres::start`].

use std::fs::{self, DirBuilder};
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::{place, run};

/// Folders of private servers begin so.
const PREFIX: &str = "convoke-postgres-";
/// Time a server may take until it accepts connections.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Time a server may take until it is gone.
const STOP_LIMIT: Duration = Duration::from_secs(20);
/// Tries with another port if somebody took the first one meanwhile.
const PORT_TRIES: usize = 3;
/// A socket path is at most 107 bytes long; a folder longer than this leaves no room for the file's name.
const SOCKET_FOLDER_MAX: usize = 85;

/// Waits for the end of standard input, then stops the server and removes its folder.
const WATCHER: &str = r#"
folder=$1; shift
"$@" >>"$folder/log" 2>&1 </dev/null &
server=$!
while read -r _; do :; done
kill -QUIT "$server" 2>/dev/null
wait "$server"
rm -rf "$folder"
"#;

/// A running private server; dropping it stops it and removes its data.
pub struct Postgres {
    watcher: Child,
    url: String,
}

/// The user that the server runs as. PostgreSQL refuses to run as root.
#[derive(Debug, Clone, PartialEq, Eq)]
struct User {
    uid: u32,
    gid: u32,
}

impl Postgres {
    /// Makes and starts a server with the newest programs that are installed.
    pub fn start() -> Result<Self> {
        let programs = programs().context("no PostgreSQL server programs under /usr/lib/postgresql/*/bin")?;
        let user = if place::is_root() { Some(unprivileged()?) } else { None };
        let base = base()?;
        clean(&base);
        let mut last = None;
        for attempt in 0..PORT_TRIES {
            let folder = base.join(format!("{PREFIX}{}-{attempt}", std::process::id()));
            match Self::start_in(&programs, user.as_ref(), &folder) {
                Ok(server) => return Ok(server),
                Err(error) => last = Some(error),
            }
        }
        Err(last.expect("at least one try was made"))
    }

    fn start_in(programs: &Path, user: Option<&User>, folder: &Path) -> Result<Self> {
        make_folder(folder, user)?;
        let data = folder.join("data");
        let mut initdb = as_user(&programs.join("initdb"), user, folder);
        initdb.arg("-D").arg(&data).args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]);
        if let Err(error) = run::quiet(&mut initdb) {
            place::remove(folder)?;
            return Err(error);
        }
        let port = free_port()?;
        let mut watcher = as_user(Path::new("/bin/sh"), user, folder);
        watcher.args(["-c", WATCHER, "sh"]).arg(folder).arg(programs.join("postgres")).arg("-D").arg(&data);
        for setting in settings(port, folder) {
            watcher.arg("-c").arg(setting);
        }
        // Its own process group: Ctrl-C at the terminal must reach it through us, not past us.
        let watcher = watcher.stdin(Stdio::piped()).process_group(0).spawn().context("cannot start /bin/sh")?;
        let server = Self { watcher, url: format!("postgres://postgres@127.0.0.1:{port}/postgres") };
        wait_until_ready(folder)?;
        Ok(server)
    }

    /// Where to connect, for programs.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.watcher.stdin.take());
        let start = Instant::now();
        while start.elapsed() < STOP_LIMIT {
            if !matches!(self.watcher.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        eprintln!("[xtask] the private PostgreSQL did not stop within {STOP_LIMIT:?}; the next start cleans up");
    }
}

/// The folder of the newest installed server programs.
pub fn programs() -> Option<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, bin)| ["initdb", "postgres"].iter().all(|name| place::is_executable(&bin.join(name))))
        .collect();
    found.sort();
    found.pop().map(|(_, bin)| bin)
}

/// Where servers keep their folders. Root's own cache is closed to the user the server runs as, so then it is the one
/// place on disk that every user may reach and no reboot wipes in mid-air.
fn base() -> Result<PathBuf> {
    if place::is_root() { Ok(PathBuf::from("/var/tmp")) } else { place::cache() }
}

fn settings(port: u16, folder: &Path) -> Vec<String> {
    let socket = if folder.as_os_str().len() <= SOCKET_FOLDER_MAX { folder.to_string_lossy() } else { "".into() };
    vec![
        "listen_addresses=127.0.0.1".to_owned(),
        format!("port={port}"),
        format!("unix_socket_directories={socket}"),
        "fsync=on".to_owned(),
        "max_connections=300".to_owned(),
        "log_min_messages=warning".to_owned(),
    ]
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("no free port on 127.0.0.1")?;
    Ok(listener.local_addr()?.port())
}

/// Makes the folder, which must be new, writes down who owns it, and hands it to the server's user.
fn make_folder(folder: &Path, user: Option<&User>) -> Result<()> {
    DirBuilder::new()
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    fs::write(folder.join("owner"), owner(std::process::id()).unwrap_or_default())?;
    if let Some(user) = user {
        chown(folder, Some(user.uid), Some(user.gid))?;
    }
    Ok(())
}

fn as_user(program: &Path, user: Option<&User>, home: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(home).env("HOME", home).env("LC_ALL", "C");
    if let Some(user) = user {
        command.uid(user.uid).gid(user.gid);
    }
    command
}

/// The user `postgres`, which the system's package makes, else `nobody`.
fn unprivileged() -> Result<User> {
    let users = fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
    find_user(&users, "postgres")
        .or_else(|| find_user(&users, "nobody"))
        .context("neither a user postgres nor nobody in /etc/passwd; PostgreSQL does not run as root")
}

fn find_user(users: &str, name: &str) -> Option<User> {
    let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    Some(User { uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? })
}

/// Waits until the server says in its own file that it accepts connections, so it cannot be another one's port.
fn wait_until_ready(folder: &Path) -> Result<()> {
    let start = Instant::now();
    while start.elapsed() < START_LIMIT {
        let state = fs::read_to_string(folder.join("data/postmaster.pid")).unwrap_or_default();
        if state.lines().nth(7).is_some_and(|line| line.trim() == "ready") {
            return Ok(());
        }
        let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
        if log.contains("FATAL") {
            bail!("PostgreSQL did not start:\n{}", run::tail(&log));
        }
        thread::sleep(Duration::from_millis(20));
    }
    bail!("PostgreSQL was not ready within {START_LIMIT:?}")
}

/// Removes folders whose owner is gone, and stops a server that still runs in one.
fn clean(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        if is_ours && entry.file_type().is_ok_and(|kind| kind.is_dir()) && is_stale(&entry.path()) {
            stop_stray(&entry.path());
            if let Err(error) = place::remove(&entry.path()) {
                eprintln!("[xtask] cannot remove the stale folder {}: {error}", entry.path().display());
            }
        }
    }
}

/// True if the process that made the folder is gone. Without a readable owner the folder may be another user's.
fn is_stale(folder: &Path) -> bool {
    let Ok(kept) = fs::read_to_string(folder.join("owner")) else { return false };
    let pid = kept.split(' ').next().and_then(|pid| pid.parse().ok());
    pid.is_none_or(|pid| owner(pid).as_deref() != Some(kept.as_str()))
}

/// A process by its id and the tick it started at, so that a reused id is not taken for it.
fn owner(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let started = stat.rsplit(')').next()?.split_whitespace().nth(19)?.to_owned();
    Some(format!("{pid} {started}"))
}

/// Stops the server whose working folder is this one; any other process is left alone.
fn stop_stray(folder: &Path) {
    let data = folder.join("data");
    let state = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    let Some(pid) = state.lines().next().and_then(|pid| pid.parse::<u32>().ok()) else { return };
    let lives_there = || fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == data);
    let start = Instant::now();
    while lives_there() && start.elapsed() < STOP_LIMIT {
        let _ = Command::new("kill").args(["-QUIT", &pid.to_string()]).status();
        thread::sleep(Duration::from_millis(100));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let users = "postgresql:x:5:6::/:/bin/sh\npostgres:x:101:104:PostgreSQL,,,:/var/lib/postgresql:/bin/bash\n";
        assert_eq!(find_user(users, "postgres"), Some(User { uid: 101, gid: 104 }));
        assert_eq!(find_user(users, "nobody"), None);
    }

    #[test]
    fn a_folder_is_stale_when_its_owner_is_gone_or_another() {
        let folder = std::env::temp_dir().join(format!("convoke-xtask-stale-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a temporary folder");
        let me = owner(std::process::id()).expect("this process runs");
        let cases = [(me.clone(), false), (format!("{me}1"), true), ("4194999 7".to_owned(), true)];
        for (kept, stale) in cases {
            fs::write(folder.join("owner"), &kept).expect("written");
            assert_eq!(is_stale(&folder), stale, "{kept}");
        }
        fs::remove_dir_all(&folder).expect("removed");
        assert!(!is_stale(&folder), "without an owner it is not ours to remove");
    }
}
