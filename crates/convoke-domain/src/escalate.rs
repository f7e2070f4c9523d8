//! Escalation: who is asked next when an agent is stuck. A member asks its coordinator, a coordinator the supervisor, a
//! supervisor a person.

/// Who is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rung {
    /// The agent that leads the run.
    Coordinator(String),
    /// The workspace's supervisor, or the one that the team names.
    Supervisor(String),
    /// A person.
    Human,
}

impl Rung {
    /// The name in events: `coordinator`, `supervisor`, `human`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Coordinator(_) => "coordinator",
            Self::Supervisor(_) => "supervisor",
            Self::Human => "human",
        }
    }

    /// The agent, if it is one.
    pub fn agent(&self) -> Option<&str> {
        match self {
            Self::Coordinator(name) | Self::Supervisor(name) => Some(name),
            Self::Human => None,
        }
    }
}

/// Who there is to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ladder<'a> {
    /// The agent that leads the run.
    pub coordinator: &'a str,
    /// An agent that may be chosen as supervisor.
    pub supervisor: Option<&'a str>,
    /// The agent that escalates may ask the supervisor; a person is asked instead if not.
    pub may_ask_supervisor: bool,
}

/// Who is asked next by `from`, when `asked` of those who come before a person were asked already, by name.
pub fn next(from: &str, ladder: Ladder<'_>, asked: &[String]) -> Rung {
    let open = |name: &&str| *name != from && !asked.iter().any(|done| done == name);
    // A supervisor does not go back down to the coordinator.
    let is_supervisor = ladder.supervisor == Some(from);
    if let Some(name) = Some(ladder.coordinator).filter(open).filter(|_| !is_supervisor) {
        return Rung::Coordinator(name.to_owned());
    }
    match ladder.supervisor.filter(open).filter(|_| ladder.may_ask_supervisor) {
        Some(name) => Rung::Supervisor(name.to_owned()),
        None => Rung::Human,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ladder(supervisor: Option<&str>, may_ask_supervisor: bool) -> Ladder<'_> {
        Ladder { coordinator: "lead", supervisor, may_ask_supervisor }
    }

    #[test]
    fn it_goes_up_one_rung_at_a_time() {
        let boss = ladder(Some("boss"), true);
        assert_eq!(next("logs", boss, &[]), Rung::Coordinator("lead".into()));
        assert_eq!(next("logs", boss, &["lead".into()]), Rung::Supervisor("boss".into()));
        assert_eq!(next("logs", boss, &["lead".into(), "boss".into()]), Rung::Human);
        assert_eq!(next("lead", boss, &[]), Rung::Supervisor("boss".into()));
        assert_eq!(next("boss", boss, &[]), Rung::Human);
    }

    #[test]
    fn without_a_supervisor_a_person_is_asked() {
        assert_eq!(next("lead", ladder(None, true), &[]), Rung::Human);
        assert_eq!(next("lead", ladder(Some("boss"), false), &[]), Rung::Human);
        assert_eq!(next("lead", ladder(Some("lead"), true), &[]), Rung::Human);
    }
}
