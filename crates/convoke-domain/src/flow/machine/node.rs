//! What of the flow stands at a path.

use super::{Machine, State, Turn};
use crate::flow::Step;
use crate::flow::path;

/// What stands at a path.
#[derive(Clone, Copy)]
pub(super) enum Node<'a> {
    /// A list of steps: the whole flow, a round of a loop, an item of a split.
    Block(&'a [Step]),
    /// A step.
    Step(&'a Step),
    /// A task that the flow does not name: a planner, a planned item, a ballot.
    Task,
    /// Nothing.
    Nothing,
}

impl<'a> Machine<'a, '_> {
    /// What stands at a path.
    pub(super) fn node(&self, at: &str) -> Turn<Node<'a>> {
        let mut node = Node::Block(&self.scope.flow.steps);
        for step in path::line(at).windows(2) {
            let [above, below] = step else { continue };
            let (_, segment) = path::split(below).unwrap_or_default();
            node = self.within(node, above, segment)?;
        }
        Ok(node)
    }

    fn within(&self, node: Node<'a>, above: &str, segment: &str) -> Turn<Node<'a>> {
        let step = match node {
            Node::Block(steps) => return Ok(self.find(steps, path::id_of(segment))),
            Node::Step(step) => step,
            Node::Task | Node::Nothing => return Ok(Node::Nothing),
        };
        if let Some(split) = &step.split {
            if !split.branches.is_empty() {
                return Ok(self.find(&split.branches, segment));
            }
            if split.r#do.is_empty() || (split.plan.is_some() && segment == super::split::PLAN) {
                return Ok(Node::Task);
            }
            return Ok(match split.r#do.as_slice() {
                [only] => Node::Step(only),
                many => Node::Block(many),
            });
        }
        if let Some(body) = &step.r#loop {
            return Ok(Node::Block(&body.r#do));
        }
        if step.vote.is_some() {
            return Ok(Node::Task);
        }
        Ok(self.find(self.steps_of(step, above)?, path::id_of(segment)))
    }

    fn find(&self, steps: &'a [Step], id: &str) -> Node<'a> {
        self.place_in(steps, id).map_or(Node::Nothing, |place| Node::Step(&steps[place as usize]))
    }

    /// The list of steps at a path; empty if there is none.
    pub(super) fn steps_at(&self, at: &str) -> Turn<&'a [Step]> {
        match self.node(at)? {
            Node::Block(steps) => Ok(steps),
            Node::Step(step) => self.steps_of(step, at),
            Node::Task | Node::Nothing => Ok(&[]),
        }
    }

    /// The steps of a phase, or of the case of a branch that was chosen.
    fn steps_of(&self, step: &'a Step, at: &str) -> Turn<&'a [Step]> {
        if let Some(phase) = &step.phase {
            return Ok(&phase.r#do);
        }
        let Some(branch) = &step.branch else { return Ok(&[]) };
        let case = match self.memory.frame(at)?.map(|frame| &frame.state) {
            Some(State::Block(block)) => block.case.unwrap_or(0),
            _ => 0,
        };
        Ok(match case {
            0 => &branch.otherwise,
            place => branch.cases.get(place as usize - 1).map_or(&[][..], |case| &case.r#do),
        })
    }
}
