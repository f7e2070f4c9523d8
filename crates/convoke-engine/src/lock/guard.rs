//! The check in the *act* door: a write into the folder that a run shares needs a lock that is held, in the transaction
//! that records the write, and takes the lock's token along to the tool.

use std::path::{Component, Path};

use convoke_domain::authority::may_use;
use convoke_domain::event::Kind;
use convoke_domain::id::{RunId, TaskId, WorkspaceId};
use convoke_domain::lock::{FILE, Item, Mode, Resource, SHARED};
use convoke_domain::spec::RunSpec;
use convoke_port::tool::Fence;
use convoke_store::lock::{self, Counts, Record};
use convoke_store::{Result, Tx, UseCase};
use serde_json::{Value, json};

use super::{actor, on, standing_words};
use crate::claim::Assignment;
use crate::engine::emit;

/// The tool by which agents lock.
pub(crate) const LOCK: &str = "lock";
/// Tools that write the file that their argument `path` names.
const WRITERS: [&str; 2] = ["write_file", "patch_file"];

/// What the door says to a call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// No lock is needed.
    Free,
    /// A lock is needed and held.
    Held(Fence),
    /// A lock is needed and not held.
    Refused(String),
}

/// True if the members of the run share a folder: one of them may lock.
pub(crate) fn shares_files(spec: &RunSpec) -> bool {
    spec.profiles.values().any(|profile| may_use(profile, LOCK).is_ok())
}

/// Whether this call of a tool may write what it is about to write.
pub(crate) async fn check(tx: &mut Tx<'_>, at: &Assignment, tool: &str, args: &str) -> Result<Check> {
    let Some(path) = target(tool, args) else { return Ok(Check::Free) };
    let plain = match Resource::new(FILE, &path) {
        Ok(resource) => resource,
        Err(refusal) => return Ok(Check::Refused(refusal.message)),
    };
    let wanted = Item { resource: plain.within(at.run), mode: Mode::Exclusive };
    let around = lock::overlapping(tx, &wanted.resource).await?;
    let mut mine = Vec::new();
    for row in around.iter().filter(|row| row.task == at.task && !row.waits) {
        if row.item()?.includes(&wanted) {
            mine.push(row);
        }
    }
    // The newest, for the file knows the last token that wrote it.
    let over = mine.iter().max_by_key(|row| row.token).copied();
    if let Some(row) = over.filter(|row| row.until > tx.now()) {
        return Ok(Check::Held(Fence { token: row.token, until: row.until }));
    }
    let others: Vec<_> = around.iter().filter(|row| row.task != at.task && !row.waits).collect();
    let (reason, message) = refusal(&plain, over, &others);
    let counts = match reason {
        "over" => Counts { stale: 1, ..Counts::default() },
        "held" => Counts { avoided: 1, ..Counts::default() },
        _ => Counts::default(),
    };
    lock::count(tx, &counts).await?;
    let payload = json!({"resource": plain, "tool": tool, "reason": reason});
    emit(tx, Kind::LockRefused, on(at.task), (Some(at.run), &actor(&at.agent)), payload);
    Ok(Check::Refused(message))
}

fn refusal(plain: &Resource, over: Option<&Record>, others: &[&Record]) -> (&'static str, String) {
    let advice = format!("call `{LOCK}` for `{plain}` first, then read the file again, for it may have changed");
    match (over, others.first()) {
        (Some(_), _) => ("over", format!("your lock on `{plain}` has run out; {advice}")),
        (None, Some(other)) => ("held", format!("{}; {advice}", standing_words(other))),
        (None, None) => ("unlocked", format!("a file of the team is written only under an exclusive lock; {advice}")),
    }
}

/// The file of the shared folder that a call is about to write, as locks name it.
fn target(tool: &str, args: &str) -> Option<String> {
    if !WRITERS.contains(&tool) {
        return None;
    }
    let args: Value = serde_json::from_str(args).ok()?;
    shared_path(args.get("path")?.as_str()?)
}

/// The path without what means nothing (`./`, `//`), if it lies in the shared folder. What leads elsewhere is the tool's
/// to refuse.
fn shared_path(text: &str) -> Option<String> {
    let mut parts = Vec::new();
    for part in Path::new(text).components() {
        match part {
            Component::Normal(name) => parts.push(name.to_str()?),
            Component::CurDir => {}
            _ => return None,
        }
    }
    (parts.len() > 1 && parts[0] == SHARED).then(|| parts.join("/"))
}

/// Puts on record that a tool refused a write because its token was old.
pub(crate) struct Stale {
    pub ws: WorkspaceId,
    pub run: RunId,
    pub task: TaskId,
    pub agent: String,
    pub tool: String,
    pub path: String,
}

impl UseCase for Stale {
    type Out = ();

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<()> {
        lock::count(tx, &Counts { stale: 1, ..Counts::default() }).await?;
        let payload = json!({"resource": format!("{FILE}:{}", self.path), "tool": self.tool, "reason": "stale"});
        emit(tx, Kind::LockRefused, on(self.task), (Some(self.run), &actor(&self.agent)), payload);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_writes_into_the_shared_folder_need_a_lock() {
        let path = |tool, path: &str| target(tool, &json!({"path": path}).to_string());
        assert_eq!(path("write_file", "./shared//a/./b.md").as_deref(), Some("shared/a/b.md"));
        assert_eq!(path("patch_file", "shared/a.md").as_deref(), Some("shared/a.md"));
        for (tool, other) in [
            ("read_file", "shared/a.md"),
            ("write_file", "a.md"),
            ("write_file", "sharedx/a"),
            ("write_file", "shared"),
            ("write_file", "a/shared/b"),
            ("write_file", "shared/../a"),
            ("write_file", "/shared/a"),
            ("shell", "shared/a"),
        ] {
            assert_eq!(path(tool, other), None, "{tool} {other}");
        }
        assert_eq!(target("write_file", "no json"), None);
    }
}
