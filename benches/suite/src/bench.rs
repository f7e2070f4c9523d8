//! The runner: all measurements in turn, round after round, so that a slow minute of the machine hits all alike.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use crate::context::Context;
use crate::figure::{Figure, Series};
use crate::list::{MEASUREMENTS, Measurement};
use crate::machine;
use crate::table::{self, Section};

/// A machine with more than this load for each core is not quiet.
const QUIET_LOAD: f64 = 0.3;

/// What to measure and how often.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only measurements whose name contains one of these.
    pub only: Vec<String>,
    /// Rounds; the table shows the median.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
    /// A tenth of the work: to see that it runs, not to publish.
    #[arg(long)]
    pub quick: bool,
    /// Folder for data, on the disk to be measured.
    #[arg(long, value_name = "DIR")]
    pub scratch: Option<PathBuf>,
    /// File whose table is replaced, between its two marks.
    #[arg(long, value_name = "FILE")]
    pub write: Option<PathBuf>,
}

/// Measures, prints, and fails if a measurement failed or a demand was missed.
pub fn run(args: &Args) -> Result<ExitCode> {
    let context = Context::new(args.scratch.clone(), args.quick)?;
    let chosen: Vec<&Measurement> =
        MEASUREMENTS.iter().filter(|measurement| is_chosen(measurement.name, &args.only)).collect();
    let before = machine::load();
    let mut sections: Vec<Section> = chosen.iter().map(|measurement| empty(measurement)).collect();
    for round in 1..=args.rounds {
        for (measurement, section) in chosen.iter().zip(&mut sections) {
            eprintln!("[bench] round {round} of {}: {}", args.rounds, measurement.name);
            match (measurement.run)(&context) {
                Ok(figures) => add(section, figures),
                Err(error) => section.failure = Some(format!("{error:#}")),
            }
        }
    }
    let table = table::markdown(&facts(&context, before), &sections);
    println!("{table}");
    if let Some(file) = &args.write {
        table::write(file, &table)?;
    }
    Ok(verdict(&sections))
}

/// True if no name was asked for or this one was.
pub fn is_chosen(name: &str, only: &[String]) -> bool {
    only.is_empty() || only.iter().any(|part| name.contains(part.as_str()))
}

fn empty(measurement: &Measurement) -> Section {
    Section { name: measurement.name.to_owned(), about: measurement.about, series: Vec::new(), failure: None }
}

fn add(section: &mut Section, figures: Vec<Figure>) {
    for figure in figures {
        match section.series.iter_mut().find(|series| series.figure.name == figure.name) {
            Some(series) => series.add(figure.value),
            None => section.series.push(Series::new(figure)),
        }
    }
}

fn facts(context: &Context, before: f64) -> Vec<(&'static str, String)> {
    let mut facts = machine::facts(&context.scratch);
    let cores = std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64);
    let quiet = if before <= QUIET_LOAD * cores { "quiet" } else { "NOT quiet: do not publish" };
    facts.push(("load before and after", format!("{before:.2} and {:.2} ({quiet})", machine::load())));
    if context.quick {
        facts.push(("work", "a tenth of the usual: do not publish".to_owned()));
    }
    facts
}

fn verdict(sections: &[Section]) -> ExitCode {
    let failed = sections.iter().filter(|section| section.failure.is_some()).map(|section| section.name.clone());
    let is_missed = |series: &&Series| series.figure.wanted.is_some_and(|wanted| !wanted.is_met(series.median()));
    let missed = sections.iter().flat_map(|section| {
        section.series.iter().filter(is_missed).map(|series| format!("{}: {}", section.name, series.figure.name))
    });
    let (failed, missed): (Vec<_>, Vec<_>) = (failed.collect(), missed.collect());
    failed.iter().for_each(|name| eprintln!("FAILED {name}"));
    missed.iter().for_each(|name| eprintln!("MISSED {name}"));
    if failed.is_empty() && missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_rounds_come_together_by_name() {
        let mut section = Section { name: "a".into(), about: "", series: Vec::new(), failure: None };
        add(&mut section, vec![Figure::new("x", "ms", 1.0), Figure::new("y", "ms", 5.0)]);
        add(&mut section, vec![Figure::new("x", "ms", 3.0), Figure::new("y", "ms", 7.0)]);
        let medians: Vec<f64> = section.series.iter().map(Series::median).collect();
        assert_eq!(medians, [2.0, 6.0]);
    }

    #[test]
    fn names_choose() {
        assert!(is_chosen("fsync", &[]) && is_chosen("fsync", &["sync".into()]) && !is_chosen("fsync", &["x".into()]));
    }
}
