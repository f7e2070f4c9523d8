//! The `script` provider: replies from a YAML file, by agent and turn. It plays a model and never pretends to be one.
//!
//! [`ScriptSource`] gives the text, `file.rs` reads it, `template.rs` and `filter.rs` fill it in, `play.rs` makes the
//! call. Nothing is random: the same request gets the same reply.

mod clockwork;
mod file;
mod filter;
mod names;
mod play;
mod seen;
mod template;

use std::collections::HashMap;
use std::sync::Mutex;

use convoke_domain::price::Price;

use file::File;
pub use file::ScriptError;

use super::providers::is_path;

/// The text of a script and what to call it in errors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptText {
    /// The file's path, or `script/NAME` for one that is built in.
    pub file: String,
    /// Its YAML.
    pub yaml: String,
}

/// Where scripts come from.
pub trait ScriptSource: Send + Sync {
    /// The script called `name`: a built-in name or a path. An error is a sentence for people.
    fn read(&self, name: &str) -> Result<ScriptText, String>;
}

/// Scripts built into the binary, by name, and files by path.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scripts {
    /// Name and YAML of each built-in script.
    pub built_in: &'static [(&'static str, &'static str)],
}

/// The largest script file.
const MAX_SCRIPT_BYTES: u64 = 4 << 20;

impl ScriptSource for Scripts {
    fn read(&self, name: &str) -> Result<ScriptText, String> {
        if let Some((name, yaml)) = self.built_in.iter().find(|(known, _)| *known == name) {
            return Ok(ScriptText { file: format!("script/{name}"), yaml: (*yaml).to_owned() });
        }
        if !is_path(name) {
            let known = self.built_in.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
            let known = if known.is_empty() { "there are none".to_owned() } else { format!("there are {known}") };
            return Err(format!("there is no built-in script {name} ({known}); a file is given as script/PATH.yaml"));
        }
        let size = std::fs::metadata(name).map_err(|error| format!("script {name} cannot be read: {error}"))?.len();
        if size > MAX_SCRIPT_BYTES {
            return Err(format!("script {name} has {size} bytes; at most {MAX_SCRIPT_BYTES} are read"));
        }
        let yaml = std::fs::read_to_string(name).map_err(|error| format!("script {name} cannot be read: {error}"))?;
        Ok(ScriptText { file: name.to_owned(), yaml })
    }
}

/// A script that was read and checked.
#[derive(Debug)]
pub struct Script {
    name: String,
    text: ScriptText,
    file: File,
    /// Faults given so far, by entry and step; see [`play`].
    faults: Mutex<HashMap<(usize, String), u32>>,
}

impl Script {
    /// Reads and checks a script, templates included.
    pub fn parse(name: &str, text: ScriptText) -> Result<Self, ScriptError> {
        let file = File::parse(&text)?;
        Ok(Self { name: name.to_owned(), text, file, faults: Mutex::new(HashMap::new()) })
    }

    /// The price that its usage is simulated with; nothing unless the script says so.
    pub fn price(&self) -> Price {
        self.file.price.unwrap_or(Price::FREE)
    }

    /// True if this script was made of `text`.
    pub fn is_of(&self, text: &ScriptText) -> bool {
        self.text == *text
    }
}
