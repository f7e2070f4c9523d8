//! Runs on a real store in which chance decides and nothing else: every model call waits until it is released, one at a time,
//! in an order drawn from the run's seed, each when all that followed from the one before is done. So the same seed gives the
//! same run whatever the machine is busy with, and a crash between any two events, or in the middle of one, can be compared with
//! none. Start at [`Conductor::play`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use convoke_domain::flow::made::Draw;
use convoke_domain::id::{RunId, TaskId, WorkspaceId};
use convoke_domain::price::Price;
use convoke_engine::{Engine, TaskAnswer};
use convoke_port::BoxFuture;
use convoke_port::model::{Delta, Fault, Model, ModelError, ModelHandle, ModelReply, ModelRequest, Models, Tariff};
use convoke_store::{Result as Stored, Store, Tx, UseCase, run, task};
use convoke_testkit::model::fault;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use crate::answer::{self, Asked};

/// A run that does not come to rest for so long never will.
const PATIENCE: Duration = Duration::from_secs(120);
/// Things that happen in one run.
const EVENTS_MAX: u32 = 2_000;

/// What is waited for in a run: a model call by task, attempt and turn, or a person's answer to a task (turn 0).
pub type Point = (String, u32, u32);

/// All runs that are conducted, by their tasks; plays the models.
#[derive(Clone, Default)]
pub struct World(Arc<Mutex<HashMap<String, Arc<Conductor>>>>);

/// One run: what it waits for, and what is drawn for it.
pub struct Conductor {
    /// What everything is drawn from.
    pub seed: u64,
    /// The names of all agents.
    pub members: Vec<String>,
    changed: Notify,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    run: Option<RunId>,
    /// Model calls that wait.
    held: BTreeMap<Point, (ModelRequest, oneshot::Sender<()>)>,
    /// When what is waited for comes, in the run's own time.
    due: BTreeMap<Point, u64>,
    /// What has come. A crash may have lost it: then it comes again, and is nothing new.
    released: BTreeSet<Point>,
    now: u64,
    events: u32,
}

/// Why a conductor stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// The run has ended.
    Ended,
    /// So many things have happened as it was to play.
    Enough,
    /// It goes on when its time is up.
    Late,
}

/// A task as it was found.
struct Seen {
    id: TaskId,
    name: String,
    state: String,
    attempt: u32,
    for_person: bool,
}

/// What a run does by its seed, beside answering.
struct Fate {
    /// The longest that anything takes.
    longest: usize,
    cancelled_at: Option<u32>,
    late_at: Option<u32>,
}

impl Fate {
    fn of(seed: u64) -> Self {
        let mut draw = Draw::new(seed ^ 0xFA7E);
        let longest = [1, 8, 60][draw.below(3)];
        let mut at = |percent| draw.chance(percent).then(|| u32::try_from(draw.below(10)).unwrap_or(0));
        Self { longest, cancelled_at: at(4), late_at: at(4) }
    }
}

impl World {
    /// The conductor of the run with this task.
    pub fn conductor(&self, task: &str, seed: u64, members: &[String]) -> Arc<Conductor> {
        let fresh = || {
            let (changed, inner) = (Notify::new(), Mutex::default());
            Arc::new(Conductor { seed, members: members.to_vec(), changed, inner })
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(task.to_owned()).or_insert_with(fresh))
    }

    /// Tells the conductors what is committed, until the store is closed.
    pub async fn listen(self, store: Store) {
        let mut feed = store.subscribe();
        while let Some(event) = feed.next().await {
            let told = event.ok().filter(|event| {
                let ends = ["task.completed", "task.failed", "task.cancelled", "task.waiting", "run.waiting"];
                let ends_run = ["run.completed", "run.failed", "run.cancelled", "run.escalated"];
                ends.contains(&event.kind.as_str()) || ends_run.contains(&event.kind.as_str())
            });
            let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(event) = told else { continue };
            let of_run = |one: &&Arc<Conductor>| one.inner().run == event.run;
            all.values().filter(of_run).for_each(|one| one.changed.notify_one());
        }
    }
}

impl Models for World {
    fn find(&self, name: &str) -> Result<ModelHandle, ModelError> {
        let price = Price { input: 1.0, output: 2.0, cache_read: None, cache_write: None };
        Ok(ModelHandle {
            model: Arc::new(self.clone()),
            provider: "fake".to_owned(),
            name: name.to_owned(),
            tariff: Tariff::Priced(price),
            context_window: 200_000,
            max_output_tokens: 8_192,
        })
    }
}

impl Model for World {
    fn call<'a>(
        &'a self,
        request: &'a ModelRequest,
        _: &'a (dyn Fn(Delta) + Send + Sync),
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<ModelReply, ModelError>> {
        Box::pin(async move {
            let origin = &request.origin;
            let of_run = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&origin.run_task).cloned();
            let conductor = of_run.ok_or_else(|| fault(Fault::NoSuchModel, "nobody conducts this run"))?;
            let at = (name(&origin.stage, origin.round.into(), &origin.task_key), origin.attempt, origin.turn);
            let (release, released) = oneshot::channel();
            conductor.inner().held.insert(at.clone(), (request.clone(), release));
            conductor.changed.notify_one();
            tokio::select! {
                _ = released => answer::reply(&conductor, request, &at),
                () = cancel.cancelled() => {
                    conductor.inner().held.remove(&at);
                    Err(fault(Fault::Cancelled, "cancelled"))
                }
            }
        })
    }
}

fn name(stage: &str, round: i64, key: &str) -> String {
    format!("{stage}/{round}/{key}")
}

impl Conductor {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The run that it conducts.
    pub fn take(&self, run: RunId) {
        self.inner().run = Some(run);
    }

    /// The run that it conducts.
    pub fn run(&self) -> RunId {
        self.inner().run.expect("a run")
    }

    /// How many things have happened.
    pub fn events(&self) -> u32 {
        self.inner().events
    }

    /// The process that made the calls is gone.
    pub fn forget_calls(&self) {
        self.inner().held.clear();
    }

    /// What is drawn for something that is waited for.
    pub fn draw(&self, (name, attempt, turn): &Point, salt: u64) -> Draw {
        let mut mixed = self.seed ^ salt.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        for byte in name.bytes().chain(attempt.to_le_bytes()).chain(turn.to_le_bytes()) {
            mixed = (mixed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3).rotate_left(17);
        }
        Draw::new(mixed)
    }

    /// Lets things happen, one after the other: to the end of the run, or until so many have happened, where the last of them may
    /// be left in the middle (`breaks`).
    pub async fn play(self: Arc<Self>, engine: Engine, most: Option<u32>, breaks: bool) -> Stopped {
        let fate = Fate::of(self.seed);
        let mut played = 0;
        loop {
            let Some((points, state)) = self.rest(&engine).await else { return Stopped::Ended };
            let events = self.events();
            assert!(events < EVENTS_MAX, "seed {}: it goes on for ever", self.seed);
            if fate.cancelled_at == Some(events) {
                engine.cancel(self.run(), "tester").await.expect("it is cancelled");
                continue;
            }
            // The time of a run that waits for people stands still.
            if fate.late_at == Some(events) && state != "waiting" {
                return Stopped::Late;
            }
            if most == Some(played) {
                return Stopped::Enough;
            }
            let next = self.next(points, fate.longest);
            played += 1;
            self.release(&engine, next).await;
            if most == Some(played) && breaks {
                return Stopped::Enough;
            }
            // Something follows from everything, if only that it is recorded.
            let moved = tokio::time::timeout(PATIENCE, self.changed.notified()).await;
            assert!(moved.is_ok(), "seed {}: nothing follows", self.seed);
        }
    }

    /// Waits until the run has ended.
    pub async fn ended(&self, engine: &Engine) {
        assert!(self.rest_if(engine, true).await.is_none(), "seed {}: it goes on", self.seed);
    }

    /// Waits until nothing happens in the run by itself. Gives what is waited for, and where the run stands; nothing if it has ended.
    async fn rest(&self, engine: &Engine) -> Option<(Vec<(Point, TaskId)>, String)> {
        self.rest_if(engine, false).await
    }

    async fn rest_if(&self, engine: &Engine, to_the_end: bool) -> Option<(Vec<(Point, TaskId)>, String)> {
        let look = || engine.store().read(Look { run: self.run() });
        let wait = async {
            loop {
                let (state, tasks) = look().await.expect("the run");
                if matches!(state.as_str(), "completed" | "failed" | "cancelled" | "escalated") {
                    return None;
                }
                match self.waited_for(tasks) {
                    Some(points) if !to_the_end => return Some((points, state)),
                    _ => self.changed.notified().await,
                }
            }
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(rest) => rest,
            Err(_) => {
                let (state, tasks) = look().await.expect("the run");
                let tasks: Vec<_> = tasks.into_iter().map(|task| (task.name, task.state, task.attempt)).collect();
                let held: Vec<Point> = self.inner().held.keys().cloned().collect();
                panic!("seed {}: a run that is `{state}` does not come to rest: {tasks:?}, {held:?}", self.seed)
            }
        }
    }

    /// All that open tasks wait for; nothing while one of them goes on.
    fn waited_for(&self, tasks: Vec<Seen>) -> Option<Vec<(Point, TaskId)>> {
        let inner = self.inner();
        let mut points = Vec::new();
        for task in tasks {
            match task.state.as_str() {
                "waiting" if task.for_person => points.push(((task.name, task.attempt, 0), task.id)),
                "pending" | "waiting" => {}
                "running" => {
                    let all = (task.name.clone(), task.attempt, 0)..=(task.name, task.attempt, u32::MAX);
                    points.push((inner.held.range(all).next()?.0.clone(), task.id));
                }
                _ => return None,
            }
        }
        (!points.is_empty()).then_some(points)
    }

    /// What comes next of all that is waited for.
    fn next(&self, points: Vec<(Point, TaskId)>, longest: usize) -> (Point, TaskId) {
        let mut inner = self.inner();
        let now = inner.now;
        let when = |(at, id): (Point, TaskId)| {
            let takes = 1 + self.draw(&at, 1).below(longest) as u64;
            let due = *inner.due.entry(at.clone()).or_insert(now + takes);
            (due, at, id)
        };
        let (due, at, id) = points.into_iter().map(when).min().expect("something is waited for");
        inner.now = now.max(due);
        if inner.released.insert(at.clone()) {
            inner.events += 1;
        }
        (at, id)
    }

    async fn release(&self, engine: &Engine, (at, id): (Point, TaskId)) {
        let held = self.inner().held.remove(&at);
        if let Some((_, release)) = held {
            // Whoever called may have been cut meanwhile.
            let _ = release.send(());
            return;
        }
        let task = engine.store().run(Given { id }).await.expect("a task for a person");
        let schema = task.output_schema.as_deref().and_then(|schema| serde_json::from_str(schema).ok());
        let asked = Asked { conductor: self, at: &at, schema: schema.as_ref() };
        let answer = match asked.of_person() {
            Some(text) => TaskAnswer::Done(text),
            None => TaskAnswer::Declined("not today".to_owned()),
        };
        match engine.answer_task(id, answer, "user:tester").await {
            Ok(_) => {}
            Err(error) if error.code() == "schema_mismatch" => {
                let no = TaskAnswer::Declined("cannot say it".to_owned());
                engine.answer_task(id, no, "user:tester").await.expect("it is declined");
            }
            Err(error) => panic!("seed {}: {at:?}: {error}", self.seed),
        }
    }
}

/// A run and its open tasks.
struct Look {
    run: RunId,
}

impl UseCase for Look {
    type Out = (String, Vec<Seen>);

    fn ws(&self) -> WorkspaceId {
        WorkspaceId::DEFAULT
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Self::Out> {
        let state = run::find(tx, self.run).await?.map(|run| run.state).unwrap_or_default();
        let tasks = task::of_run(tx, self.run).await?.into_iter();
        let open = tasks.filter(|task| !matches!(task.state.as_str(), "completed" | "failed" | "cancelled"));
        let seen = open.map(|task| Seen {
            id: task.id,
            name: name(&task.stage, task.round, &task.key),
            state: task.state,
            attempt: u32::try_from(task.attempt).unwrap_or(0),
            for_person: task.waits_for.as_deref() == Some("person"),
        });
        Ok((state, seen.collect()))
    }
}

/// A task as a person sees it.
struct Given {
    id: TaskId,
}

impl UseCase for Given {
    type Out = task::Given;

    fn ws(&self) -> WorkspaceId {
        WorkspaceId::DEFAULT
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<task::Given> {
        task::given(tx, self.id).await
    }
}
