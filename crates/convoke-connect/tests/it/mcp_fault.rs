//! MCP servers that fail: each ends in a notice or an error, and the next call works where it can.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use convoke_connect::tool::{ToolLimits, Toolbox};
use convoke_domain::team::McpServer;
use convoke_port::tool::{ToolError, Tools};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::mcp::{address, bench, http_everything, node, program, python, slow, with};
use crate::tool::Bench;

/// The odd server, which notes what it is told in the file.
fn odd(notes: &Path) -> McpServer {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/odd_server.py");
    program(&python("python"), &[script, &notes.display().to_string()])
}

fn notes(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Ids of processes of this machine whose command line holds the text.
fn pids(text: &str) -> Vec<i32> {
    let list = std::fs::read_dir("/proc").expect("/proc").flatten();
    list.filter_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        String::from_utf8_lossy(&line).replace('\0', " ").contains(text).then_some(pid)
    })
    .collect()
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

fn odd_bench() -> (Bench, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("folder");
    let bench = bench(&[("odd", odd(&folder.path().join("notes")))], &["mcp:odd/*"]);
    (bench, folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_during_a_call_is_an_error_and_then_works_again() {
    let server = program(&node("mcp-server-everything"), &["stdio", "killed-in-a-call"]);
    let bench = bench(&[("all", server)], &["mcp:all/*"]);
    let slow = bench.call("mcp:all/trigger-long-running-operation", json!({"duration": 60, "steps": 60}));
    let kill = async {
        // The call waits for the server too, so it is there soon; give the call time to be with it.
        until("the server", || !pids("killed-in-a-call").is_empty()).await;
        bench.text("mcp:all/echo", json!({"message": "x"})).await;
        for pid in pids("killed-in-a-call") {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
        }
    };
    let (result, ()) = tokio::join!(slow, kill);
    let Err(ToolError::Unknown(why)) = &result else { panic!("{result:?}") };
    assert!(why.starts_with("MCP server `all` gave no answer to `trigger-long-running-operation`"), "{why}");
    assert_eq!(bench.text("mcp:all/echo", json!({"message": "again"})).await, "Echo: again");
}

/// How long a server lives that never answers: a caller without a bound of its own would wait for its end.
const MUTE: Duration = Duration::from_millis(1_000_500);

#[tokio::test]
async fn a_server_that_never_answers_costs_an_offer_the_wait_and_no_more() {
    let mut limits = ToolLimits::default();
    limits.mcp.offer_wait = Duration::from_millis(300);
    limits.mcp.call_wait = Duration::from_millis(300);
    let seconds = MUTE.as_secs_f64().to_string();
    let servers = [("mute", program("sleep", &[&seconds])), ("git", program(&python("mcp-server-git"), &[]))];
    let bench = with(Toolbox::new(limits), &servers, &["mcp:mute/*", "read_file"]);
    let started = Instant::now();
    let (tools, notices) = bench.toolbox.offer(&bench.scope).await;
    assert!(started.elapsed() < MUTE, "the offer waited for a server that answers after {MUTE:?}");
    assert_eq!(tools.len(), 1, "the others are there");
    assert_eq!(notices, ["MCP server `mute` is not available: it has not answered yet; it will be there once it has"]);
    let why = bench.error("mcp:mute/x", json!({})).await;
    assert!(why.starts_with("MCP server `mute` is not available: it has not answered yet"), "{why}");
    drop(bench);
    until("the end of the program", || pids("sleep 1000.5").is_empty()).await;
}

#[tokio::test]
async fn a_server_that_gives_up_waiting_is_named() {
    let mut server = program("sleep", &["1000.25"]);
    server.timeout_s = 1;
    let bench = bench(&[("mute", server)], &["mcp:mute/*"]);
    let (_, notices) = bench.toolbox.offer(&bench.scope).await;
    let why = "MCP server `mute` is not available: it did not answer within 1 s; it is being started again";
    assert_eq!(notices, [why]);
}

#[tokio::test]
async fn garbage_on_the_pipe_is_passed_over() {
    let (bench, _folder) = odd_bench();
    let (tools, notices) = bench.toolbox.offer(&bench.scope).await;
    assert_eq!(tools.len(), 5, "{notices:?}");
    assert_eq!(notices, ["MCP tool `mcp:odd/vast` is left out: its description is too large"]);
    let noise = "echo garbage; head -c 3000000 /dev/zero | tr '\\0' x; echo; exec \"$0\" \"$@\"";
    let git = python("mcp-server-git");
    let bench = crate::mcp::bench(&[("git", program("/bin/sh", &["-c", noise, &git]))], &["mcp:git/git_log"]);
    let (tools, notices) = bench.toolbox.offer(&bench.scope).await;
    assert_eq!(tools.len(), 1, "{notices:?}");
    let bench = crate::mcp::bench(&[("yes", program("yes", &["y"]))], &["mcp:yes/*"]);
    let mut scope = bench.scope.clone();
    scope.mcp_servers.get_mut("yes").expect("yes").timeout_s = 1;
    let (_, notices) = bench.toolbox.offer(&scope).await;
    assert_eq!(notices.len(), 1, "{notices:?}");
}

#[tokio::test]
async fn programs_that_cannot_start_or_end_at_once_are_named() {
    let servers = [
        ("missing", program("/does/not/exist", &[])),
        ("ends", program("/bin/sh", &["-c", "echo no licence found >&2; exit 3"])),
    ];
    let bench = bench(&servers, &["mcp:missing/*", "mcp:ends/*"]);
    let (_, notices) = bench.toolbox.offer(&bench.scope).await;
    let [missing, ends] = notices.as_slice() else { panic!("{notices:?}") };
    assert!(missing.contains("`/does/not/exist` does not start: No such file or directory"), "{missing}");
    assert!(ends.contains("(exit status: 3); it said: no licence found; it is being started again"), "{ends}");
}

#[tokio::test]
async fn a_server_that_keeps_failing_is_left_alone_and_tried_again_later() {
    let folder = tempfile::tempdir().expect("folder");
    let starts = folder.path().join("starts");
    let script = format!("echo x >> {}; exit 1", starts.display());
    let mut limits = slow();
    limits.mcp.failures = 3;
    limits.mcp.backoff = Duration::from_millis(5);
    limits.mcp.open_time = Duration::from_millis(200);
    let bench = with(Toolbox::new(limits), &[("bad", program("/bin/sh", &["-c", &script]))], &["mcp:bad/*"]);
    let count = || std::fs::read_to_string(&starts).map_or(0, |text| text.lines().count());
    let why = bench.error("mcp:bad/x", json!({})).await;
    assert!(why.contains("it failed too often and is left alone for a while"), "{why}");
    assert_eq!(count(), 3);
    // Nobody wants it: nothing happens. Somebody does: one more try.
    bench.error("mcp:bad/x", json!({})).await;
    until("one more start", || count() == 4).await;
}

#[tokio::test]
async fn secrets_are_not_in_what_is_said_of_a_server() {
    let folder = tempfile::tempdir().expect("folder");
    let mut server = odd(&folder.path().join("notes"));
    server.env.insert("TOKEN".into(), "${TOKEN}".into());
    let mut limits = slow();
    limits.mcp.failures = 1;
    let toolbox = Toolbox::new(limits).with_variables(|_| Some("hunter2hunter2".into()));
    let bench = with(toolbox, &[("odd", server)], &["mcp:odd/*"]);
    let result = bench.call("mcp:odd/die", json!({})).await;
    assert!(matches!(&result, Err(ToolError::Unknown(why)) if !why.contains("hunter2")), "{result:?}");
    let why = bench.error("mcp:odd/hang", json!({})).await;
    assert!(why.contains("it said: dying of token=***"), "{why}");
}

#[tokio::test]
async fn changed_tools_are_listed_again() {
    let (bench, _folder) = odd_bench();
    bench.text("mcp:odd/grow", json!({})).await;
    let started = Instant::now();
    loop {
        let (tools, _) = bench.toolbox.offer(&bench.scope).await;
        if tools.iter().any(|tool| tool.id == "mcp:odd/more") {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "the new tool does not come");
    }
}

#[tokio::test]
async fn calls_carry_their_key_and_are_cancelled_at_the_server() {
    let (mut bench, folder) = odd_bench();
    let notes_file = folder.path().join("notes");
    let calls =
        |method: &str| notes(&notes_file).into_iter().filter(|note| note["method"] == method).collect::<Vec<_>>();
    let cancel = CancellationToken::new();
    let request = bench.request("mcp:odd/hang", json!({}));
    let stop = async {
        until("the call", || !calls("tools/call").is_empty()).await;
        cancel.cancel();
    };
    let (result, ()) = tokio::join!(bench.toolbox.call(&bench.scope, &request, &cancel), stop);
    assert!(matches!(result, Err(ToolError::Cancelled)), "{result:?}");
    until("the word to stop", || calls("notifications/cancelled").len() == 1).await;
    let call = &calls("tools/call")[0];
    assert_eq!(call["params"]["_meta"]["convoke/idempotencyKey"], "run:task:attempt:1");
    assert_eq!(calls("notifications/cancelled")[0]["params"]["requestId"], call["id"]);
    bench.timeout = Duration::from_millis(200);
    let result = bench.call("mcp:odd/hang", json!({})).await;
    let late = "MCP server `odd` did not answer `hang` within 0.2 s";
    assert!(matches!(&result, Err(ToolError::TimedOut(why)) if why == late), "{result:?}");
    until("the second word to stop", || calls("notifications/cancelled").len() == 2).await;
}

#[tokio::test]
async fn answers_are_cut_and_refusals_passed_on() {
    let (bench, _folder) = odd_bench();
    let text = bench.text("mcp:odd/big", json!({})).await;
    assert!(text.len() <= 32 << 10 && text.ends_with(" of 200000 bytes]"), "{}", &text[text.len() - 50..]);
    let output = bench.call("mcp:odd/rude", json!({})).await.expect("an answer");
    assert_eq!((output.content.as_str(), output.is_error), ("error -32000: I will not", true));
    let why = bench.error("mcp:odd/big", json!([1])).await;
    assert_eq!(why, "mcp:odd/big: the arguments must be a JSON object");
}

#[tokio::test]
async fn an_address_where_nothing_is_and_one_that_goes_away() {
    let (mut server, url) = http_everything().await;
    let bench =
        bench(&[("all", address(&url)), ("none", address("http://127.0.0.1:9/mcp"))], &["mcp:all/*", "mcp:none/*"]);
    assert_eq!(bench.text("mcp:all/echo", json!({"message": "1"})).await, "Echo: 1");
    let (_, notices) = bench.toolbox.offer(&bench.scope).await;
    assert!(notices.len() == 1 && notices[0].contains("Connection refused"), "{notices:?}");
    server.kill().await.expect("kill");
    let result = bench.call("mcp:all/echo", json!({"message": "2"})).await;
    let nothing_done = "MCP server `all` cannot be reached; nothing was done";
    assert!(matches!(&result, Err(ToolError::Failed(why)) if why == nothing_done), "{result:?}");
    let result = bench.call("mcp:all/echo", json!({"message": "3"}));
    let result = tokio::time::timeout(Duration::from_secs(20), result).await.expect("an end");
    assert!(result.is_err(), "{result:?}");
}

#[tokio::test]
async fn a_password_that_is_wrong_is_told_without_being_shown() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("listen");
    let url = format!("http://{}/mcp", listener.local_addr().expect("address"));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = std::io::Read::read(&mut stream, &mut [0; 8_192]);
            let answer = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            let _ = std::io::Write::write_all(&mut stream, answer.as_bytes());
        }
    });
    let mut server = address(&url);
    server.headers.insert("Authorization".into(), "Bearer wrong-password".into());
    let bench = bench(&[("locked", server)], &["mcp:locked/*"]);
    let (_, notices) = bench.toolbox.offer(&bench.scope).await;
    assert!(notices[0].contains("it wants other credentials; see `headers` of its settings"), "{notices:?}");
    assert!(!notices[0].contains("wrong-password"), "{notices:?}");
}

#[tokio::test]
async fn an_unused_server_is_closed_and_comes_back() {
    let folder = tempfile::tempdir().expect("folder");
    let mut limits = slow();
    limits.mcp.idle = Duration::from_millis(200);
    let file = folder.path().join("notes-idle");
    let bench = with(Toolbox::new(limits), &[("odd", odd(&file))], &["mcp:odd/*"]);
    bench.text("mcp:odd/big", json!({})).await;
    let name = file.display().to_string();
    until("the end of the unused server", || pids(&name).is_empty()).await;
    bench.text("mcp:odd/big", json!({})).await;
}

/// This test starts itself once more, as a process that is killed without warning.
#[test]
fn programs_end_when_the_process_is_killed() {
    const VICTIM: &str = "CONVOKE_TEST_VICTIM";
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    if let Ok(file) = std::env::var(VICTIM) {
        let bench = bench(&[("odd", odd(Path::new(&file)))], &["mcp:odd/*"]);
        runtime.block_on(bench.call("mcp:odd/hang", json!({}))).expect_err("it is killed before");
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("notes-victim");
    let mut victim = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "mcp_fault::programs_end_when_the_process_is_killed"])
        .env(VICTIM, &file)
        .stdout(Stdio::null())
        .spawn()
        .expect("a victim");
    let name = file.display().to_string();
    runtime.block_on(until("the call", || notes(&file).iter().any(|note| note["method"] == "tools/call")));
    assert!(!pids(&name).is_empty());
    victim.kill().expect("kill");
    victim.wait().expect("wait");
    runtime.block_on(until("the end of the program", || pids(&name).is_empty()));
}
