//! A run as a tree for the terminal: stages, tasks, attempts, steps, each with who, how long and how much.
//!
//! Rule: no line is wider than [`WIDTH`] columns, and nothing that others wrote reaches the terminal unclean.

use convoke_domain::flow::account::{Fact, FlowAccount, Stand, StepAccount, VoteFact};
use convoke_domain::pattern::Stage;
use convoke_domain::record::{AttemptRecord, RunRecord, StepRecord, TaskRecord};
use convoke_domain::vote::Ballot;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::course::Shown;
use crate::quote::{clean, one_line};
use crate::view::{View, full_name};
use crate::{SIMULATED, course, effect, phrase, sheet};

/// The most columns of a line.
const WIDTH: usize = 110;
/// The most columns that agent, time, cost and tokens take, the two spaces before each not counted.
const COLUMNS: [usize; 4] = [18, 12, 18, 12];
/// The columns left for branches, mark and name.
const NAMES: usize = WIDTH - (18 + 12 + 18 + 12) - 4 * 2;
/// The most columns of a note's lines: what is left under the deepest branches.
const NOTE: usize = WIDTH - 12;
/// The most lines of a note.
const NOTE_LINES: usize = 4;
/// The most steps of one attempt that are shown.
const STEPS_SHOWN: usize = 200;

/// What a line is painted in.
#[derive(Clone, Copy)]
enum Paint {
    Plain,
    Bold,
    Dim,
    Good,
    Bad,
    Held,
    Busy,
}

/// One line: a name and up to four columns.
struct Line {
    /// Branches before the name.
    branches: String,
    /// A mark with its colour.
    mark: Option<(&'static str, Paint)>,
    name: String,
    paint: Paint,
    /// Agent or status, time, cost, tokens.
    columns: [String; 4],
}

/// A run as a tree, at most 110 columns wide; with ANSI colours if `color`. Ends with a line break.
pub fn tree(run: &RunRecord, color: bool) -> String {
    let view = View::new(run);
    let mut lines = run.flow.as_ref().map(|flow| flow_lines(&view, flow)).unwrap_or_default();
    let is_told = |task: &&TaskRecord| run.flow.is_none() || task.stage != Stage::Step.as_str();
    let tasks: Vec<&TaskRecord> = run.tasks.iter().filter(is_told).collect();
    let mut stage = None;
    for (place, task) in tasks.iter().enumerate() {
        let own = (task.stage.as_str(), task.round);
        if stage != Some(own) {
            stage = Some(own);
            lines.push(stage_line(run, task));
        }
        let is_last = tasks.get(place + 1).is_none_or(|next| (next.stage.as_str(), next.round) != own);
        task_lines(&view, task, is_last, &mut lines);
    }
    if !lines.is_empty() {
        lines.insert(0, Line::head());
    }
    let layout = Layout::of(&lines);
    let mut told = head(&view, color);
    told.extend(lines.iter().map(|line| line.write(&layout, color)));
    told.push_str(&foot(&view, color));
    told
}

fn head(view: &View<'_>, color: bool) -> String {
    let run = &view.run.summary;
    let (mark, paint) = mark(&run.state);
    let first =
        format!("{} {}  {} (version {})", painted(mark, paint, color), run.id, clean(&run.team), run.team_version);
    let mut told = format!("{first}\n");
    for line in [view.title(), view.headline()].iter().flat_map(|text| wrapped(text, WIDTH - 2)) {
        told.push_str(&format!("  {line}\n"));
    }
    if run.simulated {
        told.push_str(&format!("  {}\n", painted(&format!("{SIMULATED}."), Paint::Held, color)));
    }
    for (word, text) in [("Why", &run.reason), ("Error", &run.error)] {
        let lines = text.iter().flat_map(|text| wrapped(&format!("{word}: {}", one_line(text, 1_000)), WIDTH - 2));
        told.extend(lines.map(|line| format!("  {line}\n")));
    }
    told.push('\n');
    told
}

/// What a person has to do, if anything.
fn foot(view: &View<'_>, color: bool) -> String {
    let open = effect::open(view);
    let mut told = String::new();
    if !open.is_empty() {
        let advice = wrapped(effect::advice(view), WIDTH).into_iter().map(|line| format!("{line}\n"));
        told.extend(std::iter::once("\n".to_owned()).chain(advice));
        // The key is to be copied, so it is never cut.
        told.extend(
            open.iter().map(|effect| format!("  {}\n", painted(&clean(&effect.record.key), Paint::Bold, color))),
        );
    }
    if let Some(step) = view.next_step() {
        told.extend(
            std::iter::once("\n".to_owned()).chain(wrapped(&step, WIDTH).into_iter().map(|line| format!("{line}\n"))),
        );
    }
    told
}

fn stage_line(run: &RunRecord, task: &TaskRecord) -> Line {
    let rounds = run.tasks.iter().filter(|other| other.stage == task.stage).map(|other| other.round).max();
    let name = one_line(&task.stage, 40);
    let name = if rounds > Some(1) { format!("{name}, round {}", task.round) } else { name };
    Line { name, paint: Paint::Bold, ..Line::plain() }
}

/// The steps of a flow, what stands in a step below it.
fn flow_lines(view: &View<'_>, flow: &FlowAccount) -> Vec<Line> {
    let shown = course::shown(flow);
    let mut rest = shown.as_slice();
    let mut lines: Vec<Line> = Vec::new();
    while !rest.is_empty() {
        let (group, after) = flow_group(view, rest);
        lines.extend(group);
        rest = after;
    }
    if flow.more_steps > 0 {
        let words = course::more(u64::try_from(flow.more_steps).unwrap_or(u64::MAX));
        lines.push(Line { name: words, paint: Paint::Dim, ..Line::plain() });
    }
    lines
}

/// A step with all that stands in it, and what comes after.
fn flow_group<'s, 'a>(view: &View<'_>, shown: &'s [Shown<'a>]) -> (Vec<Line>, &'s [Shown<'a>]) {
    let Some((first, mut rest)) = shown.split_first() else { return (Vec::new(), shown) };
    let (step, depth) = match first {
        Shown::Step(step) => (step, step.depth as usize),
        Shown::More(_, count) => {
            return (vec![Line { name: course::more(*count), paint: Paint::Dim, ..Line::plain() }], rest);
        }
    };
    let mut below = below(view, step);
    while rest.first().is_some_and(|next| next.depth() > depth) {
        let (group, after) = flow_group(view, rest);
        below.push(group);
        rest = after;
    }
    let mut lines = vec![flow_line(view, step)];
    hang("", below, &mut lines);
    (lines, rest)
}

/// What a step's line has below it of its own: steps of its task, why it failed, ballots.
fn below(view: &View<'_>, step: &StepAccount) -> Vec<Vec<Line>> {
    let mut below = view.step_at(&step.path).map(|task| task_below(view, task)).unwrap_or_default();
    match &step.fact {
        Some(Fact::Vote(vote)) => {
            let ballots = vote.ballots.iter().take(course::PARTS_SHOWN);
            below.extend(ballots.map(|ballot| vec![ballot_line(vote, ballot)]));
            let rest = vote.ballots.len().saturating_sub(course::PARTS_SHOWN);
            if rest > 0 {
                below.push(note(&course::more(u64::try_from(rest).unwrap_or(u64::MAX)), Paint::Dim));
            }
        }
        Some(Fact::Gate(_)) => {}
        _ if view.step_at(&step.path).is_none() => {
            below.extend(step.reason.as_deref().map(|reason| note(reason, stand_mark(step.state).1)));
        }
        _ => {}
    }
    below
}

fn ballot_line(vote: &VoteFact, ballot: &Ballot) -> Line {
    let is_dissent = vote.dissent.iter().any(|other| other.voter == ballot.voter);
    let choice = if ballot.abstains { "abstains".to_owned() } else { one_line(&ballot.choice, 200) };
    let reason =
        if ballot.reason.is_empty() { String::new() } else { format!(": {}", one_line(&ballot.reason, WIDTH)) };
    Line {
        name: format!("{} votes {choice}{reason}", one_line(&ballot.voter, 40)),
        paint: if is_dissent { Paint::Held } else { Paint::Dim },
        ..Line::plain()
    }
}

fn flow_line(view: &View<'_>, step: &StepAccount) -> Line {
    let task = view.step_at(&step.path);
    let extent = view.extent(&step.path);
    let again = if step.visit > 1 { format!(", visit {}", step.visit) } else { String::new() };
    let title = step.title.as_deref().map(|title| format!(": {}", one_line(title, WIDTH))).unwrap_or_default();
    let what = match step.kind.as_str() {
        "task" | "item" => one_line(&step.name, 60),
        "round" => format!("round {}", one_line(&step.name, 10)),
        kind => format!("{kind} {}", one_line(&step.name, 60)),
    };
    let said = step.fact.as_ref().map(|_| format!("  {}", course::outcome(step).replace('`', ""))).unwrap_or_default();
    let took = extent.took.map(phrase::duration).unwrap_or_else(|| "–".into());
    let columns = match (task, extent.tasks) {
        (Some(task), _) => [one_line(&task.agent, WIDTH), took, view.cost_of(task), phrase::number(task.tokens)],
        (None, 0) => std::array::from_fn(|_| String::new()),
        (None, _) => ["–".into(), took, extent.cost.to_string(), phrase::number(extent.tokens)],
    };
    let is_part = task.is_some() || matches!(step.kind.as_str(), "task" | "item" | "round");
    Line {
        mark: Some(stand_mark(step.state)),
        name: format!("{what}{again}{title}{said}"),
        paint: if is_part { Paint::Plain } else { Paint::Bold },
        columns,
        ..Line::plain()
    }
}

fn stand_mark(stand: Stand) -> (&'static str, Paint) {
    match stand {
        Stand::Completed => ("✓", Paint::Good),
        Stand::Failed => ("✗", Paint::Bad),
        Stand::Cancelled => ("–", Paint::Bad),
        Stand::Skipped => ("–", Paint::Dim),
        Stand::Pending => ("○", Paint::Dim),
        Stand::Open => ("●", Paint::Busy),
    }
}

fn task_lines(view: &View<'_>, task: &TaskRecord, is_last: bool, lines: &mut Vec<Line>) {
    let [branch, trunk] = if is_last { ["└─ ", "   "] } else { ["├─ ", "│  "] };
    let took = view.took(task).map(phrase::duration).unwrap_or_else(|| "–".into());
    lines.push(Line {
        branches: branch.into(),
        mark: Some(mark(&task.state)),
        name: one_line(&full_name(task), WIDTH),
        columns: [one_line(&task.agent, WIDTH), took, view.cost_of(task), phrase::number(task.tokens)],
        ..Line::plain()
    });
    hang(trunk, task_below(view, task), lines);
}

/// Groups of lines for the attempts of a task, its steps, and what became of it.
fn task_below(view: &View<'_>, task: &TaskRecord) -> Vec<Vec<Line>> {
    let has_one = task.attempts.len() < 2;
    let fate = view.fate(task).filter(|_| task.state != "running");
    let mut below = Vec::new();
    for attempt in &task.attempts {
        if has_one {
            below.extend(step_lines(view, attempt));
        } else {
            below.push(attempt_lines(view, attempt));
        }
    }
    below.extend(fate.map(|fate| note(&fate, mark(&task.state).1)));
    below
}

/// Hangs groups of lines under a trunk: the first of each on a branch, the others below it.
fn hang(trunk: &str, groups: Vec<Vec<Line>>, lines: &mut Vec<Line>) {
    let count = groups.len();
    for (place, group) in groups.into_iter().enumerate() {
        let [branch, below] = if place + 1 == count { ["└─ ", "   "] } else { ["├─ ", "│  "] };
        for (row, mut line) in group.into_iter().enumerate() {
            line.branches = format!("{trunk}{}{}", if row == 0 { branch } else { below }, line.branches);
            lines.push(line);
        }
    }
}

fn attempt_lines(view: &View<'_>, attempt: &AttemptRecord) -> Vec<Line> {
    let took = attempt.finished_at.unwrap_or(view.until).since(attempt.started_at);
    let mut lines = vec![Line {
        mark: Some(mark(&attempt.state)),
        name: format!("attempt {} {}", attempt.n, one_line(&attempt.state, 20)),
        columns: [one_line(&attempt.agent, WIDTH), phrase::duration(took), String::new(), String::new()],
        ..Line::plain()
    }];
    let error = attempt.error.as_deref().map(|error| note(&one_line(error, 600), Paint::Bad));
    hang("", step_lines(view, attempt).into_iter().chain(error).collect(), &mut lines);
    lines
}

/// The steps of an attempt, each with its error below it.
fn step_lines(view: &View<'_>, attempt: &AttemptRecord) -> Vec<Vec<Line>> {
    let error = |step: &StepRecord| step.error.as_deref().map(|error| note(error, Paint::Bad)).unwrap_or_default();
    let told = |step| std::iter::once(step_line(view, step)).chain(error(step)).collect();
    let mut lines: Vec<Vec<Line>> = attempt.steps.iter().take(STEPS_SHOWN).map(told).collect();
    let rest = attempt.steps.len().saturating_sub(STEPS_SHOWN);
    if rest > 0 {
        let rest = phrase::plural(i64::try_from(rest).unwrap_or(i64::MAX), "more step");
        lines.push(note(&format!("… {rest}"), Paint::Dim));
    }
    lines
}

fn step_line(view: &View<'_>, step: &StepRecord) -> Line {
    let is_fine = step.status == "done";
    let status = if is_fine && step.tries < 2 { String::new() } else { sheet::status_word(step) };
    let what = if step.kind == "tool" { sheet::arguments(step, WIDTH) } else { decided(step) };
    let took = view.step_took(step).map(phrase::duration).unwrap_or_else(|| "–".into());
    let paint = if is_fine { Paint::Dim } else { Paint::Held };
    Line {
        name: one_line(&format!("{} {} {what}", step.kind, step.name), WIDTH),
        paint: if matches!(step.status.as_str(), "failed" | "denied" | "lost") { Paint::Bad } else { paint },
        columns: [status, took, String::new(), String::new()],
        ..Line::plain()
    }
}

/// The beginning of what a model said or asked for.
fn decided(step: &StepRecord) -> String {
    step.output.as_deref().map(|output| format!("→ {}", one_line(output, WIDTH))).unwrap_or_default()
}

/// A remark of a few lines.
fn note(text: &str, paint: Paint) -> Vec<Line> {
    let lines = wrapped(&one_line(text, NOTE * NOTE_LINES), NOTE).into_iter().take(NOTE_LINES);
    lines.map(|name| Line { name, paint, ..Line::plain() }).collect()
}

/// A state's mark and colour.
fn mark(state: &str) -> (&'static str, Paint) {
    match state {
        "completed" | "done" | "archived" => ("✓", Paint::Good),
        "failed" | "lost" => ("✗", Paint::Bad),
        "cancelled" => ("–", Paint::Bad),
        "waiting" | "paused" | "blocked" | "escalated" => ("!", Paint::Held),
        "pending" | "ready" | "initializing" => ("○", Paint::Dim),
        _ => ("●", Paint::Busy),
    }
}

impl Line {
    fn plain() -> Self {
        Self {
            branches: String::new(),
            mark: None,
            name: String::new(),
            paint: Paint::Plain,
            columns: std::array::from_fn(|_| String::new()),
        }
    }

    fn head() -> Self {
        Self { columns: ["agent", "time", "cost", "tokens"].map(str::to_owned), paint: Paint::Dim, ..Self::plain() }
    }

    fn branches_width(&self) -> usize {
        self.branches.width() + self.mark.map_or(0, |_| 2)
    }

    /// The columns that the name may take: its own, and those after it that are empty.
    fn room(&self, layout: &Layout) -> usize {
        let empty = self.columns.iter().take_while(|column| column.is_empty()).count();
        let after: usize = layout.columns.iter().take(empty).map(|width| width + 2).sum();
        let all = if empty == self.columns.len() { WIDTH } else { layout.names + after };
        all.saturating_sub(self.branches_width())
    }

    fn write(&self, layout: &Layout, color: bool) -> String {
        let room = self.room(layout);
        let name = cut(&self.name, room);
        let mut told = painted(&self.branches, Paint::Dim, color);
        if let Some((mark, paint)) = self.mark {
            told.push_str(&format!("{} ", painted(mark, paint, color)));
        }
        told.push_str(&painted(&name, self.paint, color));
        let columns = self.columns_text(layout);
        if !columns.is_empty() {
            told.push_str(&" ".repeat(room.saturating_sub(name.width())));
            told.push_str(&painted(&columns, self.paint.of_columns(), color));
        }
        format!("{}\n", told.trim_end())
    }

    /// The columns from the first that is not empty.
    fn columns_text(&self, layout: &Layout) -> String {
        let cells = self.columns.iter().zip(layout.columns).enumerate();
        let told = cells.skip_while(|(_, (column, _))| column.is_empty()).map(|(place, (column, width))| {
            let column = cut(column, width);
            let gap = " ".repeat(width - column.width());
            if place == 0 { format!("  {column}{gap}") } else { format!("  {gap}{column}") }
        });
        told.collect::<String>().trim_end().to_owned()
    }
}

/// How wide names and columns are: as wide as they need, within their limits.
struct Layout {
    names: usize,
    columns: [usize; 4],
}

impl Layout {
    fn of(lines: &[Line]) -> Self {
        let widest = |place: usize| lines.iter().map(|line| line.columns[place].width()).max().unwrap_or(0);
        let columns = std::array::from_fn(|place| widest(place).min(COLUMNS[place]));
        let rest = WIDTH - columns.iter().map(|width| width + 2).sum::<usize>();
        let names = lines.iter().filter(|line| !line.columns[0].is_empty());
        let names = names.map(|line| line.branches_width() + line.name.width()).max().unwrap_or(0);
        Self { names: names.clamp(NAMES, rest), columns }
    }
}

impl Paint {
    /// Columns share a line's colour only where it is a warning.
    const fn of_columns(self) -> Self {
        match self {
            Self::Plain | Self::Bold | Self::Good | Self::Busy => Self::Plain,
            Self::Dim | Self::Bad | Self::Held => self,
        }
    }

    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Good => "32",
            Self::Bad => "31",
            Self::Held => "33",
            Self::Busy => "36",
        }
    }
}

fn painted(text: &str, paint: Paint, color: bool) -> String {
    let is_plain = !color || text.is_empty() || paint.code().is_empty();
    if is_plain { text.to_owned() } else { format!("\u{1b}[{}m{text}\u{1b}[0m", paint.code()) }
}

/// At most `columns` of a text, with `…` for what was cut.
fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > columns {
            break;
        }
        kept.push(c);
    }
    kept.push('…');
    kept
}

/// A sentence in lines of at most `width` columns.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in clean(text).split_whitespace() {
        let line = lines.last_mut().expect("there is a line from the start");
        let word = cut(word, width);
        if !line.is_empty() && line.width() + 1 + word.width() > width {
            lines.push(word);
        } else {
            line.push_str(if line.is_empty() { "" } else { " " });
            line.push_str(&word);
        }
    }
    lines
}
