//! Whom we call: model providers, tools, MCP servers, the sandbox.

pub mod model;
pub mod tool;
