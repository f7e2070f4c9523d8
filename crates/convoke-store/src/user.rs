//! Users: the people of a workspace, by name.

use convoke_domain::event::{Kind, NewEvent};
use convoke_domain::id::{UserId, WorkspaceId};
use convoke_domain::time::Timestamp;
use serde_json::json;

use crate::error::Result;
use crate::tx::Tx;
use crate::{p, row};

/// A user as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The workspace.
    pub ws: WorkspaceId,
    /// Its id.
    pub id: UserId,
    /// Its name, unique in the workspace.
    pub name: String,
    /// `owner`, `operator`, `approver` or `viewer`.
    pub role: String,
    /// When it was added.
    pub created_at: Timestamp,
}

row!(User { ws, id, name, role, created_at });

/// Adds a user; a taken name or an unknown role is [`crate::Error::Conflict`].
pub async fn insert(tx: &mut Tx<'_>, name: &str, role: &str, actor: &str) -> Result<User> {
    let (ws, now) = (tx.ws(), tx.now());
    let id = UserId::derived(now, &[b"user", ws.0.as_bytes(), name.as_bytes()]);
    let sql = "INSERT INTO users (ws, id, name, role, created_at) VALUES ($1, $2, $3, $4, $5)";
    tx.exec(sql, p![ws, id, name, role, now]).await?;
    tx.emit(NewEvent {
        kind: Kind::UserCreated,
        entity: "user",
        entity_id: id.to_string(),
        run: None,
        actor: actor.to_owned(),
        payload: json!({ "name": name, "role": role }),
    });
    Ok(User { ws, id, name: name.to_owned(), role: role.to_owned(), created_at: now })
}

/// The user with this name, added with `role` if there is none yet.
pub async fn ensure(tx: &mut Tx<'_>, name: &str, role: &str) -> Result<User> {
    match by_name(tx, name).await? {
        Some(user) => Ok(user),
        None => insert(tx, name, role, "system").await,
    }
}

/// Gives a user another role.
pub async fn set_role(tx: &mut Tx<'_>, id: UserId, role: &str) -> Result<()> {
    let ws = tx.ws();
    tx.put("UPDATE users SET role = $3 WHERE ws = $1 AND id = $2", p![ws, id, role]).await?;
    Ok(())
}

/// How many users there are of a role.
pub async fn count(tx: &mut Tx<'_>, role: &str) -> Result<i64> {
    let ws = tx.ws();
    tx.one("SELECT COUNT(*) FROM users WHERE ws = $1 AND role = $2", p![ws, role]).await
}

/// The user with this id.
pub async fn get(tx: &mut Tx<'_>, id: UserId) -> Result<Option<User>> {
    let ws = tx.ws();
    tx.opt("SELECT ws, id, name, role, created_at FROM users WHERE ws=$1 AND id=$2", p![ws, id]).await
}

/// The user with this name.
pub async fn by_name(tx: &mut Tx<'_>, name: &str) -> Result<Option<User>> {
    let ws = tx.ws();
    tx.opt("SELECT ws, id, name, role, created_at FROM users WHERE ws=$1 AND name=$2", p![ws, name]).await
}

/// Users in the order of their names, after the name `after`.
pub async fn list(tx: &mut Tx<'_>, after: &str, limit: u32) -> Result<Vec<User>> {
    let ws = tx.ws();
    let sql = "SELECT ws, id, name, role, created_at FROM users WHERE ws=$1 AND name>$2 ORDER BY name LIMIT $3";
    tx.many(sql, p![ws, after, limit]).await
}
