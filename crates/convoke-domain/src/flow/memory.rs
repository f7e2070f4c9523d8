//! What the machine knows of a run: frames of steps that have parts, and tasks. It asks for what it lacks.
//!
//! Rule: nothing here grows with the run; a frame holds counts, never what its parts gave, except a vote's ballots. The machine runs
//! against what is loaded; what is missing it names ([`Key`]), the engine loads it and asks again. So an event touches only what it needs.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Bar, path};
use crate::vote::{Ballot, VoteRule};

/// Something that may have to be loaded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// The frame at a path.
    Frame(String),
    /// The task at a path.
    Task(String),
    /// All frames and tasks below a path.
    Below(String),
    /// The variables of the run's shared context.
    Context,
}

/// A step that has parts, or a result of its own.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Frame {
    /// Where it stands.
    pub state: State,
    /// What an item of a split is, for what is in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<Item>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
    /// The path whose result is its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// A result of its own; kept beside the rest.
    #[serde(skip)]
    pub result: Option<Value>,
    /// When its time is up, in microseconds; kept beside the rest.
    #[serde(skip)]
    pub due: Option<i64>,
}

/// An item of a split.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// What it is called.
    pub name: String,
    /// Its place, from 0.
    pub index: u32,
    /// What it is.
    pub value: Value,
}

/// Where a frame stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It only has a result.
    #[default]
    Leaf,
    /// Steps in their order.
    Block(Block),
    /// Items at the same time.
    Split(Split),
    /// Rounds.
    Loop {
        /// The round under way, from 1.
        round: u32,
        /// The most.
        max: u32,
    },
    /// Ballots.
    Vote(Vote),
    /// Waits for steps beside it.
    Sync(Bar),
    /// An item that waits for its turn.
    Queued,
}

/// How far a list of steps has come.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Block {
    /// Which case of a branch it is; 0 for `otherwise`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<u32>,
    /// All steps before this place have ended.
    pub upto: u32,
    /// Steps behind it that have ended.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub ended: BTreeSet<u32>,
    /// Steps under way.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub open: BTreeSet<u32>,
    /// Steps that were left out or called off.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub skipped: BTreeSet<u32>,
    /// Those of them that had begun: they were called off.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub called_off: BTreeSet<u32>,
    /// Steps that failed, with the flow going on.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub failed: BTreeSet<u32>,
    /// How often steps were begun, where more than once.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub visits: BTreeMap<u32, u32>,
    /// The gates that last sent the flow back, by their places.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub backs: BTreeMap<u32, Back>,
}

/// Where a gate sent the flow back to, and why.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Back {
    /// The place of the step that begins again.
    pub to: u32,
    /// Why the gate is closed.
    pub reason: String,
}

impl Block {
    /// The step has ended, however.
    pub fn has_ended(&self, place: u32) -> bool {
        place < self.upto || self.ended.contains(&place)
    }

    /// The step's condition did not hold: it counts nowhere.
    pub fn is_left_out(&self, place: u32) -> bool {
        self.skipped.contains(&place) && !self.called_off.contains(&place)
    }

    /// Takes down that the gate at this place sent the flow back. Gates between are tried anew.
    pub fn send_back(&mut self, gate: u32, back: Back) {
        let to = back.to;
        self.backs.retain(|place, _| !(to..=gate).contains(place));
        self.backs.insert(gate, back);
    }

    /// The gate that sent the flow back to where the step began again, and why. Of several it is the nearest behind the step: each
    /// that goes back forgets those before it.
    pub fn sent_back(&self, place: u32) -> Option<(u32, &Back)> {
        let mut behind = self.backs.range(place..);
        behind.find(|(_, back)| back.to <= place).map(|(gate, back)| (*gate, back))
    }

    /// The step's visit, from 1.
    pub fn visit(&self, place: u32) -> u32 {
        self.visits.get(&place).copied().unwrap_or(1)
    }

    /// Takes down that a step has ended.
    pub fn note(&mut self, place: u32) {
        self.open.remove(&place);
        self.ended.insert(place);
        while self.ended.remove(&self.upto) {
            self.upto += 1;
        }
    }
}

/// How far the items of a split have come.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Split {
    /// Its items are being planned.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub planning: bool,
    /// Items in all.
    pub total: u32,
    /// Items that were begun.
    pub begun: u32,
    /// Items that completed.
    pub done: u32,
    /// Items that failed.
    pub failed: u32,
    /// Items whose only step was left out by its condition: they count nowhere.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: u32,
    /// For how many is waited.
    #[serde(default)]
    pub bar: Bar,
    /// Keys of the items where they are not their numbers, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
}

impl Split {
    /// Takes down how an item ended.
    pub fn count(&mut self, end: &End) {
        match end {
            End::Done => self.done += 1,
            End::Failed(_) => self.failed += 1,
            End::LeftOut => self.left_out += 1,
        }
    }

    /// What comes of it, if anything does yet.
    pub fn outcome(&self, time_is_up: bool) -> Option<Result<(), String>> {
        self.bar.outcome(self.total - self.left_out, self.done, self.failed, time_is_up)
    }
}

const fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// How far a vote has come.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Vote {
    /// Who may vote, with what weight.
    pub electorate: Vec<(String, f64)>,
    /// How they are counted, with the options of this round.
    pub rule: VoteRule,
    /// The ballots that came.
    pub ballots: Vec<Ballot>,
    /// The round, from 1: a tie may be voted on again.
    pub round: u32,
    /// A casting vote is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub casting: Option<String>,
}

/// How something ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// With a result.
    Done,
    /// Without, for this reason.
    Failed(String),
    /// It never began: its condition did not hold. Only items of splits end so.
    LeftOut,
}

/// A task as the machine sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskSeen {
    /// Who does it.
    pub agent: String,
    /// Its answer must fit a schema, so it is JSON.
    pub is_json: bool,
    /// How it ended; `None` while it has not.
    pub end: Option<super::machine::TaskEnd>,
}

/// What is loaded, and what this turn changes.
#[derive(Debug, Default)]
pub struct Memory {
    frames: BTreeMap<String, Option<Frame>>,
    tasks: BTreeMap<String, Option<TaskSeen>>,
    below: BTreeSet<String>,
    context: Option<Value>,
    /// Frames that this turn made or changed.
    changed: BTreeMap<String, Frame>,
    missing: RefCell<BTreeSet<Key>>,
}

/// Something must be loaded first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missing;

impl Memory {
    /// Takes in a frame, or that there is none.
    pub fn put_frame(&mut self, path: &str, frame: Option<Frame>) {
        self.frames.insert(path.to_owned(), frame);
    }

    /// Takes in a task, or that there is none.
    pub fn put_task(&mut self, path: &str, task: Option<TaskSeen>) {
        self.tasks.insert(path.to_owned(), task);
    }

    /// Takes in that all below a path is loaded.
    pub fn put_below(&mut self, path: &str) {
        self.below.insert(path.to_owned());
    }

    /// Takes in the shared context.
    pub fn put_context(&mut self, context: Value) {
        self.context = Some(context);
    }

    /// What was missing since the last call.
    pub fn take_missing(&mut self) -> BTreeSet<Key> {
        self.changed.clear();
        std::mem::take(self.missing.get_mut())
    }

    /// What this turn made or changed.
    pub fn take_changed(&mut self) -> BTreeMap<String, Frame> {
        std::mem::take(&mut self.changed)
    }

    fn lacks<T>(&self, key: Key) -> Result<T, Missing> {
        self.missing.borrow_mut().insert(key);
        Err(Missing)
    }

    fn covered(&self, path: &str) -> bool {
        self.below.iter().any(|above| path::is_below(path, above))
    }

    /// The frame at a path.
    pub fn frame(&self, path: &str) -> Result<Option<&Frame>, Missing> {
        if let Some(frame) = self.changed.get(path) {
            return Ok(Some(frame));
        }
        match self.frames.get(path) {
            Some(frame) => Ok(frame.as_ref()),
            None if self.covered(path) => Ok(None),
            None => self.lacks(Key::Frame(path.to_owned())),
        }
    }

    /// The frame at a path, if it is loaded and there is one.
    pub fn frame_if_known(&self, path: &str) -> Option<&Frame> {
        self.changed.get(path).or_else(|| self.frames.get(path).and_then(Option::as_ref))
    }

    /// The task at a path.
    pub fn task(&self, path: &str) -> Result<Option<&TaskSeen>, Missing> {
        match self.tasks.get(path) {
            Some(task) => Ok(task.as_ref()),
            None if self.covered(path) => Ok(None),
            None => self.lacks(Key::Task(path.to_owned())),
        }
    }

    /// Asks for everything below a path.
    pub fn all_below(&self, path: &str) -> Result<(), Missing> {
        let loaded = self.below.iter().any(|above| above == path || path::is_below(path, above));
        if loaded { Ok(()) } else { self.lacks(Key::Below(path.to_owned())) }
    }

    /// The shared context.
    pub fn context(&self) -> Result<&Value, Missing> {
        match &self.context {
            Some(context) => Ok(context),
            None => self.lacks(Key::Context),
        }
    }

    /// Changes a frame.
    pub fn set(&mut self, path: &str, frame: Frame) {
        self.changed.insert(path.to_owned(), frame);
    }
}
