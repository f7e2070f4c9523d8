//! MCP against servers that others wrote: npm's filesystem and everything (2025-11-25), PyPI's git and time (2026-07-28).

use std::path::PathBuf;
use std::time::Duration;

use convoke_connect::tool::{ToolLimits, Toolbox};
use convoke_domain::team::McpServer;
use convoke_port::tool::{Repeat, Tools};
use serde_json::json;

use crate::tool::Bench;

/// A program of the folder with `node_modules`.
pub fn node(program: &str) -> String {
    found("CONVOKE_TEST_NODE", &format!("node_modules/.bin/{program}"))
}

/// A program beside the Python of the virtual environment.
pub fn python(program: &str) -> String {
    let python = PathBuf::from(found("CONVOKE_TEST_PYTHON", ""));
    python.with_file_name(program).display().to_string()
}

fn found(variable: &str, below: &str) -> String {
    let Ok(base) = std::env::var(variable) else {
        panic!("{variable} is not set: `cargo xtask test` installs what this test needs and sets it");
    };
    let path = if below.is_empty() { PathBuf::from(base) } else { PathBuf::from(base).join(below) };
    assert!(path.exists(), "{} is missing: `cargo xtask test` installs it", path.display());
    path.display().to_string()
}

/// A server that is a program.
pub fn program(command: &str, args: &[&str]) -> McpServer {
    McpServer {
        command: Some(command.to_owned()),
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        env: Default::default(),
        url: None,
        headers: Default::default(),
        timeout_s: 30,
    }
}

/// A bench whose offers wait long enough for slow machines.
pub fn bench(servers: &[(&str, McpServer)], allowed: &[&str]) -> Bench {
    with(Toolbox::new(slow()), servers, allowed)
}

/// Long waits, short pauses.
pub fn slow() -> ToolLimits {
    let mut limits = ToolLimits::default();
    limits.mcp.offer_wait = Duration::from_secs(30);
    limits.mcp.call_wait = Duration::from_secs(30);
    limits.mcp.backoff = Duration::from_millis(50);
    limits
}

pub fn with(toolbox: Toolbox, servers: &[(&str, McpServer)], allowed: &[&str]) -> Bench {
    let mut bench = Bench::with(toolbox);
    bench.scope.mcp_servers = servers.iter().map(|(name, server)| ((*name).to_owned(), server.clone())).collect();
    bench.scope.allowed = allowed.iter().map(|id| (*id).to_owned()).collect();
    bench
}

#[tokio::test]
async fn filesystem_works_in_the_attempts_folder() {
    let bench = bench(&[("fs", program(&node("mcp-server-filesystem"), &["{workdir}"]))], &["mcp:fs/*"]);
    let (tools, notices) = bench.toolbox.offer(&bench.scope).await;
    assert!(notices.is_empty(), "{notices:?}");
    let repeat = |id: &str| tools.iter().find(|tool| tool.id == id).map(|tool| tool.repeat);
    assert_eq!(repeat("mcp:fs/read_text_file"), Some(Repeat::Harmless));
    assert_eq!(repeat("mcp:fs/write_file"), Some(Repeat::Idempotent));
    assert_eq!(repeat("mcp:fs/move_file"), Some(Repeat::Once));
    let path = bench.work().join("a.txt").display().to_string();
    bench.text("mcp:fs/write_file", json!({"path": path, "content": "by mcp"})).await;
    assert_eq!(bench.text("mcp:fs/read_text_file", json!({"path": path})).await, "by mcp");
    let output = bench.call("mcp:fs/read_text_file", json!({"path": "/etc/passwd"})).await.expect("an answer");
    assert!(output.is_error && output.content.contains("Access denied"), "{output:?}");
    assert_eq!(protocol(&bench, "fs").await, "2025-11-25");
}

#[tokio::test]
async fn everything_works_over_stdio() {
    let bench = bench(&[("all", program(&node("mcp-server-everything"), &["stdio"]))], &["mcp:all/*"]);
    everything(&bench).await;
}

#[tokio::test]
async fn everything_works_over_http() {
    let (_server, url) = http_everything().await;
    let bench = bench(&[("all", address(&url))], &["mcp:all/*"]);
    everything(&bench).await;
}

async fn everything(bench: &Bench) {
    let (tools, notices) = bench.toolbox.offer(&bench.scope).await;
    assert!(notices.is_empty(), "{notices:?}");
    let echo = tools.iter().find(|tool| tool.id == "mcp:all/echo").expect("echo");
    assert_eq!(echo.spec.name, "mcp_all_echo");
    assert_eq!(echo.spec.input_schema["required"], json!(["message"]));
    assert_eq!(bench.text("mcp:all/echo", json!({"message": "hi"})).await, "Echo: hi");
    assert_eq!(bench.text("mcp:all/get-sum", json!({"a": 2, "b": 3})).await, "The sum of 2 and 3 is 5.");
    let image = bench.text("mcp:all/get-tiny-image", json!({})).await;
    assert!(image.contains("[image left out: image/png, ") && image.len() < 500, "{image}");
    let structured = bench.text("mcp:all/get-structured-content", json!({"location": "Chicago"})).await;
    assert!(structured.contains("\"temperature\""), "{structured}");
    let links = bench.text("mcp:all/get-resource-links", json!({"count": 2})).await;
    assert!(links.contains("[resource "), "{links}");
    let output = bench.call("mcp:all/get-sum", json!({"a": "x"})).await.expect("an answer");
    assert!(output.is_error, "{output:?}");
    let output = bench.call("mcp:all/none", json!({})).await;
    assert!(output.is_ok_and(|output| output.is_error && output.content.contains("not found")));
    assert_eq!(protocol(bench, "all").await, "2025-11-25");
}

#[tokio::test]
async fn git_works_with_the_stateless_revision() {
    let bench = bench(&[("git", program(&python("mcp-server-git"), &[]))], &["mcp:git/git_log", "mcp:git/git_status"]);
    for args in [
        &["init", "-q"][..],
        &["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "first words"],
    ] {
        let done = std::process::Command::new("git").args(args).current_dir(bench.work()).status().expect("git");
        assert!(done.success());
    }
    let repository = bench.work().display().to_string();
    let log = bench.text("mcp:git/git_log", json!({"repo_path": repository})).await;
    assert!(log.contains("first words"), "{log}");
    assert_eq!(protocol(&bench, "git").await, "2026-07-28");
}

#[tokio::test]
async fn time_works_with_the_stateless_revision() {
    let bench = bench(&[("time", program(&python("mcp-server-time"), &[]))], &["mcp:time/*"]);
    let input = json!({"source_timezone": "Europe/London", "time": "12:00", "target_timezone": "Asia/Tokyo"});
    let text = bench.text("mcp:time/convert_time", input).await;
    assert!(text.contains("Asia/Tokyo"), "{text}");
    assert_eq!(protocol(&bench, "time").await, "2026-07-28");
}

#[tokio::test]
async fn a_list_of_allowed_tools_hides_the_others() {
    let server = program(&python("mcp-server-git"), &[]);
    let allowed = ["mcp:git/git_log", "mcp:git/no_such", "mcp:none/*"];
    let bench = bench(&[("git", server.clone()), ("unused", program("/does/not/exist", &[]))], &allowed);
    let (tools, notices) = bench.toolbox.offer(&bench.scope).await;
    assert_eq!(tools.iter().map(|tool| tool.id.as_str()).collect::<Vec<_>>(), ["mcp:git/git_log"]);
    assert_eq!(
        notices,
        [
            "MCP server `git` has no tool `mcp:git/no_such`",
            "MCP server `none` is not available: the team has no server of this name",
        ]
    );
    let why = bench.error("mcp:git/git_commit", json!({})).await;
    assert_eq!(why, "the tool `mcp:git/git_commit` is not among those this agent may use");
}

#[tokio::test]
async fn a_server_gets_no_more_of_our_environment_than_it_is_given() {
    let mut server = program(&node("mcp-server-everything"), &["stdio"]);
    server.env.insert("GIVEN".into(), "is ${SECRET}".into());
    let toolbox = Toolbox::new(slow()).with_variables(|name| (name == "SECRET").then(|| "a-secret-value".into()));
    let bench = with(toolbox, &[("all", server)], &["mcp:all/*"]);
    let text = bench.text("mcp:all/get-env", json!({})).await;
    let env: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(env["GIVEN"], "is a-secret-value");
    let given = ["GIVEN", "PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TMPDIR", "TZ"];
    let extra: Vec<_> =
        env.as_object().expect("object").keys().filter(|name| !given.contains(&name.as_str())).collect();
    assert!(extra.is_empty(), "{extra:?}");
}

/// The protocol revision that was agreed on.
async fn protocol(bench: &Bench, server: &str) -> String {
    let reports = bench.toolbox.servers(&bench.scope).await;
    let report = reports.into_iter().find(|report| report.name == server).expect("the server");
    report.protocol.unwrap_or_else(|| panic!("{:?}", report.trouble))
}

/// A server at an address.
pub fn address(url: &str) -> McpServer {
    McpServer { command: None, url: Some(url.to_owned()), ..program("", &[]) }
}

/// The `everything` server on a free port of loopback; killed when dropped.
pub async fn http_everything() -> (tokio::process::Child, String) {
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
    let server = tokio::process::Command::new(node("mcp-server-everything"))
        .arg("streamableHttp")
        .env("PORT", port.to_string())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("server");
    let started = std::time::Instant::now();
    while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        assert!(started.elapsed() < Duration::from_secs(60), "the server does not come up");
        tokio::task::yield_now().await;
    }
    (server, format!("http://127.0.0.1:{port}/mcp"))
}
