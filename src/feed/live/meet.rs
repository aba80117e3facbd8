//! The first questions to a server, asked until it is there to answer.

use super::{
    DropReason, FeedError, LiveOptions, ServerFacts,
    backoff::Backoff,
    connect::Session,
    failure::Failure,
    preflight::{Asks, ensure_alone},
    tables::tables_of,
};
use crate::model::TableSchemas;

/// Asks a server what it is and which tables it has; waits for one that is not there.
///
/// `waits` is told why, at every attempt.
///
/// # Errors
/// What only a person can mend: an account that is refused, TLS that cannot be agreed on, a replica
/// server id that another has.
pub async fn meet(
    options: &LiveOptions,
    mut waits: impl FnMut(&FeedError),
) -> Result<(ServerFacts, TableSchemas), FeedError> {
    let mut backoff = Backoff::default();
    loop {
        let Failure { reason, error } = match ask(options).await {
            Ok(answers) => return Ok(answers),
            Err(failure) => failure,
        };
        if !may_pass(reason) {
            return Err(error);
        }
        waits(&error);
        tokio::time::sleep(backoff.after(reason)).await;
    }
}

async fn ask(options: &LiveOptions) -> Result<(ServerFacts, TableSchemas), Failure> {
    let mut session = Session::open(options).await?;
    let facts = session.facts().await?;
    ensure_alone(&mut session, Asks::Newcomer).await?;
    let tables = tables_of(&mut session).await?;
    Ok((facts, tables))
}

/// Whether it may be over without anybody's doing.
fn may_pass(reason: DropReason) -> bool {
    use DropReason::{Connect, Io, ServerClosed, Timeout};
    matches!(reason, Connect | Io | ServerClosed | Timeout)
}
