//! What a server says of the order of its writes, where its log does not show it.

use super::GtidSet;
use serde::{Deserialize, Serialize};

/// A server's answer to what it has applied and what it has logged, for one that does not log what
/// it applies.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Applied {
    /// Other nodes' transactions that had been applied there. Read before `own`.
    pub applied: GtidSet,
    /// Its own transactions that were in its log.
    pub own: GtidSet,
}
