//! Parameters and rows: what goes in comes out, and a wrong type is told with its column.

use convoke_domain::id::{RunId, WorkspaceId};
use convoke_domain::money::Money;
use convoke_domain::time::Timestamp;
use convoke_store::{Error, Json, P, Result, Tx, UseCase, p, row};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Place, act, cases};

cases! { values_come_back, wrong_shapes_are_told, many_sets_of_parameters }

macro_rules! reading {
    ($name:ident -> $out:ty, |$tx:ident| $body:expr) => {
        struct $name;
        impl UseCase for $name {
            type Out = $out;
            fn ws(&self) -> WorkspaceId {
                WorkspaceId::DEFAULT
            }
            async fn run(&self, $tx: &mut Tx<'_>) -> Result<$out> {
                $body
            }
        }
    };
}

#[derive(Debug, PartialEq)]
struct Numbers {
    whole: i64,
    part: f64,
    flag: bool,
    cost: Money,
    at: Timestamp,
    none: Option<u32>,
}
row!(Numbers { whole, part, flag, cost, at, none });

reading!(ReadNumbers -> Numbers, |tx| tx.one(
    "SELECT CAST($6 AS BIGINT) AS whole, CAST($5 AS DOUBLE PRECISION) AS part, CAST($4 AS BIGINT) AS flag,
        CAST($3 AS BIGINT) AS cost, CAST($2 AS BIGINT) AS at, CAST($1 AS BIGINT) AS none",
    p![None::<u32>, Timestamp::from_micros(5), Money::from_nanos(7), true, 0.5, i64::MIN],
).await);

reading!(ReadTexts -> (String, Json<Vec<u8>>, Value, Option<String>, usize, i32), |tx| tx.one(
    "SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS TEXT), CAST($5 AS BIGINT),
        CAST($6 AS BIGINT)",
    p!["größe '$1'", Json(&[1, 2]), &json!({"b": 1, "a": [null]}), None::<&str>, usize::MAX, -1],
).await);

reading!(ReadId -> (RunId, Vec<u8>), |tx| tx.one(
    "SELECT CAST($1 AS /*lite BLOB*//*pg uuid*/), CAST($2 AS /*lite BLOB*//*pg bytea*/)",
    p![RunId(Uuid::from_u128(3)), &[0_u8, 255][..]],
).await);

async fn values_come_back(place: Place) {
    let store = place.open().await;
    let expected = Numbers {
        whole: i64::MIN,
        part: 0.5,
        flag: true,
        cost: Money::from_nanos(7),
        at: Timestamp::from_micros(5),
        none: None,
    };
    assert_eq!(store.read(ReadNumbers).await.expect("a row"), expected);
    let texts = store.read(ReadTexts).await.expect("a row");
    let expected = ("größe '$1'".into(), Json(vec![1, 2]), json!({"b": 1, "a": [null]}), None, i64::MAX as usize, -1);
    assert_eq!(texts, expected);
    assert_eq!(store.read(ReadId).await.expect("a row"), (RunId(Uuid::from_u128(3)), vec![0, 255]));
}

reading!(WrongType -> (i64, Money), |tx| tx.one("SELECT seq, kind FROM event WHERE seq=1", p![]).await);
reading!(WrongCount -> i64, |tx| tx.one("SELECT seq, kind FROM event WHERE seq=1", p![]).await);
reading!(WrongParams -> i64, |tx| tx.one("SELECT seq FROM event WHERE seq=$1", p![]).await);
reading!(NoRow -> i64, |tx| tx.one("SELECT seq FROM event WHERE seq=$1", p![-1]).await);
reading!(TwoRows -> Option<String>, |tx| tx.opt("SELECT key FROM meta", p![]).await);

async fn wrong_shapes_are_told(place: Place) {
    let store = place.open().await;
    let told = |error: Error, part: &str| assert!(error.to_string().contains(part), "{error}");
    let error = store.read(WrongType).await.expect_err("not money");
    told(error, "column 2 (`kind`) should be money in nano-dollars but is Text(\"workspace.created\")");
    told(store.read(WrongCount).await.expect_err("one too many"), "gives 2 columns but 1 are read");
    told(store.read(WrongParams).await.expect_err("one too few"), "has 1 parameters, 0 were given");
    told(store.read(NoRow).await.expect_err("none"), "there is no row");
    told(store.read(TwoRows).await.expect_err("two"), "one row was expected, 3 came");
}

async fn many_sets_of_parameters(place: Place) {
    const SQL: &str = "INSERT INTO meta (key, value) VALUES ($1, $2)";
    let store = place.open().await;
    let sets =
        |first: usize| (first..first + 200).map(|n| vec![P::from(format!("k{n}")), P::from("v")]).collect::<Vec<_>>();
    act!(store, tx => tx.batch(SQL, &[]).await);
    act!(store, tx => tx.batch(SQL, &sets(0)).await);
    let twice = act!(try store, tx => tx.batch(SQL, &sets(100)).await);
    assert!(matches!(twice, Err(Error::Conflict(_))), "{twice:?}");
    assert_eq!(act!(store, tx => tx.one::<i64>("SELECT COUNT(*) FROM meta WHERE key LIKE 'k%'", p![]).await), 200);
    let short = act!(try store, tx => tx.batch(SQL, &[vec!["a".into(), "b".into()], vec!["c".into()]]).await);
    assert!(short.expect_err("one is missing").to_string().contains("has 2 parameters, 1 were given"));
}
