//! Workspaces, users, facts and events on each database.

use convoke_domain::id::{UserId, WorkspaceId};
use convoke_store::{Error, event, meta, user, workspace};
use uuid::Uuid;

use crate::noun::{NOW, WS, open};
use crate::support::{AddWorkspace, Place, act, cases, look};

cases! { workspaces_are_found_and_listed, users_are_found_and_listed, facts_are_set, a_use_case_sees_the_events_before_it }

async fn workspaces_are_found_and_listed(place: Place) {
    let store = open(&place).await;
    let id = WorkspaceId(Uuid::from_u128(77));
    let made = store.run(AddWorkspace(id)).await.expect("made");
    assert_eq!(made.created_at, NOW);
    assert_eq!(look!(store, tx => workspace::get(tx, id).await), Some(made.clone()));
    assert_eq!(look!(store, tx => workspace::by_name(tx, &id.to_string()).await), Some(made));
    assert_eq!(look!(store, tx => workspace::by_name(tx, "nowhere").await), None);
    let names = look!(store, tx => workspace::list(tx, "", 10).await).into_iter().map(|w| w.name).collect::<Vec<_>>();
    assert_eq!(names, ["default".to_owned(), id.to_string()]);
    let taken = act!(try store, tx => workspace::insert(tx, "default", "system").await);
    assert!(matches!(taken, Err(Error::Conflict(_))), "{taken:?}");
}

async fn users_are_found_and_listed(place: Place) {
    let store = open(&place).await;
    let ada = act!(store, tx => user::insert(tx, "ada", "owner", "system").await);
    assert_eq!(act!(store, tx => user::ensure(tx, "ada", "viewer").await), ada);
    let bob = act!(store, tx => user::ensure(tx, "Bob", "viewer").await);
    assert_eq!(look!(store, tx => user::get(tx, ada.id).await), Some(ada.clone()));
    assert_eq!(look!(store, tx => user::get(tx, UserId(Uuid::nil())).await), None);
    assert_eq!(look!(store, tx => user::by_name(tx, "Bob").await), Some(bob.clone()));
    assert_eq!(look!(store, tx => user::list(tx, "", 10).await), [bob, ada]);
    let unknown = act!(try store, tx => user::insert(tx, "eve", "emperor", "system").await);
    assert!(matches!(unknown, Err(Error::Conflict(_))), "{unknown:?}");
}

async fn facts_are_set(place: Place) {
    let store = open(&place).await;
    act!(store, tx => meta::set(tx, "colour", "red").await);
    act!(store, tx => meta::set(tx, "colour", "blue").await);
    assert_eq!(look!(store, tx => meta::get(tx, "colour").await), Some("blue".to_owned()));
    assert_eq!(look!(store, tx => meta::get(tx, "shape").await), None);
    assert_eq!(look!(store, tx => meta::fencing_epoch(tx).await), 1);
}

/// Events are written late on PostgreSQL, but never later than somebody looks.
async fn a_use_case_sees_the_events_before_it(place: Place) {
    let store = open(&place).await;
    let held = crate::support::hold(&store).await;
    let adding = store.run(crate::support::add(WS, "ada"));
    let looking = crate::support::run(&store, |tx| {
        Box::pin(async move { Ok((event::head(tx, WS).await?, event::after(tx, WS, 1, None, 10).await?)) })
    });
    let (mut adding, mut looking) = (Box::pin(adding), Box::pin(looking));
    assert!(crate::support::poll(&mut adding).await.is_pending());
    assert!(crate::support::poll(&mut looking).await.is_pending());
    held.release().await;
    adding.await.expect("added");
    let (head, events) = looking.await.expect("seen");
    assert_eq!((head, events.len(), events[0].seq), (2, 1, 2));
    assert_eq!(store.verify().await.expect("verified").problems, []);
}
