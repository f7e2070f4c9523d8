//! What a file may refer to besides itself: profiles, patterns, tools, model providers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use convoke_domain::flow::{Flow, PatternFile};
use convoke_domain::price::Price;
use convoke_domain::profile::{AgentKind, Authority, ModelSettings, Profile, Role};
use convoke_domain::team::Team;
use serde::Serialize;
use serde_json::Value;

use crate::export::pattern_to_yaml;
use crate::file::{Source, patterns_of};
use crate::flow::crew::Priced;
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
    rates: Rates,
    /// The model that everybody asks whatever they name, and the one for those who name none.
    over: Option<String>,
    default: Option<String>,
}

/// Finds what a model costs and how long its replies are; nothing if that is not known.
type FindRate = dyn Fn(&str) -> Option<(Price, u32)> + Send + Sync;

/// What models cost, where anybody looks.
#[derive(Clone, Default)]
struct Rates(Option<Arc<FindRate>>);

impl fmt::Debug for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Rates" } else { "no rates" })
    }
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
    /// Spawned agents that it may have at the same time.
    pub(crate) parallel: u64,
    /// The model that it names, and those that it falls back on.
    pub(crate) model: Option<String>,
    pub(crate) fallback: Vec<String>,
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
            tools: tools.into_iter().map(Into::into).collect(),
            providers: providers.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }

    /// Has budgets in dollars checked: `find` tells what `provider/model` costs per token and how long its replies are, or nothing.
    #[must_use]
    pub fn with_rates(mut self, find: impl Fn(&str) -> Option<(Price, u32)> + Send + Sync + 'static) -> Self {
        self.rates = Rates(Some(Arc::new(find)));
        self
    }

    /// Has budgets in dollars not checked.
    #[must_use]
    pub fn without_rates(self) -> Self {
        Self { rates: Rates::default(), ..self }
    }

    /// Says which model a run would choose: `over` for everybody, `default` for those who name none.
    #[must_use]
    pub fn with_models(mut self, over: Option<String>, default: Option<String>) -> Self {
        (self.over, self.default) = (over.or(self.over), default.or(self.default));
        self
    }

    /// The models that an agent asks which names `first`, and what is known of their prices.
    pub(crate) fn models(&self, first: Option<&str>, fallback: &[String]) -> Vec<(String, Priced)> {
        let names: Vec<String> = match (&self.over, first.or(self.default.as_deref())) {
            (Some(over), _) => vec![over.clone()],
            (None, Some(first)) => std::iter::once(first.to_owned()).chain(fallback.iter().cloned()).collect(),
            (None, None) => Vec::new(),
        };
        let rate = |name: &str| match &self.rates.0 {
            Some(find) => find(name).map_or(Priced::Unknown, |(price, longest)| Priced::At(price, longest)),
            None => Priced::Unasked,
        };
        names.into_iter().map(|name| (name.clone(), rate(&name))).collect()
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
                parallel: profile.authority.max_parallel_agents.into(),
                model: profile.model.clone(),
                fallback: profile.model_settings.fallback.clone(),
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

    /// Adds patterns that are saved, which teams may name.
    #[must_use]
    pub fn with_patterns<'p>(mut self, patterns: impl IntoIterator<Item = &'p PatternFile>) -> Self {
        for pattern in patterns {
            let text = pattern_to_yaml(pattern);
            self.patterns.extend(patterns_of(&[Source { file: &pattern.name, text: &text }]));
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
        let parallel = profile.get("authority").and_then(|rights| rights.get("max_parallel_agents"));
        let authority = Authority::default().max_parallel_agents;
        let said = profile.get("model_settings");
        let reply = said.and_then(|settings| settings.get("max_output_tokens"));
        let fallback = said.map(|settings| settings.list("fallback")).unwrap_or_default();
        let facts = Facts {
            tools: texts("tools"),
            capabilities: texts("capabilities"),
            role: role.into_iter().find(|role| role.as_str() == word("role")).unwrap_or_default(),
            kind: AgentKind::parse(word("agent_kind")).unwrap_or_default(),
            prompt: word("prompt").len(),
            reply: reply.and_then(|node| node.to_json().as_u64()).unwrap_or(settings.into()),
            parallel: parallel.and_then(|node| node.to_json().as_u64()).unwrap_or(authority.into()),
            model: profile.text_at("model").map(|(text, _)| text.to_owned()),
            fallback: fallback.iter().filter_map(Node::text).map(str::to_owned).collect(),
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

    /// The pattern of this name: of the files that are read, else of those that are saved, else of the library.
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
