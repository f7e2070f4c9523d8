//! `convoke analytics`: teams over time; and the figures of one run, for `convoke show --analytics`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum};
use convoke_domain::analytics::series::{Every, Sum};
use convoke_domain::record::RunRecord;
use convoke_domain::time::Timestamp;
use convoke_engine::{MAX_ANALYTICS_RUNS, TeamAnalytics, TeamQuery};
use convoke_report::{Figure, SIMULATED, figures, rated};
use serde_json::json;

use crate::args::Global;
use crate::error::{Exit, Result};
use crate::grants::time;
use crate::hub::Hub;
use crate::live::screen::{self, Stream};
use crate::runs::room;
use crate::text::{self, BOLD, DIM, GREEN, Side, Table, YELLOW, paint};
use crate::{say, which};

/// Time that is told by day unless something else is asked for; more is told by week.
const BY_DAY: i64 = 14 * 86_400_000_000;
/// Columns of a text where the stream is no terminal.
const WIDE: usize = 110;
/// Columns before what a figure is made of.
const INDENT: usize = 4;
/// The most columns of a note.
const NOTE: usize = 400;

#[derive(Debug, Args)]
pub struct AnalyticsArgs {
    /// A team, told by day or week; without one all teams beside each other
    pub team: Option<String>,
    /// Runs accepted since then: `12h`, `7d`, or a day such as `2026-11-01`
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = since)]
    pub since: Since,
    /// Runs accepted before this day
    #[arg(long, value_name = "DAY", value_parser = day)]
    pub until: Option<Timestamp>,
    /// How long each part is [default: a day, or a week where there is more than 14 days to tell]
    #[arg(long, value_enum)]
    pub by: Option<By>,
}

/// How long each part of a series is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// A day in UTC
    Day,
    /// Monday to Sunday in UTC
    Week,
}

/// Since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// So long ago.
    Ago(Duration),
    /// Since the beginning of a day.
    Day(Timestamp),
}

fn since(text: &str) -> std::result::Result<Since, String> {
    time(text)
        .map(Since::Ago)
        .or_else(|_| day(text).map(Since::Day))
        .map_err(|_| "write how long ago, such as `7d`, or a day, such as `2026-11-01`".to_owned())
}

fn day(text: &str) -> std::result::Result<Timestamp, String> {
    let at = serde_json::from_value(json!(format!("{text}T00:00:00Z")));
    at.map_err(|_| "write a day, such as `2026-11-01`".to_owned())
}

impl AnalyticsArgs {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        let hub = Hub::reader(global).await?;
        let told = hub.engine.team_analytics(self.query()).await?;
        if global.json {
            say::json(&told)?;
        } else if told.total.runs == 0 {
            let of = told.team.as_deref().map(|team| format!(" of {team}")).unwrap_or_default();
            say::line(&format!("no runs{of} since {}; `--since` looks further back", text::clock(told.since)))?;
        } else {
            tell(&told)?;
        }
        Ok(Exit::Done)
    }

    fn query(self) -> TeamQuery {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = Timestamp::from_micros(i64::try_from(now.as_micros()).unwrap_or(i64::MAX));
        // What is accepted while this is counted belongs to it.
        let until = self.until.unwrap_or_else(|| now.after(Duration::from_secs(1)));
        let since = match self.since {
            Since::Ago(ago) => Timestamp::from_micros(
                now.as_micros().saturating_sub(i64::try_from(ago.as_micros()).unwrap_or(i64::MAX)),
            ),
            Since::Day(day) => day,
        };
        let is_long = until.as_micros().saturating_sub(since.as_micros()) > BY_DAY;
        let every = match self.by {
            Some(By::Day) => Every::Day,
            Some(By::Week) => Every::Week,
            None if is_long => Every::Week,
            None => Every::Day,
        };
        TeamQuery { team: self.team, since, until, every }
    }
}

fn tell(told: &TeamAnalytics) -> Result<()> {
    let first = match (&told.team, told.every) {
        (None, _) => "TEAM",
        (Some(_), Every::Day) => "DAY (UTC)",
        (Some(_), Every::Week) => "WEEK OF (UTC)",
    };
    let rows: Vec<(String, &Sum)> = match &told.team {
        None => told.teams.iter().map(|(team, sum)| (team.clone(), sum)).collect(),
        Some(_) => told.parts.iter().map(|part| (part.from.day(), &part.sum)).collect(),
    };
    let many = rows.len() > 1;
    let total = many.then(|| ("all".to_owned(), &told.total));
    let rows: Vec<(String, &Sum)> = rows.into_iter().chain(total).collect();
    say::text(&outcome(first, &rows).text(room()))?;
    say::text(&format!("\n{}", course(first, &rows).text(room())))?;
    if !told.agents.is_empty() {
        let mut table = Table::new(&[("AGENT", Side::Left), ("RATINGS", Side::Right), ("STARS", Side::Right)]);
        for (agent, stars) in &told.agents {
            table.row([agent.clone(), text::count(stars.ratings), format!("{:.1}", stars.stars)]);
        }
        say::text(&format!("\n{}", table.text(room())))?;
    }
    if told.cut {
        let most = text::count(i64::try_from(MAX_ANALYTICS_RUNS).unwrap_or(i64::MAX));
        say::line(&paint(YELLOW, &format!("these are the newest {most} runs; `--since` takes fewer")))?;
    }
    Ok(())
}

const fn right(name: &'static str) -> (&'static str, Side) {
    (name, Side::Right)
}

fn dash() -> String {
    "–".to_owned()
}

fn share(share: Option<f64>) -> String {
    share.map_or_else(dash, |share| format!("{:.0}%", share * 100.0))
}

fn span(ms: Option<i64>) -> String {
    ms.map_or_else(dash, |ms| text::duration(Duration::from_millis(ms.unsigned_abs())))
}

/// What came of runs, and what it took.
fn outcome(first: &'static str, rows: &[(String, &Sum)]) -> Table {
    let mut table = Table::new(&[
        (first, Side::Left),
        right("RUNS"),
        right("DONE"),
        right("SUCCESS"),
        right("MEAN"),
        right("MEDIAN"),
        right("COST"),
        right("BY DONE"),
        right("STARS"),
    ]);
    for (name, sum) in rows {
        let unpriced = if sum.unpriced_calls > 0 { "+?" } else { "" };
        table.row([
            name.clone(),
            text::count(sum.runs),
            text::count(sum.completed),
            share(sum.success_rate),
            span(sum.mean_ms),
            span(sum.median_ms),
            format!("{}{unpriced}", sum.cost_usd),
            sum.cost_per_completed_usd.map_or_else(dash, |cost| cost.to_string()),
            sum.stars.map_or_else(dash, |stars| format!("{stars:.1} ({})", text::count(sum.ratings))),
        ]);
    }
    table
}

/// How their members worked together.
fn course(first: &'static str, rows: &[(String, &Sum)]) -> Table {
    let mut table = Table::new(&[
        (first, Side::Left),
        right("SPEED-UP"),
        right("USE"),
        right("OVERHEAD"),
        right("AGREED"),
        right("VOICES"),
        right("DECIDED"),
        right("DECISIONS"),
    ]);
    for (name, sum) in rows {
        table.row([
            name.clone(),
            sum.speed_up.map_or_else(dash, |factor| format!("{factor:.2}×")),
            share(sum.utilization),
            share(sum.overhead),
            share(sum.agreement),
            text::count(sum.voices_with + sum.voices_against),
            span(sum.decisions.median_ms),
            text::count(sum.decisions.count),
        ]);
    }
    table
}

/// The figures of one run, for people.
pub fn of_run(record: &RunRecord) -> Result<()> {
    let run = &record.summary;
    let room = if Stream::Out.is_terminal() { screen::size().0 } else { WIDE };
    let task = text::cut(&text::line(&run.task), room.saturating_sub(2));
    say::text(&text::plain(&format!(
        "{}  {} (version {}), {}\n  {task}\n",
        run.id, run.team, run.team_version, run.state
    )))?;
    if run.simulated {
        say::line(&paint(YELLOW, &format!("  {SIMULATED}.")))?;
    }
    say::line("")?;
    let figures = figures(record);
    if figures.is_empty() {
        say::line("no figures yet: nothing of it has begun")?;
    }
    let width = |of: fn(&Figure) -> &str| figures.iter().map(|figure| text::width(of(figure))).max().unwrap_or(0);
    let widths = [width(|figure| figure.name), width(|figure| &figure.value)];
    for figure in &figures {
        say::text(&figure_lines(figure, widths, room))?;
    }
    ratings(record, room)
}

fn figure_lines(figure: &Figure, [names, values]: [usize; 2], room: usize) -> String {
    let style = if figure.target.as_ref().is_some_and(|(_, met)| *met) { GREEN } else { YELLOW };
    let first = format!(
        "{}  {}  {}",
        paint(BOLD, &text::pad(figure.name, names)),
        text::pad(&figure.value, values),
        paint(style, &figure.aim())
    );
    let mut lines = format!("{}\n", first.trim_end());
    for row in text::wrap(&text::line(&figure.what), room.saturating_sub(INDENT)) {
        lines.push_str(&format!("{}\n", paint(DIM, &format!("{}{row}", " ".repeat(INDENT)))));
    }
    lines
}

fn ratings(record: &RunRecord, room: usize) -> Result<()> {
    if record.ratings.is_empty() {
        let line = format!("nobody has rated it: convoke rate {} STARS", which::short(record.summary.id));
        return say::text(&format!("\n{}\n", paint(DIM, &line)));
    }
    say::line("")?;
    for rating in &record.ratings {
        let stars = usize::try_from(rating.stars).unwrap_or(0).min(5);
        let note = if rating.note.is_empty() { String::new() } else { format!(": {}", rating.note) };
        let line = text::cut(&text::line(&format!("{}, {}{note}", rated(record, rating), rating.by)), NOTE);
        let rows = text::wrap(&line, room.saturating_sub(7));
        for (place, row) in rows.iter().enumerate() {
            let mark =
                if place == 0 { format!("{}{}", "★".repeat(stars), "☆".repeat(5 - stars)) } else { " ".repeat(5) };
            say::line(&format!("{mark}  {row}"))?;
        }
    }
    Ok(())
}

/// The figures of one run, for programs.
pub fn as_json(record: &RunRecord) -> serde_json::Value {
    let run = &record.summary;
    json!({
        "run": run.id, "team": run.team, "state": run.state, "simulated": run.simulated,
        "analytics": record.analytics, "ratings": record.ratings,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_time_or_a_day() {
        assert_eq!(since("7d"), Ok(Since::Ago(Duration::from_secs(604_800))));
        assert_eq!(since("1970-01-02"), Ok(Since::Day(Timestamp::from_micros(86_400_000_000))));
        for text in ["", "week", "7", "2026-13-01", "2026-11-01T00", "-7d"] {
            assert!(since(text).is_err(), "{text}");
        }
    }

    #[test]
    fn two_weeks_are_told_by_day_and_more_by_week() {
        let query = |since, by| AnalyticsArgs { team: None, since, until: None, by }.query().every;
        let ago = |days: u64| Since::Ago(Duration::from_secs(days * 86_400));
        assert_eq!((query(ago(7), None), query(ago(30), None)), (Every::Day, Every::Week));
        assert_eq!((query(ago(7), Some(By::Week)), query(ago(30), Some(By::Day))), (Every::Week, Every::Day));
    }
}
