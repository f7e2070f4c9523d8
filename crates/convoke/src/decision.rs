//! `convoke decisions`: the log of what was asked, who decided, what and why; and how a decision that stands is replaced.

use clap::{Args, Subcommand};
use convoke_domain::record::DecisionRecord;
use serde_json::json;

use crate::args::Global;
use crate::control::Request;
use crate::error::{Exit, Result};
use crate::hold::carry_out;
use crate::message::message_id;
use crate::runs::room;
use crate::text::{self, Side, Table};
use crate::thread::reader;
use crate::{say, which};

/// Characters of a question in the table.
const QUESTION: usize = 60;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct DecisionsArgs {
    #[command(subcommand)]
    pub action: Option<Action>,
    /// Only those of this run: its id, at least 4 characters of its beginning or end, or `last`
    pub run: Option<String>,
    /// Print Markdown, with questions, reasons and impact in full
    #[arg(long)]
    pub markdown: bool,
    /// Only those asked before this one
    #[arg(long, value_name = "MESSAGE")]
    pub before: Option<String>,
    /// How many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=1_000))]
    pub limit: i64,
}

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Replace a decision that stands; whoever asked and whoever decided are told. Owners and operators may
    Override {
        /// The question, or the message that decided it: its id
        decision: String,
        /// What shall hold instead; one of the options where there were any
        choice: String,
        /// Why what was decided must not stand
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

impl Action {
    async fn act(self, global: &Global) -> Result<Exit> {
        let Self::Override { decision, choice, reason } = self;
        let decision = message_id(&decision)?;
        let request = Request::OverrideDecision { decision, choice: choice.clone(), reason, user: global.user.clone() };
        let run = carry_out(global, request).await?.done.run;
        if global.json {
            say::json(&json!({"decision": decision, "run": run, "choice": choice}))?;
        } else {
            say::line(&format!("the decision on {decision} is now: {}", text::line(&choice)))?;
        }
        Ok(Exit::Done)
    }
}

impl DecisionsArgs {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        if let Some(action) = self.action {
            return action.act(global).await;
        }
        let (hub, reader) = reader(global, false, "decisions").await?;
        let run = match &self.run {
            Some(run) => Some(which::run(&hub.engine, run).await?),
            None => None,
        };
        let before = self.before.as_deref().map(message_id).transpose()?;
        let found = hub.engine.decisions(run, before, reader, self.limit).await?;
        if global.json {
            say::json(&found)?;
        } else if self.markdown {
            say::text(&text::plain(&convoke_report::decisions_markdown(&found)))?;
        } else if found.is_empty() {
            say::line("nothing was asked yet")?;
        } else {
            say::text(&table(&found).text(room()))?;
        }
        Ok(Exit::Done)
    }
}

fn table(decisions: &[DecisionRecord]) -> Table {
    let mut table = Table::new(&[
        ("ASKED (UTC)", Side::Left),
        ("BY", Side::Left),
        ("STANDING", Side::Left),
        ("WHO", Side::Left),
        ("CHOICE", Side::Left),
        ("QUESTION", Side::Left),
    ]);
    for decision in decisions {
        let who = decision.approver.clone().unwrap_or_else(|| decision.asked.join(", "));
        table.row([
            text::clock(decision.asked_at),
            decision.asked_by.clone(),
            decision.standing.clone(),
            who,
            text::cut(&text::line(decision.choice.as_deref().unwrap_or_default()), QUESTION),
            text::cut(&text::line(&decision.question), QUESTION),
        ]);
    }
    table
}
