//! The tree of a template or expression, made safe to run: what can make much of little goes through filters that are bounded.
//!
//! Rule: minijinja computes `~`, `+` and `*` without any bound, also while it compiles. Here they become filters of
//! [`guard`](super::guard), texts between braces are counted like values, and what is kept in a name is weighed. Start at [`guarded`].

use minijinja::Value as Filled;
use minijinja::machinery::{Span, ast};

use super::guard;

type Parts<'p, 'a> = &'p mut dyn FnMut(&ast::Expr<'a>) -> Result<(), String>;

/// The parts of an expression, one level down.
pub(super) fn parts<'a>(tree: &ast::Expr<'a>, visit: Parts<'_, 'a>) -> Result<(), String> {
    use ast::Expr as E;
    let args = |args: &[ast::CallArg<'a>], visit: Parts<'_, 'a>| args.iter().try_for_each(|one| visit(inside(one)));
    match tree {
        E::Var(_) | E::Const(_) => Ok(()),
        E::Slice(inner) => {
            visit(&inner.expr)?;
            [&inner.start, &inner.stop, &inner.step].into_iter().flatten().try_for_each(visit)
        }
        E::UnaryOp(inner) => visit(&inner.expr),
        E::BinOp(inner) => visit(&inner.left).and_then(|()| visit(&inner.right)),
        E::Compare(inner) => {
            visit(&inner.expr)?;
            inner.ops.iter().try_for_each(|op| visit(&op.expr))
        }
        E::IfExpr(inner) => [Some(&inner.test_expr), Some(&inner.true_expr), inner.false_expr.as_ref()]
            .into_iter()
            .flatten()
            .try_for_each(visit),
        E::Filter(inner) => inner.expr.iter().try_for_each(&mut *visit).and_then(|()| args(&inner.args, visit)),
        E::Test(inner) => visit(&inner.expr).and_then(|()| args(&inner.args, visit)),
        E::GetAttr(inner) => visit(&inner.expr),
        E::GetItem(inner) => visit(&inner.expr).and_then(|()| visit(&inner.subscript_expr)),
        E::Call(inner) => visit(&inner.expr).and_then(|()| args(&inner.args, visit)),
        E::List(inner) => inner.items.iter().try_for_each(visit),
        E::Tuple(inner) => inner.items.iter().try_for_each(visit),
        E::Map(inner) => inner.keys.iter().chain(&inner.values).try_for_each(visit),
    }
}

fn inside<'t, 'a>(arg: &'t ast::CallArg<'a>) -> &'t ast::Expr<'a> {
    match arg {
        ast::CallArg::Pos(value)
        | ast::CallArg::Kwarg(_, value)
        | ast::CallArg::PosSplat(value)
        | ast::CallArg::KwargSplat(value) => value,
    }
}

/// The expressions of a template.
pub(super) fn expressions<'a>(tree: &ast::Stmt<'a>, visit: Parts<'_, 'a>) -> Result<(), String> {
    use ast::Stmt as S;
    let (own, bodies): (Vec<&ast::Expr<'a>>, Vec<&Vec<S<'a>>>) = match tree {
        S::Template(inner) => (Vec::new(), vec![&inner.children]),
        S::EmitExpr(inner) => (vec![&inner.expr], Vec::new()),
        S::ForLoop(inner) => (
            [Some(&inner.iter), inner.filter_expr.as_ref()].into_iter().flatten().collect(),
            vec![&inner.body, &inner.else_body],
        ),
        S::IfCond(inner) => (vec![&inner.expr], vec![&inner.true_body, &inner.false_body]),
        S::WithBlock(inner) => (inner.assignments.iter().map(|(_, value)| value).collect(), vec![&inner.body]),
        S::Set(inner) => (vec![&inner.expr], Vec::new()),
        S::SetBlock(inner) => (inner.filter.iter().collect(), vec![&inner.body]),
        S::AutoEscape(inner) => (vec![&inner.enabled], vec![&inner.body]),
        S::FilterBlock(inner) => (vec![&inner.filter], vec![&inner.body]),
        S::Do(inner) => {
            let all = std::iter::once(&inner.call.expr).chain(inner.call.args.iter().map(inside));
            (all.collect(), Vec::new())
        }
        _ => (Vec::new(), Vec::new()),
    };
    own.into_iter().try_for_each(&mut *visit)?;
    bodies.into_iter().flatten().try_for_each(|one| expressions(one, visit))
}

/// A template, bounded in what it makes.
pub(super) fn guarded<'a>(tree: &ast::Stmt<'a>) -> ast::Stmt<'a> {
    use ast::{Spanned, Stmt as S};
    let span = span_of(tree);
    let all = |list: &[S<'a>]| list.iter().map(guarded).collect::<Vec<_>>();
    match tree {
        S::Template(inner) => S::Template(Spanned::new(ast::Template { children: all(&inner.children) }, span)),
        S::EmitExpr(inner) => S::EmitExpr(Spanned::new(ast::EmitExpr { expr: expression(&inner.expr) }, span)),
        S::EmitRaw(inner) => {
            let text = ast::Const { value: Filled::from(inner.raw) };
            S::EmitExpr(Spanned::new(ast::EmitExpr { expr: ast::Expr::Const(Spanned::new(text, span)) }, span))
        }
        S::ForLoop(inner) => {
            let node = ast::ForLoop {
                target: expression(&inner.target),
                iter: expression(&inner.iter),
                filter_expr: inner.filter_expr.as_ref().map(expression),
                recursive: inner.recursive,
                body: all(&inner.body),
                else_body: all(&inner.else_body),
            };
            S::ForLoop(Spanned::new(node, span))
        }
        S::IfCond(inner) => {
            let (true_body, false_body) = (all(&inner.true_body), all(&inner.false_body));
            S::IfCond(Spanned::new(ast::IfCond { expr: expression(&inner.expr), true_body, false_body }, span))
        }
        S::WithBlock(inner) => {
            let kept = |(name, value): &(ast::Expr<'a>, ast::Expr<'a>)| (expression(name), kept(name, value));
            let assignments = inner.assignments.iter().map(kept).collect();
            S::WithBlock(Spanned::new(ast::WithBlock { assignments, body: all(&inner.body) }, span))
        }
        S::Set(inner) => {
            let node = ast::Set { target: expression(&inner.target), expr: kept(&inner.target, &inner.expr) };
            S::Set(Spanned::new(node, span))
        }
        other => rest(other, span),
    }
}

fn rest<'a>(tree: &ast::Stmt<'a>, span: Span) -> ast::Stmt<'a> {
    use ast::{Spanned, Stmt as S};
    let all = |list: &[S<'a>]| list.iter().map(guarded).collect::<Vec<_>>();
    match tree {
        S::SetBlock(inner) => {
            let (target, filter) = (expression(&inner.target), inner.filter.as_ref().map(expression));
            S::SetBlock(Spanned::new(ast::SetBlock { target, filter, body: all(&inner.body) }, span))
        }
        S::AutoEscape(inner) => S::AutoEscape(Spanned::new(
            ast::AutoEscape { enabled: expression(&inner.enabled), body: all(&inner.body) },
            span,
        )),
        S::FilterBlock(inner) => {
            let node = ast::FilterBlock { filter: expression(&inner.filter), body: all(&inner.body) };
            S::FilterBlock(Spanned::new(node, span))
        }
        S::Do(inner) => {
            let call = Spanned::new(call(&inner.call), inner.call.span());
            S::Do(Spanned::new(ast::Do { call }, span))
        }
        // Macros, includes and blocks are not built in.
        _ => S::Template(Spanned::new(ast::Template { children: Vec::new() }, span)),
    }
}

fn span_of(tree: &ast::Stmt<'_>) -> Span {
    use ast::Stmt as S;
    match tree {
        S::Template(inner) => inner.span(),
        S::EmitExpr(inner) => inner.span(),
        S::EmitRaw(inner) => inner.span(),
        S::ForLoop(inner) => inner.span(),
        S::IfCond(inner) => inner.span(),
        S::WithBlock(inner) => inner.span(),
        S::Set(inner) => inner.span(),
        S::SetBlock(inner) => inner.span(),
        S::AutoEscape(inner) => inner.span(),
        S::FilterBlock(inner) => inner.span(),
        S::Do(inner) => inner.span(),
    }
}

/// What is kept in a name: weighed, so that nothing grows from round to round.
fn kept<'a>(target: &ast::Expr<'a>, value: &ast::Expr<'a>) -> ast::Expr<'a> {
    let name = if matches!(target, ast::Expr::GetAttr(_)) { guard::KEEP_PART } else { guard::KEEP };
    by_filter(name, expression(value), Vec::new(), value.span())
}

fn by_filter<'a>(name: &'static str, value: ast::Expr<'a>, args: Vec<ast::CallArg<'a>>, span: Span) -> ast::Expr<'a> {
    ast::Expr::Filter(ast::Spanned::new(ast::Filter { name, expr: Some(value), args }, span))
}

fn call<'a>(inner: &ast::Call<'a>) -> ast::Call<'a> {
    ast::Call { expr: expression(&inner.expr), args: arguments(&inner.args) }
}

fn arguments<'a>(args: &[ast::CallArg<'a>]) -> Vec<ast::CallArg<'a>> {
    use ast::CallArg as A;
    let one = |arg: &A<'a>| match arg {
        A::Pos(value) => A::Pos(expression(value)),
        A::Kwarg(name, value) => A::Kwarg(name, expression(value)),
        A::PosSplat(value) => A::PosSplat(expression(value)),
        A::KwargSplat(value) => A::KwargSplat(expression(value)),
    };
    args.iter().map(one).collect()
}

/// An expression, bounded in what it makes.
pub(super) fn expression<'a>(tree: &ast::Expr<'a>) -> ast::Expr<'a> {
    use ast::{Expr as E, Spanned};
    let span = tree.span();
    match tree {
        E::Var(inner) => E::Var(Spanned::new(ast::Var { id: inner.id }, span)),
        E::Const(inner) => E::Const(Spanned::new(ast::Const { value: inner.value.clone() }, span)),
        E::BinOp(inner) => {
            let (left, right) = (expression(&inner.left), expression(&inner.right));
            let bounded = match inner.op {
                ast::BinOpKind::Concat => guard::CONCAT,
                ast::BinOpKind::Add => guard::ADD,
                ast::BinOpKind::Mul => guard::MULTIPLY,
                op => return E::BinOp(Spanned::new(ast::BinOp { op, left, right }, span)),
            };
            by_filter(bounded, left, vec![ast::CallArg::Pos(right)], span)
        }
        E::UnaryOp(inner) => {
            #[expect(clippy::needless_match, reason = "it can neither be copied nor cloned")]
            let op = match inner.op {
                ast::UnaryOpKind::Not => ast::UnaryOpKind::Not,
                ast::UnaryOpKind::Neg => ast::UnaryOpKind::Neg,
            };
            E::UnaryOp(Spanned::new(ast::UnaryOp { op, expr: expression(&inner.expr) }, span))
        }
        E::Compare(inner) => {
            let ops = inner.ops.iter().map(|one| ast::CompareOp { op: one.op, expr: expression(&one.expr) }).collect();
            E::Compare(Spanned::new(ast::Compare { expr: expression(&inner.expr), ops }, span))
        }
        E::IfExpr(inner) => {
            let node = ast::IfExpr {
                test_expr: expression(&inner.test_expr),
                true_expr: expression(&inner.true_expr),
                false_expr: inner.false_expr.as_ref().map(expression),
            };
            E::IfExpr(Spanned::new(node, span))
        }
        E::List(inner) => {
            E::List(Spanned::new(ast::List { items: inner.items.iter().map(expression).collect() }, span))
        }
        E::Tuple(inner) => {
            E::Tuple(Spanned::new(ast::Tuple { items: inner.items.iter().map(expression).collect() }, span))
        }
        E::Map(inner) => {
            let (keys, values) =
                (inner.keys.iter().map(expression).collect(), inner.values.iter().map(expression).collect());
            E::Map(Spanned::new(ast::Map { keys, values }, span))
        }
        other => access(other, span),
    }
}

fn access<'a>(tree: &ast::Expr<'a>, span: Span) -> ast::Expr<'a> {
    use ast::{Expr as E, Spanned};
    match tree {
        E::Slice(inner) => {
            let end = |part: &Option<E<'a>>| part.as_ref().map(expression);
            let node = ast::Slice {
                expr: expression(&inner.expr),
                start: end(&inner.start),
                stop: end(&inner.stop),
                step: end(&inner.step),
            };
            by_filter(guard::KEEP, E::Slice(Spanned::new(node, span)), Vec::new(), span)
        }
        E::Filter(inner) => {
            let (expr, args) = (inner.expr.as_ref().map(expression), arguments(&inner.args));
            E::Filter(Spanned::new(ast::Filter { name: inner.name, expr, args }, span))
        }
        E::Test(inner) => {
            let (expr, args) = (expression(&inner.expr), arguments(&inner.args));
            E::Test(Spanned::new(ast::Test { name: inner.name, expr, args }, span))
        }
        E::GetAttr(inner) => {
            E::GetAttr(Spanned::new(ast::GetAttr { expr: expression(&inner.expr), name: inner.name }, span))
        }
        E::GetItem(inner) => {
            let subscript_expr = expression(&inner.subscript_expr);
            E::GetItem(Spanned::new(ast::GetItem { expr: expression(&inner.expr), subscript_expr }, span))
        }
        E::Call(inner) => E::Call(Spanned::new(call(inner), span)),
        // The others are in `expression`.
        _ => E::Const(Spanned::new(ast::Const { value: Filled::UNDEFINED }, span)),
    }
}
