//! `convoke diagram`: a team, a pattern or a run as a picture.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use convoke_api::Bundle;
use convoke_domain::team::Pattern;
use convoke_report::diagram::{self, Diagram};
use serde_json::json;

use crate::args::Global;
use crate::error::{Exit, Failure, Result};
use crate::hub::Hub;
use crate::{definition, file, job, patterns, say, text, which};

/// The forms of diagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text that Mermaid draws, as in Markdown
    Mermaid,
    /// A picture
    Svg,
}

#[derive(Debug, Args)]
pub struct DiagramArgs {
    /// A team's name, a file that holds a team or a pattern, a pattern, or a run
    pub what: String,
    /// Form of the diagram [default: mermaid, or by the end of the output's name]
    #[arg(long, short, value_enum)]
    pub format: Option<Format>,
    /// File to write to instead of the output stream
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

impl DiagramArgs {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        let (kind, drawn) = self.find(global).await?;
        let format = self.form();
        let body = match format {
            Format::Mermaid => diagram::mermaid(&drawn),
            Format::Svg => diagram::svg(&drawn),
        };
        match &self.output {
            Some(path) => {
                file::write(path, body.as_bytes())?;
                if global.json {
                    say::json(&json!({"kind": kind, "file": path.display().to_string()}))?;
                } else if !global.quiet {
                    say::line(&format!("written to {}", path.display()))?;
                }
            }
            None if global.json => {
                let form = if format == Format::Svg { "svg" } else { "mermaid" };
                say::json(&json!({"kind": kind, "format": form, "diagram": body}))?;
            }
            None => say::text(&text::plain(&body))?,
        }
        Ok(Exit::Done)
    }

    fn form(&self) -> Format {
        let end = self.output.as_deref().and_then(|path| path.extension()).and_then(|end| end.to_str());
        let by_name = if end == Some("svg") { Format::Svg } else { Format::Mermaid };
        self.format.unwrap_or(by_name)
    }

    /// What is meant: a file, a saved team, a pattern, a run, in this order.
    async fn find(&self, global: &Global) -> Result<(&'static str, Diagram)> {
        let hub = Hub::up_to_date(global).await?;
        if job::is_path(&self.what) {
            let bundle = definition::read_files(&[PathBuf::from(&self.what)], &definition::known(&hub).await?)?;
            return of_bundle(&hub, &self.what, &bundle).await;
        }
        let teams = hub.engine.teams().await?;
        if let Some(team) = teams.iter().find(|team| team.body.name == self.what) {
            return Ok(("team", diagram::of_team(&definition::spec_of(&hub, &team.body, &[]).await?)));
        }
        let name = String::from(Pattern::from(self.what.clone()));
        let known = patterns::all(&hub).await?;
        if let Some(pattern) = known.iter().map(|pattern| &pattern.body).find(|pattern| pattern.name == name) {
            return Ok(("pattern", diagram::of_flow(&pattern.name, &pattern.flow())));
        }
        let run = which::run(&hub.engine, &self.what).await.map_err(|failure| {
            let names: Vec<&str> = known.iter().map(|pattern| pattern.body.name.as_str()).collect();
            failure
                .hint(format!("`convoke teams` and `convoke runs` list teams and runs; patterns: {}", names.join(", ")))
        })?;
        let record = hub.engine.run_record(run).await?;
        let (spec, edges) = hub.engine.run_course(run).await?;
        Ok(("run", diagram::of_run(&record, &spec, &edges)))
    }
}

async fn of_bundle(hub: &Hub, file: &str, bundle: &Bundle) -> Result<(&'static str, Diagram)> {
    match (bundle.teams.as_slice(), bundle.patterns.as_slice()) {
        ([team], _) => Ok(("team", diagram::of_team(&definition::spec_of(hub, team, &bundle.profiles).await?))),
        ([], [pattern]) => Ok(("pattern", diagram::of_flow(&pattern.name, &pattern.flow()))),
        (teams, patterns) => {
            let [teams, patterns] = [text::many(teams.len(), "team"), text::many(patterns.len(), "pattern")];
            let message = format!("`{file}` holds {teams} and {patterns}; a diagram needs one");
            Err(Failure::usage("which_team", message).hint("put each into a file of its own"))
        }
    }
}
