//! What a run's flow has done, for its record: loads frames and what was written down, and has the domain put them in order.
//!
//! Rule: reads alone, in pages, and never more than the limits here, however large the run is. Start at [`of`].

use std::collections::BTreeMap;

use convoke_domain::flow::account::{FlowAccount, Noted, Sources, account};
use convoke_domain::flow::memory::Frame;
use convoke_domain::id::RunId;
use convoke_domain::record::RunRecord;
use convoke_domain::run::State;
use convoke_domain::spec::RunSpec;
use convoke_store::{Result, Tx, event, frame};

use crate::flow::frame_of;

/// Frames of one run that are read, and how many at once.
const FRAMES_MAX: usize = 30_000;
const FRAMES_PAGE: i64 = 2_000;
/// Bytes of a step's own result above which a record does without it.
const RESULT_BYTES: i64 = 256 << 10;
/// Events of one run that are read.
const NOTES_MAX: usize = 10_000;

/// What the flow of a run has done; nothing for a run without one.
pub(crate) async fn of(tx: &mut Tx<'_>, record: &RunRecord, spec: &RunSpec) -> Result<Option<FlowAccount>> {
    if spec.flow.is_none() {
        return Ok(None);
    }
    let id = record.summary.id;
    let (frames, notes) = (frames(tx, id).await?, notes(tx, id).await?);
    let has_ended = State::parse(&record.summary.state).is_some_and(State::has_ended);
    Ok(account(Sources { spec, frames: &frames, tasks: &record.tasks, notes: &notes, has_ended }))
}

pub(crate) async fn frames(tx: &mut Tx<'_>, id: RunId) -> Result<BTreeMap<String, Frame>> {
    let mut frames = BTreeMap::new();
    let mut after: Option<String> = None;
    loop {
        let page = frame::page(tx, id, after.as_deref(), (RESULT_BYTES, FRAMES_PAGE)).await?;
        let Some(last) = page.last() else { return Ok(frames) };
        after = Some(last.path.clone());
        for row in &page {
            frames.insert(row.path.clone(), frame_of(row)?);
        }
        if frames.len() >= FRAMES_MAX {
            return Ok(frames);
        }
    }
}

pub(crate) async fn notes(tx: &mut Tx<'_>, id: RunId) -> Result<Vec<Noted>> {
    let mut notes: Vec<Noted> = Vec::new();
    let mut after = 0;
    loop {
        let page = event::of_coordination(tx, id, after, event::MAX_PAGE).await?;
        let Some(last) = page.last() else { return Ok(notes) };
        after = last.seq;
        notes.extend(page.into_iter().map(|event| Noted { kind: event.kind, payload: event.payload, at: event.at }));
        if notes.len() >= NOTES_MAX {
            return Ok(notes);
        }
    }
}
