//! What is asked of lists of steps at every turn: at which place a name stands, and from where on the steps keep their order.
//! Found once for a flow, so that a step of a long list costs what one of a short list costs.
//!
//! Rule: a list is known by where it lies in memory, so an index belongs to the very flow it was made for; a copy of the flow begins
//! without one. A place that it gives is checked, and a list that it does not know is searched. Start at [`Lists::place`].

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::{Flow, Step};

/// An index of a flow's lists, made when it is first asked.
#[derive(Debug, Default)]
pub struct Lists(OnceLock<BTreeMap<usize, List>>);

/// One list.
#[derive(Debug)]
struct List {
    places: BTreeMap<String, u32>,
    /// The last step that does not wait for the one before it.
    last_free: Option<u32>,
}

impl Clone for Lists {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Lists {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Lists {
    /// The place of the step of this name in a list of the flow.
    pub fn place(&self, flow: &Flow, steps: &[Step], id: &str) -> Option<u32> {
        if let Some(list) = self.list(flow, steps) {
            let place = list.places.get(id).copied();
            if place.is_none_or(|place| steps[place as usize].id == id) {
                return place;
            }
        }
        steps.iter().position(|step| step.id == id).and_then(|place| u32::try_from(place).ok())
    }

    /// True if each step from a place on waits for the one before it.
    pub fn keep_order(&self, flow: &Flow, steps: &[Step], from: u32) -> bool {
        match self.list(flow, steps) {
            Some(list) => list.last_free.is_none_or(|last| last < from),
            None => !steps[from as usize..].iter().any(is_free),
        }
    }

    fn list(&self, flow: &Flow, steps: &[Step]) -> Option<&List> {
        let all = self.0.get_or_init(|| {
            let mut all = BTreeMap::new();
            gather(&flow.steps, &mut all);
            all
        });
        all.get(&address(steps)).filter(|list| list.places.len() == steps.len())
    }
}

fn address(steps: &[Step]) -> usize {
    steps.as_ptr() as usize
}

fn is_free(step: &Step) -> bool {
    step.after.is_some() || step.sync.is_some()
}

fn gather(steps: &[Step], all: &mut BTreeMap<usize, List>) {
    let place = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
    let places = steps.iter().enumerate().map(|(at, step)| (step.id.clone(), place(at))).collect();
    let last_free = steps.iter().rposition(is_free).map(place);
    // Of lists without steps any number may lie at one place; nothing is found in them.
    if !steps.is_empty() {
        all.insert(address(steps), List { places, last_free });
    }
    steps.iter().flat_map(Step::lists).for_each(|list| gather(list, all));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn flow() -> Flow {
        let task = |id: &str| json!({"id": id, "task": {"agent": "a", "instructions": "?"}});
        let flow = json!({"steps": [
            task("a"),
            {"id": "b", "after": ["a"], "task": {"agent": "a", "instructions": "?"}},
            {"id": "c", "phase": {"do": [task("x"), task("a")]}},
            task("d"),
        ]});
        serde_json::from_value(flow).expect("a flow")
    }

    #[test]
    fn a_name_has_its_place_in_each_list() {
        let (flow, lists) = (flow(), Lists::default());
        let inner = &flow.steps[2].phase.as_ref().expect("a phase").r#do;
        let found = |steps: &[Step], id: &str| lists.place(&flow, steps, id);
        assert_eq!(["a", "d", "x"].map(|id| found(&flow.steps, id)), [Some(0), Some(3), None]);
        assert_eq!(["a", "d", "x"].map(|id| found(inner, id)), [Some(1), None, Some(0)]);
        assert_eq!([0, 1, 2].map(|from| lists.keep_order(&flow, &flow.steps, from)), [false, false, true]);
        assert!(lists.keep_order(&flow, inner, 0));
    }

    #[test]
    fn a_list_that_it_does_not_know_is_searched() {
        let (first, lists) = (flow(), Lists::default());
        assert_eq!(lists.place(&first, &first.steps, "d"), Some(3));
        let other = flow();
        assert_eq!(lists.place(&other, &other.steps, "d"), Some(3));
        assert!(!lists.keep_order(&other, &other.steps, 1) && lists.keep_order(&other, &other.steps, 2));
        let twice = Flow { steps: vec![first.steps[0].clone(), first.steps[0].clone()], ..Flow::default() };
        assert_eq!(Lists::default().place(&twice, &twice.steps, "a"), Some(0), "the first of a name");
        assert_eq!(lists.clone().place(&twice, &[], "a"), None);
    }
}
