//! `convoke patterns`: those that the workspace keeps, beside the library's; what it does with them is [`crate::shelf`]'s.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use convoke_api::{Bundle, library};
use convoke_domain::flow::PatternFile;
use convoke_engine::{LIBRARY, Versioned};

use crate::args::Global;
use crate::error::{Exit, Result};
use crate::hub::Hub;
use crate::shelf::{self, Kind};
use crate::text::Side;

#[derive(Debug, Args)]
pub struct PatternsArgs {
    #[command(subcommand)]
    pub action: Option<Action>,
}

/// What can be done with patterns. They are not switched off: a team has its pattern's steps from when it was saved.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// List all, those of the library with them
    List,
    /// Show one in full, as YAML
    Show {
        /// Its name
        name: String,
    },
    /// Write one as YAML
    Export {
        /// Its name
        name: String,
        /// File to write to instead of the output stream
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Check files and save what they define, each as a new version if it differs
    Import {
        /// YAML files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Copy one under a new name
    Clone {
        /// Its name
        name: String,
        /// The copy's name
        new: String,
    },
}

impl PatternsArgs {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        match self.action.unwrap_or(Action::List) {
            Action::List => shelf::list::<PatternFile>(global).await?,
            Action::Show { name } => shelf::show::<PatternFile>(global, &name).await?,
            Action::Export { name, output } => shelf::export::<PatternFile>(global, &name, output).await?,
            Action::Import { files } => shelf::import(global, &files).await?,
            Action::Clone { name, new } => shelf::clone::<PatternFile>(global, &name, &new).await?,
        }
        Ok(Exit::Done)
    }
}

/// The library's patterns and those that are saved, by name. One that was saved before the library had its name counts in its place.
pub async fn all(hub: &Hub) -> Result<Vec<Versioned<PatternFile>>> {
    let mut all = hub.engine.patterns().await?;
    let is_saved = |name: &str| all.iter().any(|saved| saved.body.name == name);
    let built_in = |body: &PatternFile| Versioned { body: body.clone(), version: 1, by: LIBRARY.to_owned() };
    let library: Vec<_> = library::patterns().iter().filter(|pattern| !is_saved(&pattern.name)).map(built_in).collect();
    all.extend(library);
    all.sort_by(|one, other| one.body.name.cmp(&other.body.name));
    Ok(all)
}

impl Kind for PatternFile {
    const NOUN: &'static str = "pattern";
    const COLUMNS: &'static [(&'static str, Side)] =
        &[("STEPS", Side::Right), ("SETTINGS", Side::Right), ("DESCRIPTION", Side::Left)];

    async fn all(hub: &Hub) -> Result<Vec<Versioned<Self>>> {
        all(hub).await
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn may_be_called(name: &str) -> bool {
        convoke_api::is_pattern_name(name)
    }

    fn renamed(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }

    fn cells(&self) -> Vec<String> {
        vec![self.steps.len().to_string(), self.parameters.len().to_string(), self.description.clone()]
    }

    fn yaml(&self) -> String {
        convoke_api::pattern_to_yaml(self)
    }

    async fn export(&self, _: &Hub) -> Result<String> {
        Ok(self.yaml())
    }

    fn bundle(self) -> Bundle {
        Bundle { patterns: vec![self], ..Bundle::default() }
    }
}
