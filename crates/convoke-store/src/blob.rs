//! Blobs: large texts and results, kept once per workspace under their SHA-256. Rows elsewhere hold the hash.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use crate::error::{Error, OrMissing, Result};
use crate::p;
use crate::tx::Tx;

/// The largest blob, in bytes.
pub const MAX_BLOB: usize = 16 * 1024 * 1024;

/// The name of a blob: its SHA-256, shown as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobHash(pub [u8; 32]);

impl BlobHash {
    /// The name that `body` has.
    pub fn of(body: &[u8]) -> Self {
        Self(Sha256::digest(body).into())
    }
}

impl fmt::Display for BlobHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for BlobHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for BlobHash {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || Error::missing("blob", text);
        if text.len() != 64 || !text.is_ascii() {
            return Err(bad());
        }
        let mut hash = [0; 32];
        for (at, slot) in hash.iter_mut().enumerate() {
            *slot = u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).map_err(|_| bad())?;
        }
        Ok(Self(hash))
    }
}

/// Keeps `body`; the same bytes again cost nothing.
pub async fn put(tx: &mut Tx<'_>, body: &[u8]) -> Result<BlobHash> {
    if body.len() > MAX_BLOB {
        let size = body.len();
        return Err(Error::LimitReached(format!("a blob holds at most {MAX_BLOB} bytes; this one has {size}")));
    }
    let (hash, ws, now) = (BlobHash::of(body), tx.ws(), tx.now());
    let sql = "INSERT INTO blob (ws, hash, size, body, created_at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
    tx.put(sql, p![ws, &hash.0, body.len(), body, now]).await?;
    Ok(hash)
}

/// The bytes under this hash; [`Error::Broken`] if they are not what the hash says.
pub async fn get(tx: &mut Tx<'_>, hash: BlobHash) -> Result<Vec<u8>> {
    let ws = tx.ws();
    let body: Option<Vec<u8>> = tx.opt("SELECT body FROM blob WHERE ws=$1 AND hash=$2", p![ws, &hash.0]).await?;
    let body = body.or_missing("blob", hash)?;
    if BlobHash::of(&body) != hash {
        return Err(Error::broken(format!("blob {hash} does not hold what its name says; restore it from a backup")));
    }
    Ok(body)
}
