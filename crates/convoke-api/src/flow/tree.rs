//! Small questions to minijinja's syntax tree.

use std::collections::BTreeMap;

use minijinja::machinery::{Span, ast};

use super::form::Form;

/// The names that a target binds.
pub(super) fn bind(target: &ast::Expr<'_>, form: &Form, own: &mut BTreeMap<String, Form>) {
    match target {
        ast::Expr::Var(var) => drop(own.insert(var.id.to_owned(), form.clone())),
        ast::Expr::List(list) => list.items.iter().for_each(|item| bind(item, &Form::Any, own)),
        ast::Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| bind(item, &Form::Any, own)),
        _ => {}
    }
}

/// The form of a constant.
pub(super) fn constant(value: &minijinja::Value) -> Form {
    use minijinja::value::ValueKind;
    match value.kind() {
        ValueKind::Bool => Form::Flag,
        ValueKind::Number => Form::Number,
        ValueKind::String => Form::Text,
        ValueKind::Seq => Form::list(Form::Any),
        _ => Form::Any,
    }
}

/// The text that an expression is, if it is a constant.
pub(super) fn text_of(tree: &ast::Expr<'_>) -> Option<String> {
    match tree {
        ast::Expr::Const(inner) => inner.value.as_str().map(str::to_owned),
        _ => None,
    }
}

/// The place of an expression with all that it begins with; a tree's own span begins at its last part.
pub(super) fn whole(tree: &ast::Expr<'_>) -> Span {
    let first = match tree {
        ast::Expr::GetAttr(inner) => Some(&inner.expr),
        ast::Expr::GetItem(inner) => Some(&inner.expr),
        ast::Expr::Filter(inner) => inner.expr.as_ref(),
        ast::Expr::Test(inner) => Some(&inner.expr),
        ast::Expr::Call(inner) => Some(&inner.expr),
        ast::Expr::Slice(inner) => Some(&inner.expr),
        ast::Expr::Compare(inner) => Some(&inner.expr),
        ast::Expr::BinOp(inner) => Some(&inner.left),
        _ => None,
    };
    let start = first.map_or(tree.span(), whole);
    Span { start_line: start.start_line, start_col: start.start_col, start_offset: start.start_offset, ..tree.span() }
}
