//! What every measurement and every soak is given.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use anyhow::{Context as _, Result, bail};

/// Where the programs under test are and where data may be written.
#[derive(Debug, Clone)]
pub struct Context {
    /// The release binary of Convoke.
    pub binary: PathBuf,
    /// The mock model server's program.
    pub mock: PathBuf,
    /// A folder on the disk that is to be measured.
    pub scratch: PathBuf,
    /// A PostgreSQL server that may be filled, if there is one.
    pub postgres: Option<String>,
    /// Fewer operations: to see that it works, not to publish.
    pub quick: bool,
}

impl Context {
    /// Programs lie beside this one unless `CONVOKE_BENCH_BINARY` names another Convoke.
    pub fn new(scratch: Option<PathBuf>, quick: bool) -> Result<Self> {
        let here = std::env::current_exe()?;
        let beside = |name: &str| here.with_file_name(name);
        let binary = std::env::var_os("CONVOKE_BENCH_BINARY").map_or_else(|| beside("convoke"), PathBuf::from);
        let scratch = scratch.unwrap_or_else(|| beside("bench-scratch"));
        fs::create_dir_all(&scratch).with_context(|| format!("cannot make {}", scratch.display()))?;
        let postgres = std::env::var("CONVOKE_TEST_PG").ok().filter(|url| !url.is_empty());
        let context = Self { binary, mock: beside("convoke-bench-mock"), scratch, postgres, quick };
        for program in [&context.binary, &context.mock] {
            if !program.is_file() {
                bail!("{} is missing; run `cargo xtask bench`, which builds it", program.display());
            }
        }
        Ok(context)
    }

    /// A new empty folder below the scratch folder; what an earlier one of that name held is gone.
    pub fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.scratch.join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir(&folder)?;
        Ok(folder)
    }

    /// So many operations, or a tenth when it is to be quick.
    pub fn times(&self, full: usize) -> usize {
        if self.quick { (full / 10).max(1) } else { full }
    }

    /// Convoke with a data folder of its own and no key or address from this environment.
    pub fn convoke(&self, data: &Path) -> Command {
        let mut command = Command::new(&self.binary);
        for name in ["OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "GEMINI_API_KEY"] {
            command.env_remove(name);
        }
        command.env("CONVOKE_DATA", data);
        command
    }
}

/// A child process that does not outlive the measurement.
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
