//! Whether an error has stopped what a server applies.

use super::{LiveOptions, connect::Session, failure::Failure};
use mysql_async::Row;
use std::{sync::Arc, time::Duration};
use tokio::sync::{Notify, mpsc};
use tracing::warn;

/// From one question to the next at least.
const PACE: Duration = Duration::from_secs(2);
/// How long the connection is kept for the next question.
const KEEP: Duration = Duration::from_secs(60);

/// Answers, each time that it is asked and at most every two seconds, with the number of the error
/// that has stopped the server's applier, or with `None` where none has.
///
/// It has a connection of its own. Where the server cannot be asked, there is no answer; the log
/// says so once.
pub async fn answer_applier_errors(
    options: LiveOptions,
    ask: Arc<Notify>,
    answers: mpsc::Sender<Option<u32>>,
) {
    let mut session = None;
    let mut failing = false;
    loop {
        if tokio::time::timeout(KEEP, ask.notified()).await.is_err() {
            session = None;
            ask.notified().await;
        }
        match applier_error(&options, &mut session).await {
            Ok(errno) => {
                failing = false;
                if answers.send(errno).await.is_err() {
                    return;
                }
            }
            Err(failure) => {
                session = None;
                if !std::mem::replace(&mut failing, true) {
                    warn!(
                        node = options.node,
                        "cannot ask whether replication has stopped there, so conflicts stay \
                         pending: {}",
                        failure.error
                    );
                }
            }
        }
        tokio::time::sleep(PACE).await;
    }
}

/// Asks once, over the connection that is there or a new one.
///
/// # Source
/// MySQL 9.7 and MariaDB 10.11: columns `Replica_SQL_Running` (MySQL since 8.0.22) or
/// `Slave_SQL_Running`, and `Last_SQL_Errno`. One row a channel or connection.
async fn applier_error<'a>(
    options: &'a LiveOptions,
    kept: &mut Option<Session<'a>>,
) -> Result<Option<u32>, Failure> {
    let session = match kept {
        Some(session) => session,
        None => {
            let mut session = Session::open(options).await?;
            session.facts().await?;
            kept.insert(session)
        }
    };
    let rows = match session.peer.mariadb {
        Some(true) => session.rows::<Row>("SHOW ALL SLAVES STATUS").await?,
        _ => match session.rows::<Row>("SHOW REPLICA STATUS").await {
            Ok(rows) => rows,
            // Before 8.0.22.
            Err(failure) => session.rows::<Row>("SHOW SLAVE STATUS").await.map_err(|_| failure)?,
        },
    };
    Ok(rows.iter().find_map(error_of))
}

fn error_of(row: &Row) -> Option<u32> {
    let text = |name: &str| {
        let columns = row.columns_ref();
        let at = columns.iter().position(|column| column.name_str() == name)?;
        row.get_opt::<String, _>(at)?.ok()
    };
    let running = text("Replica_SQL_Running").or_else(|| text("Slave_SQL_Running"))?;
    let errno = text("Last_SQL_Errno")?.parse().ok()?;
    (running == "No" && errno != 0).then_some(errno)
}
