//! Templates that would bring the process down: each must fail by its own error, at once and on a small stack.

use serde_json::{Map, Value, json};

use super::*;

fn known() -> Map<String, Value> {
    json!({"n": 9_000_000_000_u64, "big": "x".repeat(600_000), "who": ["a", "b"]})
        .as_object()
        .expect("an object")
        .clone()
}

/// On a stack as small as those of the threads that drive flows.
fn on_small_stack(what: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(what).expect("a thread");
    thread.join().expect("no panic");
}

fn refused(expression: &str, why: &str) {
    let short: String = expression.chars().take(80).collect();
    let said = evaluate(expression, &known()).expect_err(&short);
    assert!(said.contains(why), "{short}: {said}");
    let said = render(&format!("{{{{ {expression} }}}}"), &known()).expect_err(&short);
    assert!(said.contains(why), "{short}: {said}");
}

#[test]
fn chains_are_counted_before_they_are_parsed() {
    on_small_stack(|| {
        for chain in [" + 1", "|string", "[0]", " and true", " ~ 'a'", ".a", " is none", " == 1", " if true else 1"] {
            let long = |times: usize| format!("1{}", chain.repeat(times));
            refused(&long(1_000), "more than 300 operators, filters and parts");
            assert!(evaluate(&long(20_000), &known()).unwrap_err().contains("at most 16384 are allowed"));
            assert!(render(&format!("{{{{ {} }}}}", long(20_000)), &known()).unwrap_err().contains("300 operators"));
            assert!(names_of_expression(&long(1_000)).is_err());
            assert!(names_of_template(&format!("{{{{ {} }}}}", long(1_000))).is_err());
        }
        for (chain, end) in [("not ", "true"), ("-", "1"), ("1 if true else ", "1"), ("(", "1"), ("[", "1")] {
            refused(&format!("{}{end}", chain.repeat(1_000)), "300 operators");
        }
        let elif = format!("{{% if true %}}{}x{{% endif %}}", "{% elif true %}".repeat(20_000));
        assert!(render(&elif, &known()).unwrap_err().contains("more than 400 statements"));
        let long = format!("{{{{ task }}}}{}", "x".repeat(2 << 20));
        assert!(render(&long, &known()).unwrap_err().contains("the template has"));
    });
}

#[test]
fn what_is_within_the_limits_runs() {
    on_small_stack(|| {
        let sum = format!("1{}", " + 1".repeat(300));
        assert_eq!(evaluate(&sum, &known()), Ok(json!(301)));
        assert_eq!(evaluate(&format!("{}true", "not ".repeat(300)), &known()), Ok(json!(true)));
        assert_eq!(evaluate(&format!("'a'{}", "|string".repeat(300)), &known()), Ok(json!("a")));
        let elif = format!("{{% if false %}}{}{{% else %}}x{{% endif %}}", "{% elif false %}".repeat(390));
        assert_eq!(render(&elif, &known()), Ok("x".to_owned()));
        let text = "+ | [0] and not ".repeat(20_000);
        assert_eq!(render(&format!("{text}{{{{ who[0] }}}}"), &known()), Ok(format!("{text}a")));
    });
}

#[test]
fn what_makes_much_of_little_is_bounded() {
    on_small_stack(|| {
        refused("('%9999999999d' | format(1)) | length", "pads to at most 1000");
        refused("('%*d' | format(n, 1)) | length", "widths");
        refused("'a' | indent(2000000000, true)", "at most 1048576 are allowed");
        refused("'a' | indent(n, true)", "at most 1048576 are allowed");
        refused("'a' | indent(width=n, first=true)", "at most 1048576 are allowed");
        refused("[1] | batch(2000000000, 0) | list | length", "at most 10000 are allowed");
        refused("[1] | slice(n, 0) | list | length", "at most 10000 are allowed");
        refused("'x' * 1000000000", "at most 65536 are allowed");
        refused("'x' * n", "at most 1048576 are allowed");
        refused("who * n", "at most 10000 are allowed");
        refused("[1] * 1000000", "at most 65536 are allowed");
        refused("range(99999) | list", "at most 10000 are allowed");
        refused("big ~ big", "at most 1048576 are allowed");
        refused("big + big", "at most 1048576 are allowed");
        refused("[big, big] | join", "at most 1048576 are allowed");
        refused("[big, big] | string", "at most 1048576 are allowed");
        refused("{'a': [big, big]} | tojson", "1048576 bytes as JSON");
        refused("who | tojson(indent=n)", "at most 16");
        refused("['a', 'b'] | sum(start='')", "join");
        refused("big | replace('x', 'xx')", "at most 1048576 are allowed");
        let replaced = format!("'{0}'{1}", "a".repeat(36), format!("|replace('a','{}')", "a".repeat(36)).repeat(6));
        refused(&replaced, "at most 1048576 are allowed");
    });
}

#[test]
fn nothing_grows_from_round_to_round() {
    let refused = |template: &'static str| {
        on_small_stack(move || {
            let said = render(template, &known()).expect_err(template);
            assert!(said.contains("invalid operation"), "{template}: {said}");
        });
    };
    refused(
        "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}",
    );
    refused(
        "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x }}",
    );
    refused("{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ 1 }}");
    refused("{% set ns = namespace(x=[1]) %}{% for i in range(9000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ 1 }}");
    refused(
        "{% set ns = namespace(x=[1]) %}{% for i in range(9000) %}{% set ns.x = ns.x | batch(1) %}{% endfor %}{{ 1 }}",
    );
    refused("{% set ns = namespace(x=1) %}{% set ns.x = ns %}{{ ns }}");
    refused("{% set ns = namespace(x=1) %}{% set ns.x = [ns] %}{{ ns }}");
    refused("{% for i in range(9000) %}{% for j in range(9) %}{{ big }}{% endfor %}{% endfor %}");
    refused("{% set x %}{% for i in range(9000) %}{{ big }}{% endfor %}{% endset %}{{ 1 }}");
    refused("{% set x = big | list %}{{ 1 }}");
    let lazy =
        "{% set ns = namespace(x=[1]) %}{% for i in range(9000) %}{% set ns.x = ns.x[::1] %}{% endfor %}{{ ns.x }}";
    on_small_stack(move || assert_eq!(render(lazy, &known()), Ok("[1]".to_owned())));
}

#[test]
fn what_was_always_right_is_as_it_was() {
    let known = known();
    let is = |expression: &str, value: Value| assert_eq!(evaluate(expression, &known), Ok(value), "{expression}");
    is("1 + 2 * 3 - 4", json!(3));
    is("1.5 + 1", json!(2.5));
    is("'a' ~ 1 ~ true", json!("a1True"));
    is("'a' + 'b'", json!("ab"));
    is("'-' * 3", json!("---"));
    is("'abcd'[1:3] ~ who[1:] | length", json!("bc1"));
    is("who[::-1]", json!(["b", "a"]));
    is("(who + ['c']) | length", json!(3));
    is("(who + ['c']) * 2", json!(["a", "b", "c", "a", "b", "c"]));
    is("who | join(', ')", json!("a, b"));
    is("who | map('upper') | join(d='-')", json!("A-B"));
    is("'%05d|%s' | format(7, 'x')", json!("00007|x"));
    is("[{'a': 1}, {'a': 2}] | sum(attribute='a')", json!(3));
    is("[3, 1] | sort | first", json!(1));
    is("{'a': 1} | tojson(indent=2)", json!("{\n  \"a\": 1\n}"));
    is("'a\nb' | indent(2)", json!("a\n  b"));
    is("[1, 2, 3] | batch(2) | list", json!([[1, 2], [3]]));
    is("range(3) | list", json!([0, 1, 2]));
    is("nothing is defined", json!(false));
    is("nothing | default('x')", json!("x"));
    assert!(evaluate("1 + 'a'", &known).unwrap_err().contains("tried to use + operator"));
    assert!(evaluate("nothing ~ 'a'", &known).unwrap_err().contains("undefined"));
    let text = "{% for w in who %}\n  {{ w }}{% if not loop.last %},{% endif %}\n\n{% endfor %}";
    assert_eq!(render(text, &known), Ok("  a,\n  b\n".to_owned()));
    assert_eq!(render("{% set x %}[{{ who[1] }}]{% endset %}{{ x | upper }}", &known), Ok("[B]".to_owned()));
    assert_eq!(render("{{ '<' }}.html", &known), Ok("<.html".to_owned()));
}
