//! Scaling: when a member's tasks queue up, agents of the same profile come to its relief; they go when there is no work.
//!
//! Rule: what happens follows from what is stored, never from how fast somebody looked. A relief takes tasks that nobody has
//! begun, one at a time, and only those that the member has no room for itself. Start at [`next`].

use std::time::Duration;

use crate::team::ScaleRule;
use crate::time::Timestamp;

/// An agent that came to a member's relief.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relief {
    /// Its name.
    pub name: String,
    /// It has a task that has not ended.
    pub is_busy: bool,
    /// Since when it was seen without one.
    pub idle_since: Option<Timestamp>,
}

/// A member's queue in one run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Queue {
    /// Ready tasks that nobody has begun.
    pub ready: usize,
    /// How many of them the member has room for itself.
    pub room: usize,
    /// Those that live.
    pub reliefs: Vec<Relief>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Move {
    /// This one takes a task.
    Give(String),
    /// One more comes, and takes a task.
    Spawn,
    /// This one has nothing to do from now on.
    Rest(String),
    /// This one has had nothing to do for long enough.
    Retire(String),
}

/// What becomes of a queue: those without work take what waits; for what still waits beyond the backlog others come; whoever is
/// left without work rests, and goes in the end.
pub fn next(rule: &ScaleRule, queue: &Queue, now: Timestamp) -> Vec<Move> {
    let mut waiting = queue.ready.saturating_sub(queue.room);
    let mut moves = Vec::new();
    for relief in queue.reliefs.iter().filter(|relief| !relief.is_busy) {
        if waiting > 0 {
            waiting -= 1;
            moves.push(Move::Give(relief.name.clone()));
        } else {
            moves.extend(rest(rule, relief, now));
        }
    }
    let beyond = waiting.saturating_sub(rule.backlog as usize);
    let free = (rule.max as usize).saturating_sub(queue.reliefs.len());
    moves.extend(std::iter::repeat_n(Move::Spawn, beyond.min(free)));
    moves
}

fn rest(rule: &ScaleRule, relief: &Relief, now: Timestamp) -> Option<Move> {
    let since = relief.idle_since.unwrap_or(now);
    if now.since(since) >= Duration::from_secs(rule.idle_s) {
        return Some(Move::Retire(relief.name.clone()));
    }
    relief.idle_since.is_none().then(|| Move::Rest(relief.name.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spawn::tests::Chance;

    fn rule(max: u32, backlog: u32, idle_s: u64) -> ScaleRule {
        ScaleRule { max, backlog, idle_s }
    }

    fn relief(name: &str, is_busy: bool, idle_since: Option<i64>) -> Relief {
        Relief { name: name.into(), is_busy, idle_since: idle_since.map(Timestamp::from_micros) }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn only_what_waits_beyond_room_and_backlog_brings_others() {
        let queue = |ready, room| Queue { ready, room, reliefs: vec![relief("a", true, None)] };
        for (ready, room, spawned) in [(0, 1, 0), (1, 1, 0), (3, 1, 0), (4, 1, 1), (5, 1, 2), (50, 1, 2), (3, 0, 1)] {
            let moves = next(&rule(3, 2, 60), &queue(ready, room), at(9));
            assert_eq!(moves, vec![Move::Spawn; spawned], "{ready} ready, room for {room}");
        }
    }

    #[test]
    fn who_is_there_takes_what_waits_before_others_come() {
        let reliefs = vec![relief("a", false, Some(0)), relief("b", true, None), relief("c", false, None)];
        let moves = next(&rule(5, 0, 60), &Queue { ready: 4, room: 1, reliefs }, at(99));
        assert_eq!(moves, [Move::Give("a".into()), Move::Give("c".into()), Move::Spawn]);
    }

    #[test]
    fn who_has_no_work_rests_and_goes() {
        let of = |idle_s, since, now| {
            let queue = Queue { reliefs: vec![relief("a", false, since)], ..Queue::default() };
            next(&rule(1, 0, idle_s), &queue, at(now))
        };
        assert_eq!(of(60, None, 100), [Move::Rest("a".into())]);
        assert_eq!(of(60, Some(50_000_000), 100), []);
        assert_eq!(of(60, Some(40_000_000), 100), [Move::Retire("a".into())]);
        assert_eq!(of(0, None, 100), [Move::Retire("a".into())]);
    }

    /// 10,000 random queues, worked off in random order: never more than the rule allows, no task taken twice, all done.
    #[test]
    fn random_queues_are_worked_off_within_the_rule() {
        for seed in 0..10_000_u64 {
            let mut chance = Chance(seed);
            let rule = rule(1 + chance.below(4) as u32, chance.below(4) as u32, chance.below(3));
            let mut all = Sim { chance, rule, ready: 0, running: 0, reliefs: Vec::new(), made: 0, now: 0 };
            let tasks = all.chance.below(30) as usize;
            all.ready = tasks;
            let mut turns = 0;
            while all.ready + all.running > 0 || !all.reliefs.is_empty() {
                all.turn(seed);
                turns += 1;
                assert!(turns < 1_000, "seed {seed}: {tasks} tasks are never done");
            }
            assert!(all.made <= tasks, "seed {seed}: {} came for {tasks} tasks", all.made);
        }
    }

    struct Sim {
        chance: Chance,
        rule: ScaleRule,
        ready: usize,
        /// Of the member, who has room for one.
        running: usize,
        reliefs: Vec<Relief>,
        made: usize,
        now: i64,
    }

    impl Sim {
        fn turn(&mut self, seed: u64) {
            let queue = Queue { ready: self.ready, room: 1 - self.running, reliefs: self.reliefs.clone() };
            let before = self.ready;
            for one in next(&self.rule, &queue, at(self.now)) {
                self.carry_out(one);
            }
            assert!(before == self.ready || self.ready >= queue.room, "seed {seed}: the member's own work was taken");
            assert!(self.reliefs.len() <= self.rule.max as usize, "seed {seed}: {} live", self.reliefs.len());
            self.now += 1;
            match self.chance.below(3) {
                0 if self.running == 0 && self.ready > 0 => (self.running, self.ready) = (1, self.ready - 1),
                0 => self.running = 0,
                1 if !self.reliefs.is_empty() => {
                    let n = self.chance.below(self.reliefs.len() as u64) as usize;
                    self.reliefs[n].is_busy = false;
                }
                _ => {}
            }
        }

        fn carry_out(&mut self, one: Move) {
            match one {
                Move::Spawn => {
                    self.made += 1;
                    self.ready -= 1;
                    self.reliefs.push(relief(&format!("r{}", self.made), true, None));
                }
                Move::Give(name) => {
                    self.ready -= 1;
                    let found = self.reliefs.iter_mut().find(|relief| relief.name == name).expect("it lives");
                    (found.is_busy, found.idle_since) = (true, None);
                }
                Move::Rest(name) => {
                    let found = self.reliefs.iter_mut().find(|relief| relief.name == name).expect("it lives");
                    found.idle_since = Some(at(self.now));
                }
                Move::Retire(name) => self.reliefs.retain(|relief| relief.name != name || relief.is_busy),
            }
        }
    }
}
