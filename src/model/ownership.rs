//! Ownership rules as data: who may write which table, or which rows of it.

use super::{NodeIndex, Operation};

/// One `[[ownership]]` rule. The first rule whose tables match decides.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnershipRule {
    /// Globs over `schema.table`; checked to be globs where they were read.
    pub tables: Vec<String>,
    /// Who owns.
    pub body: RuleBody,
    /// The operations that are checked; empty means all.
    pub operations: Vec<Operation>,
}

/// What a rule says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RuleBody {
    /// These nodes may write the table, others not.
    Owners(Vec<NodeIndex>),
    /// The value of a column says whose a row is.
    Rows(RowRule),
    /// `class = "local"`: must not appear as a copy anywhere.
    Local,
    /// `class = "shared"`: everybody may write; only conflicts count.
    Shared,
}

/// Row ownership by one column.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RowRule {
    /// The column whose value decides.
    pub column: String,
    /// How it decides.
    pub by: RowOwnership,
}

/// How a value names its owner.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RowOwnership {
    /// By the remainder of an integer; every remainder has an owner. For negative values the
    /// remainder is the mathematical one, from 0 to `modulo` - 1.
    Modulo {
        /// The divisor, at least 2.
        modulo: u64,
        /// The owner of each remainder; as many as `modulo`.
        owners: Vec<NodeIndex>,
    },
    /// By listed values.
    Values(Vec<(NodeIndex, ValuePattern)>),
    /// By half-open integer ranges that do not overlap.
    Ranges(Vec<(NodeIndex, Endpoint, Endpoint)>),
}

/// One end of a range; `None` is unbounded. The start is inside, the end is not.
pub type Endpoint = Option<i128>;

/// One value of a rule by values.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ValuePattern {
    /// This integer.
    Int(i128),
    /// This text, to the letter.
    Text(String),
    /// Every text that begins so (`"eu-*"`).
    Prefix(String),
}

/// What a write to a table that no rule lists means.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Unlisted {
    /// Everybody may write; only conflicts are looked for.
    #[default]
    Shared,
    /// A `table_ownership` finding of severity warning.
    Warn,
    /// A `table_ownership` finding of severity critical.
    Deny,
}
