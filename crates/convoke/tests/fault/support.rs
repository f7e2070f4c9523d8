//! What these tests stand on: rounds of kills, and a hub with the real adapters and tools at a mock.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use convoke_bench::soak::kill::{Outcome, Rounds};
use convoke_bench_mock::Mock;
use convoke_connect::model::script::Scripts;
use convoke_connect::model::{ModelConfig, PriceTable, Providers};
use convoke_connect::tool::{ToolLimits, Toolbox};
use convoke_domain::id::RunId;
use convoke_domain::record::RunRecord;
use convoke_domain::team::Team;
use convoke_engine::{Caps, Config, Engine, StartRun, Worker};
use convoke_port::clock::SystemClock;
use convoke_store::{Options, Store};
use convoke_testkit::hub;
use serde_json::{Value, json};

/// Rounds at the same time.
const AT_ONCE: usize = 2;
/// A fact that is not there after so long will not come.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program.
pub fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_convoke"))
}

/// So many rounds with seeds that follow a random one; a failure names its seed and keeps its folder.
pub fn rounds(count: u64, round: impl Fn(&Rounds, u64) -> anyhow::Result<Outcome> + Sync) {
    tell(&rounds_on(None, count, round));
}

/// The same with the data on a PostgreSQL server, if one is given.
pub fn rounds_on(
    server: Option<&str>,
    count: u64,
    round: impl Fn(&Rounds, u64) -> anyhow::Result<Outcome> + Sync,
) -> Vec<Outcome> {
    let first = fastrand::u64(..1 << 32);
    println!("seeds {first} to {}", first + count - 1);
    let scratch = tempfile::tempdir().expect("a folder");
    let folder = scratch.path().canonicalize().expect("it is there");
    let rounds = Rounds::on(binary(), &folder, server).expect("a run in peace");
    let (next, outcomes, failures) = (AtomicU64::new(first), Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::SeqCst);
            if seed >= first + count {
                return;
            }
            match round(&rounds, seed) {
                Ok(outcome) => outcomes.lock().expect("no panic").push(outcome),
                Err(error) => failures.lock().expect("no panic").push(format!("{error:#}")),
            }
        }
    };
    std::thread::scope(|scope| (0..AT_ONCE).for_each(|_| drop(scope.spawn(work))));
    let failures = failures.into_inner().expect("no panic");
    if !failures.is_empty() {
        let kept = scratch.keep();
        panic!("{} of {count} rounds failed, kept in {}:\n{}", failures.len(), kept.display(), failures.join("\n"));
    }
    outcomes.into_inner().expect("no panic")
}

/// The kills must have hit: rounds in which nothing was ever under way would prove nothing.
fn tell(outcomes: &[Outcome]) {
    let sum = |of: fn(&Outcome) -> usize| outcomes.iter().map(of).sum::<usize>();
    let (kills, repeated, lost) = (sum(|o| o.kills), sum(|o| o.repeated), sum(|o| o.lost));
    println!("{kills} kills, {repeated} calls asked again, {lost} billed as lost");
    assert!(kills >= outcomes.len(), "{kills} kills in {} rounds", outcomes.len());
    assert!(repeated > 0 && lost >= repeated, "no kill hit a call that was under way");
}

/// A hub with everything real but the model server.
pub struct Hub {
    /// The engine.
    pub engine: Engine,
    /// The model server.
    pub mock: Mock,
    _worker: Worker,
    _dir: tempfile::TempDir,
}

impl Hub {
    /// A hub at a mock, at work.
    pub async fn new(mock: Mock, set: impl FnOnce(&mut Config)) -> Self {
        // A second hub in one process finds it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::tempdir().expect("a folder");
        let store = Store::open_sqlite(dir.path(), Options::default()).await.expect("a store");
        let mut models = ModelConfig::default();
        models.openai.base_url = mock.base_url();
        let providers = Providers::new(models, PriceTable::built_in(), Arc::new(Scripts { built_in: &[] }));
        let mut config = Config::new(dir.path().join("work"));
        config.poll = Duration::from_millis(50);
        config.attempt_backoff.base = Duration::from_millis(1);
        config.call_backoff.base = Duration::from_millis(1);
        set(&mut config);
        let tools = Arc::new(Toolbox::new(ToolLimits::default()));
        let engine = Engine::new(store, Arc::new(providers), tools, Arc::new(SystemClock), config);
        let _worker = engine.work().await.expect("a pool");
        Self { engine, mock, _worker, _dir: dir }
    }

    /// What starts a run of this team, whose members have these fields in common.
    pub async fn prepare(&self, team: Team, more: Value) -> StartRun {
        let model = || json!({"model": "openai/gpt-4.1-mini"});
        let member = |name: &str| hub::profile(name, with(model(), more.clone()));
        let mut profiles: Vec<_> = team.members.iter().map(|named| member(&named.profile)).collect();
        profiles.push(hub::profile(&team.coordinator, model()));
        let name = team.name.clone();
        self.engine.save(profiles, vec![team], "system").await.expect("a team that is right");
        let (mut spec, team_version) = self.engine.assemble(&name).await.expect("the team");
        spec.choose_models(None, None);
        StartRun {
            spec,
            team_version,
            task: "Look.".to_owned(),
            input: None,
            session: None,
            caps: Caps::default(),
            simulated: false,
            user: "system".to_owned(),
            idempotency_key: None,
        }
    }

    /// Runs a team to where it rests.
    pub async fn run(&self, team: Team, more: Value) -> RunRecord {
        let start = self.prepare(team, more).await;
        let run = self.engine.start_run(start).await.expect("a run");
        self.rested(run).await
    }

    /// Waits until a run has ended, or is held, or waits.
    pub async fn rested(&self, run: RunId) -> RunRecord {
        rested(&self.engine, run).await
    }
}

/// Waits until a run has ended, or is held, or waits.
pub async fn rested(engine: &Engine, run: RunId) -> RunRecord {
    let mut feed = engine.store().subscribe();
    let wait = async {
        loop {
            let record = engine.run_record(run).await.expect("the run");
            if !matches!(record.summary.state.as_str(), "initializing" | "running" | "aggregating") {
                return record;
            }
            // Whatever comes next, or was missed, is a reason to look again.
            let _ = feed.next().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("the run comes to rest")
}

/// A team of one member who gets the task as it is; the coordinator puts the results together.
pub fn one(more: Value) -> Team {
    hub::team(&["logs"], with(json!({"rules": {"planning": "same_task", "retries": 0}}), more))
}

fn with(mut fields: Value, more: Value) -> Value {
    if let (Value::Object(fields), Value::Object(more)) = (&mut fields, more) {
        fields.extend(more);
    }
    fields
}

/// Processes of the machine with this in their command line.
pub fn processes_with(needle: &str) -> usize {
    let all = std::fs::read_dir("/proc").expect("the processes").flatten();
    let lines = all.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(needle)).count()
}
