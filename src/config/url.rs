//! Server addresses: `mysql://user@host:port`.

use super::error::ValueError;
use std::{fmt, net::IpAddr, path::PathBuf, str::FromStr};

const EXAMPLE: &str =
    r#"write "mysql://user@host:3306", or "mysql://user@localhost?socket=/path/mysqld.sock""#;

/// Where a server listens and who asks; never a password.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct MysqlUrl {
    /// The account's name.
    pub user: String,
    /// Host name or address; an IPv6 address without its brackets.
    pub host: String,
    /// TCP port, 3306 where the text names none.
    pub port: u16,
    /// Unix socket; where given, host and port are not used.
    pub socket: Option<PathBuf>,
}

impl MysqlUrl {
    /// Whether the bytes never leave this machine.
    pub fn is_local(&self) -> bool {
        let loopback = self.host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
        self.socket.is_some() || loopback || self.host.eq_ignore_ascii_case("localhost")
    }

    /// Whether two texts mean the same server, whoever asks.
    pub(super) fn same_server(&self, other: &MysqlUrl) -> bool {
        match (&self.socket, &other.socket) {
            (None, None) => (&self.host, self.port) == (&other.host, other.port),
            (ours, theirs) => ours == theirs,
        }
    }
}

impl FromStr for MysqlUrl {
    type Err = ValueError;

    /// Reads `mysql://user@host:port` or `mysql://user@localhost?socket=/path`.
    ///
    /// In user and socket, `%40` stands for `@`, and so on. Errors do not repeat the text, since
    /// a mistyped one may hold a password.
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let wrong = |message: &str| ValueError::new(message, EXAMPLE);
        let rest = text
            .strip_prefix("mysql://")
            .ok_or_else(|| wrong("is no server's url: it does not begin with mysql://"))?;
        let (user, address) =
            rest.split_once('@').ok_or_else(|| wrong("names no user before an @"))?;
        if user.contains(':') {
            let hint = "take it out, and name it with password_file or password_env";
            return Err(ValueError::new("has a password in it", hint));
        }
        let user = decoded(user).ok_or_else(|| wrong("names no readable user before the @"))?;
        let (address, query) = match address.split_once('?') {
            Some((address, query)) => (address, Some(query)),
            None => (address, None),
        };
        let socket = query.map(read_socket).transpose()?;
        let address = address.strip_suffix('/').unwrap_or(address);
        if address.contains('/') {
            return Err(wrong("names a database; replication has none"));
        }
        let (host, port) = read_address(address)?;
        Ok(MysqlUrl { user, host, port, socket })
    }
}

/// Reads `host`, `host:port`, `[::1]` or `[::1]:port`.
fn read_address(address: &str) -> Result<(String, u16), ValueError> {
    let wrong = |message: String| ValueError::new(message, EXAMPLE);
    let (host, port) = match address.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, rest)) => (host, Some(rest.strip_prefix(':').unwrap_or("?"))),
        None => address.split_once(':').map_or((address, None), |(h, p)| (h, Some(p))),
    };
    let bracketed = address.starts_with('[');
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let host_is_legal = match bracketed {
        true => host.parse::<std::net::Ipv6Addr>().is_ok(),
        false => !host.is_empty() && host.chars().all(legal),
    };
    if !host_is_legal {
        return Err(wrong("has no host name or address after the @".into()));
    }
    let port = match port {
        None => 3306,
        Some(text) => text.parse().ok().filter(|port| *port > 0).ok_or_else(|| {
            let hint = "write a number from 1 to 65535; an IPv6 address stands in [brackets]";
            ValueError::new("has no port after the host's colon", hint)
        })?,
    };
    Ok((host.to_owned(), port))
}

/// Reads the part after `?`, which can only name a socket.
fn read_socket(query: &str) -> Result<PathBuf, ValueError> {
    let path = query.strip_prefix("socket=").filter(|path| !path.contains('&'));
    let path = path
        .ok_or_else(|| ValueError::new("has a parameter other than socket after the ?", EXAMPLE))?;
    let path = decoded(path).filter(|path| path.starts_with('/'));
    let path =
        path.ok_or_else(|| ValueError::new("names a socket by no absolute path", EXAMPLE))?;
    Ok(PathBuf::from(path))
}

/// Resolves `%40` and its like; `None` when that gives no text or nothing.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        let legal = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        bytes.push(u8::from_str_radix(digits, 16).ok().filter(|_| legal)?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).ok().filter(|text| !text.is_empty())
}

/// The reverse of [`decoded`], for what would not be read back.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '%' | '@' | ':' | '/' | '?' | '&' | '#' => out += &format!("%{:02X}", c as u32),
            c => out.push(c),
        }
    }
    out
}

impl fmt::Display for MysqlUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mysql://{}@", encoded(&self.user))?;
        match self.host.contains(':') {
            true => write!(f, "[{}]", self.host)?,
            false => write!(f, "{}", self.host)?,
        }
        match &self.socket {
            None => write!(f, ":{}", self.port),
            Some(path) => {
                let path = path.to_string_lossy();
                write!(f, "?socket={}", encoded(&path).replace("%2F", "/"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_print_what_they_read() {
        for (text, printed) in [
            ("mysql://twinlog@10.0.0.1:3306", "mysql://twinlog@10.0.0.1:3306"),
            ("mysql://twinlog@db-1.example/", "mysql://twinlog@db-1.example:3306"),
            ("mysql://u@[::1]:3307", "mysql://u@[::1]:3307"),
            ("mysql://u@[::1]", "mysql://u@[::1]:3306"),
            ("mysql://u%40x@h", "mysql://u%40x@h:3306"),
            (
                "mysql://u@localhost?socket=/run/my@sock",
                "mysql://u@localhost?socket=/run/my%40sock",
            ),
        ] {
            let url: MysqlUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), printed);
            assert_eq!(printed.parse(), Ok(url));
        }
    }

    #[test]
    fn errors_name_the_fault_and_never_the_text() {
        for (text, message) in [
            ("10.0.0.1:3306", "is no server's url: it does not begin with mysql://"),
            ("mysql://10.0.0.1:3306", "names no user before an @"),
            ("mysql://root:s3cret", "names no user before an @"),
            ("mysql://root:s3cret@h", "has a password in it"),
            ("mysql://root:s3/cr@et@h:1", "has a password in it"),
            ("mysql://@h", "names no readable user before the @"),
            ("mysql://%zz@h", "names no readable user before the @"),
            ("mysql://%+1@h", "names no readable user before the @"),
            ("mysql://u@", "has no host name or address after the @"),
            ("mysql://u@h h", "has no host name or address after the @"),
            ("mysql://u@[zz]:1", "has no host name or address after the @"),
            ("mysql://u@h:0", "has no port after the host's colon"),
            ("mysql://u@::1", "has no host name or address after the @"),
            ("mysql://u@h:70000", "has no port after the host's colon"),
            ("mysql://u@[::1]3306", "has no port after the host's colon"),
            ("mysql://u@h/shop", "names a database; replication has none"),
            ("mysql://u@h?password=s3cret", "has a parameter other than socket after the ?"),
            ("mysql://u@h?socket=x.sock", "names a socket by no absolute path"),
        ] {
            let error = text.parse::<MysqlUrl>().unwrap_err();
            assert_eq!(error.message, message, "{text}");
            assert!(!error.to_string().contains("s3cret"));
        }
    }

    #[test]
    fn only_loopback_and_sockets_are_local() {
        for (text, local) in [
            ("mysql://u@localhost", true),
            ("mysql://u@127.0.0.9", true),
            ("mysql://u@[::1]", true),
            ("mysql://u@[::ffff:127.0.0.1]", true),
            ("mysql://u@db?socket=/run/s", true),
            ("mysql://u@10.0.0.1", false),
            ("mysql://u@localhost.example", false),
        ] {
            assert_eq!(text.parse::<MysqlUrl>().unwrap().is_local(), local, "{text}");
        }
    }
}
