//! Figures of a run, and of teams over time: loads what they are computed from. The formulas are the domain's
//! ([`convoke_domain::analytics`]). Rule: reads alone, in pages.

use std::collections::BTreeMap;

use convoke_domain::analytics::series::{self, Every, Part, RunPoint, Sum};
use convoke_domain::analytics::{
    self as domain, AttemptTimes, Mark, Pace, Poll, Polls, RunTimes, Said, Span, TaskTimes, Trace, Turn, Voices,
};
use convoke_domain::flow::part;
use convoke_domain::id::{RunId, TaskId, WorkspaceId};
use convoke_domain::pattern::Stage;
use convoke_domain::record::{DecisionRecord, HandoffRecord, RunRecord};
use convoke_domain::spec::RunSpec;
use convoke_domain::time::Timestamp;
use convoke_store::definition::team;
use convoke_store::step::StepRef;
use convoke_store::{Error, Result as Stored, Tx, UseCase, analytics, attempt, blob, handoff};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::{Engine, Result, rating, record};

/// Rows read at once.
const PAGE: i64 = 10_000;
/// Messages and handoffs that count of one run.
const LETTERS: i64 = 100_000;
const HANDOFFS: i64 = 1_000;
/// Runs looked at in one transaction, and in all.
const RUNS_PAGE: i64 = 200;
/// The most runs that are added up; the newest.
pub const MAX_RUNS: usize = 10_000;
/// Before every task.
const NO_TASK: TaskId = TaskId(Uuid::nil());

/// Which runs are added up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeamQuery {
    /// Their team; all if absent.
    pub team: Option<String>,
    /// Accepted then or later.
    pub since: Timestamp,
    /// Accepted earlier.
    pub until: Timestamp,
    /// How long each part is.
    pub every: Every,
}

/// A team over time, or all of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TeamAnalytics {
    /// The team; all if absent.
    pub team: Option<String>,
    /// From when.
    pub since: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// How long each part is.
    pub every: Every,
    /// All runs.
    pub total: Sum,
    /// The same by day or week; parts without a run are left out.
    pub parts: Vec<Part>,
    /// The same by team.
    pub teams: BTreeMap<String, Sum>,
    /// What people gave to the work of agents in these runs.
    pub agents: BTreeMap<String, Stars>,
    /// There are more runs than are added up; the oldest are left out.
    pub cut: bool,
}

/// Ratings added up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Stars {
    /// How many.
    pub ratings: i64,
    /// Their average.
    pub stars: f64,
}

impl Engine {
    /// How a run went.
    pub async fn analytics(&self, run: RunId) -> Result<domain::RunAnalytics> {
        Ok(self.run_record(run).await?.analytics.unwrap_or_default())
    }

    /// A team over time, or all of them.
    pub async fn team_analytics(&self, query: TeamQuery) -> Result<TeamAnalytics> {
        if let Some(name) = &query.team {
            self.store().read(KnowTeam { ws: self.ws(), name: name.clone() }).await?;
        }
        let (mut points, mut agents, mut before) = (Vec::new(), BTreeMap::<String, Vec<i64>>::new(), None);
        let cut = loop {
            let page = self.store().read(Points { ws: self.ws(), query: query.clone(), before }).await?;
            let is_last = page.len() < usize::try_from(RUNS_PAGE).unwrap_or(usize::MAX);
            before = page.last().map(|found| found.run);
            for found in page {
                found.agents.into_iter().for_each(|(agent, stars)| agents.entry(agent).or_default().push(stars));
                points.push(found.point);
            }
            if is_last || points.len() >= MAX_RUNS {
                break !is_last;
            }
        };
        let (total, parts) = series::series(&points, query.every);
        let agents = agents.into_iter().map(|(agent, stars)| (agent, averaged(&stars))).collect();
        let TeamQuery { team, since, until, every } = query;
        Ok(TeamAnalytics { team, since, until, every, total, parts, teams: series::by_team(&points), agents, cut })
    }
}

fn averaged(stars: &[i64]) -> Stars {
    let ratings = i64::try_from(stars.len()).unwrap_or(i64::MAX);
    let mean = stars.iter().sum::<i64>() as f64 / ratings.max(1) as f64;
    Stars { ratings, stars: (mean * 100.0).round() / 100.0 }
}

/// Adds to a record what it says of itself: handoffs, ratings, figures.
pub(crate) async fn complete(tx: &mut Tx<'_>, record: &mut RunRecord, spec: &RunSpec) -> Stored<()> {
    let run = record.summary.id;
    let offers = handoff::list(tx, Some(run), false, None, HANDOFFS).await?;
    record.handoffs = offers.into_iter().map(handoff_record).collect::<Stored<_>>()?;
    record.ratings = rating::of_run(tx, run).await?;
    tell_parts(record, spec);
    let beside = record.tasks.iter().filter(|task| task.part.is_some()).map(|task| task.id).collect();
    let trace = Trace { beside, ..trace(tx, run, spec).await? };
    record.analytics = Some(domain::of_run(record, &trace));
    Ok(())
}

fn handoff_record(row: handoff::Record) -> Stored<HandoffRecord> {
    let reason = crate::handoff::packet_of(&row)?.reason;
    let handoff::Record { id, task, giver: from, receiver: to, state, reason: answer, .. } = row;
    let (requested_at, settled_at, settled_by) = (row.requested_at, row.settled_at, row.settled_by);
    Ok(HandoffRecord { id, task, from, to, state, reason, answer, requested_at, settled_at, settled_by })
}

async fn trace(tx: &mut Tx<'_>, run: RunId, spec: &RunSpec) -> Stored<Trace> {
    let (marks, interruptions) = marks(tx, run).await?;
    let capacity = capacity_of(spec);
    let letters = analytics::letters(tx, run, LETTERS).await?;
    let (edges, votes) = (edges(tx, run).await?, polls(tx, run).await?);
    Ok(Trace { edges, marks, capacity, letters, votes, interruptions, ..Trace::default() })
}

/// Marks the tasks by which the run's flow plans, brings together or settles, by the steps as their file has them.
fn tell_parts(record: &mut RunRecord, spec: &RunSpec) {
    let Some(flow) = spec.team.flow.as_ref().or(spec.flow.as_ref()) else { return };
    for task in record.tasks.iter_mut().filter(|task| task.stage == Stage::Step.as_str()) {
        task.part = part::of(flow, &task.key);
    }
}

/// Which task waited for which.
pub(crate) async fn edges(tx: &mut Tx<'_>, run: RunId) -> Stored<Vec<(TaskId, TaskId)>> {
    let (mut edges, mut after) = (Vec::new(), (NO_TASK, NO_TASK));
    loop {
        let page = analytics::edges(tx, run, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(edges) };
        after = (last.parent, last.child);
        edges.extend(page.into_iter().map(|edge| (edge.parent, edge.child)));
    }
}

/// Votes that the run's flow has counted, and agreement that it has measured.
async fn polls(tx: &mut Tx<'_>, run: RunId) -> Stored<Vec<(String, Poll)>> {
    let (mut polls, mut after) = (Polls::default(), 0);
    loop {
        let page = analytics::polls(tx, run, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(polls.all()) };
        after = last.seq;
        for row in &page {
            polls.add(&row.kind, &serde_json::from_str(&row.payload).unwrap_or_default());
        }
    }
}

/// What parts a run's time, and how often a task was put back.
async fn marks(tx: &mut Tx<'_>, run: RunId) -> Stored<(Vec<Mark>, i64)> {
    let (mut marks, mut interruptions, mut after) = (Vec::new(), 0, 0);
    loop {
        let page = analytics::marks(tx, run, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok((marks, interruptions)) };
        after = last.seq;
        interruptions += page.iter().filter(|mark| mark.kind == "task.requeued").map(|_| 1).sum::<i64>();
        marks.extend(page.iter().filter_map(mark));
    }
}

fn mark(row: &analytics::Mark) -> Option<Mark> {
    let payload: Value = serde_json::from_str(&row.payload).unwrap_or_default();
    let turn = Turn::of(&row.kind, payload["waits_for"].as_str())?;
    let task = if row.kind.starts_with("task.") { Some(row.entity_id.parse().ok()?) } else { None };
    Some(Mark { at: row.at, task, turn })
}

/// What counts of one run.
struct Found {
    run: RunId,
    point: RunPoint,
    agents: Vec<(String, i64)>,
}

/// A page of runs as they count.
struct Points {
    ws: WorkspaceId,
    query: TeamQuery,
    before: Option<RunId>,
}

impl UseCase for Points {
    type Out = Vec<Found>;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Vec<Found>> {
        let TeamQuery { team, since, until, .. } = &self.query;
        let which = analytics::Which { team: team.as_deref(), since: *since, until: *until };
        let (mut found, mut known) = (Vec::new(), BTreeMap::new());
        for row in analytics::runs(tx, which, self.before, RUNS_PAGE).await? {
            if !known.contains_key(&row.spec) {
                known.insert(row.spec.clone(), capacity(tx, &row.spec).await?);
            }
            let capacity = known.get(&row.spec).cloned().unwrap_or_default();
            found.push(point(tx, row, capacity).await?);
        }
        Ok(found)
    }
}

/// How many tasks each agent may hold at once.
type Capacity = BTreeMap<String, u32>;

fn capacity_of(spec: &RunSpec) -> Capacity {
    spec.profiles.iter().map(|(name, profile)| (name.clone(), profile.capacity)).collect()
}

/// The same, of what runs have pinned under this digest.
async fn capacity(tx: &mut Tx<'_>, digest: &str) -> Stored<Capacity> {
    let spec: RunSpec = serde_json::from_slice(&blob::get(tx, digest.parse()?).await?)?;
    Ok(capacity_of(&spec))
}

async fn point(tx: &mut Tx<'_>, row: analytics::RunRow, capacity: Capacity) -> Stored<Found> {
    let window = row.started_at.zip(row.finished_at).map(|(from, to)| Span::new(from, to));
    let (pace, voices) = course(tx, row.id, window, capacity).await?;
    let decisions: Vec<DecisionRecord> = record::decisions(tx, row.id).await?;
    let ratings = rating::of_run(tx, row.id).await?;
    let (work, whole): (Vec<_>, Vec<_>) = ratings.into_iter().partition(|rating| rating.agent.is_some());
    let point = RunPoint {
        team: row.team,
        created_at: row.created_at,
        state: row.state,
        took: window.map(Span::length),
        pace,
        voices,
        by_people: domain::decision_times(&decisions, true),
        by_agents: domain::decision_times(&decisions, false),
        cost: row.cost,
        unpriced_calls: row.unpriced,
        tokens: row.tokens,
        stars: whole.iter().map(|rating| rating.stars).collect(),
        stars_of_work: work.iter().map(|rating| rating.stars).collect(),
    };
    let agents = work.into_iter().filter_map(|rating| Some((rating.agent?, rating.stars))).collect();
    Ok(Found { run: row.id, point, agents })
}

/// What counts of a run's time, if it has ended, and of its voices, without reading what it was about.
async fn course(
    tx: &mut Tx<'_>,
    run: RunId,
    window: Option<Span>,
    capacity: Capacity,
) -> Stored<(Option<Pace>, Voices)> {
    let mut rows = Vec::new();
    let mut after = NO_TASK;
    loop {
        let page = analytics::tasks(tx, run, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.id;
        rows.extend(page);
    }
    let votes = polls(tx, run).await?;
    let voices = domain::agreement(rows.iter().map(said), &votes).voices();
    let Some(window) = window else { return Ok((None, voices)) };
    let mut attempts = attempts(tx, run, window.to).await?;
    let tasks = rows.into_iter().map(|task| TaskTimes {
        attempts: attempts.remove(&task.id).unwrap_or_default(),
        id: task.id,
        agent: task.agent,
        created_at: task.created_at,
        finished_at: task.finished_at,
    });
    let tasks = tasks.collect();
    let (marks, interruptions) = marks(tx, run).await?;
    let trace = Trace { edges: edges(tx, run).await?, marks, capacity, interruptions, ..Trace::default() };
    Ok((Some(domain::pace(&RunTimes { window, tasks }, &trace)), voices))
}

fn said(row: &analytics::TaskTimes) -> Said<'_> {
    let analytics::TaskTimes { stage, key, round, agent, .. } = row;
    let is_over = row.finished_at.is_some() && row.state != "cancelled";
    Said { stage, key, round: *round, agent, is_over, output: row.said.as_deref() }
}

/// The attempts of a run by task, each with the times of its calls. What has no end is taken to go on until `until`.
async fn attempts(tx: &mut Tx<'_>, run: RunId, until: i64) -> Stored<BTreeMap<TaskId, Vec<AttemptTimes>>> {
    let mut calls = calls(tx, run).await?;
    let (mut attempts, mut after): (BTreeMap<_, Vec<_>>, _) = (BTreeMap::new(), (NO_TASK, 0));
    loop {
        let page = attempt::of_run(tx, run, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(attempts) };
        after = (last.task, last.n);
        for attempt::Record { task, n, agent, started_at, finished_at, .. } in page {
            let end = finished_at.unwrap_or(Timestamp::from_micros(until));
            let (model, tool) = calls.remove(&(task, n)).unwrap_or_default().spans(end);
            attempts.entry(task).or_default().push(AttemptTimes { agent, started_at, finished_at, model, tool });
        }
    }
}

/// The calls of one attempt: of models, and of tools.
#[derive(Default)]
struct Calls {
    model: Vec<(Timestamp, Option<Timestamp>)>,
    tool: Vec<(Timestamp, Option<Timestamp>)>,
}

impl Calls {
    fn spans(self, end: Timestamp) -> (Vec<Span>, Vec<Span>) {
        let of = |calls: Vec<(Timestamp, Option<Timestamp>)>| {
            calls.into_iter().map(|(from, to)| Span::new(from, to.unwrap_or(end))).collect()
        };
        (of(self.model), of(self.tool))
    }
}

async fn calls(tx: &mut Tx<'_>, run: RunId) -> Stored<BTreeMap<(TaskId, i64), Calls>> {
    let mut calls: BTreeMap<_, Calls> = BTreeMap::new();
    let mut after = StepRef { task: NO_TASK, attempt: 0, n: 0 };
    loop {
        let page = analytics::calls(tx, run, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(calls) };
        after = StepRef { task: last.task, attempt: last.attempt, n: last.n };
        for call in page {
            let of = calls.entry((call.task, call.attempt)).or_default();
            let list = if call.kind == "model" { &mut of.model } else { &mut of.tool };
            list.push((call.started_at, call.finished_at));
        }
    }
}

/// Refuses a name that is no team's.
struct KnowTeam {
    ws: WorkspaceId,
    name: String,
}

impl UseCase for KnowTeam {
    type Out = ();

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<()> {
        let which = analytics::Which {
            team: Some(&self.name),
            since: Timestamp::from_micros(i64::MIN),
            until: Timestamp::from_micros(i64::MAX),
        };
        // A team that was removed may still have runs.
        let known = team::latest(tx, &self.name).await?.is_some();
        if known || !analytics::runs(tx, which, None, 1).await?.is_empty() {
            return Ok(());
        }
        Err(Error::missing("team", &self.name))
    }
}
