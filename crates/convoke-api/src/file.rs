//! Files of profiles, teams and patterns: read all documents, check them against each other and against what is known, and give
//! either the values or every problem. Start at [`read`].

use std::collections::BTreeMap;

use convoke_domain::flow::PatternFile;
use convoke_domain::profile::Profile;
use convoke_domain::team::Team;
use serde::de::DeserializeOwned;

use crate::export::pruned;
use crate::extend::Bases;
use crate::known::{Known, Pattern, name_of};
use crate::near::nearest;
use crate::node::{self, Node};
use crate::problem::{Place, Problem, Problems, Reporter, finding};
use crate::schema::{Kind, schema};
use crate::shape::{At, Shape};
use crate::{pattern, profile, team, word};

/// The text of one file, YAML or JSON.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// What the file is called in messages.
    pub file: &'a str,
    /// Its text.
    pub text: &'a str,
}

/// Profiles, teams and patterns, in the order in which they were found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bundle {
    /// The profiles.
    pub profiles: Vec<Profile>,
    /// The teams; each that names a pattern carries its steps.
    pub teams: Vec<Team>,
    /// The patterns.
    pub patterns: Vec<PatternFile>,
    /// What is no problem and should be known all the same, such as a budget that could not be checked.
    pub notes: Vec<Problem>,
}

/// Reads files that may refer to each other and to what is `known`. Gives every problem of every file, or the values.
pub fn read(sources: &[Source<'_>], known: &Known) -> Result<Bundle, Problems> {
    let mut files: Vec<File<'_>> = sources.iter().map(File::open).collect();
    let bases = Bases::of(files.iter().flat_map(|file| &file.documents), known);
    let mut made: Vec<Vec<(Kind, Node)>> = Vec::new();
    for file in &mut files {
        made.push(file.extended(&bases));
    }
    files.iter_mut().zip(made).for_each(|(file, documents)| file.documents = documents);
    let mut known = known.clone();
    let mut first: BTreeMap<(Kind, String), (String, usize)> = BTreeMap::new();
    for file in &mut files {
        file.names(&mut known, &mut first);
    }
    let mut bundle = Bundle::default();
    let mut problems = Problems::default();
    for mut file in files {
        file.check(&known, &mut bundle);
        bundle.notes.append(&mut file.reporter.notes);
        problems.0.extend(file.reporter.finish());
    }
    if problems.0.is_empty() { Ok(bundle) } else { Err(problems) }
}

/// The patterns that stand in files, whether or not they are right.
pub(crate) fn patterns_of(sources: &[Source<'_>]) -> BTreeMap<String, Pattern> {
    let mut known = Known::default();
    for source in sources {
        File::open(source).names(&mut known, &mut BTreeMap::new());
    }
    known.patterns
}

/// The documents of files as they stand there, right or not.
pub(crate) fn documents_of(sources: &[Source<'_>]) -> Vec<(Kind, Node)> {
    sources.iter().flat_map(|source| File::open(source).documents).collect()
}

/// Reads one file; see [`read`].
pub fn read_one(file: &str, text: &str, known: &Known) -> Result<Bundle, Problems> {
    read(&[Source { file, text }], known)
}

/// Checks values that came by another way than a file, such as a request, as [`read`] checks files: the problems
/// point into the JSON text of the value.
pub fn check(bundle: &Bundle, known: &Known) -> Result<(), Problems> {
    let profiles =
        bundle.profiles.iter().map(|profile| (Kind::Profile, profile.name.as_str(), serde_json::to_value(profile)));
    let teams = bundle.teams.iter().map(|team| (Kind::Team, team.name.as_str(), serde_json::to_value(team)));
    let patterns =
        bundle.patterns.iter().map(|pattern| (Kind::Pattern, pattern.name.as_str(), serde_json::to_value(pattern)));
    let texts: Vec<(String, String)> = profiles
        .chain(teams)
        .chain(patterns)
        .map(|(kind, name, value)| {
            let mut value = pruned(kind, value.expect("definitions are plain data"));
            if let Some(fields) = value.as_object_mut() {
                fields.shift_insert(0, "kind".to_owned(), kind.as_str().into());
            }
            (format!("{} {name}", kind.as_str()), format!("{value:#}"))
        })
        .collect();
    let sources: Vec<Source<'_>> = texts.iter().map(|(file, text)| Source { file, text }).collect();
    read(&sources, known).map(|_| ())
}

/// A file while it is read.
struct File<'a> {
    reporter: Reporter<'a>,
    documents: Vec<(Kind, Node)>,
}

impl<'a> File<'a> {
    fn open(source: &Source<'a>) -> Self {
        let text = source.text.strip_prefix('\u{feff}').unwrap_or(source.text);
        let mut reporter = Reporter::new(source.file, text);
        let nodes = node::read(text, &mut reporter);
        let found: Vec<Node> = nodes.into_iter().filter(|node| !node.is_null()).collect();
        if found.is_empty() && reporter.count() == 0 {
            let hint = format!("write {KINDS}, then its fields");
            reporter.report(START, finding("empty", "the file holds no document", hint));
        }
        found.iter().for_each(|node| hide_secrets(node, &mut reporter));
        let documents = found.into_iter().filter_map(|node| kind_of(node, &mut reporter)).collect();
        Self { reporter, documents }
    }

    /// The documents with what they take from others; those whose base cannot be had are reported and left out.
    fn extended(&mut self, bases: &Bases<'_>) -> Vec<(Kind, Node)> {
        let mut documents = Vec::with_capacity(self.documents.len());
        for (kind, document) in &self.documents {
            match bases.merged(*kind, document) {
                Ok(merged) => documents.push((*kind, merged)),
                Err((place, found)) => self.reporter.report(place, found),
            }
        }
        documents
    }

    /// Makes the documents' names known and reports those that are taken.
    fn names(&mut self, known: &mut Known, first: &mut BTreeMap<(Kind, String), (String, usize)>) {
        for (kind, document) in &self.documents {
            let Some((name, node)) = name_of(document) else { continue };
            let found = match kind {
                Kind::Pattern => word::pattern(name),
                Kind::Profile | Kind::Team => word::name(name, "`name`"),
            };
            if let Some(found) = found {
                self.reporter.report(node.place, found);
            }
            let here = (self.reporter.file.to_owned(), node.place.line);
            if let Some((file, line)) = first.get(&(*kind, name.to_owned())) {
                let message = format!("the {} `{name}` is defined twice; the first is at {file}:{line}", kind.as_str());
                self.reporter.report(node.place, finding("duplicate_name", message, "rename one of the two"));
                continue;
            }
            first.insert((*kind, name.to_owned()), here);
            match kind {
                Kind::Profile => known.add(name, document),
                Kind::Pattern => known.add_pattern(name, document),
                Kind::Team => {}
            }
        }
    }

    /// Checks each document and adds those that are right to the bundle.
    fn check(&mut self, known: &Known, bundle: &mut Bundle) {
        for (kind, document) in &self.documents {
            let before = self.reporter.count();
            let root = schema(*kind);
            let at = At { path: kind.as_str(), key: document.place, top: true };
            Shape { root, reporter: &mut self.reporter }.check(root, document, at);
            match kind {
                Kind::Profile => profile::check(document, known, &mut self.reporter),
                Kind::Team => team::check(document, known, &mut self.reporter),
                Kind::Pattern => pattern::check(document, &mut self.reporter),
            }
            if self.reporter.count() > before {
                continue;
            }
            match kind {
                Kind::Profile => bundle.profiles.extend(decode(document, &mut self.reporter)),
                Kind::Team => {
                    let team = decode(document, &mut self.reporter);
                    bundle.teams.extend(team.map(|team| pattern::resolve(team, known)));
                }
                Kind::Pattern => bundle.patterns.extend(decode(document, &mut self.reporter)),
            }
        }
    }
}

/// The first lines that say what a document defines.
const KINDS: &str = "`kind: profile`, `kind: team` or `kind: pattern`";
const START: Place = Place { line: 1, column: 1, width: 1 };

/// Finds out what a document defines.
fn kind_of(node: Node, reporter: &mut Reporter<'_>) -> Option<(Kind, Node)> {
    if !matches!(node.kind, node::Kind::Map(_)) {
        let hint = format!("write {KINDS}, then its fields as `key: value`");
        reporter.report(node.place, finding("wrong_type", "a document must be a mapping", hint));
        return None;
    }
    let Some(kind) = node.get("kind") else {
        let hint = format!("add {KINDS} as its first line");
        reporter.report(node.place, finding("missing_kind", "the document does not say what it defines", hint));
        return None;
    };
    let text = kind.text().unwrap_or_default();
    if let Some(kind) = Kind::parse(text) {
        return Some((kind, node));
    }
    let words = Kind::ALL.map(Kind::as_str);
    let hint = match nearest(text, words) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("write {KINDS}"),
    };
    reporter.report(kind.place, finding("unknown_kind", format!("`kind` cannot be `{text}`"), hint));
    None
}

/// Masks what may be a secret: the values that are sent to MCP servers.
fn hide_secrets(document: &Node, reporter: &mut Reporter<'_>) {
    let servers = document.get("mcp_servers").map(Node::entries).unwrap_or_default();
    for server in servers {
        for field in ["env", "headers"] {
            for pair in server.node.get(field).map(Node::entries).unwrap_or_default() {
                if let node::Kind::Scalar { text, .. } = &pair.node.kind {
                    reporter.hide(text);
                }
            }
        }
    }
}

/// Makes the value. Its shape is right by now, so a failure is a difference between schema and type; it is reported
/// all the same, never lost.
fn decode<T: DeserializeOwned>(document: &Node, reporter: &mut Reporter<'_>) -> Option<T> {
    let mut value = document.to_json();
    if let Some(fields) = value.as_object_mut() {
        fields.shift_remove("kind");
    }
    serde_json::from_value(value)
        .map_err(|error| reporter.report(document.place, finding("invalid", error.to_string(), "correct the value")))
        .ok()
}
