//! Rules for single words: names, models, tools, hosts. Each gives the finding, or nothing if the word is right.

use std::net::IpAddr;

use convoke_domain::user::{ROLE, Role};

use crate::known::Known;
use crate::near::suggest;
use crate::problem::{Finding, finding};

/// The longest name.
pub const MAX_NAME: usize = 64;
/// The longest host name (RFC 1035).
const MAX_HOST: usize = 253;

/// True if `text` can be a name: lower-case letters, digits, hyphens; a letter or digit at both ends; at most 64.
pub fn is_name(text: &str) -> bool {
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.len() <= MAX_NAME
        && text.bytes().all(|c| plain(c) || c == b'-')
        && text.bytes().next().is_some_and(plain)
        && text.bytes().last().is_some_and(plain)
}

/// True if `text` can be the name of a pattern, which may hold `_`.
pub fn is_pattern_name(text: &str) -> bool {
    is_name(&text.replace('_', "-"))
}

/// What is wrong with the name of a pattern.
pub(crate) fn pattern(text: &str) -> Option<Finding> {
    if is_pattern_name(text) {
        return None;
    }
    let found = name(text, "`name`")?;
    let better = to_name(text).replace('-', "_");
    let hint = if better.is_empty() { "for example `two_opinions`".to_owned() } else { format!("write `{better}`") };
    let message = found.message.replace("digits and hyphens only", "digits, hyphens and `_` only");
    Some(Finding { message, hint, ..found })
}

/// What is wrong with a name.
pub(crate) fn name(text: &str, what: &str) -> Option<Finding> {
    if is_name(text) {
        return None;
    }
    let reason = match text {
        "" => "is empty".to_owned(),
        _ if text.len() > MAX_NAME => format!("has {} characters; at most {MAX_NAME} are allowed", text.len()),
        _ => format!("cannot be `{text}`: a name has lower-case letters, digits and hyphens only"),
    };
    let better = to_name(text);
    let hint = if better.is_empty() { "for example `log-reader`".to_owned() } else { format!("write `{better}`") };
    Some(finding("bad_name", format!("{what} {reason}"), hint))
}

/// The nearest text that is a name.
fn to_name(text: &str) -> String {
    let mut name = String::new();
    for c in text.chars().flat_map(char::to_lowercase) {
        match c {
            'a'..='z' | '0'..='9' => name.push(c),
            _ if name.is_empty() || name.ends_with('-') => {}
            _ => name.push('-'),
        }
    }
    name.truncate(MAX_NAME);
    name.trim_end_matches('-').to_owned()
}

/// What is wrong with `provider/model`.
pub(crate) fn model(text: &str, path: &str, known: &Known) -> Option<Finding> {
    let (provider, model) = match text.split_once('/') {
        Some((provider, model)) if !provider.is_empty() && !model.is_empty() => (provider, model),
        _ => {
            let message = format!("`{path}` is `{text}`, which does not name a provider and a model");
            return Some(finding("bad_model", message, format!("write `provider/model`, such as `{}`", guess(text))));
        }
    };
    if model.contains(char::is_whitespace) {
        return Some(finding("bad_model", format!("`{path}` holds a space"), "write `provider/model` without spaces"));
    }
    if known.providers.is_empty() || known.providers.contains(provider) {
        return None;
    }
    let hint = suggest(provider, known.providers.iter().map(String::as_str), "configure a provider");
    let message = format!("`{path}` is `{text}`, but no model provider is called `{provider}`");
    Some(finding("unknown_provider", message, hint))
}

/// The full name that a bare model name most likely stands for.
fn guess(text: &str) -> String {
    let bare = text.trim_matches('/');
    match bare {
        _ if bare.starts_with("claude") => format!("anthropic/{bare}"),
        _ if bare.starts_with("gpt") || matches!(bare.as_bytes(), [b'o', b'0'..=b'9', ..]) => format!("openai/{bare}"),
        _ if bare.starts_with("gemini") => format!("gemini/{bare}"),
        _ if bare.starts_with("llama") || bare.starts_with("qwen") => format!("ollama/{bare}"),
        _ => "anthropic/claude-sonnet-4-5".to_owned(),
    }
}

/// What is wrong with a tool's id in a profile.
pub(crate) fn tool(text: &str, path: &str, known: &Known) -> Option<Finding> {
    if let Some(rest) = text.strip_prefix("mcp:") {
        let right = rest.split_once('/').is_some_and(|(server, tool)| is_name(server) && !tool.is_empty());
        let message = format!("`{path}` is `{text}`, which does not name an MCP server and a tool");
        return (!right).then(|| {
            finding("bad_tool", message, "write `mcp:SERVER/TOOL`, or `mcp:SERVER/*` for all of a server's tools")
        });
    }
    if known.tools.is_empty() || known.tools.contains(text) {
        return None;
    }
    let hint = suggest(text, known.tools.iter().map(String::as_str), "remove it");
    Some(finding("unknown_tool", format!("there is no tool `{text}`"), hint))
}

/// What is wrong with an entry of a list of people: `ada`, or `role:approver`.
pub(crate) fn user(text: &str, path: &str) -> Option<Finding> {
    if let Some(role) = text.strip_prefix(ROLE) {
        let roles = Role::ALL.map(Role::as_str);
        let message = format!("`{path}` is `{text}`, but there is no role `{role}`");
        return Role::parse(role).is_none().then(|| finding("unknown_value", message, suggest(role, roles, "")));
    }
    if is_name(text) {
        return None;
    }
    let message = format!("`{path}` is `{text}`, which names no user and no role");
    Some(finding("bad_name", message, "write a user's name, such as `ada`, or `role:approver` for all of a role"))
}

/// The MCP server that a tool's id names.
pub(crate) fn server_of(tool: &str) -> Option<&str> {
    tool.strip_prefix("mcp:")?.split_once('/').map(|(server, _)| server)
}

/// What is wrong with a pattern of `http_hosts`: `api.example.com`, `*.example.com`, or an IP address.
pub(crate) fn host(text: &str, path: &str) -> Option<Finding> {
    let bare = text.strip_prefix("*.").unwrap_or(text);
    let address = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if address || (bare.len() <= MAX_HOST && bare.split('.').all(label)) {
        return None;
    }
    let hint = match text {
        "*" | "*.*" => "name the hosts; `*.example.com` stands for all hosts below a domain".to_owned(),
        _ => match host_in(text) {
            Some(host) => format!("write `{host}`: a host alone, without scheme, port or path"),
            None => "write a host such as `api.example.com` or `*.example.com`".to_owned(),
        },
    };
    Some(finding("bad_host", format!("`{path}` is `{text}`, which is no host"), hint))
}

/// The host inside what looks like a URL.
fn host_in(text: &str) -> Option<&str> {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let host = rest.split(['/', ':', '?']).next().unwrap_or("");
    (host != text && !host.is_empty() && self::host(host, "").is_none()).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "logs", "log-reader-2", "0day"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a_b", "a b", "é", &"a".repeat(65)] {
            assert!(!is_name(bad), "{bad}");
        }
        assert_eq!(to_name("Log Reader (v2)"), "log-reader-v2");
    }

    #[test]
    fn hosts() {
        for good in ["api.example.com", "*.example.com", "localhost", "127.0.0.1", "::1", "[::1]"] {
            assert!(host(good, "h").is_none(), "{good}");
        }
        for bad in ["", "*", "a..b", "https://a.b", "a.b:80", "a.b/c", "*.*.b", "-a.b", "a b"] {
            assert!(host(bad, "h").is_some(), "{bad}");
        }
    }
}
