//! Money in whole nano-dollars, so that a single token of the cheapest model is not lost to rounding.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub};

use serde::{Deserialize, Serialize};

/// An amount in nano-USD (1e-9 USD). Arithmetic saturates: a budget that overflows must refuse, not wrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Money(i64);

const NANOS_PER_USD: f64 = 1e9;

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// An amount of `nanos` nano-USD.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// The amount in nano-USD.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// An amount in dollars, rounded to the nearest nano-dollar.
    pub fn from_usd(usd: f64) -> Self {
        Self((usd * NANOS_PER_USD).round() as i64)
    }

    /// The amount in dollars, for display and JSON.
    pub fn as_usd(self) -> f64 {
        self.0 as f64 / NANOS_PER_USD
    }

    /// The part of this that goes beyond `other`, at least zero.
    #[must_use]
    pub fn beyond(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0).max(0))
    }
}

impl Add for Money {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Money {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl AddAssign for Money {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for Money {
    /// Dollars with four decimals, and up to nine where four would hide the amount: `$0.0123`, `$0.000000750`, `-$3.0000`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let small = self.0 != 0 && self.0.abs() < 100_000;
        let (sign, usd) = (if self.0 < 0 { "-" } else { "" }, self.as_usd().abs());
        if small { write!(f, "{sign}${usd:.9}") } else { write!(f, "{sign}${usd:.4}") }
    }
}

impl Serialize for Money {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(self.as_usd())
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        f64::deserialize(from).map(Self::from_usd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_enough_digits_to_see_the_amount() {
        assert_eq!(Money::from_usd(1.5).to_string(), "$1.5000");
        assert_eq!(Money::from_nanos(750).to_string(), "$0.000000750");
        assert_eq!(Money::ZERO.to_string(), "$0.0000");
        assert_eq!(Money::from_usd(-612.0).to_string(), "-$612.0000");
    }

    #[test]
    fn overflow_saturates() {
        assert_eq!((Money::from_nanos(i64::MAX) + Money::from_nanos(1)).as_nanos(), i64::MAX);
        assert_eq!(Money::from_nanos(3).beyond(Money::from_nanos(5)), Money::ZERO);
    }

    #[test]
    fn dollars_survive_the_way_through_json() {
        for nanos in [0, 1, 999, 123_456_789, 500_000_000, 12_345_678_901] {
            let money = Money::from_nanos(nanos);
            let text = serde_json::to_string(&money).expect("a number");
            assert_eq!(serde_json::from_str::<Money>(&text).expect("a number"), money);
        }
    }
}
