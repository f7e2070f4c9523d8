//! An attempt: one try of a task by one agent, as the fold of its finished steps.
//!
//! What comes next is computed from the exchanges alone, so an attempt that is taken over after a crash goes on exactly
//! where it was, and nothing of the loop itself has to be stored. An exchange is looked at once, when it is taken in: what
//! a turn costs does not depend on how many went before. Start at [`Dialogue::next`].

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::transcript::{Block, Speaker, StopReason, ToolCall, Turn, calls_of, text_of};

/// The same call made this often: the agent is told.
pub const REPEATS_TOLD: usize = 3;
/// The same call made this often: the agent is stopped.
pub const REPEATS_STOPPED: usize = 5;
/// Calls that give something else each time and use no turns up meanwhile: whoever waits for the next message, and the next, does
/// nothing over again. How often is bounded by the turns.
pub const WAITS: [&str; 1] = ["wait_for"];
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
#[derive(Debug, Clone)]
pub struct Dialogue {
    /// What was said, as it is sent; the last exchange is in it from when the next is asked for.
    turns: Arc<Vec<Turn>>,
    /// Bytes of all that.
    size: usize,
    /// Model calls that were answered.
    answered: u32,
    last: Option<Last>,
    /// How often each call was made.
    made: BTreeMap<Identity, usize>,
    /// The call that was made most often, once any was made more than once.
    most: Option<(Identity, usize)>,
    /// Answers that did not fit.
    misfits: usize,
}

/// The last exchange.
#[derive(Debug, Clone)]
struct Last {
    exchange: Exchange,
    /// For each of its calls, how often it had been made by then.
    counts: Vec<usize>,
    /// Why its answer does not fit, if it is one.
    misfit: Option<String>,
    /// It stands in the conversation.
    is_told: bool,
}

/// What makes two calls the same: name and arguments, whatever the order of their keys.
type Identity = (String, String);

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
    /// An attempt that has only been opened.
    pub fn new(opening: Turn) -> Self {
        let size = size_of(&opening);
        Self {
            turns: Arc::new(vec![opening]),
            size,
            answered: 0,
            last: None,
            made: BTreeMap::new(),
            most: None,
            misfits: 0,
        }
    }

    /// How many model calls were answered.
    pub const fn answered(&self) -> u32 {
        self.answered
    }

    /// What the agent said in its last reply, besides calls.
    pub fn said(&self) -> String {
        self.last.as_ref().map(|last| text_of(&last.exchange.reply)).unwrap_or_default()
    }

    /// Takes in the next exchange. `fits` checks an answer and returns it as it shall be kept, or says what is wrong with it.
    pub fn push(&mut self, exchange: Exchange, fits: &dyn Fn(&str) -> Result<String, String>) {
        self.tell_last();
        let counts: Vec<usize> = calls_of(&exchange.reply).map(|call| self.count(call)).collect();
        let misfit = if counts.is_empty() { fits(&text_of(&exchange.reply)).err() } else { None };
        self.misfits += usize::from(misfit.is_some());
        self.answered = self.answered.saturating_add(1);
        self.last = Some(Last { exchange, counts, misfit, is_told: false });
    }

    fn count(&mut self, call: &ToolCall) -> usize {
        if WAITS.contains(&call.name.as_str()) {
            return 1;
        }
        let identity = (call.name.clone(), canonical(&call.input));
        let made = self.made.entry(identity.clone()).or_default();
        *made += 1;
        let made = *made;
        // Of two that were made equally often it is always the same one.
        if made > 1 && self.most.as_ref().is_none_or(|(most, count)| (made, &identity) > (*count, most)) {
            self.most = Some((identity, made));
        }
        made
    }

    /// Takes in the result of a tool call of the `turn`-th exchange, which can only be the last.
    pub fn give_back(&mut self, turn: u32, call_id: &str, result: ToolResult) {
        if let Some(last) = self.last.as_mut().filter(|last| turn == self.answered && !last.is_told) {
            last.exchange.results.insert(call_id.to_owned(), result);
        }
    }

    /// What a call of the last exchange gave back, once it has.
    pub fn result(&self, call_id: &str) -> Option<&ToolResult> {
        self.last.as_ref()?.exchange.results.get(call_id)
    }

    /// What comes next. `fits` is asked of the last answer alone.
    pub fn next(&self, max_turns: u32, fits: &dyn Fn(&str) -> Result<String, String>) -> Next {
        let turn = self.answered.saturating_add(1);
        let Some(last) = &self.last else {
            return Next::CallModel { turn, with_tools: max_turns > 1 };
        };
        if let Some(stop) = self.stopped(last) {
            return stop;
        }
        let (reply, results) = (&last.exchange.reply, &last.exchange.results);
        if last.counts.is_empty() {
            return match fits(&text_of(reply)) {
                Ok(answer) => Next::Answer(answer),
                Err(_) => self.call_again(turn, max_turns),
            };
        }
        let open: Vec<_> = calls_of(reply).filter(|call| !results.contains_key(&call.id)).cloned().collect();
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
    fn stopped(&self, last: &Last) -> Option<Next> {
        let stop = |code, message: String| Some(Next::Stop { code, message });
        let calls = last.counts.len();
        match last.exchange.stop {
            StopReason::ContentFilter => {
                return stop("content_filter", "the provider's filter stopped the reply".into());
            }
            StopReason::Refusal => return stop("model_refused", "the model declined to answer".into()),
            StopReason::MaxTokens if calls == 0 && text_of(&last.exchange.reply).trim().is_empty() => {
                return stop("empty_answer", "the reply ended at its token limit before it said anything".into());
            }
            StopReason::End | StopReason::ToolCalls | StopReason::MaxTokens => {}
        }
        if let Some(reason) = last.misfit.as_ref().filter(|_| self.misfits >= MISFITS_STOPPED) {
            let message = format!("{MISFITS_STOPPED} answers did not fit the schema; the last: {reason}");
            return stop("schema_mismatch", message);
        }
        let ((name, _), count) = self.most.as_ref()?;
        (*count >= REPEATS_STOPPED && calls > 0).then(|| Next::Stop {
            code: "repeated_call",
            message: format!("the agent made the same call to `{name}` {count} times"),
        })
    }

    /// The tool call that the agent is told to stop repeating, and how often it was made.
    pub fn told_of(&self) -> Option<(String, usize)> {
        let ((name, _), count) = self.most.as_ref().filter(|(_, count)| *count >= REPEATS_TOLD)?;
        Some((name.clone(), *count))
    }

    /// The conversation to send, and its bytes: the opening, then every exchange with what the runtime has to say about it.
    /// It is shared, and grows without being copied once the caller has let go of it.
    pub fn turns(&mut self) -> (Arc<Vec<Turn>>, usize) {
        self.tell_last();
        (Arc::clone(&self.turns), self.size)
    }

    /// Adds the last exchange to the conversation, if it is not there.
    fn tell_last(&mut self) {
        let Some(last) = self.last.as_mut().filter(|last| !last.is_told) else { return };
        last.is_told = true;
        let mut blocks: Vec<Block> = Vec::new();
        for (call, count) in calls_of(&last.exchange.reply).zip(&last.counts) {
            blocks.extend(last.exchange.results.get(&call.id).map(|result| answer_to(call, result, *count)));
        }
        if blocks.is_empty() {
            blocks.push(Block::Text { text: objection(last.misfit.as_deref()) });
        }
        let said = Turn { speaker: Speaker::Assistant, blocks: last.exchange.reply.clone() };
        let heard = Turn { speaker: Speaker::User, blocks };
        self.size += size_of(&said) + size_of(&heard);
        Arc::make_mut(&mut self.turns).extend([said, heard]);
    }

    /// Takes in what the agent is given between two turns, such as messages: it stands after all that was said so far.
    pub fn note(&mut self, text: String) {
        self.tell_last();
        let block = Block::Text { text };
        self.size += block.size();
        if let Some(last) = Arc::make_mut(&mut self.turns).last_mut() {
            last.blocks.push(block);
        }
    }
}

/// Bytes of a turn as a bound for its tokens.
fn size_of(turn: &Turn) -> usize {
    turn.blocks.iter().map(Block::size).sum()
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
fn objection(misfit: Option<&str>) -> String {
    let reason = misfit.unwrap_or("the answer was not accepted");
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

    fn fold(exchanges: Vec<Exchange>, fits: &dyn Fn(&str) -> Result<String, String>) -> Dialogue {
        let mut dialogue = Dialogue::new(Turn::user("go"));
        exchanges.into_iter().for_each(|exchange| dialogue.push(exchange, fits));
        dialogue
    }

    fn after(exchanges: Vec<Exchange>) -> Next {
        fold(exchanges, &accept).next(10, &accept)
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
        let dialogue = fold(many, &accept);
        assert_eq!(dialogue.next(2, &accept), Next::CallModel { turn: 3, with_tools: false });
        let more = fold((0..3).map(|n| asked(&[("a", json!({"n": n}))], true)).collect(), &accept);
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
        let mut told = fold(same(3), &accept);
        assert!(matches!(told.next(10, &accept), Next::CallModel { .. }));
        let (turns, _) = told.turns();
        let Some(Block::ToolResult { content, .. }) = turns.last().and_then(|turn| turn.blocks.first()) else {
            panic!("a result")
        };
        assert!(content.contains("call 3 to `search`"), "{content}");
        assert!(matches!(after(same(5)), Next::Stop { code: "repeated_call", .. }));
    }

    #[test]
    fn waiting_again_is_no_repetition() {
        let mut dialogue = Dialogue::new(Turn::user("go"));
        for n in 0..20 {
            let mut again = asked(&[("a", json!({"from": "agent:qq", "timeout_s": 3}))], true);
            let [Block::ToolCall(call)] = again.reply.as_mut_slice() else { panic!("a call") };
            call.name = WAITS[0].to_owned();
            dialogue.push(again, &accept);
            assert_eq!(dialogue.next(100, &accept), Next::CallModel { turn: n + 2, with_tools: true });
        }
        assert_eq!(dialogue.told_of(), None);
        assert!(matches!(dialogue.next(19, &accept), Next::Stop { code: "turn_limit", .. }), "the turns bound it");
    }

    #[test]
    fn a_misfit_gets_one_more_chance() {
        let mut once = fold(vec![said("plain text")], &only_json);
        assert_eq!(once.next(10, &only_json), Next::CallModel { turn: 2, with_tools: true });
        assert!(once.turns().0.last().is_some_and(|turn| turn.text().contains("it is not JSON")));
        let twice = fold(vec![said("plain text"), said("again")], &only_json);
        assert!(matches!(twice.next(10, &only_json), Next::Stop { code: "schema_mismatch", .. }));
        let mended = fold(vec![said("plain text"), said("{}")], &only_json);
        assert_eq!(mended.next(10, &only_json), Next::Answer("{}".into()));
    }

    #[test]
    fn notes_stand_where_they_came() {
        let mut dialogue = Dialogue::new(Turn::user("go"));
        dialogue.note("first".to_owned());
        dialogue.push(asked(&[("a", json!({}))], true), &accept);
        dialogue.note("second".to_owned());
        let (turns, size) = dialogue.turns();
        assert_eq!(size, turns.iter().map(size_of).sum::<usize>());
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

    #[test]
    fn the_conversation_grows_in_its_place_and_looks_at_each_answer_once() {
        let looked = std::cell::Cell::new(0);
        let fits = |text: &str| {
            looked.set(looked.get() + 1);
            only_json(text)
        };
        let mut dialogue = Dialogue::new(Turn::user("go"));
        dialogue.push(said("plain text"), &fits);
        let mut moved = 0;
        for n in 0..1_000_u32 {
            let (before, (turns, size)) = (dialogue.turns.as_ptr(), dialogue.turns());
            let sum: usize = if n % 100 == 0 { turns.iter().map(size_of).sum() } else { size };
            assert_eq!((turns.len(), sum), (n as usize * 2 + 3, size));
            drop(turns);
            moved += usize::from(dialogue.turns.as_ptr() != before);
            assert!(matches!(dialogue.next(10_000, &fits), Next::CallModel { turn, .. } if turn == n + 2));
            dialogue.push(asked(&[("a", json!({"n": n}))], false), &fits);
            dialogue.give_back(n + 2, "a", ToolResult { content: "ok".into(), is_error: false });
        }
        assert_eq!(looked.get(), 2, "once when it came, once to see what follows");
        assert!(moved < 20, "{moved} times");
    }

    #[test]
    fn each_call_is_told_how_often_it_was_made_by_then() {
        let same = json!({"x": 1});
        let mut dialogue = fold(vec![asked(&[("a", same.clone()), ("b", same.clone()), ("c", same)], true)], &accept);
        assert_eq!(dialogue.told_of(), Some(("search".to_owned(), 3)));
        let (turns, _) = dialogue.turns();
        let told = turns[2].blocks.iter().map(|block| {
            let Block::ToolResult { content, .. } = block else { panic!("a result") };
            content.contains("this is call 3 to `search`")
        });
        assert_eq!(told.collect::<Vec<_>>(), [false, false, true]);
    }
}
