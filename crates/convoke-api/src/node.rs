//! A document as a tree that knows where each value stands. YAML 1.2 core schema; JSON is read as the YAML it is.
//!
//! Rule: nothing typed here. Reading stops at named limits, refuses custom tags, and bounds what aliases can repeat,
//! so that no small file becomes a large tree. Start at [`read`].

use std::borrow::Cow;
use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag};
use serde_json::{Map, Number, Value};

use crate::problem::{Place, Reporter, finding};
use crate::syntax;

/// The largest file that is read.
pub const MAX_BYTES: usize = 1024 * 1024;
/// How deep lists and mappings may nest.
pub const MAX_DEPTH: usize = 64;
/// The most values in one file, what aliases repeat included.
pub const MAX_NODES: usize = 100_000;

/// One value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) kind: Kind,
}

/// What a value is.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// Text as written; plain (unquoted) text may mean a number, `true`, `false` or nothing.
    Scalar { text: String, plain: bool },
    /// `[a, b]`
    List(Vec<Node>),
    /// `{a: b}`, in the order of the file, each key once.
    Map(Vec<Entry>),
}

/// One key of a mapping.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) place: Place,
    pub(crate) node: Node,
}

impl Node {
    /// The value under `key` of a mapping.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    /// The keys of a mapping; nothing for anything else.
    pub(crate) fn entries(&self) -> &[Entry] {
        if let Kind::Map(entries) = &self.kind { entries } else { &[] }
    }

    /// The values of the list under `key`; nothing if there is no such list.
    pub(crate) fn list(&self, key: &str) -> &[Self] {
        match self.get(key).map(|node| &node.kind) {
            Some(Kind::List(items)) => items,
            _ => &[],
        }
    }

    /// The text of a scalar that is text: quoted, or plain and nothing else.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, plain: false } => Some(text),
            Kind::Scalar { text, plain: true } if matches!(resolve(text), Value::String(_)) => Some(text),
            _ => None,
        }
    }

    /// The text under `key` and the node that holds it.
    pub(crate) fn text_at(&self, key: &str) -> Option<(&str, &Self)> {
        let node = self.get(key)?;
        node.text().map(|text| (text, node))
    }

    /// Nothing: `null`, `~` or no value at all.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, plain: true } if resolve(text).is_null())
    }

    /// Nothing, or a list or mapping that holds nothing.
    pub(crate) fn is_empty(&self) -> bool {
        match &self.kind {
            Kind::Scalar { .. } => self.is_null(),
            Kind::List(items) => items.is_empty(),
            Kind::Map(entries) => entries.is_empty(),
        }
    }

    /// The value without its places.
    pub(crate) fn to_json(&self) -> Value {
        match &self.kind {
            Kind::Scalar { text, plain: true } => resolve(text),
            Kind::Scalar { text, plain: false } => Value::String(text.clone()),
            Kind::List(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            Kind::Map(entries) => {
                Value::Object(entries.iter().map(|e| (e.key.clone(), e.node.to_json())).collect::<Map<_, _>>())
            }
        }
    }

    /// The node that a JSON pointer leads to; the nearest one on the way if it ends early.
    pub(crate) fn follow(&self, pointer: &str) -> &Self {
        let mut node = self;
        for part in pointer.split('/').skip(1) {
            let part = part.replace("~1", "/").replace("~0", "~");
            let next = match &node.kind {
                Kind::List(items) => part.parse::<usize>().ok().and_then(|index| items.get(index)),
                _ => node.get(&part),
            };
            match next {
                Some(next) => node = next,
                None => return node,
            }
        }
        node
    }
}

/// What plain text means in the YAML 1.2 core schema (chapter 10.3.2 of the specification).
pub(crate) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number),
    }
}

fn number(text: &str) -> Option<Number> {
    let radix = |digits: &str, radix| u64::from_str_radix(digits, radix).ok().map(Number::from);
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(digits, 8);
    }
    let digits = text.trim_start_matches(['+', '-']);
    let numeric = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && digits.bytes().any(|b| b.is_ascii_digit())
        && digits.bytes().all(|b| b.is_ascii_digit() || b".eE+-".contains(&b));
    if !numeric {
        return None;
    }
    let plain = text.strip_prefix('+').unwrap_or(text);
    let whole = plain.parse::<u64>().map(Number::from).or_else(|_| plain.parse::<i64>().map(Number::from));
    whole.ok().or_else(|| plain.parse::<f64>().ok().and_then(Number::from_f64))
}

/// Reads all documents of a text. What cannot be read is reported; the documents after it are still read.
pub(crate) fn read(text: &str, reporter: &mut Reporter<'_>) -> Vec<Node> {
    if text.len() > MAX_BYTES {
        let message = format!("the file has {} bytes; at most {MAX_BYTES} are read", text.len());
        reporter.report(TOP, finding("file_too_large", message, "split it into several files"));
        return Vec::new();
    }
    let options = granit_parser::options! {
        strict_indentation: true,
        emit_unresolved_aliases: true,
        emit_comments: false,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let mut parser = Parser::new_from_str_with_options(text, options);
    let mut builder = Builder::new(reporter);
    while let Some(next) = parser.next_event() {
        match next {
            Ok((Event::StreamEnd, _)) => break,
            Ok((event, span)) => {
                if !builder.take(event, span) {
                    break;
                }
            }
            Err(error) => {
                builder.broken(&error);
                if !matches!(parser.proceed_next_document(), Ok(true)) {
                    break;
                }
            }
        }
    }
    builder.roots
}

const TOP: Place = Place { line: 1, column: 1, width: 1 };

/// A list or mapping that is not closed yet.
struct Open {
    node: Node,
    anchor: usize,
    key: Option<(String, Place)>,
    /// Lines of the keys met so far.
    keys: HashMap<String, usize>,
}

/// Builds trees from parser events.
struct Builder<'r, 'a> {
    reporter: &'r mut Reporter<'a>,
    roots: Vec<Node>,
    open: Vec<Open>,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
}

impl<'r, 'a> Builder<'r, 'a> {
    fn new(reporter: &'r mut Reporter<'a>) -> Self {
        Self { reporter, roots: Vec::new(), open: Vec::new(), anchors: HashMap::new(), nodes: 0 }
    }

    /// Takes one event; false if a limit was reached and reading must stop.
    fn take(&mut self, event: Event<'_>, span: Span) -> bool {
        let place = place(&span);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && !self.is_text(tag.as_ref(), place);
                let text = if plain && span.is_empty() { String::new() } else { text.into_owned() };
                let node = Node { place, kind: Kind::Scalar { text, plain } };
                self.add(node, anchor, 1)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.is_text(tag.as_ref(), place);
                self.push(Node { place, kind: Kind::List(Vec::new()) }, anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.is_text(tag.as_ref(), place);
                self.push(Node { place, kind: Kind::Map(Vec::new()) }, anchor)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => self.repeat(anchor, place),
            Event::UnresolvedAlias(name) => {
                let message = format!("`*{name}` repeats an anchor that is not there");
                self.reporter.report(
                    place,
                    finding(
                        "unknown_anchor",
                        message,
                        format!("write `&{name}` before the value it should repeat, or quote the text"),
                    ),
                );
                self.add(Node { place, kind: Kind::Scalar { text: format!("*{name}"), plain: false } }, 0, 1)
            }
            _ => true,
        }
    }

    /// True if the tag says that the value is text. Tags that Convoke does not know are reported.
    fn is_text(&mut self, tag: Option<&Cow<'_, Tag>>, place: Place) -> bool {
        let Some(tag) = tag else { return false };
        if tag.is_yaml_core_schema_tag("str") {
            return true;
        }
        if !["map", "seq", "int", "float", "bool", "null"].iter().any(|known| tag.is_yaml_core_schema_tag(known)) {
            let message = format!("the tag `{}` means nothing here", tag.original());
            self.reporter.report(place, finding("unknown_tag", message, "remove the tag"));
        }
        false
    }

    fn push(&mut self, node: Node, anchor: usize) -> bool {
        self.open.push(Open { node, anchor, key: None, keys: HashMap::new() });
        true
    }

    fn close(&mut self) -> bool {
        match self.open.pop() {
            Some(open) => self.add(open.node, open.anchor, 1),
            None => true,
        }
    }

    fn repeat(&mut self, anchor: usize, place: Place) -> bool {
        match self.anchors.get(&anchor).cloned() {
            Some((node, size)) => self.add(node, 0, size),
            None => {
                self.reporter.report(
                    place,
                    finding("recursive_alias", "an alias stands inside the value it repeats", "write the value out"),
                );
                self.add(null(place), 0, 1)
            }
        }
    }

    /// Puts a finished value into what is open. `size` is how many values it brings; false if there are too many.
    fn add(&mut self, node: Node, anchor: usize, size: usize) -> bool {
        self.nodes += size;
        if self.nodes > MAX_NODES {
            let message = format!("the file has more than {MAX_NODES} values, what its aliases repeat included");
            self.reporter
                .report(node.place, finding("too_many_values", message, "split it, or write less with aliases"));
            return false;
        }
        if anchor != 0 {
            let size = count(&node);
            self.nodes += size;
            self.anchors.insert(anchor, (node.clone(), size));
        }
        match self.open.last_mut() {
            None => self.roots.push(node),
            Some(Open { node: Node { kind: Kind::List(items), .. }, .. }) => items.push(node),
            Some(open) => match open.key.take() {
                None => open.key = Some(key_of(node, self.reporter)),
                Some(key) => self.enter(key, node),
            },
        }
        true
    }

    /// Puts `key: node` into the open mapping, unless the key is there already.
    fn enter(&mut self, (key, place): (String, Place), mut node: Node) {
        if matches!(&node.kind, Kind::Scalar { text, plain: true } if text.is_empty()) {
            node.place = place;
        }
        let Some(Open { node: Node { kind: Kind::Map(entries), .. }, keys, .. }) = self.open.last_mut() else { return };
        match keys.get(&key) {
            None => {
                keys.insert(key.clone(), place.line);
                entries.push(Entry { key, place, node });
            }
            Some(first) => {
                let message = format!("`{key}` is given twice; the first is on line {first}");
                self.reporter.report(place, finding("duplicate_key", message, "remove one of the two"));
            }
        }
    }

    /// Reports what the parser could not read and forgets the document it was in.
    fn broken(&mut self, error: &ScanError) {
        self.open.clear();
        let mark = error.marker();
        let place = Place { line: mark.line().max(1), column: mark.col() + 1, width: 1 };
        let tab = self.reporter.line(place.line).trim_start_matches(' ').starts_with('\t');
        self.reporter.report(place, syntax::explain(error.kind(), tab));
    }
}

/// The text and place of a key.
fn key_of(node: Node, reporter: &mut Reporter<'_>) -> (String, Place) {
    if let Kind::Scalar { text, .. } = node.kind {
        return (text, node.place);
    }
    reporter.report(
        node.place,
        finding(
            "bad_key",
            "a key must be a word, not a list or a mapping",
            "write `name: value`; quote text that begins with `[` or `{`",
        ),
    );
    (String::new(), node.place)
}

/// How many values a tree holds.
fn count(node: &Node) -> usize {
    1 + match &node.kind {
        Kind::Scalar { .. } => 0,
        Kind::List(items) => items.iter().map(count).sum(),
        Kind::Map(entries) => entries.iter().map(|entry| count(&entry.node)).sum(),
    }
}

fn null(place: Place) -> Node {
    Node { place, kind: Kind::Scalar { text: String::new(), plain: true } }
}

fn place(span: &Span) -> Place {
    let (start, end) = (&span.start, &span.end);
    let width = if end.line() == start.line() { end.col().saturating_sub(start.col()) } else { 1 };
    Place { line: start.line().max(1), column: start.col() + 1, width: width.max(1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(text: &str) -> (Vec<Value>, Vec<&'static str>) {
        let mut reporter = Reporter::new("t", text);
        let nodes = read(text, &mut reporter);
        (nodes.iter().map(Node::to_json).collect(), reporter.finish().iter().map(|p| p.code).collect())
    }

    #[test]
    fn plain_text_means_what_yaml_1_2_says() {
        let (values, codes) = parse("[1, -2, 1.5, 1e3, 0x1f, 0o17, true, no, ~, '1', v1.2, 1.2.3, -x, 2026-01-01]");
        assert!(codes.is_empty(), "{codes:?}");
        let expected = json!([1, -2, 1.5, 1000.0, 31, 15, true, "no", null, "1", "v1.2", "1.2.3", "-x", "2026-01-01"]);
        assert_eq!(values, vec![expected]);
    }

    #[test]
    fn json_is_read_as_it_is() {
        let text = "{\n\t\"a\": [1, 2.5, null, true],\n\t\"b\": \"x\\ny\\u00e9\\ud83d\\ude00\\/\"\n}";
        let (values, codes) = parse(text);
        assert!(codes.is_empty(), "{codes:?}");
        assert_eq!(values, vec![serde_json::from_str::<Value>(text).expect("JSON")]);
    }

    #[test]
    fn a_broken_document_does_not_hide_the_next() {
        let (values, codes) = parse("a: [1\n---\nb: 2\n");
        assert_eq!((values, codes), (vec![json!({"b": 2})], vec!["syntax"]));
    }

    #[test]
    fn aliases_are_bounded() {
        let (values, _) = parse("a: &x [1, 2]\nb: *x\n");
        assert_eq!(values, vec![json!({"a": [1, 2], "b": [1, 2]})]);
        let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..9 {
            let items = vec![format!("*a{}", level - 1); 10].join(",");
            bomb.push_str(&format!("a{level}: &a{level} [{items}]\n"));
        }
        assert_eq!(parse(&bomb).1, vec!["too_many_values"]);
    }

    #[test]
    fn depth_and_size_are_bounded() {
        assert_eq!(parse(&"[".repeat(MAX_DEPTH + 1)).1, vec!["too_deep"]);
        assert_eq!(parse(&"- ".repeat(MAX_DEPTH + 1)).1, vec!["too_deep"]);
        assert_eq!(parse(&" ".repeat(MAX_BYTES + 1)).1, vec!["file_too_large"]);
    }

    #[test]
    fn places_are_counted_in_characters_from_one() {
        let text = "é: 'ü' \nb: {c: déf}\n";
        let mut reporter = Reporter::new("t", text);
        let nodes = read(text, &mut reporter);
        let inner = nodes[0].get("b").and_then(|b| b.get("c")).expect("there");
        assert_eq!((inner.place.line, inner.place.column, inner.place.width), (2, 8, 3));
    }
}
