//! Integration tests of `convoke-connect`: real servers, real tools. One file per noun.

#![allow(clippy::unwrap_used)]

mod mcp;
mod mcp_fault;
mod model_aimock;
mod model_http;
mod model_litellm;
mod model_mock;
mod model_script;
mod program;
mod tool;
mod tool_file;
mod tool_query;
mod tool_shared;
mod tool_shell;
