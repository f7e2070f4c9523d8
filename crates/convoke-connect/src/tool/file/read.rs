//! `read_file`: a file's lines with their numbers.

use convoke_port::tool::{ToolError, ToolOutput};
use serde_json::{Value, json};

use super::ground::{Ground, Spot, failed};
use super::line::{self, Lines};
use crate::tool::argument::Arguments;
use crate::tool::job::{Job, said};
use crate::tool::limits::ToolLimits;

/// What a model is told about it.
pub(crate) const DESCRIPTION: &str = "Read a text file and get its lines with their numbers. Files under `input/` are the \
    material of the task; other paths are files of your own working folder. Long files come in parts: give `offset` to go on. \
    To find something in large files use search_files; for questions about CSV, TSV or JSON-lines use query_table.";

/// The schema of its arguments.
pub(crate) fn schema() -> Value {
    let limits = ToolLimits::default().file;
    json!({
        "type": "object",
        "properties": {
            "path": {"type": "string", "description": "The file, for example `input/app.log` or `notes.md`."},
            "offset": {"type": "integer", "minimum": 1, "description": "The first line to read; 1 if absent."},
            "limit": {"type": "integer", "minimum": 1, "maximum": limits.read_lines_max,
                "description": format!("The most lines to read; {} if absent.", limits.read_lines)},
        },
        "required": ["path"],
        "additionalProperties": false,
    })
}

/// Reads.
pub(crate) fn run(job: &Job) -> Result<ToolOutput, ToolError> {
    let limits = &job.limits.file;
    let arguments = Arguments::read("read_file", &job.arguments, &["path", "offset", "limit"])?;
    arguments.text("path")?;
    let spot = Spot::read(&arguments, "path", limits)?;
    let offset = arguments.number("offset", 1, 0, u64::MAX)?.max(1);
    let limit = arguments.number("limit", limits.read_lines as u64, 1, limits.read_lines_max as u64)?;
    let (file, size) = Ground::open(job)?.file(&spot)?;
    if size > limits.file_bytes {
        return Err(ToolError::Refused(format!(
            "`{}` has {size} bytes; {} can be read",
            spot.shown(),
            limits.file_bytes
        )));
    }
    let mut lines = Lines::new(file);
    if lines.is_binary().map_err(|error| broken(&spot, &error))? {
        return Err(ToolError::Failed(format!("`{}` is a binary file of {size} bytes", spot.shown())));
    }
    numbered(job, &spot, &mut lines, offset, offset.saturating_add(limit))
}

/// The lines from `first` up to, not including, `end`, and a note about what is left.
fn numbered(
    job: &Job,
    spot: &Spot,
    lines: &mut Lines<std::fs::File>,
    first: u64,
    end: u64,
) -> Result<ToolOutput, ToolError> {
    let room = job.limits.output_bytes;
    let (mut text, mut total, mut next) = (String::new(), 0u64, first);
    while let Some((line, length)) = lines.next().map_err(|error| broken(spot, &error))? {
        total += 1;
        if total.is_multiple_of(1_000) {
            job.check()?;
        }
        // `next` only moves on while lines are taken without a gap.
        if total == next && total < end {
            let row = format!("{total}\t{}\n", line::shown(line, length, 0, job.limits.file.line_bytes));
            if text.len() + row.len() <= room {
                text.push_str(&row);
                next += 1;
            }
        }
    }
    if total == 0 {
        return Ok(said(format!("`{}` is empty.", spot.shown())));
    }
    if first > total {
        return Err(ToolError::Failed(format!("`{}` has {total} lines; `offset` is {first}", spot.shown())));
    }
    if next <= total {
        text.push_str(&format!("[lines {first} to {} of {total}; go on with offset {next}]", next - 1));
    }
    Ok(said(text))
}

fn broken(spot: &Spot, error: &std::io::Error) -> ToolError {
    failed(spot, rustix::io::Errno::from_io_error(error).unwrap_or(rustix::io::Errno::IO))
}
