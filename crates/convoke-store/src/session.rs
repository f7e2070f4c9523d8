//! Sessions: lasting conversations that hold runs.

use convoke_domain::id::SessionId;

use crate::{Result, Tx, p};

/// Opens a session.
pub async fn insert(tx: &mut Tx<'_>, id: SessionId, title: &str, by: &str) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.put(
        "INSERT INTO session (ws, id, title, created_at, created_by) VALUES ($1, $2, $3, $4, $5)",
        p![ws, id, title, now, by],
    )
    .await?;
    Ok(())
}

/// True if there is such a session.
pub async fn exists(tx: &mut Tx<'_>, id: SessionId) -> Result<bool> {
    let ws = tx.ws();
    let found: Option<(i64,)> = tx.opt("SELECT 1 FROM session WHERE ws = $1 AND id = $2", p![ws, id]).await?;
    Ok(found.is_some())
}
