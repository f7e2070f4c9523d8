//! What figures need beside a run's record, on each database.

use convoke_domain::analytics::{Polls, Turn, VOICE_BYTES};
use convoke_domain::event::{Kind, NewEvent};
use convoke_domain::id::{MessageId, RunId, TaskId, ThreadId};
use convoke_domain::money::Money;
use convoke_domain::time::Timestamp;
use convoke_domain::transcript::Usage;
use convoke_store::step::{self, StepRef};
use convoke_store::{analytics, attempt, message, run, stats, task, thread, usage};
use serde_json::json;
use uuid::Uuid;

use crate::journal::new_step;
use crate::noun::{NOW, RUN, new_run, ready, step_at, task_id, with_run};
use crate::support::{Place, act, cases, look};

cases! {
    dependencies_and_times_come_in_pages,
    events_that_part_time_are_found,
    messages_are_timed,
    runs_of_a_team_are_added_up,
    results_that_may_be_voices_are_read,
    calls_and_what_work_takes_are_read,
}

const NO_TASK: TaskId = TaskId(Uuid::nil());
const OTHER: RunId = RunId(Uuid::from_u128(3));

async fn dependencies_and_times_come_in_pages(place: Place) {
    let store = with_run(&place).await;
    act!(store, tx => {
        run::insert(tx, &new_run(OTHER, None)).await?;
        for n in 1..=3 {
            task::insert(tx, &ready(n, "ada")).await?;
        }
        task::insert(tx, &task::NewRow { run: OTHER, ..ready(4, "bob") }).await?;
        for (parent, child) in [(1, 2), (1, 3), (2, 3)] {
            task::insert_edge(tx, task_id(parent), task_id(child), child == 3).await?;
        }
        task::end(tx, task_id(2), "completed", Some("x"), None).await
    });
    let edge = |parent, child| analytics::Edge { parent: task_id(parent), child: task_id(child) };
    let all = look!(store, tx => analytics::edges(tx, RUN, (NO_TASK, NO_TASK), 10).await);
    assert_eq!(all, [edge(1, 2), edge(1, 3), edge(2, 3)]);
    let rest = look!(store, tx => analytics::edges(tx, RUN, (task_id(1), task_id(2)), 1).await);
    assert_eq!(rest, [edge(1, 3)]);
    let times = look!(store, tx => analytics::tasks(tx, RUN, NO_TASK, 10).await);
    let brief: Vec<_> =
        times.iter().map(|task| (task.id, task.agent.as_str(), task.created_at, task.finished_at)).collect();
    assert_eq!(
        brief,
        [(task_id(1), "ada", NOW, None), (task_id(2), "ada", NOW, Some(NOW)), (task_id(3), "ada", NOW, None)]
    );
    assert_eq!(look!(store, tx => analytics::tasks(tx, RUN, task_id(2), 10).await).len(), 1);
}

async fn results_that_may_be_voices_are_read(place: Place) {
    let store = with_run(&place).await;
    let long: &str = Box::leak(format!("{{\"verdict\":\"{}\"}}", "x".repeat(VOICE_BYTES)).into_boxed_str());
    let outputs = [Some(" \n{\"verdict\":\"agree\"}"), Some("a text with {"), Some(long), None];
    act!(store, tx => {
        for (n, output) in (1..).zip(outputs) {
            task::insert(tx, &ready(n, "ada")).await?;
            task::end(tx, task_id(n), "completed", output, None).await?;
        }
        Ok(())
    });
    let found = look!(store, tx => analytics::tasks(tx, RUN, NO_TASK, 10).await);
    let told: Vec<_> = found.iter().map(|task| task.said.as_deref()).collect();
    assert_eq!(told, [outputs[0], None, None, None]);
    let first = &found[0];
    assert_eq!(
        (first.stage.as_str(), first.key.as_str(), first.round, first.state.as_str()),
        ("work", "a", 0, "completed")
    );
}

async fn calls_and_what_work_takes_are_read(place: Place) {
    let store = with_run(&place).await;
    act!(store, tx => {
        task::insert(tx, &ready(1, "ada")).await?;
        task::insert(tx, &ready(2, "bob")).await?;
        for (n, kind) in [(1, "model"), (2, "tool"), (3, "wait")] {
            step::start(tx, &new_step(n, kind, "")).await?;
        }
        attempt::insert(tx, task_id(1), 1, "ada").await?;
        attempt::end(tx, task_id(1), 1, "completed", None).await?;
        attempt::insert(tx, task_id(2), 1, "bob").await?;
        for n in [1, 2] {
            let bill = usage::NewRow {
                at: step_at(n), try_n: 1, run: RUN, agent: "ada", model: "m/m", tariff: "unpriced", basis: "provider", response_id: None,
                usage: Usage { input_tokens: 3, output_tokens: 4, ..Usage::default() }, cost: Money::from_nanos(50), bound_cost: Money::ZERO,
                scopes: "",
            };
            usage::insert(tx, &bill).await?;
        }
        Ok(())
    });
    let all = look!(store, tx => analytics::calls(tx, RUN, StepRef { task: NO_TASK, attempt: 0, n: 0 }, 10).await);
    let brief: Vec<_> = all.iter().map(|call| (call.task, call.n, call.kind.as_str(), call.finished_at)).collect();
    assert_eq!(brief, [(task_id(1), 1, "model", None), (task_id(1), 2, "tool", None)]);
    assert_eq!(look!(store, tx => analytics::calls(tx, RUN, step_at(1), 10).await), all[1..]);
    assert_eq!(look!(store, tx => analytics::calls(tx, OTHER, step_at(0), 10).await), []);
    let (agent, state) = ("ada".to_owned(), "completed".to_owned());
    let (cost, unpriced, tokens) = (Money::from_nanos(100), 2, 14);
    let done = analytics::Done { agent, state, started_at: NOW, finished_at: NOW, cost, unpriced, tokens };
    assert_eq!(look!(store, tx => analytics::done(tx, 10).await), [done], "what has not ended is not there");
}

async fn events_that_part_time_are_found(place: Place) {
    let store = with_run(&place).await;
    // All kinds there are: those that count are found, whatever else there is.
    act!(store, tx => {
        for (kind, _) in Kind::ALL {
            let payload = json!({"waits_for": "approval"});
            tx.emit(NewEvent { kind: *kind, entity: "task", entity_id: "x".into(), run: Some(RUN), actor: "system".into(), payload });
        }
        Ok(())
    });
    let found = look!(store, tx => analytics::marks(tx, RUN, 0, 1_000).await);
    let (mut kinds, mut known): (Vec<_>, _) = (found.iter().map(|mark| mark.kind.as_str()).collect(), Turn::KINDS);
    kinds.sort_unstable();
    known.sort_unstable();
    assert_eq!(kinds, known);
    assert!(found.iter().all(|mark| mark.at == NOW && mark.payload.contains("approval") && mark.entity_id == "x"));
    let third = found[2].seq;
    let rest = look!(store, tx => analytics::marks(tx, RUN, third, 2).await);
    assert_eq!(rest, found[3..5]);
    assert_eq!(look!(store, tx => analytics::marks(tx, OTHER, 0, 10).await), []);
    let polls = look!(store, tx => analytics::polls(tx, RUN, 0, 10).await);
    let (mut kinds, mut known): (Vec<_>, _) = (polls.iter().map(|poll| poll.kind.as_str()).collect(), Polls::KINDS);
    kinds.sort_unstable();
    known.sort_unstable();
    assert_eq!(kinds, known);
    assert!(polls.iter().all(|poll| poll.payload.contains("approval")), "{polls:?}");
    let second = polls[1].seq;
    assert_eq!(look!(store, tx => analytics::polls(tx, RUN, second, 10).await), polls[2..]);
}

async fn messages_are_timed(place: Place) {
    let store = with_run(&place).await;
    let (thread, id) = (ThreadId(Uuid::from_u128(1_001)), MessageId(Uuid::from_u128(2_001)));
    act!(store, tx => {
        let new = thread::NewRow {
            id: thread, channel: "run:x", kind: "run", title: "Talk", run: Some(RUN), task: None, is_private: false, created_by: "agent:ada",
        };
        thread::insert(tx, &new).await?;
        let new = message::NewRow {
            id, thread, n: 1, run: Some(RUN), task: None, sender: "agent:ada", audience: None, kind: "note", priority: "normal",
            subject: None, body: "x", reply_to: None, hops: 0, cancels: false,
        };
        message::insert(tx, &new).await?;
        message::insert_receipt(tx, &new, "agent:bob").await?;
        message::insert_receipt(tx, &new, "agent:eve").await?;
        message::delivered(tx, id, "agent:bob", None).await
    });
    assert_eq!(look!(store, tx => analytics::letters(tx, RUN, 10).await), [(NOW, NOW)]);
    assert_eq!(look!(store, tx => analytics::letters(tx, OTHER, 10).await), []);
    assert_eq!(look!(store, tx => stats::messages(tx).await), 1);
    assert_eq!(look!(store, tx => stats::decisions(tx).await), (0, 0));
}

async fn runs_of_a_team_are_added_up(place: Place) {
    let store = with_run(&place).await;
    act!(store, tx => {
        run::insert(tx, &run::NewRow { team: "others", ..new_run(OTHER, None) }).await?;
        for (n, tariff) in [(1, "priced"), (2, "unpriced")] {
            let bill = usage::NewRow {
                at: step_at(n), try_n: 1, run: RUN, agent: "ada", model: "m/m", tariff, basis: "provider", response_id: None,
                usage: Usage { input_tokens: 3, output_tokens: 4, ..Usage::default() }, cost: Money::from_nanos(50), bound_cost: Money::ZERO,
                scopes: "",
            };
            usage::insert(tx, &bill).await?;
        }
        run::end(tx, OTHER, "failed", None, Some("x")).await
    });
    let later = Timestamp::from_micros(NOW.as_micros() + 1);
    let which = |team, since, until| analytics::Which { team, since, until };
    let all = look!(store, tx => analytics::runs(tx, which(None, NOW, later), None, 10).await);
    let brief: Vec<_> = all
        .iter()
        .map(|run| (run.id, run.team.as_str(), run.state.as_str(), run.cost, run.unpriced, run.tokens))
        .collect();
    let own = (RUN, "crew", "initializing", Money::from_nanos(100), 1, 14);
    assert_eq!(brief, [(OTHER, "others", "failed", Money::ZERO, 0, 0), own]);
    assert_eq!((all[0].finished_at, all[0].started_at, all[0].created_at), (Some(NOW), None, NOW));
    let ids = |runs: Vec<analytics::RunRow>| runs.into_iter().map(|run| run.id).collect::<Vec<_>>();
    assert_eq!(ids(look!(store, tx => analytics::runs(tx, which(Some("crew"), NOW, later), None, 10).await)), [RUN]);
    assert_eq!(ids(look!(store, tx => analytics::runs(tx, which(None, NOW, later), Some(OTHER), 10).await)), [RUN]);
    assert_eq!(ids(look!(store, tx => analytics::runs(tx, which(None, NOW, later), None, 1).await)), [OTHER]);
    assert_eq!(ids(look!(store, tx => analytics::runs(tx, which(None, later, later), None, 10).await)), []);
    assert_eq!(ids(look!(store, tx => analytics::runs(tx, which(Some("crew"), NOW, NOW), None, 10).await)), []);
}
