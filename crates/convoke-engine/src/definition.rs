//! Profiles, teams and patterns: saved as versions, listed, switched off, and put together into what a run pins.

use convoke_domain::event::Kind;
use convoke_domain::flow::PatternFile;
use convoke_domain::id::WorkspaceId;
use convoke_domain::profile::{Profile, Role};
use convoke_domain::refusal::Refusal;
use convoke_domain::spec::RunSpec;
use convoke_domain::team::Team;
use convoke_store::definition::{Record, pattern, profile, team};
use convoke_store::{Result as Stored, Tx, UseCase, agent};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::engine::emit;
use crate::{Engine, Result};

/// Who saves what comes with the program.
pub const LIBRARY: &str = "library";
/// The agent that is the default of a workspace from the start, if it is there.
const FIRST_DEFAULT: &str = "orchestrator";
/// Definitions listed at once.
const PAGE: i64 = 1_000;

/// A definition with its version.
#[derive(Debug, Clone, PartialEq)]
pub struct Versioned<T> {
    /// The definition; its `active` flag is that of the name.
    pub body: T,
    /// Its version, from 1.
    pub version: i64,
    /// Who saved it.
    pub by: String,
}

/// What is saved together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Definitions {
    /// The profiles.
    pub profiles: Vec<Profile>,
    /// The teams; each that names a pattern carries its steps.
    pub teams: Vec<Team>,
    /// The patterns.
    pub patterns: Vec<PatternFile>,
}

impl Engine {
    /// Saves profiles and teams in one transaction, each as a new version if it differs from the latest. Owners and operators
    /// may. Gives how many were new.
    pub async fn save(&self, profiles: Vec<Profile>, teams: Vec<Team>, user: &str) -> Result<usize> {
        self.save_all(Definitions { profiles, teams, patterns: Vec::new() }, user).await
    }

    /// The same with patterns, which teams that are saved later may name.
    pub async fn save_all(&self, new: Definitions, user: &str) -> Result<usize> {
        let save = Save { ws: self.ws(), new, user: user.to_owned() };
        self.define_as(user, "save profiles, teams and patterns", save).await
    }

    /// The patterns that are saved, by name.
    pub async fn patterns(&self) -> Result<Vec<Versioned<PatternFile>>> {
        let rows = self.store().read(List { ws: self.ws(), of: Of::Patterns }).await?;
        rows.into_iter().map(|row| read(row, |_: &mut PatternFile, _| {})).collect()
    }

    /// Installs what comes with the program; what a user has changed stays as it is.
    pub async fn install(&self, profiles: Vec<Profile>, teams: Vec<Team>) -> Result<usize> {
        let user = LIBRARY.to_owned();
        let new = Definitions { profiles, teams, patterns: Vec::new() };
        Ok(self.store().run(Save { ws: self.ws(), new, user }).await?)
    }

    /// All profiles by name.
    pub async fn profiles(&self) -> Result<Vec<Versioned<Profile>>> {
        let rows = self.store().read(List { ws: self.ws(), of: Of::Profiles }).await?;
        rows.into_iter().map(|row| read(row, |body: &mut Profile, active| body.active = active)).collect()
    }

    /// All teams by name.
    pub async fn teams(&self) -> Result<Vec<Versioned<Team>>> {
        let rows = self.store().read(List { ws: self.ws(), of: Of::Teams }).await?;
        rows.into_iter().map(|row| read(row, |body: &mut Team, active| body.active = active)).collect()
    }

    /// All agents by name.
    pub async fn agents(&self) -> Result<Vec<agent::Record>> {
        Ok(self.store().read(ListAgents { ws: self.ws() }).await?)
    }

    /// Makes a profile and its agent choosable or not. Owners and operators may.
    pub async fn set_profile_active(&self, name: &str, active: bool, user: &str) -> Result<()> {
        self.set_active(name, active, false, user).await
    }

    /// Makes a team choosable or not. Owners and operators may.
    pub async fn set_team_active(&self, name: &str, active: bool, user: &str) -> Result<()> {
        self.set_active(name, active, true, user).await
    }

    async fn set_active(&self, name: &str, active: bool, is_team: bool, user: &str) -> Result<()> {
        let set = SetActive { ws: self.ws(), name: name.to_owned(), active, is_team, who: format!("user:{user}") };
        self.define_as(user, "switch profiles and teams on and off", set).await
    }

    /// Puts a team and its profiles together as a run would pin them, with models still to be chosen. Gives the team's
    /// version as well.
    pub async fn assemble(&self, name: &str) -> Result<(RunSpec, i64)> {
        let (team, profiles) = self.store().read(Assemble { ws: self.ws(), name: name.to_owned() }).await?;
        let version = team.version;
        let team: Versioned<Team> = read(team, |body: &mut Team, active| body.active = active)?;
        if !team.body.active {
            let message = format!("the team `{name}` is switched off");
            return Err(Refusal::new("inactive", message).hint(format!("`convoke teams activate {name}`")).into());
        }
        let mut spec = RunSpec::new(team.body, Default::default());
        spec.workspace_daily_cap = self.config().daily_cap;
        for row in profiles {
            let found: Versioned<Profile> = read(row, |body: &mut Profile, active| body.active = active)?;
            if !found.body.active {
                let message = format!("the profile `{}` of team `{name}` is switched off", found.body.name);
                let hint = format!("`convoke profiles activate {}`", found.body.name);
                return Err(Refusal::new("inactive", message).hint(hint).into());
            }
            spec.profiles.insert(found.body.name.clone(), found.body);
        }
        spec.settle_flow().map_err(|reason| {
            Refusal::new("bad_flow", format!("the flow of team `{name}` cannot be used: {reason}"))
                .hint(format!("`convoke validate {name}` says where"))
        })?;
        Ok((spec, version))
    }
}

fn read<T: DeserializeOwned>(row: Record, set_active: impl Fn(&mut T, bool)) -> Result<Versioned<T>> {
    let mut body: T = serde_json::from_str(&row.body).map_err(convoke_store::Error::from)?;
    set_active(&mut body, row.active);
    Ok(Versioned { body, version: row.version, by: row.created_by })
}

struct Save {
    ws: WorkspaceId,
    new: Definitions,
    user: String,
}

impl UseCase for Save {
    type Out = usize;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<usize> {
        let mut saved = 0;
        for body in &self.new.patterns {
            saved += usize::from(self.save_pattern(tx, body).await?);
        }
        for body in &self.new.profiles {
            saved += usize::from(self.save_profile(tx, body).await?);
        }
        for body in &self.new.teams {
            let latest = team::latest(tx, &body.name).await?;
            let Some((version, text)) = self.next(latest, serde_json::to_string(body)?) else { continue };
            team::insert(tx, (&body.name, version), &text, body.active, &self.user).await?;
            let payload = json!({"version": version});
            emit(tx, Kind::TeamSaved, ("team", body.name.clone()), (None, &self.who()), payload);
            saved += 1;
        }
        self.see_to_default(tx).await?;
        Ok(saved)
    }
}

impl Save {
    fn who(&self) -> String {
        if self.user == LIBRARY { "system".to_owned() } else { format!("user:{}", self.user) }
    }

    /// The next version and its text, if there is something new to keep. The library does not override users.
    fn next(&self, latest: Option<Record>, text: String) -> Option<(i64, String)> {
        match latest {
            None => Some((1, text)),
            Some(latest) if latest.body == text => None,
            Some(latest) if self.user == LIBRARY && latest.created_by != LIBRARY => None,
            Some(latest) => Some((latest.version + 1, text)),
        }
    }

    async fn save_pattern(&self, tx: &mut Tx<'_>, body: &PatternFile) -> Stored<bool> {
        let latest = pattern::latest(tx, &body.name).await?;
        let was = latest.as_ref().and_then(|latest| serde_json::from_str::<PatternFile>(&latest.body).ok());
        // A team that carries the steps of its pattern knows nothing of what the pattern is for.
        if body.description.is_empty() && was.is_some_and(|was| was.flow() == body.flow()) {
            return Ok(false);
        }
        let Some((version, text)) = self.next(latest, serde_json::to_string(body)?) else { return Ok(false) };
        pattern::insert(tx, (&body.name, version), &text, true, &self.user).await?;
        emit(tx, Kind::PatternSaved, ("pattern", body.name.clone()), (None, &self.who()), json!({"version": version}));
        Ok(true)
    }

    async fn save_profile(&self, tx: &mut Tx<'_>, body: &Profile) -> Stored<bool> {
        let latest = profile::latest(tx, &body.name).await?;
        let is_known = latest.is_some();
        let was = latest.as_ref().and_then(|latest| serde_json::from_str::<Profile>(&latest.body).ok());
        let Some((version, text)) = self.next(latest, serde_json::to_string(body)?) else { return Ok(false) };
        profile::insert(tx, (&body.name, version), &text, body.active, &self.user).await?;
        emit(tx, Kind::ProfileSaved, ("profile", body.name.clone()), (None, &self.who()), json!({"version": version}));
        let row = agent::NewRow {
            name: &body.name,
            kind: body.agent_kind.as_str(),
            profile_version: version,
            role: body.role.as_str(),
            capabilities: &serde_json::to_string(&body.capabilities)?,
            tags: &serde_json::to_string(&body.tags)?,
            capacity: body.capacity.into(),
            active: body.active,
        };
        agent::upsert(tx, &row).await?;
        let kind = if is_known { Kind::AgentUpdated } else { Kind::AgentRegistered };
        let payload = json!({"profile_version": version, "capacity": body.capacity, "capabilities": body.capabilities});
        emit(tx, kind, ("agent", body.name.clone()), (None, &self.who()), payload);
        self.tell_capabilities(tx, body, was);
        Ok(true)
    }

    /// An agent that can do other things than before is an event of its own: routing hangs on it.
    fn tell_capabilities(&self, tx: &mut Tx<'_>, body: &Profile, was: Option<Profile>) {
        let Some(was) = was.filter(|was| was.capabilities != body.capabilities) else { return };
        let payload = json!({"capabilities": body.capabilities, "was": was.capabilities});
        emit(tx, Kind::AgentCapabilitiesChanged, ("agent", body.name.clone()), (None, &self.who()), payload);
    }

    /// A workspace that has agents has a default one: an orchestrator, a coordinator, or else the first that is active.
    async fn see_to_default(&self, tx: &mut Tx<'_>) -> Stored<()> {
        if agent::default(tx).await?.is_some() {
            return Ok(());
        }
        let all = agent::list(tx, "", PAGE).await?;
        let fits = |agent: &&agent::Record| agent.active && agent.run.is_none() && agent.status != "retired";
        let last = |agent: &&agent::Record| (agent.name != FIRST_DEFAULT, agent.role != Role::Coordinator.as_str());
        let first = all.iter().filter(fits).min_by_key(last);
        if let Some(first) = first {
            agent::set_default(tx, &first.name).await?;
            emit(tx, Kind::AgentDefaultChanged, ("agent", first.name.clone()), (None, "system"), json!({"was": null}));
        }
        Ok(())
    }
}

struct SetActive {
    ws: WorkspaceId,
    name: String,
    active: bool,
    is_team: bool,
    who: String,
}

impl UseCase for SetActive {
    type Out = ();

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<()> {
        let (noun, found) = if self.is_team {
            ("team", team::set_active(tx, &self.name, self.active).await?)
        } else {
            if !self.active && agent::default(tx).await?.as_ref() == Some(&self.name) {
                let message = format!("the agent `{}` is the workspace's default", self.name);
                let hint = "make another one the default: `convoke agents default NAME`";
                return Err(Refusal::new("is_default", message).hint(hint).into());
            }
            agent::set_active(tx, &self.name, self.active).await?;
            ("profile", profile::set_active(tx, &self.name, self.active).await?)
        };
        if !found {
            return Err(convoke_store::Error::missing(noun, &self.name));
        }
        let kind = match (self.is_team, self.active) {
            (true, true) => Kind::TeamActivated,
            (true, false) => Kind::TeamDeactivated,
            (false, true) => Kind::ProfileActivated,
            (false, false) => Kind::ProfileDeactivated,
        };
        emit(tx, kind, (noun, self.name.clone()), (None, &self.who), json!({}));
        Ok(())
    }
}

struct List {
    ws: WorkspaceId,
    of: Of,
}

#[derive(Clone, Copy)]
enum Of {
    Profiles,
    Teams,
    Patterns,
}

impl UseCase for List {
    type Out = Vec<Record>;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Vec<Record>> {
        match self.of {
            Of::Profiles => profile::list(tx, "", PAGE).await,
            Of::Teams => team::list(tx, "", PAGE).await,
            Of::Patterns => pattern::list(tx, "", PAGE).await,
        }
    }
}

struct ListAgents {
    ws: WorkspaceId,
}

impl UseCase for ListAgents {
    type Out = Vec<agent::Record>;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Self::Out> {
        agent::list(tx, "", PAGE).await
    }
}

struct Assemble {
    ws: WorkspaceId,
    name: String,
}

impl UseCase for Assemble {
    type Out = (Record, Vec<Record>);

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Self::Out> {
        let found =
            team::latest(tx, &self.name).await?.ok_or_else(|| convoke_store::Error::missing("team", &self.name))?;
        let body: Team = serde_json::from_str(&found.body)?;
        let mut names = vec![body.coordinator.clone()];
        names.extend(body.members.iter().map(|member| member.profile.clone()));
        names.extend(body.rules.fallback_agent.clone());
        names.extend(body.rules.default_supervisor.clone());
        names.sort();
        names.dedup();
        let mut profiles = Vec::new();
        for name in names {
            profiles.push(
                profile::latest(tx, &name).await?.ok_or_else(|| convoke_store::Error::missing("profile", &name))?,
            );
        }
        Ok((found, profiles))
    }
}
