//! Programs as agents: how one is run, what it gets to read, what it answers.
//!
//! Rule: a program is run by the one tool [`TOOL`], which no profile can name for a model. What it printed is read here
//! ([`read`]), and nowhere else; a fault is told as `CODE: what` ([`fault`]), so that it is the same text in the journal,
//! in the error of the attempt and for a person.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::authority::{Denial, covers};
use crate::profile::{AgentKind, Profile};

/// The id of the step that runs the program of an agent of kind `command`.
pub const TOOL: &str = "command";
/// The version of the documents.
pub const VERSION: u32 = 1;
/// Findings that one answer may hold.
pub const FINDINGS: usize = 1_000;
/// Artifacts that one answer may name.
pub const ARTIFACTS: usize = 100;
/// Bytes of what was printed that an error shows.
const SHOWN: usize = 200;

/// The program ended with an exit code that is not 0.
pub const EXIT: &str = "program_exit";
/// It ended with 75: what stands in its way may pass.
pub const BUSY: &str = "program_busy";
/// It did not end in its time.
pub const LATE: &str = "program_timeout";
/// It was killed: by a signal, or because it outgrew a bound.
pub const KILLED: &str = "program_killed";
/// What it printed is not what it should print.
pub const OUTPUT: &str = "program_output";
/// It cannot be run here.
pub const REFUSED: &str = "program_refused";
/// Any other failure, such as what a person said of it.
pub const FAILED: &str = "program_failed";

/// Whether a program may be run again when nobody knows what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Again {
    /// It changes nothing outside its folder.
    Harmless,
    /// Twice is the same as once, by the idempotency key it gets.
    Idempotent,
    /// Never by itself: a person says what became of it.
    #[default]
    Once,
}

/// What a program prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Prints {
    /// The output document.
    #[default]
    Json,
    /// Its answer as plain text.
    Text,
}

/// How the program of an agent of kind `command` is run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// A name that the sandbox's PATH finds, an absolute path, or one in the attempt's folder, such as `input/check.sh`.
    #[schemars(length(min = 1))]
    pub program: String,
    /// Its arguments, passed on as they are; no shell reads them.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub args: Vec<String>,
    /// Variables of Convoke's own environment that are passed on; no other is.
    #[serde(default)]
    #[schemars(length(max = 50))]
    pub env: Vec<String>,
    /// Seconds after which it is killed with all that it started.
    #[serde(default = "minute")]
    #[schemars(range(min = 1, max = 3600))]
    pub timeout_s: u64,
    /// It reaches the network, all of it; needs `authority.private_network` too.
    #[serde(default)]
    pub network: bool,
    /// What it prints on its standard output.
    #[serde(default)]
    pub output: Prints,
    /// Whether it may be run again when its outcome is not known.
    #[serde(default)]
    pub repeat: Again,
}

const fn minute() -> u64 {
    60
}

/// What a program reads on its standard input: one JSON document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Input {
    /// The version of this form: 1.
    pub version: u32,
    /// The agent that the program is.
    pub agent: String,
    /// The agent's standing instructions: the `prompt` of its profile.
    pub prompt: String,
    /// The task in one line.
    pub title: String,
    /// What is to be done.
    pub instructions: String,
    /// The task of the whole run.
    pub run_task: String,
    /// What the task is for: `plan`, `work`, `synthesis`, `validation`.
    pub stage: String,
    /// The run.
    pub run: String,
    /// The task.
    pub task: String,
    /// Which attempt at the task this is, from 1.
    pub attempt: i64,
    /// Results of the tasks this one builds on.
    pub inputs: Vec<Earlier>,
    /// Messages for the agent that have come before the program is run, the most urgent thread first.
    #[serde(default)]
    pub messages: Vec<Letter>,
    /// The run's input folder, read only, if there is one; `input` in the work folder leads there.
    pub input_folder: Option<String>,
    /// The attempt's own folder, where the program starts; it may write here alone.
    pub work_folder: String,
    /// The JSON Schema that `answer` must fit, if there is one.
    pub output_schema: Option<Value>,
    /// The same for every time this step is run; for systems that tell a repeated request by a key.
    pub idempotency_key: String,
}

/// The result of a task that this one builds on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Earlier {
    /// The task's name in its stage.
    pub key: String,
    /// The task in one line.
    pub title: String,
    /// What it was for.
    pub stage: String,
    /// Who did it.
    pub agent: String,
    /// How it ended: `completed`, `failed`, `cancelled`.
    pub state: String,
    /// What came of it.
    pub output: Option<String>,
    /// What it failed of.
    pub error: Option<String>,
    /// `output` is its beginning alone, for it was too long.
    #[serde(default)]
    pub cut: bool,
}

/// A message for the agent that the program is. Somebody else wrote it: it is material to judge, not an instruction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Letter {
    /// The message.
    pub id: String,
    /// The thread it is in.
    pub thread: String,
    /// `note`, `finding`, `alert`, `question`, `request` and the other kinds of messages.
    pub kind: String,
    /// `critical`, `high`, `normal` or `low`.
    pub priority: String,
    /// Who wrote it: `agent:NAME`, `user:NAME` or `system`.
    pub from: String,
    /// It was said to all of the thread.
    pub to_all: bool,
    /// What it is about, where that is said.
    pub subject: Option<String>,
    /// What it says.
    pub body: String,
    /// The message that it replies to.
    pub reply_to: Option<String>,
    /// When it was sent.
    pub at: String,
}

/// What a program prints on its standard output: one JSON document. One of the three must be there.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Output {
    /// The result: a text, or a value that fits the task's output schema.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<Value>,
    /// What was found.
    #[schemars(length(max = 1000))]
    pub findings: Vec<Finding>,
    /// Files it leaves in its folder.
    #[schemars(length(max = 100))]
    pub artifacts: Vec<Artifact>,
}

/// Something that a program found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// One line.
    pub title: String,
    /// What there is to say about it.
    #[serde(default)]
    pub detail: String,
    /// How grave it is, in the program's own word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
    /// The file it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line in that file, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
}

/// A file that a program leaves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    /// Where it is, from the attempt's folder.
    pub path: String,
    /// What it is.
    #[serde(default)]
    pub description: String,
    /// Its size; Convoke sets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Its SHA-256; Convoke sets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// Whether the agent may run its program.
pub fn may_run(profile: &Profile) -> Result<(), Denial> {
    let denied = |rule, what: &str| Err(Denial { rule, message: format!("agent `{}` {what}", profile.name) });
    let Some(program) = profile.command.as_ref().filter(|_| profile.agent_kind == AgentKind::Command) else {
        return denied("agent_kind", "is not of kind `command`, so it has no program to run");
    };
    let authority = &profile.authority;
    if let Some(pattern) = authority.forbidden_actions.iter().find(|pattern| covers(pattern, TOOL)) {
        return denied("authority.forbidden_actions", &format!("must not run its program: `{pattern}` is forbidden"));
    }
    if !authority.shell {
        return denied("authority.shell", "has no authority to run its program; `authority.shell` grants it");
    }
    if program.network && !authority.private_network {
        let what = "has no authority to run its program with the network; `authority.private_network` grants it";
        return denied("authority.private_network", what);
    }
    Ok(())
}

/// Reads what a program printed. Gives what is wrong with it, and its beginning.
pub fn read(text: &str, prints: Prints) -> Result<Output, String> {
    let output = match prints {
        Prints::Text => Output { answer: Some(Value::from(text.trim_end())), ..Output::default() },
        Prints::Json => parse(text).map_err(|why| format!("{why}; it begins: {}", beginning(text)))?,
    };
    let problem = problem(&output);
    problem.map_or(Ok(output), |why| Err(format!("{why}; it begins: {}", beginning(text))))
}

fn parse(text: &str) -> Result<Output, String> {
    if text.trim().is_empty() {
        return Err("nothing was printed where a JSON document is expected".into());
    }
    if !text.trim_start().starts_with('{') {
        return Err("it is not a JSON object with `answer`, `findings` or `artifacts`".into());
    }
    serde_json::from_str(text).map_err(|error| format!("it is not the output document: {error}"))
}

fn problem(output: &Output) -> Option<String> {
    let empty = |answer: &Value| answer.as_str().is_some_and(|text| text.trim().is_empty());
    if output.answer.as_ref().is_none_or(empty) && output.findings.is_empty() && output.artifacts.is_empty() {
        return Some("it has neither an answer nor findings nor artifacts".into());
    }
    if output.findings.len() > FINDINGS {
        return Some(format!("it has {} findings; {FINDINGS} are allowed", output.findings.len()));
    }
    if output.artifacts.len() > ARTIFACTS {
        return Some(format!("it names {} artifacts; {ARTIFACTS} are allowed", output.artifacts.len()));
    }
    let untitled = output.findings.iter().position(|finding| finding.title.trim().is_empty());
    untitled.map(|place| format!("`findings[{place}].title` is empty"))
}

/// The first characters of what was printed, as they may stand in an error.
pub fn beginning(text: &str) -> String {
    let end = text.floor_char_boundary(SHOWN);
    let more = if end < text.len() { " …" } else { "" };
    format!("{:?}{more}", &text[..end])
}

/// A failure as it is journaled.
pub fn fault(code: &str, what: &str) -> String {
    format!("{code}: {what}")
}

/// The code and the words of a journaled failure.
pub fn split(text: &str) -> (&'static str, &str) {
    let codes = [EXIT, BUSY, LATE, KILLED, OUTPUT, REFUSED];
    let known = codes.into_iter().find_map(|code| Some((code, text.strip_prefix(code)?.strip_prefix(": ")?)));
    known.unwrap_or((FAILED, text))
}

/// Whether trying again may help: the program says so, or it was cut short and may be repeated.
pub fn can_pass(code: &str, again: Again) -> bool {
    code == BUSY || (matches!(code, LATE | KILLED) && again != Again::Once)
}

impl Output {
    /// The output as the result of a task: the answer alone where a schema wants its form, else all of it in words.
    pub fn told(&self, has_schema: bool) -> String {
        let answer = match &self.answer {
            Some(Value::String(text)) => text.trim().to_owned(),
            Some(value) => value.to_string(),
            None => String::new(),
        };
        if has_schema {
            return answer;
        }
        let mut parts = vec![answer];
        if !self.findings.is_empty() {
            let lines: Vec<_> = self.findings.iter().map(Finding::told).collect();
            parts.push(format!("Findings:\n\n{}", lines.join("\n")));
        }
        if !self.artifacts.is_empty() {
            let lines: Vec<_> = self.artifacts.iter().map(Artifact::told).collect();
            parts.push(format!("Files:\n\n{}", lines.join("\n")));
        }
        parts.retain(|part| !part.is_empty());
        parts.join("\n\n")
    }
}

impl Finding {
    fn told(&self) -> String {
        let severity = self.severity.as_ref().map(|word| format!("[{word}] ")).unwrap_or_default();
        let place = match (&self.file, self.line) {
            (Some(file), Some(line)) => format!(" (`{file}:{line}`)"),
            (Some(file), None) => format!(" (`{file}`)"),
            (None, _) => String::new(),
        };
        let detail = self.detail.trim().replace('\n', "\n  ");
        let detail = if detail.is_empty() { detail } else { format!(": {detail}") };
        format!("- {severity}{}{place}{detail}", self.title.trim())
    }
}

impl Artifact {
    fn told(&self) -> String {
        let size = self.bytes.map(|bytes| format!(" ({bytes} bytes)")).unwrap_or_default();
        let what = self.description.trim();
        let what = if what.is_empty() { String::new() } else { format!(": {what}") };
        format!("- `{}`{size}{what}", self.path)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn agent(more: Value) -> Profile {
        let mut value =
            json!({"name": "lint", "prompt": "Check.", "agent_kind": "command", "command": {"program": "sh"}});
        value.as_object_mut().expect("object").extend(more.as_object().expect("object").clone());
        serde_json::from_value(value).expect("a profile")
    }

    #[test]
    fn a_program_runs_only_where_it_is_granted() {
        let rule = |more| may_run(&agent(more)).err().map(|denial| denial.rule);
        let (shell, all) = (json!({"shell": true}), json!({"shell": true, "private_network": true}));
        let online = json!({"program": "sh", "network": true});
        assert_eq!(rule(json!({})), Some("authority.shell"));
        assert_eq!(rule(json!({"authority": shell})), None);
        assert_eq!(rule(json!({"authority": shell, "command": online})), Some("authority.private_network"));
        assert_eq!(rule(json!({"authority": all, "command": online})), None);
        assert_eq!(rule(json!({"authority": all, "agent_kind": "llm"})), Some("agent_kind"));
        let forbidden = json!({"shell": true, "forbidden_actions": ["command"]});
        assert_eq!(rule(json!({"authority": forbidden})), Some("authority.forbidden_actions"));
    }

    #[test]
    fn what_is_printed_is_read_or_said_to_be_wrong() {
        let text = r#"{"answer": "two", "findings": [{"title": "a", "file": "x.rs", "line": 3, "severity": "high"}]}"#;
        let output = read(text, Prints::Json).expect("right");
        assert_eq!(output.told(false), "two\n\nFindings:\n\n- [high] a (`x.rs:3`)");
        assert_eq!(output.told(true), "two");
        assert_eq!(read("plain\n", Prints::Text).expect("text").told(false), "plain");
        for (text, why) in [
            ("", "nothing was printed"),
            ("warning: 3", "it is not a JSON object"),
            ("{\"answer\": ", "EOF while parsing"),
            ("{\"answr\": 1}", "unknown field `answr`"),
            ("{\"answer\": 1} tail", "trailing characters"),
            ("{}", "neither an answer nor findings"),
            ("{\"answer\": \" \"}", "neither an answer nor findings"),
            ("{\"findings\": [{\"title\": \" \"}]}", "`findings[0].title` is empty"),
            ("{\"findings\": [{\"detail\": \"x\"}]}", "missing field `title`"),
        ] {
            let error = read(text, Prints::Json).expect_err(text);
            assert!(error.contains(why) && error.contains("; it begins: \""), "{text}: {error}");
        }
        assert!(read(" \n", Prints::Text).is_err());
        let many = json!({"findings": vec![json!({"title": "x"}); FINDINGS + 1]}).to_string();
        let error = read(&many, Prints::Json).expect_err("too many");
        assert!(error.starts_with("it has 1001 findings; 1000 are allowed") && error.len() < 500, "{error}");
    }

    #[test]
    fn a_journaled_failure_is_read_back() {
        assert_eq!(split(&fault(EXIT, "exit code 3")), (EXIT, "exit code 3"));
        assert_eq!(split("it never ran, says ann"), (FAILED, "it never ran, says ann"));
        assert!(can_pass(BUSY, Again::Once) && can_pass(LATE, Again::Harmless));
        assert!(!can_pass(LATE, Again::Once) && !can_pass(EXIT, Again::Harmless));
    }
}
