//! Ratings on each database: one for each person and thing, the last word of each.

use convoke_domain::id::RunId;
use convoke_domain::time::Timestamp;
use convoke_store::{rating, run};
use uuid::Uuid;

use crate::noun::{NOW, RUN, new_run, task_id, with_run};
use crate::support::{Place, act, cases, look};

cases! { the_last_word_of_each_counts, a_rating_out_of_range_is_no_row }

/// A run that nobody has rated.
const OTHER: RunId = RunId(Uuid::from_u128(3));

fn new<'a>(what: &'a str, who: &'a str, stars: i64, note: &'a str) -> rating::NewRow<'a> {
    rating::NewRow {
        run: RUN,
        what,
        who,
        task: None,
        agent: what.strip_prefix("agent:"),
        capability: "ops",
        stars,
        note,
    }
}

async fn the_last_word_of_each_counts(place: Place) {
    let store = with_run(&place).await;
    act!(store, tx => {
        run::insert(tx, &new_run(OTHER, None)).await?;
        rating::put(tx, &rating::NewRow { task: Some(task_id(1)), agent: Some("ada"), ..new("task_1", "user:eve", 2, "") }).await?;
        rating::put(tx, &new("agent:ada", "user:eve", 5, "quick")).await?;
        rating::put(tx, &new("run", "user:eve", 1, "wrong")).await?;
        rating::put(tx, &new("run", "user:bob", 4, "")).await?;
        rating::put(tx, &new("run", "user:eve", 3, "better on a second look")).await
    });
    let found = look!(store, tx => rating::of_run(tx, RUN, 10).await);
    let brief: Vec<_> =
        found.iter().map(|one| (one.who.as_str(), one.stars, one.note.as_str(), one.agent.as_deref())).collect();
    assert_eq!(
        brief,
        [
            ("user:bob", 4, "", None),
            ("user:eve", 3, "better on a second look", None),
            ("user:eve", 5, "quick", Some("ada")),
            ("user:eve", 2, "", Some("ada")),
        ]
    );
    assert_eq!((found[3].task, found[3].run, found[3].at), (Some(task_id(1)), RUN, NOW));
    assert_eq!(look!(store, tx => rating::of_run(tx, RUN, 1).await).len(), 1);
    assert_eq!(look!(store, tx => rating::of_run(tx, OTHER, 10).await), []);
    assert_eq!(look!(store, tx => rating::find(tx, RUN, "run", "user:eve").await), Some(3));
    assert_eq!(look!(store, tx => rating::find(tx, RUN, "run", "user:ann").await), None);
    let later = Timestamp::from_micros(NOW.as_micros() + 1);
    assert_eq!(look!(store, tx => rating::of_agent(tx, "ada", NOW, 10).await).len(), 2);
    assert_eq!(look!(store, tx => rating::of_agent(tx, "ada", later, 10).await), []);
    assert_eq!(look!(store, tx => rating::of_agent(tx, "bob", NOW, 10).await), []);
}

async fn a_rating_out_of_range_is_no_row(place: Place) {
    let store = with_run(&place).await;
    for stars in [0, 6, -1] {
        let refused = act!(try store, tx => rating::put(tx, &new("run", "user:eve", stars, "")).await);
        assert!(refused.is_err(), "{stars}");
    }
    assert_eq!(look!(store, tx => rating::of_run(tx, RUN, 10).await), []);
}
