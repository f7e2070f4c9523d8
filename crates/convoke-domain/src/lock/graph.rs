//! Who waits for whom, and whether that goes round in a circle.
//!
//! The rules of [`super::judge`] leave no circle; this is how that is seen, by tests and by whoever looks.

use std::collections::BTreeMap;

use super::{Ask, Item, Order, Row, blockers};

/// One who waits, and those in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge<H> {
    /// Who waits.
    pub from: H,
    /// For whom.
    pub to: Vec<H>,
}

/// The requests that wait, put together from their rows, in the order of their turn.
pub fn asks<H: Copy + Ord>(rows: &[Row<H>]) -> Vec<Ask<H>> {
    let mut by_holder: BTreeMap<H, (Order, Vec<Item>)> = BTreeMap::new();
    for row in rows {
        if let Some(order) = row.waits {
            by_holder.entry(row.holder).or_insert_with(|| (order, Vec::new())).1.push(row.item.clone());
        }
    }
    let mut asks: Vec<_> = by_holder.into_iter().map(|(holder, (order, items))| Ask { holder, items, order }).collect();
    asks.sort_by_key(|ask| ask.order);
    asks
}

/// Who waits for whom.
pub fn edges<H: Copy + Ord>(rows: &[Row<H>]) -> Vec<Edge<H>> {
    let edge = |ask: Ask<H>| Edge { to: blockers(&ask, rows), from: ask.holder };
    asks(rows).into_iter().map(edge).collect()
}

/// A circle of waits, from one of its members on, if there is one.
pub fn circle<H: Copy + Ord>(edges: &[Edge<H>]) -> Option<Vec<H>> {
    let next: BTreeMap<H, &[H]> = edges.iter().map(|edge| (edge.from, edge.to.as_slice())).collect();
    let mut done: BTreeMap<H, bool> = BTreeMap::new();
    next.keys().find_map(|start| walk(*start, &next, &mut done))
}

/// Goes down from `start` with a stack of its own, so that a long chain does not fill the program's. `done` is false for
/// who is on the way from the start and true for who leads nowhere.
fn walk<H: Copy + Ord>(start: H, next: &BTreeMap<H, &[H]>, done: &mut BTreeMap<H, bool>) -> Option<Vec<H>> {
    if done.contains_key(&start) {
        return None;
    }
    let mut way: Vec<(H, usize)> = vec![(start, 0)];
    done.insert(start, false);
    while let Some((here, at)) = way.last_mut() {
        let Some(to) = next.get(here).and_then(|to| to.get(*at)).copied() else {
            done.insert(*here, true);
            way.pop();
            continue;
        };
        *at += 1;
        match done.get(&to) {
            Some(true) => {}
            Some(false) => {
                let from = way.iter().position(|(holder, _)| *holder == to).unwrap_or(0);
                return Some(way[from..].iter().map(|(holder, _)| *holder).collect());
            }
            None => {
                done.insert(to, false);
                way.push((to, 0));
            }
        }
    }
    None
}
