//! A PostgreSQL server of one test, to be killed.

use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The server dies at once, like after a crash, when standard input ends: also if the test is killed.
const WATCHER: &str = r#""$@" </dev/null >>log 2>&1 & server=$!; cat >/dev/null; kill -QUIT $server; wait $server"#;
/// Time a server may take to be ready.
const READY: Duration = Duration::from_secs(60);

/// The name that a server's certificate is for.
pub const NAME: &str = "db.convoke.test";
/// Makes an authority, and the server's key and certificate, signed by it for the name `$1`.
const CERTIFICATES: &str = "set -e
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=authority \
  -addext basicConstraints=critical,CA:TRUE
openssl req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=server
echo subjectAltName=DNS:$1 >names
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.pem
chmod 600 server.key";

/// A server with its data in a folder of its own, reached over a socket there, or over loopback.
pub struct Server {
    dir: tempfile::TempDir,
    /// Where it listens besides, and whether with TLS.
    port: Option<(u16, bool)>,
    programs: PathBuf,
    user: Option<(u32, u32)>,
    watcher: Option<Child>,
}

impl Server {
    pub fn start() -> Self {
        Self::start_at(None)
    }

    /// A server that also listens on loopback, with a certificate for [`NAME`] if it is to speak TLS.
    pub fn start_listening(tls: bool) -> Self {
        let free = std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|free| free.local_addr());
        Self::start_at(Some((free.expect("a free port").port(), tls)))
    }

    fn start_at(port: Option<(u16, bool)>) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        // PostgreSQL does not run as root.
        let root = dir.path().metadata().expect("a folder").uid() == 0;
        let user = root.then(unprivileged);
        if let Some((uid, gid)) = user {
            chown(dir.path(), Some(uid), Some(gid)).expect("the folder is handed over");
        }
        let mut server = Self { dir, port, programs: programs(), user, watcher: None };
        let mut initdb = server.command("initdb".into());
        initdb.args(["-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]);
        let made = initdb.output().expect("initdb runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        if port.is_some_and(|(_, tls)| tls) {
            let made =
                server.command("/bin/sh".into()).args(["-c", CERTIFICATES, "sh", NAME]).output().expect("a shell");
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        }
        server.up();
        server
    }

    /// How to reach it over loopback by this name.
    pub fn url_by(&self, name: &str) -> String {
        let port = self.port.expect("a server that listens").0;
        format!("host={name} hostaddr=127.0.0.1 port={port} user=postgres dbname=postgres")
    }

    /// The certificate of the authority that signed the server's.
    pub fn authority(&self) -> String {
        self.dir.path().join("ca.pem").display().to_string()
    }

    pub fn url(&self) -> String {
        format!("host={} user=postgres dbname=postgres", self.dir.path().display())
    }

    fn command(&self, program: PathBuf) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir(self.dir.path()).env("LC_ALL", "C");
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Starts the server and waits until it says that it is ready.
    pub fn up(&mut self) {
        let mut watcher = self.command("/bin/sh".into());
        watcher.args(["-c", WATCHER, "sh"]).arg(self.programs.join("postgres")).args(["-D", "data"]);
        watcher.args(["-c", "fsync=on"]);
        match self.port {
            Some((port, _)) => watcher.args(["-c", "listen_addresses=127.0.0.1", "-c", &format!("port={port}")]),
            None => watcher.args(["-c", "listen_addresses="]),
        };
        if self.port.is_some_and(|(_, tls)| tls) {
            watcher.args(["-c", "ssl=on", "-c", "ssl_cert_file=../server.pem", "-c", "ssl_key_file=../server.key"]);
        }
        watcher.arg("-c").arg(format!("unix_socket_directories={}", self.dir.path().display()));
        self.watcher = Some(watcher.stdin(Stdio::piped()).spawn().expect("a shell runs"));
        let start = Instant::now();
        let ready = || {
            let state = std::fs::read_to_string(self.dir.path().join("data/postmaster.pid")).unwrap_or_default();
            state.lines().nth(7).is_some_and(|line| line.trim() == "ready")
        };
        while !ready() {
            let log = || std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            assert!(start.elapsed() < READY, "the server is not ready: {}", log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends every process of the server at once, without a checkpoint.
    pub fn crash(&mut self) {
        if let Some(mut watcher) = self.watcher.take() {
            drop(watcher.stdin.take());
            watcher.wait().expect("the server ends");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.crash();
    }
}

fn programs() -> PathBuf {
    let found = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let found = found.filter_map(|entry| {
        let version: u32 = entry.file_name().to_str()?.parse().ok()?;
        Some((version, entry.path().join("bin")))
    });
    found.max().expect("PostgreSQL server programs under /usr/lib/postgresql").1
}

fn unprivileged() -> (u32, u32) {
    let users = std::fs::read_to_string("/etc/passwd").expect("users");
    let find = |name: &str| {
        let line = users.lines().find(|line| line.starts_with(&format!("{name}:")))?;
        let mut ids = line.split(':').skip(2).map(|id| id.parse().ok());
        Some((ids.next()??, ids.next()??))
    };
    find("postgres").or_else(|| find("nobody")).expect("a user for the server")
}
