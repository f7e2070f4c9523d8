//! Resources by name: `TYPE:PATH`, and how two names relate.
//!
//! Rule: a name has one way to be written, so that equal text is the same resource and text order is path order.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use crate::id::RunId;
use crate::refusal::Refusal;

/// The type of resources that file tools check.
pub const FILE: &str = "file";
/// The folder that all members of a run share, as file tools and locks name it.
pub const SHARED: &str = "shared";

/// Bytes of a type.
const MAX_KIND: usize = 32;
/// Bytes of a path: as many as file tools take.
const MAX_PATH: usize = 1_024;
/// Parts of a path: one more than file tools take folders.
const MAX_PARTS: usize = 33;
/// Parts of a path as the store keeps it.
pub const STORED_PARTS: usize = MAX_PARTS + 1;
/// Characters of a wrong name that are shown.
const SHOWN: usize = 80;

/// A named thing that can be locked; a path covers all below it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resource {
    kind: String,
    path: String,
}

impl Resource {
    /// A resource of a type and a path; one `/` at the end of the path is left out.
    pub fn new(kind: &str, path: &str) -> Result<Self, Refusal> {
        let whole = || shown(&format!("{kind}:{path}"));
        check_kind(kind).map_err(|why| wrong(&format!("the type of `{}` {why}", whole())))?;
        let path = path.strip_suffix('/').unwrap_or(path);
        check_path(path).map_err(|why| wrong(&format!("the path of `{}` {why}", whole())))?;
        Ok(Self { kind: kind.to_owned(), path: path.to_owned() })
    }

    /// As it was stored: checked once, when it was made.
    pub fn stored(kind: &str, path: &str) -> Self {
        Self { kind: kind.to_owned(), path: path.to_owned() }
    }

    /// The same as the store keeps it: files belong to a run, so that two runs do not wait for each other.
    #[must_use]
    pub fn within(&self, run: RunId) -> Self {
        match self.kind.as_str() {
            FILE => Self { path: format!("{run}/{}", self.path), kind: self.kind.clone() },
            _ => self.clone(),
        }
    }

    /// The same as agents and people name it.
    #[must_use]
    pub fn plain(&self) -> Self {
        match self.path.split_once('/') {
            Some((_, path)) if self.kind == FILE => Self { path: path.to_owned(), kind: self.kind.clone() },
            _ => self.clone(),
        }
    }

    /// The type, such as `file`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The path, such as `shared/src`; no `/` at its end.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// True if this is `other` or above it.
    pub fn covers(&self, other: &Self) -> bool {
        self.kind == other.kind
            && other.path.strip_prefix(self.path.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// True if one covers the other.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// The paths from the topmost above it down to its own.
    pub fn lineage(&self) -> Vec<&str> {
        let cuts = self.path.match_indices('/').map(|(at, _)| at);
        cuts.chain([self.path.len()]).map(|end| &self.path[..end]).collect()
    }

    /// Everything below it lies between these two in the order of bytes: `src/` and `src0`, for `0` follows `/`.
    pub fn below(&self) -> (String, String) {
        (format!("{}/", self.path), format!("{}0", self.path))
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.path)
    }
}

impl FromStr for Resource {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        if text.is_empty() {
            return Err(wrong("the name of the resource is empty"));
        }
        match text.split_once(':') {
            Some((kind, path)) => Self::new(kind, path),
            None => Err(wrong(&format!("`{}` has no type", shown(text)))),
        }
    }
}

impl serde::Serialize for Resource {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Resource {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = <Cow<'de, str>>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

fn wrong(message: &str) -> Refusal {
    Refusal::new("bad_resource", message)
        .hint("write it as TYPE:PATH, for example `file:shared/report.md` or `topic:pricing`")
}

/// What was written, without what would disturb a terminal or fill it.
fn shown(text: &str) -> String {
    let mut out: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN).is_some() {
        out.push('…');
    }
    out
}

fn check_kind(kind: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-');
    if kind.is_empty() {
        return Err("is empty".to_owned());
    }
    if kind.len() > MAX_KIND {
        return Err(format!("has {} bytes; {MAX_KIND} are allowed", kind.len()));
    }
    if !kind.starts_with(|c: char| c.is_ascii_lowercase()) || !kind.chars().all(fits) {
        return Err("is not a word of lower-case letters, digits, `_` and `-`".to_owned());
    }
    Ok(())
}

fn check_path(path: &str) -> Result<(), String> {
    if path.is_empty() {
        return Err("is empty".to_owned());
    }
    if path.len() > MAX_PATH {
        return Err(format!("has {} bytes; {MAX_PATH} are allowed", path.len()));
    }
    if path.starts_with('/') {
        return Err("is absolute; begin with the name of a folder".to_owned());
    }
    if path.chars().any(char::is_control) {
        return Err("holds a control character".to_owned());
    }
    let parts = path.split('/').count();
    if parts > MAX_PARTS {
        return Err(format!("has {parts} parts; {MAX_PARTS} are allowed"));
    }
    match path.split('/').find(|part| matches!(*part, "" | "." | "..")) {
        Some("") => Err("has an empty part; write one `/` between parts".to_owned()),
        Some(part) => Err(format!("holds `{part}`; write the path out")),
        None => Ok(()),
    }
}
