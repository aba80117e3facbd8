//! Going on by file and offset, where a MySQL server numbers no transactions (`gtid_mode` is not
//! ON).

use super::{
    LiveStart,
    connect::Session,
    failure::{DropReason, Failure},
    progress::Delivered,
    request::Request,
};
use crate::model::GtidSet;
use mysql_async::Row;

/// What is asked of a server, and what is known to be missing before it, for a person.
pub(super) struct Plan {
    pub(super) request: Request,
    pub(super) missing: Option<String>,
}

impl From<Request> for Plan {
    fn from(request: Request) -> Plan {
        Plan { request, missing: None }
    }
}

impl Session<'_> {
    /// Says what comes next in a log without GTIDs; `purged`: the server has not what came after
    /// the last transaction.
    pub(super) async fn plan_by_coordinates(
        &mut self,
        start: &LiveStart,
        delivered: &mut Delivered,
        purged: bool,
    ) -> Result<Plan, Failure> {
        delivered.restart();
        if delivered.set.is_none() {
            return Ok(match start {
                LiveStart::Now => {
                    let (file, offset, executed) = self.end_of_log().await?;
                    delivered.begin(executed);
                    delivered.go_on_at(&file, offset);
                    request(&file, offset).into()
                }
                LiveStart::At { file, .. } => Request::File(file.clone()).into(),
                LiveStart::Earliest | LiveStart::Resume(_) => Request::File(String::new()).into(),
            });
        }
        let Some((file, offset)) = delivered.next.clone() else {
            let (file, offset, _) = self.end_of_log().await?;
            delivered.go_on_at(&file, offset);
            let missing = format!(
                "of this log nothing had been read before the restart: what was committed \
                 before {file} at {offset} was not read"
            );
            return Ok(Plan { request: request(&file, offset), missing: Some(missing) });
        };
        if purged {
            delivered.go_on_at("", 0);
            let missing =
                format!("the server purged what came after {file} at {offset} before it was read");
            return Ok(Plan { request: request("", 0), missing: Some(missing) });
        }
        // From the last transaction on: what stands there now tells whether the log is the same.
        let offset = delivered.anonymous_mark(&file).map_or(offset, |mark| mark.start.min(offset));
        Ok(request(&file, offset).into())
    }

    /// Where the server's log ends: file, offset, and the GTIDs that it names there.
    ///
    /// # Source
    /// `SHOW BINARY LOG STATUS` (MySQL since 8.2), before `SHOW MASTER STATUS`.
    pub(super) async fn end_of_log(&mut self) -> Result<(String, u64, GtidSet), Failure> {
        let rows = match self.rows::<Row>("SHOW BINARY LOG STATUS").await {
            Err(failure) if failure.reason == DropReason::Protocol => {
                self.rows::<Row>("SHOW MASTER STATUS").await?
            }
            answer => answer?,
        };
        let end = rows.first().and_then(|row| {
            let text = |at| row.get_opt::<String, _>(at).and_then(Result::ok);
            let executed = text(4).unwrap_or_default().replace('\n', "");
            Some((text(0)?, row.get_opt::<u64, _>(1)?.ok()?, executed.parse().ok()?))
        });
        end.ok_or_else(|| {
            let problem = "the server does not say where its log ends";
            let hint = "does SHOW BINARY LOG STATUS (SHOW MASTER STATUS) give a row there?";
            Failure::new(self.options, DropReason::Server, problem, hint)
        })
    }
}

/// The protocol has four bytes for an offset: past them the file is sent from its head.
fn request(file: &str, offset: u64) -> Request {
    match u32::try_from(offset) {
        _ if file.is_empty() => Request::File(String::new()),
        Ok(offset) => Request::At(file.to_owned(), offset),
        Err(_) => Request::File(file.to_owned()),
    }
}
