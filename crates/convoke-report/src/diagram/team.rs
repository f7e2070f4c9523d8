//! A coordinator and workers, which have no flow: the stages of their runs.

use convoke_domain::spec::RunSpec;
use convoke_domain::team::{Planning, Team};

use super::run::Standings;
use super::step::Scene;
use super::words::Words;
use super::{Diagram, Edge, Lane, Look, Shape, of_steps, short};
use crate::phrase;

/// The diagram of what a team does, with the values that it gives its pattern.
pub fn of_team(spec: &RunSpec) -> Diagram {
    let team = &spec.team;
    let title = short(&team.name);
    match &team.flow {
        Some(flow) => of_steps(title, flow, Scene { words: &Words::of(spec), standings: &Standings::default() }),
        None => Diagram { title, notes: Vec::new(), lane: stages(team) },
    }
}

fn stages(team: &Team) -> Lane {
    let coordinator = short(&team.coordinator);
    let by_coordinator =
        |name: &str| Shape { name: name.to_owned(), lines: vec![coordinator.clone()], ..Shape::default() };
    let mut boxes: Vec<Shape> = Vec::new();
    match team.rules.planning {
        Planning::Plan => boxes.push(by_coordinator("plan")),
        Planning::Brief => boxes.push(by_coordinator("brief")),
        Planning::Fixed | Planning::SameTask => {}
    }
    let lines = match team.rules.max_rounds {
        0 | 1 => Vec::new(),
        rounds => vec![format!("at most {}", phrase::plural(i64::from(rounds), "round"))],
    };
    boxes.push(Shape { name: "work".into(), lines, look: Look::Group, lanes: work(team), ..Shape::default() });
    boxes.push(by_coordinator("synthesis"));
    if team.rules.validation_rounds > 0 {
        let lines = vec![
            "members judge".to_owned(),
            format!("at most {}", phrase::plural(i64::from(team.rules.validation_rounds), "round")),
        ];
        boxes.push(Shape { name: "validation".into(), lines, look: Look::Choice, ..Shape::default() });
    }
    Lane { label: String::new(), edges: chain(boxes.len()), boxes }
}

fn work(team: &Team) -> Vec<Lane> {
    if team.rules.planning == Planning::Fixed {
        let places = |keys: &[String]| -> Vec<usize> {
            keys.iter().filter_map(|key| team.tasks.iter().position(|task| task.key == *key)).collect()
        };
        let boxes = team.tasks.iter().map(|task| {
            let who = task.assignee.clone().unwrap_or_else(|| format!("whoever can: {}", task.needs.join(", ")));
            Shape { name: short(&task.key), lines: vec![short(&who)], ..Shape::default() }
        });
        let edges = team.tasks.iter().enumerate().flat_map(|(to, task)| {
            let before = [places(&task.depends_on), places(&task.after)].concat();
            before.into_iter().map(move |from| Edge { from, to, label: String::new(), is_back: false })
        });
        return vec![Lane { label: String::new(), boxes: boxes.collect(), edges: edges.collect() }];
    }
    let member = |name: &str| Lane { boxes: vec![Shape { name: short(name), ..Shape::default() }], ..Lane::default() };
    team.members.iter().map(|one| member(&one.profile)).collect()
}

fn chain(count: usize) -> Vec<Edge> {
    (1..count).map(|to| Edge { from: to - 1, to, label: String::new(), is_back: false }).collect()
}
