//! What templates can do with real tool results beyond minijinja's own filters.

use jiff::civil::DateTime;
use jiff::fmt::temporal::Pieces;
use minijinja::value::{Kwargs, Serde};
use minijinja::{Environment, Error, ErrorKind, Value};
use regex::{Regex, RegexBuilder};

/// The largest compiled expression, in bytes.
const MAX_REGEX_BYTES: usize = 1 << 20;

pub(super) fn add_all(environment: &mut Environment<'static>) {
    environment.add_filter("regex_find", regex_find);
    environment.add_filter("regex_all", regex_all);
    environment.add_filter("fromjson", from_json);
    environment.add_filter("lines", lines);
    environment.add_filter("money", money);
    environment.add_filter("clock", clock);
    environment.add_filter("minutes_between", minutes_between);
}

fn wrong(reason: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, reason.into())
}

fn compile(pattern: &str) -> Result<Regex, Error> {
    RegexBuilder::new(pattern)
        .multi_line(true)
        .size_limit(MAX_REGEX_BYTES)
        .build()
        .map_err(|error| wrong(format!("{pattern:?} is no regular expression: {error}")))
}

/// The group a filter is asked for: the second argument, by place or by name; the whole match if absent.
fn wanted(group: Option<usize>, named: &Kwargs) -> Result<usize, Error> {
    let group = match group {
        Some(group) => group,
        None => named.get::<Option<usize>>("group")?.unwrap_or(0),
    };
    named.assert_all_used()?;
    Ok(group)
}

/// The first match, or nothing (which is falsy and prints as an empty text).
fn regex_find(text: &str, pattern: &str, group: Option<usize>, named: Kwargs) -> Result<Value, Error> {
    let group = wanted(group, &named)?;
    let found = compile(pattern)?
        .captures(text)
        .and_then(|captures| captures.get(group).map(|found| Value::from(found.as_str())));
    Ok(found.unwrap_or_else(|| Value::from("")))
}

/// All matches, in order.
fn regex_all(text: &str, pattern: &str, group: Option<usize>, named: Kwargs) -> Result<Vec<String>, Error> {
    let group = wanted(group, &named)?;
    let regex = compile(pattern)?;
    Ok(regex.captures_iter(text).filter_map(|found| found.get(group).map(|part| part.as_str().to_owned())).collect())
}

fn from_json(text: &str) -> Result<Value, Error> {
    let value: serde_json::Value =
        serde_json::from_str(text).map_err(|error| wrong(format!("this text is no JSON: {error}")))?;
    Ok(Value::from(Serde(value)))
}

/// The lines of a text, without those that are empty.
fn lines(text: &str) -> Vec<String> {
    text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()
}

/// Dollars with two decimals and thousands apart: `$12,345.60`.
fn money(amount: f64) -> String {
    let cents = format!("{:.2}", amount.abs());
    let (whole, part) = cents.split_once('.').unwrap_or((&cents, "00"));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let sign = if amount < 0.0 && cents != "0.00" { "-" } else { "" };
    format!("{sign}${grouped}.{part}")
}

fn moment(text: &str) -> Result<(DateTime, f64), Error> {
    let bad = |reason: String| wrong(format!("{text:?} is no time such as 2026-03-01T12:34:56Z: {reason}"));
    let pieces = Pieces::parse(text.trim()).map_err(|error| bad(error.to_string()))?;
    let time = pieces.time().ok_or_else(|| bad("it has no time of day".to_owned()))?;
    let offset = pieces.to_numeric_offset().map_or(0, |offset| offset.seconds());
    Ok((pieces.date().to_datetime(time), f64::from(offset)))
}

/// Hour and minute of an ISO time, as written: no time zone is applied.
fn clock(text: &str) -> Result<String, Error> {
    let (at, _) = moment(text)?;
    Ok(format!("{:02}:{:02}", at.hour(), at.minute()))
}

/// Minutes from one ISO time to another, whole if they are.
fn minutes_between(from: &str, to: &str) -> Result<Value, Error> {
    let seconds = |text: &str| -> Result<f64, Error> {
        let (at, offset) = moment(text)?;
        let utc = at.to_zoned(jiff::tz::TimeZone::UTC).map_err(|error| wrong(error.to_string()))?;
        Ok(utc.timestamp().as_millisecond() as f64 / 1e3 - offset)
    };
    let minutes = (seconds(to)? - seconds(from)?) / 60.0;
    let tenths = (minutes * 10.0).round() / 10.0;
    Ok(if tenths.fract() == 0.0 { Value::from(tenths as i64) } else { Value::from(tenths) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(template: &str) -> String {
        let mut environment = Environment::new();
        add_all(&mut environment);
        environment.render_str(template, ()).unwrap_or_else(|error| format!("{:#}", error))
    }

    #[test]
    fn filters_read_real_text() {
        for (template, text) in [
            (r"{{ 'at 12:34 and 13:00' | regex_find('\\d\\d:\\d\\d') }}", "12:34"),
            (r"{{ 'pool=40 used=38' | regex_find('used=(\\d+)', 1) }}", "38"),
            (r"{{ 'pool=40 used=38' | regex_find('used=(\\d+)', group=1) | int + 2 }}", "40"),
            (r"{{ 'none' | regex_find('\\d') or 'nothing' }}", "nothing"),
            (r"{{ 'a1 b2' | regex_all('[a-z](\\d)', 1) | join('+') }}", "1+2"),
            (r#"{{ ('{"a": [1, 2]}' | fromjson).a | sum }}"#, "3"),
            (r"{{ 'a\n\nb\n' | lines | length }}", "2"),
            ("{{ 1234567.891 | money }} {{ -5 | money }} {{ 0 | money }}", "$1,234,567.89 -$5.00 $0.00"),
            ("{{ '2026-03-01T12:34:56Z' | clock }} {{ '2026-03-01 07:05:00' | clock }}", "12:34 07:05"),
            ("{{ '2026-03-01T12:00:00Z' | minutes_between('2026-03-01T14:30:00+01:00') }}", "90"),
            ("{{ '2026-03-01T12:00:00Z' | minutes_between('2026-03-01T12:01:30Z') }}", "1.5"),
        ] {
            assert_eq!(fill(template), text, "{template}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        assert!(fill("{{ 'x' | regex_find('(') }}").contains("is no regular expression"));
        assert!(fill("{{ 'yesterday' | clock }}").contains("is no time such as"));
        assert!(fill("{{ 'x' | fromjson }}").contains("is no JSON"));
    }
}
