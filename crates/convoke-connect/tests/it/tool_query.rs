//! `query_table`: formats, types, bounds, and that SQL can do nothing but read.

use std::time::Duration;

use convoke_connect::tool::{ToolLimits, Toolbox};
use serde_json::{Value, json};

use crate::tool::Bench;

async fn ask(bench: &Bench, files: Value, sql: &str) -> Value {
    let text = bench.text("query_table", json!({"files": files, "sql": sql})).await;
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[tokio::test]
async fn csv_becomes_a_table_with_types() {
    let bench = Bench::new();
    let csv = "host,cpu,code,id,note\nweb-1,0.5,200,007,\"a, b\"\nweb-2,1,500,008,\nweb-1,0.75,200,009,c\n";
    bench.put("input/host-metrics.csv", csv);
    let answer =
        ask(&bench, json!("input/host-metrics.csv"), "SELECT host, avg(cpu) a FROM t GROUP BY 1 ORDER BY 1").await;
    assert_eq!(
        answer,
        json!({"columns": ["host", "a"], "rows": [["web-1", 0.625], ["web-2", 1.0]], "truncated": false})
    );
    let sql = "SELECT id, note, code FROM host_metrics WHERE code = '200' AND code > 100 ORDER BY id";
    let answer = ask(&bench, json!(["input/host-metrics.csv"]), sql).await;
    assert_eq!(answer["rows"], json!([["007", "a, b", 200], ["009", "c", 200]]));
    let answer = ask(&bench, json!("input/host-metrics.csv"), "SELECT count(*) FROM t WHERE note IS NULL").await;
    assert_eq!(answer["rows"], json!([[1]]));
}

#[tokio::test]
async fn semicolons_tabs_and_marks_at_the_start_are_understood() {
    let bench = Bench::new();
    bench.put("input/a.csv", "\u{feff}x;y\r\n1;2\r\n");
    bench.put("input/b.tsv", "x\tx\t\n1\t2\t3\t4\n");
    assert_eq!(ask(&bench, json!("input/a.csv"), "SELECT x, y FROM t").await["rows"], json!([[1, 2]]));
    let answer = ask(&bench, json!("input/b.tsv"), "SELECT * FROM t").await;
    assert_eq!(answer["columns"], json!(["x", "x_2", "column_3"]));
    assert_eq!(answer["rows"], json!([[1, 2, 3]]));
    let note = "input/b.tsv: 1 rows have more cells than the header; these cells were left out";
    assert_eq!(answer["notes"], json!([note]));
}

#[tokio::test]
async fn json_lines_are_flattened() {
    let bench = Bench::new();
    let lines = concat!(
        "{\"ts\":1,\"user\":{\"name\":\"ann\",\"tags\":[\"a\",\"b\"]},\"ok\":true}\n",
        "not json\n\n",
        "{\"ts\":2.5,\"user\":{\"name\":\"bob\"},\"extra\":null}\n",
    );
    bench.put("input/events.jsonl", lines);
    let answer = ask(&bench, json!("input/events.jsonl"), "SELECT ts, \"user.name\", ok FROM events ORDER BY ts").await;
    assert_eq!(answer["rows"], json!([[1.0, "ann", 1], [2.5, "bob", null]]));
    assert_eq!(answer["notes"], json!(["input/events.jsonl: 1 lines are not JSON and were left out"]));
    let sql = "SELECT value FROM t, json_each(\"user.tags\") ORDER BY 1";
    assert_eq!(ask(&bench, json!("input/events.jsonl"), sql).await["rows"], json!([["a"], ["b"]]));
    bench.put("input/list.json", "{\"meta\": 1, \"items\": [{\"a\": 1}, {\"a\": 2}]}");
    assert_eq!(ask(&bench, json!("input/list.json"), "SELECT sum(a) FROM t").await["rows"], json!([[3]]));
    bench.put("input/lines.json", "{\"a\": 1}\n{\"a\": 5}\n");
    assert_eq!(ask(&bench, json!("input/lines.json"), "SELECT sum(a) FROM t").await["rows"], json!([[6]]));
}

#[tokio::test]
async fn files_are_joined_and_the_work_folder_works_too() {
    let bench = Bench::new();
    bench.put("input/a.csv", "id,v\n1,x\n2,y\n");
    bench.put("work/a.csv", "id,w\n2,z\n");
    let sql = "SELECT a.v, a_2.w FROM a JOIN a_2 USING (id)";
    assert_eq!(ask(&bench, json!(["input/a.csv", "a.csv"]), sql).await["rows"], json!([["y", "z"]]));
}

#[tokio::test]
async fn regexp_works() {
    let bench = Bench::new();
    bench.put("input/a.csv", "m\nerror 5\nfine\n");
    let answer = ask(&bench, json!("input/a.csv"), "SELECT m FROM t WHERE m REGEXP '(?i)ERROR \\d'").await;
    assert_eq!(answer["rows"], json!([["error 5"]]));
    let why = bench.error("query_table", json!({"files": ["input/a.csv"], "sql": "SELECT m REGEXP '(' FROM t"})).await;
    assert!(why.contains("unclosed group"), "{why}");
}

#[tokio::test]
async fn a_changed_file_is_loaded_anew() {
    let bench = Bench::new();
    bench.put("work/a.csv", "v\n1\n");
    assert_eq!(ask(&bench, json!("a.csv"), "SELECT * FROM t").await["rows"], json!([[1]]));
    assert_eq!(ask(&bench, json!("a.csv"), "SELECT * FROM t").await["rows"], json!([[1]]));
    bench.text("write_file", json!({"path": "a.csv", "content": "v\n2\n"})).await;
    assert_eq!(ask(&bench, json!("a.csv"), "SELECT * FROM t").await["rows"], json!([[2]]));
}

#[tokio::test]
async fn nothing_but_one_select_is_allowed() {
    let bench = Bench::new();
    bench.put("input/a.csv", "v\n1\n");
    let outside = bench.folder.path().join("outside.db");
    let attach = format!("ATTACH '{}' AS o", outside.display());
    let into = format!("VACUUM INTO '{}'", outside.display());
    for sql in [
        attach.as_str(),
        into.as_str(),
        "VACUUM",
        "PRAGMA table_info(t)",
        "SELECT * FROM pragma_database_list",
        "SELECT load_extension('x.so')",
        "SELECT LOAD_EXTENSION('x.so', 'y')",
        "DELETE FROM t",
        "DROP TABLE f0.data",
        "INSERT INTO f0.data VALUES (2)",
        "UPDATE f0.data SET v = 2",
        "CREATE TABLE x (y)",
        "CREATE TEMP TABLE x AS SELECT 1",
        "CREATE VIRTUAL TABLE temp.x USING fts5(y)",
        "BEGIN",
        "DETACH f0",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP TABLE t",
        "WITH x AS (SELECT 1) DELETE FROM f0.data",
        "ANALYZE",
        "REINDEX",
        "-- nothing",
        "",
    ] {
        let why = bench.error("query_table", json!({"files": ["input/a.csv"], "sql": sql})).await;
        assert!(why.starts_with("query_table: "), "{sql}: {why}");
    }
    assert!(!outside.exists());
    assert_eq!(ask(&bench, json!("input/a.csv"), "SELECT * FROM t").await["rows"], json!([[1]]));
}

#[tokio::test]
async fn mistakes_are_answered_with_the_columns() {
    let bench = Bench::new();
    bench.put("input/a.csv", "host,cpu\nx,1\n");
    let why = bench.error("query_table", json!({"files": ["input/a.csv"], "sql": "SELECT hots FROM t"})).await;
    assert!(why.contains("no such column: hots"), "{why}");
    assert!(why.ends_with("Tables and columns: t (input/a.csv): \"host\" TEXT, \"cpu\" INTEGER"), "{why}");
    let why = bench.error("query_table", json!({"files": [], "sql": "SELECT 1"})).await;
    assert_eq!(why, "query_table: `files` has 0 items; give 1 to 8");
    let why = bench.error("query_table", json!({"sql": "SELECT 1"})).await;
    assert!(why.contains("`files` is missing"), "{why}");
    bench.put("input/app.log", "2026-01-01 started\n");
    let why = bench.error("query_table", json!({"files": ["input/app.log"], "sql": "SELECT 1"})).await;
    assert!(why.contains("is not a table; query_table reads .csv, .tsv, .jsonl and .json"), "{why}");
    bench.put("input/bad.json", "{\"a\": ");
    let why = bench.error("query_table", json!({"files": ["input/bad.json"], "sql": "SELECT 1"})).await;
    assert!(why.starts_with("`input/bad.json` cannot be loaded: the file is not JSON"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_are_bounded_in_time_rows_and_bytes() {
    let mut limits = ToolLimits::default();
    limits.query.time = Duration::from_millis(300);
    let bench = Bench::with(Toolbox::new(limits));
    let rows: String = (0..3_000).map(|n| format!("{n},{}\n", "x".repeat(50))).collect();
    bench.put("input/a.csv", format!("n,x\n{rows}"));
    let endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c";
    for sql in [endless, "SELECT count(*) FROM t a, t b, t c, t d", "SELECT a.x FROM t a, t b, t c ORDER BY random()"] {
        let why = bench.error("query_table", json!({"files": ["input/a.csv"], "sql": sql})).await;
        assert!(why.contains("ran longer than"), "{why}");
    }
    let answer = ask(&bench, json!("input/a.csv"), "SELECT n FROM t").await;
    assert_eq!((answer["rows"].as_array().map(Vec::len), &answer["truncated"]), (Some(500), &json!(true)));
    let text = bench.text("query_table", json!({"files": ["input/a.csv"], "sql": "SELECT * FROM t"})).await;
    assert!(text.len() <= 32 << 10 && text.ends_with("\"truncated\":true}"));
    let why = bench.error("query_table", json!({"files": ["input/a.csv"], "sql": "SELECT zeroblob(1000000000)"})).await;
    assert!(why.contains("too big"), "{why}");
    let answer = ask(&bench, json!("input/a.csv"), "SELECT hex(zeroblob(5000))").await;
    assert!(answer["rows"][0][0].as_str().is_some_and(|text| text.ends_with("… [8000 bytes more]")));
}

#[tokio::test]
async fn tables_that_do_not_fit_are_dropped_or_refused() {
    let mut limits = ToolLimits::default();
    limits.query.cache_bytes = 200 << 10;
    limits.query.table_columns = 3;
    let bench = Bench::with(Toolbox::new(limits));
    let rows = |n: usize| format!("v\n{}", format!("{}\n", "x".repeat(99)).repeat(n));
    for n in 0..5 {
        bench.put(&format!("input/{n}.csv"), rows(900));
        let answer = ask(&bench, json!(format!("input/{n}.csv")), "SELECT count(*) FROM t").await;
        assert_eq!(answer["rows"], json!([[900]]));
    }
    bench.put("input/big.csv", rows(5_000));
    let why = bench.error("query_table", json!({"files": ["input/big.csv"], "sql": "SELECT 1"})).await;
    assert_eq!(why, "`input/big.csv` cannot be loaded: it takes more than 204800 bytes of memory");
    bench.put("input/wide.jsonl", "{\"a\":1,\"b\":2,\"c\":3,\"d\":4}\n");
    let answer = ask(&bench, json!("input/wide.jsonl"), "SELECT * FROM t").await;
    assert_eq!(answer["columns"], json!(["a", "b", "c"]));
    assert_eq!(answer["notes"], json!(["input/wide.jsonl: only the first 3 columns were loaded"]));
}
