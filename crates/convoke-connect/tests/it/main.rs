//! Integration tests of `convoke-connect`: real servers, real tools. One file per noun.

<<<<<<< HEAD
#![allow(clippy::unwrap_used)]

mod model_aimock;
mod model_http;
mod model_litellm;
mod model_mock;
mod model_script;
=======
mod mcp;
mod mcp_fault;
>>>>>>> fbf1487 (connect: add tools of MCP servers)
mod tool;
mod tool_file;
mod tool_query;
mod tool_shell;
