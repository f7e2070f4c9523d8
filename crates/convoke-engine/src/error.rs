//! What can go wrong with a use case, by meaning; a stable code for programs, a sentence and a next step for people.

use convoke_domain::refusal::Refusal;

/// The result of a use case.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A rule said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The store said no, or failed.
    #[error(transparent)]
    Store(convoke_store::Error),
}

impl From<convoke_store::Error> for Error {
    fn from(error: convoke_store::Error) -> Self {
        match error {
            convoke_store::Error::Refused(refusal) => Self::Refused(refusal),
            other => Self::Store(other),
        }
    }
}

impl Error {
    /// Stable, in snake_case.
    pub fn code(&self) -> &str {
        match self {
            Self::Refused(refusal) => &refusal.code,
            Self::Store(error) => error.code(),
        }
    }

    /// What to do next, where there is something to do.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => refusal.hint.as_deref(),
            Self::Store(_) => None,
        }
    }
}
