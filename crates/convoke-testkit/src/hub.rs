//! A whole hub in a line: a store in a folder of its own, an engine, and a way to wait for facts.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use convoke_domain::id::{RunId, WorkspaceId};
use convoke_domain::profile::Profile;
use convoke_domain::record::RunRecord;
use convoke_domain::team::Team;
use convoke_engine::{Caps, Config, Engine, Error, StartRun, Worker};
use convoke_port::clock::SystemClock;
use convoke_port::model::Models;
use convoke_port::tool::Tools;
use convoke_store::{Options, Store, Tx, UseCase, user};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::event::undocumented;
use crate::model::FakeModels;

/// A fact that is not there after so long will not come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Events that are looked at together, and how often: of a long run it is the beginning.
const PAGE: u32 = 1_000;
const PAGES: usize = 5;

/// A hub for one test.
pub struct Hub {
    /// The engine.
    pub engine: Engine,
    worker: Option<Worker>,
    dir: Option<TempDir>,
}

/// A team for tests: a coordinator `lead` and members, with rules and budget as given.
pub fn team(members: &[&str], more: Value) -> Team {
    let members: Vec<_> = members.iter().map(|name| json!({"profile": name})).collect();
    let mut value = json!({"name": "test", "coordinator": "lead", "members": members});
    merge(&mut value, more);
    serde_json::from_value(value).expect("a team")
}

/// A profile for tests, with more fields as given.
pub fn profile(name: &str, more: Value) -> Profile {
    let mut value = json!({"name": name, "prompt": "Do it.", "model": "fake/model", "capacity": 10_000});
    merge(&mut value, more);
    serde_json::from_value(value).expect("a profile")
}

/// Whoever starts the runs of tests may, and need not own the workspace for that.
struct Tester(WorkspaceId);

impl UseCase for Tester {
    type Out = ();

    fn ws(&self) -> WorkspaceId {
        self.0
    }

    async fn run(&self, tx: &mut Tx<'_>) -> convoke_store::Result<()> {
        user::ensure(tx, "tester", "operator").await.map(drop)
    }
}

fn merge(value: &mut Value, more: Value) {
    if let (Value::Object(into), Value::Object(from)) = (value, more) {
        into.extend(from);
    }
}

impl Hub {
    /// A hub on SQLite in a new folder, with a pool at work.
    pub async fn new(models: FakeModels, tools: impl Tools) -> Self {
        Self::with(models, tools, |_| {}).await
    }

    /// The same with other settings.
    pub async fn with(models: FakeModels, tools: impl Tools, set: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let mut hub = Self::open(dir.path(), models, tools, set).await;
        hub.dir = Some(dir);
        hub.start().await;
        hub
    }

    /// A hub over a folder that may hold something, without a pool.
    pub async fn open(dir: &Path, models: FakeModels, tools: impl Tools, set: impl FnOnce(&mut Config)) -> Self {
        let store = Store::open_sqlite(dir, Options::default()).await.expect("a store");
        Self::over(store, dir.join("work"), models, tools, set)
    }

    /// A hub over any store, without a pool.
    pub fn over(
        store: Store,
        work: PathBuf,
        models: impl Models,
        tools: impl Tools,
        set: impl FnOnce(&mut Config),
    ) -> Self {
        let mut config = Config::new(work);
        config.poll = Duration::from_millis(50);
        config.attempt_backoff.base = Duration::from_millis(1);
        config.call_backoff.base = Duration::from_millis(1);
        set(&mut config);
        let engine = Engine::new(store, Arc::new(models), Arc::new(tools), Arc::new(SystemClock), config);
        Self { engine, worker: None, dir: None }
    }

    /// Puts a pool to work.
    pub async fn start(&mut self) {
        self.worker = Some(self.engine.work().await.expect("a pool"));
    }

    /// Stops the pool gracefully.
    pub async fn stop(&mut self) {
        if let Some(worker) = self.worker.take() {
            worker.stop().await;
        }
    }

    /// Saves a team with profiles of the same names as its members, and what starts a run of it.
    pub async fn prepare(&self, team: Team, profiles: Vec<Profile>, task: &str) -> Result<StartRun, Error> {
        let name = team.name.clone();
        self.engine.store().run(Tester(self.engine.config().workspace)).await?;
        self.engine.save(profiles, vec![team], "tester").await?;
        let (mut spec, team_version) = self.engine.assemble(&name).await?;
        spec.choose_models(None, None);
        Ok(StartRun {
            spec,
            team_version,
            task: task.to_owned(),
            input: None,
            session: None,
            caps: Caps::default(),
            simulated: false,
            user: "tester".to_owned(),
            idempotency_key: None,
        })
    }

    /// Starts a run of a team whose profiles are plain.
    pub async fn run(&self, team: Team, task: &str) -> RunId {
        let names = team.members.iter().map(|member| member.profile.clone()).chain([team.coordinator.clone()]);
        let profiles = names.map(|name| profile(&name, json!({}))).collect();
        let start = self.prepare(team, profiles, task).await.expect("a team that is right");
        self.engine.start_run(start).await.expect("a run")
    }

    /// Waits until a run stands in one of these states, and tells all about it.
    pub async fn until(&self, run: RunId, states: &[&str]) -> RunRecord {
        let mut feed = self.engine.store().subscribe();
        let wait = async {
            loop {
                let record = self.engine.run_record(run).await.expect("the run");
                if states.contains(&record.summary.state.as_str()) {
                    return record;
                }
                // Whatever comes next, or was missed, is a reason to look again.
                let _ = feed.next().await;
            }
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(record) => record,
            Err(_) => {
                let record = self.engine.run_record(run).await.expect("the run");
                panic!("run {run} stands in `{}`, not in {states:?}: {record:#?}", record.summary.state)
            }
        }
    }

    /// Waits until a run has ended. All that happened by then must be as the page of events says.
    pub async fn ended(&self, run: RunId) -> RunRecord {
        let record = self.until(run, &["completed", "failed", "cancelled", "escalated"]).await;
        self.events_are_documented().await;
        record
    }

    async fn events_are_documented(&self) {
        let (mut after, mut problems) = (0, BTreeSet::new());
        for _ in 0..PAGES {
            let events =
                self.engine.store().events_after(WorkspaceId::DEFAULT, after, None, PAGE).await.expect("events");
            let Some(last) = events.last() else { break };
            after = last.seq;
            problems.extend(events.iter().filter_map(|event| undocumented(&event.kind, &event.entity, &event.payload)));
        }
        assert!(problems.is_empty(), "{problems:#?}");
    }
}
