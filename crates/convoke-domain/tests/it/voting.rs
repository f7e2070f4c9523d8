//! What votes are worth on real answers: `tests/data/voting`, measured as `cargo xtask eval voting` prints it.
//!
//! Each set is split at random into two halves, twenty times. Weights are learnt from the first half, votes are counted in
//! the second, by the same [`tally`] that runs use. Nothing is fitted to the second half: how to weigh and whether to
//! let the best voter decide is found by leaving out one by one within the first ([`learn`]). Agreement alone
//! (Dawid and Skene) is told no truth at all. A tie of n choices counts 1/n.

use std::path::Path;
use std::time::Duration;

use convoke_domain::flow::made::split_mix;
use convoke_domain::vote::{Ballot, Canonical, Outcome, VoteRule, canonical, tally};
use convoke_domain::weight::{
    Consensus, Label, Learnt, OPEN_CHOICES, PRIOR, Past, Size, collapse, dawid_skene, learn, weight,
};

const SPLITS: u64 = 20;

/// Recorded votes with their truths.
struct Set {
    name: &'static str,
    votes: Vec<Past>,
    /// Options of a closed vote.
    choices: Option<usize>,
}

/// Parts of the second half that were decided rightly, in percent.
#[derive(Default, Clone, Copy)]
struct Shares {
    hindsight: f64,
    /// The voter with the best record, of the questions that it was asked, summed over all splits: right, and asked.
    single: (f64, f64),
    /// The weighted vote on the same questions.
    beside: f64,
    routed: f64,
    majority: f64,
    weighted: f64,
    log_odds: f64,
    agreement: f64,
    both: f64,
    collapsed: f64,
}

fn read(file: &str) -> Vec<Past> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/voting").join(file);
    let text = std::fs::read_to_string(&path).expect("the repository carries its data");
    let vote = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
        let form = |said: &serde_json::Value| canonical(Canonical::Number, said.as_str().expect("text"));
        let ballots = value["ballots"].as_array().expect("ballots").iter();
        Past {
            age: Duration::ZERO,
            truth: form(&value["truth"]),
            ballots: ballots
                .map(|ballot| (ballot[0].as_str().expect("a voter").to_owned(), form(&ballot[1])))
                .collect(),
        }
    };
    text.lines().map(vote).collect()
}

fn sets() -> Vec<Set> {
    let models = |names: &[&str]| -> Vec<Past> {
        let mut votes = read("gsm8k.jsonl");
        votes.iter_mut().for_each(|vote| vote.ballots.retain(|(voter, _)| names.contains(&voter.as_str())));
        votes
    };
    let six =
        ["6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification", "mixtral-8x7b", "gpt-4-1106"];
    vec![
        Set { name: "gsm8k, 4 models", votes: models(&six[..4]), choices: None },
        Set { name: "gsm8k, 5 models", votes: models(&six[..5]), choices: None },
        Set { name: "gsm8k, 6 models", votes: models(&six), choices: None },
        Set { name: "bluebirds", votes: read("bluebirds.jsonl"), choices: Some(2) },
        Set { name: "adult2", votes: read("adult2.jsonl"), choices: Some(4) },
    ]
}

/// The places of the first and of the second half.
fn halves(count: usize, seed: u64) -> (Vec<usize>, Vec<usize>) {
    let mut places: Vec<usize> = (0..count).collect();
    let mut state = seed;
    for at in (1..count).rev() {
        places.swap(at, (split_mix(&mut state) % (at as u64 + 1)) as usize);
    }
    let second = places.split_off(count / 2);
    (places, second)
}

/// The part of a vote that is decided rightly when ballots weigh what `weight` says.
fn voted(vote: &Past, weight: impl Fn(&str) -> f64, best: Option<&str>) -> f64 {
    let rule = VoteRule { quorum: 0.0, canonical: Canonical::Exact, ..VoteRule::default() };
    let mut electorate: Vec<(String, f64)> =
        vote.ballots.iter().map(|(voter, _)| (voter.clone(), weight(voter))).collect();
    if let Some(best) = best {
        collapse(&mut electorate, best);
    }
    let ballots: Vec<Ballot> = vote.ballots.iter().map(|(voter, said)| Ballot::cast(&rule, voter, said)).collect();
    match tally(&rule, &electorate, &ballots).outcome {
        Outcome::Decided { choice } => part(choice == vote.truth, 1),
        Outcome::Tied { choices } => part(choices.contains(&vote.truth), choices.len()),
        other => panic!("nothing is out and no quorum is wanted, yet {other:?}"),
    }
}

fn part(right: bool, of: usize) -> f64 {
    if right { 1.0 / of as f64 } else { 0.0 }
}

/// The voter with the best record of all.
fn champion(learnt: &Learnt) -> String {
    let best = learnt.records.iter().rev().max_by(|a, b| a.1.accuracy(PRIOR).total_cmp(&b.1.accuracy(PRIOR)));
    best.map(|(voter, _)| voter.clone()).expect("somebody voted")
}

fn said_by<'a>(vote: &'a Past, voter: &str) -> Option<&'a String> {
    vote.ballots.iter().find(|(name, _)| name == voter).map(|(_, said)| said)
}

/// What the voter with the best record of those who voted says.
fn best_alone(vote: &Past, learnt: &Learnt) -> f64 {
    let record = |voter: &str| learnt.records.get(voter).copied().unwrap_or_default().accuracy(PRIOR);
    // Of several the first.
    let best = vote.ballots.iter().rev().max_by(|a, b| record(&a.0).total_cmp(&record(&b.0)));
    part(best.is_some_and(|(_, said)| *said == vote.truth), 1)
}

/// What a record alone is worth.
fn by_log_odds(learnt: &Learnt, voter: &str, choices: Option<usize>) -> f64 {
    let record = learnt.records.get(voter).copied().unwrap_or_default();
    weight(record.accuracy(PRIOR), choices.unwrap_or(OPEN_CHOICES))
}

/// The voter who turns out to be the best in the second half, of those who take part always: nobody can know that before.
fn hindsight(votes: &[&Past]) -> f64 {
    let right = |voter: &str| {
        votes.iter().filter(|vote| vote.ballots.iter().any(|(v, said)| v == voter && *said == vote.truth)).count()
    };
    let always = |voter: &&str| votes.iter().all(|vote| vote.ballots.iter().any(|(v, _)| v == voter));
    let voters = votes[0].ballots.iter().map(|(voter, _)| voter.as_str()).filter(always);
    voters.map(right).max().map_or(f64::NAN, |right| right as f64)
}

/// Agreement over all votes; `known` votes are told their truth. Open votes have no classes in common.
fn agreement(set: &Set, known: &[usize]) -> Option<(Consensus, Vec<String>)> {
    set.choices?;
    let names = |of: &mut dyn Iterator<Item = &String>| {
        let mut names: Vec<String> = of.cloned().collect();
        names.sort();
        names.dedup();
        names
    };
    let voters = names(&mut set.votes.iter().flat_map(|vote| vote.ballots.iter().map(|(voter, _)| voter)));
    let classes =
        names(&mut set.votes.iter().flat_map(|vote| vote.ballots.iter().map(|(_, said)| said).chain([&vote.truth])));
    let place = |names: &[String], name: &String| names.binary_search(name).expect("all are listed");
    let labels: Vec<Label> = set
        .votes
        .iter()
        .enumerate()
        .flat_map(|(item, vote)| vote.ballots.iter().map(move |ballot| (item, ballot)))
        .map(|(item, (voter, said))| Label { item, voter: place(&voters, voter), class: place(&classes, said) })
        .collect();
    let known: Vec<_> = known.iter().map(|item| (*item, place(&classes, &set.votes[*item].truth))).collect();
    let size = Size { items: set.votes.len(), voters: voters.len(), classes: classes.len() };
    Some((dawid_skene(&labels, size, &known), classes))
}

fn agreed(set: &Set, found: Option<&(Consensus, Vec<String>)>, items: &[usize]) -> f64 {
    let Some((consensus, classes)) = found else { return f64::NAN };
    let one = |item: &usize| {
        let likeliest = consensus.likeliest(*item);
        part(likeliest.iter().any(|class| classes[*class] == set.votes[*item].truth), likeliest.len())
    };
    items.iter().map(one).sum()
}

fn measure(set: &Set) -> Shares {
    let mut sum = Shares::default();
    let alone = agreement(set, &[]);
    for seed in 1..=SPLITS {
        let (first, second) = halves(set.votes.len(), seed);
        let past: Vec<Past> = first.iter().map(|at| set.votes[*at].clone()).collect();
        let unseen: Vec<&Past> = second.iter().map(|at| &set.votes[*at]).collect();
        let hidden: Vec<_> = unseen.iter().map(|vote| (vote.ballots.clone(), Duration::ZERO)).collect();
        let learnt = learn(&past, &hidden, set.choices);
        let plain = learn(&past, &[], set.choices);
        let best = learnt.best.as_deref();
        let share = |of: f64| 100.0 * of / (second.len() as f64 * SPLITS as f64);
        sum.hindsight += share(hindsight(&unseen));
        let asked: Vec<&Past> =
            unseen.iter().copied().filter(|vote| said_by(vote, &champion(&plain)).is_some()).collect();
        let right = asked.iter().filter(|vote| said_by(vote, &champion(&plain)) == Some(&vote.truth)).count();
        sum.single = (sum.single.0 + right as f64, sum.single.1 + asked.len() as f64);
        sum.beside +=
            asked.iter().map(|vote| voted(vote, |voter| learnt.weight(voter, set.choices), best)).sum::<f64>();
        sum.routed += share(unseen.iter().map(|vote| best_alone(vote, &plain)).sum());
        sum.majority += share(unseen.iter().map(|vote| voted(vote, |_| 1.0, None)).sum());
        sum.weighted +=
            share(unseen.iter().map(|vote| voted(vote, |voter| learnt.weight(voter, set.choices), best)).sum());
        sum.log_odds +=
            share(unseen.iter().map(|vote| voted(vote, |voter| by_log_odds(&plain, voter, set.choices), None)).sum());
        sum.agreement += share(agreed(set, alone.as_ref(), &second));
        sum.both += share(agreed(set, agreement(set, &first).as_ref(), &second));
        sum.collapsed += f64::from(u8::from(best.is_some()));
    }
    sum
}

fn cell(share: f64) -> String {
    if share.is_nan() { "-".to_owned() } else { format!("{share:.2}") }
}

/// A line of the table, with its numbers in the order of its head.
fn line(set: &Set, found: &Shares) -> String {
    let alone = 100.0 * found.single.0 / found.single.1;
    let beside = 100.0 * found.beside / found.single.1;
    let asked = found.single.1 / SPLITS as f64;
    let shares = [
        found.routed,
        found.hindsight,
        found.majority,
        found.log_odds,
        found.weighted,
        found.agreement,
        found.both,
        alone,
        beside,
    ];
    let cells: String = shares.iter().map(|share| format!(" {:>9}", cell(*share))).collect();
    format!("{:<16}{cells} {asked:>9.1} {:>6}/{SPLITS}\n", set.name, found.collapsed)
}

/// What the columns are. The last but one compare the voter with the best record of all with the weighted vote in the
/// questions that this voter was asked.
const HEAD: &str = "
                      best   best in  majority  log-odds  weighted   Dawid-     + truth   single  weighted   asked   collapsed
                     voter hindsight                                  Skene  of a half     voter     there  of half
";

#[test]
fn weighted_votes_are_worth_at_least_their_best_voter_and_the_majority() {
    let mut page = HEAD.to_owned();
    let (mut short, mut told) = (Vec::new(), DOCS_HEAD.to_owned());
    for set in sets() {
        let found = measure(&set);
        page.push_str(&line(&set, &found));
        told.push_str(&row(&set, &found));
        if set.name == "adult2" {
            told.push_str(&beside(&set, &found));
        }
        let mut hold = |what: &str, share: f64, bar: f64| {
            if share.is_nan() || share < bar - 1e-9 {
                short.push(format!("{}: {what} is {share:.2}, and {bar:.2} is wanted", set.name));
            }
        };
        // Where not everybody is asked, the best voter is the best of those who were: one voter alone leaves questions open.
        hold("weighted against the best voter", found.weighted, found.routed);
        hold("weighted against the majority", found.weighted, found.majority);
        match set.name {
            "bluebirds" => hold("Dawid-Skene", found.agreement, 89.0),
            "adult2" => {
                hold("Dawid-Skene", found.agreement, 74.0);
                hold("weighted", found.weighted, 74.0);
            }
            _ => {}
        }
    }
    println!(
        "\nPercent of the unseen half decided rightly, mean of {SPLITS} random splits (seeds 1 to {SPLITS}):\n\n{page}"
    );
    assert!(short.is_empty(), "{}\n{page}", short.join("\n"));
    told.push_str(&trust());
    check("voting", &told);
}

/// How far to trust an answer that several of five models give.
fn trust() -> String {
    let set = sets().into_iter().find(|set| set.name == "gsm8k, 5 models").expect("it is there");
    let told = [2, 3, 4].map(|least| {
        let (mut right, mut all) = (0, 0);
        for vote in &set.votes {
            let with = |said: &String| vote.ballots.iter().filter(|(_, other)| other == said).count();
            let mut said: Vec<&String> = vote.ballots.iter().map(|(_, said)| said).collect();
            said.sort();
            said.dedup();
            let held: Vec<_> = said.into_iter().filter(|said| with(said) >= least).collect();
            all += held.len();
            right += held.into_iter().filter(|said| **said == vote.truth).count();
        }
        format!("{:.0}", 100.0 * right as f64 / all as f64)
    });
    let [two, three, four] = told;
    format!(
        "\nAmong five of the models, an answer that at least two gave was right {two} times of a hundred, of at least three {three} times, of at least \
         four {four} times: `agreement` tells how far to trust a result.\n"
    )
}

/// Where in the page the printed part stands.
const MARKS: [&str; 2] = ["<!-- eval NAME -->\n", "<!-- end -->"];

/// Compares a part of `docs/concept/voting.md` with what was measured. With `CONVOKE_WRITE_DOCS` set it writes the part instead.
fn check(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/concept/voting.md");
    let kept = std::fs::read_to_string(&path).expect("the page");
    let begin = MARKS[0].replace("NAME", name);
    let (before, rest) = kept.split_once(&begin).expect("the mark");
    let (_, after) = rest.split_once(MARKS[1]).expect("its end");
    let wanted = format!("{before}{begin}\n{text}\n{}{after}", MARKS[1]);
    match std::env::var_os("CONVOKE_WRITE_DOCS") {
        Some(_) => std::fs::write(&path, &wanted).expect("writes the page"),
        None => {
            assert!(kept == wanted, "docs/concept/voting.md is out of date; run with CONVOKE_WRITE_DOCS=1:\n{text}")
        }
    }
}

const DOCS_HEAD: &str = "| set | best voter | majority | log-odds | learnt weights | Dawid-Skene, no truth told |\n|---|---|---|---|---|---|\n";

/// A line of the page's table: the best of it is bold.
fn row(set: &Set, found: &Shares) -> String {
    let name = match set.name {
        "bluebirds" => "birds".to_owned(),
        "adult2" => "web pages".to_owned(),
        other => other.replace("gsm8k", "arithmetic"),
    };
    let shares = [found.routed, found.majority, found.log_odds, found.weighted, found.agreement];
    let best = shares.iter().copied().filter(|share| !share.is_nan()).fold(0.0, f64::max);
    let cells = shares.map(|share| match share {
        share if share.is_nan() => " |".to_owned(),
        share if share >= best => format!(" **{share:.2}** |"),
        share => format!(" {share:.2} |"),
    });
    format!("| {name} |{}\n", cells.concat())
}

/// The voter with the best record of all, where it was not always asked.
fn beside(set: &Set, found: &Shares) -> String {
    let [alone, beside] = [found.single.0, found.beside].map(|right| 100.0 * right / found.single.1);
    let asked = found.single.1 / SPLITS as f64;
    let half = set.votes.len() - set.votes.len() / 2;
    format!(
        "\nOn the few web pages that the one person with the best record judged ({asked:.1} of {half} on average), that person alone was right in {alone:.2} \
         percent, the weighted vote in {beside:.2}.\n"
    )
}
