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
        "store {}: cannot {doing}: {source}\n  hint: the directory must be there, and writable \
         for the user that twinlog runs as",
        .path.display()
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
