//! Programs of agents in the sandboxes: what goes in, what comes back, and every way in which one ends badly.

use std::time::{Duration, Instant};

use convoke_connect::tool::{SandboxChoice, ToolLimits, Toolbox};
use convoke_domain::program::{Output, Program, TOOL};
use convoke_port::tool::{ToolError, ToolOutput, Tools};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::tool::Bench;

const BOTH: [SandboxChoice; 2] = [SandboxChoice::Bubblewrap, SandboxChoice::Landlock];

fn bench(choice: SandboxChoice) -> Bench {
    let mut limits = ToolLimits::default();
    limits.program.output_bytes = 20_000;
    let mut bench = Bench::with(Toolbox::new(limits).with_sandbox(choice));
    (bench.scope.shell, bench.scope.allowed) = (true, Vec::new());
    bench
}

fn program(more: Value) -> Program {
    let mut value = json!({"program": "sh"});
    value.as_object_mut().expect("object").extend(more.as_object().expect("object").clone());
    serde_json::from_value(value).expect("a program")
}

/// Runs a script of `sh`.
async fn run(bench: &mut Bench, script: &str, more: Value) -> Result<ToolOutput, ToolError> {
    bench.scope.program = Some(Program { args: vec!["-c".into(), script.into()], ..program(more) });
    bench.call(TOOL, json!({"document": {"title": "Check", "idempotency_key": ""}})).await
}

async fn ends(bench: &mut Bench, script: &str, more: Value) -> Output {
    let output = run(bench, script, more).await.unwrap_or_else(|error| panic!("{script}: {error:?}"));
    assert!(!output.is_error, "{script}: {}", output.content);
    serde_json::from_str(&output.content).expect("an output")
}

async fn fails(bench: &mut Bench, script: &str, more: Value) -> String {
    match run(bench, script, more).await {
        Ok(output) if output.is_error => output.content,
        Err(ToolError::Refused(why)) => why,
        other => panic!("{script}: {other:?}"),
    }
}

/// Processes of this machine whose command line holds the text.
fn running(text: &str) -> usize {
    let list = std::fs::read_dir("/proc").expect("/proc").flatten();
    let lines = list.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).replace('\0', " ").contains(text)).count()
}

#[tokio::test]
async fn the_document_goes_in_and_the_answer_comes_back() {
    for choice in BOTH {
        let mut bench = bench(choice);
        bench.put("input/a.txt", "one\ntwo\n");
        let script = "cat > got.json; wc -l < input/a.txt > count.txt; printf '%s' \
            '{\"answer\": {\"lines\": 2}, \"findings\": [{\"title\": \"short\", \"file\": \"a.txt\", \"line\": 2}], \
            \"artifacts\": [{\"path\": \"count.txt\", \"description\": \"lines\"}]}'";
        let output = ends(&mut bench, script, json!({})).await;
        assert_eq!((output.answer, output.findings.len()), (Some(json!({"lines": 2})), 1));
        let file = &output.artifacts[0];
        assert_eq!((file.path.as_str(), file.bytes), ("count.txt", Some(2)));
        let two = "53c234e5e8472b6ac51c1ae1cab3fe06fad053beb8ebfd8977b010655bfdd3c3";
        assert_eq!(file.sha256.as_deref(), Some(two), "SHA-256 of `2` and a line's end");
        let got: Value =
            serde_json::from_slice(&std::fs::read(bench.work().join("got.json")).expect("got")).expect("JSON");
        assert_eq!((&got["title"], &got["idempotency_key"]), (&json!("Check"), &json!(bench.key)));
        assert_eq!(got["work_folder"], json!(bench.work()));
        assert_eq!(got["input_folder"], json!(bench.scope.input));
        let full =
            format!("echo x > \"$HOME/x\"; echo '{{\"artifacts\": [{{\"path\": \"{}/x\"}}]}}'", bench.work().display());
        assert_eq!(ends(&mut bench, &full, json!({})).await.artifacts[0].path, "x");
    }
}

#[tokio::test]
async fn plain_text_is_an_answer_where_it_is_asked_for() {
    let mut bench = bench(SandboxChoice::Auto);
    let text = json!({"output": "text"});
    assert_eq!(
        ends(&mut bench, "echo all is well; echo aside >&2", text.clone()).await.answer,
        Some("all is well".into())
    );
    let long = ends(&mut bench, "echo first; yes | head -c 5000000; echo last", text.clone()).await;
    let answer = long.answer.as_ref().and_then(Value::as_str).expect("text");
    assert!(answer.starts_with("first") && answer.ends_with("last") && answer.len() < 21_000, "{}", answer.len());
    assert!(answer.contains("[… 4980011 bytes left out …]"), "{}", &answer[9_900..10_200]);
    let why = fails(&mut bench, "true", text).await;
    assert!(why.starts_with("program_output: it has neither an answer"), "{why}");
}

#[tokio::test]
async fn what_is_wrong_with_the_output_is_said() {
    let mut bench = bench(SandboxChoice::Auto);
    bench.put("input/a.txt", "a");
    bench.put("secret.txt", "s");
    let artifact = |path: &str| {
        format!("ln -s ../secret.txt out; mkfifo pipe; echo '{{\"artifacts\": [{{\"path\": \"{path}\"}}]}}'")
    };
    for (script, why) in [
        (
            "echo '3 warnings'".to_owned(),
            "it is not a JSON object with `answer`, `findings` or `artifacts`; it begins: \"3 warnings\\n\"",
        ),
        ("echo '{\"answer\": '".to_owned(), "it is not the output document: EOF while parsing"),
        (
            "echo '{\"finding\": []}'".to_owned(),
            "unknown field `finding`, expected one of `answer`, `findings`, `artifacts`",
        ),
        ("true".to_owned(), "nothing was printed where a JSON document is expected"),
        (
            "echo '{\"answer\": \"'; yes | head -c 5000000".to_owned(),
            "5000013 bytes were printed and 20000 are allowed; it begins: \"{",
        ),
        (artifact("../secret.txt"), "`artifacts[0].path`: `../secret.txt` may not contain `..`"),
        (artifact("/etc/passwd"), "`artifacts[0].path`: `/etc/passwd` must be relative"),
        (artifact("out"), "`artifacts[0].path`: `out` leads outside its folder by a link"),
        (artifact("pipe"), "`artifacts[0].path`: `pipe` is neither a file nor a folder"),
        (artifact("gone"), "`artifacts[0].path`: `gone` does not exist"),
        (artifact("input/a.txt"), "`artifacts[0].path`: `input/a.txt` lies in the input folder"),
        (artifact(".convoke/tmp"), "lies in `.convoke`, which Convoke keeps for itself"),
    ] {
        let told = fails(&mut bench, &format!("rm -f out pipe; {script}"), json!({})).await;
        assert!(told.starts_with("program_output: ") && told.contains(why), "{script}: {told}");
        assert!(told.len() < 700, "{script}: {told}");
    }
}

#[tokio::test]
async fn the_end_of_a_program_has_a_code_and_its_last_words() {
    for choice in BOTH {
        let mut bench = bench(choice);
        let told = fails(&mut bench, "echo no rules found >&2; exit 3", json!({})).await;
        assert!(told.starts_with("program_exit: exit code 3 after "), "{choice:?} {told}");
        assert!(told.ends_with("; standard error ends: no rules found"), "{told}");
        let told = fails(&mut bench, "yes error | head -c 100000 >&2; echo the last >&2; exit 1", json!({})).await;
        assert!(told.ends_with("the last") && told.len() < 2_500 && told.contains("bytes left out"), "{told}");
        let told = fails(&mut bench, "exit 75", json!({})).await;
        assert!(told.starts_with("program_busy: exit code 75 (try later)"), "{told}");
        // Under a sandbox with a process of its own, a signal shows as an exit code.
        let told = fails(&mut bench, "kill -9 $$", json!({})).await;
        assert!(told.contains("killed by signal 9") || told.contains("exit code 137"), "{choice:?} {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_program_is_killed_with_all_it_started() {
    for choice in BOTH {
        let mut bench = bench(choice);
        let started = Instant::now();
        let script = "trap '' TERM; sleep 71.25 & (setsid sleep 71.25 &); echo begun >&2; wait";
        let told = fails(&mut bench, script, json!({"timeout_s": 1})).await;
        assert!(told.starts_with("program_timeout: killed by `command.timeout_s` after 1."), "{choice:?} {told}");
        assert!(told.contains("begun") && started.elapsed() < Duration::from_secs(10), "{told}");
        let wait = Instant::now();
        while running("sleep 71.25") > 0 {
            assert!(wait.elapsed() < Duration::from_secs(5), "{choice:?}: the group lives on");
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_kills_all_of_it() {
    for choice in BOTH {
        let mut bench = bench(choice);
        let script = "sleep 72.5 & touch begun; sleep 72.5";
        bench.scope.program = Some(Program { args: vec!["-c".into(), script.into()], ..program(json!({})) });
        let (cancel, begun) = (CancellationToken::new(), bench.work().join("begun"));
        let request = bench.request(TOOL, json!({"document": {}}));
        let stop = async {
            while !begun.exists() {
                tokio::task::yield_now().await;
            }
            cancel.cancel();
        };
        let (result, ()) = tokio::join!(bench.toolbox.call(&bench.scope, &request, &cancel), stop);
        assert!(matches!(result, Err(ToolError::Cancelled)), "{choice:?} {result:?}");
        let wait = Instant::now();
        while running("sleep 72.5") > 0 {
            assert!(wait.elapsed() < Duration::from_secs(5), "{choice:?}: the group lives on");
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn the_environment_is_not_passed_on() {
    // Cargo sets these; no variable of this process is changed by the test.
    let passed = std::env::var("CARGO_PKG_NAME").expect("a test of cargo");
    for choice in BOTH {
        let mut bench = bench(choice);
        let names =
            json!({"output": "text", "env": ["CARGO_PKG_NAME", "NOT_THERE", "LD_PRELOAD", "CONVOKE_TEST_PG", "HOME"]});
        let output = ends(&mut bench, "env", names).await;
        let text = output.answer.as_ref().and_then(Value::as_str).expect("text");
        let mut found: Vec<_> = text.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
        found.sort_unstable();
        found.retain(|name| !matches!(*name, "SHLVL" | "_" | "OLDPWD"));
        assert_eq!(found, ["CARGO_PKG_NAME", "HOME", "LANG", "PATH", "PWD", "TERM", "TMPDIR"], "{choice:?}");
        let has = |line: String| text.lines().any(|found| found == line);
        assert!(has(format!("CARGO_PKG_NAME={passed}")) && has(format!("HOME={}", bench.work().display())), "{text}");
        let none = ends(&mut bench, "env", json!({"output": "text"})).await;
        assert!(!none.answer.as_ref().and_then(Value::as_str).expect("text").contains("CARGO"), "{choice:?}");
    }
}

#[tokio::test]
async fn the_network_is_there_only_where_it_is_granted() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("listen");
    let port = listener.local_addr().expect("address").port();
    let folder = tempfile::tempdir().expect("folder");
    let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).expect("socket");
    let connect = format!("exec 3<>/dev/tcp/127.0.0.1/{port} && echo reached");
    for choice in BOTH {
        let mut bench = bench(choice);
        let bash = |script: &str, network| {
            let value = json!({"program": "bash", "args": ["-c", script], "output": "text", "network": network});
            serde_json::from_value::<Program>(value).expect("a program")
        };
        let document = json!({"document": {}});
        bench.scope.program = Some(bash(&connect, false));
        assert!(bench.call(TOOL, document.clone()).await.expect("an end").is_error, "{choice:?}");
        bench.scope.program = Some(bash(&connect, true));
        let why = bench.error(TOOL, document.clone()).await;
        assert_eq!(why, "program_refused: the agent has no authority to run its program");
        bench.scope.private_network = true;
        let output = bench.call(TOOL, document.clone()).await.expect("an end");
        assert!(!output.is_error && output.content.contains("reached"), "{choice:?} {output:?}");
        let unix = format!(
            "perl -MSocket -e 'socket(my $s, PF_UNIX, SOCK_STREAM, 0) or die $!; connect($s, pack_sockaddr_un($ARGV[0])) or die $!; print 1' {}",
            folder.path().join("socket").display()
        );
        bench.scope.program = Some(bash(&unix, true));
        let output = bench.call(TOOL, document).await.expect("an end");
        assert!(output.is_error && output.content.contains("program_exit"), "{choice:?} {output:?}");
    }
}

#[tokio::test]
async fn a_program_is_found_or_refused() {
    use std::os::unix::fs::PermissionsExt;
    for choice in BOTH {
        let mut bench = bench(choice);
        for path in ["input/check.sh", "tools/check.sh", "tools/plain.sh"] {
            bench.put(path, "#!/bin/sh\ncat \"$(dirname \"$0\")/plain.sh\" 2>/dev/null && exit 9\necho '{\"answer\": \"checked\"}'\n");
            let mode = if path.contains("plain") { 0o644 } else { 0o755 };
            std::fs::set_permissions(bench.folder.path().join(path), PermissionsExt::from_mode(mode)).expect("mode");
        }
        let outside = bench.folder.path().join("tools/check.sh").display().to_string();
        let mut call = async |name: &str| {
            bench.scope.program = Some(program(json!({"program": name})));
            bench.call(TOOL, json!({"document": {}})).await
        };
        let output = call("input/check.sh").await.expect("it runs");
        assert!(output.content.contains("checked"), "{choice:?} {output:?}");
        let output = call(&outside).await.expect("it runs");
        assert!(output.content.contains("{\"answer\":\"checked\""), "{choice:?}: it alone is shown: {output:?}");
        for (name, why) in [
            ("no-such-linter", "program_refused: there is no program `no-such-linter` in /usr/local/sbin:"),
            ("input/gone.sh", "program_refused: the program `input/gone.sh` does not exist"),
            ("../tools/check.sh", "program_refused: the program `../tools/check.sh` may not contain `..`"),
            ("/etc/passwd", "program_refused: `/etc/passwd` is not a file that may be run"),
        ] {
            let error = call(name).await.expect_err(name);
            assert!(matches!(&error, ToolError::Refused(text) if text.starts_with(why)), "{name}: {error:?}");
        }
        let plain = outside.replace("check.sh", "plain.sh");
        assert!(matches!(call(&plain).await, Err(ToolError::Refused(_))));
    }
}

#[tokio::test]
async fn without_the_right_or_a_sandbox_nothing_runs() {
    let mut bench = bench(SandboxChoice::Auto);
    bench.scope.shell = false;
    assert_eq!(
        fails(&mut bench, "true", json!({})).await,
        "program_refused: the agent has no authority to run its program"
    );
    bench.scope = convoke_port::tool::ToolScope { shell: true, ..bench.scope };
    bench.scope.program = None;
    let why = bench.error(TOOL, json!({"document": {}})).await;
    assert_eq!(why, "the tool `command` is not among those this agent may use");
    bench.scope.allowed = vec![TOOL.into(), "shell".into()];
    assert_eq!(bench.error(TOOL, json!({"document": {}})).await, "there is no tool `command`");
}
