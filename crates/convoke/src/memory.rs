//! `convoke memory`: what outlasts runs, for people: look, search, add, forget, export.

use clap::{Args, Subcommand};
use convoke_domain::id::MemoryId;
use convoke_domain::memory::{MAX_DAYS, MAX_FOUND, MAX_TEXT, Note, Scope, Shelf};
use convoke_store::memory::Record;
use serde_json::{Value, json};

use crate::args::Global;
use crate::control::Request;
use crate::error::{Exit, Failure, Result};
use crate::hold::carry_out;
use crate::hub::Hub;
use crate::runs::room;
use crate::text::{self, Side, Table};
use crate::{say, which};

/// Entries read at once by an export.
const PAGE: i64 = 1_000;

#[derive(Debug, Args)]
pub struct MemoryArgs {
    #[command(subcommand)]
    pub action: Action,
}

/// Whose memory is meant.
#[derive(Debug, Clone, Args)]
pub struct Whose {
    /// That of a team
    #[arg(long, value_name = "NAME")]
    pub team: Option<String>,
    /// What an agent keeps for itself
    #[arg(long, value_name = "NAME")]
    pub agent: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Action {
    /// List entries, the newest first: all, or of one team or agent
    List {
        #[command(flatten)]
        whose: Whose,
        /// How many
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(i64).range(1..=1_000))]
        limit: i64,
        /// Only entries older than this one
        #[arg(long, value_name = "ID")]
        before: Option<String>,
    },
    /// Find entries by their words: of the workspace, and of the team and agent that are named
    Search {
        /// Words that the entry would have
        query: String,
        #[command(flatten)]
        whose: Whose,
    },
    /// Add an entry: to the workspace's memory, or to that of a team or agent
    Add {
        /// What to remember; `-` reads it from the input stream
        text: String,
        #[command(flatten)]
        whose: Whose,
        /// A word to find it by; may be given again
        #[arg(long, value_name = "TAG")]
        tag: Vec<String>,
        /// Days after which it falls away
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_DAYS)))]
        days: Option<u32>,
    },
    /// Have an entry forgotten
    Forget {
        /// The entry's id
        id: String,
    },
    /// Write all entries, one JSON object a line
    Export,
}

impl Whose {
    /// The one shelf that is meant.
    fn one(&self) -> Result<Option<Shelf>> {
        match (&self.team, &self.agent) {
            (Some(_), Some(_)) => Err(Failure::usage("usage", "an entry belongs to a team or to an agent")
                .hint("give --team or --agent, not both")),
            (Some(team), None) => Ok(Some(Shelf { scope: Scope::Team, owner: team.clone() })),
            (None, Some(agent)) => Ok(Some(Shelf { scope: Scope::Private, owner: agent.clone() })),
            (None, None) => Ok(None),
        }
    }

    /// All shelves that are meant, the workspace's among them.
    fn all(&self) -> Vec<Shelf> {
        let team = self.team.iter().map(|name| Shelf { scope: Scope::Team, owner: name.clone() });
        let agent = self.agent.iter().map(|name| Shelf { scope: Scope::Private, owner: name.clone() });
        team.chain(agent).chain([common()]).collect()
    }
}

fn common() -> Shelf {
    Shelf { scope: Scope::Workspace, owner: String::new() }
}

impl MemoryArgs {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        match self.action {
            Action::List { whose, limit, before } => list(global, whose.one()?, before, limit).await,
            Action::Search { query, whose } => search(global, whose.all(), &query).await,
            Action::Add { text, whose, tag, days } => {
                let text = if text == "-" { crate::file::read_input(MAX_TEXT as u64)? } else { text };
                let shelf = whose.one()?.unwrap_or_else(common);
                let note = Note { text, tags: tag, days };
                let user = global.user.clone();
                carry_out(global, Request::AddMemory { shelf, note, user }).await?;
                told(global, json!({"added": true}), "it is remembered")
            }
            Action::Forget { id } => {
                let id = entry(&id)?;
                carry_out(global, Request::ForgetMemory { id, user: global.user.clone() }).await?;
                told(global, json!({"id": id, "forgotten": true}), &format!("{id} is forgotten"))
            }
            Action::Export => export(global).await,
        }
    }
}

fn told(global: &Global, value: Value, words: &str) -> Result<Exit> {
    if global.json {
        say::json(&value)?;
    } else if !global.quiet {
        say::line(words)?;
    }
    Ok(Exit::Done)
}

fn entry(text: &str) -> Result<MemoryId> {
    text.parse().map_err(|_| {
        let message = format!("`{}` is no entry of memory", text::line(text));
        Failure::usage("bad_id", message).hint("an id is `mem_` and 26 characters; `convoke memory list` shows them")
    })
}

fn value(row: &Record) -> Value {
    json!({
        "id": row.id, "scope": row.scope, "owner": row.owner, "text": row.text, "tags": row.tags.0, "by": row.author, "run": row.run,
        "source": row.source, "version": row.version, "created_at": row.created_at, "updated_at": row.updated_at,
        "expires_at": row.expires_at,
    })
}

fn whose(row: &Record) -> String {
    if row.owner.is_empty() { row.scope.clone() } else { format!("{} {}", row.scope, row.owner) }
}

/// Refuses shelves of teams and agents that nobody knows.
async fn is_there(hub: &Hub, shelves: &[Shelf]) -> Result<()> {
    for shelf in shelves {
        match shelf.scope {
            Scope::Private => which::agent(&hub.engine, &shelf.owner).await?,
            Scope::Team => which::team(&hub.engine, &shelf.owner).await?,
            Scope::Workspace => {}
        }
    }
    Ok(())
}

async fn list(global: &Global, shelf: Option<Shelf>, before: Option<String>, limit: i64) -> Result<Exit> {
    let before = before.as_deref().map(entry).transpose()?;
    let hub = Hub::reader(global).await?;
    let rows = hub.engine.memory(shelf.clone(), before, limit).await?;
    if rows.is_empty() {
        is_there(&hub, shelf.as_slice()).await?;
    }
    if global.json {
        say::json(&rows.iter().map(value).collect::<Vec<_>>())?;
        return Ok(Exit::Done);
    }
    if rows.is_empty() {
        say::line("nothing is remembered yet")?;
        return Ok(Exit::Done);
    }
    let head = [
        ("ID", Side::Left),
        ("WHOSE", Side::Left),
        ("BY", Side::Left),
        ("WRITTEN (UTC)", Side::Left),
        ("TEXT", Side::Left),
    ];
    let mut table = Table::new(&head);
    for row in &rows {
        table.row([row.id.to_string(), whose(row), row.author.clone(), text::clock(row.updated_at), row.text.clone()]);
    }
    say::text(&table.text(room()))?;
    if let Some(last) = rows.last().filter(|_| i64::try_from(rows.len()).is_ok_and(|count| count == limit)) {
        say::line(&text::paint(text::DIM, &format!("older: convoke memory list --before {}", last.id)))?;
    }
    Ok(Exit::Done)
}

async fn search(global: &Global, shelves: Vec<Shelf>, query: &str) -> Result<Exit> {
    let hub = Hub::reader(global).await?;
    let found = hub.engine.search_memory(shelves.clone(), query, MAX_FOUND).await?;
    if found.is_empty() {
        is_there(&hub, &shelves).await?;
    }
    if global.json {
        let scored = found.iter().map(|(row, score)| {
            let mut value = value(row);
            value["score"] = json!((score * 1_000.0).round() / 1_000.0);
            value
        });
        say::json(&scored.collect::<Vec<_>>())?;
        return Ok(Exit::Done);
    }
    if found.is_empty() {
        say::line("no entry has these words")?;
    }
    for (row, score) in &found {
        let head = format!("{}  {}  {}  {}  {score:.2}", row.id, whose(row), row.author, text::clock(row.updated_at));
        say::line(&text::paint(text::DIM, &text::line(&head)))?;
        say::line(&text::plain(&row.text))?;
    }
    Ok(Exit::Done)
}

async fn export(global: &Global) -> Result<Exit> {
    let hub = Hub::reader(global).await?;
    let mut before = None;
    loop {
        let rows = hub.engine.memory(None, before, PAGE).await?;
        for row in &rows {
            say::json_line(&value(row))?;
        }
        match rows.last() {
            Some(last) => before = Some(last.id),
            None => return Ok(Exit::Done),
        }
    }
}
