//! Tables of rights, and the proof by test that no child is wider than its parent.

use serde_json::json;

use super::*;
use crate::money::Money;
use crate::spawn::tests::Chance;

const TOOLS: [&str; 12] = [
    "read_file",
    "write_file",
    "shell",
    "http_get",
    "spawn",
    "@talk",
    "send",
    "@work",
    "delegate",
    "mcp:git/*",
    "mcp:git/log",
    "mcp:time/now",
];
/// Tools that may be asked for.
const ASKED: [&str; 14] = [
    "read_file",
    "write_file",
    "shell",
    "http_get",
    "spawn",
    "send",
    "ask",
    "delegate",
    "escalate",
    "lock",
    "mcp:git/log",
    "mcp:git/push",
    "mcp:time/now",
    "mcp:github/log",
];
const HOSTS: [&str; 7] =
    ["*", "*.example.com", "a.example.com", "*.a.example.com", "b.a.example.com", "example.com", "Other.test"];

fn profile(tools: &[&str]) -> Profile {
    let value = json!({"name": "logs", "prompt": "Look.", "tools": tools});
    serde_json::from_value(value).expect("a profile")
}

fn some<T: Clone>(chance: &mut Chance, from: &[T]) -> Vec<T> {
    from.iter().filter(|_| chance.below(3) == 0).cloned().collect()
}

fn owned(words: Vec<&str>) -> Vec<String> {
    words.into_iter().map(str::to_owned).collect()
}

pub(crate) fn random_rights(chance: &mut Chance) -> Rights {
    let authority = Authority {
        shell: chance.below(2) == 0,
        http_hosts: owned(some(chance, &HOSTS)),
        private_network: chance.below(2) == 0,
        forbidden_actions: owned(some(chance, &["write_file", "mcp:git/*", "@lock", "ask"])),
        phases: (chance.below(2) == 0).then(|| some(chance, &Phase::ALL)),
        can_spawn: chance.below(3) > 0,
        max_parallel_agents: chance.below(5) as u32 + 1,
        can_delegate: chance.below(2) == 0,
        can_override_decisions: chance.below(2) == 0,
        can_assign_to_peers: chance.below(2) == 0,
        can_escalate_to_supervisor: chance.below(2) == 0,
    };
    let limits = Limits {
        max_cost_usd: (chance.below(2) == 0).then(|| Money::from_nanos(chance.below(1_000) as i64)),
        max_tokens: (chance.below(2) == 0).then(|| chance.below(1_000)),
    };
    Rights { tools: owned(some(chance, &TOOLS)), authority, limits }
}

/// What rights come to, for everything that may be asked: tools, hosts, phases, the rest.
fn effect(rights: &Rights) -> (Vec<bool>, Vec<bool>, Vec<bool>, [bool; 6]) {
    let of = rights.clone().onto(profile(&[]));
    let tools = ASKED.iter().map(|tool| may_use(&of, tool).is_ok()).collect();
    let hosts = ["x.test", "other.test", "example.com", "a.example.com", "b.a.example.com", "c.b.a.example.com"];
    let a = &rights.authority;
    let hosts = hosts.iter().map(|host| a.http_hosts.iter().any(|pattern| covers_host(pattern, host))).collect();
    let phases = Phase::ALL.iter().map(|phase| may_act_in(&of, *phase).is_ok()).collect();
    let flags = [
        a.shell,
        a.private_network,
        a.can_spawn,
        a.can_override_decisions,
        a.can_assign_to_peers,
        a.can_escalate_to_supervisor,
    ];
    (tools, hosts, phases, flags)
}

/// True if nothing is allowed by `a` that `b` does not allow.
pub(crate) fn within(a: &Rights, b: &Rights) -> bool {
    let le = |a: &[bool], b: &[bool]| a.iter().zip(b).all(|(a, b)| !a || *b);
    let ((ta, ha, pa, fa), (tb, hb, pb, fb)) = (effect(a), effect(b));
    let least = |a: Option<i64>, b: Option<i64>| b.is_none_or(|b| a.is_some_and(|a| a <= b));
    let nanos = |limits: Limits| limits.max_cost_usd.map(Money::as_nanos);
    let tokens = |limits: Limits| limits.max_tokens.map(u64::cast_signed);
    le(&ta, &tb)
        && le(&ha, &hb)
        && le(&pa, &pb)
        && le(&fa, &fb)
        && a.authority.max_parallel_agents <= b.authority.max_parallel_agents
        && least(nanos(a.limits), nanos(b.limits))
        && least(tokens(a.limits), tokens(b.limits))
}

fn tidied(rights: &Rights) -> Rights {
    child(rights, rights)
}

#[test]
fn a_child_is_never_wider() {
    for seed in 0..10_000 {
        let chance = &mut Chance(seed);
        let [a, b, c] = std::array::from_fn(|_| random_rights(chance));
        let ab = child(&a, &b);
        assert!(within(&ab, &a) && within(&ab, &b), "seed {seed}: {ab:#?} is wider than {a:#?} or {b:#?}");
        assert_eq!(child(&ab, &b), ab, "seed {seed}: once more with the same changes nothing");
        assert_eq!(tidied(&tidied(&a)), tidied(&a), "seed {seed}: with itself it stays itself");
        assert!(within(&a, &tidied(&a)), "seed {seed}: with itself it loses nothing");
        assert_eq!(child(&a, &b), child(&b, &a), "seed {seed}: the order does not matter");
        assert_eq!(child(&child(&a, &b), &c), child(&a, &child(&b, &c)), "seed {seed}: nor does where one begins");
    }
}

#[test]
fn what_both_allow_the_child_is_allowed() {
    for seed in 0..10_000 {
        let chance = &mut Chance(seed);
        let (a, b) = (random_rights(chance), random_rights(chance));
        let ((ta, ha, pa, _), (tb, hb, pb, _), (tc, hc, pc, _)) = (effect(&a), effect(&b), effect(&child(&a, &b)));
        // That `http_get` may be used at all hangs on whether any host is left, `ASKED[3]`.
        let tools = (0..ASKED.len()).filter(|at| ASKED[*at] != HTTP_GET).all(|at| tc[at] == (ta[at] && tb[at]));
        let both = |x: &[bool], y: &[bool], z: &[bool]| (0..x.len()).all(|at| z[at] == (x[at] && y[at]));
        assert!(tools && both(&ha, &hb, &hc) && both(&pa, &pb, &pc), "seed {seed}");
    }
}

#[test]
fn what_is_not_granted_is_denied() {
    let agent = profile(&["read_file", "mcp:git/*", "mcp:time/now", "shell", "http_get", "@talk", "@work", "spawn"]);
    for tool in ["read_file", "mcp:git/log", "mcp:time/now", "send", "wait_for", "escalate"] {
        assert_eq!(may_use(&agent, tool), Ok(()), "{tool}");
    }
    for (tool, rule) in [
        ("write_file", "tools"),
        ("mcp:time/convert", "tools"),
        ("mcp:github/log", "tools"),
        ("mcp:git", "tools"),
        ("lock", "tools"),
        ("@lock", "tools"),
        ("shell", "authority.shell"),
        ("http_get", "authority.http_hosts"),
        ("spawn", "authority.can_spawn"),
        ("delegate", "authority.can_delegate"),
    ] {
        assert_eq!(may_use(&agent, tool).expect_err(tool).rule, rule, "{tool}");
    }
}

#[test]
fn what_is_forbidden_no_grant_gives() {
    let mut agent = profile(&["@talk", "mcp:git/*"]);
    agent.authority.forbidden_actions = owned(vec!["mcp:git/push", "broadcast"]);
    assert_eq!(may_use(&agent, "mcp:git/log"), Ok(()));
    let granted = [Right::Tool("mcp:git/push".into()), Right::Tool("broadcast".into())];
    for tool in ["mcp:git/push", "broadcast"] {
        let denied = may_use(&widen(&agent, &granted), tool).expect_err("forbidden");
        assert_eq!(denied.rule, "authority.forbidden_actions");
    }
}

#[test]
fn a_grant_gives_what_it_says_and_no_more() {
    let agent = profile(&[]);
    let wide = widen(&agent, &["tool:shell", "shell", "spawn"].map(|text| text.parse().expect("a right")));
    assert_eq!(may_use(&wide, SHELL), Ok(()));
    assert_eq!(may_use(&wide, SPAWN).expect_err("no tool").rule, "tools");
    assert!(may_use(&agent, SHELL).is_err());
    let phased = Profile { authority: Authority { phases: Some(Vec::new()), ..Authority::default() }, ..agent };
    assert_eq!(may_act_in(&phased, Phase::Execution).expect_err("no phase").rule, "authority.phases");
    assert_eq!(may_act_in(&widen(&phased, &[Right::Phase(Phase::Execution)]), Phase::Execution), Ok(()));
}

#[test]
fn rights_read_back_and_nothing_else_is_one() {
    let words = [
        "tool:write_file",
        "tool:mcp:git/*",
        "host:*.example.com",
        "phase:synthesis",
        "parallel:20",
        "shell",
        "private_network",
    ];
    for text in
        words.iter().chain(&["spawn", "delegate", "override_decisions", "assign_to_peers", "escalate_to_supervisor"])
    {
        assert_eq!(text.parse::<Right>().expect(text).to_string(), *text);
    }
    for text in
        ["", "tool:", "tool:a b", "phase:lunch", "parallel:0", "parallel:21", "parallel:+1", "shell:x", "root", "tool"]
    {
        assert_eq!(text.parse::<Right>().expect_err(text).code, "bad_right", "{text}");
    }
}

#[test]
fn peers_need_the_right_and_the_rule() {
    let (mut agent, mut rules) = (profile(&[]), Rules::default());
    let rule = |agent: &Profile, rules: &Rules| {
        may_assign(agent, false, Standing::Worker, rules).err().map(|denied| denied.rule)
    };
    assert_eq!(rule(&agent, &rules), Some("authority.can_assign_to_peers"));
    agent.authority.can_assign_to_peers = true;
    assert_eq!(rule(&agent, &rules), Some("rules.allow_peer_assignment"));
    rules.allow_peer_assignment = true;
    assert_eq!(rule(&agent, &rules), None);
    assert_eq!(may_assign(&profile(&[]), true, Standing::Worker, &Rules::default()), Ok(()));
    assert_eq!(may_assign(&profile(&[]), false, Standing::Supervisor, &Rules::default()), Ok(()));
}
