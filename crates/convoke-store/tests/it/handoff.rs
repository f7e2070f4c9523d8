//! Handoffs on each database.

use convoke_domain::id::HandoffId;
use convoke_store::handoff;
use uuid::Uuid;

use crate::noun::{NOW, RUN, task_id, with_run};
use crate::support::{Place, act, cases, look};

cases! {
    an_offer_is_made_listed_and_settled_once,
}

fn id(n: u128) -> HandoffId {
    HandoffId(Uuid::from_u128(700 + n))
}

fn new(n: u8) -> handoff::NewRow<'static> {
    handoff::NewRow {
        id: id(n.into()),
        run: RUN,
        task: task_id(1),
        attempt: 1,
        giver: "ada",
        receiver: "bob",
        packet: "{}",
        offer: (n == 2).then(|| task_id(2)),
        due: Some(NOW),
    }
}

async fn an_offer_is_made_listed_and_settled_once(place: Place) {
    let store = with_run(&place).await;
    act!(store, tx => {
        handoff::insert(tx, &new(1)).await?;
        handoff::insert(tx, &new(2)).await
    });
    assert!(act!(store, tx => handoff::settle(tx, id(1), "declined", "agent:bob", Some("no")).await));
    assert!(!act!(store, tx => handoff::settle(tx, id(1), "accepted", "agent:bob", None).await), "settled already");
    let first = act!(store, tx => handoff::hold(tx, id(1)).await);
    assert_eq!((first.state.as_str(), first.reason.as_deref(), first.settled_at), ("declined", Some("no"), Some(NOW)));
    let ids = |rows: Vec<handoff::Record>| rows.into_iter().map(|row| row.id).collect::<Vec<_>>();
    assert_eq!(ids(look!(store, tx => handoff::of_task(tx, task_id(1)).await)), [id(1), id(2)]);
    assert_eq!(look!(store, tx => handoff::of_offer(tx, task_id(2)).await).map(|row| row.id), Some(id(2)));
    assert_eq!(look!(store, tx => handoff::of_offer(tx, task_id(3)).await), None);
    assert_eq!(ids(look!(store, tx => handoff::list(tx, Some(RUN), true, None, 9).await)), [id(2)]);
    assert_eq!(ids(look!(store, tx => handoff::list(tx, None, false, Some(id(1)), 9).await)), [id(2)]);
    act!(store, tx => handoff::set_returned(tx, id(2)).await);
    assert!(act!(store, tx => handoff::hold(tx, id(2)).await).returned);
}
