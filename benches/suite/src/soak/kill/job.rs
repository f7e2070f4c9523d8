//! What is run: a plan, four specialists who each write a file and then answer, a synthesis. Ten model calls, four effects.
//!
//! The mock answers by what it is asked alone, so every run of the job comes to the same result.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use convoke_bench_mock::Mock;
use convoke_bench_mock::call::Call;
use convoke_bench_mock::options::Options;
use convoke_bench_mock::reply::Reply;
use serde_json::{Value, json};

use super::{Machine, facts};
use crate::context::Process;
use crate::hub::SPECIALISTS;

/// The file that each specialist writes.
pub const FILE: &str = "findings.md";
/// Milliseconds that the mock takes for an answer: time for a kill to fall into.
const LATENCY_MS: u64 = 8;
/// Time after which a process has hung.
const STUCK: Duration = Duration::from_secs(120);
const TASK: &str = "Investigate the outage of the payment service and say what to do.";

/// What a specialist writes into its file.
pub fn findings(specialist: &str) -> String {
    format!("# {specialist}\n\nOne query held its lock for 41 s, as seen by {specialist}.\n")
}

/// The model server of a round.
pub fn mock() -> Result<Mock> {
    let assignees = SPECIALISTS.map(str::to_owned).to_vec();
    let options = Options { latency_ms: LATENCY_MS, plan_assignees: assignees, ..Options::default() };
    let plain = options.clone();
    Ok(Mock::start_with(options, move |call| reply(&plain, call))?)
}

fn reply(plain: &Options, call: &Call<'_>) -> Reply {
    if call.format().is_some() {
        return plain.reply(call);
    }
    let request = call.json();
    let specialist = SPECIALISTS.into_iter().find(|name| is_for(&request, name));
    match specialist {
        Some(name) if call.offers("write_file") && !call.has_tool_results() => {
            let arguments = json!({"path": FILE, "content": findings(name)});
            Reply::ToolCalls(vec![("write_file".to_owned(), arguments)])
        }
        Some(name) => Reply::Text(format!("{name} wrote down that one query held its lock too long.")),
        None => Reply::Text("All four saw the same: one query held its lock too long. End it.".to_owned()),
    }
}

/// True if the system's message says that this member is asked.
fn is_for(request: &Value, member: &str) -> bool {
    let system = request["messages"][0]["content"].as_str().unwrap_or_default();
    system.contains(&format!("You are `{member}`"))
}

/// The job with its folders.
#[derive(Debug)]
pub struct Job {
    binary: PathBuf,
    folder: PathBuf,
    /// The data folder.
    pub data: PathBuf,
    /// The PostgreSQL database that keeps what the data folder would, if any.
    pub database: Option<String>,
    /// The lease of tasks in seconds, if it is not the usual one.
    pub lease_s: Option<u32>,
    base_url: String,
}

impl Job {
    /// Puts the team into a new folder.
    pub fn new(binary: &Path, folder: &Path, mock: &Mock) -> Result<Self> {
        fs::create_dir_all(folder)?;
        fs::write(folder.join("team.yaml"), team())?;
        let (data, base_url) = (folder.join("data"), mock.base_url());
        let (binary, folder) = (binary.to_owned(), folder.to_owned());
        Ok(Self { binary, folder, data, database: None, lease_s: None, base_url })
    }

    /// Says where the program keeps its data.
    fn place(&self, command: &mut Command) {
        command.arg("--data").arg(&self.data);
        if let Some(url) = &self.database {
            command.arg("--database").arg(url);
        }
        if let Some(lease) = self.lease_s {
            command.env("CONVOKE_LEASE_S", lease.to_string());
        }
    }

    /// Starts the run in a process of its own.
    pub fn start(&self, machine: &dyn Machine) -> Result<Process> {
        let team = self.folder.join("team.yaml");
        let mut command = Command::new(&self.binary);
        command.arg("run").arg(team).args([TASK, "--model", "openai/gpt-4.1-mini"]);
        self.spawn(command, machine)
    }

    /// Resumes what there is, or starts the run if no process came so far.
    pub fn go_on(&self, machine: &dyn Machine) -> Result<Process> {
        if !facts::has_run(self)? {
            return self.start(machine);
        }
        let mut command = Command::new(&self.binary);
        command.arg("resume");
        self.spawn(command, machine)
    }

    fn spawn(&self, mut command: Command, machine: &dyn Machine) -> Result<Process> {
        let log = File::options().create(true).append(true).open(self.folder.join("output.txt"))?;
        self.place(&mut command);
        command.current_dir(&self.folder).env("CONVOKE_LOG", "info");
        command.env("OPENAI_BASE_URL", &self.base_url).env("OPENAI_API_KEY", "a-key-for-tests");
        for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"] {
            command.env_remove(name);
        }
        machine.before(&self.data, &mut command)?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(Process(command.spawn().with_context(|| format!("cannot start {}", self.binary.display()))?))
    }

    /// Lets a process come to its end, which must be a good one; how long that took.
    pub fn to_its_end(&self, process: &mut Process) -> Result<Duration> {
        let start = Instant::now();
        self.code(process)?;
        self.ended_well(process)?;
        Ok(start.elapsed())
    }

    /// Lets a process come to its end; its exit code.
    pub fn code(&self, process: &mut Process) -> Result<Option<i32>> {
        let start = Instant::now();
        loop {
            if let Some(status) = process.0.try_wait()? {
                return Ok(status.code());
            }
            ensure!(start.elapsed() < STUCK, "the process hangs; its output:\n{}", self.output());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// That a process which has ended says that all is done.
    pub fn ended_well(&self, process: &mut Process) -> Result<()> {
        let status = process.0.wait()?;
        ensure!(status.success(), "it ended with {status}; its output:\n{}", self.output());
        Ok(())
    }

    /// What `convoke db verify` says, which must be good.
    pub fn verify(&self) -> Result<()> {
        let mut command = Command::new(&self.binary);
        command.args(["db", "verify"]);
        self.place(&mut command);
        let output = command.output()?;
        if !output.status.success() {
            bail!("`convoke db verify`: {}", String::from_utf8_lossy(&output.stdout));
        }
        Ok(())
    }

    /// What all processes have said.
    pub fn output(&self) -> String {
        fs::read_to_string(self.folder.join("output.txt")).unwrap_or_default()
    }
}

/// The team file: a coordinator without tools, specialists who may write.
fn team() -> String {
    let mut text = String::from("kind: profile\nname: lead\nrole: coordinator\nprompt: You lead an incident team.\n");
    for name in SPECIALISTS {
        text.push_str(&format!(
            "---\nkind: profile\nname: {name}\nrole: specialist\nprompt: You look at {name}.\ntools: [write_file]\n"
        ));
    }
    text.push_str("---\nkind: team\nname: kill\ncoordinator: lead\nmembers:\n");
    text.extend(SPECIALISTS.iter().map(|name| format!("  - {{profile: {name}}}\n")));
    text
}
