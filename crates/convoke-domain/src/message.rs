//! A message: its kind, what each recipient's receipt says, the order of delivery, and the one end of a question.
//!
//! Rule: a receipt never goes back, and a question ends once. Start at [`Kind`]; `docs/state/receipt.md` and
//! `docs/state/question.md` are printed from [`mark`] and [`conclude`].

use serde::{Deserialize, Serialize};

use crate::id::ThreadId;
use crate::refusal::Refusal;
use crate::task::Priority;
use crate::time::Timestamp;

pub mod template;
#[cfg(test)]
mod tests;

/// The most bytes of a body.
pub const BODY_BYTES: usize = 64 * 1024;
/// The most characters of a subject.
pub const SUBJECT_CHARS: usize = 200;
/// The most recipients that one message names; more are reached through a channel.
pub const RECIPIENTS: usize = 100;
/// The most options of a question.
pub const OPTIONS: usize = 20;
/// The most characters of an option.
pub const OPTION_CHARS: usize = 200;
/// The most bytes of a rationale and of an impact.
pub const REASON_BYTES: usize = 8 * 1024;
/// Seconds until a question to agents takes its default, unless it sets its own.
pub const QUESTION_S: u64 = 120;
/// The longest that anybody may wait for a message or an answer, in seconds.
pub const WAIT_MOST_S: u64 = 24 * 60 * 60;
/// Seconds of a wait for a message, unless it sets its own.
pub const WAIT_S: u64 = 300;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$note:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$note])* $variant,)+ }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name in JSON and the store.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// Reads the name.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

words! {
    /// What a message is.
    Kind {
        /// Something worth knowing.
        Note = "note",
        /// Something found out, with its evidence.
        Finding = "finding",
        /// Something that must not wait.
        Alert = "alert",
        /// A question that somebody must decide or answer.
        Question = "question",
        /// What was decided.
        Decision = "decision",
        /// A request that gets one response.
        Request = "request",
        /// The response to a request.
        Response = "response",
        /// A task was given.
        TaskAssignment = "task_assignment",
        /// Control is handed over.
        Handoff = "handoff",
        /// Somebody above must look.
        Escalation = "escalation",
    }
}

impl Kind {
    /// True where exactly one answer ends it.
    pub const fn wants_answer(self) -> bool {
        match self {
            Self::Question | Self::Request => true,
            Self::Note
            | Self::Finding
            | Self::Alert
            | Self::Decision
            | Self::Response
            | Self::TaskAssignment
            | Self::Handoff
            | Self::Escalation => false,
        }
    }

    /// The kind of the message that ends it.
    pub const fn answer(self) -> Self {
        match self {
            Self::Request => Self::Response,
            _ => Self::Decision,
        }
    }

    /// True where an agent may choose it for a message of its own; the others come with their protocol.
    pub const fn is_free(self) -> bool {
        matches!(self, Self::Note | Self::Finding | Self::Alert)
    }
}

words! {
    /// How far a message has come with one recipient.
    Receipt {
        /// It is stored.
        Queued = "queued",
        /// It was given to the recipient.
        Delivered = "delivered",
        /// The recipient has gone on with it: the model answered, the person looked.
        Read = "read",
        /// The recipient replied.
        Answered = "answered",
    }
}

words! {
    /// What happens to a receipt.
    Mark {
        /// It is given to the recipient.
        Deliver = "deliver",
        /// The recipient has seen it.
        Read = "read",
        /// The recipient replies.
        Answer = "answer",
    }
}

/// Where `mark` takes a receipt, or why it must not.
pub fn mark(state: Receipt, mark: Mark) -> Result<Receipt, Refusal> {
    use Receipt as R;
    match (state, mark) {
        (R::Queued, Mark::Deliver) => Ok(R::Delivered),
        (R::Delivered, Mark::Read) => Ok(R::Read),
        // Whoever replies has read it.
        (R::Delivered | R::Read, Mark::Answer) => Ok(R::Answered),
        (R::Queued, Mark::Read | Mark::Answer)
        | (R::Delivered | R::Read | R::Answered, Mark::Deliver)
        | (R::Read, Mark::Read)
        | (R::Answered, Mark::Read | Mark::Answer) => {
            let message = format!("cannot {} a message that is {}", mark.as_str(), state.as_str());
            Err(Refusal::new("illegal_transition", message))
        }
    }
}

words! {
    /// How a question or a request stands.
    Standing {
        /// It waits for its answer.
        Open = "open",
        /// Somebody answered.
        Answered = "answered",
        /// Its time came, and its default was taken.
        Defaulted = "defaulted",
        /// Its time came, and it had no default.
        Expired = "expired",
        /// It needs no answer any more.
        Withdrawn = "withdrawn",
        /// What was decided was replaced by somebody with the authority to do so.
        Overridden = "overridden",
    }
}

words! {
    /// What may end a question or a request.
    Conclusion {
        /// An addressee answers.
        Answer = "answer",
        /// Its time came; it has a default.
        Default = "default",
        /// Its time came; it has none, or nobody can answer.
        Expire = "expire",
        /// Whoever asked does not need it any more.
        Withdraw = "withdraw",
        /// Somebody with the authority replaces what was decided.
        Override = "override",
    }
}

/// Where `conclusion` takes a question, or why it must not: it ends once, and what was decided then may be replaced.
pub fn conclude(standing: Standing, conclusion: Conclusion) -> Result<Standing, Refusal> {
    match (standing, conclusion) {
        (Standing::Open, Conclusion::Answer) => Ok(Standing::Answered),
        (Standing::Open, Conclusion::Default) => Ok(Standing::Defaulted),
        (Standing::Open, Conclusion::Expire) => Ok(Standing::Expired),
        (Standing::Open, Conclusion::Withdraw) => Ok(Standing::Withdrawn),
        (Standing::Answered | Standing::Defaulted | Standing::Overridden, Conclusion::Override) => {
            Ok(Standing::Overridden)
        }
        (Standing::Open | Standing::Expired | Standing::Withdrawn, Conclusion::Override) => {
            let message = format!("no decision stands: the question is {}", standing.as_str());
            Err(Refusal::new("no_decision", message))
        }
        (
            Standing::Answered | Standing::Defaulted | Standing::Expired | Standing::Withdrawn | Standing::Overridden,
            Conclusion::Answer | Conclusion::Default | Conclusion::Expire | Conclusion::Withdraw,
        ) => {
            let (doing, how) = (conclusion.as_str(), standing.as_str());
            Err(Refusal::new("question_closed", format!("cannot {doing} a question that is {how}; it has one end")))
        }
    }
}

/// The most times that one decision is replaced; then people talk it over.
pub const OVERRIDES: usize = 20;

/// Checks what replaces a decision that stands: another choice, and a reason for it.
pub fn check_override(terms: &Ask, was: Option<&str>, (choice, reason): (&str, &str)) -> Result<(), Refusal> {
    terms.check_choice(choice)?;
    if reason.trim().is_empty() {
        return Err(Refusal::new("no_reason", "whoever replaces a decision says why"));
    }
    if reason.len() > REASON_BYTES {
        return Err(Refusal::new("message_too_large", format!("the reason may have {REASON_BYTES} bytes")));
    }
    if was == Some(choice) {
        return Err(Refusal::new("decided_so", "that is what was decided; there is nothing to replace"));
    }
    Ok(())
}

/// Checks what a message says of itself.
pub fn check(subject: Option<&str>, body: &str) -> Result<(), Refusal> {
    if body.trim().is_empty() {
        return Err(Refusal::new("empty_message", "the message has no body").hint("say what there is to say"));
    }
    if body.len() > BODY_BYTES {
        let message = format!("the body has {} bytes; a message has at most {BODY_BYTES}", body.len());
        let hint = "put the rest into a file or into the shared context, and say where it is";
        return Err(Refusal::new("message_too_large", message).hint(hint));
    }
    let chars = subject.map_or(0, |subject| subject.chars().count());
    if chars > SUBJECT_CHARS {
        let message = format!("the subject has {chars} characters; it may have {SUBJECT_CHARS}");
        return Err(Refusal::new("subject_too_long", message));
    }
    Ok(())
}

/// What a question offers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// What may be chosen; anything may be said if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// What is taken when nobody answers in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Seconds until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within_s: Option<u64>,
    /// What depends on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub impact: Option<String>,
}

impl Ask {
    /// Checks options, default and time.
    pub fn check(&self) -> Result<(), Refusal> {
        if self.options.len() > OPTIONS {
            let message = format!("the question has {} options; it may have {OPTIONS}", self.options.len());
            return Err(Refusal::new("too_many_options", message));
        }
        if let Some(option) = self.options.iter().find(|option| bad_option(option)) {
            let shown: String = option.chars().take(40).collect();
            let message = format!("the option `{shown}` is empty or longer than {OPTION_CHARS} characters");
            return Err(Refusal::new("bad_option", message));
        }
        if let Some(default) = &self.default {
            self.check_choice(default).map_err(|refusal| Refusal { code: "bad_default".into(), ..refusal })?;
        }
        match self.within_s {
            Some(0) => Err(Refusal::new("bad_deadline", "a question needs at least 1 s")),
            Some(s) if s > WAIT_MOST_S => {
                let message = format!("a question waits at most {WAIT_MOST_S} s, not {s}");
                Err(Refusal::new("bad_deadline", message))
            }
            _ if self.impact.as_ref().is_some_and(|impact| impact.len() > REASON_BYTES) => {
                Err(Refusal::new("message_too_large", format!("the impact may have {REASON_BYTES} bytes")))
            }
            _ => Ok(()),
        }
    }

    /// Checks an answer: one of the options where there are any.
    pub fn check_choice(&self, choice: &str) -> Result<(), Refusal> {
        if choice.trim().is_empty() {
            return Err(Refusal::new("empty_message", "the answer is empty").hint(self.what_to_say()));
        }
        if choice.len() > BODY_BYTES {
            let message = format!("the answer has {} bytes; it may have {BODY_BYTES}", choice.len());
            return Err(Refusal::new("message_too_large", message));
        }
        if self.options.is_empty() || self.options.iter().any(|option| option == choice) {
            return Ok(());
        }
        let shown: String = choice.chars().take(80).collect();
        Err(Refusal::new("not_an_option", format!("`{shown}` is none of the options")).hint(self.what_to_say()))
    }

    fn what_to_say(&self) -> String {
        let options: Vec<_> = self.options.iter().map(|option| format!("`{option}`")).collect();
        if options.is_empty() {
            "say what the answer is".to_owned()
        } else {
            format!("choose one of {}", options.join(", "))
        }
    }

    /// When it must be answered: agents have [`QUESTION_S`] unless it says otherwise, people as long as they need.
    pub fn due(&self, asks_person: bool, now: Timestamp) -> Option<Timestamp> {
        let within = self.within_s.or((!asks_person).then_some(QUESTION_S));
        within.map(|seconds| now.after(std::time::Duration::from_secs(seconds)))
    }
}

fn bad_option(option: &str) -> bool {
    option.trim().is_empty() || option.chars().count() > OPTION_CHARS
}

/// A message that waits to be delivered, with all that its order depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting<T> {
    /// Its thread.
    pub thread: ThreadId,
    /// Its place in the thread.
    pub n: i64,
    /// How urgent it is.
    pub priority: Priority,
    /// When it was stored.
    pub at: Timestamp,
    /// The message.
    pub what: T,
}

/// The order of delivery: the thread with the most urgent message first, and each thread in its own order.
///
/// An urgent message lifts those that stand before it in its thread, so nothing overtakes within a thread.
pub fn in_order<T>(mut waiting: Vec<Waiting<T>>) -> Vec<Waiting<T>> {
    waiting.sort_by_key(|message| (message.thread, std::cmp::Reverse(message.n)));
    let mut keyed = Vec::with_capacity(waiting.len());
    let mut lifted: Option<(ThreadId, Priority)> = None;
    for message in waiting {
        let urgent = match lifted {
            // `Critical` is the smallest.
            Some((thread, priority)) if thread == message.thread => priority.min(message.priority),
            _ => message.priority,
        };
        lifted = Some((message.thread, urgent));
        keyed.push((urgent, message));
    }
    // Clocks may stand still or go back; within a thread only the place counts, so the thread's order is put on top.
    keyed.sort_by_key(|(urgent, message)| (*urgent, message.at, message.thread, message.n));
    restore_threads(keyed.into_iter().map(|(_, message)| message).collect())
}

/// Leaves every thread its slots, and fills them in the thread's order.
fn restore_threads<T>(ordered: Vec<Waiting<T>>) -> Vec<Waiting<T>> {
    let slots: Vec<_> = ordered.iter().map(|message| message.thread).collect();
    let mut of_thread: std::collections::BTreeMap<ThreadId, Vec<Waiting<T>>> = Default::default();
    for message in ordered {
        of_thread.entry(message.thread).or_default().push(message);
    }
    for messages in of_thread.values_mut() {
        messages.sort_by_key(|message| std::cmp::Reverse(message.n));
    }
    slots.into_iter().filter_map(|thread| of_thread.get_mut(&thread)?.pop()).collect()
}
