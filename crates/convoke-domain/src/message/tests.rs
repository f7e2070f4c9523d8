//! Tables, bounds, and ten thousand random schedules of a bus: receipts never go back, a question ends once, threads stay
//! in order.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::*;

fn page(noun: &str, states: &[&'static str], marks: &[&str], cell: impl Fn(usize, usize) -> &'static str) -> String {
    let rows =
        states.iter().enumerate().map(|(row, state)| (*state, (0..marks.len()).map(|at| cell(row, at)).collect()));
    crate::docs::table(noun, "message.rs", marks, rows)
}

#[test]
fn the_tables_are_what_the_docs_print() {
    let states: Vec<_> = Receipt::ALL.iter().map(|state| state.as_str()).collect();
    let marks: Vec<_> = Mark::ALL.iter().map(|mark| mark.as_str()).collect();
    let cell = |row: usize, at: usize| mark(Receipt::ALL[row], Mark::ALL[at]).map_or("", Receipt::as_str);
    crate::docs::check("state/receipt.md", &page("Receipt", &states, &marks, cell));
    let states: Vec<_> = Standing::ALL.iter().map(|state| state.as_str()).collect();
    let ends: Vec<_> = Conclusion::ALL.iter().map(|end| end.as_str()).collect();
    let cell = |row: usize, at: usize| conclude(Standing::ALL[row], Conclusion::ALL[at]).map_or("", Standing::as_str);
    crate::docs::check("state/question.md", &page("Question", &states, &ends, cell));
}

#[test]
fn what_is_too_large_is_refused_by_name() {
    let code = |result: Result<(), Refusal>| result.expect_err("refused").code;
    assert_eq!(check(None, &"x".repeat(BODY_BYTES)), Ok(()));
    assert_eq!(code(check(None, &"x".repeat(BODY_BYTES + 1))), "message_too_large");
    assert_eq!(code(check(None, " \n")), "empty_message");
    assert_eq!(code(check(Some(&"x".repeat(SUBJECT_CHARS + 1)), "x")), "subject_too_long");
    let ask = |options: Vec<String>, default: Option<&str>, within_s| Ask {
        options,
        default: default.map(str::to_owned),
        within_s,
        impact: None,
    };
    let two = || vec!["yes".to_owned(), "no".to_owned()];
    assert_eq!(ask(two(), Some("no"), Some(5)).check(), Ok(()));
    assert_eq!(code(ask(two(), Some("maybe"), None).check()), "bad_default");
    assert_eq!(code(ask(vec![String::new()], None, None).check()), "bad_option");
    assert_eq!(code(ask(vec!["x".into(); OPTIONS + 1], None, None).check()), "too_many_options");
    assert_eq!(code(ask(two(), None, Some(0)).check()), "bad_deadline");
    assert_eq!(code(ask(two(), None, Some(WAIT_MOST_S + 1)).check()), "bad_deadline");
    assert_eq!(code(ask(two(), None, None).check_choice("Yes")), "not_an_option");
    assert_eq!(ask(Vec::new(), None, None).check_choice("anything"), Ok(()));
}

#[test]
fn agents_have_two_minutes_and_people_have_time() {
    let now = Timestamp::from_micros(0);
    assert_eq!(Ask::default().due(false, now), Some(Timestamp::from_micros(120_000_000)));
    assert_eq!(Ask::default().due(true, now), None);
    assert_eq!(Ask { within_s: Some(5), ..Ask::default() }.due(true, now), Some(Timestamp::from_micros(5_000_000)));
}

fn waiting(thread: u128, n: i64, priority: Priority, at: i64) -> Waiting<()> {
    Waiting { thread: ThreadId(Uuid::from_u128(thread)), n, priority, at: Timestamp::from_micros(at), what: () }
}

#[test]
fn the_urgent_lifts_its_thread_and_overtakes_no_neighbour() {
    let all = vec![
        waiting(1, 1, Priority::Normal, 1),
        waiting(1, 2, Priority::Normal, 2),
        waiting(2, 1, Priority::Low, 3),
        waiting(2, 2, Priority::Critical, 4),
        waiting(2, 3, Priority::Low, 5),
    ];
    let order: Vec<_> = in_order(all).into_iter().map(|message| (message.thread.0.as_u128(), message.n)).collect();
    assert_eq!(order, [(2, 1), (2, 2), (1, 1), (1, 2), (2, 3)]);
}

/// Chances that all come from one seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        crate::flow::made::split_mix(&mut self.0) % bound
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
}

/// A bus of three recipients in memory.
struct Bus {
    seed: u64,
    next: BTreeMap<u128, i64>,
    receipts: Vec<(usize, Waiting<usize>, Receipt)>,
    questions: Vec<(Standing, i32)>,
    seen: BTreeMap<(usize, u128), i64>,
}

impl Bus {
    fn send(&mut self, chance: &mut Chance, at: i64) {
        let (thread, to) = (chance.below(4).into(), chance.below(3) as usize);
        let n = self.next.entry(thread).and_modify(|n| *n += 1).or_insert(1);
        let message = Waiting {
            thread: ThreadId(Uuid::from_u128(thread)),
            n: *n,
            priority: chance.of(&Priority::ALL),
            // Clocks stand still, and sometimes go back.
            at: Timestamp::from_micros(at - chance.below(3) as i64),
            what: self.questions.len(),
        };
        self.questions.push((Standing::Open, 0));
        self.receipts.push((to, message, Receipt::Queued));
    }

    /// Gives a recipient some of what waits, as a turn of an agent does.
    fn deliver(&mut self, chance: &mut Chance) {
        let (to, most) = (chance.below(3) as usize, 1 + chance.below(4) as usize);
        let queued = self.receipts.iter().filter(|(who, _, state)| *who == to && *state == Receipt::Queued);
        let order = in_order(queued.map(|(_, message, _)| message.clone()).collect());
        for given in order.into_iter().take(most) {
            let key = (to, given.thread.0.as_u128());
            let last = self.seen.insert(key, given.n).unwrap_or(0);
            assert!(last < given.n, "seed {}: {} came after {last}", self.seed, given.n);
            let found = self.receipts.iter_mut().find(|(_, message, _)| message.what == given.what).expect("queued");
            found.2 = mark(found.2, Mark::Deliver).expect("it was queued");
        }
    }

    fn mark_any(&mut self, chance: &mut Chance) {
        if self.receipts.is_empty() {
            return;
        }
        let at = chance.below(self.receipts.len() as u64) as usize;
        let (before, how) = (self.receipts[at].2, chance.of(Mark::ALL));
        match mark(before, how) {
            Ok(after) if how != Mark::Deliver => {
                assert!(after > before, "seed {}: {before:?} went to {after:?}", self.seed);
                self.receipts[at].2 = after;
            }
            Ok(_) => {}
            Err(refusal) => assert_eq!(refusal.code, "illegal_transition", "seed {}", self.seed),
        }
    }

    fn conclude_any(&mut self, chance: &mut Chance) {
        if self.questions.is_empty() {
            return;
        }
        let at = chance.below(self.questions.len() as u64) as usize;
        let (standing, ends) = &mut self.questions[at];
        let how = chance.of(Conclusion::ALL);
        match conclude(*standing, how) {
            Ok(after) => {
                assert!(*ends == i32::from(how == Conclusion::Override), "seed {}: {how:?} after {ends}", self.seed);
                *standing = after;
                *ends = 1;
            }
            Err(refusal) if how == Conclusion::Override => {
                assert_eq!(refusal.code, "no_decision", "seed {}", self.seed);
                assert!(matches!(standing, Standing::Open | Standing::Expired | Standing::Withdrawn));
            }
            Err(refusal) => assert_eq!(refusal.code, "question_closed", "seed {}", self.seed),
        }
    }
}

#[test]
fn no_schedule_breaks_receipts_questions_or_order() {
    for seed in 0..10_000 {
        let mut chance = Chance(seed);
        let mut bus =
            Bus { seed, next: BTreeMap::new(), receipts: Vec::new(), questions: Vec::new(), seen: BTreeMap::new() };
        for at in 0..40 {
            match chance.below(4) {
                0 => bus.send(&mut chance, at),
                1 => bus.deliver(&mut chance),
                2 => bus.mark_any(&mut chance),
                _ => bus.conclude_any(&mut chance),
            }
        }
        // Whoever goes on asking gets all of it.
        while bus.receipts.iter().any(|(_, _, state)| *state == Receipt::Queued) {
            bus.deliver(&mut chance);
        }
        assert!(
            bus.questions.iter().all(|(standing, ends)| (*standing == Standing::Open) == (*ends == 0)),
            "seed {seed}"
        );
    }
}
