//! Single transactions, sent again by the server that has them.

use super::{
    DropReason, LiveOptions,
    connect::{Peer, Session},
    failure::{Failure, Stage},
    follow::{Broken, FIRST_EVENT_SECONDS, SILENCE_SECONDS, next_event},
    packet::{Arrival, Place, whole_event},
    preflight::{REPLICA_NAME, ensure_followable},
    request::Request,
};
use crate::{
    binlog::evidence::{Evidence, EvidenceFault, EvidenceReader},
    feed::evidence::{EvidenceError, Wanted, fault},
};
use mysql_async::BinlogStream;
use std::time::Duration;

/// Events whose descriptions are asked for at most, for the text of statements.
const SHOWN_EVENTS_MAX: u64 = 1_000;

/// Why it cannot be read: the connection, or the transaction.
enum Failed {
    Live(Failure),
    Evidence(EvidenceError),
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Failed::Live(failure)
    }
}

/// Reads a transaction from a server, which sends it again as it would to a replica.
///
/// The start in the options is not used. Their `replica_server_id` must not be that of a stream
/// that is being followed: the server would end that stream.
///
/// # Errors
/// [`EvidenceError`]: the server cannot be reached, has purged the file, or has another transaction
/// at the place.
pub async fn read_transaction(
    options: &LiveOptions,
    wanted: &Wanted,
) -> Result<Evidence, EvidenceError> {
    let failed = match read(options, wanted).await {
        Ok(evidence) => return Ok(evidence),
        Err(failed) => failed,
    };
    Err(match failed {
        Failed::Evidence(error) => error,
        Failed::Live(Failure { reason: DropReason::Purged, .. }) => EvidenceError::Purged {
            node: options.node.clone(),
            file: wanted.at.file.to_string(),
            from: options.url.to_string(),
        },
        Failed::Live(Failure { error, .. }) => error.into(),
    })
}

async fn read(options: &LiveOptions, wanted: &Wanted) -> Result<Evidence, Failed> {
    let at = &wanted.at;
    let Ok(start) = u32::try_from(at.start) else {
        let problem = format!("offset {} is past what the protocol can ask for (4 GiB)", at.start);
        let hint = "read the file itself, or a copy: NODE=DIRECTORY";
        return Err(Failure::new(options, DropReason::Protocol, problem, hint).into());
    };
    let mut session = Session::open(options).await?;
    let facts = session.facts().await?;
    ensure_followable(options, &facts)?;
    let mut reader = wanted.reader();
    if facts.is_mariadb {
        add_statements(&mut session, wanted, &mut reader).await?;
    }
    let request = Request::At(at.file.to_string(), start);
    let peer = session.peer.clone();
    let mut stream = session.dump(&request, facts.is_mariadb, REPLICA_NAME).await?;
    let mut place = Place::default();
    place.enter(&at.file, at.start);
    let mut bytes = Vec::new();
    let mut seconds = FIRST_EVENT_SECONDS;
    while place.offset() < at.end {
        next(options, &peer, &mut stream, seconds, &mut bytes).await?;
        seconds = SILENCE_SECONDS;
        let fail = |offset, error| Failed::Evidence(fault(&options.node, &at.file, offset, error));
        match place.arrival(&bytes) {
            Arrival::Logged(offset) => reader.event(&bytes).map_err(|e| fail(offset, e))?,
            Arrival::Enter(file, _) if *file == *at.file => {}
            // The log ends here, or goes on elsewhere: it is not the one that was read.
            Arrival::Enter(..) | Arrival::Heartbeat(true) => {
                return Err(fail(at.start, EvidenceFault::End));
            }
            Arrival::Heartbeat(false) | Arrival::Ignore | Arrival::Expanded => {}
        }
    }
    let fail = |error| Failed::Evidence(fault(&options.node, &at.file, at.start, error));
    reader.finish().map_err(fail)
}

/// Asks a MariaDB server for the statements of the transaction: it sends their text only to a
/// replica that asks in a way that the client library has not. An account that may not ask is told
/// by the absence of the text alone.
async fn add_statements(
    session: &mut Session<'_>,
    wanted: &Wanted,
    reader: &mut EvidenceReader,
) -> Result<(), Failure> {
    // A file's name is a part of a statement here.
    let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if !wanted.at.file.chars().all(legal) {
        return Ok(());
    }
    let (file, start) = (&wanted.at.file, wanted.at.start);
    let statement = format!("SHOW BINLOG EVENTS IN '{file}' FROM {start} LIMIT {SHOWN_EVENTS_MAX}");
    type Row = (Vec<u8>, u64, Vec<u8>, u32, u64, Vec<u8>);
    match session.rows::<Row>(&statement).await {
        Ok(rows) => {
            let ours = rows.iter().filter(|row| row.1 < wanted.at.end && row.2 == b"Annotate_rows");
            for row in ours {
                reader.add_statement(&String::from_utf8_lossy(&row.5));
            }
            Ok(())
        }
        Err(Failure { reason: DropReason::Timeout | DropReason::Io, error }) => {
            Err(Failure { reason: DropReason::Io, error })
        }
        Err(_) => Ok(()),
    }
}

/// Receives the next event, whole.
async fn next(
    options: &LiveOptions,
    peer: &Peer,
    stream: &mut BinlogStream,
    seconds: u64,
    bytes: &mut Vec<u8>,
) -> Result<(), Failure> {
    let event = tokio::time::timeout(Duration::from_secs(seconds), next_event(stream)).await;
    let event = event.map_err(|_| Failure::timeout(options, "silence", seconds))?;
    let event = event.map_err(|broken| match broken {
        Broken::Failed(error) => Failure::from_client(options, Stage::Streaming, peer, &error),
        Broken::Ended => Failure::closed(options, "the server ended the stream"),
        Broken::Panicked => {
            let hint = "is there a proxy in between? please report this, with the server's version";
            Failure::new(options, DropReason::Protocol, "the server sent what is no event", hint)
        }
    })?;
    whole_event(&event, bytes);
    Ok(())
}
