//! How many findings there are, of each kind and in each state.

use crate::model::{FindingKind, Severity, State};

/// Findings of a kind, a severity and a state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Count {
    /// Kind.
    pub kind: FindingKind,
    /// Severity.
    pub severity: Severity,
    /// State.
    pub state: State,
    /// How many.
    pub count: u64,
}

/// The counts of all findings there are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Counted(pub Vec<Count>);

impl Counted {
    /// How many are in a state and have a severity.
    pub fn of(&self, state: State, severity: Severity) -> u64 {
        let of = self.0.iter().filter(|of| of.state == state && of.severity == severity);
        of.map(|of| of.count).sum()
    }

    /// How many of a kind are in a state.
    pub fn of_kind(&self, kind: FindingKind, state: State) -> u64 {
        let of = self.0.iter().filter(|of| of.kind == kind && of.state == state);
        of.map(|of| of.count).sum()
    }

    /// Kinds of which there are open findings: the worst first, then those with the most.
    pub fn open_kinds(&self) -> Vec<(FindingKind, Severity, u64)> {
        let mut kinds: Vec<(FindingKind, Severity, u64)> = Vec::new();
        for of in self.0.iter().filter(|of| of.state == State::Open && of.count > 0) {
            match kinds
                .iter_mut()
                .find(|(kind, severity, _)| (*kind, *severity) == (of.kind, of.severity))
            {
                Some((.., count)) => *count += of.count,
                None => kinds.push((of.kind, of.severity, of.count)),
            }
        }
        kinds.sort_by(|x, y| (y.1, y.2, x.0.as_str()).cmp(&(x.1, x.2, y.0.as_str())));
        kinds
    }
}
