//! Where in a file something inside a template or expression stands: text in YAML may be indented, folded or escaped.

use super::Found;
use crate::problem::{Place, Reporter};

/// Lines below the start of a text that are searched for a part of it.
const SEARCHED: usize = 200;

/// The place of a finding in its file.
pub(crate) fn of(found: &Found<'_>, reporter: &Reporter<'_>) -> Place {
    let whole = found.node.place;
    let Some((text, part)) = found.node.text().zip(found.part.clone()) else { return whole };
    let Some(before) = text.get(..part.start) else { return whole };
    let needle = text.get(part.clone()).unwrap_or_default().lines().next().unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let width = needle.chars().count().max(1);
    let first = reporter.line(whole.line);
    let opening = first.chars().nth(whole.column.saturating_sub(1));
    // The text begins where it is said to, or behind its quote.
    let skipped = usize::from(matches!(opening, Some('"' | '\'')));
    let column = whole.column + skipped + before.chars().count();
    if line_start == 0 && stands_at(first, column, needle) {
        return Place { line: whole.line, column, width };
    }
    // A block keeps its lines; a folded or quoted one may not. The same words in the lines below are meant.
    let nth = before.matches(needle).count();
    search(reporter, whole, (needle, nth)).map_or(whole, |(line, column)| Place { line, column, width })
}

fn stands_at(line: &str, column: usize, needle: &str) -> bool {
    !needle.is_empty() && line.chars().skip(column.saturating_sub(1)).take(needle.chars().count()).eq(needle.chars())
}

/// The line and column of the `nth` (from 0) time that the words stand at or below a place.
fn search(reporter: &Reporter<'_>, from: Place, (needle, nth): (&str, usize)) -> Option<(usize, usize)> {
    if needle.is_empty() {
        return None;
    }
    let mut left = nth;
    for number in from.line..from.line + SEARCHED {
        let line = reporter.line(number);
        let start = if number == from.line { byte_of(line, from.column) } else { 0 };
        for (at, _) in line[start..].match_indices(needle) {
            if left == 0 {
                return Some((number, line[..start + at].chars().count() + 1));
            }
            left -= 1;
        }
    }
    None
}

fn byte_of(line: &str, column: usize) -> usize {
    line.char_indices().nth(column.saturating_sub(1)).map_or(line.len(), |(at, _)| at)
}
