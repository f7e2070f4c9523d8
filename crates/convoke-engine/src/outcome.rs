//! Outcomes of agents' work: how they are recorded, what they say of an agent, and what of them a run pins when it starts.
//!
//! Rule: a run decides by what was known when it started, so that it decides the same after a crash. Start at [`record`],
//! which is called in the transaction that ends a vote or a review, and [`Engine::pin_weights`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use convoke_domain::event::Kind;
use convoke_domain::flow::Flow;
use convoke_domain::id::{RunId, WorkspaceId};
use convoke_domain::outcome::{self as known, Case, Reputation};
use convoke_domain::refusal::Refusal;
use convoke_domain::spec::RunSpec;
use convoke_domain::time::Timestamp;
use convoke_domain::vote::Tally;
use convoke_domain::weight::Pinned;
use convoke_store::definition::profile;
use convoke_store::{Result as Stored, Tx, UseCase, agent, outcome, rating};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::engine::emit;
use crate::{Engine, Result, effort};

/// Outcomes of one agent that are read, the newest.
const PER_AGENT: i64 = 500;
/// Agents whose outcomes are read at once.
const AGENTS: usize = 200;
/// Outcomes that are recorded at once; as many as a vote may have voters.
const AT_ONCE: usize = 1_000;
/// Outcomes of one subject that are looked at.
const VOTERS: i64 = 10_000;
/// Outcomes that one event lists.
const TOLD: usize = 50;
/// Ratings older than this have faded to nothing.
const OLDEST: Duration = Duration::from_secs(4 * 365 * 86_400);

/// What came of outcomes that a person recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Recorded {
    /// How many were new.
    pub new: usize,
    /// How many took the place of something else.
    pub changed: usize,
    /// How many were there already, as they were said.
    pub same: usize,
    /// Agents of whom nothing was known here, neither as an agent nor as a profile.
    pub strangers: Vec<String>,
    /// The path of the vote that was compared with the right answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vote: Option<String>,
    /// Who was right in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub right: Vec<String>,
    /// Who was wrong in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub wrong: Vec<String>,
}

impl Engine {
    /// What is known of agents' work: of one, or of all, by name and capability.
    pub async fn reputation(&self, agent: Option<&str>) -> Result<Vec<Reputation>> {
        Ok(self.store().read(Known { ws: self.ws(), agent: agent.map(str::to_owned) }).await?)
    }

    /// A person records what became of agents' work, such as answers that were compared with the right ones. What is there already as it
    /// is said stays as it is.
    pub async fn record_outcomes(&self, cases: Vec<Case>, user: &str) -> Result<Recorded> {
        let record = Record { ws: self.ws(), cases, who: format!("user:{user}") };
        self.rate_as(user, "say what became of work", record).await
    }

    /// Pins what is known of a team's agents, where its votes or merges go by that.
    pub(crate) async fn pin_weights(&self, spec: &mut RunSpec) -> Result<()> {
        if spec.weights.is_empty() && spec.flow.as_ref().is_some_and(Flow::goes_by_weights) {
            let mut agents: Vec<String> = spec.profiles.keys().cloned().collect();
            agents.truncate(AGENTS);
            spec.weights = self.store().read(Pin { ws: self.ws(), agents }).await?;
        }
        Ok(())
    }
}

/// By what an outcome comes about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct By<'a> {
    /// The run whose work it is, if it is one's.
    pub(crate) run: Option<RunId>,
    /// Who says so.
    pub(crate) who: &'a str,
    /// The right answer, where that is said.
    pub(crate) answer: Option<&'a str>,
}

impl By<'_> {
    fn run(run: RunId) -> Self {
        Self { run: Some(run), who: "system", answer: None }
    }
}

/// Records outcomes in the transaction that brings them about. What was recorded of the same subject, agent,
/// capability and kind before is replaced, so that a vote that is counted twice counts once.
async fn record(tx: &mut Tx<'_>, by: By<'_>, cases: &[Case]) -> Stored<()> {
    if cases.is_empty() {
        return Ok(());
    }
    check(cases)?;
    let By { run, who, answer } = by;
    outcome::put(tx, &cases.iter().map(|case| new_row(case, run)).collect::<Vec<_>>()).await?;
    let told = cases.iter().take(TOLD).map(|case| {
        json!({"agent": case.agent, "capability": case.capability, "kind": case.kind, "value": case.value, "choice": case.choice})
    });
    let more = cases.len().saturating_sub(TOLD);
    let payload = json!({"outcomes": told.collect::<Vec<_>>(), "more": more, "answer": answer});
    emit(tx, Kind::OutcomeRecorded, ("outcome", cases[0].subject.clone()), (run, who), payload);
    Ok(())
}

/// Records what a person says, leaving out what is there already.
pub(crate) async fn say(tx: &mut Tx<'_>, by: By<'_>, cases: &[Case]) -> Stored<Recorded> {
    check(cases)?;
    let mut came = Recorded { strangers: strangers(tx, cases).await?, ..Recorded::default() };
    let mut there = BTreeMap::new();
    for (subject, kind) in cases.iter().map(|case| (&case.subject, case.kind)).collect::<BTreeSet<_>>() {
        for row in outcome::of_subject(tx, subject, kind.as_str(), VOTERS).await? {
            there.insert((row.subject.clone(), row.agent.clone(), row.capability.clone(), kind), row);
        }
    }
    let mut news: Vec<Case> = Vec::new();
    for case in cases {
        let key = (case.subject.clone(), case.agent.clone(), case.capability.clone(), case.kind);
        match there.get(&key) {
            Some(row) if is_same(row, case) => came.same += 1,
            found => {
                *if found.is_some() { &mut came.changed } else { &mut came.new } += 1;
                news.push(case.clone());
            }
        }
    }
    record(tx, by, &news).await?;
    Ok(came)
}

fn is_same(row: &outcome::Record, case: &Case) -> bool {
    let is_then = is_now(case) || row.at == case.at;
    (row.value - case.value).abs() < 1e-9 && row.choice == case.choice && is_then
}

fn is_now(case: &Case) -> bool {
    case.at == Timestamp::from_micros(0)
}

/// Agents that nothing here is called by.
async fn strangers(tx: &mut Tx<'_>, cases: &[Case]) -> Stored<Vec<String>> {
    let mut found = Vec::new();
    for name in cases.iter().map(|case| &case.agent).collect::<BTreeSet<_>>() {
        let is_known = agent::hold(tx, name).await?.is_some()
            || profile::latest(tx, name).await?.is_some()
            || !outcome::of_agent(tx, name, 1).await?.is_empty();
        if !is_known {
            found.push(name.clone());
        }
    }
    Ok(found)
}

/// Records what a vote says of its voters, in the transaction that counts it. `facts` are its tally; one that was not decided says
/// nothing.
pub(crate) async fn of_vote(tx: &mut Tx<'_>, run: RunId, path: &str, facts: &Value) -> Stored<()> {
    let tally: Tally = serde_json::from_value(facts.clone())?;
    let subject = format!("{run}:{path}:{}", facts["round"].as_u64().unwrap_or(1));
    record(tx, By::run(run), &known::of_vote(&tally, &subject, facts["capability"].as_str())).await
}

/// Records for the author what a review came to: accepted, or not in the rounds there were.
pub(crate) async fn of_review(tx: &mut Tx<'_>, run: RunId, path: &str, facts: &Value) -> Stored<()> {
    let Some(author) = facts["author"].as_str() else { return Ok(()) };
    let accepted = facts["verdict"] == "accept";
    let case = Case {
        subject: format!("{run}:{path}"),
        agent: author.to_owned(),
        capability: facts["capability"].as_str().unwrap_or_default().to_owned(),
        kind: if accepted { known::Kind::ReviewAccepted } else { known::Kind::ReviewRejected },
        value: if accepted { 1.0 } else { 0.0 },
        choice: None,
        at: Timestamp::from_micros(0),
    };
    record(tx, By::run(run), &[case]).await
}

/// Records how good work was, as a critic or a judge scored it.
pub(crate) async fn of_scores(tx: &mut Tx<'_>, run: RunId, path: &str, facts: &Value) -> Stored<()> {
    record(tx, By::run(run), &known::of_scores(facts, &format!("{run}:{path}"))).await
}

fn new_row(case: &Case, run: Option<RunId>) -> outcome::NewRow<'_> {
    let Case { subject, agent, capability, kind, value, choice, .. } = case;
    let (kind, value, choice) = (kind.as_str(), *value, choice.as_deref());
    outcome::NewRow { subject, agent, capability, kind, value, choice, run, at: (!is_now(case)).then_some(case.at) }
}

fn check(cases: &[Case]) -> std::result::Result<(), Refusal> {
    if cases.len() > AT_ONCE {
        let message = format!("{} outcomes at once, and {AT_ONCE} is the most", cases.len());
        return Err(Refusal::new("too_many_outcomes", message).hint("record them in several parts"));
    }
    for case in cases {
        if !(0.0..=1.0).contains(&case.value) {
            let message = format!("`{}` was right by {}, and that is from 0 to 1", case.agent, case.value);
            return Err(Refusal::new("bad_outcome", message).hint("1 is right, 0 is wrong"));
        }
        if case.agent.is_empty() || case.subject.is_empty() {
            let refusal = Refusal::new("bad_outcome", "an outcome without an agent or a subject");
            return Err(refusal.hint("name the agent, and what it is about"));
        }
    }
    Ok(())
}

struct Record {
    ws: WorkspaceId,
    cases: Vec<Case>,
    who: String,
}

impl UseCase for Record {
    type Out = Recorded;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Recorded> {
        say(tx, By { run: None, who: &self.who, answer: None }, &self.cases).await
    }
}

struct Pin {
    ws: WorkspaceId,
    agents: Vec<String>,
}

impl UseCase for Pin {
    type Out = Pinned;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Pinned> {
        let cases = cases(tx, &self.agents).await?;
        Ok(known::pin(&cases, tx.now()))
    }
}

struct Known {
    ws: WorkspaceId,
    agent: Option<String>,
}

impl UseCase for Known {
    type Out = Vec<Reputation>;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Vec<Reputation>> {
        // What agreement says of one is known only beside the others.
        let names = names(tx).await?;
        if let Some(agent) = self.agent.as_ref().filter(|agent| !names.contains(agent)) {
            return Err(convoke_store::Error::missing("agent", agent));
        }
        let cases = cases(tx, &names).await?;
        let mut found = known::reputation(&cases, tx.now());
        effort::add(tx, &mut found).await?;
        found.retain(|one| self.agent.as_ref().is_none_or(|agent| one.agent == *agent));
        Ok(found)
    }
}

/// Agents that are registered or have outcomes; as many as are read at once.
async fn names(tx: &mut Tx<'_>) -> Stored<Vec<String>> {
    let limit = i64::try_from(AGENTS).unwrap_or(i64::MAX);
    let mut names: Vec<String> = outcome::agents(tx, "", limit).await?.into_iter().map(|(name,)| name).collect();
    names.extend(agent::list(tx, "", limit).await?.into_iter().map(|row| row.name));
    names.sort_unstable();
    names.dedup();
    names.truncate(AGENTS);
    Ok(names)
}

/// The outcomes of agents, the newest of each, with what people think of their work.
async fn cases(tx: &mut Tx<'_>, agents: &[String]) -> Stored<Vec<Case>> {
    let since = Timestamp::from_micros(tx.now().as_micros() - i64::try_from(OLDEST.as_micros()).unwrap_or(0));
    let mut all = Vec::new();
    for agent in agents {
        for row in outcome::of_agent(tx, agent, PER_AGENT).await? {
            let outcome::Record { subject, agent, capability, kind, value, choice, at } = row;
            all.push(Case { subject, agent, capability, kind: known::Kind::parse(&kind)?, value, choice, at });
        }
        let rated = rating::of_agent(tx, agent, since, PER_AGENT).await?;
        all.extend(rated.into_iter().map(|row| Case {
            subject: format!(
                "rating:{}:{}:{}",
                row.run,
                row.task.map(|task| task.to_string()).unwrap_or_default(),
                row.who
            ),
            agent: agent.clone(),
            capability: row.capability,
            kind: known::Kind::Rated,
            value: (row.stars - 1) as f64 / 4.0,
            choice: None,
            at: row.at,
        }));
    }
    Ok(all)
}
