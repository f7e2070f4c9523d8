//! The list of built-in tools: names, what models are told, what may be repeated.
//!
//! To add one: a variant here, a file with `DESCRIPTION`, `schema` and `run`, an arm in `Toolbox::run`.

use convoke_port::tool::{Repeat, ToolInfo, ToolScope, ToolSpec};
use serde_json::Value;

use super::{file, http_get, query_table, shell};

/// A built-in tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Builtin {
    ReadFile,
    ListFiles,
    SearchFiles,
    WriteFile,
    PatchFile,
    QueryTable,
    HttpGet,
    Shell,
}

impl Builtin {
    /// All of them, in the order they are offered.
    pub(crate) const ALL: [Self; 8] = [
        Self::ReadFile,
        Self::ListFiles,
        Self::SearchFiles,
        Self::WriteFile,
        Self::PatchFile,
        Self::QueryTable,
        Self::HttpGet,
        Self::Shell,
    ];

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
            Self::HttpGet => "http_get",
            Self::Shell => "shell",
        }
    }

    /// The tool of a name.
    pub(crate) fn named(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tool| tool.id() == id)
    }

    /// What is known about it.
    pub(crate) fn info(self, scope: &ToolScope) -> ToolInfo {
        let (description, input_schema) = self.words();
        let shared = scope.shared.as_ref().map_or("", |_| self.words_on_shared());
        let spec = ToolSpec { name: self.id().to_owned(), description: format!("{description}{shared}"), input_schema };
        ToolInfo { spec, id: self.id().to_owned(), repeat: self.repeat() }
    }

    /// Why the scope does not let it run although it is allowed.
    pub(crate) fn missing(self, scope: &ToolScope) -> Option<String> {
        match self {
            Self::HttpGet if scope.http_hosts.is_empty() => {
                Some("http_get: no host may be reached; name hosts in `authority.http_hosts` of the profile".into())
            }
            Self::Shell if !scope.shell => {
                Some("shell: not granted; set `authority.shell` in the profile to grant it".into())
            }
            _ => None,
        }
    }

    fn repeat(self) -> Repeat {
        match self {
            Self::ReadFile | Self::ListFiles | Self::SearchFiles | Self::QueryTable | Self::HttpGet => Repeat::Harmless,
            Self::WriteFile | Self::PatchFile => Repeat::Idempotent,
            Self::Shell => Repeat::Once,
        }
    }

    /// What is to be known where the members of a run share a folder.
    fn words_on_shared(self) -> &'static str {
        match self {
            Self::WriteFile | Self::PatchFile => {
                " Files under `shared/` belong to the whole team: call lock for `file:shared/PATH` first, then read the file, \
                 then write; without the lock the write is refused."
            }
            Self::ReadFile | Self::ListFiles | Self::SearchFiles => " Files under `shared/` belong to the whole team.",
            Self::QueryTable | Self::HttpGet | Self::Shell => "",
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
            Self::HttpGet => (http_get::DESCRIPTION, http_get::schema()),
            Self::Shell => (shell::DESCRIPTION, shell::schema()),
        }
    }
}
