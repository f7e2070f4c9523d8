//! A folder in which the program is killed at chance: its processes, what they did, and what a person does in between.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use crate::support::binary;

/// The lease of tasks on PostgreSQL, in seconds: whoever goes on waits until that of the dead process has run out.
const LEASE_S: &str = "2";

/// A data folder, and chances.
pub struct Doomed {
    home: tempfile::TempDir,
    /// The PostgreSQL database that keeps the data, if it is not in the folder.
    database: Option<String>,
    /// Where all chances of a round come from.
    pub chance: fastrand::Rng,
    /// How many processes were killed.
    pub kills: usize,
}

impl Doomed {
    /// A folder with a team and a script.
    pub fn new(seed: u64, team: &str, script: &str) -> Self {
        let home = tempfile::tempdir().expect("a folder");
        std::fs::write(home.path().join("team.yaml"), team).expect("written");
        std::fs::write(home.path().join("script.yaml"), script).expect("written");
        Self { home, database: None, chance: fastrand::Rng::with_seed(seed), kills: 0 }
    }

    /// The same with its data on a server.
    pub fn on(mut self, database: Option<String>) -> Self {
        self.database = database;
        self
    }

    /// A command that is ready to start.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(words).arg("--data").arg(self.data()).current_dir(self.home.path());
        if let Some(url) = &self.database {
            command.arg("--database").arg(url).env("CONVOKE_LEASE_S", LEASE_S);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// Runs a command that is killed within `life` milliseconds, or may end.
    pub fn kill_within(&mut self, words: &[&str], life: u64) {
        let mut child = self.command(words).spawn().expect("it starts");
        if self.chance.u8(..6) == 0 {
            let _ = child.wait();
            return;
        }
        // Chance decides where it dies; nothing is waited for.
        sleep(Duration::from_millis(self.chance.u64(..life)));
        self.kills += usize::from(child.try_wait().is_ok_and(|ended| ended.is_none()));
        let _ = child.kill();
        let _ = child.wait();
    }

    /// What a command says to programs; nothing if it fails.
    pub fn json(&self, words: &[&str]) -> Option<Value> {
        let output = self.command(&[words, &["--json"]].concat()).stdout(Stdio::piped()).output().expect("it starts");
        serde_json::from_slice(&output.stdout).ok()
    }

    /// What a command says to people.
    pub fn text(&self, words: &[&str]) -> String {
        let output = self.command(words).stdout(Stdio::piped()).output().expect("it starts");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The words that commands have left behind in `acts.txt`, in alphabetical order.
    pub fn acts(&self) -> Vec<String> {
        let mut texts = Vec::new();
        collect(&self.data().join("work"), &mut texts);
        let mut words: Vec<_> = texts.iter().flat_map(|text| text.lines()).map(str::to_owned).collect();
        words.sort();
        words
    }

    /// A person looks whether the call of this key was carried out, and says so, by name if `by` gives one.
    pub fn resolve(&mut self, key: &str, by: &[&str], life: u64) {
        let record = self.json(&[&["show", "last"], by].concat()).expect("a record");
        let command = command_of(&record, key).unwrap_or_else(|| panic!("no step {key} in {record:#}"));
        let word = command.split_whitespace().nth(1).expect("echo WORD >> acts.txt").to_owned();
        let said = if self.acts().contains(&word) { "done" } else { "retry" };
        self.kill_within(&[&["resolve", key, said], by].concat(), life);
    }
}

impl Drop for Doomed {
    fn drop(&mut self) {
        // For whoever looks into a failure.
        if std::thread::panicking() {
            self.home.disable_cleanup(true);
            println!("kept in {}", self.home.path().display());
        }
    }
}

/// The shell command of a step, by the key of its effect: run, task, attempt, number.
fn command_of(record: &Value, key: &str) -> Option<String> {
    let mut parts = key.split(':');
    let (task, attempt, n) = (parts.nth(1)?, parts.next()?, parts.next()?);
    let find = |list: &Value, name: &str, wanted: &str| {
        let is_it = |one: &&Value| one[name].as_str().map_or_else(|| one[name].to_string(), str::to_owned) == wanted;
        list.as_array().and_then(|all| all.iter().find(is_it)).cloned()
    };
    let attempts = find(&record["tasks"], "id", task)?;
    let steps = find(&attempts["attempts"], "n", attempt)?;
    find(&steps["steps"], "n", n)?["input"]["command"].as_str().map(str::to_owned)
}

fn collect(dir: &Path, into: &mut Vec<String>) {
    for path in std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            collect(&path, into);
        } else if path.file_name().is_some_and(|name| name == "acts.txt") {
            into.extend(std::fs::read_to_string(&path));
        }
    }
}
