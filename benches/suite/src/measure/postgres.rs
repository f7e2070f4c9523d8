//! The runs of [`super::runs`] once more, durable on PostgreSQL.

use anyhow::{Context as _, Result};

use crate::context::Context;
use crate::figure::Figure;
use crate::measure::runs::{Base, curve};

/// Measures once.
pub fn run(context: &Context) -> Result<Vec<Figure>> {
    let url = context.postgres.as_deref();
    let url = url.context(
        "there is no PostgreSQL: `cargo xtask bench` starts one; or set CONVOKE_TEST_PG to postgres://USER@HOST:PORT/DATABASE \
         of a server that may be filled",
    )?;
    curve(context, Base::Postgres(url))
}
