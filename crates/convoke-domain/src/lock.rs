//! Locks: shared and exclusive claims on named resources, and who has to wait for whom.
//!
//! A resource is `TYPE:PATH`; a lock on `file:shared/src` also covers all below it. Rule: [`judge`] is the only place
//! that says whether an asker gets its locks, waits, or must step back. Why no circle of waits can come about:
//!
//! - who holds nothing asks for all at once and waits in the order of priority, then of asking; nobody waits for it but
//!   those behind it, so it closes no circle;
//! - who holds something and asks for more goes before those, and may wait only for who is younger (*wait-die*), so its
//!   waits all point the same way. It never passes one that is older and waits: that one is so overtaken only by the few
//!   that were there before it, and not starved.
//!
//! Start at [`Resource`], then [`judge`]; [`table`] is the whole machine in memory, [`graph`] who waits for whom.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;
use crate::task::Priority;

pub mod graph;
mod resource;
pub mod table;
#[cfg(test)]
mod tests;

pub use resource::{FILE, Resource, SHARED, STORED_PARTS};

/// Resources that one call may ask for.
pub const MAX_ITEMS: usize = 32;
/// Locks that one task may hold.
pub const MAX_HELD: usize = 128;
/// How long a call waits when it does not say.
pub const USUAL_WAIT: Duration = Duration::from_secs(120);
/// How long a call may wait at most.
pub const MAX_WAIT: Duration = Duration::from_secs(600);

/// How much of a resource is claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Beside others who only look.
    Shared,
    /// Alone.
    Exclusive,
}

impl Mode {
    /// The name in JSON and the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Exclusive => "exclusive",
        }
    }

    /// Reads the name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Shared, Self::Exclusive].into_iter().find(|mode| mode.as_str() == text)
    }
}

/// One resource with how much of it is claimed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Item {
    /// What is claimed.
    pub resource: Resource,
    /// How much of it.
    pub mode: Mode,
}

impl Item {
    /// True if both cannot be had by two at the same time.
    pub fn conflicts(&self, other: &Self) -> bool {
        let alone = self.mode == Mode::Exclusive || other.mode == Mode::Exclusive;
        alone && self.resource.overlaps(&other.resource)
    }

    /// True if who has this has `other` as well.
    pub fn includes(&self, other: &Self) -> bool {
        self.mode >= other.mode && self.resource.covers(&other.resource)
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.mode.as_str(), self.resource)
    }
}

/// The items of one call in canonical order, each resource once with the stronger mode.
pub fn canonical(items: Vec<Item>) -> Result<Vec<Item>, Refusal> {
    if items.is_empty() {
        let refusal = Refusal::new("nothing_to_lock", "the call names no resource");
        return Err(refusal.hint("name at least one, for example `file:shared/report.md`"));
    }
    if items.len() > MAX_ITEMS {
        let message = format!("the call names {} resources; {MAX_ITEMS} can be locked in one call", items.len());
        return Err(Refusal::new("too_many_locks", message).hint("lock the folder that holds them"));
    }
    let mut merged: BTreeMap<Resource, Mode> = BTreeMap::new();
    for item in items {
        let mode = merged.entry(item.resource).or_insert(item.mode);
        *mode = (*mode).max(item.mode);
    }
    Ok(merged.into_iter().map(|(resource, mode)| Item { resource, mode }).collect())
}

/// The place of a request among those that wait, smallest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Order {
    /// False for who holds something already: others wait for it, so it goes first.
    pub is_first: bool,
    /// How urgent its task is; all the same for who holds something already.
    pub priority: Priority,
    /// The order of asking.
    pub ticket: i64,
}

impl Order {
    /// The place of a request made now. `holds` says that the asker holds something already.
    pub fn new(holds: bool, priority: Priority, ticket: i64) -> Self {
        let priority = if holds { Priority::Critical } else { priority };
        Self { is_first: !holds, priority, ticket }
    }
}

/// One line of the table of locks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row<H> {
    /// What is claimed.
    pub item: Item,
    /// By whom. The smaller is the older.
    pub holder: H,
    /// Its place among those that wait; `None` once it is held.
    pub waits: Option<Order>,
}

/// What someone asks for, all of it or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask<H> {
    /// Who asks. The smaller is the older.
    pub holder: H,
    /// What for, in canonical order.
    pub items: Vec<Item>,
    /// Its place among those that wait.
    pub order: Order,
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict<H> {
    /// It gets all of it.
    Grant,
    /// It waits until these are out of its way.
    Wait(Vec<H>),
    /// It holds something and must not wait for this one, who is older.
    Die(H),
}

/// What becomes of a request, given at least every row that overlaps one of its items.
pub fn judge<H: Copy + Ord>(ask: &Ask<H>, rows: &[Row<H>]) -> Verdict<H> {
    if !ask.order.is_first {
        let older = rows.iter().filter(|row| row.holder < ask.holder && clash(ask, row)).map(|row| row.holder).min();
        if let Some(older) = older {
            return Verdict::Die(older);
        }
    }
    let blockers = blockers(ask, rows);
    if blockers.is_empty() { Verdict::Grant } else { Verdict::Wait(blockers) }
}

/// Who stands in the way of a request that waits: it was let in once, so it does not die any more.
pub fn blockers<H: Copy + Ord>(ask: &Ask<H>, rows: &[Row<H>]) -> Vec<H> {
    let mut found: Vec<H> = rows.iter().filter(|row| is_in_way(ask, row)).map(|row| row.holder).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// True if anyone stands in the way of a request that waits.
pub fn is_blocked<H: Copy + Ord>(ask: &Ask<H>, rows: &[Row<H>]) -> bool {
    rows.iter().any(|row| is_in_way(ask, row))
}

fn is_in_way<H: Copy + Ord>(ask: &Ask<H>, row: &Row<H>) -> bool {
    row.holder != ask.holder && is_before(row, &ask.order) && clash(ask, row)
}

fn clash<H>(ask: &Ask<H>, row: &Row<H>) -> bool {
    ask.items.iter().any(|item| item.conflicts(&row.item))
}

/// A lock that is held comes before everyone; one that is waited for before those behind it.
fn is_before<H>(row: &Row<H>, order: &Order) -> bool {
    row.waits.is_none_or(|other| other < *order)
}

/// The items of a request that the asker does not have yet.
pub fn missing(items: &[Item], held: &[Item]) -> Vec<Item> {
    items.iter().filter(|item| !held.iter().any(|has| has.includes(item))).cloned().collect()
}

/// True if one of the items overlaps one of the resources.
pub fn touch<'i>(items: impl IntoIterator<Item = &'i Item>, resources: &[Resource]) -> bool {
    items.into_iter().any(|item| resources.iter().any(|other| item.resource.overlaps(other)))
}

/// Refuses a task that would hold too much.
pub fn admit(held: usize, more: usize) -> Result<(), Refusal> {
    if held + more <= MAX_HELD {
        return Ok(());
    }
    let message = format!("this task holds {held} locks and asks for {more} more; it may hold {MAX_HELD}");
    Err(Refusal::new("too_many_locks", message).hint("unlock what is not needed, or lock the folder above"))
}
