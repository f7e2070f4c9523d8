//! Authority: what an agent may do. What is not granted is denied, and each denial names its rule.

use crate::profile::Profile;

/// The tool that runs commands; it needs `authority.shell` besides being allowed.
pub const SHELL: &str = "shell";
/// The tool that fetches pages; it needs `authority.http_hosts` besides being allowed.
pub const HTTP_GET: &str = "http_get";

/// A denial, with the rule that denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The rule, as it stands in the profile: `tools`, `authority.shell`, `authority.http_hosts`.
    pub rule: &'static str,
    /// For the model and the audit.
    pub message: String,
}

/// Groups of tools by which agents work together, for the `tools` of a profile.
pub const GROUPS: &[(&str, &[&str])] = &[
    ("@talk", &["send", "broadcast", "ask", "answer", "reply", "wait_for"]),
    ("@share", &["read_context", "write_context", "add_finding", "read_dropped", "remember", "recall"]),
    ("@work", &["progress", "escalate", "delegate", "hand_off", "accept", "decline"]),
    ("@lock", &["lock", "unlock"]),
];

/// True if the pattern of a profile's `tools` covers `tool`: the name itself, a group, or `mcp:SERVER/*`.
pub fn covers(pattern: &str, tool: &str) -> bool {
    if pattern.starts_with('@') {
        return GROUPS.iter().any(|(group, tools)| *group == pattern && tools.contains(&tool));
    }
    match pattern.strip_suffix("/*") {
        Some(server) => tool.strip_prefix(server).is_some_and(|rest| rest.starts_with('/')),
        None => pattern == tool,
    }
}

/// Whether `profile` may use `tool` (its id: `read_file`, `mcp:SERVER/TOOL`).
pub fn may_use(profile: &Profile, tool: &str) -> Result<(), Denial> {
    if !profile.tools.iter().any(|pattern| covers(pattern, tool)) {
        let message = format!("agent `{}` is not allowed to use the tool `{tool}`", profile.name);
        return Err(Denial { rule: "tools", message });
    }
    if tool == SHELL && !profile.authority.shell {
        let message = format!("agent `{}` has no authority to run shell commands", profile.name);
        return Err(Denial { rule: "authority.shell", message });
    }
    if tool == HTTP_GET && profile.authority.http_hosts.is_empty() {
        let message = format!("agent `{}` has no authority to reach any host", profile.name);
        return Err(Denial { rule: "authority.http_hosts", message });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(tools: &[&str]) -> Profile {
        let value = serde_json::json!({"name": "logs", "prompt": "Look.", "tools": tools});
        serde_json::from_value(value).expect("a profile")
    }

    #[test]
    fn what_is_not_granted_is_denied() {
        let agent = profile(&["read_file", "mcp:git/*", "mcp:time/now", "shell", "http_get"]);
        for tool in ["read_file", "mcp:git/log", "mcp:time/now"] {
            assert_eq!(may_use(&agent, tool), Ok(()), "{tool}");
        }
        for (tool, rule) in [
            ("write_file", "tools"),
            ("mcp:time/convert", "tools"),
            ("mcp:github/log", "tools"),
            ("mcp:git", "tools"),
            ("shell", "authority.shell"),
            ("http_get", "authority.http_hosts"),
        ] {
            assert_eq!(may_use(&agent, tool).expect_err(tool).rule, rule, "{tool}");
        }
    }
}
