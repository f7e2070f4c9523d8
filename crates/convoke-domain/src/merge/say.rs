//! Attribution in words.

use serde_json::Value;

/// `According to a, b and c: …`; a text of several lines begins on a line of its own.
pub fn according_to(agents: &[String], value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), |text| text.trim().to_owned());
    let gap = if text.contains('\n') { "\n\n" } else { " " };
    format!("According to {}:{gap}{text}", listed(agents))
}

fn listed(names: &[String]) -> String {
    match names {
        [] => "nobody".to_owned(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}
