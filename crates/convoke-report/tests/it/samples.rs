//! Runs to report on, made by hand: one that completed, failed, waits, ran out of budget, has no prices, is empty.

use convoke_domain::analytics::{Trace, of_run};
use convoke_domain::budget::{Amount, Budget};
use convoke_domain::id::{ApprovalId, HandoffId, MessageId, RunId, SessionId, TaskId, ThreadId};
use convoke_domain::money::Money;
use convoke_domain::record::{
    ApprovalRecord, AttemptRecord, DecisionRecord, EffectRecord, HandoffRecord, RatingRecord, RunRecord, RunSummary,
    StepRecord, TalkRecord, TaskRecord, UsageRecord, VoteRecord,
};
use convoke_domain::time::Timestamp;
use convoke_domain::transcript::Usage;
use serde_json::{Value, json};

/// 2026-03-02T09:00:00Z.
const START: i64 = 1_772_442_000_000_000;

pub(crate) fn at(ms: i64) -> Timestamp {
    Timestamp::from_micros(START + ms * 1_000)
}

pub(crate) fn run_id() -> RunId {
    RunId::derived(at(0), &[b"run"])
}

pub(crate) fn task_id(stage: &str, key: &str, round: i64) -> TaskId {
    TaskId::derived(at(0), &[stage.as_bytes(), key.as_bytes(), &round.to_be_bytes()])
}

/// A run of a flow with phases, splits, rounds, votes, a review, gates, a handoff and a delegation, as it was recorded.
pub(crate) fn with_flow() -> RunRecord {
    serde_json::from_str(include_str!("flow.json")).expect("a record")
}

/// A run in which nothing has happened.
pub(crate) fn empty() -> RunRecord {
    RunRecord {
        summary: RunSummary {
            id: run_id(),
            session: SessionId::derived(at(0), &[b"session"]),
            team: "incident-response".into(),
            team_version: 3,
            task: "Find out why checkout has been failing since 08:41".into(),
            input: None,
            state: "initializing".into(),
            phase: "delegation".into(),
            reason: None,
            simulated: false,
            created_by: "user:ada".into(),
            model_calls: 0,
            tool_calls: 0,
            tokens: 0,
            cost_usd: Money::ZERO,
            unpriced_calls: 0,
            created_at: at(0),
            started_at: None,
            finished_at: None,
            error: None,
        },
        output: None,
        coordinator: "orchestrator".into(),
        tasks: Vec::new(),
        usage: Vec::new(),
        budgets: Vec::new(),
        effects: Vec::new(),
        approvals: Vec::new(),
        decisions: Vec::new(),
        talks: Vec::new(),
        handoffs: Vec::new(),
        ratings: Vec::new(),
        analytics: None,
        flow: None,
    }
}

pub(crate) fn step(n: i64, kind: &str, name: &str, (from, to): (i64, i64)) -> StepRecord {
    StepRecord {
        n,
        turn: 1,
        kind: kind.into(),
        name: name.into(),
        input: None,
        status: "done".into(),
        output: None,
        error: None,
        tries: 1,
        started_at: at(from),
        finished_at: Some(at(to)),
    }
}

pub(crate) fn tool(n: i64, name: &str, input: Value, output: &str, span: (i64, i64)) -> StepRecord {
    StepRecord { input: Some(input), output: Some(output.into()), ..step(n, "tool", name, span) }
}

pub(crate) fn said(n: i64, text: &str, span: (i64, i64)) -> StepRecord {
    StepRecord { output: Some(text.into()), ..step(n, "model", MODEL, span) }
}

fn asked(n: i64, tools: &[&str], span: (i64, i64)) -> StepRecord {
    let calls: Vec<_> = tools.iter().map(|name| format!("{name}({{}})")).collect();
    said(
        n,
        &calls.join(
            "
",
        ),
        span,
    )
}

pub(crate) const MODEL: &str = "anthropic/claude-sonnet-4-5";

/// A completed task with one attempt.
pub(crate) fn task(stage: &str, key: &str, agent: &str, (from, to): (i64, i64), output: &str) -> TaskRecord {
    TaskRecord {
        part: None,
        id: task_id(stage, key, 1),
        key: key.into(),
        title: format!("{key} of the {stage}"),
        stage: stage.into(),
        round: 1,
        agent: agent.into(),
        state: "completed".into(),
        priority: "normal".into(),
        waits_for: None,
        output: Some(output.into()),
        error: None,
        created_at: at(from),
        started_at: Some(at(from)),
        finished_at: Some(at(to)),
        cost_usd: Money::from_usd(0.0012),
        tokens: 1_200,
        attempts: vec![attempt(1, agent, "completed", (from, to), vec![said(1, output, (from, to))])],
    }
}

fn attempt(n: i64, agent: &str, state: &str, (from, to): (i64, i64), steps: Vec<StepRecord>) -> AttemptRecord {
    AttemptRecord {
        n,
        agent: agent.into(),
        state: state.into(),
        started_at: at(from),
        finished_at: Some(at(to)),
        error: None,
        steps,
    }
}

pub(crate) fn bill(agent: &str, tariff: &str, calls: i64, nanos: i64) -> UsageRecord {
    let usage = Usage {
        input_tokens: 4_000 * calls.unsigned_abs(),
        cache_read_tokens: 1_000,
        output_tokens: 300 * calls.unsigned_abs(),
        ..Usage::default()
    };
    UsageRecord {
        agent: agent.into(),
        model: MODEL.into(),
        tariff: tariff.into(),
        calls,
        lost_calls: 0,
        usage,
        cost_usd: Money::from_nanos(nanos),
    }
}

fn budget(scope: &str, cap: Option<f64>, settled: Money, tokens: i64) -> Budget {
    Budget {
        scope: scope.into(),
        cap_cost: cap.map(Money::from_usd),
        settled: Amount { cost: settled, tokens },
        ..Budget::default()
    }
}

/// Makes the sums of the summary follow from the bills and steps.
pub(crate) fn summed(mut run: RunRecord) -> RunRecord {
    let steps = run.tasks.iter().flat_map(|task| &task.attempts).flat_map(|attempt| &attempt.steps);
    run.summary.tool_calls = steps.filter(|step| step.kind == "tool").count().try_into().expect("few");
    run.summary.model_calls = run.usage.iter().map(|row| row.calls).sum();
    run.summary.tokens = run.usage.iter().map(|row| i64::try_from(row.usage.total()).expect("few")).sum();
    run.summary.cost_usd = run.usage.iter().map(|row| row.cost_usd).sum();
    run.summary.unpriced_calls = run.usage.iter().filter(|row| row.tariff == "unpriced").map(|row| row.calls).sum();
    run
}

const PLAN: &str = r#"{"tasks":[
 {"key":"logs","title":"Read the logs around 08:41","instructions":"…","assignee":"logs","depends_on":[],"expected_output":"findings"},
 {"key":"perf","title":"Compare latency and error rates","instructions":"…","assignee":"performance","depends_on":[],"expected_output":"findings"},
 {"key":"security","title":"Check for access changes","instructions":"…","assignee":"security","depends_on":[],"expected_output":"findings"},
 {"key":"cost","title":"Estimate what the outage costs","instructions":"…","assignee":"cost","depends_on":["perf"],"expected_output":"a figure"}]}"#;

const LOGS: &str = "# Findings\n\n`payments` refuses connections from **08:41:12** on:\n\n```\nERROR pool exhausted (max 8, waiting 214)\n```\n\nThe \
    first one follows deploy `4f1c2e` by 20 s. No other service logs errors before it.";
const PERF: &str = "Error rate of `POST /checkout` rises from 0.2 % to 38 % at 08:41.\n\n| service | p99 before | p99 after |\n|---|--:|--:|\n| checkout | 180 ms | 30.0 s |\n| \
    payments | 95 ms | 30.0 s |\n\nCPU and memory do not move: it is a queue, not a load.";
const ANSWER: &str = "## Root cause\n\nDeploy `4f1c2e` of **payments** lowered the connection pool from 64 to 8. From 08:41 on calls wait for a \
    connection until they time out.\n\n- According to logs: `pool exhausted (max 8, waiting 214)` from 08:41:12.\n- According to performance: p99 goes to \
    30 s while CPU stays flat.\n- According to security: nobody but the deploy pipeline changed anything.\n\n## What to do\n\n1. Roll back `4f1c2e`.\n2. Alert on \
    pool waiters.\n\n## What is uncertain\n\nThe cost estimate rests on one week of billing data.";

fn planned() -> TaskRecord {
    let mut plan = task("plan", "coordinator", "orchestrator", (20, 2_400), PLAN);
    plan.title = "Plan the work".into();
    plan
}

fn worked(key: &str, title: &str, agent: &str, span: (i64, i64), output: &str, steps: Vec<StepRecord>) -> TaskRecord {
    let mut work = task("work", key, agent, span, output);
    work.title = title.into();
    work.cost_usd = Money::from_usd(0.0201);
    work.tokens = 8_600;
    work.attempts[0].steps = steps;
    work
}

/// The four contributions of the completed run.
pub(crate) fn work() -> Vec<TaskRecord> {
    let search = json!({"path": "logs", "pattern": "ERROR|WARN", "limit": 200});
    let read = json!({"path": "logs/payments.log", "from": 4_100, "lines": 80});
    let query = json!({"file": "metrics.csv", "where": {"service": ["checkout", "payments"]}, "group_by": "minute"});
    let logs = vec![
        asked(1, &["fs.search", "fs.read"], (2_450, 4_100)),
        tool(2, "fs.search", search, "payments.log:4123: ERROR pool exhausted (max 8, waiting 1)", (4_110, 4_131)),
        tool(3, "fs.read", read, "2026-03-02T08:40:52Z INFO start version=4f1c2e pool=8", (4_112, 4_125)),
        said(4, LOGS, (4_140, 7_900)),
    ];
    let perf = vec![
        asked(1, &["data.query"], (2_450, 4_900)),
        StepRecord { tries: 2, ..tool(2, "data.query", query, "minute,errors\n08:40,2\n08:41,380", (4_910, 5_300)) },
        said(3, PERF, (5_310, 9_800)),
    ];
    let denied = StepRecord {
        status: "denied".into(),
        error: Some("`shell.run` is not granted to security".into()),
        output: None,
        ..tool(2, "shell.run", json!({"command": "kubectl auth can-i --list"}), "", (4_000, 4_001))
    };
    let security = vec![
        asked(1, &["shell.run"], (2_460, 3_990)),
        denied,
        tool(3, "fs.list", json!({"path": "rbac"}), "role-binding.yaml\nroles.yaml", (4_005, 4_009)),
        said(4, "No role or secret changed in the week before.", (4_020, 6_100)),
    ];
    let cost = vec![said(1, "About **1,900 USD** an hour.", (9_850, 12_300))];
    vec![
        worked("logs", "Read the logs around 08:41", "logs", (2_450, 7_900), LOGS, logs),
        worked("perf", "Compare latency and error rates", "performance", (2_450, 9_800), PERF, perf),
        worked(
            "security",
            "Check for access changes",
            "security",
            (2_460, 6_100),
            "No role or secret changed in the week before.",
            security,
        ),
        worked("cost", "Estimate what the outage costs", "cost", (9_850, 12_300), "About **1,900 USD** an hour.", cost),
    ]
}

fn synthesis(round: i64, span: (i64, i64), output: &str) -> TaskRecord {
    let mut task = task("synthesis", "coordinator", "orchestrator", span, output);
    task.id = task_id("synthesis", "coordinator", round);
    task.round = round;
    task.title =
        if round == 1 { "Put the results together".into() } else { format!("Put the results together, round {round}") };
    task
}

fn judged(agent: &str, round: i64, span: (i64, i64), verdict: &str, comment: &str) -> TaskRecord {
    let judgement = json!({"verdict": verdict, "comment": comment}).to_string();
    let mut task = task("validation", agent, agent, span, &judgement);
    task.id = task_id("validation", agent, round);
    task.round = round;
    task.title = format!("{agent} judges the synthesis");
    task
}

/// Four contributions, two rounds of validation, one member who disagrees to the end.
pub(crate) fn completed() -> RunRecord {
    let mut run = empty();
    run.summary.state = "completed".into();
    run.summary.phase = "validation".into();
    run.summary.input = Some("examples/incident".into());
    run.summary.task.push_str("\n\nThe folder holds logs, metrics, the deploy history and RBAC manifests. Name the **root cause**, the evidence and the next steps.");
    run.summary.started_at = Some(at(20));
    run.summary.finished_at = Some(at(22_920));
    run.output = Some(ANSWER.into());
    run.tasks.push(planned());
    run.tasks.extend(work());
    run.tasks.push(synthesis(1, (12_350, 16_000), "## Root cause\n\nThe database is too slow."));
    run.tasks.push(judged(
        "logs",
        1,
        (16_050, 17_000),
        "disagree",
        "The database logs no slow query; the pool in payments is exhausted.",
    ));
    run.tasks.push(judged("performance", 1, (16_050, 17_400), "agree", "It fits the latency."));
    run.tasks.push(synthesis(2, (17_450, 21_000), ANSWER));
    for (agent, verdict, comment) in [
        ("logs", "agree", "The log lines are quoted as they are."),
        ("performance", "agree", "CPU is flat, as it says."),
        ("security", "agree", ""),
        ("cost", "disagree", "One week of billing data is too little for | any figure."),
    ] {
        run.tasks.push(judged(agent, 2, (21_050, 22_900), verdict, comment));
    }
    run.usage = vec![
        bill("orchestrator", "priced", 3, 21_345_000),
        bill("logs", "priced", 4, 19_123_456),
        UsageRecord { lost_calls: 1, ..bill("performance", "priced", 4, 22_000_001) },
        bill("security", "priced", 3, 9_000_000),
        bill("cost", "priced", 2, 3_100_000),
    ];
    let spent: Money = run.usage.iter().map(|row| row.cost_usd).sum();
    run.budgets = vec![
        budget(&format!("run:{}", run.summary.id), Some(0.5), spent, 69_800),
        Budget { warned: true, ..budget(&format!("session:{}", run.summary.session), Some(0.09), spent, 69_800) },
        budget("workspace:2026-03-02", None, Money::from_usd(1.25), 900_000),
    ];
    run.effects = vec![EffectRecord {
        key: format!("{}:{}:1:2", run.summary.id, task_id("work", "perf", 1)),
        task: task_id("work", "perf", 1),
        tool: "data.query".into(),
        state: "done".into(),
        dispatched_at: at(4_910),
        resolved_by: Some("user:ada".into()),
        note: Some("the query log has it".into()),
    }];
    summed(run)
}

/// A member failed twice, so did the synthesis; nothing came of it.
pub(crate) fn failed() -> RunRecord {
    let mut run = empty();
    run.summary.state = "failed".into();
    run.summary.started_at = Some(at(20));
    run.summary.finished_at = Some(at(9_020));
    run.summary.error = Some("synthesis_failed: the provider refused the key".into());
    let mut work = work();
    work.truncate(2);
    let lost = &mut work[1];
    (lost.state, lost.output) = ("failed".into(), None);
    lost.error = Some("turn_limit: no answer after 10 model calls and one more without tools".into());
    let mut first = lost.attempts[0].clone();
    (first.state, first.error) = ("failed".into(), Some("overloaded: the provider answered 529".into()));
    first.finished_at = Some(at(5_300));
    first.steps.truncate(2);
    (first.steps[1].status, first.steps[1].error) =
        ("failed".into(), Some("no file `metrics.csv` in the input".into()));
    first.steps[1].output = None;
    let second = AttemptRecord {
        n: 2,
        error: lost.error.clone(),
        ..attempt(2, "generalist", "failed", (6_000, 9_800), vec![said(1, "I need more time.", (6_000, 9_800))])
    };
    lost.attempts = vec![first, second];
    run.tasks = work;
    let mut failed = synthesis(1, (7_000, 9_000), "");
    (failed.state, failed.output, failed.error) =
        ("failed".into(), None, Some("auth: the provider refused the key".into()));
    failed.attempts[0].state = "failed".into();
    failed.attempts[0].steps[0].status = "failed".into();
    failed.attempts[0].steps[0].output = None;
    run.tasks.push(failed);
    run.usage = vec![bill("logs", "priced", 2, 40_200_000), bill("performance", "priced", 3, 20_100_000)];
    summed(run)
}

/// A tool call was in flight at a crash; the run waits for a person.
pub(crate) fn waiting() -> RunRecord {
    let mut run = empty();
    run.summary.state = "waiting".into();
    run.summary.started_at = Some(at(20));
    run.summary.reason = Some("the outcome of `github.create_issue` is not known".into());
    run.tasks = work();
    run.tasks.truncate(3);
    let parked = &mut run.tasks[2];
    (parked.state, parked.output, parked.finished_at) = ("waiting".into(), None, None);
    parked.waits_for = Some("unknown_effect".into());
    parked.error = Some("`github.create_issue` was in flight when the worker died".into());
    parked.attempts[0].state = "running".into();
    parked.attempts[0].finished_at = None;
    parked.attempts[0].steps.truncate(1);
    let input = json!({"repo": "shop/payments", "title": "Pool of 8 is too small"});
    let open = StepRecord {
        status: "unknown".into(),
        output: None,
        finished_at: None,
        ..tool(2, "github.create_issue", input, "", (4_000, 0))
    };
    parked.attempts[0].steps.push(open);
    let pending = &mut work()[3];
    (pending.state, pending.output, pending.started_at, pending.finished_at) = ("pending".into(), None, None, None);
    (pending.attempts, pending.tokens, pending.cost_usd) = (Vec::new(), 0, Money::ZERO);
    run.tasks.push(pending.clone());
    run.effects = vec![EffectRecord {
        key: format!("{}:{}:1:2", run.summary.id, task_id("work", "security", 1)),
        task: task_id("work", "security", 1),
        tool: "github.create_issue".into(),
        state: "unknown".into(),
        dispatched_at: at(4_000),
        resolved_by: None,
        note: None,
    }];
    run.usage = vec![bill("logs", "priced", 2, 20_100_000)];
    summed(run)
}

/// The budget is used up and was overrun; two tasks wait for it to grow.
pub(crate) fn out_of_budget() -> RunRecord {
    let mut run = empty();
    run.summary.state = "paused".into();
    run.summary.started_at = Some(at(20));
    run.summary.reason =
        Some("the run budget of $0.0500 has $0.0000 left and the next call may cost up to $0.0310".into());
    run.tasks = work();
    for parked in &mut run.tasks[2..] {
        (parked.state, parked.output, parked.finished_at) = ("waiting".into(), None, None);
        parked.waits_for = Some("budget".into());
    }
    run.usage = vec![bill("logs", "priced", 2, 20_100_000), bill("performance", "priced", 2, 31_000_000)];
    let spent: Money = run.usage.iter().map(|row| row.cost_usd).sum();
    let mut own = budget(&format!("run:{}", run.summary.id), Some(0.05), spent, 17_200);
    (own.overrun, own.warned, own.cap_tokens) = (Money::from_usd(0.0011), true, Some(100_000));
    let mut session = budget(&format!("session:{}", run.summary.session), Some(0.5), spent, 17_200);
    session.reserved = Amount { cost: Money::from_usd(0.031), tokens: 4_000 };
    run.budgets = vec![own, session];
    summed(run)
}

/// One model has no known price, one is local.
pub(crate) fn unpriced() -> RunRecord {
    let mut run = empty();
    run.summary.state = "completed".into();
    run.summary.started_at = Some(at(20));
    run.summary.finished_at = Some(at(8_000));
    run.output = Some("Done.".into());
    run.tasks = work();
    run.tasks.truncate(2);
    run.tasks.iter_mut().for_each(|task| task.cost_usd = Money::ZERO);
    run.tasks[1].attempts[0]
        .steps
        .iter_mut()
        .filter(|step| step.kind == "model")
        .for_each(|step| step.name = "ollama/qwen3".into());
    let local = UsageRecord { model: "ollama/qwen3".into(), ..bill("performance", "local", 2, 0) };
    run.usage = vec![bill("logs", "unpriced", 2, 0), local];
    summed(run)
}

/// The completed run as a script played it.
pub(crate) fn simulated() -> RunRecord {
    let mut run = completed();
    run.summary.simulated = true;
    run.usage.iter_mut().for_each(|row| (row.tariff, row.model) = ("simulated".into(), "script/incident".into()));
    run
}

fn approval(agent: &str, state: &str, args: Value, votes: Vec<VoteRecord>) -> ApprovalRecord {
    let decided = votes.last().map(|vote| (vote.by.clone(), vote.note.clone(), vote.at));
    ApprovalRecord {
        id: ApprovalId::derived(at(0), &[agent.as_bytes(), state.as_bytes()]),
        run: run_id(),
        task: task_id("work", agent, 1),
        agent: agent.into(),
        tool: "deploy.rollback".into(),
        args: args.to_string(),
        digest: "9f86d081".into(),
        reason: Some("the pool of 8 | is <too> small".into()),
        confidence: Some(90),
        state: state.into(),
        needed: 2,
        approvers: Vec::new(),
        unknown: Vec::new(),
        decided_by: decided.clone().map(|(by, ..)| by),
        note: decided.clone().map(|(_, note, _)| note),
        created_at: at(5_000),
        expires_at: None,
        decided_at: decided.map(|(.., at)| at),
        used_at: None,
        votes,
    }
}

fn voted(by: &str, choice: &str, ms: i64) -> VoteRecord {
    VoteRecord { by: by.into(), place: by.into(), choice: choice.into(), note: "as agreed".into(), at: at(ms) }
}

fn stars(stars: i64, agent: Option<&str>, task: Option<TaskId>, note: &str) -> RatingRecord {
    let agent = agent.map(str::to_owned);
    RatingRecord { run: run_id(), task, agent, by: "user:ada".into(), stars, note: note.into(), at: at(90_000) }
}

fn decided() -> DecisionRecord {
    DecisionRecord {
        id: MessageId::derived(at(0), &[b"question"]),
        thread: ThreadId::derived(at(0), &[b"thread"]),
        run: Some(run_id()),
        kind: "question".into(),
        asked_by: "agent:logs".into(),
        question: "May I read the archive?".into(),
        asked: vec!["user:ada".into()],
        options: vec!["yes".into(), "no".into()],
        default: Some("no".into()),
        impact: Some("ten minutes".into()),
        standing: "answered".into(),
        due: Some(at(90_000)),
        choice: Some("yes".into()),
        rationale: Some("it is ours".into()),
        approver: Some("user:ada".into()),
        asked_at: at(3_000),
        ended_at: Some(at(4_500)),
        replaced: Vec::new(),
    }
}

/// The completed run with everything that people and agents did beside their work, and its figures.
pub(crate) fn with_people() -> RunRecord {
    let mut run = completed();
    run.approvals = vec![
        approval("perf", "pending", json!({"service": "checkout"}), Vec::new()),
        approval(
            "logs",
            "executed",
            json!({"service": "payments"}),
            vec![voted("user:ada", "approve", 6_000), voted("user:bob", "approve", 7_500)],
        ),
    ];
    run.handoffs = vec![HandoffRecord {
        id: HandoffId::derived(at(0), &[b"offer"]),
        task: task_id("work", "security", 1),
        from: "performance".into(),
        to: "security".into(),
        state: "accepted".into(),
        reason: "it is about *roles*".into(),
        answer: None,
        requested_at: at(2_500),
        settled_at: Some(at(3_500)),
        settled_by: Some("agent:security".into()),
    }];
    run.decisions = vec![decided()];
    run.talks = vec![TalkRecord { channel: "team:x".into(), messages: 3, kinds: vec![("note".into(), 3)] }];
    run.ratings = vec![
        stars(4, None, None, "found it, | but <slowly>"),
        stars(5, Some("logs"), None, ""),
        stars(2, Some("cost"), Some(task_id("work", "cost", 1)), "a guess"),
    ];
    let names = [("plan", "coordinator", 1), ("work", "perf", 1), ("work", "cost", 1), ("synthesis", "coordinator", 1)];
    let ids = names.map(|(stage, key, round)| task_id(stage, key, round));
    let trace = Trace {
        edges: ids.windows(2).map(|pair| (pair[0], pair[1])).collect(),
        capacity: [("orchestrator".to_owned(), 1)].into(),
        letters: vec![(at(1), at(41))],
        interruptions: 1,
        ..Trace::default()
    };
    run.analytics = Some(of_run(&run, &trace));
    run
}

/// A run with a member that is a program and left files, one with a name that is no name.
pub(crate) fn with_program() -> RunRecord {
    let output = json!({"answer": "two places", "findings": [{"title": "unused"}], "artifacts": [
        {"path": "out/lint.sarif", "description": "all findings | as SARIF", "bytes": 48_213, "sha256": "9f86d081884c7d65"},
        {"path": "<b>`x`\n# y", "description": "<script>alert(1)</script>"},
    ]});
    let input = json!({"program": "lint", "args": ["--all"], "document": {"title": "Lint"}});
    let steps = vec![tool(1, "command", input, &output.to_string(), (1_000, 2_000))];
    let lint = worked("lint", "Lint it", "lint", (1_000, 2_000), "two places", steps);
    let other = tool(2, "command", json!({}), "not a document", (2_000, 2_100));
    let mut run = empty();
    run.tasks = vec![lint, worked("odd", "An odd one", "odd", (2_000, 2_100), "x", vec![other])];
    run
}
