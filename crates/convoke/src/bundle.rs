//! `convoke bundle`: profiles, teams and patterns that somebody else made, installed by their digest, with the rights they ask for
//! shown first. A bundle installs nothing but definitions; nothing of it runs until a run is started.

mod source;

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use convoke_domain::flow::PatternFile;
use convoke_domain::profile::Profile;
use convoke_domain::team::Team;
use convoke_engine::{Definitions, LIBRARY, Versioned};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::args::Global;
use crate::error::{Exit, Failure, Result};
use crate::hub::Hub;
use crate::validate::is_script;
use crate::{definition, file, say, text};

/// Where it is written down what was installed.
const LIST: &str = "bundles.json";
/// The most bytes of that list.
const MAX_LIST: u64 = 4 << 20;

#[derive(Debug, Args)]
pub struct BundleArgs {
    #[command(subcommand)]
    pub action: Action,
}

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Show what a bundle holds and which rights it asks for; with its digest, install it
    Install {
        /// A folder, a .tar or .tar.gz, or a git URL (`#TAG` for a branch or tag)
        #[arg(value_name = "FOLDER|ARCHIVE|GIT-URL")]
        from: String,
        /// Install it if its content has this digest
        #[arg(long, value_name = "sha256:HEX")]
        digest: Option<String>,
    },
    /// List what was installed, from where, with which digest
    List,
}

/// A bundle that was installed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Installed {
    from: String,
    digest: String,
    by: String,
    profiles: Vec<String>,
    teams: Vec<String>,
    #[serde(default)]
    patterns: Vec<String>,
}

impl BundleArgs {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        match self.action {
            Action::Install { from, digest } => install(global, &from, digest.as_deref()).await,
            Action::List => list(global).await,
        }
    }
}

async fn install(global: &Global, from: &str, wanted: Option<&str>) -> Result<Exit> {
    let hub = Hub::writer(global).await?;
    if wanted.is_some() {
        hub.engine.check_governs(&hub.user, "install bundles").await?;
    }
    let mut texts = source::texts(from, &hub.place.dir.join("tmp")).await?;
    texts.retain(|(_, text)| !is_script(text));
    let digest = digest_of(&texts);
    let sources: Vec<_> = texts.iter().map(|(file, text)| convoke_api::Source { file, text }).collect();
    let bundle = definition::read(&sources, &definition::known(&hub).await?)?;
    let before = installed(&hub)?;
    let Some(wanted) = wanted else {
        let known = before.iter().rev().find(|one| one.from == from);
        let has_changed = known.is_some_and(|one| one.digest != digest);
        let entries = entries(&hub, &definition::to_save(bundle)?).await?;
        return shown(global, &entries, (from, &digest, has_changed));
    };
    if wanted != digest {
        let message = format!("`{from}` is not what was agreed to: its digest is {digest}, not {wanted}");
        return Err(Failure::usage("digest_mismatch", message)
            .hint(format!("look at it with `convoke bundle install {from}`; nothing was installed")));
    }
    let new = definition::to_save(bundle)?;
    let names = |list: Vec<&String>| list.into_iter().cloned().collect::<Vec<_>>();
    let one = Installed {
        from: from.to_owned(),
        digest,
        by: hub.user.clone(),
        profiles: names(new.profiles.iter().map(|one| &one.name).collect()),
        teams: names(new.teams.iter().map(|one| &one.name).collect()),
        patterns: names(new.patterns.iter().map(|one| &one.name).collect()),
    };
    let saved = hub.engine.save_all(new, &hub.user).await?;
    note(&hub, before, &one)?;
    if global.json {
        say::json(
            &json!({"installed": true, "digest": one.digest, "profiles": one.profiles, "teams": one.teams, "patterns": one.patterns, "saved": saved}),
        )?;
    } else {
        say::line(&format!("installed: {}; {}", counts(&one), text::many(saved, "new version")))?;
    }
    Ok(Exit::Done)
}

/// The digest of a bundle: of the paths, lengths and texts of its definitions, in the order of their paths.
fn digest_of(texts: &[(String, String)]) -> String {
    let mut hash = Sha256::new();
    for (path, text) in texts {
        hash.update(format!("{path}\0{}\0", text.len()));
        hash.update(text);
    }
    let hex: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// A profile, team or pattern of a bundle: what it asks for, and what it would come in the place of.
struct Entry {
    noun: &'static str,
    name: String,
    rights: Vec<String>,
    there: There,
}

/// What is saved under the name of something in a bundle.
enum There {
    Nothing,
    /// The same.
    Same,
    /// Something else: its version, and who saved it.
    Other(i64, String),
}

impl There {
    /// The version that would be replaced, and whose it is.
    const fn replaced(&self) -> Option<(i64, &String)> {
        match self {
            Self::Other(version, by) => Some((*version, by)),
            Self::Nothing | Self::Same => None,
        }
    }

    /// In words; nothing for what is new.
    fn words(&self, noun: &str) -> Option<String> {
        match self {
            Self::Nothing => None,
            Self::Same => Some("is there already, and stays as it is".to_owned()),
            Self::Other(version, by) if by == LIBRARY => {
                Some(format!("REPLACES the {noun} of this name in the library (version {version})"))
            }
            Self::Other(version, by) => {
                Some(format!("REPLACES the {noun} of this name that {} saved (version {version})", text::line(by)))
            }
        }
    }
}

async fn entries(hub: &Hub, bundle: &Definitions) -> Result<Vec<Entry>> {
    let (profiles, teams) = (hub.engine.profiles().await?, hub.engine.teams().await?);
    let profile = |one: &Profile| {
        let saved = profiles.iter().find(|saved| saved.body.name == one.name);
        let is_same = |saved: &Profile| Profile { active: one.active, ..saved.clone() } == *one;
        Entry { noun: "profile", name: one.name.clone(), rights: rights_of(one), there: there(saved, is_same) }
    };
    let team = |one: &Team| {
        let saved = teams.iter().find(|saved| saved.body.name == one.name);
        let is_same = |saved: &Team| Team { active: one.active, ..saved.clone() } == *one;
        Entry { noun: "team", name: one.name.clone(), rights: asks_of(one), there: there(saved, is_same) }
    };
    let patterns = hub.engine.patterns().await?;
    let pattern = |one: &PatternFile| {
        let saved = patterns.iter().find(|saved| saved.body.name == one.name);
        Entry { noun: "pattern", name: one.name.clone(), rights: Vec::new(), there: there(saved, |saved| saved == one) }
    };
    let (own, others) = (bundle.profiles.iter().map(profile), bundle.teams.iter().map(team));
    Ok(own.chain(others).chain(bundle.patterns.iter().map(pattern)).collect())
}

fn there<T>(saved: Option<&Versioned<T>>, is_same: impl Fn(&T) -> bool) -> There {
    match saved {
        None => There::Nothing,
        Some(saved) if is_same(&saved.body) => There::Same,
        Some(saved) => There::Other(saved.version, saved.by.clone()),
    }
}

/// What it holds and asks for, what it replaces, and how to install exactly this.
fn shown(global: &Global, entries: &[Entry], (from, digest, has_changed): (&str, &str, bool)) -> Result<Exit> {
    if global.json {
        let of = |noun: &str| -> Vec<Value> {
            let own = entries.iter().filter(|one| one.noun == noun);
            own.map(|one| {
                let replaces = one.there.replaced().map(|(version, by)| json!({"version": version, "by": by}));
                json!({noun: one.name, "rights": one.rights, "replaces": replaces})
            })
            .collect()
        };
        let (profiles, teams, patterns) = (of("profile"), of("team"), of("pattern"));
        say::json(
            &json!({"installed": false, "digest": digest, "changed": has_changed, "profiles": profiles, "teams": teams, "patterns": patterns}),
        )?;
        return Ok(Exit::Done);
    }
    let mut out = format!("{from}\n{digest}\n");
    if has_changed {
        out.push_str("This is not what was installed from there before.\n");
    }
    for Entry { noun, name, rights, there } in entries {
        let _ = writeln!(out, "\n{noun} {name}");
        for right in there.words(noun).iter().chain(rights) {
            let _ = writeln!(out, "  {right}");
        }
    }
    let _ = write!(
        out,
        "\nNothing was installed. To install exactly this:\n  convoke bundle install {from} --digest {digest}\n"
    );
    say::text(&text::plain(&out))?;
    Ok(Exit::Done)
}

/// What a profile may do, in words.
fn rights_of(profile: &Profile) -> Vec<String> {
    let right = &profile.authority;
    let mut out = Vec::new();
    out.push(if profile.tools.is_empty() {
        "no tools".to_owned()
    } else {
        format!("tools: {}", profile.tools.join(", "))
    });
    if !profile.ask.is_empty() {
        out.push(format!("asks a person before: {}", profile.ask.join(", ")));
    }
    if let Some(program) = &profile.command {
        out.push(format!("runs a program: {} {}", program.program, text::line(&program.args.join(" "))));
        out.extend(program.network.then(|| "its program reaches the network".to_owned()));
        out.extend(
            (!program.env.is_empty()).then(|| format!("its program gets variables: {}", program.env.join(", "))),
        );
    }
    let flags = [
        (right.shell, "may run shell commands in the sandbox"),
        (right.private_network, "may reach private addresses"),
        (right.can_spawn, "may spawn agents"),
        (right.can_delegate, "may delegate tasks"),
        (right.can_override_decisions, "may replace decisions"),
        (right.can_assign_to_peers, "may give tasks to its peers"),
    ];
    out.extend(flags.into_iter().filter(|(is, _)| *is).map(|(_, words)| words.to_owned()));
    if !right.http_hosts.is_empty() {
        out.push(format!("may reach: {}", right.http_hosts.join(", ")));
    }
    out
}

/// What a team asks for beyond its members: servers that it starts or reaches, and money.
fn asks_of(team: &Team) -> Vec<String> {
    let mut out = vec![format!(
        "members: {}",
        team.members.iter().map(|one| one.profile.as_str()).collect::<Vec<_>>().join(", ")
    )];
    for (name, server) in &team.mcp_servers {
        let what = match (&server.command, &server.url) {
            (Some(command), _) => {
                format!("starts, outside the sandbox: {command} {}", text::line(&server.args.join(" ")))
            }
            (None, Some(url)) => format!("reaches: {url}"),
            (None, None) => "nothing".to_owned(),
        };
        out.push(format!("MCP server {name} {what}"));
    }
    out.push(
        team.budget.max_cost_usd.map_or("no budget".to_owned(), |cap| format!("budget: {} a run", text::cap(cap))),
    );
    out
}

fn place(hub: &Hub) -> PathBuf {
    hub.place.dir.join(LIST)
}

fn installed(hub: &Hub) -> Result<Vec<Installed>> {
    let path = place(hub);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let broken = |cause| Failure::new("broken", format!("cannot read `{}`", path.display())).cause(cause);
    serde_json::from_str(&file::read(&path, MAX_LIST)?).map_err(broken)
}

/// Writes down what was installed; what came from the same place before is replaced.
fn note(hub: &Hub, mut all: Vec<Installed>, one: &Installed) -> Result<()> {
    all.retain(|other| other.from != one.from);
    all.push(one.clone());
    let body =
        serde_json::to_string_pretty(&all).map_err(|cause| Failure::new("broken", "cannot write JSON").cause(cause))?;
    file::write(&place(hub), body.as_bytes())
}

fn counts(one: &Installed) -> String {
    let mut counts = vec![text::many(one.profiles.len(), "profile"), text::many(one.teams.len(), "team")];
    if !one.patterns.is_empty() {
        counts.push(text::many(one.patterns.len(), "pattern"));
    }
    counts.join(", ")
}

async fn list(global: &Global) -> Result<Exit> {
    let hub = Hub::up_to_date(global).await?;
    let all = installed(&hub)?;
    if global.json {
        say::json(&all)?;
    } else if all.is_empty() {
        say::line("no bundle was installed; `convoke bundle install FOLDER` shows one")?;
    } else {
        for one in &all {
            say::line(&format!("{}  {}  {}, by {}", one.from, one.digest, counts(one), text::line(&one.by)))?;
        }
    }
    Ok(Exit::Done)
}
