//! What people do with messages: say something, read threads, look for words, open and close, put away, export; and the
//! decision log.
//!
//! Rule: whoever reads is named, and a private thread is shown to its two ends and to the audit alone, which leaves a trace.
//! Start at [`Reader`].

use std::sync::Arc;

use convoke_domain::event::Kind as EventKind;
use convoke_domain::id::{MessageId, RunId, TaskId, ThreadId, WorkspaceId};
use convoke_domain::record::{MessageRecord, ReceiptRecord, ThreadExport, ThreadRecord};
use convoke_domain::refusal::Refusal;
use convoke_domain::spec::RunSpec;
use convoke_domain::thread::{Command, Party, Status, decide};
use convoke_domain::time::Timestamp;
use convoke_store::thread::{Filter, Viewer};
use convoke_store::{OrMissing, Result as Stored, Tx, UseCase, message, run, thread, user};
use serde_json::json;
use uuid::Uuid;

use crate::answer::{self, Answer};
use crate::engine::emit;
use crate::say::{NewMessage, Said, Speaker, say};
use crate::{Engine, Result};

/// The most rows of one page, whatever is asked for.
pub const PAGE: i64 = 1_000;
/// The most messages of one export.
const EXPORT: usize = 100_000;
/// The part of a user who may read on behalf of the audit.
const AUDITOR: &str = "owner";

/// Who reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reader {
    /// A person: what is open to all, and their own private threads.
    User(String),
    /// A person on behalf of the audit: everything. Only an owner may, and it is put on record.
    Audit(String),
}

impl Reader {
    fn who(&self) -> String {
        match self {
            Self::User(name) | Self::Audit(name) => format!("user:{name}"),
        }
    }

    const fn viewer<'a>(&self, who: &'a str) -> Viewer<'a> {
        match self {
            Self::User(_) => Viewer::Party(who),
            Self::Audit(_) => Viewer::Audit,
        }
    }
}

/// Which threads a list holds.
#[derive(Debug, Clone, Default)]
pub struct ThreadFilter {
    /// With this participant, as `agent:NAME` or `user:NAME`.
    pub who: Option<String>,
    /// Of this run.
    pub run: Option<RunId>,
    /// Of this task.
    pub task: Option<TaskId>,
    /// That stand so.
    pub status: Option<Status>,
    /// Opened before this one.
    pub before: Option<ThreadId>,
}

/// A use case made of a closure over what was asked.
struct Read<T, F> {
    ws: WorkspaceId,
    reader: Reader,
    asked: T,
    get: F,
}

impl<T, O, F> UseCase for Read<T, F>
where
    T: Send + Sync + 'static,
    O: Send + 'static,
    F: for<'a> Fn(&'a mut Tx<'_>, &'a T, Viewer<'a>) -> Getting<'a, O> + Send + Sync + 'static,
{
    type Out = O;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<O> {
        let who = self.reader.who();
        (self.get)(tx, &self.asked, self.reader.viewer(&who)).await
    }
}

type Getting<'a, O> = std::pin::Pin<Box<dyn Future<Output = Stored<O>> + Send + 'a>>;

impl Engine {
    /// Says something on behalf of a person. Only owners and operators cut calls with it.
    pub async fn say(&self, user: &str, run: Option<RunId>, new: NewMessage) -> Result<Said> {
        let spec = self.spec_if_any(run).await?;
        let cuts = new.cancels;
        let act = Say { ws: self.ws(), id: self.fresh(), who: Party::User(user.to_owned()), run, spec, new };
        // What is cut is paid for and asked again, so it is not everybody's to do.
        let said = if cuts {
            self.govern(user, "cut the model calls of others", act).await?
        } else {
            self.store().run(act).await?
        };
        said.cut.iter().for_each(|task| self.cut(*task));
        self.wake().notify_one();
        Ok(said)
    }

    /// Answers a question or a request on behalf of a person, who must be one of those that were asked.
    pub async fn answer_question(
        &self,
        user: &str,
        question: MessageId,
        choice: &str,
        rationale: Option<&str>,
    ) -> Result<Said> {
        let who = Party::User(user.to_owned());
        let (choice, rationale) = (choice.to_owned(), rationale.map(str::to_owned));
        let act = Decide { ws: self.ws(), id: self.fresh(), who, question, choice, rationale };
        let said = self.store().run(act).await?;
        self.wake().notify_one();
        Ok(said)
    }

    async fn spec_if_any(&self, run: Option<RunId>) -> Result<Option<Arc<RunSpec>>> {
        let Some(run) = run else { return Ok(None) };
        let digest = self.read(Reader::User(String::new()), run, |tx, run, _| {
            Box::pin(async move { run::spec_of(tx, *run).await?.or_missing("run", run) })
        });
        Ok(Some(self.spec(&digest.await?).await?))
    }

    pub(crate) async fn read<T, O, F>(&self, reader: Reader, asked: T, get: F) -> Result<O>
    where
        T: Send + Sync + 'static,
        O: Send + 'static,
        F: for<'a> Fn(&'a mut Tx<'_>, &'a T, Viewer<'a>) -> Getting<'a, O> + Send + Sync + 'static,
    {
        Ok(self.store().read(Read { ws: self.ws(), reader, asked, get }).await?)
    }

    /// Threads, the newest first.
    pub async fn threads(&self, filter: ThreadFilter, reader: Reader, limit: i64) -> Result<Vec<ThreadRecord>> {
        self.read(reader, (filter, limit.min(PAGE)), |tx, (filter, limit), viewer| {
            Box::pin(async move {
                let by = Filter {
                    who: filter.who.as_deref(),
                    run: filter.run,
                    task: filter.task,
                    status: filter.status.map(Status::as_str),
                    before: filter.before,
                };
                let found = thread::list(tx, &by, viewer, *limit).await?;
                Ok(found.into_iter().map(|row| thread_record(row, Vec::new())).collect())
            })
        })
        .await
    }

    /// A thread with its messages after number `after`, with their receipts.
    pub async fn thread(&self, id: ThreadId, reader: Reader, after: i64, limit: i64) -> Result<ThreadExport> {
        self.read(reader, (id, after, limit.min(PAGE)), |tx, (id, after, limit), viewer| {
            Box::pin(async move { show(tx, *id, viewer, (*after, *limit)).await })
        })
        .await
    }

    /// All of a thread, archived or not.
    pub async fn export_thread(&self, id: ThreadId, reader: Reader) -> Result<ThreadExport> {
        let mut whole = self.thread(id, reader.clone(), 0, PAGE).await?;
        let wanted = usize::try_from(whole.thread.messages).unwrap_or(usize::MAX).min(EXPORT);
        while whole.messages.len() < wanted && whole.thread.status != Status::Archived.as_str() {
            let after = whole.messages.last().map_or(0, |last| last.n);
            let page = self.thread(id, reader.clone(), after, PAGE).await?;
            if page.messages.is_empty() {
                break;
            }
            whole.messages.extend(page.messages);
        }
        Ok(whole)
    }

    /// One message; nothing if it is not there or not for this reader.
    pub async fn message(&self, id: MessageId, reader: Reader) -> Result<Option<MessageRecord>> {
        self.read(reader, id, |tx, id, viewer| {
            Box::pin(async move {
                let found = message::get(tx, *id, viewer).await?;
                found.map(|row| message_record(row, Vec::new())).transpose()
            })
        })
        .await
    }

    /// A person has looked at a thread: what was addressed to them is read.
    pub async fn mark_read(&self, id: ThreadId, user: &str) -> Result<()> {
        Ok(self.store().run(Looked { ws: self.ws(), id, who: format!("user:{user}") }).await?)
    }

    /// Closes a thread, or lets it go on.
    pub async fn set_thread_open(&self, id: ThreadId, user: &str, open: bool) -> Result<()> {
        let command = if open { Command::Reopen } else { Command::Close };
        let turn = Turn { ws: self.ws(), id, user: user.to_owned(), command };
        self.govern(user, "close or reopen threads", turn).await
    }

    /// Puts on record that a person reads private threads, and refuses whoever may not.
    pub async fn audit_threads(&self, user: &str, what: &str) -> Result<Reader> {
        self.store().run(Audited { ws: self.ws(), user: user.to_owned(), what: what.to_owned() }).await?;
        Ok(Reader::Audit(user.to_owned()))
    }
}

async fn show(tx: &mut Tx<'_>, id: ThreadId, viewer: Viewer<'_>, (after, limit): (i64, i64)) -> Stored<ThreadExport> {
    let found = thread::get(tx, id, viewer).await?.or_missing("thread", id)?;
    let participants = thread::participants(tx, id, PAGE).await?;
    let names = participants.iter().map(|one| one.who.clone()).collect();
    if let Some(blobs) = &found.archive {
        let messages = crate::archive::read(tx, blobs).await?;
        let messages = messages.into_iter().filter(|message| message.n > after).collect();
        return Ok(ThreadExport { thread: thread_record(found, names), messages });
    }
    let mut messages = Vec::new();
    for row in message::of_thread(tx, id, after, limit).await? {
        let receipts = match row.audience {
            Some(_) => message::receipts(tx, row.id).await?.into_iter().map(receipt_record).collect(),
            None => cursors(&participants, &row),
        };
        messages.push(message_record(row, receipts)?);
    }
    Ok(ThreadExport { thread: thread_record(found, names), messages })
}

/// The receipts of a message to all: how far each participant's cursor has come.
fn cursors(participants: &[thread::Participant], row: &message::Record) -> Vec<ReceiptRecord> {
    let others = participants.iter().filter(|one| one.who != row.sender && one.joined_at <= row.at);
    others
        .map(|one| {
            let state = match (one.seen >= row.n, one.cursor >= row.n) {
                (true, _) => "read",
                (false, true) => "delivered",
                (false, false) => "queued",
            };
            let (who, state) = (one.who.clone(), state.to_owned());
            ReceiptRecord { who, state, delivered_at: None, read_at: None, answered_at: None }
        })
        .collect()
}

fn receipt_record(row: message::Receipt) -> ReceiptRecord {
    ReceiptRecord {
        who: row.who,
        state: row.state,
        delivered_at: row.delivered_at,
        read_at: row.read_at,
        answered_at: row.answered_at,
    }
}

fn thread_record(row: thread::Record, participants: Vec<String>) -> ThreadRecord {
    ThreadRecord {
        id: row.id,
        channel: row.channel,
        kind: row.kind,
        title: row.title,
        run: row.run,
        task: row.task,
        private: row.is_private,
        status: row.status,
        messages: row.last_n,
        participants,
        created_at: row.created_at,
        created_by: row.created_by,
        last_at: row.last_at,
        summary: row.summary,
    }
}

pub(crate) fn message_record(row: message::Record, receipts: Vec<ReceiptRecord>) -> Stored<MessageRecord> {
    let to = row.audience.as_deref().map(serde_json::from_str).transpose()?.unwrap_or_default();
    Ok(MessageRecord {
        id: row.id,
        thread: row.thread,
        n: row.n,
        run: row.run,
        from: row.sender,
        to,
        kind: row.kind,
        priority: row.priority,
        subject: row.subject,
        body: row.body,
        reply_to: row.reply_to,
        at: row.at,
        receipts,
    })
}

/// Somebody unknown cannot speak.
async fn known(tx: &mut Tx<'_>, who: &Party) -> Stored<()> {
    match user::by_name(tx, who.name()).await? {
        Some(_) => Ok(()),
        None => {
            let message = format!("the user `{}` is not known here, and may not talk", who.name());
            let hint = format!("an owner adds one: `convoke users add {} --role viewer`", who.name());
            Err(Refusal::new("unknown_user", message).hint(hint).into())
        }
    }
}

struct Say {
    ws: WorkspaceId,
    id: Uuid,
    who: Party,
    run: Option<RunId>,
    spec: Option<Arc<RunSpec>>,
    new: NewMessage,
}

impl UseCase for Say {
    type Out = Said;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Said> {
        known(tx, &self.who).await?;
        let by = Speaker { who: &self.who, run: self.run, spec: self.spec.as_deref(), task: None };
        say(tx, by, self.id, &self.new).await
    }
}

struct Decide {
    ws: WorkspaceId,
    id: Uuid,
    who: Party,
    question: MessageId,
    choice: String,
    rationale: Option<String>,
}

impl UseCase for Decide {
    type Out = Said;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Said> {
        known(tx, &self.who).await?;
        let by = Speaker { who: &self.who, run: None, spec: None, task: None };
        let rationale = self.rationale.as_deref();
        answer::answer(tx, Answer { by, question: self.question, choice: &self.choice, rationale, id: self.id }).await
    }
}

struct Looked {
    ws: WorkspaceId,
    id: ThreadId,
    who: String,
}

impl UseCase for Looked {
    type Out = ();

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<()> {
        message::read_thread(tx, self.id, &self.who).await?;
        let last = thread::hold(tx, self.id).await?.or_missing("thread", self.id)?.last_n;
        thread::read_all(tx, self.id, &self.who, last).await
    }
}

struct Turn {
    ws: WorkspaceId,
    id: ThreadId,
    user: String,
    command: Command,
}

impl UseCase for Turn {
    type Out = ();

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<()> {
        let who = format!("user:{}", self.user);
        let seen = thread::get(tx, self.id, Viewer::Party(&who)).await?.or_missing("thread", self.id)?;
        let status = Status::parse(&seen.status).unwrap_or(Status::Open);
        let next = decide(status, self.command)?;
        thread::set_status(tx, self.id, next.as_str()).await?;
        let kind = if next == Status::Open { EventKind::ThreadReopened } else { EventKind::ThreadClosed };
        emit(tx, kind, ("thread", self.id.to_string()), (seen.run, &who), json!({}));
        Ok(())
    }
}

struct Audited {
    ws: WorkspaceId,
    user: String,
    what: String,
}

impl UseCase for Audited {
    type Out = ();

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<()> {
        let found = user::by_name(tx, &self.user).await?.or_missing("user", &self.user)?;
        if found.role != AUDITOR {
            let message = format!("`{}` is {} and may not read private threads", self.user, found.role);
            return Err(Refusal::new("not_an_auditor", message).hint("an owner may").into());
        }
        let who = format!("user:{}", self.user);
        emit(tx, EventKind::ThreadAudited, ("thread", self.what.clone()), (None, &who), json!({"what": self.what}));
        Ok(())
    }
}

/// Threads in which nothing was said since a time.
pub(crate) async fn idle(tx: &mut Tx<'_>, before: Timestamp, limit: i64) -> Stored<Vec<ThreadId>> {
    Ok(thread::idle_since(tx, before, limit).await?.into_iter().map(|(id,)| id).collect())
}
