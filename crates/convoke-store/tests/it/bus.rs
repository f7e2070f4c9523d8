//! Threads, messages, receipts and questions on each database.

use std::collections::BTreeMap;

use convoke_domain::id::{MessageId, ThreadId};
use convoke_domain::time::Timestamp;
use convoke_store::thread::{Filter, Viewer};
use convoke_store::{Store, decision, message, run, task, thread, wait};
use uuid::Uuid;

use crate::noun::{NOW, RUN, ready, step_at, task_id, with_run};
use crate::support::{Place, act, cases, look};

cases! {
    threads_are_kept_and_hidden,
    a_message_has_a_receipt_for_each_recipient,
    a_broadcast_is_one_row_with_cursors,
    running_tasks_are_told,
    answers_and_alerts_find_their_tasks,
    questions_end_once,
    tasks_tell_how_far_they_are,
    random_schedules_keep_their_receipts,
}

const fn thread_id(n: u128) -> ThreadId {
    ThreadId(Uuid::from_u128(1_000 + n))
}

const fn message_id(n: u128) -> MessageId {
    MessageId(Uuid::from_u128(2_000 + n))
}

fn new_thread(n: u128, channel: &str, is_private: bool) -> thread::NewRow<'_> {
    let run = (!is_private).then_some(RUN);
    let kind = if is_private { "direct" } else { "run" };
    thread::NewRow {
        id: thread_id(n),
        channel,
        kind,
        title: "Talk",
        run,
        task: None,
        is_private,
        created_by: "agent:ada",
    }
}

fn new_message<'a>(id: u128, n: i64, thread: u128, audience: Option<&'a str>) -> message::NewRow<'a> {
    message::NewRow {
        id: message_id(id),
        thread: thread_id(thread),
        n,
        run: Some(RUN),
        task: None,
        sender: "agent:ada",
        audience,
        kind: "note",
        priority: "normal",
        subject: Some("About 100%"),
        body: "The Disk is full",
        reply_to: None,
        hops: 0,
        cancels: false,
    }
}

fn new_question(id: u128, thread: u128) -> decision::NewRow<'static> {
    decision::NewRow {
        id: message_id(id),
        thread: thread_id(thread),
        run: Some(RUN),
        task: Some(task_id(1)),
        kind: "question",
        asked_by: "agent:ada",
        asked: "Go?",
        audience: "[\"agent:bob\"]",
        terms: "{}",
        due: Some(NOW),
    }
}

/// A store with a thread for all (1) and a private one (2) of `ada` and `bob`.
async fn with_threads(place: &Place) -> Store {
    let store = with_run(place).await;
    act!(store, tx => {
        assert!(thread::insert(tx, &new_thread(1, "run:1", false)).await?);
        assert!(thread::insert(tx, &new_thread(2, "direct:ada:bob", true)).await?);
        assert!(!thread::insert(tx, &new_thread(3, "run:1", false)).await?, "one thread a channel");
        for who in ["agent:ada", "agent:bob"] {
            thread::join(tx, thread_id(1), who, Some(RUN), 0).await?;
            thread::join(tx, thread_id(2), who, None, 0).await?;
            thread::join(tx, thread_id(2), who, None, 7).await?;
        }
        Ok(())
    });
    store
}

async fn threads_are_kept_and_hidden(place: Place) {
    let store = with_threads(&place).await;
    let bob = Viewer::Party("agent:bob");
    let eve = Viewer::Party("agent:eve");
    let ids = |rows: Vec<thread::Record>| rows.into_iter().map(|row| row.id).collect::<Vec<_>>();
    let all = Filter::default();
    assert_eq!(ids(look!(store, tx => thread::list(tx, &all, bob, 10).await)), [thread_id(2), thread_id(1)]);
    assert_eq!(ids(look!(store, tx => thread::list(tx, &all, eve, 10).await)), [thread_id(1)]);
    assert_eq!(ids(look!(store, tx => thread::list(tx, &all, Viewer::Audit, 1).await)), [thread_id(2)]);
    let of =
        Filter { who: Some("agent:bob"), run: Some(RUN), status: Some("open"), before: Some(thread_id(2)), task: None };
    assert_eq!(ids(look!(store, tx => thread::list(tx, &of, Viewer::Audit, 10).await)), [thread_id(1)]);
    assert_eq!(look!(store, tx => thread::get(tx, thread_id(2), eve).await), None);
    assert!(look!(store, tx => thread::get(tx, thread_id(2), bob).await).is_some());
    let held = act!(store, tx => thread::hold_channel(tx, "run:1").await).expect("a thread");
    assert_eq!((held.id, held.last_n, held.pace.as_str()), (thread_id(1), 0, "{}"));
    act!(store, tx => {
        thread::advance(tx, thread_id(1), 3, "{\"volleys\":1}").await?;
        thread::set_status(tx, thread_id(1), "closed").await
    });
    let held = act!(store, tx => thread::hold(tx, thread_id(1)).await).expect("a thread");
    assert_eq!((held.last_n, held.status.as_str(), held.pace.as_str()), (3, "closed", "{\"volleys\":1}"));
    assert!(look!(store, tx => thread::takes_part(tx, thread_id(2), "agent:ada").await));
    assert!(!look!(store, tx => thread::takes_part(tx, thread_id(2), "agent:eve").await));
    let later = Timestamp::from_micros(NOW.as_micros() + 1);
    // The run has not ended, so its own thread is needed still.
    assert_eq!(act!(store, tx => thread::idle_since(tx, later, 10).await), [(thread_id(2),)]);
    act!(store, tx => message::insert(tx, &new_message(9, 1, 2, None)).await);
    assert!(act!(store, tx => thread::idle_since(tx, later, 10).await).is_empty(), "something was said in it there");
    assert!(!look!(store, tx => thread::is_idle(tx, thread_id(2), later).await));
    act!(store, tx => run::set_state(tx, RUN, "completed", None).await);
    assert_eq!(act!(store, tx => thread::idle_since(tx, later, 10).await).len(), 2);
    act!(store, tx => decision::insert(tx, &new_question(7, 2)).await);
    assert_eq!(act!(store, tx => thread::idle_since(tx, later, 10).await), [(thread_id(1),)], "a question is open");
    assert!(!look!(store, tx => thread::is_idle(tx, thread_id(2), later).await));
    assert!(look!(store, tx => thread::is_idle(tx, thread_id(1), later).await));
    assert!(!look!(store, tx => thread::is_idle(tx, thread_id(1), NOW).await));
    assert!(act!(store, tx => thread::idle_since(tx, NOW, 10).await).is_empty());
    act!(store, tx => thread::archive(tx, thread_id(1), "short", "[]").await);
    let kept = look!(store, tx => thread::get(tx, thread_id(1), eve).await).expect("a thread");
    assert_eq!(
        (kept.status.as_str(), kept.summary.as_deref(), kept.archive.as_deref()),
        ("archived", Some("short"), Some("[]"))
    );
}

async fn a_message_has_a_receipt_for_each_recipient(place: Place) {
    let store = with_threads(&place).await;
    act!(store, tx => {
        let new = new_message(1, 1, 2, Some("[\"agent:bob\"]"));
        message::insert(tx, &new).await?;
        message::insert_receipt(tx, &new, "agent:bob").await
    });
    let (bob, eve) = (Viewer::Party("agent:bob"), Viewer::Party("agent:eve"));
    let found = look!(store, tx => message::get(tx, message_id(1), bob).await).expect("a message");
    assert_eq!((found.body.as_str(), found.n, found.at), ("The Disk is full", 1, NOW));
    assert_eq!(look!(store, tx => message::get(tx, message_id(1), eve).await), None);
    for (before, viewer, hits) in [
        (None, bob, 1),
        (None, eve, 0),
        (Some(message_id(2)), Viewer::Audit, 1),
        (Some(message_id(1)), Viewer::Audit, 0),
    ] {
        let found = look!(store, tx => message::before(tx, before, Some(RUN), viewer, 10).await);
        assert_eq!(found.len(), hits, "{before:?}");
        assert_eq!(look!(store, tx => message::before(tx, before, None, viewer, 10).await).len(), hits);
    }
    assert_eq!(look!(store, tx => message::of_run(tx, RUN, None, bob, 10).await).len(), 1);
    assert!(look!(store, tx => message::of_run(tx, RUN, None, eve, 10).await).is_empty());
    assert!(look!(store, tx => message::of_run(tx, RUN, Some(message_id(1)), bob, 10).await).is_empty());
    assert_eq!(look!(store, tx => message::of_thread(tx, thread_id(2), 0, 10).await).len(), 1);
    let queued = |attempt| {
        let store = store.clone();
        async move { look!(store, tx => message::queued(tx, "agent:bob", RUN, (task_id(1), attempt), 10).await).len() }
    };
    assert_eq!(queued(1).await, 1);
    assert_eq!(look!(store, tx => message::unread(tx, "agent:bob", 10).await)[0].message, message_id(1));
    act!(store, tx => message::delivered(tx, message_id(1), "agent:bob", Some((task_id(1), 1))).await);
    assert_eq!((queued(1).await, queued(2).await), (0, 1), "another attempt reads it again");
    assert_eq!(look!(store, tx => message::given(tx, task_id(1)).await), 1);
    let state =
        |store: Store| async move { look!(store, tx => message::receipts(tx, message_id(1)).await).remove(0).state };
    assert_eq!(state(store.clone()).await, "delivered");
    assert_eq!(act!(store, tx => message::saw(tx, task_id(1)).await), 1);
    assert_eq!(state(store.clone()).await, "read");
    act!(store, tx => message::delivered(tx, message_id(1), "agent:bob", Some((task_id(1), 2))).await);
    assert_eq!(state(store.clone()).await, "read", "a receipt never goes back");
    assert_eq!(act!(store, tx => message::answered(tx, message_id(1), "agent:bob").await), 1);
    assert_eq!(act!(store, tx => message::answered(tx, message_id(1), "agent:bob").await), 0);
    assert_eq!(act!(store, tx => message::read_thread(tx, thread_id(2), "agent:bob").await), 0, "it is answered");
    let tally = look!(store, tx => message::tally(tx, RUN).await);
    assert_eq!(tally.iter().map(|one| (one.kind.as_str(), one.count)).collect::<Vec<_>>(), [("note", 1)]);
    assert_eq!(act!(store, tx => message::remove(tx, thread_id(2)).await), 1);
    assert!(look!(store, tx => message::receipts(tx, message_id(1)).await).is_empty());
}

async fn a_broadcast_is_one_row_with_cursors(place: Place) {
    let store = with_threads(&place).await;
    act!(store, tx => {
        for n in 1..=3 {
            message::insert(tx, &new_message(n.try_into().expect("small"), n, 1, None)).await?;
        }
        thread::advance(tx, thread_id(1), 3, "{}").await
    });
    let behind = |who: &'static str| {
        let store = store.clone();
        async move { look!(store, tx => thread::behind(tx, who, RUN, 10).await) }
    };
    assert_eq!(behind("agent:bob").await.len(), 1);
    let unread = look!(store, tx => message::to_all(tx, thread_id(1), 1, "agent:bob", 10).await);
    assert_eq!(unread.iter().map(|one| one.n).collect::<Vec<_>>(), [2, 3]);
    assert!(look!(store, tx => message::to_all(tx, thread_id(1), 0, "agent:ada", 10).await).is_empty(), "its own");
    act!(store, tx => thread::move_cursor(tx, thread_id(1), "agent:bob", 3, (Some(task_id(1)), 0)).await);
    assert!(behind("agent:bob").await.is_empty());
    act!(store, tx => thread::saw(tx, task_id(1)).await);
    let found = look!(store, tx => thread::participants(tx, thread_id(1), 10).await);
    assert_eq!(
        found.iter().map(|one| (one.who.as_str(), one.cursor, one.seen)).collect::<Vec<_>>(),
        [("agent:ada", 0, 0), ("agent:bob", 3, 3)]
    );
    assert_eq!(act!(store, tx => thread::rewind(tx, task_id(1)).await), 1);
    assert_eq!(behind("agent:bob").await[0].cursor, 0, "another attempt reads it again");
    act!(store, tx => thread::read_all(tx, thread_id(1), "agent:ada", 3).await);
    assert!(behind("agent:ada").await.is_empty());
}

async fn running_tasks_are_told(place: Place) {
    let store = with_run(&place).await;
    act!(store, tx => {
        for (n, who) in [(1, "ada"), (2, "bob"), (3, "bob")] {
            task::insert(tx, &ready(n, who)).await?;
        }
        for n in [1, 2] {
            task::start(tx, task_id(n), 1, 1, ("w", NOW)).await?;
        }
        Ok(())
    });
    let raised = |who: (&'static str, bool)| {
        let store = store.clone();
        async move {
            act!(store, tx => message::raise(tx, RUN, who).await).into_iter().map(|(id, _)| id).collect::<Vec<_>>()
        }
    };
    assert_eq!(raised(("bob", false)).await, [task_id(2)]);
    assert_eq!(raised(("bob", true)).await, [task_id(1)]);
    assert_eq!(raised(("ghost", false)).await, []);
    let open = look!(store, tx => message::open_tasks(tx, RUN, "bob").await);
    assert_eq!(open, [(task_id(2), "running".to_owned()), (task_id(3), "ready".to_owned())]);
    assert!(!look!(store, tx => run::talks(tx, RUN).await));
    act!(store, tx => run::set_talks(tx, RUN).await);
    assert!(look!(store, tx => run::talks(tx, RUN).await));
    let next = act!(store, tx => task::candidates(tx, 10).await);
    assert_eq!(next[0].mail, 1, "whoever is claimed in a run that talks looks for mail");
    assert_eq!(look!(store, tx => run::created_by(tx, RUN).await).as_deref(), Some("user:ada"));
    assert_eq!(look!(store, tx => run::spec_of(tx, RUN).await).as_deref(), Some("00ff"));
    act!(store, tx => {
        let row = wait::NewRow { at: step_at(1), run: RUN, reason: "message", key: "k", due: Some(NOW) };
        wait::insert(tx, &row).await
    });
    assert_eq!(look!(store, tx => wait::of_run(tx, "message", RUN).await).len(), 1);
}

async fn answers_and_alerts_find_their_tasks(place: Place) {
    let store = with_threads(&place).await;
    act!(store, tx => {
        for n in [1, 2] {
            task::insert(tx, &ready(n, "bob")).await?;
        }
        let asked = message::NewRow { sender: "agent:bob", task: Some(task_id(1)), ..new_message(1, 1, 2, Some("[\"agent:ada\"]")) };
        message::insert(tx, &asked).await?;
        let answer = message::NewRow { reply_to: Some(message_id(1)), ..new_message(2, 2, 2, Some("[\"agent:bob\"]")) };
        let alert = message::NewRow { kind: "alert", priority: "critical", ..new_message(3, 3, 2, Some("[\"agent:bob\"]")) };
        for new in [&answer, &alert] {
            message::insert(tx, new).await?;
            message::insert_receipt(tx, new, "agent:bob").await?;
        }
        message::delivered(tx, message_id(3), "agent:bob", Some((task_id(1), 1))).await?;
        message::insert(tx, &message::NewRow { kind: "alert", cancels: true, ..new_message(4, 1, 1, None) }).await
    });
    let elsewhere = |n| {
        let store = store.clone();
        async move { look!(store, tx => message::of_other_tasks(tx, "agent:bob", RUN, task_id(n)).await) }
    };
    assert_eq!((elsewhere(1).await, elsewhere(2).await), (vec![], vec![(message_id(2),)]));
    let of = |agent: &'static str| {
        let store = store.clone();
        async move { look!(store, tx => message::open_task_of(tx, message_id(1), agent).await) }
    };
    assert_eq!((of("bob").await, of("ada").await), (Some(task_id(1)), None));
    assert_eq!(look!(store, tx => message::looked_at(tx, (task_id(1), 1)).await), None, "it has not begun");
    assert_eq!(look!(store, tx => message::letters_at(tx, (task_id(1), 1), NOW).await), []);
    let long_ago = Timestamp::from_micros(0);
    let given = |n, since| {
        let store = store.clone();
        async move {
            let found = look!(store, tx => message::alerts_given(tx, "agent:bob", RUN, (task_id(n), since), 10).await);
            found.into_iter().map(|one| one.message).collect::<Vec<_>>()
        }
    };
    assert_eq!((given(1, long_ago).await, given(2, long_ago).await), (vec![], vec![message_id(3)]));
    act!(store, tx => thread::move_cursor(tx, thread_id(1), "agent:bob", 1, (Some(task_id(1)), 0)).await);
    assert_eq!(given(2, long_ago).await, [message_id(3), message_id(4)]);
    assert!(given(2, Timestamp::from_micros(NOW.as_micros() + 1)).await.is_empty());
}

async fn questions_end_once(place: Place) {
    let store = with_threads(&place).await;
    act!(store, tx => {
        let asked = new_message(1, 1, 1, Some("[\"agent:bob\"]"));
        message::insert(tx, &asked).await?;
        message::insert_receipt(tx, &asked, "agent:bob").await?;
        decision::insert(tx, &new_question(1, 1)).await?;
        decision::insert_addressee(tx, message_id(1), "agent:bob", Some(RUN)).await
    });
    let waiting = |attempt| {
        let store = store.clone();
        async move { look!(store, tx => message::queued(tx, "agent:bob", RUN, (task_id(2), attempt), 10).await).len() }
    };
    assert_eq!((waiting(1).await, waiting(2).await), (1, 1));
    assert_eq!(act!(store, tx => decision::due(tx, 10).await), [(message_id(1),)]);
    assert_eq!(look!(store, tx => decision::unattended(tx, "agent:bob", RUN, 10).await), [(message_id(1),)]);
    act!(store, tx => decision::set_reply_task(tx, message_id(1), "agent:bob", task_id(2)).await);
    assert!(look!(store, tx => decision::unattended(tx, "agent:bob", RUN, 10).await).is_empty());
    let of = look!(store, tx => decision::of_reply_task(tx, task_id(2)).await);
    assert_eq!(of, Some((message_id(1), "agent:bob".to_owned())));
    assert_eq!(look!(store, tx => decision::open_for(tx, "agent:bob", 10).await).len(), 1);
    assert_eq!(look!(store, tx => decision::open_of_task(tx, RUN, task_id(1)).await).len(), 1);
    assert_eq!(look!(store, tx => decision::open_of_run(tx, RUN, 10).await).len(), 1);
    for (choice, by) in [("yes", "agent:bob"), ("no", "agent:eve")] {
        act!(store, tx => {
            let how = decision::End { standing: "answered", choice: Some(choice), rationale: None, by: Some(by), answer: None };
            decision::end(tx, message_id(1), &how).await
        });
    }
    let held = act!(store, tx => decision::hold(tx, message_id(1)).await).expect("a question");
    assert_eq!(
        (held.choice.as_deref(), held.answered_by.as_deref()),
        (Some("yes"), Some("agent:bob")),
        "the first stands"
    );
    assert_eq!((waiting(1).await, waiting(2).await), (0, 0), "nobody is given what has ended");
    assert_eq!(
        look!(store, tx => decision::addressees(tx, message_id(1)).await),
        [("agent:bob".to_owned(), Some(task_id(2)))]
    );
    assert!(look!(store, tx => decision::open_for(tx, "agent:bob", 10).await).is_empty());
    assert_eq!(look!(store, tx => decision::list(tx, Some(RUN), None, Viewer::Party(""), 10).await), [held]);
    assert!(act!(store, tx => decision::due(tx, 10).await).is_empty());
    for (choice, by) in [("no", "user:ada"), ("later", "agent:lead")] {
        act!(store, tx => {
            let how = decision::End { standing: "overridden", choice: Some(choice), rationale: Some("why"), by: Some(by), answer: None };
            decision::replace(tx, message_id(1), &how).await
        });
    }
    let held = act!(store, tx => decision::hold(tx, message_id(1)).await).expect("a question");
    assert_eq!((held.standing.as_str(), held.choice.as_deref()), ("overridden", Some("later")));
    let past = look!(store, tx => decision::replaced(tx, message_id(1)).await);
    let past: Vec<_> =
        past.iter().map(|one| (one.standing.as_str(), one.choice.as_deref(), one.answered_by.as_deref())).collect();
    assert_eq!(past, [("answered", Some("yes"), Some("agent:bob")), ("overridden", Some("no"), Some("user:ada"))]);
}

async fn tasks_tell_how_far_they_are(place: Place) {
    let store = with_run(&place).await;
    act!(store, tx => {
        task::insert(tx, &ready(1, "ada")).await?;
        task::set_progress(tx, task_id(1), Some(40), "reading").await?;
        task::set_progress(tx, task_id(1), None, "writing").await
    });
    let brief = look!(store, tx => task::brief(tx, task_id(1)).await).expect("a task");
    assert_eq!((brief.agent.as_str(), brief.state.as_str(), brief.depth), ("ada", "ready", 0));
    assert_eq!(look!(store, tx => task::first_of_run(tx, RUN).await), Some(brief));
    assert_eq!(look!(store, tx => task::agent_of(tx, task_id(1)).await), Some(("ada".to_owned(),)));
    assert!(look!(store, tx => task::is_given(tx, RUN, "ada").await));
    assert!(!look!(store, tx => task::is_given(tx, RUN, "bob").await));
}

/// Chances that all come from one seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        convoke_domain::flow::made::split_mix(&mut self.0) % bound
    }
}

/// Two hundred schedules of sends, deliveries, reads, answers and retries: what the rows say is what the domain says.
async fn random_schedules_keep_their_receipts(place: Place) {
    let store = with_threads(&place).await;
    let mut next = 0;
    for seed in 0..200 {
        let mut chance = Chance(seed);
        let plan: Vec<_> = (0..12).map(|_| (chance.below(4), chance.below(64) as usize)).collect();
        let plan: &'static [_] = plan.leak();
        let first = next;
        next += 16;
        let told = act!(store, tx => schedule(tx, seed, first, plan).await);
        assert_eq!(told.0, told.1, "seed {seed}");
    }
}

type States = BTreeMap<MessageId, String>;

/// Plays a schedule in one transaction. Gives the receipts that the domain expects, and those that are stored.
async fn schedule(
    tx: &mut convoke_store::Tx<'_>,
    seed: u64,
    first: u128,
    plan: &[(u64, usize)],
) -> convoke_store::Result<(States, States)> {
    use convoke_domain::message::{Mark, Receipt, mark};
    let mut expected: Vec<(MessageId, Receipt)> = Vec::new();
    let of = task_id(u8::try_from(seed % 5).expect("small") + 1);
    for (step, at) in plan {
        let place = at % expected.len().max(1);
        let apply = |expected: &mut Vec<(MessageId, Receipt)>, how: Mark| {
            if let Some((_, state)) = expected.get_mut(place) {
                *state = mark(*state, how).unwrap_or(*state);
            }
        };
        let target = expected.get(place).map(|(id, _)| *id);
        match (step, target) {
            (0, _) | (_, None) => {
                let number = first + expected.len() as u128 + 1;
                let new = new_message(100 + number, i64::try_from(number).expect("small"), 2, Some("[]"));
                message::insert(tx, &new).await?;
                message::insert_receipt(tx, &new, "agent:bob").await?;
                expected.push((new.id, Receipt::Queued));
            }
            (1, Some(id)) => {
                apply(&mut expected, Mark::Deliver);
                message::delivered(tx, id, "agent:bob", Some((of, 1))).await?;
            }
            (2, Some(_)) => {
                for (_, state) in &mut expected {
                    *state = mark(*state, Mark::Read).unwrap_or(*state);
                }
                message::saw(tx, of).await?;
            }
            (_, Some(id)) => {
                // Whoever answers has been given it.
                apply(&mut expected, Mark::Deliver);
                apply(&mut expected, Mark::Answer);
                message::answered(tx, id, "agent:bob").await?;
            }
        }
    }
    let mut stored = States::new();
    for (id, _) in &expected {
        for receipt in message::receipts(tx, *id).await? {
            stored.insert(*id, receipt.state);
        }
    }
    Ok((expected.into_iter().map(|(id, state)| (id, state.as_str().to_owned())).collect(), stored))
}
