//! Pace: how fast and how long a pair may write to each other, decided from a few values kept beside their thread.
//!
//! Rule: what a person or the system writes is never held up, and starts the count anew. Start at [`Pace::admit`].

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::RunId;
use crate::refusal::Refusal;
use crate::thread::Party;
use crate::time::Timestamp;

/// Messages of one sender in one thread within [`WINDOW`].
pub const RATE: u32 = 60;
/// The window of [`RATE`].
pub const WINDOW: Duration = Duration::from_secs(60);
/// Messages that go to and fro between two agents before both are told.
pub const TOLD_AT: u32 = 16;
/// Messages that go to and fro between two agents before they are stopped.
pub const STOPPED_AT: u32 = 24;
/// Replies to replies to replies that a message may be.
pub const HOPS: u32 = 32;

/// What is remembered of a thread's (or a sender's) last messages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pace {
    /// The run of the last message; another run starts anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// When the window began.
    pub since: i64,
    /// Who wrote in the window, and how often.
    pub sent: Vec<(String, u32)>,
    /// The last two senders, the latest first.
    pub last: [String; 2],
    /// How many messages went to and fro between these two.
    pub volleys: u32,
    /// They were stopped, and whoever is above them knows.
    pub stopped: bool,
}

/// A message may pass; `told` is what both must hear with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// A word of warning, given once.
    pub told: Option<String>,
}

impl Pace {
    /// Whether `from` may write now; remembers that it did if so.
    pub fn admit(&mut self, from: &Party, run: Option<RunId>, now: Timestamp) -> Result<Admitted, Refusal> {
        if !matches!(from, Party::Agent(_)) {
            *self = Self::default();
            return Ok(Admitted { told: None });
        }
        if self.run != run {
            *self = Self { run, ..Self::default() };
        }
        let volleys = self.volley_of(from.name());
        if volleys >= STOPPED_AT {
            let (one, other) = (from.name(), &self.last[0]);
            let message = format!(
                "`{one}` and `{other}` have written {volleys} messages to and fro without anybody else; they are stopped"
            );
            return Err(Refusal::new("ping_pong", message).hint("finish with what you have, or escalate"));
        }
        self.count(from.name(), now)?;
        let is_new = volleys > self.volleys;
        self.volleys = volleys;
        if self.last[0] != from.name() {
            let [last, _] = std::mem::take(&mut self.last);
            self.last = [from.name().to_owned(), last];
        }
        let told = (is_new && volleys == TOLD_AT).then(|| {
            format!(
                "These messages go to and fro: {volleys} by now, and no more than {STOPPED_AT} will pass. Come to an end."
            )
        });
        Ok(Admitted { told })
    }

    /// How long the exchange of the last two is if `from` writes now.
    fn volley_of(&self, from: &str) -> u32 {
        let [last, before] = &self.last;
        match (last == from, before == from || before.is_empty()) {
            // Two in a row are no exchange, and end none.
            (true, _) => self.volleys,
            (false, true) => self.volleys + 1,
            (false, false) => 1,
        }
    }

    fn count(&mut self, from: &str, now: Timestamp) -> Result<(), Refusal> {
        let since = Timestamp::from_micros(self.since);
        if now.since(since) >= WINDOW || now < since {
            self.since = now.as_micros();
            self.sent.clear();
        }
        match self.sent.iter_mut().find(|(who, _)| who == from) {
            Some((_, count)) if *count >= RATE => {
                let left = WINDOW.saturating_sub(now.since(Timestamp::from_micros(self.since))).as_secs() + 1;
                let message = format!("`{from}` has sent {RATE} messages here within {} s", WINDOW.as_secs());
                Err(Refusal::new("too_fast", message)
                    .hint(format!("go on in {left} s, or put what you have to say into one message")))
            }
            Some((_, count)) => {
                *count += 1;
                Ok(())
            }
            None => {
                self.sent.push((from.to_owned(), 1));
                Ok(())
            }
        }
    }
}

/// Refuses a chain of replies that has no end.
pub fn check_hops(hops: u32) -> Result<(), Refusal> {
    if hops <= HOPS {
        return Ok(());
    }
    let message = format!("this would be the reply number {hops} in a row; {HOPS} may follow each other");
    Err(Refusal::new("too_many_hops", message).hint("finish with what you have, or escalate"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(name: &str) -> Party {
        Party::Agent(name.into())
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn a_pair_is_told_once_then_stopped_until_somebody_else_speaks() {
        let mut pace = Pace::default();
        let names = ["a", "b"];
        let mut told = 0;
        for n in 0..STOPPED_AT as usize - 1 {
            let admitted = pace.admit(&agent(names[n % 2]), None, at(n as i64 * 10)).expect("not yet");
            told += u32::from(admitted.told.is_some());
        }
        assert_eq!(told, 1);
        let next = agent(names[(STOPPED_AT as usize - 1) % 2]);
        assert_eq!(pace.admit(&next, None, at(2_000)).expect_err("stopped").code, "ping_pong");
        assert_eq!(pace.admit(&Party::User("u".into()), None, at(2_001)), Ok(Admitted { told: None }));
        pace.admit(&agent("a"), None, at(2_002)).expect("goes on after a person spoke");
    }

    #[test]
    fn a_sender_has_a_rate() {
        let mut pace = Pace::default();
        for _ in 0..RATE {
            pace.admit(&agent("a"), None, at(0)).expect("within the rate");
        }
        let refusal = pace.admit(&agent("a"), None, at(1)).expect_err("too fast");
        assert_eq!(refusal.code, "too_fast");
        assert_eq!(refusal.hint.as_deref(), Some("go on in 60 s, or put what you have to say into one message"));
        pace.admit(&agent("b"), None, at(1)).expect("its own rate");
        pace.admit(&agent("a"), None, at(60)).expect("a new window");
    }

    #[test]
    fn replies_to_replies_come_to_an_end() {
        assert_eq!(check_hops(HOPS), Ok(()));
        assert_eq!(check_hops(HOPS + 1).expect_err("too many").code, "too_many_hops");
    }
}
