//! Memory on each database: entries, their index, and what is read of it.

use convoke_domain::id::{LAST, MemoryId};
use convoke_domain::memory::{Scope, Shelf};
use convoke_domain::relevance::{Corpus, Hit, terms};
use convoke_domain::time::Timestamp;
use convoke_store::{Result, Tx, memory};
use uuid::Uuid;

use crate::noun::{NOW, RUN, open};
use crate::support::{Place, act, cases, look};

cases! {
    entries_are_kept_and_found_by_their_terms,
}

fn id(n: u128) -> MemoryId {
    MemoryId(Uuid::from_u128(n))
}

fn crew() -> Shelf {
    Shelf::of(Scope::Team, "ada", "crew")
}

async fn keep(tx: &mut Tx<'_>, n: u128, shelf: &Shelf, text: &str, expires_at: Option<Timestamp>) -> Result<()> {
    let (words, digest) = (terms(text), format!("{n}"));
    let length = words.iter().map(|(_, count)| count).sum();
    let row = memory::NewRow {
        id: id(n),
        shelf,
        text,
        tags: &["t".to_owned()],
        digest: &digest,
        author: "agent:ada",
        run: Some(RUN),
        source: "note",
        length,
        expires_at,
    };
    memory::hold(tx, shelf).await?;
    memory::insert(tx, &row).await?;
    memory::index(tx, shelf, id(n), &words, length).await?;
    memory::count(tx, shelf, 1, length).await
}

async fn entries_are_kept_and_found_by_their_terms(place: Place) {
    let store = open(&place).await;
    act!(store, tx => {
        keep(tx, 1, &crew(), "disk full on db", Some(NOW)).await?;
        keep(tx, 2, &crew(), "disk disk quota", None).await?;
        let own = Shelf::of(Scope::Private, "ada", "crew");
        keep(tx, 3, &own, "my disk", None).await
    });
    assert_eq!(look!(store, tx => memory::corpus(tx, &crew()).await), Corpus { texts: 2, terms: 6 });
    fn asked() -> Vec<String> {
        vec!["disk".to_owned(), "quota".to_owned(), "it's \"no\" term".to_owned()]
    }
    let words = look!(store, tx => memory::words(tx, &crew(), &asked()).await);
    assert_eq!(words, [("quota".to_owned(), 1), ("disk".to_owned(), 2)]);
    let hits = look!(store, tx => memory::postings(tx, &crew(), "disk", 10).await);
    assert_eq!(hits, [(id(2), Hit { count: 2, length: 3 }), (id(1), Hit { count: 1, length: 3 })]);
    let ids = |rows: Vec<memory::Record>| rows.into_iter().map(|row| row.id).collect::<Vec<_>>();
    assert_eq!(ids(look!(store, tx => memory::list(tx, None, MemoryId(LAST), 10).await)), [id(3), id(2), id(1)]);
    assert_eq!(ids(look!(store, tx => memory::list(tx, Some(&crew()), id(2), 10).await)), [id(1)]);
    assert_eq!(ids(look!(store, tx => memory::expired(tx, 10).await)), [id(1)]);
    assert_eq!(look!(store, tx => memory::of_run(tx, RUN).await), 3);
    assert_eq!(look!(store, tx => memory::same(tx, &crew(), "2").await).map(|row| row.id), Some(id(2)));
    assert_eq!(look!(store, tx => memory::corpus(tx, &Shelf::of(Scope::Private, "ada", "crew")).await).texts, 1);
    act!(store, tx => {
        let (shelf, tags) = (crew(), ["new".to_owned()]);
        let row = memory::NewRow {
            id: id(2), shelf: &shelf, text: "quota", tags: &tags, digest: "22", author: "user:eve", run: None, source: "note",
            length: 1, expires_at: Some(NOW),
        };
        memory::unindex(tx, &shelf, id(2)).await?;
        memory::update(tx, &row).await?;
        memory::unindex(tx, &shelf, id(1)).await?;
        memory::delete(tx, id(1)).await
    });
    let found = look!(store, tx => memory::get(tx, id(2)).await).expect("it is there");
    assert_eq!((found.version, found.text.as_str(), found.author.as_str(), found.run), (2, "quota", "user:eve", None));
    assert_eq!(look!(store, tx => memory::get(tx, id(1)).await), None);
    assert_eq!(look!(store, tx => memory::words(tx, &crew(), &asked()).await), []);
}
