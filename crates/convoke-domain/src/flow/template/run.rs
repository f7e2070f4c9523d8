//! Runs templates and expressions, guarded. Start at [`fill`] and [`compute`].

use std::collections::BTreeMap;

use minijinja::machinery::{CodeGenerator, eval, make_string_output, parse, parse_expr};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, Value as Filled};

use super::{guard, syntax, tree};

/// A template, filled.
pub(super) fn fill(environment: &Environment<'static>, text: &str, variables: Filled) -> Result<String, Error> {
    let tree = tree::guarded(&parse(text, "", syntax())?);
    let mut code = CodeGenerator::new("", text);
    code.compile_stmt(&tree);
    let (instructions, blocks) = code.finish();
    let mut out = String::new();
    guard::afresh();
    eval(environment, &instructions, variables, &blocks, &mut make_string_output(&mut out), AutoEscape::None)?;
    Ok(out)
}

/// The value of an expression, no larger than `most` bytes as JSON.
pub(super) fn compute(
    environment: &Environment<'static>,
    text: &str,
    variables: Filled,
    most: usize,
) -> Result<Filled, Error> {
    let tree = tree::expression(&parse_expr(text)?);
    let mut code = CodeGenerator::new("<expression>", text);
    code.compile_expr(&tree);
    let (instructions, _) = code.finish();
    guard::afresh();
    let (mut unread, blocks) = (String::new(), BTreeMap::new());
    let mut out: Output<'_> = make_string_output(&mut unread);
    let (value, _) = eval(environment, &instructions, variables, &blocks, &mut out, AutoEscape::None)?;
    let value = value.ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "the expression gives nothing"))?;
    guard::fits(&value, most)?;
    Ok(value)
}
