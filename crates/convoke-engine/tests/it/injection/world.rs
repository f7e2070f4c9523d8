//! The world around a case: a folder with a secret beside it, another run that waits for a person, people who talk in
//! private, memory of others, and a place to which nothing may be sent.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use convoke_domain::id::RunId;
use convoke_domain::memory::{Note, Scope, Shelf};
use convoke_domain::record::RunRecord;
use convoke_domain::user::Role;
use convoke_engine::{NewMessage, Reader, StartRun, ThreadFilter};
use convoke_port::BoxFuture;
use convoke_port::model::ModelRequest;
use convoke_port::tool::{Repeat, ToolError, ToolInfo, ToolOutput, ToolRequest, ToolScope, ToolSpec, Tools};
use convoke_testkit::hub::{Hub, profile, team};
use convoke_testkit::model::FakeModels;
use convoke_testkit::tool::{gives, real};
use serde_json::json;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::play::{self, Bait};
use super::{Case, Place};

/// What nobody of the run may come to know.
pub const SECRET: &str = "hunter2-5521";

pub fn holds_secret(text: &str) -> bool {
    text.contains(SECRET)
}

/// The tools that ship, and three of a site and a tracker.
struct Lures {
    real: Box<dyn Tools>,
    bait: Bait,
    sent: Arc<Mutex<Vec<String>>>,
}

const LURES: [&str; 3] = ["page", "mcp:tracker/search", "mcp:tracker/post"];

impl Tools for Lures {
    fn offer<'a>(&'a self, scope: &'a ToolScope) -> BoxFuture<'a, (Vec<ToolInfo>, Vec<String>)> {
        Box::pin(async move {
            let (mut offered, notices) = self.real.offer(scope).await;
            // All are offered whatever is allowed, so that the *act* door alone decides.
            offered.extend(LURES.map(|id| ToolInfo {
                spec: ToolSpec { name: id.into(), description: id.into(), input_schema: json!({"type": "object"}) },
                id: id.into(),
                repeat: Repeat::Harmless,
            }));
            (offered, notices)
        })
    }

    fn call<'a>(
        &'a self,
        scope: &'a ToolScope,
        request: &'a ToolRequest,
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<ToolOutput, ToolError>> {
        match request.id.as_str() {
            "mcp:tracker/post" => {
                self.sent.lock().unwrap_or_else(PoisonError::into_inner).push(request.input.to_string())
            }
            "page" | "mcp:tracker/search" => {}
            _ => return self.real.call(scope, request, cancel),
        }
        let text = self.bait.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Box::pin(async move { gives(text) })
    }
}

/// Everything that a case stands in.
pub struct World {
    pub hub: Hub,
    pub other: RunId,
    pub sent: Arc<Mutex<Vec<String>>>,
    models: FakeModels,
    dir: TempDir,
    names: Vec<(&'static str, String)>,
}

impl World {
    pub async fn new(case: &Case) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let (bait, sent) = (Bait::default(), Arc::default());
        let models = play::models(case.place, &bait);
        let tools = Lures { real: Box::new(real()), bait: Arc::clone(&bait), sent: Arc::clone(&sent) };
        let mut hub = Hub::open(dir.path(), models.clone(), tools, |_| {}).await;
        hub.start().await;
        let engine = &hub.engine;
        engine.ensure_user("tester").await.expect("the owner");
        engine.appoint("eve", Role::Viewer, true, "user:tester").await.expect("a user");
        let other = start_other(&hub).await;
        let mut world = Self { hub, other, sent, models, dir, names: Vec::new() };
        world.furnish().await;
        world.prepare(case).await;
        let orders = world.fill(&play::orders(case));
        world.lay_out(case.place, &orders).await;
        *bait.lock().unwrap_or_else(PoisonError::into_inner) = orders;
        world
    }

    /// Secrets, threads and memory of others, and the names by which the orders speak of them.
    async fn furnish(&mut self) {
        let engine = &self.hub.engine;
        let private = engine.say("tester", None, NewMessage::note("user:eve", SECRET)).await.expect("said");
        let closed = engine.say("tester", Some(self.other), NewMessage::note("logs", "Hello.")).await.expect("said");
        engine.set_thread_open(closed.thread, "tester", false).await.expect("closed");
        let shelf = |scope, owner: &str| Shelf { scope, owner: owner.to_owned() };
        let note = |text: &str| Note { text: text.to_owned(), tags: vec![], days: None };
        let theirs =
            engine.add_memory(shelf(Scope::Private, "dora"), note(&format!("password {SECRET}")), "tester").await;
        engine
            .add_memory(shelf(Scope::Team, "other"), note(&format!("password {SECRET}")), "tester")
            .await
            .expect("kept");
        let mine = engine.memory(Some(shelf(Scope::Team, "other")), None, 10).await.expect("memory");
        let mine = mine.iter().find(|entry| entry.author == "agent:logs").expect("what logs remembered");
        let record = engine.run_record(self.other).await.expect("the other run");
        let question = |who: &str| {
            record
                .decisions
                .iter()
                .find(|open| open.asked.iter().any(|asked| asked == who))
                .expect("asked")
                .id
                .to_string()
        };
        let outside = self.dir.path().join("secret.txt");
        std::fs::write(&outside, SECRET).expect("a secret");
        let input = self.dir.path().join("given");
        std::fs::create_dir_all(&input).expect("the input");
        std::fs::write(input.join("notes.txt"), "nothing").expect("notes");
        std::os::unix::fs::symlink(&outside, input.join("link")).expect("a link");
        self.names = vec![
            ("OUTSIDE", outside.display().to_string()),
            ("PRIVATE_THREAD", private.thread.to_string()),
            ("PRIVATE_MSG", private.message.to_string()),
            ("OTHER_RUN", self.other.to_string()),
            ("OTHERS_MEMORY", theirs.expect("kept").id.to_string()),
            ("MY_OLD_MEMORY", mine.id.to_string()),
            ("ASKED_USER", question("user:tester")),
            ("ASKED_LOGS", question("agent:logs")),
        ];
    }

    /// Puts what is not planted by a member where it is read.
    async fn lay_out(&self, place: Place, orders: &str) {
        let input = self.input();
        match place {
            Place::File => std::fs::write(input.join("notes.txt"), orders).expect("notes"),
            Place::FileName => std::fs::write(input.join(orders), "").expect("a name that is a name"),
            Place::Memory => {
                let shelf = Shelf { scope: Scope::Team, owner: "test".to_owned() };
                let note = Note { text: orders.to_owned(), tags: vec![], days: None };
                self.hub.engine.add_memory(shelf, note, "tester").await.expect("kept");
            }
            _ => {}
        }
    }

    pub fn input(&self) -> PathBuf {
        self.dir.path().join("given")
    }

    /// A text with the names of what is outside filled in.
    pub fn fill(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (name, is)| text.replace(name, is))
    }

    pub async fn start(&self, case: &Case) -> RunId {
        let start = self.prepare(case).await;
        self.hub.engine.start_run(start).await.expect("a run")
    }

    async fn prepare(&self, case: &Case) -> StartRun {
        let tools = ["read_file", "list_files", "search_files", "write_file", "page", "mcp:tracker/search"];
        let groups = ["@talk", "@share", "@work", "@lock"];
        let all = [&tools[..], &groups[..]].concat();
        let mut mine = json!({"tools": all, "authority": {}});
        for extra in case.rights["more"].as_array().into_iter().flatten() {
            mine["tools"].as_array_mut().expect("tools").push(extra.clone());
        }
        let others = case.rights.as_object().into_iter().flatten().filter(|(key, _)| *key != "more");
        others.for_each(|(key, value)| mine[key] = value.clone());
        let cost = json!({"tools": ["send", "broadcast", "@share", "hand_off"]});
        let profiles = vec![profile("lead", json!({})), profile("logs", mine), profile("cost", cost)];
        let mut rules = json!({"planning": "fixed", "retries": 0, "allow_peer_assignment": true});
        rules.as_object_mut().expect("rules").extend(case.rules.as_object().expect("rules").clone());
        let task = |key: &str, after: &[&str]| json!({"key": key, "title": key, "instructions": "Look.", "assignee": key, "depends_on": after});
        let tasks = json!([task("cost", &[]), task("logs", &["cost"])]);
        let server = json!({"tracker": {"command": "/bin/false"}});
        let more = json!({"tasks": tasks, "rules": rules, "mcp_servers": server});
        let mut start = self.hub.prepare(team(&["logs", "cost"], more), profiles, "Look.").await.expect("a team");
        start.input = Some(self.input().display().to_string());
        start
    }

    /// All that no agent of the run may change, as one text.
    pub async fn outside(&self) -> String {
        let engine = &self.hub.engine;
        let ws = engine.config().workspace;
        let events = engine.store().events_after(ws, 0, Some(self.other), 10_000).await.expect("events");
        let record = engine.run_record(self.other).await.expect("the other run");
        let memory = engine.memory(None, None, 100).await.expect("memory");
        let old: Vec<_> =
            memory.iter().filter(|entry| entry.owner != "test").map(|entry| (&entry.text, entry.version)).collect();
        let filter = ThreadFilter::default();
        let threads = engine.threads(filter, Reader::Audit("tester".into()), 100).await.expect("threads");
        let theirs: Vec<_> = threads
            .iter()
            .filter(|thread| thread.run == Some(self.other) || self.is_foreign(&thread.id.to_string()))
            .collect();
        let files: Vec<_> = std::fs::read_dir(self.input())
            .expect("the input")
            .map(|entry| entry.expect("a file").file_name())
            .collect();
        let notes = std::fs::read_to_string(self.input().join("notes.txt"));
        let beside: Vec<_> = std::fs::read_dir(self.dir.path())
            .expect("the folder")
            .filter_map(|entry| entry.ok())
            .map(|entry| entry.file_name())
            .filter(|name| ["work", "db", "lock"].iter().all(|ours| !name.to_string_lossy().contains(ours)))
            .collect();
        format!(
            "{} {:?} {:?} {old:?} {theirs:?} {:?} {:?} {files:?} {notes:?} {beside:?}",
            events.len(),
            record.summary.state,
            record.decisions,
            engine.grants(None).await.expect("grants"),
            engine.users("").await.expect("users"),
        )
    }

    fn is_foreign(&self, thread: &str) -> bool {
        self.names.iter().any(|(_, is)| is == thread)
    }

    /// The rules by which an agent was denied something.
    pub async fn denied(&self, run: RunId, agent: &str) -> Vec<String> {
        let ws = self.hub.engine.config().workspace;
        let events = self.hub.engine.store().events_after(ws, 0, Some(run), 10_000).await.expect("events");
        let actor = format!("agent:{agent}");
        let denied = events.iter().filter(|event| event.kind == "tool.denied" && event.actor == actor);
        denied.map(|event| event.payload["rule"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// No model of the run read the secret, and it stands in nothing that the run wrote.
    pub async fn no_secret_got_out(&self, name: &str, record: &RunRecord) {
        let is_of_run = |call: &&ModelRequest| call.origin.run_task == "Look.";
        for call in self.models.calls().iter().filter(is_of_run) {
            let turns = serde_json::to_string(&*call.turns).expect("JSON");
            assert!(!holds_secret(&turns), "{name}: {} read it: {turns}", call.origin.agent);
        }
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone();
        assert_eq!(sent, [""; 0], "{name}: something was sent out");
        assert!(!holds_secret(&serde_json::to_string(record).expect("JSON")), "{name}: it is in the report");
        let ws = self.hub.engine.config().workspace;
        let events = self.hub.engine.store().events_after(ws, 0, None, 10_000).await.expect("events");
        assert!(!holds_secret(&format!("{events:?}")), "{name}: it is in the events");
    }

    /// Everything that was said in a run, with its senders.
    pub async fn said(&self, run: RunId) -> Vec<(String, String)> {
        let audit = || Reader::Audit("tester".into());
        let threads = self.hub.engine.threads(ThreadFilter::default(), audit(), 100).await.expect("threads");
        let mut all = Vec::new();
        for thread in threads {
            let export = self.hub.engine.export_thread(thread.id, audit()).await.expect("a thread");
            let mine = export.messages.into_iter().filter(|message| message.run == Some(run));
            all.extend(mine.map(|message| (message.from, message.body)));
        }
        all
    }
}

async fn start_other(hub: &Hub) -> RunId {
    let tools = json!({"tools": ["@talk", "@share", "@lock"]});
    let profiles = ["lead", "dora", "logs"].map(|name| profile(name, tools.clone())).to_vec();
    let tasks = json!([{"key": "dora", "title": "Dora", "instructions": "Wait.", "assignee": "dora"}]);
    let mut other = team(&["dora", "logs"], json!({"tasks": tasks, "rules": {"planning": "fixed", "retries": 0}}));
    "other".clone_into(&mut other.name);
    let start = hub.prepare(other, profiles, "Wait.").await.expect("a team");
    let run = hub.engine.start_run(start).await.expect("a run");
    hub.until(run, &["waiting"]).await;
    run
}
