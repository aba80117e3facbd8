//! Ownership: whose table, whose row.

use crate::model::{
    Endpoint, NodeIndex, Operation, OwnerRef, OwnershipRule, RowOwnership, RowRule, RuleBody,
    RuleValue, Severity, Unlisted, ValuePattern,
};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// The rules, ready to be asked by table name.
#[derive(Clone, Default)]
pub struct Ownership {
    rules: Vec<(GlobSet, OwnershipRule)>,
    unlisted: Unlisted,
}

/// What the rules say of one write.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// Allowed, or nobody's business.
    Fine,
    /// The table is another node's.
    Table(OwnerRef, Severity),
    /// The row is another node's.
    Row(OwnerRef),
    /// The images leave the column out.
    NotLogged,
    /// The rule names no owner for this value.
    NoOwner,
    /// The log does not name the rule's column, or its type cannot be judged.
    NoColumn,
}

/// Whose a value is.
#[derive(PartialEq, Eq)]
enum Owner {
    Node(NodeIndex),
    Nobody,
    Unsupported,
}

impl Ownership {
    /// Compiles the rules.
    ///
    /// # Errors
    ///
    /// A pattern that is no glob; the configuration refuses those first.
    pub fn new(rules: Vec<OwnershipRule>, unlisted: Unlisted) -> Result<Self, globset::Error> {
        let rules = rules.into_iter().map(|rule| Ok((glob_set(&rule.tables)?, rule)));
        Ok(Ownership { rules: rules.collect::<Result<_, _>>()?, unlisted })
    }

    /// The place of the first rule whose tables match `schema.table`.
    pub fn rule_of(&self, table: &str) -> Option<usize> {
        self.rules.iter().position(|(tables, _)| tables.is_match(table))
    }

    /// The column that must be decoded to judge a row of `schema.table`, if any.
    pub fn column_of(&self, table: &str) -> Option<&str> {
        match &self.rules[self.rule_of(table)?].1.body {
            RuleBody::Rows(rule) => Some(&rule.column),
            _ => None,
        }
    }

    /// Whose a row of `schema.table` is, by the first rule that matches: `value` is that of the
    /// column that [`Ownership::column_of`] names. `None` where no rule says.
    pub fn owner(&self, table: &str, value: Option<&RuleValue>) -> Option<OwnerRef> {
        let index = self.rule_of(table)?;
        let rule = &self.rules[index].1;
        let nodes = match &rule.body {
            RuleBody::Owners(owners) => owners.clone(),
            RuleBody::Rows(by) => match owner_of(&by.by, value?) {
                Owner::Node(node) => vec![node],
                Owner::Nobody | Owner::Unsupported => return None,
            },
            RuleBody::Local | RuleBody::Shared => return None,
        };
        Some(OwnerRef { nodes, rule: Some((index + 1, rule.tables.clone())), moves_row: false })
    }

    /// True when the rule says that writes to the table must stay on their node.
    pub(super) fn is_local(&self, rule: Option<usize>) -> bool {
        rule.is_some_and(|rule| self.rules[rule].1.body == RuleBody::Local)
    }

    /// Judges one row written by `origin`, by the rule that [`Ownership::rule_of`] found.
    pub(super) fn judge_row(
        &self,
        rule: Option<usize>,
        origin: NodeIndex,
        operation: Operation,
        values: Option<&[RuleValue; 2]>,
    ) -> Verdict {
        let Some(index) = rule else { return self.judge_unlisted() };
        let rule = &self.rules[index].1;
        if !rule.operations.is_empty() && !rule.operations.contains(&operation) {
            return Verdict::Fine;
        }
        match (&rule.body, values) {
            (RuleBody::Rows(by), Some(values)) => {
                judge_values(by, origin, values, || (index + 1, rule.tables.clone()))
            }
            (RuleBody::Rows(_), None) => Verdict::NoColumn,
            _ => self.judge_table(Some(index), origin),
        }
    }

    /// Judges a write to a table whose rows are not known.
    pub(super) fn judge_table(&self, rule: Option<usize>, origin: NodeIndex) -> Verdict {
        let Some(index) = rule else { return self.judge_unlisted() };
        let rule = &self.rules[index].1;
        match &rule.body {
            RuleBody::Owners(owners) if !owners.contains(&origin) => {
                let rule = Some((index + 1, rule.tables.clone()));
                let owner = OwnerRef { nodes: owners.clone(), rule, moves_row: false };
                Verdict::Table(owner, Severity::Critical)
            }
            _ => Verdict::Fine,
        }
    }

    /// What says that a local table was replicated.
    pub(super) fn local_rule(&self, index: usize) -> OwnerRef {
        let rule = Some((index + 1, self.rules[index].1.tables.clone()));
        OwnerRef { nodes: Vec::new(), rule, moves_row: false }
    }

    fn judge_unlisted(&self) -> Verdict {
        let severity = match self.unlisted {
            Unlisted::Shared => return Verdict::Fine,
            Unlisted::Warn => Severity::Warning,
            Unlisted::Deny => Severity::Critical,
        };
        Verdict::Table(OwnerRef { nodes: Vec::new(), rule: None, moves_row: false }, severity)
    }
}

fn glob_set(patterns: &[String]) -> Result<GlobSet, globset::Error> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(GlobBuilder::new(pattern).literal_separator(false).build()?);
    }
    set.build()
}

fn judge_values(
    by: &RowRule,
    origin: NodeIndex,
    values: &[RuleValue; 2],
    named: impl Fn() -> (usize, Vec<String>),
) -> Verdict {
    let mut owners = [None, None];
    for (owner, value) in owners.iter_mut().zip(values) {
        *owner = match value {
            RuleValue::NoRow | RuleValue::NotLogged => None,
            value => Some(owner_of(&by.by, value)),
        };
    }
    let nodes = owners.each_ref().map(|owner| match owner {
        Some(Owner::Node(node)) => Some(*node),
        _ => None,
    });
    let mut foreign: Vec<NodeIndex> = nodes.iter().flatten().copied().collect();
    foreign.retain(|node| *node != origin);
    foreign.sort();
    foreign.dedup();
    if !foreign.is_empty() {
        let moves_row = matches!(nodes, [Some(before), Some(after)] if before != after);
        return Verdict::Row(OwnerRef { nodes: foreign, rule: Some(named()), moves_row });
    }
    if owners.contains(&Some(Owner::Unsupported)) {
        Verdict::NoColumn
    } else if owners.contains(&Some(Owner::Nobody)) {
        Verdict::NoOwner
    } else if owners.iter().all(Option::is_none) {
        Verdict::NotLogged
    } else {
        Verdict::Fine
    }
}

fn owner_of(by: &RowOwnership, value: &RuleValue) -> Owner {
    let found = match (by, value) {
        (RowOwnership::Modulo { modulo, owners }, RuleValue::Int(value)) => {
            owners.get(value.rem_euclid(i128::from(*modulo)) as usize).copied()
        }
        (RowOwnership::Ranges(ranges), RuleValue::Int(value)) => {
            ranges.iter().find(|(_, from, to)| in_range(*from, *to, *value)).map(|r| r.0)
        }
        (RowOwnership::Values(values), RuleValue::Int(_) | RuleValue::Text(_)) => {
            values.iter().find(|(_, pattern)| matches_pattern(pattern, value)).map(|v| v.0)
        }
        (_, RuleValue::Null) => None,
        _ => return Owner::Unsupported,
    };
    found.map_or(Owner::Nobody, Owner::Node)
}

fn in_range(from: Endpoint, to: Endpoint, value: i128) -> bool {
    from.is_none_or(|from| from <= value) && to.is_none_or(|to| value < to)
}

fn matches_pattern(pattern: &ValuePattern, value: &RuleValue) -> bool {
    match (pattern, value) {
        (ValuePattern::Int(want), RuleValue::Int(value)) => want == value,
        (ValuePattern::Text(want), RuleValue::Text(value)) => want == value,
        (ValuePattern::Prefix(want), RuleValue::Text(value)) => value.starts_with(want.as_str()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeIndex = NodeIndex(0);
    const B: NodeIndex = NodeIndex(1);

    fn rows(by: RowOwnership) -> Ownership {
        let body = RuleBody::Rows(RowRule { column: "id".into(), by });
        let rule = OwnershipRule { tables: vec!["s.*".into()], body, operations: vec![] };
        Ownership::new(vec![rule], Unlisted::Shared).unwrap()
    }

    fn foreign(verdict: Verdict) -> Option<(Vec<NodeIndex>, bool)> {
        match verdict {
            Verdict::Row(owner) => Some((owner.nodes, owner.moves_row)),
            _ => None,
        }
    }

    #[test]
    fn parity_judges_both_images() {
        use {Operation::*, RuleValue::*};
        let rules = rows(RowOwnership::Modulo { modulo: 2, owners: vec![B, A] });
        let judge = |operation, before, after| {
            rules.judge_row(rules.rule_of("s.t"), A, operation, Some(&[before, after]))
        };
        assert_eq!(judge(Insert, NoRow, Int(7)), Verdict::Fine);
        assert_eq!(judge(Insert, NoRow, Int(-7)), Verdict::Fine, "-7 mod 2 is 1");
        assert_eq!(foreign(judge(Delete, Int(8), NoRow)), Some((vec![B], false)));
        assert_eq!(foreign(judge(Update, Int(7), Int(8))), Some((vec![B], true)));
        assert_eq!(foreign(judge(Update, Int(8), Int(10))), Some((vec![B], false)));
        assert_eq!(judge(Update, Int(7), NotLogged), Verdict::Fine);
        assert_eq!(judge(Update, NotLogged, NotLogged), Verdict::NotLogged);
        assert_eq!(judge(Insert, NoRow, Null), Verdict::NoOwner);
        assert_eq!(judge(Insert, NoRow, Text("7".into())), Verdict::NoColumn);
        assert_eq!(rules.judge_row(Some(0), A, Insert, None), Verdict::NoColumn);
    }

    #[test]
    fn ranges_are_half_open() {
        let ranges = vec![(A, None, Some(10)), (B, Some(10), None)];
        let rules = rows(RowOwnership::Ranges(ranges));
        let owner = |value| {
            foreign(rules.judge_row(
                Some(0),
                A,
                Operation::Insert,
                Some(&[RuleValue::NoRow, RuleValue::Int(value)]),
            ))
        };
        assert_eq!(owner(9), None);
        assert_eq!(owner(10), Some((vec![B], false)));
    }

    #[test]
    fn the_first_rule_decides_and_unlisted_tables_follow_the_default() {
        let table = |tables: &str, body| OwnershipRule {
            tables: vec![tables.into()],
            body,
            operations: vec![],
        };
        let rules = vec![
            table("crm.a_local", RuleBody::Local),
            table("crm.a_*", RuleBody::Owners(vec![A])),
        ];
        let rules = Ownership::new(rules, Unlisted::Warn).unwrap();
        let judge = |name| rules.judge_row(rules.rule_of(name), B, Operation::Insert, None);
        assert_eq!(judge("crm.a_local"), Verdict::Fine);
        assert!(matches!(judge("crm.a_x"), Verdict::Table(_, Severity::Critical)));
        assert!(matches!(judge("crm.other"), Verdict::Table(_, Severity::Warning)));
    }
}
