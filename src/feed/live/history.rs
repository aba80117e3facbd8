//! Whether a server still has the history that was read from it.
//!
//! A server whose logs were reset begins again with the same file names and, on MySQL, the same
//! GTIDs. It tells nobody: a connection that was there before goes on for ever, with heartbeats and
//! nothing else (MariaDB 10.11, MySQL 9.7), and one that asks by GTID is sent what it has not
//! yet. So the log is recognised by what was read of it last.

use super::{
    connect::Session,
    failure::{BEHIND_HINT, DropReason, Failure},
};
use crate::model::{Gtid, file_number};
use mysql_async::{Error, Row};
use std::sync::Arc;

/// `ER_ERROR_WHEN_EXECUTING_COMMAND`: no event begins at the offset.
const WRONG_OFFSET: u16 = 1220;

/// A transaction, and where it stands in the server's log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Mark {
    pub(super) file: Arc<str>,
    pub(super) start: u64,
    pub(super) gtid: Gtid,
}

/// What is known of a server's log.
pub(super) struct History<'a> {
    /// The file that was read last, and up to where.
    pub(super) file: &'a str,
    pub(super) offset: u64,
    /// The last transaction read.
    pub(super) mark: Option<&'a Mark>,
}

impl Session<'_> {
    /// Refuses a server whose log is not the one that was read, as far as it can be told: what was
    /// purged since cannot be looked at. It is believed when it says so twice: answers have no
    /// checksum as events have, and to begin anew costs findings.
    pub(super) async fn ensure_history(&mut self, known: &History<'_>) -> Result<(), Failure> {
        match self.looks_like(known).await {
            Err(failure) if failure.reason == DropReason::Reset => self.looks_like(known).await,
            looked => looked,
        }
    }

    async fn looks_like(&mut self, known: &History<'_>) -> Result<(), Failure> {
        let files = match self.rows::<Row>("SHOW BINARY LOGS").await {
            Ok(rows) => rows.iter().filter_map(name_and_size).collect::<Vec<_>>(),
            // What the account may not ask is not asked.
            Err(failure) if failure.reason == DropReason::Grant => return Ok(()),
            Err(failure) => return Err(failure),
        };
        if let Some(problem) = contradiction(&files, known.file, known.offset) {
            return Err(Failure::new(self.options, DropReason::Reset, problem, BEHIND_HINT));
        }
        let Some(mark) = known.mark else { return Ok(()) };
        if let Some(problem) = contradiction(&files, &mark.file, mark.start) {
            return Err(Failure::new(self.options, DropReason::Reset, problem, BEHIND_HINT));
        }
        if !files.iter().any(|(name, _)| **name == *mark.file) || !is_plain(&mark.file) {
            return Ok(());
        }
        let (file, start) = (&mark.file, mark.start);
        let statement = format!("SHOW BINLOG EVENTS IN '{file}' FROM {start} LIMIT 1");
        let there = match self.first_rows(&statement).await? {
            Ok(rows) => rows.first().is_some_and(|row| is_mark(row, mark)),
            Err(Error::Server(error)) => error.code != WRONG_OFFSET,
            Err(_) => true,
        };
        match there {
            true => Ok(()),
            false => {
                let problem =
                    format!("the server had {} in {file} at {start}, and now has not", mark.gtid);
                Err(Failure::new(self.options, DropReason::Reset, problem, BEHIND_HINT))
            }
        }
    }
}

/// What a list of files says against having read this file up to this offset.
fn contradiction(files: &[(String, u64)], file: &str, offset: u64) -> Option<String> {
    let newest = files.last().and_then(|(name, _)| file_number(name))?;
    match files.iter().find(|(name, _)| name == file) {
        Some((_, size)) if *size < offset => {
            Some(format!("{file} had {offset} bytes and now has {size}"))
        }
        None if file_number(file)? > newest => {
            Some(format!("{file} was read, and the server is at {newest} only"))
        }
        _ => None,
    }
}

fn name_and_size(row: &Row) -> Option<(String, u64)> {
    Some((row.get_opt::<String, _>(0)?.ok()?, row.get_opt::<u64, _>(1)?.ok()?))
}

/// Whether an event is the beginning of a transaction: its text names the GTID, or that it has
/// none.
fn is_mark(row: &Row, mark: &Mark) -> bool {
    let info = row.get_opt::<String, _>("Info").and_then(Result::ok).unwrap_or_default();
    let gtid = match mark.gtid.source.is_anonymous() {
        true => "ANONYMOUS".to_owned(),
        false => mark.gtid.to_string(),
    };
    info.split([' ', '\'']).any(|word| word == gtid)
}

/// A file's name is a part of a statement here.
fn is_plain(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_was_cut_or_begun_again_contradicts_what_was_read() {
        let files = |list: &[(&str, u64)]| -> Vec<(String, u64)> {
            list.iter().map(|(name, size)| ((*name).to_owned(), *size)).collect()
        };
        let is = files(&[("a.000003", 900), ("a.000004", 200)]);
        assert_eq!(contradiction(&is, "a.000004", 200), None);
        assert_eq!(contradiction(&is, "a.000003", 900), None);
        assert_eq!(contradiction(&is, "a.000002", 5000), None, "purged");
        assert!(contradiction(&is, "a.000004", 201).is_some());
        assert!(contradiction(&is, "a.000005", 4).is_some());
        assert_eq!(contradiction(&[], "a.000005", 4), None);
    }
}
