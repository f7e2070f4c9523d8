//! A key that cannot be printed by accident.

use std::fmt;

/// A secret string. `Debug` shows nothing of it; only [`Secret::expose`] gives it away.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`, without the white space that key files end with. `None` if nothing is left.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }

    /// The secret itself, for the header it belongs in.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// `text` with every occurrence of the secret blotted out.
    pub fn scrub(&self, text: &str) -> String {
        if text.contains(&self.0) { text.replace(&self.0, "***") } else { text.to_owned() }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_and_scrub_show_nothing() {
        let secret = Secret::new(" sk-abc\n").expect("a key");
        assert_eq!(format!("{secret:?}"), "Secret(***)");
        assert_eq!(secret.scrub("bad key sk-abc!"), "bad key ***!");
        assert_eq!(secret.expose(), "sk-abc");
        assert_eq!(Secret::new("  \n"), None);
    }
}
