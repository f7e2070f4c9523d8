//! Tables of exact figures, and what must hold of any run.

use proptest::prelude::*;

use super::series::{Every, RunPoint, by_team, series};
use super::*;
use crate::id::TaskId;
use crate::record::{DecisionRecord, TaskRecord};
use crate::time::Timestamp;

const SECOND: i64 = 1_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * SECOND)
}

fn id(n: u32) -> TaskId {
    TaskId::derived(at(0), &[&n.to_be_bytes()])
}

/// Task `n` of `agent`, worked on in one model call.
fn task(n: u32, agent: &str, created: i64, (from, to): (i64, i64)) -> TaskTimes {
    let attempt = AttemptTimes {
        agent: agent.to_owned(),
        started_at: at(from),
        finished_at: Some(at(to)),
        model: vec![Span::new(at(from), at(to))],
        tool: Vec::new(),
    };
    TaskTimes {
        id: id(n),
        agent: agent.to_owned(),
        created_at: at(created),
        finished_at: Some(at(to)),
        attempts: vec![attempt],
    }
}

fn run(tasks: Vec<TaskTimes>) -> RunTimes {
    let end = tasks.iter().filter_map(|task| task.finished_at).max().unwrap_or_default();
    let start = tasks.iter().flat_map(|task| &task.attempts).map(|attempt| attempt.started_at).min();
    RunTimes { window: Span::new(start.unwrap_or_default(), end), tasks }
}

fn edges(pairs: &[(u32, u32)]) -> Trace {
    Trace { edges: pairs.iter().map(|(a, b)| (id(*a), id(*b))).collect(), ..Trace::default() }
}

fn mark(seconds: i64, task: Option<u32>, turn: Turn) -> Mark {
    Mark { at: at(seconds), task: task.map(id), turn }
}

/// Serial, working, critical path in seconds; speed-up, utilization, overhead.
fn told(run: &RunTimes, trace: &Trace) -> (i64, i64, i64, Option<f64>, Option<f64>, Option<f64>) {
    let flow = flow(run, trace);
    let [serial, working, path] = [flow.serial_ms, flow.working_ms, flow.critical_path_ms].map(|ms| ms / 1_000);
    (serial, working, path, flow.speed_up, flow.utilization, flow.overhead.share)
}

#[test]
fn the_shapes_of_plans() {
    let chain = run(vec![task(1, "a", 0, (0, 10)), task(2, "b", 0, (10, 30)), task(3, "c", 0, (30, 60))]);
    assert_eq!(told(&chain, &edges(&[(1, 2), (2, 3)])), (60, 60, 60, Some(1.0), Some(1.0), Some(0.0)), "a chain");
    let wide = run((1..=4).map(|n| task(n, "a", 0, (0, 10))).collect());
    assert_eq!(told(&wide, &Trace::default()), (40, 10, 10, Some(4.0), Some(1.0), Some(0.0)), "four at once");
    let fan = run(vec![
        task(1, "lead", 0, (0, 10)),
        task(2, "a", 10, (10, 40)),
        task(3, "b", 10, (10, 20)),
        task(4, "lead", 40, (40, 50)),
    ]);
    let plan = edges(&[(1, 2), (1, 3), (2, 4), (3, 4)]);
    assert_eq!(told(&fan, &plan), (60, 50, 50, Some(1.2), Some(1.0), Some(0.0)), "plan, two members, synthesis");
    assert_eq!(flow(&fan, &plan).best_speed_up, Some(1.2));
    let staged = run(vec![
        task(1, "lead", 0, (0, 10)),
        task(2, "a", 10, (11, 20)),
        task(3, "b", 10, (11, 15)),
        task(4, "lead", 20, (20, 30)),
    ]);
    assert_eq!(flow(&staged, &Trace::default()).critical_path_ms, 29_000, "a stage is made when the one before ends");
    let in_line = run(vec![task(1, "a", 0, (0, 10)), task(2, "a", 0, (10, 20))]);
    assert_eq!(
        told(&in_line, &Trace::default()),
        (20, 20, 10, Some(1.0), Some(0.6667), Some(0.0)),
        "the second could have begun"
    );
    let one_place = Trace { capacity: [("a".to_owned(), 1)].into(), ..Trace::default() };
    assert_eq!(told(&in_line, &one_place), (20, 20, 10, Some(1.0), Some(1.0), Some(0.0)), "it could not: one place");
    assert_eq!(flow(&in_line, &one_place).shortest_ms, 20_000);
    let nothing = RunTimes { window: Span::new(at(5), at(5)), tasks: Vec::new() };
    assert_eq!(told(&nothing, &Trace::default()), (0, 0, 0, None, None, None), "nothing to divide by");
}

#[test]
fn overhead_is_what_nobody_used() {
    // Claimed 2 s late, one second before the first call, one between two calls.
    let mut late = task(1, "a", 0, (2, 12));
    late.attempts[0].model = vec![Span::new(at(3), at(6)), Span::new(at(7), at(10))];
    late.attempts[0].tool = vec![Span::new(at(9), at(12))];
    let run = RunTimes { window: Span::new(at(0), at(14)), tasks: vec![late] };
    let flow = flow(&run, &Trace::default());
    let told = &flow.overhead;
    assert_eq!((flow.model_ms, flow.tool_ms), (6_000, 2_000));
    assert_eq!((told.between_calls_ms, told.queued_ms, told.other_ms), (2_000, 2_000, 2_000));
    assert_eq!((told.share, flow.utilization), (Some(0.4286), Some(0.6667)), "6 of 14, and 8 of 12");
}

#[test]
fn waiting_for_people_is_not_held_against_a_run() {
    // 10 s of work, 100 s until a person approves, 1 s until it is claimed again, 9 s of work.
    let mut parked = task(1, "a", 0, (0, 120));
    parked.attempts[0].model = vec![Span::new(at(0), at(10)), Span::new(at(111), at(120))];
    parked.attempts[0].tool = vec![Span::new(at(10), at(110))];
    let marks = |turn| vec![mark(10, Some(1), turn), mark(110, Some(1), Turn::Ready), mark(111, Some(1), Turn::GoesOn)];
    let people = Trace { marks: marks(Turn::WaitsForPeople), ..Trace::default() };
    let alone = run(vec![parked.clone()]);
    assert_eq!(told(&alone, &people), (19, 20, 19, Some(0.95), Some(0.95), Some(0.05)));
    let agents = Trace { marks: marks(Turn::Waits), ..Trace::default() };
    assert_eq!(
        told(&alone, &agents),
        (19, 120, 19, Some(0.1583), Some(0.95), Some(0.8417)),
        "but waiting for others is"
    );
    // Meanwhile another works: then the time counts.
    let beside = run(vec![parked, task(2, "b", 0, (0, 120))]);
    assert_eq!(flow(&beside, &people).people_ms, 0);
    // The run as a whole is held, and its second task may not be claimed meanwhile.
    let held =
        Trace { marks: vec![mark(10, None, Turn::WaitsForPeople), mark(50, None, Turn::GoesOn)], ..Trace::default() };
    let paused = run(vec![task(1, "a", 0, (0, 10)), task(2, "b", 10, (50, 60))]);
    assert_eq!(told(&paused, &held), (20, 20, 20, Some(1.0), Some(1.0), Some(0.0)));
}

#[test]
fn attempts_that_failed_count_as_work_and_the_pause_between_as_overhead() {
    let mut twice = task(1, "a", 0, (0, 10));
    let second = AttemptTimes {
        started_at: at(15),
        finished_at: Some(at(25)),
        model: vec![Span::new(at(15), at(25))],
        ..twice.attempts[0].clone()
    };
    twice.attempts.push(second);
    twice.finished_at = Some(at(25));
    let run = run(vec![twice]);
    let flow = flow(&run, &Trace::default());
    assert_eq!((flow.serial_ms, flow.working_ms, flow.overhead.other_ms), (20_000, 25_000, 5_000));
}

/// An attempt that waits for its offer to be accepted ends there; the receiver begins a new one.
#[test]
fn what_is_handed_over_is_not_parked_any_more() {
    let mut passed = task(1, "a", 0, (0, 40));
    let second =
        AttemptTimes { agent: "b".into(), started_at: at(20), finished_at: Some(at(40)), ..passed.attempts[0].clone() };
    passed.attempts[0].finished_at = Some(at(20));
    passed.attempts.push(second);
    let trace = Trace { marks: vec![mark(10, Some(1), Turn::Waits)], ..Trace::default() };
    let flow = flow(&run(vec![passed]), &trace);
    assert_eq!((flow.serial_ms, flow.overhead.other_ms), (30_000, 10_000));
}

#[test]
fn marks_are_read_by_the_names_of_events() {
    assert!(Turn::KINDS.iter().all(|kind| Turn::of(kind, None).is_some() && crate::event::Kind::parse(kind).is_some()));
    assert_eq!(Turn::of("task.waiting", Some("approval")), Some(Turn::WaitsForPeople));
    assert_eq!(Turn::of("task.waiting", Some("child")), Some(Turn::Waits));
    assert_eq!(Turn::of("task.created", None), None);
}

fn record(stage: &str, round: i64, output: Option<&str>) -> TaskRecord {
    TaskRecord {
        part: None,
        id: id(1),
        key: "k".into(),
        title: "t".into(),
        stage: stage.into(),
        round,
        agent: "a".into(),
        state: if output.is_some() { "completed" } else { "failed" }.into(),
        priority: "normal".into(),
        waits_for: None,
        output: output.map(str::to_owned),
        error: None,
        created_at: at(0),
        started_at: Some(at(1)),
        finished_at: Some(at(2)),
        cost_usd: Money::from_usd(0.25),
        tokens: 10,
        attempts: Vec::new(),
    }
}

#[test]
fn voices_are_counted_by_what_they_say() {
    let said = |stage: &str, outputs: &[Option<&str>]| {
        let tasks: Vec<_> = outputs.iter().map(|output| record(stage, 1, *output)).collect();
        let found = agreement(tasks.iter().map(Said::of), &[]);
        found.polls.first().map(|poll| (poll.with, poll.against, poll.silent, poll.rate))
    };
    let (agree, disagree) = (Some(r#"{"verdict":"agree"}"#), Some(r#"{"verdict":"disagree","comment":"no"}"#));
    assert_eq!(said("validation", &[agree, agree, disagree, None]), Some((2, 1, 1, Some(0.6667))));
    assert_eq!(said("validation", &[Some("prose"), None]), Some((0, 0, 2, None)));
    let [red, also_red, blue] = [r#"{"choice":"Red one"}"#, r#"{"choice":" red  ONE"}"#, r#"{"choice":"blue"}"#];
    assert_eq!(said("vote", &[Some(red), Some(also_red), Some(blue)]), Some((2, 1, 0, Some(0.6667))));
    assert_eq!(said("majority_vote", &[Some(r#"{"vote":3}"#), Some(r#"{"vote":4}"#)]), Some((1, 1, 0, Some(0.5))));
    let [accept, revise] = [r#"{"decision":"accept"}"#, r#"{"decision":"revise"}"#];
    assert_eq!(said("peer_review", &[Some(accept), Some(revise)]), Some((1, 1, 0, Some(0.5))));
    assert_eq!(said("work", &[agree]), None, "work is no vote");
    let rounds = [record("validation", 1, disagree), record("validation", 2, agree)];
    let found = agreement(rounds.iter().map(Said::of), &[]);
    assert_eq!((found.rate, found.last_rate, found.polls.len()), (Some(0.5), Some(1.0), 2));
}

#[test]
fn flows_tell_verdicts_by_path_and_votes_by_event() {
    let step = |key: &str, agent: &str, output| TaskRecord {
        key: key.into(),
        agent: agent.into(),
        ..record("step", 1, Some(output))
    };
    let tasks = [
        step("draft", "ada", "a text"),
        step("check/1/judge/bob", "bob", r#"{"verdict":"revise"}"#),
        step("check/1/judge/eve", "eve", r#"{"verdict":"accept"}"#),
        step("check/2/judge/bob/review", "bob", r#"{"verdict":"accept"}"#),
        step("check/2/judge/eve/review", "eve", r#"{"verdict":"accept"}"#),
        step("which/bob", "bob", r#"{"choice":"red"}"#),
    ];
    let payload = serde_json::json!({
        "path": "which", "round": 1, "abstained": ["eve"],
        "standing": [{"choice": "red", "voters": ["bob", "ada"]}, {"choice": "blue", "voters": ["joe"]}],
    });
    let votes: Vec<_> = counted_vote(&payload).into_iter().collect();
    let found = agreement(tasks.iter().map(Said::of), &votes);
    let told: Vec<_> =
        found.polls.iter().map(|poll| (poll.stage.as_str(), poll.with, poll.against, poll.silent, poll.rate)).collect();
    let rounds = [("check/1/judge", 1, 1, 0, Some(0.5)), ("check/2/judge/review", 2, 0, 0, Some(1.0))];
    assert_eq!(told, [rounds[0], rounds[1], ("which", 2, 1, 1, Some(0.6667))]);
    assert_eq!((found.rate, found.last_rate), (Some(0.7143), Some(0.6667)));
    let work = |trace: &Trace| -> Vec<&str> {
        tasks.iter().filter(|task| is_contribution(task, trace)).map(|task| task.key.as_str()).collect()
    };
    let trace = Trace { votes, ..Trace::default() };
    assert_eq!(work(&trace), ["draft"], "verdicts and ballots are no outcomes");
    let beside = [tasks[0].id].into();
    assert!(work(&Trace { beside, ..trace }).is_empty(), "nor is what plans and brings together");
    assert_eq!(counted_vote(&serde_json::json!({"path": "x"})), None);
}

fn asked(approver: Option<&str>, standing: &str, asked: &str, took: Option<i64>) -> DecisionRecord {
    DecisionRecord {
        id: crate::id::MessageId::derived(at(0), &[b"q"]),
        thread: crate::id::ThreadId::derived(at(0), &[b"t"]),
        run: None,
        kind: "question".into(),
        asked_by: "agent:a".into(),
        question: "?".into(),
        asked: vec![asked.into()],
        options: Vec::new(),
        default: None,
        impact: None,
        standing: standing.into(),
        due: None,
        choice: None,
        rationale: None,
        approver: approver.map(str::to_owned),
        asked_at: at(10),
        ended_at: took.map(|seconds| at(10 + seconds)),
        replaced: Vec::new(),
    }
}

#[test]
fn decisions_are_timed_by_who_decided() {
    let all = [
        asked(Some("user:ada"), "answered", "role:approver", Some(60)),
        asked(Some("user:bob"), "answered", "agent:b", Some(20)),
        asked(Some("user:bob"), "answered", "user:bob", Some(40)),
        asked(Some("agent:b"), "answered", "agent:b", Some(4)),
        asked(Some("system"), "defaulted", "agent:b", Some(120)),
        asked(None, "open", "user:ada", None),
        asked(None, "withdrawn", "agent:b", Some(1)),
        asked(None, "expired", "agent:b", Some(1)),
    ];
    let people = Delays { count: 3, open: 1, median_ms: Some(40_000), mean_ms: Some(40_000), longest_ms: Some(60_000) };
    let agents =
        Delays { count: 2, open: 0, median_ms: Some(62_000), mean_ms: Some(62_000), longest_ms: Some(120_000) };
    assert_eq!((voice::answers(&all, true), voice::answers(&all, false)), (people, agents));
    assert_eq!(Delays::of([]), Delays::default());
}

fn point(team: &str, created: i64, state: &str, took: i64, stars: &[i64]) -> RunPoint {
    RunPoint {
        team: team.into(),
        created_at: at(created),
        state: state.into(),
        took: Some(took * SECOND),
        pace: Some(Pace {
            serial: 2 * took * SECOND,
            working: took * SECOND,
            busy: took * SECOND,
            allowed: 2 * SECOND * took.min(30),
            overhead: SECOND,
        }),
        voices: Voices { with: 3, against: took / 10 },
        by_people: vec![Some(took * SECOND)],
        by_agents: vec![Some(SECOND), None],
        cost: Money::from_usd(0.5),
        unpriced_calls: 1,
        tokens: 100,
        stars: stars.to_vec(),
        stars_of_work: Vec::new(),
    }
}

#[test]
fn a_team_over_time_is_the_sum_of_its_runs() {
    let day = 86_400;
    let points = [
        point("a", day, "completed", 10, &[4, 5]),
        point("a", day + 5, "completed", 30, &[]),
        point("a", day + 6, "failed", 90, &[1]),
        point("a", 3 * day, "running", 5, &[]),
        point("a", 4 * day, "cancelled", 5, &[]),
    ];
    let (all, parts) = series(&points, Every::Day);
    assert_eq!((all.runs, all.completed, all.failed, all.open, all.cancelled), (5, 2, 1, 1, 1));
    assert_eq!((all.success_rate, all.mean_ms, all.median_ms), (Some(0.6667), Some(20_000), Some(20_000)));
    assert_eq!((all.cost_usd, all.cost_per_completed_usd), (Money::from_usd(2.5), Some(Money::from_usd(1.25))));
    assert_eq!((all.stars, all.ratings, all.speed_up, all.unpriced_calls), (Some(3.3333), 3, Some(2.0), 5));
    // 10, 30, 90, 5 and 5 seconds: 140 of calls in 20 + 60 + 60 + 10 + 10 allowed, a second of each run without a call.
    assert_eq!((all.busy_ms, all.allowed_ms, all.utilization), (140_000, 160_000, Some(0.875)));
    assert_eq!((all.overhead_ms, all.working_ms, all.overhead), (5_000, 140_000, Some(0.0357)));
    // 15 with, and 1 + 3 + 9 + 0 + 0 against.
    assert_eq!((all.voices_with, all.voices_against, all.agreement), (15, 13, Some(0.5357)));
    let people = &all.answers_by_people;
    assert_eq!((people.count, people.median_ms, people.mean_ms), (5, Some(10_000), Some(28_000)));
    let agents = &all.answers_by_agents;
    assert_eq!((agents.count, agents.open, agents.median_ms), (5, 5, Some(1_000)));
    let all_of_them = &all.decisions;
    assert_eq!((all_of_them.count, all_of_them.open, all_of_them.median_ms), (10, 5, Some(3_000)));
    assert_eq!(all_of_them.mean_ms, Some(14_500));
    assert_eq!(
        parts.iter().map(|part| (part.from, part.sum.runs)).collect::<Vec<_>>(),
        [(at(day), 3), (at(3 * day), 1), (at(4 * day), 1)]
    );
    let (_, weeks) = series(&points, Every::Week);
    // 1970 began on a Thursday: its first Friday and Sunday are of the week of 29 December, its first Monday begins the next.
    assert_eq!(
        weeks.iter().map(|part| (part.from, part.sum.runs)).collect::<Vec<_>>(),
        [(at(-3 * day), 4), (at(4 * day), 1)]
    );
    let teams = by_team(&[point("b", 0, "completed", 1, &[]), point("a", 0, "failed", 1, &[])]);
    assert_eq!(teams.keys().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(series(&[], Every::Day), (series::Sum::default(), Vec::new()));
}

/// Tasks of random lengths that begin when those before them and their agent let them, so that the run could have happened.
fn plans() -> impl Strategy<Value = (RunTimes, Trace)> {
    let one = (0..3_u32, 1..20_i64, 0..4_i64, prop::collection::vec(any::<prop::sample::Index>(), 0..3));
    prop::collection::vec(one, 1..14).prop_map(|wishes| {
        let (mut tasks, mut pairs, mut free): (Vec<TaskTimes>, Vec<_>, [i64; 3]) = (Vec::new(), Vec::new(), [0; 3]);
        for (n, (agent, long, late, after)) in (0..).zip(wishes) {
            let mut from = free[agent as usize];
            for parent in after.into_iter().filter(|_| n > 0).map(|index| index.index(n as usize)) {
                pairs.push((parent as u32, n));
                from = from.max(tasks[parent].finished_at.unwrap_or_default().as_micros() / SECOND);
            }
            let name = ["a", "b", "c"][agent as usize];
            let mut task = task(n, name, 0, (from + late, from + late + long));
            task.attempts[0].model = vec![Span::new(at(from + late), at(from + late + (long + 1) / 2))];
            free[agent as usize] = from + late + long;
            tasks.push(task);
        }
        let capacity = ["a", "b", "c"].map(|name| (name.to_owned(), 1)).into();
        (run(tasks), Trace { capacity, ..edges(&pairs) })
    })
}

proptest! {
    #[test]
    fn a_chain_is_not_faster_and_equals_are_as_fast_as_they_are_many(long in 1..1_000_i64, count in 1..40_u32) {
        let n = i64::from(count);
        let chain = run((0..count).map(|k| task(k, "a", 0, (i64::from(k) * long, (i64::from(k) + 1) * long))).collect());
        let links: Vec<_> = (1..count).map(|k| (k - 1, k)).collect();
        prop_assert_eq!(told(&chain, &edges(&links)), (n * long, n * long, n * long, Some(1.0), Some(1.0), Some(0.0)));
        let wide = run((0..count).map(|k| task(k, "a", 0, (0, long))).collect());
        prop_assert_eq!(told(&wide, &Trace::default()), (n * long, long, long, Some(n as f64), Some(1.0), Some(0.0)));
    }

    #[test]
    fn shares_are_shares_and_no_run_is_faster_than_its_plan((run, trace) in plans()) {
        let flow = flow(&run, &trace);
        for share in [flow.utilization, flow.overhead.share].into_iter().flatten() {
            prop_assert!((0.0..=1.0).contains(&share), "{share}");
        }
        prop_assert!(flow.shortest_ms <= flow.working_ms && flow.critical_path_ms <= flow.shortest_ms);
        prop_assert!(flow.speed_up <= flow.best_speed_up);
        prop_assert!(flow.serial_ms <= flow.working_ms * flow.widest.max(1));
        prop_assert!(flow.busy_ms <= flow.allowed_ms && flow.busy_ms <= flow.serial_ms);
        prop_assert_eq!(flow.people_ms + flow.working_ms, flow.wall_ms);
        prop_assert_eq!(flow.model_ms + flow.tool_ms + flow.overhead.total_ms, flow.working_ms);
        let parts = &flow.overhead;
        prop_assert_eq!(parts.between_calls_ms + parts.queued_ms + parts.other_ms, parts.total_ms);
        let pace = pace(&run, &trace);
        prop_assert_eq!((millis(pace.serial), millis(pace.working)), (flow.serial_ms, flow.working_ms));
        let shares = (ratio(pace.busy, pace.allowed), ratio(pace.overhead, pace.working));
        prop_assert_eq!(shares, (flow.utilization, flow.overhead.share));
    }

    /// Whatever the record holds, however little sense it makes, figures stay within their bounds.
    #[test]
    fn no_record_breaks_the_figures(spans in prop::collection::vec((0..50_i64, -5..50_i64), 0..8), marks in prop::collection::vec((0..60_i64, 0..9_u32, 0..4_u8), 0..12)) {
        let tasks = (0..).zip(&spans).map(|(n, (from, long))| task(n, "a", 7, (*from, from + long))).collect();
        let turn = |n| [Turn::Waits, Turn::WaitsForPeople, Turn::Ready, Turn::GoesOn][usize::from(n)];
        let mut marks: Vec<_> = marks.into_iter().map(|(at, task, kind)| mark(at, (task < 8).then_some(task), turn(kind))).collect();
        marks.sort_by_key(|mark| mark.at);
        let trace = Trace { marks, ..edges(&[(0, 1), (1, 2), (2, 0), (3, 4)]) };
        let flow = flow(&run(tasks), &trace);
        for share in [flow.utilization, flow.overhead.share].into_iter().flatten() {
            prop_assert!((0.0..=1.0).contains(&share), "{share}");
        }
        prop_assert!(flow.people_ms >= 0 && flow.working_ms >= 0 && flow.overhead.other_ms >= 0);
    }
}
