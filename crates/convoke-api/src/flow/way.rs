//! Steps that choose the way: loop, branch, gate, phase.

use super::cost::Least;
use super::form::Form;
use super::{Around, At, Checker, Out, list};
use crate::near::suggest;
use crate::node::Node;

impl<'n> Checker<'n, '_> {
    pub(super) fn rounds(&mut self, body: &'n Node, at: &At<'_, 'n>) -> Out {
        self.count(body.get("max"), at.scope, &at.path("loop.max"));
        let goes_on = body.text_at("on_limit").is_none_or(|(word, _)| word == "continue");
        let around = Around { above: Some(at.scope), locals: &[], is_round: true, depth: at.depth + 1 };
        let until = at.path("loop.until");
        self.steps(body.list("do"), &around, |checker, scope| {
            let Some(node) = body.get("until") else { return };
            match checker.condition(node, scope, &until) {
                Some(true) => {
                    let message = format!("`{until}` is always true, so there is never a second round");
                    let hint = "write a condition over the round's results, or the steps without a loop";
                    checker.say(node, "unreachable_step", message, hint);
                }
                Some(false) if !goes_on => {
                    let message = format!("`{until}` is always false, so the loop always ends at its limit and fails");
                    let hint = "write a condition over the round's results, or `on_limit: continue`";
                    checker.say(node, "never_met", message, hint);
                }
                _ => {}
            }
        })
    }

    pub(super) fn branch(&mut self, branch: &'n Node, at: &At<'_, 'n>) -> Out {
        let mut outs: Vec<Out> = Vec::new();
        let mut always = None;
        for (place, case) in branch.list("cases").iter().enumerate() {
            let what = at.path(&format!("branch.cases[{place}].when"));
            if let Some(earlier) = always {
                let message = format!(
                    "case {} of `{}` is never reached: case {earlier} is always taken",
                    place + 1,
                    at.path("branch")
                );
                self.say(
                    case,
                    "unreachable_step",
                    message,
                    "remove it, or correct the condition of the case before it",
                );
            }
            match case.get("when").and_then(|node| Some((self.condition(node, at.scope, &what)?, node))) {
                Some((true, _)) if always.is_none() => always = Some(place + 1),
                Some((false, node)) => {
                    let message = format!(
                        "case {} of `{}` is never taken: its condition is always false",
                        place + 1,
                        at.path("branch")
                    );
                    self.say(node, "unreachable_step", message, "remove the case, or correct its condition");
                }
                _ => {}
            }
            outs.push(self.within(case.list("do"), at));
        }
        let otherwise = branch.list("otherwise");
        match (always, otherwise.first()) {
            (Some(case), Some(first)) => {
                let message =
                    format!("`{}` is never reached: case {case} is always taken", at.path("branch.otherwise"));
                self.say(first, "unreachable_step", message, "remove it, or correct the condition of that case");
                self.within(otherwise, at);
            }
            (None, Some(_)) => outs.push(self.within(otherwise, at)),
            (Some(_), None) => {}
            (None, None) => {
                let form = outs.into_iter().map(|out| out.form).reduce(Form::both).unwrap_or(Form::Any);
                return Out::free(form.or_none());
            }
        }
        let least = outs.iter().map(|out| out.least).reduce(Least::or).unwrap_or_default();
        Out::new(outs.into_iter().map(|out| out.form).reduce(Form::both).unwrap_or(Form::Any), least)
    }

    fn within(&mut self, steps: &'n [Node], at: &At<'_, 'n>) -> Out {
        let around = Around { above: Some(at.scope), locals: &[], is_round: false, depth: at.depth + 1 };
        self.steps(steps, &around, |_, _| {})
    }

    pub(super) fn phase(&mut self, phase: &'n Node, at: &At<'_, 'n>) -> Out {
        let around = Around { above: Some(at.scope), locals: &[], is_round: false, depth: at.depth + 1 };
        let what = at.path("phase.summary");
        self.steps(phase.list("do"), &around, |checker, scope| {
            if let Some(summary) = phase.get("summary") {
                checker.template(summary, scope, &what);
            }
        })
    }

    pub(super) fn gate(&mut self, gate: &'n Node, at: &At<'_, 'n>) -> Out {
        for node in gate.list("require") {
            self.named(node, at.scope, &at.path("gate.require"));
        }
        let check = gate.get("check").filter(|node| !node.is_null());
        let always = check.and_then(|node| self.condition(node, at.scope, &at.path("gate.check")));
        if check.is_none() && gate.list("require").is_empty() {
            let message = format!("`{}` asks for nothing, so it is always open", at.path("gate"));
            self.say(gate, "no_condition", message, "add `require: [STEP]` or `check: CONDITION`");
        }
        if let (Some(true), Some(node)) = (always, check.filter(|_| gate.list("require").is_empty())) {
            let message = format!("`{}` is always true, so the gate holds nothing back", at.path("gate.check"));
            self.say(node, "no_condition", message, "write a condition over earlier results, or remove the gate");
        }
        let is_back = gate.text_at("on_fail").is_some_and(|(word, _)| word == "back");
        self.back(gate, is_back, at);
        self.handed_over(gate, is_back, at);
        if let (Some(false), true, Some(node)) = (always, is_back, check) {
            let message = format!("`{}` is always false, so the flow goes back until its limit", at.path("gate.check"));
            self.say(node, "never_met", message, "write a condition over earlier results");
        }
        Out::free(Form::Flag)
    }

    /// What a person gets from a closed gate.
    fn handed_over(&mut self, gate: &'n Node, is_back: bool, at: &At<'_, 'n>) {
        let Some(node) = gate.get("output").filter(|node| !node.is_null()) else { return };
        let what = at.path("gate.output");
        let says = |field: &str| gate.text_at(field).is_some_and(|(word, _)| word == "escalate");
        let is_for_somebody = says("on_fail") || (is_back && says("on_limit"));
        if !is_for_somebody {
            let message = format!("`{what}` has no effect: no person gets the run from this gate");
            self.say(node, "unused_field", message, "add `on_fail: escalate`, or remove it");
        }
        self.expression(node, at.scope, &what);
    }

    /// Where a closed gate sends the flow.
    fn back(&mut self, gate: &'n Node, is_back: bool, at: &At<'_, 'n>) {
        let what = at.path("gate.back_to");
        let here = at.scope.at;
        match gate.get("back_to").filter(|node| !node.is_null()) {
            Some(node) if !is_back => {
                let message = format!("`{what}` has no effect without `on_fail: back`");
                self.say(node, "unused_field", message, "add `on_fail: back`, or remove it");
            }
            Some(node) => {
                let Some(name) = node.text() else { return };
                match at.scope.list.place(name) {
                    None => self.not_in_list(node, name, (at.scope, &what)),
                    Some(place) if place >= here => {
                        let names: Vec<&str> = at.scope.list.steps[..here].iter().map(list::id).collect();
                        let message = format!("`{what}` is `{name}`, which does not come before the gate");
                        self.say(
                            node,
                            "unreachable_result",
                            message,
                            suggest("", names, "a gate needs a step before it"),
                        );
                    }
                    Some(_) => {}
                }
            }
            None if is_back && here == 0 => {
                let message = format!("`{}` goes back, but there is no step before it in its list", at.path("gate"));
                self.say(gate, "never_met", message, "put the gate behind the step that is to be done again");
            }
            None => {}
        }
    }

    /// A gate that never opens leaves what stands behind it without a use.
    pub(super) fn behind_closed_gates(&mut self, steps: &'n [Node]) {
        for (place, step) in steps.iter().enumerate() {
            let Some(gate) = step.get("gate") else { continue };
            let ends = gate.text_at("on_fail").is_none_or(|(word, _)| word != "back");
            let is_false =
                gate.text_at("check").is_some_and(|(text, _)| matches!(text.trim(), "false" | "False" | "none"));
            let is_plain =
                step.get("when").is_none() && step.text_at("on_failure").is_none_or(|(word, _)| word != "continue");
            let Some(next) = steps.get(place + 1).filter(|_| ends && is_false && is_plain) else { continue };
            let (id, closed) = (list::id(next), list::id(step));
            let message = format!("the step `{id}` is never reached: the gate `{closed}` before it is always closed");
            self.say(next, "unreachable_step", message, "correct the gate's `check`, or remove what stands behind it");
        }
    }
}
