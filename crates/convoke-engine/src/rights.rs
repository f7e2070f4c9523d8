//! What the agent of an attempt may do right now, and which tools it is offered for that.
//!
//! Rule: rights that were granted are read anew before each use, so that one that has expired or was revoked works no
//! more from the next call on. An agent without grants costs no reading; one that is denied something is looked up once
//! more, for it may have been granted meanwhile.

use std::path::PathBuf;
use std::sync::Arc;

use convoke_domain::authority::{self, Denial};
use convoke_domain::lock::SHARED;
use convoke_domain::pattern::SideStage;
use convoke_domain::profile::Profile;
use convoke_domain::run::Phase;
use convoke_domain::spec::RunSpec;
use convoke_domain::transcript::ToolCall;
use convoke_port::tool::ToolScope;

use crate::claim::Assignment;
use crate::drive::{Driver, Halt};
use crate::engine::Engine;
use crate::grant::Effective;
use crate::lock::guard::shares_files;
use crate::pulse::PulseKind;
use crate::spawn::{Kin, LoadKin};
use crate::{desk, program};

/// What the run has pinned, with the agent of this attempt in it: one that was spawned is added from the store. And whose budgets
/// its calls fall under besides its own: of its family, and of the family that a task which was handed over was made in.
pub(crate) async fn known(engine: &Engine, at: &Assignment) -> crate::Result<(Arc<RunSpec>, Vec<Kin>)> {
    let mut spec = engine.spec(&at.spec).await?;
    let mut kin = Vec::new();
    if !spec.profiles.contains_key(&at.agent) {
        let own = kin_of(engine, at, &at.agent).await?;
        let mut wide = RunSpec::clone(&spec);
        wide.profiles.insert(at.agent.clone(), own.profile.clone());
        wide.models.insert(at.agent.clone(), own.models.clone());
        spec = Arc::new(wide);
        kin.push(own);
    }
    if at.stage == SideStage::Spawned.as_str() && at.key != at.agent {
        kin.push(kin_of(engine, at, &at.key).await?);
    }
    Ok((spec, kin))
}

async fn kin_of(engine: &Engine, at: &Assignment, agent: &str) -> crate::Result<Kin> {
    Ok(engine.store().read(LoadKin { ws: engine.ws(), run: at.run, agent: agent.to_owned() }).await?)
}

/// The profile with what is granted to the agent now.
pub(crate) async fn now(engine: &Engine, at: &Assignment, base: &Profile) -> crate::Result<Profile> {
    Ok(engine.store().read(Effective { ws: engine.ws(), run: at.run, base: base.clone() }).await?)
}

/// What the tools outside of the desk are told of the agent's rights.
pub(crate) fn scope(engine: &Engine, at: &Assignment, spec: &RunSpec, profile: &Profile) -> ToolScope {
    let workdir =
        engine.config().work_dir.join(at.run.to_string()).join(at.task.to_string()).join(at.attempt.to_string());
    ToolScope {
        // Tools of the desk are not the toolbox's.
        allowed: profile.tools.iter().filter(|id| !id.starts_with('@') && desk::find(id).is_none()).cloned().collect(),
        mcp_servers: spec.team.mcp_servers.clone(),
        workdir,
        input: at.input.as_ref().map(PathBuf::from),
        shared: shares_files(spec).then(|| engine.config().work_dir.join(at.run.to_string()).join(SHARED)),
        shell: profile.authority.shell,
        http_hosts: profile.authority.http_hosts.clone(),
        private_network: profile.authority.private_network,
        program: program::of(profile).cloned(),
    }
}

impl Driver {
    /// Asks which tools can be had, and keeps those that the agent may use.
    pub(crate) async fn offer_tools(&mut self) {
        let program = program::of(&self.profile).map(program::tool);
        self.offered = program.map_or_else(|| desk::offer(&self.profile), |tool| vec![tool]);
        if self.scope.allowed.is_empty() && self.scope.program.is_none() {
            return;
        }
        for folder in [Some(&self.scope.workdir), self.scope.shared.as_ref()].into_iter().flatten() {
            if let Err(error) = tokio::fs::create_dir_all(folder).await {
                self.tell(PulseKind::Notice(format!("the folder {} cannot be made: {error}", folder.display())));
            }
        }
        let (mut offered, notices) = self.engine.tools().offer(&self.scope).await;
        offered.retain(|tool| authority::may_use(&self.profile, &tool.id).is_ok());
        self.offered.extend(offered);
        notices.into_iter().for_each(|notice| self.tell(PulseKind::Notice(notice)));
    }

    /// Before calls are admitted: takes in what was granted or taken back since.
    pub(crate) async fn refresh_rights(&mut self, calls: &[ToolCall]) -> Result<(), Halt> {
        let lacks = |call: &ToolCall| {
            let known = self.offered.iter().find(|tool| tool.spec.name == call.name);
            known.is_none() || self.may_act(&known.map_or_else(|| call.name.clone(), |tool| tool.id.clone())).is_err()
        };
        if !self.has_grants && !calls.iter().any(lacks) {
            return Ok(());
        }
        let now = now(&self.engine, &self.at, &self.base).await?;
        self.has_grants = now != *self.base;
        if now != *self.profile {
            self.scope = scope(&self.engine, &self.at, &self.spec, &now);
            self.profile = Arc::new(now);
            self.offer_tools().await;
        }
        Ok(())
    }

    /// Whether the agent may use a tool in what it is at.
    pub(crate) fn may_act(&self, tool: &str) -> Result<(), Denial> {
        authority::may_use(&self.profile, tool)?;
        authority::may_act_in(&self.profile, phase_of(&self.at.stage))
    }
}

/// The phase that a task of this stage belongs to. What no pattern made is work.
fn phase_of(stage: &str) -> Phase {
    match stage {
        "plan" => Phase::Delegation,
        "synthesis" => Phase::Synthesis,
        "validation" => Phase::Validation,
        _ => Phase::Execution,
    }
}
