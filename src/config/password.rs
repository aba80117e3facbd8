//! Where a password comes from, and a value that does not print itself.

use std::{fmt, fs::File, io, io::Read, path::Path, path::PathBuf};

/// The most bytes a password file can have; MySQL's own limits are far below.
const PASSWORD_BYTES_MAX: u64 = 4096;

/// Where a password, or a token, is read when it is needed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PasswordSource {
    /// The first and only line of a file.
    File(PathBuf),
    /// An environment variable of this name.
    Env(String),
    /// Given by a program; the configuration has no word for it.
    Given(Secret),
}

/// A password. It does not print itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// Why a password could not be read.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// The file cannot be opened or read, or is no UTF-8.
    #[error("password file {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file has no password in it.
    #[error("password file {} is empty\nhint: put the password on its only line", .0.display())]
    Empty(PathBuf),
    /// The file has more than one line, or is far too long: probably another file was meant.
    #[error("password file {} has more than one line of at most 4096 bytes\n\
             hint: put nothing but the password in it", .0.display())]
    NotOneLine(PathBuf),
    /// The variable is not set, or is no UTF-8.
    #[error(
        "environment variable {0} (password_env) is not set\n\
             hint: set it for this process, or use password_file"
    )]
    NotSet(String),
}

impl PasswordSource {
    /// Reads the password; a line break at the end of the file is not part of it.
    ///
    /// # Errors
    /// See [`PasswordError`]; no error repeats what was read.
    pub fn read(&self) -> Result<Secret, PasswordError> {
        match self {
            PasswordSource::File(path) => read_file(path),
            PasswordSource::Env(name) => read_variable(name),
            PasswordSource::Given(secret) => Ok(secret.clone()),
        }
    }

    /// The file that it is in, if it is in one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            PasswordSource::File(path) => Some(path),
            PasswordSource::Env(_) | PasswordSource::Given(_) => None,
        }
    }
}

/// Warns of a file with a secret that everybody on the machine can read; `what` it is. It is not
/// refused: the secrets that container platforms mount are readable by all inside the container.
/// The configuration itself holds no secret, so nobody is warned of it.
pub fn warn_if_exposed(what: &str, path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o004 != 0 {
        let (path, mode) = (path.display(), mode & 0o777);
        tracing::warn!("{what} {path} can be read by every user (mode {mode:03o}); chmod 600");
    }
}

impl PasswordError {
    /// What is wrong, and what to do.
    pub fn parts(&self) -> (String, String) {
        let text = self.to_string();
        let (problem, hint) = text.split_once("\nhint: ").unwrap_or((&text, "make it readable"));
        (problem.to_owned(), hint.to_owned())
    }
}

fn read_file(path: &Path) -> Result<Secret, PasswordError> {
    let unreadable = |source| PasswordError::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let mut text = String::new();
    file.take(PASSWORD_BYTES_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    match line {
        "" => Err(PasswordError::Empty(path.to_owned())),
        line if line.contains('\n') || text.len() as u64 > PASSWORD_BYTES_MAX => {
            Err(PasswordError::NotOneLine(path.to_owned()))
        }
        line => Ok(Secret(line.to_owned())),
    }
}

#[expect(clippy::disallowed_methods, reason = "this is where the environment enters")]
fn read_variable(name: &str) -> Result<Secret, PasswordError> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty());
    value.map(Secret).ok_or_else(|| PasswordError::NotSet(name.to_owned()))
}

impl Secret {
    /// The password itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &[u8]) -> Result<String, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.password");
        std::fs::write(&path, content).unwrap();
        let read = PasswordSource::File(path).read();
        let shown = |error: PasswordError| {
            error.to_string().replace(&*directory.path().to_string_lossy(), "/etc/twinlog")
        };
        read.map(|secret| secret.expose().to_owned()).map_err(shown)
    }

    #[test]
    fn files() {
        assert_eq!(read(b"s3cret\n"), Ok("s3cret".into()));
        assert_eq!(read(b"s3cret\r\n"), Ok("s3cret".into()));
        assert_eq!(read(b" spaces count "), Ok(" spaces count ".into()));
        let empty = "password file /etc/twinlog/a.password is empty\n\
                     hint: put the password on its only line";
        assert_eq!(read(b"\n"), Err(empty.into()));
        let long = "password file /etc/twinlog/a.password has more than one line of at most 4096 \
                    bytes\nhint: put nothing but the password in it";
        assert_eq!(read(b"s3cret\n\n"), Err(long.into()));
        assert_eq!(read(&[b'x'; 5000]), Err(long.into()));
        let binary = "password file /etc/twinlog/a.password: stream did not contain valid UTF-8";
        assert_eq!(read(b"\xff\xfe"), Err(binary.into()));
        let missing = PasswordSource::File("/no/such/file".into()).read().unwrap_err().to_string();
        assert_eq!(missing, "password file /no/such/file: No such file or directory (os error 2)");
    }

    #[test]
    fn variables() {
        let set = PasswordSource::Env("PATH".into()).read().unwrap();
        assert_eq!(format!("{set:?}"), "Secret(..)");
        let unset = PasswordSource::Env("TWINLOG_NOT_SET".into()).read().unwrap_err();
        assert_eq!(
            unset.to_string(),
            "environment variable TWINLOG_NOT_SET (password_env) is not set\n\
             hint: set it for this process, or use password_file"
        );
    }
}
