//! Escalation: an agent that is stuck with its task asks the next one up. Who that is, the domain says; that it was asked is
//! on record twice, with the task and with the agent.

use convoke_domain::agent::{Standing, may_be_chosen};
use convoke_domain::escalate::{Ladder, Rung, next};
use convoke_domain::event::Kind;
use convoke_domain::id::{RunId, TaskId};
use convoke_domain::profile::Profile;
use convoke_domain::spec::RunSpec;
use convoke_store::{Result, Tx, agent, escalate};
use serde_json::json;

use crate::agent::{health_of, status_of};
use crate::engine::emit;

/// Supervisors looked at.
const SUPERVISORS: i64 = 16;

/// Who is stuck, with what.
pub(crate) struct Stuck<'a> {
    /// The run.
    pub run: RunId,
    /// The task.
    pub task: TaskId,
    /// The agent, with its rights as they are now.
    pub profile: &'a Profile,
    /// Why.
    pub reason: &'a str,
}

/// Says who is asked next about a task, and puts on record that it was. Whoever was asked about the task already is not
/// asked again; a person comes last, as often as need be.
pub(crate) async fn next_step(tx: &mut Tx<'_>, stuck: &Stuck<'_>, spec: &RunSpec) -> Result<Rung> {
    let supervisor = supervisor(tx, spec).await?;
    let before = escalate::of_task(tx, stuck.task).await?;
    let asked: Vec<String> = before.iter().map(|row| row.asked.clone()).collect();
    let ladder = Ladder {
        coordinator: &spec.team.coordinator,
        supervisor: supervisor.as_deref(),
        may_ask_supervisor: stuck.profile.authority.can_escalate_to_supervisor,
    };
    let rung = next(&stuck.profile.name, ladder, &asked);
    let name = rung.agent().unwrap_or_default();
    let n = before.last().map_or(0, |row| row.n) + 1;
    let (task, run, from) = (stuck.task, stuck.run, &stuck.profile.name);
    let row = escalate::NewRow { task, n, run, agent: from, rung: rung.as_str(), asked: name, reason: stuck.reason };
    escalate::insert(tx, &row).await?;
    let who = format!("agent:{from}");
    let payload = json!({"to": rung.as_str(), "agent": rung.agent(), "from": from, "n": n, "reason": stuck.reason});
    emit(tx, Kind::TaskEscalated, ("task", task.to_string()), (Some(run), &who), payload);
    let payload = json!({"to": rung.as_str(), "agent": rung.agent(), "task": task, "reason": stuck.reason});
    emit(tx, Kind::AgentEscalated, ("agent", from.clone()), (Some(run), &who), payload);
    Ok(rung)
}

/// The supervisor that this run can reach: the one the team names, else one of the workspace's that takes part in the run.
async fn supervisor(tx: &mut Tx<'_>, spec: &RunSpec) -> Result<Option<String>> {
    if let Some(name) = &spec.team.rules.default_supervisor {
        let held = agent::hold(tx, name).await?;
        if let Some(held) = held
            && may_be_chosen(held.active, status_of(&held)?, health_of(&held)?)
        {
            return Ok(Some(name.clone()));
        }
    }
    for held in agent::of_standing(tx, Standing::Supervisor.as_str(), SUPERVISORS).await? {
        let fits = may_be_chosen(held.active, status_of(&held)?, health_of(&held)?);
        if fits && spec.profiles.contains_key(&held.name) {
            return Ok(Some(held.name));
        }
    }
    Ok(None)
}
