//! A row's state in 64 bits.

use crate::model::RowState;
use serde::{Deserialize, Serialize};

/// What a row was at one moment, packed: absent, a whole image's hash, or the hashes of a partial
/// image's columns and values.
///
/// A whole image keeps 63 bits of its hash. Two states that are equal by chance hide a difference
/// once in 2^63 comparisons; none is ever made up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct PackedState(u64);

const PARTIAL: u64 = 1 << 63;

impl PackedState {
    /// No such row.
    pub(super) const ABSENT: PackedState = PackedState(0);
    /// Nothing is known, not even whether there is a row.
    pub(super) const UNKNOWN: PackedState = PackedState(u64::MAX);

    pub(super) fn pack(state: RowState) -> Self {
        match state {
            RowState::Absent => Self::ABSENT,
            RowState::Image(hash) => PackedState((hash as u64 & !PARTIAL).max(1)),
            RowState::Partial { columns, values } => {
                // The highest bits of both go, so that no partial image is `UNKNOWN`.
                let columns = u64::from(columns >> 2) << 32;
                PackedState(PARTIAL | columns | u64::from(values))
            }
        }
    }

    pub(super) fn is_absent(self) -> bool {
        self == Self::ABSENT
    }

    /// Whether columns are missing, or everything.
    pub(super) fn is_partial(self) -> bool {
        self.0 & PARTIAL != 0
    }

    /// Whether the two are one state; `None` where they do not tell.
    pub(super) fn same(self, other: PackedState) -> Option<bool> {
        if self == Self::UNKNOWN || other == Self::UNKNOWN {
            return None;
        }
        if !self.is_partial() && !other.is_partial() {
            return Some(self == other);
        }
        if self.is_absent() || other.is_absent() {
            return Some(false);
        }
        // The same columns with other values differ; with the same values, the rest may differ.
        let both_partial = self.is_partial() && other.is_partial();
        let same_columns = self.0 >> 32 == other.0 >> 32;
        (both_partial && same_columns && self != other).then_some(false)
    }

    /// Whether both are the same columns with the same values.
    pub(super) fn is_one_partial(self, other: PackedState) -> bool {
        self.is_partial() && self == other && self != Self::UNKNOWN
    }

    /// For digests of whole transactions.
    pub(super) fn bits(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_tell_what_they_know() {
        let pack = PackedState::pack;
        let image = |hash| pack(RowState::Image(hash));
        let partial = |columns, values| pack(RowState::Partial { columns, values });
        assert_eq!(image(5).same(image(5)), Some(true));
        assert_eq!(image(5).same(image(6)), Some(false));
        assert_eq!(image(0).same(PackedState::ABSENT), Some(false), "an image is never absence");
        assert_eq!(partial(4, 1).same(partial(4, 1)), None, "the other columns may differ");
        assert_eq!(partial(4, 1).same(partial(4, 2)), Some(false));
        assert_eq!(partial(4, 1).same(partial(8, 2)), None);
        assert_eq!(partial(4, 1).same(image(1)), None);
        assert_eq!(partial(u32::MAX, u32::MAX).same(PackedState::ABSENT), Some(false));
        assert_eq!(PackedState::UNKNOWN.same(PackedState::ABSENT), None);
        assert_eq!(PackedState::UNKNOWN.same(PackedState::UNKNOWN), None);
    }
}
