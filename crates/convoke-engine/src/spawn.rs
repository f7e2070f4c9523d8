//! Spawning: one more agent for a run, made from a profile or ad hoc, with what its parent may do at most.
//!
//! Rule: everything is decided in one transaction from what is stored: the family as it stands, the parent's rights with
//! the grants that hold now. What is granted to a parent does not pass on. A spawned agent is made for one task, lives
//! until that has ended, and never longer than its run. Start at [`spawn`].

mod end;
mod kin;
mod stop;

pub use end::Killed;
pub(crate) use end::{end_run, left, retire_idle};
pub(crate) use kin::{Kin, LoadKin};
pub(crate) use stop::lose_all;

use std::sync::Arc;
use std::time::Duration;

use convoke_domain::authority::{self, Denial, Rights, covers};
use convoke_domain::event::Kind;
use convoke_domain::id::{AgentId, RunId, TaskId, WorkspaceId, derive};
use convoke_domain::pattern::SideStage;
use convoke_domain::profile::{Authority, Limits, Profile};
use convoke_domain::refusal::Refusal;
use convoke_domain::spawn::{self as domain, Bounds, Tree, bounds};
use convoke_domain::spec::RunSpec;
use convoke_domain::task::Priority;
use convoke_store::definition::profile;
use convoke_store::{OrMissing, Result as Stored, Tx, UseCase, agent, run, spawn as store};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::advance::{self, SideTask};
use crate::engine::emit;
use crate::run::state_of;
use crate::user::{denied, may_govern};
use crate::{Engine, Result, grant};

/// The longest prompt of an agent that is made ad hoc, and the longest task.
const TEXT_BYTES: usize = 64 * 1024;
/// The most words in a list of an agent that is made ad hoc.
const LIST_WORDS: usize = 100;
/// The longest of these words.
const WORD_BYTES: usize = 200;
/// How much of a name is kept before what makes it unique is added.
const NAME_CHARS: usize = 50;
/// Characters that make a name unique.
const TAIL_CHARS: usize = 8;

/// What a spawned agent is made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A profile of the workspace, as it is now.
    Profile(String),
    /// What is said here.
    AdHoc(AdHoc),
}

/// An agent that is made up on the spot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdHoc {
    /// What it is called; its name begins so.
    pub name: String,
    /// The instructions it works by.
    pub prompt: String,
    /// What it can do.
    pub capabilities: Vec<String>,
    /// The tools it shall have.
    pub tools: Vec<String>,
}

/// An agent that is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// What it is made from.
    pub what: What,
    /// What it shall do.
    pub task: String,
    /// The same in one line; the beginning of the task if absent.
    pub title: Option<String>,
    /// What it may spend at most.
    pub limits: Limits,
}

impl Order {
    /// The name that the agent will have.
    pub fn name(&self, seed: Uuid) -> String {
        let (What::Profile(base) | What::AdHoc(AdHoc { name: base, .. })) = &self.what;
        unique(base, seed)
    }
}

fn unique(base: &str, seed: Uuid) -> String {
    let base: String = base.chars().take(NAME_CHARS).collect();
    let id = AgentId(seed).to_string();
    format!("{}-{}", base.trim_end_matches('-'), &id[id.len() - TAIL_CHARS..])
}

/// A spawned agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spawned {
    /// Its name.
    pub name: String,
    /// Its task.
    pub task: TaskId,
    /// Tools that were asked for, and that it did not get.
    pub without: Vec<String>,
}

impl Engine {
    /// Adds an agent to a run, in a person's name. Owners and operators may.
    /// `seed` makes its name unique; see [`Order::name`].
    pub async fn spawn(&self, run: RunId, order: Order, user: &str, seed: Uuid) -> Result<Spawned> {
        let spec = self.spec_of(run).await?;
        let by_person = ByPerson { ws: self.ws(), run, order, spec, user: user.to_owned(), seed };
        let spawned = self.store().run(by_person).await??;
        self.wake().notify_one();
        Ok(spawned)
    }
}

struct ByPerson {
    ws: WorkspaceId,
    run: RunId,
    order: Order,
    spec: Arc<RunSpec>,
    user: String,
    seed: Uuid,
}

impl UseCase for ByPerson {
    type Out = std::result::Result<Spawned, Refusal>;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Self::Out> {
        if let Err(refusal) = may_govern(tx, &self.user, "spawn agents").await? {
            return Ok(Err(refusal));
        }
        let who = format!("user:{}", self.user);
        // It is a part of the run itself: no attempt's end calls it off.
        let from = From { run: self.run, parent: None, task: (TaskId(self.run.0), 0), who: &who, seed: self.seed };
        match spawn(tx, &from, &self.order, &self.spec).await? {
            Ok(spawned) => Ok(Ok(spawned)),
            Err(denial) => Ok(Err(denied(tx, &who, Some(self.run), &denial))),
        }
    }
}

/// Where an order comes from.
pub(crate) struct From<'a> {
    /// The run.
    pub run: RunId,
    /// The agent that spawns; nobody if a person does.
    pub parent: Option<&'a str>,
    /// The task that the new one is a part of, and how many are above that.
    pub task: (TaskId, i64),
    /// Who says so, for the record.
    pub who: &'a str,
    /// What the name is made unique by; the same in every re-run.
    pub seed: Uuid,
}

/// What a parent brings with it.
struct Parent {
    /// As it was born.
    base: Profile,
    /// With what is granted to it now.
    now: Profile,
    models: Vec<String>,
}

/// Adds an agent to a run, with a task, or says which rule denies that.
pub(crate) async fn spawn(
    tx: &mut Tx<'_>,
    from: &From<'_>,
    order: &Order,
    spec: &RunSpec,
) -> Stored<std::result::Result<Spawned, Denial>> {
    check(order)?;
    let rows = family(tx, from.run).await?;
    let parent = match from.parent {
        Some(name) => Some(parent(tx, from.run, name, &rows, spec).await?),
        None => None,
    };
    let own = own(tx, order, parent.as_ref()).await?;
    let place = match admit(&rows, parent.as_ref().map(|parent| &parent.now), spec) {
        Ok(place) => place,
        Err(denial) => return Ok(Err(denial)),
    };
    let born = Born::of(order.name(from.seed), order.limits, own, parent.as_ref());
    born.keep(tx, from, Some(order), spec, place).await.map(Ok)
}

/// Adds an agent of a member's own profile, which takes over tasks of that member, or says which rule denies that. The team's
/// rule of scale spawns it, so that the member itself need not have that right; all else holds as if the member had.
pub(crate) async fn relieve(
    tx: &mut Tx<'_>,
    run: RunId,
    member: &str,
    spec: &RunSpec,
) -> Stored<std::result::Result<String, Denial>> {
    let rows = family(tx, run).await?;
    let mut parent = parent(tx, run, member, &rows, spec).await?;
    parent.now.authority.can_spawn = true;
    let place = match admit(&rows, Some(&parent.now), spec) {
        Ok(place) => place,
        Err(denial) => return Ok(Err(denial)),
    };
    let seed = derive(tx.now(), &[run.0.as_bytes(), member.as_bytes(), &place.n.to_be_bytes()]);
    let name = unique(member, seed);
    let born = Born::of(name.clone(), Limits::default(), parent.base.clone(), Some(&parent));
    // Its tasks are not made for it: none of them is its end.
    let from = From { run, parent: Some(member), task: (TaskId(run.0), 0), who: "system", seed };
    born.keep(tx, &from, None, spec, place).await?;
    Ok(Ok(name))
}

/// All that a run has spawned, and no other transaction adds to it meanwhile.
async fn family(tx: &mut Tx<'_>, run: RunId) -> Stored<Vec<store::Record>> {
    let held = run::hold(tx, run).await?;
    if state_of(&held)?.has_ended() {
        return Err(Refusal::new("run_ended", format!("the run {run} has ended")).into());
    }
    store::of_run(tx, run).await
}

/// Whether there is a place for one more.
fn admit(rows: &[store::Record], parent: Option<&Profile>, spec: &RunSpec) -> std::result::Result<Place, Denial> {
    let tree = Tree { nodes: rows.iter().map(Into::into).collect() };
    let bounds = bounds(&spec.team.rules.spawn);
    let depth = tree.admit(parent, &bounds)?;
    Ok(Place { n: rows.len() + 1, depth, warns: bounds.warns && rows.is_empty(), bounds })
}

/// Where a new agent stands.
struct Place {
    n: usize,
    depth: u32,
    warns: bool,
    bounds: Bounds,
}

/// Refuses what no agent can be made of.
fn check(order: &Order) -> Stored<()> {
    let too_long = |what: &str, bytes: usize, most: usize| {
        let message = format!("{what} has {bytes} bytes; at most {most} are allowed");
        Refusal::new("too_long", message).hint("say it shorter")
    };
    if order.task.trim().is_empty() {
        return Err(Refusal::new("empty_task", "the task is empty").hint("say what the agent shall do").into());
    }
    if order.task.len() > TEXT_BYTES {
        return Err(too_long("the task", order.task.len(), TEXT_BYTES).into());
    }
    let What::AdHoc(made) = &order.what else { return Ok(()) };
    if !domain::is_name(&made.name) {
        let shown: String = made.name.chars().take(70).collect();
        return Err(Refusal::new("bad_name", format!("`{shown}` cannot be the name of an agent"))
            .hint("use lower-case letters, digits and hyphens, at most 64, such as `log-reader`")
            .into());
    }
    if made.prompt.trim().is_empty() {
        return Err(Refusal::new("empty_prompt", "the prompt is empty").hint("say how the agent shall work").into());
    }
    if made.prompt.len() > TEXT_BYTES {
        return Err(too_long("the prompt", made.prompt.len(), TEXT_BYTES).into());
    }
    for (what, list) in [("capabilities", &made.capabilities), ("tools", &made.tools)] {
        let longest = list.iter().map(String::len).max().unwrap_or_default();
        if list.len() > LIST_WORDS || longest > WORD_BYTES {
            let message = format!("`{what}` has {} words, the longest of {longest} bytes", list.len());
            let hint = format!("give at most {LIST_WORDS} words of at most {WORD_BYTES} bytes");
            return Err(Refusal::new("too_long", message).hint(hint).into());
        }
    }
    Ok(())
}

/// The agent that spawns, whether it is of the team or was spawned itself.
async fn parent(tx: &mut Tx<'_>, run: RunId, name: &str, rows: &[store::Record], spec: &RunSpec) -> Stored<Parent> {
    let (base, models) = match (rows.iter().find(|row| row.name == name), spec.profiles.get(name)) {
        (Some(row), _) => (serde_json::from_str(&row.profile)?, serde_json::from_str(&row.models)?),
        (None, Some(base)) => (base.clone(), spec.models.get(name).cloned().unwrap_or_default()),
        (None, None) => return Err(convoke_store::Error::missing("agent of this run", name)),
    };
    let now = grant::effective(tx, &base, run).await?;
    Ok(Parent { base, now, models })
}

/// The profile that is asked for, before the parent's rights are met.
async fn own(tx: &mut Tx<'_>, order: &Order, parent: Option<&Parent>) -> Stored<Profile> {
    match &order.what {
        What::Profile(name) => {
            let latest = profile::latest(tx, name).await?.or_missing("profile", name)?;
            if !latest.active {
                let refusal = Refusal::new("inactive", format!("the profile `{name}` is switched off"));
                return Err(refusal.hint(format!("`convoke profiles activate {name}`")).into());
            }
            Ok(serde_json::from_str(&latest.body)?)
        }
        What::AdHoc(made) => Ok(made.profile(parent)),
    }
}

impl AdHoc {
    /// Rights beyond tools come with the tools that need them, as far as the parent has them.
    fn profile(&self, parent: Option<&Parent>) -> Profile {
        let wants = |tool: &str| self.tools.iter().any(|pattern| covers(pattern, tool));
        let most = parent.map(|parent| parent.base.authority.clone()).unwrap_or_default();
        let authority = Authority {
            shell: wants(authority::SHELL),
            http_hosts: if wants(authority::HTTP_GET) { most.http_hosts } else { Vec::new() },
            private_network: most.private_network && wants(authority::HTTP_GET),
            can_spawn: most.can_spawn && wants(authority::SPAWN),
            can_delegate: most.can_delegate && wants(authority::DELEGATE),
            ..Authority::default()
        };
        let value = json!({
            "name": self.name, "prompt": self.prompt, "capabilities": self.capabilities, "tools": self.tools, "authority": authority,
        });
        serde_json::from_value(value).expect("a name and a prompt make a profile")
    }
}

/// An agent as it is born.
struct Born {
    profile: Profile,
    models: Vec<String>,
    without: Vec<String>,
}

impl Born {
    fn of(name: String, limits: Limits, own: Profile, parent: Option<&Parent>) -> Self {
        let asked = Rights { limits: narrowed(own.limits, limits), ..Rights::of(&own) };
        let rights = match parent {
            Some(parent) => authority::child(&Rights::of(&parent.base), &asked),
            None => asked.clone(),
        };
        let got = |tool: &&String| !rights.tools.iter().any(|pattern| covers(pattern, tool));
        let without = asked.tools.iter().filter(got).cloned().collect();
        let models = parent.map(|parent| parent.models.clone()).unwrap_or_default();
        // Whatever the parent must ask leave for, its child must: a call is not freed by having it made by another.
        let mut ask = own.ask.clone();
        ask.extend(parent.iter().flat_map(|parent| parent.base.ask.iter().cloned()));
        ask.sort();
        ask.dedup();
        Self { profile: Profile { name, capacity: 1, ask, ..rights.onto(own) }, models, without }
    }

    async fn keep(
        mut self,
        tx: &mut Tx<'_>,
        from: &From<'_>,
        order: Option<&Order>,
        spec: &RunSpec,
        at: Place,
    ) -> Stored<Spawned> {
        if from.parent.is_none() {
            self.models = spec.models.get(&spec.team.coordinator).cloned().unwrap_or_default();
        }
        let name = self.profile.name.clone();
        if agent::hold(tx, &name).await?.is_some() {
            return Err(Refusal::new("name_taken", format!("there is an agent `{name}` already")).into());
        }
        let row = agent::NewRow {
            name: &name,
            kind: self.profile.agent_kind.as_str(),
            profile_version: 0,
            role: self.profile.role.as_str(),
            capabilities: &serde_json::to_string(&self.profile.capabilities)?,
            tags: &serde_json::to_string(&self.profile.tags)?,
            capacity: 1,
            active: true,
        };
        agent::insert_temporary(tx, &row, from.run).await?;
        let task = match order {
            Some(order) => self.add_task(tx, from, order, spec).await?,
            None => from.task.0,
        };
        let row = store::NewRow {
            run: from.run,
            name: &name,
            n: i64::try_from(at.n).unwrap_or(i64::MAX),
            parent: from.parent,
            depth: at.depth.into(),
            profile: &serde_json::to_string(&self.profile)?,
            models: &serde_json::to_string(&self.models)?,
            task,
            created_by: from.who,
        };
        store::insert(tx, &row).await?;
        self.tell(tx, from, order.map(|_| task), at);
        Ok(Spawned { name, task, without: self.without })
    }

    async fn add_task(&self, tx: &mut Tx<'_>, from: &From<'_>, order: &Order, spec: &RunSpec) -> Stored<TaskId> {
        let first = order.task.trim().lines().next().unwrap_or_default();
        let title: String = order.title.as_deref().unwrap_or(first).chars().take(120).collect();
        let new = SideTask {
            parent: from.task.0,
            depth: from.task.1 + 1,
            stage: SideStage::Spawned,
            key: &self.profile.name,
            title: &title,
            instructions: &order.task,
            agent: &self.profile.name,
            output_schema: None,
            priority: Priority::Normal,
            timeout: Duration::from_secs(spec.team.rules.timeout_per_agent_s),
        };
        advance::add_side_task(tx, from.run, spec, &new).await
    }

    fn tell(&self, tx: &mut Tx<'_>, from: &From<'_>, task: Option<TaskId>, at: Place) {
        let profile = &self.profile;
        let mut payload = json!({
            "parent": from.parent, "depth": at.depth, "task": task, "tools": profile.tools, "authority": profile.authority,
            "limits": profile.limits, "without": self.without,
        });
        if task.is_none() {
            payload["why"] = "backlog".into();
        }
        if at.warns {
            let Bounds { agents, tokens, .. } = at.bounds;
            payload["warning"] = format!("the preset `extreme` lets up to {agents} agents use {tokens} tokens").into();
        }
        emit(tx, Kind::AgentSpawned, ("agent", profile.name.clone()), (Some(from.run), from.who), payload);
    }
}

/// The narrower of what a profile and an order say.
fn narrowed(a: Limits, b: Limits) -> Limits {
    let none = Rights::default();
    authority::child(&Rights { limits: a, ..none.clone() }, &Rights { limits: b, ..none }).limits
}
