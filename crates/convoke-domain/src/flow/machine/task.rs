//! Tasks that the machine makes: what agents are told, who they are, in what form they answer.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::scene::Said;
use super::{Begun, Frame, Machine, State, Turn, What, failed};
use crate::flow::{How, MergeStep, PlanRule, Step, TaskStep, VoteStep, path, template};
use crate::material;
use crate::merge::{self, Contribution, MergeRule, merge};
use crate::pattern::plan::PlannedTask;
use crate::pattern::{NewTask, Stage, TaskRef};
use crate::task::Priority;
use crate::vote::{self, VoteRule};

/// The most bytes of one result that an agent is shown.
const SEEN_MAX: usize = 64 << 10;
/// The most bytes of an earlier phase's result that an agent is told.
const PHASE_MAX: usize = 4 << 10;

/// Names the task at a path.
pub(super) fn reference(at: &str) -> TaskRef {
    TaskRef { stage: Stage::Step.as_str(), round: 1, key: at.to_owned() }
}

/// What all tasks of flows have in common.
fn new_task(at: &str, agent: String, title: String, instructions: String) -> NewTask {
    NewTask {
        key: at.to_owned(),
        title,
        instructions,
        stage: Stage::Step,
        round: 1,
        agent,
        priority: Priority::Normal,
        output_schema: None,
        after: Vec::new(),
        timeout_s: None,
        retries: None,
    }
}

impl<'a> Machine<'a, '_> {
    pub(super) fn start_task(&mut self, at: &str, step: &'a Step, task: &'a TaskStep) -> Turn<Begun> {
        let agent = match self.agent_of(at, task)? {
            Ok(agent) => agent,
            Err(reason) => return Ok(failed(reason)),
        };
        let mut instructions = match self.render(at, &task.instructions)? {
            Ok(text) => text,
            Err(reason) => return Ok(failed(format!("`instructions`: {reason}"))),
        };
        self.background(at, &mut instructions)?;
        self.show(at, &task.see, &mut instructions)?;
        let title = match &step.title {
            Some(title) => match self.render(at, title)? {
                Ok(title) => material::one_line(&title, 120),
                Err(reason) => return Ok(failed(format!("`title`: {reason}"))),
            },
            None => title_of(at),
        };
        let mut new = new_task(at, agent, title, instructions);
        new.priority = task.priority;
        new.output_schema = match self.form(at, task)? {
            Ok(form) => form,
            Err(reason) => return Ok(failed(reason)),
        };
        new.timeout_s = step.timeout_s;
        new.retries = task.retries;
        self.created.push(new);
        // An attempt has its own clock; this one is that of the step, through all attempts and however long a person thinks.
        if step.timeout_s.is_some() {
            let (due, item) = (self.due_at(step.timeout_s, None), self.items.get(at).cloned());
            self.memory.set(at, Frame { due, item, ..Frame::default() });
        }
        Ok(Begun::Open)
    }

    /// Who does a task, of those who may.
    fn agent_of(&mut self, at: &str, task: &'a TaskStep) -> Turn<Said<String>> {
        let agent = self.agent(at, &task.agent, &task.needs)?;
        let (Ok(name), Some(among)) = (&agent, &task.among) else { return Ok(agent) };
        Ok(match self.names(at, among)? {
            Ok(names) if names.contains(name) => agent,
            Ok(names) => Err(format!("`agent` is `{name}`, and `among` gives {}", names.join(", "))),
            Err(reason) => Err(format!("`among`: {reason}")),
        })
    }

    /// The form of a task's answer, with the names that a part of it may be.
    fn form(&mut self, at: &str, task: &'a TaskStep) -> Turn<Said<Option<Value>>> {
        let mut form = task.output.clone();
        let Some((part, names)) = &task.one_of else { return Ok(Ok(form)) };
        let names = match self.names(at, names)? {
            Ok(names) => names,
            Err(reason) => return Ok(Err(reason)),
        };
        if let Some(part) = form.as_mut().and_then(|form| form["properties"].get_mut(part)) {
            part["enum"] = names.into_iter().map(Value::from).chain([Value::Null]).collect();
        }
        Ok(Ok(form))
    }

    /// Who does it: whom the template names, or who is capable.
    fn agent(&mut self, at: &str, name: &str, needs: &[String]) -> Turn<Said<String>> {
        let spec = self.scope.spec;
        if name.is_empty() {
            let members = spec.members();
            let able = members.iter().find(|(_, can)| needs.iter().all(|need| can.contains(need)));
            return Ok(able
                .map(|(name, _)| name.clone())
                .ok_or_else(|| format!("no member is capable of {}", needs.join(", "))));
        }
        let name = match self.render(at, name)? {
            Ok(name) => name.trim().to_owned(),
            Err(reason) => return Ok(Err(format!("`agent`: {reason}"))),
        };
        let is_known = name == spec.team.coordinator || spec.team.members.iter().any(|member| member.profile == name);
        Ok(if is_known { Ok(name) } else { Err(format!("`{}` is not a member of the team", material::shown(&name))) })
    }

    /// What whoever works at a path has to know of the run: what came before, and why it is done again.
    fn background(&mut self, at: &str, text: &mut String) -> Turn<()> {
        self.earlier_phases(at, text)?;
        self.sent_back(at, text)
    }

    /// What a gate sent back, and why: quoted, as what it says may come from what others wrote.
    fn sent_back(&mut self, at: &str, text: &mut String) -> Turn<()> {
        for pair in path::line(at).windows(2) {
            let [above, below] = pair else { continue };
            let Some(State::Block(block)) = self.memory.frame(above)?.map(|frame| &frame.state) else { continue };
            let (_, segment) = path::split(below).unwrap_or_default();
            let Some(place) = self.place_of(above, path::id_of(segment))? else { continue };
            let visit = block.visit(place);
            let Some((gate, back)) = block.sent_back(place).filter(|_| visit > 1) else { continue };
            let steps = self.steps_at(above)?;
            let (gate, reason) =
                (steps[gate as usize].id.trim_start_matches('_'), material::quoted(&back.reason, SEEN_MAX));
            let _ = write!(text, "\n\n# Why this is done again\n\nThe gate `{gate}` sent it back:\n\n{reason}");
            let before = path::visited(above, path::id_of(segment), visit - 1);
            let earlier = self.earlier(&before, (below, at))?;
            if !earlier.trim().is_empty() {
                let _ = write!(text, "\n\n# What came of it the time before\n\n{earlier}");
            }
        }
        Ok(())
    }

    /// What came of a step that is visited again: of the same task within it, or, at the beginning of rounds, of the whole step.
    fn earlier(&mut self, before: &str, (step, at): (&str, &str)) -> Turn<String> {
        let round = self.round(at)?.filter(|(rounds, _)| rounds == step || path::is_below(rounds, step));
        if round.as_ref().is_some_and(|(_, round)| *round > 1) {
            return Ok(String::new());
        }
        if step != at {
            self.memory.all_below(before)?;
        }
        let task = format!("{before}{}", at.strip_prefix(step).unwrap_or_default());
        let value = match round {
            Some(_) => self.result_at(before)?,
            None => self.task_value(&task)?.unwrap_or(Value::Null),
        };
        Ok(match &value {
            Value::Null => String::new(),
            Value::Array(list) => material::head_of(&template::attributed(list), SEEN_MAX).to_owned(),
            other => material::quoted(&template::text_of(other), SEEN_MAX),
        })
    }

    /// What earlier parts of the run came to.
    fn earlier_phases(&mut self, at: &str, text: &mut String) -> Turn<()> {
        let mut out = String::new();
        for pair in path::line(at).windows(2) {
            let [above, below] = pair else { continue };
            let steps = self.steps_at(above)?;
            let (_, segment) = path::split(below).unwrap_or_default();
            let Some(here) = self.place_in(steps, path::id_of(segment)) else { continue };
            let here = here as usize;
            if steps[here].phase.is_none() {
                continue;
            }
            for step in steps[..here].iter().filter(|step| step.phase.is_some()) {
                let value = match step.phase.as_ref().and_then(|phase| phase.summary.as_ref()) {
                    Some(summary) => {
                        let inside = self.phase_path(above, &step.id)?;
                        self.render_in(&inside, summary)?.unwrap_or_default()
                    }
                    None => template::text_of(&self.result_named(below, &step.id)?),
                };
                if !value.trim().is_empty() {
                    let _ = write!(out, "\n## Phase `{}`\n\n{}", step.id, material::quoted(&value, PHASE_MAX));
                }
            }
        }
        if !out.is_empty() {
            let _ = write!(text, "\n\n# What came before\n{out}");
        }
        Ok(())
    }

    fn phase_path(&self, block: &str, id: &str) -> Turn<String> {
        let place = self.place_of(block, id)?.unwrap_or_default();
        Ok(path::visited(block, id, self.block_at(block)?.visit(place)))
    }

    /// Results as material: quoted, with who said what.
    fn show(&mut self, at: &str, names: &[String], text: &mut String) -> Turn<()> {
        for name in names {
            let value = self.result_named(at, name)?;
            let body = match &value {
                Value::Null => continue,
                Value::Array(list) => template::attributed(list),
                other => material::quoted(&template::text_of(other), SEEN_MAX),
            };
            let label = name.trim_start_matches("previous.").trim_start_matches('_');
            let _ = write!(text, "\n\n# Result: {label}\n\n{body}");
        }
        Ok(())
    }

    pub(super) fn plan_task(&mut self, at: &str, rule: &'a PlanRule, schema: Value) -> Turn<Said<()>> {
        let child = path::join(at, super::split::PLAN);
        let agent = match self.agent(at, &rule.by, &[])? {
            Ok(agent) => agent,
            Err(reason) => return Ok(Err(reason)),
        };
        let said = match self.render(at, &rule.instructions)? {
            Ok(text) => text,
            Err(reason) => return Ok(Err(format!("`instructions`: {reason}"))),
        };
        let mut instructions = format!(
            "Break the work down into parts that can be done at the same time where possible. Give each to the one whose field it is, \
             with everything that one needs to know.\n\n{said}"
        );
        self.background(&child, &mut instructions)?;
        self.show(at, &rule.see, &mut instructions)?;
        let mut new = new_task(&child, agent, format!("Plan {}", title_of(at)), instructions);
        new.priority = Priority::High;
        new.output_schema = Some(schema);
        self.created.push(new);
        Ok(Ok(()))
    }

    pub(super) fn planned_task(&mut self, at: &str, planned: &PlannedTask) -> Turn<()> {
        // One that says nothing to do is the run's task, from the point of view of whoever does it.
        let said = if planned.instructions.is_empty() { self.scope.task } else { &planned.instructions };
        let mut instructions = said.to_owned();
        if !planned.expected_output.is_empty() {
            let _ = write!(instructions, "\n\nExpected output: {}", planned.expected_output);
        }
        self.background(at, &mut instructions)?;
        let title = if planned.title.is_empty() { planned.key.clone() } else { planned.title.clone() };
        let mut new = new_task(at, planned.assignee.clone().unwrap_or_default(), title, instructions);
        new.after = super::split::dependencies(at, planned);
        self.created.push(new);
        Ok(())
    }

    pub(super) fn ballot_task(
        &mut self,
        at: &str,
        vote: &'a VoteStep,
        (voter, rule): (&str, &VoteRule),
    ) -> Turn<Said<()>> {
        let above = path::split(at).map_or("", |(above, _)| above).to_owned();
        let question = match self.render(&above, &vote.question)? {
            Ok(text) => text,
            Err(reason) => return Ok(Err(format!("`question`: {reason}"))),
        };
        let mut instructions = format!("Vote on this, by your own judgement and for your own reasons:\n\n{question}");
        if !rule.options.is_empty() {
            let _ = write!(instructions, "\n\nThe options:\n");
            for option in &rule.options {
                let _ = writeln!(instructions, "- {}", material::one_line(option, 2_000));
            }
        }
        self.background(at, &mut instructions)?;
        self.show(&above, &vote.see, &mut instructions)?;
        let mut new = new_task(at, voter.to_owned(), format!("{voter} votes"), instructions);
        new.output_schema = Some(vote::schema(rule));
        self.created.push(new);
        Ok(Ok(()))
    }

    pub(super) fn start_merge(&mut self, at: &str, step: &'a MergeStep) -> Turn<Begun> {
        let is_name = step.of.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let list = if is_name {
            self.result_named(at, &step.of)?
        } else {
            match self.evaluate(at, &step.of)? {
                Ok(list) => list,
                Err(reason) => return Ok(failed(format!("`of`: {reason}"))),
            }
        };
        let Some(list) = list.as_array() else { return Ok(failed("`of` must give a list".into())) };
        let inputs: Vec<Contribution> =
            list.iter().enumerate().map(|(place, item)| self.contribution(step, place, item)).collect();
        let rule = MergeRule { how: how(step.how), by: step.by.clone(), ..MergeRule::default() };
        let merged = merge(&rule, &inputs);
        if merged.value.is_null() {
            return Ok(failed("there was nothing to merge, or nothing in common".into()));
        }
        let facts = json!({
            "how": step.how, "from": merged.from, "missing": merged.missing,
            "disagreements": merged.disagreements, "more_disagreements": merged.more_disagreements,
            "digest": template::digest(&template::voices(list))
        });
        self.note(What::MergeCompleted, at, facts);
        Ok(self.leaf(at, merged.value))
    }

    fn contribution(&self, step: &MergeStep, place: usize, item: &Value) -> Contribution {
        let is_share = item.get("ok").is_some_and(Value::is_boolean) && item.get("key").is_some();
        let (agent, value) = if is_share {
            let name = item["agent"].as_str().or(item["key"].as_str()).unwrap_or_default();
            (name.to_owned(), if item["ok"] == true { &item["value"] } else { &Value::Null })
        } else {
            ((place + 1).to_string(), item)
        };
        let part = |name: &Option<String>| name.as_ref().map(|name| value.get(name).cloned().unwrap_or(Value::Null));
        let score = part(&step.score).and_then(|score| score.as_f64());
        let weight = self.scope.spec.weights.weight(&agent, None, 2);
        Contribution { value: part(&step.field).unwrap_or_else(|| value.clone()), weight, score, agent }
    }
}

fn how(how: How) -> merge::How {
    match how {
        How::Union => merge::How::Union,
        How::Intersection => merge::How::Intersection,
        How::Combine | How::Synthesis => merge::How::Combine,
        How::Majority => merge::How::Majority,
        How::Weighted => merge::How::Weighted,
        How::BestOf => merge::How::BestOf,
    }
}

/// A title for a task that has none: what its path says.
fn title_of(at: &str) -> String {
    let words: Vec<String> = at.split('/').map(|part| part.trim_start_matches('_').replace('_', " ")).collect();
    let title = words.join(": ");
    let mut chars = title.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
