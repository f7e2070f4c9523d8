//! An attempt: one try of a task by one agent, as the fold of its finished steps.
//!
//! What comes next is computed from the exchanges alone, so an attempt that is taken over after a crash goes on exactly
//! where it was, and nothing of the loop itself has to be stored. Start at [`Dialogue::next`].

use std::collections::BTreeMap;

use serde_json::Value;

use crate::transcript::{Block, Speaker, StopReason, ToolCall, Turn, calls_of, text_of};

/// The same call made this often: the agent is told.
pub const REPEATS_TOLD: usize = 3;
/// The same call made this often: the agent is stopped.
pub const REPEATS_STOPPED: usize = 5;
/// Answers that do not fit the schema before the attempt fails.
pub const MISFITS_STOPPED: usize = 2;

/// What a tool call gave back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolResult {
    /// As the model reads it.
    pub content: String,
    /// It failed or was denied.
    pub is_error: bool,
}

/// One model call and the tool calls that followed from it.
#[derive(Debug, Clone, PartialEq)]
pub struct Exchange {
    /// What the model said.
    pub reply: Vec<Block>,
    /// Why it stopped.
    pub stop: StopReason,
    /// Results so far by call id.
    pub results: BTreeMap<String, ToolResult>,
}

/// The attempt so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Dialogue {
    /// Finished model calls in order, each with the tool results that have come.
    pub exchanges: Vec<Exchange>,
    /// What the agent was given between turns, each with the number of exchanges before it, in order.
    pub notes: Vec<(usize, String)>,
}

/// What an attempt does next.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Call the model for the `turn`-th time (from 1); without tools on the last turn allowed.
    CallModel {
        /// Which model call this is, from 1.
        turn: u32,
        /// Whether tools are offered.
        with_tools: bool,
    },
    /// Run these calls of the last reply.
    RunTools(Vec<ToolCall>),
    /// The attempt is done.
    Answer(String),
    /// The attempt has failed.
    Stop {
        /// Stable: `turn_limit`, `repeated_call`, `schema_mismatch`, `content_filter`, `model_refused`, `empty_answer`.
        code: &'static str,
        /// One sentence.
        message: String,
    },
}

impl Dialogue {
    /// What comes next. `fits` checks an answer and returns it as it shall be kept, or says what is wrong with it.
    pub fn next(&self, max_turns: u32, fits: &dyn Fn(&str) -> Result<String, String>) -> Next {
        let turn = u32::try_from(self.exchanges.len()).unwrap_or(u32::MAX).saturating_add(1);
        let Some(last) = self.exchanges.last() else {
            return Next::CallModel { turn, with_tools: max_turns > 1 };
        };
        if let Some(stop) = self.stopped(last, fits) {
            return stop;
        }
        if calls_of(&last.reply).next().is_none() {
            return match fits(&text_of(&last.reply)) {
                Ok(answer) => Next::Answer(answer),
                Err(_) => self.call_again(turn, max_turns),
            };
        }
        let open: Vec<_> = calls_of(&last.reply).filter(|call| !last.results.contains_key(&call.id)).cloned().collect();
        if open.is_empty() { self.call_again(turn, max_turns) } else { Next::RunTools(open) }
    }

    fn call_again(&self, turn: u32, max_turns: u32) -> Next {
        if turn > max_turns.saturating_add(1) {
            let message = format!("no answer after {max_turns} model calls and one more without tools");
            return Next::Stop { code: "turn_limit", message };
        }
        // Past the limit the agent gets one last call, without tools, to say what it has.
        Next::CallModel { turn, with_tools: turn <= max_turns }
    }

    /// The reasons to stop at once.
    fn stopped(&self, last: &Exchange, fits: &dyn Fn(&str) -> Result<String, String>) -> Option<Next> {
        let stop = |code, message: String| Some(Next::Stop { code, message });
        let calls = calls_of(&last.reply).count();
        match last.stop {
            StopReason::ContentFilter => {
                return stop("content_filter", "the provider's filter stopped the reply".into());
            }
            StopReason::Refusal => return stop("model_refused", "the model declined to answer".into()),
            StopReason::MaxTokens if calls == 0 && text_of(&last.reply).trim().is_empty() => {
                return stop("empty_answer", "the reply ended at its token limit before it said anything".into());
            }
            StopReason::End | StopReason::ToolCalls | StopReason::MaxTokens => {}
        }
        let misfits = self.misfits(fits);
        if misfits.len() >= MISFITS_STOPPED {
            let reason = misfits.into_iter().last().unwrap_or_default();
            return stop(
                "schema_mismatch",
                format!("{MISFITS_STOPPED} answers did not fit the schema; the last: {reason}"),
            );
        }
        let (name, count) = self.most_repeated()?;
        (count >= REPEATS_STOPPED && calls > 0).then(|| Next::Stop {
            code: "repeated_call",
            message: format!("the agent made the same call to `{name}` {count} times"),
        })
    }

    /// Why each answer so far did not fit, in order.
    fn misfits(&self, fits: &dyn Fn(&str) -> Result<String, String>) -> Vec<String> {
        let answers = self.exchanges.iter().filter(|exchange| calls_of(&exchange.reply).next().is_none());
        answers.filter_map(|exchange| fits(&text_of(&exchange.reply)).err()).collect()
    }

    /// The tool call that the agent is told to stop repeating, and how often it was made.
    pub fn told_of(&self) -> Option<(String, usize)> {
        self.most_repeated().filter(|(_, count)| *count >= REPEATS_TOLD)
    }

    /// The tool call that was made most often with the same arguments, if any was made more than once.
    fn most_repeated(&self) -> Option<(String, usize)> {
        let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
        for call in self.exchanges.iter().flat_map(|exchange| calls_of(&exchange.reply)) {
            *counts.entry(identity(call)).or_default() += 1;
        }
        counts
            .into_iter()
            .filter(|(_, count)| *count > 1)
            .max_by_key(|(_, count)| *count)
            .map(|((name, _), n)| (name, n))
    }

    /// The conversation to send: `opening`, then every exchange with what the runtime has to say about it.
    pub fn turns(&self, opening: Turn, fits: &dyn Fn(&str) -> Result<String, String>) -> Vec<Turn> {
        let mut turns = vec![opening];
        self.add_notes(0, &mut turns);
        let mut seen: BTreeMap<(String, String), usize> = BTreeMap::new();
        for (place, exchange) in self.exchanges.iter().enumerate() {
            turns.push(Turn { speaker: Speaker::Assistant, blocks: exchange.reply.clone() });
            let mut blocks: Vec<Block> = Vec::new();
            for call in calls_of(&exchange.reply) {
                let count = seen.entry(identity(call)).or_default();
                *count += 1;
                blocks.extend(exchange.results.get(&call.id).map(|result| answer_to(call, result, *count)));
            }
            if blocks.is_empty() {
                blocks.push(Block::Text { text: objection(exchange, fits) });
            }
            turns.push(Turn { speaker: Speaker::User, blocks });
            self.add_notes(place + 1, &mut turns);
        }
        turns
    }

    /// Adds what was given to the agent after `place` exchanges to the turn that is last.
    fn add_notes(&self, place: usize, turns: &mut [Turn]) {
        let Some(last) = turns.last_mut() else { return };
        let here = self.notes.iter().filter(|(after, _)| *after == place);
        last.blocks.extend(here.map(|(_, text)| Block::Text { text: text.clone() }));
    }
}

/// What makes two calls the same: name and arguments, whatever the order of their keys.
fn identity(call: &ToolCall) -> (String, String) {
    (call.name.clone(), canonical(&call.input))
}

/// JSON text with keys in order, for hashing and comparing.
pub fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<_, _> = map.iter().collect();
            let fields: Vec<_> = sorted
                .iter()
                .map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), canonical(value)))
                .collect();
            format!("{{{}}}", fields.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

fn answer_to(call: &ToolCall, result: &ToolResult, count: usize) -> Block {
    let mut content = result.content.clone();
    if count >= REPEATS_TOLD {
        content.push_str(&format!(
            "\n\nNote from the runtime: this is call {count} to `{}` with the same arguments. Work with what you have, or \
             answer; after {REPEATS_STOPPED} such calls you will be stopped.",
            call.name
        ));
    }
    Block::ToolResult { call_id: call.id.clone(), name: call.name.clone(), content, is_error: result.is_error }
}

/// What to say to an answer that was not accepted.
fn objection(exchange: &Exchange, fits: &dyn Fn(&str) -> Result<String, String>) -> String {
    let reason = fits(&text_of(&exchange.reply)).err().unwrap_or_else(|| "the answer was not accepted".to_owned());
    format!("Your answer could not be used: {reason}. Answer again, with nothing but JSON that fits the schema.")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn accept(text: &str) -> Result<String, String> {
        Ok(text.to_owned())
    }

    fn only_json(text: &str) -> Result<String, String> {
        serde_json::from_str::<Value>(text).map(|value| value.to_string()).map_err(|_| "it is not JSON".to_owned())
    }

    fn said(text: &str) -> Exchange {
        Exchange { reply: vec![Block::Text { text: text.into() }], stop: StopReason::End, results: BTreeMap::new() }
    }

    fn asked(calls: &[(&str, Value)], answered: bool) -> Exchange {
        let reply = calls
            .iter()
            .map(|(id, input)| {
                Block::ToolCall(ToolCall { id: (*id).into(), name: "search".into(), input: input.clone() })
            })
            .collect();
        let done = ToolResult { content: "ok".into(), is_error: false };
        let results = calls.iter().filter(|_| answered).map(|(id, _)| ((*id).to_owned(), done.clone())).collect();
        Exchange { reply, stop: StopReason::ToolCalls, results }
    }

    fn after(exchanges: Vec<Exchange>) -> Next {
        Dialogue { exchanges, ..Dialogue::default() }.next(10, &accept)
    }

    #[test]
    fn begins_with_a_model_call_and_ends_with_an_answer() {
        assert_eq!(after(vec![]), Next::CallModel { turn: 1, with_tools: true });
        assert_eq!(after(vec![said("done")]), Next::Answer("done".into()));
    }

    #[test]
    fn only_calls_without_a_result_are_run() {
        let mut exchange = asked(&[("a", json!({"p": 1})), ("b", json!({"p": 2}))], true);
        exchange.results.remove("b");
        let Next::RunTools(open) = after(vec![exchange]) else { panic!("b is open") };
        assert_eq!(open.iter().map(|call| call.id.as_str()).collect::<Vec<_>>(), ["b"]);
        assert_eq!(after(vec![asked(&[("a", json!({}))], true)]), Next::CallModel { turn: 2, with_tools: true });
    }

    #[test]
    fn the_last_turn_has_no_tools_and_then_it_ends() {
        let many: Vec<_> = (0..2).map(|n| asked(&[("a", json!({"n": n}))], true)).collect();
        let dialogue = Dialogue { exchanges: many, ..Dialogue::default() };
        assert_eq!(dialogue.next(2, &accept), Next::CallModel { turn: 3, with_tools: false });
        let exchanges = (0..3).map(|n| asked(&[("a", json!({"n": n}))], true)).collect();
        let more = Dialogue { exchanges, ..Dialogue::default() };
        assert!(matches!(more.next(2, &accept), Next::Stop { code: "turn_limit", .. }));
    }

    #[test]
    fn a_repeated_call_is_told_then_stopped() {
        let same = |count: usize| -> Vec<Exchange> {
            (0..count)
                .map(|n| {
                    asked(
                        &[(
                            &format!("id{n}"),
                            if n % 2 == 0 { json!({"x": 1, "y": 2}) } else { json!({"y": 2, "x": 1}) },
                        )],
                        true,
                    )
                })
                .collect()
        };
        let told = Dialogue { exchanges: same(3), ..Dialogue::default() };
        assert!(matches!(told.next(10, &accept), Next::CallModel { .. }));
        let turns = told.turns(Turn::user("go"), &accept);
        let Some(Block::ToolResult { content, .. }) = turns.last().and_then(|turn| turn.blocks.first()) else {
            panic!("a result")
        };
        assert!(content.contains("call 3 to `search`"), "{content}");
        assert!(matches!(after(same(5)), Next::Stop { code: "repeated_call", .. }));
    }

    #[test]
    fn a_misfit_gets_one_more_chance() {
        let once = Dialogue { exchanges: vec![said("plain text")], ..Dialogue::default() };
        assert_eq!(once.next(10, &only_json), Next::CallModel { turn: 2, with_tools: true });
        assert!(
            once.turns(Turn::user("go"), &only_json).last().is_some_and(|turn| turn.text().contains("it is not JSON"))
        );
        let twice = Dialogue { exchanges: vec![said("plain text"), said("again")], ..Dialogue::default() };
        assert!(matches!(twice.next(10, &only_json), Next::Stop { code: "schema_mismatch", .. }));
        let mended = Dialogue { exchanges: vec![said("plain text"), said("{}")], ..Dialogue::default() };
        assert_eq!(mended.next(10, &only_json), Next::Answer("{}".into()));
    }

    #[test]
    fn notes_stand_where_they_came() {
        let exchanges = vec![asked(&[("a", json!({}))], true)];
        let notes = vec![(0, "first".to_owned()), (1, "second".to_owned())];
        let turns = Dialogue { exchanges, notes }.turns(Turn::user("go"), &accept);
        assert_eq!(turns.len(), 3, "a note is no turn of its own: speakers take turns");
        assert!(turns[0].text().ends_with("first"), "{:?}", turns[0]);
        assert!(
            matches!(turns[2].blocks.as_slice(), [Block::ToolResult { .. }, Block::Text { text }] if text == "second")
        );
    }

    #[test]
    fn filters_and_refusals_end_the_attempt() {
        for (stop, code) in [(StopReason::ContentFilter, "content_filter"), (StopReason::Refusal, "model_refused")] {
            let next = after(vec![Exchange { stop, ..said("") }]);
            assert!(matches!(next, Next::Stop { code: found, .. } if found == code), "{next:?}");
        }
    }
}
