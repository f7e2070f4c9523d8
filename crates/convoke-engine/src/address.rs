//! Addressing: who a name stands for, where a message is posted, and whether this pair may speak at all.
//!
//! Rule: a name that stands for nobody is refused, with the names that would do. Start at [`recipients`].

use convoke_domain::event::Kind as EventKind;
use convoke_domain::id::{MessageId, RunId, ThreadId};
use convoke_domain::refusal::Refusal;
use convoke_domain::team::Talk;
use convoke_domain::thread::{Channel, Party};
use convoke_store::definition::team;
use convoke_store::thread::{Held, NewRow};
use convoke_store::{Error, Result, Tx, agent as agents, message as row, run, task, thread, user};
use serde_json::json;
use uuid::Uuid;

use crate::engine::emit;
use crate::say::{NewMessage, Speaker};

/// The most people that a role stands for.
const PEOPLE: u32 = 100;

/// Who these names stand for, each once and never the speaker.
pub(crate) async fn recipients(tx: &mut Tx<'_>, by: Speaker<'_>, names: &[String]) -> Result<Vec<Party>> {
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        if name.trim().is_empty() {
            let refusal = Refusal::new("no_recipient", "the message is for somebody without a name");
            return Err(refusal.hint("name an agent, `user:NAME` or `role:ROLE`").into());
        }
        match name.split_once(':') {
            Some(("role", role)) => found.extend(people(tx, role).await?),
            Some(("user", name)) => found.push(person(tx, name).await?),
            Some(("agent", name)) => found.push(agent(tx, by, name).await?),
            Some(_) => return Err(unknown(by, name).into()),
            None if name == "user" => found.push(starter(tx, by).await?),
            None if name == "coordinator" => {
                let spec = by.spec.ok_or_else(|| unknown(by, name))?;
                found.push(Party::Agent(spec.team.coordinator.clone()));
            }
            None => found.push(agent(tx, by, name).await?),
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|party| seen.insert(party.clone()));
    if found.contains(by.who) {
        return Err(Refusal::new("to_oneself", format!("`{}` cannot send a message to itself", by.who)).into());
    }
    Ok(found)
}

async fn agent(tx: &mut Tx<'_>, by: Speaker<'_>, name: &str) -> Result<Party> {
    let Some(run) = by.run else {
        let message = format!("`{name}` is an agent, and agents are reached in a run");
        return Err(Refusal::new("no_run", message).hint("name the run: `--run RUN`").into());
    };
    let is_member = by.spec.is_some_and(|spec| spec.profiles.contains_key(name));
    if is_member || task::is_given(tx, run, name).await? {
        return Ok(Party::Agent(name.to_owned()));
    }
    Err(unknown(by, name).into())
}

async fn person(tx: &mut Tx<'_>, name: &str) -> Result<Party> {
    match user::by_name(tx, name).await? {
        Some(user) => Ok(Party::User(user.name)),
        None => {
            let refusal = Refusal::new("unknown_recipient", format!("there is no user `{name}` in this workspace"));
            Err(refusal.hint("`convoke users` lists them").into())
        }
    }
}

async fn people(tx: &mut Tx<'_>, role: &str) -> Result<Vec<Party>> {
    let users = user::list(tx, "", PEOPLE).await?;
    let found: Vec<_> = users.into_iter().filter(|user| user.role == role).map(|user| Party::User(user.name)).collect();
    if found.is_empty() {
        let message = format!("nobody in this workspace has the role `{role}`");
        return Err(Refusal::new("unknown_recipient", message)
            .hint("roles are owner, operator, approver, viewer")
            .into());
    }
    Ok(found)
}

/// Whoever started the run.
async fn starter(tx: &mut Tx<'_>, by: Speaker<'_>) -> Result<Party> {
    let run = by.run.ok_or_else(|| unknown(by, "user"))?;
    let who = run::created_by(tx, run).await?.ok_or_else(|| Error::missing("run", run))?;
    Ok(who.parse::<Party>()?)
}

fn unknown(by: Speaker<'_>, name: &str) -> Refusal {
    let refusal = Refusal::new("unknown_recipient", format!("nobody in this run goes by the name `{name}`"));
    let Some(spec) = by.spec else { return refusal };
    let mut names: Vec<_> = spec.profiles.keys().filter(|known| **known != by.who.name()).map(String::as_str).collect();
    names.push("user");
    refusal.hint(format!("there are {}", names.join(", ")))
}

/// Whether the team lets this pair speak.
pub(crate) fn may_speak(by: Speaker<'_>, to: &[Party]) -> Result<(), Refusal> {
    let (Party::Agent(me), Some(spec)) = (by.who, by.spec) else { return Ok(()) };
    let lead = &spec.team.coordinator;
    let allowed = |other: &str| match spec.team.rules.talk {
        Talk::Everyone => true,
        Talk::Coordinator => me == lead || other == lead,
        Talk::Nobody => false,
    };
    let agents = to.iter().filter(|party| matches!(party, Party::Agent(_))).map(Party::name);
    let to_all = (to.is_empty() && !allowed("")).then_some("everybody");
    match agents.into_iter().find(|name| !allowed(name)).or(to_all) {
        None => Ok(()),
        Some(name) => {
            Err(Refusal::new("talk_not_permitted", format!("the rules of the team do not let `{me}` write to {name}"))
                .hint("rules.talk"))
        }
    }
}

/// The thread that a message goes to, opened if there is none.
pub(crate) async fn place(
    tx: &mut Tx<'_>,
    by: Speaker<'_>,
    id: Uuid,
    new: &NewMessage,
    (to, parent): (&[Party], Option<&(row::Record, Party)>),
) -> Result<Held> {
    if let Some(name) = &new.thread {
        return named(tx, by, id, name, to).await;
    }
    if let Some((parent, _)) = parent.filter(|_| to.is_empty()) {
        return held(tx, parent.thread).await;
    }
    let channel = match (to, by.run) {
        // What is asked and decided belongs to the run's record, so it is never private.
        (_, Some(run)) if new.kind.wants_answer() => Channel::Run(run),
        ([one], _) => Channel::direct(by.who.clone(), one.clone())?,
        (_, Some(run)) => Channel::Run(run),
        ([], None) => {
            let message = "the message names no recipient and no thread";
            return Err(Refusal::new("no_recipient", message).hint("name a run, a thread, or somebody").into());
        }
        (_, None) => Channel::Free(ThreadId(id)),
    };
    open(tx, by, id, &channel, to).await
}

async fn held(tx: &mut Tx<'_>, id: ThreadId) -> Result<Held> {
    thread::hold(tx, id).await?.ok_or_else(|| Error::missing("thread", id))
}

/// A thread by id or channel, which the speaker must be a part of.
async fn named(tx: &mut Tx<'_>, by: Speaker<'_>, id: Uuid, name: &str, to: &[Party]) -> Result<Held> {
    let found = match name.parse::<ThreadId>() {
        Ok(id) => held(tx, id).await?,
        Err(_) => {
            let channel: Channel = name.parse()?;
            if !is_near(by, &channel, to) {
                return Err(foreign(by, name).into());
            }
            exists(tx, by, &channel).await?;
            open(tx, by, id, &channel, to).await?
        }
    };
    let is_mine = by.run.is_some() && found.run == by.run;
    let who = by.who.to_string();
    let is_open_to_people = by.who.is_user() && !found.is_private;
    if is_mine || is_open_to_people || *by.who == Party::System || thread::takes_part(tx, found.id, &who).await? {
        thread::join(tx, found.id, &who, found.run, found.last_n).await?;
        return Ok(found);
    }
    Err(foreign(by, name).into())
}

/// Refuses a channel of somebody or something that is not there: whatever is posted to it, nobody would read it.
async fn exists(tx: &mut Tx<'_>, by: Speaker<'_>, channel: &Channel) -> Result<()> {
    match channel {
        Channel::Team(name) => {
            let is_ours = by.spec.is_some_and(|spec| spec.team.name == *name);
            if !is_ours && team::latest(tx, name).await?.is_none() {
                return Err(Error::missing("team", name));
            }
        }
        Channel::Task(id) => {
            if task::brief(tx, *id).await?.is_none() {
                return Err(Error::missing("task", id));
            }
        }
        Channel::Direct(one, other) => {
            for party in [one, other] {
                is_there(tx, by, party).await?;
            }
        }
        Channel::Run(_) | Channel::Free(_) => {}
    }
    Ok(())
}

async fn is_there(tx: &mut Tx<'_>, by: Speaker<'_>, party: &Party) -> Result<()> {
    match party {
        Party::Agent(name) => {
            let is_member = by.spec.is_some_and(|spec| spec.profiles.contains_key(name));
            if is_member || agents::hold(tx, name).await?.is_some() {
                return Ok(());
            }
            let refusal = Refusal::new("unknown_recipient", format!("there is no agent `{name}` in this workspace"));
            Err(refusal.hint("`convoke agents` lists them").into())
        }
        Party::User(name) => person(tx, name).await.map(drop),
        Party::System => Ok(()),
    }
}

/// Checks whose messages somebody waits for: `agent:NAME`, `user:NAME`, `system`, or a bare name. Nobody else ever writes.
pub(crate) async fn sender(tx: &mut Tx<'_>, by: Speaker<'_>, name: &str) -> Result<()> {
    let refused = |message: String, hint: String| Err(Refusal::new("unknown_sender", message).hint(hint).into());
    let meant = match name {
        "user" => Some(starter(tx, by).await?),
        "coordinator" => by.spec.map(|spec| Party::Agent(spec.team.coordinator.clone())),
        _ => None,
    };
    if let Some(meant) = meant {
        let is_name = meant.name() == name;
        return if is_name {
            Ok(())
        } else {
            refused(format!("`{name}` is nobody's name"), format!("write `{meant}`"))
        };
    }
    if name == by.who.name() || name == by.who.to_string() {
        return refused(format!("`{name}` would wait for itself"), "name somebody else, or nobody".to_owned());
    }
    let found = match name.split_once(':') {
        Some(("user", name)) => person(tx, name).await.map(drop),
        Some(("agent", name)) => agent(tx, by, name).await.map(drop),
        None if name == "system" || user::by_name(tx, name).await?.is_some() => Ok(()),
        None => agent(tx, by, name).await.map(drop),
        Some(_) => Err(unknown(by, name).into()),
    };
    match found {
        Err(Error::Refused(refusal)) => Err(Refusal { code: "unknown_sender".into(), ..refusal }.into()),
        other => other,
    }
}

/// Whether a speaker may open this channel: its own pair, its own run and team. An agent opens none but those of whom it
/// writes to, or each thread it makes up would have a pace of its own.
fn is_near(by: Speaker<'_>, channel: &Channel, to: &[Party]) -> bool {
    match channel {
        Channel::Direct(one, other) => {
            let is_mine = one == by.who || other == by.who;
            let is_theirs = matches!(to, [them] if them == one || them == other);
            is_mine && (is_theirs || !matches!(by.who, Party::Agent(_)))
        }
        Channel::Run(run) => by.run == Some(*run),
        Channel::Team(team) => by.who.is_user() || by.spec.is_some_and(|spec| spec.team.name == *team),
        Channel::Task(task) => by.task == Some(*task) || by.who.is_user(),
        Channel::Free(_) => !matches!(by.who, Party::Agent(_)),
    }
}

fn foreign(by: Speaker<'_>, name: &str) -> Refusal {
    Refusal::new("foreign_thread", format!("`{}` takes no part in the thread `{name}`", by.who))
}

/// The thread of a channel, opened with its participants if there is none.
async fn open(tx: &mut Tx<'_>, by: Speaker<'_>, seed: Uuid, channel: &Channel, to: &[Party]) -> Result<Held> {
    let name = channel.to_string();
    if let Some(found) = thread::hold_channel(tx, &name).await? {
        return Ok(found);
    }
    let id = match channel {
        Channel::Free(id) => *id,
        _ => ThreadId::derived(tx.now(), &[seed.as_bytes(), name.as_bytes()]),
    };
    let (run, of_task) = match channel {
        Channel::Run(run) => (Some(*run), None),
        Channel::Task(task) => (by.run, Some(*task)),
        Channel::Free(_) => (by.run, None),
        Channel::Direct(..) | Channel::Team(_) => (None, None),
    };
    let (title, creator) = (title(channel), by.who.to_string());
    let row = NewRow {
        id,
        channel: &name,
        kind: channel.kind(),
        title: &title,
        run,
        task: of_task,
        is_private: channel.is_private(),
        created_by: &creator,
    };
    thread::insert(tx, &row).await?;
    for who in members(tx, by, channel, to).await? {
        thread::join(tx, id, &who.to_string(), run, 0).await?;
    }
    let payload = json!({"channel": name, "title": title, "private": row.is_private});
    emit(tx, EventKind::ThreadOpened, ("thread", id.to_string()), (run, &creator), payload);
    held(tx, id).await
}

fn title(channel: &Channel) -> String {
    match channel {
        Channel::Direct(one, other) => format!("{} and {}", one.name(), other.name()),
        Channel::Team(name) => format!("Everyone in {name}"),
        Channel::Task(_) => "About a task".to_owned(),
        Channel::Run(_) => "Everyone in the run".to_owned(),
        Channel::Free(_) => "A conversation".to_owned(),
    }
}

async fn members(tx: &mut Tx<'_>, by: Speaker<'_>, channel: &Channel, to: &[Party]) -> Result<Vec<Party>> {
    let mut found: Vec<_> = match channel {
        Channel::Direct(one, other) => return Ok(vec![one.clone(), other.clone()]),
        Channel::Run(_) | Channel::Team(_) => {
            by.spec.into_iter().flat_map(|spec| spec.profiles.keys()).cloned().map(Party::Agent).collect()
        }
        Channel::Task(task) => task::agent_of(tx, *task).await?.into_iter().map(|(name,)| Party::Agent(name)).collect(),
        Channel::Free(_) => Vec::new(),
    };
    found.extend(to.iter().cloned());
    if *by.who != Party::System {
        found.push(by.who.clone());
    }
    if let Channel::Run(run) = channel {
        found.extend(creator(tx, *run).await?);
    }
    Ok(found)
}

async fn creator(tx: &mut Tx<'_>, run: RunId) -> Result<Option<Party>> {
    Ok(run::created_by(tx, run).await?.and_then(|who| who.parse().ok()))
}

/// A message's id in the form that people and models type.
pub(crate) fn message_id(text: &str) -> Result<MessageId, Refusal> {
    text.trim().parse().map_err(|_| {
        Refusal::new("bad_message_id", format!("`{text}` is not the id of a message"))
            .hint("ids look like `msg_` and 26 characters, and stand at the head of each message")
    })
}
