//! Random conversations in random windows: what is sent always fits, and every call keeps its result.

use serde_json::json;

use super::*;
use crate::transcript::ToolCall;

struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(crate::flow::made::split_mix(&mut self.0) % bound as u64).expect("small")
    }

    /// Often little, at times a lot.
    fn text(&mut self, most: usize) -> String {
        let most = if self.below(4) == 0 { most } else { most / 20 + 1 };
        ["x", "é", "line\n", "日"][self.below(4)].repeat(self.below(most) / 3)
    }
}

fn exchange(chance: &mut Chance, number: usize, most: usize) -> [Turn; 2] {
    let calls: Vec<_> = (0..chance.below(4))
        .map(|n| ToolCall {
            id: format!("c{number}.{n}"),
            name: "look".into(),
            input: json!({"path": chance.text(60)}),
        })
        .collect();
    let mut reply = vec![Block::Opaque { provider: "p".into(), data: json!({"signed": number}) }];
    reply.push(Block::Text { text: chance.text(300) });
    reply.extend(calls.iter().cloned().map(Block::ToolCall));
    let mut results: Vec<_> = calls
        .iter()
        .map(|call| Block::ToolResult {
            call_id: call.id.clone(),
            name: call.name.clone(),
            content: chance.text(most),
            is_error: chance.below(5) == 0,
        })
        .collect();
    if results.is_empty() || chance.below(8) == 0 {
        results.push(Block::Text { text: chance.text(200) });
    }
    [Turn { speaker: Speaker::Assistant, blocks: reply }, Turn { speaker: Speaker::User, blocks: results }]
}

/// What every provider insists on: sides take turns, each call is answered in the next turn, no answer lacks its call.
fn check_shape(turns: &[Turn], seed: u64) {
    assert_eq!(turns[0].speaker, Speaker::User, "seed {seed}");
    let mut open: Vec<&str> = Vec::new();
    for pair in turns.windows(2) {
        assert_ne!(pair[0].speaker, pair[1].speaker, "seed {seed}");
    }
    for turn in turns {
        let answers: Vec<_> = turn
            .blocks
            .iter()
            .filter_map(
                |block| if let Block::ToolResult { call_id, .. } = block { Some(call_id.as_str()) } else { None },
            )
            .collect();
        assert_eq!(answers, open, "seed {seed}");
        open = crate::transcript::calls_of(&turn.blocks).map(|call| call.id.as_str()).collect();
    }
    assert!(open.is_empty(), "seed {seed}");
}

fn random_room(chance: &mut Chance) -> Room {
    Room {
        window: [2_000, 4_000, 8_000, 32_000, 200_000][chance.below(5)],
        reply: [200, 1_000, 4_096][chance.below(3)],
        fixed: chance.below(2_000),
        density: [150, DENSITY, 1_000][chance.below(3)],
    }
}

/// A summary by a model that writes what it likes.
fn by_model(turns: &[Turn], before: Option<&Compaction>, room: &Room, chance: &mut Chance) -> Option<Compaction> {
    let wanted = wanted(turns, before, room, true, 4_000)?;
    assert!(wanted.material.len() <= 4_000);
    let how = summarized(wanted.how, &chance.text(30_000), room);
    (!room.is_full(size(&view(turns, &how)))).then_some(how)
}

#[test]
fn what_is_sent_fits_and_keeps_its_pairs_whatever_comes() {
    let (mut compacted, mut refused, mut modelled) = (0, 0, 0);
    for seed in 0..10_000_u64 {
        let chance = &mut Chance(seed);
        let room = random_room(chance);
        let most = 1 + usize::try_from(room.window).expect("small").min(8_000);
        let mut turns = vec![Turn::user(chance.text(most))];
        let mut how: Option<Compaction> = None;
        for number in 1..=1 + chance.below(14) {
            turns.extend(exchange(chance, number, most));
            let sent = how.as_ref().map_or_else(|| turns.clone(), |how| view(&turns, how));
            if !room.is_full(size(&sent)) {
                check_shape(&sent, seed);
                continue;
            }
            let modelled_now = if chance.below(2) == 0 { by_model(&turns, how.as_ref(), &room, chance) } else { None };
            modelled += usize::from(modelled_now.is_some());
            let next = match modelled_now.map_or_else(|| plan(&turns, how.as_ref(), &room, chance.below(2) == 0), Ok) {
                Ok(next) => next,
                Err(TooLarge { least, room: has }) => {
                    assert!(least * 100 > has * FULL_PERCENT - has, "seed {seed}: {least} of {has} would have fitted");
                    refused += 1;
                    break;
                }
            };
            compacted += 1;
            let sent = view(&turns, &next);
            assert!(!room.is_full(size(&sent)), "seed {seed}: {} bytes in {room:?} under {next:?}", size(&sent));
            check_shape(&sent, seed);
            assert!(next.dropped >= how.as_ref().map_or(0, |how| how.dropped), "seed {seed}: nothing comes back");
            let kept: Compaction = serde_json::from_str(&serde_json::to_string(&next).expect("JSON")).expect("JSON");
            assert_eq!(view(&turns, &kept), sent, "seed {seed}: the same after a crash");
            how = Some(next);
        }
    }
    assert!(compacted > 4_000 && modelled > 200, "{compacted} compactions, {modelled} by a model, {refused} refused");
}

#[test]
fn the_same_turns_are_compacted_the_same_way() {
    for seed in 0..500 {
        let make = || {
            let chance = &mut Chance(seed);
            let mut turns = vec![Turn::user(chance.text(2_000))];
            (1..12).for_each(|number| turns.extend(exchange(chance, number, 4_000)));
            turns
        };
        let room = Room { window: 4_000, reply: 500, fixed: 100, density: DENSITY };
        assert_eq!(plan(&make(), None, &room, true), plan(&make(), None, &room, true), "seed {seed}");
    }
}

fn long_talk(turns: usize, bytes: usize) -> Vec<Turn> {
    let mut all = vec![Turn::user("# Task\n\nFind it.")];
    for n in 1..=turns {
        let call =
            ToolCall { id: format!("c{n}"), name: "read_file".into(), input: json!({"path": format!("log/{n}.txt")}) };
        all.push(Turn {
            speaker: Speaker::Assistant,
            blocks: vec![Block::Text { text: format!("I read log {n}.") }, Block::ToolCall(call)],
        });
        let content = format!("begin {n} {} end {n}", "x".repeat(bytes));
        let result = Block::ToolResult { call_id: format!("c{n}"), name: "read_file".into(), content, is_error: false };
        all.push(Turn { speaker: Speaker::User, blocks: vec![result] });
    }
    all
}

#[test]
fn gentle_means_come_first() {
    let room = Room { window: 10_000, reply: 1_000, fixed: 0, density: DENSITY };
    let turns = long_talk(6, 4_000);
    assert!(room.is_full(size(&turns)));
    let how = plan(&turns, None, &room, true).expect("it fits");
    assert_eq!(
        (how.dropped, how.cut_before, how.head_bytes),
        (0, 3, None),
        "older results are cut, nothing is left out"
    );
    let sent = view(&turns, &how);
    let Some(Block::ToolResult { content, .. }) = sent[2].blocks.first() else { panic!("a result") };
    assert!(content.starts_with("begin 1") && content.ends_with("end 1"), "{content}");
    assert!(content.contains("`read_dropped` with turn 1 gives all"), "{content}");
    assert_eq!(sent[8..], turns[8..], "the newest are whole");
}

#[test]
fn then_the_oldest_give_way_to_a_line_each() {
    let room = Room { window: 6_000, reply: 1_000, fixed: 0, density: DENSITY };
    let turns = long_talk(40, 400);
    let how = plan(&turns, None, &room, true).expect("it fits");
    assert!(how.dropped > 10 && how.head_bytes.is_none(), "{how:?}");
    let sent = view(&turns, &how);
    assert!(size(&sent) <= room.bytes_at(TARGET_PERCENT));
    insta::assert_snapshot!(sent[0].text());
    // More turns come, and are compacted on top of what is there.
    let more = long_talk(80, 400);
    let next = plan(&more, Some(&how), &room, true).expect("it fits");
    assert!(next.dropped > how.dropped && next.summary.len() <= room.summary_bytes());
}

#[test]
fn a_window_that_is_too_small_is_said_so() {
    let room = Room { window: 1_000, reply: 500, fixed: 3_000, density: DENSITY };
    let error = plan(&long_talk(3, 100), None, &room, true).expect_err("no room");
    insta::assert_snapshot!(error.to_string());
}

#[test]
fn densities_are_learned_within_bounds() {
    let found = [measured(3_999, 2_000), measured(30_000, 10_000), measured(5_000, 50_000), measured(1_000_000, 1)];
    assert_eq!(found, [DENSITY, 350, 1_000, 150]);
}
