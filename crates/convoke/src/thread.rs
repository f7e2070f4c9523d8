//! `convoke threads`: conversations, listed, shown, searched, closed, put away and exported.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use convoke_domain::id::ThreadId;
use convoke_domain::record::{MessageRecord, ThreadRecord};
use convoke_domain::thread::Status;
use convoke_domain::time::Timestamp;
use convoke_engine::{Reader, ThreadFilter};
use serde_json::json;

use crate::args::Global;
use crate::control::Request;
use crate::error::{Exit, Failure, Result};
use crate::hold::carry_out;
use crate::hub::Hub;
use crate::runs::room;
use crate::text::{self, Side, Table};
use crate::{say, which};

#[derive(Debug, Args)]
pub struct ThreadsArgs {
    /// Read private threads as well, on behalf of the audit: for owners, and put on record
    #[arg(long, global = true)]
    pub audit: bool,
    #[command(subcommand)]
    pub action: Option<Action>,
}

#[derive(Debug, Subcommand)]
pub enum Action {
    /// List threads, the newest first
    List(ListArgs),
    /// Show a thread's messages and how far each has come
    Show {
        /// The thread's id
        thread: String,
        /// Only messages after this number
        #[arg(long, value_name = "N", default_value_t = 0)]
        after: i64,
        /// How many
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=1_000))]
        limit: i64,
    },
    /// Close a thread: nothing is posted to it any more
    Close {
        /// The thread's id
        thread: String,
    },
    /// Let a closed thread go on
    Reopen {
        /// The thread's id
        thread: String,
    },
    /// Print all of a thread as Markdown, or with --json as JSON, archived or not
    Export {
        /// The thread's id
        thread: String,
    },
    /// Find messages that hold all of these words
    Search {
        /// The words, in any order and case; what stands in double quotes stays together
        words: String,
        /// Only messages of this run
        #[arg(long, value_name = "RUN")]
        run: Option<String>,
        /// How many
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(i64).range(1..=1_000))]
        limit: i64,
    },
    /// Put away threads in which nothing was said for so many days; a summary is kept
    Archive {
        /// Days
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(0..=36_500))]
        older_than: u32,
        /// How many at most
        #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(i64).range(1..=100_000))]
        limit: i64,
    },
}

#[derive(Debug, Args, Default)]
pub struct ListArgs {
    /// Only threads with this participant: an agent's name, or `user:NAME`
    #[arg(long, value_name = "NAME")]
    pub agent: Option<String>,
    /// Only threads of this run
    #[arg(long, value_name = "RUN")]
    pub run: Option<String>,
    /// Only threads of this task
    #[arg(long, value_name = "TASK")]
    pub task: Option<String>,
    /// Only threads that are open, closed or archived
    #[arg(long, value_name = "STATUS", value_parser = status)]
    pub status: Option<Status>,
    /// Only threads opened before this one
    #[arg(long, value_name = "THREAD")]
    pub before: Option<String>,
    /// How many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..=1_000))]
    pub limit: Option<i64>,
}

fn status(text: &str) -> Result<Status, String> {
    Status::parse(text).ok_or_else(|| "write open, closed or archived".to_owned())
}

impl ThreadsArgs {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        let audit = self.audit;
        match self.action.unwrap_or_else(|| Action::List(ListArgs::default())) {
            Action::List(asked) => asked.act(global, audit).await,
            Action::Show { thread, after, limit } => show(global, audit, thread_id(&thread)?, (after, limit)).await,
            Action::Close { thread } => turn(global, thread_id(&thread)?, false).await,
            Action::Reopen { thread } => turn(global, thread_id(&thread)?, true).await,
            Action::Export { thread } => export(global, audit, thread_id(&thread)?).await,
            Action::Search { words, run, limit } => search(global, audit, (&words, run.as_deref()), limit).await,
            Action::Archive { older_than, limit } => archive(global, older_than, limit).await,
        }
    }
}

fn thread_id(text: &str) -> Result<ThreadId> {
    text.parse().map_err(|_| {
        Failure::usage("bad_thread", format!("`{text}` is not the id of a thread")).hint("`convoke threads` lists them")
    })
}

/// Opens for reading, as the user or, put on record first, as the audit.
pub async fn reader(global: &Global, audit: bool, what: &str) -> Result<(Hub, Reader)> {
    if audit {
        let (what, user) = (what.to_owned(), global.user.clone());
        carry_out(global, Request::Audit { what, user }).await?;
    }
    let hub = Hub::reader(global).await?;
    let user = hub.user.clone();
    Ok((hub, if audit { Reader::Audit(user) } else { Reader::User(user) }))
}

impl ListArgs {
    async fn act(self, global: &Global, audit: bool) -> Result<Exit> {
        let (hub, reader) = reader(global, audit, "list").await?;
        let who = self.agent.map(|name| if name.contains(':') { name } else { format!("agent:{name}") });
        let run = match &self.run {
            Some(run) => Some(which::run(&hub.engine, run).await?),
            None => None,
        };
        let task = self.task.as_deref().map(|task| task.parse().map_err(|error| Failure::usage("bad_task", error)));
        let before = self.before.as_deref().map(thread_id).transpose()?;
        let filter = ThreadFilter { who: who.clone(), run, task: task.transpose()?, status: self.status, before };
        let found = hub.engine.threads(filter, reader, self.limit.unwrap_or(50)).await?;
        match who.as_ref().filter(|_| found.is_empty()).and_then(|who| who.split_once(':')) {
            Some(("agent", name)) => which::agent(&hub.engine, name).await?,
            Some(("user", name)) => which::user(&hub.engine, name).await?,
            _ => {}
        }
        if global.json {
            say::json(&found)?;
        } else if found.is_empty() {
            say::line("no threads; agents with the tools `@talk` open them, or `convoke say` does")?;
        } else {
            say::text(&table(&found).text(room()))?;
        }
        Ok(Exit::Done)
    }
}

fn table(threads: &[ThreadRecord]) -> Table {
    let mut table = Table::new(&[
        ("THREAD", Side::Left),
        ("STATUS", Side::Left),
        ("MESSAGES", Side::Right),
        ("LAST (UTC)", Side::Left),
        ("CHANNEL", Side::Left),
    ]);
    for thread in threads {
        table.row([
            thread.id.to_string(),
            thread.status.clone(),
            text::count(thread.messages),
            text::clock(thread.last_at),
            thread.channel.clone(),
        ]);
    }
    table
}

async fn show(global: &Global, audit: bool, id: ThreadId, (after, limit): (i64, i64)) -> Result<Exit> {
    let (hub, reader) = reader(global, audit, &id.to_string()).await?;
    let found = hub.engine.thread(id, reader, after, limit).await?;
    let user = hub.user.clone();
    drop(hub);
    if !audit && found.thread.participants.contains(&format!("user:{user}")) {
        // That a person has seen it is put on record where that can be done; the reading itself does not depend on it.
        let _ = carry_out(global, Request::Read { id, user }).await;
    }
    if global.json {
        say::json(&found)?;
        return Ok(Exit::Done);
    }
    say::line(&format!("{}  {}  {}", found.thread.id, found.thread.status, text::line(&found.thread.channel)))?;
    if let Some(summary) = &found.thread.summary {
        say::line(&text::line(summary))?;
    }
    found.messages.iter().try_for_each(|message| say::text(&told(message)))?;
    Ok(Exit::Done)
}

/// A message as text: a head, what it says, and its receipts.
pub fn told(message: &MessageRecord) -> String {
    let to = if message.to.is_empty() { "all".to_owned() } else { message.to.join(", ") };
    let subject = message.subject.as_ref().map(|subject| format!("  “{subject}”")).unwrap_or_default();
    let urgent = if message.priority == "normal" { String::new() } else { format!("  {}", message.priority) };
    let head = format!("{} {}  {} → {to}{urgent}{subject}", text::clock(message.at), message.kind, message.from);
    let mut out = format!("\n{}  {}\n", text::line(&head), text::paint(text::DIM, &message.id.to_string()));
    for line in text::plain(&message.body).lines() {
        out.push_str(&format!("  {line}\n"));
    }
    let receipts: Vec<_> = message.receipts.iter().map(|one| format!("{} {}", one.who, one.state)).collect();
    if !receipts.is_empty() {
        out.push_str(&format!("  {}\n", text::paint(text::DIM, &text::line(&receipts.join(", ")))));
    }
    out
}

async fn turn(global: &Global, id: ThreadId, open: bool) -> Result<Exit> {
    carry_out(global, Request::Thread { id, open, user: global.user.clone() }).await?;
    let status = if open { "open" } else { "closed" };
    if global.json {
        say::json(&json!({"id": id, "status": status}))?;
    } else if !global.quiet {
        say::line(&format!("thread {id} is {status}"))?;
    }
    Ok(Exit::Done)
}

async fn export(global: &Global, audit: bool, id: ThreadId) -> Result<Exit> {
    let (hub, reader) = reader(global, audit, &id.to_string()).await?;
    let found = hub.engine.export_thread(id, reader).await?;
    if global.json {
        say::json(&found)?
    } else {
        say::text(&text::plain(&convoke_report::thread_markdown(&found)))?
    }
    Ok(Exit::Done)
}

async fn search(global: &Global, audit: bool, (words, run): (&str, Option<&str>), limit: i64) -> Result<Exit> {
    let (hub, reader) = reader(global, audit, "search").await?;
    let run = match run {
        Some(run) => Some(which::run(&hub.engine, run).await?),
        None => None,
    };
    let found = hub.engine.search_messages(words, run, reader, limit).await?;
    if global.json {
        say::json(&found)?;
    } else if found.is_empty() {
        say::line("nothing found that you may read")?;
    } else {
        found.iter().try_for_each(|message| say::text(&told(message)))?;
    }
    Ok(Exit::Done)
}

async fn archive(global: &Global, days: u32, limit: i64) -> Result<Exit> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let before = now.saturating_sub(Duration::from_secs(u64::from(days) * 24 * 60 * 60));
    let before = Timestamp::from_micros(i64::try_from(before.as_micros()).unwrap_or(i64::MAX));
    carry_out(global, Request::Archive { before, limit, user: global.user.clone() }).await?;
    if global.json {
        say::json(&json!({"before": before, "archived": true}))?;
    } else if !global.quiet {
        say::line(&format!("threads in which nothing was said since {before} are archived"))?;
    }
    Ok(Exit::Done)
}
