//! What an error of PostgreSQL means: to the caller as an [`Error`], to the transaction as a [`Trouble`].

use tokio_postgres::error::{DbError, Severity, SqlState};

use crate::error::Error;

/// What a failure means for the transaction that it happened in. In none of these was anything stored.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Trouble {
    /// The cause lies in one use case; the others may be run again without it.
    Spoiled,
    /// It lost against another transaction; the same may work in a moment.
    Again(String),
    /// It cannot be done now, whoever asks.
    Refused(String),
    /// The connection is gone.
    Lost(String),
}

/// What `error` means for its transaction.
pub(super) fn trouble(error: &tokio_postgres::Error) -> Trouble {
    let Some(told) = error.as_db_error() else {
        return if by_connection(error) { Trouble::Lost(error.to_string()) } else { Trouble::Spoiled };
    };
    let code = told.code();
    if ends_connection(told) {
        Trouble::Lost(told.message().to_owned())
    } else if *code == SqlState::T_R_SERIALIZATION_FAILURE || *code == SqlState::T_R_DEADLOCK_DETECTED || stale(told) {
        Trouble::Again(told.message().to_owned())
    } else if code.code().starts_with("53") {
        Trouble::Refused(no_room(told))
    } else {
        Trouble::Spoiled
    }
}

/// True if the server ends the connection with this.
fn ends_connection(told: &DbError) -> bool {
    matches!(told.parsed_severity(), Some(Severity::Fatal | Severity::Panic)) || told.code().code().starts_with("57P")
}

/// True if a prepared statement gives other columns than when it was prepared, because the schema has moved on.
pub(super) fn stale(told: &DbError) -> bool {
    *told.code() == SqlState::FEATURE_NOT_SUPPORTED && told.message().contains("cached plan")
}

/// True if the connection failed and not what was asked over it.
fn by_connection(error: &tokio_postgres::Error) -> bool {
    let cause = std::error::Error::source(error);
    error.is_closed() || cause.is_some_and(|cause| cause.is::<std::io::Error>())
}

fn no_room(told: &DbError) -> String {
    let message = told.message();
    format!("the database server has no room for this ({message}); nothing of it was stored. Free resources, try again")
}

/// What `error` means for the caller.
pub(super) fn error(error: tokio_postgres::Error) -> Error {
    let Some(told) = error.as_db_error() else {
        if by_connection(&error) {
            return lost(&error.to_string());
        }
        return Error::broken_by("PostgreSQL did not do it", error);
    };
    let (code, message) = (told.code(), told.message());
    if ends_connection(told) {
        lost(message)
    } else if code.code().starts_with("53") {
        Error::Unavailable(no_room(told))
    } else if code.code().starts_with("23") {
        Error::Conflict(message.to_owned())
    } else if *code == SqlState::T_R_SERIALIZATION_FAILURE || *code == SqlState::T_R_DEADLOCK_DETECTED || stale(told) {
        Error::Unavailable(format!("another transaction was in the way ({message}); try again"))
    } else if *code == SqlState::QUERY_CANCELED || *code == SqlState::LOCK_NOT_AVAILABLE {
        Error::Unavailable(format!("a statement took too long ({message}); nothing of it was stored"))
    } else if *code == SqlState::READ_ONLY_SQL_TRANSACTION {
        Error::broken_by("a use case that was only to read tried to write", error)
    } else {
        let message = format!("{message} (SQLSTATE {})", code.code());
        Error::Broken { what: format!("PostgreSQL did not do it: {message}"), source: Some(Box::new(error)) }
    }
}

/// The connection broke before anything was committed.
pub(super) fn lost(why: &str) -> Error {
    Error::Unavailable(format!(
        "the connection to the database was lost ({why}); nothing of this was stored, try again"
    ))
}
