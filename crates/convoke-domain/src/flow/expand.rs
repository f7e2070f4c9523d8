//! The larger primitives in terms of the smaller ones: review, handoff, ask, delegate, settle and synthesis become tasks,
//! splits, loops, branches, gates and values. Done once, when a run starts; the machine knows only the smaller ones.
//!
//! Steps made here whose names begin with `_` cannot clash with those of a pattern, whose names begin with a letter.

use serde_json::{Value, json};

use super::template::as_expression;
use super::{
    AskStep, BranchStep, Case, Conflict, Count, DelegateStep, Flow, GateStep, HandoffStep, How, LoopStep, MergeStep,
    OnClosed, OnFailure, OnLimit, Part, ReviewStep, SettleStep, SplitStep, Step, Sync, TaskStep,
};

/// The step in which a review says what it came to.
pub(super) const REVIEWED: &str = "_reviewed";

/// The part of an answer in which whoever has control says who gets it.
pub(crate) const HAND_TO: &str = "hand_to";

/// The flow in the smaller primitives, for a team that settles disagreement like this.
pub fn expand(flow: &Flow, conflict: Conflict) -> Flow {
    let steps = all(&flow.steps, Whole { flow, conflict });
    Flow { parameters: flow.parameters.clone(), steps, result: flow.result.clone() }
}

/// What a step is part of.
#[derive(Clone, Copy)]
struct Whole<'a> {
    flow: &'a Flow,
    conflict: Conflict,
}

fn all(steps: &[Step], whole: Whole<'_>) -> Vec<Step> {
    steps.iter().map(|step| expand_step(step, whole)).collect()
}

fn expand_step(step: &Step, whole: Whole<'_>) -> Step {
    let mut out = step.clone();
    let title = out.title.clone().unwrap_or_else(|| out.id.replace('_', " "));
    if let Some(review) = out.review.take() {
        let capability = whole.flow.capability_of(&review.of).unwrap_or_default();
        return all_of(review_steps(&review, &title, capability), out, whole);
    }
    if let Some(handoff) = out.handoff.take() {
        return all_of(handoff_steps(&handoff), out, whole);
    }
    if let Some(delegate) = out.delegate.take() {
        return all_of(delegate_steps(&delegate), out, whole);
    }
    if let Some(settle) = out.settle.take() {
        let policy = settle.by.unwrap_or(whole.conflict);
        return all_of(settle_steps(&settle, policy), out, whole);
    }
    if let Some(ask) = out.ask.take() {
        out.task = Some(ask_task(&ask));
        if out.default.is_some() && out.on_failure == OnFailure::Fail {
            out.on_failure = OnFailure::Continue;
        }
    }
    if let Some(merge) = out.merge.take_if(|merge| merge.how == How::Synthesis) {
        out.task = Some(synthesis(&merge));
    }
    if let Some(split) = &mut out.split {
        split.branches = all(&split.branches, whole);
        split.r#do = all(&split.r#do, whole);
    }
    if let Some(body) = &mut out.r#loop {
        body.r#do = all(&body.r#do, whole);
    }
    if let Some(branch) = &mut out.branch {
        branch.cases.iter_mut().for_each(|case| case.r#do = all(&case.r#do, whole));
        branch.otherwise = all(&branch.otherwise, whole);
    }
    if let Some(phase) = &mut out.phase {
        phase.r#do = all(&phase.r#do, whole);
    }
    out
}

/// `frame` with these steps in it, one after the other.
fn all_of(steps: Vec<Step>, mut frame: Step, whole: Whole<'_>) -> Step {
    frame.branch = Some(BranchStep { cases: Vec::new(), otherwise: all(&steps, whole) });
    frame
}

fn named(id: &str) -> Step {
    Step { id: id.to_owned(), ..Step::default() }
}

fn value(id: &str, expression: impl Into<String>) -> Step {
    Step { value: Some(expression.into()), ..named(id) }
}

fn task(id: &str, task: TaskStep) -> Step {
    Step { task: Some(task), ..named(id) }
}

fn titled(id: &str, title: String, does: TaskStep) -> Step {
    Step { title: Some(title), ..task(id, does) }
}

fn rounds(steps: Vec<Step>, until: &str, max: Count, on_limit: OnLimit) -> Step {
    let body = LoopStep { r#do: steps, until: until.to_owned(), max, on_limit };
    Step { r#loop: Some(body), ..named("rounds") }
}

fn object(properties: Value) -> Value {
    let required: Vec<&String> = properties.as_object().into_iter().flat_map(|fields| fields.keys()).collect();
    json!({"type": "object", "additionalProperties": false, "required": required, "properties": properties})
}

/// The same number, one more.
fn one_more(count: &Count) -> Count {
    match count {
        Count::Number(number) => Count::Number(number + 1),
        Count::Expression(text) => Count::Expression(format!("({text}) + 1")),
    }
}

fn limit_of(count: &Count) -> String {
    match count {
        Count::Number(number) => number.to_string(),
        Count::Expression(text) => format!("({text})"),
    }
}

fn review_steps(review: &ReviewStep, title: &str, capability: &str) -> Vec<Step> {
    let work = value("_work", format!("previous.revision if previous.revision is not none else results.{}", review.of));
    let judge = TaskStep {
        agent: "{{ _reviewer }}".into(),
        instructions: format!(
            "Review the work of `{}` below, from the point of view of your field. Accept it if it can stand as it is. Ask for a \
             revision if it can be made right, and say exactly what has to change. Reject it only if it is beyond repair.\n\n{}",
            review.author, review.instructions
        ),
        see: vec!["_work".into()],
        tools: review.tools.clone(),
        output: Some(object(json!({
            "verdict": {"type": "string", "enum": ["accept", "revise", "reject"]},
            "comments": {"type": "string", "description": "why, and what has to change"}
        }))),
        ..TaskStep::default()
    };
    let split = SplitStep {
        over: Some(format!("({}) | without({})", review.reviewers, as_expression(&review.author))),
        r#as: "_reviewer".into(),
        r#do: vec![titled("review", format!("{title}: {{{{ _reviewer }}}}"), judge)],
        limit: 100,
        sync: Sync { least: Some(Count::Number(1)), ..Sync::default() },
        ..SplitStep::default()
    };
    let accept = as_expression(&review.accept);
    let revise = TaskStep {
        agent: review.author.clone(),
        instructions: format!(
            "Revise your work below as its reviewers ask. Meet each objection, or say why it does not hold. Give the whole \
             revised work, not the changes alone.\n\n{}",
            review.instructions
        ),
        see: vec!["_work".into(), "verdicts".into()],
        output: review.output.clone(),
        ..TaskStep::default()
    };
    let may_revise = format!("results._verdict == 'revise' and round < {}", limit_of(&review.rounds));
    let outcome = "{'output': results.revision if results.revision is not none else results._work, \
                   'verdict': results._verdict, 'rounds': round, 'comments': results.verdicts | values | map(attribute='comments') | list}";
    let body = vec![
        work,
        Step { split: Some(split), ..named("verdicts") },
        value("_verdict", format!("results.verdicts | verdict({accept})")),
        Step { when: Some(may_revise), ..titled("revision", format!("{title}: {} revises", review.author), revise) },
        value("_outcome", outcome),
    ];
    // What it came to is taken down before it may fail of it.
    let reviewed = format!(
        "{{'author': {}, 'verdict': results.rounds.verdict, 'rounds': results.rounds.rounds, 'capability': {}}}",
        as_expression(&review.author),
        Value::from(capability)
    );
    let last = rounds(body, "results._verdict != 'revise'", review.rounds.clone(), OnLimit::Continue);
    let mut steps = vec![others_review(review), last, value(REVIEWED, reviewed)];
    if let Some(on_fail) = closed(review.on_limit) {
        let gate = judged("revise", on_fail);
        let title = Some("the last round still asks for a revision".into());
        steps.push(Step { gate: Some(gate), title, ..named("_settled") });
    }
    if let Some(on_fail) = closed(review.on_reject) {
        let gate = judged("reject", on_fail);
        steps.push(Step { gate: Some(gate), title: Some("the reviewers reject it".into()), ..named("_accepted") });
    }
    steps.push(value("_result", "results.rounds"));
    steps
}

/// A bar that holds where the reviewers say anything else. Whoever gets the run there gets the last version.
fn judged(not: &str, on_fail: OnClosed) -> GateStep {
    let check = Some(format!("results.rounds.verdict != '{not}'"));
    GateStep { check, on_fail, output: Some("results.rounds.output".into()), ..GateStep::default() }
}

/// Somebody else than the author must be there to review.
fn others_review(review: &ReviewStep) -> Step {
    let others = format!("({}) | without({}) | length > 0", review.reviewers, as_expression(&review.author));
    let gate = GateStep { check: Some(others), ..GateStep::default() };
    Step { gate: Some(gate), title: Some("there is nobody but the author to review it".into()), ..named("_others") }
}

fn closed(limit: OnLimit) -> Option<OnClosed> {
    match limit {
        OnLimit::Continue => None,
        OnLimit::Fail => Some(OnClosed::Fail),
        OnLimit::Escalate => Some(OnClosed::Escalate),
    }
}

fn handoff_steps(handoff: &HandoffStep) -> Vec<Step> {
    let among = handoff.among.as_deref().unwrap_or("members");
    let holder = format!("previous.work.hand_to if round > 1 else {}", as_expression(&handoff.start));
    let work = TaskStep {
        agent: "{{ results._holder }}".into(),
        instructions: format!(
            "{}\n\nYou have control of this task. Finish it with `status: done` and the whole answer, or, if somebody else is \
             better placed, hand it over with `status: hand_over`: name in `hand_to` one of {{{{ ({among}) | join(', ') }}}}, and say what \
             was done, what is left, and why. What was done before you is below.",
            handoff.instructions
        ),
        see: [handoff.see.clone(), vec!["previous.work".into()]].concat(),
        tools: handoff.tools.clone(),
        output: Some(object(json!({
            "status": {"type": "string", "enum": ["done", "hand_over"]},
            "answer": {"type": "string", "description": "the whole answer, with `done`; what is known so far, with `hand_over`"},
            "hand_to": {"type": ["string", "null"], "description": "who takes over, with `hand_over`"},
            "done_so_far": {"type": "string"},
            "left": {"type": "string", "description": "what is left to do"},
            "reason": {"type": "string", "description": "why it is handed over"}
        }))),
        one_of: Some((HAND_TO.into(), format!("({among}) | without(results._holder)"))),
        ..TaskStep::default()
    };
    // Nobody outside the circle gets control, and nobody hands to themselves.
    let known = format!(
        "results.work.status == 'done' or (results.work.hand_to in ({among}) and results.work.hand_to != results._holder)"
    );
    let gate = GateStep { check: Some(known), ..GateStep::default() };
    let outcome = "{'answer': results.work.answer, 'by': results._holder, 'status': results.work.status, \
                   'chain': ((previous._outcome.chain if round > 1 else []) + [results._holder])}";
    let body = vec![
        value("_holder", holder),
        titled("work", "{{ results._holder }} has control".into(), work),
        Step { gate: Some(gate), title: Some("it was handed to nobody who may have it".into()), ..named("_known") },
        value("_outcome", outcome),
    ];
    let done = "results.work.status == 'done'";
    vec![rounds(body, done, handoff.max.clone(), handoff.on_limit), value("_result", "results.rounds")]
}

fn delegate_steps(delegate: &DelegateStep) -> Vec<Step> {
    let work = TaskStep {
        agent: delegate.to.clone(),
        instructions: format!(
            "`{}` delegates this to you:\n\n{}\n\nWhat was said of an earlier result, if there is one, is below.",
            delegate.by, delegate.instructions
        ),
        see: [delegate.see.clone(), vec!["previous.work".into(), "previous.judgement".into()]].concat(),
        tools: delegate.tools.clone(),
        ..TaskStep::default()
    };
    let judge = TaskStep {
        agent: delegate.by.clone(),
        instructions: format!(
            "You delegated this to `{}`:\n\n{}\n\nThe result is below. Accept it, and give in `result` what you make of it; or send it \
             back with what is missing.",
            delegate.to, delegate.instructions
        ),
        see: vec!["work".into()],
        output: Some(object(json!({
            "accept": {"type": "boolean"},
            "comments": {"type": "string", "description": "what is missing, if it is not accepted"},
            "result": {"type": "string", "description": "the result as you pass it on"}
        }))),
        ..TaskStep::default()
    };
    let body = vec![
        titled("work", format!("{} works for {}", delegate.to, delegate.by), work),
        titled("judgement", format!("{} judges what {} made", delegate.by, delegate.to), judge),
    ];
    let max = one_more(&Count::Number(delegate.retries));
    // Nobody judges what they made themselves.
    let another = format!("{} != {}", as_expression(&delegate.by), as_expression(&delegate.to));
    let another = GateStep { check: Some(another), ..GateStep::default() };
    let title = Some("it is delegated to whoever delegates it".into());
    vec![
        Step { gate: Some(another), title, ..named("_another") },
        rounds(body, "results.judgement.accept", max, OnLimit::Fail),
        value("_result", "results.rounds.result"),
    ]
}

fn ask_task(ask: &AskStep) -> TaskStep {
    let mut instructions = ask.question.clone();
    let output = (!ask.options.is_empty()).then(|| {
        instructions.push_str(&format!("\n\nChoose one of: {}.", ask.options.join(", ")));
        object(json!({"answer": {"type": "string", "enum": ask.options}, "reason": {"type": "string"}}))
    });
    TaskStep {
        agent: ask.whom.clone(),
        instructions,
        see: ask.see.clone(),
        output,
        retries: Some(0),
        ..TaskStep::default()
    }
}

fn synthesis(merge: &MergeStep) -> TaskStep {
    let instructions = format!(
        "Put the results below together into one. Say who said what (\"According to X: …\"). Where they contradict each other, say so and \
         say which evidence weighs more. Name what is missing, those who failed included.\n\n{}",
        merge.instructions
    );
    TaskStep {
        agent: merge.agent.clone().unwrap_or_else(|| "{{ coordinator }}".into()),
        instructions,
        see: vec![merge.of.clone()],
        ..TaskStep::default()
    }
}

/// Who decides with all answers before them: the judge, or, where the judge gave one of them, the first who did not.
fn judge_of(settle: &SettleStep) -> Step {
    let judge = settle.judge.as_deref().map_or_else(|| "coordinator".to_owned(), as_expression);
    let judge = TaskStep {
        agent: format!(
            "{{{{ ([{judge}, coordinator] + members) | reject('in', results.{} | map(attribute='agent') | list) | first \
             | default('nobody but those who disagree') }}}}",
            settle.of
        ),
        instructions: "The answers below to the team's task contradict each other. Decide which is right by the evidence each gives, \
                       not by how many give it; you may also find that another answer follows. Give the answer and the reason."
            .into(),
        see: vec![settle.of.clone()],
        output: Some(object(json!({"answer": {"type": "string"}, "reason": {"type": "string"}}))),
        ..TaskStep::default()
    };
    titled("judge", "Settle what the answers disagree on".into(), judge)
}

/// An answer that was agreed on: all who answered gave it, or enough of those who were asked, and no other as often.
fn agreed_on(settle: &SettleStep) -> (String, &'static str) {
    let enough = match &settle.enough {
        None => return ("results._most.count == results._most.answered".into(), "all who answered agree"),
        Some(Part::Number(part)) => part.to_string(),
        Some(Part::Expression(text)) => format!("({text})"),
    };
    (format!("results._most.share >= {enough} and not results._most.tied"), "enough of them agree")
}

/// What the step gives: an answer, by what it was settled, and why.
fn settlement(answer: &str, by: &str, reason: &str) -> String {
    format!(
        "{{'answer': {answer}, 'settled_by': '{by}', 'reason': {reason}, 'agreement': results._agreement, \
         'disagreement': [] if results._most.count == results._most.answered else results._said}}"
    )
}

/// What leads counts, unless something else has as much behind it: then a judge decides.
fn unless_tied(leads: &str, by: &str, reason: &str, judge: Step) -> Step {
    let judged = settlement("results.judge.answer", "judge", "'a tie went to a judge: ' ~ results.judge.reason");
    let ask = Case { when: format!("results.{leads}.tied"), r#do: vec![judge, value("_judged", judged)] };
    let chosen = settlement(&format!("results.{leads}.answer"), by, &format!("'{reason}'"));
    Step {
        branch: Some(BranchStep { cases: vec![ask], otherwise: vec![value("_chosen", chosen)] }),
        ..named("_settled")
    }
}

fn settle_steps(settle: &SettleStep, policy: Conflict) -> Vec<Step> {
    let of = &settle.of;
    let field = settle.field.as_ref().map(|field| format!("('{field}')")).unwrap_or_default();
    let each = settle.field.as_ref().map(|field| format!(" | map(attribute='{field}') | list")).unwrap_or_default();
    let (condition, reason) = agreed_on(settle);
    let agreed = settlement("results._most.answer", "agreement", &format!("'{reason}'"));
    let judge = judge_of(settle);
    let by_policy = match policy {
        Conflict::Vote => vec![unless_tied("_most", "vote", "most gave this answer", judge)],
        Conflict::Evidence => vec![
            value("_weighed", format!("results.{of} | weighed{field}")),
            unless_tied("_weighed", "evidence", "the most evidence and confidence stand behind it", judge),
        ],
        Conflict::Judge => {
            vec![judge, value("_judged", settlement("results.judge.answer", "judge", "results.judge.reason"))]
        }
        Conflict::Escalate => {
            let gate = GateStep { check: Some("false".into()), on_fail: OnClosed::Escalate, ..GateStep::default() };
            vec![Step { gate: Some(gate), title: Some("the members disagree".into()), ..named("_disagreement") }]
        }
    };
    let decide = BranchStep {
        cases: vec![Case { when: condition, r#do: vec![value("_agreed", agreed)] }],
        otherwise: by_policy,
    };
    vec![
        value("_said", format!("results.{of} | values{each}")),
        value("_most", format!("results.{of} | most{field}")),
        value("_agreement", "results._most.share"),
        value("_polled", format!("{{'agreement': results._agreement, 'positions': results.{of} | voices}}")),
        Step { branch: Some(decide), ..named("_decision") },
    ]
}
