//! What proves a finding, as data and as JSON.

use crate::{
    binlog::evidence::{Cell, Change, Evidence},
    model::Coordinates,
};
use serde_json::{Map, Value, json};

/// A finding with what proves it.
#[derive(Clone, PartialEq, Debug)]
pub struct Explanation {
    /// The finding's record, as it was printed.
    pub record: Value,
    /// Per stream, in the order of names: the finding's transactions in its order.
    pub streams: Vec<StreamOrder>,
    /// The finding's transactions.
    pub transactions: Vec<TransactionView>,
    /// Command lines that show the same without twinlog.
    pub proofs: Vec<Proof>,
}

/// The finding's transactions in the order of one stream.
#[derive(Clone, PartialEq, Debug)]
pub struct StreamOrder {
    /// Whose stream.
    pub node: String,
    /// Those it shows, in its order.
    pub shown: Vec<Step>,
    /// Those it does not show, by their places in [`Explanation::transactions`].
    pub not_shown: Vec<usize>,
}

/// A transaction in a stream.
#[derive(Clone, PartialEq, Debug)]
pub struct Step {
    /// Its place in [`Explanation::transactions`].
    pub transaction: usize,
    /// Where the stream has it.
    pub at: Coordinates,
}

/// A transaction, as every stream has it.
#[derive(Clone, PartialEq, Debug)]
pub struct TransactionView {
    /// The node it came from.
    pub origin: Option<String>,
    /// Its GTID.
    pub gtid: Option<String>,
    /// What it did to the row.
    pub operation: Option<String>,
    /// Commit on the origin, RFC 3339; empty where it is not known.
    pub committed_at: String,
    /// Per stream, in the order of names.
    pub views: Vec<StreamView>,
}

/// A transaction as one stream has it.
#[derive(Clone, PartialEq, Debug)]
pub struct StreamView {
    /// Whose stream.
    pub node: String,
    /// Where, if it shows it.
    pub at: Option<Coordinates>,
    /// What was read there.
    pub seen: Seen,
}

/// What was read of a transaction in a stream.
#[derive(Clone, PartialEq, Debug)]
pub enum Seen {
    /// The stream does not show it.
    NotShown,
    /// No source of the stream was given.
    NoSource,
    /// It cannot be read again, and why.
    Failed(String),
    /// The transaction.
    Read(Box<Evidence>),
}

/// A command line for a person.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proof {
    /// Whose stream it shows.
    pub node: String,
    /// Which transaction.
    pub gtid: Option<String>,
    /// The command line.
    pub command: String,
}

impl Seen {
    /// The transaction, where it was read.
    pub fn evidence(&self) -> Option<&Evidence> {
        match self {
            Seen::Read(evidence) => Some(evidence),
            _ => None,
        }
    }
}

impl Explanation {
    /// An explanation that holds no more than the finding's record.
    pub fn of(record: &Value) -> Explanation {
        let record = record.clone();
        let (streams, transactions, proofs) = (Vec::new(), Vec::new(), Vec::new());
        Explanation { record, streams, transactions, proofs }
    }

    /// Whether everything that a stream shows was read, where a source of it was given.
    pub fn is_whole(&self) -> bool {
        let mut views = self.transactions.iter().flat_map(|transaction| &transaction.views);
        !views.any(|view| matches!(view.seen, Seen::Failed(_)))
    }

    /// A text field of the finding's record.
    pub(super) fn text(&self, field: &str) -> &str {
        self.record.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    /// The explanation as one JSON object.
    pub fn to_json(&self) -> Value {
        let order = |stream: &StreamOrder| {
            let shown = stream.shown.iter().map(|step| {
                let of = &self.transactions[step.transaction];
                json!({"gtid": of.gtid, "origin": of.origin, "coordinates": place_json(&step.at)})
            });
            let not_shown = stream.not_shown.iter().map(|at| json!(self.transactions[*at].gtid));
            let (shown, not_shown): (Vec<_>, Vec<_>) = (shown.collect(), not_shown.collect());
            (stream.node.clone(), json!({"shown": shown, "not_shown": not_shown}))
        };
        let transactions: Vec<Value> = self.transactions.iter().map(transaction_json).collect();
        let proofs = self
            .proofs
            .iter()
            .map(|proof| json!({"node": proof.node, "gtid": proof.gtid, "command": proof.command}));
        json!({
            "finding": self.record,
            "order": self.streams.iter().map(order).collect::<Map<_, _>>(),
            "transactions": transactions,
            "commands": proofs.collect::<Vec<_>>(),
        })
    }
}

fn place_json(at: &Coordinates) -> Value {
    json!({"file": &*at.file, "start": at.start, "end": at.end})
}

fn transaction_json(transaction: &TransactionView) -> Value {
    let streams = transaction.views.iter().map(|view| {
        let error = match &view.seen {
            Seen::Failed(error) => Some(error.as_str()),
            Seen::NoSource => Some("no source of this node was given"),
            Seen::NotShown | Seen::Read(_) => None,
        };
        let read = view.seen.evidence();
        let changes = read.map(|read| read.changes.iter().map(change_json).collect::<Vec<_>>());
        let of = json!({
            "coordinates": view.at.as_ref().map(place_json),
            "error": error,
            "server_version": read.map(|read| &read.server_version),
            "statements": read.map(|read| read.statements.iter().map(|s| &**s).collect::<Vec<_>>()),
            "changes": changes,
            "more": read.map(|read| read.more),
            "not_decoded": read.map(|read| &read.not_decoded),
        });
        (view.node.clone(), of)
    });
    json!({
        "origin": transaction.origin,
        "gtid": transaction.gtid,
        "operation": transaction.operation,
        "committed_at": transaction.committed_at,
        "streams": streams.collect::<Map<_, _>>(),
    })
}

/// A column that an image leaves out is not in the object; NULL is null.
fn change_json(change: &Change) -> Value {
    let image = |cells: &Vec<Cell>| {
        let cells = cells.iter().enumerate();
        let shown =
            cells.filter_map(|(at, cell)| Some((change.of.name(at), change.of.shown(at, cell)?)));
        Value::Object(shown.collect())
    };
    json!({
        "table": change.of.table.full_name(),
        "operation": change.operation.as_str(),
        "before": change.before.as_ref().map(image),
        "after": change.after.as_ref().map(image),
        "statement": change.statement.as_deref(),
    })
}
