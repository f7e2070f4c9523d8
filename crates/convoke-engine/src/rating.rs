//! Ratings: a person says how well a run, an agent's part in it, or a task was. Rule: one rating for each person and thing; rating
//! again changes it, and what was said before stays in the events. Agents rate nothing.

use convoke_domain::analytics::STARS;
use convoke_domain::event::Kind;
use convoke_domain::id::{RunId, TaskId, WorkspaceId};
use convoke_domain::pattern::Stage;
use convoke_domain::record::RatingRecord;
use convoke_domain::refusal::Refusal;
use convoke_store::{Error, Result as Stored, Tx, UseCase, rating, run, task};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::engine::emit;
use crate::{Engine, Result};

/// The longest note, in bytes.
const MAX_NOTE: usize = 16 * 1024;
/// Ratings told of one run.
pub(crate) const RATINGS: i64 = 1_000;
/// Names that a refusal lists.
const NAMED: usize = 12;

/// What is rated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum About {
    /// The run as a whole.
    Run,
    /// An agent's part in it, by name.
    Agent(String),
    /// A task, by id, key, or `STAGE/KEY`.
    Task(String),
}

/// A rating that is about to be given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// The run.
    pub run: RunId,
    /// What of it.
    pub about: About,
    /// From 1 to 5.
    pub stars: i64,
    /// Why.
    pub note: String,
}

impl Engine {
    /// A person rates a run, or work in it.
    pub async fn rate(&self, rate: Rate, user: &str) -> Result<RatingRecord> {
        let give = Give { ws: self.ws(), rate, who: format!("user:{user}") };
        give.check()?;
        self.rate_as(user, "rate", give).await
    }
}

/// Work that is rated: an agent's part in a run, or one task of it.
struct Work {
    task: Option<TaskId>,
    agent: String,
}

struct Give {
    ws: WorkspaceId,
    rate: Rate,
    who: String,
}

impl UseCase for Give {
    type Out = RatingRecord;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<RatingRecord> {
        let Rate { run: id, stars, note, .. } = &self.rate;
        let (work, what) = self.find(tx).await?;
        let capability = match &work {
            Some(work) => self.capability(tx, work).await?,
            None => String::new(),
        };
        let (task, agent) = work.as_ref().map_or((None, None), |work| (work.task, Some(work.agent.as_str())));
        let was = rating::find(tx, *id, &what, &self.who).await?;
        let new = rating::NewRow {
            run: *id,
            what: &what,
            who: &self.who,
            task,
            agent,
            capability: &capability,
            stars: *stars,
            note,
        };
        rating::put(tx, &new).await?;
        let kind = if was.is_some() { Kind::RatingChanged } else { Kind::RatingGiven };
        let payload = json!({"stars": stars, "note": note, "agent": agent, "task": task, "was": was});
        emit(tx, kind, ("rating", format!("{id}:{what}")), (Some(*id), &self.who), payload);
        let (by, at) = (self.who.clone(), tx.now());
        Ok(RatingRecord { run: *id, task, agent: agent.map(str::to_owned), by, stars: *stars, note: note.clone(), at })
    }
}

impl Give {
    fn check(&self) -> std::result::Result<(), Refusal> {
        if !STARS.contains(&self.rate.stars) {
            let message = format!("a rating has 1 to 5 stars, and {} is none of these", self.rate.stars);
            return Err(Refusal::new("bad_stars", message).hint("1 is of no use, 3 will do, 5 could not be better"));
        }
        if self.rate.note.len() > MAX_NOTE {
            let message = format!("the note has {} bytes; the most is {MAX_NOTE}", self.rate.note.len());
            return Err(Refusal::new("note_too_long", message).hint("shorten it"));
        }
        Ok(())
    }

    /// What the work took, where the steps of the flow say so: of an agent's part, where all of its tasks took the same.
    async fn capability(&self, tx: &mut Tx<'_>, work: &Work) -> Stored<String> {
        let spec = crate::answer::spec_of(tx, self.rate.run).await?;
        let Some(flow) = &spec.flow else { return Ok(String::new()) };
        let tasks = task::of_run(tx, self.rate.run).await?;
        let is_rated = |row: &&task::Record| match work.task {
            Some(id) => row.id == id,
            None => row.agent == work.agent && row.stage == Stage::Step.as_str(),
        };
        let mut taken: Vec<_> = tasks.iter().filter(is_rated).map(|row| flow.capability_at(&row.key)).collect();
        taken.dedup();
        Ok(match taken.as_slice() {
            [Some(only)] => (*only).to_owned(),
            _ => String::new(),
        })
    }

    /// The work that is rated, and the name under which the rating is kept.
    async fn find(&self, tx: &mut Tx<'_>) -> Stored<(Option<Work>, String)> {
        let id = self.rate.run;
        let row = run::find(tx, id).await?.ok_or_else(|| Error::missing("run", id))?;
        match &self.rate.about {
            About::Run if !crate::run::is_over(&row.state) => {
                let message = format!("run {id} is {}: it has no end yet that could be rated", row.state);
                let hint = "wait until it has ended, or rate a task of it that has: `--task KEY`";
                Err(Refusal::new("not_ended", message).hint(hint).into())
            }
            About::Run => Ok((None, "run".to_owned())),
            About::Agent(name) => {
                let agent = self.agent(tx, name).await?;
                Ok((Some(Work { task: None, agent }), format!("agent:{name}")))
            }
            About::Task(text) => {
                let found = self.task(tx, text).await?;
                let what = found.id.to_string();
                Ok((Some(Work { task: Some(found.id), agent: found.agent }), what))
            }
        }
    }

    async fn agent(&self, tx: &mut Tx<'_>, name: &str) -> Stored<String> {
        let tasks = task::of_run(tx, self.rate.run).await?;
        if tasks.iter().any(|task| task.agent == name && task.finished_at.is_some()) {
            return Ok(name.to_owned());
        }
        let mut names: Vec<_> =
            tasks.iter().filter(|task| task.finished_at.is_some()).map(|task| &task.agent).collect();
        names.sort_unstable();
        names.dedup();
        let message = format!("`{name}` has ended no task of this run");
        Err(Refusal::new("missing_agent", message).hint(listed("those who have: ", names)).into())
    }

    async fn task(&self, tx: &mut Tx<'_>, text: &str) -> Stored<task::Record> {
        let all = task::of_run(tx, self.rate.run).await?;
        let (stage, key) = text.split_once('/').map_or((None, text), |(stage, key)| (Some(stage), key));
        let by_id = text.parse::<TaskId>().ok();
        let (mut found, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|task| match by_id {
            Some(id) => task.id == id,
            None => task.key == text || (task.key == key && stage.is_none_or(|stage| task.stage == stage)),
        });
        let mut stages: Vec<_> = found.iter().map(|task| task.stage.clone()).collect();
        stages.dedup();
        if stages.len() > 1 {
            let names = found.iter().map(|task| format!("{}/{}", task.stage, task.key)).collect::<Vec<_>>();
            let message = format!("several tasks of this run are called `{text}`");
            return Err(Refusal::new("ambiguous", message).hint(listed("name one by its stage: ", &names)).into());
        }
        // Of several rounds the last is meant; an earlier one is named by its id.
        match found.pop() {
            Some(task) if task.finished_at.is_some() => Ok(task),
            Some(task) => {
                let message = format!("the task `{text}` is {}: it has no end yet that could be rated", task.state);
                Err(Refusal::new("not_ended", message).hint("wait until it has ended").into())
            }
            None => {
                let names = others.iter().map(|task| format!("{}/{}", task.stage, task.key)).collect::<Vec<_>>();
                let message = format!("this run has no task `{text}`");
                Err(Refusal::new("missing_task", message).hint(listed("it has ", &names)).into())
            }
        }
    }
}

/// Names after some words, the first of them where they are many.
fn listed<'a>(words: &str, names: impl IntoIterator<Item = &'a String>) -> String {
    let names: Vec<_> = names.into_iter().map(|name| format!("`{name}`")).collect();
    let more = names.len().saturating_sub(NAMED);
    let shown = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match (shown.is_empty(), more) {
        (true, _) => format!("{words}none"),
        (false, 0) => format!("{words}{shown}"),
        (false, _) => format!("{words}{shown} and {more} more"),
    }
}

/// What people think of a run and of the work in it.
pub(crate) async fn of_run(tx: &mut Tx<'_>, id: RunId) -> Stored<Vec<RatingRecord>> {
    let told = |row: rating::Record| {
        let rating::Record { run, task, agent, who: by, stars, note, at, .. } = row;
        RatingRecord { run, task, agent, by, stars, note, at }
    };
    Ok(rating::of_run(tx, id, RATINGS).await?.into_iter().map(told).collect())
}
