//! A problem: what is wrong with a file, where, and what to write instead.
//!
//! Rule: a problem names the thing, the reason and the fix, and shows the line. Its `code` is stable. Values that may
//! be secrets (MCP headers and environment) are masked before anything is quoted. Start at [`Problem`].

use std::fmt;

use serde::Serialize;

/// The most problems that are reported for one file; more would only be noise.
pub const MAX_PROBLEMS: usize = 100;
/// The most characters of a line that are shown.
const MAX_EXCERPT: usize = 120;
/// Characters kept before the column when a long line is cut.
const CONTEXT: usize = 40;
/// Values shorter than this are not masked: they hold no secret, and masking them would garble the line.
const MIN_SECRET: usize = 4;
/// With more secrets in a file than this, or in a line longer than [`MAX_MASKED`], no line is shown at all.
const MAX_SECRETS: usize = 200;
/// Bytes of a line in which secrets are looked for.
const MAX_MASKED: usize = 10_000;

/// One thing that is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file, as the caller named it.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Stable, in snake_case; programs match on it.
    pub code: &'static str,
    /// One sentence: the thing and the reason.
    pub message: String,
    /// What to write instead.
    pub hint: String,
    /// The line itself, cut around the column if it is long.
    pub excerpt: String,
    #[serde(skip)]
    marker: Marker,
}

impl Problem {
    /// A problem that somebody else has found in `text`, at a line and column from 1 (0 where that is not known).
    pub fn at(
        (file, text): (&str, &str),
        (line, column): (usize, usize),
        code: &'static str,
        why: &str,
        fix: &str,
    ) -> Self {
        let mut reporter = Reporter::new(file, text);
        reporter.report(Place { line, column, width: 1 }, finding(code, why, fix));
        reporter.found.remove(0)
    }
}

/// Where in the excerpt the marks go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Marker {
    start: usize,
    width: usize,
}

impl fmt::Display for Problem {
    /// The form that compilers have taught people to read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.line.to_string();
        let gutter = " ".repeat(number.len());
        let marks = format!("{}{}", " ".repeat(self.marker.start), "^".repeat(self.marker.width));
        writeln!(f, "error[{}]: {}", self.code, self.message)?;
        writeln!(f, "{gutter}--> {}:{}:{}", self.file, self.line, self.column)?;
        writeln!(f, "{gutter} |")?;
        writeln!(f, "{}", format!("{number} | {}", self.excerpt).trim_end())?;
        writeln!(f, "{gutter} | {marks}")?;
        writeln!(f, "{gutter} = fix: {}", self.hint)
    }
}

/// Everything that is wrong with the files that were read; never empty when returned as an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
#[serde(transparent)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.0 {
            writeln!(f, "{problem}")?;
        }
        match self.0.len() {
            1 => write!(f, "1 problem"),
            count => write!(f, "{count} problems"),
        }
    }
}

impl std::error::Error for Problems {}

/// A place in a text: the first line a value stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Place {
    /// Line, from 1.
    pub(crate) line: usize,
    /// Column in characters, from 1.
    pub(crate) column: usize,
    /// Characters on that line; at least 1.
    pub(crate) width: usize,
}

/// What is wrong, before the place is known.
pub(crate) struct Finding {
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) hint: String,
}

/// Makes a [`Finding`].
pub(crate) fn finding(code: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Finding {
    Finding { code, message: message.into(), hint: hint.into() }
}

/// Collects the problems of one file and quotes its lines.
pub(crate) struct Reporter<'a> {
    pub(crate) file: &'a str,
    lines: Vec<&'a str>,
    secrets: Vec<String>,
    found: Vec<Problem>,
    pub(crate) notes: Vec<Problem>,
}

impl<'a> Reporter<'a> {
    /// A reporter for `text`, which the caller calls `file`.
    pub(crate) fn new(file: &'a str, text: &'a str) -> Self {
        Self { file, lines: text.lines().collect(), secrets: Vec::new(), found: Vec::new(), notes: Vec::new() }
    }

    /// Masks `value` in all that is reported from now on.
    pub(crate) fn hide(&mut self, value: &str) {
        if value.chars().count() >= MIN_SECRET && !value.contains("${") {
            self.secrets.push(value.to_owned());
        }
    }

    /// Takes down a problem at `place`.
    pub(crate) fn report(&mut self, place: Place, found: Finding) {
        if self.found.len() >= MAX_PROBLEMS {
            return;
        }
        let problem = self.made(place, found);
        self.found.push(problem);
    }

    /// Takes down what is no problem and should be known all the same.
    pub(crate) fn note(&mut self, place: Place, found: Finding) {
        if self.notes.len() < MAX_PROBLEMS {
            let note = self.made(place, found);
            self.notes.push(note);
        }
    }

    fn made(&self, place: Place, found: Finding) -> Problem {
        let line = self.line(place.line);
        let line = if self.can_mask(line) { line } else { "(not shown: it may hold secrets)" };
        let (excerpt, marker) = cut(&self.mask(line), place);
        Problem {
            file: self.file.to_owned(),
            line: place.line.max(1),
            column: place.column.max(1),
            code: found.code,
            message: self.mask(&found.message),
            hint: self.mask(&found.hint),
            excerpt,
            marker,
        }
    }

    /// A line of the text, from 1.
    pub(crate) fn line(&self, number: usize) -> &'a str {
        self.lines.get(number.saturating_sub(1)).copied().unwrap_or("")
    }

    /// How many problems there are so far.
    pub(crate) fn count(&self) -> usize {
        self.found.len()
    }

    /// The problems in the order of the file.
    pub(crate) fn finish(mut self) -> Vec<Problem> {
        self.found.sort_by_key(|problem| (problem.line, problem.column));
        self.found
    }

    fn can_mask(&self, line: &str) -> bool {
        self.secrets.is_empty() || (self.secrets.len() <= MAX_SECRETS && line.len() <= MAX_MASKED)
    }

    fn mask(&self, text: &str) -> String {
        self.secrets.iter().take(MAX_SECRETS).fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }
}

/// Cuts a long line around the column and says where the marks go. Tabs become one space, so that the marks fit.
fn cut(line: &str, place: Place) -> (String, Marker) {
    let chars: Vec<char> = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let column = place.column.saturating_sub(1).min(chars.len());
    let from = if chars.len() <= MAX_EXCERPT { 0 } else { column.saturating_sub(CONTEXT) };
    let to = (from + MAX_EXCERPT).min(chars.len());
    let before = if from > 0 { "…" } else { "" };
    let after = if to < chars.len() { "…" } else { "" };
    let excerpt = format!("{before}{}{after}", chars[from..to].iter().collect::<String>());
    let start = column - from + before.chars().count();
    let width = place.width.clamp(1, (to - column).max(1));
    (excerpt, Marker { start, width })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_cut_around_the_column() {
        let line = format!("{}HERE{}", "a".repeat(500), "b".repeat(500));
        let (excerpt, marker) = cut(&line, Place { line: 1, column: 501, width: 4 });
        let marked: String = excerpt.chars().skip(marker.start).take(marker.width).collect();
        assert_eq!(marked, "HERE");
        assert!(excerpt.chars().count() <= MAX_EXCERPT + 2);
    }

    #[test]
    fn a_secret_is_never_quoted() {
        let mut reporter = Reporter::new("f", "key: sk-12345");
        reporter.hide("sk-12345");
        reporter.report(Place { line: 1, column: 6, width: 8 }, finding("x", "found sk-12345", "not sk-12345"));
        let text = reporter.finish()[0].to_string();
        assert!(!text.contains("sk-12345"), "{text}");
    }

    #[test]
    fn there_is_an_end_to_problems() {
        let mut reporter = Reporter::new("f", "x");
        for _ in 0..2 * MAX_PROBLEMS {
            reporter.report(Place { line: 1, column: 1, width: 1 }, finding("x", "x", "x"));
        }
        assert_eq!(reporter.finish().len(), MAX_PROBLEMS);
    }
}
