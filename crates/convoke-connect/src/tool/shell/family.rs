//! The processes of a command: how many there are and what memory they hold.
//!
//! Rule: per-user process limits of the system do not bind root and count what else the user runs, so the family is counted.
//! The watch has a thread of its own: when a command takes the machine, the runtime's threads come too late.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::sync::oneshot;

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(20);
/// Looks after which processes are counted even if the system's task count has not moved.
const LOOKS_PER_COUNT: u32 = 12;
/// Times a family that is too large is killed before we give up.
const ROUNDS: u32 = 1_000;

/// What a family has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) processes: usize,
    pub(crate) memory: u64,
}

/// One line of the system's process list.
struct Process {
    parent: i32,
    group: i32,
    memory: u64,
    dead: bool,
}

/// All tasks of the system, as one small read: tells when counting is worth while.
pub(crate) fn tasks() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    text.split_whitespace().nth(3)?.split_once('/')?.1.parse().ok()
}

/// Watches a family until dropped.
pub(crate) struct Watch {
    over: Arc<AtomicBool>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

impl Watch {
    /// Kills the family of `leader` when it outgrows `bounds`, and says so.
    pub(crate) fn over(leader: Pid, bounds: Size) -> io::Result<(Self, oneshot::Receiver<Size>)> {
        let (sender, receiver) = oneshot::channel();
        let over = Arc::new(AtomicBool::new(false));
        let stop = over.clone();
        std::thread::Builder::new().name("convoke-watch".into()).stack_size(256 << 10).spawn(move || {
            if let Some(size) = watch(leader, bounds, &stop) {
                // First, so that whoever sees the end knows why.
                let _ = sender.send(size);
                end(leader);
            }
        })?;
        Ok((Self { over }, receiver))
    }
}

/// Looks at the number of processes: cheaply each time, thoroughly when it moves.
fn watch(leader: Pid, bounds: Size, stop: &AtomicBool) -> Option<Size> {
    let before = tasks().unwrap_or(0);
    let mut looks = 0u32;
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(LOOK);
        looks = looks.wrapping_add(1);
        let grown = tasks().is_none_or(|tasks| tasks > before + bounds.processes / 2);
        if !grown && !looks.is_multiple_of(LOOKS_PER_COUNT) {
            continue;
        }
        let size = size(leader);
        if size.processes > bounds.processes || size.memory > bounds.memory {
            return Some(size);
        }
    }
    None
}

/// Kills a family by its groups, again and again while there is something left: what forks quickly is met between two forks.
fn end(leader: Pid) {
    for _ in 0..ROUNDS {
        let all = processes();
        let groups: HashSet<i32> = members(leader, &all).map(|(_, process)| process.group).collect();
        if groups.is_empty() {
            return;
        }
        // The members were there a moment ago, so the ids are still theirs; none is our own group, for the leader left it.
        for group in groups.into_iter().filter_map(Pid::from_raw).chain([leader]) {
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
        std::thread::sleep(LOOK / 10);
    }
}

/// Counts the processes that descend from `leader` or are in its group.
pub(crate) fn size(leader: Pid) -> Size {
    members(leader, &processes()).fold(Size::default(), |sum, (_, process)| Size {
        processes: sum.processes + 1,
        memory: sum.memory + process.memory,
    })
}

/// The living members of a family.
fn members(leader: Pid, all: &HashMap<i32, Process>) -> impl Iterator<Item = (&i32, &Process)> {
    let leader = leader.as_raw_nonzero().get();
    all.iter().filter(move |(pid, process)| {
        !process.dead && (process.group == leader || **pid == leader || descends(**pid, leader, all))
    })
}

fn descends(pid: i32, leader: i32, all: &HashMap<i32, Process>) -> bool {
    let mut here = pid;
    // Chains are short; the bound is against a list that changes while it is read.
    for _ in 0..1_000 {
        match all.get(&here) {
            Some(process) if process.parent == leader => return true,
            Some(process) if process.parent > 1 => here = process.parent,
            _ => return false,
        }
    }
    false
}

fn processes() -> HashMap<i32, Process> {
    let page = rustix::param::page_size() as u64;
    let Ok(list) = std::fs::read_dir("/proc") else { return HashMap::new() };
    list.filter_map(|entry| {
        let pid: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name may hold anything; the fields begin after its last bracket: state, parent, group, …, resident pages.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<i64>().ok();
        let memory = number(21)?.unsigned_abs() * page;
        let dead = matches!(*fields.first()?, "Z" | "X");
        Some((pid, Process { parent: number(1)? as i32, group: number(2)? as i32, memory, dead }))
    })
    .collect()
}
