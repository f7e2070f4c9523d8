//! MCP servers of a team: one way to reach each, no secrets written out, and none missing that a member may use.

use std::collections::BTreeSet;

use crate::near::suggest;
use crate::node::{Entry, Kind, Node};
use crate::problem::finding;
use crate::team::TeamCheck;
use crate::word;

/// Parts of a name that say its value is a secret.
const SECRET_WORDS: [&str; 7] = ["authorization", "token", "secret", "password", "api_key", "apikey", "api-key"];

impl TeamCheck<'_, '_, '_, '_> {
    /// Checks `mcp_servers` and what the members' tools say of them.
    pub(crate) fn servers(&mut self) {
        let team = self.team;
        let servers = team.get("mcp_servers").map(Node::entries).unwrap_or_default();
        for entry in servers {
            if let Some(found) = word::name(&entry.key, "the name of an MCP server") {
                self.reporter.report(entry.place, found);
            }
            if matches!(entry.node.kind, Kind::Map(_)) {
                self.one_way(entry);
                self.address(entry);
                self.written_out(entry);
            }
        }
        let names: Vec<&str> = servers.iter().map(|entry| entry.key.as_str()).collect();
        self.members_servers(&names);
    }

    /// A server is a program or an address, and its settings belong to that.
    fn one_way(&mut self, entry: &Entry) {
        let path = format!("mcp_servers.{}", entry.key);
        let has = |key: &str| entry.node.get(key).is_some_and(|node| !node.is_null());
        let (command, url) = (has("command"), has("url"));
        if command == url {
            let message = if command {
                format!("`{path}` has both `command` and `url`")
            } else {
                format!("`{path}` has neither `command` nor `url`")
            };
            let hint = "give `command` (with `args`) for a program, or `url` for a server over HTTP";
            return self.reporter.report(entry.place, finding("bad_server", message, hint));
        }
        let foreign: &[&str] = if command { &["headers"] } else { &["args", "env"] };
        let set = |field: &&Entry| foreign.contains(&field.key.as_str()) && !field.node.is_empty();
        for field in entry.node.entries().iter().filter(set) {
            let owner = if command { "url" } else { "command" };
            let message = format!("`{path}.{}` has no effect: it belongs to `{owner}`", field.key);
            self.reporter.report(field.place, finding("bad_server", message, "remove it"));
        }
    }

    fn address(&mut self, entry: &Entry) {
        let Some((url, node)) = entry.node.text_at("url") else { return };
        let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        let right =
            host.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/')) && !url.contains(char::is_whitespace);
        if !right {
            let message = format!("`mcp_servers.{}.url` is `{url}`, which is no HTTP address", entry.key);
            self.report(node, Some(finding("bad_url", message, "write `https://HOST/PATH`")));
        }
    }

    /// A secret in a team file would be stored, versioned and exported with it.
    fn written_out(&mut self, entry: &Entry) {
        for field in ["env", "headers"] {
            for pair in entry.node.get(field).map(Node::entries).unwrap_or_default() {
                let key = pair.key.to_lowercase();
                let secret = SECRET_WORDS.iter().any(|word| key.contains(word));
                let Some(value) = pair.node.text().filter(|_| secret) else { continue };
                if !value.is_empty() && !value.contains("${") {
                    let message = format!("`mcp_servers.{}.{field}.{}` holds a secret", entry.key, pair.key);
                    let hint = format!("put it in an environment variable and write `{}`", reference(&pair.key, &key));
                    self.report(&pair.node, Some(finding("secret_in_file", message, hint)));
                }
            }
        }
    }

    /// Each MCP server that a member's profile names must be one of the team's.
    fn members_servers(&mut self, names: &[&str]) {
        let team = self.team;
        let mut told: BTreeSet<(&str, String)> = BTreeSet::new();
        let members = team.list("members").iter().filter_map(|member| member.text_at("profile"));
        for (name, node) in members.chain(team.text_at("coordinator")) {
            let tools = self.known.profiles.get(name).map(|facts| facts.tools.as_slice()).unwrap_or_default();
            for server in tools.iter().filter_map(|tool| word::server_of(tool)) {
                if names.contains(&server) || !told.insert((name, server.to_owned())) {
                    continue;
                }
                let message = format!("`{name}` may use the MCP server `{server}`, but the team has none of that name");
                let fallback = format!("add it under `mcp_servers: {{{server}: …}}`");
                let hint = match suggest(server, names.iter().copied(), "") {
                    near if near.starts_with("did you mean") => format!("{fallback}; {near}"),
                    _ => fallback,
                };
                self.report(node, Some(finding("unknown_server", message, hint)));
            }
        }
    }
}

/// How a value is taken from the environment.
fn reference(key: &str, lower: &str) -> String {
    if lower == "authorization" {
        "Bearer ${NAME}".to_owned()
    } else {
        format!("${{{}}}", key.to_uppercase().replace('-', "_"))
    }
}
