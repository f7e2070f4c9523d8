//! How a server is reached, with all placeholders filled in.
//!
//! Rule: two scopes with equal settings share a connection. Values may hold secrets: they are never shown, and [`Settings::hide`]
//! takes them out of what a server says.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use convoke_domain::team::McpServer;
use convoke_port::tool::ToolScope;

/// Where `${NAME}` comes from.
pub(crate) type Variables = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Values shorter than this are not secrets, and taking them out would make gibberish.
const SECRET: usize = 6;

/// A server's settings.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Settings {
    pub(crate) way: Way,
    /// To wait for a connection or a call.
    pub(crate) timeout: Duration,
    /// It is bound to the folders of one attempt.
    pub(crate) bound: bool,
}

/// By a program's pipes or by HTTP.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum Way {
    Program { command: String, args: Vec<String>, env: BTreeMap<String, String> },
    Address { url: String, headers: BTreeMap<String, String> },
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.way {
            Way::Program { command, .. } => write!(f, "Settings({command})"),
            Way::Address { .. } => write!(f, "Settings(http)"),
        }
    }
}

impl Settings {
    /// The settings of a server in a scope.
    pub(crate) fn of(server: &McpServer, scope: &ToolScope, variables: &Variables) -> Result<Self, String> {
        let filled = |map: &BTreeMap<String, String>| -> Result<BTreeMap<String, String>, String> {
            map.iter().map(|(name, value)| Ok((name.clone(), fill(value, variables)?))).collect()
        };
        let placed: Vec<String> = server.args.iter().map(|arg| place(arg, scope)).collect::<Result<_, _>>()?;
        let bound = placed != server.args;
        let way = match (&server.command, &server.url) {
            (Some(command), None) => Way::Program { command: command.clone(), args: placed, env: filled(&server.env)? },
            (None, Some(url)) => Way::Address { url: url.clone(), headers: filled(&server.headers)? },
            _ => return Err("its settings need either `command` or `url`".into()),
        };
        Ok(Self { way, timeout: Duration::from_secs(server.timeout_s.max(1)), bound })
    }

    /// The text without the values of these settings that may be secret.
    pub(crate) fn hide(&self, text: &str) -> String {
        let values = match &self.way {
            Way::Program { env, .. } => env,
            Way::Address { headers, .. } => headers,
        };
        let mut text = text.to_owned();
        for value in values.values() {
            // `Bearer X`: the X alone may be printed too.
            for part in std::iter::once(value.as_str()).chain(value.split_whitespace()) {
                if part.len() >= SECRET {
                    text = text.replace(part, "***");
                }
            }
        }
        text
    }
}

/// Fills in `{workdir}` and `{input}`.
fn place(text: &str, scope: &ToolScope) -> Result<String, String> {
    let mut text = text.replace("{workdir}", &scope.workdir.to_string_lossy());
    if text.contains("{input}") {
        let input = scope.input.as_ref().ok_or("its arguments use `{input}` and this run has no input folder")?;
        text = text.replace("{input}", &input.to_string_lossy());
    }
    Ok(text)
}

/// Fills in `${NAME}`.
fn fill(text: &str, variables: &Variables) -> Result<String, String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, behind) = after.split_once('}').ok_or("a `${` in its settings is not closed")?;
        let value = variables(name).ok_or_else(|| format!("the environment variable `{name}` is not set"))?;
        filled.push_str(before);
        filled.push_str(&value);
        rest = behind;
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> Variables {
        Arc::new(|name| (name == "TOKEN").then(|| "s3cret-value".to_owned()))
    }

    fn server(yaml: &str) -> McpServer {
        serde_saphyr::from_str(yaml).expect("a server")
    }

    #[test]
    fn placeholders_are_filled_in() {
        let server =
            server("{command: x, args: ['{workdir}/a', '--in={input}'], env: {A: 'Bearer ${TOKEN}', B: plain}}");
        let scope = ToolScope { workdir: "/w".into(), input: Some("/i".into()), ..ToolScope::default() };
        let settings = Settings::of(&server, &scope, &variables()).expect("settings");
        let Way::Program { args, env, .. } = &settings.way else { panic!("a program") };
        assert_eq!(args, &["/w/a", "--in=/i"]);
        assert_eq!(env["A"], "Bearer s3cret-value");
        assert!(settings.bound);
        assert_eq!(settings.hide("token s3cret-value is wrong"), "token *** is wrong");
        assert_eq!(format!("{settings:?}"), "Settings(x)");
        let without = ToolScope { workdir: "/w".into(), ..ToolScope::default() };
        assert!(Settings::of(&server, &without, &variables()).expect_err("no input").contains("no input folder"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let scope = ToolScope::default();
        let wrong = |yaml: &str| Settings::of(&server(yaml), &scope, &variables()).expect_err(yaml);
        assert_eq!(wrong("{command: x, env: {A: '${NONE}'}}"), "the environment variable `NONE` is not set");
        assert_eq!(wrong("{url: x, headers: {A: '${NONE'}}"), "a `${` in its settings is not closed");
        assert_eq!(wrong("{}"), "its settings need either `command` or `url`");
        assert_eq!(wrong("{command: a, url: b}"), "its settings need either `command` or `url`");
    }

    #[test]
    fn equal_settings_are_shared() {
        let (one, two) = (
            ToolScope { workdir: "/1".into(), ..ToolScope::default() },
            ToolScope { workdir: "/2".into(), ..ToolScope::default() },
        );
        let of = |yaml: &str, scope: &ToolScope| Settings::of(&server(yaml), scope, &variables()).expect("settings");
        assert!(of("{command: x}", &one) == of("{command: x}", &two));
        assert!(of("{command: x, args: ['{workdir}']}", &one) != of("{command: x, args: ['{workdir}']}", &two));
    }
}
