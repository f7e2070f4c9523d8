//! Tests of `convoke-connect` against real parts.

mod tool;
mod tool_file;
mod tool_query;
mod tool_shell;
