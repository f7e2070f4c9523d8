//! Random families of agents: limits hold, no right grows, and no budget is made of nothing.

use serde_json::json;

use super::*;
use crate::authority::tests::{random_rights, within};
use crate::authority::{Rights, child};
use crate::budget::{Amount, Budget, shift};
use crate::money::Money;
use crate::profile::Profile;

/// Chances that all come from one seed.
pub(crate) struct Chance(pub u64);

impl Chance {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        crate::flow::made::split_mix(&mut self.0) % bound
    }
}

fn profile(name: &str) -> Profile {
    serde_json::from_value(json!({"name": name, "prompt": "x", "authority": {"can_spawn": true}})).expect("a profile")
}

/// A family, as a run would keep it: rights of each, budgets of each, and what they may not pass together.
struct Family {
    seed: u64,
    chance: Chance,
    bounds: Bounds,
    tree: Tree,
    rights: Vec<(String, Rights)>,
    budgets: Vec<Budget>,
}

impl Family {
    fn new(seed: u64) -> Self {
        let mut chance = Chance(seed);
        let preset = [SpawnPreset::Safe, SpawnPreset::Aggressive, SpawnPreset::Extreme][chance.below(3) as usize];
        let bounds = bounds(&SpawnRules { preset, ..SpawnRules::default() });
        let mut family = Self { seed, chance, bounds, tree: Tree::default(), rights: Vec::new(), budgets: Vec::new() };
        for name in ["lead", "logs"] {
            let mut rights = random_rights(&mut family.chance);
            rights.limits.max_cost_usd = Some(Money::from_nanos(10_000));
            family.join(name, rights);
        }
        family
    }

    fn join(&mut self, name: &str, rights: Rights) {
        let cap_cost = Some(rights.limits.max_cost_usd.unwrap_or(Money::from_nanos(5_000)));
        self.budgets.push(Budget { scope: name.to_owned(), cap_cost, ..Budget::default() });
        self.rights.push((name.to_owned(), rights));
    }

    fn any(&mut self) -> usize {
        self.chance.below(self.rights.len() as u64) as usize
    }

    fn spawn(&mut self, n: usize) {
        let at = self.any();
        let (name, rights) = self.rights[at].clone();
        let parent = rights.clone().onto(profile(&name));
        let Ok(depth) = self.tree.admit(Some(&parent), &self.bounds) else { return };
        assert!(rights.authority.can_spawn && depth <= MAX_DEPTH, "seed {}", self.seed);
        let mut born = child(&rights, &random_rights(&mut self.chance));
        assert!(within(&born, &rights), "seed {}: wider than its parent", self.seed);
        born.limits.max_cost_usd =
            born.limits.max_cost_usd.min(self.budgets[at].cap_cost).or(self.budgets[at].cap_cost);
        let node = Node { name: format!("s{n}"), parent: Some(name), depth, living: true };
        self.join(&node.name, born);
        self.tree.nodes.push(node);
    }

    fn retire(&mut self) {
        let at = self.any();
        let gone = self.tree.subtree(&self.rights[at].0.clone());
        self.tree.nodes.iter_mut().filter(|node| gone.contains(&node.name)).for_each(|node| node.living = false);
    }

    /// The budgets that a call of an agent falls under: its own, and those of all above it.
    fn scopes(&self, at: usize) -> Vec<usize> {
        let above = self.tree.above(&self.rights[at].0);
        let place = |name: &String| self.rights.iter().position(|(known, _)| known == name).expect("a member");
        std::iter::once(at).chain(above.iter().map(place)).collect()
    }

    fn call(&mut self) {
        let at = self.any();
        let bound = Amount { cost: Money::from_nanos(self.chance.below(2_000) as i64), tokens: 0 };
        let scopes = self.scopes(at);
        if scopes.iter().all(|scope| self.budgets[*scope].admit(bound).is_ok()) {
            let held = self.chance.below(2) == 0;
            for scope in scopes {
                let budget = &mut self.budgets[scope];
                let into = if held { &mut budget.reserved } else { &mut budget.settled };
                into.cost += bound.cost;
            }
        }
    }

    fn shift(&mut self) {
        let (a, b) = (self.any(), self.any());
        if !self.tree.siblings(&self.rights[a].0, &self.rights[b].0) {
            return;
        }
        let amount = Amount { cost: Money::from_nanos(self.chance.below(3_000) as i64), tokens: 0 };
        let total =
            |family: &Self| family.budgets[a].cap_cost.expect("a cap") + family.budgets[b].cap_cost.expect("a cap");
        let before = total(self);
        if let Ok((less, more)) = shift(&self.budgets[a], &self.budgets[b], amount) {
            (self.budgets[a], self.budgets[b]) = (less, more);
            assert_eq!(total(self), before, "seed {}: money was made or lost", self.seed);
        }
    }

    fn check(&self) {
        let living: Vec<_> = self.tree.nodes.iter().filter(|node| node.living).collect();
        assert!(living.len() <= self.bounds.agents as usize, "seed {}: too many agents", self.seed);
        for (name, rights) in &self.rights {
            let most = rights.authority.max_parallel_agents as usize;
            assert!(self.tree.children(name).count() <= most, "seed {}: too many children", self.seed);
        }
        for budget in &self.budgets {
            let used = budget.reserved.cost + budget.settled.cost;
            assert!(used <= budget.cap_cost.expect("a cap"), "seed {}: {budget:?} is overdrawn", self.seed);
        }
        for node in &self.tree.nodes {
            let parent = node.parent.as_ref().expect("a parent");
            let of = |name: &String| &self.rights.iter().find(|(known, _)| known == name).expect("a member").1;
            assert!(within(of(&node.name), of(parent)), "seed {}: {} is wider than {parent}", self.seed, node.name);
        }
    }
}

#[test]
fn families_stay_within_their_limits() {
    for seed in 0..10_000 {
        let mut family = Family::new(seed);
        for n in 0..24 {
            match family.chance.below(8) {
                0..=3 => family.spawn(n),
                4 => family.retire(),
                5 => family.call(),
                _ => family.shift(),
            }
        }
        family.check();
    }
}

#[test]
fn each_limit_is_named_by_its_rule() {
    let node =
        |name: &str, parent: &str, depth| Node { name: name.into(), parent: Some(parent.into()), depth, living: true };
    let safe = bounds(&SpawnRules::default());
    let deny =
        |tree: &Tree, parent: &Profile, bounds: &Bounds| tree.admit(Some(parent), bounds).expect_err("denied").rule;
    let mut none = profile("lead");
    none.authority.can_spawn = false;
    assert_eq!(deny(&Tree::default(), &none, &safe), "authority.can_spawn");
    let four = Tree { nodes: (0..4).map(|n| node(&format!("s{n}"), "lead", 1)).collect() };
    assert_eq!(deny(&four, &profile("lead"), &safe), "authority.max_parallel_agents");
    assert_eq!(deny(&four, &profile("logs"), &Bounds { agents: 4, ..safe }), "rules.spawn.max_agents");
    assert_eq!(deny(&four, &profile("logs"), &Bounds { groups: 1, ..safe }), "rules.spawn.max_groups");
    let line = Tree { nodes: (1..=4).map(|n| node(&format!("s{n}"), &format!("s{}", n - 1), n)).collect() };
    let wide = bounds(&SpawnRules { preset: SpawnPreset::Extreme, ..SpawnRules::default() });
    assert_eq!(deny(&line, &profile("s4"), &wide), "spawn.max_depth");
    let mut dead = line.clone();
    dead.nodes[0].living = false;
    assert_eq!(deny(&dead, &profile("s1"), &wide), "spawn.retired");
    let many =
        Tree { nodes: (0..MAX_EVER).map(|n| Node { living: false, ..node(&format!("s{n}"), "x", 1) }).collect() };
    assert_eq!(deny(&many, &profile("lead"), &wide), "spawn.max_ever");
    assert_eq!(many.admit(None, &wide).expect_err("a person too").rule, "spawn.max_ever");
}

#[test]
fn one_commands_ones_own_descendants_alone() {
    let node = |name: &str, parent: Option<&str>| Node {
        name: name.into(),
        parent: parent.map(Into::into),
        depth: 1,
        living: true,
    };
    let tree =
        Tree { nodes: vec![node("a", Some("lead")), node("b", Some("a")), node("c", Some("lead")), node("d", None)] };
    assert_eq!(tree.subtree("a"), ["a", "b"]);
    assert_eq!(tree.above("b"), ["a", "lead"]);
    assert!(tree.commands("lead", "b") && tree.commands("a", "b"));
    assert!(
        !tree.commands("c", "b") && !tree.commands("b", "a") && !tree.commands("lead", "d") && !tree.commands("a", "a")
    );
    assert!(tree.siblings("a", "c") && tree.siblings("lead", "logs"));
    assert!(!tree.siblings("a", "b") && !tree.siblings("a", "a") && !tree.siblings("a", "d"));
}

#[test]
fn presets_are_as_documented() {
    let of = |preset| bounds(&SpawnRules { preset, ..SpawnRules::default() });
    assert_eq!(of(SpawnPreset::Safe), Bounds { agents: 6, tokens: 200_000, groups: 3, warns: false });
    assert_eq!(of(SpawnPreset::Aggressive), Bounds { agents: 10, tokens: 300_000, groups: 5, warns: false });
    assert_eq!(of(SpawnPreset::Extreme), Bounds { agents: 20, tokens: 500_000, groups: 20, warns: true });
}
