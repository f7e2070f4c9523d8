//! Text for the terminal: what comes from outside made harmless, columns, durations, amounts.
//!
//! Rule: whatever a model, a tool or a file wrote passes through [`plain`] or [`line`] before it is shown, so that no
//! escape sequence of theirs reaches the terminal.

use std::time::Duration;

use anstyle::{AnsiColor, Style};
use convoke_domain::money::Money;
use convoke_domain::time::Timestamp;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// For what matters most.
pub const BOLD: Style = Style::new().bold();
/// For what may be read over.
pub const DIM: Style = Style::new().dimmed();
/// For what went well.
pub const GREEN: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Green)));
/// For what failed.
pub const RED: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red)));
/// For what waits or warns.
pub const YELLOW: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Yellow)));
/// For what is going on.
pub const CYAN: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Cyan)));

/// Text in a style.
pub fn paint(style: Style, text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("{style}{text}{style:#}") }
}

/// True for characters that act on a terminal instead of showing: controls, and those that turn the direction of text.
fn acts(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Text of several lines without anything that acts on the terminal; tabs become spaces.
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push('\n'),
            '\t' => out.push_str("    "),
            c if acts(c) => {}
            c => out.push(c),
        }
    }
    out
}

/// Text on one line: like [`plain`], with every run of white space as one space.
pub fn line(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c == '\u{0}').filter(|word| !word.is_empty());
    plain(&words.collect::<Vec<_>>().join(" "))
}

/// How many columns text takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// The beginning of a line in at most `room` columns, with `…` where it was cut.
pub fn cut(text: &str, room: usize) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    take(text.chars(), room.saturating_sub(1)) + if room > 0 { "…" } else { "" }
}

/// The end of a line in at most `room` columns, with `…` where it was cut.
pub fn cut_start(text: &str, room: usize) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    let end: String = take(text.chars().rev(), room.saturating_sub(1)).chars().rev().collect();
    if room > 0 { format!("…{end}") } else { end }
}

fn take(chars: impl Iterator<Item = char>, room: usize) -> String {
    let mut used = 0;
    chars
        .take_while(|c| {
            used += c.width().unwrap_or(0);
            used <= room
        })
        .collect()
}

/// Text filled up with spaces to `room` columns, cut where it is longer.
pub fn pad(text: &str, room: usize) -> String {
    let text = cut(text, room);
    let fill = room.saturating_sub(width(&text));
    text + &" ".repeat(fill)
}

/// Like [`pad`], but at the right edge.
pub fn pad_start(text: &str, room: usize) -> String {
    let text = cut(text, room);
    " ".repeat(room.saturating_sub(width(&text))) + &text
}

/// A line broken between words into rows of at most `room` columns; a word that is longer is broken itself. Rows after the
/// first begin where the text of a list or quotation does.
pub fn wrap(line: &str, room: usize) -> Vec<String> {
    let room = room.max(10);
    if width(line) <= room {
        return vec![line.to_owned()];
    }
    let marks = line.len() - line.trim_start_matches([' ', '-', '*', '>']).len();
    let indent = " ".repeat(marks.min(room / 2));
    let mut rows = Vec::new();
    let mut row = String::new();
    for word in line.split_inclusive(' ') {
        if width(&row) + width(word.trim_end()) > room && !row.trim().is_empty() {
            rows.push(std::mem::replace(&mut row, indent.clone()).trim_end().to_owned());
        }
        row.push_str(word);
        while width(row.trim_end()) > room {
            let first = take(row.chars(), room);
            let rest = indent.clone() + &row[first.len()..];
            rows.push(std::mem::replace(&mut row, rest));
            if let Some(last) = rows.last_mut() {
                *last = first;
            }
        }
    }
    rows.push(row.trim_end().to_owned());
    rows
}

/// A time span: `0.4s`, `12.3s`, `3m 05s`, `2h 07m`.
pub fn duration(span: Duration) -> String {
    let secs = span.as_secs();
    match secs {
        0..60 => format!("{:.1}s", (span.as_secs_f64() * 10.0).floor() / 10.0),
        60..3_600 => format!("{}m {:02}s", secs / 60, secs % 60),
        _ => format!("{}h {:02}m", secs / 3_600, secs / 60 % 60),
    }
}

/// A count with thousands apart: `23,401`.
pub fn count(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if number < 0 { format!("-{out}") } else { out }
}

/// A cap as people write it: `$5.00`, `$0.0125`.
pub fn cap(money: Money) -> String {
    let cents = money.as_nanos() % 10_000_000 == 0;
    if cents { format!("${:.2}", money.as_usd()) } else { money.to_string() }
}

/// Many or one: `1 run`, `2 runs`.
pub fn many(number: usize, noun: &str) -> String {
    if number == 1 {
        format!("1 {noun}")
    } else {
        format!("{} {noun}s", count(i64::try_from(number).unwrap_or(i64::MAX)))
    }
}

/// A time in UTC to the second, for tables: `2026-11-21 05:30:00`.
pub fn clock(at: Timestamp) -> String {
    at.to_string().chars().take(19).map(|c| if c == 'T' { ' ' } else { c }).collect()
}

/// Where a column's text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// At its left edge.
    Left,
    /// At its right edge, for numbers.
    Right,
}

/// A table of lines: a head, rows, and columns as wide as they need to be.
pub struct Table {
    head: Vec<(&'static str, Side)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub fn new(head: &[(&'static str, Side)]) -> Self {
        Self { head: head.to_vec(), rows: Vec::new() }
    }

    /// Adds a row with one cell per column.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| line(&cell)).collect());
    }

    /// The text; the last column is cut at `room` columns of the whole, where that is given.
    pub fn text(&self, room: Option<usize>) -> String {
        let mut widths: Vec<usize> = self.head.iter().map(|(name, _)| width(name)).collect();
        for row in &self.rows {
            for (at, cell) in row.iter().enumerate() {
                widths[at] = widths[at].max(width(cell));
            }
        }
        if let (Some(room), Some(last)) = (room, widths.len().checked_sub(1)) {
            let before: usize = widths[..last].iter().map(|width| width + 2).sum();
            widths[last] = widths[last].min(room.saturating_sub(before).max(8));
        }
        let head: Vec<String> = self.head.iter().map(|(name, _)| (*name).to_owned()).collect();
        let mut out = paint(BOLD, self.line(&head, &widths).trim_end()) + "\n";
        for row in &self.rows {
            out.push_str(self.line(row, &widths).trim_end());
            out.push('\n');
        }
        out
    }

    fn line(&self, cells: &[String], widths: &[usize]) -> String {
        let cells = cells.iter().zip(widths).zip(&self.head).map(|((cell, width), (_, side))| match side {
            Side::Left => pad(cell, *width),
            Side::Right => pad_start(cell, *width),
        });
        cells.collect::<Vec<_>>().join("  ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_acts_on_the_terminal() {
        assert_eq!(plain("a\u{1b}[31mb\u{202e}c\r\n\td\u{9b}2J"), "a[31mbc\n    d2J");
        assert_eq!(line("a\n\n b\u{7}\tc"), "a b c");
    }

    #[test]
    fn text_is_cut_by_columns_not_by_bytes() {
        assert_eq!(cut("añb日本語", 5), "añb…");
        assert_eq!(cut("añb日本語", 6), "añb日…");
        assert_eq!(cut_start("one two three", 6), "…three");
        assert_eq!(pad("日本", 5), "日本 ");
        assert_eq!(pad_start("12", 4), "  12");
        assert_eq!(cut("abc", 0), "");
    }

    #[test]
    fn long_lines_are_broken_between_words() {
        assert_eq!(wrap("- one two three four five", 12), ["- one two", "  three four", "  five"]);
        assert_eq!(wrap("aaaaaaaaaaaaaaaaaaaaaaaaa b", 10), ["aaaaaaaaaa", "aaaaaaaaaa", "aaaaa b"]);
        assert_eq!(wrap("short", 10), ["short"]);
    }

    #[test]
    fn spans_and_counts_are_short() {
        assert_eq!(duration(Duration::from_millis(12_380)), "12.3s");
        assert_eq!(duration(Duration::from_secs(185)), "3m 05s");
        assert_eq!(duration(Duration::from_secs(7_620)), "2h 07m");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(-999), "-999");
        assert_eq!(cap(Money::from_usd(5.0)), "$5.00");
        assert_eq!(cap(Money::from_usd(0.0125)), "$0.0125");
        assert_eq!(many(1, "run"), "1 run");
        assert_eq!(many(2_000, "run"), "2,000 runs");
    }

    #[test]
    fn a_table_is_as_wide_as_it_needs_to_be() {
        let mut table = Table::new(&[("ID", Side::Left), ("N", Side::Right), ("TEXT", Side::Left)]);
        table.row(["a".into(), "10".into(), "first\nline".into()]);
        table.row(["bcd".into(), "9".into(), "a text that is longer than the room".into()]);
        let text = anstream::adapter::strip_str(&table.text(Some(25))).to_string();
        assert_eq!(text, "ID    N  TEXT\na    10  first line\nbcd   9  a text that is …\n");
    }
}
