//! What providers say of their limits in response headers: `Retry-After` and the vendors' rate-limit families.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ::http::HeaderMap;
use convoke_port::model::RateLimit;
use jiff::Timestamp;

/// Longer waits than this are taken for nonsense and cut to it.
const MAX_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// How long the provider asks to wait: `retry-after-ms`, then `retry-after` in seconds or as a date.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let millis = text(headers, "retry-after-ms").and_then(|text| text.parse::<f64>().ok()).map(|ms| ms / 1e3);
    let seconds = millis.or_else(|| {
        let text = text(headers, "retry-after")?;
        text.parse::<f64>().ok().or_else(|| seconds_until(jiff::fmt::rfc2822::parse(text).ok()?.timestamp()))
    })?;
    bounded(seconds)
}

/// A wait of `seconds`, within reason.
pub(super) fn bounded(seconds: f64) -> Option<Duration> {
    (seconds.is_finite() && seconds >= 0.0).then(|| Duration::from_secs_f64(seconds.min(MAX_WAIT.as_secs_f64())))
}

/// The vendors' families: `x-ratelimit-*` (OpenAI and those like it) and `anthropic-ratelimit-*`.
pub(super) fn rate_limit(headers: &HeaderMap) -> RateLimit {
    if !headers.keys().any(|name| name.as_str().contains("ratelimit")) {
        return RateLimit::default();
    }
    let count = |names: [&str; 2]| names.iter().find_map(|name| text(headers, name)?.parse::<u64>().ok());
    let reset = ["x-ratelimit-reset-requests", "x-ratelimit-reset-tokens"]
        .iter()
        .filter_map(|name| go_duration(text(headers, name)?))
        .chain(
            ["anthropic-ratelimit-requests-reset", "anthropic-ratelimit-tokens-reset"]
                .iter()
                .filter_map(|name| seconds_until(text(headers, name)?.parse().ok()?)),
        )
        .reduce(f64::max);
    RateLimit {
        requests_left: count(["x-ratelimit-remaining-requests", "anthropic-ratelimit-requests-remaining"]),
        tokens_left: count(["x-ratelimit-remaining-tokens", "anthropic-ratelimit-tokens-remaining"]),
        reset_ms: reset.and_then(bounded).and_then(|wait| u64::try_from(wait.as_millis()).ok()),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

fn seconds_until(moment: Timestamp) -> Option<f64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs_f64();
    Some((moment.as_millisecond() as f64 / 1e3 - now).max(0.0))
}

/// Seconds of a duration such as `1h2m3.5s` or `120ms`; a bare number is seconds.
pub(super) fn go_duration(text: &str) -> Option<f64> {
    if let Ok(seconds) = text.parse::<f64>() {
        return Some(seconds);
    }
    let (mut rest, mut sum) = (text, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        sum += number
            * match &rest[..unit] {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" => 1e-6,
                _ => return None,
            };
        rest = &rest[unit..];
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value"))).collect()
    }

    #[test]
    fn retry_after_in_all_its_forms() {
        let after = |name, value: &str| retry_after(&headers(&[(name, value)]));
        assert_eq!(after("retry-after", "7"), Some(Duration::from_secs(7)));
        assert_eq!(after("retry-after", "0.25"), Some(Duration::from_millis(250)));
        assert_eq!(after("retry-after-ms", "1500"), Some(Duration::from_millis(1500)));
        assert_eq!(after("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        let ahead = after("retry-after", "Wed, 21 Oct 2099 07:28:00 GMT").expect("a date");
        assert_eq!(ahead, MAX_WAIT);
        assert_eq!(after("retry-after", "soon"), None);
        assert_eq!(after("retry-after", "-3"), None);
        let both = headers(&[("retry-after", "9"), ("retry-after-ms", "10")]);
        assert_eq!(retry_after(&both), Some(Duration::from_millis(10)));
    }

    #[test]
    fn openai_limits_are_read() {
        let limit = rate_limit(&headers(&[
            ("x-ratelimit-remaining-requests", "59"),
            ("x-ratelimit-remaining-tokens", "149984"),
            ("x-ratelimit-reset-requests", "1s"),
            ("x-ratelimit-reset-tokens", "6m0s"),
        ]));
        assert_eq!(limit, RateLimit { requests_left: Some(59), tokens_left: Some(149_984), reset_ms: Some(360_000) });
    }

    #[test]
    fn anthropic_limits_are_read() {
        let limit = rate_limit(&headers(&[
            ("anthropic-ratelimit-requests-remaining", "3"),
            ("anthropic-ratelimit-tokens-remaining", "12000"),
            ("anthropic-ratelimit-requests-reset", "2020-01-01T00:00:00Z"),
        ]));
        assert_eq!(limit, RateLimit { requests_left: Some(3), tokens_left: Some(12_000), reset_ms: Some(0) });
    }

    #[test]
    fn durations_as_go_prints_them() {
        assert_eq!(go_duration("1h2m3.5s"), Some(3723.5));
        assert_eq!(go_duration("120ms"), Some(0.12));
        assert_eq!(go_duration("4"), Some(4.0));
        assert_eq!(go_duration("4 days"), None);
    }
}
