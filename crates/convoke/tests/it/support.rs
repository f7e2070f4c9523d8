//! Running the binary: to its end, or line by line while it works. Its environment holds nothing but what a test gives.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use tempfile::TempDir;

/// A folder of its own for one test: data, team, scripts.
pub struct Place {
    dir: TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub err: String,
}

fn ended(done: std::process::Output) -> Ended {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Ended { code: done.status.code().expect("a code"), out: text(done.stdout), err: text(done.stderr) }
}

impl Place {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a folder") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        std::fs::write(&path, text).expect("written");
        path
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_convoke"));
        command
            .env_clear()
            .env("HOME", self.dir.path())
            .env("CONVOKE_DATA", self.path("data"))
            .env("PATH", "/usr/bin:/bin");
        command.current_dir(self.dir.path()).args(args).stdin(Stdio::null());
        command
    }

    /// Runs to the end.
    pub fn run(&self, args: &[&str]) -> Ended {
        ended(self.command(args).output().expect("the binary runs"))
    }

    /// Runs to the end where nobody can write the data folder, root neither.
    pub fn sealed(&self, args: &[&str]) -> Ended {
        let (plain, data) = (self.command(args), self.path("data"));
        let mut command = Command::new("bwrap");
        command.args(["--dev-bind", "/", "/", "--ro-bind"]).arg(&data).arg(&data);
        command.arg(plain.get_program()).args(plain.get_args()).current_dir(self.dir.path()).stdin(Stdio::null());
        command.env_clear().envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        ended(command.output().expect("bwrap runs"))
    }

    /// Runs to a good end; gives what it wrote.
    pub fn done(&self, args: &[&str]) -> String {
        let ended = self.run(args);
        assert_eq!(ended.code, 0, "{args:?}: {}{}", ended.out, ended.err);
        ended.out
    }

    /// Runs to a good end; gives what it wrote as JSON.
    pub fn json(&self, args: &[&str]) -> serde_json::Value {
        let out = self.done(&[args, &["--json"]].concat());
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{args:?}: {error}: {out}"))
    }

    /// Starts; its lines are read one by one.
    pub fn start(&self, args: &[&str]) -> Working {
        let child = self.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("the binary starts");
        let lines = BufReader::new(child.stdout.take().expect("piped"));
        Working { child, lines, seen: String::new() }
    }

    /// The call as people see it, with folders and ids that differ replaced.
    pub fn told(&self, args: &[&str]) -> String {
        let ended = self.run(args);
        let mut text = format!("$ convoke {}\n", args.join(" "));
        for stream in [&ended.out, &ended.err] {
            stream.lines().for_each(|line| writeln!(text, "{line}").expect("a string"));
        }
        writeln!(text, "[exit {}]", ended.code).expect("a string");
        self.masked(&text)
    }

    pub fn masked(&self, text: &str) -> String {
        let text = text.replace(&self.dir.path().display().to_string(), "[DIR]");
        let text = without_ids(&text, "run_", "[RUN]");
        without_ids(&without_ids(&text, "task_", "[TASK]"), "appr_", "[APPROVAL]")
    }

    /// A team of a lead and one worker, and a script that plays it; `work` is the worker's part of the script.
    pub fn team(&self, work: &str) -> Vec<String> {
        self.write("team.yaml", TEAM);
        let script = self.team_script(work);
        let words = ["run", "team.yaml", "Look at the log", "--input", "input", "--model"];
        self.write("input/a.log", "line one\nERROR two\n");
        words.iter().map(|word| (*word).to_owned()).chain([format!("script/{}", script.display())]).collect()
    }

    /// The script alone.
    pub fn team_script(&self, work: &str) -> PathBuf {
        self.write("script.yaml", &format!("{LEAD}{work}"))
    }
}

/// The text with every id of a noun replaced.
fn without_ids(text: &str, prefix: &str, mask: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(&format!("{prefix}0")) {
        let (from, to) = (at + prefix.len(), (at + prefix.len() + 26).min(rest.len()));
        let is_id = to == from + 26 && rest[from..to].bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        out.push_str(&rest[..at]);
        out.push_str(if is_id { mask } else { prefix });
        rest = &rest[if is_id { to } else { from }..];
    }
    out + rest
}

/// A command that is under way.
pub struct Working {
    child: Child,
    lines: BufReader<ChildStdout>,
    seen: String,
}

impl Working {
    /// Reads until a line holds `words`.
    pub fn until(&mut self, words: &str) -> String {
        loop {
            let mut line = String::new();
            let read = self.lines.read_line(&mut line).expect("lines");
            self.seen.push_str(&line);
            if read == 0 {
                let mut err = String::new();
                self.child.stderr.take().map(|mut all| all.read_to_string(&mut err));
                panic!("it ended before `{words}`:\n{}{err}", self.seen);
            }
            if line.contains(words) {
                return line;
            }
        }
    }

    /// Sends it a signal, such as `INT`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Reads to the end.
    pub fn end(mut self) -> Ended {
        self.lines.read_to_string(&mut self.seen).expect("text");
        let mut err = String::new();
        self.child.stderr.take().expect("piped").read_to_string(&mut err).expect("text");
        let code = self.child.wait().expect("it ends").code();
        Ended { code: code.unwrap_or(-1), out: std::mem::take(&mut self.seen), err }
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        // It has ended already in a test that is right.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Words as `&str`.
pub fn strs(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

/// True if a path exists.
pub fn exists(path: &str) -> bool {
    Path::new(path).exists()
}

const TEAM: &str = "\
kind: profile
name: lead
role: coordinator
capacity: 4
prompt: You lead.
---
kind: profile
name: worker
capacity: 4
prompt: You work.
tools: [read_file, search_files, shell]
authority: {shell: true}
---
kind: team
name: pair
coordinator: lead
members:
  - {profile: worker}
";

const LEAD: &str = r#"
price: {input: 3.0, output: 15.0}
agents:
  lead:
    - when: {stage: plan}
      json:
        tasks:
          - {key: look, title: Look at it, instructions: Look, assignee: worker, depends_on: [], expected_output: Lines}
    - when: {stage: synthesis}
      text: "Together: {% for part in context.contributions %}{{ part.output }}{% endfor %}"
  worker:
"#;

/// The worker searches the log, then answers with what it found.
pub const WORKS: &str = r#"
    - when: {turn: 1}
      text: I search.
      tools:
        - {label: found, name: search_files, input: {path: input, pattern: ERROR}}
    - text: "Found {{ results.found.content | regex_find('ERROR.*') }}"
"#;

/// The worker searches the log, then takes a second and a half for its answer.
pub const SLOW: &str = r#"
    - when: {turn: 1}
      text: I search.
      tools:
        - {label: found, name: search_files, input: {path: input, pattern: ERROR}}
    - when: {turn: 2}
      text: I search once more.
      latency_ms: 1500
      tools:
        - {label: found, name: search_files, input: {path: input, pattern: ERROR}}
    - text: "Found {{ results.found.content | regex_find('ERROR.*') }}"
"#;

/// The worker searches the log and is not heard of again.
pub const HANGS: &str = r#"
    - when: {turn: 1}
      text: I search.
      tools:
        - {label: found, name: search_files, input: {path: input, pattern: ERROR}}
    - fault: hang
"#;

/// The worker runs a command that does not end, and answers with what it gave.
pub const ACTS: &str = r#"
    - when: {turn: 1}
      text: I act.
      tools:
        - {label: acted, name: shell, input: {command: sleep 600}}
    - text: "It says {{ results.acted.content }}"
"#;
