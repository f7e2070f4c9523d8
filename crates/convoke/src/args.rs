//! The command line: what may be typed. Each noun keeps its own options in its file; here is what all share, and the list.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use convoke_domain::id::SessionId;
use convoke_domain::money::Money;

/// Teams of AI agents that carry a task to its end: in parallel, durable, with exact cost.
#[derive(Debug, Parser)]
#[command(
    name = "convoke",
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 bad usage, 3 budget used up, 4 cancelled, 5 a person is waited for.\n\
    First steps: `convoke demo`, then `convoke init DIR`."
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// What every command understands.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Global {
    /// Data folder [default: the platform's folder for application data]
    #[arg(long, global = true, value_name = "DIR", env = "CONVOKE_DATA", hide_env_values = true)]
    pub data: Option<PathBuf>,
    /// PostgreSQL to keep everything in, instead of SQLite in the data folder; several processes may share it
    #[arg(long, global = true, value_name = "URL", env = "CONVOKE_DATABASE", hide_env_values = true)]
    pub database: Option<String>,
    /// Who asks; the first one owns the data folder, and adds others [default: the user of this computer]
    #[arg(long = "as", global = true, value_name = "USER", default_value_t = login(), hide_default_value = true, value_parser = user_name)]
    pub user: String,
    /// Write JSON for programs instead of text for people
    #[arg(long, global = true)]
    pub json: bool,
    /// No progress, only the result
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// No colours; the variable NO_COLOR does the same
    #[arg(long, global = true)]
    pub no_color: bool,
    /// What to log on the error stream: error, warn, info, debug, or `module=level`
    #[arg(
        long,
        global = true,
        value_name = "LEVEL",
        env = "CONVOKE_LOG",
        default_value = "warn",
        hide_env_values = true
    )]
    pub log: String,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch a team find the cause of an incident: no key, no service, under 30 seconds
    Demo(crate::demo::Demo),
    /// Give a team a task and watch it
    Run(crate::run::Run),
    /// Say what a run would take, before any money is spent
    Plan(crate::plan::PlanArgs),
    /// Let unfinished runs go on: all, or the one named
    Resume(crate::resume::ResumeArgs),
    /// Call a run off
    Cancel(crate::hold::CancelArgs),
    /// Hold a run: steps under way end, none begins
    Pause(crate::hold::PauseArgs),
    /// Say what became of a tool call whose outcome is unknown
    Resolve(crate::hold::ResolveArgs),
    /// What waits for you: approvals, tasks, questions, with the command that answers each
    Inbox(crate::inbox::InboxArgs),
    /// Let an agent make the call it asks leave for
    Approve(crate::answer::ApproveArgs),
    /// Say no to a call that an agent asks leave for
    Reject(crate::answer::RejectArgs),
    /// Answer a task or question that waits for you, or close a run that was handed to you
    Answer(crate::answer::AnswerArgs),
    /// Who may do what
    Users(crate::users::UsersArgs),
    /// List runs, the newest first
    Runs(crate::runs::RunsArgs),
    /// Show a run: tasks, steps, cost, time
    Show(crate::show::ShowArgs),
    /// How teams do over time: success, time, cost, speed-up, ratings
    Analytics(crate::analytics::AnalyticsArgs),
    /// Say how well a run, an agent's part in it, or a task was
    Rate(crate::rate::RateArgs),
    /// Write a run's report
    Report(crate::report::ReportArgs),
    /// Print what happened in a run, event by event
    Events(crate::events::EventsArgs),
    /// Offers to hand a task over, and what became of them
    Handoffs(crate::handoffs::HandoffsArgs),
    /// Say something to an agent, a person, or everybody in a run
    Say(crate::message::SayArgs),
    /// Conversations: who said what to whom
    Threads(crate::thread::ThreadsArgs),
    /// Print the messages of a run as they come
    Watch(crate::watch::WatchArgs),
    /// What was asked and decided
    Decisions(crate::decision::DecisionsArgs),
    /// What agents have locked and wait for
    Locks(crate::locks::LocksArgs),
    /// What the members of a run share: variables and findings
    Context(crate::context::ContextArgs),
    /// What is remembered across runs
    Memory(crate::memory::MemoryArgs),
    /// Registered agents: list them, change one
    Agents(crate::agents::AgentsArgs),
    /// How often agents were right, and what their votes weigh
    Reputation(crate::reputation::ReputationArgs),
    /// Give an agent a right for a time
    Grant(crate::grants::GrantArgs),
    /// List rights that were given for a time
    Grants(crate::grants::GrantsArgs),
    /// Take such a right back
    Revoke(crate::grants::RevokeArgs),
    /// Add an agent to a run
    Spawn(crate::spawn::SpawnArgs),
    /// Stop an agent in a run, and all that it has spawned
    Kill(crate::spawn::KillArgs),
    /// Budgets of a run's agents
    Budget(crate::spawn::BudgetArgs),
    /// Profiles, from which agents are made
    Profiles(crate::profiles::ProfilesArgs),
    /// Teams of agents
    Teams(crate::teams::TeamsArgs),
    /// Patterns that teams may name
    Patterns(crate::patterns::PatternsArgs),
    /// Profiles and teams made by others: see which rights they ask for, install them by digest
    Bundle(crate::bundle::BundleArgs),
    /// Check files of profiles, teams, patterns and scripts, a folder of them, or a saved team
    Validate(crate::validate::ValidateArgs),
    /// Draw what a team or pattern does, or where a run stands
    Diagram(crate::diagram::DiagramArgs),
    /// Make a folder with a small team to start from
    Init(crate::init::InitArgs),
    /// Say whether everything that is needed is there
    Doctor(crate::doctor::DoctorArgs),
    /// Count agents, tasks, runs, messages, decisions, events
    Stats(crate::stats::StatsArgs),
    /// Look after the database
    Db(crate::db::DbArgs),
    /// Look after the record of events
    Audit(crate::audit::AuditArgs),
    /// Print completions for a shell
    Completions(crate::completions::CompletionsArgs),
}

/// An amount in dollars.
pub fn money(text: &str) -> Result<Money, String> {
    let number = text.strip_prefix('$').unwrap_or(text);
    match number.parse::<f64>() {
        // What rounds to nothing is nothing.
        Ok(usd) if usd <= 1e9 && Money::from_usd(usd) > Money::ZERO => Ok(Money::from_usd(usd)),
        Ok(_) => Err("a budget is above 0 and at most 1,000,000,000 dollars".to_owned()),
        Err(_) => Err("write dollars, such as 0.50".to_owned()),
    }
}

/// A number of tokens.
pub fn tokens(text: &str) -> Result<i64, String> {
    text.parse::<i64>().ok().filter(|tokens| *tokens >= 1).ok_or_else(|| "write a whole number above 0".to_owned())
}

/// A session's id.
pub fn session(text: &str) -> Result<SessionId, String> {
    text.parse().map_err(|_| {
        "a session is named by its full id, `ses_` and 26 characters, as `show RUN --json` gives it".to_owned()
    })
}

/// The user that this computer knows, if the name will do; `system` otherwise.
fn login() -> String {
    let name = ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    name.filter(|name| user_name(name).is_ok()).unwrap_or_else(|| "system".to_owned())
}

pub fn user_name(text: &str) -> Result<String, String> {
    if convoke_api::is_name(text) {
        return Ok(text.to_owned());
    }
    Err("a user's name has lower-case letters, digits and hyphens, at most 64".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_and_option_is_in_the_reference() {
        let page = include_str!("../../../docs/reference/cli.md");
        fn names(command: &clap::Command, into: &mut Vec<String>) {
            into.push(command.get_name().to_owned());
            into.extend(command.get_arguments().filter_map(|arg| arg.get_long().map(|long| format!("--{long}"))));
            command.get_subcommands().for_each(|inner| names(inner, into));
        }
        let mut all = Vec::new();
        names(&Cli::command(), &mut all);
        let missing: Vec<_> = all.iter().filter(|name| !page.contains(name.as_str())).collect();
        assert!(missing.is_empty(), "docs/reference/cli.md does not speak of {missing:?}");
    }

    #[test]
    fn budgets_are_dollars() {
        assert_eq!(money("$0.5"), Ok(Money::from_usd(0.5)));
        assert!(money("-1").is_err() && money("0").is_err() && money("NaN").is_err() && money("five").is_err());
        assert!(money("1e-300").is_err() && money("1e308").is_err() && money("inf").is_err());
    }
}
