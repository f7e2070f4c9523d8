//! Approvals on each database: what waits, who answered, used once; and random schedules of people who answer at once.

use convoke_domain::id::ApprovalId;
use convoke_domain::time::Timestamp;
use convoke_store::step::StepRef;
use convoke_store::{Store, approval, run, task, user, wait};
use uuid::Uuid;

use crate::noun::{NOW, RUN, ready, step_at, task_id, with_run};
use crate::support::{Place, act, cases, look};

cases! { approvals_are_asked_answered_and_used, a_person_votes_once_and_so_does_a_place, roles_are_changed_and_counted, what_people_do_is_found, however_many_come_at_once_it_is_used_once }

fn id(n: u128) -> ApprovalId {
    ApprovalId(Uuid::from_u128(0x5000 + n))
}

fn asked(n: u128, digest: &str) -> approval::NewRow<'_> {
    approval::NewRow {
        id: id(n),
        run: RUN,
        at: step_at(i64::try_from(n).expect("small")),
        agent: "ada",
        tool: "shell",
        args: "{}",
        digest,
        reason: Some("it is in the way"),
        confidence: Some(80),
        rule: "{}",
        creator: "user:ada",
        expires_at: (n == 2).then_some(Timestamp::from_micros(9)),
    }
}

async fn approvals_are_asked_answered_and_used(place: Place) {
    let store = with_run(&place).await;
    act!(store, tx => {
        for n in 1..=3 {
            approval::insert(tx, &asked(n, "d")).await?;
        }
        approval::insert(tx, &approval::NewRow { at: step_at(3), ..asked(4, "e") }).await?;
        approval::vote(tx, id(2), ("bob", "carl"), "approve", "go").await?;
        approval::decide(tx, id(1), "approved", "user:bob", "fine").await
    });
    let pending = look!(store, tx => approval::pending(tx, None, 10).await);
    assert_eq!(pending.iter().map(|row| row.id).collect::<Vec<_>>(), [id(2), id(3), id(4)]);
    assert_eq!(look!(store, tx => approval::pending(tx, Some(id(2)), 1).await)[0].id, id(3));
    let votes = look!(store, tx => approval::votes_pending(tx, 10).await);
    assert_eq!(votes, look!(store, tx => approval::votes(tx, id(2)).await));
    assert_eq!((votes[0].voter.as_str(), votes[0].place.as_str(), votes[0].at), ("bob", "carl", NOW));
    let newest = act!(store, tx => approval::of_step(tx, step_at(3)).await).expect("asked twice");
    assert_eq!((newest.id, newest.at(), newest.confidence), (id(4), step_at(3), Some(80)));
    assert_eq!(act!(store, tx => approval::open_of_task(tx, task_id(1)).await).len(), 4);
    assert!(!act!(store, tx => approval::execute(tx, id(1), "other").await), "bound to its arguments");
    assert!(!act!(store, tx => approval::execute(tx, id(2), "d").await), "not approved");
    assert!(act!(store, tx => approval::execute(tx, id(1), "d").await));
    assert!(!act!(store, tx => approval::execute(tx, id(1), "d").await), "used up");
    act!(store, tx => approval::fail(tx, step_at(1)).await);
    let held = act!(store, tx => approval::hold(tx, id(1)).await);
    assert_eq!(
        (held.state.as_str(), held.decided_by.as_deref(), held.used_at),
        ("failed", Some("user:bob"), Some(NOW))
    );
    assert_eq!(look!(store, tx => approval::of_run(tx, RUN, 10).await).len(), 4);
    assert_eq!(act!(try store, tx => approval::hold(tx, id(9)).await).expect_err("none").code(), "missing");
}

async fn a_person_votes_once_and_so_does_a_place(place: Place) {
    let store = with_run(&place).await;
    act!(store, tx => {
        approval::insert(tx, &asked(1, "d")).await?;
        approval::vote(tx, id(1), ("bob", "ada"), "approve", "").await
    });
    for (voter, place) in [("bob", "carl"), ("carl", "ada")] {
        let again = act!(try store, tx => approval::vote(tx, id(1), (voter, place), "approve", "").await);
        assert_eq!(again.expect_err("taken").code(), "conflict", "{voter} for {place}");
    }
}

async fn roles_are_changed_and_counted(place: Place) {
    let store = with_run(&place).await;
    let ada = act!(store, tx => user::insert(tx, "ada", "owner", "system").await);
    assert_eq!(look!(store, tx => user::count(tx, "owner").await), 1);
    act!(store, tx => user::set_role(tx, ada.id, "viewer").await);
    assert_eq!(look!(store, tx => user::count(tx, "owner").await), 0);
    assert_eq!(look!(store, tx => user::by_name(tx, "ada").await).expect("ada").role, "viewer");
}

async fn what_people_do_is_found(place: Place) {
    let store = with_run(&place).await;
    let at = StepRef { task: task_id(1), attempt: 1, n: 1 };
    let due = Timestamp::from_micros(77);
    act!(store, tx => {
        task::insert(tx, &ready(1, "ada")).await?;
        task::start(tx, task_id(1), 1, 4, ("w", NOW)).await?;
        task::park(tx, task_id(1), "person", "").await?;
        let row = wait::NewRow { at, run: RUN, reason: "child", key: "k", due: Some(NOW) };
        wait::insert(tx, &row).await?;
        wait::postpone(tx, at, due).await?;
        run::set_state(tx, RUN, "paused", Some("by a person")).await
    });
    let given = look!(store, tx => task::for_people(tx, None, 10).await);
    assert_eq!(given, [act!(store, tx => task::given(tx, task_id(1)).await)]);
    assert_eq!((given[0].fence, given[0].attempt, given[0].timeout().as_secs()), (4, 1, 60));
    assert!(look!(store, tx => task::for_people(tx, Some(task_id(1)), 10).await).is_empty());
    assert_eq!(look!(store, tx => wait::of_attempt(tx, task_id(1), 1).await)[0].due, Some(due));
    assert_eq!(look!(store, tx => run::for_people(tx, 10).await).len(), 1);
}

/// Random schedules, each over an approval of its own: askers vote, decide and use it at once from several sides.
async fn however_many_come_at_once_it_is_used_once(place: Place) {
    let store = with_run(&place).await;
    for seed in 0..200_u64 {
        let mut chance = fastrand::Rng::with_seed(seed);
        let n = 10 + u128::from(seed);
        act!(store, tx => approval::insert(tx, &asked(n, "d")).await);
        let sides: Vec<_> = (0..4).map(|_| tokio::spawn(side(store.clone(), n, chance.u64(..)))).collect();
        let mut used = 0;
        for side in sides {
            used += side.await.expect("no panic");
        }
        let held = act!(store, tx => approval::hold(tx, id(n)).await);
        assert!(used <= 1, "seed {seed}: used {used} times");
        assert_eq!(used == 1, held.used_at.is_some(), "seed {seed}: {held:?}");
    }
}

async fn side(store: Store, n: u128, seed: u64) -> u32 {
    let (mut chance, mut used) = (fastrand::Rng::with_seed(seed), 0);
    for _ in 0..3 {
        let is_other = chance.u8(..4) == 0;
        if chance.bool() {
            act!(store, tx => {
                let held = approval::hold(tx, id(n)).await?;
                if held.state == "pending" {
                    approval::decide(tx, id(n), "approved", "user:bob", "").await?;
                }
                Ok(())
            });
        } else if act!(store, tx => approval::execute(tx, id(n), if is_other { "other" } else { "d" }).await) {
            used += 1;
        }
    }
    used
}
