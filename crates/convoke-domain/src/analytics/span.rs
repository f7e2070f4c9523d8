//! Stretches of time as sets: joined, cut out of each other, measured. Rule: a set is sorted, and its parts neither touch nor
//! overlap, so that a length is counted once.

use crate::time::Timestamp;

/// From one instant to a later one, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Its beginning.
    pub from: i64,
    /// Its end, never before the beginning.
    pub to: i64,
}

impl Span {
    /// From `from` to `to`; empty where `to` is earlier.
    pub fn new(from: Timestamp, to: Timestamp) -> Self {
        Self { from: from.as_micros(), to: to.as_micros().max(from.as_micros()) }
    }

    /// How long it is.
    pub const fn length(self) -> i64 {
        self.to - self.from
    }

    const fn is_empty(self) -> bool {
        self.to <= self.from
    }
}

/// A set of instants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Spans(Vec<Span>);

impl Spans {
    /// All instants of these spans.
    pub(super) fn of(spans: impl IntoIterator<Item = Span>) -> Self {
        let mut all: Vec<Span> = spans.into_iter().filter(|span| !span.is_empty()).collect();
        all.sort_unstable();
        let mut joined: Vec<Span> = Vec::with_capacity(all.len());
        for span in all {
            match joined.last_mut() {
                Some(last) if span.from <= last.to => last.to = last.to.max(span.to),
                _ => joined.push(span),
            }
        }
        Self(joined)
    }

    /// Its parts in order.
    pub(super) fn parts(&self) -> impl Iterator<Item = Span> + '_ {
        self.0.iter().copied()
    }

    /// How long it is in all.
    pub(super) fn length(&self) -> i64 {
        self.parts().map(Span::length).sum()
    }

    /// The instants of all these sets.
    pub(super) fn union<'a>(sets: impl IntoIterator<Item = &'a Self>) -> Self {
        Self::of(sets.into_iter().flat_map(Self::parts))
    }

    /// The instants that both have.
    pub(super) fn and(&self, other: &Self) -> Self {
        let (mut left, mut right, mut both) = (0, 0, Vec::new());
        while let (Some(a), Some(b)) = (self.0.get(left), other.0.get(right)) {
            let span = Span { from: a.from.max(b.from), to: a.to.min(b.to) };
            if !span.is_empty() {
                both.push(span);
            }
            if a.to < b.to { left += 1 } else { right += 1 }
        }
        Self(both)
    }

    /// The instants that the other does not have.
    pub(super) fn minus(&self, other: &Self) -> Self {
        let (mut kept, mut cut) = (Vec::new(), 0);
        for span in self.parts() {
            let mut from = span.from;
            while other.0.get(cut).is_some_and(|part| part.to <= from) {
                cut += 1;
            }
            for part in &other.0[cut..] {
                if part.from >= span.to {
                    break;
                }
                kept.push(Span { from, to: part.from });
                from = from.max(part.to);
            }
            kept.push(Span { from, to: span.to });
        }
        kept.retain(|span| !span.is_empty());
        Self(kept)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(parts: &[(i64, i64)]) -> Spans {
        Spans::of(parts.iter().map(|(from, to)| Span { from: *from, to: *to }))
    }

    #[test]
    fn sets_are_joined_and_cut() {
        assert_eq!(
            set(&[(5, 7), (0, 3), (3, 4), (2, 3), (9, 9)]),
            Spans(vec![Span { from: 0, to: 4 }, Span { from: 5, to: 7 }])
        );
        assert_eq!(set(&[(0, 10)]).minus(&set(&[(2, 3), (5, 20)])), set(&[(0, 2), (3, 5)]));
        assert_eq!(set(&[(0, 2), (4, 6)]).minus(&set(&[(1, 5)])), set(&[(0, 1), (5, 6)]));
        assert_eq!(set(&[(0, 4), (6, 9)]).and(&set(&[(3, 7), (8, 12)])), set(&[(3, 4), (6, 7), (8, 9)]));
        assert_eq!(set(&[]).length(), 0);
    }

    proptest! {
        /// Against sets of instants that are listed one by one.
        #[test]
        fn they_are_what_their_instants_are(a in prop::collection::vec((0..40_i64, 0..9_i64), 0..6), b in prop::collection::vec((0..40_i64, 0..9_i64), 0..6)) {
            let spans = |list: &[(i64, i64)]| set(&list.iter().map(|(from, long)| (*from, from + long)).collect::<Vec<_>>());
            let has = |set: &Spans, at: i64| set.parts().any(|span| span.from <= at && at < span.to);
            let (a, b) = (spans(&a), spans(&b));
            let (and, minus, union) = (a.and(&b), a.minus(&b), Spans::union([&a, &b]));
            for at in 0..60 {
                prop_assert_eq!(has(&and, at), has(&a, at) && has(&b, at));
                prop_assert_eq!(has(&minus, at), has(&a, at) && !has(&b, at));
                prop_assert_eq!(has(&union, at), has(&a, at) || has(&b, at));
            }
            prop_assert_eq!(and.length() + minus.length(), a.length());
        }
    }
}
