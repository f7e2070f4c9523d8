//! `convoke report`: a run's report as Markdown, HTML or JSON.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::args::Global;
use crate::error::{Exit, Failure, Result};
use crate::hub::Hub;
use crate::{file, say, text, which};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people and version control
    Markdown,
    /// One self-contained page
    Html,
    /// For programs
    Json,
}

#[derive(Debug, Args)]
pub struct ReportArgs {
    #[arg(help = which::HELP)]
    pub run: String,
    /// Form of the report [default: markdown, or by the end of the output's name]
    #[arg(long, short, value_enum)]
    pub format: Option<Format>,
    /// File to write to instead of the output stream
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

impl ReportArgs {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        let form = self.form(global)?;
        let hub = Hub::reader(global).await?;
        let run = which::run(&hub.engine, &self.run).await?;
        let record = hub.engine.run_record(run).await?;
        let body = match form {
            Format::Markdown => convoke_report::markdown(&record),
            Format::Html => convoke_report::html(&record),
            Format::Json => format!("{:#}\n", convoke_report::json(&record)),
        };
        match &self.output {
            Some(path) => {
                file::write(path, body.as_bytes())?;
                if global.json {
                    say::json(&serde_json::json!({"id": run, "file": path.display().to_string()}))?;
                } else if !global.quiet {
                    say::line(&format!("written to {}", path.display()))?;
                }
            }
            None => say::text(&text::plain(&body))?,
        }
        Ok(Exit::Done)
    }

    fn form(&self, global: &Global) -> Result<Format> {
        let end = self.output.as_deref().and_then(|path| path.extension()).and_then(|end| end.to_str());
        let by_name = match end {
            Some("html" | "htm") => Some(Format::Html),
            Some("json") => Some(Format::Json),
            Some("md" | "markdown") => Some(Format::Markdown),
            _ => None,
        };
        let to_stream = self.output.is_none() && global.json;
        match self.format {
            Some(format) if to_stream && format != Format::Json => {
                Err(Failure::usage("usage", "`--json` and another `--format` do not go together")
                    .hint("leave one of them out"))
            }
            Some(format) => Ok(format),
            None if to_stream => Ok(Format::Json),
            None => Ok(by_name.unwrap_or(Format::Markdown)),
        }
    }
}
