//! `convoke run`: give a team a task and watch it.

use std::io::Read;
use std::path::PathBuf;

use clap::Args;
use convoke_domain::id::SessionId;
use convoke_domain::money::Money;
use convoke_engine::Caps;

use crate::args::{Global, money, session, tokens};
use crate::error::{Exit, Failure, Result};
use crate::hub::{Hub, Settings};
use crate::job::Job;
use crate::place::Place;
use crate::wire;

/// The most bytes of a task that is read from the input stream; the engine's own limit is lower and gives the error.
const MAX_TASK: u64 = 1 << 20;

#[derive(Debug, Args)]
pub struct Run {
    /// A team's name, or the path of its file
    pub team: String,
    /// What to do; `-` reads it from the input stream
    pub task: String,
    /// Folder that the members may read
    #[arg(long, value_name = "DIR")]
    pub input: Option<PathBuf>,
    /// Model for every agent, such as openai/gpt-5 or script/incident-response
    #[arg(long, value_name = "PROVIDER/MODEL")]
    pub model: Option<String>,
    /// The most dollars the run may cost
    #[arg(long, value_name = "USD", value_parser = money, allow_negative_numbers = true)]
    pub budget: Option<Money>,
    /// The most tokens the run may use
    #[arg(long, value_name = "N", value_parser = tokens, allow_negative_numbers = true)]
    pub tokens: Option<i64>,
    /// Session to run in, whose budget counts too
    #[arg(long, value_name = "ID", value_parser = session)]
    pub session: Option<SessionId>,
    /// Use models whose price is not known
    #[arg(long)]
    pub allow_unpriced: bool,
    #[command(flatten)]
    pub work: Work,
}

/// How this process works.
#[derive(Debug, Clone, Copy, Args)]
pub struct Work {
    /// Tasks at the same time
    #[arg(long, value_name = "N", env = "CONVOKE_CONCURRENCY", value_parser = concurrency, hide_env_values = true)]
    pub concurrency: Option<usize>,
    /// The most dollars that all runs of the data folder may cost on one day in UTC
    #[arg(long, value_name = "USD", env = "CONVOKE_DAILY_BUDGET", value_parser = money, allow_negative_numbers = true, hide_env_values = true)]
    pub daily_budget: Option<Money>,
}

/// The most tasks at the same time.
const MAX_CONCURRENCY: usize = 4_096;

fn concurrency(text: &str) -> Result<usize, String> {
    let number = text.parse::<usize>().ok().filter(|number| (1..=MAX_CONCURRENCY).contains(number));
    number.ok_or_else(|| format!("write a number from 1 to {MAX_CONCURRENCY}"))
}

/// The model for agents that name none.
pub fn default_model() -> Option<String> {
    std::env::var("CONVOKE_MODEL").ok().filter(|model| !model.is_empty())
}

/// Opens the data folder with models and tools.
pub async fn open(global: &Global, place: Place, work: Work) -> Result<(Hub, wire::Parts)> {
    let parts = wire::connect(&place.dir)?;
    let settings = Settings {
        concurrency: work.concurrency,
        default_model: default_model(),
        daily_cap: work.daily_budget,
        lease: None,
    };
    Ok((Hub::worker(global, place, parts.clone(), settings).await?, parts))
}

impl Run {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        let task = if self.task == "-" { read_task()? } else { self.task };
        let (hub, parts) = open(global, Place::find(global.data.as_deref())?, self.work).await?;
        let job = Job {
            team: self.team,
            task,
            input: self.input,
            model: self.model,
            default_model: default_model(),
            caps: Caps { cost: self.budget, tokens: self.tokens },
            session: self.session,
            allow_unpriced: self.allow_unpriced,
        };
        job.carry(global, &hub, &parts).await
    }
}

fn read_task() -> Result<String> {
    let mut text = String::new();
    // One byte more than allowed tells a task that is too long.
    let read = std::io::stdin().lock().take(MAX_TASK + 1).read_to_string(&mut text);
    match read {
        Ok(_) if text.len() as u64 <= MAX_TASK => Ok(text.trim_end().to_owned()),
        Ok(_) => Err(Failure::usage("task_too_long", format!("the task has more than {MAX_TASK} bytes"))
            .hint("put long material into the input folder")),
        Err(cause) => {
            Err(Failure { exit: Exit::Usage, ..Failure::io("cannot read the task from the input stream", &cause) })
        }
    }
}
