//! What a command that cannot go on tells: a code for programs, a sentence, what led to it, the next step, and the exit
//! code. Rule: every failure of the program is told here and nowhere else. Start at [`Failure`].

use std::fmt::Display;

use anstyle::{AnsiColor, Style};
use serde_json::json;

use crate::say;
use crate::text::plain;

/// The result of a command.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// It did what was asked.
    Done,
    /// It failed on the way.
    Failed,
    /// What was asked cannot be done as it was asked; nothing was changed.
    Usage,
    /// The budget is used up.
    Budget,
    /// The run was cancelled.
    Cancelled,
    /// A person is waited for.
    Person,
    /// Stopped by Ctrl-C.
    Interrupted,
    /// Stopped by SIGTERM or SIGHUP.
    Terminated,
}

impl Exit {
    /// The number that the shell sees.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Budget => 3,
            Self::Cancelled => 4,
            Self::Person => 5,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}

/// Why a command could not go on.
#[derive(Debug)]
pub struct Failure {
    /// Stable, in snake_case.
    pub code: String,
    /// One sentence that names the thing and the reason.
    pub message: String,
    /// What led to it, the nearest first.
    pub causes: Vec<String>,
    /// What to do next.
    pub hint: Option<String>,
    /// How the program ends.
    pub exit: Exit,
}

impl Failure {
    /// A failure on the way.
    pub fn new(code: &str, message: impl Display) -> Self {
        let (code, message) = (code.to_owned(), message.to_string());
        Self { code, message, causes: Vec::new(), hint: None, exit: Exit::Failed }
    }

    /// Something that cannot be done as it was asked.
    pub fn usage(code: &str, message: impl Display) -> Self {
        Self { exit: Exit::Usage, ..Self::new(code, message) }
    }

    /// A file or folder that could not be used.
    pub fn io(what: impl Display, cause: &std::io::Error) -> Self {
        Self::new("io", what).cause(cause)
    }

    /// Adds what led to it.
    #[must_use]
    pub fn cause(mut self, cause: impl Display) -> Self {
        self.causes.push(cause.to_string());
        self
    }

    /// Adds the next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Tells it on the error stream.
    pub fn tell(&self, as_json: bool) {
        let text = if as_json { self.to_json().to_string() + "\n" } else { self.to_text() };
        // Nobody is left to tell of a failure to tell.
        let _ = say::to_err(&text);
    }

    /// The form for programs.
    pub fn to_json(&self) -> serde_json::Value {
        let message = self.causes.iter().fold(self.message.clone(), |text, cause| format!("{text}: {cause}"));
        json!({"error": {"code": self.code, "message": message, "hint": self.hint}})
    }

    fn to_text(&self) -> String {
        let red = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
        let cyan = Style::new().bold().fg_color(Some(AnsiColor::Cyan.into()));
        let mut text = format!("{red}error:{red:#} {}\n", plain(&self.message));
        for cause in &self.causes {
            text.push_str(&format!("{red}cause:{red:#} {}\n", plain(cause)));
        }
        if let Some(hint) = &self.hint {
            text.push_str(&format!("\n{cyan}hint:{cyan:#} {}\n", plain(hint)));
        }
        text
    }
}

impl From<convoke_engine::Error> for Failure {
    fn from(error: convoke_engine::Error) -> Self {
        match error {
            convoke_engine::Error::Refused(refusal) => {
                let hint = refusal.hint.or_else(|| next_step(&refusal.code).map(str::to_owned));
                Self { hint, ..Self::new(&refusal.code, refusal.message) }
            }
            convoke_engine::Error::Store(error) => error.into(),
        }
    }
}

impl From<convoke_store::Error> for Failure {
    fn from(error: convoke_store::Error) -> Self {
        use convoke_store::Error as E;
        let code = error.code().to_owned();
        match error {
            E::Refused(refusal) => convoke_engine::Error::Refused(refusal).into(),
            E::Missing { noun, .. } => missing(noun, Self::usage(&code, &error)),
            E::InUse { .. } => Self::new(&code, &error).hint(
                "wait until it ends, or use another folder with `--data DIR`; `convoke runs`, `show`, `events`, `pause`, `resume` \
                 and `cancel` work meanwhile",
            ),
            E::ReadOnly { .. } => Self::new(&code, &error).hint(
                "name a folder of your own with `--data DIR` or the variable CONVOKE_DATA, or make this one writable; what is in it can \
                 be read: `convoke runs`, `show`, `events`, `teams`, `profiles`",
            ),
            E::Unavailable(why) if why.starts_with("the disk is full") => Self::new(&code, why).hint(
                "`convoke doctor` says where the data is and how much room is left; free some, or use a folder elsewhere with `--data DIR`",
            ),
            // The text of a defect already holds its source.
            E::Conflict(_) | E::LimitReached(_) | E::Unavailable(_) | E::Unknown(_) | E::Broken { .. } => {
                Self::new(&code, &error)
            }
        }
    }
}

/// What a person can do about a rule that names no next step, because agents read it as well.
fn next_step(code: &str) -> Option<&'static str> {
    Some(match code {
        "question_closed" => {
            "`convoke decisions` says what was decided; `convoke decisions override` replaces it while its run goes on"
        }
        "to_oneself" => "name somebody else, or `all` for everybody in a run",
        "foreign_thread" => "`convoke threads` lists those you can post in",
        "run_ended" => "start a new run with `convoke run`",
        "bad_search" => "write the words that a message must hold",
        "not_a_person" => "name a user with `--as NAME`",
        _ => return None,
    })
}

fn missing(noun: &str, failure: Failure) -> Failure {
    match noun {
        "team" => failure.hint("`convoke teams` lists them; a team file is given by its path, such as `./team.yaml`"),
        "profile" => failure.hint("`convoke profiles` lists them"),
        "run" => failure.hint("`convoke runs` lists them"),
        "approval" | "task" => failure.hint("`convoke inbox` lists what waits, with the command that answers it"),
        "user" => failure.hint("`convoke users` lists them"),
        "question" => failure.hint("`convoke inbox` lists those that wait for you, `convoke decisions` all of a run"),
        "message" => failure.hint("`convoke threads show THREAD` prints messages with their ids"),
        "thread" => failure.hint("`convoke threads` lists them"),
        "handoff" => failure.hint("`convoke handoffs` lists them"),
        "grant" => failure.hint("`convoke grants` lists them"),
        "agent" => failure.hint("`convoke agents` lists them"),
        "agent of this run" => failure.hint("`convoke show RUN` names its agents"),
        "decision" => failure.hint("`convoke decisions` lists them"),
        "effect" => failure.hint("`convoke show RUN` names the tool calls that wait for an answer"),
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_with_causes_and_the_next_step() {
        let failure = Failure::new("io", "cannot read a.yaml").cause("no such file").hint("look again");
        let text = anstream::adapter::strip_str(&failure.to_text()).to_string();
        assert_eq!(text, "error: cannot read a.yaml\ncause: no such file\n\nhint: look again\n");
        let json = r#"{"error":{"code":"io","message":"cannot read a.yaml: no such file","hint":"look again"}}"#;
        assert_eq!(failure.to_json().to_string(), json);
    }

    #[test]
    fn exit_codes_are_those_of_the_docs() {
        let all = [Exit::Done, Exit::Failed, Exit::Usage, Exit::Budget, Exit::Cancelled, Exit::Person];
        assert_eq!(all.map(Exit::code), [0, 1, 2, 3, 4, 5]);
    }
}
