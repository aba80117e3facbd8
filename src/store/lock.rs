//! One writer a store: a lock file beside it.
//!
//! SQLite's own exclusive mode would also shut out `twinlog findings`, which looks into the store
//! while `watch` runs. The system drops the lock with the process, however that ends.

use super::StoreError;
use rustix::fs::{FlockOperation, flock};
use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// Held for as long as this process may write findings.
#[derive(Debug)]
pub(super) struct Lock {
    /// Closing the file drops the lock.
    _file: File,
}

impl Lock {
    /// Takes the lock of a store that is there, or says who has it. The file stays when the lock is
    /// dropped: removing it would let two processes lock two files of one name.
    pub(super) fn take(store: &Path) -> Result<Lock, StoreError> {
        // One store has one lock, whatever links lead to it.
        let mut path = store.canonicalize().unwrap_or_else(|_| store.to_owned()).into_os_string();
        path.push(".lock");
        let path = PathBuf::from(path);
        let io = |doing| {
            let path = path.clone();
            move |source| StoreError::Io { path, doing, source }
        };
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).map_err(io("open its lock"))?;
        if let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
            if error != rustix::io::Errno::WOULDBLOCK {
                return Err(io("lock it")(error.into()));
            }
            let mut process = String::new();
            // Who it is helps, but is no part of the lock.
            let _ = file.read_to_string(&mut process);
            let process = Some(process.trim().to_owned()).filter(|process| !process.is_empty());
            return Err(StoreError::InUse { path: store.to_owned(), process });
        }
        let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        written.map_err(io("write its lock"))?;
        Ok(Lock { _file: file })
    }
}
