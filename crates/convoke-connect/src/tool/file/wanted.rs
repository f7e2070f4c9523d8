//! Which files a `glob` argument means.
//!
//! Rule: a pattern without `/` is about names, one with `/` is about paths from the folder that is listed or searched,
//! or as shown.

use convoke_port::tool::ToolError;
use globset::{GlobBuilder, GlobMatcher};

use crate::tool::argument::Arguments;

/// A glob, or everything.
pub(crate) struct Wanted {
    glob: Option<GlobMatcher>,
    by_name: bool,
    prefix: String,
}

impl Wanted {
    /// Reads the argument `glob`; `start` is the shown path of the folder it is used in.
    pub(crate) fn read(arguments: &Arguments<'_>, start: &str) -> Result<Self, ToolError> {
        let Some(text) = arguments.text_if("glob")?.filter(|text| !text.is_empty()) else {
            return Ok(Self { glob: None, by_name: false, prefix: String::new() });
        };
        if text.len() > 500 {
            return Err(arguments.wrong("glob", "is longer than 500 bytes"));
        }
        let glob = GlobBuilder::new(text.trim_start_matches("./"))
            .literal_separator(true)
            .build()
            .map_err(|error| arguments.wrong("glob", &format!("is not a glob: {}", error.kind())))?;
        let prefix = if start == "." { String::new() } else { format!("{start}/") };
        Ok(Self { glob: Some(glob.compile_matcher()), by_name: !text.contains('/'), prefix })
    }

    /// Is there a glob at all?
    pub(crate) fn is_any(&self) -> bool {
        self.glob.is_none()
    }

    /// Does it mean the file shown as `path`?
    pub(crate) fn means(&self, path: &str) -> bool {
        let Some(glob) = &self.glob else { return true };
        if self.by_name {
            return glob.is_match(path.rsplit('/').next().unwrap_or(path));
        }
        glob.is_match(path) || path.strip_prefix(self.prefix.as_str()).is_some_and(|rest| glob.is_match(rest))
    }
}
