//! Every bound of the tools in one place.
//!
//! Rule: a number that keeps a tool from running away stands here, with its unit and its reason, and nowhere else.

use std::time::Duration;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// The bounds that all tools keep.
#[derive(Debug, Clone)]
pub struct ToolLimits {
    /// Bytes of text that one call gives to the model: 32 KiB, about 8,000 tokens.
    pub output_bytes: usize,
    /// What the file tools keep to.
    pub file: FileLimits,
    /// What `query_table` keeps to.
    pub query: QueryLimits,
    /// What `http_get` keeps to.
    pub http: HttpLimits,
    /// What `shell` keeps to.
    pub shell: ShellLimits,
    /// What programs of agents are held to, besides what holds for `shell`.
    pub program: ProgramLimits,
    /// What MCP servers are held to.
    pub mcp: McpLimits,
}

impl Default for ToolLimits {
    fn default() -> Self {
        Self {
            output_bytes: 32 * KIB,
            file: FileLimits::default(),
            query: QueryLimits::default(),
            http: HttpLimits::default(),
            shell: ShellLimits::default(),
            program: ProgramLimits::default(),
            mcp: McpLimits::default(),
        }
    }
}

/// What the file tools keep to.
#[derive(Debug, Clone)]
pub struct FileLimits {
    /// Bytes in a path argument: 1,024.
    pub path_bytes: usize,
    /// Folders in a path argument: 32.
    pub path_depth: usize,
    /// Bytes of the largest file that is read or searched: 1 GiB.
    pub file_bytes: u64,
    /// Bytes shown of one line: 2,000. The rest is cut and the cut is shown.
    pub line_bytes: usize,
    /// Lines `read_file` gives when not told: 500.
    pub read_lines: usize,
    /// Lines `read_file` gives at most: 5,000.
    pub read_lines_max: usize,
    /// Entries `list_files` gives: 500.
    pub list_entries: usize,
    /// Folders `list_files` goes down when not told: 3.
    pub list_depth: usize,
    /// Entries looked at in one walk through folders: 200,000.
    pub walk_entries: usize,
    /// Folders a walk goes down: 32.
    pub walk_depth: usize,
    /// Matches `search_files` shows when not told: 50.
    pub search_matches: usize,
    /// Matches `search_files` shows at most: 500.
    pub search_matches_max: usize,
    /// Lines of context around a match at most: 20.
    pub search_context_max: usize,
    /// Bytes one search reads: 4 GiB.
    pub search_bytes: u64,
    /// Time one search takes: 20 s. What was found until then is given.
    pub search_time: Duration,
    /// Bytes of memory a compiled pattern may take: 1 MiB.
    pub pattern_bytes: usize,
    /// Bytes `write_file` writes: 4 MiB.
    pub write_bytes: usize,
    /// Bytes of a file that `patch_file` changes: 16 MiB.
    pub patch_bytes: usize,
}

impl Default for FileLimits {
    fn default() -> Self {
        Self {
            path_bytes: 1_024,
            path_depth: 32,
            file_bytes: 1 << 30,
            line_bytes: 2_000,
            read_lines: 500,
            read_lines_max: 5_000,
            list_entries: 500,
            list_depth: 3,
            walk_entries: 200_000,
            walk_depth: 32,
            search_matches: 50,
            search_matches_max: 500,
            search_context_max: 20,
            search_bytes: 4 << 30,
            search_time: Duration::from_secs(20),
            pattern_bytes: MIB,
            write_bytes: 4 * MIB,
            patch_bytes: 16 * MIB,
        }
    }
}

/// What `query_table` keeps to.
#[derive(Debug, Clone)]
pub struct QueryLimits {
    /// Files in one query: 8. SQLite attaches at most ten.
    pub files: usize,
    /// Bytes of a file that is loaded as a table: 256 MiB.
    pub table_bytes: u64,
    /// Rows of a table: 5 million.
    pub table_rows: usize,
    /// Columns of a table: 500.
    pub table_columns: usize,
    /// Bytes of tables kept in memory between queries, and of one table: 512 MiB. Older ones are dropped first.
    pub cache_bytes: u64,
    /// Bytes of a query's text: 16 KiB.
    pub text_bytes: usize,
    /// Time one query runs, loading not counted: 10 s.
    pub time: Duration,
    /// Rows in an answer: 500.
    pub rows: usize,
    /// Bytes of one value that a query makes: 4 MiB.
    pub value_bytes: usize,
}

impl Default for QueryLimits {
    fn default() -> Self {
        Self {
            files: 8,
            table_bytes: 256 << 20,
            table_rows: 5_000_000,
            table_columns: 500,
            cache_bytes: 512 << 20,
            text_bytes: 16 * KIB,
            time: Duration::from_secs(10),
            rows: 500,
            value_bytes: 4 * MIB,
        }
    }
}

/// What `http_get` keeps to.
#[derive(Debug, Clone)]
pub struct HttpLimits {
    /// Time one request takes with all its redirects: 30 s.
    pub time: Duration,
    /// Redirects followed: 5.
    pub redirects: usize,
    /// Bytes of a body after decompression: 2 MiB.
    pub body_bytes: usize,
    /// Headers a call may set: 20.
    pub headers: usize,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self { time: Duration::from_secs(30), redirects: 5, body_bytes: 2 * MIB, headers: 20 }
    }
}

/// What `shell` keeps to.
#[derive(Debug, Clone)]
pub struct ShellLimits {
    /// Time a command runs when not told: 60 s.
    pub time: Duration,
    /// Time a command runs at most: 600 s.
    pub time_max: Duration,
    /// Bytes of a command: 64 KiB.
    pub command_bytes: usize,
    /// Processes a command may have at once: 128.
    pub processes: usize,
    /// Bytes of memory all processes of a command may hold together: 4 GiB; of address space for each one too.
    pub memory_bytes: u64,
    /// Bytes of a file that a command writes: 1 GiB.
    pub file_bytes: u64,
    /// Files a process of a command has open: 1,024.
    pub open_files: u64,
}

impl Default for ShellLimits {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(60),
            time_max: Duration::from_secs(600),
            command_bytes: 64 * KIB,
            processes: 128,
            memory_bytes: 4 << 30,
            file_bytes: 1 << 30,
            open_files: 1_024,
        }
    }
}

/// What programs of agents are held to.
#[derive(Debug, Clone)]
pub struct ProgramLimits {
    /// Bytes of standard output that are taken: 1 MiB. More is read and thrown away.
    pub output_bytes: usize,
    /// Bytes of the end of standard error that an error shows: 2 KiB.
    pub error_bytes: usize,
    /// Bytes of an artifact, for its digest: 1 GiB.
    pub artifact_bytes: u64,
}

impl Default for ProgramLimits {
    fn default() -> Self {
        Self { output_bytes: MIB, error_bytes: 2 * KIB, artifact_bytes: 1 << 30 }
    }
}

/// What MCP servers are held to.
#[derive(Debug, Clone)]
pub struct McpLimits {
    /// Time `offer` waits for MCP servers that are not up yet: 2 s for all together.
    pub offer_wait: Duration,
    /// Time a call waits for its server to come up: 10 s, and never longer than the call itself.
    pub call_wait: Duration,
    /// First pause before a server is started again: 500 ms. It doubles each time, with jitter.
    pub backoff: Duration,
    /// Longest pause before a server is started again: 30 s.
    pub backoff_max: Duration,
    /// Failed starts in a row after which a server is left alone: 6.
    pub failures: u32,
    /// Time a server is left alone: 5 min. Then it gets one more try.
    pub open_time: Duration,
    /// Time after which an unused connection is closed: 10 min.
    pub idle: Duration,
    /// The same for a connection that is bound to one attempt's folders: 60 s.
    pub folder_idle: Duration,
    /// Time after which a server's list of tools is asked for again: 5 min. Sooner if the server says that it changed.
    pub list_age: Duration,
    /// Connections at once: 256.
    pub connections: usize,
    /// Tools taken from one server: 500.
    pub tools: usize,
    /// Bytes of one tool's schema and description: 64 KiB. A larger tool is left out.
    pub tool_bytes: usize,
    /// Bytes of one message from a server: 16 MiB.
    pub message_bytes: usize,
}

impl Default for McpLimits {
    fn default() -> Self {
        Self {
            offer_wait: Duration::from_secs(2),
            call_wait: Duration::from_secs(10),
            backoff: Duration::from_millis(500),
            backoff_max: Duration::from_secs(30),
            failures: 6,
            open_time: Duration::from_secs(300),
            idle: Duration::from_secs(600),
            folder_idle: Duration::from_secs(60),
            list_age: Duration::from_secs(300),
            connections: 256,
            tools: 500,
            tool_bytes: 64 * KIB,
            message_bytes: 16 * MIB,
        }
    }
}
