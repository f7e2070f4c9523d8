//! Every pattern of the library on real stores: 200 random runs of each end within their limits and leave nothing over, the same
//! seed gives the same end, and so does a run whose process dies again and again.
//!
//! A failure names the pattern and the seed; `CONVOKE_SEED=N` runs that seed alone, `CONVOKE_RUNS=10` so many of each.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use convoke_api::library;
use convoke_domain::flow::made::Draw;
use convoke_domain::profile::Profile;
use convoke_domain::record::RunRecord;
use convoke_domain::team::Team;
use convoke_domain::time::Timestamp;
use convoke_engine::StartRun;
use convoke_port::tool::Repeat;
use convoke_store::{Options, PgOptions, Store};
use convoke_testkit::hub::{Hub, profile, team};
use convoke_testkit::tool::{FakeTools, gives};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::conduct::{Conductor, Stopped, World};
use crate::left;

/// Runs of a pattern on a store, unless `CONVOKE_RUNS` says otherwise.
const RUNS: u64 = 200;
/// Of so many, one is played twice beside each other.
const PER_TWIN: u64 = 10;
/// Runs that are played again with crashes.
const CRASHED: u64 = 20;
/// How often their process dies.
const CRASHES: u64 = 4;
/// The time of a run, by the clock of its store.
const TIME: i64 = 1_000;
/// Tasks that no run may go beyond.
const TASKS_MAX: usize = 300;

/// Where the runs of a test are kept.
struct Place {
    dir: tempfile::TempDir,
    /// The schema, on PostgreSQL.
    schema: Option<(String, String)>,
    /// How far the store's clock is ahead, in microseconds.
    ahead: Arc<AtomicI64>,
}

impl Place {
    fn new(postgres: bool) -> Self {
        let url = postgres.then(|| std::env::var("CONVOKE_TEST_PG"));
        let url = url.map(|url| {
            url.expect("CONVOKE_TEST_PG names no PostgreSQL for tests; run `cargo xtask test`, which starts one")
        });
        let schema = url.map(|url| (url, format!("pattern_{}_{:08x}", std::process::id(), fastrand::u32(..))));
        Self { dir: tempfile::tempdir().expect("a folder"), schema, ahead: Arc::default() }
    }

    async fn open(&self) -> Store {
        let ahead = Arc::clone(&self.ahead);
        let clock = move || {
            let since = std::time::UNIX_EPOCH.elapsed().expect("after 1970");
            let real = i64::try_from(since.as_micros()).expect("small");
            Timestamp::from_micros(real + ahead.load(Ordering::SeqCst))
        };
        let options = Options { clock: Arc::new(clock), feed: 1 << 16, ..Options::default() };
        match &self.schema {
            None => Store::open_sqlite(self.dir.path(), options).await.expect("a store"),
            Some((url, schema)) => {
                let pg =
                    PgOptions { schema: Some(schema.clone()), create_schema: true, lanes: 1, ..PgOptions::default() };
                Store::open_postgres(url, pg, options).await.expect("a schema")
            }
        }
    }

    /// The time of every run that has not ended is up.
    fn let_time_pass(&self) {
        self.ahead.fetch_add((TIME + 1) * 1_000_000, Ordering::SeqCst);
    }
}

/// A process: a store with a runtime of its own, and a hub on another.
struct Process {
    home: Runtime,
    store: Store,
    runtime: Runtime,
    hub: Hub,
}

impl Process {
    fn start(place: &Place, world: &World) -> Self {
        let home =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let store = home.block_on(place.open());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let hub = runtime.block_on(Self::open(&store, place.dir.path(), world));
        Self { home, store, runtime, hub }
    }

    async fn open(store: &Store, dir: &Path, world: &World) -> Hub {
        let tools = FakeTools::new(&[("write_file", Repeat::Idempotent)], |_| gives("written"));
        let mut hub = Hub::over(store.clone(), dir.join("work"), world.clone(), tools, |config| {
            config.concurrency = 4_096;
            config.call_tries = 1;
            config.attempt_backoff.base = Duration::ZERO;
            // What dies here is known to be dead; what lives is never doubted, however far the clock is put ahead.
            config.lease = Duration::from_secs(10_000_000);
            config.stale_after = Duration::from_secs(10_000_000);
        });
        hub.engine.ensure_user("tester").await.expect("a user");
        tokio::spawn(world.clone().listen(store.clone()));
        hub.start().await;
        hub
    }

    /// Drops everything that is under way.
    fn crash(self, conductors: &[Arc<Conductor>]) {
        drop(self.hub);
        drop(self.runtime);
        self.home.block_on(self.store.close()).expect("a store that closes");
        conductors.iter().for_each(|conductor| conductor.forget_calls());
    }

    /// Starts a run of each seed; its name tells runs of the same seed apart.
    fn begin(&self, world: &World, specs: &[Shape], seeds: &[(u64, String)]) -> Vec<Arc<Conductor>> {
        self.runtime.block_on(async {
            let mut starts = Vec::new();
            for spec in specs {
                starts.push(self.hub.prepare(spec.team.clone(), spec.profiles.clone(), "").await.expect("a team"));
            }
            let (mut conductors, mut starting) = (Vec::new(), JoinSet::new());
            for (seed, task) in seeds {
                let place = usize::try_from(*seed).expect("small") % specs.len();
                let conductor = world.conductor(task, *seed, &specs[place].members());
                conductors.push(Arc::clone(&conductor));
                let start = StartRun { task: task.clone(), ..starts[place].clone() };
                let engine = self.hub.engine.clone();
                starting.spawn(async move { conductor.take(engine.start_run(start).await.expect("a run")) });
            }
            starting.join_all().await;
            conductors
        })
    }

    /// Plays all these runs at the same time, each as far as `most` says.
    fn play(&self, all: &[Arc<Conductor>], most: impl Fn(&Conductor) -> (Option<u32>, bool)) -> Vec<Arc<Conductor>> {
        self.runtime.block_on(async {
            let mut playing = JoinSet::new();
            for conductor in all.iter().cloned() {
                let ((most, breaks), engine) = (most(&conductor), self.hub.engine.clone());
                playing.spawn(async move { (Arc::clone(&conductor), conductor.play(engine, most, breaks).await) });
            }
            let stopped = playing.join_all().await;
            stopped.into_iter().filter(|(_, why)| *why == Stopped::Late).map(|(late, _)| late).collect()
        })
    }

    /// Plays these runs to their ends.
    fn play_out(&self, place: &Place, all: &[Arc<Conductor>]) -> Vec<Ended> {
        let late = self.play(all, |_| (None, false));
        self.runtime.block_on(async {
            if !late.is_empty() {
                place.let_time_pass();
            }
            for conductor in &late {
                conductor.ended(&self.hub.engine).await;
            }
            while self.hub.engine.driven() > 0 {
                tokio::task::yield_now().await;
            }
            left::nothing_at_all(&self.hub.engine).await;
            let mut ends = Vec::new();
            for conductor in all {
                let record = self.hub.engine.run_record(conductor.run()).await.expect("the run");
                left::nothing_of(&self.hub.engine, &record, conductor.seed).await;
                ends.push(Ended::of(&record));
            }
            ends
        })
    }
}

/// How a run came out.
#[derive(Debug, Clone, PartialEq)]
struct Ended {
    state: String,
    output: Option<String>,
    error: Option<String>,
    tasks: Vec<Value>,
}

impl Ended {
    fn of(record: &RunRecord) -> Self {
        let task = |task: &convoke_domain::record::TaskRecord| {
            json!([
                task.stage,
                task.round,
                task.key,
                task.agent,
                task.state,
                task.output,
                task.error,
                task.attempts.len()
            ])
        };
        Self {
            state: record.summary.state.clone(),
            output: record.output.clone(),
            error: record.summary.error.clone(),
            tasks: record.tasks.iter().map(task).collect(),
        }
    }
}

/// A team and its profiles.
struct Shape {
    team: Team,
    profiles: Vec<Profile>,
}

impl Shape {
    fn members(&self) -> Vec<String> {
        self.profiles.iter().map(|profile| profile.name.clone()).collect()
    }
}

/// What teams set of a pattern, so that every way through it is taken; few rounds, for these runs are slower than those of the
/// machine alone.
fn ways(pattern: &str) -> Vec<Value> {
    match pattern {
        "consensus" => vec![json!({"rounds": 2}), json!({"options": ["x", "y"], "threshold": 0.6, "rounds": 2})],
        "debate" => vec![json!({"rounds": 1}), json!({"sides": ["for", "against", "neither"], "rounds": 2})],
        "ensemble" => vec![json!({}), json!({"how": "best", "k": 4}), json!({"how": "synthesis", "k": 2})],
        "hierarchical" => {
            vec![json!({"departments": [{"lead": "a", "members": ["b", "c"]}, {"lead": "rev", "members": ["rev"]}]})]
        }
        "majority_vote" | "weighted_vote" => vec![json!({}), json!({"options": ["x", "y", "42"]})],
        "peer_to_peer" => vec![json!({"turns": 4}), json!({"speaker": "chosen", "turns": 6, "quiet": 2})],
        "planned_team" => vec![
            json!({"rounds": 3, "checks": 2}),
            json!({"checks": 1, "dissent": "go_on", "parts": [{"key": "one", "assignee": "a"}, {"key": "two", "assignee": "rev", "depends_on": ["one"]}]}),
        ],
        "sequential" => vec![json!({}), json!({"see_all": true, "jobs": ["one", "two", "three"]})],
        "parallel_implementation" => vec![json!({"rounds": 1}), json!({"rounds": 2, "bar": "it can be read"})],
        _ => vec![json!({})],
    }
}

/// Teams of a pattern: some with a person among them.
fn shapes(name: &str) -> Vec<Shape> {
    let found = library::patterns().iter().find(|pattern| pattern.name == name);
    let policies = ["never", "on_failure", "on_disagreement"];
    let conflicts = ["vote", "evidence", "judge", "escalate"];
    let teams: [&[&str]; 3] = [&["a", "b", "c", "rev"], &["a", "rev"], &["a", "human", "rev"]];
    let mut all = Vec::new();
    for place in 0..4 {
        let members = if name == "hierarchical" { teams[0] } else { teams[place % 3] };
        for with in ways(name) {
            let rules = json!({
                "retries": 1, "timeout_s": TIME, "escalation_policy": policies[place % 3], "conflict": conflicts[place],
                "wait_for_all": place != 1, "planning": if place == 3 { "same_task" } else { "plan" },
            });
            let mut team = team(members, json!({"rules": rules, "with": with}));
            team.flow = found.map(|pattern| pattern.flow());
            assert!(team.flow.is_some() || name == "coordinator_worker", "no pattern `{name}`");
            all.push(Shape {
                team,
                profiles: members.iter().chain(&["lead"]).map(|member| one(name, member)).collect(),
            });
        }
    }
    all
}

fn one(pattern: &str, name: &str) -> Profile {
    let tools = match pattern {
        "parallel_implementation" => json!(["@lock", "write_file"]),
        "peer_to_peer" => json!(["send"]),
        _ => json!([]),
    };
    let role = if name == "rev" { "reviewer" } else { "specialist" };
    let kind = if name == "human" { "human" } else { "llm" };
    profile(name, json!({"role": role, "agent_kind": kind, "tools": tools, "max_turns": 5}))
}

/// Names the pattern where a test fails.
struct Shown<'a>(&'a str, bool);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{} on {}", self.0, if self.1 { "PostgreSQL" } else { "SQLite" });
        }
    }
}

fn pattern(name: &str, postgres: bool) {
    let _shown = Shown(name, postgres);
    let set = |name| std::env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let only = set("CONVOKE_SEED");
    let seeds: Vec<u64> = only.map_or_else(|| (0..set("CONVOKE_RUNS").unwrap_or(RUNS)).collect(), |seed| vec![seed]);
    let shapes = shapes(name);
    let began = std::time::Instant::now();
    let ends = whole(&shapes, &seeds, postgres);
    let whole_took = began.elapsed();
    let count = |state: &str| ends.values().filter(|end| end.state == state).count();
    let [completed, failed, escalated, cancelled] = ["completed", "failed", "escalated", "cancelled"].map(count);
    let most = ends.values().map(|end| end.tasks.len()).max().unwrap_or(0);
    println!(
        "{name}: {} seeds: {completed} completed, {failed} failed, {escalated} escalated, {cancelled} cancelled; at most {most} tasks; \
         {whole_took:?}, with crashes {:?}",
        seeds.len(),
        {
            let began = std::time::Instant::now();
            with_crashes(&shapes, &ends, postgres);
            began.elapsed()
        }
    );
    assert!(most <= TASKS_MAX, "{most} tasks in one run");
    assert!(ends.len() < 100 || completed > ends.len() / 20, "too few complete for the runs to say much: {completed}");
}

/// Plays all seeds, some of them twice.
fn whole(shapes: &[Shape], seeds: &[u64], postgres: bool) -> BTreeMap<u64, Ended> {
    let (place, world) = (Place::new(postgres), World::default());
    let process = Process::start(&place, &world);
    let mut named: Vec<(u64, String)> = seeds.iter().map(|seed| (*seed, seed.to_string())).collect();
    named.extend(seeds.iter().filter(|seed| *seed % PER_TWIN == 0).map(|seed| (*seed, format!("{seed}, again"))));
    let conductors = process.begin(&world, shapes, &named);
    let mut ends: BTreeMap<u64, Ended> = BTreeMap::new();
    for (conductor, end) in conductors.iter().zip(process.play_out(&place, &conductors)) {
        let first = ends.entry(conductor.seed).or_insert_with(|| end.clone());
        assert_eq!(*first, end, "seed {}: the same seed, another end", conductor.seed);
    }
    process.crash(&conductors);
    ends
}

/// Plays the first seeds again, in processes that die when each run has come somewhere else, half of the runs in the middle of
/// something.
fn with_crashes(shapes: &[Shape], ends: &BTreeMap<u64, Ended>, postgres: bool) {
    let (place, world) = (Place::new(postgres), World::default());
    let seeds = ends.keys().take(usize::try_from(CRASHED).expect("small"));
    let named: Vec<(u64, String)> = seeds.map(|seed| (*seed, seed.to_string())).collect();
    let mut conductors = Vec::new();
    for crash in 0..CRASHES {
        let process = Process::start(&place, &world);
        if crash == 0 {
            conductors = process.begin(&world, shapes, &named);
        }
        process.play(&conductors, |conductor| {
            let mut draw = Draw::new(conductor.seed ^ (crash + 1).wrapping_mul(0xC4A5));
            (Some(u32::try_from(draw.below(6)).expect("small")), draw.chance(50))
        });
        process.crash(&conductors);
    }
    let process = Process::start(&place, &world);
    for (conductor, end) in conductors.iter().zip(process.play_out(&place, &conductors)) {
        assert_eq!(ends[&conductor.seed], end, "seed {}: crashes change how it ends", conductor.seed);
    }
    process.crash(&conductors);
}

macro_rules! patterns {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[test] fn $name() { super::pattern(stringify!($name), false); })+
        }
        mod postgres {
            $(#[test] fn $name() { super::pattern(stringify!($name), true); })+
        }

        #[test]
        fn every_pattern_is_played() {
            let mut played = vec![$(stringify!($name)),+];
            played.retain(|name| *name != "coordinator_worker");
            played.sort_unstable();
            let names: Vec<&str> = library::patterns().iter().map(|pattern| pattern.name.as_str()).collect();
            assert_eq!(names, played);
        }
    };
}

patterns!(
    consensus,
    coordinator_worker,
    debate,
    ensemble,
    handoff,
    hierarchical,
    majority_vote,
    parallel,
    parallel_implementation,
    peer_review,
    peer_to_peer,
    planned_team,
    review_feedback_loop,
    sequential,
    weighted_vote,
);
