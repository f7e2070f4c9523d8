//! The script's stand-ins for what a real model has by nature: ids, delays, token counts. All from the request alone.

use convoke_domain::transcript::{Block, Usage};
use convoke_port::model::ModelRequest;

use super::file::Latency;

/// Characters taken for one token where a script does not give its usage.
const CHARS_PER_TOKEN: u64 = 4;

/// FNV-1a, 64 bits (Fowler, Noll, Vo): small, and the same on every machine and in every version.
pub(super) fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// An id for the response to the step `key`.
pub(super) fn response_id(key: &str) -> String {
    format!("script-{:016x}", hash(key))
}

/// The delay of the step `key`, in milliseconds.
pub(super) fn delay_ms(latency: Latency, key: &str) -> u64 {
    match latency {
        Latency::Fixed(ms) => ms,
        Latency::Between { min, max } => min + hash(key) % (max.saturating_sub(min) + 1),
    }
}

/// Usage guessed from characters: all that went in and all that came out.
pub(super) fn usage(request: &ModelRequest, reply: &[Block]) -> Usage {
    let turns: u64 = request.turns.iter().flat_map(|turn| &turn.blocks).map(chars).sum();
    let tools: u64 = request.tools.iter().map(|tool| len(&tool.name) + len(&tool.description)).sum();
    Usage {
        input_tokens: (len(&request.system) + turns + tools).div_ceil(CHARS_PER_TOKEN),
        output_tokens: reply.iter().map(chars).sum::<u64>().div_ceil(CHARS_PER_TOKEN),
        ..Usage::default()
    }
}

fn chars(block: &Block) -> u64 {
    match block {
        Block::Text { text } => len(text),
        Block::ToolCall(call) => len(&call.name) + len(&call.input.to_string()),
        Block::ToolResult { content, .. } => len(content),
        Block::Opaque { .. } => 0,
    }
}

fn len(text: &str) -> u64 {
    text.chars().count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_fnv_1a() {
        // Test vectors of the FNV reference.
        assert_eq!(hash(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(hash("foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn delays_are_the_same_for_the_same_step_and_within_bounds() {
        let latency = Latency::Between { min: 200, max: 600 };
        for at in 0..100 {
            let key = format!("r:t:1:{at}");
            let ms = delay_ms(latency, &key);
            assert!((200..=600).contains(&ms));
            assert_eq!(ms, delay_ms(latency, &key));
        }
    }
}
