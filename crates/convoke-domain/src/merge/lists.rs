//! Lists, item by item, and results put side by side.

use serde_json::{Map, Value};

use super::{Desk, Group, How, Voice};

impl<'a> Desk<'a> {
    /// Lists: their items in the order in which they were first said.
    pub(super) fn items(&mut self, path: &str, voices: &[Voice<'a>]) -> Value {
        let mut kept = Vec::new();
        for (_, group) in self.things(voices) {
            let place = format!("{path}/{}", kept.len());
            if self.is_in(&group, voices) {
                let value = self.item(&place, &group);
                kept.push(value);
            } else {
                let absent = absent(&group, voices);
                self.disagree(&format!("{path}/-"), &[group, absent], false);
            }
        }
        Value::Array(kept)
    }

    /// Items that are the same thing, each once for an agent.
    fn things(&self, voices: &[Voice<'a>]) -> Vec<(String, Group<'a>)> {
        let mut things: Vec<(String, Group<'a>)> = Vec::new();
        let mut places = std::collections::HashMap::new();
        for voice in voices {
            for value in voice.value.as_array().map_or(std::slice::from_ref(voice.value), Vec::as_slice) {
                let name = self.name(value);
                let at = *places.entry(name.clone()).or_insert(things.len());
                if at == things.len() {
                    things.push((name, Group { voices: Vec::new() }));
                }
                let group = &mut things[at].1;
                if group.voices.last().is_none_or(|last| !std::ptr::eq(last.by, voice.by)) {
                    group.voices.push(Voice { value, ..*voice });
                }
            }
        }
        things
    }

    /// By which an item is known again.
    fn name(&self, item: &Value) -> String {
        match self.rule.by.as_deref().and_then(|by| item.get(by)) {
            Some(name) => self.form(name),
            None => self.form(item),
        }
    }

    fn is_in(&self, group: &Group<'a>, voices: &[Voice<'a>]) -> bool {
        let weight: f64 = voices.iter().map(|voice| voice.by.weight.max(0.0)).sum();
        match self.rule.how {
            How::Intersection => group.voices.len() == self.all,
            How::Majority => 2 * group.voices.len() > self.all,
            // Where nobody weighs anything, heads count.
            How::Weighted if weight <= 0.0 => 2 * group.voices.len() > voices.len(),
            How::Weighted => 2.0 * group.weight() > weight,
            How::Union | How::Combine | How::BestOf => true,
        }
    }

    /// One item. Where it is known by a field, those who name it may differ in the rest: the rest is merged.
    fn item(&mut self, place: &str, group: &Group<'a>) -> Value {
        self.out.said_by.insert(place.to_owned(), group.agents());
        if self.rule.by.is_none() || !group.voices.iter().all(|voice| voice.value.is_object()) {
            return group.value().clone();
        }
        // Within the item only those count who name it.
        let all = std::mem::replace(&mut self.all, group.voices.len());
        let value = self.part(place, &group.voices, 1);
        self.all = all;
        value.unwrap_or_else(|| group.value().clone())
    }

    /// Everything side by side: texts under their agents' names, lists one after another, else by agent.
    pub(super) fn combine(&mut self, voices: &[Voice<'a>]) -> Value {
        let groups = self.groups(voices);
        if groups.len() > 1 && !voices.iter().all(|voice| voice.value.is_array()) {
            self.disagree("", &groups, true);
        }
        if voices.iter().all(|voice| voice.value.is_array()) && !voices.is_empty() {
            let mut items = Vec::new();
            for voice in voices {
                for value in voice.value.as_array().into_iter().flatten() {
                    self.out.said_by.insert(format!("/{}", items.len()), vec![voice.by.agent.clone()]);
                    items.push(value.clone());
                }
            }
            return Value::Array(items);
        }
        let agents: Vec<String> = voices.iter().map(|voice| voice.by.agent.clone()).collect();
        if let [only] = groups.as_slice() {
            self.out.said_by.insert(String::new(), agents);
            return only.value().clone();
        }
        if voices.is_empty() {
            return Value::Null;
        }
        if voices.iter().all(|voice| voice.value.is_string()) {
            self.out.said_by.insert(String::new(), agents);
            let texts = groups.iter().map(|group| super::according_to(&group.agents(), group.value()));
            return Value::String(texts.collect::<Vec<_>>().join("\n\n"));
        }
        let mut by_agent = Map::new();
        for voice in voices {
            self.out.said_by.insert(format!("/{}", voice.by.agent), vec![voice.by.agent.clone()]);
            by_agent.insert(voice.by.agent.clone(), voice.value.clone());
        }
        Value::Object(by_agent)
    }
}

/// Those who do not name an item.
fn absent<'a>(group: &Group<'a>, voices: &[Voice<'a>]) -> Group<'a> {
    let named = |voice: &&Voice<'a>| group.voices.iter().any(|other| std::ptr::eq(other.by, voice.by));
    let silent = voices.iter().filter(|voice| !named(voice)).map(|voice| Voice { value: &Value::Null, ..*voice });
    Group { voices: silent.collect() }
}
