//! One form for answers that mean the same, so that "1,000.0" and "$1000" are one choice and not two.
//!
//! Rule: what can be told apart by a program that knows nothing of the subject is made equal; words are never guessed. So
//! `roll-back` is `Roll back.`, and `undo` is something else. Start at [`canonical`].

use serde_json::Value;

use super::Canonical;
use crate::material::{head_of, is_hidden};

/// Bytes of an answer that are looked at.
pub const MAX_ANSWER: usize = 16 * 1024;
/// The largest power of ten that a number may be written with and still be read as one.
const MAX_EXPONENT: i64 = 64;
/// Layers of marks around an answer that are taken off.
const MAX_LAYERS: usize = 8;

/// The one form of an answer. Two answers are the same choice if and only if theirs are equal.
pub fn canonical(kind: Canonical, said: &str) -> String {
    let said = head_of(said, MAX_ANSWER);
    match kind {
        Canonical::Exact => said.to_owned(),
        Canonical::Text => text(said),
        Canonical::Number => number(said).unwrap_or_else(|| text(said)),
        Canonical::Json => serde_json::from_str(said).map_or_else(|_| text(said), |value| canonical_json(&value)),
    }
}

/// The one form of an answer that is text, or any other JSON; `"1,000.0"` is `1000`.
pub fn canonical_value(said: &Value) -> String {
    match said {
        Value::String(text) => canonical(Canonical::Text, text),
        other => canonical_json(other),
    }
}

/// The option that an answer names, as the rule writes it.
pub fn option<'a>(kind: Canonical, options: &'a [String], said: &str) -> Option<&'a str> {
    let wanted = canonical(kind, said);
    options.iter().find(|option| canonical(kind, option) == wanted).map(String::as_str)
}

/// Words in lower case with one space between, without marks around them; numbers in their one form. What lies bare when
/// marks are gone may have marks itself, so it goes on until nothing changes.
fn text(said: &str) -> String {
    let mut form = once(said);
    for _ in 0..MAX_LAYERS {
        let next = once(&form);
        if next == form {
            break;
        }
        form = next;
    }
    form
}

fn once(said: &str) -> String {
    let plain: String = said.chars().map(straight).filter(|c| c.is_whitespace() || !is_hidden(*c)).collect();
    let words = plain.split_whitespace().flat_map(split_joined).filter_map(word).collect::<Vec<_>>();
    if words.is_empty() { plain.trim().to_owned() } else { words.join(" ") }
}

/// Quotes and dashes as they are on a keyboard.
fn straight(c: char) -> char {
    match c {
        '‘' | '’' | '‚' | '‛' => '\'',
        '“' | '”' | '„' | '«' | '»' => '"',
        '‐' | '‑' | '‒' | '–' | '—' | '−' => '-',
        '\u{a0}' | '\u{202f}' => ' ',
        c => c,
    }
}

/// `roll-back` and `scale_up` are two words; `-5` and `2024-05` are as they are.
fn split_joined(token: &str) -> Vec<&str> {
    let joined = token.chars().any(char::is_alphabetic) && !token.contains("://");
    if joined { token.split(['-', '_']).filter(|part| !part.is_empty()).collect() } else { vec![token] }
}

/// One word without the marks around it; none if there is nothing else. A `+` or `#` behind a word is part of it, as in C++.
fn word(token: &str) -> Option<String> {
    let open = |c: char| !c.is_alphanumeric() && !matches!(c, '-' | '+' | '$' | '€' | '£' | '.' | '#' | '@' | '/');
    let close = |c: char| !c.is_alphanumeric() && !matches!(c, '+' | '#' | '%' | '/');
    let bare = token.trim_start_matches(open).trim_end_matches(close);
    if let Some((found, _)) = number_at(bare).filter(|(_, rest)| rest.is_empty()) {
        return Some(found);
    }
    (bare.chars().any(char::is_alphanumeric)).then(|| bare.trim_start_matches('.').to_lowercase())
}

/// The last number of a text.
fn number(said: &str) -> Option<String> {
    let plain: String = said.chars().map(straight).collect();
    let mut from = 0;
    let mut last = None;
    while let Some(at) = plain[from..].find(|c: char| c.is_ascii_digit()).map(|at| from + at) {
        // The sign, the unit and the point stand before the first digit.
        let signed = from + plain[from..at].trim_end_matches(['$', '€', '£', '+', '-', '.']).len();
        let start = if is_joined(&plain[..at]) { at } else { signed };
        let (found, rest) = number_at(&plain[start..]).or_else(|| number_at(&plain[at..]))?;
        last = Some(found);
        from = plain.len() - rest.len();
    }
    last
}

/// True where a sign before a number is a hyphen within a word, as in `covid-19` or `3-5`.
fn is_joined(before: &str) -> bool {
    let sign = before.trim_end_matches(['$', '€', '£', '.']);
    sign.strip_suffix('-').is_some_and(|word| word.ends_with(char::is_alphanumeric))
}

/// The number that a text begins with, in its one form, and what follows it. Units of money and `%` belong to it and say nothing.
fn number_at(said: &str) -> Option<(String, &str)> {
    let unsigned = said.trim_start_matches(['$', '€', '£', '+', '-']);
    let negative = said[..said.len() - unsigned.len()].contains('-');
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != ',' && c != '.').unwrap_or(unsigned.len());
    let digits = unsigned[..end].trim_end_matches([',', '.']);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') || !digits.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let (whole, part) = parts(digits)?;
    let mut rest = &unsigned[digits.len()..];
    let exponent = exponent(rest);
    if let Some((_, after)) = exponent {
        rest = after;
    }
    let found = shifted(&whole, &part, exponent.map_or(0, |(power, _)| power));
    let rest = rest.trim_start_matches(['%', '$', '€', '£']);
    Some((if negative && found != "0" { format!("-{found}") } else { found }, rest))
}

/// Digits before and behind the decimal point, whichever of `,` and `.` is the point.
fn parts(digits: &str) -> Option<(String, String)> {
    let count = |mark: char| digits.matches(mark).count();
    let point = match (count(','), count('.')) {
        (0, 1) => Some('.'),
        (0, _) => None,
        // A single comma parts thousands where three digits follow it, and is the point otherwise.
        (1, 0) => (!grouped(digits, ',')).then_some(','),
        (_, 0) => None,
        (_, 1) if digits.rfind('.') > digits.rfind(',') => Some('.'),
        (1, _) if digits.rfind(',') > digits.rfind('.') => Some(','),
        _ => return None,
    };
    let (whole, part) = point.and_then(|point| digits.rsplit_once(point)).unwrap_or((digits, ""));
    let plain = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    Some((plain(whole), plain(part)))
}

fn grouped(digits: &str, mark: char) -> bool {
    let mut groups = digits.split(mark);
    let first = groups.next().unwrap_or_default();
    (1..=3).contains(&first.len()) && first != "0" && groups.all(|group| group.len() == 3)
}

/// The power of ten behind a number as in `1e6`, and what follows it.
fn exponent(rest: &str) -> Option<(i64, &str)> {
    let body = rest.strip_prefix(['e', 'E'])?;
    let unsigned = body.strip_prefix(['+', '-']).unwrap_or(body);
    let end = unsigned.find(|c: char| !c.is_ascii_digit()).unwrap_or(unsigned.len());
    let power: i64 = unsigned[..end].parse().ok()?;
    let after = &unsigned[end..];
    let is_word = after.starts_with(char::is_alphabetic);
    (power <= MAX_EXPONENT && !is_word).then_some((if body.starts_with('-') { -power } else { power }, after))
}

/// A decimal number times a power of ten, without zeros that say nothing.
fn shifted(whole: &str, part: &str, power: i64) -> String {
    let point = i64::try_from(whole.len()).unwrap_or(0) + power;
    let digits = format!("{whole}{part}");
    let digits = if point < 0 {
        format!("{}{digits}", "0".repeat(usize::try_from(-point).unwrap_or(0)))
    } else {
        let wanted = usize::try_from(point).unwrap_or(0);
        let missing = wanted.saturating_sub(digits.len());
        format!("{digits}{}", "0".repeat(missing))
    };
    let (whole, part) = digits.split_at(usize::try_from(point.max(0)).unwrap_or(0));
    let (whole, part) = (whole.trim_start_matches('0'), part.trim_end_matches('0'));
    match (whole, part) {
        ("", "") => "0".to_owned(),
        (whole, "") => whole.to_owned(),
        ("", part) => format!("0.{part}"),
        (whole, part) => format!("{whole}.{part}"),
    }
}

/// JSON with its keys in order and its numbers in their one form; texts are as they are.
pub fn canonical_json(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let mut names: Vec<_> = fields.iter().collect();
            names.sort_by(|a, b| a.0.cmp(b.0));
            let inside: Vec<_> =
                names.into_iter().map(|(name, value)| format!("{}:{}", quoted(name), canonical_json(value))).collect();
            format!("{{{}}}", inside.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical_json).collect::<Vec<_>>().join(",")),
        Value::Number(found) => {
            let text = found.to_string();
            let form = number_at(&text).filter(|(_, rest)| rest.is_empty()).map(|(form, _)| form);
            form.unwrap_or(text)
        }
        Value::String(text) => quoted(text),
        Value::Bool(_) | Value::Null => value.to_string(),
    }
}

fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn same(kind: Canonical, forms: &[&str], one: &str) {
        for form in forms {
            assert_eq!(canonical(kind, form), one, "{kind:?} of {form:?}");
        }
    }

    #[test]
    fn texts_that_differ_in_dress_are_one() {
        same(
            Canonical::Text,
            &["Roll back", " roll-back. ", "**ROLL_BACK**", "“Roll  back”!", "`roll\nback`"],
            "roll back",
        );
        same(Canonical::Text, &["Yes", "yes.", "(YES)", "\"yes\"", "yes\u{200b}"], "yes");
        same(Canonical::Text, &["costs 1,000.0 a day", "Costs $1000 a day."], "costs 1000 a day");
        assert_ne!(canonical(Canonical::Text, "C"), canonical(Canonical::Text, "C++"));
        assert_ne!(canonical(Canonical::Text, "C#"), canonical(Canonical::Text, "C++"));
        assert_ne!(canonical(Canonical::Text, "undo"), canonical(Canonical::Text, "roll back"));
        same(Canonical::Text, &["don't", "Don’t!"], "don't");
        same(Canonical::Text, &["?!"], "?!");
        same(Canonical::Text, &["日本語。"], "日本語");
    }

    #[test]
    fn numbers_have_one_form() {
        same(Canonical::Number, &["1000", "1,000", "1,000.0", "$1000.00", "1e3", "1.0E+3", "01000", "1.000,0"], "1000");
        same(Canonical::Number, &["1,000,000", "1.000.000", "1e6", "so 3 + 4 makes 1,000,000."], "1000000");
        same(Canonical::Number, &["-5", "−5.0", "-$5", "$-5", "The answer is -5."], "-5");
        same(Canonical::Number, &["0", "-0", "0.000", "00", "0e5"], "0");
        same(Canonical::Number, &["50%", "50 %", "50.", "**50**", "covid-50", "3-50", "#50"], "50");
        same(Canonical::Number, &["0.5", ".5", "0,5", "5e-1", "$.50"], "0.5");
        same(Canonical::Number, &["x = 12.340", "first 7, then 12.34"], "12.34");
        same(Canonical::Number, &["123456789012345678901234567890"], "123456789012345678901234567890");
        same(Canonical::Number, &["none at all"], "none at all");
        same(Canonical::Number, &["2 eggs"], "2");
        same(Canonical::Number, &["1e99999"], "99999");
    }

    #[test]
    fn json_has_one_order_and_exact_has_none() {
        same(Canonical::Json, &[r#"{"b":1.0,"a":[2,{"d":0,"c":null}]}"#, r#"{ "a":[2.0,{"c":null,"d":0}],"b":1 }"#], {
            r#"{"a":[2,{"c":null,"d":0}],"b":1}"#
        });
        same(Canonical::Json, &["Not JSON."], "not json");
        assert_ne!(canonical(Canonical::Json, "[1,2]"), canonical(Canonical::Json, "[2,1]"));
        same(Canonical::Exact, &[" As it is. "], " As it is. ");
    }

    #[test]
    fn options_are_found_however_they_are_written() {
        let options = ["Roll back".to_owned(), "Scale up".to_owned(), "250".to_owned()];
        assert_eq!(option(Canonical::Text, &options, "SCALE-UP!"), Some("Scale up"));
        assert_eq!(option(Canonical::Text, &options, "$250.00"), Some("250"));
        assert_eq!(option(Canonical::Text, &options, "wait"), None);
    }

    proptest! {
        #[test]
        fn the_one_form_is_its_own(said in "\\PC{0,60}|[-0-9.,$%eE /]{0,20}") {
            for kind in [Canonical::Text, Canonical::Number, Canonical::Json, Canonical::Exact] {
                let once = canonical(kind, &said);
                prop_assert_eq!(canonical(kind, &once), once.clone(), "{:?} of {:?}", kind, said);
            }
        }

        #[test]
        fn whole_numbers_are_read_back(number in any::<i64>(), places in 0_usize..4) {
            let zeros = if places == 0 { String::new() } else { format!(".{}", "0".repeat(places)) };
            prop_assert_eq!(canonical(Canonical::Number, &format!("It is ${number}{zeros}.")), number.to_string());
        }
    }
}
