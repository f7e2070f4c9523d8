//! `patch_file`: replaces an exact piece of a file.
//!
//! Rule: the same call (same key) applied twice changes the file once. Before the change a note is written durably to
//! `.convoke/patch/`: a hash of the file before and after. A repeated call finds the note and the file and knows which it is.

use std::io::Read;
use std::path::PathBuf;

use convoke_port::tool::{ToolError, ToolOutput};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::fence::Pass;
use super::ground::{Area, Ground, OWN, Spot, failed, writable};
use super::write::{replace, turn};
use crate::tool::argument::Arguments;
use crate::tool::job::{Job, said};

/// What a model is told about it.
pub(crate) const DESCRIPTION: &str = "Replace a piece of a text file in your working folder. `old` must be there exactly, with its \
    spaces and line ends, as often as `expected_count` says (once if absent); else nothing is changed. Take enough lines \
    around the place to make `old` unique. Do not copy the line numbers that read_file shows.";

/// The schema of its arguments.
pub(crate) fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "path": {"type": "string", "description": "The file, for example `report.md`."},
            "old": {"type": "string", "description": "The text to replace, exactly as it is in the file."},
            "new": {"type": "string", "description": "The text to put there; empty to delete."},
            "expected_count": {"type": "integer", "minimum": 1, "maximum": 1000,
                "description": "How often `old` must be there; all are replaced. 1 if absent."},
        },
        "required": ["path", "old", "new"],
        "additionalProperties": false,
    })
}

/// Patches.
pub(crate) fn run(job: &Job) -> Result<ToolOutput, ToolError> {
    let limits = &job.limits.file;
    let arguments = Arguments::read("patch_file", &job.arguments, &["path", "old", "new", "expected_count"])?;
    arguments.text("path")?;
    let spot = Spot::read(&arguments, "path", limits)?;
    writable(&spot)?;
    let (old, new) = (arguments.text("old")?, arguments.text("new")?);
    let expected = arguments.number("expected_count", 1, 1, 1_000)? as usize;
    if old.is_empty() || old == new {
        return Err(arguments.wrong("old", "is empty or the same as `new`"));
    }
    if new.len() > limits.write_bytes {
        return Err(arguments.wrong("new", &format!("is longer than {} bytes", limits.write_bytes)));
    }
    let ground = Ground::open(job)?;
    let _turn = turn(job, &spot);
    let pass = Pass::take(job, &ground, &spot)?;
    let before = content(&ground, &spot, limits.patch_bytes)?;
    let note = Note::of(job, &spot);
    if let Some(answer) = note.earlier(&ground, &spot, &before)? {
        return Ok(answer);
    }
    let after = Change { old, new, expected }.apply(&before, &spot, limits.patch_bytes)?;
    job.check()?;
    note.write(&ground, &before, &after)?;
    pass.in_time()?;
    replace(&ground, &spot, after.as_bytes())?;
    Ok(said(done(&spot, expected)))
}

fn done(spot: &Spot, count: usize) -> String {
    format!("Replaced {count} {} in `{}`.", if count == 1 { "piece" } else { "pieces" }, spot.shown())
}

fn content(ground: &Ground, spot: &Spot, most: usize) -> Result<String, ToolError> {
    let (file, size) = ground.file(spot)?;
    if size > most as u64 {
        return Err(ToolError::Refused(format!("`{}` has {size} bytes; {most} can be patched", spot.shown())));
    }
    let mut text = String::new();
    file.take(most as u64 + 1)
        .read_to_string(&mut text)
        .map_err(|error| ToolError::Failed(format!("`{}` cannot be patched: {error}", spot.shown())))?;
    Ok(text)
}

/// What to replace, by what, how often.
struct Change<'a> {
    old: &'a str,
    new: &'a str,
    expected: usize,
}

impl Change<'_> {
    /// The text with the change, at most `most` bytes.
    fn apply(&self, before: &str, spot: &Spot, most: usize) -> Result<String, ToolError> {
        let count = before.matches(self.old).count();
        if count != self.expected {
            let hint = match count {
                0 if before.contains(self.old.trim()) => "it is there with other spaces or line ends around it",
                0 => "read the file and copy the text exactly",
                _ => "take more lines around the place, or set `expected_count`",
            };
            return Err(ToolError::Failed(format!(
                "`old` is in `{}` {count} times, not {}; nothing was changed; {hint}",
                spot.shown(),
                self.expected
            )));
        }
        let size = before.len() - count * self.old.len() + count * self.new.len();
        if size > most {
            return Err(ToolError::Refused(format!("`{}` would have {size} bytes; {most} are allowed", spot.shown())));
        }
        Ok(before.replace(self.old, self.new))
    }
}

/// What is remembered of a patch.
struct Note {
    spot: Spot,
}

impl Note {
    fn of(job: &Job, spot: &Spot) -> Self {
        let mut hash = Sha256::new();
        for part in [job.key.as_str(), &spot.shown(), &job.arguments.to_string()] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let name = hex(&hash.finalize());
        Self { spot: Spot { area: Area::Work, relative: PathBuf::from(OWN).join("patch").join(name) } }
    }

    /// The answer if this very call has been here before.
    fn earlier(&self, ground: &Ground, spot: &Spot, now: &str) -> Result<Option<ToolOutput>, ToolError> {
        let Ok((file, _)) = ground.file(&self.spot) else { return Ok(None) };
        let mut note = String::new();
        file.take(1_000).read_to_string(&mut note).map_err(|_| failed(&self.spot, rustix::io::Errno::IO))?;
        let Some((before, after)) = note.split_once(' ') else { return Ok(None) };
        let now = hex(&Sha256::digest(now));
        if now == after {
            return Ok(Some(said(format!("`{}` has this change already.", spot.shown()))));
        }
        if now == before {
            return Ok(None);
        }
        Err(ToolError::Failed(format!(
            "this call was begun before an interruption and `{}` has changed since; nothing was done now; read the file before you go on",
            spot.shown()
        )))
    }

    fn write(&self, ground: &Ground, before: &str, after: &str) -> Result<(), ToolError> {
        let text = format!("{} {}", hex(&Sha256::digest(before)), hex(&Sha256::digest(after)));
        replace(ground, &self.spot, text.as_bytes())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
