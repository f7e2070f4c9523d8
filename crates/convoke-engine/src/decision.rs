//! The decision log, and how a decision that stands is replaced: by whoever has the authority, with a reason, and with what
//! was decided before kept.
//!
//! Rule: whoever asked, and whoever decided before, is told in the same transaction. Start at [`replace`].

use convoke_domain::event::Kind as EventKind;
use convoke_domain::id::{MessageId, RunId, WorkspaceId};
use convoke_domain::message::{Ask, Conclusion, Kind, OPTION_CHARS, OVERRIDES, Standing, check_override, conclude};
use convoke_domain::record::{DecisionRecord, ReplacedRecord};
use convoke_domain::refusal::Refusal;
use convoke_domain::task::Priority;
use convoke_domain::thread::Party;
use convoke_store::decision::{self, End, Past, Record};
use convoke_store::thread::Viewer;
use convoke_store::{Error, OrMissing, Result as Stored, Tx, UseCase, message, run, thread};
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use crate::engine::emit;
use crate::run::is_over;
use crate::say::{NewMessage, Speaker, say};
use crate::thread::{PAGE, Reader};
use crate::{Engine, Result};

/// A decision that was replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Replaced {
    /// The question.
    pub question: MessageId,
    /// The run it was asked in.
    pub run: Option<RunId>,
    /// What was decided before.
    pub was: Option<String>,
    /// Who was told.
    pub told: Vec<String>,
}

impl Engine {
    /// The decision log of a run, or of all, the newest first.
    pub async fn decisions(
        &self,
        run: Option<RunId>,
        before: Option<MessageId>,
        reader: Reader,
        limit: i64,
    ) -> Result<Vec<DecisionRecord>> {
        self.read(reader, (run, before, limit.min(PAGE)), |tx, (run, before, limit), viewer| {
            Box::pin(async move {
                let found = decision::list(tx, *run, *before, viewer, *limit).await?;
                logged(tx, found).await
            })
        })
        .await
    }

    /// A person replaces a decision that stands. `id` is the question's, or that of the message that decided it.
    pub async fn override_decision(&self, user: &str, id: MessageId, choice: &str, reason: &str) -> Result<Replaced> {
        let who = Party::User(user.to_owned());
        let (choice, reason) = (choice.to_owned(), reason.to_owned());
        let by_person = ByPerson { ws: self.ws(), who, id, choice, reason, seed: self.fresh() };
        let replaced = self.govern(user, "replace decisions", by_person).await?;
        self.wake().notify_one();
        Ok(replaced)
    }
}

struct ByPerson {
    ws: WorkspaceId,
    who: Party,
    id: MessageId,
    choice: String,
    reason: String,
    seed: Uuid,
}

impl UseCase for ByPerson {
    type Out = Replaced;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Replaced> {
        let by = Speaker { who: &self.who, run: None, spec: None, task: None };
        let (choice, reason) = (&self.choice, &self.reason);
        replace(tx, &Override { by, decision: self.id, choice, reason, id: self.seed }).await
    }
}

/// What shall stand instead of a decision.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Override<'a> {
    /// Who replaces it: as it authenticated. That it may is checked before.
    pub by: Speaker<'a>,
    /// The question, or the message that decided it.
    pub decision: MessageId,
    /// What is chosen instead.
    pub choice: &'a str,
    /// Why.
    pub reason: &'a str,
    /// The id of the message that tells of it.
    pub id: Uuid,
}

/// Replaces a decision that stands, and tells those whom it concerns.
pub(crate) async fn replace(tx: &mut Tx<'_>, new: &Override<'_>) -> Stored<Replaced> {
    let question = find(tx, new).await?;
    let standing = standing(&question)?;
    may_change(tx, &question).await?;
    let terms: Ask = serde_json::from_str(&question.terms)?;
    check_override(&terms, question.choice.as_deref(), (new.choice, new.reason))?;
    let who = new.by.who.to_string();
    let told = concerned(&question, &who);
    let message = tell(tx, new, &question, &told).await?;
    let how = End {
        standing: standing.as_str(),
        choice: Some(new.choice),
        rationale: Some(new.reason),
        by: Some(&who),
        answer: message,
    };
    decision::replace(tx, question.id, &how).await?;
    let is_open = thread::hold(tx, question.thread).await?.is_some_and(|thread| !thread.is_private);
    let short =
        |choice: Option<&str>| choice.filter(|choice| is_open && choice.len() <= OPTION_CHARS).map(str::to_owned);
    let payload = json!({"by": who, "was": short(question.choice.as_deref()), "choice": short(Some(new.choice))});
    let on = ("question", question.id.to_string());
    emit(tx, EventKind::QuestionOverridden, on, (question.run, &who), payload);
    Ok(Replaced { question: question.id, run: question.run, was: question.choice, told })
}

/// The question that is meant, as far as whoever speaks may see it. An agent sees those of its own run.
async fn find(tx: &mut Tx<'_>, new: &Override<'_>) -> Stored<Record> {
    let (by, who) = (new.by, new.by.who.to_string());
    let mut found = decision::hold(tx, new.decision).await?;
    if found.is_none()
        && let Some(decided) = message::get(tx, new.decision, Viewer::Party(&who)).await?
        && let Some(asked) = decided.reply_to
    {
        found = decision::hold(tx, asked).await?;
    }
    let question = found.or_missing("decision", new.decision)?;
    let is_elsewhere = matches!(by.who, Party::Agent(_)) && by.run != question.run;
    if is_elsewhere || thread::get(tx, question.thread, Viewer::Party(&who)).await?.is_none() {
        return Err(Error::missing("decision", new.decision));
    }
    Ok(question)
}

/// Where the question stands afterwards; only a decision can be replaced.
fn standing(question: &Record) -> Stored<Standing> {
    let now = Standing::parse(&question.standing)
        .ok_or_else(|| Error::broken(format!("question {} has no standing `{}`", question.id, question.standing)))?;
    if question.kind != Kind::Question.as_str() {
        let message = format!("{} is a {}, and what was responded is no decision", question.id, question.kind);
        return Err(Refusal::new("no_decision", message).into());
    }
    Ok(conclude(now, Conclusion::Override).map_err(|refusal| {
        let hint = if now == Standing::Open { "answer it: `convoke answer`" } else { "ask anew" };
        refusal.hint(hint)
    })?)
}

/// A run that has ended has acted on what was decided.
async fn may_change(tx: &mut Tx<'_>, question: &Record) -> Stored<()> {
    if let Some(id) = question.run {
        let found = run::find(tx, id).await?.or_missing("run", id)?;
        if is_over(&found.state) {
            let message = format!("run {id} has ended ({}); what was decided in it stands", found.state);
            return Err(Refusal::new("run_over", message).hint("start another run with what you decide").into());
        }
    }
    if decision::replaced(tx, question.id).await?.len() >= OVERRIDES {
        let message = format!("the decision was replaced {OVERRIDES} times, which is the most");
        return Err(Refusal::new("overridden_too_often", message).hint("talk it over, and ask anew").into());
    }
    Ok(())
}

/// Who asked, and who decided before.
fn concerned(question: &Record, who: &str) -> Vec<String> {
    let mut found = vec![question.asked_by.clone()];
    found.extend(question.answered_by.clone());
    found.dedup();
    found.retain(|one| one != who && one != "system");
    found
}

async fn tell(tx: &mut Tx<'_>, new: &Override<'_>, question: &Record, to: &[String]) -> Stored<Option<MessageId>> {
    if to.is_empty() {
        return Ok(None);
    }
    let was = question.choice.as_deref().unwrap_or_default();
    let body = format!("{}\n\nThis replaces what was decided: {was}\n\nBecause: {}", new.choice, new.reason);
    let body = body.chars().take(convoke_domain::message::BODY_BYTES / 4).collect::<String>();
    let letter = NewMessage {
        to: to.to_vec(),
        thread: Some(question.thread.to_string()),
        kind: Kind::Decision,
        priority: Priority::High,
        reply_to: Some(question.id),
        ..NewMessage::note("", body)
    };
    let said = say(tx, Speaker { run: question.run, ..new.by }, new.id, &letter).await?;
    Ok(Some(said.message))
}

/// Rows of the log as they are shown, each with what was decided before.
pub(crate) async fn logged(tx: &mut Tx<'_>, rows: Vec<Record>) -> Stored<Vec<DecisionRecord>> {
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let past = match row.standing.as_str() {
            "overridden" => decision::replaced(tx, row.id).await?,
            _ => Vec::new(),
        };
        found.push(record(row, past)?);
    }
    Ok(found)
}

pub(crate) fn record(row: Record, past: Vec<Past>) -> Stored<DecisionRecord> {
    // Terms that cannot be read end their question by name; that must not hide all others.
    let terms: Ask = serde_json::from_str(&row.terms).unwrap_or_default();
    Ok(DecisionRecord {
        id: row.id,
        thread: row.thread,
        run: row.run,
        kind: row.kind,
        asked_by: row.asked_by,
        question: row.asked,
        asked: serde_json::from_str(&row.audience)?,
        options: terms.options,
        default: terms.default,
        impact: terms.impact,
        standing: row.standing,
        due: row.due,
        choice: row.choice,
        rationale: row.rationale,
        approver: row.answered_by,
        asked_at: row.asked_at,
        ended_at: row.ended_at,
        replaced: past.into_iter().map(replaced).collect(),
    })
}

fn replaced(past: Past) -> ReplacedRecord {
    ReplacedRecord {
        standing: past.standing,
        choice: past.choice,
        rationale: past.rationale,
        approver: past.answered_by,
        at: past.ended_at,
    }
}
