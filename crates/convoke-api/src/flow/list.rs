//! A list of steps: which of them come before which, and that they do not wait in a circle.

use std::cell::RefCell;
use std::collections::BTreeMap;

use convoke_domain::graph;

use super::form::Form;
use crate::node::Node;

/// The steps of one list, and what is known of their results so far.
pub(crate) struct List<'n> {
    pub(crate) steps: &'n [Node],
    places: BTreeMap<&'n str, usize>,
    /// Steps that must have ended before, by place; bits of 64 places.
    before: Vec<Vec<u64>>,
    /// The places in an order in which each comes behind those before it.
    pub(crate) order: Vec<usize>,
    /// The steps that wait for one another, the first repeated at the end.
    pub(crate) circle: Option<Vec<&'n str>>,
    pub(crate) forms: RefCell<Vec<Form>>,
}

impl<'n> List<'n> {
    pub(crate) fn new(steps: &'n [Node]) -> Self {
        let ids: Vec<&str> = steps.iter().map(id).collect();
        let mut places = BTreeMap::new();
        for (place, id) in ids.iter().enumerate() {
            places.entry(*id).or_insert(place);
        }
        let before: Vec<Vec<usize>> = (0..steps.len()).map(|place| direct(steps, &places, place)).collect();
        let edges = before.iter().enumerate().flat_map(|(later, all)| all.iter().map(move |one| (*one, later)));
        let circle = graph::cycle(edges.map(|(one, later)| (ids[one], ids[later])));
        let order = if circle.is_some() { (0..steps.len()).collect() } else { sorted(&before) };
        let forms = RefCell::new(vec![Form::Any; steps.len()]);
        let before = closed(&before, &order);
        Self { steps, places, before, order, circle, forms }
    }

    /// The place of a step.
    pub(crate) fn place(&self, id: &str) -> Option<usize> {
        self.places.get(id).copied()
    }

    /// True if the step at `one` must have ended before the step at `at` begins; all have before the end of the list.
    pub(crate) fn is_before(&self, one: usize, at: usize) -> bool {
        at >= self.steps.len() || self.before[at][one / 64] >> (one % 64) & 1 == 1
    }

    /// What is known of a step's result.
    pub(crate) fn form(&self, place: usize) -> Form {
        self.forms.borrow().get(place).cloned().unwrap_or(Form::Any)
    }

    /// The names of all its steps.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &'n str> {
        self.places.keys().copied()
    }
}

/// A step's name; nothing where it has none.
pub(crate) fn id(step: &Node) -> &str {
    step.text_at("id").map_or("", |(id, _)| id)
}

/// For what a step waits.
fn direct(steps: &[Node], places: &BTreeMap<&str, usize>, place: usize) -> Vec<usize> {
    let step = &steps[place];
    let named = |list: &[Node]| list.iter().filter_map(Node::text).filter_map(|id| places.get(id).copied()).collect();
    let of = |kind: &str| -> Vec<usize> { step.get(kind).map(|inner| named(inner.list("of"))).unwrap_or_default() };
    let after = step.get("after").filter(|node| !node.is_null());
    let mut all: Vec<usize> = match after {
        Some(_) => named(step.list("after")),
        // A sync begins when what it waits for has begun.
        None if step.get("sync").is_some() => Vec::new(),
        None => place.checked_sub(1).into_iter().collect(),
    };
    all.extend(of("sync"));
    if after.is_none() {
        all.extend(of("join"));
    }
    // What waits for itself is said where that stands; it closes no circle with others.
    all.retain(|one| *one != place);
    all
}

/// Places in an order in which each comes behind those before it; there is no circle.
fn sorted(before: &[Vec<usize>]) -> Vec<usize> {
    let mut order = Vec::with_capacity(before.len());
    let mut is_done = vec![false; before.len()];
    for start in 0..before.len() {
        let mut open = vec![(start, 0)];
        while let Some((place, next)) = open.last_mut() {
            let (at, waits) = (*place, before[*place].get(*next).copied());
            *next += 1;
            match waits {
                _ if is_done[at] => drop(open.pop()),
                Some(other) if !is_done[other] => open.push((other, 0)),
                Some(_) => {}
                None => {
                    is_done[at] = true;
                    order.push(at);
                    open.pop();
                }
            }
        }
    }
    order
}

/// All that comes before each, not only what it names.
fn closed(before: &[Vec<usize>], order: &[usize]) -> Vec<Vec<u64>> {
    let mut all = vec![vec![0_u64; before.len().div_ceil(64)]; before.len()];
    for &place in order {
        let mut bits = std::mem::take(&mut all[place]);
        for &one in &before[place] {
            bits[one / 64] |= 1 << (one % 64);
            for (word, more) in bits.iter_mut().zip(&all[one]) {
                *word |= more;
            }
        }
        all[place] = bits;
    }
    all
}
