//! The folder that a run shares: seen by all, written under a lock, refused to whoever's lock is over.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use convoke_domain::time::Timestamp;
use convoke_port::tool::{Fence, ToolError, ToolOutput, Tools};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::tool::Bench;

fn shared() -> Bench {
    let mut bench = Bench::new();
    let folder = bench.folder.path().join("shared");
    std::fs::create_dir(&folder).expect("a folder");
    bench.scope.shared = Some(folder);
    bench
}

fn fence(token: i64, lasts: i64) -> Option<Fence> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let now = i64::try_from(now.as_micros()).expect("before 294000");
    Some(Fence { token, until: Timestamp::from_micros(now + lasts * 1_000_000) })
}

async fn under(bench: &Bench, fence: Option<Fence>, id: &str, input: Value) -> Result<ToolOutput, ToolError> {
    let mut request = bench.request(id, input);
    request.fence = fence;
    bench.toolbox.call(&bench.scope, &request, &CancellationToken::new()).await
}

fn write(content: &str) -> Value {
    json!({"path": "shared/a/b.md", "content": content})
}

fn there(bench: &Bench) -> String {
    std::fs::read_to_string(bench.folder.path().join("shared/a/b.md")).unwrap_or_default()
}

#[tokio::test]
async fn an_old_token_writes_nothing() {
    let bench = shared();
    assert!(under(&bench, fence(7, 60), "write_file", write("first")).await.is_ok());
    assert!(under(&bench, fence(8, 60), "write_file", write("second")).await.is_ok());
    for (id, input) in [
        ("write_file", write("late")),
        ("patch_file", json!({"path": "shared/a/b.md", "old": "second", "new": "late"})),
    ] {
        let refused = under(&bench, fence(7, 60), id, input).await;
        let Err(ToolError::Stale(why)) = refused else { panic!("{id}: {refused:?}") };
        assert!(why.starts_with("your lock on `shared/a/b.md` was over before this write was made"), "{why}");
    }
    assert_eq!(there(&bench), "second");
    let other = json!({"path": "shared/other.md", "content": "x"});
    assert!(under(&bench, fence(7, 60), "write_file", other).await.is_ok(), "another file is another matter");
    assert!(under(&bench, fence(8, 60), "write_file", write("again")).await.is_ok(), "the newest may go on");
    let patch = json!({"path": "./shared//a/b.md", "old": "again", "new": "patched"});
    assert!(under(&bench, fence(9, 60), "patch_file", patch).await.is_ok());
    assert_eq!(there(&bench), "patched");
}

#[tokio::test]
async fn a_lock_that_is_over_writes_nothing() {
    let bench = shared();
    let refused = under(&bench, fence(7, -1), "write_file", write("late")).await;
    let Err(ToolError::Stale(why)) = refused else { panic!("{refused:?}") };
    assert!(why.starts_with("your lock on `shared/a/b.md` ran out before this write was made"), "{why}");
    assert_eq!(there(&bench), "");
}

#[tokio::test]
async fn without_a_lock_nothing_is_written() {
    let bench = shared();
    let why = bench.error("write_file", write("x")).await;
    assert_eq!(why, "`shared/a/b.md` is written only under a lock; lock `file:shared/a/b.md` first");
    assert!(!bench.folder.path().join("shared/a").exists());
    let own = bench.error("write_file", json!({"path": "shared/.convoke/fence/x", "content": ""})).await;
    assert!(own.contains("which Convoke keeps for itself"), "{own}");
}

#[tokio::test]
async fn everybody_sees_it() {
    let bench = shared();
    bench.put("shared/notes.md", "the cause is here\n");
    bench.put("work/own.md", "mine\n");
    bench.put("work/shared/hidden.md", "not seen\n");
    let listed = bench.text("list_files", json!({})).await;
    assert!(listed.contains("shared/notes.md  18 bytes") && listed.contains("own.md"), "{listed}");
    assert!(!listed.contains("hidden") && !listed.contains(".convoke"), "{listed}");
    assert!(bench.text("read_file", json!({"path": "shared/notes.md"})).await.contains("the cause is here"));
    assert!(bench.text("search_files", json!({"pattern": "cause"})).await.contains("shared/notes.md"));
    let (tools, _) = bench.toolbox.offer(&bench.scope).await;
    let told = |id: &str| tools.iter().find(|tool| tool.id == id).expect(id).spec.description.clone();
    assert!(told("write_file").contains("call lock for `file:shared/PATH` first"));
    assert!(told("read_file").contains("belong to the whole team"));
}

#[tokio::test]
async fn a_run_that_shares_nothing_has_a_plain_folder_of_that_name() {
    let bench = Bench::new();
    bench.text("write_file", write("mine")).await;
    assert_eq!(std::fs::read_to_string(bench.work().join("shared/a/b.md")).expect("a file"), "mine");
    assert!(bench.text("list_files", json!({})).await.contains("shared/a/b.md  4 bytes"));
    let (tools, _) = bench.toolbox.offer(&bench.scope).await;
    assert!(tools.iter().all(|tool| !tool.spec.description.contains("shared/")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_at_the_same_time_take_turns() {
    let bench = shared();
    let calls = (1..=16).map(|token| {
        under(&bench, fence(token, 60), "write_file", json!({"path": "shared/x", "content": token.to_string()}))
    });
    let done = tokio::time::timeout(Duration::from_secs(30), futures_util::future::join_all(calls)).await;
    let done = done.expect("nobody waits for ever");
    assert!(done.iter().all(|one| matches!(one, Ok(_) | Err(ToolError::Stale(_)))), "{done:?}");
    assert!(done[15].is_ok(), "the newest is never refused");
    assert_eq!(std::fs::read_to_string(bench.folder.path().join("shared/x")).expect("a file"), "16");
}
