//! Outcomes on each database: the last word of each, the newest first.

use convoke_domain::time::Timestamp;
use convoke_store::outcome;

use crate::noun::{NOW, RUN, with_run};
use crate::support::{Place, act, cases, look};

cases! { the_last_word_of_each_outcome_counts, a_value_out_of_range_is_no_row }

fn new<'a>(subject: &'a str, agent: &'a str, kind: &'a str, value: f64) -> outcome::NewRow<'a> {
    outcome::NewRow { subject, agent, capability: "", kind, value, choice: None, run: Some(RUN), at: None }
}

async fn the_last_word_of_each_outcome_counts(place: Place) {
    let store = with_run(&place).await;
    act!(store, tx => {
        outcome::put(tx, &[
            outcome::NewRow { choice: Some("roll back"), capability: "ops", ..new("vote-1", "ada", "vote_won", 1.0) },
            outcome::NewRow { choice: Some("wait"), ..new("vote-1", "bob", "vote_lost", 0.0) },
            new("task-1", "ada", "rated", 0.75),
        ]).await?;
        outcome::put(tx, &[]).await?;
        outcome::put(tx, &[new("task-1", "ada", "rated", 0.25)]).await
    });
    let found = look!(store, tx => outcome::of_agent(tx, "ada", 10).await);
    let brief: Vec<_> = found.iter().map(|one| (one.subject.as_str(), one.kind.as_str(), one.value)).collect();
    assert_eq!(brief, [("vote-1", "vote_won", 1.0), ("task-1", "rated", 0.25)]);
    assert_eq!(
        (found[0].choice.as_deref(), found[0].capability.as_str(), found[0].at),
        (Some("roll back"), "ops", NOW)
    );
    assert_eq!(look!(store, tx => outcome::of_agent(tx, "ada", 1).await).len(), 1);
    let early = Timestamp::from_micros(5);
    act!(store, tx => outcome::put(tx, &[outcome::NewRow { at: Some(early), ..new("vote-1", "cyd", "gold", 1.0) }]).await);
    let of_vote = look!(store, tx => outcome::of_subject(tx, "vote-1", "gold", 10).await);
    assert_eq!(of_vote.iter().map(|one| (one.agent.as_str(), one.at)).collect::<Vec<_>>(), [("cyd", early)]);
    assert_eq!(look!(store, tx => outcome::of_agent(tx, "eve", 10).await), []);
    let names = |found: Vec<(String,)>| found.into_iter().map(|(name,)| name).collect::<Vec<_>>();
    assert_eq!(names(look!(store, tx => outcome::agents(tx, "", 10).await)), ["ada", "bob", "cyd"]);
    assert_eq!(names(look!(store, tx => outcome::agents(tx, "ada", 10).await)), ["bob", "cyd"]);
    assert_eq!(names(look!(store, tx => outcome::agents(tx, "", 1).await)), ["ada"]);
}

async fn a_value_out_of_range_is_no_row(place: Place) {
    let store = with_run(&place).await;
    for value in [-0.1, 1.1] {
        let refused = act!(try store, tx => outcome::put(tx, &[new("x", "ada", "gold", value)]).await);
        assert!(refused.is_err(), "{value}");
    }
    assert_eq!(look!(store, tx => outcome::of_agent(tx, "ada", 10).await), []);
}
