//! `extends`: a profile or a team that names another of its kind and says only what differs.
//!
//! Rule: resolved when a file is read, so that what is saved and what runs stands alone. Fields of the file replace those of
//! its base; mappings are joined key by key; lists are replaced. What comes from the base stands at the place of `extends`,
//! so that a problem in it is reported there. Start at [`Bases::merged`].

use std::collections::BTreeMap;

use convoke_domain::team::Pattern;
use serde_json::Value;

use crate::export::pruned;
use crate::known::{Known, name_of};
use crate::library;
use crate::near::suggest;
use crate::node::{Entry, Kind as Shape, Node};
use crate::problem::{Finding, Place, finding};
use crate::schema::Kind;
use crate::{idle, pattern};

/// How many bases may stand behind each other.
const CHAIN_MAX: usize = 8;
/// The field.
const EXTENDS: &str = "extends";
/// Fields of a team that belong together: who names another pattern than the base, or has steps, takes none of them from it.
const COORDINATION: [&str; 4] = ["pattern", "flow", "with", "tasks"];

/// What can be extended: what stands in the files that are read, what is known, and the library.
pub(crate) struct Bases<'k> {
    files: BTreeMap<(Kind, String), Node>,
    known: &'k Known,
}

impl<'k> Bases<'k> {
    pub(crate) fn of<'n>(documents: impl Iterator<Item = &'n (Kind, Node)>, known: &'k Known) -> Self {
        let mut files = BTreeMap::new();
        for (kind, document) in documents {
            if let Some((name, _)) = name_of(document) {
                files.entry((*kind, name.to_owned())).or_insert_with(|| document.clone());
            }
        }
        Self { files, known }
    }

    /// A document with what it takes from its base; as it is if it has none.
    pub(crate) fn merged(&self, kind: Kind, document: &Node) -> Result<Node, (Place, Finding)> {
        let mut line: Vec<String> = name_of(document).map(|(name, _)| name.to_owned()).into_iter().collect();
        let mut all = document.clone();
        while let Some(node) = all.get(EXTENDS).cloned() {
            let Some(name) = node.text().filter(|_| kind != Kind::Pattern) else {
                let message = match kind {
                    Kind::Pattern => "a pattern cannot extend another",
                    Kind::Profile | Kind::Team => "`extends` must be a name",
                };
                let hint = format!("write the name of a {}, or take `extends` away", kind.as_str());
                return Err((node.place, finding("unknown_base", message, hint)));
            };
            // What the base calls by its own name may be a newer one of a file, so a name may come back once: from the store.
            if line.iter().any(|before| before == name) && !self.is_other(kind, name, &line) {
                line.push(name.to_owned());
                return Err((node.place, circle(&line)));
            }
            let again = line.iter().any(|before| before == name);
            line.push(name.to_owned());
            if line.len() > CHAIN_MAX + 1 {
                return Err((node.place, circle(&line)));
            }
            let base = self.base(kind, name, again).ok_or_else(|| (node.place, self.unknown(kind, name)))?;
            all = joined(&all, &base, node.place);
        }
        Ok(all)
    }

    /// A file may extend what is saved under its own name, once.
    fn is_other(&self, kind: Kind, name: &str, line: &[String]) -> bool {
        line.iter().filter(|before| *before == name).count() == 1 && self.saved(kind, name).is_some()
    }

    fn base(&self, kind: Kind, name: &str, only_saved: bool) -> Option<Node> {
        let written = self.files.get(&(kind, name.to_owned())).filter(|_| !only_saved);
        written.cloned().or_else(|| self.saved(kind, name))
    }

    fn saved(&self, kind: Kind, name: &str) -> Option<Node> {
        let saved = self.known.base(kind, name);
        // What it does not say, but has because everything has a value, is as little said as in a file.
        let said = saved.map(|value| of_value(&pruned(kind, value.clone()), Place { line: 1, column: 1, width: 1 }));
        said.or_else(|| {
            let (_, document) = library::documents()
                .iter()
                .find(|(has, node)| *has == kind && name_of(node).is_some_and(|(has, _)| has == name))?;
            Some(document.clone())
        })
    }

    fn unknown(&self, kind: Kind, name: &str) -> Finding {
        let of_kind = |(has, name): &(Kind, String)| (*has == kind).then(|| name.clone());
        let mut names: Vec<String> = self.files.keys().filter_map(of_kind).collect();
        names.extend(self.known.base_names(kind).map(str::to_owned));
        let built_in = library::documents().iter().filter(|(has, _)| *has == kind);
        names.extend(built_in.filter_map(|(_, node)| name_of(node).map(|(name, _)| name.to_owned())));
        names.sort();
        names.dedup();
        let message = format!("`extends` names the {} `{name}`, which does not exist", kind.as_str());
        let hint = suggest(name, names.iter().map(String::as_str), "name one that exists");
        finding("unknown_base", message, hint)
    }
}

fn circle(line: &[String]) -> Finding {
    let message =
        format!("the bases go in a circle, or more than {CHAIN_MAX} stand behind each other: {}", line.join(" -> "));
    finding("base_circle", message, "let one of them stand alone")
}

/// What `document` says, and else what `base` says.
fn joined(document: &Node, base: &Node, place: Place) -> Node {
    let own: Vec<&Entry> = document.entries().iter().filter(|entry| entry.key != EXTENDS).collect();
    let says = |key: &str| own.iter().any(|entry| entry.key == key);
    let apart;
    let base = if goes_another_way(document, base) {
        apart = without_way(base);
        &apart
    } else {
        base
    };
    let has_pattern = base.get("pattern").is_some();
    let is_left = |entry: &&Entry| {
        let key = entry.key.as_str();
        let is_named = ["kind", "name"].contains(&key);
        // A team that is saved carries its pattern's steps; whoever extends it is given them anew.
        let is_carried = key == "flow" && has_pattern;
        !(is_named || is_carried || says(key))
    };
    let mut entries: Vec<Entry> = own.iter().map(|entry| nested(entry, base, place)).collect();
    entries.extend(base.entries().iter().filter(is_left).map(|entry| moved(entry, place)));
    Node { place: document.place, kind: Shape::Map(entries) }
}

/// True if a team says itself by which pattern or steps it goes, and they are not those of its base.
fn goes_another_way(document: &Node, base: &Node) -> bool {
    let has_flow = |node: &Node| node.get("flow").is_some_and(|flow| !flow.is_null());
    if has_flow(document) {
        return true;
    }
    let of_base = match pattern::name_in(base) {
        None if has_flow(base) => None,
        name => Some(name.unwrap_or_else(|| Pattern::default().into())),
    };
    pattern::name_in(document).is_some_and(|name| Some(name) != of_base)
}

/// A team without what belongs to the way in which its members work together.
fn without_way(base: &Node) -> Node {
    let without = |node: &Node, is_dropped: &dyn Fn(&str) -> bool| match &node.kind {
        Shape::Map(entries) => {
            let kept = entries.iter().filter(|entry| !is_dropped(&entry.key)).cloned().collect();
            Node { place: node.place, kind: Shape::Map(kept) }
        }
        _ => node.clone(),
    };
    let mut team = without(base, &|key| COORDINATION.contains(&key));
    let Shape::Map(entries) = &mut team.kind else { return team };
    for entry in entries {
        match (entry.key.as_str(), &entry.node.kind) {
            ("rules", _) => entry.node = without(&entry.node, &idle::is_idle),
            ("members", Shape::List(members)) => {
                let members = members.iter().map(|member| without(member, &idle::is_idle_of_member)).collect();
                entry.node = Node { place: entry.node.place, kind: Shape::List(members) };
            }
            _ => {}
        }
    }
    team
}

/// A field of the document; a mapping is joined with that of the base.
fn nested(own: &Entry, base: &Node, place: Place) -> Entry {
    let mut entry = own.clone();
    if let (Shape::Map(mine), Some(Shape::Map(theirs))) =
        (&mut entry.node.kind, base.get(&own.key).map(|node| &node.kind))
    {
        let more: Vec<Entry> = theirs
            .iter()
            .filter(|their| !mine.iter().any(|my| my.key == their.key))
            .map(|entry| moved(entry, place))
            .collect();
        mine.extend(more);
    }
    entry
}

fn moved(entry: &Entry, place: Place) -> Entry {
    Entry { key: entry.key.clone(), place, node: placed(&entry.node, place) }
}

fn placed(node: &Node, place: Place) -> Node {
    let kind = match &node.kind {
        Shape::Scalar { text, plain } => Shape::Scalar { text: text.clone(), plain: *plain },
        Shape::List(items) => Shape::List(items.iter().map(|item| placed(item, place)).collect()),
        Shape::Map(entries) => Shape::Map(entries.iter().map(|entry| moved(entry, place)).collect()),
    };
    Node { place, kind }
}

/// A saved definition as a document.
fn of_value(value: &Value, place: Place) -> Node {
    let kind = match value {
        Value::String(text) => Shape::Scalar { text: text.clone(), plain: false },
        Value::Array(items) => Shape::List(items.iter().map(|item| of_value(item, place)).collect()),
        Value::Object(fields) => {
            let entry =
                |(key, value): (&String, &Value)| Entry { key: key.clone(), place, node: of_value(value, place) };
            Shape::Map(fields.iter().map(entry).collect())
        }
        other => Shape::Scalar { text: other.to_string(), plain: true },
    };
    Node { place, kind }
}
