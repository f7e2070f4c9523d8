//! Who said what, where results differ, and that nothing is lost in silence.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn given(values: &[Value]) -> Vec<Contribution> {
    let agents = ["ada", "bob", "cy", "dee"];
    let one = |(value, agent): (&Value, &str)| Contribution {
        agent: agent.into(),
        weight: 1.0,
        value: value.clone(),
        score: None,
    };
    values.iter().zip(agents).map(one).collect()
}

fn by(how: How) -> MergeRule {
    MergeRule { how, ..MergeRule::default() }
}

#[test]
fn every_part_names_those_who_said_it() {
    let merged = merge(&by(How::Union), &given(&[json!(["pool", "cache"]), json!(["Pool."]), Value::Null]));
    assert_eq!(merged.value, json!(["pool", "cache"]));
    assert_eq!(merged.said_by["/0"], ["ada", "bob"]);
    assert_eq!(merged.said_by["/1"], ["ada"]);
    assert_eq!((merged.from, merged.missing), (vec!["ada".to_owned(), "bob".into()], vec!["cy".to_owned()]));
}

#[test]
fn what_is_left_out_is_a_disagreement_with_everybodys_position() {
    let merged = merge(&by(How::Majority), &given(&[json!(["x"]), json!(["x", "y"]), json!([])]));
    assert_eq!(merged.value, json!(["x"]));
    let [found] = merged.disagreements.as_slice() else { panic!("{:?}", merged.disagreements) };
    assert_eq!((found.path.as_str(), found.settled), ("/-", false));
    assert_eq!(found.positions[0], Position { value: json!("y"), agents: vec!["bob".into()] });
    assert_eq!(found.positions[1], Position { value: Value::Null, agents: vec!["ada".into(), "cy".into()] });
}

#[test]
fn objects_are_merged_field_by_field_and_deep() {
    let values = [
        json!({"cause": {"name": "pool", "at": "09:14"}, "fix/now": ["restart"]}),
        json!({"cause": {"name": "Pool", "at": "09:20"}, "fix/now": ["restart", "grow"]}),
        json!({"cause": {"name": "pool", "at": "09:14"}}),
    ];
    let merged = merge(&by(How::Majority), &given(&values));
    assert_eq!(merged.value, json!({"cause": {"name": "pool", "at": "09:14"}, "fix/now": ["restart"]}));
    let paths: Vec<_> = merged.disagreements.iter().map(|one| (one.path.as_str(), one.settled)).collect();
    assert_eq!(paths, [("/cause/at", true), ("/fix~1now/-", false)]);
    assert_eq!(merged.said_by["/cause/name"], ["ada", "bob", "cy"]);
}

#[test]
fn items_that_have_a_name_are_merged_under_it() {
    let rule = MergeRule { how: How::Union, by: Some("id".into()), ..MergeRule::default() };
    let values = [
        json!([{"id": "CVE-1", "severity": "high"}]),
        json!([{"id": "cve-1", "severity": "high", "file": "a.rs"}, {"id": "CVE-2"}]),
        json!([{"id": "CVE-1", "severity": "low"}]),
    ];
    let merged = merge(&rule, &given(&values));
    assert_eq!(merged.value, json!([{"id": "CVE-1", "severity": "high", "file": "a.rs"}, {"id": "CVE-2"}]));
    assert_eq!(merged.said_by["/0"], ["ada", "bob", "cy"]);
    assert_eq!(merged.disagreements[0].path, "/0/severity");
    assert_eq!(merged.disagreements[0].positions[1].agents, ["cy"]);
}

#[test]
fn the_best_score_wins_then_the_weight_then_the_first() {
    let mut inputs = given(&[json!("a"), json!("b"), json!("c")]);
    let best = |inputs: &[Contribution]| merge(&by(How::BestOf), inputs).value;
    assert_eq!(best(&inputs), json!("a"));
    inputs[2].weight = 2.0;
    assert_eq!(best(&inputs), json!("c"));
    inputs[1].score = Some(0.1);
    assert_eq!(best(&inputs), json!("b"));
    let merged = merge(&by(How::BestOf), &inputs);
    assert_eq!(merged.from, ["bob"]);
    assert_eq!(merged.disagreements[0].positions.len(), 3);
}

#[test]
fn where_nobody_has_any_weight_all_weigh_the_same() {
    for values in [[json!("x"), json!("y"), json!("Y.")], [json!(["x"]), json!(["y"]), json!(["Y."])]] {
        let mut inputs = given(&values);
        inputs.iter_mut().for_each(|one| one.weight = 0.0);
        assert_eq!(merge(&by(How::Weighted), &inputs).value, values[1]);
    }
}

#[test]
fn texts_side_by_side_name_their_agents() {
    let merged =
        merge(&by(How::Combine), &given(&[json!("It is the pool."), json!("it is the POOL"), json!("One.\nTwo.")]));
    assert_eq!(merged.value, json!("According to ada and bob: It is the pool.\n\nAccording to cy:\n\nOne.\nTwo."));
    assert_eq!(according_to(&["a".into(), "b".into(), "c".into()], &json!([1])), "According to a, b and c: [1]");
    let merged = merge(&by(How::Union), &given(&[json!("x"), json!(["X!", "y"])]));
    assert_eq!(merged.value, json!(["x", "y"]), "a text beside a list is one of its items");
}

#[test]
fn what_is_reported_has_a_bound() {
    let list = |from: usize| json!((from..from + 300).map(|n| format!("item {n}")).collect::<Vec<_>>());
    let merged = merge(&by(How::Intersection), &given(&[list(0), list(1_000)]));
    assert_eq!((merged.disagreements.len(), merged.more_disagreements), (MAX_DISAGREEMENTS, 600 - MAX_DISAGREEMENTS));
    let deep = |leaf: &str| (0..100).fold(json!(leaf), |inside, _| json!({"a": inside}));
    let merged = merge(&by(How::Majority), &given(&[deep("x"), deep("x"), deep("y")]));
    assert_eq!(merged.value, deep("x"));
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        prop::sample::select(vec!["x", "X.", "y", "z"]).prop_map(Value::from),
        (0_i64..3).prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(prop::sample::select(vec!["a", "b", "c/d"]), inner, 0..3)
                .prop_map(|fields| json!(fields)),
        ]
    })
}

const HOWS: [How; 6] = [How::Union, How::Intersection, How::Combine, How::Majority, How::Weighted, How::BestOf];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn those_who_agree_get_what_they_said(value in value(), count in 1_usize..4) {
        let inputs = given(&vec![value.clone(); count]);
        for how in HOWS.into_iter().filter(|how| *how != How::Combine) {
            let merged = merge(&by(how), &inputs);
            prop_assert!(merged.disagreements.is_empty(), "{how:?}: {:?}", merged.disagreements);
            let again = merge(&by(how), &given(std::slice::from_ref(&merged.value)));
            prop_assert_eq!(&again.value, &merged.value, "{:?} of one result is that result", how);
        }
    }

    #[test]
    fn every_agent_is_from_or_disagrees_or_has_nothing(values in prop::collection::vec(value(), 0..4)) {
        let inputs = given(&values);
        for how in HOWS {
            let merged = merge(&by(how), &inputs);
            for input in &inputs {
                let is_empty = input.value.is_null() || is_hollow(&input.value);
                let disagrees = merged.disagreements.iter().any(|one| one.positions.iter().any(|p| p.agents.contains(&input.agent)));
                let is_told = merged.from.contains(&input.agent) || merged.missing.contains(&input.agent) || disagrees;
                prop_assert!(is_told || is_empty, "{how:?} lost {}: {merged:?}", input.agent);
            }
            for path in merged.said_by.keys() {
                prop_assert!(merged.value.pointer(path).is_some(), "{how:?}: {path} points at nothing in {}", merged.value);
            }
        }
    }
}

/// Nothing but empty lists, empty objects and nulls.
fn is_hollow(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_hollow),
        _ => false,
    }
}
