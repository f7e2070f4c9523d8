//! Random numbers that are the same everywhere: a 64-bit linear congruential generator with Knuth's MMIX constants
//! (The Art of Computer Programming, volume 2, 3.3.4), of which only the high bits are used.

/// A stream of numbers.
pub(super) struct Draw(u64);

impl Draw {
    /// A stream that depends on the seed and on what it is for.
    pub(super) fn new(seed: u64, purpose: &str) -> Self {
        let mixed = purpose
            .bytes()
            .fold(seed ^ 0x9e37_79b9_7f4a_7c15, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        let mut draw = Self(mixed);
        draw.bits();
        draw
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 32
    }

    /// A whole number from `low` to `high`, both included.
    pub(super) fn whole(&mut self, low: u64, high: u64) -> u64 {
        low + self.bits() % (high - low + 1)
    }

    /// A number from `low` to `high`.
    pub(super) fn real(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.bits() as f64 / f64::from(u32::MAX)
    }

    /// True in this share of cases.
    pub(super) fn chance(&mut self, share: f64) -> bool {
        self.real(0.0, 1.0) < share
    }

    /// One of several.
    pub(super) fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.whole(0, of.len() as u64 - 1) as usize]
    }

    /// `count` moments of one minute in milliseconds, in order.
    pub(super) fn moments(&mut self, count: u64) -> Vec<u64> {
        let mut moments: Vec<u64> = (0..count).map(|_| self.whole(0, 59_999)).collect();
        moments.sort_unstable();
        moments
    }

    /// A trace id of eight hexadecimal digits.
    pub(super) fn trace(&mut self) -> String {
        format!("{:08x}", self.bits())
    }
}
