//! A folder with a team of one that acts, and the program at work in it, so that it can be killed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::binary;

const PATIENCE: Duration = Duration::from_secs(30);

/// The folder, and what stands in the environment of the program.
pub struct Place {
    home: tempfile::TempDir,
    env: Vec<(&'static str, String)>,
}

impl Place {
    /// A folder with this team.
    pub fn new(team: &str, env: Vec<(&'static str, String)>) -> Self {
        let home = tempfile::tempdir().expect("a folder");
        std::fs::write(home.path().join("team.yaml"), team).expect("written");
        Self { home, env }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(words).arg("--data").arg(self.data()).current_dir(self.home.path()).stdin(Stdio::null());
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// Starts a run of the team.
    pub fn start(&self, more: &[&str]) -> Child {
        let mut command = self.command(&[&["run", "team.yaml", "Act.", "--quiet"], more].concat());
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts")
    }

    /// Carries out a command to its end.
    pub fn done(&self, words: &[&str]) -> Output {
        self.command(words).output().expect("it starts")
    }

    /// The run.
    pub fn record(&self) -> Value {
        serde_json::from_slice(&self.done(&["show", "last", "--json"]).stdout).expect("JSON")
    }

    /// How often the agent acted, as it wrote down in the folder of its attempt.
    pub fn acts(&self) -> usize {
        let lines = |file: PathBuf| std::fs::read_to_string(file).map_or(0, |text| text.lines().count());
        find(&self.data().join("work"), "acts.txt").map_or(0, lines)
    }
}

fn find(dir: &Path, name: &str) -> Option<PathBuf> {
    let entries: Vec<_> = std::fs::read_dir(dir).ok()?.flatten().map(|entry| entry.path()).collect();
    let here = entries.iter().find(|path| path.file_name().is_some_and(|found| found == name)).cloned();
    here.or_else(|| entries.iter().filter(|path| path.is_dir()).find_map(|path| find(path, name)))
}

/// Waits for a fact outside of this process.
pub fn until(what: &str, fact: impl Fn() -> bool) {
    let start = Instant::now();
    while !fact() {
        assert!(start.elapsed() < PATIENCE, "{what}: it never came to that");
        std::thread::sleep(Duration::from_millis(2));
    }
}
