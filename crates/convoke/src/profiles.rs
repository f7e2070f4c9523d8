//! `convoke profiles`; what it does is [`crate::shelf`]'s.

use clap::Args;
use convoke_domain::profile::Profile;

use crate::args::Global;
use crate::error::{Exit, Result};
use crate::shelf::{self, Action};

#[derive(Debug, Args)]
pub struct ProfilesArgs {
    #[command(subcommand)]
    pub action: Option<Action>,
}

impl ProfilesArgs {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        shelf::act::<Profile>(self.action.unwrap_or(Action::List), global).await
    }
}
