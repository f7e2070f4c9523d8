//! What a model call costs: a price per million tokens of each kind, and the sum for one call.

use serde::{Deserialize, Serialize};

use crate::money::Money;
use crate::transcript::Usage;

/// Prices of one model in USD per million tokens, as the vendors publish them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Input tokens that came from no cache.
    pub input: f64,
    /// Output tokens, reasoning included.
    pub output: f64,
    /// Input tokens read from a prompt cache; the input price where the vendor has no other.
    #[serde(default)]
    pub cache_read: Option<f64>,
    /// Input tokens written to a prompt cache; the input price where the vendor has no other.
    #[serde(default)]
    pub cache_write: Option<f64>,
}

impl Price {
    /// A model that costs nothing, such as one on this machine.
    pub const FREE: Self = Self { input: 0.0, output: 0.0, cache_read: None, cache_write: None };

    /// The price of one call. Each kind of token is rounded up to a whole nano-dollar, so that a sum is never too low.
    pub fn of(&self, usage: Usage) -> Money {
        let cached = usage.cache_read_tokens.saturating_add(usage.cache_write_tokens);
        let fresh = usage.input_tokens.saturating_sub(cached);
        nanos(fresh, self.input)
            + nanos(usage.cache_read_tokens, self.cache_read.unwrap_or(self.input))
            + nanos(usage.cache_write_tokens, self.cache_write.unwrap_or(self.input))
            + nanos(usage.output_tokens, self.output)
    }

    /// The most one call can cost with `input_tokens` in and `output_tokens` out, whatever the cache does.
    pub fn at_most(&self, input_tokens: u64, output_tokens: u64) -> Money {
        let dearest = self.input.max(self.cache_write.unwrap_or(0.0)).max(self.cache_read.unwrap_or(0.0));
        nanos(input_tokens, dearest) + nanos(output_tokens, self.output)
    }
}

/// `tokens` at `usd_per_million`, rounded up to a nano-dollar. 1 USD per million tokens is 1,000,000 pico-dollars a token.
fn nanos(tokens: u64, usd_per_million: f64) -> Money {
    let pico_per_token = (usd_per_million * 1e6).round() as i128;
    let pico = i128::from(tokens).saturating_mul(pico_per_token);
    Money::from_nanos(i64::try_from((pico + 999) / 1_000).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SONNET: Price = Price { input: 3.0, output: 15.0, cache_read: Some(0.3), cache_write: Some(3.75) };

    #[test]
    fn each_kind_of_token_has_its_price() {
        let usage = Usage {
            input_tokens: 1_000,
            cache_read_tokens: 600,
            cache_write_tokens: 100,
            output_tokens: 200,
            reasoning_tokens: 50,
        };
        // 300 fresh at 3 + 600 at 0.3 + 100 at 3.75 + 200 at 15, per million.
        assert_eq!(SONNET.of(usage), Money::from_usd(0.0009 + 0.00018 + 0.000375 + 0.003));
    }

    #[test]
    fn the_bound_is_never_below_the_bill() {
        for cache_write_tokens in [0, 500, 1_000] {
            let usage = Usage { input_tokens: 1_000, cache_write_tokens, output_tokens: 70, ..Usage::default() };
            assert!(SONNET.of(usage) <= SONNET.at_most(1_000, 70));
        }
    }

    #[test]
    fn parts_of_a_nano_dollar_round_up() {
        let cheap = Price { input: 0.01875, output: 0.0, cache_read: None, cache_write: None };
        assert_eq!(cheap.of(Usage { input_tokens: 1, ..Usage::default() }), Money::from_nanos(19));
    }

    #[test]
    fn free_is_free() {
        assert_eq!(Price::FREE.at_most(1_000_000, 1_000_000), Money::ZERO);
    }
}
