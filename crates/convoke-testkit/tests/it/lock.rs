//! A writer that is stopped in the middle of a write, past its lease, and woken when its task is in other hands: the real
//! tools refuse it by its old token.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use convoke_connect::tool::{ToolLimits, Toolbox};
use convoke_domain::time::Timestamp;
use convoke_engine::{Caps, Config, Engine, StartRun};
use convoke_port::BoxFuture;
use convoke_port::clock::SystemClock;
use convoke_port::model::ModelRequest;
use convoke_port::tool::{ToolError, ToolInfo, ToolOutput, ToolRequest, ToolScope, Tools};
use convoke_store::{Options, Store};
use convoke_testkit::hub::{profile, team};
use convoke_testkit::model::{FakeModels, asks, says};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The real tools; the first write stops before it begins, as a process that is stopped would.
struct Stopping {
    tools: Toolbox,
    writes: AtomicU32,
    stopped: Notify,
    woken: Notify,
    seen: Mutex<Vec<(String, Result<ToolOutput, ToolError>)>>,
    told: Notify,
}

/// The tools as an engine gets them.
struct Handle(Arc<Stopping>);

impl Tools for Handle {
    fn offer<'a>(&'a self, scope: &'a ToolScope) -> BoxFuture<'a, (Vec<ToolInfo>, Vec<String>)> {
        self.0.tools.offer(scope)
    }

    fn call<'a>(
        &'a self,
        scope: &'a ToolScope,
        request: &'a ToolRequest,
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<ToolOutput, ToolError>> {
        let (at, scope, request, cancel) = (Arc::clone(&self.0), scope.clone(), request.clone(), cancel.clone());
        Box::pin(async move {
            // On a task of its own: a process that sleeps does not notice that nobody waits for it any more.
            let done = tokio::spawn(async move {
                if at.writes.fetch_add(1, Ordering::SeqCst) == 0 {
                    at.stopped.notify_one();
                    at.woken.notified().await;
                }
                let result = at.tools.call(&scope, &request, &CancellationToken::new()).await;
                let content = request.input["content"].as_str().unwrap_or_default().to_owned();
                at.seen.lock().expect("not poisoned").push((content, result.clone()));
                at.told.notify_one();
                result
            });
            tokio::select! {
                done = done => done.expect("no panic"),
                () = cancel.cancelled() => Err(ToolError::Cancelled),
            }
        })
    }
}

fn write(content: &str) -> Value {
    json!({"path": "shared/report.md", "content": content})
}

fn play(request: &ModelRequest) -> convoke_port::model::ModelReply {
    match (request.origin.stage.as_str(), request.origin.turn) {
        ("work", 1) => asks(&[("a", "lock", json!({"resources": ["file:shared/report.md"]}))]),
        ("work", 2) => asks(&[("b", "write_file", write("one"))]),
        ("work", 3) => asks(&[("c", "write_file", write("two"))]),
        _ => says("done"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_writer_that_was_stopped_past_its_lease_writes_nothing_when_it_wakes() {
    let dir = tempfile::tempdir().expect("a folder");
    let ahead = Arc::new(AtomicI64::new(0));
    let clock = Arc::clone(&ahead);
    let real = |ahead: i64| {
        let since = std::time::UNIX_EPOCH.elapsed().expect("after 1970");
        Timestamp::from_micros(i64::try_from(since.as_micros()).expect("small") + ahead)
    };
    let options = Options { clock: Arc::new(move || real(clock.load(Ordering::SeqCst))), ..Options::default() };
    let store = Store::open_sqlite(dir.path(), options).await.expect("a store");
    let tools = Arc::new(Stopping {
        tools: Toolbox::new(ToolLimits::default()),
        writes: AtomicU32::new(0),
        stopped: Notify::new(),
        woken: Notify::new(),
        seen: Mutex::default(),
        told: Notify::new(),
    });
    let engine = engine(&store, &tools, dir.path(), Duration::from_secs(3_600));
    let stopped = engine.work().await.expect("a pool");
    let run = engine.start_run(start(&engine).await).await.expect("a run");
    tools.stopped.notified().await;
    // The lease of the task runs out; the lock does not yet, so whoever takes the task over finds it locked.
    ahead.store(31_000_000, Ordering::SeqCst);
    let other = self::engine(&store, &tools, dir.path(), Duration::from_millis(50));
    let worker = other.work().await.expect("another pool");
    let mut feed = engine.store().subscribe();
    while engine.run_record(run).await.expect("the run").summary.state != "completed" {
        let _ = feed.next().await;
    }
    let file = dir.path().join("work").join(run.to_string()).join("shared/report.md");
    assert_eq!(std::fs::read_to_string(&file).expect("written"), "two");
    tools.woken.notify_one();
    while tools.seen.lock().expect("not poisoned").len() < 3 {
        tools.told.notified().await;
    }
    let last = tools.seen.lock().expect("not poisoned").pop().expect("three writes");
    assert!(matches!(&last, (content, Err(ToolError::Stale(_))) if content == "one"), "{last:?}");
    assert_eq!(std::fs::read_to_string(&file).expect("written"), "two", "the late write came to nothing");
    let kinds: BTreeSet<String> = engine
        .store()
        .events_after(engine.config().workspace, 0, Some(run), 1_000)
        .await
        .expect("events")
        .into_iter()
        .map(|event| event.kind)
        .collect();
    assert!(kinds.contains("task.taken_over") && kinds.contains("lock.acquired"), "{kinds:?}");
    worker.stop().await;
    stopped.stop().await;
}

/// A process on the store: how often it looks for what others left is how alive it is here.
fn engine(store: &Store, tools: &Arc<Stopping>, dir: &Path, poll: Duration) -> Engine {
    let config = Config { poll, exclusive: false, concurrency: 1, ..Config::new(dir.join("work")) };
    let models = FakeModels::new(|request| Ok(play(request)));
    let handle = Arc::new(Handle(Arc::clone(tools)));
    Engine::new(store.clone(), Arc::new(models), handle, Arc::new(SystemClock), config)
}

async fn start(engine: &Engine) -> StartRun {
    let profiles = vec![profile("lead", json!({})), profile("ann", json!({"tools": ["@lock", "write_file"]}))];
    let team = team(&["ann"], json!({"rules": {"planning": "same_task"}}));
    engine.save(profiles, vec![team], "system").await.expect("saved");
    let (mut spec, team_version) = engine.assemble("test").await.expect("a team");
    spec.choose_models(None, None);
    StartRun {
        spec,
        team_version,
        task: "Write.".into(),
        input: None,
        session: None,
        caps: Caps::default(),
        simulated: false,
        user: "system".into(),
        idempotency_key: None,
    }
}
