//! A thread: a conversation on the bus, who takes part, and whether anything may still be posted.
//!
//! Rule: a thread has one channel name, and a pair has one direct thread. Start at [`Channel`]; `docs/state/thread.md` is
//! printed from [`decide`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::{RunId, TaskId, ThreadId};
use crate::refusal::Refusal;

/// The most participants of one thread.
pub const PARTICIPANTS: usize = 1_000;
/// The most characters of a thread's title.
pub const TITLE_CHARS: usize = 200;

/// Who takes part, as rows and events name it: `agent:NAME`, `user:NAME` or `system`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Party {
    /// An agent, by name.
    Agent(String),
    /// A person, by name.
    User(String),
    /// Convoke itself.
    System,
}

impl Party {
    /// The bare name.
    pub fn name(&self) -> &str {
        match self {
            Self::Agent(name) | Self::User(name) => name,
            Self::System => "system",
        }
    }

    /// True for a person.
    pub const fn is_user(&self) -> bool {
        matches!(self, Self::User(_))
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent(name) => write!(f, "agent:{name}"),
            Self::User(name) => write!(f, "user:{name}"),
            Self::System => f.write_str("system"),
        }
    }
}

impl FromStr for Party {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let named = |name: &str| (!name.is_empty()).then(|| name.to_owned());
        let found = match text.split_once(':') {
            Some(("agent", name)) => named(name).map(Self::Agent),
            Some(("user", name)) => named(name).map(Self::User),
            None if text == "system" => Some(Self::System),
            _ => None,
        };
        found.ok_or_else(|| {
            Refusal::new("bad_participant", format!("`{text}` names no participant"))
                .hint("write `agent:NAME` or `user:NAME`")
        })
    }
}

/// What a thread is about, and its name: `direct:{a}:{b}`, `team:{name}`, `task:{id}`, `run:{id}`, `free:{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Channel {
    /// The one thread of a pair; only its two ends and the audit read it.
    Direct(Party, Party),
    /// All members of a team, across runs.
    Team(String),
    /// Those who work on a task.
    Task(TaskId),
    /// Everyone in a run.
    Run(RunId),
    /// Whoever was invited.
    Free(ThreadId),
}

impl Channel {
    /// The direct channel of a pair, the same whoever comes first.
    pub fn direct(one: Party, other: Party) -> Result<Self, Refusal> {
        match one.cmp(&other) {
            std::cmp::Ordering::Less => Ok(Self::Direct(one, other)),
            std::cmp::Ordering::Greater => Ok(Self::Direct(other, one)),
            std::cmp::Ordering::Equal => {
                Err(Refusal::new("to_oneself", format!("`{one}` cannot send a message to itself")))
            }
        }
    }

    /// The type: the word before the first colon.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Direct(..) => "direct",
            Self::Team(_) => "team",
            Self::Task(_) => "task",
            Self::Run(_) => "run",
            Self::Free(_) => "free",
        }
    }

    /// True where only participants and the audit may read.
    pub const fn is_private(&self) -> bool {
        matches!(self, Self::Direct(..))
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct(one, other) => write!(f, "direct:{one}:{other}"),
            Self::Team(name) => write!(f, "team:{name}"),
            Self::Task(id) => write!(f, "task:{id}"),
            Self::Run(id) => write!(f, "run:{id}"),
            Self::Free(id) => write!(f, "free:{id}"),
        }
    }
}

impl FromStr for Channel {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let bad = || {
            Refusal::new("bad_channel", format!("`{text}` names no channel"))
                .hint("channels are `direct:A:B`, `team:NAME`, `task:ID`, `run:ID` and `free:ID`")
        };
        let (kind, rest) = text.split_once(':').ok_or_else(bad)?;
        match kind {
            "direct" => direct_of(rest).ok_or_else(bad)?,
            "team" if !rest.is_empty() => Ok(Self::Team(rest.to_owned())),
            "task" => rest.parse().map(Self::Task).map_err(|_| bad()),
            "run" => rest.parse().map(Self::Run).map_err(|_| bad()),
            "free" => rest.parse().map(Self::Free).map_err(|_| bad()),
            _ => Err(bad()),
        }
    }
}

/// The pair in `agent:a:user:b`; names hold no colon.
fn direct_of(text: &str) -> Option<Result<Channel, Refusal>> {
    let words: Vec<_> = text.split(':').collect();
    let (one, other) = match *words.as_slice() {
        ["system", kind, name] => ("system".to_owned(), format!("{kind}:{name}")),
        [kind, name, "system"] => (format!("{kind}:{name}"), "system".to_owned()),
        [kind, name, other_kind, other] => (format!("{kind}:{name}"), format!("{other_kind}:{other}")),
        _ => return None,
    };
    let pair = (one.parse().ok()?, other.parse().ok()?);
    Some(Channel::direct(pair.0, pair.1))
}

/// Whether anything may be posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It goes on.
    Open,
    /// Nothing is posted any more; it can be opened again.
    Closed,
    /// Its messages were put away; a summary is kept, and all of it can be exported.
    Archived,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Open, Self::Closed, Self::Archived];

    /// The name in JSON and the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Archived => "archived",
        }
    }

    /// Reads the name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// What may be asked of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// A message comes.
    Post,
    /// Nothing more is to come.
    Close,
    /// It goes on after all.
    Reopen,
    /// It is put away.
    Archive,
}

impl Command {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Post, Self::Close, Self::Reopen, Self::Archive];

    /// The name in refusals and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Post => "post",
            Self::Close => "close",
            Self::Reopen => "reopen",
            Self::Archive => "archive",
        }
    }
}

/// Where `command` takes a thread, or why it must not.
pub fn decide(status: Status, command: Command) -> Result<Status, Refusal> {
    use Command as C;
    use Status as S;
    match (status, command) {
        (S::Open, C::Post) => Ok(S::Open),
        (S::Open, C::Close) => Ok(S::Closed),
        (S::Closed, C::Reopen) => Ok(S::Open),
        (S::Open | S::Closed, C::Archive) => Ok(S::Archived),
        (S::Closed | S::Archived, C::Post) => {
            Err(Refusal::new("thread_closed", format!("nothing can be posted to a thread that is {}", status.as_str())))
        }
        (S::Open, C::Reopen) | (S::Closed, C::Close) | (S::Archived, C::Close | C::Reopen | C::Archive) => {
            let message = format!("cannot {} a thread that is {}", command.as_str(), status.as_str());
            Err(Refusal::new("illegal_transition", message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn party(text: &str) -> Party {
        text.parse().expect("a participant")
    }

    #[test]
    fn the_table_is_what_the_docs_print() {
        let rows = Status::ALL.into_iter().map(|status| {
            let cells = Command::ALL.into_iter().map(|command| decide(status, command).map_or("", Status::as_str));
            (status.as_str(), cells.collect())
        });
        let commands: Vec<_> = Command::ALL.into_iter().map(Command::as_str).collect();
        crate::docs::check("state/thread.md", &crate::docs::table("Thread", "thread.rs", &commands, rows));
    }

    #[test]
    fn a_pair_has_one_channel() {
        let (ada, bob) = (party("agent:ada"), party("user:bob"));
        let one = Channel::direct(ada.clone(), bob.clone()).expect("a pair");
        assert_eq!(one, Channel::direct(bob, ada.clone()).expect("a pair"));
        assert_eq!(one.to_string(), "direct:agent:ada:user:bob");
        assert_eq!(Channel::direct(ada.clone(), ada).expect_err("itself").code, "to_oneself");
    }

    #[test]
    fn channels_read_back() {
        let seed: &[&[u8]] = &[b"x"];
        let now = Timestamp::from_micros(1);
        let all = [
            Channel::direct(party("agent:a"), party("agent:b")).expect("a pair"),
            Channel::direct(party("agent:a"), Party::System).expect("a pair"),
            Channel::Team("crew".into()),
            Channel::Task(TaskId::derived(now, seed)),
            Channel::Run(RunId::derived(now, seed)),
            Channel::Free(ThreadId::derived(now, seed)),
        ];
        for channel in all {
            assert_eq!(channel.to_string().parse(), Ok(channel));
        }
        for bad in ["", "direct:", "direct:agent:a", "direct:agent:a:agent:a:x", "task:1", "run:", "team:", "x:y"] {
            assert_eq!(bad.parse::<Channel>().expect_err(bad).code, "bad_channel", "{bad}");
        }
        for bad in ["agent:", "bob", "", "root:bob"] {
            assert_eq!(bad.parse::<Party>().expect_err(bad).code, "bad_participant", "{bad}");
        }
    }
}
