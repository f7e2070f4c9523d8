//! Identifiers: a prefix that tells the noun, and 128 bits in time order.
//!
//! Shown as [TypeID](https://github.com/jetify-com/typeid/tree/main/spec) text, `run_01jd…`: the prefix, then the
//! UUID in 26 characters of Crockford's base 32. Stored as the 16 bytes alone.
//! Rule: the domain never draws an id; it receives one, or derives one from values with [`derive`].

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::time::Timestamp;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const TEXT_LEN: usize = 26;

/// Text that is not the identifier it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {noun} id; expected `{noun}_` and 26 characters")]
pub struct BadId {
    /// The prefix that was expected.
    pub noun: &'static str,
    /// What stood there instead.
    pub text: String,
}

/// A 128-bit value in time order whose low bits come from `seed`: the same inputs give the same id, so a transaction
/// that is run again makes the same rows.
pub fn derive(now: Timestamp, seed: &[&[u8]]) -> Uuid {
    let mut hash = Sha256::new();
    for part in seed {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    let mut random = [0_u8; 10];
    random.copy_from_slice(&digest[..10]);
    uuid::Builder::from_unix_timestamp_millis(now.as_millis().unsigned_abs(), &random).into_uuid()
}

/// Writes 128 bits as 26 base-32 characters, most significant first.
fn encode(value: u128) -> [u8; TEXT_LEN] {
    let mut text = [b'0'; TEXT_LEN];
    let mut rest = value;
    for slot in text.iter_mut().rev() {
        *slot = ALPHABET[(rest & 31) as usize];
        rest >>= 5;
    }
    text
}

/// Reads 26 base-32 characters; `None` for a foreign character or a value over 128 bits.
fn decode(text: &str) -> Option<u128> {
    if text.len() != TEXT_LEN || text.as_bytes()[0] > b'7' {
        return None;
    }
    text.bytes().try_fold(0_u128, |value, byte| {
        let digit = ALPHABET.iter().position(|known| *known == byte)?;
        Some((value << 5) | digit as u128)
    })
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Uuid);

        impl $name {
            /// The prefix of the text form, without the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// An id in time order, made from values alone; see [`derive`].
            pub fn derived(now: Timestamp, seed: &[&[u8]]) -> Self {
                Self(derive(now, seed))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let text = encode(self.0.as_u128());
                write!(f, "{}_{}", $prefix, std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = BadId;

            fn from_str(text: &str) -> Result<Self, BadId> {
                text.strip_prefix(concat!($prefix, "_"))
                    .and_then(decode)
                    .map(|value| Self(Uuid::from_u128(value)))
                    .ok_or_else(|| BadId { noun: $prefix, text: text.to_owned() })
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(from)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}

ids! {
    /// A workspace: the tenant that every row belongs to.
    WorkspaceId = "ws";
    /// A person, or the system itself.
    UserId = "user";
    /// A registered participant.
    AgentId = "agent";
    /// Rights that a person gave to an agent for a time.
    GrantId = "grant";
    /// A lasting conversation that holds runs.
    SessionId = "ses";
    /// One execution of a team on one task.
    RunId = "run";
    /// A unit of work inside a run.
    TaskId = "task";
    /// Leave for one tool call.
    ApprovalId = "appr";
    /// A conversation on the bus.
    ThreadId = "thr";
    /// One entry in a thread.
    MessageId = "msg";
    /// An offer to hand a task over.
    HandoffId = "hand";
    /// An entry of memory.
    MemoryId = "mem";
}

/// Comes after every id: where a list from the newest begins.
pub const LAST: Uuid = Uuid::from_u128(u128::MAX);

impl WorkspaceId {
    /// The workspace that every data folder has from the start, named `default`.
    pub const DEFAULT: Self = Self(Uuid::from_u128(1));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_round_trips_and_is_in_time_order() {
        let early = RunId::derived(Timestamp::from_micros(1_000_000), &[b"a"]);
        let late = RunId::derived(Timestamp::from_micros(2_000_000), &[b"a"]);
        assert_eq!(early.to_string().parse::<RunId>(), Ok(early));
        assert!(early.to_string() < late.to_string());
        assert_eq!(RunId(Uuid::from_u128(u128::MAX)).to_string(), "run_7zzzzzzzzzzzzzzzzzzzzzzzzz");
    }

    #[test]
    fn foreign_text_is_refused_with_what_was_expected() {
        for text in [
            "",
            "run_",
            "task_01h455vb4pex5vsknk084sn02q",
            "run_81h455vb4pex5vsknk084sn02q",
            "run_01h455vb4pex5vsknk084sn02l",
        ] {
            let error = text.parse::<RunId>().expect_err(text);
            assert_eq!(error.to_string(), format!("`{text}` is not a run id; expected `run_` and 26 characters"));
        }
    }

    #[test]
    fn parts_of_a_seed_do_not_run_together() {
        let now = Timestamp::from_micros(0);
        assert_ne!(derive(now, &[b"ab", b"c"]), derive(now, &[b"a", b"bc"]));
    }
}
