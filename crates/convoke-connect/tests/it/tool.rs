//! A workbench for the tests of tools: folders, a toolbox, calls; and what holds for all tools.

use std::path::Path;
use std::time::Duration;

use convoke_connect::tool::{ToolLimits, Toolbox};
use convoke_port::tool::{Repeat, ToolError, ToolOutput, ToolRequest, ToolScope, Tools};
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// A toolbox with the folders of one attempt.
pub struct Bench {
    pub toolbox: Toolbox,
    pub scope: ToolScope,
    pub folder: TempDir,
    pub key: String,
    pub timeout: Duration,
}

impl Bench {
    /// Everything built in is allowed; folders `work` and `input` are there and empty.
    pub fn new() -> Self {
        Self::with(Toolbox::new(ToolLimits::default()))
    }

    pub fn with(toolbox: Toolbox) -> Self {
        // Not in /tmp, which is another one in a sandbox.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let (workdir, input) = (folder.path().join("work"), folder.path().join("input"));
        std::fs::create_dir(&workdir).expect("work");
        std::fs::create_dir(&input).expect("input");
        let allowed = Toolbox::names().iter().map(|name| (*name).to_owned()).collect();
        let scope = ToolScope { allowed, workdir, input: Some(input), ..ToolScope::default() };
        Self { toolbox, scope, folder, key: "run:task:attempt:1".into(), timeout: Duration::from_secs(60) }
    }

    pub fn work(&self) -> &Path {
        &self.scope.workdir
    }

    pub fn put(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.folder.path().join(path);
        std::fs::create_dir_all(path.parent().expect("parent")).expect("folders");
        std::fs::write(path, content).expect("file");
    }

    pub fn request(&self, id: &str, input: Value) -> ToolRequest {
        ToolRequest { id: id.into(), input, key: self.key.clone(), timeout: self.timeout, fence: None }
    }

    pub async fn call(&self, id: &str, input: Value) -> Result<ToolOutput, ToolError> {
        let request = self.request(id, input);
        self.toolbox.call(&self.scope, &request, &CancellationToken::new()).await
    }

    /// The text of a call that works.
    pub async fn text(&self, id: &str, input: Value) -> String {
        let output = self.call(id, input.clone()).await.unwrap_or_else(|error| panic!("{id} {input}: {error:?}"));
        assert!(!output.is_error, "{id} {input}: {}", output.content);
        output.content
    }

    /// The message of a call that is refused or fails.
    pub async fn error(&self, id: &str, input: Value) -> String {
        match self.call(id, input.clone()).await {
            Err(ToolError::Refused(why) | ToolError::Failed(why)) => why,
            other => panic!("{id} {input}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn every_tool_tells_a_model_what_it_takes() {
    let mut bench = Bench::new();
    bench.scope.shell = true;
    bench.scope.http_hosts = vec!["example.com".into()];
    let (tools, notices) = bench.toolbox.offer(&bench.scope).await;
    assert_eq!(tools.iter().map(|tool| tool.id.as_str()).collect::<Vec<_>>(), Toolbox::names(), "{notices:?}");
    for tool in &tools {
        let spec = &tool.spec;
        assert_eq!(spec.input_schema["type"], "object");
        assert_eq!(spec.input_schema["additionalProperties"], false);
        assert!(spec.description.len() > 80, "{}", tool.id);
        for (name, field) in spec.input_schema["properties"].as_object().expect("properties") {
            assert!(field["description"].as_str().is_some_and(|text| text.len() > 10), "{}.{name}", tool.id);
        }
    }
    let repeat = |id: &str| tools.iter().find(|tool| tool.id == id).map(|tool| tool.repeat);
    assert_eq!(repeat("search_files"), Some(Repeat::Harmless));
    assert_eq!(repeat("write_file"), Some(Repeat::Idempotent));
    assert_eq!(repeat("patch_file"), Some(Repeat::Idempotent));
}

#[tokio::test]
async fn what_is_not_allowed_is_neither_offered_nor_run() {
    let mut bench = Bench::new();
    bench.put("work/a.txt", "a");
    bench.scope.allowed = vec!["list_files".into()];
    let (tools, _) = bench.toolbox.offer(&bench.scope).await;
    assert_eq!(tools.len(), 1);
    let why = bench.error("read_file", serde_json::json!({"path": "a.txt"})).await;
    assert_eq!(why, "the tool `read_file` is not among those this agent may use");
    bench.scope.allowed = vec!["no_such".into()];
    assert_eq!(bench.error("no_such", Value::Null).await, "there is no tool `no_such`");
}

#[tokio::test]
async fn the_reference_names_every_tool_and_argument() {
    let text = include_str!("../../../../docs/reference/tools.md");
    let mut bench = Bench::new();
    bench.scope.shell = true;
    bench.scope.http_hosts = vec!["example.com".into()];
    let (tools, _) = bench.toolbox.offer(&bench.scope).await;
    for tool in tools {
        let (_, part) = text.split_once(&format!("\n## `{}`\n", tool.id)).unwrap_or_else(|| panic!("{}", tool.id));
        let part = part.split("\n## ").next().unwrap_or(part);
        for name in tool.spec.input_schema["properties"].as_object().expect("properties").keys() {
            assert!(part.contains(&format!("| `{name}` |")), "{}.{name}", tool.id);
        }
    }
}
