//! Backup of a running store and restore into a new place. A restore raises the fencing epoch, so that a worker that
//! still holds a token from before is refused; see [`crate::meta::fencing_epoch`].

use std::path::Path;

use crate::error::Result;
use crate::pg::{self, PgOptions};
use crate::sqlite;
use crate::store::{Engine, Store, blocking};

impl Store {
    /// Writes one snapshot into the folder `to` (empty or missing) while work goes on; checked before it gets its name.
    pub async fn backup(&self, to: &Path) -> Result<()> {
        match self.engine() {
            Engine::Lite(engine) => {
                let (from, open, to) = (engine.path.clone(), engine.open, to.to_owned());
                blocking(move || sqlite::backup(&from, open, &to)).await
            }
            Engine::Pg(engine) => pg::backup(engine, to).await,
        }
    }

    /// Makes the data folder `into` (empty or missing) from a backup folder.
    pub async fn restore_sqlite(from: &Path, into: &Path) -> Result<()> {
        let (from, into) = (from.to_owned(), into.to_owned());
        blocking(move || sqlite::restore(&from, &into)).await
    }

    /// Fills a database, whose schema must be empty, from a backup folder.
    pub async fn restore_postgres(from: &Path, url: &str, pg: PgOptions) -> Result<()> {
        pg::restore(from, url, pg).await
    }
}
