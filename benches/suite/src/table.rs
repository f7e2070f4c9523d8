//! The table: figures as Markdown, and its place in a file.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::figure::{Series, Wanted};

/// What stands before and after the table in a file that is written again and again.
const BEGIN: &str = "<!-- figures: begin -->";
const END: &str = "<!-- figures: end -->";

/// One measurement's outcome.
#[derive(Debug)]
pub struct Section {
    /// The measurement's name.
    pub name: String,
    /// What it measures, in a sentence.
    pub about: &'static str,
    /// Its figures over all rounds.
    pub series: Vec<Series>,
    /// Why it failed, if it did in any round.
    pub failure: Option<String>,
}

/// Facts and sections as Markdown.
pub fn markdown(facts: &[(&'static str, String)], sections: &[Section]) -> String {
    let mut out = String::new();
    for (name, value) in facts {
        out.push_str(&format!("- {name}: {value}\n"));
    }
    for section in sections {
        out.push_str(&format!("\n### {}\n\n{}\n", section.name, section.about));
        if let Some(failure) = &section.failure {
            out.push_str(&format!("\n**Failed**: {}\n", failure.replace('\n', " ")));
        }
        if !section.series.is_empty() {
            out.push_str("\n| figure | median | lowest to highest | rounds | wanted |\n|---|---:|---:|---:|---|\n");
            section.series.iter().for_each(|series| out.push_str(&row(series)));
        }
    }
    out
}

fn row(series: &Series) -> String {
    let (low, high) = series.range();
    let figure = &series.figure;
    format!(
        "| {} | {} {} | {} to {} | {} | {} |\n",
        figure.name,
        number(series.median()),
        figure.unit,
        number(low),
        number(high),
        series.values.len(),
        figure.wanted.map_or(String::new(), |wanted| demand(wanted, series.median())),
    )
}

fn demand(wanted: Wanted, median: f64) -> String {
    let verdict = if wanted.is_met(median) { "met" } else { "**missed**" };
    match wanted {
        Wanted::AtMost(limit) => format!("≤ {}: {verdict}", number(limit)),
        Wanted::AtLeast(limit) => format!("≥ {}: {verdict}", number(limit)),
    }
}

/// Three digits that matter, and commas between thousands.
pub fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => thousands(value),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// A whole number with commas between thousands.
pub fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut out = if value < 0.0 { "-".to_owned() } else { String::new() };
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Puts the table between the two marks of a file; the rest of the file stays.
pub fn write(file: &Path, table: &str) -> Result<()> {
    let old = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let new = replaced(&old, table).with_context(|| format!("{} lacks `{BEGIN}` and `{END}`", file.display()))?;
    fs::write(file, new).with_context(|| format!("cannot write {}", file.display()))
}

fn replaced(old: &str, table: &str) -> Option<String> {
    let (before, rest) = old.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{table}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::Figure;

    #[test]
    fn numbers_have_three_digits_that_matter() {
        let shown = [0.123, 1.0, 12.34, 999.6, 1234.5, 1_234_567.0, -4321.0].map(number);
        assert_eq!(shown, ["0.12", "1.00", "12.3", "1000", "1,234", "1,234,567", "-4,321"]);
    }

    #[test]
    fn a_table_shows_medians_demands_and_failures() {
        let mut series = Series::new(Figure::new("p50", "ms", 4.0).wanted(Wanted::AtMost(2.0)));
        series.add(6.0);
        let good = Section { name: "fsync".into(), about: "Writes.", series: vec![series], failure: None };
        let bad =
            Section { name: "start".into(), about: "Starts.", series: vec![], failure: Some("no\nbinary".into()) };
        let text = markdown(&[("CPU", "2 cores".into())], &[good, bad]);
        assert!(text.contains("| p50 | 5.00 ms | 4.00 to 6.00 | 2 | ≤ 2.00: **missed** |"), "{text}");
        assert!(text.contains("**Failed**: no binary") && text.starts_with("- CPU: 2 cores\n"));
    }

    #[test]
    fn a_table_replaces_the_one_between_the_marks() {
        let old = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        assert_eq!(replaced(&old, "new\n"), Some(format!("a\n{BEGIN}\nnew\n{END}\nb\n")));
        assert_eq!(replaced("a", "new"), None);
    }
}
