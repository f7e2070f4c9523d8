//! Tools of MCP servers: which servers a scope means, what they offer, and calls.
//!
//! Rule: a server is never waited for longer than the limits say, and a server that is down is a notice in an offer and an
//! error in a call, nothing more. [`settings`] says how a server is reached, [`connection`] keeps one alive, [`session`] is
//! one connection in being, [`name`] is how models see its tools, [`answer`] what they read.

mod answer;
mod connection;
mod name;
mod session;
mod settings;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use convoke_port::tool::{Repeat, ToolError, ToolInfo, ToolOutput, ToolRequest, ToolScope, ToolSpec};
use rmcp::model::Tool;
use serde_json::Value;
pub(crate) use settings::Variables;
use tokio_util::sync::CancellationToken;

use self::connection::{Connection, State};
use self::settings::Settings;
use super::limits::ToolLimits;

/// The servers of a toolbox.
pub(crate) struct Servers {
    limits: Arc<ToolLimits>,
    variables: Variables,
    connections: Mutex<HashMap<Settings, Arc<Connection>>>,
}

/// How an MCP server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerReport {
    /// Its name in the team.
    pub name: String,
    /// The revision of the protocol that was agreed on.
    pub protocol: Option<String>,
    /// The names of its tools.
    pub tools: Vec<String>,
    /// Why it is not available, if it is not.
    pub trouble: Option<String>,
}

/// What is known of a server for an offer.
type Found = (String, Result<Arc<connection::Up>, String>);

impl Servers {
    /// Servers whose settings may use these variables.
    pub(crate) fn new(limits: Arc<ToolLimits>, variables: Variables) -> Self {
        Self { limits, variables, connections: Mutex::default() }
    }

    /// The tools that the scope allows and that can be had now, and what is missing.
    pub(crate) async fn offer(&self, scope: &ToolScope) -> (Vec<ToolInfo>, Vec<String>) {
        let wanted = name::servers(&scope.allowed);
        let until = Instant::now() + self.limits.mcp.offer_wait;
        // All are started before any is waited for.
        let begun: Vec<_> = wanted.iter().map(|server| (server, self.connection(scope, server))).collect();
        let (mut tools, mut notices) = (BTreeMap::new(), Vec::new());
        for (server, connection) in begun {
            let found: Found = (
                server.clone(),
                match connection {
                    Ok(connection) => connection.up(until, false).await,
                    Err(why) => Err(why),
                },
            );
            self.take(scope, found, &mut tools, &mut notices);
        }
        (name::told_apart(tools.into_values().collect()), notices)
    }

    /// How the scope's servers are, for people.
    pub(crate) async fn reports(&self, scope: &ToolScope) -> Vec<ServerReport> {
        let until = Instant::now() + self.limits.mcp.offer_wait;
        let begun: Vec<_> = scope.mcp_servers.keys().map(|server| (server, self.connection(scope, server))).collect();
        let mut reports = Vec::new();
        for (server, connection) in begun {
            let up = match connection {
                Ok(connection) => connection.up(until, false).await,
                Err(why) => Err(why),
            };
            let name = server.clone();
            reports.push(match up {
                Ok(up) => ServerReport {
                    name,
                    protocol: up.peer.peer_info().map(|info| info.protocol_version.to_string()),
                    tools: up.tools.iter().map(|tool| tool.name.to_string()).collect(),
                    trouble: None,
                },
                Err(why) => ServerReport { name, protocol: None, tools: Vec::new(), trouble: Some(why) },
            });
        }
        reports
    }

    /// Adds what one server offers.
    fn take(&self, scope: &ToolScope, found: Found, tools: &mut BTreeMap<String, ToolInfo>, notices: &mut Vec<String>) {
        let (server, up) = found;
        let up = match up {
            Ok(up) => up,
            Err(why) => return notices.push(format!("MCP server `{server}` is not available: {why}")),
        };
        for tool in up.tools.iter() {
            let id = name::id(&server, &tool.name);
            if !super::allows(scope, &id) {
                continue;
            }
            match self.info(&server, tool) {
                Some(info) => drop(tools.insert(id, info)),
                None => notices.push(format!("MCP tool `{id}` is left out: its description is too large")),
            }
        }
        for id in name::named(&scope.allowed, &server).filter(|id| !tools.contains_key(*id)) {
            notices.push(format!("MCP server `{server}` has no tool `{id}`"));
        }
    }

    fn info(&self, server: &str, tool: &Tool) -> Option<ToolInfo> {
        let mut schema = (*tool.input_schema).clone();
        schema.entry("type").or_insert_with(|| "object".into());
        let schema = Value::Object(schema);
        let description = tool.description.as_deref().or(tool.title.as_deref()).unwrap_or_default();
        if schema.to_string().len() + description.len() > self.limits.mcp.tool_bytes {
            return None;
        }
        let spec = ToolSpec {
            name: name::shown(server, &tool.name),
            description: if description.is_empty() { tool.name.to_string() } else { description.to_owned() },
            input_schema: schema,
        };
        Some(ToolInfo { spec, id: name::id(server, &tool.name), repeat: repeat(tool) })
    }

    /// Calls a tool.
    pub(crate) async fn call(
        &self,
        scope: &ToolScope,
        request: &ToolRequest,
        cancel: &CancellationToken,
    ) -> Result<ToolOutput, ToolError> {
        let (server, tool) = name::parts(&request.id)
            .ok_or_else(|| ToolError::Refused(format!("`{}` is not the name of an MCP tool", request.id)))?;
        let unavailable = |why: String| ToolError::Failed(format!("MCP server `{server}` is not available: {why}"));
        let arguments = match &request.input {
            Value::Object(fields) => fields.clone(),
            Value::Null => serde_json::Map::new(),
            _ => return Err(ToolError::Refused(format!("{}: the arguments must be a JSON object", request.id))),
        };
        let connection = self.connection(scope, server).map_err(unavailable)?;
        let _busy = connection.busy();
        let wait = self.limits.mcp.call_wait.min(request.timeout);
        let up = tokio::select! {
            up = connection.up(Instant::now() + wait, true) => up.map_err(unavailable)?,
            () = cancel.cancelled() => return Err(ToolError::Cancelled),
        };
        let call = session::Call {
            server,
            tool,
            arguments,
            key: &request.key,
            time: request.timeout.min(connection.timeout()),
            output_bytes: self.limits.output_bytes,
        };
        let result = tokio::select! {
            result = session::call(&up.peer, call) => result,
            // Dropping the call tells the server.
            () = cancel.cancelled() => Err(session::Trouble::of(ToolError::Cancelled)),
        };
        result.map_err(|trouble| {
            if trouble.broken {
                connection.broke(&up);
            }
            trouble.error
        })
    }

    /// The connection of a server, begun if there is none.
    fn connection(&self, scope: &ToolScope, server: &str) -> Result<Arc<Connection>, String> {
        let config = scope.mcp_servers.get(server).ok_or("the team has no server of this name")?;
        let settings = Settings::of(config, scope, &self.variables)?;
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.retain(|_, connection| !connection.is_over());
        if let Some(connection) = connections.get(&settings) {
            connection.touch();
            return Ok(connection.clone());
        }
        if connections.len() >= self.limits.mcp.connections {
            make_room(&mut connections)?;
        }
        let connection = Arc::new(Connection::begin(server, settings.clone(), self.limits.clone()));
        connections.insert(settings, connection.clone());
        Ok(connection)
    }
}

/// Closes the connection that was not used for longest.
fn make_room(connections: &mut HashMap<Settings, Arc<Connection>>) -> Result<(), String> {
    let oldest = connections
        .iter()
        .filter_map(|(settings, connection)| connection.unused_for().map(|time| (time, settings.clone())))
        .max_by_key(|(time, _)| *time)
        .filter(|(time, _)| *time > Duration::from_secs(1));
    let (_, settings) = oldest.ok_or("too many MCP servers are in use at once")?;
    connections.remove(&settings);
    Ok(())
}

/// Whether a call may be repeated, by the server's own hints. They are not to be trusted for anything else.
fn repeat(tool: &Tool) -> Repeat {
    match &tool.annotations {
        Some(hints) if hints.read_only_hint == Some(true) => Repeat::Harmless,
        Some(hints) if hints.idempotent_hint == Some(true) => Repeat::Idempotent,
        _ => Repeat::Once,
    }
}

impl State {
    fn describe(&self) -> String {
        match self {
            Self::Starting => "it has not answered yet; it will be there once it has".to_owned(),
            Self::Up(_) => "it is up".to_owned(),
            Self::Down(why) => format!("{why}; it is being started again"),
            Self::Left(why) => format!("{why}; it failed too often and is left alone for a while"),
        }
    }
}
