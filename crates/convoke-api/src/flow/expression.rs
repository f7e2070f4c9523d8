//! Templates and expressions: which names they use, whether those exist there, and what form the value has.
//!
//! Rule: minijinja's own syntax tree is read, so that what is checked is what is run, and each finding knows its place in the text.
//! Only this file, `filter` and `tree` know that tree: minijinja does not promise to keep it. Start at [`read`].

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use convoke_domain::flow::template::bound;
use minijinja::machinery::{Span, ast, parse, parse_expr};
use minijinja::syntax::SyntaxConfig;

use super::filter;
use super::form::Form;
use super::scope::{self, Scope};
use super::tree::{bind, constant, text_of, whole};
use crate::near::{nearest, suggest};
use crate::problem::{Finding, finding};

/// Names that flows have everywhere.
pub(crate) const EVERYWHERE: [&str; 7] =
    ["task", "coordinator", "members", "by_role", "by_capability", "results", "context"];
/// Names that parameters and items may not have, besides those.
pub(crate) const RESERVED: [&str; 11] =
    ["previous", "round", "index", "loop", "range", "dict", "namespace", "debug", "true", "false", "none"];
/// Functions that expressions have.
const FUNCTIONS: [&str; 3] = ["range", "dict", "namespace"];
/// The longest part of a text that is quoted in a message.
const MAX_LABEL: usize = 60;
const ROLES: [&str; 4] = ["coordinator", "specialist", "worker", "reviewer"];

/// What is known where a text stands, besides the scope.
pub(crate) struct Names<'s, 'n> {
    pub(crate) scope: &'s Scope<'s, 'n>,
    /// The forms of the parameters.
    pub(crate) parameters: &'s BTreeMap<String, Form>,
    /// All steps of the flow.
    pub(crate) steps: &'s BTreeSet<&'n str>,
    /// What members can do, where the team is known.
    pub(crate) capabilities: Option<&'s BTreeSet<String>>,
}

/// What a text turned out to be.
pub(crate) struct Reading {
    pub(crate) form: Form,
    /// The names from outside that it uses.
    pub(crate) roots: BTreeSet<String>,
    /// What is wrong, and where in the text.
    pub(crate) found: Vec<(Range<usize>, Finding)>,
    /// It is text that holds no name and no code.
    pub(crate) is_plain: bool,
}

/// Reads an expression.
pub(crate) fn expression(text: &str, names: &Names<'_, '_>) -> Reading {
    if let Err(reason) = bound::expression(text) {
        return too_large(text, &reason);
    }
    let mut reader = Reader::new(text, names);
    match parse_expr(text) {
        Ok(tree) => {
            let form = reader.form(&tree);
            reader.end(form, false)
        }
        Err(error) => broken(text, &error, "expression"),
    }
}

/// Reads a template; the form is that of the value where it is nothing but one.
pub(crate) fn template(text: &str, names: &Names<'_, '_>) -> Reading {
    let mut reader = Reader::new(text, names);
    if !["{{", "{%", "{#"].iter().any(|open| text.contains(open)) {
        return reader.end(Form::Text, true);
    }
    if let Err(reason) = bound::template(text) {
        return too_large(text, &reason);
    }
    match parse(text, "", SyntaxConfig::default()) {
        Ok(ast::Stmt::Template(tree)) => {
            let only = match tree.children.as_slice() {
                [ast::Stmt::EmitExpr(only)] => Some(reader.form(&only.expr)),
                all => {
                    reader.all(all);
                    None
                }
            };
            reader.end(only.unwrap_or(Form::Text), false)
        }
        Ok(_) => reader.end(Form::Text, false),
        Err(error) => broken(text, &error, "template"),
    }
}

fn too_large(text: &str, reason: &str) -> Reading {
    let (message, hint) = reason.split_once(": ").unwrap_or((reason, "split it over several steps"));
    let found = finding("bad_expression", message.to_owned(), hint);
    let first = 0..text.find('\n').unwrap_or(text.len());
    Reading { form: Form::Any, roots: BTreeSet::new(), found: vec![(first, found)], is_plain: false }
}

fn broken(text: &str, error: &minijinja::Error, what: &str) -> Reading {
    let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    // Only the line of a syntax error is known.
    let line = error.line().unwrap_or(1).saturating_sub(1);
    let start = text.split_inclusive('\n').take(line).map(str::len).sum();
    let end = text[start..].find('\n').map_or(text.len(), |at| start + at);
    let hint = match what {
        "template" => {
            "write `{{ name }}` for a value and `{% if … %}` with `{% endif %}` for a choice; see docs/concept/flows.md"
        }
        _ if text.contains("{{") => "an expression has no braces: write `members`, not `{{ members }}`",
        _ => "write an expression such as `results.judge.score > 3`; put texts in quotes",
    };
    let found = finding("bad_expression", format!("this is no {what} that can be read: {detail}"), hint);
    Reading { form: Form::Any, roots: BTreeSet::new(), found: vec![(start..end, found)], is_plain: false }
}

/// Walks a syntax tree.
pub(super) struct Reader<'s, 'n> {
    text: &'s str,
    names: &'s Names<'s, 'n>,
    /// Names that the template itself sets.
    own: Vec<BTreeMap<String, Form>>,
    roots: BTreeSet<String>,
    found: Vec<(Range<usize>, Finding)>,
}

impl<'s, 'n> Reader<'s, 'n> {
    fn new(text: &'s str, names: &'s Names<'s, 'n>) -> Self {
        Self { text, names, own: vec![BTreeMap::new()], roots: BTreeSet::new(), found: Vec::new() }
    }

    fn end(self, form: Form, is_plain: bool) -> Reading {
        Reading { form, roots: self.roots, found: self.found, is_plain }
    }

    pub(super) fn report(&mut self, span: Span, found: Finding) {
        self.found.push((span.start_offset as usize..span.end_offset as usize, found));
    }

    /// What an expression is called in messages: what stands there, if it is short.
    pub(super) fn label(&self, tree: &ast::Expr<'_>) -> String {
        let span = whole(tree);
        let text = self.text.get(span.start_offset as usize..span.end_offset as usize).unwrap_or_default().trim();
        let is_short = !text.is_empty() && text.len() <= MAX_LABEL && !text.contains('\n');
        if is_short { format!("`{text}`") } else { "this".to_owned() }
    }

    // Statements.

    fn all(&mut self, statements: &[ast::Stmt<'_>]) {
        statements.iter().for_each(|statement| self.statement(statement));
    }

    fn inner(&mut self, statements: &[ast::Stmt<'_>], own: BTreeMap<String, Form>) {
        self.own.push(own);
        self.all(statements);
        self.own.pop();
    }

    fn statement(&mut self, statement: &ast::Stmt<'_>) {
        match statement {
            ast::Stmt::Template(inner) => self.all(&inner.children),
            ast::Stmt::EmitExpr(inner) => drop(self.form(&inner.expr)),
            ast::Stmt::ForLoop(inner) => {
                let items = self.form(&inner.iter).items();
                let mut own = BTreeMap::from([("loop".to_owned(), Form::Any)]);
                bind(&inner.target, &items, &mut own);
                self.own.push(own);
                if let Some(filter) = &inner.filter_expr {
                    self.form(filter);
                }
                self.all(&inner.body);
                self.own.pop();
                self.inner(&inner.else_body, BTreeMap::new());
            }
            ast::Stmt::IfCond(inner) => {
                self.form(&inner.expr);
                self.inner(&inner.true_body, BTreeMap::new());
                self.inner(&inner.false_body, BTreeMap::new());
            }
            ast::Stmt::WithBlock(inner) => {
                let mut own = BTreeMap::new();
                for (target, value) in &inner.assignments {
                    let form = self.form(value);
                    bind(target, &form, &mut own);
                }
                self.inner(&inner.body, own);
            }
            ast::Stmt::Set(inner) => {
                let form = self.form(&inner.expr);
                self.set(&inner.target, &form);
            }
            ast::Stmt::SetBlock(inner) => {
                self.inner(&inner.body, BTreeMap::new());
                self.set(&inner.target, &Form::Text);
            }
            ast::Stmt::AutoEscape(inner) => self.inner(&inner.body, BTreeMap::new()),
            ast::Stmt::FilterBlock(inner) => {
                self.form(&inner.filter);
                self.inner(&inner.body, BTreeMap::new());
            }
            ast::Stmt::Do(inner) => inner.call.args.iter().for_each(|arg| drop(self.argument(arg))),
            _ => {}
        }
    }

    fn set(&mut self, target: &ast::Expr<'_>, form: &Form) {
        if let Some(own) = self.own.last_mut() {
            bind(target, form, own);
        }
    }

    // Expressions.

    /// The form of an expression's value; what is wrong with it is taken down.
    pub(super) fn form(&mut self, tree: &ast::Expr<'_>) -> Form {
        match tree {
            ast::Expr::Var(inner) => self.name(inner.id, inner.span()),
            ast::Expr::Const(inner) => constant(&inner.value),
            ast::Expr::GetAttr(inner) => self.part(&inner.expr, inner.name, whole(tree)),
            ast::Expr::GetItem(inner) => self.item(inner, whole(tree)),
            ast::Expr::Filter(inner) => self.filter(inner),
            ast::Expr::Call(inner) => self.call(inner),
            ast::Expr::IfExpr(inner) => {
                self.form(&inner.test_expr);
                let yes = self.form(&inner.true_expr);
                match &inner.false_expr {
                    Some(other) => yes.both(self.form(other)),
                    None => yes.or_none(),
                }
            }
            ast::Expr::UnaryOp(inner) => {
                let form = self.form(&inner.expr);
                if matches!(inner.op, ast::UnaryOpKind::Not) { Form::Flag } else { form }
            }
            ast::Expr::BinOp(inner) => self.operation(inner, whole(tree)),
            ast::Expr::Compare(inner) => {
                let mut left = self.form(&inner.expr);
                for operand in &inner.ops {
                    let right = self.form(&operand.expr);
                    let is_order = matches!(
                        operand.op,
                        ast::CompareOpKind::Lt
                            | ast::CompareOpKind::Lte
                            | ast::CompareOpKind::Gt
                            | ast::CompareOpKind::Gte
                    );
                    self.compare(is_order, (&left, &right), whole(tree));
                    left = right;
                }
                Form::Flag
            }
            ast::Expr::Test(inner) => {
                self.form(&inner.expr);
                inner.args.iter().for_each(|arg| drop(self.argument(arg)));
                if !filter::is_test(inner.name) {
                    let message = format!("there is no test `{}`", inner.name);
                    self.report(
                        inner.span(),
                        finding("unknown_filter", message, suggest(inner.name, filter::TESTS, "")),
                    );
                }
                Form::Flag
            }
            ast::Expr::Slice(inner) => {
                let ends = [&inner.start, &inner.stop, &inner.step];
                ends.into_iter().flatten().for_each(|end| drop(self.form(end)));
                self.form(&inner.expr)
            }
            ast::Expr::List(inner) => self.list(&inner.items),
            ast::Expr::Tuple(inner) => self.list(&inner.items),
            ast::Expr::Map(inner) => self.map(inner),
        }
    }

    pub(super) fn argument(&mut self, argument: &ast::CallArg<'_>) -> Form {
        match argument {
            ast::CallArg::Pos(value)
            | ast::CallArg::Kwarg(_, value)
            | ast::CallArg::PosSplat(value)
            | ast::CallArg::KwargSplat(value) => self.form(value),
        }
    }

    fn list(&mut self, items: &[ast::Expr<'_>]) -> Form {
        let forms: Vec<Form> = items.iter().map(|item| self.form(item)).collect();
        Form::list(forms.into_iter().reduce(Form::both).unwrap_or(Form::Any))
    }

    fn map(&mut self, map: &ast::Map<'_>) -> Form {
        let mut parts = BTreeMap::new();
        let mut is_open = false;
        for (key, value) in map.keys.iter().zip(&map.values) {
            let form = self.form(value);
            match text_of(key) {
                Some(name) => drop(parts.insert(name, form)),
                None => {
                    self.form(key);
                    is_open = true;
                }
            }
        }
        Form::Object { parts, is_open }
    }

    fn operation(&mut self, inner: &ast::BinOp<'_>, span: Span) -> Form {
        use ast::BinOpKind as Op;
        let (left, right) = (self.form(&inner.left), self.form(&inner.right));
        match inner.op {
            Op::Eq | Op::Ne | Op::In => Form::Flag,
            Op::Lt | Op::Lte | Op::Gt | Op::Gte => {
                self.compare(true, (&left, &right), span);
                Form::Flag
            }
            Op::ScAnd => left.both(right),
            Op::ScOr => left.sure().clone().both(right),
            Op::Concat => Form::Text,
            Op::Add => left.both(right),
            Op::Sub | Op::Mul | Op::Div | Op::FloorDiv | Op::Rem | Op::Pow => Form::Number,
        }
    }

    /// What is larger, a text or a number, nobody can say.
    fn compare(&mut self, is_order: bool, (left, right): (&Form, &Form), span: Span) {
        let is = |form: &Form, wanted: &Form| form.sure() == wanted;
        let mixed =
            (is(left, &Form::Text) && is(right, &Form::Number)) || (is(left, &Form::Number) && is(right, &Form::Text));
        if is_order && mixed {
            let hint = "give the step an `output` schema in which this is a number, or convert it with `| float`";
            self.report(span, finding("wrong_form", "a text is compared with a number", hint));
        }
    }

    fn own(&self, name: &str) -> Option<&Form> {
        self.own.iter().rev().find_map(|names| names.get(name))
    }

    fn name(&mut self, name: &str, span: Span) -> Form {
        if let Some(form) = self.own(name) {
            return form.clone();
        }
        self.roots.insert(name.to_owned());
        let scope = self.names.scope;
        if let Some(local) = scope.local(name) {
            return local.form.clone();
        }
        let names = || Form::list(Form::Text);
        match name {
            "task" | "coordinator" => Form::Text,
            "members" => names(),
            "by_role" => Form::object(ROLES.map(|role| (role, names()))),
            "by_capability" | "context" => Form::Any,
            "index" if !scope.locals().is_empty() => Form::Number,
            "round" if scope.is_in_loop() => Form::Number,
            "results" => {
                let hint = "name the step: `results.STEP`; only what is named is there";
                self.report(span, finding("dynamic_result", "`results` cannot be used as a whole", hint));
                Form::Any
            }
            "previous" if scope.is_in_loop() => {
                let hint = "name the step: `previous.STEP`; only what is named is there";
                self.report(span, finding("dynamic_result", "`previous` cannot be used as a whole", hint));
                Form::Any
            }
            _ => match self.names.parameters.get(name) {
                Some(form) => form.clone(),
                None => self.unknown(name, span),
            },
        }
    }

    fn unknown(&mut self, name: &str, span: Span) -> Form {
        let scope = self.names.scope;
        let (message, hint) = match name {
            "round" | "previous" => {
                (format!("`{name}` is there only within a loop"), "move the step into a `loop`".to_owned())
            }
            "item" | "index" => (
                format!("`{name}` is there only within a split"),
                match scope.locals().first() {
                    Some(local) => format!("the item is called `{local}` here"),
                    None => "move the step into the `do` of a `split`".to_owned(),
                },
            ),
            _ if self.names.steps.contains(name) => {
                (format!("there is no name `{name}`, but a step of that name"), format!("write `results.{name}`"))
            }
            _ => {
                let mut known: Vec<&str> = EVERYWHERE.to_vec();
                known.extend(self.names.parameters.keys().map(String::as_str));
                known.extend(scope.locals());
                if scope.is_in_loop() {
                    known.extend(["round", "previous"]);
                }
                (format!("there is no name `{name}`"), suggest(name, known, ""))
            }
        };
        self.report(span, finding("unknown_name", message, hint));
        Form::Any
    }

    /// `inner.name`
    fn part(&mut self, inner: &ast::Expr<'_>, name: &str, span: Span) -> Form {
        if let ast::Expr::Var(var) = inner
            && self.own(var.id).is_none()
        {
            match var.id {
                "results" => return self.result(name, span),
                "previous" if self.names.scope.is_in_loop() => return self.previous(name, span),
                "by_role" => return self.role(name, span),
                "by_capability" => return self.capability(name, span),
                _ => {}
            }
        }
        let form = self.form(inner);
        self.part_of(&form, name, (&self.label(inner), span))
    }

    /// The part of a value, reported where it is not there.
    pub(super) fn part_of(&mut self, form: &Form, name: &str, (label, span): (&str, Span)) -> Form {
        match form.sure() {
            Form::Any => Form::Any,
            Form::Object { parts, is_open } => match parts.get(name) {
                Some(part) => part.clone(),
                None if *is_open => Form::Any,
                None => {
                    let message = format!("{label} has no part `{name}`");
                    let known: Vec<&str> = parts.keys().map(String::as_str).collect();
                    let hint =
                        suggest(name, known, "declare its parts in the step's `output` schema, under `properties`");
                    self.report(span, finding("unknown_part", message, hint));
                    Form::Any
                }
            },
            Form::List(of) => {
                let is_share = matches!(&**of, Form::Object { parts, .. } if parts.contains_key("ok"));
                let hint = if is_share {
                    format!(
                        "it has an entry per item: `… | values | map(attribute='{name}')`, or one of them: `… | values | first`"
                    )
                } else {
                    format!("take one of its items, such as `… | first`, or of all: `… | map(attribute='{name}')`")
                };
                self.report(span, finding("unknown_part", format!("{label} is a list and has no part `{name}`"), hint));
                Form::Any
            }
            other => {
                let message = format!("{label} is {} and has no part `{name}`", other.words());
                let hint = match other {
                    Form::Text => format!("give the step an `output` schema with `{name}` among its `properties`"),
                    _ => "use it as it is".to_owned(),
                };
                self.report(span, finding("unknown_part", message, hint));
                Form::Any
            }
        }
    }

    fn result(&mut self, id: &str, span: Span) -> Form {
        self.roots.insert("results".to_owned());
        let scope = self.names.scope;
        let (code, message, hint) = match scope.result(id) {
            scope::Result::Is(form) => return form,
            scope::Result::Itself => (
                "unreachable_result",
                format!("the step uses its own result, `results.{id}`"),
                if scope.is_in_loop() {
                    format!("in a loop, `previous.{id}` is that of the round before")
                } else {
                    "use an earlier step".to_owned()
                },
            ),
            scope::Result::NotBefore => (
                "unreachable_result",
                format!("`results.{id}` may not be there yet: the step `{id}` need not have ended by then"),
                format!("move the step behind `{id}`, or add `after: [{id}]`"),
            ),
            scope::Result::Unknown if self.names.steps.contains(id) => (
                "unreachable_result",
                format!("`results.{id}` cannot be seen here: the step `{id}` stands in another list"),
                "only steps of the same list and of those around it are seen; use the result of the step that holds it"
                    .to_owned(),
            ),
            scope::Result::Unknown => {
                let known = if nearest(id, scope.results()).is_some() {
                    scope.results()
                } else {
                    self.names.steps.iter().copied().collect()
                };
                (
                    "unknown_step",
                    format!("`results.{id}` names no step"),
                    suggest(id, known, "there is no step before this one"),
                )
            }
        };
        self.report(span, finding(code, message, hint));
        Form::Any
    }

    fn previous(&mut self, id: &str, span: Span) -> Form {
        self.roots.insert("previous".to_owned());
        match self.names.scope.previous(id) {
            Some(scope::Result::Is(form)) => form,
            _ => {
                let message = format!("`previous.{id}` names no step of the loop");
                let hint = suggest(id, self.names.scope.round_steps(), "name a step of the loop's `do`");
                self.report(span, finding("unknown_step", message, hint));
                Form::Any
            }
        }
    }

    fn role(&mut self, role: &str, span: Span) -> Form {
        self.roots.insert("by_role".to_owned());
        if !ROLES.contains(&role) {
            self.report(span, finding("unknown_name", format!("there is no role `{role}`"), suggest(role, ROLES, "")));
        }
        Form::list(Form::Text)
    }

    fn capability(&mut self, name: &str, span: Span) -> Form {
        self.roots.insert("by_capability".to_owned());
        if let Some(known) = self.names.capabilities.filter(|known| !known.contains(name)) {
            let message = format!("no member of the team is capable of `{name}`");
            let hint = suggest(name, known.iter().map(String::as_str), "give a member's profile `capabilities`");
            self.report(span, finding("unknown_capability", message, hint));
        }
        Form::list(Form::Text)
    }

    /// `inner[key]`
    fn item(&mut self, inner: &ast::GetItem<'_>, span: Span) -> Form {
        let key = text_of(&inner.subscript_expr);
        if let ast::Expr::Var(var) = &inner.expr
            && self.own(var.id).is_none()
        {
            match (var.id, &key) {
                ("results" | "previous", key) => {
                    let hint = match key {
                        Some(key) => format!("write `{}.{key}`", var.id),
                        None => format!(
                            "name the step: `{}.STEP`; it must be known before the run which results are used",
                            var.id
                        ),
                    };
                    let message = format!("`{}[…]` does not say which step is meant", var.id);
                    if key.is_none() {
                        self.form(&inner.subscript_expr);
                    }
                    self.report(span, finding("dynamic_result", message, hint));
                    return Form::Any;
                }
                ("by_role", Some(key)) => return self.role(key, span),
                ("by_capability", Some(key)) => return self.capability(key, span),
                _ => {}
            }
        }
        let form = self.form(&inner.expr);
        match key {
            Some(key) => self.part_of(&form, &key, (&self.label(&inner.expr), span)),
            None => {
                self.form(&inner.subscript_expr);
                match form.sure() {
                    Form::List(of) => (**of).clone(),
                    _ => Form::Any,
                }
            }
        }
    }

    fn call(&mut self, inner: &ast::Spanned<ast::Call<'_>>) -> Form {
        inner.args.iter().for_each(|arg| drop(self.argument(arg)));
        match &inner.expr {
            ast::Expr::Var(var) if self.own(var.id).is_some() => Form::Any,
            ast::Expr::Var(var) if var.id == "range" => Form::list(Form::Number),
            ast::Expr::Var(var) if FUNCTIONS.contains(&var.id) => Form::Any,
            ast::Expr::Var(var) => {
                let hint = suggest(var.id, FUNCTIONS, "use a filter: `value | name`");
                self.report(var.span(), finding("unknown_filter", format!("there is no function `{}`", var.id), hint));
                Form::Any
            }
            ast::Expr::GetAttr(method) if matches!(&method.expr, ast::Expr::Var(var) if var.id == "loop") => Form::Any,
            ast::Expr::GetAttr(method) => {
                self.form(&method.expr);
                let message = format!("values have no methods such as `{}(…)`", method.name);
                self.report(method.span(), finding("unknown_filter", message, "use a filter: `value | name`"));
                Form::Any
            }
            other => {
                self.form(other);
                Form::Any
            }
        }
    }
}
