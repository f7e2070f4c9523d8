//! Files of outcomes: what became of agents' work, as somebody measured it, one outcome a line, as CSV or as lines of JSON.
//!
//! Rule: a file is taken as a whole or not at all, and every problem says which line. Start at [`read_outcomes`].

use std::collections::BTreeMap;

use convoke_domain::outcome::{Case, Kind};
use convoke_domain::time::Timestamp;
use csv::{ErrorKind, StringRecord};
use serde_json::Value;

use crate::near::suggest;
use crate::problem::{Finding, Place, Problems, Reporter, finding};
use crate::word;

/// The most outcomes of one file.
const MAX_OUTCOMES: usize = 100_000;
/// The most bytes of a capability, a subject or a choice.
const MAX_TEXT: usize = 256;
/// Empty lines that are passed over in search of the next one.
const EMPTY_LINES: usize = 1_000;
/// What a line may say.
const FIELDS: [&str; 6] = ["agent", "outcome", "capability", "at", "subject", "choice"];

/// How a file of outcomes is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutcomeFormat {
    /// A head with the names of the fields, then values with commas between.
    Csv,
    /// An object on each line.
    JsonLines,
}

/// What is said of a file of outcomes beside its text.
#[derive(Debug, Clone, Copy)]
pub struct OutcomeFile<'a> {
    /// What it is called in messages.
    pub file: &'a str,
    /// How it is written.
    pub format: OutcomeFormat,
    /// By which lines without a subject are known, with their number.
    pub name: &'a str,
    /// Nothing in it is later.
    pub now: Timestamp,
}

/// Reads outcomes, each a comparison with what was right. Gives all of them, or every problem.
pub fn read_outcomes(of: OutcomeFile<'_>, text: &str) -> Result<Vec<Case>, Problems> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // Places count by the first of the two signs that end a line elsewhere.
    let text = &text.replace("\r\n", "\n");
    let mut reader = Reader { of, reporter: Reporter::new(of.file, text), seen: BTreeMap::new(), cases: Vec::new() };
    match of.format {
        OutcomeFormat::Csv => reader.csv(text),
        OutcomeFormat::JsonLines => reader.lines(text),
    }
    if reader.cases.is_empty() && reader.reporter.count() == 0 {
        let found = finding("bad_outcome", "the file has no outcomes", "write one on each line");
        reader.reporter.report(Place { line: 1, column: 1, width: 1 }, found);
    }
    let problems = Problems(reader.reporter.finish());
    if problems.0.is_empty() { Ok(reader.cases) } else { Err(problems) }
}

/// A field of a line, and the column at which it begins.
type Fields<'a> = BTreeMap<&'a str, (String, usize)>;

struct Reader<'a> {
    of: OutcomeFile<'a>,
    reporter: Reporter<'a>,
    /// Where each outcome was said first, by subject, agent and capability.
    seen: BTreeMap<(String, String, String), usize>,
    cases: Vec<Case>,
}

impl Reader<'_> {
    fn csv(&mut self, text: &str) {
        let mut reader = csv::ReaderBuilder::new().flexible(true).has_headers(false).from_reader(text.as_bytes());
        let mut head: Option<Vec<&'static str>> = None;
        for record in reader.records() {
            let record = match record {
                Ok(record) => record,
                Err(error) => return self.bad_csv(&error),
            };
            let line = self.first_line(record.position().map_or(1, |at| at.line()));
            match &head {
                None => match self.head(line, &record) {
                    Some(names) => head = Some(names),
                    None => return,
                },
                Some(names) => self.row(line, names, &record),
            }
            if self.is_full(line) {
                return;
            }
        }
    }

    /// The line that a record begins on; empty ones before it are passed over.
    fn first_line(&self, from: u64) -> usize {
        let from = usize::try_from(from).unwrap_or(1);
        let until = from.saturating_add(EMPTY_LINES);
        (from..until).find(|line| !self.reporter.line(*line).trim().is_empty()).unwrap_or(from)
    }

    fn bad_csv(&mut self, error: &csv::Error) {
        let line = error.position().map_or(1, |at| usize::try_from(at.line()).unwrap_or(1));
        let why = if matches!(error.kind(), ErrorKind::Utf8 { .. }) { "it is no UTF-8" } else { "it is no CSV" };
        let found = finding("bad_outcome", format!("this line cannot be read: {why}"), "write it as CSV in UTF-8");
        self.say(line, 1, found);
    }

    /// The names of the columns.
    fn head(&mut self, line: usize, record: &StringRecord) -> Option<Vec<&'static str>> {
        let (before, mut names) = (self.reporter.count(), Vec::new());
        for (place, said) in record.iter().enumerate() {
            let said = said.trim();
            let column = self.column(line, place);
            match FIELDS.iter().find(|name| **name == said) {
                Some(name) if names.contains(name) => {
                    let found = finding("bad_outcome", format!("two columns are called `{said}`"), "remove one");
                    self.say(line, column, found);
                }
                Some(name) => names.push(*name),
                None => self.say(line, column, unknown(said)),
            }
        }
        for name in ["agent", "outcome"].iter().filter(|name| !names.contains(name)) {
            let hint = format!("the first line names the columns, such as `{}`", FIELDS[..4].join(","));
            self.say(line, 1, finding("missing_field", format!("there is no column `{name}`"), hint));
        }
        (self.reporter.count() == before).then_some(names)
    }

    fn row(&mut self, line: usize, names: &[&'static str], record: &StringRecord) {
        if record.len() != names.len() {
            let message = format!("this line has {} fields, and the first has {}", record.len(), names.len());
            let hint = "put a comma between fields, also between empty ones, and quotes around a comma in a field";
            return self.say(line, 1, finding("bad_outcome", message, hint));
        }
        let cells = names.iter().zip(record).enumerate();
        let fields = cells.map(|(place, (name, said))| (*name, (said.trim().to_owned(), self.column(line, place))));
        let fields = fields.collect();
        self.take(line, &fields);
    }

    /// The column at which the field of that number begins on its line; quotes hold commas.
    fn column(&self, line: usize, place: usize) -> usize {
        let (mut left, mut quoted) = (place, false);
        for (at, c) in self.reporter.line(line).chars().enumerate() {
            if left == 0 {
                return at + 1;
            }
            match c {
                '"' => quoted = !quoted,
                ',' if !quoted => left -= 1,
                _ => {}
            }
        }
        if left == 0 { self.reporter.line(line).chars().count() + 1 } else { 1 }
    }

    fn lines(&mut self, text: &str) {
        for (place, said) in text.lines().enumerate() {
            let line = place + 1;
            if said.trim().is_empty() {
                continue;
            }
            match serde_json::from_str::<Value>(said) {
                Ok(Value::Object(object)) => self.object(line, &object),
                Ok(_) => self.say(line, 1, finding("bad_outcome", "this line is no JSON object", example())),
                Err(error) => {
                    let why = error.to_string();
                    let why = why.split(" at line ").next().unwrap_or_default();
                    self.say(
                        line,
                        error.column(),
                        finding("bad_outcome", format!("this is no JSON: {why}"), example()),
                    );
                }
            }
            if self.is_full(line) {
                return;
            }
        }
    }

    fn object(&mut self, line: usize, object: &serde_json::Map<String, Value>) {
        let before = self.reporter.count();
        let mut fields = Fields::new();
        for (name, value) in object {
            let sought = serde_json::to_string(name).unwrap_or_default();
            let at = self.reporter.line(line).find(&sought).unwrap_or(0);
            let column = self.reporter.line(line)[..at].chars().count() + 1;
            let Some(name) = FIELDS.iter().find(|field| *field == name) else {
                self.say(line, column, unknown(name));
                continue;
            };
            match value {
                Value::Null => {}
                Value::String(text) => drop(fields.insert(name, (text.trim().to_owned(), column))),
                Value::Number(number) if matches!(*name, "outcome" | "choice") => {
                    fields.insert(name, (number.to_string(), column));
                }
                _ => self.say(line, column, finding("bad_outcome", format!("`{name}` must be a text"), example())),
            }
        }
        if self.reporter.count() == before {
            self.take(line, &fields);
        }
    }

    /// Takes down the outcome of a line, or what is wrong with it.
    fn take(&mut self, line: usize, fields: &Fields<'_>) {
        let before = self.reporter.count();
        let text = |name: &str| fields.get(name).filter(|(text, _)| !text.is_empty());
        for (name, hint) in [("agent", "say whose it was: an agent's name"), ("outcome", NO_OUTCOME)] {
            if text(name).is_none() {
                let column = fields.get(name).map_or(1, |(_, column)| *column);
                self.say(line, column, finding("missing_field", format!("this line has no `{name}`"), hint));
            }
        }
        for (name, (text, column)) in fields {
            let found = match *name {
                "agent" => word::name(text, "`agent`").filter(|_| !text.is_empty()),
                _ if text.len() > MAX_TEXT => Some(too_long(name, text.len())),
                _ => None,
            };
            found.into_iter().for_each(|found| self.say(line, *column, found));
        }
        let value = text("outcome").and_then(|(said, column)| self.right(line, *column, said));
        let at = text("at").map_or(Some(Timestamp::default()), |(said, column)| self.time(line, *column, said));
        if let Some((_, column)) = text("choice").filter(|_| text("subject").is_none()) {
            let hint = "name what it is about, the same for all who chose: `subject`";
            self.say(line, *column, finding("missing_field", "a choice without a `subject` teaches nothing", hint));
        }
        let (Some(value), Some(at)) = (value, at) else { return };
        if self.reporter.count() == before {
            self.add(line, fields, (value, at));
        }
    }

    fn add(&mut self, line: usize, fields: &Fields<'_>, (value, at): (f64, Timestamp)) {
        let text = |name: &str| fields.get(name).map(|(text, _)| text.clone()).unwrap_or_default();
        let own = || format!("{}:{line}", self.of.name);
        let subject = Some(text("subject")).filter(|text| !text.is_empty()).unwrap_or_else(own);
        let key = (subject.clone(), text("agent"), text("capability"));
        if let Some(first) = self.seen.get(&key) {
            let message = format!("line {first} says what became of the same subject, agent and capability");
            return self.say(line, 1, finding("bad_outcome", message, "remove one of the two lines"));
        }
        let (_, agent, capability) = key.clone();
        let choice = Some(text("choice")).filter(|text| !text.is_empty());
        self.seen.insert(key, line);
        self.cases.push(Case { subject, agent, capability, kind: Kind::Gold, value, choice, at });
    }

    /// `right`, `wrong`, or how right from 0 to 1.
    fn right(&mut self, line: usize, column: usize, said: &str) -> Option<f64> {
        let value = match said {
            "right" => Some(1.0),
            "wrong" => Some(0.0),
            other => other.parse().ok().filter(|value| (0.0..=1.0).contains(value)),
        };
        if value.is_none() {
            let message = format!("`outcome` is `{said}`");
            self.say(line, column, finding("bad_outcome", message, NO_OUTCOME));
        }
        value
    }

    /// An instant, or a day.
    fn time(&mut self, line: usize, column: usize, said: &str) -> Option<Timestamp> {
        let read = |text: String| serde_json::from_value::<Timestamp>(Value::String(text)).ok();
        let at = read(said.to_owned()).or_else(|| read(format!("{said}T00:00:00Z")));
        let found = match at {
            Some(at) if at > self.of.now => {
                finding("bad_time", format!("`at` is `{said}`, which is still to come"), NO_TIME)
            }
            Some(at) if at <= Timestamp::default() => {
                finding("bad_time", format!("`at` is `{said}`, before 1970"), NO_TIME)
            }
            Some(at) => return Some(at),
            None => finding("bad_time", format!("`at` is `{said}`, which is no time"), NO_TIME),
        };
        self.say(line, column, found);
        None
    }

    fn is_full(&mut self, line: usize) -> bool {
        let is_full = self.cases.len() > MAX_OUTCOMES;
        if is_full {
            let message = format!("the file has more than {MAX_OUTCOMES} outcomes");
            self.say(line, 1, finding("too_many_outcomes", message, "split it, or leave the oldest out"));
        }
        is_full
    }

    fn say(&mut self, line: usize, column: usize, found: Finding) {
        self.reporter.report(Place { line, column, width: 1 }, found);
    }
}

/// What to write for an outcome.
const NO_OUTCOME: &str = "write `right`, `wrong`, or how right it was, from 0 to 1";
/// What to write for a time.
const NO_TIME: &str =
    "write a day, such as `2026-11-01`, or a time, such as `2026-11-01T14:30:00Z`; without it, now counts";

fn unknown(name: &str) -> Finding {
    finding("unknown_field", format!("there is no field `{name}`"), suggest(name, FIELDS, ""))
}

fn too_long(name: &str, bytes: usize) -> Finding {
    finding("bad_outcome", format!("`{name}` has {bytes} bytes; the most is {MAX_TEXT}"), "say it shorter")
}

fn example() -> &'static str {
    r#"for example {"agent": "logs-specialist", "outcome": "right"}"#
}
