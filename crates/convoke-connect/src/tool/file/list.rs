//! `list_files`: what is in a folder.

use std::ops::ControlFlow;

use convoke_port::tool::{ToolError, ToolOutput};
use serde_json::{Value, json};

use super::ground::{Ground, Spot};
use super::walk::{Entry, Kind, Walk};
use super::wanted::Wanted;
use crate::tool::argument::Arguments;
use crate::tool::job::{Job, said};
use crate::tool::limits::ToolLimits;

/// What a model is told about it.
pub(crate) const DESCRIPTION: &str = "List files and folders with their sizes. Without `path` it lists your working folder and \
    `input/`, the material of the task. With `glob` only the files that match are listed, at any depth.";

/// The schema of its arguments.
pub(crate) fn schema() -> Value {
    let limits = ToolLimits::default().file;
    json!({
        "type": "object",
        "properties": {
            "path": {"type": "string", "description": "The folder, for example `input/logs`; everything if absent."},
            "glob": {"type": "string", "description": "Which files: `*.log` by name, `logs/**/*.csv` by path."},
            "depth": {"type": "integer", "minimum": 0, "maximum": limits.walk_depth, "description":
                format!("Folders to go down; {} if absent, all of them with `glob`.", limits.list_depth)},
        },
        "additionalProperties": false,
    })
}

/// Lists.
pub(crate) fn run(job: &Job) -> Result<ToolOutput, ToolError> {
    let limits = &job.limits.file;
    let arguments = Arguments::read("list_files", &job.arguments, &["path", "glob", "depth"])?;
    let start = Spot::read(&arguments, "path", limits)?;
    let wanted = Wanted::read(&arguments, &start.shown())?;
    let default = if wanted.is_any() { limits.list_depth } else { limits.walk_depth };
    let depth = arguments.number("depth", default as u64, 0, limits.walk_depth as u64)? as usize;
    let ground = Ground::open(job)?;
    let (mut listed, mut more) = (Listing::new(job), 0usize);
    let whole = Walk::new(&ground, job, depth).go(&start, &mut |entry| {
        let is_wanted = if wanted.is_any() {
            true
        } else {
            matches!(entry.kind, Kind::File(_)) && wanted.means(&entry.spot.shown())
        };
        if is_wanted && !listed.take(entry, depth) {
            more += 1;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(said(listed.text(&start, more, whole)))
}

struct Listing<'a> {
    job: &'a Job,
    text: String,
    count: usize,
}

impl<'a> Listing<'a> {
    fn new(job: &'a Job) -> Self {
        Self { job, text: String::new(), count: 0 }
    }

    fn take(&mut self, entry: &Entry, depth: usize) -> bool {
        let path = entry.spot.row();
        let row = match entry.kind {
            Kind::File(bytes) => format!("{path}  {bytes} bytes\n"),
            Kind::Folder if entry.depth == depth => format!("{path}/  (not opened)\n"),
            Kind::Folder => format!("{path}/\n"),
            Kind::Link => format!("{path}  link\n"),
            Kind::Other => format!("{path}  not a file\n"),
        };
        if self.count == self.job.limits.file.list_entries || self.text.len() + row.len() > self.job.limits.output_bytes
        {
            return false;
        }
        self.count += 1;
        self.text.push_str(&row);
        true
    }

    fn text(mut self, start: &Spot, more: usize, whole: bool) -> String {
        if self.count == 0 && more == 0 {
            return format!("Nothing found in `{}`.", start.shown());
        }
        if more > 0 {
            self.text.push_str(&format!("[{more} more are not shown; use `path` or `glob` to narrow it down]\n"));
        }
        if !whole {
            self.text.push_str("[stopped: too many files; use `path` to narrow it down]\n");
        }
        self.text
    }
}
