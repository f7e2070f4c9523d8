//! Handoff and delegation, kept apart: *delegate* gives a task away and must get it back; *handoff* gives control away.
//!
//! A handoff is an offer that is accepted, declined, or runs out of time; only an accepted one changes anything. Start at
//! [`decide`] for the offer, [`may_offer`] and [`may_delegate`] for what is allowed.

use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;

/// Tasks above a delegated one, at most.
pub const DEPTH_MAX: i64 = 3;
/// Accepted handoffs of one task, at most.
pub const HANDOFFS_MAX: usize = 8;
/// Accepted handoffs of one task between the same two agents, in either direction, at most: there and back.
pub const PAIR_MAX: usize = 2;
/// Refusals for going back and forth after which a person is asked.
pub const PING_PONG_STOPPED: usize = 2;
/// The most characters of one text of a packet.
pub const PACKET_CHARS: usize = 8_000;
/// The most entries of one list of a packet.
pub const PACKET_ENTRIES: usize = 100;

/// What goes along with a task that is handed over.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Packet {
    /// What the task is to achieve.
    pub goal: String,
    /// What has been done.
    pub done: String,
    /// What is left to do.
    pub left: String,
    /// Files and results that the receiver needs.
    pub artifacts: Vec<String>,
    /// What the receiver must keep to.
    pub constraints: Vec<String>,
    /// Why the task is handed over.
    pub reason: String,
    /// Who gets the task back when the receiver is done with its part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub return_to: Option<String>,
    /// What the task may still cost, as far as a budget says so; filled in by the runtime.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining_budget: Option<String>,
    /// Locks that go along; filled in by the runtime.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub locks: Vec<String>,
}

impl Packet {
    /// Refuses a packet that says nothing, or too much.
    pub fn check(&self) -> Result<(), Refusal> {
        for (name, text) in [("goal", &self.goal), ("left", &self.left), ("reason", &self.reason)] {
            if text.trim().is_empty() {
                let message = format!("the packet of a handoff has no `{name}`");
                return Err(Refusal::new("empty_packet", message).hint("say it in a sentence or two"));
            }
        }
        for (name, text) in [("goal", &self.goal), ("done", &self.done), ("left", &self.left), ("reason", &self.reason)]
        {
            let count = text.chars().count();
            if count > PACKET_CHARS {
                let message = format!("`{name}` has {count} characters; at most {PACKET_CHARS} are handed over");
                return Err(Refusal::new("packet_too_large", message)
                    .hint("put it into a file and name the file in `artifacts`"));
            }
        }
        for (name, list) in [("artifacts", &self.artifacts), ("constraints", &self.constraints)] {
            if list.len() > PACKET_ENTRIES || list.iter().any(|entry| entry.chars().count() > PACKET_CHARS) {
                let message = format!(
                    "`{name}` has more than {PACKET_ENTRIES} entries, or one of more than {PACKET_CHARS} characters"
                );
                return Err(Refusal::new("packet_too_large", message));
            }
        }
        Ok(())
    }
}

/// Where an offer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is open.
    Requested,
    /// The task is the receiver's.
    Accepted,
    /// The receiver said no.
    Declined,
    /// Nobody said anything in time.
    TimedOut,
    /// The one who offered is not there any more.
    Withdrawn,
}

impl State {
    /// All states.
    pub const ALL: [Self; 5] = [Self::Requested, Self::Accepted, Self::Declined, Self::TimedOut, Self::Withdrawn];

    /// The name in JSON and the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Accepted => "accepted",
            Self::Declined => "declined",
            Self::TimedOut => "timed_out",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// Reads the name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// What may be asked of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// The receiver takes the task.
    Accept,
    /// The receiver does not.
    Decline,
    /// Its time is up.
    Expire,
    /// The attempt that offered has ended.
    Withdraw,
}

impl Command {
    /// All commands.
    pub const ALL: [Self; 4] = [Self::Accept, Self::Decline, Self::Expire, Self::Withdraw];

    /// The name in refusals and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Decline => "decline",
            Self::Expire => "expire",
            Self::Withdraw => "withdraw",
        }
    }
}

/// Where `command` takes an offer that stands in `state`, or why it must not.
pub fn decide(state: State, command: Command) -> Result<State, Refusal> {
    use Command as C;
    use State as S;
    match (state, command) {
        (S::Requested, C::Accept) => Ok(S::Accepted),
        (S::Requested, C::Decline) => Ok(S::Declined),
        (S::Requested, C::Expire) => Ok(S::TimedOut),
        (S::Requested, C::Withdraw) => Ok(S::Withdrawn),
        (S::Accepted | S::Declined | S::TimedOut | S::Withdrawn, C::Accept | C::Decline | C::Expire | C::Withdraw) => {
            let message = format!("cannot {} a handoff that is {}", command.as_str(), state.as_str());
            Err(Refusal::new("handoff_closed", message).hint("see `convoke handoffs`"))
        }
    }
}

/// A handoff of the task that was accepted before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    /// Who gave it away.
    pub from: String,
    /// Who took it.
    pub to: String,
}

/// Whether `from` may offer a task to `to`, after these handoffs of it.
pub fn may_offer(from: &str, to: &str, past: &[Past]) -> Result<(), Refusal> {
    if from == to {
        return Err(Refusal::new("handoff_to_self", "a task cannot be handed to the agent that has it"));
    }
    let between = past.iter().filter(|one| (one.from == from && one.to == to) || (one.from == to && one.to == from));
    let count = between.count();
    if count >= PAIR_MAX {
        let message = format!("the task went between `{from}` and `{to}` {count} times; it goes there no more");
        return Err(Refusal::new("ping_pong", message).hint("finish it, hand it to somebody else, or escalate"));
    }
    if past.len() >= HANDOFFS_MAX {
        let message = format!("the task was handed over {} times, which is the most", past.len());
        return Err(Refusal::new("too_many_handoffs", message).hint("finish it, or escalate"));
    }
    Ok(())
}

/// Whether an agent may give a part of its task to `to`: `depth` is that of its own task, `chain` who works on that task
/// and on those above it.
pub fn may_delegate(to: &str, depth: i64, chain: &[String]) -> Result<(), Refusal> {
    if depth >= DEPTH_MAX {
        let message =
            format!("the task is {depth} levels below the team's own; nothing is delegated deeper than {DEPTH_MAX}");
        return Err(Refusal::new("too_deep", message).hint("do it yourself"));
    }
    if let Some(at) = chain.iter().position(|agent| agent == to) {
        let mut circle: Vec<_> = chain[..=at].iter().rev().map(|agent| format!("`{agent}`")).collect();
        circle.push(format!("`{to}`"));
        let message = format!("delegating to `{to}` would close a circle: {}", circle.join(" → "));
        return Err(
            Refusal::new("delegation_cycle", message).hint("`{to}` waits for this very task".replace("{to}", to))
        );
    }
    Ok(())
}

/// The agent that is named, or the first that is capable of all that is needed and not among `but`.
pub fn choose(
    members: &[(String, Vec<String>)],
    to: Option<&str>,
    needs: &[String],
    but: &[String],
) -> Result<String, Refusal> {
    let names = || members.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if let Some(name) = to {
        if members.iter().any(|(member, _)| member == name) {
            return Ok(name.to_owned());
        }
        let message = format!("there is no agent `{name}` in this run; there are {}", names());
        return Err(Refusal::new("unknown_agent", message));
    }
    if needs.is_empty() {
        return Err(Refusal::new("no_receiver", "name the agent in `to`, or what it must be capable of in `needs`"));
    }
    let able = members.iter().find(|(name, can)| !but.contains(name) && needs.iter().all(|need| can.contains(need)));
    able.map(|(name, _)| name.clone()).ok_or_else(|| {
        let message = format!("no other agent of this run is capable of all of: {}", needs.join(", "));
        Refusal::new("no_receiver", message).hint("do it yourself, or name an agent in `to`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_what_the_docs_print() {
        let rows = State::ALL.into_iter().map(|state| {
            let cells = Command::ALL.into_iter().map(|command| decide(state, command).map_or("", State::as_str));
            (state.as_str(), cells.collect())
        });
        let commands: Vec<_> = Command::ALL.into_iter().map(Command::as_str).collect();
        crate::docs::check("state/handoff.md", &crate::docs::table("Handoff", "handoff.rs", &commands, rows));
    }

    #[test]
    fn an_offer_is_settled_once() {
        for first in Command::ALL {
            let settled = decide(State::Requested, first).expect("open");
            for second in Command::ALL {
                assert_eq!(decide(settled, second).expect_err("settled").code, "handoff_closed");
            }
        }
    }

    /// Whatever agents try, a task ends its travels: no more than `HANDOFFS_MAX`, and no pair more than `PAIR_MAX`.
    #[test]
    fn ten_thousand_travels_end() {
        let agents = ["a", "b", "c", "d", "e"];
        for seed in 0..10_000_u64 {
            let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let mut draw = |below: usize| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                usize::try_from(state % below as u64).expect("small")
            };
            let (mut past, mut holder) = (Vec::new(), "a");
            for _ in 0..40 {
                let to = agents[draw(agents.len())];
                if may_offer(holder, to, &past).is_ok() && draw(3) > 0 {
                    past.push(Past { from: holder.into(), to: to.into() });
                    holder = to;
                }
            }
            assert!(past.len() <= HANDOFFS_MAX, "seed {seed}");
            for (at, one) in agents.iter().enumerate() {
                for other in &agents[at + 1..] {
                    let both = |p: &&Past| {
                        [p.from.as_str(), p.to.as_str()].contains(one)
                            && [p.from.as_str(), p.to.as_str()].contains(other)
                    };
                    assert!(past.iter().filter(both).count() <= PAIR_MAX, "seed {seed}: {past:?}");
                }
            }
        }
    }

    #[test]
    fn delegation_is_bounded_and_never_circular() {
        let chain = ["c".to_owned(), "b".to_owned(), "a".to_owned()];
        assert_eq!(may_delegate("d", 2, &chain), Ok(()));
        assert_eq!(may_delegate("d", 3, &chain).expect_err("too deep").code, "too_deep");
        let refusal = may_delegate("a", 2, &chain).expect_err("a circle");
        assert_eq!(refusal.message, "delegating to `a` would close a circle: `a` → `b` → `c` → `a`");
    }

    #[test]
    fn receivers_are_named_or_found() {
        let members =
            [("a".to_owned(), vec!["sql".to_owned()]), ("b".to_owned(), vec!["sql".to_owned(), "k8s".to_owned()])];
        let needs = ["sql".to_owned()];
        assert_eq!(choose(&members, Some("b"), &[], &[]).as_deref(), Ok("b"));
        assert_eq!(choose(&members, None, &needs, &["a".to_owned()]).as_deref(), Ok("b"));
        assert_eq!(
            choose(&members, Some("x"), &[], &[]).expect_err("nobody").message,
            "there is no agent `x` in this run; there are `a`, `b`"
        );
        assert_eq!(choose(&members, None, &[], &[]).expect_err("nobody").code, "no_receiver");
        let both = ["sql".to_owned(), "k8s".to_owned()];
        assert_eq!(choose(&members, None, &both, &["b".to_owned()]).expect_err("nobody").code, "no_receiver");
    }

    #[test]
    fn a_packet_says_enough_and_not_too_much() {
        let good = Packet { goal: "g".into(), left: "l".into(), reason: "r".into(), ..Packet::default() };
        assert_eq!(good.check(), Ok(()));
        assert_eq!(Packet { left: " ".into(), ..good.clone() }.check().expect_err("empty").code, "empty_packet");
        let long = "x".repeat(PACKET_CHARS + 1);
        assert_eq!(Packet { done: long.clone(), ..good.clone() }.check().expect_err("long").code, "packet_too_large");
        assert_eq!(Packet { artifacts: vec![long], ..good }.check().expect_err("long").code, "packet_too_large");
    }
}
