//! The one line that says what a finding is.

use super::{record::key_json, terminal::cut};
use crate::model::{
    Cause, Certainty, Finding, FindingKind, NodeIndex, Nodes, Outcome, TransactionRef,
};
use serde_json::Value;

/// Columns of a key's value that a message shows; the finding's `key` has all of it.
const VALUE_COLUMNS_MAX: usize = 60;

/// One line for people: who did what to which row, and why it matters.
pub fn message(finding: &Finding, nodes: &Nodes) -> String {
    let line = match finding.kind {
        FindingKind::WriteConflict => conflict(finding, nodes),
        FindingKind::SharedKey | FindingKind::NearConflict => handover(finding, nodes),
        FindingKind::TableOwnership => table_ownership(finding, nodes),
        FindingKind::RowOwnership => row_ownership(finding, nodes),
        FindingKind::UnknownOrigin => {
            format!("{}: {}", on(finding, nodes), finding.detail.as_deref().unwrap_or_default())
        }
        FindingKind::ReplicationLoop => {
            let what = finding.transactions.first().map(gtid).unwrap_or_default();
            let detail = finding.detail.as_deref().unwrap_or_default();
            format!("transaction {what} goes in circles: {}, {detail}", on(finding, nodes))
        }
        FindingKind::Divergence => divergence(finding, nodes),
        FindingKind::DdlConflict => ddl_conflict(finding),
        FindingKind::MissingCopy => missing_copy(finding, nodes),
        FindingKind::BlindSpot => blind_spot(finding, nodes),
    };
    match finding.more {
        0 => line,
        more if finding.kind == FindingKind::DdlConflict => {
            format!("{line} (and {more} more transactions of the same node)")
        }
        more => format!("{line} (and {more} more rows of this kind in the same transaction)"),
    }
}

fn conflict(finding: &Finding, nodes: &Nodes) -> String {
    let did = |transaction: &TransactionRef| {
        format!("{} {} ({})", origin(transaction, nodes), past(transaction), gtid(transaction))
    };
    let [first, second] = finding.transactions.as_slice() else { return String::new() };
    let certainty = match finding.certainty {
        Certainty::Exact => "neither had seen the other's write",
        Certainty::Possible if finding.key.is_none() => {
            "neither had seen the other's write, unless there were two such rows: the table has \
             no key"
        }
        Certainty::Possible => match &finding.detail {
            Some(detail) if finding.outcome != Some(Outcome::Stopped) => detail,
            _ => "the logs do not show whether one had seen the other's write",
        },
    };
    let stopped = match (finding.outcome, &finding.detail) {
        (Some(Outcome::Stopped), Some(detail)) => format!("; replication has stopped: {detail}"),
        _ => String::new(),
    };
    let it = if finding.key.is_some() { "it" } else { "the same whole row" };
    format!("{}: {} and {} {it}; {certainty}{stopped}", row(finding), did(first), did(second))
}

fn divergence(finding: &Finding, nodes: &Nodes) -> String {
    let what = match finding.healed.as_ref() {
        Some(healed) => {
            let by = healed.by.map_or("a later write".to_owned(), |gtid| gtid.to_string());
            format!("differed between the masters, healed by {by}")
        }
        None => differs(finding, nodes),
    };
    let why = match finding.cause {
        Some(Cause::Conflict) => "written on both sides at once",
        Some(Cause::Skipped) => "a write was not applied there",
        Some(Cause::Drift) => "it had changed without the log",
        Some(Cause::Applied) => "a copy wrote another image than its original",
        None => "for a reason that the logs do not tell",
    };
    let certainty = match finding.certainty {
        Certainty::Exact => "",
        Certainty::Possible => "; the logs allow that it does not",
    };
    format!("{}: {what}: {why}{certainty}", row(finding))
}

/// Who has whose image of a row.
fn differs(finding: &Finding, nodes: &Nodes) -> String {
    let has = nodes.iter().filter_map(|(node, of)| {
        let write = finding.last_written.get(node.at())?.as_ref();
        Some(match write {
            Some(write) if write.is_absent => format!("{} has no such row", of.name),
            Some(write) => {
                let origin = write.origin.map_or("an unknown server", |n| nodes[n].name.as_str());
                format!("{} has what {origin} wrote", of.name)
            }
            None => format!("{} has what was there before", of.name),
        })
    });
    let origins: Vec<_> = finding.last_written.iter().map(|w| w.as_ref()?.origin).collect();
    let present = finding.last_written.iter().flatten().all(|write| !write.is_absent);
    let swapped = present && matches!(origins[..], [Some(NodeIndex(1)), Some(NodeIndex(0))]);
    let writers: Vec<_> = finding.last_written.iter().map(|write| write.as_ref()?.gtid).collect();
    if let [Some(first), rest @ ..] = &writers[..]
        && rest.iter().all(|writer| writer.as_ref() == Some(first))
    {
        return format!("differs between the masters, though {first} wrote it last on all of them");
    }
    let has = has.collect::<Vec<_>>().join(", ");
    match swapped {
        true => format!("differs between the masters, values swapped ({has})"),
        false => format!("differs between the masters ({has})"),
    }
}

fn ddl_conflict(finding: &Finding) -> String {
    let gtids: Vec<String> = finding.transactions.iter().map(gtid).collect();
    let detail = finding.detail.as_deref().unwrap_or("DDL");
    let certainty = match finding.certainty {
        Certainty::Exact => "neither had seen the other's",
        Certainty::Possible => "the logs do not show whether one had seen the other's",
    };
    format!("{}: {detail}, at once ({}); {certainty}", table(finding), gtids.join(", "))
}

fn missing_copy(finding: &Finding, nodes: &Nodes) -> String {
    let Some(transaction) = finding.transactions.first() else { return String::new() };
    let detail = finding.detail.as_deref().unwrap_or_default();
    if finding.healed.is_some() {
        let (who, what) = (origin(transaction, nodes), gtid(transaction));
        return format!("{}: transaction {what} of {who} has come, late", on(finding, nodes));
    }
    format!(
        "{}: transaction {} of {} is not there: {detail}",
        on(finding, nodes),
        gtid(transaction),
        origin(transaction, nodes)
    )
}

fn handover(finding: &Finding, nodes: &Nodes) -> String {
    let [first, second] = finding.transactions.as_slice() else { return String::new() };
    let micros = (second.committed_at.micros - first.committed_at.micros).max(0);
    let passed = match (first.committed_at.whole_seconds, micros) {
        (true, 0) => "within a second".to_owned(),
        _ => format!("{:.3} s later", micros as f64 / 1e6),
    };
    let close = match finding.kind {
        FindingKind::NearConflict => "; with a little more lag this is a conflict",
        _ => "; in the same order everywhere",
    };
    format!(
        "{}: {} {} it, then {} {} it {passed}{close}",
        row(finding),
        origin(first, nodes),
        past(first),
        origin(second, nodes),
        past(second),
    )
}

fn table_ownership(finding: &Finding, nodes: &Nodes) -> String {
    if let Some(detail) = &finding.detail {
        return format!("{}: {}: {detail}", table(finding), on(finding, nodes));
    }
    let Some(transaction) = finding.transactions.first() else { return String::new() };
    let did = past(transaction);
    let owners = match &finding.owner {
        Some(owner) if !owner.nodes.is_empty() => {
            format!("but the table belongs to {}", names(&owner.nodes, nodes))
        }
        _ => "but no ownership rule lists the table".to_owned(),
    };
    let (who, rule, doubt) = (origin(transaction, nodes), rule(finding), of_copy(finding));
    format!("{}: {who} {did} it, {owners}{rule}{doubt}", row(finding))
}

fn row_ownership(finding: &Finding, nodes: &Nodes) -> String {
    let Some(transaction) = finding.transactions.first() else { return String::new() };
    let owner = finding.owner.as_ref();
    let owners = owner.map(|owner| names(&owner.nodes, nodes)).unwrap_or_default();
    let moved = match owner.is_some_and(|owner| owner.moves_row) {
        true => "moves it between owners",
        false => "does not own it",
    };
    let who = origin(transaction, nodes);
    format!(
        "{}: {who} {} it, but {moved}: it is {owners}'s{}{}",
        row(finding),
        past(transaction),
        rule(finding),
        of_copy(finding)
    )
}

/// What makes a write of one node alone possible, and not certain.
fn of_copy(finding: &Finding) -> &'static str {
    match finding.certainty {
        Certainty::Exact => "",
        Certainty::Possible if finding.key.is_none() => {
            "; a statement names it beside other tables, and may only have read it"
        }
        Certainty::Possible => {
            "; it was written by a statement, and the row is the one that a copy shows"
        }
    }
}

fn blind_spot(finding: &Finding, nodes: &Nodes) -> String {
    let table = finding.table.as_ref().map(|table| format!(", table {table}")).unwrap_or_default();
    let detail = finding.detail.as_deref().unwrap_or_default();
    let count = match finding.count {
        1 => String::new(),
        count => format!(" ({count} times)"),
    };
    format!("not verified, {}{table}: {detail}{count}", on(finding, nodes))
}

fn rule(finding: &Finding) -> String {
    match finding.owner.as_ref().and_then(|owner| owner.rule.as_ref()) {
        Some((number, tables)) => format!(" (ownership rule {number}: {})", tables.join(", ")),
        None => String::new(),
    }
}

fn names(of: &[NodeIndex], nodes: &Nodes) -> String {
    of.iter().map(|node| nodes[*node].name.as_str()).collect::<Vec<_>>().join(", ")
}

fn on(finding: &Finding, nodes: &Nodes) -> String {
    finding.node.map(|node| format!("stream of {}", nodes[node].name)).unwrap_or_default()
}

fn table(finding: &Finding) -> &str {
    finding.table.as_deref().unwrap_or("(unknown table)")
}

/// `shop.orders id=7`.
fn row(finding: &Finding) -> String {
    let Some(key) = &finding.key else { return table(finding).to_owned() };
    let Value::Object(columns) = key_json(key) else { return table(finding).to_owned() };
    let short = |value: &Value| cut(&value.to_string(), VALUE_COLUMNS_MAX);
    let columns: Vec<String> =
        columns.iter().map(|(name, value)| format!("{name}={}", short(value))).collect();
    format!("{} {}", table(finding), columns.join(" "))
}

fn origin<'a>(transaction: &TransactionRef, nodes: &'a Nodes) -> &'a str {
    transaction.origin.map_or("an unknown server", |node| nodes[node].name.as_str())
}

fn gtid(transaction: &TransactionRef) -> String {
    transaction.gtid.map_or("no GTID".to_owned(), |gtid| gtid.to_string())
}

fn past(transaction: &TransactionRef) -> &'static str {
    use crate::model::Operation;
    match transaction.operation {
        Some(Operation::Insert) => "inserted",
        Some(Operation::Update) => "updated",
        Some(Operation::Delete) => "deleted",
        None => "wrote",
    }
}
