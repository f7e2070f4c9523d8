//! `convoke grant`, `grants` and `revoke`: rights that a person gives to an agent for a time.

use std::time::Duration;

use clap::Args;
use convoke_domain::authority::Right;
use convoke_domain::id::GrantId;
use convoke_engine::GiveGrant;
use convoke_store::grant::Record;
use serde_json::{Value, json};

use crate::args::Global;
use crate::error::{Exit, Failure, Result};
use crate::govern::{self, Order};
use crate::hub::Hub;
use crate::runs::room;
use crate::text::{self, Side, Table};
use crate::{say, which, wire};

#[derive(Debug, Args)]
pub struct GrantArgs {
    /// The agent
    pub agent: String,
    /// The right: `tool:NAME`, `host:NAME`, `phase:NAME`, `parallel:N`, `shell`, `private_network`, `spawn`, `delegate`,
    /// `override_decisions`, `assign_to_peers`, `escalate_to_supervisor`
    #[arg(value_parser = right)]
    pub right: Right,
    /// For how long: `90s`, `15m`, `2h`, `7d`; at most 30 days
    #[arg(long = "for", value_name = "TIME", default_value = "1h", value_parser = time)]
    pub lasts: Duration,
    /// Only in this run
    #[arg(long, value_name = "RUN")]
    pub run: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub reason: String,
}

#[derive(Debug, Args)]
pub struct GrantsArgs {
    /// Only those of this agent
    #[arg(long, value_name = "AGENT")]
    pub agent: Option<String>,
    /// Those too that have ended
    #[arg(long)]
    pub all: bool,
}

#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// The grant's id, as `convoke grants` prints it
    pub grant: String,
}

fn right(text: &str) -> std::result::Result<Right, String> {
    text.parse().map_err(|refusal: convoke_domain::refusal::Refusal| {
        format!("{}; {}", refusal.message, refusal.hint.unwrap_or_default())
    })
}

/// A span of time: a number and its unit.
pub fn time(text: &str) -> std::result::Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let seconds = match unit {
        "s" => Some(1),
        "m" => Some(60),
        "h" => Some(3_600),
        "d" => Some(86_400),
        _ => None,
    };
    let total = number.parse::<u64>().ok().zip(seconds).and_then(|(number, unit)| number.checked_mul(unit));
    total
        .filter(|total| *total > 0)
        .map(Duration::from_secs)
        .ok_or_else(|| "write a number and its unit, such as `15m`".to_owned())
}

impl GrantArgs {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        let hub = Hub::reader(global).await?;
        let run = match &self.run {
            Some(run) => Some(which::run(&hub.engine, run).await?),
            None => None,
        };
        let id = GrantId(hub.engine.fresh());
        if let Right::Tool(tool) = &self.right {
            wire::check_tool(&hub.place.dir, tool)?;
        }
        drop(hub);
        let words = format!("{id}: agent `{}` has `{}` for {}", self.agent, self.right, text::duration(self.lasts));
        let Self { agent, right, lasts, reason, .. } = self;
        let give = GiveGrant { agent, run, right, lasts, reason, user: String::new() };
        govern::done(global, Order::Grant { id, give }, (&id.to_string(), "granted"), &words).await
    }
}

impl RevokeArgs {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        let id: GrantId = self.grant.parse().map_err(|error: convoke_domain::id::BadId| {
            Failure::usage("bad_id", error.to_string()).hint("`convoke grants` lists them")
        })?;
        let words = format!("{id} is revoked; it works no more from the next call on");
        govern::done(global, Order::Revoke { id }, (&id.to_string(), "revoked"), &words).await
    }
}

impl GrantsArgs {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        let hub = Hub::reader(global).await?;
        let now = convoke_port::clock::Clock::now(&convoke_port::clock::SystemClock);
        let in_force = |row: &Record| row.revoked_at.is_none() && row.until > now;
        let mut rows = hub.engine.grants(None).await?;
        rows.retain(|row| self.all || in_force(row));
        rows.retain(|row| self.agent.as_ref().is_none_or(|agent| *agent == row.agent));
        if let Some(name) = self.agent.as_ref().filter(|_| rows.is_empty()) {
            which::agent(&hub.engine, name).await?;
        }
        if global.json {
            say::json(&rows.iter().map(|row| value(row, in_force(row))).collect::<Vec<_>>())?;
        } else if rows.is_empty() {
            say::line("no grants")?;
        } else {
            let mut table = Table::new(&[
                ("GRANT", Side::Left),
                ("AGENT", Side::Left),
                ("RIGHT", Side::Left),
                ("RUN", Side::Left),
                ("UNTIL (UTC)", Side::Left),
                ("BY", Side::Left),
                ("WHY", Side::Left),
            ]);
            for row in &rows {
                let until = if row.revoked_at.is_some() { "revoked".to_owned() } else { text::clock(row.until) };
                let run = row.run.map_or_else(|| "all".to_owned(), which::short);
                let (by, why) = (row.given_by.clone(), row.reason.clone());
                table.row([row.id.to_string(), row.agent.clone(), row.right_name.clone(), run, until, by, why]);
            }
            say::text(&table.text(room()))?;
        }
        Ok(Exit::Done)
    }
}

fn value(row: &Record, in_force: bool) -> Value {
    json!({
        "id": row.id, "agent": row.agent, "run": row.run, "right": row.right_name, "reason": row.reason, "by": row.given_by,
        "given_at": row.given_at, "until": row.until, "revoked_at": row.revoked_at, "revoked_by": row.revoked_by,
        "in_force": in_force,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        assert_eq!(time("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(time("7d"), Ok(Duration::from_secs(604_800)));
        for text in ["", "5", "m", "0h", "1w", "-1h", "1.5h", "99999999999999999999d", "9999999999999999999d"] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
