//! How far a flow has come while it is watched: its steps as a tree by path, with counts, so that ten thousand tasks cost no more
//! to look at than ten.
//!
//! Rule: pure; counts are kept as tasks begin and end, never counted anew. Start at [`Course::put`] and [`Course::note`].

use std::collections::HashMap;

use convoke_domain::event::{Event, Kind};
use convoke_domain::flow::path;

use super::board::Mark;
use crate::text;

/// The most columns of what is said of a step.
const WORDS: usize = 120;
/// The most choices of a vote that are told.
const CHOICES: usize = 4;
/// The most steps without tasks of their own that are kept; what comes beyond is not shown.
const NODES: usize = 50_000;

/// A step, an item, a round.
#[derive(Debug, Clone, Default)]
pub struct Node {
    /// Where in the flow it is.
    pub path: String,
    /// What it is called.
    pub name: String,
    /// What stands in it, in the order of its coming.
    pub children: Vec<usize>,
    /// Its task, where it is one: the place on the board.
    pub job: Option<usize>,
    /// What else there is to say of it.
    pub words: String,
    /// Something is wrong with it.
    pub alarm: bool,
    /// Tasks at it and below it.
    pub counts: Counts,
    parent: Option<usize>,
    voters: usize,
    is_loop: bool,
}

/// Tasks by how they stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// All.
    pub all: usize,
    /// Those with a result.
    pub done: usize,
    /// Those that failed.
    pub failed: usize,
    /// Those that were called off.
    pub cancelled: usize,
    /// Those under way, or waiting for a person.
    pub busy: usize,
}

impl Counts {
    /// Those of which nothing more will come.
    pub const fn ended(self) -> usize {
        self.done + self.failed + self.cancelled
    }

    const fn slot(&mut self, mark: Mark) -> Option<&mut usize> {
        match mark {
            Mark::Done => Some(&mut self.done),
            Mark::Failed => Some(&mut self.failed),
            Mark::Cancelled => Some(&mut self.cancelled),
            Mark::Running | Mark::Waiting => Some(&mut self.busy),
            Mark::Pending | Mark::Ready => None,
        }
    }
}

/// The steps of a flow that have begun.
#[derive(Debug, Clone, Default)]
pub struct Course {
    nodes: Vec<Node>,
    top: Vec<usize>,
    by_path: HashMap<String, usize>,
}

impl Course {
    /// Nothing of a flow is known.
    pub const fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// What stands in no other step.
    pub fn top(&self) -> &[usize] {
        &self.top
    }

    /// A step.
    pub fn node(&self, at: usize) -> &Node {
        &self.nodes[at]
    }

    /// The step that this path stands in.
    pub fn above(&self, path: &str) -> Option<&Node> {
        let (above, _) = path::split(path)?;
        self.by_path.get(above).map(|at| &self.nodes[*at])
    }

    /// Takes in a task at a path.
    pub fn put(&mut self, path: &str, job: usize) {
        let Some(at) = self.at(path) else { return };
        self.nodes[at].job = Some(job);
        self.upwards(at, |counts| counts.all += 1);
    }

    /// A task stands otherwise.
    pub fn mark(&mut self, path: &str, was: Mark, is: Mark) {
        let Some(at) = self.by_path.get(path).copied() else { return };
        self.upwards(at, |counts| {
            if let Some(slot) = counts.slot(was) {
                *slot = slot.saturating_sub(1);
            }
            if let Some(slot) = counts.slot(is) {
                *slot += 1;
            }
        });
        if is.has_ended() && !was.has_ended() {
            self.vote_came(at);
        }
    }

    fn upwards(&mut self, at: usize, change: impl Fn(&mut Counts)) {
        let mut next = Some(at);
        while let Some(at) = next {
            change(&mut self.nodes[at].counts);
            next = self.nodes[at].parent;
        }
    }

    fn vote_came(&mut self, at: usize) {
        let Some(above) = self.nodes[at].parent else { return };
        let node = &mut self.nodes[above];
        if node.voters > 0 {
            node.words = format!("{} of {} votes are in", node.counts.ended().min(node.voters), node.voters);
        }
    }

    /// The step at a path; it is made if it is new, and so are those it stands in.
    fn at(&mut self, path: &str) -> Option<usize> {
        if let Some(at) = self.by_path.get(path) {
            return Some(*at);
        }
        if self.nodes.len() >= NODES {
            return None;
        }
        let (above, segment) = path::split(path)?;
        let parent = if above.is_empty() { None } else { Some(self.at(above)?) };
        let at = self.nodes.len();
        let name = match parent.map(|parent| self.nodes[parent].is_loop) {
            Some(true) => format!("round {segment}"),
            _ => segment.replace('_', " ").replace('~', " ×"),
        };
        self.nodes.push(Node { path: path.to_owned(), name: text::line(name.trim()), parent, ..Node::default() });
        self.by_path.insert(path.to_owned(), at);
        match parent {
            Some(parent) => self.nodes[parent].children.push(at),
            None => self.top.push(at),
        }
        Some(at)
    }

    /// Takes in what happened in the coordination.
    pub fn note(&mut self, kind: Kind, event: &Event) {
        let Some((words, alarm)) = said(kind, event) else { return };
        let path = event.payload["path"].as_str().unwrap_or_default();
        if is_machinery(path) && !alarm {
            return;
        }
        let Some(at) = self.at(path) else { return };
        let node = &mut self.nodes[at];
        (node.words, node.alarm) = (words, alarm);
        node.is_loop |= kind == Kind::RoundStarted;
        node.voters = match kind {
            Kind::VoteOpened => event.payload["voters"].as_array().map_or(0, Vec::len),
            _ => 0,
        };
    }
}

/// What a larger primitive is made of, which says nothing to people.
pub fn is_machinery(path: &str) -> bool {
    path.split('/').any(|segment| segment.starts_with('_'))
}

/// What happened in the coordination in few words, and whether something is wrong. Nothing for what the tasks show by themselves.
pub fn said(kind: Kind, event: &Event) -> Option<(String, bool)> {
    let payload = &event.payload;
    let number = |key: &str| text::count(payload[key].as_i64().unwrap_or(0));
    let told = |key: &str| text::cut(&text::line(payload[key].as_str().unwrap_or_default()), WORDS);
    let words = match kind {
        Kind::SplitCreated => {
            format!("{} at the same time", text::many(payload["items"].as_u64().unwrap_or(0) as usize, "part"))
        }
        Kind::SyncReady if payload["met"] == false => {
            return Some((format!("{} completed, {} failed: not enough", number("completed"), number("failed")), true));
        }
        Kind::SyncReady => format!("{} completed, {} failed", number("completed"), number("failed")),
        Kind::MergeCompleted => {
            let many = payload["disagreements"].as_array().map_or(0, Vec::len);
            let disagree = if many > 0 { format!(", {}", text::many(many, "disagreement")) } else { String::new() };
            format!("merged by {}{disagree}", told("how").replace('_', " "))
        }
        Kind::RoundStarted => format!("round {} of at most {}", number("round"), number("max")),
        Kind::BranchTaken if payload["case"] == 0 => "no case holds".into(),
        Kind::BranchTaken => format!("case {}", number("case")),
        Kind::VoteOpened => format!("0 of {} votes are in", payload["voters"].as_array().map_or(0, Vec::len)),
        Kind::VoteCounted => counted(event),
        Kind::ReviewEnded => {
            let dissent: Vec<_> =
                payload["dissent"].as_array()?.iter().take(CHOICES).filter_map(|name| name.as_str()).collect();
            if dissent.is_empty() {
                return None;
            }
            let verb = if dissent.len() == 1 { "disagrees" } else { "disagree" };
            format!("{} {verb}", text::cut(&text::line(&dissent.join(", ")), WORDS))
        }
        Kind::GateChecked if payload["open"] == true => "the gate is open".into(),
        Kind::GateChecked => return Some((format!("the gate is closed: {}", told("reason")), true)),
        Kind::StepSkipped if payload["reason"].is_string() => {
            return Some((format!("goes on without: {}", told("reason")), true));
        }
        Kind::StepSkipped => "left out".into(),
        _ => return None,
    };
    Some((words, false))
}

/// A vote that was counted: what was chosen, how the choices stand, who dissents.
fn counted(event: &Event) -> String {
    let payload = &event.payload;
    let cut = |value: &serde_json::Value| text::cut(&text::line(value.as_str().unwrap_or_default()), 40);
    let list = |key: &str| payload[key].as_array().cloned().unwrap_or_default();
    let standing: Vec<_> = list("standing")
        .iter()
        .take(CHOICES)
        .map(|one| format!("{} {}", cut(&one["said"]), one["voters"].as_array().map_or(0, Vec::len)))
        .collect();
    let choice = match (&payload["choice"], payload["outcome"]["is"].as_str()) {
        (serde_json::Value::Null, Some("tied")) => "a tie".to_owned(),
        (serde_json::Value::Null, _) => "no choice".to_owned(),
        (choice, _) => format!("chosen: {}", cut(choice)),
    };
    let dissent: Vec<_> = list("dissent").iter().take(CHOICES).map(|ballot| cut(&ballot["voter"])).collect();
    let dissent = if dissent.is_empty() { String::new() } else { format!("; dissent: {}", dissent.join(", ")) };
    let early = if payload["decided_early"] == true { "; decided early" } else { "" };
    text::cut(&format!("{choice} ({}){dissent}{early}", standing.join(", ")), WORDS)
}
