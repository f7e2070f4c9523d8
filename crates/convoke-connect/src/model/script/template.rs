//! Templates in a script: minijinja, strict about names, bounded in work, exact about places.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use convoke_domain::flow::template::bound;
use convoke_domain::transcript::{Block, Speaker, Turn};
use convoke_port::model::ModelRequest;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, Value as Filled};
use serde_json::{Map, Value};
use serde_saphyr::{Location, Spanned};

use super::file::{Entry, Needs, Node, Placed, ScriptError, error_at, texts};
use super::{ScriptText, filter, names, seen};

/// Steps one template may take.
const FUEL: u64 = 2_000_000;

static TEMPLATES: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_syntax(
        SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().expect("the usual delimiters"),
    );
    filter::add_all(&mut environment);
    environment
});

/// The variables of one call.
pub(super) struct Scene {
    variables: Filled,
}

impl Scene {
    pub(super) fn of(request: &ModelRequest, needs: Needs) -> Self {
        let origin = &request.origin;
        let mut variables = BTreeMap::from([
            ("task", Filled::from(origin.run_task.as_str())),
            ("stage", Filled::from(origin.stage.as_str())),
            ("agent", Filled::from(origin.agent.as_str())),
            ("task_key", Filled::from(origin.task_key.as_str())),
            ("round", Filled::from(origin.round)),
            ("turn", Filled::from(origin.turn)),
            ("attempt", Filled::from(origin.attempt)),
        ]);
        if needs.context {
            variables.insert("context", Filled::from(Serde(&origin.context)));
        }
        if needs.results {
            variables.insert("results", Filled::from(Serde(results(&request.turns))));
        }
        if needs.seen {
            variables.insert("seen", Filled::from(Serde(seen::of(&last_prompt(&request.turns)))));
        }
        if needs.prompt {
            variables.insert("prompt", Filled::from(last_prompt(&request.turns)));
        }
        Self { variables: Filled::from_pairs(variables) }
    }
}

/// The text of the last turn in which the runtime said something.
fn last_prompt(turns: &[Turn]) -> String {
    let spoken = turns.iter().rev().filter(|turn| turn.speaker == Speaker::User).map(Turn::text);
    spoken.into_iter().find(|text| !text.is_empty()).unwrap_or_default()
}

#[derive(serde::Serialize)]
struct ResultView<'a> {
    content: &'a str,
    json: Option<Value>,
    is_error: bool,
}

/// Results of tools by the label in their call's id, and by the tool's name where the id has none; the last one counts.
fn results(turns: &[Turn]) -> BTreeMap<&str, ResultView<'_>> {
    let blocks = turns.iter().flat_map(|turn| &turn.blocks);
    blocks
        .filter_map(|block| match block {
            Block::ToolResult { call_id, name, content, is_error } => {
                let json = serde_json::from_str(content).ok();
                Some((label_of(call_id).unwrap_or(name), ResultView { content, json, is_error: *is_error }))
            }
            _ => None,
        })
        .collect()
}

/// The id of the call labelled `label` in turn `turn`.
pub(super) fn call_id(turn: u32, label: &str) -> String {
    format!("call_{turn}_{label}")
}

fn label_of(call_id: &str) -> Option<&str> {
    let (turn, label) = call_id.strip_prefix("call_")?.split_once('_')?;
    turn.bytes().all(|byte| byte.is_ascii_digit()).then_some(label)
}

/// All texts of an entry that are templates.
pub(super) fn each<'a>(entry: &'a Entry, visit: &mut dyn FnMut(Placed<'a>)) {
    if let Some(text) = &entry.text {
        visit(Placed { value: &text.value, at: text.referenced });
    }
    let nodes = entry.json.iter().chain(entry.tools.iter().filter_map(|tool| tool.input.as_ref()));
    nodes.for_each(|node| texts(node, visit));
}

/// Compiles every template of an entry and looks up its names, so that a mistake is found before anything runs.
pub(super) fn check(script: &ScriptText, entry: &Entry) -> Result<(), ScriptError> {
    let mut flaw = None;
    each(entry, &mut |text| {
        if flaw.is_none() && text.value.contains('{') {
            let parsed = bound::template(text.value).map(|()| TEMPLATES.template_from_str(text.value));
            flaw = match parsed {
                Err(reason) => Some(error_at(script, text.at, &format!("template: {reason}"))),
                Ok(Err(error)) => Some(placed(script, &error, text.at)),
                Ok(Ok(_)) => names::unknown(&TEMPLATES, text.value).map(|(at, why)| strange(script, &text, at, &why)),
            };
        }
    });
    flaw.map_or(Ok(()), Err)
}

/// An error at the byte `at` of a text. Its line is looked for in the script's, since quotes and indentation move it.
fn strange(script: &ScriptText, text: &Placed<'_>, at: usize, why: &str) -> ScriptError {
    let before = &text.value[..at];
    let below = before.matches('\n').count();
    let start = before.rfind('\n').map_or(0, |end| end + 1);
    let own = text.value[start..].lines().next().unwrap_or_default();
    let line = text.at.line() + below as u64;
    let theirs = usize::try_from(line).ok().and_then(|line| script.yaml.lines().nth(line.checked_sub(1)?));
    let column = theirs.and_then(|theirs| {
        let indent = own.len() - own.trim_start().len();
        let place = theirs.find(own.trim())? + (at - start).checked_sub(indent)?;
        Some(theirs.get(..place)?.chars().count() as u64 + 1)
    });
    let column = column.unwrap_or(text.at.column());
    ScriptError { file: script.file.clone(), line, column, reason: format!("template: {why}") }
}

/// Fills in a text.
pub(super) fn text(script: &ScriptText, text: &Spanned<String>, scene: &Scene) -> Result<String, ScriptError> {
    render(script, &text.value, text.referenced, scene)
}

fn render(script: &ScriptText, text: &str, at: Location, scene: &Scene) -> Result<String, ScriptError> {
    if !text.contains('{') {
        return Ok(text.to_owned());
    }
    let template = TEMPLATES.template_from_str(text);
    template.and_then(|template| template.render(scene.variables.clone())).map_err(|error| placed(script, &error, at))
}

/// Fills in data: a text that is one `{{ expression }}` becomes what the expression gives, any other stays a text.
pub(super) fn data(script: &ScriptText, node: &Spanned<Node>, scene: &Scene) -> Result<Value, ScriptError> {
    match &node.value {
        Node::Plain(value) => Ok(value.clone()),
        Node::List(list) => list.iter().map(|item| data(script, item, scene)).collect(),
        Node::Map(map) => {
            let pairs = map.iter().map(|(key, item)| Ok((key.clone(), data(script, item, scene)?)));
            pairs.collect::<Result<Map<_, _>, _>>().map(Value::Object)
        }
        Node::Text(text) => match only_expression(text) {
            Some(expression) => evaluate(script, expression, node.referenced, scene),
            None => render(script, text, node.referenced, scene).map(Value::String),
        },
    }
}

/// Fills in a whole answer in JSON: data, or a text that a template writes and that must then be JSON.
pub(super) fn answer(script: &ScriptText, node: &Spanned<Node>, scene: &Scene) -> Result<Value, ScriptError> {
    match (&node.value, data(script, node, scene)?) {
        (Node::Text(text), Value::String(written)) if only_expression(text).is_none() => serde_json::from_str(&written)
            .map_err(|error| {
                error_at(
                    script,
                    node.referenced,
                    &format!("the template under json: wrote something that is no JSON: {error}"),
                )
            }),
        (_, value) => Ok(value),
    }
}

fn evaluate(script: &ScriptText, expression: &str, at: Location, scene: &Scene) -> Result<Value, ScriptError> {
    let value = TEMPLATES.compile_expression(expression).and_then(|compiled| compiled.eval(scene.variables.clone()));
    let value = value.map_err(|error| placed(script, &error, at))?;
    if value.is_undefined() {
        return Err(error_at(script, at, &format!("{{{{ {expression} }}}} has no value here")));
    }
    serde_json::to_value(&value).map_err(|error| error_at(script, at, &format!("{expression} is no data: {error}")))
}

/// The expression of a text that is nothing but `{{ expression }}`.
fn only_expression(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    let plain = !inner.contains("{{") && !inner.contains("}}") && !inner.contains("{%");
    plain.then(|| inner.strip_prefix('-').unwrap_or(inner).trim_end_matches('-').trim())
}

/// An error of a template, at its line of the script: a text's place is that of its first character.
fn placed(script: &ScriptText, error: &minijinja::Error, at: Location) -> ScriptError {
    let below = error.line().unwrap_or(1).saturating_sub(1) as u64;
    let detail = error.detail().map_or_else(String::new, |detail| format!(": {detail}"));
    let cause = std::error::Error::source(error).map_or_else(String::new, |cause| format!(": {cause}"));
    let reason = format!("template: {}{detail}{cause}", error.kind());
    ScriptError { file: script.file.clone(), line: at.line() + below, column: at.column(), reason }
}
