//! Parameters of a statement. One mapping for both databases: flags are BIGINT 0/1, times are BIGINT microseconds, money
//! is BIGINT nano-dollars, JSON is TEXT, ids are BLOB(16) in SQLite and `uuid` in PostgreSQL. PostgreSQL has no U+0000 in
//! text, so on both it becomes U+FFFD; bytes keep everything.

use std::borrow::Cow;

use convoke_domain::id::{
    AgentId, ApprovalId, GrantId, HandoffId, MemoryId, MessageId, RunId, SessionId, TaskId, ThreadId, UserId,
    WorkspaceId,
};
use convoke_domain::money::Money;
use convoke_domain::time::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use crate::row::Json;

/// One parameter.
#[derive(Debug, Clone, PartialEq)]
pub enum P<'a> {
    /// No value.
    Null,
    /// A whole number, a flag, a time or money.
    Int(i64),
    /// A real number.
    Real(f64),
    /// Text or JSON.
    Text(Cow<'a, str>),
    /// Bytes.
    Bytes(Cow<'a, [u8]>),
    /// An id.
    Uuid(Uuid),
}

impl P<'_> {
    /// The same, for a statement that outlives what it was made from.
    pub(crate) fn owned(&self) -> P<'static> {
        match self {
            Self::Null => P::Null,
            Self::Int(value) => P::Int(*value),
            Self::Real(value) => P::Real(*value),
            Self::Text(text) => P::Text(Cow::Owned(text.clone().into_owned())),
            Self::Bytes(bytes) => P::Bytes(Cow::Owned(bytes.clone().into_owned())),
            Self::Uuid(id) => P::Uuid(*id),
        }
    }
}

/// The parameters of one statement, in the order of `$1`, `$2`, …: `p![self.ws, self.id, &self.title]`.
#[macro_export]
macro_rules! p {
    ($($value:expr),* $(,)?) => { &[$($crate::P::from($value)),*] as &[$crate::P<'_>] };
}

/// A text as both databases keep it.
pub(crate) fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{FFFD}")) } else { Cow::Borrowed(text) }
}

/// A text that is given away, as both databases keep it.
pub(crate) fn stored(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{FFFD}") } else { text }
}

macro_rules! from {
    ($($type:ty => |$value:ident| $make:expr;)+) => {$(
        impl<'a> From<$type> for P<'a> {
            fn from($value: $type) -> Self { $make }
        }
    )+};
}

from! {
    i64 => |v| Self::Int(v);
    i32 => |v| Self::Int(v.into());
    u32 => |v| Self::Int(v.into());
    u16 => |v| Self::Int(v.into());
    // Counts beyond i64 cannot occur; saturating keeps a limit of "everything" meaning everything.
    u64 => |v| Self::Int(i64::try_from(v).unwrap_or(i64::MAX));
    usize => |v| Self::Int(i64::try_from(v).unwrap_or(i64::MAX));
    bool => |v| Self::Int(v.into());
    f64 => |v| Self::Real(v);
    &'a str => |v| Self::Text(storable(v));
    &'a String => |v| Self::Text(storable(v));
    String => |v| Self::Text(Cow::Owned(stored(v)));
    &'a [u8] => |v| Self::Bytes(Cow::Borrowed(v));
    &'a Vec<u8> => |v| Self::Bytes(Cow::Borrowed(v));
    Vec<u8> => |v| Self::Bytes(Cow::Owned(v));
    &'a [u8; 32] => |v| Self::Bytes(Cow::Borrowed(v));
    Uuid => |v| Self::Uuid(v);
    WorkspaceId => |v| Self::Uuid(v.0);
    UserId => |v| Self::Uuid(v.0);
    AgentId => |v| Self::Uuid(v.0);
    GrantId => |v| Self::Uuid(v.0);
    SessionId => |v| Self::Uuid(v.0);
    RunId => |v| Self::Uuid(v.0);
    TaskId => |v| Self::Uuid(v.0);
    ApprovalId => |v| Self::Uuid(v.0);
    ThreadId => |v| Self::Uuid(v.0);
    MessageId => |v| Self::Uuid(v.0);
    HandoffId => |v| Self::Uuid(v.0);
    MemoryId => |v| Self::Uuid(v.0);
    Timestamp => |v| Self::Int(v.as_micros());
    Money => |v| Self::Int(v.as_nanos());
    &'a serde_json::Value => |v| Self::Text(Cow::Owned(v.to_string()));
}

impl<'a, T> From<Option<T>> for P<'a>
where
    P<'a>: From<T>,
{
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, P::from)
    }
}

impl<'a, T: Serialize> From<Json<T>> for P<'a> {
    /// Panics for what JSON cannot hold (a map whose keys are not text), which no stored type contains.
    fn from(value: Json<T>) -> Self {
        Self::Text(Cow::Owned(serde_json::to_string(&value.0).expect("stored types have a JSON form")))
    }
}
