//! Profiles, teams and patterns: bodies by name and version. Every version is kept; the latest says whether the name is active.

use convoke_domain::time::Timestamp;

use crate::{Result, Tx, p, row};

row! {
    /// One version of a definition.
    pub struct Record {
        /// The name.
        pub name: String,
        /// The version, from 1.
        pub version: i64,
        /// The definition as JSON.
        pub body: String,
        /// May be chosen.
        pub active: bool,
        /// When it was saved.
        pub created_at: Timestamp,
        /// Who saved it.
        pub created_by: String,
    }
}

macro_rules! definitions {
    ($module:ident, $table:literal) => {
        #[doc = concat!("The table `", $table, "`.")]
        pub mod $module {
            use super::*;

            /// The latest version of `name`.
            pub async fn latest(tx: &mut Tx<'_>, name: &str) -> Result<Option<Record>> {
                let ws = tx.ws();
                tx.opt(
                    concat!(
                        "SELECT name, version, body, active, created_at, created_by FROM ",
                        $table,
                        " WHERE ws = $1 AND name = $2 ORDER BY version DESC LIMIT 1"
                    ),
                    p![ws, name],
                )
                .await
            }

            /// The version of `name` that a run started with.
            pub async fn version(tx: &mut Tx<'_>, name: &str, version: i64) -> Result<Option<Record>> {
                let ws = tx.ws();
                tx.opt(
                    concat!(
                        "SELECT name, version, body, active, created_at, created_by FROM ",
                        $table,
                        " WHERE ws = $1 AND name = $2 AND version = $3"
                    ),
                    p![ws, name, version],
                )
                .await
            }

            /// The latest version of every name after `after`, in order.
            pub async fn list(tx: &mut Tx<'_>, after: &str, limit: i64) -> Result<Vec<Record>> {
                let ws = tx.ws();
                tx.many(
                    concat!(
                        "SELECT d.name, d.version, d.body, d.active, d.created_at, d.created_by FROM ",
                        $table,
                        " d ",
                        "WHERE d.ws = $1 AND d.name > $2 AND d.version = (SELECT MAX(v.version) FROM ",
                        $table,
                        " v ",
                        "WHERE v.ws = d.ws AND v.name = d.name) ORDER BY d.name LIMIT $3"
                    ),
                    p![ws, after, limit],
                )
                .await
            }

            /// Keeps a new version.
            pub async fn insert(
                tx: &mut Tx<'_>,
                (name, version): (&str, i64),
                body: &str,
                active: bool,
                by: &str,
            ) -> Result<()> {
                let (ws, now) = (tx.ws(), tx.now());
                tx.put(
                    concat!(
                        "INSERT INTO ",
                        $table,
                        " (ws, name, version, body, active, created_at, created_by) ",
                        "VALUES ($1, $2, $3, $4, $5, $6, $7)"
                    ),
                    p![ws, name, version, body, active, now, by],
                )
                .await?;
                Ok(())
            }

            /// Makes a name choosable or not.
            pub async fn set_active(tx: &mut Tx<'_>, name: &str, active: bool) -> Result<bool> {
                let ws = tx.ws();
                let changed = tx
                    .exec(
                        concat!("UPDATE ", $table, " SET active = $3 WHERE ws = $1 AND name = $2"),
                        p![ws, name, active],
                    )
                    .await?;
                Ok(changed > 0)
            }
        }
    };
}

definitions!(profile, "profile");
definitions!(team, "team");
definitions!(pattern, "pattern");
