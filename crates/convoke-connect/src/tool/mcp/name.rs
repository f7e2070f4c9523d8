//! Names of MCP tools: `mcp:SERVER/TOOL` in profiles, `mcp_SERVER_TOOL` for models.
//!
//! Rule: models get letters, digits, `_` and `-`, at most 64. Where that changes the name or makes two alike, a short hash of
//! the full name is added, so that a tool keeps its name whatever else is there.

use std::collections::HashSet;

use convoke_port::tool::ToolInfo;
use sha2::{Digest, Sha256};

/// The longest name that providers take.
const LONGEST: usize = 64;

/// The name in profiles.
pub(crate) fn id(server: &str, tool: &str) -> String {
    format!("mcp:{server}/{tool}")
}

/// Server and tool of a name in profiles.
pub(crate) fn parts(id: &str) -> Option<(&str, &str)> {
    id.strip_prefix("mcp:")?.split_once('/').filter(|(server, tool)| !server.is_empty() && !tool.is_empty())
}

/// The servers that a list of allowed tools means, once each.
pub(crate) fn servers(allowed: &[String]) -> Vec<String> {
    let mut seen = HashSet::new();
    let servers = allowed.iter().filter_map(|id| parts(id)).map(|(server, _)| server);
    servers.filter(|server| seen.insert(*server)).map(str::to_owned).collect()
}

/// The tools of a server that are allowed by name.
pub(crate) fn named<'a>(allowed: &'a [String], server: &'a str) -> impl Iterator<Item = &'a String> {
    allowed.iter().filter(move |id| parts(id).is_some_and(|(of, tool)| of == server && tool != "*"))
}

/// The name for models.
pub(crate) fn shown(server: &str, tool: &str) -> String {
    let full = format!("mcp_{server}_{tool}");
    let plain: String = full.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    if plain == full && plain.len() <= LONGEST { plain } else { marked(&plain, &id(server, tool)) }
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

fn marked(plain: &str, id: &str) -> String {
    let hash = Sha256::digest(id);
    let mark = format!("_{:02x}{:02x}{:02x}{:02x}", hash[0], hash[1], hash[2], hash[3]);
    // All of it is ASCII by now.
    format!("{}{mark}", &plain[..plain.len().min(LONGEST - mark.len())])
}

/// Marks all but the first of those with the same name.
pub(crate) fn told_apart(mut tools: Vec<ToolInfo>) -> Vec<ToolInfo> {
    let mut seen = HashSet::new();
    for tool in &mut tools {
        if !seen.insert(tool.spec.name.clone()) {
            tool.spec.name = marked(&tool.spec.name, &tool.id);
            seen.insert(tool.spec.name.clone());
        }
    }
    tools
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_get_plain_names() {
        assert_eq!(shown("git", "git_log"), "mcp_git_git_log");
        assert_eq!(shown("a.b", "c/d"), "mcp_a_b_c_d_b3371a20");
        let long = shown("server", &"x".repeat(80));
        assert_eq!(long.len(), 64);
        assert_ne!(long, shown("server", &"x".repeat(81)));
        assert!(shown("s", "größe").chars().all(is_plain));
    }

    #[test]
    fn names_are_taken_apart() {
        assert_eq!(parts("mcp:git/git_log"), Some(("git", "git_log")));
        assert_eq!(parts("mcp:a/b/c"), Some(("a", "b/c")));
        for wrong in ["git/x", "mcp:git", "mcp:/x", "mcp:git/", "read_file"] {
            assert_eq!(parts(wrong), None, "{wrong}");
        }
        let allowed = ["mcp:a/*", "mcp:b/x", "mcp:a/y", "read_file"].map(str::to_owned);
        assert_eq!(servers(&allowed), ["a", "b"]);
        assert_eq!(named(&allowed, "a").collect::<Vec<_>>(), ["mcp:a/y"]);
    }
}
