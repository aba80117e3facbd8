//! What kinds of findings are called on a page, and what to do about them.

use crate::model::FindingKind;

/// A kind in plain words.
pub fn title_of_kind(kind: &str) -> &str {
    match FindingKind::parse(kind) {
        Some(FindingKind::TableOwnership) => "Write to a table of another node",
        Some(FindingKind::RowOwnership) => "Write to a row of another node",
        Some(FindingKind::WriteConflict) => "Write conflict",
        Some(FindingKind::SharedKey) => "Row written from both sides in turn",
        Some(FindingKind::NearConflict) => "Near conflict",
        Some(FindingKind::Divergence) => "Row differs between the masters",
        Some(FindingKind::DdlConflict) => "Table changed while it was written",
        Some(FindingKind::UnknownOrigin) => "Transaction from an unknown server",
        Some(FindingKind::ReplicationLoop) => "Replication loop",
        Some(FindingKind::MissingCopy) => "Transaction missing on a node",
        Some(FindingKind::BlindSpot) => "Blind spot",
        None => kind,
    }
}

/// What to do about a finding of a kind, a step a sentence.
pub fn advice(kind: &str) -> &'static [&'static str] {
    match FindingKind::parse(kind) {
        Some(FindingKind::WriteConflict) => &[
            "Look at the outcome: converged rows are equal again, diverged rows differ until they \
             are repaired, and stopped means that replication waits for you.",
            "Decide which side is right, and repair the row on the other one.",
            "Find the two writers: both wrote the row before either saw the other's write. One of \
             them has to leave this row to the other node.",
        ],
        Some(FindingKind::Divergence) => &[
            "Decide which side is right. The ownership rule says so where there is one.",
            "Repair the row on the other side, or write it once more: this finding heals when the \
             logs show equal images.",
            "See the cause: after conflict look for the conflict of the same key; skipped and \
             drift mean that somebody skipped a transaction or wrote without the log.",
        ],
        Some(FindingKind::TableOwnership | FindingKind::RowOwnership) => &[
            "The row is most likely the same on both sides: nothing is to be repaired unless there \
             is a conflict or a divergence of it, too.",
            "Find who wrote on the wrong node (the statement and the time are below), and send \
             those writes to the owner.",
            "If the write is right and the rule is not, correct the rule.",
        ],
        Some(FindingKind::DdlConflict) => &[
            "Compare the table's definition and contents on both sides.",
            "Make changes of tables on one node while the other does not write them, or through a \
             tool that waits for replication.",
        ],
        Some(FindingKind::MissingCopy) => &[
            "See whether replication runs on that node: SHOW REPLICA STATUS (MariaDB: SHOW SLAVE \
             STATUS).",
            "If it runs, the transaction was skipped or filtered there: its rows are missing, and \
             are told as divergences once they show.",
        ],
        Some(FindingKind::ReplicationLoop) => &[
            "A transaction came back to where it began: two servers share a server id, or one was \
             replaced and its id is not in the configuration.",
            "Compare server_id on all servers of the ring.",
        ],
        Some(FindingKind::UnknownOrigin) => &[
            "Find the server with that id: a replica that is written to, a new master, or one that \
             was replaced.",
            "If it belongs to a node, add its id to server_ids of that node.",
        ],
        Some(FindingKind::BlindSpot) => {
            &["What is named here was not verified. The reference says for each reason what to do."]
        }
        Some(FindingKind::SharedKey | FindingKind::NearConflict) => {
            &["Nothing is wrong yet: both nodes write this row, one after the other. With more \
             replication lag it would be a conflict."]
        }
        None => &[],
    }
}
