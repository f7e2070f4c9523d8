//! Times of the incident: minutes on a fixed day, in UTC.

use std::fmt;
use std::str::FromStr;

const DAY: i64 = 24 * 60;

/// A minute, counted from midnight of 17 March 2026; negative on the day before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Minute(i64);

impl Minute {
    /// The minute `hour:minute` of the day.
    pub const fn of_day(hour: i64, minute: i64) -> Self {
        Self(hour * 60 + minute)
    }

    /// This many minutes later, or earlier if negative.
    #[must_use]
    pub const fn plus(self, minutes: i64) -> Self {
        Self(self.0 + minutes)
    }

    /// Minutes since `earlier`.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0 - earlier.0
    }

    /// The minute within its hour.
    pub const fn in_hour(self) -> i64 {
        self.0.rem_euclid(60)
    }

    /// The hour of its day.
    pub const fn hour(self) -> i64 {
        self.0.rem_euclid(DAY) / 60
    }

    /// `2026-03-17T14:30:00Z`
    pub fn stamp(self) -> String {
        format!("{}:00Z", self.prefix())
    }

    /// `2026-03-17T14:30:05.250Z`, `millis` after the minute began.
    pub fn stamp_at(self, millis: u64) -> String {
        format!("{}:{:02}.{:03}Z", self.prefix(), millis / 1000, millis % 1000)
    }

    fn prefix(self) -> String {
        let day = 17 + self.0.div_euclid(DAY);
        format!("2026-03-{day:02}T{self}")
    }
}

impl fmt::Display for Minute {
    /// `14:30`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.hour(), self.in_hour())
    }
}

impl FromStr for Minute {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once(':').and_then(|(h, m)| Some((h.parse::<i64>().ok()?, m.parse::<i64>().ok()?)));
        match parts {
            Some((hour @ 0..24, minute @ 0..60)) => Ok(Self::of_day(hour, minute)),
            _ => Err(format!("`{text}` is no time of day; write it as HH:MM, such as 14:30")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_cross_midnight() {
        let minute: Minute = "00:10".parse().expect("a time");
        assert_eq!(minute.plus(-20).stamp(), "2026-03-16T23:50:00Z");
        assert_eq!(minute.plus(-20).stamp_at(5_250), "2026-03-16T23:50:05.250Z");
        assert!("24:00".parse::<Minute>().is_err());
    }
}
