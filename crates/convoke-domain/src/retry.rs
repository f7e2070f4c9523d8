//! When to try again: exponential backoff with full jitter.
//!
//! The wait before retry `n` is uniform between 0 and `min(cap, base × 2ⁿ)`, so that many who failed together do not
//! come back together (Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).

use std::time::Duration;

/// How failures that can pass are met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The bound of the first wait.
    pub base: Duration,
    /// No wait is longer, unless the other side asks for it.
    pub cap: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: Duration::from_millis(500), cap: Duration::from_secs(30) }
    }
}

impl Backoff {
    /// The wait before retry `retry` (from 0). `chance` is uniform in 0..1; `asked` is what the other side asked for.
    pub fn wait(&self, retry: u32, chance: f64, asked: Option<Duration>) -> Duration {
        let bound = self.base.saturating_mul(2_u32.saturating_pow(retry)).min(self.cap);
        let wait = bound.mul_f64(chance.clamp(0.0, 1.0));
        match asked {
            // Spread those who were all told the same second.
            Some(asked) => asked.min(LONGEST_ASKED) + wait.min(self.base),
            None => wait,
        }
    }
}

/// A provider may ask for this much and no more.
pub const LONGEST_ASKED: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_cap() {
        let backoff = Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(1) };
        let longest: Vec<_> = (0..6).map(|retry| backoff.wait(retry, 1.0, None).as_millis()).collect();
        assert_eq!(longest, [100, 200, 400, 800, 1_000, 1_000]);
        assert_eq!(backoff.wait(u32::MAX, 1.0, None), Duration::from_secs(1));
        assert_eq!(backoff.wait(3, 0.0, None), Duration::ZERO);
    }

    #[test]
    fn what_was_asked_is_honoured_within_reason() {
        let backoff = Backoff::default();
        assert_eq!(backoff.wait(0, 0.0, Some(Duration::from_secs(7))), Duration::from_secs(7));
        assert_eq!(backoff.wait(0, 0.0, Some(Duration::from_secs(7_000))), LONGEST_ASKED);
    }
}
