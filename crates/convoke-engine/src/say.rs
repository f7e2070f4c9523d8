//! The *say* door: every message passes here, whoever sends it. May this pair speak, is it within its pace, then it is
//! stored with a receipt for each recipient, and whoever it is for is told that there is mail.
//!
//! Rule: the sender is who authenticated, an argument of [`say`], and never what a message claims. Start at [`say`];
//! [`crate::address`] finds recipients and threads, [`crate::answer`] ends questions, [`crate::mail`] delivers.

use convoke_domain::event::Kind as EventKind;
use convoke_domain::id::{MessageId, RunId, TaskId, ThreadId};
use convoke_domain::message::{self, Ask, Kind};
use convoke_domain::pace::{self, Pace};
use convoke_domain::refusal::Refusal;
use convoke_domain::spec::RunSpec;
use convoke_domain::task::{Priority, WaitReason};
use convoke_domain::thread::{self as domain, Channel, Command, Party, Status};
use convoke_domain::time::Timestamp;
use convoke_store::thread::{Held, Viewer};
use convoke_store::{Error, Result, Tx, message as row, run, step, thread, wait};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::engine::emit;
use crate::wait::Outcome;
use crate::{address, answer};

/// A message as somebody wants to send it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewMessage {
    /// Recipients: an agent's name, `user:NAME`, `role:ROLE`, `coordinator`, or `user` for whoever started the run. Without any,
    /// everybody in the thread.
    pub to: Vec<String>,
    /// Where it is posted: a thread's id or a channel. Without one, the direct thread with the recipient, or the run's.
    pub thread: Option<String>,
    /// What it is.
    pub kind: Kind,
    /// How urgent it is.
    pub priority: Priority,
    /// One line.
    pub subject: Option<String>,
    /// What it says.
    pub body: String,
    /// What it replies to.
    pub reply_to: Option<MessageId>,
    /// Model calls that its recipients are making are cut, so that they read it at once.
    pub cancels: bool,
    /// What a question or a request offers.
    pub ask: Option<Ask>,
}

impl NewMessage {
    /// A plain note to one recipient.
    pub fn note(to: impl Into<String>, body: impl Into<String>) -> Self {
        Self {
            to: vec![to.into()],
            thread: None,
            kind: Kind::Note,
            priority: Priority::Normal,
            subject: None,
            body: body.into(),
            reply_to: None,
            cancels: false,
            ask: None,
        }
    }
}

/// Who says something, and in which run and task.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Speaker<'a> {
    /// Who: as it authenticated.
    pub who: &'a Party,
    /// The run it is said in.
    pub run: Option<RunId>,
    /// The run's spec, where the run is given.
    pub spec: Option<&'a RunSpec>,
    /// The task it is said in.
    pub task: Option<TaskId>,
}

/// A message that was stored.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Said {
    /// Its id.
    pub message: MessageId,
    /// Its thread.
    pub thread: ThreadId,
    /// Its place in the thread.
    pub n: i64,
    /// Who it is for; nobody named where it is for all.
    pub to: Vec<String>,
    /// What the sender must hear: that this goes to and fro too long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told: Option<String>,
    /// The run in which it was said.
    #[serde(skip)]
    pub run: Option<RunId>,
    /// When a question ends at the latest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
    /// Only a person can answer it.
    #[serde(skip)]
    pub asks_person: bool,
    /// Running tasks whose model calls are to be cut.
    #[serde(skip)]
    pub(crate) cut: Vec<TaskId>,
}

/// Says something: checks, stores, and tells whom it is for.
pub(crate) async fn say(tx: &mut Tx<'_>, by: Speaker<'_>, id: Uuid, new: &NewMessage) -> Result<Said> {
    check(new)?;
    if let Some(run) = by.run.filter(|_| new.kind.wants_answer()) {
        refuse_ended(tx, run, new.kind).await?;
    }
    let parent = parent(tx, by, new).await?;
    let mut to = address::recipients(tx, by, &new.to).await?;
    let place = address::place(tx, by, id, new, (&to, parent.as_ref())).await?;
    address::may_speak(by, &to)?;
    if let Some((_, asker)) = parent.as_ref().filter(|_| to.is_empty() && place.is_private) {
        to.push(asker.clone());
    }
    let hops = parent.as_ref().map_or(0, |(parent, _)| parent.hops + 1);
    if matches!(by.who, Party::Agent(_)) {
        pace::check_hops(u32::try_from(hops).unwrap_or(u32::MAX))?;
    }
    let told = number(tx, by, &place, new.kind).await?;
    let letter = Letter { by, new, id: MessageId(id), to, hops, place: &place };
    let mut said = letter.post(tx).await?;
    said.told = told;
    if let Some((parent, _)) = parent {
        row::answered(tx, parent.id, &by.who.to_string()).await?;
    }
    Ok(said)
}

fn check(new: &NewMessage) -> Result<(), Refusal> {
    message::check(new.subject.as_deref(), &new.body)?;
    if new.to.len() > message::RECIPIENTS {
        let (count, most) = (new.to.len(), message::RECIPIENTS);
        let text = format!("the message names {count} recipients; it may name {most}");
        return Err(Refusal::new("too_many_recipients", text).hint("write to the thread of the run or the team"));
    }
    if new.cancels && new.kind != Kind::Alert {
        let message = format!("a {} cannot cut the calls of others; only an alert does", new.kind.as_str());
        return Err(Refusal::new("not_an_alert", message).hint("send it as an alert, or without cutting calls"));
    }
    if new.kind.wants_answer() {
        new.ask.clone().unwrap_or_default().check()?;
        if new.to.is_empty() {
            return Err(Refusal::new("no_addressee", "a question or request needs somebody who answers it"));
        }
    }
    Ok(())
}

/// Nobody answers in a run that has ended, nor goes on with an answer.
async fn refuse_ended(tx: &mut Tx<'_>, id: RunId, kind: Kind) -> Result<()> {
    let state = crate::run::state_of(&run::hold(tx, id).await?)?;
    if !state.has_ended() {
        return Ok(());
    }
    let message = format!("run {id} is {}: nobody is left in it to answer a {}", state.as_str(), kind.as_str());
    let hint = "leave a note without `--kind`, or start a new run with `convoke run`";
    Err(Refusal::new("run_over", message).hint(hint).into())
}

/// The message that this one replies to, and who sent it. It must be one that the speaker may read.
async fn parent(tx: &mut Tx<'_>, by: Speaker<'_>, new: &NewMessage) -> Result<Option<(row::Record, Party)>> {
    let Some(id) = new.reply_to else { return Ok(None) };
    let who = by.who.to_string();
    let viewer = if *by.who == Party::System { Viewer::Audit } else { Viewer::Party(&who) };
    let found = row::get(tx, id, viewer).await?.ok_or_else(|| Error::missing("message", id))?;
    let sender = found.sender.parse()?;
    Ok(Some((found, sender)))
}

/// Takes the next number of the thread, if it is open and within its pace. Gives what the sender must be told.
async fn number(tx: &mut Tx<'_>, by: Speaker<'_>, place: &Held, kind: Kind) -> Result<Option<String>> {
    let status = Status::parse(&place.status).unwrap_or(Status::Open);
    domain::decide(status, Command::Post).map_err(|refusal| {
        let message = format!("the thread `{}` is {}: nothing can be posted to it", place.id, status.as_str());
        Refusal { message, hint: Some(way_out(by, place, status)), ..refusal }
    })?;
    let mut pace: Pace = serde_json::from_str(&place.pace)?;
    // An answer ends what was asked, so it is never held up.
    let told = match kind {
        Kind::Decision | Kind::Response => None,
        _ => pace.admit(by.who, by.run, tx.now())?.told,
    };
    thread::advance(tx, place.id, place.last_n + 1, &serde_json::to_string(&pace)?).await?;
    Ok(told)
}

/// Where something can be said instead of in a thread that takes nothing more.
fn way_out(by: Speaker<'_>, place: &Held, status: Status) -> String {
    let run = by.run.map(|run| Channel::Run(run).to_string()).filter(|channel| *channel != place.channel);
    let elsewhere = match (run, by.run) {
        (Some(channel), _) => format!("say it to all of the run, in the thread `{channel}`"),
        (None, Some(_)) => "write to one recipient: the two of you have a thread of your own".to_owned(),
        (None, None) => "write to two or more recipients at once, or with `--run`: that is another thread".to_owned(),
    };
    match status {
        Status::Closed => format!("{elsewhere}; or have a person open it again: `convoke threads reopen {}`", place.id),
        Status::Open | Status::Archived => elsewhere,
    }
}

/// A message on its way into the store.
struct Letter<'a> {
    by: Speaker<'a>,
    new: &'a NewMessage,
    id: MessageId,
    to: Vec<Party>,
    hops: i64,
    place: &'a Held,
}

impl Letter<'_> {
    async fn post(&self, tx: &mut Tx<'_>) -> Result<Said> {
        let (sender, names) = (self.by.who.to_string(), self.names());
        let audience = (!names.is_empty()).then(|| json!(names).to_string());
        let stored = row::NewRow {
            id: self.id,
            thread: self.place.id,
            n: self.place.last_n + 1,
            run: self.by.run,
            task: self.by.task,
            sender: &sender,
            audience: audience.as_deref(),
            kind: self.new.kind.as_str(),
            priority: self.new.priority.as_str(),
            subject: self.new.subject.as_deref(),
            body: &self.new.body,
            reply_to: self.new.reply_to,
            hops: self.hops,
            cancels: self.new.cancels,
        };
        row::insert(tx, &stored).await?;
        for who in &names {
            row::insert_receipt(tx, &stored, who).await?;
        }
        self.tell(tx, &stored, &names);
        let cut = self.raise(tx).await?;
        let (due, asks_person) = self.ask(tx, &names).await?;
        let cut = if self.new.cancels { cut } else { Vec::new() };
        let (message, thread, n, run) = (self.id, self.place.id, stored.n, self.by.run);
        Ok(Said { message, thread, n, to: names, told: None, run, due, asks_person, cut })
    }

    fn names(&self) -> Vec<String> {
        self.to.iter().map(ToString::to_string).collect()
    }

    fn tell(&self, tx: &mut Tx<'_>, stored: &row::NewRow<'_>, to: &[String]) {
        // Events are read by everybody in the workspace, so they hold no word of what was said.
        let payload = json!({
            "thread": stored.thread, "n": stored.n, "kind": stored.kind, "priority": stored.priority, "to": to,
            "bytes": stored.body.len(), "reply_to": stored.reply_to, "cancels": stored.cancels, "private": self.place.is_private,
        });
        emit(tx, EventKind::AgentMessageSent, ("message", self.id.to_string()), (self.by.run, stored.sender), payload);
    }

    /// Tells the recipients' tasks that there is mail: running ones are counted, others look when they are claimed, and
    /// those that wait for a message wake. Gives the running ones.
    async fn raise(&self, tx: &mut Tx<'_>) -> Result<Vec<TaskId>> {
        let Some(run) = self.by.run else { return Ok(Vec::new()) };
        run::set_talks(tx, run).await?;
        let agents: Vec<_> = self.to.iter().filter(|party| matches!(party, Party::Agent(_))).map(Party::name).collect();
        let mut raised = Vec::new();
        if self.to.is_empty() {
            let me = if matches!(self.by.who, Party::Agent(_)) { self.by.who.name() } else { "" };
            raised = row::raise(tx, run, (me, true)).await?;
            wake_sleepers(tx, run, None, self).await?;
        }
        for agent in agents {
            raised.extend(row::raise(tx, run, (agent, false)).await?);
            wake_sleepers(tx, run, Some(agent), self).await?;
        }
        Ok(raised.into_iter().map(|(task, _)| task).collect())
    }

    /// Keeps what a question offers and until when, and sees to it that somebody is there to answer.
    async fn ask(&self, tx: &mut Tx<'_>, names: &[String]) -> Result<(Option<Timestamp>, bool)> {
        if !self.new.kind.wants_answer() {
            return Ok((None, false));
        }
        let terms = self.new.ask.clone().unwrap_or_default();
        let asks_person = self.to.iter().all(Party::is_user);
        let due = terms.due(asks_person, tx.now());
        let question = answer::Question { by: self.by, id: self.id, place: self.place, terms: &terms, due };
        question.open(tx, self.new, (&self.to, names)).await?;
        Ok((due, asks_person))
    }
}

/// The key under which the tasks of an agent wait for a message in a run.
pub(crate) fn wait_key(run: RunId, agent: &str) -> String {
    format!("{run}/{agent}")
}

/// Wakes those who wait for a message like this one: of one agent, or of everybody else.
async fn wake_sleepers(tx: &mut Tx<'_>, run: RunId, agent: Option<&str>, letter: &Letter<'_>) -> Result<()> {
    let reason = WaitReason::Message.as_str();
    let sleepers = match agent {
        Some(agent) => wait::of_key(tx, reason, &wait_key(run, agent)).await?,
        None => {
            let mine = wait_key(run, letter.by.who.name());
            let mut all = wait::of_run(tx, reason, run).await?;
            all.retain(|sleeper| sleeper.key != mine || letter.by.who.is_user());
            all
        }
    };
    let meant_for = match (agent, letter.new.reply_to) {
        (Some(agent), Some(parent)) if !sleepers.is_empty() => row::open_task_of(tx, parent, agent).await?,
        _ => None,
    };
    // An answer is given to the task that asked, and to no other one of its agent.
    for sleeper in sleepers.into_iter().filter(|sleeper| meant_for.is_none_or(|task| task == sleeper.task)) {
        let wanted = step::get(tx, sleeper.step()).await?.and_then(|step| step.input).unwrap_or_default();
        let wanted: Wanted = serde_json::from_str(&wanted).unwrap_or_default();
        if wanted.fits(&letter.by.who.to_string(), letter.new.kind.as_str()) {
            let text = format!("a message from `{}` has come; it is given to you now", letter.by.who);
            crate::wait::end(tx, &sleeper, Outcome::Done(&text)).await?;
        }
    }
    Ok(())
}

/// Which messages somebody waits for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Wanted {
    /// Only of this sender.
    pub from: Option<String>,
    /// Only of this kind.
    pub kind: Option<String>,
}

impl Wanted {
    /// Whether a message of this sender (`agent:NAME`) and kind is one of them.
    pub(crate) fn fits(&self, sender: &str, kind: &str) -> bool {
        let name = sender.split_once(':').map_or(sender, |(_, name)| name);
        let from = self.from.as_deref().is_none_or(|from| from == sender || from == name);
        from && self.kind.as_deref().is_none_or(|wanted| wanted == kind)
    }
}

/// After a pair was stopped: puts it on record once, and tells whoever is above them.
pub(crate) async fn stop_pair(tx: &mut Tx<'_>, by: Speaker<'_>, id: Uuid, other: &str, why: &str) -> Result<()> {
    let channel = Channel::direct(by.who.clone(), Party::Agent(other.to_owned()))?.to_string();
    let Some(place) = thread::hold_channel(tx, &channel).await? else { return Ok(()) };
    let mut pace: Pace = serde_json::from_str(&place.pace)?;
    if std::mem::replace(&mut pace.stopped, true) {
        return Ok(());
    }
    thread::advance(tx, place.id, place.last_n, &serde_json::to_string(&pace)?).await?;
    let payload = json!({"message": why});
    emit(tx, EventKind::AgentMessageStopped, ("thread", place.id.to_string()), (by.run, &by.who.to_string()), payload);
    let Some(spec) = by.spec else { return Ok(()) };
    let coordinator = &spec.team.coordinator;
    let above = if coordinator == by.who.name() || coordinator == other { "user" } else { coordinator };
    let new = NewMessage { kind: Kind::Escalation, priority: Priority::High, ..NewMessage::note(above, why) };
    say(tx, Speaker { who: &Party::System, ..by }, id, &new).await.map(drop)
}
