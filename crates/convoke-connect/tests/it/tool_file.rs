//! File tools: what they do, and that nothing leads them outside.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, Instant};

use convoke_port::tool::{ToolError, Tools};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::tool::Bench;

#[tokio::test]
async fn a_file_is_read_in_parts_with_line_numbers() {
    let bench = Bench::new();
    let lines: String = (1..=1_200).map(|n| format!("line {n}\n")).collect();
    bench.put("input/long.txt", lines);
    let text = bench.text("read_file", json!({"path": "input/long.txt"})).await;
    assert!(text.starts_with("1\tline 1\n2\tline 2\n"), "{text}");
    assert!(text.ends_with("500\tline 500\n[lines 1 to 500 of 1200; go on with offset 501]"), "{text}");
    let text = bench.text("read_file", json!({"path": "input/long.txt", "offset": 1_199, "limit": 10})).await;
    assert_eq!(text, "1199\tline 1199\n1200\tline 1200\n");
    let why = bench.error("read_file", json!({"path": "input/long.txt", "offset": 2_000})).await;
    assert_eq!(why, "`input/long.txt` has 1200 lines; `offset` is 2000");
}

#[tokio::test]
async fn reading_is_cut_at_the_limit_and_says_so() {
    let bench = Bench::new();
    bench.put("work/wide.txt", format!("{}\nsecond\n", "x".repeat(100_000)));
    let text = bench.text("read_file", json!({"path": "wide.txt"})).await;
    assert!(text.len() < 3_000 && text.contains("… [98000 bytes more]\n2\tsecond"), "{text}");
    bench.put("work/much.txt", format!("{}\n", "y".repeat(1_900)).repeat(100));
    let text = bench.text("read_file", json!({"path": "much.txt"})).await;
    assert!(
        text.len() < 33_000 && text.ends_with("[lines 1 to 17 of 100; go on with offset 18]"),
        "{}",
        &text[32_000..]
    );
    bench.put("work/empty.txt", "");
    assert_eq!(bench.text("read_file", json!({"path": "empty.txt"})).await, "`empty.txt` is empty.");
    bench.put("work/b.bin", b"ELF\0\0\0");
    assert_eq!(bench.error("read_file", json!({"path": "b.bin"})).await, "`b.bin` is a binary file of 6 bytes");
}

#[tokio::test]
async fn no_path_leads_outside() {
    let bench = Bench::new();
    bench.put("secret.txt", "secret");
    bench.put("work/inner/real.txt", "real");
    let outside = bench.folder.path().to_path_buf();
    symlink(outside.join("secret.txt"), bench.work().join("file_link")).expect("link");
    symlink(&outside, bench.work().join("folder_link")).expect("link");
    symlink("../secret.txt", bench.work().join("relative_link")).expect("link");
    symlink("/etc", bench.scope.input.as_ref().expect("input").join("etc")).expect("link");
    symlink("inner/real.txt", bench.work().join("good_link")).expect("link");
    assert_eq!(bench.text("read_file", json!({"path": "good_link"})).await, "1\treal\n");
    let paths = [
        "../secret.txt",
        "inner/../../secret.txt",
        "/etc/passwd",
        "input/../../secret.txt",
        "input/etc/passwd",
        "file_link",
        "folder_link/secret.txt",
        "relative_link",
        "folder_link/work/../secret.txt",
        "//etc/passwd",
        "./../secret.txt",
        "/proc/self/environ",
        "input/etc/../etc/passwd",
        "~/x",
        "file:///etc/passwd",
        "",
    ];
    for path in paths {
        for (tool, input) in [
            ("read_file", json!({"path": path})),
            ("write_file", json!({"path": path, "content": "owned"})),
            ("patch_file", json!({"path": path, "old": "secret", "new": "owned"})),
            ("query_table", json!({"files": [path], "sql": "SELECT 1"})),
        ] {
            let result = bench.call(tool, input).await;
            // Writing where a link stands replaces the link, never what it points to; odd names are names.
            let harmless = tool == "write_file" && !path.contains("..") && !path.starts_with('/');
            assert!(harmless || result.is_err(), "{tool} {path}: {result:?}");
            if let Ok(output) = result {
                assert!(!output.content.contains("secret") || output.content.starts_with("Wrote"), "{output:?}");
            }
        }
    }
    for path in ["folder_link", "input/etc", "..", "/"] {
        let why = bench.error("list_files", json!({"path": path})).await;
        assert!(why.contains("outside") || why.contains("`..`") || why.contains("relative"), "{why}");
    }
    assert_eq!(std::fs::read_to_string(outside.join("secret.txt")).expect("still there"), "secret");
}

#[tokio::test]
async fn links_are_not_followed_by_the_way() {
    let bench = Bench::new();
    bench.put("secret.txt", "needle");
    symlink(bench.folder.path(), bench.work().join("out")).expect("link");
    symlink(".", bench.work().join("round")).expect("link");
    bench.put("work/in.txt", "needle");
    let text = bench.text("search_files", json!({"pattern": "needle"})).await;
    assert_eq!(text, "1 match in 1 file (1 searched)\nin.txt:1: needle\n");
    let text = bench.text("list_files", json!({})).await;
    assert_eq!(text, "input/\nin.txt  6 bytes\nout  link\nround  link\n");
}

#[tokio::test]
async fn pipes_and_devices_are_not_opened() {
    let bench = Bench::new();
    let path = bench.work().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo");
    assert!(made.success());
    let why = bench.error("read_file", json!({"path": "pipe"})).await;
    assert_eq!(why, "`pipe` is neither a file nor a folder");
    assert!(bench.text("search_files", json!({"pattern": "x"})).await.starts_with("0 matches"));
}

#[tokio::test]
async fn a_name_cannot_write_rows_of_its_own() {
    let bench = Bench::new();
    bench.put("work/a\nsecret.txt  7 bytes\r\u{1b}[2J\u{2028}b.txt", "word");
    let text = bench.text("list_files", json!({"path": "."})).await;
    assert_eq!(text, "input/\na\\nsecret.txt  7 bytes\\r\\u{1b}[2J\\u{2028}b.txt  4 bytes\n");
    let text = bench.text("search_files", json!({"pattern": "word"})).await;
    assert!(text.contains("\na\\nsecret.txt  7 bytes\\r\\u{1b}[2J\\u{2028}b.txt:1: word\n"), "{text}");
}

#[tokio::test]
async fn folders_are_listed() {
    let bench = Bench::new();
    bench.put("input/logs/app.log", "12345");
    bench.put("input/logs/deep/er/x.csv", "1");
    bench.put("work/notes.md", "n");
    bench.put("work/.convoke/patch/x", "own");
    bench.put("work/.git/objects/aa", "g");
    let text = bench.text("list_files", json!({"depth": 2})).await;
    let all =
        "input/\ninput/logs/\ninput/logs/app.log  5 bytes\ninput/logs/deep/  (not opened)\n.git/\nnotes.md  1 bytes\n";
    assert_eq!(text, all);
    let text = bench.text("list_files", json!({"glob": "*.csv"})).await;
    assert_eq!(text, "input/logs/deep/er/x.csv  1 bytes\n");
    let text = bench.text("list_files", json!({"path": "input", "glob": "logs/**/*.csv"})).await;
    assert_eq!(text, "input/logs/deep/er/x.csv  1 bytes\n");
    assert_eq!(bench.text("list_files", json!({"glob": "*.zip"})).await, "Nothing found in `.`.");
    for n in 0..600 {
        bench.put(&format!("work/many/{n:03}"), "");
    }
    let text = bench.text("list_files", json!({"path": "many"})).await;
    assert!(
        text.ends_with("many/499  0 bytes\n[100 more are not shown; use `path` or `glob` to narrow it down]\n"),
        "{text}"
    );
}

#[tokio::test]
async fn searching_counts_all_and_shows_some() {
    let bench = Bench::new();
    let log: String =
        (1..=300).map(|n| if n % 3 == 0 { format!("{n} ERROR db\n") } else { format!("{n} ok\n") }).collect();
    bench.put("input/a.log", &log);
    bench.put("input/b.txt", "one ERROR\n");
    bench.put("input/c.bin", b"ERROR\0");
    let text = bench.text("search_files", json!({"pattern": "ERROR", "max_matches": 2})).await;
    let head = "101 matches in 2 files (2 searched, 1 binary passed over); the first 2 are shown\n";
    assert_eq!(text, format!("{head}input/a.log:3: 3 ERROR db\ninput/a.log:6: 6 ERROR db\n"));
    let text = bench.text("search_files", json!({"pattern": "(?i)error", "glob": "*.txt"})).await;
    assert_eq!(text, "1 match in 1 file (1 searched)\ninput/b.txt:1: one ERROR\n");
    let input = json!({"pattern": "^3 ERROR", "path": "input/a.log", "context": 1});
    let text = bench.text("search_files", input).await;
    let rows = "input/a.log-2- 2 ok\ninput/a.log:3: 3 ERROR db\ninput/a.log-4- 4 ok\n";
    assert_eq!(text, format!("1 match in 1 file (1 searched)\n{rows}"));
    let why = bench.error("search_files", json!({"pattern": "(a"})).await;
    assert_eq!(why, "search_files: `pattern` is not a regular expression: error: unclosed group");
    let why = bench.error("search_files", json!({"pattern": "(a{1000}){1000}"})).await;
    assert_eq!(why, "search_files: `pattern` is too large once compiled; make it simpler");
}

#[tokio::test]
async fn a_match_far_to_the_right_is_shown() {
    let bench = Bench::new();
    bench.put("work/one.json", format!("{}needle{}", "a".repeat(30_000), "b".repeat(30_000)));
    let text = bench.text("search_files", json!({"pattern": "needle"})).await;
    assert!(text.contains("aneedleb") && text.len() < 2_500, "{text}");
}

#[tokio::test]
async fn search_output_is_bounded() {
    let bench = Bench::new();
    bench.put("work/much.txt", format!("needle {}\n", "x".repeat(1_500)).repeat(2_000));
    let text = bench.text("search_files", json!({"pattern": "needle", "max_matches": 500})).await;
    assert!(text.len() <= 32 << 10, "{}", text.len());
    assert!(text.starts_with("2000 matches in 1 file (1 searched); the first 21 are shown\n"), "{}", &text[..100]);
}

#[tokio::test]
async fn writing_makes_folders_and_replaces_in_one_step() {
    let bench = Bench::new();
    let text = bench.text("write_file", json!({"path": "a/b/c.txt", "content": "one\ntwo\n"})).await;
    assert_eq!(text, "Wrote 8 bytes (2 lines) to `a/b/c.txt`.");
    let path = bench.work().join("a/b/c.txt");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("chmod");
    bench.text("write_file", json!({"path": "a/b/c.txt", "content": "new"})).await;
    assert_eq!(std::fs::read_to_string(&path).expect("read"), "new");
    assert_eq!(std::fs::metadata(&path).expect("stat").permissions().mode() & 0o777, 0o755);
    assert_eq!(std::fs::read_dir(bench.work().join("a/b")).expect("list").count(), 1, "no temporary file is left");
    let why = bench.error("write_file", json!({"path": "input/x.md", "content": ""})).await;
    assert_eq!(why, "`input/x.md` lies in the input folder, which is read only; write elsewhere, such as `x.md`");
    assert_eq!(bench.error("write_file", json!({"path": "a/b", "content": ""})).await, "`a/b` is a folder");
    let why = bench.error("write_file", json!({"path": "a/b/c.txt/d", "content": ""})).await;
    assert_eq!(why, "`a/b/c.txt`: a part of the path is a file, not a folder");
    let why = bench.error("write_file", json!({"path": "x", "content": "x".repeat(5 << 20)})).await;
    assert_eq!(why, "write_file: `content` has 5242880 bytes; 4194304 can be written");
    let why = bench.error("write_file", json!({"path": "n".repeat(250), "content": ""})).await;
    assert!(why.contains("longer than 200 bytes"), "{why}");
    let why = bench.error("write_file", json!({"path": ".convoke/x", "content": ""})).await;
    assert!(why.contains("Convoke keeps for itself"), "{why}");
}

#[tokio::test]
async fn patching_replaces_exactly_what_is_expected() {
    let bench = Bench::new();
    bench.put("work/f.txt", "a b a");
    let why = bench.error("patch_file", json!({"path": "f.txt", "old": "a", "new": "c"})).await;
    let hint = "take more lines around the place, or set `expected_count`";
    assert_eq!(why, format!("`old` is in `f.txt` 2 times, not 1; nothing was changed; {hint}"));
    let input = json!({"path": "f.txt", "old": "a", "new": "c", "expected_count": 2});
    assert_eq!(bench.text("patch_file", input).await, "Replaced 2 pieces in `f.txt`.");
    assert_eq!(std::fs::read_to_string(bench.work().join("f.txt")).expect("read"), "c b c");
    let why = bench.error("patch_file", json!({"path": "f.txt", "old": "zz", "new": "c"})).await;
    assert!(why.ends_with("read the file and copy the text exactly"), "{why}");
    let why = bench.error("patch_file", json!({"path": "none.txt", "old": "zz", "new": "c"})).await;
    assert_eq!(why, "`none.txt` does not exist; list_files shows what is there");
}

#[tokio::test]
async fn the_same_patch_twice_is_one_patch() {
    let mut bench = Bench::new();
    bench.put("work/f.txt", "x");
    let input = json!({"path": "f.txt", "old": "x", "new": "xx"});
    bench.text("patch_file", input.clone()).await;
    let text = bench.text("patch_file", input.clone()).await;
    assert_eq!(text, "`f.txt` has this change already.");
    assert_eq!(std::fs::read_to_string(bench.work().join("f.txt")).expect("read"), "xx");
    bench.put("work/f.txt", "other");
    let why = bench.error("patch_file", input.clone()).await;
    assert!(why.contains("has changed since; nothing was done now"), "{why}");
    bench.put("work/f.txt", "x");
    assert_eq!(bench.text("patch_file", input.clone()).await, "Replaced 1 piece in `f.txt`.");
    // Another step is another call.
    bench.key = "run:task:attempt:2".into();
    bench.put("work/f.txt", "x");
    assert_eq!(bench.text("patch_file", input).await, "Replaced 1 piece in `f.txt`.");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn patches_at_the_same_time_do_not_undo_each_other() {
    let bench = Bench::new();
    let lines: String = (0..20).map(|n| format!("<{n}>\n")).collect();
    bench.put("work/f.txt", lines);
    let calls =
        (0..20).map(|n| bench.text("patch_file", json!({"path": "f.txt", "old": format!("<{n}>"), "new": "done"})));
    futures_util::future::join_all(calls).await;
    assert_eq!(std::fs::read_to_string(bench.work().join("f.txt")).expect("read"), "done\n".repeat(20));
}

#[tokio::test]
async fn arguments_are_checked_by_name() {
    let bench = Bench::new();
    for (tool, input, why) in [
        ("read_file", json!({}), "read_file: `path` is missing; give it as a text"),
        ("read_file", json!({"path": 1}), "read_file: `path` must be a text, not a number"),
        ("read_file", json!({"path": "a", "limit": 0}), "read_file: `limit` is 0; give a whole number from 1 to 5000"),
        (
            "read_file",
            json!({"file": "a"}),
            "read_file: there is no argument `file`; it takes `path`, `offset`, `limit`",
        ),
        (
            "list_files",
            json!({"glob": "[a"}),
            "list_files: `glob` is not a glob: unclosed character class; missing ']'",
        ),
        ("search_files", json!({"pattern": ""}), "search_files: `pattern` is empty"),
        ("write_file", json!({"path": "a"}), "write_file: `content` is missing; give it as a text"),
        ("patch_file", json!({"path": "a", "old": "", "new": "b"}), "patch_file: `old` is empty or the same as `new`"),
        (
            "read_file",
            json!({"path": "../a"}),
            "read_file: `path` may not contain `..`; give a path from the folder itself, such as `input/a.csv`",
        ),
        ("read_file", json!({"path": "/a"}), "read_file: `path` must be relative, such as `notes.md` or `input/a.csv`"),
    ] {
        assert_eq!(bench.error(tool, input).await, why);
    }
}

#[tokio::test]
async fn a_run_without_input_says_so() {
    let mut bench = Bench::new();
    bench.scope.input = None;
    let why = bench.error("read_file", json!({"path": "input/a"})).await;
    assert_eq!(why, "this run has no input folder; there is no `input/`");
    assert_eq!(bench.text("list_files", json!({})).await, "Nothing found in `.`.");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_stops_when_cancelled_or_out_of_time() {
    let mut bench = Bench::new();
    // Sparse: long to read, quick to make.
    let file = std::fs::File::create(bench.work().join("big.txt")).expect("file");
    std::io::Write::write_all(&mut &file, b"text first\n".repeat(2_000).as_slice()).expect("write");
    file.set_len(1 << 30).expect("length");
    let cancel = CancellationToken::new();
    let request = bench.request("search_files", json!({"pattern": "z(a|b)*y"}));
    let started = Instant::now();
    let (result, ()) = tokio::join!(bench.toolbox.call(&bench.scope, &request, &cancel), async { cancel.cancel() });
    assert!(matches!(result, Err(ToolError::Cancelled)), "{result:?}");
    bench.timeout = Duration::from_millis(1);
    let result = bench.call("search_files", json!({"pattern": "z(a|b)*y"})).await;
    assert!(matches!(result, Err(ToolError::TimedOut(_))), "{result:?}");
    assert!(started.elapsed() < Duration::from_secs(60), "a search that cannot be stopped takes minutes here");
}
