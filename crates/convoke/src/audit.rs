//! `convoke audit`: is the record of events whole and unchanged?

use clap::{Args, Subcommand};

use crate::args::Global;
use crate::db::{self, Checked};
use crate::error::{Exit, Result};
use crate::hub::Hub;

#[derive(Debug, Args)]
pub struct AuditArgs {
    #[command(subcommand)]
    pub action: Action,
}

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Check the hash chain over all events
    Verify,
}

impl AuditArgs {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        let Action::Verify = self.action;
        let hub = Hub::reader(global).await?;
        let report = hub.engine.store().verify_chain().await?;
        db::tell(global, &report, Checked::Chain)
    }
}
