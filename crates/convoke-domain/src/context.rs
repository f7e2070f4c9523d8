//! Shared context: what the members of a run write for each other. Variables are written by compare-and-set, findings are
//! added; each entry has a version, an author and a history.
//!
//! Rule: whoever writes names the version that was read, so no write undoes another unseen. Start at [`write`] and [`add`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::material::{head_of, one_line, quoted, shown, tokens};
use crate::refusal::Refusal;
use crate::time::Timestamp;

/// Bytes of a variable's name.
pub const MAX_NAME: usize = 128;
/// Bytes of a variable's value.
pub const MAX_VALUE: usize = 16 * 1024;
/// Variables and findings of a run.
pub const MAX_ENTRIES: i64 = 1_000;
/// Bytes of all entries of a run as they stand.
pub const MAX_BYTES: i64 = 1024 * 1024;
/// Bytes of all that was ever written into the context of a run, its history.
pub const MAX_WRITTEN: i64 = 16 * 1024 * 1024;
/// Bytes of a finding's text.
pub const MAX_FINDING: usize = 8 * 1024;
/// Bytes of a finding's evidence.
pub const MAX_EVIDENCE: usize = 2 * 1024;
/// Tags of a finding or memory entry.
pub const MAX_TAGS: usize = 8;
/// Bytes of a tag.
pub const MAX_TAG: usize = 40;
/// Bytes of the value that the answer to a conflict shows.
const SHOWN: usize = 1_000;

/// A variable as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// How often it was written.
    pub version: i64,
    /// Its value; nothing once it is removed.
    pub value: Option<String>,
    /// Who wrote it last: `agent:NAME`, `user:NAME`.
    pub author: String,
    /// When.
    pub at: Timestamp,
}

/// How much the context of a run holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Size {
    /// Variables and findings.
    pub entries: i64,
    /// Findings alone; the last one's number.
    pub findings: i64,
    /// Bytes as they stand.
    pub bytes: i64,
    /// Bytes ever written.
    pub written: i64,
}

/// What somebody wants a variable to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Write {
    /// The variable.
    pub name: String,
    /// Its new value; nothing removes it.
    pub value: Option<String>,
    /// The version that was read; 0 for a variable that is not there.
    pub version: i64,
}

/// How sure the author is of a finding.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// A guess; it stays in the run.
    Low,
    /// Likely.
    #[default]
    Medium,
    /// Shown by its evidence.
    High,
}

impl Confidence {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// Something a member found out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// What was found, so that it can be understood alone.
    pub text: String,
    /// Where it can be seen: file and line, time, query.
    #[serde(default)]
    pub evidence: String,
    /// How sure the author is.
    #[serde(default)]
    pub confidence: Confidence,
    /// Words to find it by.
    #[serde(default)]
    pub tags: Vec<String>,
}

/// Writes a variable: gives its new version and what the context holds then.
pub fn write(held: Option<&Held>, size: Size, wish: &Write) -> Result<(i64, Size), Refusal> {
    check_name(&wish.name)?;
    let stands = held.map_or(0, |held| held.version);
    let was = held.and_then(|held| held.value.as_deref());
    if wish.version != stands && !(wish.version == 0 && was.is_none()) {
        return Err(stale(held, wish));
    }
    if was.is_none() && wish.value.is_none() {
        let message = format!("there is no variable `{}` to remove", wish.name);
        return Err(Refusal::new("no_variable", message).hint("read the context to see which variables there are"));
    }
    let (before, after) = (bytes_of(&wish.name, was), bytes_of(&wish.name, wish.value.as_deref()));
    check_value(&wish.name, wish.value.as_deref())?;
    let entries = i64::from(wish.value.is_some()) - i64::from(was.is_some());
    let size = grown(size, entries, after - before, after.max(len(&wish.name)))?;
    Ok((stands + 1, size))
}

/// Adds a finding: gives its number and what the context holds then.
pub fn add(size: Size, finding: &Finding) -> Result<(i64, Size), Refusal> {
    check_finding(finding)?;
    let bytes = len(&finding.text) + len(&finding.evidence) + finding.tags.iter().map(|tag| len(tag)).sum::<i64>();
    let mut size = grown(size, 1, bytes, bytes)?;
    size.findings += 1;
    Ok((size.findings, size))
}

/// The name of finding number `n`; in the order of names they are in the order of their numbers.
pub fn finding_name(n: i64) -> String {
    format!("f{n:04}")
}

/// Bytes of one entry as an opening shows it.
const BRIEF: usize = 600;

/// Variables and findings as an agent reads them in its opening: quoted, variables in at most half of `limit` tokens, then
/// the findings as they are given, as many as fit.
pub fn render(variables: &[(String, Held)], findings: &[(String, String, Finding)], limit: usize) -> String {
    let mut out = String::new();
    let mut add = |text: String, limit: usize| {
        let fits = tokens(&out) + tokens(&text) <= limit;
        if fits {
            out.push_str(&text);
        }
        fits
    };
    for (name, held) in variables {
        let Some(value) = &held.value else { continue };
        let text =
            format!("`{name}`, version {}, by {}:\n{}", held.version, one_line(&held.author, 80), quoted(value, BRIEF));
        if !add(text, limit / 2) {
            break;
        }
    }
    for (name, author, finding) in findings {
        let head = format!("Finding {name}, confidence {}, by {}:", finding.confidence.as_str(), one_line(author, 80));
        let evidence = if finding.evidence.is_empty() {
            String::new()
        } else {
            quoted(&format!("Evidence: {}", finding.evidence), BRIEF)
        };
        if !add(format!("{head}\n{}{evidence}", quoted(&finding.text, BRIEF)), limit) {
            break;
        }
    }
    out
}

fn len(text: &str) -> i64 {
    i64::try_from(text.len()).unwrap_or(i64::MAX)
}

fn bytes_of(name: &str, value: Option<&str>) -> i64 {
    value.map_or(0, |value| len(value).saturating_add(len(name)))
}

fn stale(held: Option<&Held>, wish: &Write) -> Refusal {
    let Some(held) = held else {
        let message = format!("`{}` is not there, so it has no version {}", wish.name, wish.version);
        return Refusal::new("stale_version", message).hint("write it with version 0, which makes it");
    };
    let value = held.value.as_deref().map_or_else(
        || "it was removed".to_owned(),
        |value| {
            let cut = head_of(value, SHOWN);
            let more =
                if cut.len() < value.len() { format!(" [… {} bytes in all]", value.len()) } else { String::new() };
            format!("its value is now: {cut}{more}")
        },
    );
    let message = format!(
        "`{}` is at version {}, not {}: {} wrote it at {}; {value}",
        wish.name, held.version, wish.version, held.author, held.at
    );
    let hint = format!("decide again in view of that value, and write with version {}", held.version);
    Refusal::new("stale_version", message).hint(hint)
}

/// Whether a variable may have this name.
pub fn check_name(name: &str) -> Result<(), Refusal> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    let begins = name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    if name.len() <= MAX_NAME && begins && name.chars().all(fits) {
        return Ok(());
    }
    let message = match name.len() {
        0 => "a variable needs a name".to_owned(),
        1..=MAX_NAME => format!("`{}` cannot be the name of a variable", shown(name)),
        bytes => format!("a variable's name has at most {MAX_NAME} bytes; this one has {bytes}"),
    };
    let hint = "begin with a letter or digit and go on with letters, digits and `_ - . /`, such as `db/primary`";
    Err(Refusal::new("bad_name", message).hint(hint))
}

fn check_value(name: &str, value: Option<&str>) -> Result<(), Refusal> {
    too_long(&format!("the value of `{name}`"), value.map_or(0, str::len), MAX_VALUE)
}

/// Whether a finding may be added, apart from the room there is for it.
pub fn check_finding(finding: &Finding) -> Result<(), Refusal> {
    if finding.text.trim().is_empty() {
        return Err(Refusal::new("empty", "a finding needs a text").hint("say what was found, in a sentence or more"));
    }
    too_long("a finding", finding.text.len(), MAX_FINDING)?;
    too_long("the evidence of a finding", finding.evidence.len(), MAX_EVIDENCE)?;
    check_tags(&finding.tags)
}

/// Whether these may be tags.
pub fn check_tags(tags: &[String]) -> Result<(), Refusal> {
    if tags.len() > MAX_TAGS {
        let message = format!("an entry has at most {MAX_TAGS} tags; this one has {}", tags.len());
        return Err(Refusal::new("too_many_tags", message).hint("keep those that somebody would search for"));
    }
    let fits = |c: char| c.is_alphanumeric() || "_-.".contains(c);
    let bad = tags.iter().find(|tag| tag.is_empty() || tag.len() > MAX_TAG || !tag.chars().all(fits));
    bad.map_or(Ok(()), |tag| {
        let message = format!("`{}` cannot be a tag", shown(tag));
        Err(Refusal::new("bad_tag", message)
            .hint(format!("a tag has letters, digits and `_ - .`, at most {MAX_TAG} bytes")))
    })
}

/// The refusal of what has more bytes than it may have.
pub fn too_long(what: &str, bytes: usize, most: usize) -> Result<(), Refusal> {
    if bytes <= most {
        return Ok(());
    }
    let message = format!("{what} has {bytes} bytes; the most is {most}");
    Err(Refusal::new("too_large", message).hint("write it to a file and keep the path and a summary here"))
}

fn grown(size: Size, entries: i64, bytes: i64, written: i64) -> Result<Size, Refusal> {
    let grown = Size {
        entries: size.entries + entries,
        findings: size.findings,
        bytes: size.bytes + bytes,
        written: size.written + written,
    };
    let full = |message: String, hint: &str| Err(Refusal::new("context_full", message).hint(hint));
    if entries > 0 && grown.entries > MAX_ENTRIES {
        return full(
            format!("the run's shared context has {} entries, and {MAX_ENTRIES} is the most", size.entries),
            "remove variables that nobody needs any more",
        );
    }
    if bytes > 0 && grown.bytes > MAX_BYTES {
        return full(
            format!("the run's shared context has {} bytes; {bytes} more would be above {MAX_BYTES}", size.bytes),
            "remove or shorten variables that nobody needs any more",
        );
    }
    if grown.written > MAX_WRITTEN {
        return full(
            format!(
                "{} bytes were written to the run's shared context and are kept as its history; {MAX_WRITTEN} is the most",
                size.written
            ),
            "give back the rest as your answer",
        );
    }
    Ok(grown)
}

#[cfg(test)]
mod tests;
