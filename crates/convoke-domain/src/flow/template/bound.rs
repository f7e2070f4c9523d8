//! How large a template or expression may be, before it is parsed: its parser and all that walk its tree call themselves once for each
//! sign, and would run out of stack.
//!
//! Rule: whatever parses a text of somebody else asks here first. Start at [`expression`] and [`template`].

use minijinja::machinery::{Token, ast, parse, parse_expr, tokenize};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;

/// The most bytes of one expression, or of what stands between one pair of braces.
pub const CODE_MAX: usize = 16 << 10;
/// The most operators, filters, parts (`.name`, `[0]`) and opening brackets of one expression.
pub const SIGNS_MAX: usize = 300;
/// The most statements (`{% … %}`) of one template.
pub const STATEMENTS_MAX: usize = 400;
/// The most bytes of a template, its text included.
pub const TEMPLATE_MAX: usize = 1 << 20;
/// The most bytes of a text, and items of a list, that are computed while an expression is compiled.
const CONSTANT_MAX: u64 = 64 << 10;

/// Whether an expression may be parsed; if not, what is too large about it. Whether it is one, its parser says.
pub fn expression(text: &str) -> Result<(), String> {
    long("expression", text.len(), CODE_MAX)?;
    signs(text, true)?;
    parse_expr(text).ok().map_or(Ok(()), |tree| constants(&tree).map(|_| ()))
}

/// Whether a template may be parsed. Text outside braces counts only as such.
pub fn template(text: &str) -> Result<(), String> {
    long("template", text.len(), TEMPLATE_MAX)?;
    signs(text, false)?;
    match parse(text, "", SyntaxConfig::default()) {
        Ok(tree) => super::tree::expressions(&tree, &mut |one| constants(one).map(|_| ())),
        Err(_) => Ok(()),
    }
}

fn long(what: &str, bytes: usize, most: usize) -> Result<(), String> {
    if bytes <= most {
        return Ok(());
    }
    Err(format!("the {what} has {bytes} bytes, and at most {most} are allowed: split it over several steps"))
}

fn signs(text: &str, is_expression: bool) -> Result<(), String> {
    let (mut signs, mut statements, mut start) = (0, 0, 0);
    for token in tokenize(text, is_expression, SyntaxConfig::default()) {
        // The parser meets the same flaw at the same place.
        let Ok((token, span)) = token else { return Ok(()) };
        match token {
            Token::VariableStart | Token::BlockStart => {
                statements += usize::from(matches!(token, Token::BlockStart));
                (signs, start) = (0, span.start_offset as usize);
            }
            Token::VariableEnd | Token::BlockEnd => {
                long("code between two braces", (span.end_offset as usize).saturating_sub(start), CODE_MAX)?;
            }
            one if is_sign(&one) => signs += 1,
            _ => {}
        }
        if signs > SIGNS_MAX {
            return Err(format!(
                "an expression has more than {SIGNS_MAX} operators, filters and parts: split it over several steps"
            ));
        }
        if statements > STATEMENTS_MAX {
            return Err(format!("the template has more than {STATEMENTS_MAX} statements: split it over several steps"));
        }
    }
    Ok(())
}

/// What may take the parser one level down.
fn is_sign(token: &Token<'_>) -> bool {
    match token {
        Token::Ident(word) => matches!(*word, "and" | "or" | "not" | "in" | "is" | "if" | "else" | "elif"),
        Token::TemplateData(_)
        | Token::VariableStart
        | Token::VariableEnd
        | Token::BlockStart
        | Token::BlockEnd
        | Token::Str(_)
        | Token::String(_)
        | Token::Int(_)
        | Token::Int128(_)
        | Token::Float(_)
        | Token::Comma
        | Token::Colon
        | Token::Assign
        | Token::BracketClose
        | Token::ParenClose
        | Token::BraceClose => false,
        _ => true,
    }
}

/// What a part of an expression is if it is known before it runs: then it is computed while it is compiled, which nothing bounds.
#[derive(Clone, Copy)]
enum Known {
    /// Only when it runs.
    Not,
    /// A number.
    Number(f64),
    /// Texts and lists of this size together.
    Sized(u64),
}

fn constants(tree: &ast::Expr<'_>) -> Result<Known, String> {
    use ast::BinOpKind as Op;
    let size = |known: Known| match known {
        Known::Sized(size) => size,
        _ => 1,
    };
    let known = match tree {
        ast::Expr::Const(inner) => match inner.value.kind() {
            ValueKind::Number => Known::Number(f64::try_from(inner.value.clone()).unwrap_or(f64::MAX)),
            _ => Known::Sized(inner.value.as_str().map_or(1, |text| text.len() as u64)),
        },
        ast::Expr::BinOp(inner) => {
            let (left, right) = (constants(&inner.left)?, constants(&inner.right)?);
            match (inner.op, left, right) {
                (_, Known::Not, _) | (_, _, Known::Not) => Known::Not,
                (_, Known::Number(_), Known::Number(_)) => number(tree),
                (Op::Mul, Known::Sized(size), Known::Number(times))
                | (Op::Mul, Known::Number(times), Known::Sized(size)) => {
                    Known::Sized((size.max(1) as f64 * times.max(0.0)) as u64)
                }
                _ => Known::Sized(size(left).saturating_add(size(right))),
            }
        }
        other => {
            let mut inner = Vec::new();
            super::tree::parts(other, &mut |part| {
                inner.push(constants(part)?);
                Ok(())
            })?;
            let is_known = !inner.is_empty() && !inner.iter().any(|one| matches!(one, Known::Not));
            match (other, inner.as_slice()) {
                (ast::Expr::UnaryOp(_), [Known::Number(_)]) => number(other),
                _ if is_known => Known::Sized(inner.iter().map(|one| size(*one)).sum()),
                _ => Known::Not,
            }
        }
    };
    match known {
        Known::Sized(size) if size > CONSTANT_MAX => Err(format!(
            "the expression writes out a text or list of {size} bytes or items, and at most {CONSTANT_MAX} are allowed: \
             make it smaller"
        )),
        other => Ok(other),
    }
}

/// Only numbers are in it, so it is quickly computed.
fn number(tree: &ast::Expr<'_>) -> Known {
    let value = tree.as_const().and_then(|value| f64::try_from(value).ok());
    value.map_or(Known::Number(f64::MAX), Known::Number)
}
