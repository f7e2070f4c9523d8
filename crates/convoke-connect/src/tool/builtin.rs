//! The list of built-in tools: names, what models are told, what may be repeated.
//!
//! To add one: a variant here, a file with `DESCRIPTION`, `schema` and `run`, an arm in `Toolbox::run`.

use convoke_port::tool::{Repeat, ToolInfo, ToolScope, ToolSpec};
use serde_json::Value;

use super::{file, query_table};

/// A built-in tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Builtin {
    ReadFile,
    ListFiles,
    SearchFiles,
    WriteFile,
    PatchFile,
    QueryTable,
}

impl Builtin {
    /// All of them, in the order they are offered.
    pub(crate) const ALL: [Self; 6] =
        [Self::ReadFile, Self::ListFiles, Self::SearchFiles, Self::WriteFile, Self::PatchFile, Self::QueryTable];

    /// Their names.
    pub(crate) const NAMES: [&'static str; Self::ALL.len()] = {
        let mut names = [""; Self::ALL.len()];
        let mut at = 0;
        while at < names.len() {
            names[at] = Self::ALL[at].id();
            at += 1;
        }
        names
    };

    /// Its name.
    pub(crate) const fn id(self) -> &'static str {
        match self {
            Self::ReadFile => "read_file",
            Self::ListFiles => "list_files",
            Self::SearchFiles => "search_files",
            Self::WriteFile => "write_file",
            Self::PatchFile => "patch_file",
            Self::QueryTable => "query_table",
        }
    }

    /// The tool of a name.
    pub(crate) fn named(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tool| tool.id() == id)
    }

    /// What is known about it.
    pub(crate) fn info(self) -> ToolInfo {
        let (description, input_schema) = self.words();
        let spec = ToolSpec { name: self.id().to_owned(), description: description.to_owned(), input_schema };
        ToolInfo { spec, id: self.id().to_owned(), repeat: self.repeat() }
    }

    /// Why the scope does not let it run although it is allowed.
    pub(crate) fn missing(self, _scope: &ToolScope) -> Option<String> {
        None
    }

    fn repeat(self) -> Repeat {
        match self {
            Self::ReadFile | Self::ListFiles | Self::SearchFiles | Self::QueryTable => Repeat::Harmless,
            Self::WriteFile | Self::PatchFile => Repeat::Idempotent,
        }
    }

    fn words(self) -> (&'static str, Value) {
        match self {
            Self::ReadFile => (file::read::DESCRIPTION, file::read::schema()),
            Self::ListFiles => (file::list::DESCRIPTION, file::list::schema()),
            Self::SearchFiles => (file::search::DESCRIPTION, file::search::schema()),
            Self::WriteFile => (file::write::DESCRIPTION, file::write::schema()),
            Self::PatchFile => (file::patch::DESCRIPTION, file::patch::schema()),
            Self::QueryTable => (query_table::DESCRIPTION, query_table::schema()),
        }
    }
}
