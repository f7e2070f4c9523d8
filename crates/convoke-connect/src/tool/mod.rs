//! What agents can do: built-in tools and the tools of MCP servers, behind the port [`Tools`].
//!
//! Rule: nothing runs that the scope does not allow, whatever was offered before; every bound is in [`ToolLimits`].
//! Start with [`Toolbox`], then `builtin` for the list of tools.

mod argument;
mod builtin;
mod child;
mod file;
mod guard;
mod http_get;
mod job;
mod limits;
mod mcp;
mod program;
mod query_table;
mod shell;

use std::sync::Arc;

use convoke_domain::program::TOOL;
use convoke_port::BoxFuture;
use convoke_port::tool::{ToolError, ToolInfo, ToolOutput, ToolRequest, ToolScope, Tools};
pub use limits::{FileLimits, HttpLimits, McpLimits, ProgramLimits, QueryLimits, ShellLimits, ToolLimits};
pub use mcp::ServerReport;
pub use shell::SandboxChoice;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use self::builtin::Builtin;
use self::http_get::{Egress, Permit};
use self::job::Job;
use self::mcp::{Servers, Variables};
use self::query_table::Tables;
use self::shell::Sandbox;

/// All tools. One toolbox serves all attempts of a process; it owns the connections to MCP servers.
pub struct Toolbox {
    limits: Arc<ToolLimits>,
    tables: Arc<Tables>,
    egress: Egress,
    choice: SandboxChoice,
    sandbox: OnceCell<Result<Sandbox, String>>,
    servers: Servers,
}

impl Toolbox {
    /// A toolbox with these bounds.
    pub fn new(limits: ToolLimits) -> Self {
        let limits = Arc::new(limits);
        let variables: Variables = Arc::new(|name| std::env::var(name).ok());
        Self {
            servers: Servers::new(limits.clone(), variables),
            limits,
            tables: Arc::default(),
            egress: Egress::default(),
            choice: SandboxChoice::default(),
            sandbox: OnceCell::new(),
        }
    }

    /// The same with this sandbox for `shell`.
    #[must_use]
    pub fn with_sandbox(self, choice: SandboxChoice) -> Self {
        Self { choice, ..self }
    }

    /// The same with another source for `${NAME}` in the settings of MCP servers than this process's environment.
    #[must_use]
    pub fn with_variables(self, variables: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        let servers = Servers::new(self.limits.clone(), Arc::new(variables));
        Self { servers, ..self }
    }

    /// Which sandbox `shell` would use, or why there is none.
    pub async fn sandbox(&self) -> Result<&'static str, String> {
        match self.find_sandbox().await {
            Ok(Sandbox::Bubblewrap(_)) => Ok("bubblewrap"),
            Ok(Sandbox::Kernel(_)) => Ok("landlock"),
            Err(why) => Err(why.clone()),
        }
    }

    /// How the MCP servers of a scope are, each of them, allowed or not. Waits no longer than an offer.
    pub async fn servers(&self, scope: &ToolScope) -> Vec<ServerReport> {
        self.servers.reports(scope).await
    }

    async fn find_sandbox(&self) -> Result<&Sandbox, &String> {
        self.sandbox.get_or_init(|| shell::detect(self.choice)).await.as_ref()
    }

    /// Why a tool that is allowed cannot be had.
    async fn missing(&self, tool: Builtin, scope: &ToolScope) -> Option<String> {
        match tool.missing(scope) {
            None if tool == Builtin::Shell => self.find_sandbox().await.err().cloned(),
            why => why,
        }
    }

    /// The names of the built-in tools, for checking profiles.
    pub fn names() -> &'static [&'static str] {
        &Builtin::NAMES
    }

    async fn run(
        &self,
        tool: Builtin,
        scope: &ToolScope,
        request: &ToolRequest,
        cancel: &CancellationToken,
    ) -> Result<ToolOutput, ToolError> {
        if let Some(why) = self.missing(tool, scope).await {
            return Err(ToolError::Refused(why));
        }
        let job = Job::new(scope, request, &self.limits, cancel);
        match tool {
            Builtin::ReadFile => job::run_blocking(job, file::read::run).await,
            Builtin::ListFiles => job::run_blocking(job, file::list::run).await,
            Builtin::SearchFiles => job::run_blocking(job, file::search::run).await,
            Builtin::WriteFile => job::run_blocking(job, file::write::run).await,
            Builtin::PatchFile => job::run_blocking(job, file::patch::run).await,
            Builtin::QueryTable => {
                let tables = self.tables.clone();
                job::run_blocking(job, move |job| query_table::run(job, &tables)).await
            }
            Builtin::HttpGet => http_get::run(&job, &Permit::of(scope), &self.egress).await,
            Builtin::Shell => {
                let sandbox = self.find_sandbox().await.map_err(|why| ToolError::Refused(why.clone()))?;
                shell::run(&job, sandbox).await
            }
        }
    }
}

impl Tools for Toolbox {
    fn offer<'a>(&'a self, scope: &'a ToolScope) -> BoxFuture<'a, (Vec<ToolInfo>, Vec<String>)> {
        Box::pin(async move {
            let (mut tools, mut notices) = (Vec::new(), Vec::new());
            for tool in Builtin::ALL.into_iter().filter(|tool| allows(scope, tool.id())) {
                match self.missing(tool, scope).await {
                    None => tools.push(tool.info(scope)),
                    Some(why) => notices.push(why),
                }
            }
            let (more, missing) = self.servers.offer(scope).await;
            tools.extend(more);
            notices.extend(missing);
            (tools, notices)
        })
    }

    fn call<'a>(
        &'a self,
        scope: &'a ToolScope,
        request: &'a ToolRequest,
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<ToolOutput, ToolError>> {
        Box::pin(async move {
            if let Some(program) = scope.program.as_ref().filter(|_| request.id == TOOL) {
                let sandbox = self.find_sandbox().await;
                return program::run(&Job::new(scope, request, &self.limits, cancel), (program, scope), sandbox).await;
            }
            if !allows(scope, &request.id) {
                return Err(ToolError::Refused(format!(
                    "the tool `{}` is not among those this agent may use",
                    request.id
                )));
            }
            match Builtin::named(&request.id) {
                Some(tool) => self.run(tool, scope, request, cancel).await,
                None if request.id.starts_with("mcp:") => self.servers.call(scope, request, cancel).await,
                None => Err(ToolError::Refused(format!("there is no tool `{}`", request.id))),
            }
        })
    }
}

/// Is the tool in the scope's list, itself or by `mcp:SERVER/*`?
fn allows(scope: &ToolScope, id: &str) -> bool {
    let server = id.starts_with("mcp:").then(|| id.split_once('/')).flatten().map(|(server, _)| server);
    scope.allowed.iter().any(|allowed| {
        allowed == id || server.is_some_and(|server| allowed.strip_suffix("/*").is_some_and(|prefix| prefix == server))
    })
}
