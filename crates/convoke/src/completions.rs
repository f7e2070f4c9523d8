//! `convoke completions`: what a shell needs to complete the command line.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::args::{Cli, Global};
use crate::error::{Exit, Result};
use crate::say;

#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

impl CompletionsArgs {
    pub fn act(self, _: &Global) -> Result<Exit> {
        let mut body = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "convoke", &mut body);
        say::text(&String::from_utf8_lossy(&body))?;
        Ok(Exit::Done)
    }
}
