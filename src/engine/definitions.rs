//! Definitions of tables (DDL) against writes to them, and other definitions of them.
//!
//! The order rule again, with a table in the place of a key: an original that defines a table and
//! an original of another node that defines or writes it are a `ddl_conflict` when neither stream
//! shows the other's before its own. What came of the rows then depends on the order in which a
//! server ran the two.
//!
//! A definition is always logged where it is applied. A write of rows may be a hole, and no row
//! tells where it passed: such a pair is `possible` until the stream's order decides it.

use super::{
    Report, Seen, Verifier, blank,
    common::{Wrote, wrote},
    id::IdHasher,
    open::{Closed, OpenId, OpenTable, OpenTransaction},
    pending::{Order, Side},
    shown::Place,
};
use crate::model::{
    BlindSpotReason, DefinitionEffect, Finding, FindingKind, NodeIndex, Operation, Outcome,
    Severity, Statement, StatementKind, Table, TableId, Transaction, TransactionRef,
};
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// A table's number: tables are few, transactions are many.
type TableNumber = u32;

/// One node's originals on a table stand together, in the order of its stream.
type Stand = (TableNumber, NodeIndex, u64);

/// What the open originals did to which tables.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Definitions {
    numbers: HashMap<TableId, TableNumber>,
    tables: Vec<Known>,
    /// Open originals that define a table.
    defining: BTreeMap<Stand, Use>,
    /// Open originals with statements that only write it: one may be met by a definition that comes
    /// later. For those that are nothing but rows, open originals are asked when one comes.
    writing: BTreeMap<Stand, Use>,
    /// The tables of each open original with statements, so that a close finds its entries above.
    by_transaction: BTreeMap<OpenId, Box<[TableNumber]>>,
    /// Findings told, by the open definition, the table, and the other original's node.
    told: BTreeMap<(OpenId, TableNumber, NodeIndex), Told>,
}

/// A table that some transaction named; with the name `*`, all tables of a database.
#[derive(Serialize, Deserialize)]
struct Known {
    name: Arc<str>,
    /// The number of all tables of its database.
    database: TableNumber,
    /// Of all tables of a database: the numbers of those that have one.
    members: Vec<TableNumber>,
}

/// An open original on a table.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Use {
    id: OpenId,
    did: Did,
}

/// Two originals that met on a table: its number, this one's doing, and the other one.
struct Met {
    table: TableNumber,
    mine: Did,
    theirs: Use,
}

/// Findings of one group with one node: how many, and the serial of the last.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
struct Told {
    count: u64,
    last: u64,
}

/// What a transaction did to a table.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
struct Did {
    verb: Option<Verb>,
    /// No row that was there is left.
    empties: bool,
    wrote: Wrote,
}

/// What a definition is called in a finding.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
enum Verb {
    Create,
    Replace,
    Alter,
    CreateIndex,
    DropIndex,
    Drop,
    DropDatabase,
    Rename,
    Truncate,
}

impl Verb {
    fn as_str(self) -> &'static str {
        match self {
            Verb::Create => "CREATE TABLE",
            Verb::Replace => "CREATE OR REPLACE TABLE",
            Verb::Alter => "ALTER TABLE",
            Verb::CreateIndex => "CREATE INDEX",
            Verb::DropIndex => "DROP INDEX",
            Verb::Drop => "DROP TABLE",
            Verb::DropDatabase => "DROP DATABASE",
            Verb::Rename => "RENAME TABLE",
            Verb::Truncate => "TRUNCATE TABLE",
        }
    }

    /// By the first word of the statement that is a verb, and what becomes of the table.
    fn of(text: &str, effect: DefinitionEffect, whole_database: bool) -> Verb {
        use DefinitionEffect::{Changes, Creates, Empties};
        let word = first_of(text, &["CREATE", "ALTER", "DROP", "RENAME", "TRUNCATE"]);
        match (effect, word) {
            (_, _) if whole_database => Verb::DropDatabase,
            (Creates, _) => Verb::Create,
            (Empties, "CREATE") => Verb::Replace,
            (Empties, "TRUNCATE") => Verb::Truncate,
            (Empties, _) => Verb::Drop,
            (Changes, "CREATE") => Verb::CreateIndex,
            (Changes, "DROP") => Verb::DropIndex,
            (Changes, "RENAME") => Verb::Rename,
            (Changes, _) => Verb::Alter,
        }
    }
}

/// Words that begin a statement which writes rows.
const WRITING: [&str; 6] = ["CREATE", "INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD"];

/// The first of these words in a statement, after a comment at its start; "" where none is.
fn first_of(text: &str, wanted: &[&'static str]) -> &'static str {
    let text = text.trim_start();
    let is_comment = text.starts_with("/*") && !text.starts_with("/*!");
    let text = text.split_once("*/").filter(|_| is_comment).map_or(text, |(_, after)| after);
    let mut words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    let found = words.find_map(|word| wanted.iter().find(|w| w.eq_ignore_ascii_case(word)));
    found.copied().unwrap_or_default()
}

impl Did {
    /// The operation on the rows, where the rows are known; several kinds make an update of the
    /// table.
    fn operation(&self) -> Option<Operation> {
        let Wrote { inserts, updates, deletes } = self.wrote;
        match (self.verb, inserts, updates, deletes) {
            (Some(_), ..) | (None, false, false, false) => None,
            (None, true, false, false) => Some(Operation::Insert),
            (None, false, false, true) => Some(Operation::Delete),
            (None, ..) => Some(Operation::Update),
        }
    }

    fn words(&self) -> &'static str {
        let Wrote { inserts, updates, deletes } = self.wrote;
        match (self.verb, inserts, updates, deletes) {
            (Some(verb), ..) => verb.as_str(),
            (None, true, false, false) => "inserted rows",
            (None, false, true, false) => "updated rows",
            (None, false, false, true) => "deleted rows",
            (None, false, false, false) => "a write logged as text",
            (None, ..) => "written rows",
        }
    }
}

/// Whether a definition leaves no row of its table.
///
/// A table that is made has none; MariaDB's appliers even replace one that is there, unless the
/// statement asks whether there is one.
fn empties(effect: DefinitionEffect, text: &str) -> bool {
    let asks = || {
        let words: Vec<&str> = text.split_ascii_whitespace().take(12).collect();
        let is = |at: &[&str]| {
            at.len() == 3
                && at.iter().zip(["IF", "NOT", "EXISTS"]).all(|(w, k)| w.eq_ignore_ascii_case(k))
        };
        words.windows(3).any(is)
    };
    match effect {
        DefinitionEffect::Empties => true,
        DefinitionEffect::Creates => !asks(),
        DefinitionEffect::Changes => false,
    }
}

/// The tables that a transaction leaves without rows: database and name, or all of a database.
pub(super) fn emptied(tx: &Transaction) -> Vec<(&str, Option<&str>)> {
    let definitions = tx.statements.iter().filter_map(|statement| match &statement.kind {
        StatementKind::Definition(definitions) => Some((definitions, &statement.text)),
        _ => None,
    });
    let emptied = definitions.flat_map(|(definitions, text)| {
        definitions.iter().filter(move |definition| empties(definition.effect, text))
    });
    emptied.map(|definition| (definition.schema.as_str(), definition.name.as_deref())).collect()
}

impl Definitions {
    /// Whether some open original defines a table.
    pub(super) fn any_open(&self) -> bool {
        !self.defining.is_empty()
    }

    /// The open originals that leave a table without rows.
    pub(super) fn emptying(&self, table: &Table) -> Vec<OpenId> {
        let numbers = [table.id, TableId::of(&table.schema, "")].map(|id| self.numbers.get(&id));
        let ranges = numbers.into_iter().flatten().map(|number| {
            let last = NodeIndex(u8::MAX);
            self.defining.range((*number, NodeIndex(0), 0)..=(*number, last, u64::MAX))
        });
        let found = ranges.flatten().filter(|(_, of)| of.did.empties);
        found.map(|(_, of)| of.id).collect()
    }

    /// The open originals that write a table, or tables of a database.
    pub(super) fn writing(
        &mut self,
        open: &OpenTable,
        schema: &str,
        name: Option<&str>,
    ) -> Vec<OpenId> {
        self.number_written(open);
        let Some(number) = self.numbers.get(&TableId::of(schema, name.unwrap_or(""))) else {
            return Vec::new();
        };
        let mut wanted = BTreeSet::from([*number]);
        wanted.extend(&self.tables[*number as usize].members);
        self.writers(open, &wanted).into_values().map(|of| of.id).collect()
    }

    /// The open originals that write some of these tables, and define none.
    fn writers(&self, open: &OpenTable, wanted: &BTreeSet<TableNumber>) -> BTreeMap<Stand, Use> {
        let with_statements = self.writing.iter().filter(|(at, _)| wanted.contains(&at.0));
        let mut found: BTreeMap<Stand, Use> = with_statements.map(|(at, of)| (*at, *of)).collect();
        let number_of = |table: &Table| self.numbers.get(&table.id).copied();
        let is_wanted = |table: &Table| number_of(table).is_some_and(|n| wanted.contains(&n));
        open.writers(is_wanted, |id, table, wrote| {
            let (writer, number) = (open.get(id), number_of(table).unwrap_or_default());
            let place = (number, writer.origin, writer.ordinal);
            let of = found.entry(place).or_insert(Use { id, did: Did::default() });
            of.did.wrote.extend(wrote);
        });
        found
    }

    /// Numbers the tables that open originals write.
    fn number_written(&mut self, open: &OpenTable) {
        let new = open.tables_written().filter(|table| !self.numbers.contains_key(&table.id));
        let mut new: Vec<&Arc<Table>> = new.collect();
        new.sort_by_key(|table| (&table.schema, &table.name));
        for table in new {
            self.number(table.id, &table.schema, &table.name);
        }
    }

    fn number(&mut self, id: TableId, schema: &str, name: &str) -> TableNumber {
        if let Some(number) = self.numbers.get(&id) {
            return *number;
        }
        // No table has an empty name.
        let whole = TableId::of(schema, "");
        let database = match name {
            "" => self.tables.len() as TableNumber,
            _ => self.number(whole, schema, ""),
        };
        let number = self.tables.len() as TableNumber;
        let shown = if name.is_empty() { "*" } else { name };
        let name = Arc::from(format!("{schema}.{shown}"));
        self.tables.push(Known { name, database, members: Vec::new() });
        if number != database {
            self.tables[database as usize].members.push(number);
        }
        self.numbers.insert(id, number);
        number
    }

    /// What a transaction did to each table, by number.
    fn uses_of(&mut self, tx: &Transaction) -> BTreeMap<TableNumber, Did> {
        let mut uses: BTreeMap<TableNumber, Did> = BTreeMap::new();
        let mut by_place = Vec::new();
        wrote(tx, &mut by_place);
        for (table, wrote) in tx.tables.iter().zip(by_place) {
            if !wrote.is_nothing() {
                let number = self.number(table.id, &table.schema, &table.name);
                uses.entry(number).or_default().wrote.extend(wrote);
            }
        }
        for statement in &tx.statements {
            self.add_statement(statement, &mut uses);
        }
        uses
    }

    fn add_statement(&mut self, statement: &Statement, uses: &mut BTreeMap<TableNumber, Did>) {
        match &statement.kind {
            StatementKind::Other => {}
            StatementKind::Rows(tables) | StatementKind::ShownRows(tables) => {
                // The one statement that writes rows and makes their table.
                let is_create = first_of(&statement.text, &WRITING) == "CREATE";
                for (schema, name) in tables {
                    let number = self.number(TableId::of(schema, name), schema, name);
                    let did = uses.entry(number).or_default();
                    did.verb = did.verb.or(is_create.then_some(Verb::Create));
                }
            }
            StatementKind::Definition(definitions) => {
                for definition in definitions {
                    let (schema, name) = (&definition.schema, definition.name.as_deref());
                    let verb = Verb::of(&statement.text, definition.effect, name.is_none());
                    let name = name.unwrap_or("");
                    let number = self.number(TableId::of(schema, name), schema, name);
                    let did = uses.entry(number).or_default();
                    did.verb = did.verb.or(Some(verb));
                    did.empties |= empties(definition.effect, &statement.text);
                }
            }
        }
    }

    /// The open originals of these nodes that meet an original on a table, where one of the two
    /// defines it: by table, node, and the order of the node's stream.
    fn met(
        &mut self,
        open: &OpenTable,
        uses: &BTreeMap<TableNumber, Did>,
        nodes: &[NodeIndex],
    ) -> Vec<Met> {
        let defines = uses.values().any(|did| did.verb.is_some());
        if defines {
            self.number_written(open);
        }
        let mut others: BTreeMap<TableNumber, Vec<TableNumber>> = BTreeMap::new();
        for number in uses.keys() {
            let known = &self.tables[*number as usize];
            let all = others.entry(*number).or_insert_with(|| vec![*number]);
            match known.database == *number {
                true => all.extend(&known.members),
                false => all.push(known.database),
            }
        }
        let defined = uses.iter().filter(|(_, did)| did.verb.is_some());
        let wanted = defined.flat_map(|(number, _)| others[number].iter().copied()).collect();
        let writing = if defines { self.writers(open, &wanted) } else { BTreeMap::new() };
        let mut met = Vec::new();
        for (number, mine) in uses {
            let is_database = self.tables[*number as usize].database == *number;
            let maps = [Some(&self.defining), mine.verb.map(|_| &writing)];
            let others = others[number].iter();
            for (other, node) in others.flat_map(|o| nodes.iter().map(move |n| (*o, *n))) {
                let range = (other, node, 0)..=(other, node, u64::MAX);
                let found = maps.into_iter().flatten().flat_map(|map| map.range(range.clone()));
                let mut found: Vec<(u64, Use)> =
                    found.map(|(at, theirs)| (at.2, *theirs)).collect();
                found.sort_by_key(|(ordinal, _)| *ordinal);
                // The one of the two that names a table, and not all of its database.
                let table = if is_database { other } else { *number };
                let pair = |(_, theirs)| Met { table, mine: *mine, theirs };
                met.extend(found.into_iter().map(pair));
            }
        }
        met
    }

    fn open(&mut self, id: OpenId, open: OpenTransaction<'_>, uses: BTreeMap<TableNumber, Did>) {
        let tables: Box<[TableNumber]> = uses.keys().copied().collect();
        for (number, did) in uses {
            let place = (number, open.origin, open.ordinal);
            let map = if did.verb.is_some() { &mut self.defining } else { &mut self.writing };
            map.insert(place, Use { id, did });
        }
        if !tables.is_empty() {
            self.by_transaction.insert(id, tables);
        }
    }

    /// Forgets a transaction that has closed.
    pub(super) fn close(&mut self, id: OpenId, gone: &Closed) {
        let Some(tables) = self.by_transaction.remove(&id) else { return };
        let mut defined = false;
        for number in tables {
            let place = (number, gone.origin, gone.ordinal);
            defined |= self.writing.remove(&place).is_none();
            self.defining.remove(&place);
        }
        if defined {
            let groups = (id, 0, NodeIndex(0))..=(id, TableNumber::MAX, NodeIndex(u8::MAX));
            let groups: Vec<_> = self.told.range(groups).map(|(group, _)| *group).collect();
            for group in groups {
                self.told.remove(&group);
            }
        }
    }

    /// Bytes held for open originals with statements; the tables that were named are not counted.
    pub(super) fn bytes(&self) -> usize {
        // In trees whose nodes stand half full; lists of tables are short.
        let uses = (self.defining.len() + self.writing.len()) * size_of::<(Stand, Use)>();
        let lists = self.by_transaction.len() * (size_of::<(OpenId, Box<[TableNumber]>)>() + 8);
        let told = self.told.len() * size_of::<((OpenId, TableNumber, NodeIndex), Told)>();
        2 * (uses + lists + told)
    }

    /// Number of entries held.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.defining.len() + self.writing.len() + self.by_transaction.len() + self.told.len()
    }
}

impl Verifier {
    /// Looks for open originals of other nodes that define what this one writes or defines, or
    /// write what it defines, in no common order.
    pub(super) fn judge_definitions(
        &mut self,
        seen: Seen,
        id: OpenId,
        tx: &Transaction,
        out: &mut Vec<Report>,
    ) {
        self.count_unparsed(seen.node, tx, out);
        if tx.statements.is_empty() && !self.definitions.any_open() {
            return;
        }
        let uses = self.definitions.uses_of(tx);
        let defines = uses.values().any(|did| did.verb.is_some());
        if defines || self.definitions.any_open() {
            let others: Vec<NodeIndex> =
                self.nodes.indices().filter(|node| *node != seen.origin).collect();
            for met in self.definitions.met(&self.open, &uses, &others) {
                self.judge_pair(id, &met, out);
            }
        }
        if !tx.statements.is_empty() {
            self.definitions.open(id, self.open.get(id), uses);
        }
    }

    /// Judges two open originals on one table.
    fn judge_pair(&mut self, id: OpenId, met: &Met, out: &mut Vec<Report>) {
        let (mine, theirs) = (self.open.get(id), self.open.get(met.theirs.id));
        let shows = |place: Option<Place>, before| place.is_some_and(|p| p.is_before(before));
        let (here, there) = (mine.origin, theirs.origin);
        if shows(theirs.places[here.at()], mine.ordinal)
            || shows(mine.places[there.at()], theirs.ordinal)
        {
            return;
        }
        let order = Order {
            sides: [self.side(mine, met.mine, theirs), self.side(theirs, met.theirs.did, mine)],
            may_be_two: false,
            row: 0,
        };
        let pair = [
            (met.mine, self.open_reference(id, met.mine.operation())),
            (met.theirs.did, self.open_reference(met.theirs.id, met.theirs.did.operation())),
        ];
        // The group is that of the definition; of two, the lower node's.
        let mine_leads = met.mine.verb.is_some() && (met.theirs.did.verb.is_none() || here < there);
        let (leader, other) = if mine_leads { (id, there) } else { (met.theirs.id, here) };
        let group = (leader, met.table, other);
        let told = self.definitions.told.get(&group).copied().unwrap_or_default();
        if told.count >= self.settings.group_limit {
            return self.pending.add_more(told.last);
        }
        let finding = self.definition_conflict(met.table, pair, &order);
        let serial = self.add_conflict(finding, 2, order, None, out);
        self.definitions.told.insert(group, Told { count: told.count + 1, last: serial });
        for id in [id, met.theirs.id] {
            self.open.add_finding(id, serial);
        }
    }

    /// One transaction of a pair, as the other's stream has it.
    fn side(&self, open: OpenTransaction<'_>, did: Did, other: OpenTransaction<'_>) -> Side {
        let place = open.places[other.origin.at()];
        let after = match place {
            Some(place) => place.after,
            None => {
                let log = self.streams[other.origin.at()].shown.get(&open.source);
                log.map_or(0, |log| log.last().1)
            }
        };
        let is_asked = !self.streams[other.origin.at()].copies_are_logged;
        let doubt = match is_asked {
            true => place.is_some_and(|place| place.is_around(other.ordinal)),
            // A definition leaves no hole: where no head names it, it passed before the stream.
            false => {
                let source = open.gtid.source;
                let may_be_hole = did.verb.is_none() || (source.is_anonymous() && after == 0);
                may_be_hole && source.is_ordered() && after < other.ordinal
            }
        };
        Side {
            gtid: open.gtid,
            other: other.origin,
            other_ordinal: other.ordinal,
            awaited: place.is_none(),
            undecided: self.is_undecided(open, other.origin, other.ordinal),
            doubt,
            // In a stream that turns out to show no copies every write since would be a possible
            // conflict; it is a blind spot as a whole.
            written_over: true,
            found_otherwise: false,
        }
    }

    fn definition_conflict(
        &self,
        table: TableNumber,
        mut pair: [(Did, TransactionRef); 2],
        order: &Order,
    ) -> Finding {
        pair.sort_by_key(|(_, transaction)| transaction.origin);
        let kind = FindingKind::DdlConflict;
        let name = &self.definitions.tables[table as usize].name;
        let words = pair.each_ref().map(|(did, transaction)| {
            let node = transaction.origin.map_or("", |node| self.nodes[node].name.as_str());
            format!("{} on {node}", did.words())
        });
        let leader = pair.iter().find(|(did, _)| did.verb.is_some()).and_then(|(_, t)| t.gtid);
        let [first, second] = pair.map(|(_, transaction)| transaction);
        let id = IdHasher::new(kind).text(name).gtid(first.gtid).gtid(second.gtid).finish();
        let when = first.committed_at.max(second.committed_at);
        Finding {
            settled: false,
            table: Some(name.to_string()),
            certainty: order.certainty(),
            outcome: Some(Outcome::Pending),
            detail: Some(words.join(", ")),
            group: IdHasher::new(kind).text(name).gtid(leader).finish(),
            transactions: vec![first, second],
            ..blank(id, kind, Severity::Critical, when)
        }
    }

    /// Judges a copy whose original lies before the start of its own stream: it stands after every
    /// open original of this node (see `judge_late_copy`).
    pub(super) fn judge_late_definitions(
        &mut self,
        seen: Seen,
        tx: &Transaction,
        out: &mut Vec<Report>,
    ) {
        let defines = |s: &Statement| matches!(s.kind, StatementKind::Definition(_));
        if self.definitions.defining.is_empty() && !tx.statements.iter().any(defines) {
            return;
        }
        let uses = self.definitions.uses_of(tx);
        let mut groups: BTreeMap<(TableNumber, Option<OpenId>), Told> = BTreeMap::new();
        for met in self.definitions.met(&self.open, &uses, &[seen.node]) {
            let (id, did) = (met.theirs.id, met.theirs.did);
            if self.open.get(id).places[seen.origin.at()] == Some(Place::BASELINE) {
                continue;
            }
            let leader = did.verb.map(|_| id);
            let told = groups.entry((met.table, leader)).or_default();
            if told.count >= self.settings.group_limit {
                self.pending.add_more(told.last);
                continue;
            }
            let mut order = self.late_order(seen, id);
            order.sides[0].doubt &= did.verb.is_none();
            order.sides[0].written_over = true;
            let copy = self.reference(seen.node, tx, Some(seen.origin), met.mine.operation());
            let pair = [(met.mine, copy), (did, self.open_reference(id, did.operation()))];
            let finding = self.definition_conflict(met.table, pair, &order);
            let serial = self.add_conflict(finding, 1, order, None, out);
            *told = Told { count: told.count + 1, last: serial };
            self.open.add_finding(id, serial);
        }
    }

    /// Definitions whose tables cannot be told are blind spots.
    fn count_unparsed(&mut self, node: NodeIndex, tx: &Transaction, out: &mut Vec<Report>) {
        let is_unparsed = |s: &&Statement| s.kind == StatementKind::Definition(Vec::new());
        let count = tx.statements.iter().filter(is_unparsed).count() as u64;
        if count > 0 {
            let detail = "definition statements whose tables cannot be told: no conflict on them \
                          is seen";
            let reason = BlindSpotReason::UnparsedDefinition;
            self.blind(node, reason, None, detail.to_owned(), count, tx.committed_at, out);
        }
    }
}
