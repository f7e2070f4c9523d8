//! The dependency graph of a run's tasks: what must come before what, and the check that it has no cycle.

use std::collections::{BTreeMap, BTreeSet};

/// How strongly a task depends on another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// The other must be completed; if it fails, so does this.
    Hard,
    /// The other comes first, whatever its end.
    Soft,
}

/// The first cycle among `edges` (before, after), as its members in order with the first repeated at the end.
pub fn cycle<'a>(edges: impl IntoIterator<Item = (&'a str, &'a str)>) -> Option<Vec<&'a str>> {
    let mut after: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (before, later) in edges {
        after.entry(before).or_default().insert(later);
    }
    let mut cleared: BTreeSet<&str> = BTreeSet::new();
    after.keys().find_map(|start| cycle_from(start, &after, &mut cleared))
}

/// A cycle that can be reached from `start`. Walks with its own stack: a graph may be deeper than ours.
fn cycle_from<'a>(
    start: &'a str,
    after: &BTreeMap<&'a str, BTreeSet<&'a str>>,
    cleared: &mut BTreeSet<&'a str>,
) -> Option<Vec<&'a str>> {
    let followers = |node: &str| after.get(node).into_iter().flatten().copied().collect::<Vec<_>>();
    let mut path = vec![start];
    let mut stack = vec![followers(start)];
    while let Some(open) = stack.last_mut() {
        let Some(next) = open.pop() else {
            stack.pop();
            cleared.extend(path.pop());
            continue;
        };
        if let Some(place) = path.iter().position(|node| *node == next) {
            let mut found = path.split_off(place);
            found.push(next);
            return Some(found);
        }
        if !cleared.contains(next) {
            path.push(next);
            stack.push(followers(next));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_the_cycle() {
        assert_eq!(cycle([("a", "b"), ("b", "c"), ("c", "a")]), Some(vec!["a", "b", "c", "a"]));
        assert_eq!(cycle([("x", "a"), ("a", "a")]), Some(vec!["a", "a"]));
        assert_eq!(cycle([("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")]), None);
        assert_eq!(cycle([]), None);
    }

    #[test]
    fn a_long_chain_does_not_overflow_the_stack() {
        let names: Vec<String> = (0..20_000).map(|n| format!("{n:06}")).collect();
        let edges = names.windows(2).map(|pair| (pair[0].as_str(), pair[1].as_str()));
        assert_eq!(cycle(edges), None);
    }

    proptest! {
        #[test]
        fn edges_that_only_go_up_make_no_cycle(pairs in proptest::collection::vec((0_u8..40, 0_u8..40), 0..120)) {
            let names: Vec<String> = (0..40).map(|n| format!("{n:02}")).collect();
            let edges = pairs.iter().filter(|(a, b)| a < b).map(|(a, b)| (names[usize::from(*a)].as_str(), names[usize::from(*b)].as_str()));
            prop_assert_eq!(cycle(edges), None);
        }

        #[test]
        fn a_found_cycle_is_one(pairs in proptest::collection::vec((0_u8..12, 0_u8..12), 0..60)) {
            let names: Vec<String> = (0..12).map(|n| format!("{n:02}")).collect();
            let edges: Vec<_> = pairs.iter().map(|(a, b)| (names[usize::from(*a)].as_str(), names[usize::from(*b)].as_str())).collect();
            if let Some(found) = cycle(edges.iter().copied()) {
                prop_assert_eq!(found.first(), found.last());
                for pair in found.windows(2) {
                    prop_assert!(edges.contains(&(pair[0], pair[1])));
                }
            }
        }
    }
}
