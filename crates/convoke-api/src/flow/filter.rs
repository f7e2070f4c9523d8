//! Filters: which there are, and what form their results have.

use convoke_domain::flow::template;
use minijinja::machinery::ast;
use serde_json::Map;

use super::expression::Reader;
use super::form::Form;
use super::tree::text_of;
use crate::near::suggest;
use crate::problem::finding;

/// Filters that are suggested; whether one exists, minijinja itself says.
const FILTERS: [&str; 46] = [
    "abs",
    "agreement",
    "attributed",
    "batch",
    "bool",
    "capitalize",
    "count",
    "default",
    "dictsort",
    "first",
    "float",
    "format",
    "groupby",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "lines",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "most",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "select",
    "selectattr",
    "slice",
    "sort",
    "split",
    "string",
    "sum",
    "title",
    "tojson",
    "trim",
    "unique",
    "upper",
    "values",
    "voices",
    "without",
];
/// Tests that are suggested.
pub(super) const TESTS: [&str; 19] = [
    "defined",
    "undefined",
    "none",
    "boolean",
    "odd",
    "even",
    "divisibleby",
    "number",
    "integer",
    "float",
    "string",
    "sequence",
    "iterable",
    "mapping",
    "startingwith",
    "endingwith",
    "eq",
    "in",
    "true",
];

fn is_filter(name: &str) -> bool {
    is_known(name, &format!("1|{name}"), "unknown filter")
}

pub(super) fn is_test(name: &str) -> bool {
    is_known(name, &format!("1 is {name}"), "unknown test")
}

/// Asks the same minijinja that runs them.
fn is_known(name: &str, probe: &str, complaint: &str) -> bool {
    let is_word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    !is_word || !template::evaluate(probe, &Map::new()).is_err_and(|reason| reason.contains(complaint))
}

impl Reader<'_, '_> {
    /// `value | name(args)`
    pub(super) fn filter(&mut self, inner: &ast::Spanned<ast::Filter<'_>>) -> Form {
        let input = inner.expr.as_ref().map_or(Form::Text, |value| self.form(value));
        let args: Vec<Form> = inner.args.iter().map(|arg| self.argument(arg)).collect();
        let first = inner.args.iter().find_map(|arg| match arg {
            ast::CallArg::Pos(value) => text_of(value),
            _ => None,
        });
        let named = |name: &str| {
            inner.args.iter().find_map(|arg| match arg {
                ast::CallArg::Kwarg(key, value) if *key == name => text_of(value),
                _ => None,
            })
        };
        if !is_filter(inner.name) {
            let message = format!("there is no filter `{}`", inner.name);
            self.report(inner.span(), finding("unknown_filter", message, suggest(inner.name, FILTERS, "")));
            return Form::Any;
        }
        let said = inner.expr.as_ref().map_or_else(|| "this".to_owned(), |value| self.label(value));
        match inner.name {
            "values" | "attributed" | "agreement" | "without" | "verdict" | "voices" | "weighed" | "most" => {
                self.of_list(&input, inner);
                self.own_filter(inner, &input, (first, &said))
            }
            "length" | "count" | "int" | "float" | "sum" | "abs" | "round" => Form::Number,
            "first" | "last" | "min" | "max" => {
                if *input.sure() == Form::Text {
                    Form::Text
                } else {
                    input.items()
                }
            }
            "list" | "sort" | "unique" | "reverse" | "select" | "reject" => match input.sure() {
                Form::List(_) => input.sure().clone(),
                _ => Form::list(Form::Any),
            },
            "selectattr" | "rejectattr" => {
                if let Some(part) = first.filter(|part| !part.contains('.')) {
                    self.part_of(&input.items(), &part, (&format!("an item of {said}"), inner.span()));
                }
                Form::list(input.items())
            }
            "map" => match named("attribute").filter(|part| !part.contains('.')) {
                Some(part) => {
                    Form::list(self.part_of(&input.items(), &part, (&format!("an item of {said}"), inner.span())))
                }
                None => Form::list(Form::Any),
            },
            "items" | "dictsort" | "batch" | "slice" | "groupby" | "split" | "lines" => Form::list(Form::Any),
            "default" | "d" => args.into_iter().next().map_or(Form::Any, |other| input.sure().clone().both(other)),
            "bool" => Form::Flag,
            "join" | "tojson" | "string" | "upper" | "lower" | "title" | "trim" | "capitalize" | "replace"
            | "indent" | "format" | "e" | "escape" | "safe" | "pprint" => Form::Text,
            _ => Form::Any,
        }
    }

    /// The filters that flows have besides those of minijinja.
    fn own_filter(
        &mut self,
        inner: &ast::Spanned<ast::Filter<'_>>,
        input: &Form,
        (first, said): (Option<String>, &str),
    ) -> Form {
        let values = input.values();
        let part = |reader: &mut Self| match &first {
            Some(part) => reader.part_of(&values.items(), part, (&format!("a result of {said}"), inner.span())),
            None => values.items(),
        };
        match inner.name {
            "values" => values,
            "attributed" => Form::Text,
            "agreement" => {
                part(self);
                Form::Number
            }
            "most" => {
                let parts = [
                    ("answer", part(self).or_none()),
                    ("count", Form::Number),
                    ("answered", Form::Number),
                    ("asked", Form::Number),
                    ("share", Form::Number),
                    ("tied", Form::Flag),
                ];
                Form::object(parts)
            }
            "weighed" => {
                let answer = part(self);
                let agents = Form::list(Form::Any);
                let parts = [
                    ("answer", answer),
                    ("weight", Form::Number),
                    ("share", Form::Number),
                    ("tied", Form::Flag),
                    ("agents", agents),
                ];
                Form::object(parts).or_none()
            }
            "verdict" => Form::Text,
            "voices" => Form::list(Form::object([("agent", Form::Text), ("ok", Form::Flag), ("said", Form::Text)])),
            _ => input.sure().clone(),
        }
    }

    fn of_list(&mut self, input: &Form, inner: &ast::Spanned<ast::Filter<'_>>) {
        if matches!(input.sure(), Form::Any | Form::List(_)) {
            return;
        }
        let said = inner.expr.as_ref().map_or_else(|| "this".to_owned(), |value| self.label(value));
        let message = format!("`{}` is for lists, and {said} is {}", inner.name, input.words());
        let hint = "use it on the result of a `split`, or on a list in an `output` schema";
        self.report(inner.span(), finding("wrong_form", message, hint));
    }
}
