//! `convoke teams`; what it does is [`crate::shelf`]'s.

use clap::Args;
use convoke_domain::team::Team;

use crate::args::Global;
use crate::error::{Exit, Result};
use crate::shelf::{self, Action};

#[derive(Debug, Args)]
pub struct TeamsArgs {
    #[command(subcommand)]
    pub action: Option<Action>,
}

impl TeamsArgs {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        shelf::act::<Team>(self.action.unwrap_or(Action::List), global).await
    }
}
