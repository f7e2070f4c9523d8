//! Workspaces: the tenants that every other row belongs to.

use convoke_domain::event::{Kind, NewEvent};
use convoke_domain::id::WorkspaceId;
use convoke_domain::time::Timestamp;
use serde_json::json;

use crate::error::Result;
use crate::tx::Tx;
use crate::use_case::UseCase;
use crate::{p, row};

/// A workspace as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    /// Its id.
    pub id: WorkspaceId,
    /// Its name, unique in the store.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
}

row!(Workspace { id, name, created_at });

/// Adds the workspace of this transaction; a taken name is [`crate::Error::Conflict`].
pub async fn insert(tx: &mut Tx<'_>, name: &str, actor: &str) -> Result<Workspace> {
    let workspace = Workspace { id: tx.ws(), name: name.to_owned(), created_at: tx.now() };
    let sql = "INSERT INTO workspace (id, name, created_at) VALUES ($1, $2, $3)";
    tx.exec(sql, p![workspace.id, name, workspace.created_at]).await?;
    tx.emit(NewEvent {
        kind: Kind::WorkspaceCreated,
        entity: "workspace",
        entity_id: workspace.id.to_string(),
        run: None,
        actor: actor.to_owned(),
        payload: json!({ "name": name }),
    });
    Ok(workspace)
}

/// The workspace with this id.
pub async fn get(tx: &mut Tx<'_>, id: WorkspaceId) -> Result<Option<Workspace>> {
    tx.opt("SELECT id, name, created_at FROM workspace WHERE id=$1", p![id]).await
}

/// The workspace with this name.
pub async fn by_name(tx: &mut Tx<'_>, name: &str) -> Result<Option<Workspace>> {
    tx.opt("SELECT id, name, created_at FROM workspace WHERE name=$1", p![name]).await
}

/// Workspaces in the order of their names, after the name `after`.
pub async fn list(tx: &mut Tx<'_>, after: &str, limit: u32) -> Result<Vec<Workspace>> {
    let sql = "SELECT id, name, created_at FROM workspace WHERE name>$1 ORDER BY name LIMIT $2";
    tx.many(sql, p![after, limit]).await
}

/// Makes the workspace `default` where it is missing; run whenever a store is opened for writing.
pub(crate) struct EnsureDefault;

impl UseCase for EnsureDefault {
    type Out = ();

    fn ws(&self) -> WorkspaceId {
        WorkspaceId::DEFAULT
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<()> {
        if get(tx, WorkspaceId::DEFAULT).await?.is_none() {
            insert(tx, "default", "system").await?;
        }
        Ok(())
    }
}
