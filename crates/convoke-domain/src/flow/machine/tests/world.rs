//! Rehearsals for tests: short words, and what must not happen panics.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::{Note, TaskEnd};
use crate::flow::rehearsal::Rehearsal;
use crate::flow::{Conflict, Flow, expand};
use crate::pattern::NewTask;
use crate::spec::RunSpec;

pub(super) use crate::flow::rehearsal::RunEnd;

/// A rehearsal of a team of `a`, `b`, `c` and `rev`.
pub(super) struct World(Rehearsal);

/// A team of these members with a flow, ready to be driven.
pub(super) fn spec(flow: &Flow, members: &[&str], parameters: Value) -> RunSpec {
    let profile = |name: &&str| {
        let role = if name.starts_with("rev") { "reviewer" } else { "specialist" };
        let value = json!({"name": name, "prompt": "x", "role": role, "capabilities": [format!("can-{name}")]});
        ((*name).to_owned(), serde_json::from_value(value).expect("a profile"))
    };
    let team = json!({
        "name": "t", "coordinator": "lead",
        "members": members.iter().map(|name| json!({"profile": name})).collect::<Vec<_>>(),
    });
    let profiles = members.iter().chain(&["lead"]).map(profile).collect();
    let mut spec = RunSpec::new(serde_json::from_value(team).expect("a team"), profiles);
    spec.flow = Some(expand::expand(flow, Conflict::Vote));
    spec.parameters = parameters.as_object().cloned().unwrap_or_default().into_iter().collect();
    spec
}

impl World {
    /// A run of steps given as JSON.
    pub(super) fn of(steps: Value) -> Self {
        let flow = Flow { steps: serde_json::from_value(steps).expect("steps"), ..Flow::default() };
        Self(Rehearsal::begin(Arc::new(spec(&flow, &["a", "b", "c", "rev"], json!({}))), "the task"))
    }

    pub(super) fn open(&self) -> Vec<String> {
        self.0.open()
    }

    /// Tasks that were called off.
    pub(super) fn off(&self) -> Vec<String> {
        self.0.tasks().iter().filter(|(_, task)| task.off).map(|(at, _)| at.clone()).collect()
    }

    pub(super) fn end(&self) -> Option<&RunEnd> {
        self.0.end.as_ref()
    }

    /// What the person gets who has the run now.
    pub(super) fn handed(&self) -> Option<&str> {
        self.0.handed.as_deref()
    }

    pub(super) fn notes(&self) -> &[Note] {
        &self.0.notes
    }

    pub(super) fn phases(&self) -> &[String] {
        &self.0.phases
    }

    /// What was loaded in the last turn.
    pub(super) fn loaded(&self) -> usize {
        self.0.loaded
    }

    pub(super) fn task(&self, at: &str) -> &NewTask {
        &self.0.tasks().get(at).unwrap_or_else(|| panic!("no task {at}; there are {:?}", self.0.tasks().keys())).new
    }

    /// A task completes.
    pub(super) fn done(&mut self, at: &str, output: impl Into<Value>) -> &mut Self {
        let text = match output.into() {
            Value::String(text) => text,
            other => other.to_string(),
        };
        self.finish(at, TaskEnd::Completed(text))
    }

    /// A task fails.
    pub(super) fn lost(&mut self, at: &str) -> &mut Self {
        self.finish(at, TaskEnd::Failed("broken".into()))
    }

    fn finish(&mut self, at: &str, end: TaskEnd) -> &mut Self {
        assert!(self.open().iter().any(|open| open == at), "`{at}` is not open; open are {:?}", self.open());
        self.0.finish(at, end);
        self
    }

    /// The time of a frame is up.
    pub(super) fn time_is_up(&mut self, at: &str) -> &mut Self {
        assert!(self.0.due().iter().any(|(_, due)| due == at), "`{at}` has no time; {:?} have", self.0.due());
        self.0.time_is_up(at);
        self
    }

    pub(super) fn completed(&self) -> &str {
        match &self.0.end {
            Some(RunEnd::Completed(text)) => text,
            other => panic!("not completed: {other:?}; open {:?}", self.open()),
        }
    }

    pub(super) fn failed(&self) -> &str {
        match &self.0.end {
            Some(RunEnd::Failed(text)) => text,
            other => panic!("not failed: {other:?}; open {:?}", self.open()),
        }
    }
}
