//! How durations, amounts and states read. The same words in every kind of report.

use std::time::Duration;

use convoke_domain::money::Money;

/// `850 ms`, `1.2 s`, `3 min 05 s`, `2 h 05 min`, `3 d 04 h`: two units at most, the larger first.
pub(crate) fn duration(span: Duration) -> String {
    let tenths = (span.as_millis() + 50) / 100;
    if span.as_millis() < 1_000 {
        return format!("{} ms", span.as_millis());
    }
    if tenths < 600 {
        return format!("{}.{} s", tenths / 10, tenths % 10);
    }
    let seconds = (span.as_millis() + 500) / 1_000;
    match seconds {
        0..3_600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {:02} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {:02} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// `12,345`.
pub(crate) fn number(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut text = String::from(if value < 0 { "-" } else { "" });
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The same for a count that has no sign.
pub(crate) fn count(value: u64) -> String {
    number(i64::try_from(value).unwrap_or(i64::MAX))
}

/// `1 call`, `2 calls`.
pub(crate) fn plural(value: i64, noun: &str) -> String {
    format!("{} {noun}{}", number(value), if value == 1 { "" } else { "s" })
}

/// Dollars to the last digit that is not zero, four decimals at least: sums of what is shown are exact.
pub(crate) fn exact(money: Money) -> String {
    let nanos = money.as_nanos();
    let (whole, part) = (nanos.unsigned_abs() / 1_000_000_000, nanos.unsigned_abs() % 1_000_000_000);
    let mut decimals = format!("{part:09}");
    while decimals.len() > 4 && decimals.ends_with('0') {
        decimals.pop();
    }
    let sign = if nanos < 0 { "-" } else { "" };
    format!("{sign}${}.{decimals}", count(whole))
}

/// A cost where calls without a known price may be among those it stands for: they are named, never shown as zero.
pub(crate) fn cost(cost: Money, unpriced_calls: i64) -> String {
    match (cost, unpriced_calls) {
        (_, ..=0) => cost.to_string(),
        (Money::ZERO, calls) => format!("unpriced ({})", plural(calls, "call")),
        (_, calls) => format!("{cost} and {}", plural(calls, "unpriced call")),
    }
}

/// What a task waits for, in words.
pub(crate) fn waiting(waits_for: &str) -> &str {
    match waits_for {
        "unknown_effect" => "a person must say what became of a tool call",
        "budget" => "the budget must grow",
        other => other,
    }
}

/// How a step stands, in words.
pub(crate) fn step_status(status: &str) -> &str {
    match status {
        "started" => "in progress",
        "unknown" => "outcome unknown",
        other => other,
    }
}

/// The first letter in upper case.
pub(crate) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_keep_two_units() {
        let told = [0, 850, 999, 1_000, 1_249, 59_949, 59_950, 185_000, 3_599_600, 7_500_000, 273_600_000]
            .map(|ms| duration(Duration::from_millis(ms)));
        let expected = [
            "0 ms",
            "850 ms",
            "999 ms",
            "1.0 s",
            "1.2 s",
            "59.9 s",
            "1 min 00 s",
            "3 min 05 s",
            "1 h 00 min",
            "2 h 05 min",
            "3 d 04 h",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 12, 999, 1_000, -1_234_567].map(number), ["0", "12", "999", "1,000", "-1,234,567"]);
    }

    #[test]
    fn exact_dollars_lose_nothing() {
        let told = [0, 750, 41_230_000, 500_000_000, 1_234_000_000_001, -5].map(|n| exact(Money::from_nanos(n)));
        assert_eq!(told, ["$0.0000", "$0.00000075", "$0.04123", "$0.5000", "$1,234.000000001", "-$0.000000005"]);
    }

    #[test]
    fn what_has_no_price_is_never_zero() {
        assert_eq!(cost(Money::ZERO, 0), "$0.0000");
        assert_eq!(cost(Money::ZERO, 2), "unpriced (2 calls)");
        assert_eq!(cost(Money::from_usd(0.5), 1), "$0.5000 and 1 unpriced call");
    }
}
