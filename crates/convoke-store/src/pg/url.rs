//! Taking parameters out of a connection text, which is a URL or a list of `key=value`, before the driver reads it.
//! Rule: what is left is byte for byte what was there. Start at [`take`].

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// What was found for each of the wanted parameters, the last one of a name, and the text without them.
pub(super) fn take(text: &str, wanted: &[&str]) -> (String, Vec<Option<String>>) {
    let mut found = vec![None; wanted.len()];
    let mut keep = |key: &str, value: Cow<'_, str>| match wanted.iter().position(|name| *name == key) {
        Some(at) => {
            found[at] = Some(value.into_owned());
            false
        }
        None => true,
    };
    let rest = match text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://")) {
        Some(after) => of_url(text, text.len() - after.len(), &mut keep),
        None => of_list(text, &mut keep),
    };
    (rest, found)
}

type Keep<'a> = dyn FnMut(&str, Cow<'_, str>) -> bool + 'a;

fn of_url(text: &str, host: usize, keep: &mut Keep<'_>) -> String {
    // A password may hold a question mark.
    let host = text[host..].find('@').map_or(host, |at| host + at);
    let Some(at) = text[host..].find('?').map(|at| host + at) else { return text.to_owned() };
    let stay = |pair: &&str| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (key, value) = (percent_decode_str(key).decode_utf8_lossy(), percent_decode_str(value).decode_utf8_lossy());
        keep(&key, value)
    };
    let rest: Vec<&str> = text[at + 1..].split('&').filter(stay).collect();
    if rest.is_empty() { text[..at].to_owned() } else { format!("{}?{}", &text[..at], rest.join("&")) }
}

fn of_list(text: &str, keep: &mut Keep<'_>) -> String {
    let (mut rest, mut at) = (String::new(), 0);
    while let Some(word) = word(text, at) {
        if keep(&word.key, Cow::Owned(word.value)) {
            rest.push_str(&text[at..word.end]);
        }
        at = word.end;
    }
    // Whatever is no word is the driver's to refuse.
    rest + &text[at..]
}

/// One `key=value` of a list, and where it ends.
struct Word {
    key: String,
    value: String,
    end: usize,
}

fn word(text: &str, start: usize) -> Option<Word> {
    let equals = start + text[start..].find('=')?;
    let key = text[start..equals].trim().to_owned();
    let first = equals + 1 + text[equals + 1..].find(|c: char| !c.is_whitespace())?;
    let quoted = text[first..].starts_with('\'');
    let (mut value, mut escaped) = (String::new(), false);
    for (at, c) in text[first..].char_indices().skip(usize::from(quoted)) {
        match c {
            _ if escaped => (value.push(c), escaped = false).1,
            '\\' => escaped = true,
            '\'' if quoted => return Some(Word { key, value, end: first + at + 1 }),
            c if !quoted && c.is_whitespace() => return Some(Word { key, value, end: first + at }),
            c => value.push(c),
        }
    }
    (!quoted).then_some(Word { key, value, end: text.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_taken_out_and_the_rest_stays() {
        for (text, rest, mode, root) in [
            ("postgres://me:a?b@h/db", "postgres://me:a?b@h/db", None, None),
            ("postgres://me@h/db?sslmode=require", "postgres://me@h/db", Some("require"), None),
            (
                "postgresql://h/db?a=1&sslrootcert=%2Fx%20y.pem&sslmode=prefer&b=2",
                "postgresql://h/db?a=1&b=2",
                Some("prefer"),
                Some("/x y.pem"),
            ),
            ("host=h sslmode = verify-full user=me", "host=h user=me", Some("verify-full"), None),
            (r"sslrootcert='/x \'y\\.pem' password='a b'", " password='a b'", None, Some(r"/x 'y\.pem")),
            ("host=h password='sslmode=x", "host=h password='sslmode=x", None, None),
            ("host=h user", "host=h user", None, None),
        ] {
            let (left, found) = take(text, &["sslmode", "sslrootcert"]);
            assert_eq!(left, rest, "{text}");
            assert_eq!(found, [mode.map(str::to_owned), root.map(str::to_owned)], "{text}");
        }
    }
}
