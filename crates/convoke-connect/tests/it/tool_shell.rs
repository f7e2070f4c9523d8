//! `shell`: what the sandboxes let through and what not. Every test runs in both; one that is not there fails the test.

use std::path::Path;
use std::time::{Duration, Instant};

use convoke_connect::tool::{SandboxChoice, ToolLimits, Toolbox};
use convoke_port::tool::{Repeat, ToolError, ToolOutput, Tools};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::tool::Bench;

const BOTH: [SandboxChoice; 2] = [SandboxChoice::Bubblewrap, SandboxChoice::Landlock];

async fn bench(choice: SandboxChoice) -> Bench {
    let mut limits = ToolLimits::default();
    limits.shell.memory_bytes = 1 << 30;
    let mut bench = Bench::with(Toolbox::new(limits).with_sandbox(choice));
    bench.scope.shell = true;
    if let Err(why) = bench.toolbox.sandbox().await {
        panic!(
            "{choice:?} is needed for this test; `cargo xtask test` installs bubblewrap, Landlock is the kernel's: {why}"
        );
    }
    bench
}

async fn run(bench: &Bench, command: &str) -> ToolOutput {
    bench.call("shell", json!({"command": command})).await.unwrap_or_else(|error| panic!("{command}: {error:?}"))
}

/// Processes of this machine whose command line holds the text, this one aside.
fn running(text: &str) -> usize {
    let list = std::fs::read_dir("/proc").expect("/proc").flatten();
    let lines = list.filter_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        (pid != std::process::id()).then(|| String::from_utf8_lossy(&line).replace('\0', " "))
    });
    lines.filter(|line| line.contains(text)).count()
}

/// A fact that is not there after so long will not come; no bound of the product.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until something holds; a wait with a bound, not a pause.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "{what} does not come");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_command_works_in_the_folder_and_reads_the_input() {
    for choice in BOTH {
        let bench = bench(choice).await;
        bench.put("input/data.txt", "b\na\n");
        let output = run(&bench, "sort input/data.txt > sorted.txt && cat sorted.txt && echo to stderr >&2").await;
        assert!(output.content.starts_with("exit code 0 after "), "{choice:?} {output:?}");
        assert!(output.content.ends_with(" s\na\nb\nto stderr\n"), "{choice:?} {output:?}");
        assert_eq!(std::fs::read_to_string(bench.work().join("sorted.txt")).expect("written"), "a\nb\n");
        let output = run(&bench, "exit 3").await;
        assert!(output.is_error && output.content.starts_with("exit code 3 after"), "{output:?}");
        let output = run(&bench, "echo t > \"$TMPDIR/x\" && cat \"$TMPDIR/x\" && pwd && env | sort").await;
        let env: Vec<&str> = output
            .content
            .lines()
            .filter(|line| line.contains('='))
            .map(|line| line.split('=').next().unwrap_or(""))
            .collect();
        assert_eq!(env, ["HOME", "LANG", "PATH", "PWD", "SHLVL", "TERM", "TMPDIR", "_"], "{output:?}");
        assert!(output.content.contains(&bench.work().display().to_string()), "{output:?}");
    }
}

#[tokio::test]
async fn nothing_outside_can_be_read() {
    for choice in BOTH {
        let bench = bench(choice).await;
        bench.put("secret.txt", "top secret");
        std::os::unix::fs::symlink(bench.folder.path().join("secret.txt"), bench.work().join("link")).expect("link");
        let secret = bench.folder.path().join("secret.txt").display().to_string();
        let pid = std::process::id();
        let home = std::env::var("HOME").expect("a home");
        for command in [
            format!("cat {secret}"),
            "cat link".into(),
            "cat ../secret.txt".into(),
            "cat /etc/shadow".into(),
            format!("ls {home} && cat {home}/.bashrc {home}/.ssh/id_rsa"),
            format!("cat /proc/{pid}/environ"),
            "cat /proc/1/root/etc/shadow".into(),
            "cat /dev/mem /dev/kmsg".into(),
            "ls /home && ls /var/lib".into(),
            "ln /etc/shadow here && cat here".into(),
            format!("cp -r {home} copy"),
        ] {
            let output = run(&bench, &command).await;
            assert!(output.is_error, "{choice:?} {command}: {output:?}");
            assert!(
                !output.content.contains("top secret") && !output.content.contains("root:"),
                "{choice:?} {command}: {output:?}"
            );
        }
        let output = run(&bench, "ls /proc/*/environ | wc -l; cat /proc/*/environ | grep -c CARGO").await;
        assert!(output.content.trim_end().ends_with('0'), "{choice:?} {output:?}");
    }
}

#[tokio::test]
async fn nothing_outside_can_be_written() {
    for choice in BOTH {
        let bench = bench(choice).await;
        bench.put("input/data.txt", "data");
        bench.put("precious.txt", "precious");
        let outside = bench.folder.path().display().to_string();
        let probe = format!("/tmp/convoke-probe-{}", std::process::id());
        for command in [
            format!("echo x > {outside}/new.txt"),
            format!("echo x > {outside}/precious.txt"),
            format!("truncate -s 0 {outside}/precious.txt"),
            format!("mv {outside}/precious.txt here"),
            format!("ln {outside}/precious.txt here && echo x > here"),
            "echo x > input/data.txt".into(),
            "rm -f input/data.txt".into(),
            "touch input/new".into(),
            "echo x > /etc/convoke-probe".into(),
            "echo x > /usr/bin/convoke-probe".into(),
            "mkdir /convoke-probe".into(),
            format!("chmod 777 {outside}/precious.txt"),
            "chmod 777 input/data.txt".into(),
            format!("chown 1:1 {outside}/precious.txt"),
            "mknod disk b 8 0 && cat disk".into(),
            "mount -t tmpfs none .".into(),
            "unshare -Ur mount -t tmpfs none /usr".into(),
        ] {
            let output = run(&bench, &command).await;
            assert!(output.is_error, "{choice:?} {command}: {output:?}");
        }
        run(&bench, &format!("echo x > {probe}")).await;
        assert!(!Path::new(&probe).exists(), "{choice:?}");
        assert_eq!(std::fs::read_to_string(bench.folder.path().join("precious.txt")).expect("there"), "precious");
        assert_eq!(std::fs::read_to_string(bench.folder.path().join("input/data.txt")).expect("there"), "data");
        assert!(!bench.folder.path().join("new.txt").exists());
    }
}

#[tokio::test]
async fn there_is_no_network() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("listen");
    listener.set_nonblocking(true).expect("mode");
    let port = listener.local_addr().expect("address").port();
    let folder = tempfile::tempdir().expect("folder");
    let socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).expect("socket");
    socket.set_nonblocking(true).expect("mode");
    for choice in BOTH {
        let bench = bench(choice).await;
        let path = folder.path().join("socket").display().to_string();
        for command in [
            format!("exec 3<>/dev/tcp/127.0.0.1/{port}"),
            "echo x > /dev/udp/8.8.8.8/53".into(),
            format!("python3 -c 'import socket; s=socket.socket(socket.AF_UNIX); s.connect(\"{path}\")'"),
            "python3 -c 'import socket; s=socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect((\"8.8.8.8\", 53)); s.send(b\"x\")'".into(),
            "perl -MSocket -e 'socket(my $s, PF_UNIX, SOCK_STREAM, 0) or die $!; connect($s, pack_sockaddr_un($ARGV[0])) or die $!' ".to_owned() + &path,
        ] {
            let output = run(&bench, &command).await;
            assert!(output.is_error, "{choice:?} {command}: {output:?}");
        }
    }
    assert!(listener.accept().is_err() && socket.accept().is_err(), "nobody came through");
}

#[tokio::test]
async fn other_processes_cannot_be_touched() {
    let mut victim = std::process::Command::new("sleep").arg("1000").spawn().expect("sleep");
    for choice in BOTH {
        let bench = bench(choice).await;
        let output = run(&bench, &format!("kill -9 {}; kill -9 {}; kill -9 -1", victim.id(), std::process::id())).await;
        assert!(victim.try_wait().expect("wait").is_none(), "{choice:?} {output:?}");
    }
    victim.kill().expect("kill");
    victim.wait().expect("wait");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_bomb_is_ended() {
    // Kept bounded (a loop, at most 2,000 processes). A doubling bomb took the whole machine down for
    // everybody else; where the kernel can enforce the limit (pids cgroup as root, RLIMIT_NPROC otherwise) use that.
    for choice in BOTH {
        let bench = bench(choice).await;
        let output = run(&bench, "n=0; while [ $n -lt 2000 ]; do sleep 29.125 & n=$((n+1)); done; wait").await;
        assert!(output.is_error, "{choice:?} {output:?}");
        assert!(
            output.content.contains("processes at once, 128 are allowed") || output.content.contains("fork"),
            "{output:?}"
        );
        until("the end of all", || running("sleep 29.125") == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_bounded() {
    for choice in BOTH {
        let bench = bench(choice).await;
        let output = run(
            &bench,
            "python3 -c 'x = bytearray(3 << 30); print(len(x))' || perl -e '$x = \"x\" x (3 << 30); print length $x'",
        )
        .await;
        assert!(output.is_error && !output.content.contains("3221225472"), "{choice:?} {output:?}");
        let many = "for n in 1 2 3 4; do perl -e '$x = \"x\" x (200 << 20); $y = $x; sleep 20' & done; wait";
        let output = run(&bench, many).await;
        assert!(output.content.contains("bytes of memory, 1073741824 are allowed"), "{choice:?} {output:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gigabyte_of_output_is_drained_and_cut() {
    for choice in BOTH {
        let bench = bench(choice).await;
        let output = run(&bench, "echo first; yes 0123456789abcdef | head -c 1000000000; echo; echo last").await;
        assert!(output.content.starts_with("exit code 0"), "{choice:?} {}", &output.content[..200]);
        assert!(output.content.len() <= 33 << 10, "{}", output.content.len());
        assert!(output.content.contains("\nfirst\n") && output.content.ends_with("\nlast\n"), "{choice:?}");
        assert!(output.content.contains("bytes left out"), "{choice:?}");
    }
}

/// Every command below that is killed would sleep longer than this: whoever is back before has not waited for it.
const SLEEP: Duration = Duration::from_secs(61);

#[tokio::test(flavor = "multi_thread")]
async fn a_late_command_is_killed_with_its_children() {
    for choice in BOTH {
        let bench = bench(choice).await;
        let started = Instant::now();
        let command =
            "trap '' TERM INT HUP; sleep 61.25 & (setsid sleep 61.25 &) ; nohup sleep 61.25 & echo begun; wait";
        let output = bench.call("shell", json!({"command": command, "timeout_s": 1})).await.expect("an answer");
        assert!(
            output.is_error && output.content.starts_with("killed after 1 s (`timeout_s`)"),
            "{choice:?} {output:?}"
        );
        assert!(output.content.contains("begun"), "{output:?}");
        assert!(started.elapsed() < SLEEP, "{choice:?} waited for what sleeps");
        until("the end of all", || running("sleep 61.25") == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_command_leaves_running_is_killed() {
    for choice in BOTH {
        let bench = bench(choice).await;
        let started = Instant::now();
        let output = run(&bench, "sleep 62.5 & echo done").await;
        assert!(output.content.ends_with("s\ndone\n"), "{choice:?} {output:?}");
        assert!(started.elapsed() < SLEEP, "{choice:?} waited for what sleeps");
        until("the end of all", || running("sleep 62.5") == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_kills_at_once() {
    for choice in BOTH {
        let bench = bench(choice).await;
        let cancel = CancellationToken::new();
        let request = bench.request("shell", json!({"command": "sleep 63.75 & touch begun; sleep 63.75"}));
        let begun = bench.work().join("begun");
        let stop = async {
            until("the beginning", || begun.exists()).await;
            cancel.cancel();
        };
        let started = Instant::now();
        let (result, ()) = tokio::join!(bench.toolbox.call(&bench.scope, &request, &cancel), stop);
        assert!(matches!(result, Err(ToolError::Cancelled)), "{choice:?} {result:?}");
        assert!(started.elapsed() < SLEEP, "{choice:?} waited for what sleeps");
        until("the end of all", || running("sleep 63.75") == 0).await;
        // And a call that nobody waits for any more.
        std::fs::remove_file(&begun).expect("remove");
        {
            let call = bench.call("shell", json!({"command": "touch begun; sleep 63.75"}));
            tokio::select! { _ = call => panic!("it sleeps"), () = until("the beginning", || begun.exists()) => {} }
        }
        until("the end of the dropped", || running("sleep 63.75") == 0).await;
    }
}

#[tokio::test]
async fn the_calls_own_deadline_is_kept() {
    let mut bench = bench(SandboxChoice::Auto).await;
    bench.timeout = Duration::from_millis(300);
    let result = bench.call("shell", json!({"command": "sleep 60"})).await;
    assert!(matches!(&result, Err(ToolError::TimedOut(why)) if why.starts_with("shell: killed after")), "{result:?}");
}

#[tokio::test]
async fn without_the_right_there_is_no_shell() {
    let mut bench = bench(SandboxChoice::Auto).await;
    let (tools, _) = bench.toolbox.offer(&bench.scope).await;
    assert_eq!(tools.iter().find(|tool| tool.id == "shell").map(|tool| tool.repeat), Some(Repeat::Once));
    bench.scope.shell = false;
    let (tools, notices) = bench.toolbox.offer(&bench.scope).await;
    assert!(tools.iter().all(|tool| tool.id != "shell"));
    let why = "shell: not granted; set `authority.shell` in the profile to grant it";
    assert!(notices.contains(&why.to_owned()), "{notices:?}");
    assert_eq!(bench.error("shell", json!({"command": "true"})).await, why);
}

#[tokio::test]
async fn arguments_are_checked() {
    let bench = bench(SandboxChoice::Auto).await;
    for (input, why) in [
        (json!({}), "shell: `command` is missing; give it as a text"),
        (json!({"command": " "}), "shell: `command` is empty or holds a NUL"),
        (json!({"command": "a", "timeout_s": 601}), "shell: `timeout_s` is 601; give a whole number from 1 to 600"),
    ] {
        assert_eq!(bench.error("shell", input).await, why);
    }
}
