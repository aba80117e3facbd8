//! What can go wrong with a store, and the way out.

use std::{io, path::PathBuf};

/// What went wrong with a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no store to look into.
    #[error(
        "no store at {}\n  hint: `twinlog watch` makes one where watch.store says",
        .0.display()
    )]
    Missing(PathBuf),
    /// Another process writes findings into this store.
    #[error(
        "store {} is in use by another twinlog{}\n  hint: one watch writes to a store; end that \
         one, or give this one a watch.store of its own",
        .path.display(),
        .process.as_ref().map(|process| format!(" (process {process})")).unwrap_or_default()
    )]
    InUse {
        /// The store.
        path: PathBuf,
        /// The other process, where its lock file tells.
        process: Option<String>,
    },
    /// A later twinlog has written it.
    #[error(
        "store {} has version {found}, this twinlog knows versions up to {known}\n  hint: use the \
         twinlog that wrote it, or a later one",
        .path.display()
    )]
    Newer {
        /// The store.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The latest version known here.
        known: i64,
    },
    /// The file is something else.
    #[error("{} is no store of twinlog: {found}\n  hint: name another file", .path.display())]
    NotAStore {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// The file, or its lock, cannot be made or opened.
    #[error(
        "store {}: cannot {doing}: {source}{}",
        .path.display(),
        if self.is_usage() {
            "\n  hint: the directory must be there, and writable for the user that twinlog runs as"
        } else {
            "\n  hint: is there room on the disk, and is it well?"
        }
    )]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// SQLite refuses.
    #[error("store {}: cannot {doing}: {source}{}", .path.display(), hint(.source))]
    Sqlite {
        /// The store.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What SQLite says.
        source: rusqlite::Error,
    },
}

impl StoreError {
    /// Whether another file, or rights to it, would mend it: what is configured is wrong. Else the
    /// disk or the system fails, or another program is in the way: tried again, it may work.
    pub fn is_usage(&self) -> bool {
        match self {
            StoreError::Missing(_)
            | StoreError::InUse { .. }
            | StoreError::Newer { .. }
            | StoreError::NotAStore { .. } => true,
            StoreError::Io { source, .. } => {
                use io::ErrorKind::*;
                matches!(
                    source.kind(),
                    NotFound
                        | PermissionDenied
                        | IsADirectory
                        | NotADirectory
                        | ReadOnlyFilesystem
                        | InvalidInput
                        | InvalidFilename
                )
            }
            StoreError::Sqlite { source, .. } => {
                use rusqlite::ErrorCode::*;
                let code = source.sqlite_error_code();
                matches!(code, Some(ReadOnly | PermissionDenied | CannotOpen | NotADatabase))
            }
        }
    }
}

fn hint(error: &rusqlite::Error) -> &'static str {
    use rusqlite::ErrorCode::*;
    match error.sqlite_error_code() {
        Some(DiskFull) => "\n  hint: make room on the disk",
        Some(DatabaseBusy | DatabaseLocked) => {
            "\n  hint: another program holds the file; try again, or end that one"
        }
        Some(ReadOnly | PermissionDenied | CannotOpen) => {
            "\n  hint: the file and its directory must be writable for this user"
        }
        Some(DatabaseCorrupt) => "\n  hint: move the file away; `twinlog watch` makes a new one",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_file_would_mend_is_told_from_a_disk_that_fails() {
        let io = |errno| StoreError::Io {
            path: "x".into(),
            doing: "make it",
            source: io::Error::from_raw_os_error(errno),
        };
        let sqlite = |code| StoreError::Sqlite {
            path: "x".into(),
            doing: "open it",
            source: rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None),
        };
        let (no_room, io_error, no_rights, read_only) = (28, 5, 13, 30);
        let (full, broken, busy, cannot_open) = (13, 10, 5, 14);
        assert!(io(no_rights).is_usage() && io(read_only).is_usage());
        assert!(io(no_rights).to_string().contains("writable"));
        assert!(!io(no_room).is_usage() && !io(io_error).is_usage());
        assert!(io(no_room).to_string().contains("room on the disk"));
        assert!(sqlite(cannot_open).is_usage());
        for code in [full, broken, busy] {
            assert!(!sqlite(code).is_usage(), "{code}");
        }
    }
}
