//! Answers in plain words where a form is asked for in which something is chosen: ballots, and questions with options.
//!
//! Rule: they are read as a ballot is ([`crate::vote::Ballot`]), and nothing is guessed: what is JSON is held to the form, and words
//! in which no choice can be read have none. Start at [`formed`].

use serde_json::{Map, Value, json};

use crate::vote::{self, Ballot, VoteRule};

/// Bytes of an answer to an open vote that is taken whole.
const WHOLE_MAX: usize = 200;

/// The answer as JSON in the form of the schema; none if that is no form in which something is chosen, or no choice can be read.
pub fn formed(schema: &Value, said: &str) -> Option<Value> {
    if said.trim().is_empty() || is_json(said) {
        return None;
    }
    let words = serde_json::from_str::<String>(said.trim()).unwrap_or_else(|_| said.to_owned());
    if let Some(rule) = vote::rule_of(schema) {
        return ballot(&rule, &words);
    }
    let options = asked(schema)?;
    let ballot = Ballot::read(&VoteRule { options, ..VoteRule::default() }, "", &words);
    (!ballot.abstains).then(|| json!({"answer": ballot.canonical, "reason": reason(&ballot, &words)}))
}

/// What can be chosen in a form; nothing where none is asked for, or anything may be said.
pub fn options(schema: &Value) -> Vec<String> {
    vote::rule_of(schema).map(|rule| rule.options).or_else(|| asked(schema)).unwrap_or_default()
}

/// The options of a question that a flow asks.
fn asked(schema: &Value) -> Option<Vec<String>> {
    let parts = schema["properties"].as_object().filter(|parts| parts.len() == 2 && parts.contains_key("reason"))?;
    let options = parts.get("answer")?["enum"].as_array()?;
    options.iter().map(|option| option.as_str().map(str::to_owned)).collect()
}

fn ballot(rule: &VoteRule, words: &str) -> Option<Value> {
    let ballot = Ballot::read(rule, "", words);
    let is_whole = rule.options.is_empty() && ballot.choice == words.trim();
    if is_whole && (words.trim().contains('\n') || words.len() > WHOLE_MAX) {
        return None;
    }
    let choice = match (ballot.abstains, rule.options.is_empty()) {
        (true, _) if vote::says_abstention(rule, words) => Value::Null,
        (true, _) => return None,
        (false, true) => ballot.choice.as_str().into(),
        (false, false) => ballot.canonical.as_str().into(),
    };
    Some(json!({"choice": choice, "confidence": null, "reason": reason(&ballot, words)}))
}

/// All that was said, where that is more than the choice.
fn reason(ballot: &Ballot, words: &str) -> String {
    match ballot.reason.is_empty() && ballot.choice != words.trim() && !ballot.choice.is_empty() {
        true => vote::reason_of(words).to_owned(),
        false => ballot.reason.clone(),
    }
}

/// True for an object or a list, in a fence or bare: that is no plain answer.
pub fn is_json(said: &str) -> bool {
    let inside = said.trim().trim_start_matches("```json").trim_matches('`').trim();
    serde_json::from_str::<Map<String, Value>>(inside).is_ok() || serde_json::from_str::<Vec<Value>>(inside).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vote::Canonical;

    fn ask(options: &[&str]) -> Value {
        json!({"type": "object", "required": ["answer", "reason"], "properties": {
            "answer": {"type": "string", "enum": options}, "reason": {"type": "string"}}})
    }

    fn rule(options: &[&str], canonical: Canonical) -> VoteRule {
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        VoteRule { options, canonical, ..VoteRule::default() }
    }

    #[test]
    fn an_option_is_an_answer() {
        let yes_no = ask(&["yes", "no"]);
        for said in ["yes", "Yes.", " \"yes\" ", "**YES**"] {
            assert_eq!(formed(&yes_no, said), Some(json!({"answer": "yes", "reason": ""})), "{said}");
        }
        let with_reason = formed(&yes_no, "No, the backup is older than the fault.").expect("an answer");
        assert_eq!(with_reason, json!({"answer": "no", "reason": "No, the backup is older than the fault."}));
        for said in ["perhaps", "I would not say yes", "", "{\"answer\": \"yes\"}", "none"] {
            assert_eq!(formed(&yes_no, said), None, "{said}");
        }
        assert_eq!(options(&yes_no), ["yes", "no"]);
        let other =
            json!({"type": "object", "properties": {"verdict": {"enum": ["accept"]}, "reason": {"type": "string"}}});
        assert_eq!((formed(&other, "accept"), options(&other).len()), (None, 0));
    }

    #[test]
    fn a_ballot_may_be_plain_text() {
        let rule_back = rule(&["Roll back", "Wait"], Canonical::Text);
        let schema = vote::schema(&rule_back);
        assert_eq!(vote::rule_of(&schema).as_ref(), Some(&rule_back));
        let read = |said: &str| formed(&schema, said).map(|value| (value["choice"].clone(), value["reason"].clone()));
        assert_eq!(read("roll-back"), Some((json!("Roll back"), json!(""))));
        let long = "The deploy broke it.\nAnswer: Roll back";
        assert_eq!(read(long), Some((json!("Roll back"), json!(long))));
        assert_eq!(read("I abstain."), Some((Value::Null, json!("I abstain."))));
        assert_eq!(read("I would not roll back"), None);
        assert_eq!(read("{\"choice\": \"Roll back\"}"), None, "JSON is held to the form");
        let open = vote::schema(&rule(&[], Canonical::Number));
        assert_eq!(formed(&open, "42").expect("a number")["choice"], "42");
        assert_eq!(formed(&open, "so 6 times 7\nAnswer: 42").expect("a number")["choice"], "42");
        assert_eq!(formed(&open, "6 times 7\nis 42"), None, "which of the lines is the answer is not said");
    }

    #[test]
    fn exact_options_are_exact() {
        let schema = vote::schema(&rule(&["a", "A"], Canonical::Exact));
        assert_eq!(formed(&schema, "A").expect("a choice")["choice"], "A");
        assert_eq!(formed(&schema, "A thing"), None);
    }
}
