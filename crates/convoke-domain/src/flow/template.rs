//! Templates and expressions of flows: minijinja, strict about names, bounded in work, and free of anything that is not
//! in its variables: no clock, no chance, no files. Start at [`render`] and [`evaluate`]; what bounds them is in `bound` and `guard`.

pub mod bound;
mod guard;
#[cfg(test)]
mod hostile;
mod run;
mod tree;

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::LazyLock;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, Value as Filled};
use serde_json::{Map, Value};

use crate::material;
use crate::vote::{canonical_json, canonical_value};

/// Steps that one template or expression may take.
const FUEL: u64 = 1_000_000;
/// The most bytes one template may become.
const LENGTH_MAX: usize = 1 << 20;
/// The most bytes of a value as JSON: that of a split may hold what many agents said.
const VALUE_MAX: usize = 64 << 20;
/// The most bytes of one result in `attributed`.
const SHARE_MAX: usize = 64 << 10;

/// What each piece of evidence adds to a confidence in `weighed`, as a part of it, and how many pieces count.
const PIECE_ADDS: f64 = 0.5;
const PIECES_MAX: usize = 4;
/// The confidence of somebody who says none.
const UNSAID: f64 = 0.5;

/// Templates and expressions that one thread keeps parsed.
const KEPT_MAX: usize = 1_000;

/// What has been parsed: a flow asks for the names in the same texts again and again. What is here is not too large.
struct Parsed {
    environment: Environment<'static>,
    templates: HashMap<String, Rc<BTreeSet<String>>>,
    expressions: HashMap<String, Rc<BTreeSet<String>>>,
}

thread_local! {
    static PARSED: RefCell<Parsed> = RefCell::new(Parsed {
        environment: ENVIRONMENT.clone(), templates: HashMap::new(), expressions: HashMap::new(),
    });
}

impl Parsed {
    /// The names of a template, which can be found by its text from then on.
    fn template(&mut self, text: &str) -> Result<Rc<BTreeSet<String>>, String> {
        if let Some(names) = self.templates.get(text) {
            return Ok(Rc::clone(names));
        }
        if self.templates.len() >= KEPT_MAX {
            self.templates.clear();
        }
        bound::template(text)?;
        let parsed = self.environment.template_from_str(text).map_err(|error| said(&error))?;
        let names = Rc::new(parsed.undeclared_variables(true).into_iter().collect());
        self.templates.insert(text.to_owned(), Rc::clone(&names));
        Ok(names)
    }

    /// The names of an expression.
    fn expression(&mut self, text: &str) -> Result<Rc<BTreeSet<String>>, String> {
        if let Some(names) = self.expressions.get(text) {
            return Ok(Rc::clone(names));
        }
        if self.expressions.len() >= KEPT_MAX {
            self.expressions.clear();
        }
        bound::expression(text)?;
        let parsed = self.environment.compile_expression(text).map_err(|error| said(&error))?;
        let names = Rc::new(parsed.undeclared_variables(true).into_iter().collect());
        self.expressions.insert(text.to_owned(), Rc::clone(&names));
        Ok(names)
    }
}

fn syntax() -> SyntaxConfig {
    SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().expect("the usual delimiters")
}

/// Filters that flows have besides minijinja's own.
pub const FILTERS: [&str; 8] = ["agreement", "attributed", "most", "values", "verdict", "voices", "weighed", "without"];

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(50);
    environment.set_syntax(syntax());
    guard::protect(&mut environment);
    environment.add_filter("voices", |list: Filled| json_filter(&list, voices));
    environment.add_filter("values", |list: Filled| json_filter(&list, values));
    environment.add_filter("attributed", |list: Filled| text_filter(&list));
    environment.add_filter("agreement", |list: Filled, field: Option<String>| {
        json_filter(&list, |list| most(list, field.as_deref())["share"].clone())
    });
    environment.add_filter("most", |list: Filled, field: Option<String>| {
        json_filter(&list, |list| most(list, field.as_deref()))
    });
    environment.add_filter("without", |list: Filled, name: String| {
        json_filter(&list, |list| list.iter().filter(|item| item.as_str() != Some(name.as_str())).cloned().collect())
    });
    environment.add_filter("verdict", |list: Filled, accept: String| json_filter(&list, |list| verdict(list, &accept)));
    environment.add_filter("weighed", |list: Filled, field: Option<String>| {
        json_filter(&list, |list| weighed(list, field.as_deref()))
    });
    environment
});

/// Fills a template.
pub fn render(template: &str, variables: &Map<String, Value>) -> Result<String, String> {
    if !template.contains("{{") && !template.contains("{%") && !template.contains("{#") {
        return Ok(template.to_owned());
    }
    PARSED.with_borrow_mut(|parsed| parsed.template(template))?;
    let text = run::fill(&ENVIRONMENT, template, guard::variables(variables)).map_err(|error| said(&error))?;
    if text.len() > LENGTH_MAX {
        return Err(format!("the text has {} bytes; at most {LENGTH_MAX} are allowed", text.len()));
    }
    Ok(text)
}

/// The value of an expression.
pub fn evaluate(expression: &str, variables: &Map<String, Value>) -> Result<Value, String> {
    PARSED.with_borrow_mut(|parsed| parsed.expression(expression))?;
    let value = run::compute(&ENVIRONMENT, expression, guard::variables(variables), VALUE_MAX);
    let value = value.map_err(|error| said(&error))?;
    if value.is_undefined() {
        return Err(format!("`{expression}` names nothing that exists"));
    }
    serde_json::to_value(&value).map_err(|error| format!("`{expression}` gives no data: {error}"))
}

/// Whether a condition holds: anything but false, none, zero and emptiness does.
pub fn holds(condition: &str, variables: &Map<String, Value>) -> Result<bool, String> {
    Ok(is_true(&evaluate(condition, variables)?))
}

/// True for anything but false, none, zero and emptiness.
pub fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

/// True for no result: none, or a text that says nothing. A number, `false` and an empty list are results.
pub fn is_missing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => false,
    }
}

/// The names that a template uses, with their parts: `results.plan.items`.
pub fn names_of_template(template: &str) -> Result<BTreeSet<String>, String> {
    if !template.contains("{{") && !template.contains("{%") {
        return Ok(BTreeSet::new());
    }
    let names = PARSED.with_borrow_mut(|parsed| parsed.template(template))?;
    Ok(names.as_ref().clone())
}

/// The names that an expression uses, with their parts.
pub fn names_of_expression(expression: &str) -> Result<BTreeSet<String>, String> {
    let names = PARSED.with_borrow_mut(|parsed| parsed.expression(expression))?;
    Ok(names.as_ref().clone())
}

/// A template that gives one value, as the expression that gives it: `{{ x }}` is `x`, and `text` is `"text"`.
pub fn as_expression(template: &str) -> String {
    let inner = template.trim().strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
    match inner {
        Some(inner) if !inner.contains("{{") => format!("({})", inner.trim_matches('-').trim()),
        _ => Value::from(template).to_string(),
    }
}

fn said(error: &Error) -> String {
    let mut text = error.kind().to_string();
    if let Some(detail) = error.detail() {
        text = format!("{text}: {detail}");
    }
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

fn list_of(value: &Filled) -> Result<Vec<Value>, Error> {
    guard::fits(value, VALUE_MAX)?;
    let json = serde_json::to_value(value)
        .map_err(|error| Error::new(ErrorKind::InvalidOperation, format!("not plain data: {error}")))?;
    match json {
        Value::Array(list) => Ok(list),
        Value::Null => Ok(Vec::new()),
        other => Err(Error::new(ErrorKind::InvalidOperation, format!("a list is expected, not {}", kind_of(&other)))),
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "none",
        Value::Bool(_) => "a flag",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn json_filter(value: &Filled, filter: impl FnOnce(&[Value]) -> Value) -> Result<Filled, Error> {
    Ok(Filled::from(Serde(&filter(&list_of(value)?))))
}

fn text_filter(value: &Filled) -> Result<String, Error> {
    Ok(attributed(&list_of(value)?))
}

/// The item of a split's result: `{key, agent, ok, value, error}`.
fn is_share(value: &Value) -> bool {
    value.get("ok").is_some_and(Value::is_boolean) && value.get("key").is_some()
}

/// The results of those that completed; other lists as they are.
fn values(list: &[Value]) -> Value {
    let value = |item: &Value| match is_share(item) {
        false => Some(item.clone()),
        true if item["ok"] == true => Some(item["value"].clone()),
        true => None,
    };
    list.iter().filter_map(value).collect()
}

/// Who was asked: `{agent, ok, said}` of each. `said` tells two results apart and is no text of them.
pub fn voices(list: &[Value]) -> Value {
    let voice = |(place, item): (usize, &Value)| match is_share(item) {
        true => {
            let agent = if item["agent"].is_string() { &item["agent"] } else { &item["key"] };
            serde_json::json!({"agent": agent, "ok": item["ok"], "said": digest(&item["value"])})
        }
        false if item.get("ok").is_some() && item.get("said").is_some() => item.clone(),
        false => serde_json::json!({"agent": (place + 1).to_string(), "ok": !item.is_null(), "said": digest(item)}),
    };
    list.iter().enumerate().map(voice).collect()
}

/// A short name of a value: the same for the same value, everywhere. Fowler, Noll and Vo's FNV-1a.
pub fn digest(value: &Value) -> String {
    let of = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", canonical_json(value).bytes().fold(0xcbf2_9ce4_8422_2325, of))
}

/// A list of results as text, with who said what; quoted, so that no text can pass for a heading or an instruction.
pub fn attributed(list: &[Value]) -> String {
    let mut out = String::new();
    for (place, item) in list.iter().enumerate() {
        let (who, value) = if is_share(item) {
            let name = item["agent"].as_str().or(item["key"].as_str()).unwrap_or("?");
            let value = if item["ok"] == true { &item["value"] } else { &item["error"] };
            let suffix = if item["ok"] == true { "" } else { " (failed)" };
            (format!("According to `{name}`{suffix}"), value)
        } else {
            (format!("{}.", place + 1), item)
        };
        out.push_str(&who);
        out.push_str(":\n");
        out.push_str(&material::quoted(&text_of(value), SHARE_MAX));
        out.push('\n');
    }
    out
}

/// A value as text: text as it is, everything else as JSON.
pub fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => format!("{other:#}"),
    }
}

fn part<'v>(value: &'v Value, field: Option<&str>) -> &'v Value {
    field.map_or(value, |field| value.get(field).unwrap_or(&Value::Null))
}

/// The most frequent value, the first of those that are equally frequent. Who failed said nothing but was asked: gives
/// `{answer, count, answered, asked, share, tied}`, and `share` is the part of all who were asked.
fn most(list: &[Value], field: Option<&str>) -> Value {
    let values = values(list);
    let said: Vec<&Value> = values.as_array().into_iter().flatten().map(|value| part(value, field)).collect();
    let mut standing: Vec<(String, &Value, usize)> = Vec::new();
    for answer in &said {
        let form = canonical_value(answer);
        match standing.iter_mut().find(|(known, ..)| *known == form) {
            Some((_, _, count)) => *count += 1,
            None => standing.push((form, answer, 1)),
        }
    }
    standing.sort_by_key(|(_, _, count)| std::cmp::Reverse(*count));
    let (answer, count) = standing.first().map_or((&Value::Null, 0), |(_, answer, count)| (*answer, *count));
    let share = if list.is_empty() { 0.0 } else { count as f64 / list.len() as f64 };
    let tied = standing.get(1).is_some_and(|(_, _, next)| *next == count);
    serde_json::json!({
        "answer": answer, "count": count, "answered": said.len(), "asked": list.len(), "share": share, "tied": tied,
    })
}

/// What reviewers say together: `accept` by the rule (`all`, `majority`, `any`), else `reject` where more than half of
/// them reject, else `revise`. No verdict at all is no acceptance.
fn verdict(list: &[Value], accept: &str) -> Value {
    let values = values(list);
    let said: Vec<&str> =
        values.as_array().into_iter().flatten().filter_map(|value| value["verdict"].as_str()).collect();
    let count = |word: &str| said.iter().filter(|one| **one == word).count();
    let (accepts, rejects) = (count("accept"), count("reject"));
    let accepted = match accept {
        "any" => accepts > 0,
        "majority" => 2 * accepts > said.len(),
        _ => accepts > 0 && accepts == said.len(),
    };
    if accepted {
        "accept".into()
    } else if 2 * rejects > said.len() {
        "reject".into()
    } else {
        "revise".into()
    }
}

/// What one holder puts behind an answer: the confidence, and half of it again for each piece of evidence, up to four. The same
/// piece twice is one, and an empty one none. `docs/concept/flows.md` says why.
fn backing(value: &Value) -> f64 {
    let confidence = value.get("confidence").and_then(Value::as_f64).map_or(UNSAID, |part| part.clamp(0.0, 1.0));
    let pieces = value.get("evidence").and_then(Value::as_array).into_iter().flatten().map(canonical_value);
    let pieces: BTreeSet<String> = pieces.filter(|piece| !piece.is_empty()).collect();
    confidence * (1.0 + PIECE_ADDS * pieces.len().min(PIECES_MAX) as f64)
}

/// The answer with the most behind it: an answer's weight is the sum of what its holders put behind it ([`backing`]). Gives
/// `{answer, weight, share, tied, agents}`.
fn weighed(list: &[Value], field: Option<&str>) -> Value {
    let mut standing: Vec<(String, Value, f64, Vec<Value>)> = Vec::new();
    for item in list {
        let (agent, value) = if is_share(item) { (item["agent"].clone(), &item["value"]) } else { (Value::Null, item) };
        if is_share(item) && item["ok"] != true {
            continue;
        }
        let weight = backing(value);
        let answer = part(value, field);
        let key = canonical_value(answer);
        match standing.iter_mut().find(|(known, ..)| *known == key) {
            Some((_, _, sum, agents)) => {
                *sum += weight;
                agents.push(agent);
            }
            None => standing.push((key, answer.clone(), weight, vec![agent])),
        }
    }
    let total: f64 = standing.iter().map(|(_, _, weight, _)| weight).sum();
    standing.sort_by(|a, b| b.2.total_cmp(&a.2));
    let tied = standing.len() > 1 && (standing[0].2 - standing[1].2).abs() < 1e-9;
    match standing.into_iter().next() {
        Some((_, answer, weight, agents)) => {
            let share = if total > 0.0 { weight / total } else { 0.0 };
            serde_json::json!({"answer": answer, "weight": weight, "share": share, "tied": tied, "agents": agents})
        }
        None => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn variables(value: Value) -> Map<String, Value> {
        value.as_object().expect("an object").clone()
    }

    #[test]
    fn names_are_strict_and_found() {
        let known = variables(json!({"task": "T", "results": {"plan": {"items": [1, 2]}}}));
        assert_eq!(render("Do {{ task }}: {{ results.plan.items | length }}", &known).unwrap(), "Do T: 2");
        assert!(render("{{ tusk }}", &known).unwrap_err().contains("undefined"));
        assert!(evaluate("results.plam", &known).unwrap_err().contains("names nothing"));
        assert!(render("{% for a in range(9999999) %}x{% endfor %}", &known).is_err());
        let names = names_of_template("{{ results.plan.items[0] }}{% if round > 1 %}{{ item }}{% endif %}").unwrap();
        assert!(names.contains("results.plan.items") && names.contains("round") && names.contains("item"), "{names:?}");
        assert!(names_of_expression("a +").unwrap_err().contains("syntax"));
    }

    #[test]
    fn lists_can_be_joined_and_filtered() {
        let known = variables(json!({
            "who": ["a", "b"], "none": null,
            "said": [
                {"key": "a", "agent": "a", "ok": true, "value": {"answer": "Yes.", "verdict": "accept", "confidence": 0.9}, "error": null},
                {"key": "b", "agent": "b", "ok": true, "value": {"answer": "yes", "verdict": "revise", "confidence": 0.2}, "error": null},
                {"key": "c", "agent": "c", "ok": false, "value": null, "error": "# broken"},
            ]
        }));
        let is =
            |expression: &str, expected: Value| assert_eq!(evaluate(expression, &known), Ok(expected), "{expression}");
        is("(none or []) + who", json!(["a", "b"]));
        is("who | without('a')", json!(["b"]));
        is("said | values | length", json!(2));
        is("said | voices | map(attribute='agent') | list", json!(["a", "b", "c"]));
        is("said | voices | map(attribute='ok') | list", json!([true, true, false]));
        is("(said | voices) == (said | voices | voices)", json!(true));
        is("(['x', 'x', 'y'] | voices | map(attribute='said') | unique | length)", json!(2));
        is("said | agreement('answer') | round(2)", json!(0.67));
        is("said[:2] | agreement('answer')", json!(1.0));
        let most = json!({"answer": "Yes.", "asked": 3, "answered": 2, "count": 2, "share": 2.0 / 3.0, "tied": false});
        is("said | most('answer')", most);
        is("(['Roll back', '**Roll-back.**', 'ROLL BACK!', 'wait'] | most).count", json!(3));
        is("(['1,000.0', '2', 1000, '$1000'] | most).count", json!(3));
        is("(['a', 'b'] | most).tied", json!(true));
        is("([] | most).share", json!(0.0));
        is("said | verdict('any')", json!("accept"));
        is("said | verdict('all')", json!("revise"));
        is("(said | weighed('answer')).agents", json!(["a", "b"]));
        is("{'a': who[0], 'n': none}", json!({"a": "a", "n": null}));
        let text = render("{{ said | attributed }}", &known).unwrap();
        assert!(text.contains("According to `c` (failed):\n> # broken"), "{text}");
    }

    /// What somebody says, and what it weighs. `docs/concept/flows.md` shows these rows.
    #[test]
    fn evidence_weighs_by_its_table() {
        let page = std::fs::read_to_string(
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/concept/flows.md"),
        )
        .expect("the page");
        let rows: [(Value, &[&str], &str); 9] = [
            (json!(1), &[], "1"),
            (json!(0.8), &["a"], "1.2"),
            (json!(0.6), &["a", "b"], "1.2"),
            (json!(0.9), &["a", "b", "c", "d"], "2.7"),
            (json!(0.9), &["a", "b", "c", "d", "e", "f"], "2.7"),
            (json!(0.8), &["a", "A.", " "], "1.2"),
            (json!(0), &["a", "b"], "0"),
            (Value::Null, &[], "0.5"),
            (json!(7), &[], "1"),
        ];
        for (confidence, evidence, weight) in rows {
            let said = json!({"answer": "x", "confidence": confidence, "evidence": evidence});
            assert_eq!(format!("{}", (backing(&said) * 1e9).round() / 1e9), weight, "{said}");
            let told = if confidence.is_null() { "–".to_owned() } else { confidence.to_string() };
            let pieces = evidence.iter().map(|piece| format!("`{piece}`")).collect::<Vec<_>>().join(", ");
            let pieces = if pieces.is_empty() { "–" } else { &pieces };
            let row = format!("| {told} | {pieces} | {weight} |\n");
            assert!(page.contains(&row), "docs/concept/flows.md has no line {row}");
        }
        assert_eq!(backing(&json!("plain text")), UNSAID);
    }

    #[test]
    fn the_answer_with_the_most_behind_it_is_found() {
        let said = |answer: &str, confidence: f64, pieces: usize| json!({"answer": answer, "confidence": confidence, "evidence": (0..pieces).collect::<Vec<_>>()});
        let told = |list: &[Value]| {
            let found = weighed(list, Some("answer"));
            let share = found["share"].as_f64().map(|share| (share * 1000.0).round() / 1000.0);
            (found["answer"].as_str().map(str::to_owned), share, found["tied"].as_bool())
        };
        let is = |list: &[Value], answer: &str, share: f64, tied: bool| {
            assert_eq!(told(list), (Some(answer.to_owned()), Some(share), Some(tied)), "{list:?}");
        };
        is(&[said("x", 0.9, 0), said("y", 0.5, 2)], "y", 0.526, false);
        is(&[said("x", 0.9, 0), said("X.", 0.9, 0), said("y", 0.5, 2)], "x", 0.643, false);
        is(&[said("x", 1.0, 0), said("y", 0.5, 2)], "x", 0.5, true);
        is(&[said("x", 0.0, 4)], "x", 0.0, false);
        let failed = json!({"key": "c", "agent": "c", "ok": false, "value": null, "error": "late"});
        is(&[failed.clone(), said("x", 0.5, 0)], "x", 1.0, false);
        assert_eq!(weighed(&[failed], Some("answer")), Value::Null);
    }

    #[test]
    fn a_template_of_one_value_is_an_expression() {
        assert_eq!(as_expression("{{ coordinator }}"), "(coordinator)");
        assert_eq!(as_expression("dev"), "\"dev\"");
    }
}
