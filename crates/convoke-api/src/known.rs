//! What a file may refer to besides itself: profiles, patterns, tools, model providers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use convoke_domain::flow::{Flow, PatternFile};
use convoke_domain::profile::{AgentKind, ModelSettings, Profile, Role};
use convoke_domain::team::Team;
use serde::Serialize;
use serde_json::Value;

use crate::library;
use crate::node::{Kind, Node};
use crate::schema::Kind as DocumentKind;
use crate::word;

/// The names that exist around a file. Sets that are empty are not checked against.
#[derive(Debug, Clone, Default)]
pub struct Known {
    pub(crate) profiles: BTreeMap<String, Facts>,
    pub(crate) patterns: BTreeMap<String, Pattern>,
    pub(crate) tools: BTreeSet<String>,
    pub(crate) providers: BTreeSet<String>,
    /// What is saved and may be extended.
    bases: BTreeMap<(DocumentKind, String), Arc<Value>>,
}

/// What a team's check needs of a profile.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) tools: Vec<String>,
    pub(crate) capabilities: Vec<String>,
    pub(crate) role: Role,
    pub(crate) kind: AgentKind,
    /// Bytes of its prompt.
    pub(crate) prompt: usize,
    /// The most tokens of one reply.
    pub(crate) reply: u64,
}

/// A pattern that teams may name.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    /// As it stands in its file.
    pub(crate) node: Arc<Node>,
    /// What it does; `None` where its file is not right, which is said there.
    pub(crate) flow: Option<Flow>,
}

impl Known {
    /// Built-in tools by id and model providers by name.
    pub fn new<T: Into<String>, P: Into<String>>(
        tools: impl IntoIterator<Item = T>,
        providers: impl IntoIterator<Item = P>,
    ) -> Self {
        Self {
            profiles: BTreeMap::new(),
            patterns: BTreeMap::new(),
            tools: tools.into_iter().map(Into::into).collect(),
            providers: providers.into_iter().map(Into::into).collect(),
            bases: BTreeMap::new(),
        }
    }

    /// What is wrong with a tool that somebody names outside of a file, and what to write instead.
    pub fn check_tool(&self, tool: &str) -> Result<(), (String, String)> {
        match word::tool(tool, "the tool", self) {
            Some(finding) => Err((finding.message, finding.hint)),
            None => Ok(()),
        }
    }

    /// Adds profiles that teams may name.
    #[must_use]
    pub fn with_profiles<'p>(mut self, profiles: impl IntoIterator<Item = &'p Profile>) -> Self {
        for profile in profiles {
            let facts = Facts {
                tools: profile.tools.clone(),
                capabilities: profile.capabilities.clone(),
                role: profile.role,
                kind: profile.agent_kind,
                prompt: profile.prompt.len(),
                reply: profile.model_settings.max_output_tokens.into(),
            };
            self.profiles.insert(profile.name.clone(), facts);
            self.add_base(DocumentKind::Profile, &profile.name, profile);
        }
        self
    }

    /// Adds teams that exist and may be extended.
    #[must_use]
    pub fn with_teams<'t>(mut self, teams: impl IntoIterator<Item = &'t Team>) -> Self {
        for team in teams {
            self.add_base(DocumentKind::Team, &team.name, team);
        }
        self
    }

    fn add_base(&mut self, kind: DocumentKind, name: &str, body: &impl Serialize) {
        let value = serde_json::to_value(body).expect("definitions are plain data");
        self.bases.insert((kind, name.to_owned()), Arc::new(value));
    }

    /// What is saved under a name.
    pub(crate) fn base(&self, kind: DocumentKind, name: &str) -> Option<&Value> {
        self.bases.get(&(kind, name.to_owned())).map(Arc::as_ref)
    }

    /// The names of what is saved.
    pub(crate) fn base_names(&self, kind: DocumentKind) -> impl Iterator<Item = &str> {
        self.bases.keys().filter(move |(has, _)| *has == kind).map(|(_, name)| name.as_str())
    }

    /// Adds a profile that stands in one of the files, even if not all of it is right.
    pub(crate) fn add(&mut self, name: &str, profile: &Node) {
        let texts = |key| profile.list(key).iter().filter_map(Node::text).map(str::to_owned).collect();
        let word = |key| profile.text_at(key).map_or("", |(text, _)| text);
        let role = [Role::Coordinator, Role::Specialist, Role::Worker, Role::Reviewer];
        let settings = ModelSettings::default().max_output_tokens;
        let reply = profile.get("model_settings").and_then(|settings| settings.get("max_output_tokens"));
        let facts = Facts {
            tools: texts("tools"),
            capabilities: texts("capabilities"),
            role: role.into_iter().find(|role| role.as_str() == word("role")).unwrap_or_default(),
            kind: AgentKind::parse(word("agent_kind")).unwrap_or_default(),
            prompt: word("prompt").len(),
            reply: reply.and_then(|node| node.to_json().as_u64()).unwrap_or(settings.into()),
        };
        self.profiles.insert(name.to_owned(), facts);
    }

    /// Adds a pattern that stands in one of the files, even if not all of it is right.
    pub(crate) fn add_pattern(&mut self, name: &str, document: &Node) {
        let mut value = document.to_json();
        if let Some(fields) = value.as_object_mut() {
            fields.shift_remove("kind");
        }
        let flow = serde_json::from_value::<PatternFile>(value).ok().map(|file| file.flow());
        self.patterns.insert(name.to_owned(), Pattern { node: Arc::new(document.clone()), flow });
    }

    /// The pattern of this name: of the files that are read, else of the library.
    pub(crate) fn pattern(&self, name: &str) -> Option<&Pattern> {
        self.patterns.get(name).or_else(|| library::known_patterns().get(name))
    }

    /// The names of all patterns.
    pub(crate) fn pattern_names(&self) -> BTreeSet<&str> {
        let names = self.patterns.keys().chain(library::known_patterns().keys()).map(String::as_str);
        names.chain([convoke_domain::team::Pattern::COORDINATOR_WORKER]).collect()
    }
}

/// The name that a document gives itself.
pub(crate) fn name_of(document: &Node) -> Option<(&str, &Node)> {
    matches!(document.kind, Kind::Map(_)).then(|| document.text_at("name")).flatten()
}
