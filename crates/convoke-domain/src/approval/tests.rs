//! The table, tables of who may answer, and random schedules in which nothing happens twice and nobody approves who may not.

use serde_json::json;

use super::*;

#[test]
fn the_table_is_what_the_docs_print() {
    let rows = State::ALL.into_iter().map(|state| {
        let cells = Command::ALL.into_iter().map(|command| decide(state, command).map_or("", State::as_str));
        (state.as_str(), cells.collect())
    });
    let commands: Vec<_> = Command::ALL.into_iter().map(Command::as_str).collect();
    crate::docs::check("state/approval.md", &crate::docs::table("Approval", "approval.rs", &commands, rows));
}

fn rule(value: Value) -> Rule {
    serde_json::from_value(value).expect("a rule")
}

fn say(rule: &Rule, votes: &[Vote], who: &str, role: Option<Role>) -> Result<(State, Vote), Refusal> {
    let asked = Asked { state: State::Pending, rule, creator: "user:ada", votes };
    cast(&asked, Voter { who, role }, Choice::Approve)
}

fn vote(by: &str, place: &str) -> Vote {
    Vote { by: by.into(), place: place.into(), choice: Choice::Approve }
}

#[test]
fn who_may_not_answer_is_told_why() {
    let named = rule(json!({"approvers": ["ada", "role:owner"], "deputies": {"ada": ["bob"]}, "four_eyes": true}));
    for (who, role, code) in [
        ("agent:worker", Some(Role::Owner), "not_a_person"),
        ("system", None, "not_a_person"),
        ("user:", None, "not_a_person"),
        ("user:ghost", None, "unknown_user"),
        ("user:eve", Some(Role::Viewer), "role_denied"),
        ("user:ada", Some(Role::Owner), "four_eyes"),
        ("user:carl", Some(Role::Approver), "not_an_approver"),
    ] {
        assert_eq!(say(&named, &[], who, role).expect_err(who).code, code, "{who}");
    }
    assert_eq!(say(&named, &[], "user:bob", Some(Role::Approver)).expect("a deputy").1.place, "ada");
    assert_eq!(say(&named, &[], "user:dan", Some(Role::Owner)).expect("of the role").1.place, "dan");
    let twice =
        say(&named, &[vote("eric", "ada")], "user:bob", Some(Role::Operator)).expect_err("ada's place is taken");
    assert_eq!(twice.message, "`eric` has answered in the place of `ada` already");
}

#[test]
fn a_deputy_of_several_takes_the_place_that_is_free() {
    let rule = rule(json!({"approvers": ["ada", "carl"], "needed": 2, "deputies": {"ada": ["bob"], "carl": ["bob"]}}));
    let (state, given) = say(&rule, &[vote("ada", "ada")], "user:bob", Some(Role::Approver)).expect("for carl");
    assert_eq!((state, given.place.as_str()), (State::Approved, "carl"));
}

#[test]
fn as_many_as_are_needed_and_one_no_is_enough() {
    let two = rule(json!({"needed": 2}));
    assert_eq!(say(&two, &[], "user:ada", Some(Role::Owner)).expect("the first").0, State::Pending);
    let votes = [vote("ada", "ada")];
    assert_eq!(say(&two, &votes, "user:ada", Some(Role::Owner)).expect_err("again").code, "already_voted");
    assert_eq!(say(&two, &votes, "user:bob", Some(Role::Owner)).expect("the second").0, State::Approved);
    let asked = Asked { state: State::Pending, rule: &two, creator: "user:x", votes: &votes };
    let no = cast(&asked, Voter { who: "user:bob", role: Some(Role::Approver) }, Choice::Reject).expect("a no");
    assert_eq!(no.0, State::Rejected);
}

#[test]
fn changed_arguments_are_something_else() {
    let one = digest("shell", &json!({"command": "rm a", "cwd": "/"}));
    assert_eq!(one, digest("shell", &json!({"cwd": "/", "command": "rm a"})));
    assert_ne!(one, digest("shell", &json!({"cwd": "/", "command": "rm  a"})));
    assert_ne!(one, digest("write_file", &json!({"command": "rm a", "cwd": "/"})));
}

#[test]
fn confidence_is_read_where_it_is_plain() {
    for (text, percent) in [
        ("It is safe. Confidence: 0.8", Some(80)),
        ("confidence 75% because", Some(75)),
        ("**Confidence**: 1", Some(100)),
        ("confidence: 0.95.", Some(95)),
        ("confidence: 80", None),
        ("confidence is high", None),
        ("no word of it", None),
        ("confidence: 1.2.3", None),
    ] {
        assert_eq!(confidence_of(text), percent, "{text}");
    }
    assert_eq!(reason_of("  \n "), None);
    assert_eq!(reason_of(&"é".repeat(3_000)).map(|text| text.chars().count()), Some(REASON_CHARS));
}

/// Chances that all come from one seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        crate::flow::made::split_mix(&mut self.0) % bound
    }
}

const PEOPLE: [(&str, Option<Role>); 7] = [
    ("user:ada", Some(Role::Owner)),
    ("user:bob", Some(Role::Operator)),
    ("user:carl", Some(Role::Approver)),
    ("user:dan", Some(Role::Approver)),
    ("user:eve", Some(Role::Viewer)),
    ("user:ghost", None),
    ("agent:worker", Some(Role::Owner)),
];

/// An approval with all that happened to it.
struct Kept {
    state: State,
    votes: Vec<Vote>,
    digest: String,
    executed: u32,
    said_no: bool,
    late: bool,
}

fn random_rule(chance: &mut Chance) -> Rule {
    let lists = [json!([]), json!(["ada", "carl"]), json!(["role:approver"]), json!(["ada", "role:operator"])];
    let list = lists[chance.below(4) as usize].clone();
    rule(json!({
        "approvers": list, "needed": 1 + chance.below(3), "four_eyes": chance.below(2) == 0,
        "deputies": if chance.below(2) == 0 { json!({"ada": ["dan", "bob"]}) } else { json!({}) },
    }))
}

/// One schedule over three approvals: people answer, time runs out, calls are made with the right arguments and others.
fn play(seed: u64) {
    let mut chance = Chance(seed);
    let rule = random_rule(&mut chance);
    let creator = PEOPLE[chance.below(4) as usize].0;
    let mut all: Vec<_> = (0..3)
        .map(|n| Kept {
            state: State::Pending,
            votes: Vec::new(),
            digest: digest("shell", &json!({"n": n})),
            executed: 0,
            said_no: false,
            late: false,
        })
        .collect();
    for _ in 0..40 {
        let at = chance.below(3) as usize;
        let before = all[at].state;
        act(&mut chance, &rule, creator, &mut all[at]);
        check(seed, &rule, creator, before, &all[at]);
    }
}

fn act(chance: &mut Chance, rule: &Rule, creator: &str, kept: &mut Kept) {
    match chance.below(12) {
        0 => go(kept, Command::Expire, |kept| kept.late = true),
        1 => go(kept, Command::Withdraw, |kept| kept.late = true),
        2 => go(kept, Command::Fail, |_| ()),
        3..=5 => {
            // A call of this digest, or of another, comes to the door.
            let call = digest("shell", &json!({"n": chance.below(4)}));
            if call == kept.digest {
                go(kept, Command::Execute, |kept| kept.executed += 1);
            }
        }
        _ => {
            let (who, role) = PEOPLE[chance.below(PEOPLE.len() as u64) as usize];
            let choice = if chance.below(8) == 0 { Choice::Reject } else { Choice::Approve };
            let asked = Asked { state: kept.state, rule, creator, votes: &kept.votes };
            if let Ok((state, vote)) = cast(&asked, Voter { who, role }, choice) {
                kept.said_no |= choice == Choice::Reject;
                kept.state = state;
                kept.votes.push(vote);
            }
        }
    }
}

fn go(kept: &mut Kept, command: Command, then: impl Fn(&mut Kept)) {
    if let Ok(state) = decide(kept.state, command) {
        kept.state = state;
        then(kept);
    }
}

fn check(seed: u64, rule: &Rule, creator: &str, before: State, kept: &Kept) {
    assert!(kept.executed <= 1, "seed {seed}: used {} times", kept.executed);
    let mut people: Vec<_> = kept.votes.iter().map(|vote| vote.by.as_str()).collect();
    people.sort_unstable();
    people.dedup();
    assert_eq!(people.len(), kept.votes.len(), "seed {seed}: one person, one vote");
    assert!(!people.iter().any(|name| ["eve", "ghost", "worker"].contains(name)), "seed {seed}: {people:?}");
    assert!(!rule.four_eyes || !people.contains(&creator.trim_start_matches("user:")), "seed {seed}: four eyes");
    let yes = kept.votes.iter().filter(|vote| vote.choice == Choice::Approve).count();
    if kept.executed > 0 {
        assert!(yes >= rule.needed as usize && !kept.said_no && !kept.late, "seed {seed}: run without leave");
    }
    if matches!(before, State::Rejected | State::Failed | State::Expired) {
        assert_eq!(before, kept.state, "seed {seed}: what has ended changes no more");
    }
}

#[test]
fn nothing_is_used_twice_and_nobody_approves_who_may_not() {
    (0..20_000).for_each(play);
}
