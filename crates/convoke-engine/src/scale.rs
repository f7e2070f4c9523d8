//! Scaling: agents of a member's profile come when its tasks queue up, take them, and go when there are none.
//!
//! Rule: a queue is looked at in the transaction that changed it: where tasks are made and where they end; so a crash finds all of it
//! done or nothing, and no agent comes twice. What changes a queue from afar (other runs, a pause, time) the workers look for.
//! Start at [`balance`].

use std::collections::BTreeMap;
use std::sync::Arc;

use convoke_domain::event::Kind;
use convoke_domain::id::{RunId, TaskId, WorkspaceId};
use convoke_domain::scale::{self as domain, Move, Queue, Relief};
use convoke_domain::spec::RunSpec;
use convoke_domain::team::ScaleRule;
use convoke_store::{Result as Stored, Tx, UseCase, run, scale as store};
use serde_json::json;

use crate::engine::emit;
use crate::run::state_of;
use crate::user::denied;
use crate::{Engine, Result, spawn};

/// Runs looked after in one round.
const RUNS: i64 = 256;

/// The member's rule, if it has one.
fn rule_of<'s>(spec: &'s RunSpec, member: &str) -> Option<&'s ScaleRule> {
    spec.team.members.iter().find(|known| known.profile == member)?.scale.as_ref()
}

fn is_used(spec: &RunSpec) -> bool {
    spec.team.members.iter().any(|member| member.scale.is_some())
}

/// Notes which members of a run that begins have a rule.
pub(crate) async fn begin(tx: &mut Tx<'_>, run: RunId, spec: &RunSpec) -> Stored<()> {
    for member in spec.team.members.iter().filter(|member| member.scale.is_some()) {
        store::insert(tx, run, &member.profile).await?;
    }
    Ok(())
}

/// Which member an agent stands in for: what the pattern sees.
#[derive(Debug, Default)]
pub(crate) struct Members(BTreeMap<String, String>);

impl Members {
    /// Puts the member's name in place of that of an agent that came to its relief.
    pub(crate) fn name_member(&self, agent: &mut String) {
        if let Some(member) = self.0.get(agent) {
            agent.clone_from(member);
        }
    }
}

/// Who stands in for whom in a run.
pub(crate) async fn members(tx: &mut Tx<'_>, run: RunId, spec: &RunSpec) -> Stored<Members> {
    if !is_used(spec) {
        return Ok(Members::default());
    }
    Ok(Members(store::members(tx, run).await?.into_iter().collect()))
}

/// Looks at the queues of a run's members, and does what their rules say.
pub(crate) async fn balance(tx: &mut Tx<'_>, id: RunId, spec: &RunSpec) -> Stored<()> {
    look_at(tx, id, spec, false).await.map(drop)
}

async fn look_at(tx: &mut Tx<'_>, id: RunId, spec: &RunSpec, only_looks: bool) -> Stored<bool> {
    if !is_used(spec) {
        return Ok(false);
    }
    // Held until the end: no other transaction answers the same queue.
    let held = run::hold(tx, id).await?;
    if state_of(&held)?.has_ended() {
        return Ok(false);
    }
    let mut moved = false;
    for scaled in store::of_run(tx, id).await? {
        if let Some(rule) = rule_of(spec, &scaled.member) {
            let turn = Turn { run: id, spec, scaled: &scaled, rule };
            moved |= if only_looks { turn.has_moves(tx).await? } else { turn.take(tx).await? };
        }
    }
    Ok(moved)
}

/// One look at the queue of one member.
struct Turn<'a> {
    run: RunId,
    spec: &'a RunSpec,
    scaled: &'a store::Scaled,
    rule: &'a ScaleRule,
}

impl Turn<'_> {
    async fn has_moves(&self, tx: &mut Tx<'_>) -> Stored<bool> {
        let (moves, _) = self.moves(tx).await?;
        Ok(!moves.is_empty())
    }

    async fn take(&self, tx: &mut Tx<'_>) -> Stored<bool> {
        let (moves, mut waiting) = self.moves(tx).await?;
        let mut moved = false;
        for step in moves {
            match step {
                Move::Rest(name) => store::set_idle(tx, self.run, &name, Some(tx.now())).await?,
                Move::Retire(name) => spawn::retire_idle(tx, self.run, &name).await?,
                Move::Give(name) => {
                    store::set_idle(tx, self.run, &name, None).await?;
                    moved |= self.give(tx, waiting.next(), &name).await?;
                }
                // What is being claimed at this moment is nobody's to give.
                Move::Spawn => match waiting.next() {
                    None => break,
                    task => match self.spawn(tx).await? {
                        Some(name) => moved |= self.give(tx, task, &name).await?,
                        None => break,
                    },
                },
            }
        }
        Ok(moved)
    }

    /// What is to be done, and the tasks in the queue that the member has no room for.
    async fn moves(&self, tx: &mut Tx<'_>) -> Stored<(Vec<Move>, impl Iterator<Item = (TaskId, String)> + use<>)> {
        let member = &self.scaled.member;
        let found = store::queue(tx, self.run, member).await?;
        let reliefs = store::reliefs(tx, self.run, member).await?;
        let relief = |row: store::Relief| Relief { name: row.name, is_busy: row.open > 0, idle_since: row.idle_since };
        let count = |count: i64| usize::try_from(count).unwrap_or(0);
        let room = count(found.room - found.others);
        let queue = Queue { ready: count(found.fresh), room, reliefs: reliefs.into_iter().map(relief).collect() };
        // Nobody comes for a member that is switched off.
        let rule = ScaleRule { max: if found.active { self.rule.max } else { 0 }, ..*self.rule };
        let moves = domain::next(&rule, &queue, tx.now());
        let wanted = moves.iter().filter(|step| matches!(step, Move::Give(_) | Move::Spawn)).count();
        let most = if wanted > 0 { i64::try_from(room + wanted).unwrap_or(i64::MAX) } else { 0 };
        let waiting = store::fresh(tx, self.run, member, most).await?;
        Ok((moves, waiting.into_iter().skip(room)))
    }

    /// Adds an agent by the door of all spawns. The first denial by a rule is on record; after that the queue simply waits.
    async fn spawn(&self, tx: &mut Tx<'_>) -> Stored<Option<String>> {
        let member = &self.scaled.member;
        match spawn::relieve(tx, self.run, member, self.spec).await? {
            Ok(name) => {
                store::insert_relief(tx, self.run, &name, member).await?;
                store::set_denied(tx, self.run, member, None).await?;
                Ok(Some(name))
            }
            Err(denial) => {
                if self.scaled.denied.as_deref() != Some(denial.rule) {
                    denied(tx, "system", Some(self.run), &denial);
                    store::set_denied(tx, self.run, member, Some(denial.rule)).await?;
                }
                Ok(None)
            }
        }
    }

    async fn give(&self, tx: &mut Tx<'_>, task: Option<(TaskId, String)>, to: &str) -> Stored<bool> {
        let Some((task, key)) = task else { return Ok(false) };
        store::give(tx, task, to).await?;
        let payload = json!({"key": key, "from": self.scaled.member, "to": to, "error": null, "why": "backlog"});
        emit(tx, Kind::TaskReassigned, ("task", task.to_string()), (Some(self.run), "system"), payload);
        Ok(true)
    }
}

/// Looks after all queues of a workspace. True if anybody has got a task.
pub(crate) async fn look(engine: &Engine) -> Result<bool> {
    let mut moved = false;
    for (run,) in engine.store().read(Runs { ws: engine.ws() }).await? {
        let spec = engine.spec_of(run).await?;
        let look = Balance { ws: engine.ws(), run, spec, only_looks: true };
        // Most looks find nothing to do, and cost no write.
        if engine.store().read(look.clone()).await? {
            moved |= engine.store().run(Balance { only_looks: false, ..look }).await?;
        }
    }
    Ok(moved)
}

struct Runs {
    ws: WorkspaceId,
}

impl UseCase for Runs {
    type Out = Vec<(RunId,)>;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Self::Out> {
        store::runs(tx, RUNS).await
    }
}

#[derive(Clone)]
struct Balance {
    ws: WorkspaceId,
    run: RunId,
    spec: Arc<RunSpec>,
    /// Whether there is anything to do, and nothing more.
    only_looks: bool,
}

impl UseCase for Balance {
    type Out = bool;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<bool> {
        look_at(tx, self.run, &self.spec, self.only_looks).await
    }
}
