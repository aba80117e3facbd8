//! What a server has applied and what it has logged, for one that does not log what it applies.

use super::{LiveOptions, connect::Session, failure::Failure};
use crate::model::{Applied, GtidSet, GtidSource};
use std::{str::FromStr, time::Duration};
use tokio::sync::mpsc;
use tracing::warn;

/// From one question to the next. What is applied and what is written within three or four of
/// them cannot be put in order.
const PACE: Duration = Duration::from_millis(100);
/// After one that had no answer.
const RETRY: Duration = Duration::from_secs(2);

/// Asks a server ten times a second how far it has applied the others' transactions, and how far
/// its own log goes, until nobody wants the answers.
///
/// It has a connection of its own. Where the server cannot be asked there is no answer; the log
/// says so once. A server with an id that is not among `server_ids` is another one, and not asked.
pub async fn keep_asking(
    options: LiveOptions,
    server_ids: Vec<u32>,
    answers: mpsc::Sender<Applied>,
) {
    let mut session = None;
    let mut failing = false;
    while !answers.is_closed() {
        match ask(&options, &mut session, &server_ids).await {
            Ok(answer) => {
                failing = false;
                if let Some(answer) = answer
                    && answers.send(answer).await.is_err()
                {
                    return;
                }
                tokio::time::sleep(PACE).await;
            }
            Err(failure) => {
                session = None;
                if !std::mem::replace(&mut failing, true) {
                    let node = options.node.as_str();
                    let error = &failure.error;
                    warn!(
                        node,
                        "cannot ask what it has applied, so the order of writes stays open: {error}"
                    );
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// A connection, and what its server calls its own.
struct Known<'a> {
    session: Session<'a>,
    own: Own,
}

/// By what a server's own transactions are known.
enum Own {
    /// Another server, or one that logs what it applies: it is not asked.
    NotAsked,
    MariaDb {
        server_id: u32,
    },
    MySql {
        uuid: [u8; 16],
    },
}

/// Asks once, over the connection that is there or a new one.
async fn ask<'a>(
    options: &'a LiveOptions,
    kept: &mut Option<Known<'a>>,
    server_ids: &[u32],
) -> Result<Option<Applied>, Failure> {
    let known = match kept {
        Some(known) => known,
        None => {
            let mut session = Session::open(options).await?;
            let own = own(&mut session, server_ids).await?;
            kept.insert(Known { session, own })
        }
    };
    let session = &mut known.session;
    match known.own {
        Own::NotAsked => {
            // Until it is another one again.
            *kept = None;
            tokio::time::sleep(RETRY).await;
            Ok(None)
        }
        Own::MariaDb { server_id } => {
            let applied = set(&session.value("SELECT @@global.gtid_slave_pos").await?);
            let mut own = set(&session.value("SELECT @@global.gtid_binlog_state").await?);
            own.retain(|source| match source {
                GtidSource::MariaDb { server_id: of, .. } => *of == server_id,
                _ => false,
            });
            Ok(Some(Applied { applied, own }))
        }
        Own::MySql { uuid } => {
            let all = set(&session.value("SELECT @@global.gtid_executed").await?);
            let is_own = |source: &GtidSource| match source {
                GtidSource::MySql { uuid: of, .. } => *of == uuid,
                _ => false,
            };
            let (mut applied, mut own) = (all.clone(), all);
            applied.retain(|source| !is_own(source));
            own.retain(is_own);
            Ok(Some(Applied { applied, own }))
        }
    }
}

async fn own(session: &mut Session<'_>, server_ids: &[u32]) -> Result<Own, Failure> {
    let facts = session.facts().await?;
    Ok(match facts.server_uuid {
        _ if facts.log_replica_updates || !server_ids.contains(&facts.server_id) => Own::NotAsked,
        _ if facts.is_mariadb => Own::MariaDb { server_id: facts.server_id },
        Some(uuid) => Own::MySql { uuid },
        None => Own::NotAsked,
    })
}

/// Servers print sets that they read themselves; what is none counts as nothing.
fn set(text: &str) -> GtidSet {
    GtidSet::from_str(text).unwrap_or_default()
}
