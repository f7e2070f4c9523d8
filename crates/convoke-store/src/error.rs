//! What can go wrong with what is kept, by meaning. Rule: a caller decides by the variant or [`Error::code`], a person
//! reads the text, and nobody has to know which database is underneath.

use std::fmt::Display;

use convoke_domain::refusal::Refusal;

/// The result of anything that touches the store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The thing does not exist in this workspace.
    #[error("there is no {noun} `{id}`")]
    Missing {
        /// The noun, such as `task`.
        noun: &'static str,
        /// Its id or name.
        id: String,
    },
    /// A rule of the domain said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A constraint of the schema was hit: a duplicate, a dangling reference, a value out of its set.
    #[error("conflict with what is stored: {0}")]
    Conflict(String),
    /// A named bound was reached.
    #[error("{0}")]
    LimitReached(String),
    /// Another process holds the data folder.
    #[error("the data folder {dir} is in use by {holder}")]
    InUse {
        /// The folder.
        dir: String,
        /// Who has it, such as `process 4711`.
        holder: String,
    },
    /// The data folder may be read here and not written.
    #[error("the data folder {dir} cannot be written: {why}")]
    ReadOnly {
        /// The folder.
        dir: String,
        /// What the system says.
        why: String,
    },
    /// It cannot be done now, and nothing was changed.
    #[error("{0}")]
    Unavailable(String),
    /// The commit was under way when it failed: it may or may not have happened.
    #[error("whether this was stored is not known: {0}; look before trying again")]
    Unknown(String),
    /// A defect: of the program, of the schema, or of the data.
    #[error("{what}")]
    Broken {
        /// What was found broken.
        what: String,
        /// What told so.
        #[source]
        source: Option<Source>,
    },
}

impl Error {
    /// Stable text for programs.
    pub fn code(&self) -> &str {
        match self {
            Self::Missing { .. } => "missing",
            Self::Refused(refusal) => &refusal.code,
            Self::Conflict(_) => "conflict",
            Self::LimitReached(_) => "limit_reached",
            Self::InUse { .. } => "in_use",
            Self::ReadOnly { .. } => "read_only",
            Self::Unavailable(_) => "unavailable",
            Self::Unknown(_) => "outcome_unknown",
            Self::Broken { .. } => "broken",
        }
    }

    /// There is no such thing.
    pub fn missing(noun: &'static str, id: impl Display) -> Self {
        Self::Missing { noun, id: id.to_string() }
    }

    /// A defect without an underlying error.
    pub fn broken(what: impl Into<String>) -> Self {
        Self::Broken { what: what.into(), source: None }
    }

    /// The same with the statement, if it is a defect that names none.
    pub(crate) fn in_statement(self, sql: &str) -> Self {
        match self {
            Self::Broken { what, source } if !what.ends_with("`)") => {
                Self::Broken { what: format!("{what} (in `{sql}`)"), source }
            }
            other => other,
        }
    }

    /// A defect that another error told.
    pub fn broken_by(what: impl Into<String>, source: impl Into<Source>) -> Self {
        let source = source.into();
        Self::Broken { what: format!("{}: {source}", what.into()), source: Some(source) }
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::broken_by("stored JSON does not have the expected shape", error)
    }
}

/// Turns "no row" into [`Error::Missing`].
pub trait OrMissing<T> {
    /// The value, or an error that names the noun and the id.
    fn or_missing(self, noun: &'static str, id: impl Display) -> Result<T>;
}

impl<T> OrMissing<T> for Option<T> {
    fn or_missing(self, noun: &'static str, id: impl Display) -> Result<T> {
        self.ok_or_else(|| Error::missing(noun, id))
    }
}
