//! A stream that is followed until it is known whether it can be.

use crate::support::lab::Lab;
use std::{path::Path, sync::Arc, time::Duration};
use tokio::{runtime::Runtime, sync::mpsc, time::timeout};
use twinlog::{
    binlog::TablePlan,
    config::{PasswordSource, TlsConfig, TlsMode},
    feed::{
        FeedItem, FileFeed,
        live::{DropReason, LiveEvent, LiveOptions, LivePlans, LiveStart, StreamStatus, follow},
        resolve_source,
    },
    model::Transaction,
};

const DEADLINE: Duration = Duration::from_secs(60);

/// An id that nothing else in these tests uses.
const REPLICA_ID: u32 = 4_000_000_001;

/// Node a, by that account over TCP; from now on.
pub(crate) fn options(lab: &Lab, user: &str, password: Option<&str>) -> LiveOptions {
    let url = lab.url("a").replace("twinlog@", &format!("{user}@"));
    LiveOptions {
        node: "a".to_owned(),
        url: url.parse().unwrap(),
        password: password.map(secret),
        tls: TlsConfig::default(),
        replica_server_id: REPLICA_ID,
        start: LiveStart::Now,
        plans: LivePlans::none(),
    }
}

/// The lab's own account with that protection.
pub(crate) fn protected(lab: &Lab, mode: TlsMode, ca: Option<&Path>) -> LiveOptions {
    let tls = TlsConfig { mode, ca: ca.map(Path::to_owned), identity: None };
    LiveOptions { tls, ..options(lab, "twinlog", Some(Lab::PASSWORD)) }
}

pub(crate) fn secret(text: &str) -> PasswordSource {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    PasswordSource::Given(PasswordSource::File(file.path().into()).read().unwrap())
}

/// Follows until all has been sent, or the first connection has failed.
pub(crate) fn read(options: LiveOptions) -> Result<Vec<Transaction>, (DropReason, String)> {
    let runtime = Runtime::new().unwrap();
    let (send, mut receiver) = mpsc::channel(16);
    let status = Arc::new(StreamStatus::default());
    runtime.spawn(follow(options, send, status));
    let mut transactions = Vec::new();
    runtime.block_on(async {
        loop {
            match timeout(DEADLINE, receiver.recv()).await.unwrap().unwrap() {
                LiveEvent::Item(FeedItem::Transaction(transaction)) => {
                    transactions.push(*transaction);
                }
                LiveEvent::CaughtUp => return Ok(transactions),
                LiveEvent::Disconnected { reason, error } => {
                    return Err((reason, error.to_string()));
                }
                _ => {}
            }
        }
    })
}

/// Wants it to work.
pub(crate) fn works(what: &str, options: LiveOptions) {
    if let Err((reason, text)) = read(options) {
        panic!("{what}: {reason:?} {text}");
    }
}

/// Wants it refused for this reason, with all of these words.
pub(crate) fn refused(what: &str, options: LiveOptions, because: DropReason, words: &[&str]) {
    let (reason, text) = read(options).expect_err(what);
    assert_eq!(reason, because, "{what}: {text}");
    for word in words {
        assert!(text.contains(word), "{what}: {word:?} is not in: {text}");
    }
}

/// What a's files hold.
pub(crate) fn logged(lab: &Lab) -> Vec<Transaction> {
    let files = resolve_source("a", lab.binlog_dir("a")).unwrap();
    let mut transactions = Vec::new();
    let deliver = |item, _| {
        if let FeedItem::Transaction(transaction) = item {
            transactions.push(*transaction);
        }
        true
    };
    FileFeed::new("a", Arc::new(|_| TablePlan::default())).run(&files, deliver).unwrap();
    transactions
}
