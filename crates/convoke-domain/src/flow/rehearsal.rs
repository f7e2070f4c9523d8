//! A flow driven without a store or a model: tasks end as the caller says. What a plan costs is found out like this before any
//! money is spent, and so is that every run of a flow ends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::json;

use super::machine::{Happened, Move, Note, Scope, TaskEnd, next};
use super::path;
use crate::flow::memory::{Frame, Key, Memory, TaskSeen};
use crate::graph::Edge;
use crate::pattern::{NewTask, TaskRef};
use crate::spec::RunSpec;

/// A task of a rehearsal.
#[derive(Debug, Clone)]
pub struct Rehearsed {
    /// As it was made.
    pub new: NewTask,
    /// How it ended.
    pub end: Option<TaskEnd>,
    /// It was called off.
    pub off: bool,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunEnd {
    /// With this result.
    Completed(String),
    /// Without one.
    Failed(String),
    /// A person has it.
    Escalated(String),
}

/// A run of a flow.
pub struct Rehearsal {
    /// What the run pinned.
    pub spec: Arc<RunSpec>,
    task: String,
    frames: BTreeMap<String, Frame>,
    tasks: BTreeMap<String, Rehearsed>,
    /// Those of them that have neither ended nor been called off.
    left: BTreeSet<String>,
    /// What happened in the coordination.
    pub notes: Vec<Note>,
    /// The named parts that began.
    pub phases: Vec<String>,
    /// How it ended.
    pub end: Option<RunEnd>,
    /// What the person gets who has the run now.
    pub handed: Option<String>,
    /// What time it is, in microseconds.
    pub now: i64,
    /// Frames and tasks loaded in the last turn.
    pub loaded: usize,
}

impl Rehearsal {
    /// A run that has begun.
    pub fn begin(spec: Arc<RunSpec>, task: &str) -> Self {
        let mut rehearsal = Self {
            spec,
            task: task.to_owned(),
            frames: BTreeMap::new(),
            tasks: BTreeMap::new(),
            left: BTreeSet::new(),
            notes: Vec::new(),
            phases: Vec::new(),
            end: None,
            handed: None,
            now: 0,
            loaded: 0,
        };
        rehearsal.happen(Happened::Began);
        rehearsal
    }

    fn happen(&mut self, happened: Happened<'_>) {
        let spec = Arc::clone(&self.spec);
        let Some(flow) = &spec.flow else { return };
        let task = std::mem::take(&mut self.task);
        let scope = Scope { spec: &spec, flow, task: &task };
        let mut memory = Memory::default();
        self.loaded = 0;
        for _ in 0..100 {
            match next(scope, &mut memory, happened, self.now) {
                Err(keys) => {
                    assert!(!keys.is_empty(), "it stopped and named nothing");
                    keys.iter().for_each(|key| self.load(&mut memory, key));
                }
                Ok((moves, changed)) => {
                    self.frames.extend(changed);
                    self.task = task;
                    moves.into_iter().for_each(|one| self.carry_out(one));
                    return;
                }
            }
        }
        panic!("it asks for ever");
    }

    fn load(&mut self, memory: &mut Memory, key: &Key) {
        match key {
            Key::Frame(at) => {
                self.loaded += 1;
                memory.put_frame(at, self.frames.get(at).cloned());
            }
            Key::Task(at) => {
                self.loaded += 1;
                memory.put_task(at, self.seen(at));
            }
            Key::Below(at) => {
                let (from, to) = path::below(at);
                for (at, frame) in self.frames.range(from.clone()..to.clone()) {
                    self.loaded += 1;
                    memory.put_frame(at, Some(frame.clone()));
                }
                let below: Vec<String> = self.tasks.range(from..to).map(|(at, _)| at.clone()).collect();
                for at in below {
                    self.loaded += 1;
                    memory.put_task(&at, self.seen(&at));
                }
                memory.put_below(at);
            }
            Key::Context => memory.put_context(json!({"known": "fact"})),
        }
    }

    fn seen(&self, at: &str) -> Option<TaskSeen> {
        let task = self.tasks.get(at)?;
        let is_json = task.new.output_schema.is_some();
        let end = task.end.clone().or_else(|| task.off.then(|| TaskEnd::Failed("it was called off".into())));
        Some(TaskSeen { agent: task.new.agent.clone(), is_json, end })
    }

    fn carry_out(&mut self, one: Move) {
        assert!(self.end.is_none(), "the run has ended, and then {one:?}");
        match one {
            Move::Create(tasks) => {
                for task in tasks {
                    self.left.insert(task.key.clone());
                    let known = self.tasks.insert(task.key.clone(), Rehearsed { new: task, end: None, off: false });
                    assert!(known.is_none(), "made twice: {:?}", known.map(|task| task.new.key));
                }
            }
            Move::CallOff(at) => {
                let is_meant = |key: &String| *key == at || path::is_below(key, &at);
                let off: Vec<String> = self.left.iter().filter(|key| is_meant(key)).cloned().collect();
                for key in off {
                    self.left.remove(&key);
                    self.tasks.get_mut(&key).into_iter().for_each(|task| task.off = true);
                }
                // What is below it has no time any more.
                let below = path::below(&at);
                self.frames.get_mut(&at).into_iter().for_each(|frame| frame.due = None);
                self.frames.range_mut(below.0..below.1).for_each(|(_, frame)| frame.due = None);
            }
            Move::EnterPhase(name) => self.phases.push(name),
            Move::LeavePhase { .. } => {}
            Move::Note(note) => self.notes.push(note),
            Move::Complete(text) => self.end = Some(RunEnd::Completed(text)),
            Move::Fail(_, reason) => self.end = Some(RunEnd::Failed(reason)),
            Move::Escalate { reason, output } => {
                (self.end, self.handed) = (Some(RunEnd::Escalated(reason)), output);
            }
        }
    }

    /// The run as another process finds it: frames come back from what is stored of them, and nothing else is known.
    pub fn restored(&self) -> Self {
        let back = |frame: &Frame| -> serde_json::Result<Frame> {
            let result = frame.result.as_ref().map(ToString::to_string);
            let result = result.map(|stored| serde_json::from_str(&stored)).transpose()?;
            let stored: Frame = serde_json::from_str(&serde_json::to_string(frame)?)?;
            Ok(Frame { result, due: frame.due, ..stored })
        };
        let frames = self.frames.iter().map(|(at, frame)| (at.clone(), back(frame).expect("frames can be stored")));
        Self {
            spec: Arc::clone(&self.spec),
            task: self.task.clone(),
            frames: frames.collect(),
            tasks: self.tasks.clone(),
            left: self.left.clone(),
            notes: self.notes.clone(),
            phases: self.phases.clone(),
            end: self.end.clone(),
            handed: self.handed.clone(),
            now: self.now,
            loaded: 0,
        }
    }

    /// Tasks that have neither ended nor been called off.
    pub fn left(&self) -> Vec<String> {
        self.left.iter().cloned().collect()
    }

    /// Tasks that can be worked on: their dependencies have ended well.
    pub fn open(&self) -> Vec<String> {
        if self.end.is_some() {
            return Vec::new();
        }
        let is_done = |(on, _): &(TaskRef, Edge)| {
            matches!(self.tasks.get(&on.key).map(|task| &task.end), Some(Some(TaskEnd::Completed(_))))
        };
        let is_open = |at: &&String| self.tasks.get(*at).is_some_and(|task| task.new.after.iter().all(is_done));
        self.left.iter().filter(is_open).cloned().collect()
    }

    /// Frames whose time may still run out.
    pub fn due(&self) -> Vec<(i64, String)> {
        let open = self.frames.iter().filter(|(_, frame)| frame.end.is_none());
        open.filter_map(|(at, frame)| Some((frame.due?, at.clone()))).collect()
    }

    /// All frames by their paths.
    pub const fn frames(&self) -> &BTreeMap<String, Frame> {
        &self.frames
    }

    /// All tasks by their paths.
    pub fn tasks(&self) -> &BTreeMap<String, Rehearsed> {
        &self.tasks
    }

    /// An open task ends.
    pub fn finish(&mut self, at: &str, end: TaskEnd) {
        let failed = matches!(end, TaskEnd::Failed(_));
        let Some(task) = self.tasks.get_mut(at).filter(|task| task.end.is_none() && !task.off) else { return };
        task.end = Some(end);
        self.left.remove(at);
        self.happen(Happened::Ended(at));
        // A failed dependency fails its dependents, as the engine does it.
        let mut queue = if failed { self.dependents(at) } else { Vec::new() };
        while let Some(next) = queue.pop() {
            let Some(task) = self.tasks.get_mut(&next).filter(|task| task.end.is_none() && !task.off) else { continue };
            if self.end.is_some() {
                return;
            }
            task.end = Some(TaskEnd::Failed("a task it depends on was not completed".into()));
            self.left.remove(&next);
            self.happen(Happened::Ended(&next));
            queue.extend(self.dependents(&next));
        }
    }

    fn dependents(&self, at: &str) -> Vec<String> {
        let waits = |task: &Rehearsed| task.new.after.iter().any(|(on, _)| on.key == at);
        self.left.iter().filter(|at| self.tasks.get(*at).is_some_and(waits)).cloned().collect()
    }

    /// The time of a frame is up.
    pub fn time_is_up(&mut self, at: &str) {
        if let Some(due) = self.frames.get(at).and_then(|frame| frame.due) {
            self.now = self.now.max(due);
            self.happen(Happened::Due(at));
        }
    }
}
