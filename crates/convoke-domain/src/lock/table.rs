//! All locks of a workspace in memory: who holds what, who waits, and which waits end when something is let go.
//!
//! The store keeps the same as rows and asks only for those that overlap; tests play both against each other.

use std::time::Duration;

use super::{Ask, Item, Order, Resource, Row, Verdict, admit, is_blocked, judge, missing, touch};
use crate::refusal::Refusal;
use crate::task::Priority;
use crate::time::Timestamp;

/// A lock that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock<H> {
    /// By whom.
    pub holder: H,
    /// What.
    pub item: Item,
    /// The fencing token: higher than any given before.
    pub token: i64,
    /// When it ends unless it is renewed.
    pub until: Timestamp,
}

/// A request that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait<H> {
    /// The request.
    pub ask: Ask<H>,
    /// When it is given up.
    pub due: Timestamp,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<H> {
    /// All of it is held.
    Held,
    /// It waits for these.
    Waiting(Vec<H>),
    /// Others are in the way, and it was not to wait.
    Busy(Vec<H>),
    /// It holds something and must not wait for this one, who is older.
    Die(H),
    /// It waits for something else already.
    WaitsAlready,
    /// It would hold too much.
    Refused(Refusal),
}

/// What the passing of time ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expired<H> {
    /// Locks whose lease ran out.
    pub lost: Vec<(H, Resource)>,
    /// Requests that were given up.
    pub late: Vec<H>,
    /// Requests that were granted in their place.
    pub granted: Vec<H>,
}

/// The table.
#[derive(Debug, Clone)]
pub struct Table<H> {
    held: Vec<Lock<H>>,
    waiting: Vec<Wait<H>>,
    lease: Duration,
    parked: Duration,
    ticket: i64,
    token: i64,
}

impl<H: Copy + Ord> Table<H> {
    /// A table without locks. A lock that nobody renews lasts `lease`, and `parked` if its holder had to wait for it.
    pub fn new(lease: Duration, parked: Duration) -> Self {
        Self { held: Vec::new(), waiting: Vec::new(), lease, parked, ticket: 0, token: 0 }
    }

    /// What is held.
    pub fn held(&self) -> &[Lock<H>] {
        &self.held
    }

    /// What is waited for, in the order of turns.
    pub fn waiting(&self) -> &[Wait<H>] {
        &self.waiting
    }

    /// The last token that was given.
    pub fn token(&self) -> i64 {
        self.token
    }

    /// Both as rows.
    pub fn rows(&self) -> Vec<Row<H>> {
        let held = self.held.iter().map(|lock| Row { item: lock.item.clone(), holder: lock.holder, waits: None });
        let waiting = self.waiting.iter().flat_map(|wait| {
            let ask = &wait.ask;
            ask.items.iter().map(|item| Row { item: item.clone(), holder: ask.holder, waits: Some(ask.order) })
        });
        held.chain(waiting).collect()
    }

    /// The items that `holder` has.
    pub fn of(&self, holder: H) -> Vec<Item> {
        self.held.iter().filter(|lock| lock.holder == holder).map(|lock| lock.item.clone()).collect()
    }

    /// Asks for all of `items`, waiting until `due` or not at all.
    pub fn acquire(
        &mut self,
        holder: H,
        items: &[Item],
        priority: Priority,
        (now, due): (Timestamp, Option<Timestamp>),
    ) -> Outcome<H> {
        if self.waiting.iter().any(|wait| wait.ask.holder == holder) {
            return Outcome::WaitsAlready;
        }
        let has = self.of(holder);
        let items = missing(items, &has);
        if items.is_empty() {
            self.renew(holder, now);
            return Outcome::Held;
        }
        if let Err(refusal) = admit(has.len(), items.len()) {
            return Outcome::Refused(refusal);
        }
        let order = Order::new(!has.is_empty(), priority, self.ticket + 1);
        let ask = Ask { holder, items, order };
        match (judge(&ask, &self.rows()), due) {
            (Verdict::Grant, _) => self.grant(&ask, now.after(self.lease)),
            (Verdict::Die(older), _) => return Outcome::Die(older),
            (Verdict::Wait(others), None) => return Outcome::Busy(others),
            (Verdict::Wait(others), Some(due)) => {
                self.ticket += 1;
                self.waiting.push(Wait { ask, due });
                self.waiting.sort_by_key(|wait| wait.ask.order);
                return Outcome::Waiting(others);
            }
        }
        Outcome::Held
    }

    fn grant(&mut self, ask: &Ask<H>, until: Timestamp) {
        self.token += 1;
        let token = self.token;
        for item in &ask.items {
            // A shared lock that becomes an exclusive one is the same lock.
            self.held.retain(|lock| lock.holder != ask.holder || lock.item.resource != item.resource);
            self.held.push(Lock { holder: ask.holder, item: item.clone(), token, until });
        }
    }

    /// Lets go of these resources; gives whose requests are granted now.
    pub fn release(&mut self, holder: H, resources: &[Resource], now: Timestamp) -> Vec<H> {
        self.held.retain(|lock| lock.holder != holder || !resources.contains(&lock.item.resource));
        if touch(&self.of(holder), resources) {
            self.retoken(holder);
        }
        self.serve(now)
    }

    /// Lets go of all that `holder` has or waits for.
    pub fn leave(&mut self, holder: H, now: Timestamp) -> Vec<H> {
        self.held.retain(|lock| lock.holder != holder);
        self.waiting.retain(|wait| wait.ask.holder != holder);
        self.serve(now)
    }

    /// Keeps what `holder` has.
    pub fn renew(&mut self, holder: H, now: Timestamp) {
        let until = now.after(self.lease);
        self.held.iter_mut().filter(|lock| lock.holder == holder).for_each(|lock| lock.until = until);
    }

    /// Gives what `holder` has new tokens: whoever still acts with the old ones is refused.
    pub fn retoken(&mut self, holder: H) {
        if !self.held.iter().any(|lock| lock.holder == holder) {
            return;
        }
        self.token += 1;
        let token = self.token;
        self.held.iter_mut().filter(|lock| lock.holder == holder).for_each(|lock| lock.token = token);
    }

    /// Ends what has run out.
    pub fn expire(&mut self, now: Timestamp) -> Expired<H> {
        let out = |lock: &Lock<H>| lock.until <= now;
        let lost = self.held.iter().filter(|lock| out(lock));
        let lost = lost.map(|lock| (lock.holder, lock.item.resource.clone())).collect();
        let late = self.waiting.iter().filter(|wait| wait.due <= now).map(|wait| wait.ask.holder).collect();
        self.held.retain(|lock| !out(lock));
        self.waiting.retain(|wait| wait.due > now);
        Expired { lost, late, granted: self.serve(now) }
    }

    /// Grants, in the order of turns, what nothing stands in the way of any more. One pass is enough: a grant makes nobody
    /// freer who waits.
    fn serve(&mut self, now: Timestamp) -> Vec<H> {
        let (mut granted, mut rows) = (Vec::new(), self.rows());
        for wait in self.waiting.clone() {
            if !is_blocked(&wait.ask, &rows) {
                self.waiting.retain(|other| other.ask.holder != wait.ask.holder);
                self.grant(&wait.ask, now.after(self.parked));
                rows.iter_mut().filter(|row| row.holder == wait.ask.holder).for_each(|row| row.waits = None);
                granted.push(wait.ask.holder);
            }
        }
        granted
    }
}
