//! Locks: who asks, gets, waits, lets go, and what follows for those who wait.
//!
//! Rule: what is decided is `convoke_domain::lock`'s to say; here the rows it needs are loaded and its answer is written, in
//! the transaction of whoever asks. A holder is a task: its locks end with its attempt, or when it is not heard of. Start
//! at [`acquire`], then [`serve`]; what people and programs call is in [`access`], the check of writes in [`guard`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use convoke_domain::event::Kind;
use convoke_domain::id::{RunId, TaskId};
use convoke_domain::lock::{self as domain, Ask, Item, Mode, Order, Resource, Row, Verdict};
use convoke_domain::refusal::Refusal;
use convoke_domain::task::{Priority, WaitReason};
use convoke_domain::time::Timestamp;
use convoke_store::lock::{self, Counts, Record};
use convoke_store::{Result, Tx};
use serde_json::{Value, json};

use crate::desk::Left;
use crate::engine::emit;
use crate::wait::{self, Outcome};

pub(crate) mod access;
pub(crate) mod guard;

/// A lock outlives the lease of its task by this, so that whoever takes the task over finds it locked.
pub const GRACE: Duration = Duration::from_secs(30);
/// How long a task that waits keeps its locks: longer than any wait for a lock.
pub const PARKED: Duration = Duration::from_secs(900);
/// Leases and waits looked after in one transaction.
const BATCH: i64 = 256;
/// Names shown of those in the way.
const SHOWN: usize = 5;

/// Who asks for locks: a task of a run, and the agent that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The run.
    pub run: RunId,
    /// The task: its id is also its age, for ids are in the order of time.
    pub task: TaskId,
    /// The agent.
    pub agent: String,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Got {
    /// All of it is held, under this fencing token where it is new.
    Held {
        /// The token.
        token: i64,
    },
    /// It waits in its turn.
    Waiting {
        /// What it waits for, in words.
        others: String,
        /// When it is given up.
        due: Timestamp,
    },
    /// It was not to wait, or must not: why, for who asked.
    Refused(Refusal),
}

/// Asks for all of `items` or nothing. Nothing is written if the answer is an error.
pub(crate) async fn acquire(tx: &mut Tx<'_>, who: &Holder, items: Vec<Item>, wait: Duration) -> Result<Got> {
    let items = domain::canonical(items)?;
    let items = within(items, who.run);
    let mine = lock::of_task(tx, who.task).await?;
    if let Some(other) = mine.iter().find(|row| row.waits) {
        return Err(waits_already(other));
    }
    let has = mine.iter().map(Record::item).collect::<Result<Vec<_>>>()?;
    let items = domain::missing(&items, &has);
    if items.is_empty() {
        // A lease that has run out and was not ended yet is as good as new: nobody else got in between.
        let (_, until) = standing(tx, who.task).await?;
        lock::keep(tx, who.task, until).await?;
        return Ok(Got::Held { token: mine.iter().map(|row| row.token).max().unwrap_or(0) });
    }
    domain::admit(has.len(), items.len())?;
    let (priority, until) = standing(tx, who.task).await?;
    let around = around(tx, &items).await?;
    let rows = rows(&around)?;
    let mut ask = Ask { holder: who.task, items, order: Order::new(!has.is_empty(), priority, i64::MAX) };
    match domain::judge(&ask, &rows) {
        Verdict::Grant => {
            let token = grant(tx, who, &ask.items, (tx.now(), until)).await?;
            tell_acquired(tx, who, &ask.items, token, Duration::ZERO);
            Ok(Got::Held { token })
        }
        Verdict::Die(older) => {
            lock::count(tx, &Counts { died: 1, ..Counts::default() }).await?;
            Ok(Got::Refused(must_not_wait(&around, older, &has, &ask.items)))
        }
        Verdict::Wait(others) if wait.is_zero() => {
            lock::count(tx, &Counts { busy: 1, ..Counts::default() }).await?;
            Ok(Got::Refused(busy(&in_way(&around, &ask, &others))))
        }
        Verdict::Wait(others) => {
            ask.order.ticket = lock::next_ticket(tx).await?;
            let others = in_way(&around, &ask, &others);
            line_up(tx, who, &ask, wait, &others).await
        }
    }
}

/// Puts a request among those that wait.
async fn line_up(tx: &mut Tx<'_>, who: &Holder, ask: &Ask<TaskId>, wait: Duration, others: &str) -> Result<Got> {
    let due = tx.now().after(wait.min(domain::MAX_WAIT));
    for item in &ask.items {
        let row = record(who, item, (0, tx.now(), due));
        let Order { is_first, priority, ticket } = ask.order;
        lock::put(tx, &Record { waits: true, is_first, ticket, priority: priority.as_str().into(), ..row }).await?;
    }
    let payload = json!({"locks": told(&ask.items), "waits_for": others, "until": due.to_string()});
    emit(tx, Kind::LockWaiting, on(who.task), (Some(who.run), &actor(&who.agent)), payload);
    Ok(Got::Waiting { others: others.to_owned(), due })
}

/// Writes locks that are held, under one new token.
async fn grant(tx: &mut Tx<'_>, who: &Holder, items: &[Item], (since, until): (Timestamp, Timestamp)) -> Result<i64> {
    let token = lock::next_token(tx, true).await?;
    for item in items {
        lock::put(tx, &record(who, item, (token, since, until))).await?;
    }
    Ok(token)
}

/// Lets go of these, or of all; gives what was held.
pub(crate) async fn release(tx: &mut Tx<'_>, who: &Holder, only: Option<&[Resource]>) -> Result<Vec<Resource>> {
    let held: Vec<_> = lock::of_task(tx, who.task).await?.into_iter().filter(|row| !row.waits).collect();
    let held = held.iter().map(Record::item).collect::<Result<Vec<_>>>()?;
    let wanted: Vec<Resource> = match only {
        Some(only) => only.iter().map(|resource| resource.within(who.run)).collect(),
        None => held.iter().map(|item| item.resource.clone()).collect(),
    };
    if let Some(foreign) = wanted.iter().find(|wanted| !held.iter().any(|item| item.resource == **wanted)) {
        return Err(not_held(foreign, &held).into());
    }
    for resource in &wanted {
        lock::remove(tx, who.task, resource).await?;
    }
    if !wanted.is_empty() {
        tell_released(tx, who.run, (who.task, &who.agent), &wanted, "asked");
        renumber(tx, who.task, &held, &wanted).await?;
        serve(tx, &wanted).await?;
    }
    Ok(wanted)
}

/// What stays locked beside what it overlapped gets a new token: a file may have been written under the other one.
async fn renumber(tx: &mut Tx<'_>, task: TaskId, held: &[Item], freed: &[Resource]) -> Result<()> {
    let stays = held.iter().filter(|item| !freed.contains(&item.resource));
    if domain::touch(stays, freed) {
        let token = lock::next_token(tx, false).await?;
        lock::set_token(tx, task, token).await?;
    }
    Ok(())
}

/// An attempt has ended: its locks end, or go along with a task that was handed over, under new tokens.
pub(crate) async fn left(tx: &mut Tx<'_>, left: &Left<'_>) -> Result<()> {
    let Some(receiver) = left.handed_to else { return leave(tx, left.run, left.task, left.agent).await };
    let (_, freed) = withdraw(tx, left.task).await?;
    if lock::hand_to(tx, left.task, receiver).await? > 0 {
        let token = lock::next_token(tx, false).await?;
        lock::set_token(tx, left.task, token).await?;
        parked(tx, left.task).await?;
    }
    serve(tx, &freed).await
}

/// What a task holds, in words.
pub(crate) async fn held_names(tx: &mut Tx<'_>, task: TaskId) -> Result<Vec<String>> {
    let held = lock::of_task(tx, task).await?;
    let items = held.iter().filter(|row| !row.waits).map(Record::item).collect::<Result<Vec<_>>>()?;
    Ok(items.iter().map(|item| format!("{} {}", item.mode.as_str(), item.resource.plain())).collect())
}

/// Lets go of all that a task holds and waits for.
pub(crate) async fn leave(tx: &mut Tx<'_>, run: RunId, task: TaskId, agent: &str) -> Result<()> {
    let gone = lock::remove_all(tx, task).await?;
    if gone.is_empty() {
        return Ok(());
    }
    let freed = resources(&gone)?;
    if gone.iter().any(|row| !row.waits) {
        tell_released(tx, run, (task, agent), &freed, "ended");
    }
    serve(tx, &freed).await
}

/// Gives up what a task waits for; gives why it did not get it.
pub(crate) async fn give_up(tx: &mut Tx<'_>, task: TaskId) -> Result<String> {
    let (why, freed) = withdraw(tx, task).await?;
    serve(tx, &freed).await?;
    Ok(why)
}

/// Removes what a task waits for; gives why it did not get it, and what was waited for.
async fn withdraw(tx: &mut Tx<'_>, task: TaskId) -> Result<(String, Vec<Resource>)> {
    let waits = lock::remove_waits(tx, task).await?;
    let Some(first) = waits.first() else { return Ok(("the lock did not become free in time".to_owned(), Vec::new())) };
    let items = waits.iter().map(Record::item).collect::<Result<Vec<_>>>()?;
    let around = around(tx, &items).await?;
    let ask = Ask { holder: task, items, order: first.order() };
    let others = domain::blockers(&ask, &rows(&around)?);
    let why = format!("the lock did not become free in time: {}", in_way(&around, &ask, &others));
    Ok((why, resources(&waits)?))
}

/// Ends leases and waits that have run out; gives how many.
pub(crate) async fn expire(tx: &mut Tx<'_>) -> Result<usize> {
    let lapsed = lock::lapsed(tx, false, BATCH).await?;
    let late: BTreeSet<TaskId> = lock::lapsed(tx, true, BATCH).await?.iter().map(|row| row.task).collect();
    let (mut freed, mut told) = (resources(&lapsed)?, Vec::with_capacity(late.len()));
    for task in &late {
        let (why, more) = withdraw(tx, *task).await?;
        freed.extend(more);
        told.push((*task, why));
    }
    for row in &lapsed {
        let resource = row.item()?.resource;
        lock::remove(tx, row.task, &resource).await?;
        let payload = json!({"resource": resource.plain(), "token": row.token, "agent": row.agent});
        emit(tx, Kind::LockExpired, on(row.task), (Some(row.run), "system"), payload);
    }
    if !lapsed.is_empty() {
        let expired = i64::try_from(lapsed.len()).unwrap_or(i64::MAX);
        lock::count(tx, &Counts { expired, ..Counts::default() }).await?;
    }
    if !freed.is_empty() {
        serve(tx, &freed).await?;
    }
    for (task, why) in &told {
        wait::fulfil(tx, WaitReason::Lock, &key(*task), Outcome::Failed(why)).await?;
    }
    Ok(lapsed.len() + late.len())
}

/// Grants what nothing stands in the way of any more, in the order of turns, after these became free.
pub(crate) async fn serve(tx: &mut Tx<'_>, freed: &[Resource]) -> Result<()> {
    let mut near: BTreeMap<(String, String, TaskId, bool), Record> = BTreeMap::new();
    for resource in freed {
        let found = lock::overlapping(tx, resource).await?;
        near.extend(found.into_iter().map(|row| ((row.kind.clone(), row.path.clone(), row.task, row.waits), row)));
    }
    // Those that are held come first: they block most.
    let mut near: Vec<Record> = near.into_values().collect();
    near.sort_by_key(|row| (row.waits, row.order()));
    let turns: BTreeMap<Order, TaskId> =
        near.iter().filter(|row| row.waits).map(|row| (row.order(), row.task)).collect();
    let mut near = rows(&near)?;
    for (order, task) in turns {
        if !is_blocked(order, task, &near) && hand_over(tx, task).await? {
            near.iter_mut().filter(|row| row.holder == task).for_each(|row| row.waits = None);
        }
    }
    Ok(())
}

/// True if one of the rows at hand alone keeps a request waiting: then no more need be read.
fn is_blocked(order: Order, task: TaskId, near: &[Row<TaskId>]) -> bool {
    let items = near.iter().filter(|row| row.holder == task && row.waits.is_some()).map(|row| row.item.clone());
    domain::is_blocked(&Ask { holder: task, items: items.collect(), order }, near)
}

/// Grants a request that waits, if nothing at all is in its way.
async fn hand_over(tx: &mut Tx<'_>, task: TaskId) -> Result<bool> {
    let waits: Vec<_> = lock::of_task(tx, task).await?.into_iter().filter(|row| row.waits).collect();
    let Some(first) = waits.first().cloned() else { return Ok(false) };
    let items = waits.iter().map(Record::item).collect::<Result<Vec<_>>>()?;
    let ask = Ask { holder: task, items, order: first.order() };
    if domain::is_blocked(&ask, &rows(&around(tx, &ask.items).await?)?) {
        return Ok(false);
    }
    lock::remove_waits(tx, task).await?;
    let who = Holder { run: first.run, task, agent: first.agent };
    let token = grant(tx, &who, &ask.items, (tx.now(), tx.now().after(PARKED))).await?;
    let waited = tx.now().since(first.since);
    let waited_us = i64::try_from(waited.as_micros()).unwrap_or(i64::MAX);
    lock::count(tx, &Counts { waited_us, ..Counts::default() }).await?;
    tell_acquired(tx, &who, &ask.items, token, waited);
    wait::fulfil(tx, WaitReason::Lock, &key(task), Outcome::Done(&you_hold(&ask.items))).await?;
    Ok(true)
}

/// Keeps what a task holds while it has no lease, because it waits for something.
pub(crate) async fn parked(tx: &mut Tx<'_>, task: TaskId) -> Result<()> {
    let until = tx.now().after(PARKED);
    lock::keep(tx, task, until).await.map(drop)
}

/// A task that was begun before goes on in other hands: who acts with its old tokens from now on is refused.
pub(crate) async fn taken_over(tx: &mut Tx<'_>, task: TaskId, lease: Timestamp) -> Result<()> {
    if lock::keep(tx, task, lease.after(GRACE)).await? > 0 {
        let token = lock::next_token(tx, false).await?;
        lock::set_token(tx, task, token).await?;
    }
    Ok(())
}

/// How urgent a task is, and how long its locks last if it is not heard of.
async fn standing(tx: &mut Tx<'_>, task: TaskId) -> Result<(Priority, Timestamp)> {
    let (priority, lease) = lock::holder(tx, task).await?.unwrap_or_default();
    Ok((Priority::parse(&priority), lease.unwrap_or_else(|| tx.now()).after(GRACE)))
}

/// Every row that overlaps one of the items, each once.
async fn around(tx: &mut Tx<'_>, items: &[Item]) -> Result<Vec<Record>> {
    let mut found: Vec<Record> = Vec::new();
    for item in items {
        let more = lock::overlapping(tx, &item.resource).await?;
        if items.len() == 1 {
            return Ok(more);
        }
        found.extend(more);
    }
    found.sort_by(|a, b| (&a.kind, &a.path, a.task, a.waits).cmp(&(&b.kind, &b.path, b.task, b.waits)));
    found.dedup_by(|a, b| (&a.kind, &a.path, a.task, a.waits) == (&b.kind, &b.path, b.task, b.waits));
    Ok(found)
}

fn rows(records: &[Record]) -> Result<Vec<Row<TaskId>>> {
    records.iter().map(Record::row).collect()
}

fn resources(records: &[Record]) -> Result<Vec<Resource>> {
    records.iter().map(|row| row.item().map(|item| item.resource)).collect()
}

/// Items as the store keeps them.
pub(crate) fn within(items: Vec<Item>, run: RunId) -> Vec<Item> {
    items.into_iter().map(|item| Item { resource: item.resource.within(run), mode: item.mode }).collect()
}

fn record(who: &Holder, item: &Item, (token, since, until): (i64, Timestamp, Timestamp)) -> Record {
    Record {
        kind: item.resource.kind().to_owned(),
        path: item.resource.path().to_owned(),
        mode: item.mode.as_str().to_owned(),
        waits: false,
        run: who.run,
        task: who.task,
        agent: who.agent.clone(),
        token,
        is_first: false,
        priority: Priority::default().as_str().to_owned(),
        ticket: 0,
        since,
        until,
    }
}

/// What ends the wait of a task for locks: it has one such wait at most.
pub(crate) fn key(task: TaskId) -> String {
    task.to_string()
}

fn on(task: TaskId) -> (&'static str, String) {
    ("task", task.to_string())
}

fn actor(agent: &str) -> String {
    format!("agent:{agent}")
}

fn told(items: &[Item]) -> Value {
    items.iter().map(|item| json!({"resource": item.resource.plain(), "mode": item.mode})).collect()
}

fn tell_acquired(tx: &mut Tx<'_>, who: &Holder, items: &[Item], token: i64, waited: Duration) {
    let waited = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
    let payload = json!({"locks": told(items), "token": token, "waited_ms": waited});
    emit(tx, Kind::LockAcquired, on(who.task), (Some(who.run), &actor(&who.agent)), payload);
}

fn tell_released(tx: &mut Tx<'_>, run: RunId, (task, agent): (TaskId, &str), freed: &[Resource], why: &str) {
    let names: Vec<_> = freed.iter().map(Resource::plain).collect();
    emit(tx, Kind::LockReleased, on(task), (Some(run), &actor(agent)), json!({"resources": names, "why": why}));
}

/// Items in words: exclusive `file:shared/a.md`, shared `topic:b`.
pub(crate) fn in_words(items: &[Item]) -> String {
    let words: Vec<_> =
        items.iter().map(|item| format!("{} `{}`", item.mode.as_str(), item.resource.plain())).collect();
    words.join(", ")
}

/// What gives a task these items: they themselves, or what it held before and includes them.
pub(crate) async fn holding(tx: &mut Tx<'_>, task: TaskId, asked: &[Item]) -> Result<Vec<Item>> {
    let rows = lock::of_task(tx, task).await?;
    let has = rows.iter().filter(|row| !row.waits).map(Record::item).collect::<Result<Vec<_>>>()?;
    let mut found: Vec<Item> = Vec::new();
    for item in asked {
        let same = has.iter().find(|own| own.resource == item.resource && own.includes(item));
        let own = same.or_else(|| has.iter().find(|own| own.includes(item))).unwrap_or(item);
        if !found.contains(own) {
            found.push(own.clone());
        }
    }
    Ok(found)
}

/// What an agent is told when it has got its locks.
pub(crate) fn you_hold(items: &[Item]) -> String {
    let what = in_words(items);
    format!("You hold {what}. It ends with your task; unlock it earlier if you need it no more.")
}

/// Who is in the way and with what, in words.
fn in_way(around: &[Record], ask: &Ask<TaskId>, others: &[TaskId]) -> String {
    let clashes = |row: &&Record| {
        others.contains(&row.task)
            && row.item().is_ok_and(|item| ask.items.iter().any(|wanted| wanted.conflicts(&item)))
    };
    let words: Vec<_> = around.iter().filter(clashes).map(standing_words).collect();
    let more = words.len().saturating_sub(SHOWN);
    let shown = words[..words.len().min(SHOWN)].join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

fn standing_words(row: &Record) -> String {
    let (verb, how) = if row.waits { ("waits for", "its turn at ") } else { ("holds", "") };
    let shared = if row.mode == Mode::Shared.as_str() { "shared" } else { "exclusive" };
    let resource = Resource::stored(&row.kind, &row.path).plain();
    format!("`{}` {verb} {how}{shared} `{resource}`", row.agent)
}

fn busy(others: &str) -> Refusal {
    let refusal = Refusal::new("locked", format!("it is not free: {others}"));
    refusal.hint("do something else first, or call lock again and wait")
}

fn must_not_wait(around: &[Record], older: TaskId, has: &[Item], wanted: &[Item]) -> Refusal {
    let other = around.iter().find(|row| row.task == older).map(standing_words).unwrap_or_default();
    let message = format!(
        "{other}, and that task is older than yours; to wait for it while you hold {} could block both for ever",
        in_words(has)
    );
    let all: Vec<_> = has.iter().chain(wanted).cloned().collect();
    let hint =
        format!("finish what the locks you hold are for, unlock them, then ask in one call for {}", in_words(&all));
    Refusal::new("would_deadlock", message).hint(hint)
}

fn waits_already(row: &Record) -> convoke_store::Error {
    let resource = Resource::stored(&row.kind, &row.path).plain();
    let refusal = Refusal::new("waits_already", format!("this task waits for `{resource}` already"));
    refusal.hint("name all that you need in one call to lock").into()
}

fn not_held(foreign: &Resource, held: &[Item]) -> Refusal {
    let message = format!("you hold no lock on `{}`", foreign.plain());
    let hint = if held.is_empty() { "you hold none at all".to_owned() } else { format!("you hold {}", in_words(held)) };
    Refusal::new("not_held", message).hint(hint)
}
