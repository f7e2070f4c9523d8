//! The machine: what a reader must know to judge a figure, without its name; and what a process costs on it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Kernel ticks in a second of `/proc/PID/stat`, the same on all Linux systems that people run.
const TICKS: u64 = 100;

/// Facts as `name: value` pairs, in order.
pub fn facts(scratch: &Path) -> Vec<(&'static str, String)> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = number_after(&read("/proc/meminfo"), "MemTotal:").unwrap_or(0) / (1024 * 1024);
    vec![
        ("CPU", format!("{cores} cores, {}", cpu_model())),
        ("memory", format!("{memory} GiB")),
        ("kernel", format!("Linux {}", read("/proc/sys/kernel/osrelease").trim())),
        ("file system", file_system(scratch)),
        ("compiler", said(Command::new("rustc").arg("--version"))),
        ("date (UTC)", said(Command::new("date").args(["-u", "+%Y-%m-%d"]))),
        ("commit", said(Command::new("git").args(["rev-parse", "--short", "HEAD"]))),
    ]
}

/// Processes that want to run, averaged over the last minute. Above the number of cores no figure means much.
pub fn load() -> f64 {
    read("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(f64::NAN)
}

/// Memory of a process in bytes: now, and at its highest.
pub fn memory(pid: u32) -> Option<(u64, u64)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some((number_after(&status, "VmRSS:")? * 1024, number_after(&status, "VmHWM:")? * 1024))
}

/// Lets the highest memory of this process begin anew from what it holds now.
pub fn forget_highest_memory() -> std::io::Result<()> {
    // See proc(5): 5 resets the peak of the resident set.
    fs::write("/proc/self/clear_refs", "5")
}

/// Processor time of a process, all its threads: to the nanosecond for those alive, to the tick for those that ended.
pub fn cpu(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten();
    let nanos: u64 = threads
        .filter_map(|thread| fs::read_to_string(thread.path().join("schedstat")).ok())
        .filter_map(|text| text.split(' ').next()?.parse::<u64>().ok())
        .sum();
    Some(Duration::from_nanos(nanos).max(Duration::from_millis(ticks.saturating_sub(1) * 1000 / TICKS)))
}

fn read(file: &str) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

fn number_after(text: &str, word: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(word))?;
    line[word.len()..].split_whitespace().next()?.parse().ok()
}

fn cpu_model() -> String {
    let info = read("/proc/cpuinfo");
    let named =
        info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim()));
    named.unwrap_or(std::env::consts::ARCH).to_owned()
}

fn file_system(folder: &Path) -> String {
    said(Command::new("stat").args(["-f", "-c", "%T"]).arg(folder))
}

fn said(command: &mut Command) -> String {
    let output = command.output().ok().filter(|output| output.status.success());
    output.map_or("unknown".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory_and_time() {
        let (now, highest) = memory(std::process::id()).expect("this process is alive");
        assert!(now > 100_000 && highest >= now);
        let before = cpu(std::process::id()).expect("this process is alive");
        let mut sum = 0_u64;
        while cpu(std::process::id()).expect("alive") <= before {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert_eq!(memory(u32::MAX), None);
    }

    #[test]
    fn the_highest_memory_can_begin_anew() {
        let held = std::hint::black_box(vec![1_u8; 64 << 20]);
        let (_, before) = memory(std::process::id()).expect("this process is alive");
        drop(held);
        forget_highest_memory().expect("this process may do that to itself");
        let (_, after) = memory(std::process::id()).expect("this process is alive");
        assert!(after < before, "{after} of {before}");
    }

    #[test]
    fn facts_name_no_host() {
        let host = read("/etc/hostname").trim().to_owned();
        let facts = facts(Path::new("."));
        assert!(facts.iter().all(|(_, value)| !value.is_empty()));
        assert!(host.is_empty() || facts.iter().all(|(_, value)| !value.contains(&host)), "{facts:?}");
    }
}
