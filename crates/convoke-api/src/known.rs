//! What a file may refer to besides itself: profiles, tools, model providers.

use std::collections::{BTreeMap, BTreeSet};

use convoke_domain::profile::Profile;

use crate::node::{Kind, Node};

/// The names that exist around a file. Sets that are empty are not checked against.
#[derive(Debug, Clone, Default)]
pub struct Known {
    pub(crate) profiles: BTreeMap<String, Facts>,
    pub(crate) tools: BTreeSet<String>,
    pub(crate) providers: BTreeSet<String>,
}

/// What a team's check needs of a profile.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub(crate) tools: Vec<String>,
    pub(crate) capabilities: Vec<String>,
}

impl Known {
    /// Built-in tools by id and model providers by name.
    pub fn new<T: Into<String>, P: Into<String>>(
        tools: impl IntoIterator<Item = T>,
        providers: impl IntoIterator<Item = P>,
    ) -> Self {
        Self {
            profiles: BTreeMap::new(),
            tools: tools.into_iter().map(Into::into).collect(),
            providers: providers.into_iter().map(Into::into).collect(),
        }
    }

    /// Adds profiles that teams may name.
    #[must_use]
    pub fn with_profiles<'p>(mut self, profiles: impl IntoIterator<Item = &'p Profile>) -> Self {
        for profile in profiles {
            let facts = Facts { tools: profile.tools.clone(), capabilities: profile.capabilities.clone() };
            self.profiles.insert(profile.name.clone(), facts);
        }
        self
    }

    /// Adds a profile that stands in one of the files, even if not all of it is right.
    pub(crate) fn add(&mut self, name: &str, profile: &Node) {
        let texts = |key| profile.list(key).iter().filter_map(Node::text).map(str::to_owned).collect();
        self.profiles.insert(name.to_owned(), Facts { tools: texts("tools"), capabilities: texts("capabilities") });
    }
}

/// The name that a document gives itself.
pub(crate) fn name_of(document: &Node) -> Option<(&str, &Node)> {
    matches!(document.kind, Kind::Map(_)).then(|| document.text_at("name")).flatten()
}
