//! An effect that must not happen twice, and a process that dies while it happens: a person is asked, nothing is repeated.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use convoke_bench_mock::Mock;
use convoke_bench_mock::call::Call;
use convoke_bench_mock::options::Options;
use convoke_bench_mock::reply::Reply;
use serde_json::{Value, json};

use crate::support::{binary, processes_with};

const PATIENCE: Duration = Duration::from_secs(30);
/// Acts, and then takes long to say so.
const COMMAND: &str = "echo acted >> acts.txt; sleep 31337.25";
const TEAM: &str = "kind: profile\nname: lead\nrole: coordinator\nprompt: You lead.\n\
    ---\nkind: profile\nname: ops\nrole: specialist\nprompt: You act.\ntools: [shell]\nauthority: {shell: true}\n\
    ---\nkind: team\nname: acting\ncoordinator: lead\nmembers:\n  - {profile: ops}\nrules: {planning: same_task}\n";

fn reply(call: &Call<'_>) -> Reply {
    match call.offers("shell") && !call.has_tool_results() {
        true => Reply::ToolCalls(vec![("shell".to_owned(), json!({"command": COMMAND}))]),
        false => Reply::Text("It was done.".to_owned()),
    }
}

struct Place {
    home: tempfile::TempDir,
    mock: Mock,
}

impl Place {
    fn new() -> Self {
        let home = tempfile::tempdir().expect("a folder");
        std::fs::write(home.path().join("team.yaml"), TEAM).expect("written");
        Self { home, mock: Mock::start_with(Options::default(), reply).expect("a mock") }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(words).arg("--data").arg(self.data()).current_dir(self.home.path()).stdin(Stdio::null());
        command.env("OPENAI_BASE_URL", self.mock.base_url()).env("OPENAI_API_KEY", "a-key-for-tests");
        command
    }

    fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    fn start(&self) -> Child {
        let mut command = self.command(&["run", "team.yaml", "Act.", "--model", "openai/gpt-4.1-mini", "--quiet"]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts")
    }

    fn done(&self, words: &[&str]) -> Output {
        self.command(words).output().expect("it starts")
    }

    fn record(&self) -> Value {
        serde_json::from_slice(&self.done(&["show", "last", "--json"]).stdout).expect("JSON")
    }

    /// What the command has left in the folder of the attempt.
    fn acts(&self) -> Option<String> {
        find(&self.data().join("work"), "acts.txt").and_then(|file| std::fs::read_to_string(file).ok())
    }
}

fn find(dir: &Path, name: &str) -> Option<PathBuf> {
    let entries: Vec<_> = std::fs::read_dir(dir).ok()?.flatten().map(|entry| entry.path()).collect();
    let here = entries.iter().find(|path| path.file_name().is_some_and(|found| found == name)).cloned();
    here.or_else(|| entries.iter().filter(|path| path.is_dir()).find_map(|path| find(path, name)))
}

fn until(what: &str, fact: impl Fn() -> bool) {
    let start = Instant::now();
    while !fact() {
        assert!(start.elapsed() < PATIENCE, "{what}: it never came to that");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_command_that_was_under_way_at_a_kill_is_never_run_again_by_itself() {
    let place = Place::new();
    let mut process = place.start();
    until("the command acts", || place.acts().is_some_and(|text| text.contains("acted")));
    process.kill().expect("killed");
    process.wait().expect("gone");
    until("the command ends with the program", || processes_with("31337.25") == 0);

    let resumed = place.done(&["resume"]);
    let told = String::from_utf8_lossy(&resumed.stdout).into_owned() + &String::from_utf8_lossy(&resumed.stderr);
    assert_eq!(resumed.status.code(), Some(5), "a person is waited for: {told}");
    let record = place.record();
    assert_eq!((record["state"].as_str(), record["effects"][0]["state"].as_str()), (Some("waiting"), Some("unknown")));
    let key = record["effects"][0]["key"].as_str().expect("a key");
    assert!(told.contains(&format!("resolve {key} done|failed|retry")), "{told}");

    assert!(place.done(&["resolve", key, "done"]).status.success());
    let ended = place.done(&["resume"]);
    assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
    let record = place.record();
    assert_eq!((record["state"].as_str(), record["effects"][0]["state"].as_str()), (Some("completed"), Some("done")));
    assert_eq!(place.acts().as_deref(), Some("acted\n"), "once and no more");
    assert!(place.done(&["db", "verify"]).status.success());
}
