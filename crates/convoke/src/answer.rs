//! `convoke approve`, `reject` and `answer`: what a person says to what waits for them, here or through the process that works
//! on the data folder.

use std::io::Read;
use std::path::PathBuf;

use clap::Args;
use convoke_domain::approval::Choice;
use convoke_domain::id::{ApprovalId, MessageId, RunId, TaskId};
use serde_json::json;

use crate::args::Global;
use crate::control::{Done, Request};
use crate::error::{Exit, Failure, Result};
use crate::hold::{Carried, MAX_NOTE, carry_out};
use crate::hub::Hub;
use crate::place::Place;
use crate::{file, inbox, say};

/// The longest answer that is read, in bytes; the engine's own limit is lower and gives the error.
const MAX_ANSWER: u64 = 1 << 20;
/// What an id is called in help texts.
const ID: &str = "Its id as `convoke inbox` prints it, or at least 4 characters of the beginning or end";

#[derive(Debug, Args)]
pub struct ApproveArgs {
    #[arg(help = ID)]
    pub id: String,
    /// What there is to say about it
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub note: String,
}

#[derive(Debug, Args)]
pub struct RejectArgs {
    #[arg(help = ID)]
    pub id: String,
    /// Why; the agent is told
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub note: String,
}

#[derive(Debug, Args)]
pub struct AnswerArgs {
    #[arg(help = ID)]
    pub id: String,
    /// The answer: one of the options where there are any, JSON where a form is asked for; `-` reads it from the input stream
    #[arg(required_unless_present_any = ["file", "decline"])]
    pub text: Option<String>,
    /// Read the answer from a file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["text", "decline"])]
    pub file: Option<PathBuf>,
    /// Do not do it, for this reason
    #[arg(long, value_name = "WHY", conflicts_with = "text")]
    pub decline: Option<String>,
    /// Why this is the answer to a question; whoever asked is told, and the decision log keeps it
    #[arg(long, value_name = "WHY", conflicts_with = "decline")]
    pub rationale: Option<String>,
}

impl ApproveArgs {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        decide(global, &self.id, Choice::Approve, self.note).await
    }
}

impl RejectArgs {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        decide(global, &self.id, Choice::Reject, self.note).await
    }
}

async fn decide(global: &Global, part: &str, choice: Choice, note: String) -> Result<Exit> {
    if note.len() > MAX_NOTE {
        return Err(Failure::usage("note_too_long", format!("the note has more than {MAX_NOTE} bytes")));
    }
    let id = inbox::full_id(global, part).await?;
    let approval: ApprovalId = id.parse().map_err(|_| elsewhere(&id, "is no approval"))?;
    let request = Request::Decide { approval, choice, note, user: global.user.clone() };
    let carried = carry_out(global, request).await?;
    let words = match (carried.done.state.as_str(), carried.done.missing) {
        ("pending", missing) => format!("noted; {missing} more must approve"),
        (state, _) => format!("{state}; {}", goes_on(global, &carried)?),
    };
    told(global, &id, &carried, &words)
}

impl AnswerArgs {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        let id = inbox::full_id(global, &self.id).await?;
        let rationale = self.rationale.clone();
        let (text, is_decline) = self.said()?;
        let user = global.user.clone();
        let request = if let Ok(question) = id.parse::<MessageId>() {
            if is_decline {
                return Err(not_declined(global, &id).await);
            }
            Request::AnswerQuestion { question, choice: text, rationale, user }
        } else if rationale.is_some() {
            return Err(Failure::usage(
                "no_rationale",
                format!("`{id}` is no question; only an answer to one has a `--rationale`"),
            )
            .hint("write it into the answer"));
        } else if let Ok(task) = id.parse::<TaskId>() {
            Request::Answer { task, text, is_decline, user }
        } else if let Ok(run) = id.parse::<RunId>() {
            Request::Close { run, text, is_decline, user }
        } else {
            return Err(elsewhere(&id, "is not answered with a text"));
        };
        let closes = matches!(request, Request::Close { .. });
        let carried = carry_out(global, request).await?;
        let words = match (closes, is_decline) {
            (true, _) => "the run is closed".to_owned(),
            (false, true) => format!("declined; {}", goes_on(global, &carried)?),
            (false, false) => format!("answered; {}", goes_on(global, &carried)?),
        };
        told(global, &id, &carried, &words)
    }

    /// What was said, and whether it is a no.
    fn said(self) -> Result<(String, bool)> {
        if let Some(why) = self.decline {
            return Ok((why, true));
        }
        if let Some(path) = self.file {
            return Ok((file::read(&path, MAX_ANSWER)?, false));
        }
        match self.text.as_deref() {
            Some("-") => Ok((read_answer()?, false)),
            other => Ok((other.unwrap_or_default().to_owned(), false)),
        }
    }
}

/// A question is answered or runs out; whoever asked hears a reason with the answer.
async fn not_declined(global: &Global, id: &str) -> Failure {
    let failure = Failure::usage("not_declined", format!("`{id}` is a question, and has no `--decline`"));
    let entry = match Hub::reader(global).await {
        Ok(hub) => hub.engine.inbox(&hub.user).await.unwrap_or_default().into_iter().find(|entry| entry.id == id),
        Err(_) => None,
    };
    match entry.filter(|entry| !entry.options.is_empty()) {
        None => failure.hint(format!("say why not in the answer: `convoke answer {id} TEXT`")),
        Some(entry) => {
            let options: Vec<_> = entry.options.iter().map(|option| format!("`{option}`")).collect();
            let command = format!("convoke answer {id} OPTION --rationale WHY");
            failure.hint(format!("take one of its options ({}), and say why: `{command}`", options.join(", ")))
        }
    }
}

fn read_answer() -> Result<String> {
    let mut text = String::new();
    let read = std::io::stdin().lock().take(MAX_ANSWER + 1).read_to_string(&mut text);
    match read {
        Ok(_) if text.len() as u64 <= MAX_ANSWER => Ok(text.trim_end().to_owned()),
        Ok(_) => Err(Failure::usage("answer_too_long", format!("the answer has more than {MAX_ANSWER} bytes"))),
        Err(cause) => Err(Failure { exit: Exit::Usage, ..Failure::io("cannot read the input stream", &cause) }),
    }
}

/// An id of something that another command answers.
fn elsewhere(id: &str, what: &str) -> Failure {
    let command = match id.split('_').next().unwrap_or_default() {
        "appr" => format!("`convoke approve {id}`, or `convoke reject {id}`"),
        "task" | "msg" => format!("`convoke answer {id} TEXT`"),
        "run" if id.contains(':') => format!("`convoke resolve {id} done|failed|retry`"),
        _ => "`convoke inbox` lists what waits, with the command that answers it".to_owned(),
    };
    Failure::usage("bad_id", format!("`{id}` {what}")).hint(command)
}

/// Where the run goes on.
fn goes_on(global: &Global, carried: &Carried) -> Result<String> {
    let Some(run) = carried.done.run else { return Ok("noted".to_owned()) };
    if !carried.done.goes_on {
        return Ok(format!("run {run} has ended, so nothing follows from it"));
    }
    if carried.is_here {
        let place = Place::find(global.data.as_deref())?;
        return Ok(format!("the run goes on with: {}", place.command(&format!("resume {run}"))));
    }
    Ok(format!("run {run} goes on in the process that holds the data folder"))
}

fn told(global: &Global, id: &str, carried: &Carried, words: &str) -> Result<Exit> {
    let Done { run, state, missing, .. } = &carried.done;
    if global.json {
        say::json(&json!({"id": id, "state": state, "missing": missing, "run": run, "here": carried.is_here}))?;
    } else if !global.quiet {
        say::line(words)?;
    }
    Ok(Exit::Done)
}
