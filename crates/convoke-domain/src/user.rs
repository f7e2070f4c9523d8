//! Users: what each role of a workspace may do, and how a list names people: `ada`, or `role:approver` for all of a role.
//! Rule: an agent is no user, whatever it calls itself.

use serde::{Deserialize, Serialize};

/// The part a person has in a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything, and who else may.
    Owner,
    /// Starts, holds and answers runs.
    Operator,
    /// Answers what agents ask leave for.
    Approver,
    /// Looks on.
    Viewer,
}

impl Role {
    /// All roles, the mightiest first.
    pub const ALL: [Self; 4] = [Self::Owner, Self::Operator, Self::Approver, Self::Viewer];

    /// The name in JSON and the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Viewer => "viewer",
        }
    }

    /// Reads the name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }

    /// Whether somebody of this role may answer for others: approve, reject, do a person's task.
    pub const fn may_answer(self) -> bool {
        match self {
            Self::Owner | Self::Operator | Self::Approver => true,
            Self::Viewer => false,
        }
    }

    /// Whether somebody of this role may start, hold, end and change what runs and what they share.
    pub const fn may_govern(self) -> bool {
        match self {
            Self::Owner | Self::Operator => true,
            Self::Approver | Self::Viewer => false,
        }
    }

    /// Whether somebody of this role may say how well a run or a contribution was.
    pub const fn may_rate(self) -> bool {
        match self {
            Self::Owner | Self::Operator | Self::Approver => true,
            Self::Viewer => false,
        }
    }

    /// Whether somebody of this role may add users and change their roles.
    pub const fn may_appoint(self) -> bool {
        match self {
            Self::Owner => true,
            Self::Operator | Self::Approver | Self::Viewer => false,
        }
    }
}

/// What a list writes before a role.
pub const ROLE: &str = "role:";

/// True if the entry of a list means this user: by name, or by role as `role:ROLE`.
pub fn means(entry: &str, name: &str, role: Role) -> bool {
    match entry.strip_prefix(ROLE) {
        Some(named) => named == role.as_str(),
        None => entry == name,
    }
}

/// The name in `user:NAME`; nothing for an agent or the system.
pub fn name_of(who: &str) -> Option<&str> {
    who.strip_prefix("user:").filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_mean_names_or_roles() {
        assert!(means("ada", "ada", Role::Viewer) && means("role:viewer", "ada", Role::Viewer));
        assert!(!means("role:owner", "ada", Role::Viewer) && !means("owner", "ada", Role::Owner));
        assert_eq!(name_of("user:ada"), Some("ada"));
        assert!([name_of("agent:ada"), name_of("system"), name_of("user:")].iter().all(Option::is_none));
    }

    #[test]
    fn who_may_more_may_all_that_others_may() {
        let rights = |role: Role| [role.may_answer(), role.may_govern(), role.may_appoint()];
        assert_eq!(Role::ALL.map(rights), [[true; 3], [true, true, false], [true, false, false], [false; 3]]);
    }

    #[test]
    fn roles_read_back() {
        assert!(Role::ALL.into_iter().all(|role| Role::parse(role.as_str()) == Some(role)));
        assert_eq!(Role::parse("root"), None);
    }
}
