//! What can be named at a place of a flow: results of steps that have ended, items, rounds, parameters, the team.

use super::form::Form;
use super::list::List;
use serde_json::Value;

/// What can be named at one place, with what is around it.
pub(crate) struct Scope<'s, 'n> {
    pub(crate) above: Option<&'s Scope<'s, 'n>>,
    pub(crate) list: &'s List<'n>,
    /// Whose turn it is; the number of steps where all have ended.
    pub(crate) at: usize,
    /// What an item of a split is called within it.
    pub(crate) locals: &'s [Local],
    /// The list is a round of a loop.
    pub(crate) is_round: bool,
}

/// A name of an item.
#[derive(Debug, Clone)]
pub(crate) struct Local {
    pub(crate) name: String,
    pub(crate) form: Form,
    /// All that it can be, where that is known.
    pub(crate) values: Option<Vec<Value>>,
    /// For an item that an agent plans: who may be given it, where that is known.
    pub(crate) assignees: Option<Vec<String>>,
}

/// What naming a result comes to.
pub(crate) enum Result {
    /// It is there, and has this form.
    Is(Form),
    /// Its step stands in a list around, but may not have ended by then.
    NotBefore,
    /// The step that asks stands in it.
    Itself,
    /// There is no such step here.
    Unknown,
}

impl<'s, 'n> Scope<'s, 'n> {
    /// The scopes from here outwards.
    fn line(&'s self) -> impl Iterator<Item = &'s Scope<'s, 'n>> {
        std::iter::successors(Some(self), |scope| scope.above)
    }

    /// The result of a step.
    pub(crate) fn result(&self, id: &str) -> Result {
        for scope in self.line() {
            let Some(place) = scope.list.place(id) else { continue };
            return match scope.list.is_before(place, scope.at) {
                true => Result::Is(scope.list.form(place)),
                false if place == scope.at => Result::Itself,
                false => Result::NotBefore,
            };
        }
        Result::Unknown
    }

    /// The result of a step in the round before: none in the first. `None`: there is no loop around.
    pub(crate) fn previous(&self, id: &str) -> Option<Result> {
        let round = self.line().find(|scope| scope.is_round)?;
        Some(match round.list.place(id) {
            // A step that comes later has not been looked at yet.
            Some(place) if round.list.is_before(place, round.at) => Result::Is(round.list.form(place).or_none()),
            Some(_) => Result::Is(Form::Any),
            None => Result::Unknown,
        })
    }

    /// True within a loop.
    pub(crate) fn is_in_loop(&self) -> bool {
        self.line().any(|scope| scope.is_round)
    }

    /// What an item is called.
    pub(crate) fn local(&self, name: &str) -> Option<&Local> {
        self.line().flat_map(|scope| scope.locals.iter().rev()).find(|local| local.name == name)
    }

    /// Names of steps whose results can be had here.
    pub(crate) fn results(&self) -> Vec<&'n str> {
        let named = |scope: &'_ Scope<'_, 'n>| -> Vec<&'n str> {
            let is_before = |id: &&str| scope.list.place(id).is_some_and(|place| scope.list.is_before(place, scope.at));
            scope.list.ids().filter(is_before).collect()
        };
        self.line().flat_map(named).collect()
    }

    /// Names of the steps of the round.
    pub(crate) fn round_steps(&self) -> Vec<&'n str> {
        self.line().find(|scope| scope.is_round).map(|scope| scope.list.ids().collect()).unwrap_or_default()
    }

    /// Names of items.
    pub(crate) fn locals(&self) -> Vec<&str> {
        self.line().flat_map(|scope| scope.locals).map(|local| local.name.as_str()).collect()
    }
}
