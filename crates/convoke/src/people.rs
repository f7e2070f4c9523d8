//! People that definitions name: whether there are such users. A file may be right before its users are there, so this warns, and
//! refuses nothing. Start at [`named`].

use convoke_api::Problem;
use convoke_domain::profile::Profile;
use convoke_domain::team::Team;

use crate::error::Result;
use crate::hub::Hub;

/// A place where a definition names people.
pub struct Named<'a> {
    /// What it is called.
    place: String,
    /// The word after which the names stand in a file.
    key: &'static str,
    names: Vec<&'a str>,
}

/// Somebody who is named, and is no user.
pub struct Stranger {
    place: String,
    key: &'static str,
    name: String,
}

/// Where a team and profiles name people whom somebody may have to wait for.
pub fn named<'a>(teams: &'a [Team], profiles: impl Iterator<Item = &'a Profile>) -> Vec<Named<'a>> {
    let of_team = teams.iter().flat_map(|team| {
        let rule = &team.approvals;
        let place = |key: &str| format!("`approvals.{key}` of team `{}`", team.name);
        let approvers = rule.approvers.iter().map(String::as_str).collect();
        let deputies = rule.deputies.values().flatten().map(String::as_str).collect();
        [
            Named { place: place("approvers"), key: "approvers", names: approvers },
            Named { place: place("deputies"), key: "deputies", names: deputies },
        ]
    });
    let of_profiles = profiles.map(|profile| Named {
        place: format!("`users` of profile `{}`", profile.name),
        key: "users",
        names: profile.users.iter().map(String::as_str).collect(),
    });
    of_team.chain(of_profiles).collect()
}

/// Those of them who are no users.
pub async fn strangers(hub: &Hub, named: &[Named<'_>]) -> Result<Vec<Stranger>> {
    let mut found = Vec::new();
    for at in named.iter().filter(|at| !at.names.is_empty()) {
        let names = at.names.iter().map(|name| (*name).to_owned()).collect();
        let unknown = hub.engine.strangers(names).await?;
        found.extend(unknown.into_iter().map(|name| Stranger { place: at.place.clone(), key: at.key, name }));
    }
    Ok(found)
}

impl Stranger {
    fn why(&self) -> String {
        format!("{} names `{}`, and there is no such user", self.place, self.name)
    }

    fn fix(&self) -> String {
        format!("an owner adds one: `convoke users add {} --role approver`", self.name)
    }

    /// In one line.
    pub fn line(&self) -> String {
        format!("warning: {}; {}", self.why(), self.fix())
    }

    /// With its place in one of these files.
    pub fn warning(&self, texts: &[(String, String)]) -> Option<Problem> {
        let (at, file) = texts.iter().find_map(|file| Some((place_of(&file.1, self.key, &self.name)?, file)))?;
        Some(Problem::at((&file.0, &file.1), at, "unknown_user", &self.why(), &self.fix()))
    }
}

/// The line and column, from 1, at which a name first stands behind a key.
fn place_of(text: &str, key: &str, name: &str) -> Option<(usize, usize)> {
    let is_part = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    let mut is_behind = false;
    for (index, line) in text.lines().enumerate() {
        let after = match line.find(&format!("{key}:")) {
            Some(at) => at + key.len(),
            None => 0,
        };
        is_behind |= after > 0;
        let is_word = |at: &usize| {
            let (before, behind) = (line[..*at].chars().next_back(), line[at + name.len()..].chars().next());
            !before.is_some_and(is_part) && !behind.is_some_and(is_part)
        };
        let mut places = line.match_indices(name).map(|(at, _)| at).filter(|at| *at >= after).filter(is_word);
        if let Some(at) = places.next().filter(|_| is_behind) {
            return Some((index + 1, line[..at].chars().count() + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_behind_its_key() {
        let text = "name: ada\nmembers: [{profile: ada}]\napprovals: {approvers: [adam, ada]}\n";
        assert_eq!(place_of(text, "approvers", "ada"), Some((3, 31)));
        assert_eq!(place_of("approvers:\n  - bob\n  - ada\n", "approvers", "ada"), Some((3, 5)));
        assert_eq!(place_of("ada: approvers\n", "approvers", "ada"), None);
    }
}
