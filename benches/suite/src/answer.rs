//! Models in this process that answer at once, or after a set time, and an engine on them: for what is not about models.
//!
//! Each call notes when it arrived. While [`Answers::ask_for`] has some left, an agent at work is told to use a tool,
//! with other arguments each time; after that it is given an answer.

use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use convoke_connect::tool::{ToolLimits, Toolbox};
use convoke_domain::flow::Flow;
use convoke_domain::profile::Profile;
use convoke_domain::team::{FixedTask, Planning, Team};
use convoke_domain::transcript::{Block, StopReason, ToolCall, Usage};
use convoke_engine::{Caps, Config, Engine, StartRun};
use convoke_port::BoxFuture;
use convoke_port::clock::SystemClock;
use convoke_port::model::{Delta, Model, ModelError, ModelHandle, ModelReply, ModelRequest, Models, RateLimit, Tariff};
use convoke_store::Store;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::lifecycle::AGENTS;

/// The tool that agents are told to use: it only reads, and the folder it looks into is empty.
pub const TOOL: &str = "list_files";
/// More model calls than any attempt here has.
const TURNS: u32 = 1_000_000;

/// Models that answer at once, for nothing.
#[derive(Clone, Default)]
pub struct Answers {
    /// How long a model takes to answer.
    latency: Duration,
    arrivals: Arc<Mutex<Vec<Instant>>>,
    served_us: Arc<AtomicU64>,
    tools_left: Arc<AtomicUsize>,
}

impl Answers {
    /// Models that answer after this time.
    pub fn after(latency: Duration) -> Self {
        Self { latency, ..Self::default() }
    }

    /// Tells agents at work to use a tool so many more times.
    pub fn ask_for(&self, tools: usize) {
        self.tools_left.store(tools, Ordering::SeqCst);
    }

    /// When calls arrived since this was last asked.
    pub fn take_arrivals(&self) -> Vec<Instant> {
        std::mem::take(&mut self.arrivals.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How long calls have taken so far, one added to the other: as served, for a timer is late by a millisecond or two.
    pub fn served(&self) -> Duration {
        Duration::from_micros(self.served_us.load(Ordering::SeqCst))
    }

    fn reply(&self, request: &ModelRequest) -> (Block, StopReason) {
        let left = |left: usize| left.checked_sub(1);
        let at_work = request.origin.stage == "work";
        if at_work && self.tools_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left).is_ok() {
            let turn = request.origin.turn;
            let input = json!({"glob": format!("{turn}-*")});
            return (
                Block::ToolCall(ToolCall { id: format!("c{turn}"), name: TOOL.into(), input }),
                StopReason::ToolCalls,
            );
        }
        (Block::Text { text: "The release of 10:02 is the likely cause.".into() }, StopReason::End)
    }
}

impl Models for Answers {
    fn find(&self, name: &str) -> Result<ModelHandle, ModelError> {
        Ok(ModelHandle {
            model: Arc::new(self.clone()),
            provider: "bench".to_owned(),
            name: name.to_owned(),
            tariff: Tariff::Local,
            context_window: u64::MAX,
            max_output_tokens: 1_000,
        })
    }
}

impl Model for Answers {
    fn call<'a>(
        &'a self,
        request: &'a ModelRequest,
        _watch: &'a (dyn Fn(Delta) + Send + Sync),
        _cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<ModelReply, ModelError>> {
        let arrived = Instant::now();
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner).push(arrived);
        let (block, stop) = self.reply(request);
        let latency = self.latency;
        Box::pin(async move {
            if !latency.is_zero() {
                tokio::time::sleep(latency).await;
            }
            let took = u64::try_from(arrived.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.served_us.fetch_add(took, Ordering::SeqCst);
            Ok(ModelReply {
                blocks: vec![block],
                stop,
                usage: Some(Usage { input_tokens: 100, output_tokens: 10, ..Usage::default() }),
                model: "answers".to_owned(),
                response_id: request.origin.key.clone(),
                rate_limit: RateLimit::default(),
            })
        })
    }
}

/// An engine on these models, without a pool.
pub fn engine(store: Store, folder: &Path, answers: &Answers) -> Engine {
    let tools = Arc::new(Toolbox::new(ToolLimits::default()));
    Engine::new(store, Arc::new(answers.clone()), tools, Arc::new(SystemClock), Config::new(folder.join("work")))
}

/// What starts a run of a plan that is fixed in advance. The team is put together here and not read from YAML, whose
/// limits are far below the sizes that are measured.
pub async fn fixed_plan(engine: &Engine, tasks: Vec<FixedTask>) -> Result<StartRun> {
    let profile = |name: &str, tools: &[&str]| -> Result<Profile> {
        let value =
            json!({"name": name, "prompt": "Do it.", "model": "bench/answers", "capacity": 100_000, "tools": tools});
        let mut profile: Profile = serde_json::from_value(value)?;
        profile.max_turns = TURNS;
        Ok(profile)
    };
    let mut profiles = vec![profile("lead", &[])?];
    for name in AGENTS {
        profiles.push(profile(name, &[TOOL])?);
    }
    let members: Vec<_> = AGENTS.iter().map(|name| json!({"profile": name})).collect();
    let team: Team = serde_json::from_value(json!({"name": "bench", "coordinator": "lead", "members": members}))?;
    engine.save(profiles, vec![team], "system").await?;
    let (mut spec, team_version) = engine.assemble("bench").await?;
    spec.choose_models(None, None);
    spec.team.rules.planning = Planning::Fixed;
    spec.team.tasks = tasks;
    Ok(StartRun {
        spec,
        team_version,
        task: "Find the cause of the outage.".to_owned(),
        input: None,
        session: None,
        caps: Caps::default(),
        simulated: false,
        user: "system".to_owned(),
        idempotency_key: None,
    })
}

/// What starts a run of a flow.
pub async fn flow(engine: &Engine, flow: &Flow) -> Result<StartRun> {
    let mut start = fixed_plan(engine, Vec::new()).await?;
    start.spec.team.flow = Some(flow.clone());
    start.spec.settle_flow().map_err(anyhow::Error::msg)?;
    Ok(start)
}

/// One task of a fixed plan.
pub fn fixed_task(key: String, agent: &str, depends_on: Vec<String>) -> FixedTask {
    FixedTask {
        key,
        title: "Look".to_owned(),
        instructions: String::new(),
        assignee: Some(agent.to_owned()),
        needs: Vec::new(),
        depends_on,
        after: Vec::new(),
        priority: Default::default(),
        output_schema: None,
    }
}
