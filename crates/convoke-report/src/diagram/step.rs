//! Steps of a flow as boxes.

use convoke_domain::flow::{
    BranchStep, GateStep, How, LoopStep, MergeStep, OnClosed, PhaseStep, ReviewStep, SplitStep, Step, Sync, Wait,
};

use super::run::Standings;
use super::words::{self, Words};
use super::{Edge, Lane, Look, Shape, short};

/// What steps are drawn with.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    /// What their texts stand for.
    pub(super) words: &'a Words,
    /// What became of them.
    pub(super) standings: &'a Standings,
}

/// A list of steps.
pub(super) fn lane(steps: &[Step], label: &str, scene: Scene<'_>) -> Lane {
    let boxes = steps.iter().map(|step| shape(step, scene)).collect();
    let mut edges = Vec::new();
    for (to, step) in steps.iter().enumerate() {
        for from in before(steps, to) {
            edges.push(Edge {
                from,
                to,
                label: step.when.as_deref().map(|when| when_label(when, scene)).unwrap_or_default(),
                is_back: false,
            });
        }
        if let Some(gate) = step.gate.as_ref().filter(|gate| gate.on_fail == OnClosed::Back) {
            let back = match &gate.back_to {
                Some(id) => steps.iter().position(|other| other.id == *id),
                None => to.checked_sub(1),
            };
            edges.extend(back.map(|back| Edge {
                from: to,
                to: back,
                label: format!("else back, at most {}×", gate.max),
                is_back: true,
            }));
        }
    }
    Lane { label: short(label), boxes, edges }
}

fn when_label(when: &str, scene: Scene<'_>) -> String {
    short(&format!("when {}", scene.words.as_it_is(when)))
}

/// For which steps of its list a step waits.
fn before(steps: &[Step], at: usize) -> Vec<usize> {
    let step = &steps[at];
    let places = |ids: &[String]| -> Vec<usize> {
        ids.iter().filter_map(|id| steps.iter().position(|other| other.id == *id)).collect()
    };
    match (&step.after, &step.sync, &step.join) {
        (Some(after), ..) => places(after),
        (None, Some(sync), _) => places(&sync.of),
        (None, None, Some(join)) => places(&join.of),
        (None, None, None) => at.checked_sub(1).into_iter().collect(),
    }
}

fn shape(step: &Step, scene: Scene<'_>) -> Shape {
    let mut out = body(step, scene);
    out.name = short(&step.id);
    if let Some(standing) = scene.standings.of(&step.id) {
        out.lines.extend(standing.lines());
        out.state = Some(standing.mood());
    }
    out
}

fn body(step: &Step, scene: Scene<'_>) -> Shape {
    let leaf = |look, lines: Vec<String>| Shape { look, lines, ..Shape::default() };
    let words = scene.words;
    if let Some(task) = &step.task {
        let who = if task.agent.is_empty() {
            format!("whoever can: {}", task.needs.join(", "))
        } else {
            words.name(&task.agent)
        };
        return leaf(Look::Work, vec![short(&who)]);
    }
    if let Some(value) = &step.value {
        return leaf(Look::Data, vec![short(&format!("= {}", words.as_it_is(&short(value))))]);
    }
    if let Some(split) = &step.split {
        return self::split(split, scene);
    }
    if let Some(sync) = &step.sync {
        return leaf(Look::Data, vec![short(&waits(&Sync::from(sync), words))]);
    }
    if step.join.is_some() {
        return leaf(Look::Data, vec!["joins".to_owned()]);
    }
    if let Some(merge) = &step.merge {
        return leaf(Look::Data, vec![short(&merged(merge, words))]);
    }
    if let Some(body) = &step.r#loop {
        return rounds(body, scene);
    }
    if let Some(branch) = &step.branch {
        return cases(branch, scene);
    }
    if let Some(vote) = &step.vote {
        let voters = vote.voters.as_deref().unwrap_or("members");
        return leaf(Look::Choice, words::lines(&format!("{} vote", words.expression(voters))));
    }
    if let Some(review) = &step.review {
        return leaf(Look::Choice, reviewed(review, words));
    }
    if let Some(handoff) = &step.handoff {
        let among = handoff.among.as_deref().unwrap_or("members");
        let mut lines = vec![short(&format!("from {}", words.name(&handoff.start)))];
        lines.extend(words::lines(&format!("among {}", words.expression(among))));
        lines.push(short(&format!("in a row: at most {}", words.number(&handoff.max))));
        return leaf(Look::Work, lines);
    }
    if let Some(ask) = &step.ask {
        return leaf(Look::Person, vec![short(&format!("asks {}", words.name(&ask.whom)))]);
    }
    if let Some(delegate) = &step.delegate {
        return leaf(Look::Work, vec![short(&format!("{} → {}", words.name(&delegate.by), words.name(&delegate.to)))]);
    }
    if let Some(gate) = &step.gate {
        return leaf(Look::Choice, vec![short(&bar(gate, words))]);
    }
    if let Some(phase) = &step.phase {
        return self::phase(phase, scene);
    }
    if let Some(settle) = &step.settle {
        let by = settle.by.or(words.conflict()).and_then(|by| serde_json::to_value(by).ok());
        let by = by.as_ref().and_then(serde_json::Value::as_str).unwrap_or("the team's rule");
        return leaf(Look::Choice, vec![short(&format!("settled by {by}"))]);
    }
    leaf(Look::Work, Vec::new())
}

fn split(split: &SplitStep, scene: Scene<'_>) -> Shape {
    let mut lines = vec![short(&waits(&split.sync, scene.words))];
    lines.retain(|line| !line.is_empty());
    if let Some(width) = &split.width {
        lines.push(short(&format!("at most {} at once", scene.words.number(width))));
    }
    let lanes = if !split.branches.is_empty() {
        split.branches.iter().map(|step| lane(std::slice::from_ref(step), "", scene)).collect()
    } else {
        let items = match (&split.over, &split.plan) {
            (Some(over), _) => format!("each of {}", scene.words.expression(over)),
            (None, Some(plan)) => match plan.items.as_deref().map(|items| scene.words.expression(items)) {
                Some(items) if plan.by.is_empty() => format!("each part of {items}"),
                Some(items) => format!("each part of {items}, or that {} plans", scene.words.name(&plan.by)),
                None => format!("each part that {} plans", scene.words.name(&plan.by)),
            },
            (None, None) => String::new(),
        };
        let told = words::lines(&items);
        let is_short = told.len() == 1 && !split.r#do.is_empty();
        if !is_short {
            lines.splice(0..0, told);
        }
        if let Some(among) = split.plan.as_ref().and_then(|plan| plan.among.as_deref()) {
            lines.extend(words::lines(&format!("given to {}", scene.words.expression(among))));
        }
        match split.r#do.is_empty() {
            false => vec![lane(&split.r#do, if is_short { &items } else { "each" }, scene)],
            true => Vec::new(),
        }
    };
    Shape { look: Look::Group, lines, lanes, ..Shape::default() }
}

fn rounds(body: &LoopStep, scene: Scene<'_>) -> Shape {
    let until = format!("until {}", scene.words.as_it_is(&body.until));
    let lines = [until, format!("rounds: at most {}", scene.words.number(&body.max))];
    let lanes = vec![lane(&body.r#do, "", scene)];
    Shape { look: Look::Group, lines: lines.map(|line| short(&line)).into(), lanes, ..Shape::default() }
}

/// The cases that may be taken: where it is known beforehand which one is, it alone.
fn cases(branch: &BranchStep, scene: Scene<'_>) -> Shape {
    let mut lanes: Vec<Lane> = Vec::new();
    let mut is_settled = false;
    for case in branch.cases.iter().filter(|case| scene.words.holds(&case.when) != Some(false)) {
        is_settled = scene.words.holds(&case.when) == Some(true);
        let label = if is_settled { String::new() } else { when_label(&case.when, scene) };
        lanes.push(lane(&case.r#do, &label, scene));
        if is_settled {
            break;
        }
    }
    if !is_settled && !branch.otherwise.is_empty() {
        let label = if lanes.is_empty() { "" } else { "otherwise" };
        lanes.push(lane(&branch.otherwise, label, scene));
    }
    if let ([one], true) = (lanes.as_mut_slice(), is_settled) {
        one.label = String::new();
    }
    Shape { look: Look::Group, lanes, ..Shape::default() }
}

fn phase(phase: &PhaseStep, scene: Scene<'_>) -> Shape {
    Shape { look: Look::Group, lanes: vec![lane(&phase.r#do, "", scene)], ..Shape::default() }
}

fn merged(merge: &MergeStep, words: &Words) -> String {
    let how = match merge.how {
        How::Union => "what anybody says",
        How::Intersection => "what all say",
        How::Combine => "one after the other",
        How::Majority => "what most say",
        How::Weighted => "what weighs most",
        How::BestOf => "the best of them",
        How::Synthesis => "put together",
    };
    match (&merge.agent, merge.how) {
        (Some(agent), How::Synthesis) => format!("{how} by {}", words.name(agent)),
        (None, How::Synthesis) => format!("{how} by {}", words.expression("coordinator")),
        _ => how.to_owned(),
    }
}

fn reviewed(review: &ReviewStep, words: &Words) -> Vec<String> {
    let mut lines = vec![short(&format!("{} reviewed", review.of))];
    lines.extend(words::lines(&format!("by {}", words.expression(&review.reviewers))));
    let (author, rounds) = (words.name(&review.author), words.number(&review.rounds));
    lines.push(short(&format!("revised by {author}")));
    lines.push(short(&format!("rounds: at most {rounds}")));
    lines
}

fn bar(gate: &GateStep, words: &Words) -> String {
    match (&gate.check, gate.require.is_empty()) {
        (Some(check), _) => words.as_it_is(check),
        (None, false) => format!("needs {}", gate.require.join(", ")),
        (None, true) => String::new(),
    }
}

/// For how many is waited; nothing where it is all.
fn waits(sync: &Sync, words: &Words) -> String {
    let least = sync.least.as_ref().map(|least| format!(", {} suffice", words.number(least))).unwrap_or_default();
    match (sync.wait, &sync.count) {
        (Wait::All, _) if least.is_empty() => String::new(),
        (Wait::All, _) => format!("waits for all{least}"),
        (Wait::Any, _) => "waits for the first".to_owned(),
        (Wait::Count, count) => {
            format!("waits for {}{least}", count.as_ref().map_or("some".to_owned(), |count| words.number(count)))
        }
    }
}
