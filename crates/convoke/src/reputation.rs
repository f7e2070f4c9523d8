//! `convoke reputation`: what is known of agents' work, from votes, reviews, scores, ratings and answers that were compared, and what
//! it takes; and the right answers and outcomes that people tell.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand, ValueEnum};
use convoke_api::{OutcomeFile, OutcomeFormat, read_outcomes};
use convoke_domain::effort::Effort;
use convoke_domain::outcome::{Case, Kind, Reputation};
use convoke_domain::time::Timestamp;
use convoke_engine::{Gold, Recorded};

use crate::args::Global;
use crate::control::Request;
use crate::definition::listed;
use crate::error::{Exit, Failure, Result};
use crate::hold::carry_out;
use crate::hub::Hub;
use crate::runs::room;
use crate::text::{self, Side, Table};
use crate::{file, say, which};

/// The most bytes of a file of outcomes.
const MAX_FILE: u64 = 32 << 20;
/// The longest answer, in bytes.
const MAX_ANSWER: usize = 16 << 10;
/// Outcomes that are recorded at once; so many fit into one request to the process that holds the folder.
const AT_ONCE: usize = 200;
/// Names that a note lists.
const NAMED: usize = 12;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ReputationArgs {
    #[command(subcommand)]
    pub command: Option<ReputationCommand>,
    /// Only this agent
    pub agent: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum ReputationCommand {
    /// Say what the right answer of a vote was
    Record {
        #[arg(help = which::HELP)]
        run: String,
        /// What was right, as a voter would say it
        answer: String,
        /// Which vote, by its step or path, where the run held several
        #[arg(long, value_name = "STEP")]
        vote: Option<String>,
    },
    /// Take in outcomes that were measured elsewhere
    Import {
        /// A file of CSV, or of one JSON object on each line; `-` is the input stream
        file: PathBuf,
        /// How it is written; its name says so if it ends in .csv, .jsonl or .ndjson
        #[arg(long, value_enum)]
        format: Option<Format>,
        /// By which lines without a subject are known, with their number; the file's name if absent
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
}

/// How a file of outcomes is written.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Format {
    /// Values with commas between, and a head
    Csv,
    /// One JSON object on each line
    Jsonl,
}

impl ReputationArgs {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        match self.command {
            Some(ReputationCommand::Record { run, answer, vote }) => return compare(global, &run, answer, vote).await,
            Some(ReputationCommand::Import { file, format, name }) => return import(global, &file, format, name).await,
            None => {}
        }
        let hub = Hub::reader(global).await?;
        let found = match (hub.engine.reputation(self.agent.as_deref()).await, &self.agent) {
            (Err(error), Some(name)) if error.code() == "missing" => {
                which::agent(&hub.engine, name).await?;
                return Err(error.into());
            }
            (found, _) => found?,
        };
        if global.json {
            say::json(&found)?;
            return Ok(Exit::Done);
        }
        if found.is_empty() {
            say::line("nothing is known of anybody's work so far: no vote, review or rating")?;
            return Ok(Exit::Done);
        }
        let mut table = Table::new(&[
            ("AGENT", Side::Left),
            ("CAPABILITY", Side::Left),
            ("RIGHT", Side::Right),
            ("WEIGHT", Side::Right),
            ("CASES", Side::Right),
            ("BY TASK", Side::Right),
            ("TOOK", Side::Right),
            ("FROM", Side::Left),
        ]);
        for one in &found {
            table.row(cells(one));
        }
        say::text(&table.text(room()))?;
        Ok(Exit::Done)
    }
}

fn cells(one: &Reputation) -> [String; 8] {
    let [cost, took] = one.effort.as_ref().map_or_else(Default::default, effort);
    [
        one.agent.clone(),
        if one.capability.is_empty() { "all".to_owned() } else { one.capability.clone() },
        format!("{:.0} %", one.accuracy * 100.0),
        format!("{:.2}", one.weight),
        format!("{:.1}", one.right + one.wrong),
        cost,
        took,
        sources(&one.kinds),
    ]
}

/// What a task costs, and how long half of them take at most.
fn effort(effort: &Effort) -> [String; 2] {
    let unpriced = if effort.unpriced_calls > 0 { "+?" } else { "" };
    let took = effort.median_ms.map(|ms| text::duration(Duration::from_millis(ms.unsigned_abs())));
    [effort.cost_per_task_usd.map_or_else(String::new, |cost| format!("{cost}{unpriced}")), took.unwrap_or_default()]
}

fn sources(kinds: &BTreeMap<Kind, u64>) -> String {
    kinds.iter().map(|(kind, count)| format!("{count} {}", kind.as_str())).collect::<Vec<_>>().join(", ")
}

async fn compare(global: &Global, run: &str, answer: String, vote: Option<String>) -> Result<Exit> {
    if answer.len() > MAX_ANSWER {
        let message = format!("the answer has more than {MAX_ANSWER} bytes");
        return Err(Failure::usage("answer_too_long", message).hint("give the choice alone"));
    }
    let hub = Hub::reader(global).await?;
    let run = which::run(&hub.engine, run).await?;
    drop(hub);
    let gold = Gold { run, vote, answer: answer.trim().to_owned() };
    let done = carry_out(global, Request::RecordAnswer { gold, user: global.user.clone() }).await?.done;
    let recorded = done.recorded.unwrap_or_default();
    if global.json {
        say::json(&recorded)?;
    } else if !global.quiet {
        say::text(&told_vote(&recorded, answer.trim()))?;
    }
    Ok(Exit::Done)
}

fn told_vote(recorded: &Recorded, answer: &str) -> String {
    let names = |names: &[String]| if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
    let vote = recorded.vote.as_deref().unwrap_or_default();
    let before = match recorded {
        Recorded { new: 0, changed: 0, .. } => "\nthat was said before, and nothing was changed",
        Recorded { changed: 1.., .. } => "\nthis takes the place of what was said before",
        _ => "",
    };
    let [right, wrong] = [&recorded.right, &recorded.wrong].map(|list| names(list));
    text::plain(&format!("the right answer of `{vote}` is `{answer}`\nright: {right}\nwrong: {wrong}{before}\n"))
}

async fn import(global: &Global, path: &Path, format: Option<Format>, name: Option<String>) -> Result<Exit> {
    let is_stream = path == Path::new("-");
    let format = format.or_else(|| format_of(path)).ok_or_else(|| {
        let message = format!("it is not known how `{}` is written", path.display());
        Failure::usage("which_format", message).hint("say so: `--format csv` or `--format jsonl`")
    })?;
    let stem = || path.file_stem().filter(|_| !is_stream).map(|stem| stem.to_string_lossy().into_owned());
    let name = name.or_else(stem).ok_or_else(|| {
        let failure = Failure::usage("which_name", "lines of the input stream have no name to be known by");
        failure.hint("say what they are: `--name NAME`; the same name and line take the place of the first")
    })?;
    let text = if is_stream { file::read_input(MAX_FILE)? } else { file::read(path, MAX_FILE)? };
    let cases = read(&path.display().to_string(), (format, &name), &text)?;
    let mut all = Recorded::default();
    for part in cases.chunks(AT_ONCE) {
        let request = Request::RecordOutcomes { cases: part.to_vec(), user: global.user.clone() };
        let came = carry_out(global, request).await?.done.recorded.unwrap_or_default();
        all.new += came.new;
        all.changed += came.changed;
        all.same += came.same;
        all.strangers.extend(came.strangers);
    }
    if global.json {
        say::json(&all)?;
    } else if !global.quiet {
        say::text(&told_import(&all))?;
    }
    Ok(Exit::Done)
}

fn format_of(path: &Path) -> Option<Format> {
    match path.extension()?.to_str()? {
        "csv" => Some(Format::Csv),
        "jsonl" | "ndjson" => Some(Format::Jsonl),
        _ => None,
    }
}

fn read(file: &str, (format, name): (Format, &str), text: &str) -> Result<Vec<Case>> {
    let format = match format {
        Format::Csv => OutcomeFormat::Csv,
        Format::Jsonl => OutcomeFormat::JsonLines,
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = Timestamp::from_micros(i64::try_from(now.as_micros()).unwrap_or(i64::MAX));
    read_outcomes(OutcomeFile { file, format, name, now }, text).map_err(|problems| {
        let count = text::many(problems.0.len(), "problem");
        let message = format!("the file of outcomes has {count}\n\n{}", listed(&problems).trim_end());
        Failure::usage("bad_outcomes", message).hint("mend it and import it again; nothing was recorded")
    })
}

fn told_import(all: &Recorded) -> String {
    let mut told = format!("{} recorded", text::many(all.new, "outcome"));
    if all.changed > 0 {
        told.push_str(&format!(", {} changed", all.changed));
    }
    if all.same > 0 {
        told.push_str(&format!(", {} there already", all.same));
    }
    if !all.strangers.is_empty() {
        let shown = all.strangers.iter().take(NAMED).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let more = all.strangers.len().saturating_sub(NAMED);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        told.push_str(&format!("\nno agent or profile here is called {shown}{more} so far"));
    }
    text::plain(&told) + "\n"
}
