//! The same run, played by the same script, gives the same report: twice on SQLite, and on PostgreSQL.

use std::path::Path;
use std::sync::Arc;

use convoke_api::library;
use convoke_connect::model::script::{ScriptSource, ScriptText};
use convoke_connect::model::{ModelConfig, PriceTable, Providers};
use convoke_connect::tool::{ToolLimits, Toolbox};
use convoke_engine::{Caps, Config, Engine, StartRun};
use convoke_port::clock::SystemClock;
use convoke_store::{Options, PgOptions, Store};
use convoke_testkit::incident;

use crate::support::rested;

const TEAM: &str = "incident-response";

/// The library's scripts without their delays.
struct AtOnce;

impl ScriptSource for AtOnce {
    fn read(&self, name: &str) -> Result<ScriptText, String> {
        let (_, yaml) = library::scripts().iter().find(|(known, _)| *known == name).ok_or("no such script")?;
        let kept = yaml.lines().map(|line| if line.trim_start().starts_with("latency_ms:") { "" } else { line });
        Ok(ScriptText { file: name.to_owned(), yaml: kept.collect::<Vec<_>>().join("\n") })
    }
}

/// The report of the library's team on this input, on any store.
async fn report(store: Store, work: &Path, input: &Path) -> String {
    let providers = Providers::new(ModelConfig::default(), PriceTable::built_in(), Arc::new(AtOnce));
    let tools = Arc::new(Toolbox::new(ToolLimits::default()));
    let engine = Engine::new(store, Arc::new(providers), tools, Arc::new(SystemClock), Config::new(work.to_owned()));
    let known = library::bundle();
    engine.install(known.profiles, known.teams).await.expect("the library");
    let (mut spec, team_version) = engine.assemble(TEAM).await.expect("the team");
    spec.choose_models(Some(&format!("script/{TEAM}")), None);
    let start = StartRun {
        spec,
        team_version,
        task: "Find the cause of the incident.".to_owned(),
        input: Some(input.display().to_string()),
        session: None,
        caps: Caps::default(),
        simulated: true,
        user: "system".to_owned(),
        idempotency_key: None,
    };
    let worker = engine.work().await.expect("a pool");
    let run = engine.start_run(start).await.expect("a run");
    let record = rested(&engine, run).await;
    assert_eq!(record.summary.state, "completed", "{:?}", record.summary.error);
    worker.stop().await;
    assert_eq!(engine.store().verify().await.expect("verified").problems, []);
    engine.store().close().await.expect("closed");
    convoke_report::markdown_without_times(&record)
}

/// A schema of its own on the server that the tests are given.
async fn postgres() -> Store {
    let url = std::env::var("CONVOKE_TEST_PG");
    let url = url.expect("CONVOKE_TEST_PG names no PostgreSQL for tests; run `cargo xtask test`, which starts one");
    let schema = format!("same_{}_{:08x}", std::process::id(), fastrand::u32(..));
    let options = PgOptions { schema: Some(schema), create_schema: true, ..PgOptions::default() };
    Store::open_postgres(&url, options, Options::default()).await.expect("a schema")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_script_gives_the_same_report_on_both_databases() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = |name: &str| home.path().join(name);
    incident::write(&incident::Options::default(), &folder("input")).expect("an incident");
    let mut reports = Vec::new();
    for place in ["first", "second"] {
        let store = Store::open_sqlite(&folder(place), Options::default()).await.expect("a store");
        reports.push(report(store, &folder(place).join("work"), &folder("input")).await);
    }
    reports.push(report(postgres().await, &folder("third"), &folder("input")).await);
    assert!(reports[0].len() > 5_000, "a whole report: {}", reports[0]);
    for other in &reports[1..] {
        convoke_bench::soak::kill::check::same(&reports[0], other).expect("the same report");
    }
}
