//! `convoke users`: who may do what. The first user of a data folder is its owner; owners give others their roles.

use clap::{Args, Subcommand};
use convoke_domain::user::Role;
use serde_json::json;

use crate::args::{Global, user_name};
use crate::control::Request;
use crate::error::{Exit, Result};
use crate::hold::carry_out;
use crate::hub::Hub;
use crate::text::{self, Side, Table};
use crate::{runs, say, which};

#[derive(Debug, Args)]
pub struct UsersArgs {
    #[command(subcommand)]
    pub command: Option<UsersCommand>,
}

#[derive(Debug, Subcommand)]
pub enum UsersCommand {
    /// List users and their roles
    List,
    /// Add a user
    Add {
        /// Lower-case letters, digits and hyphens
        #[arg(value_parser = user_name)]
        name: String,
        /// What they may do: owner, operator, approver, viewer
        #[arg(long, value_name = "ROLE", default_value = "approver", value_parser = role)]
        role: Role,
    },
    /// Give a user another role
    Role {
        /// The user
        #[arg(value_parser = user_name)]
        name: String,
        /// owner, operator, approver, viewer
        #[arg(value_parser = role)]
        role: Role,
    },
}

fn role(text: &str) -> Result<Role, String> {
    Role::parse(text).ok_or_else(|| "a role is one of owner, operator, approver, viewer".to_owned())
}

impl UsersArgs {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        match self.command.unwrap_or(UsersCommand::List) {
            UsersCommand::List => list(global).await,
            UsersCommand::Add { name, role } => appoint(global, name, role, true).await,
            UsersCommand::Role { name, role } => appoint(global, name, role, false).await,
        }
    }
}

async fn list(global: &Global) -> Result<Exit> {
    let hub = Hub::reader(global).await?;
    let users = which::users(&hub.engine).await?;
    if global.json {
        let told: Vec<_> = users
            .iter()
            .map(|user| json!({"id": user.id, "name": user.name, "role": user.role, "created_at": user.created_at}))
            .collect();
        say::json(&told)?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&[("USER", Side::Left), ("ROLE", Side::Left), ("SINCE (UTC)", Side::Left)]);
    for user in users {
        table.row([user.name, user.role, text::clock(user.created_at)]);
    }
    say::text(&table.text(runs::room()))?;
    Ok(Exit::Done)
}

async fn appoint(global: &Global, name: String, role: Role, is_new: bool) -> Result<Exit> {
    let request = Request::Appoint { name: name.clone(), role, is_new, user: global.user.clone() };
    carry_out(global, request).await?;
    if global.json {
        say::json(&json!({"name": name, "role": role}))?;
    } else if !global.quiet {
        say::line(&format!("{name} is {} now", article(role)))?;
    }
    Ok(Exit::Done)
}

fn article(role: Role) -> String {
    let word = role.as_str();
    if word.starts_with(['a', 'o']) { format!("an {word}") } else { format!("a {word}") }
}
