//! The inbox: all that waits for one person, whatever it is. Read from what is stored; nothing is kept for it.

use std::collections::BTreeMap;

use convoke_domain::approval::{Asked, State, Voter, waits_for};
use convoke_domain::choice;
use convoke_domain::id::{ApprovalId, RunId, WorkspaceId};
use convoke_domain::pattern::Stage;
use convoke_domain::record::{ApprovalRecord, DecisionRecord, InboxEntry, InboxKind, VoteRecord};
use convoke_domain::run as domain_run;
use convoke_domain::time::Timestamp;
use convoke_domain::user::Role;
use convoke_store::{Error, Result as Stored, Tx, UseCase, approval, decision, effect, frame, run, task};
use serde_json::Value;

use crate::approval::{counted, role_of, rule_of, strangers};
use crate::decision::record;
use crate::person::may_do;
use crate::resolve::{choices, task_state};
use crate::{Engine, Result};

/// Entries of one kind that are looked at.
pub(crate) const MOST: i64 = 1_000;

impl Engine {
    /// What waits for the user `name`, oldest first.
    pub async fn inbox(&self, name: &str) -> Result<Vec<InboxEntry>> {
        let found = self.store().read(Look { ws: self.ws(), who: format!("user:{name}") }).await?;
        // Whoever was asked by name may answer, whatever their part.
        let mut entries = found.questions;
        let Some(role) = found.role.filter(|role| role.may_answer()) else { return Ok(entries) };
        entries.extend(found.approvals);
        for (row, due) in found.tasks {
            let spec = self.spec(&row.spec).await?;
            if may_do(&spec, &row.agent, name, role) {
                entries.push(task_entry((row, due)));
            }
        }
        if matches!(role, Role::Owner | Role::Operator) {
            for row in found.effects {
                entries.push(effect_entry(row)?);
            }
            entries.extend(found.runs.into_iter().map(run_entry));
        }
        entries.sort_by_key(|entry| entry.since);
        Ok(entries)
    }
}

/// The approvals of a run as they are told.
pub(crate) async fn approvals_of(tx: &mut Tx<'_>, run: RunId) -> Stored<Vec<ApprovalRecord>> {
    let mut told = Vec::new();
    for row in approval::of_run(tx, run, MOST).await? {
        let votes = approval::votes(tx, row.id).await?;
        let mut record = approval_record(row, votes)?;
        if record.state == State::Pending.as_str() {
            let unknown = strangers(tx, record.approvers.iter().map(String::as_str)).await?;
            record.unknown = unknown.into_iter().map(str::to_owned).collect();
        }
        told.push(record);
    }
    Ok(told)
}

pub(crate) fn approval_record(row: approval::Record, votes: Vec<approval::Vote>) -> Stored<ApprovalRecord> {
    let rule = rule_of(&row)?;
    let vote = |vote: approval::Vote| VoteRecord {
        by: vote.voter,
        place: vote.place,
        choice: vote.choice,
        note: vote.note,
        at: vote.at,
    };
    Ok(ApprovalRecord {
        id: row.id,
        run: row.run,
        task: row.task,
        agent: row.agent,
        tool: row.tool,
        args: row.args,
        digest: row.digest,
        reason: row.reason,
        confidence: row.confidence,
        state: row.state,
        needed: rule.needed,
        approvers: rule.approvers,
        unknown: Vec::new(),
        votes: votes.into_iter().map(vote).collect(),
        decided_by: row.decided_by,
        note: row.note.filter(|note| !note.is_empty()),
        created_at: row.created_at,
        expires_at: row.expires_at,
        decided_at: row.decided_at,
        used_at: row.used_at,
    })
}

struct Look {
    ws: WorkspaceId,
    who: String,
}

struct Found {
    role: Option<Role>,
    questions: Vec<InboxEntry>,
    approvals: Vec<InboxEntry>,
    tasks: Vec<(task::Given, Option<Timestamp>)>,
    effects: Vec<effect::Unknown>,
    runs: Vec<run::Record>,
}

impl UseCase for Look {
    type Out = Found;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Found> {
        let role = role_of(tx, &self.who).await?;
        Ok(Found {
            role,
            questions: self.questions(tx).await?,
            approvals: self.approvals(tx, role).await?,
            tasks: tasks(tx).await?,
            effects: effect::unknown(tx, MOST).await?,
            runs: run::for_people(tx, MOST).await?,
        })
    }
}

/// What people are to do, with when a flow goes on without them.
async fn tasks(tx: &mut Tx<'_>) -> Stored<Vec<(task::Given, Option<Timestamp>)>> {
    let mut all = Vec::new();
    for given in task::for_people(tx, None, MOST).await? {
        let is_of_flow = given.stage == Stage::Step.as_str();
        let due = if is_of_flow { frame::due_above(tx, given.run, &given.key).await? } else { None };
        all.push((given, due));
    }
    Ok(all)
}

impl Look {
    /// The questions and requests that this person was asked, by name or by role.
    async fn questions(&self, tx: &mut Tx<'_>) -> Stored<Vec<InboxEntry>> {
        // Also those whose time is over: until somebody is at work who takes the default, an answer counts.
        let found = decision::open_for(tx, &self.who, MOST).await?;
        found.into_iter().map(|row| record(row, Vec::new()).map(question_entry)).collect()
    }

    /// What of the approvals this person may still answer.
    async fn approvals(&self, tx: &mut Tx<'_>, role: Option<Role>) -> Stored<Vec<InboxEntry>> {
        let mut votes: BTreeMap<ApprovalId, Vec<approval::Vote>> = BTreeMap::new();
        for vote in approval::votes_pending(tx, MOST * 4).await? {
            votes.entry(vote.approval).or_default().push(vote);
        }
        let mut entries = Vec::new();
        let mut pending = approval::pending(tx, None, MOST).await?;
        pending.sort_by_key(|row| (row.created_at, row.task, row.n));
        for row in pending {
            let (rule, cast) = (rule_of(&row)?, votes.remove(&row.id).unwrap_or_default());
            let asked = Asked { state: State::Pending, rule: &rule, creator: &row.creator, votes: &counted(&cast) };
            let in_time = row.expires_at.is_none_or(|due| due > tx.now());
            if in_time && waits_for(&asked, Voter { who: &self.who, role }) {
                entries.push(approval_entry(approval_record(row, cast)?));
            }
        }
        Ok(entries)
    }
}

fn approval_entry(approval: ApprovalRecord) -> InboxEntry {
    let reason = approval.reason.as_deref().map(|reason| format!("\n{reason}")).unwrap_or_default();
    InboxEntry {
        kind: InboxKind::Approval,
        id: approval.id.to_string(),
        run: Some(approval.run),
        from: format!("agent:{}", approval.agent),
        title: format!("{} {}", approval.tool, approval.args),
        detail: format!("{} {}{reason}", approval.tool, approval.args),
        since: approval.created_at,
        due: approval.expires_at,
        approval: Some(approval),
        output_schema: None,
        options: Vec::new(),
    }
}

fn question_entry(asked: DecisionRecord) -> InboxEntry {
    let mut detail = asked.question.trim().to_owned();
    if let Some(impact) = &asked.impact {
        detail.push_str(&format!("\nwhat depends on it: {impact}"));
    }
    if let Some(default) = &asked.default {
        detail.push_str(&format!("\nif nobody answers: {default}"));
    }
    InboxEntry {
        kind: InboxKind::Question,
        id: asked.id.to_string(),
        run: asked.run,
        title: asked.question.lines().next().unwrap_or_default().to_owned(),
        from: asked.asked_by,
        detail,
        since: asked.asked_at,
        due: asked.due,
        approval: None,
        output_schema: None,
        options: asked.options,
    }
}

fn task_entry((row, due): (task::Given, Option<Timestamp>)) -> InboxEntry {
    let form: Option<Value> = row.output_schema.as_deref().and_then(|text| serde_json::from_str(text).ok());
    let part = if row.instructions.trim() == row.run_task.trim() { "" } else { row.instructions.trim() };
    InboxEntry {
        kind: InboxKind::Task,
        id: row.id.to_string(),
        run: Some(row.run),
        from: "system".to_owned(),
        title: format!("{} ({})", row.title, row.agent),
        detail: format!("{}\n\n{part}", row.run_task.trim()).trim_end().to_owned(),
        since: row.started_at.unwrap_or_default(),
        due,
        approval: None,
        options: form.as_ref().map(choice::options).unwrap_or_default(),
        output_schema: form,
    }
}

fn effect_entry(row: effect::Unknown) -> Stored<InboxEntry> {
    let state = domain_run::State::parse(&row.run_state)
        .ok_or_else(|| Error::broken(format!("run {} has no state `{}`", row.run, row.run_state)))?;
    let choices = choices(state, task_state(&row.task_state, row.task)?);
    Ok(InboxEntry {
        kind: InboxKind::Effect,
        id: row.key,
        run: Some(row.run),
        from: "system".to_owned(),
        title: format!("what became of a call to {}?", row.tool),
        detail: format!("a call to {} was under way when contact was lost; it may have acted", row.tool),
        since: row.dispatched_at,
        due: None,
        approval: None,
        output_schema: None,
        options: choices.iter().map(|choice| (*choice).to_owned()).collect(),
    })
}

fn run_entry(row: run::Record) -> InboxEntry {
    let kind = if row.state == "escalated" { InboxKind::Escalated } else { InboxKind::Paused };
    let why = row.reason.or(row.error).unwrap_or_else(|| "no reason was given".to_owned());
    InboxEntry {
        kind,
        id: row.id.to_string(),
        run: Some(row.id),
        from: "system".to_owned(),
        title: format!("{}: {why}", row.team),
        detail: row.task,
        since: row.finished_at.or(row.started_at).unwrap_or(row.created_at),
        due: None,
        approval: None,
        output_schema: None,
        options: Vec::new(),
    }
}
