//! Which binlog files a server has, and how it is set: asked now and then while it is followed.

use super::{LiveOptions, ServerFacts, connect::Session, failure::Failure};
use crate::model::file_number;
use mysql_async::Row;
use std::time::Duration;
use tokio::sync::mpsc;
use tracing::warn;

/// From one question to the next.
const PACE: Duration = Duration::from_secs(30);

/// What a server says of itself now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Survey {
    /// Its settings, as far as they matter here.
    pub facts: ServerFacts,
    /// The numbers of its oldest and its newest binlog file; `None` where it does not tell.
    pub files: Option<(u64, u64)>,
}

/// Asks a server at once and every 30 seconds, until nobody wants the answers.
///
/// It has a connection of its own, which it keeps. Where the server cannot be asked, there is no
/// answer; the log says so once.
pub async fn keep_surveying(options: LiveOptions, answers: mpsc::Sender<Survey>) {
    let mut session = None;
    let mut failing = false;
    loop {
        let (answer, problem) = match survey(&options, &mut session).await {
            Ok((survey, problem)) => (Some(survey), problem),
            Err(failure) => (None, Some(failure)),
        };
        match &problem {
            None => failing = false,
            Some(failure) if !std::mem::replace(&mut failing, true) => warn!(
                node = options.node,
                "cannot ask for its binlog files and settings: {}", failure.error
            ),
            Some(_) => {}
        }
        if problem.is_some() {
            session = None;
        }
        if let Some(survey) = answer
            && answers.send(survey).await.is_err()
        {
            return;
        }
        tokio::time::sleep(PACE).await;
    }
}

/// Asks once, over the connection that is there or a new one; what the account may not ask is left
/// out.
///
/// # Source
/// MySQL 8.0 to 9.7 and MariaDB 10.11: `SHOW BINARY LOGS` lists the files in the order of their
/// index, the oldest first; the first column is the file's base name.
async fn survey<'a>(
    options: &'a LiveOptions,
    kept: &mut Option<Session<'a>>,
) -> Result<(Survey, Option<Failure>), Failure> {
    let session = match kept {
        Some(session) => session,
        None => kept.insert(Session::open(options).await?),
    };
    let facts = session.facts().await?;
    let (files, problem) = match session.rows::<Row>("SHOW BINARY LOGS").await {
        Ok(rows) => (oldest_and_newest(&rows), None),
        Err(failure) => (None, Some(failure)),
    };
    Ok((Survey { facts, files }, problem))
}

fn oldest_and_newest(rows: &[Row]) -> Option<(u64, u64)> {
    let number = |row: &Row| file_number(&row.get_opt::<String, _>(0)?.ok()?);
    Some((number(rows.first()?)?, number(rows.last()?)?))
}
