//! `search_files`: lines that match a pattern.
//!
//! Rule: the first line of the answer counts everything; what is shown and what was passed over is said.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::time::Instant;

use convoke_port::tool::{ToolError, ToolOutput};
use regex::bytes::{Regex, RegexBuilder};
use serde_json::{Value, json};

use super::ground::{Ground, Spot};
use super::line::{self, Lines};
use super::walk::{Kind, Walk};
use super::wanted::Wanted;
use crate::tool::argument::Arguments;
use crate::tool::job::{Job, said};
use crate::tool::limits::ToolLimits;

/// What a model is told about it.
pub(crate) const DESCRIPTION: &str = "Search files for lines that match a regular expression (Rust syntax; begin with `(?i)` \
    to ignore case). The first line of the answer counts all matches, then come `path:line: text`. Without `path` it searches \
    your working folder and `input/`, the material of the task.";

/// The schema of its arguments.
pub(crate) fn schema() -> Value {
    let limits = ToolLimits::default().file;
    json!({
        "type": "object",
        "properties": {
            "pattern": {"type": "string", "description": "The regular expression, for example `(?i)timeout|refused`."},
            "path": {"type": "string", "description": "A file or folder to search; everything if absent."},
            "glob": {"type": "string", "description": "Which files: `*.log` by name, `logs/**/*.csv` by path."},
            "max_matches": {"type": "integer", "minimum": 1, "maximum": limits.search_matches_max, "description":
                format!("The most matches to show; {} if absent.", limits.search_matches)},
            "context": {"type": "integer", "minimum": 0, "maximum": limits.search_context_max,
                "description": "Lines to show before and after each match; 0 if absent."},
        },
        "required": ["pattern"],
        "additionalProperties": false,
    })
}

/// Searches.
pub(crate) fn run(job: &Job) -> Result<ToolOutput, ToolError> {
    let limits = &job.limits.file;
    let known = ["pattern", "path", "glob", "max_matches", "context"];
    let arguments = Arguments::read("search_files", &job.arguments, &known)?;
    let pattern = pattern(&arguments, limits.pattern_bytes)?;
    let start = Spot::read(&arguments, "path", limits)?;
    let wanted = Wanted::read(&arguments, &start.shown())?;
    let most = arguments.number("max_matches", limits.search_matches as u64, 1, limits.search_matches_max as u64)?;
    let context = arguments.number("context", 0, 0, limits.search_context_max as u64)?;
    let ground = Ground::open(job)?;
    let mut search = Search::new(job, &ground, pattern, most as usize, context as usize);
    if !start.is_root() && ground.file(&start).is_ok() {
        search.file(&start)?;
        return Ok(said(search.finish(true)));
    }
    let whole = Walk::new(&ground, job, limits.walk_depth).go(&start, &mut |entry| {
        if matches!(entry.kind, Kind::File(_)) && wanted.means(&entry.spot.shown()) {
            search.file(&entry.spot)?;
        }
        Ok(if search.stopped.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(said(search.finish(whole)))
}

fn pattern(arguments: &Arguments<'_>, most: usize) -> Result<Regex, ToolError> {
    let text = arguments.text("pattern")?;
    if text.is_empty() {
        return Err(arguments.wrong("pattern", "is empty"));
    }
    RegexBuilder::new(text).size_limit(most).dfa_size_limit(4 * most).build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => arguments.wrong("pattern", "is too large once compiled; make it simpler"),
        error => {
            let error = error.to_string();
            arguments.wrong("pattern", &format!("is not a regular expression: {}", error.lines().last().unwrap_or("")))
        }
    })
}

struct Search<'a> {
    job: &'a Job,
    ground: &'a Ground,
    pattern: Regex,
    most: usize,
    context: usize,
    until: Instant,
    text: String,
    shown: usize,
    matches: u64,
    files_with: u64,
    files: u64,
    binary: u64,
    large: u64,
    bytes: u64,
    stopped: Option<&'static str>,
}

impl<'a> Search<'a> {
    fn new(job: &'a Job, ground: &'a Ground, pattern: Regex, most: usize, context: usize) -> Self {
        Self {
            job,
            ground,
            pattern,
            most,
            context,
            until: Instant::now() + job.limits.file.search_time,
            text: String::new(),
            shown: 0,
            matches: 0,
            files_with: 0,
            files: 0,
            binary: 0,
            large: 0,
            bytes: 0,
            stopped: None,
        }
    }

    /// Searches one file; one that cannot be read is passed over.
    fn file(&mut self, spot: &Spot) -> Result<(), ToolError> {
        let Ok((file, size)) = self.ground.file(spot) else { return Ok(()) };
        if size > self.job.limits.file.file_bytes {
            self.large += 1;
            return Ok(());
        }
        let mut lines = Lines::new(file);
        if lines.is_binary().unwrap_or(true) {
            self.binary += 1;
            return Ok(());
        }
        self.files += 1;
        let before = self.matches;
        let done = self.lines(spot, &mut lines);
        self.bytes += lines.read;
        self.files_with += u64::from(self.matches > before);
        done
    }

    fn lines(&mut self, spot: &Spot, lines: &mut Lines<std::fs::File>) -> Result<(), ToolError> {
        let path = spot.row();
        // Lines before a match, not yet shown; and how many after one are still to be shown.
        let mut earlier: VecDeque<(u64, String)> = VecDeque::new();
        let mut after = 0;
        let mut number = 0u64;
        loop {
            if number.is_multiple_of(1_000) && self.must_stop(lines.read)? {
                return Ok(());
            }
            let Ok(Some((line, length))) = lines.next() else { return Ok(()) };
            number += 1;
            let found = self.pattern.find(line).map(|found| found.start());
            if let Some(at) = found {
                self.matches += 1;
                if self.shown < self.most {
                    for (number, text) in earlier.drain(..) {
                        self.push(&format!("{path}-{number}- {text}\n"));
                    }
                    let text = line::shown(line, length, self.window(at), self.job.limits.file.line_bytes);
                    self.shown += usize::from(self.push(&format!("{path}:{number}: {text}\n")));
                    after = self.context;
                }
            } else if self.context > 0 {
                let text = line::shown(line, length, 0, self.job.limits.file.line_bytes / 4);
                if after > 0 {
                    after -= 1;
                    self.push(&format!("{path}-{number}- {text}\n"));
                } else if self.shown < self.most {
                    earlier.push_back((number, text));
                    if earlier.len() > self.context {
                        earlier.pop_front();
                    }
                }
            }
        }
    }

    /// Where to begin showing a line so that a match far to the right is seen.
    fn window(&self, at: usize) -> usize {
        if at < self.job.limits.file.line_bytes / 2 { 0 } else { at - self.job.limits.file.line_bytes / 4 }
    }

    fn push(&mut self, row: &str) -> bool {
        if self.text.len() + row.len() > self.job.limits.output_bytes.saturating_sub(500) {
            // Full: count on, show nothing more.
            self.most = self.shown;
            return false;
        }
        self.text.push_str(row);
        true
    }

    fn must_stop(&mut self, read: u64) -> Result<bool, ToolError> {
        self.job.check()?;
        if self.bytes + read > self.job.limits.file.search_bytes {
            self.stopped = Some("too many bytes");
        } else if Instant::now() > self.until {
            self.stopped = Some("out of time");
        }
        Ok(self.stopped.is_some())
    }

    fn finish(self, whole: bool) -> String {
        let plural = |n: u64, one: &str, many: &str| format!("{n} {}", if n == 1 { one } else { many });
        let mut head = format!(
            "{} in {} ({} searched",
            plural(self.matches, "match", "matches"),
            plural(self.files_with, "file", "files"),
            self.files
        );
        let mut note = |n: u64, what: &str| {
            if n > 0 {
                head.push_str(&format!(", {n} {what}"));
            }
        };
        note(self.binary, "binary passed over");
        note(self.large, "too large passed over");
        head.push(')');
        if (self.shown as u64) < self.matches {
            head.push_str(&format!("; the first {} are shown", self.shown));
        }
        match self.stopped {
            Some(why) => head.push_str(&format!("; stopped: {why}, narrow it down with `path` or `glob`")),
            None if !whole => head.push_str("; stopped: too many files, narrow it down with `path`"),
            None => {}
        }
        format!("{head}\n{}", self.text)
    }
}
