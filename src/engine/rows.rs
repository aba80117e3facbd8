//! What each row of a transaction is judged for by itself: ownership, handovers, blind spots.

use super::{
    Report, Seen, Verifier, blank,
    handover::RecentCopy,
    id::IdHasher,
    open::{KeyChange, OpenId},
    ownership::Verdict,
    rules::TableRule,
    whole_rows::whole_row_changes,
};
use crate::model::{
    BlindSpotReason, Certainty, CommitTime, Finding, FindingKind, Key, NodeIndex, Operation,
    OwnerRef, RowChange, RowKey, RowState, Severity, StatementKind, Transaction, TransactionRef,
};
use hashbrown::HashSet;
use std::collections::BTreeMap;

/// Ownership findings of one transaction, before they are handed out.
struct Violations {
    findings: Vec<Finding>,
    /// Rows told already, by kind and key, so that a row written twice is one finding.
    told: HashSet<(FindingKind, u128)>,
    /// Per kind and table: findings told, the place of the last, and rows past the limit.
    groups: BTreeMap<(FindingKind, String), (u64, usize, u64)>,
}

impl Verifier {
    /// Judges ownership of every row of an original; `open` is `None` for an anonymous one.
    pub(super) fn judge_ownership(
        &mut self,
        node: NodeIndex,
        tx: &Transaction,
        open: Option<OpenId>,
        out: &mut Vec<Report>,
    ) {
        let mut violations =
            Violations { findings: Vec::new(), told: HashSet::new(), groups: BTreeMap::new() };
        let of_stream = &mut self.rules[node.at()];
        let ownership = of_stream.ownership();
        let rules: Vec<TableRule> = tx.tables.iter().map(|table| of_stream.of(table)).collect();
        let mut counts = vec![super::TableCount::default(); rules.len()];
        for row in &tx.rows {
            counts[row.table as usize].add(row.operation);
            let TableRule { name, rule } = &rules[row.table as usize];
            let values = row
                .rule_values
                .and_then(|at| tx.rule_values.get(at as usize..)?.first_chunk::<2>());
            match ownership.judge_row(*rule, node, row.operation, values) {
                Verdict::Fine => {}
                Verdict::Table(owner, severity) => {
                    let about = (FindingKind::TableOwnership, severity, owner);
                    self.violation(node, tx, Some(row), name, about, open, &mut violations);
                }
                Verdict::Row(owner) => {
                    let about = (FindingKind::RowOwnership, Severity::Critical, owner);
                    self.violation(node, tx, Some(row), name, about, open, &mut violations);
                }
                undecided => self.undecided(node, name, &undecided, tx.committed_at, out),
            }
        }
        for (TableRule { name, .. }, count) in rules.iter().zip(counts) {
            let total = self.coverage.tables.entry((name.to_string(), node)).or_default();
            total.inserts += count.inserts;
            total.updates += count.updates;
            total.deletes += count.deletes;
        }
        self.judge_statements(node, tx, open, &mut violations);
        self.hand_out(violations, open, out);
    }

    /// A statement logged as text writes a table that another node owns.
    fn judge_statements(
        &self,
        node: NodeIndex,
        tx: &Transaction,
        open: Option<OpenId>,
        violations: &mut Violations,
    ) {
        let ownership = self.rules[node.at()].ownership();
        for statement in &tx.statements {
            let (StatementKind::Rows(tables) | StatementKind::ShownRows(tables)) = &statement.kind
            else {
                continue;
            };
            for (schema, table) in tables {
                let name = format!("{schema}.{table}");
                let has_rows = || tx.tables.iter().any(|of| of.full_name() == name);
                if tx.has_rows_of_copy() && (tables.len() > 1 || has_rows()) {
                    // The rows have told it, or that it was only read.
                    continue;
                }
                let verdict = ownership.judge_table(ownership.rule_of(&name), node);
                if let Verdict::Table(owner, severity) = verdict {
                    let about = (FindingKind::TableOwnership, severity, owner);
                    self.violation(node, tx, None, &name, about, open, violations);
                }
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the facts of one violation")]
    fn violation(
        &self,
        node: NodeIndex,
        tx: &Transaction,
        row: Option<&RowChange>,
        table: &str,
        (kind, severity, owner): (FindingKind, Severity, OwnerRef),
        open: Option<OpenId>,
        violations: &mut Violations,
    ) {
        let key = row.and_then(judged_key);
        let group = violations.groups.entry((kind, table.to_owned())).or_default();
        if let Some(key) = key
            && !violations.told.insert((kind, key.hash))
        {
            return;
        }
        // Without a key one finding stands for all rows of the table.
        let limit = if key.is_some() { self.settings.group_limit } else { 1 };
        if group.0 >= limit {
            group.2 += 1;
            return;
        }
        (group.0, group.1) = (group.0 + 1, violations.findings.len());
        let operation = row.map(|row| row.operation);
        let transaction = match open {
            Some(id) => self.open_reference(id, operation),
            None => self.reference(node, tx, Some(node), operation),
        };
        let group_id = IdHasher::new(kind).text(table).gtid(tx.gtid).finish();
        let id = IdHasher::new(kind)
            .text(table)
            .number(key.map_or(0, |key| key.hash))
            .gtid(tx.gtid)
            .number(if tx.gtid.is_none() { u128::from(tx.coordinates.start) } else { 0 })
            .finish();
        let row_key = row.zip(key).map(|(row, key)| row_key(tx, row, &key));
        let is_named = kind == FindingKind::TableOwnership && is_named(tx, table);
        let certainty = match row {
            _ if is_named => Certainty::Exact,
            // A statement of several tables may only read this one.
            None => Certainty::Possible,
            Some(_) => certainty_of(tx),
        };
        violations.findings.push(Finding {
            certainty,
            settled: open.is_none(),
            table: Some(table.to_owned()),
            key: row_key,
            owner: Some(owner),
            transactions: vec![transaction],
            group: group_id,
            ..blank(id, kind, severity, tx.committed_at)
        });
    }

    /// Hands findings about one transaction out, and keeps them until it closes.
    fn hand_out(
        &mut self,
        mut violations: Violations,
        open: Option<OpenId>,
        out: &mut Vec<Report>,
    ) {
        for (_, last, more) in violations.groups.into_values() {
            if more > 0 {
                violations.findings[last].more = more;
            }
        }
        for finding in violations.findings {
            out.push(Report { finding: finding.clone(), news: true, first: true });
            if let Some(id) = open {
                let serial = self.pending.add(finding, 1, None);
                self.open.add_finding(id, serial);
            }
        }
    }

    fn undecided(
        &mut self,
        node: NodeIndex,
        table: &str,
        verdict: &Verdict,
        when: CommitTime,
        out: &mut Vec<Report>,
    ) {
        let (reason, detail) = match verdict {
            Verdict::NotLogged => (
                BlindSpotReason::PartialImage,
                "the row images leave out the column that row ownership is judged by \
                 (binlog_row_image is not FULL)",
            ),
            Verdict::NoOwner => {
                (BlindSpotReason::NoOwner, "the row ownership rule names no owner for a value")
            }
            _ => (
                BlindSpotReason::NoColumn,
                "the log does not name the column of the row ownership rule, or its type cannot \
                 be judged (set binlog_row_metadata=FULL)",
            ),
        };
        self.blind(node, reason, Some(table.to_owned()), detail.to_owned(), 1, when, out);
    }

    /// Adds what an original did to each key, and counts what has no key.
    pub(super) fn add_touches(
        &mut self,
        seen: Seen,
        id: OpenId,
        tx: &Transaction,
        out: &mut Vec<Report>,
    ) {
        let mut keyless = vec![0_u64; tx.tables.len()];
        for row in tx.rows.iter().filter(|row| row.keys.is_none()) {
            keyless[row.table as usize] += 1;
        }
        // What its own node found is not known: as of a row that moves, the states tell nothing.
        let of_copy = tx.has_rows_of_copy();
        for change in key_changes(tx) {
            let change = KeyChange { moves: change.moves || of_copy, ..change };
            self.open.touch(id, &change, tx.key_bytes_of(&change.key));
        }
        for change in unique_changes(tx) {
            self.open.touch(id, &change, tx.key_bytes_of(&change.key));
        }
        let without_key: u64 = keyless.iter().sum();
        if without_key > 0 {
            for (_, change) in whole_row_changes(tx) {
                self.open.touch(id, &change, &[]);
            }
        }
        self.count_partial(seen.node, tx, out);
        let coverage = &mut self.coverage.streams[seen.node.at()];
        coverage.rows_seen += tx.rows.len() as u64;
        coverage.rows_judged += tx.rows.len() as u64 - without_key;
        for (table, rows) in tx.tables.iter().zip(keyless).filter(|(_, rows)| *rows > 0) {
            let detail = "the log names no primary key (a table without one, or \
                          binlog_row_metadata is not FULL): conflicts are seen where both sides \
                          updated or deleted the same whole row, and rows are not compared";
            let (name, when) = (Some(table.full_name()), tx.committed_at);
            let reason = BlindSpotReason::NoKey;
            self.blind(seen.node, reason, name, detail.to_owned(), rows, when, out);
        }
    }

    /// Rows of which not all columns are in the log: conflicts on them are seen all the same.
    fn count_partial(&mut self, node: NodeIndex, tx: &Transaction, out: &mut Vec<Report>) {
        let is_partial = |row: &RowChange| {
            [row.before, row.after].iter().any(|state| matches!(state, RowState::Partial { .. }))
        };
        if !tx.rows.iter().any(is_partial) {
            return;
        }
        for (at, table) in tx.tables.iter().enumerate() {
            let of_table = tx.rows.iter().filter(|row| row.table as usize == at);
            let rows = of_table.filter(|row| is_partial(row)).count() as u64;
            if rows > 0 {
                let detail = "row images leave columns out: whether rows differ between the \
                              masters is known only for the columns that they show";
                let (name, when) = (Some(table.full_name()), tx.committed_at);
                let reason = BlindSpotReason::PartialImage;
                self.blind_lightly(node, reason, name, detail, rows, when, out);
            }
        }
    }

    /// Reports writes to rows that a copy in this stream wrote a short while before.
    pub(super) fn judge_handovers(&mut self, seen: Seen, tx: &Transaction, out: &mut Vec<Report>) {
        let recent = &mut self.streams[seen.node.at()].recent;
        if !recent.is_on() {
            return;
        }
        let mut met = Vec::new();
        for row in &tx.rows {
            for key in keys_of(row) {
                if let Some((copy, operation, passed)) = recent.take(key.hash, tx.committed_at) {
                    met.push((row, key, copy, operation, passed));
                }
            }
        }
        let mut groups: BTreeMap<_, (u64, usize, u64)> = BTreeMap::new();
        for (row, key, copy, operation, passed) in met {
            let Some(kind) = self.handover_kind(passed) else { continue };
            let group = groups.entry((kind, copy.gtid, row.table)).or_default();
            if group.0 >= self.settings.group_limit {
                group.2 += 1;
                continue;
            }
            (group.0, group.1) = (group.0 + 1, out.len());
            let finding = self.handover(seen, tx, row, &key, (kind, copy, operation));
            out.push(Report { finding, news: true, first: true });
        }
        for (_, last, more) in groups.into_values() {
            out[last].finding.more = more;
        }
    }

    fn handover_kind(&self, passed_micros: i64) -> Option<FindingKind> {
        if passed_micros < self.settings.near_conflict_window_micros {
            return Some(FindingKind::NearConflict);
        }
        let within = self.settings.shared_key_window_micros > 0
            && passed_micros <= self.settings.shared_key_window_micros;
        within.then_some(FindingKind::SharedKey)
    }

    fn handover(
        &self,
        seen: Seen,
        tx: &Transaction,
        row: &RowChange,
        key: &Key,
        (kind, copy, operation): (FindingKind, RecentCopy, Operation),
    ) -> Finding {
        let mut coordinates = vec![None; self.nodes.len()];
        coordinates[seen.node.at()] = Some(copy.coordinates);
        let first = TransactionRef {
            origin: Some(copy.origin),
            server_id: copy.server_id,
            gtid: Some(copy.gtid),
            operation: Some(operation),
            committed_at: copy.committed_at,
            coordinates,
        };
        let second = self.reference(seen.node, tx, Some(seen.node), Some(row.operation));
        let table = tx.tables[row.table as usize].full_name();
        let about = |id: IdHasher| id.gtid(Some(copy.gtid)).gtid(tx.gtid).finish();
        let id = about(IdHasher::new(kind).text(&table).number(key.hash));
        Finding {
            group: about(IdHasher::new(kind).text(&table)),
            table: Some(table),
            key: Some(row_key(tx, row, key)),
            certainty: certainty_of(tx),
            last_seen: tx.committed_at.max(copy.committed_at),
            // In the order in which they happened, which is what a handover is about.
            transactions: vec![first, second],
            ..blank(id, kind, Severity::Info, tx.committed_at)
        }
    }

    /// Remembers the keys that a copy touched, for handovers.
    pub(super) fn remember_copy(&mut self, seen: Seen, tx: &Transaction, out: &mut Vec<Report>) {
        let recent = &mut self.streams[seen.node.at()].recent;
        if !recent.is_on() || tx.rows.is_empty() {
            return;
        }
        let copy = RecentCopy {
            origin: seen.origin,
            server_id: tx.server_id,
            gtid: seen.gtid,
            committed_at: tx.committed_at,
            coordinates: tx.coordinates.clone(),
        };
        let keys = tx
            .rows
            .iter()
            .flat_map(|row| keys_of(row).into_iter().map(|key| (key.hash, row.operation)));
        recent.remember(copy, keys);
        let forgotten = recent.take_forgotten();
        if forgotten > 0 {
            let detail = "handovers: more keys than are remembered were written within \
                          shared_key_window; conflicts are not affected";
            let reason = BlindSpotReason::BoundReached;
            self.blind_lightly(seen.node, reason, None, detail, forgotten, tx.committed_at, out);
        }
    }

    /// Reports copies of writes to tables that must stay on their node.
    pub(super) fn judge_local(&mut self, seen: Seen, tx: &Transaction, out: &mut Vec<Report>) {
        for (at, table) in tx.tables.iter().enumerate() {
            let of_stream = &mut self.rules[seen.node.at()];
            let ownership = of_stream.ownership();
            let TableRule { name, rule } = of_stream.of(table);
            let rows = tx.rows.iter().filter(|row| row.table as usize == at).count() as u64;
            let Some(rule) = rule.filter(|rule| ownership.is_local(Some(*rule))) else {
                continue;
            };
            if rows == 0 {
                continue;
            }
            let kind = FindingKind::TableOwnership;
            let id = IdHasher::new(kind)
                .text("local")
                .text(&name)
                .gtid(tx.gtid)
                .number(u128::from(seen.node.0))
                .finish();
            let finding = Finding {
                table: Some(name.to_string()),
                owner: Some(ownership.local_rule(rule)),
                node: Some(seen.node),
                detail: Some("a table of class \"local\" was replicated to this node".to_owned()),
                transactions: vec![self.reference(seen.node, tx, Some(seen.origin), None)],
                more: rows - 1,
                ..blank(id, kind, Severity::Critical, tx.committed_at)
            };
            out.push(Report { finding, news: true, first: true });
        }
    }

    /// Statements that write rows as text are blind spots, table by table.
    pub(super) fn count_statements(
        &mut self,
        node: NodeIndex,
        tx: &Transaction,
        out: &mut Vec<Report>,
    ) {
        for statement in &tx.statements {
            let (tables, detail) = match &statement.kind {
                StatementKind::Rows(tables) => (
                    tables,
                    "rows written by statements in the log as text (binlog_format is not ROW): no \
                     conflict on them is seen",
                ),
                StatementKind::ShownRows(tables) => (
                    tables,
                    "rows written by statements in the log as text (binlog_format is not ROW), \
                     judged by those that a copy shows: what is found of them is possible, and \
                     rows that were written on their own side alone are not seen",
                ),
                StatementKind::Definition(_) | StatementKind::Other => continue,
            };
            let mut names: Vec<Option<String>> =
                tables.iter().map(|(schema, table)| Some(format!("{schema}.{table}"))).collect();
            if names.is_empty() {
                names.push(None);
            }
            for name in names {
                let reason = BlindSpotReason::StatementFormat;
                self.blind(node, reason, name, detail.to_owned(), 1, tx.committed_at, out);
            }
        }
    }
}

/// How certain it is that a transaction wrote its rows on its own node.
fn certainty_of(tx: &Transaction) -> Certainty {
    if tx.has_rows_of_copy() { Certainty::Possible } else { Certainty::Exact }
}

/// Whether a statement says itself that it writes this table: it names no other.
fn is_named(tx: &Transaction, full_name: &str) -> bool {
    let is_it = |(schema, name): &(String, String)| full_name == format!("{schema}.{name}");
    tx.statements.iter().any(|statement| match &statement.kind {
        StatementKind::Rows(tables) | StatementKind::ShownRows(tables) => {
            tables.len() == 1 && tables.iter().all(is_it)
        }
        StatementKind::Definition(_) | StatementKind::Other => false,
    })
}

/// The unique values that a transaction's rows take, as changes of these values' keys: from
/// nobody's to the row's. Two rows that take one value on two sides clash; one row on both sides
/// clashes by its primary key.
fn unique_changes(tx: &Transaction) -> impl Iterator<Item = KeyChange> {
    tx.unique_takes.iter().filter_map(|take| {
        let row = tx.rows.get(take.row as usize)?;
        let [_, primary] = row.keys?;
        Some(KeyChange {
            key: take.key,
            table: row.table,
            states: [RowState::Absent, RowState::Image(primary.hash)],
            moves: false,
            unique: u8::try_from(take.index + 1).ok()?,
        })
    })
}

/// What each row change of a transaction did to each key, in log order.
pub(super) fn key_changes(tx: &Transaction) -> impl Iterator<Item = KeyChange> {
    tx.rows.iter().flat_map(|row| {
        let change = |key: Key, states, moves| {
            Some(KeyChange { key, table: row.table, states, moves, unique: 0 })
        };
        let changes = match row.keys {
            None => [None, None],
            Some([before, after]) if before.hash == after.hash => {
                [change(before, [row.before, row.after], false), None]
            }
            Some([before, after]) => [
                change(before, [row.before, RowState::Absent], true),
                change(after, [RowState::Absent, row.after], true),
            ],
        };
        changes.into_iter().flatten()
    })
}

/// The keys a row change touches: one, or two where an update moves the row to another key.
pub(super) fn keys_of(row: &RowChange) -> impl IntoIterator<Item = Key> + use<> {
    let [before, after] = row.keys.map_or([None, None], |[before, after]| {
        [Some(before), (after.hash != before.hash).then_some(after)]
    });
    before.into_iter().chain(after)
}

/// The key a row is named by in an ownership finding: where it ends, for moved rows.
fn judged_key(row: &RowChange) -> Option<Key> {
    row.keys.map(|[before, after]| match row.operation {
        Operation::Delete => before,
        _ => after,
    })
}

/// A key with its table and bytes, as a finding carries it.
pub(super) fn row_key(tx: &Transaction, row: &RowChange, key: &Key) -> RowKey {
    let (table, bytes) = (tx.tables[row.table as usize].clone(), tx.key_bytes_of(key).into());
    RowKey { table, index: None, bytes }
}
