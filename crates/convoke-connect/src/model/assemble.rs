//! Pieces of a streamed reply, put together: text, and tool calls whose arguments come in parts.

use std::borrow::Cow;

use convoke_domain::transcript::{Block, ToolCall, text_of};
use convoke_port::model::Delta;
use serde_json::{Map, Value};

use super::http::Watch;

/// The most tool calls of one reply; more are dropped, since no model means it.
const MAX_CALLS: usize = 128;

/// A tool call on its way.
#[derive(Debug, Default)]
pub(super) struct CallInParts {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) arguments: String,
}

/// The tool calls of one reply, in the order in which they began.
#[derive(Debug)]
pub(super) struct Calls {
    calls: Vec<(usize, CallInParts)>,
    turn: usize,
    overflow: CallInParts,
}

impl Calls {
    /// Calls of the reply that follows `turn` turns; the number makes ids for providers that give none.
    pub(super) fn new(turn: usize) -> Self {
        Self { calls: Vec::new(), turn, overflow: CallInParts::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// The call that a piece belongs to: by index, and a new one where the piece brings an id that is not the call's.
    /// A piece without index belongs to the last call unless it brings a new id.
    pub(super) fn at(&mut self, index: Option<usize>, id: Option<String>) -> &mut CallInParts {
        let last = self.calls.len().checked_sub(1);
        let found = match index {
            Some(index) => self.calls.iter().rposition(|(at, _)| *at == index),
            None => last,
        };
        let fits =
            |at: &usize| id.as_ref().is_none_or(|id| self.calls[*at].1.id.is_empty() || self.calls[*at].1.id == *id);
        let at = match found.filter(fits) {
            Some(at) => at,
            None if self.calls.len() >= MAX_CALLS => return &mut self.overflow,
            None => {
                self.calls.push((index.unwrap_or(self.calls.len()), CallInParts::default()));
                self.calls.len() - 1
            }
        };
        let call = &mut self.calls[at].1;
        if let Some(id) = id {
            call.id = id;
        }
        call
    }

    /// The finished calls; one without a name is none.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Block> + use<> {
        let turn = self.turn;
        let calls = std::mem::take(&mut self.calls).into_iter().enumerate();
        calls.filter(|(_, (_, call))| !call.name.is_empty()).map(move |(at, (_, call))| {
            let id = if call.id.is_empty() { made_up_id(turn, at) } else { call.id };
            Block::ToolCall(ToolCall { id, name: call.name, input: input(&call.arguments) })
        })
    }
}

/// An id for a call that came without: unique within its conversation.
pub(super) fn made_up_id(turn: usize, at: usize) -> String {
    format!("call_{turn}_{at}")
}

/// Arguments as JSON, `{}` where there are none, or the text itself where it is no JSON.
pub(super) fn input(arguments: &str) -> Value {
    if arguments.trim().is_empty() {
        return Value::Object(Map::new());
    }
    serde_json::from_str(arguments).unwrap_or_else(|_| Value::String(arguments.to_owned()))
}

/// Arguments as an object, for APIs that take nothing else: text that is no JSON goes back under a name that says so.
pub(super) fn object(input: &Value) -> Value {
    if input.is_object() { input.clone() } else { serde_json::json!({ "malformed_arguments": input }) }
}

/// All text of `blocks`; copied only where it is in several pieces.
pub(super) fn text(blocks: &[Block]) -> Cow<'_, str> {
    let mut texts = blocks.iter().filter_map(|block| if let Block::Text { text } = block { Some(text) } else { None });
    match (texts.next(), texts.next()) {
        (None, _) => Cow::Borrowed(""),
        (Some(only), None) => Cow::Borrowed(only),
        _ => Cow::Owned(text_of(blocks)),
    }
}

/// Adds a piece of text and tells who watches.
pub(super) fn merge_text(text: &mut String, piece: Option<String>, watch: Watch<'_>) {
    let Some(piece) = piece.filter(|piece| !piece.is_empty()) else { return };
    text.push_str(&piece);
    watch(Delta::Text(piece));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_that_are_no_json_become_a_string() {
        assert_eq!(input("{\"a\": 1}"), serde_json::json!({"a": 1}));
        assert_eq!(input(" "), serde_json::json!({}));
        assert_eq!(input("{\"a\": "), serde_json::json!("{\"a\": "));
        assert_eq!(object(&input("{\"a\": ")), serde_json::json!({"malformed_arguments": "{\"a\": "}));
    }

    #[test]
    fn a_new_id_at_an_old_index_is_a_new_call() {
        let mut calls = Calls::new(1);
        for (index, id, name) in [(Some(0), "a", "x"), (Some(0), "b", "y"), (None, "b", "")] {
            let call = calls.at(index, Some(id.to_owned()));
            if call.name.is_empty() {
                call.name = name.to_owned();
            }
            call.arguments.push('1');
        }
        let made: Vec<_> = calls.take().collect();
        assert_eq!(made.len(), 2);
        let Block::ToolCall(second) = &made[1] else { panic!("a call") };
        assert_eq!((second.id.as_str(), &second.input), ("b", &serde_json::json!(11)));
    }

    #[test]
    fn calls_are_bounded_and_get_ids() {
        let mut calls = Calls::new(3);
        for index in 0..MAX_CALLS + 10 {
            calls.at(Some(index), None).name = "x".to_owned();
        }
        let made: Vec<_> = calls.take().collect();
        assert_eq!(made.len(), MAX_CALLS);
        assert!(matches!(&made[1], Block::ToolCall(call) if call.id == "call_3_1"));
    }
}
