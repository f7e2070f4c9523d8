//! `convoke say`: a person says something to an agent, a person, or everybody in a run.

use clap::Args;
use convoke_domain::id::MessageId;
use convoke_domain::message::{BODY_BYTES, Kind, template};
use convoke_domain::task::Priority;
use convoke_engine::NewMessage;
use serde_json::json;

use crate::args::Global;
use crate::control::Request;
use crate::error::{Exit, Failure, Result};
use crate::hold::carry_out;
use crate::hub::Hub;
use crate::{outcome, say, which};

#[derive(Debug, Args)]
pub struct SayArgs {
    /// Who it is for: an agent, `user:NAME`, `role:ROLE`, several with commas, or `all` for everybody in the run or thread
    pub to: String,
    /// What you have to say; `-` reads it from the input stream
    pub text: String,
    /// The run in which it is said; agents are reached in a run
    #[arg(long, value_name = "RUN")]
    pub run: Option<String>,
    /// The thread to post in, by id or channel
    #[arg(long, value_name = "THREAD")]
    pub thread: Option<String>,
    /// note, finding, alert, question or request
    #[arg(long, value_name = "KIND", default_value = "note", value_parser = kind)]
    pub kind: Kind,
    /// The kind whose template is filled in with `--field`: note, finding, alert, question or request
    #[arg(long, value_name = "KIND", value_parser = kind, conflicts_with = "kind")]
    pub template: Option<Kind>,
    /// A field of the template; a wrong or missing one is refused with the names of all
    #[arg(long = "field", value_name = "NAME=TEXT", value_parser = field, requires = "template")]
    pub fields: Vec<(String, String)>,
    /// critical, high, normal or low
    #[arg(long, value_name = "PRIORITY", default_value = "normal", value_parser = priority)]
    pub priority: Priority,
    /// One line on what it is about
    #[arg(long, value_name = "TEXT")]
    pub subject: Option<String>,
    /// The message it replies to
    #[arg(long, value_name = "MESSAGE")]
    pub reply_to: Option<String>,
    /// Cut the model calls that recipients are making, so that they read it at once
    #[arg(long)]
    pub cancels: bool,
}

fn kind(text: &str) -> Result<Kind, String> {
    let known = Kind::parse(text).filter(|kind| kind.is_free() || kind.wants_answer());
    known.ok_or_else(|| "write note, finding, alert, question or request".to_owned())
}

/// Who is named; nobody where it is for all, which is said and never left out.
fn recipients(text: &str) -> Result<Vec<String>> {
    if text.trim() == "all" {
        return Ok(Vec::new());
    }
    let names: Vec<_> = text.split(',').map(|name| name.trim().to_owned()).collect();
    if names.iter().any(String::is_empty) {
        return Err(Failure::usage("no_recipient", "it is not said who the message is for: a name is empty")
            .hint("name an agent, `user:NAME`, or `all` for everybody: `convoke say all TEXT --run RUN`"));
    }
    Ok(names)
}

fn field(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(name, _)| !name.trim().is_empty());
    pair.map(|(name, value)| (name.trim().to_owned(), value.to_owned())).ok_or_else(|| "write NAME=TEXT".to_owned())
}

fn priority(text: &str) -> Result<Priority, String> {
    let known = Priority::ALL.into_iter().find(|priority| priority.as_str() == text);
    known.ok_or_else(|| "write critical, high, normal or low".to_owned())
}

impl SayArgs {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        let text = if self.text == "-" { crate::file::read_input(BODY_BYTES as u64)? } else { self.text };
        let text = match self.template {
            Some(kind) => template::fill(kind, &text, &self.fields.into_iter().collect())
                .map_err(convoke_engine::Error::Refused)?,
            None => text,
        };
        let reply_to = self.reply_to.as_deref().map(message_id).transpose()?;
        let to = recipients(&self.to)?;
        let hub = Hub::reader(global).await?;
        let run = match &self.run {
            Some(run) => Some(which::run(&hub.engine, run).await?),
            None => None,
        };
        let user = hub.user.clone();
        let is_late = match run {
            Some(run) => outcome::has_ended(&hub.engine.run_summary(run).await?),
            None => false,
        };
        drop(hub);
        let (kind, priority) = (self.template.unwrap_or(self.kind), self.priority);
        let (subject, thread, cancels) = (self.subject, self.thread, self.cancels);
        let message = NewMessage { to, thread, kind, priority, subject, body: text, reply_to, cancels, ask: None };
        carry_out(global, Request::Say { run, message: Box::new(message), user }).await?;
        if global.json {
            say::json(&json!({"to": self.to, "run": run, "kind": kind, "said": true}))?;
        } else if !global.quiet {
            let late = if is_late { "; the run has ended, so its agents read nothing any more" } else { "" };
            say::line(&format!("said to {}{late}", crate::text::line(&self.to)))?;
        }
        Ok(Exit::Done)
    }
}

/// A message's id as it is typed.
pub fn message_id(text: &str) -> Result<MessageId> {
    text.parse().map_err(|_| {
        Failure::usage("bad_message", format!("`{text}` is not the id of a message"))
            .hint("`convoke threads show THREAD` prints them")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_said_and_never_left_out() {
        assert!(recipients("all").is_ok_and(|names| names.is_empty()));
        assert!(recipients("a, user:b").is_ok_and(|names| names == ["a", "user:b"]));
        for text in ["", " ", ",", "a,", "a,,b"] {
            assert_eq!(recipients(text).expect_err("nobody").code, "no_recipient", "{text}");
        }
    }
}
