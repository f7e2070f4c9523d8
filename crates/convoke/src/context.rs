//! `convoke context`: what the members of a run share: variables with their versions, and findings.

use clap::{Args, Subcommand};
use convoke_domain::context::{Finding, MAX_VALUE, Write};
use convoke_domain::id::RunId;
use convoke_engine::Context;
use convoke_store::context::Record;
use serde_json::{Value, json};

use crate::args::Global;
use crate::control::Request;
use crate::error::{Exit, Failure, Result};
use crate::hold::carry_out;
use crate::hub::Hub;
use crate::runs::room;
use crate::text::{self, Side, Table};
use crate::{say, which};

/// Versions that are shown at most.
const VERSIONS: i64 = 1_000;

#[derive(Debug, Args)]
pub struct ContextArgs {
    #[arg(help = which::HELP)]
    pub run: String,
    #[command(subcommand)]
    pub action: Option<Action>,
}

#[derive(Debug, Subcommand)]
pub enum Action {
    /// List variables and findings
    List,
    /// Print a variable's value, or a finding
    Get {
        /// The variable, or a finding such as f0001
        name: String,
    },
    /// Write a variable, if it still has the version you know
    Set {
        /// The variable
        name: String,
        /// Its new value; `-` reads it from the input stream
        value: String,
        /// The version you know; 0 for a new variable
        #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
        version: i64,
    },
    /// Remove a variable, if it still has the version you know
    Unset {
        /// The variable
        name: String,
        /// The version you know
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
        version: i64,
    },
    /// Print every version that a variable had, the newest first
    History {
        /// The variable
        name: String,
    },
}

impl ContextArgs {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        let hub = Hub::reader(global).await?;
        let run = which::run(&hub.engine, &self.run).await?;
        match self.action.unwrap_or(Action::List) {
            Action::List => list(global, &hub.engine.context(run).await?),
            Action::Get { name } => get(global, &hub.engine.context(run).await?, &name),
            Action::History { name } => {
                history(global, &hub.engine.context_history(run, &name, i64::MAX, VERSIONS).await?)
            }
            Action::Set { name, value, version } => {
                let value = if value == "-" { crate::file::read_input(MAX_VALUE as u64)? } else { value };
                change(global, (hub, run), Write { name, value: Some(value), version }).await
            }
            Action::Unset { name, version } => change(global, (hub, run), Write { name, value: None, version }).await,
        }
    }
}

fn variable(row: &Record) -> Value {
    json!({"name": row.name, "version": row.version, "value": row.value, "by": row.author, "at": row.at})
}

fn finding_of(row: &Record) -> Result<Finding> {
    serde_json::from_str(row.value.as_deref().unwrap_or_default())
        .map_err(|cause| Failure::new("broken", format!("finding {} cannot be read", row.name)).cause(cause))
}

fn finding(row: &Record) -> Result<Value> {
    let found = finding_of(row)?;
    Ok(json!({
        "name": row.name, "text": found.text, "evidence": found.evidence, "confidence": found.confidence, "tags": found.tags,
        "by": row.author, "at": row.at,
    }))
}

fn list(global: &Global, context: &Context) -> Result<Exit> {
    if global.json {
        let variables: Vec<_> = context.variables.iter().map(variable).collect();
        let findings = context.findings.iter().map(finding).collect::<Result<Vec<_>>>()?;
        say::json(&json!({"variables": variables, "findings": findings, "size": context.size}))?;
        return Ok(Exit::Done);
    }
    if context.variables.is_empty() && context.findings.is_empty() {
        say::line("nothing is shared in this run")?;
        return Ok(Exit::Done);
    }
    let columns = |last| {
        [
            ("NAME", Side::Left),
            ("VERSION", Side::Right),
            ("BY", Side::Left),
            ("AT (UTC)", Side::Left),
            (last, Side::Left),
        ]
    };
    let mut table = Table::new(&columns("VALUE"));
    for row in &context.variables {
        table.row(cells(row, row.version.to_string(), row.value.clone().unwrap_or_default()));
    }
    if !context.variables.is_empty() {
        say::text(&table.text(room()))?;
    }
    let mut head = columns("FINDING");
    head[1] = ("CONFIDENCE", Side::Left);
    let mut table = Table::new(&head);
    for row in &context.findings {
        let found = finding_of(row)?;
        table.row(cells(row, found.confidence.as_str().to_owned(), found.text));
    }
    if !context.findings.is_empty() {
        say::text(&table.text(room()))?;
    }
    Ok(Exit::Done)
}

fn cells(row: &Record, second: String, last: String) -> [String; 5] {
    [row.name.clone(), second, row.author.clone(), text::clock(row.at), last]
}

fn get(global: &Global, context: &Context, name: &str) -> Result<Exit> {
    let named = |row: &&Record| row.name == name;
    if let Some(row) = context.variables.iter().find(named) {
        return tell(global, &variable(row), row.value.as_deref().unwrap_or_default());
    }
    if let Some(row) = context.findings.iter().find(named) {
        let found = finding_of(row)?;
        let evidence =
            if found.evidence.is_empty() { String::new() } else { format!("\nEvidence: {}", found.evidence) };
        return tell(global, &finding(row)?, &format!("{}{evidence}", found.text));
    }
    let message = format!("there is no variable or finding `{}` in this run", text::line(name));
    Err(Failure::usage("missing", message).hint("`convoke context RUN` lists what there is"))
}

fn tell(global: &Global, value: &Value, words: &str) -> Result<Exit> {
    if global.json {
        say::json(value)?
    } else {
        say::line(&text::plain(words))?
    }
    Ok(Exit::Done)
}

fn history(global: &Global, versions: &[Record]) -> Result<Exit> {
    if global.json {
        say::json(&versions.iter().map(variable).collect::<Vec<_>>())?;
        return Ok(Exit::Done);
    }
    let head = [("VERSION", Side::Right), ("BY", Side::Left), ("AT (UTC)", Side::Left), ("VALUE", Side::Left)];
    let mut table = Table::new(&head);
    for row in versions {
        let value = row.value.clone().unwrap_or_else(|| "(removed)".to_owned());
        table.row([row.version.to_string(), row.author.clone(), text::clock(row.at), value]);
    }
    say::text(&table.text(room()))?;
    Ok(Exit::Done)
}

async fn change(global: &Global, (hub, run): (Hub, RunId), wish: Write) -> Result<Exit> {
    let user = hub.user.clone();
    drop(hub);
    let (name, removed) = (wish.name.clone(), wish.value.is_none());
    carry_out(global, Request::WriteContext { run, wish, user }).await?;
    if global.json {
        say::json(&json!({"run": run, "name": name, "written": !removed, "removed": removed}))?;
    } else if !global.quiet {
        say::line(&format!("`{name}` is {}", if removed { "removed" } else { "written" }))?;
    }
    Ok(Exit::Done)
}
