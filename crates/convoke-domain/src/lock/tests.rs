//! Tables of names and requests, and the proof by test over random schedules.

use super::graph::{circle, edges};
use super::table::{Lock, Outcome, Table};
use super::*;
use crate::time::Timestamp;

const LEASE: Duration = Duration::from_secs(30);
/// Random schedules, and acts in each.
const SCHEDULES: u64 = 10_000;
const ACTS: usize = 40;
/// Who takes part; the smaller is the older.
const HOLDERS: u64 = 7;
const RESOURCES: &[&str] = &[
    "file:shared",
    "file:shared/src",
    "file:shared/src/api.rs",
    "file:shared/src/api",
    "file:shared/docs",
    "file:shared/docs/a.md",
    "topic:a",
    "topic:a/b",
    "topic:b",
];

fn resource(text: &str) -> Resource {
    text.parse().expect(text)
}

fn item(text: &str, mode: Mode) -> Item {
    Item { resource: resource(text), mode }
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_micros(secs * 1_000_000)
}

fn alone(text: &str) -> Vec<Item> {
    vec![item(text, Mode::Exclusive)]
}

fn beside(text: &str) -> Vec<Item> {
    vec![item(text, Mode::Shared)]
}

/// A table where each asks at second 1 and waits until second 100.
struct Play(Table<u64>);

impl Play {
    fn new() -> Self {
        Self(Table::new(LEASE, LEASE))
    }

    fn ask(&mut self, holder: u64, items: &[Item]) -> Outcome<u64> {
        self.0.acquire(holder, items, Priority::Normal, (at(1), Some(at(100))))
    }

    fn urgent(&mut self, holder: u64, items: &[Item]) -> Outcome<u64> {
        self.0.acquire(holder, items, Priority::High, (at(1), Some(at(100))))
    }
}

#[test]
fn names_that_are_not_names_are_refused() {
    let long = format!("file:{}", "a".repeat(1_025));
    let deep = format!("file:{}a", "a/".repeat(33));
    let wide = format!("{}:a", "k".repeat(33));
    let shown = [
        "",
        "shared/a.md",
        ":a",
        "file:",
        "file:/",
        "file:/etc/passwd",
        "file:a/../b",
        "file:..",
        "file:./a",
        "file:a//b",
        "file:a//",
        "file:a\tb",
        "file:a\0b",
        "File:a",
        "file type:a",
        "1file:a",
        "é:a",
        &long,
        &deep,
        &wide,
    ]
    .map(|text| {
        let refusal = text.parse::<Resource>().expect_err(text);
        assert_eq!(refusal.code, "bad_resource");
        refusal.message
    });
    let long80: String = long.chars().take(80).chain(['…']).collect();
    assert_eq!(
        shown,
        [
            "the name of the resource is empty".to_owned(),
            "`shared/a.md` has no type".to_owned(),
            "the type of `:a` is empty".to_owned(),
            "the path of `file:` is empty".to_owned(),
            "the path of `file:/` is empty".to_owned(),
            "the path of `file:/etc/passwd` is absolute; begin with the name of a folder".to_owned(),
            "the path of `file:a/../b` holds `..`; write the path out".to_owned(),
            "the path of `file:..` holds `..`; write the path out".to_owned(),
            "the path of `file:./a` holds `.`; write the path out".to_owned(),
            "the path of `file:a//b` has an empty part; write one `/` between parts".to_owned(),
            "the path of `file:a//` has an empty part; write one `/` between parts".to_owned(),
            "the path of `file:a\\tb` holds a control character".to_owned(),
            "the path of `file:a\\0b` holds a control character".to_owned(),
            "the type of `File:a` is not a word of lower-case letters, digits, `_` and `-`".to_owned(),
            "the type of `file type:a` is not a word of lower-case letters, digits, `_` and `-`".to_owned(),
            "the type of `1file:a` is not a word of lower-case letters, digits, `_` and `-`".to_owned(),
            "the type of `é:a` is not a word of lower-case letters, digits, `_` and `-`".to_owned(),
            format!("the path of `{long80}` has 1025 bytes; 1024 are allowed"),
            format!("the path of `{deep}` has 34 parts; 33 are allowed"),
            format!("the type of `{}:a` has 33 bytes; 32 are allowed", "k".repeat(33)),
        ]
    );
}

#[test]
fn a_folder_covers_what_is_below_it_and_nothing_beside_it() {
    let src = resource("file:src/");
    assert_eq!(src.to_string(), "file:src");
    assert!(src.covers(&resource("file:src/api.rs")) && src.covers(&src));
    for other in ["file:srcs", "file:src.rs", "topic:src/api.rs", "file:lib/src"] {
        assert!(!src.overlaps(&resource(other)), "{other}");
    }
    assert_eq!(resource("file:a/b/c").lineage(), ["a", "a/b", "a/b/c"]);
    let (from, to) = src.below();
    for (path, inside) in
        [("src/a", true), ("src/\u{10ffff}", true), ("src", false), ("src0", false), ("src.rs", false)]
    {
        assert_eq!(from.as_str() < path && path < to.as_str(), inside, "{path}");
    }
}

#[test]
fn files_belong_to_a_run() {
    let run = crate::id::RunId(uuid::Uuid::from_u128(7));
    let file = resource("file:shared/a.md");
    assert_eq!(file.within(run).to_string(), format!("file:{run}/shared/a.md"));
    assert_eq!(file.within(run).plain(), file);
    assert_eq!(resource("topic:a/b").within(run).plain(), resource("topic:a/b"));
}

#[test]
fn a_call_names_each_resource_once_in_order() {
    let found =
        canonical(vec![item("topic:b", Mode::Shared), item("file:a", Mode::Shared), item("topic:b", Mode::Exclusive)]);
    assert_eq!(found, Ok(vec![item("file:a", Mode::Shared), item("topic:b", Mode::Exclusive)]));
    assert_eq!(canonical(Vec::new()).expect_err("nothing").code, "nothing_to_lock");
    let many = (0..=MAX_ITEMS).map(|n| item(&format!("topic:{n}"), Mode::Shared)).collect();
    assert_eq!(
        canonical(many).expect_err("too many").message,
        "the call names 33 resources; 32 can be locked in one call"
    );
}

#[test]
fn a_waiting_writer_is_not_starved_by_later_readers() {
    let mut play = Play::new();
    assert_eq!(play.ask(1, &beside("topic:a")), Outcome::Held);
    assert_eq!(play.ask(2, &alone("topic:a")), Outcome::Waiting(vec![1]));
    assert_eq!(play.ask(3, &beside("topic:a")), Outcome::Waiting(vec![2]));
    assert_eq!(play.urgent(4, &beside("topic:a")), Outcome::Held, "the more urgent goes first");
    assert_eq!(play.0.leave(1, at(2)), &[] as &[u64]);
    assert_eq!(play.0.leave(4, at(2)), [2]);
    assert_eq!(play.0.leave(2, at(2)), [3]);
}

#[test]
fn a_folder_conflicts_with_what_is_below_it() {
    let mut play = Play::new();
    assert_eq!(play.ask(1, &alone("file:src/api.rs")), Outcome::Held);
    assert_eq!(play.ask(2, &alone("file:src/")), Outcome::Waiting(vec![1]));
    assert_eq!(play.ask(3, &alone("file:src/other.rs")), Outcome::Waiting(vec![2]));
    assert_eq!(play.ask(4, &alone("file:lib")), Outcome::Held);
}

#[test]
fn who_holds_something_waits_for_the_younger_and_dies_before_the_older() {
    let mut play = Play::new();
    assert_eq!(play.ask(1, &alone("topic:a")), Outcome::Held);
    assert_eq!(play.ask(2, &alone("topic:b")), Outcome::Held);
    assert_eq!(play.ask(2, &alone("topic:a")), Outcome::Die(1));
    assert_eq!(play.ask(1, &alone("topic:b")), Outcome::Waiting(vec![2]));
    assert_eq!(play.0.leave(2, at(2)), [1]);
}

#[test]
fn who_holds_something_does_not_pass_one_that_is_older_and_waits() {
    let mut play = Play::new();
    assert_eq!(play.ask(5, &alone("topic:a")), Outcome::Held);
    assert_eq!(play.ask(1, &[alone("topic:a"), alone("topic:b")].concat()), Outcome::Waiting(vec![5]));
    assert_eq!(play.ask(5, &alone("topic:b")), Outcome::Die(1));
    let mut play = Play::new();
    assert_eq!(play.ask(5, &alone("topic:a")), Outcome::Held);
    assert_eq!(play.ask(6, &[alone("topic:a"), alone("topic:b")].concat()), Outcome::Waiting(vec![5]));
    assert_eq!(play.ask(5, &alone("topic:b")), Outcome::Held, "it passes the younger one, which waits for it");
}

#[test]
fn what_one_has_need_not_be_had_twice() {
    let mut play = Play::new();
    assert_eq!(play.ask(1, &alone("file:src")), Outcome::Held);
    let token = play.0.token();
    assert_eq!(play.ask(1, &alone("file:src/api.rs")), Outcome::Held);
    assert_eq!(play.ask(1, &beside("file:src")), Outcome::Held);
    assert_eq!((play.0.token(), play.0.held().len()), (token, 1));
    assert_eq!(play.ask(2, &beside("topic:a")), Outcome::Held);
    assert_eq!(play.ask(2, &alone("topic:a")), Outcome::Held, "a shared lock becomes an exclusive one");
    assert_eq!((play.0.token(), play.0.held().len()), (token + 2, 2));
}

#[test]
fn one_request_at_a_time_and_none_too_large() {
    let mut play = Play::new();
    assert_eq!(play.ask(1, &alone("topic:a")), Outcome::Held);
    assert_eq!(play.ask(2, &alone("topic:a")), Outcome::Waiting(vec![1]));
    assert_eq!(play.ask(2, &alone("topic:b")), Outcome::WaitsAlready);
    assert_eq!(play.0.acquire(3, &alone("topic:a"), Priority::Low, (at(1), None)), Outcome::Busy(vec![1, 2]));
    assert_eq!(
        admit(120, 9).expect_err("too many").message,
        "this task holds 120 locks and asks for 9 more; it may hold 128"
    );
}

#[test]
fn a_circle_is_found() {
    let edge = |from, to: &[u64]| graph::Edge { from, to: to.to_vec() };
    assert_eq!(circle(&[edge(1, &[2]), edge(2, &[3]), edge(4, &[1])]), None);
    assert_eq!(circle(&[edge(1, &[2]), edge(2, &[3, 4]), edge(4, &[2])]), Some(vec![2, 4]));
    let long: Vec<_> = (0..100_000).map(|n| edge(n, &[n + 1])).collect();
    assert_eq!(circle(&long), None);
}

/// Chances that all come from one seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        crate::flow::made::split_mix(&mut self.0) % bound
    }

    fn pick<'t, T>(&mut self, from: &'t [T]) -> &'t T {
        &from[usize::try_from(self.below(from.len() as u64)).expect("small")]
    }

    fn items(&mut self) -> Vec<Item> {
        let count = 1 + self.below(3);
        let one = |chance: &mut Self| {
            let mode = *chance.pick(&[Mode::Shared, Mode::Exclusive]);
            item(chance.pick::<&str>(RESOURCES), mode)
        };
        canonical((0..count).map(|_| one(self)).collect()).expect("a few")
    }
}

/// What a schedule has seen, beside the table.
struct Watch {
    seed: u64,
    table: Table<u64>,
    now: i64,
    tokens: i64,
    waited: u64,
    died: u64,
}

impl Watch {
    fn act(&mut self, chance: &mut Chance) {
        let holder = chance.below(HOLDERS);
        let now = at(self.now);
        match chance.below(12) {
            0..=5 => self.ask(chance, holder),
            6 => {
                let has: Vec<_> = self.table.of(holder).into_iter().map(|item| item.resource).collect();
                let some: Vec<_> = has.into_iter().filter(|_| chance.below(2) == 0).collect();
                self.table.release(holder, &some, now);
            }
            7 | 8 => drop(self.table.leave(holder, now)),
            9 => self.table.renew(holder, now),
            10 => self.table.retoken(holder),
            _ => {
                self.now += i64::try_from(chance.below(25)).expect("small");
                self.table.expire(at(self.now));
            }
        }
        self.check();
    }

    fn ask(&mut self, chance: &mut Chance, holder: u64) {
        let (items, priority) = (chance.items(), *chance.pick(&Priority::ALL));
        let due = (chance.below(8) > 0).then(|| at(self.now + 20));
        let before = self.table.clone();
        match self.table.acquire(holder, &items, priority, (at(self.now), due)) {
            Outcome::Waiting(others) => {
                self.waited += 1;
                assert!(!others.is_empty() && !others.contains(&holder), "{self}");
            }
            Outcome::Held => self.not_past(&before, holder, &items),
            Outcome::Die(older) => {
                self.died += 1;
                assert!(older < holder && !before.of(holder).is_empty(), "{self}");
            }
            Outcome::Busy(_) => assert!(due.is_none(), "{self}"),
            Outcome::WaitsAlready | Outcome::Refused(_) => {}
        }
    }

    /// Who gets something at once passes nobody who waits for it, but the less urgent, and the younger where it holds something.
    fn not_past(&self, before: &Table<u64>, holder: u64, items: &[Item]) {
        let has = before.of(holder);
        let new = missing(items, &has);
        for wait in before.waiting() {
            let clash = wait.ask.items.iter().any(|other| new.iter().any(|item| item.conflicts(other)));
            if clash && !has.is_empty() {
                assert!(wait.ask.order.is_first && wait.ask.holder > holder, "{self}");
            }
        }
    }

    /// What must hold after every act.
    fn check(&mut self) {
        let held = self.table.held();
        for (at, one) in held.iter().enumerate() {
            for other in &held[at + 1..] {
                assert!(
                    one.holder == other.holder || !one.item.conflicts(&other.item),
                    "{self}: {one:?} and {other:?}"
                );
            }
        }
        let highest = held.iter().map(|lock| lock.token).max().unwrap_or(0);
        assert!(self.table.token() >= self.tokens.max(highest), "{self}: a token went back");
        self.tokens = self.table.token();
        let rows = self.table.rows();
        let edges = edges(&rows);
        assert_eq!(circle(&edges), None, "{self}: {edges:?}");
        assert!(edges.iter().all(|edge| !edge.to.is_empty()), "{self}: one waits for nobody: {edges:?}");
    }

    /// With nobody asking for more and no lease running out, everyone who waits gets its turn, in order.
    fn drain(&mut self) {
        let most = self.table.waiting().len() + usize::try_from(HOLDERS).expect("small");
        for _ in 0..=most {
            if self.table.waiting().is_empty() {
                return;
            }
            let waits: Vec<u64> = self.table.waiting().iter().map(|wait| wait.ask.holder).collect();
            let free = self.table.held().iter().map(|lock| lock.holder).find(|holder| !waits.contains(holder));
            let Some(free) = free else { panic!("{self}: all who hold something wait") };
            let before = self.table.waiting().to_vec();
            let granted = self.table.leave(free, at(self.now));
            for holder in granted {
                let ask = &before.iter().find(|wait| wait.ask.holder == holder).expect("it waited").ask;
                for other in self.table.waiting().iter().filter(|other| other.ask.order < ask.order) {
                    let clash = other.ask.items.iter().any(|one| ask.items.iter().any(|two| one.conflicts(two)));
                    assert!(!clash, "{self}: {holder} passed {}", other.ask.holder);
                }
            }
            self.check();
        }
        panic!("{self}: some wait for ever");
    }
}

impl fmt::Display for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}: {:#?}", self.seed, self.table)
    }
}

fn play(seed: u64) -> (u64, u64) {
    let mut chance = Chance(seed);
    let mut watch = Watch { seed, table: Table::new(LEASE, LEASE), now: 0, tokens: 0, waited: 0, died: 0 };
    for _ in 0..ACTS {
        watch.act(&mut chance);
    }
    watch.drain();
    (watch.waited, watch.died)
}

#[test]
fn whatever_the_order_nobody_is_beside_a_writer_and_nobody_waits_for_ever() {
    let (mut waited, mut died) = (0, 0);
    for seed in 0..SCHEDULES {
        let (more_waited, more_died) = play(seed);
        waited += more_waited;
        died += more_died;
    }
    println!("{SCHEDULES} schedules from seed 0: {waited} waits, {died} refused to wait for an older one");
    assert!(waited > SCHEDULES && died > SCHEDULES / 10, "the schedules must contend: {waited} waits, {died} deaths");
}

/// First come, first served among equals: the turns of one resource are the order of asking.
#[test]
fn equals_are_served_in_the_order_of_asking() {
    for seed in 0..1_000 {
        let mut chance = Chance(seed);
        let mut play = Play::new();
        play.ask(0, &alone("topic:a"));
        let waits: Vec<u64> =
            (1..40).filter(|holder| play.ask(*holder, &chance_mode(&mut chance)) != Outcome::Held).collect();
        let (mut holders, mut served): (Vec<u64>, Vec<u64>) = (vec![0], Vec::new());
        while let Some(holder) = holders.pop() {
            let granted = play.0.leave(holder, at(2));
            served.extend(&granted);
            holders.extend(granted);
        }
        assert_eq!(served, waits, "seed {seed}");
        assert_eq!(play.0.held(), &[] as &[Lock<u64>]);
    }
}

fn chance_mode(chance: &mut Chance) -> Vec<Item> {
    vec![item("topic:a", *chance.pick(&[Mode::Shared, Mode::Exclusive]))]
}
