//! `convoke handoffs`: offers to hand a task over; a person may settle one for the agent that was asked.

use clap::{Args, Subcommand};
use convoke_domain::id::HandoffId;
use convoke_engine::HandoffView;
use serde_json::json;

use crate::args::Global;
use crate::control::Request;
use crate::error::{Exit, Failure, Result};
use crate::hold;
use crate::hub::Hub;
use crate::runs::room;
use crate::text::{Side, Table};
use crate::{say, which};

/// The longest reason, in bytes.
const MAX_REASON: usize = 16 * 1024;

#[derive(Debug, Args)]
pub struct HandoffsArgs {
    #[command(subcommand)]
    pub action: Option<Action>,
}

#[derive(Debug, Subcommand)]
pub enum Action {
    /// List handoffs in the order they were made
    List(List),
    /// Accept an offer for the agent that was asked
    Accept {
        #[arg(help = which::HANDOFF)]
        handoff: String,
    },
    /// Decline an offer for the agent that was asked
    Decline {
        #[arg(help = which::HANDOFF)]
        handoff: String,
        /// Why; the agent that offers reads it
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

#[derive(Debug, Args)]
pub struct List {
    /// Only those of this run
    #[arg(long, value_name = "RUN")]
    pub run: Option<String>,
    /// Only those that nobody has settled
    #[arg(long)]
    pub open: bool,
    /// How many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=1_000))]
    pub limit: i64,
    /// Those made after this one
    #[arg(long, value_name = "HANDOFF")]
    pub after: Option<String>,
}

impl HandoffsArgs {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        let list = List { run: None, open: false, limit: 50, after: None };
        match self.action.unwrap_or(Action::List(list)) {
            Action::List(list) => list.act(global).await,
            Action::Accept { handoff } => settle(global, &handoff, None).await,
            Action::Decline { handoff, reason } => settle(global, &handoff, Some(reason)).await,
        }
    }
}

impl List {
    async fn act(self, global: &Global) -> Result<Exit> {
        let after = self.after.as_deref().map(read_id).transpose()?;
        let hub = Hub::reader(global).await?;
        let run = match &self.run {
            Some(run) => Some(which::run(&hub.engine, run).await?),
            None => None,
        };
        let found = hub.engine.handoffs(run, self.open, after, self.limit).await?;
        if global.json {
            say::json(&found)?;
        } else if found.is_empty() {
            say::line("no handoffs")?;
        } else {
            say::text(&table(&found).text(room()))?;
        }
        Ok(Exit::Done)
    }
}

fn read_id(text: &str) -> Result<HandoffId> {
    text.parse().map_err(|error: convoke_domain::id::BadId| {
        Failure::usage("bad_id", error.to_string()).hint("`convoke handoffs` lists them")
    })
}

async fn settle(global: &Global, handoff: &str, reason: Option<String>) -> Result<Exit> {
    let hub = Hub::reader(global).await?;
    let id = which::handoff(&hub.engine, handoff).await?;
    drop(hub);
    if reason.as_ref().is_some_and(|reason| reason.trim().is_empty() || reason.len() > MAX_REASON) {
        return Err(Failure::usage("bad_reason", format!("the reason is empty, or has more than {MAX_REASON} bytes")));
    }
    let what = if reason.is_some() { "declined" } else { "accepted" };
    hold::carry_out(global, Request::Handoff { id, reason, user: global.user.clone() }).await?;
    if global.json {
        say::json(&json!({"id": id, what: true}))?;
    } else if !global.quiet {
        say::line(&format!("{what}: {id}; if nobody works on the run now, it goes on with `convoke resume`"))?;
    }
    Ok(Exit::Done)
}

fn table(found: &[HandoffView]) -> Table {
    let mut table = Table::new(&[
        ("HANDOFF", Side::Left),
        ("STATE", Side::Left),
        ("FROM", Side::Left),
        ("TO", Side::Left),
        ("TASK", Side::Left),
        ("WHY", Side::Left),
    ]);
    for one in found {
        let why = one.reason.clone().unwrap_or_else(|| one.packet.reason.clone());
        table.row([one.id.to_string(), one.state.clone(), one.from.clone(), one.to.clone(), one.task.to_string(), why]);
    }
    table
}
