//! Users: who asks. On one machine a name is enough, and a new one is added when it first asks for something.

use convoke_domain::id::WorkspaceId;
use convoke_store::{Result as Stored, Tx, UseCase, user};

use crate::{Engine, Result};

/// The part of a user whom the operator of this machine names.
const ROLE: &str = "owner";

impl Engine {
    /// Adds the user `name` if there is none of that name.
    pub async fn ensure_user(&self, name: &str) -> Result<()> {
        Ok(self.store().run(Ensure { ws: self.ws(), name: name.to_owned() }).await?)
    }
}

struct Ensure {
    ws: WorkspaceId,
    name: String,
}

impl UseCase for Ensure {
    type Out = ();

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<()> {
        user::ensure(tx, &self.name, ROLE).await.map(drop)
    }
}
