//! Bounds for what a template or expression makes while it runs: a number that an agent gave must fail a step, not the process.
//!
//! Rule: every filter weighs what it gets and what it gives, those that can make much of little say first how much it would be, and all
//! of one run of a template together has a budget. Start at [`protect`] and [`afresh`].

use std::cell::Cell;
use std::fmt::{self, Write as _};
use std::sync::LazyLock;

use minijinja::value::{Kwargs, Rest, Serde, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, Expression, State, Value as Filled, context, filters, functions};

/// The most bytes of one text.
pub(super) const TEXT_MAX: usize = 1 << 20;
/// The most items of one list that is made.
pub(super) const LIST_MAX: usize = 10_000;
/// How deep values may be nested.
const DEPTH_MAX: usize = 64;
/// Bytes that one run of a template or expression may make on its way.
const BYTES_MAX: u64 = 128 << 20;
/// Values that one run may look at.
const VALUES_MAX: u64 = 5_000_000;
/// The widest padding of one value.
const WIDTH_MAX: usize = 1_000;

/// Filters that stand for operators; no template can name them.
pub(super) const CONCAT: &str = "~";
pub(super) const ADD: &str = "+";
pub(super) const MULTIPLY: &str = "*";
/// What is kept in a name, and in a part of a namespace.
pub(super) const KEEP: &str = "=";
pub(super) const KEEP_PART: &str = ".=";

thread_local! {
    static BYTES: Cell<u64> = const { Cell::new(BYTES_MAX) };
    static VALUES: Cell<u64> = const { Cell::new(VALUES_MAX) };
}

/// A template or expression begins to run.
pub(super) fn afresh() {
    BYTES.set(BYTES_MAX);
    VALUES.set(VALUES_MAX);
}

fn too_much(reason: impl Into<String>) -> Error {
    Error::new(
        ErrorKind::InvalidOperation,
        format!("{}; make it smaller, or split the work over several steps", reason.into()),
    )
}

fn long_text(bytes: u64) -> Error {
    too_much(format!("a text would have {bytes} bytes or more, and at most {TEXT_MAX} are allowed"))
}

fn long_list(items: u64) -> Error {
    too_much(format!("a list would have {items} items or more, and at most {LIST_MAX} are allowed"))
}

fn spend(left: &Cell<u64>, amount: u64) -> Result<(), Error> {
    match left.get().checked_sub(amount) {
        Some(rest) => {
            left.set(rest);
            Ok(())
        }
        None => Err(too_much("this takes more work than a template is allowed")),
    }
}

/// The bytes of the texts in a value, as far as it is no deeper than it may be.
pub(super) fn weigh(value: &Filled) -> Result<u64, Error> {
    weigh_at(value, 0)
}

fn weigh_at(value: &Filled, depth: usize) -> Result<u64, Error> {
    if depth > DEPTH_MAX {
        return Err(too_much(format!("a value is nested more than {DEPTH_MAX} deep")));
    }
    VALUES.with(|left| spend(left, 1))?;
    match value.kind() {
        ValueKind::String => Ok(value.as_str().map_or(0, |text| text.len() as u64)),
        ValueKind::Bytes => Ok(value.as_bytes().map_or(0, |bytes| bytes.len() as u64)),
        ValueKind::Seq | ValueKind::Iterable => {
            value.try_iter()?.try_fold(0, |sum: u64, item| Ok(sum.saturating_add(weigh_at(&item, depth + 1)?)))
        }
        ValueKind::Map if depth > 0 && is_namespace(value) => {
            Err(Error::new(ErrorKind::InvalidOperation, "a namespace cannot be a part of another value"))
        }
        ValueKind::Map => value.try_iter()?.try_fold(0, |sum: u64, key| {
            let part = value.get_item(&key)?;
            Ok(sum.saturating_add(weigh_at(&key, depth + 1)?).saturating_add(weigh_at(&part, depth + 1)?))
        }),
        _ => Ok(8),
    }
}

/// A result that goes on: lists are made now, so that no chain of those that are made later grows.
fn settled(value: Filled) -> Result<Filled, Error> {
    let bytes = weigh(&value)?;
    BYTES.with(|left| spend(left, bytes))?;
    match value.kind() {
        ValueKind::String if bytes > TEXT_MAX as u64 => Err(long_text(bytes)),
        ValueKind::Iterable => {
            let items: Vec<Filled> = value.try_iter()?.take(LIST_MAX + 1).collect();
            if items.len() > LIST_MAX { Err(long_list(items.len() as u64)) } else { Ok(items.into()) }
        }
        ValueKind::Seq if value.len().is_some_and(|len| len > LIST_MAX) => {
            Err(long_list(value.len().unwrap_or_default() as u64))
        }
        _ => Ok(value),
    }
}

/// Counts what is written, up to a limit.
struct Counted(u64, u64);

impl fmt::Write for Counted {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len() as u64;
        if self.0 > self.1 { Err(fmt::Error) } else { Ok(()) }
    }
}

impl std::io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        if self.0 > self.1 { Err(std::io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes.len()) }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The bytes of a value as text.
fn shown(value: &Filled) -> Result<u64, Error> {
    if let Some(text) = value.as_str() {
        return Ok(text.len() as u64);
    }
    weigh(value)?;
    let mut count = Counted(0, TEXT_MAX as u64);
    write!(count, "{value}").map_err(|_| long_text(count.0))?;
    Ok(count.0)
}

/// Whether a value as JSON is at most `most` bytes.
pub(super) fn fits(value: &Filled, most: usize) -> Result<(), Error> {
    weigh(value)?;
    let mut count = Counted(0, most as u64);
    match serde_json::to_writer(&mut count, value) {
        Err(_) if count.0 > count.1 => {
            Err(too_much(format!("the value has more than {most} bytes as JSON, which is the most allowed")))
        }
        // What is wrong else shows when it is converted.
        _ => Ok(()),
    }
}

fn text_of(parts: impl IntoIterator<Item = u64>) -> Result<(), Error> {
    let bytes = parts.into_iter().fold(0, u64::saturating_add);
    if bytes > TEXT_MAX as u64 { Err(long_text(bytes)) } else { Ok(()) }
}

fn numbers(args: &[Filled], place: usize, name: &str) -> Option<u64> {
    let named = || Kwargs::try_from(args.last()?.clone()).ok()?.get::<Option<Filled>>(name).ok()?;
    let value = args.get(place).filter(|value| value.kind() == ValueKind::Number).cloned().or_else(named)?;
    let number = f64::try_from(value).ok()?;
    Some(number.max(0.0) as u64)
}

type Check = fn(&[Filled]) -> Result<(), Error>;

fn nothing(_: &[Filled]) -> Result<(), Error> {
    Ok(())
}

fn as_text(args: &[Filled]) -> Result<(), Error> {
    args.first().map_or(Ok(0), shown).map(|_| ())
}

fn as_json(args: &[Filled]) -> Result<(), Error> {
    if numbers(args, 1, "indent").is_some_and(|indent| indent > 16) {
        return Err(too_much("`tojson` indents by at most 16"));
    }
    args.first().map_or(Ok(()), |value| fits(value, TEXT_MAX))
}

fn replace(args: &[Filled]) -> Result<(), Error> {
    let [value, from, to, ..] = args else { return Ok(()) };
    let (bytes, each) = (shown(value)?, shown(to)?);
    let (Some(value), Some(from)) = (value.as_str(), from.as_str()) else { return Ok(()) };
    text_of([bytes, (value.matches(from).count() as u64).saturating_mul(each)])
}

fn indent(args: &[Filled]) -> Result<(), Error> {
    let Some(text) = args.first().and_then(Filled::as_str) else { return Ok(()) };
    let lines = text.matches('\n').count() as u64 + 1;
    text_of([text.len() as u64, lines.saturating_mul(numbers(args, 1, "width").unwrap_or(4))])
}

fn parts(args: &[Filled]) -> Result<(), Error> {
    let count = numbers(args, 1, "count").unwrap_or(0);
    if count > LIST_MAX as u64 { Err(long_list(count)) } else { Ok(()) }
}

fn join(args: &[Filled]) -> Result<(), Error> {
    let Some(list) = args.first().filter(|list| matches!(list.kind(), ValueKind::Seq | ValueKind::Iterable)) else {
        return as_text(args);
    };
    let between = args.get(1).and_then(Filled::as_str).map_or(64, str::len) as u64;
    let mut bytes = 0_u64;
    for item in list.try_iter()? {
        bytes = bytes.saturating_add(between).saturating_add(shown(&item)?);
        VALUES.with(|left| spend(left, 1))?;
    }
    // A part of the items may be joined, so this is more than it will be; what it is is looked at afterwards.
    if bytes > 16 * TEXT_MAX as u64 { Err(long_text(bytes)) } else { Ok(()) }
}

fn format(args: &[Filled]) -> Result<(), Error> {
    let Some(text) = args.first().and_then(Filled::as_str) else { return Ok(()) };
    let (mut bytes, mut most) = (text.len() as u64, 0);
    for value in &args[1..] {
        most = shown(value)?.max(most);
    }
    for spec in text.split('%').skip(1) {
        let end = spec.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(spec.len());
        let widths = spec[..end].split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty());
        for digits in widths {
            let width = digits.parse().unwrap_or(usize::MAX);
            if width > WIDTH_MAX && !spec.starts_with('(') {
                return Err(too_much(format!("`format` pads to at most {WIDTH_MAX}, not to {digits}")));
            }
        }
        if spec[..end].contains('*') {
            return Err(too_much("`format` takes its widths from its text, not from its values (`*`)"));
        }
        bytes = bytes.saturating_add(most).saturating_add(WIDTH_MAX as u64);
    }
    if bytes > 16 * TEXT_MAX as u64 { Err(long_text(bytes)) } else { Ok(()) }
}

fn sum(args: &[Filled]) -> Result<(), Error> {
    let named = args.last().and_then(|last| Kwargs::try_from(last.clone()).ok());
    let start = named.and_then(|named| named.get::<Option<Filled>>("start").ok().flatten());
    match start.as_ref().or(args.get(2)) {
        Some(start) if start.kind() != ValueKind::Number => {
            Err(Error::new(ErrorKind::InvalidOperation, "`sum` adds numbers; put texts together with `join`"))
        }
        _ => Ok(()),
    }
}

fn filter(environment: &mut Environment<'static>, name: &'static str, inner: Filled, check: Check) {
    environment.add_filter(name, move |state: &mut State, args: Rest<ValueOrKwargs>| {
        let args = args.into_values();
        args.iter().try_for_each(|value| weigh(value).map(|_| ()))?;
        check(&args)?;
        settled(inner.call(state, &args)?)
    });
}

macro_rules! builtin {
    ($environment:expr; $($name:ident $(as $alias:literal)? => $check:expr),* $(,)?) => {
        $(filter($environment, builtin!(@ $name $($alias)?), Filled::from_function(filters::$name), $check);)*
    };
    (@ $name:ident) => { stringify!($name) };
    (@ $name:ident $alias:literal) => { $alias };
}

/// Bounds an environment.
pub(super) fn protect(environment: &mut Environment<'static>) {
    builtin!(environment;
        lower => nothing, upper => nothing, title => nothing, capitalize => nothing, replace => replace,
        length => nothing, length as "count" => nothing, dictsort => nothing, items => nothing, reverse => nothing,
        trim => nothing, join => join, split => nothing, lines => nothing, default => nothing, default as "d" => nothing,
        round => nothing, abs => nothing, int => nothing, float => nothing, attr => nothing, first => nothing,
        last => nothing, min => nothing, max => nothing, sort => nothing, list => nothing, string => as_text,
        bool => nothing, batch => parts, slice => parts, sum => sum, indent => indent, select => nothing,
        reject => nothing, selectattr => nothing, rejectattr => nothing, map => nothing, groupby => nothing,
        unique => nothing, chain => nothing, zip => nothing, pprint => as_text, format => format, tojson => as_json,
    );
    environment.add_filter(CONCAT, concat);
    environment.add_filter(ADD, add);
    environment.add_filter(MULTIPLY, multiply);
    environment.add_filter(KEEP, settled);
    environment.add_filter(KEEP_PART, keep_part);
    environment.add_function("range", range);
    environment.add_function("dict", dict);
    environment.set_formatter(|out, state, value| {
        let bytes = shown(value)?;
        BYTES.with(|left| spend(left, bytes))?;
        minijinja::escape_formatter(out, state, value)
    });
}

static PLAIN: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut plain = Environment::new();
    plain.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    plain
});
static SUM: LazyLock<Expression<'static, 'static>> =
    LazyLock::new(|| PLAIN.compile_expression("a + b").expect("an expression"));
static PRODUCT: LazyLock<Expression<'static, 'static>> =
    LazyLock::new(|| PLAIN.compile_expression("a * b").expect("an expression"));

fn defined(values: [&Filled; 2]) -> Result<(), Error> {
    match values.into_iter().find(|value| value.is_undefined()) {
        Some(_) => Err(ErrorKind::UndefinedError.into()),
        None => Ok(()),
    }
}

/// `left ~ right`
fn concat(left: &Filled, right: &Filled) -> Result<Filled, Error> {
    defined([left, right])?;
    let bytes = [shown(left)?, shown(right)?];
    text_of(bytes)?;
    BYTES.with(|left| spend(left, bytes.iter().sum()))?;
    Ok(format!("{left}{right}").into())
}

fn is_list(value: &Filled) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable)
}

/// `left + right`
fn add(left: &Filled, right: &Filled) -> Result<Filled, Error> {
    defined([left, right])?;
    if let (Some(left), Some(right)) = (left.as_str(), right.as_str()) {
        text_of([left.len() as u64, right.len() as u64])?;
    }
    settled(SUM.eval(context! { a => left, b => right })?)
}

/// `left * right`
fn multiply(left: &Filled, right: &Filled) -> Result<Filled, Error> {
    defined([left, right])?;
    for (value, times) in [(left, right), (right, left)] {
        let Ok(times) = f64::try_from(times.clone()) else { continue };
        let times = times.max(0.0) as u64;
        if let Some(text) = value.as_str() {
            text_of([(text.len() as u64).saturating_mul(times)])?;
        }
        let items = (value.len().unwrap_or(0) as u64).saturating_mul(times);
        if is_list(value) && items > LIST_MAX as u64 {
            return Err(long_list(items));
        }
    }
    settled(PRODUCT.eval(context! { a => left, b => right })?)
}

/// A namespace that held another, or itself, could not be shown.
fn keep_part(value: Filled) -> Result<Filled, Error> {
    if is_namespace(&value) {
        return Err(Error::new(ErrorKind::InvalidOperation, "a namespace cannot be a part of one"));
    }
    settled(value)
}

/// Only of a namespace it is said what it is when nothing can be seen in it.
fn is_namespace(value: &Filled) -> bool {
    value.as_object().is_some_and(|object| object.type_name().ends_with("Namespace"))
}

fn range(lower: isize, upper: Option<isize>, step: Option<isize>) -> Result<Filled, Error> {
    settled(functions::range(lower, upper, step)?)
}

fn dict(value: Option<Filled>, parts: Kwargs) -> Result<Filled, Error> {
    settled(functions::dict(value, parts)?)
}

/// The variables of one run.
pub(super) fn variables(known: &serde_json::Map<String, serde_json::Value>) -> Filled {
    Filled::from(Serde(known))
}
