//! The numbers of an attempt's steps: each step keeps the one that it got first, whatever came in between.

use std::collections::HashMap;

/// The steps of an attempt that have a number already.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    /// By turn and tool call; the latter is empty for a model call.
    known: HashMap<(i64, String), i64>,
    last: i64,
}

impl Numbers {
    /// Notes a step that has its number already.
    pub(crate) fn note(&mut self, turn: i64, call_id: &str, n: i64) {
        self.known.insert((turn, call_id.to_owned()), n);
        self.last = self.last.max(n);
    }

    /// The number that the next new step gets.
    pub(crate) fn next(&self) -> i64 {
        self.last + 1
    }

    /// The number of a step: the one that it had, or a new one.
    pub(crate) fn of(&mut self, turn: i64, call_id: &str) -> i64 {
        let next = self.next();
        let n = *self.known.entry((turn, call_id.to_owned())).or_insert(next);
        self.last = self.last.max(n);
        n
    }
}
