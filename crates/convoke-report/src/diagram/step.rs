//! Steps of a flow as boxes.

use convoke_domain::flow::{
    BranchStep, Count, GateStep, How, LoopStep, MergeStep, OnClosed, PhaseStep, ReviewStep, SplitStep, Step, Sync, Wait,
};

use super::run::Standings;
use super::{Edge, Lane, Look, Shape, short};

/// A list of steps.
pub(super) fn lane(steps: &[Step], label: &str, standings: &Standings) -> Lane {
    let boxes = steps.iter().map(|step| shape(step, standings)).collect();
    let mut edges = Vec::new();
    for (to, step) in steps.iter().enumerate() {
        for from in before(steps, to) {
            edges.push(Edge {
                from,
                to,
                label: step.when.as_deref().map(|when| short(&format!("when {when}"))).unwrap_or_default(),
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

fn shape(step: &Step, standings: &Standings) -> Shape {
    let mut out = body(step, standings);
    out.name = short(&step.id);
    if let Some(standing) = standings.of(&step.id) {
        out.lines.extend(standing.lines());
        out.state = Some(standing.mood());
    }
    out
}

fn body(step: &Step, standings: &Standings) -> Shape {
    let leaf = |look, lines: Vec<String>| Shape { look, lines, ..Shape::default() };
    if let Some(task) = &step.task {
        let who =
            if task.agent.is_empty() { format!("whoever can: {}", task.needs.join(", ")) } else { name(&task.agent) };
        return leaf(Look::Work, vec![short(&who)]);
    }
    if let Some(value) = &step.value {
        return leaf(Look::Data, vec![short(&format!("= {value}"))]);
    }
    if let Some(split) = &step.split {
        return self::split(split, standings);
    }
    if let Some(sync) = &step.sync {
        return leaf(Look::Data, vec![short(&waits(&Sync::from(sync)))]);
    }
    if step.join.is_some() {
        return leaf(Look::Data, vec!["joins".to_owned()]);
    }
    if let Some(merge) = &step.merge {
        return leaf(Look::Data, vec![short(&merged(merge))]);
    }
    if let Some(body) = &step.r#loop {
        return rounds(body, standings);
    }
    if let Some(branch) = &step.branch {
        return cases(branch, standings);
    }
    if let Some(vote) = &step.vote {
        let voters = vote.voters.as_deref().unwrap_or("members");
        return leaf(Look::Choice, vec![short(&format!("{voters} vote"))]);
    }
    if let Some(review) = &step.review {
        return leaf(Look::Choice, reviewed(review));
    }
    if let Some(handoff) = &step.handoff {
        let among = handoff.among.as_deref().unwrap_or("members");
        let lines =
            [format!("from {}", name(&handoff.start)), format!("among {among}, at most {}", number(&handoff.max))];
        return leaf(Look::Work, lines.map(|line| short(&line)).into());
    }
    if let Some(ask) = &step.ask {
        return leaf(Look::Person, vec![short(&format!("asks {}", name(&ask.whom)))]);
    }
    if let Some(delegate) = &step.delegate {
        return leaf(Look::Work, vec![short(&format!("{} → {}", name(&delegate.by), name(&delegate.to)))]);
    }
    if let Some(gate) = &step.gate {
        return leaf(Look::Choice, vec![short(&bar(gate))]);
    }
    if let Some(phase) = &step.phase {
        return self::phase(phase, standings);
    }
    if let Some(settle) = &step.settle {
        let by = settle.by.and_then(|by| serde_json::to_value(by).ok());
        let by = by.as_ref().and_then(serde_json::Value::as_str).unwrap_or("the team's rule");
        return leaf(Look::Choice, vec![short(&format!("settled by {by}"))]);
    }
    leaf(Look::Work, Vec::new())
}

fn split(split: &SplitStep, standings: &Standings) -> Shape {
    let mut lines = vec![short(&waits(&split.sync))];
    lines.retain(|line| !line.is_empty());
    if let Some(width) = &split.width {
        lines.push(short(&format!("at most {} at once", number(width))));
    }
    let lanes = if !split.branches.is_empty() {
        split.branches.iter().map(|step| lane(std::slice::from_ref(step), "", standings)).collect()
    } else {
        let items = match (&split.over, &split.plan) {
            (Some(over), _) => format!("each of {over}"),
            (None, Some(plan)) => match &plan.items {
                Some(items) if plan.by.is_empty() => format!("each part of {items}"),
                Some(items) => format!("each part of {items}, or that {} plans", name(&plan.by)),
                None => format!("each part that {} plans", name(&plan.by)),
            },
            (None, None) => String::new(),
        };
        match split.r#do.is_empty() {
            false => vec![lane(&split.r#do, &items, standings)],
            true => {
                lines.insert(0, short(&items));
                Vec::new()
            }
        }
    };
    Shape { look: Look::Group, lines, lanes, ..Shape::default() }
}

fn rounds(body: &LoopStep, standings: &Standings) -> Shape {
    let until = format!("until {}", body.until);
    let lines = [until, format!("rounds: at most {}", number(&body.max))];
    let lanes = vec![lane(&body.r#do, "", standings)];
    Shape { look: Look::Group, lines: lines.map(|line| short(&line)).into(), lanes, ..Shape::default() }
}

fn cases(branch: &BranchStep, standings: &Standings) -> Shape {
    let mut lanes: Vec<Lane> =
        branch.cases.iter().map(|case| lane(&case.r#do, &format!("when {}", case.when), standings)).collect();
    if !branch.otherwise.is_empty() {
        lanes.push(lane(&branch.otherwise, "otherwise", standings));
    }
    Shape { look: Look::Group, lanes, ..Shape::default() }
}

fn phase(phase: &PhaseStep, standings: &Standings) -> Shape {
    Shape { look: Look::Group, lanes: vec![lane(&phase.r#do, "", standings)], ..Shape::default() }
}

fn merged(merge: &MergeStep) -> String {
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
        (Some(agent), How::Synthesis) => format!("{how} by {}", name(agent)),
        (None, How::Synthesis) => format!("{how} by coordinator"),
        _ => how.to_owned(),
    }
}

fn reviewed(review: &ReviewStep) -> Vec<String> {
    let lines = [
        format!("{} reviewed", review.of),
        format!("by {}", review.reviewers),
        format!("revised by {}, rounds: at most {}", name(&review.author), number(&review.rounds)),
    ];
    lines.map(|line| short(&line)).into()
}

fn bar(gate: &GateStep) -> String {
    match (&gate.check, gate.require.is_empty()) {
        (Some(check), _) => check.clone(),
        (None, false) => format!("needs {}", gate.require.join(", ")),
        (None, true) => String::new(),
    }
}

/// For how many is waited; nothing where it is all.
fn waits(sync: &Sync) -> String {
    let least = sync.least.as_ref().map(|least| format!(", {} suffice", number(least))).unwrap_or_default();
    match (sync.wait, &sync.count) {
        (Wait::All, _) if least.is_empty() => String::new(),
        (Wait::All, _) => format!("waits for all{least}"),
        (Wait::Any, _) => "waits for the first".to_owned(),
        (Wait::Count, count) => format!("waits for {}{least}", count.as_ref().map_or("some".to_owned(), number)),
    }
}

fn number(count: &Count) -> String {
    match count {
        Count::Number(number) => number.to_string(),
        Count::Expression(text) => text.clone(),
    }
}

/// A template without its braces, where it is one value.
fn name(template: &str) -> String {
    let inner = template.trim().strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
    inner.filter(|inner| !inner.contains("{{")).map_or(template, str::trim).to_owned()
}
