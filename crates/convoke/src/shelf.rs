//! What profiles, teams and patterns have in common on the command line: they are listed, shown, copied, written to files, read from
//! files, switched on and off. Each says only what is its own, in [`Kind`].

use std::path::PathBuf;

use clap::Subcommand;
use convoke_api::Bundle;
use convoke_domain::profile::Profile;
use convoke_domain::team::Team;
use convoke_engine::Versioned;
use serde::Serialize;
use serde_json::{Value, json};

use crate::args::Global;
use crate::error::{Exit, Failure, Result};
use crate::hub::Hub;
use crate::runs::room;
use crate::text::{self, Side, Table};
use crate::{definition, file, say};

/// What can be done with profiles, and with teams.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// List all
    List,
    /// Show one in full, as YAML
    Show {
        /// Its name
        name: String,
    },
    /// Write one as YAML; a team comes with its profiles
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
    /// Make one choosable again
    Activate {
        /// Its name
        name: String,
    },
    /// Keep one, but never choose it
    Deactivate {
        /// Its name
        name: String,
    },
}

/// One of the kinds of definitions.
pub trait Kind: Serialize + Clone + Sized {
    /// `profile`, `team` or `pattern`.
    const NOUN: &'static str;
    /// The columns of its list after the name.
    const COLUMNS: &'static [(&'static str, Side)];
    /// All that are saved.
    fn all(hub: &Hub) -> impl Future<Output = Result<Vec<Versioned<Self>>>>;
    /// Its name.
    fn name(&self) -> &str;
    /// Whether one may be called this.
    fn may_be_called(name: &str) -> bool {
        convoke_api::is_name(name)
    }
    /// The same under another name.
    fn renamed(self, name: &str) -> Self;
    /// The cells of its list after the name.
    fn cells(&self) -> Vec<String>;
    /// It alone as YAML.
    fn yaml(&self) -> String;
    /// With all it needs as YAML.
    fn export(&self, hub: &Hub) -> impl Future<Output = Result<String>>;
    /// It alone, to be saved.
    fn bundle(self) -> Bundle;
}

/// What may be switched off.
pub trait Switch: Kind {
    /// Makes one choosable or not.
    fn set_active(hub: &Hub, name: &str, active: bool) -> impl Future<Output = Result<()>>;
}

/// Does it.
pub async fn act<K: Switch>(action: Action, global: &Global) -> Result<Exit> {
    match action {
        Action::List => list::<K>(global).await?,
        Action::Show { name } => show::<K>(global, &name).await?,
        Action::Export { name, output } => export::<K>(global, &name, output).await?,
        Action::Import { files } => import(global, &files).await?,
        Action::Clone { name, new } => clone::<K>(global, &name, &new).await?,
        Action::Activate { name } => set_active::<K>(global, &name, true).await?,
        Action::Deactivate { name } => set_active::<K>(global, &name, false).await?,
    }
    Ok(Exit::Done)
}

async fn find<K: Kind>(hub: &Hub, name: &str) -> Result<Versioned<K>> {
    let all = K::all(hub).await?;
    let found = all.iter().find(|one| one.body.name() == name).cloned();
    found.ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|one| one.body.name()).collect();
        let noun = K::NOUN;
        Failure::usage("missing", format!("there is no {noun} `{name}`"))
            .hint(format!("there are: {}", names.join(", ")))
    })
}

fn value<K: Kind>(one: &Versioned<K>) -> Result<Value> {
    let broken = |cause| Failure::new("broken", "cannot write JSON").cause(cause);
    let mut value = serde_json::to_value(&one.body).map_err(broken)?;
    value["version"] = one.version.into();
    value["saved_by"] = one.by.clone().into();
    Ok(value)
}

pub async fn list<K: Kind>(global: &Global) -> Result<()> {
    let hub = Hub::up_to_date(global).await?;
    let all = K::all(&hub).await?;
    if global.json {
        return say::json(&all.iter().map(value).collect::<Result<Vec<_>>>()?);
    }
    let mut columns =
        vec![("NAME", Side::Left), ("VERSION", Side::Right), ("FROM", Side::Left), ("ACTIVE", Side::Left)];
    columns.extend(K::COLUMNS);
    let mut table = Table::new(&columns);
    for one in &all {
        let active = value(one)?.get("active").is_none_or(|active| active == true);
        let first = [one.body.name().to_owned(), one.version.to_string(), one.by.clone(), yes(active).to_owned()];
        table.row(first.into_iter().chain(one.body.cells()));
    }
    say::text(&table.text(room()))
}

const fn yes(flag: bool) -> &'static str {
    if flag { "yes" } else { "no" }
}

pub async fn show<K: Kind>(global: &Global, name: &str) -> Result<()> {
    let hub = Hub::up_to_date(global).await?;
    let one = find::<K>(&hub, name).await?;
    if global.json {
        return say::json(&value(&one)?);
    }
    say::line(&format!("# version {}, saved by {}", one.version, text::line(&one.by)))?;
    say::text(&text::plain(&one.body.yaml()))
}

pub async fn export<K: Kind>(global: &Global, name: &str, output: Option<PathBuf>) -> Result<()> {
    let hub = Hub::up_to_date(global).await?;
    let one = find::<K>(&hub, name).await?;
    if global.json && output.is_none() {
        return say::json(&value(&one)?);
    }
    let body = one.body.export(&hub).await?;
    match output {
        Some(path) => {
            file::write(&path, body.as_bytes())?;
            done(global, K::NOUN, name, &format!("written to {}", path.display()))
        }
        None => say::text(&text::plain(&body)),
    }
}

pub async fn import(global: &Global, files: &[PathBuf]) -> Result<()> {
    let hub = Hub::writer(global).await?;
    hub.engine.check_governs(&hub.user, "save profiles, teams and patterns").await?;
    let bundle = definition::read_files(files, &definition::known(&hub).await?)?;
    let names = |names: Vec<String>| names.join(", ");
    let profiles: Vec<String> = bundle.profiles.iter().map(|one| one.name.clone()).collect();
    let teams: Vec<String> = bundle.teams.iter().map(|one| one.name.clone()).collect();
    let new = definition::to_save(bundle)?;
    let patterns: Vec<String> = new.patterns.iter().map(|one| one.name.clone()).collect();
    let saved = hub.engine.save_all(new, &hub.user).await?;
    if global.json {
        return say::json(&json!({"profiles": profiles, "teams": teams, "patterns": patterns, "saved": saved}));
    }
    if global.quiet {
        return Ok(());
    }
    for (noun, found) in [("profile", profiles), ("team", teams), ("pattern", patterns)] {
        if !found.is_empty() {
            say::line(&format!("{}: {}", text::many(found.len(), noun), names(found)))?;
        }
    }
    say::line(&format!("{} saved; what was there in the same words stays as it is", text::many(saved, "new version")))
}

pub async fn clone<K: Kind>(global: &Global, name: &str, new: &str) -> Result<()> {
    let hub = Hub::writer(global).await?;
    hub.engine.check_governs(&hub.user, "save profiles, teams and patterns").await?;
    if !K::may_be_called(new) {
        return Err(Failure::usage("bad_name", format!("`{new}` cannot be the name of a {}", K::NOUN))
            .hint("use lower-case letters, digits and hyphens, at most 64, such as `my-team`"));
    }
    let one = find::<K>(&hub, name).await?;
    if K::all(&hub).await?.iter().any(|other| other.body.name() == new) {
        return Err(
            Failure::usage("taken", format!("there is a {} `{new}` already", K::NOUN)).hint("choose another name")
        );
    }
    hub.engine.save_all(definition::to_save(one.body.renamed(new).bundle())?, &hub.user).await?;
    done(global, K::NOUN, new, &format!("{} `{new}` is a copy of `{name}`", K::NOUN))
}

async fn set_active<K: Switch>(global: &Global, name: &str, active: bool) -> Result<()> {
    let hub = Hub::writer(global).await?;
    hub.engine.check_governs(&hub.user, "switch profiles and teams on and off").await?;
    find::<K>(&hub, name).await?;
    K::set_active(&hub, name, active).await?;
    let how = if active { "active" } else { "switched off" };
    done(global, K::NOUN, name, &format!("{} `{name}` is {how}", K::NOUN))
}

fn done(global: &Global, noun: &str, name: &str, words: &str) -> Result<()> {
    if global.json {
        say::json(&json!({"kind": noun, "name": name, "done": true}))
    } else if global.quiet {
        Ok(())
    } else {
        say::line(words)
    }
}

impl Kind for Profile {
    const NOUN: &'static str = "profile";
    const COLUMNS: &'static [(&'static str, Side)] =
        &[("ROLE", Side::Left), ("MODEL", Side::Left), ("TOOLS", Side::Right), ("DESCRIPTION", Side::Left)];

    async fn all(hub: &Hub) -> Result<Vec<Versioned<Self>>> {
        Ok(hub.engine.profiles().await?)
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn renamed(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }

    fn cells(&self) -> Vec<String> {
        let model = self.model.clone().unwrap_or_else(|| "-".to_owned());
        vec![self.role.as_str().to_owned(), model, self.tools.len().to_string(), self.description.clone()]
    }

    fn yaml(&self) -> String {
        convoke_api::profile_to_yaml(self)
    }

    async fn export(&self, _: &Hub) -> Result<String> {
        Ok(self.yaml())
    }

    fn bundle(self) -> Bundle {
        Bundle { profiles: vec![self], ..Bundle::default() }
    }
}

impl Switch for Profile {
    async fn set_active(hub: &Hub, name: &str, active: bool) -> Result<()> {
        Ok(hub.engine.set_profile_active(name, active, &hub.user).await?)
    }
}

impl Kind for Team {
    const NOUN: &'static str = "team";
    const COLUMNS: &'static [(&'static str, Side)] =
        &[("MEMBERS", Side::Right), ("BUDGET", Side::Right), ("DESCRIPTION", Side::Left)];

    async fn all(hub: &Hub) -> Result<Vec<Versioned<Self>>> {
        Ok(hub.engine.teams().await?)
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn renamed(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }

    fn cells(&self) -> Vec<String> {
        let budget = self.budget.max_cost_usd.map_or_else(|| "-".to_owned(), text::cap);
        vec![self.members.len().to_string(), budget, self.description.clone()]
    }

    fn yaml(&self) -> String {
        convoke_api::team_to_yaml(self)
    }

    async fn export(&self, hub: &Hub) -> Result<String> {
        let mut names = vec![&self.coordinator];
        names.extend(self.members.iter().map(|member| &member.profile));
        names.extend(&self.rules.fallback_agent);
        let all = hub.engine.profiles().await?;
        let needed = all.into_iter().map(|profile| profile.body).filter(|profile| names.contains(&&profile.name));
        let patterns: Vec<_> = hub.engine.patterns().await?.into_iter().map(|pattern| pattern.body).collect();
        Ok(convoke_api::bundle_with(self, &needed.collect::<Vec<_>>(), &patterns))
    }

    fn bundle(self) -> Bundle {
        Bundle { teams: vec![self], ..Bundle::default() }
    }
}

impl Switch for Team {
    async fn set_active(hub: &Hub, name: &str, active: bool) -> Result<()> {
        Ok(hub.engine.set_team_active(name, active, &hub.user).await?)
    }
}
