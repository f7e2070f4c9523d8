//! What is known after a round: the run in full, its bills, budgets, events and agents from the data folder, the requests
//! from the mock, the files from the disk. Read by the store's and the engine's own readers, beside no one.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use convoke_bench_mock::Mock;
use convoke_bench_mock::tally::Record;
use convoke_connect::model::script::Scripts;
use convoke_connect::model::{ModelConfig, PriceTable, Providers};
use convoke_connect::tool::{ToolLimits, Toolbox};
use convoke_domain::budget::{Amount, Budget};
use convoke_domain::event::Event;
use convoke_domain::id::{RunId, WorkspaceId};
use convoke_domain::money::Money;
use convoke_domain::record::{RunRecord, UsageRecord};
use convoke_domain::transcript::Usage;
use convoke_engine::{Config, Engine};
use convoke_port::clock::SystemClock;
use convoke_store::migrate::LATEST;
use convoke_store::usage::Record as Bill;
use convoke_store::verify::Problem;
use convoke_store::{Error, Options, PgOptions, Store, Tx, UseCase, agent, budget, usage};

use super::job::Job;

/// Events read at once.
const PAGE: u32 = 1_000;

/// All that is known.
pub struct Facts {
    /// The run in full.
    pub run: RunRecord,
    /// The ledger.
    pub bills: Vec<Bill>,
    /// Every budget.
    pub budgets: Vec<Budget>,
    /// Every agent and the tasks it holds.
    pub agents: Vec<(String, i64)>,
    /// Every event.
    pub events: Vec<Event>,
    /// What the store finds wrong with itself.
    pub problems: Vec<Problem>,
    /// What the mock was asked.
    pub records: Vec<Record>,
    /// Each specialist's attempt folder: the specialist and (name, text) of its files.
    pub files: Vec<(String, Vec<(String, String)>)>,
}

impl Facts {
    /// Reads all of it.
    pub fn read(job: &Job, mock: &Mock) -> Result<Self> {
        runtime()?.block_on(async {
            let data = &job.data;
            let engine = engine(job).await?;
            let runs = engine.run_ids(None, 10).await?;
            ensure!(runs.len() == 1, "{} runs instead of one", runs.len());
            let run = engine.run_record(runs[0]).await?;
            let store = engine.store();
            let (bills, budgets, agents) = store.read(Kept(runs[0])).await?;
            let events = events(store).await?;
            let problems = store.verify().await?.problems;
            let files = files(&data.join("work"), &run)?;
            Ok(Self { run, bills, budgets, agents, events, problems, records: mock.records(), files })
        })
    }

    /// What was billed with the provider's own figures.
    pub fn billed(&self) -> impl Iterator<Item = &Bill> {
        self.bills.iter().filter(|bill| bill.basis == "provider")
    }

    /// The report as it would be had no call been lost: without times, ids, tries and what was billed for lost calls.
    pub fn report(&self) -> String {
        let mut run = self.run.clone();
        let total = amount(self.billed());
        run.summary.model_calls = i64::try_from(self.billed().count()).unwrap_or(i64::MAX);
        (run.summary.cost_usd, run.summary.tokens) = (total.cost, total.tokens);
        for task in &mut run.tasks {
            let own = amount(self.billed().filter(|bill| bill.task == task.id));
            (task.cost_usd, task.tokens) = (own.cost, own.tokens);
            task.attempts.iter_mut().flat_map(|attempt| &mut attempt.steps).for_each(|step| step.tries = 1);
        }
        run.usage.iter_mut().for_each(|line| self.without_lost(line));
        // What was billed for lost calls is in the cost per outcome, and that they were made again in the figures.
        if let Some(told) = &mut run.analytics {
            (told.cost, told.retries) = Default::default();
        }
        for budget in &mut run.budgets {
            (budget.settled, budget.overrun, budget.warned) = (total, Money::ZERO, false);
        }
        convoke_report::markdown_without_times(&run)
    }

    fn without_lost(&self, line: &mut UsageRecord) {
        let mine = || self.billed().filter(|bill| bill.agent == line.agent && bill.model == line.model);
        let (calls, cost) = (mine().count(), amount(mine()).cost);
        let sum = mine().fold(Usage::default(), |sum, bill| sum + used(bill));
        (line.lost_calls, line.usage, line.cost_usd) = (0, sum, cost);
        line.calls = i64::try_from(calls).unwrap_or(i64::MAX);
    }
}

fn used(bill: &Bill) -> Usage {
    Usage {
        input_tokens: bill.input_tokens,
        cache_read_tokens: bill.cache_read_tokens,
        cache_write_tokens: bill.cache_write_tokens,
        output_tokens: bill.output_tokens,
        reasoning_tokens: bill.reasoning_tokens,
    }
}

/// The sum of bills.
pub fn amount<'a>(bills: impl Iterator<Item = &'a Bill>) -> Amount {
    bills.fold(Amount::default(), |sum, bill| Amount {
        cost: sum.cost + bill.cost,
        tokens: sum.tokens + i64::try_from(bill.input_tokens + bill.output_tokens).unwrap_or(i64::MAX),
    })
}

/// True once a run was accepted in a data folder or database, which may not be there, or not have its tables yet.
pub fn has_run(job: &Job) -> Result<bool> {
    runtime()?.block_on(async {
        let store = match open(job).await {
            Ok(store) if store.schema_version().await? < LATEST => return Ok(false),
            Ok(store) => store,
            Err(Error::Missing { .. }) => return Ok(false),
            Err(Error::Unavailable(why)) if why.contains("schema version") => return Ok(false),
            Err(error) => return Err(error).context("the folder cannot be read after a kill"),
        };
        let runs = over(store, &job.data).run_ids(None, 1).await?;
        Ok(!runs.is_empty())
    })
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// Empties the database of a job, so that the program itself makes its tables, or leaves none behind.
pub fn empty(url: &str, schema: &str) -> Result<()> {
    runtime()?.block_on(async {
        let pg = PgOptions { schema: Some(schema.to_owned()), create_schema: true, lanes: 1, ..PgOptions::default() };
        let store = Store::open_postgres(url, pg, Options::default()).await?;
        store.migrate_to(0).await?;
        Ok(store.close().await?)
    })
}

async fn open(job: &Job) -> convoke_store::Result<Store> {
    let options = Options { migrate: false, ..Options::default() };
    match &job.database {
        Some(url) => Store::open_postgres(url, PgOptions { lanes: 1, ..PgOptions::default() }, options).await,
        None => Store::open_reader(&job.data, options).await,
    }
}

async fn engine(job: &Job) -> Result<Engine> {
    Ok(over(open(job).await?, &job.data))
}

/// An engine that only reads: its models and tools are never asked.
fn over(store: Store, data: &Path) -> Engine {
    let providers = Providers::new(ModelConfig::default(), PriceTable::built_in(), Arc::new(Scripts { built_in: &[] }));
    let tools = Arc::new(Toolbox::new(ToolLimits::default()));
    Engine::new(store, Arc::new(providers), tools, Arc::new(SystemClock), Config::new(data.join("work")))
}

async fn events(store: &Store) -> Result<Vec<Event>> {
    let mut events: Vec<Event> = Vec::new();
    loop {
        let after = events.last().map_or(0, |event| event.seq);
        let page = store.events_after(WorkspaceId::DEFAULT, after, None, PAGE).await?;
        if page.is_empty() {
            return Ok(events);
        }
        events.extend(page);
    }
}

/// An agent, and the names and contents of its files.
type Left = (String, Vec<(String, String)>);

/// What agents left in the folders of their attempts.
fn files(work: &Path, run: &RunRecord) -> Result<Vec<Left>> {
    let mut all = Vec::new();
    for task in run.tasks.iter().filter(|task| task.stage == "work") {
        let folder = work.join(run.summary.id.to_string()).join(task.id.to_string()).join("1");
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&folder).with_context(|| format!("{} is missing", folder.display()))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            found.push((name, std::fs::read_to_string(entry.path())?));
        }
        found.sort();
        all.push((task.agent.clone(), found));
    }
    Ok(all)
}

/// What only the store knows.
struct Kept(RunId);

impl UseCase for Kept {
    type Out = (Vec<Bill>, Vec<Budget>, Vec<(String, i64)>);

    fn ws(&self) -> WorkspaceId {
        WorkspaceId::DEFAULT
    }

    async fn run(&self, tx: &mut Tx<'_>) -> convoke_store::Result<Self::Out> {
        let bills = usage::of_run(tx, self.0).await?;
        let budgets = budget::list(tx, "", 10_000).await?.into_iter().map(Budget::from).collect();
        let agents = agent::list(tx, "", 10_000).await?.into_iter().map(|agent| (agent.name, agent.running)).collect();
        Ok((bills, budgets, agents))
    }
}
