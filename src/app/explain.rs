//! What proves a finding: both orders, and the transactions as each stream has them.

use super::{
    sources::EvidenceSources,
    told::{Told, ToldTransaction, order},
};
use crate::{
    feed::Wanted,
    model::Coordinates,
    report::{Explanation, Proof, Seen, Step, StreamOrder, StreamView, TransactionView, rfc3339},
};
use serde_json::Value;

/// Explains a finding from its JSON record, with the rows where there are sources.
///
/// # Errors
/// A record that is none. What cannot be read again is told in the explanation, in its place.
pub fn explain(record: &Value, sources: &EvidenceSources) -> anyhow::Result<Explanation> {
    let mut told = Told::read(record)?;
    add_last_written(&mut told);
    let row = told.row();
    let mut explanation = Explanation::of(record);
    for transaction in &told.transactions {
        let views = told.streams.iter().map(|node| {
            let at = shown(transaction, node).cloned();
            let seen = match &at {
                None => Seen::NotShown,
                Some(at) => {
                    let gtid = transaction.gtid.map(str::to_owned);
                    let wanted = Wanted { at: at.clone(), gtid, row: row.clone() };
                    match sources.read(node, &wanted) {
                        None => Seen::NoSource,
                        Some(Ok(evidence)) => Seen::Read(Box::new(evidence)),
                        Some(Err(error)) => Seen::Failed(error.to_string()),
                    }
                }
            };
            StreamView { node: (*node).to_owned(), at, seen }
        });
        let views: Vec<StreamView> = views.collect();
        let committed_at = match transaction.committed_at {
            "" => views
                .iter()
                .find_map(|view| view.seen.evidence())
                .map(|of| rfc3339(of.committed_at)),
            told => Some(told.to_owned()),
        };
        explanation.transactions.push(TransactionView {
            origin: transaction.origin.map(str::to_owned),
            gtid: transaction.gtid.map(str::to_owned),
            operation: transaction.operation.map(str::to_owned),
            committed_at: committed_at.unwrap_or_default(),
            views,
        });
    }
    explanation.streams = told.streams.iter().map(|node| stream_order(&told, node)).collect();
    for stream in &explanation.streams {
        for step in &stream.shown {
            let transaction = &explanation.transactions[step.transaction];
            let at = &step.at;
            let mariadb = is_mariadb(transaction);
            let command = sources.proof(&stream.node, &at.file, at.start, at.end, mariadb);
            let gtid = transaction.gtid.clone();
            explanation.proofs.push(Proof { node: stream.node.clone(), gtid, command });
        }
    }
    Ok(explanation)
}

/// The writes that made a divergence last are a part of it, also where the finding lists others.
fn add_last_written(told: &mut Told<'_>) {
    for (node, write) in &told.last_written {
        let Some(write) = write else { continue };
        let same = told.transactions.iter_mut().find(|one| {
            one.gtid.is_some() && one.gtid == write.gtid
                || one
                    .coordinates
                    .iter()
                    .any(|(of, at)| of == node && at.as_ref() == Some(&write.at))
        });
        match same {
            Some(known) => match known.coordinates.iter_mut().find(|(of, _)| of == node) {
                Some((_, at)) => drop(at.get_or_insert_with(|| write.at.clone())),
                None => known.coordinates.push((node, Some(write.at.clone()))),
            },
            None => told.transactions.push(ToldTransaction {
                origin: write.origin,
                gtid: write.gtid,
                operation: None,
                committed_at: "",
                coordinates: vec![(node, Some(write.at.clone()))],
            }),
        }
    }
}

fn shown<'a>(transaction: &'a ToldTransaction<'_>, node: &str) -> Option<&'a Coordinates> {
    transaction.coordinates.iter().find(|(of, _)| *of == node)?.1.as_ref()
}

/// The finding's transactions in the order of one stream.
fn stream_order(told: &Told<'_>, node: &str) -> StreamOrder {
    let mut steps: Vec<Step> = Vec::new();
    let mut not_shown = Vec::new();
    for (transaction, one) in told.transactions.iter().enumerate() {
        match shown(one, node) {
            Some(at) => steps.push(Step { transaction, at: at.clone() }),
            None => not_shown.push(transaction),
        }
    }
    steps.sort_by(|x, y| order(&x.at).cmp(&order(&y.at)));
    StreamOrder { node: node.to_owned(), shown: steps, not_shown }
}

/// By the server's version where the log was read, else by the GTID's form.
fn is_mariadb(transaction: &TransactionView) -> bool {
    let read = transaction.views.iter().find_map(|view| match &view.seen {
        Seen::Read(evidence) => Some(evidence.is_mariadb()),
        _ => None,
    });
    // MySQL writes uuid:number, MariaDB domain-server-number.
    let by_gtid = || transaction.gtid.as_ref().is_some_and(|gtid| !gtid.contains(':'));
    read.unwrap_or_else(by_gtid)
}
