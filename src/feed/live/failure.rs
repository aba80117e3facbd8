//! Why a connection fails or ends, in words that say what to do.

use super::{FeedError, LiveOptions, connect::Peer};
use crate::{binlog::ReadError, config::TlsMode};
use mysql_async::{DriverError, Error, IoError, ServerError};
use std::io::ErrorKind;

/// Why a connection failed or ended; a closed set, for metrics.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum DropReason {
    /// The server cannot be reached.
    Connect,
    /// The server refuses the account.
    Auth,
    /// The account may not do what is needed.
    Grant,
    /// TLS could not be agreed on.
    Tls,
    /// The server is set up in a way that cannot be followed.
    Server,
    /// The connection broke.
    Io,
    /// Not even heartbeats came.
    Timeout,
    /// The server ended the connection: it shuts down, or someone killed the connection.
    ServerClosed,
    /// The files that come next are no longer on the server.
    Purged,
    /// The server does not have what it had sent: its logs were reset, or it lost their end.
    Behind,
    /// The server's log is another one than was read: what had been read is not there any more.
    Reset,
    /// Another server answers.
    Replaced,
    /// Another replica, or another twinlog, has our server id there.
    SameId,
    /// An event cannot be read.
    Data,
    /// It was not read for so long that the server may have ended it: the judge had to wait for
    /// another stream first.
    Backpressure,
    /// Anything else that the server or the client library reports.
    Protocol,
}

impl DropReason {
    /// All reasons, for metrics that start at zero.
    pub const ALL: [DropReason; 16] = [
        DropReason::Connect,
        DropReason::Auth,
        DropReason::Grant,
        DropReason::Tls,
        DropReason::Server,
        DropReason::Io,
        DropReason::Timeout,
        DropReason::ServerClosed,
        DropReason::Purged,
        DropReason::Behind,
        DropReason::Reset,
        DropReason::Replaced,
        DropReason::SameId,
        DropReason::Data,
        DropReason::Backpressure,
        DropReason::Protocol,
    ];

    /// The word in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            DropReason::Connect => "connect",
            DropReason::Auth => "auth",
            DropReason::Grant => "grant",
            DropReason::Tls => "tls",
            DropReason::Server => "server",
            DropReason::Io => "io",
            DropReason::Timeout => "timeout",
            DropReason::ServerClosed => "server_closed",
            DropReason::Purged => "purged",
            DropReason::Behind => "behind",
            DropReason::Reset => "reset",
            DropReason::Replaced => "replaced",
            DropReason::SameId => "same_id",
            DropReason::Data => "data",
            DropReason::Backpressure => "backpressure",
            DropReason::Protocol => "protocol",
        }
    }
}

pub(super) const BEHIND_HINT: &str = "the server's logs were reset, or it crashed and lost their \
                                      end (sync_binlog=1 prevents that): if it stays so, this \
                                      node's stream begins anew, and a blind spot says so";

/// Characters of a server's message that are told; no server has longer ones.
const MESSAGE_MAX: usize = 2048;

/// A reason with its error.
pub(super) struct Failure {
    pub(super) reason: DropReason,
    pub(super) error: FeedError,
}

/// What was being done when an error came; the same code means different things.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Connecting,
    Asking,
    Streaming,
}

impl Failure {
    pub(super) fn new(
        options: &LiveOptions,
        reason: DropReason,
        problem: impl Into<String>,
        hint: impl Into<String>,
    ) -> Failure {
        let error = FeedError::Server {
            node: options.node.clone(),
            url: options.url.to_string(),
            problem: problem.into(),
            hint: hint.into(),
        };
        Failure { reason, error }
    }

    /// Says after which place of the stream it came, where it was something that came.
    #[must_use]
    pub(super) fn after(mut self, file: &str, offset: u64) -> Failure {
        if matches!(self.reason, DropReason::Protocol | DropReason::Io)
            && let FeedError::Server { problem, .. } = &mut self.error
        {
            *problem += &format!(", after {file} at {offset}");
        }
        self
    }

    pub(super) fn timeout(options: &LiveOptions, what: &str, seconds: u64) -> Failure {
        let hint = "is the server up, and does a firewall drop the connection?";
        let problem = format!("{what} for {seconds} seconds");
        Failure::new(options, DropReason::Timeout, problem, hint)
    }

    pub(super) fn held_back(options: &LiveOptions, seconds: u64) -> Failure {
        let problem =
            format!("not read for {seconds} seconds, while other streams were waited for");
        let hint = "nothing is lost: the stream goes on where it was";
        Failure::new(options, DropReason::Backpressure, problem, hint)
    }

    pub(super) fn too_many_maps(options: &LiveOptions) -> Failure {
        let problem = "table maps of more tables than can be held, in one file of its log";
        let hint =
            "the stream goes on after the last transaction; if this repeats, is it a server?";
        Failure::new(options, DropReason::Protocol, problem, hint)
    }

    pub(super) fn closed(options: &LiveOptions, what: &str) -> Failure {
        let hint = "the server shuts down, crashed, or someone ended this connection; \
                    its error log says more";
        Failure::new(options, DropReason::ServerClosed, what, hint)
    }

    pub(super) fn read(options: &LiveOptions, file: &str, offset: u64, source: ReadError) -> Self {
        let error = FeedError::Read {
            node: options.node.clone(),
            file: file.to_owned(),
            offset,
            source,
            hint: "it is asked for again; if this repeats, the file on the server is damaged: \
                   compare with mysqlbinlog --verify-binlog-checksum",
        };
        Failure { reason: DropReason::Data, error }
    }

    pub(super) fn from_client(
        options: &LiveOptions,
        stage: Stage,
        peer: &Peer,
        error: &Error,
    ) -> Failure {
        match error {
            Error::Server(error) => from_server(options, stage, peer, error),
            Error::Io(IoError::Tls(error)) => tls(options, &error.to_string()),
            Error::Io(IoError::Io(error)) => from_io(options, stage, error),
            Error::Driver(error) => from_driver(options, error),
            other => Failure::new(
                options,
                DropReason::Protocol,
                other.to_string(),
                "please report this, with the server's version",
            ),
        }
    }
}

fn tls(options: &LiveOptions, problem: &str) -> Failure {
    let says = |text: &str| problem.contains(text);
    let host = &options.url.host;
    let hint = if says("not valid for name") {
        format!(
            "have a certificate made for {host}, put a name that it has into the url, or use mode \
             \"verify-ca\", which looks at the authority alone"
        )
    } else if says("UnknownIssuer") {
        let known = match &options.tls.ca {
            Some(ca) => format!("in {}", ca.display()),
            None => "among the well-known public ones".to_owned(),
        };
        format!(
            "the authority that signed the server's certificate is not {known}: name it with \
             tls = {{ ca = \"FILE\" }}; mode \"required\" asks for none"
        )
    } else if says("expired") || says("not valid yet") {
        "renew the certificate on the server; if it is good, the clock of this machine is wrong"
            .to_owned()
    } else if says("UnsupportedCertVersion") {
        "the server's certificate, or tls.cert, is of X.509 version 1; have one made of version 3"
            .to_owned()
    } else if says("fatal alert") {
        "the server refuses: tls.cert and tls.key must be signed by an authority in its ssl_ca, \
         and not have expired"
            .to_owned()
    } else {
        "the server must offer TLS 1.2 or 1.3; its error log says more".to_owned()
    };
    Failure::new(options, DropReason::Tls, format!("TLS: {problem}"), hint)
}

fn from_io(options: &LiveOptions, stage: Stage, error: &std::io::Error) -> Failure {
    let text = error.to_string();
    let closed = matches!(
        error.kind(),
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
    );
    if stage == Stage::Connecting {
        // The handshake's own errors arrive in this wrapping.
        if error.kind() == ErrorKind::InvalidData && options.tls.mode != TlsMode::Off {
            return tls(options, &text);
        }
        let hint = "is the server up, is the url right, and does it listen there?";
        return Failure::new(options, DropReason::Connect, text, hint);
    }
    if closed {
        return Failure::closed(options, &text);
    }
    let hint = "the network, or a server that sends what is no binlog; its error log says more";
    Failure::new(options, DropReason::Io, text, hint)
}

fn from_driver(options: &LiveOptions, error: &DriverError) -> Failure {
    let (reason, hint) = match error {
        DriverError::ConnectionClosed => {
            return Failure::closed(options, "the server closed the connection");
        }
        DriverError::NoClientSslFlagFromServer => {
            (DropReason::Tls, "the server offers no TLS: set it up there, or tls mode \"off\"")
        }
        DriverError::UnknownAuthPlugin { .. }
        | DriverError::CleartextPluginDisabled
        | DriverError::MysqlOldPasswordDisabled => (
            DropReason::Auth,
            "twinlog cannot log in that way: make an account of caching_sha2_password (MySQL), \
             mysql_native_password, ed25519 or parsec (MariaDB)",
        ),
        DriverError::NoKeyFound => (DropReason::Tls, "name a PEM file with a key as tls.key"),
        _ => (DropReason::Protocol, "please report this, with the server's version"),
    };
    Failure::new(options, reason, error.to_string(), hint)
}

fn from_server(options: &LiveOptions, stage: Stage, peer: &Peer, error: &ServerError) -> Failure {
    let user = &options.url.user;
    let message: String = error.message.chars().take(MESSAGE_MAX).collect();
    let problem = format!("error {}: {message}", error.code);
    let connecting = stage == Stage::Connecting;
    let (reason, hint) = match error.code {
        1045 | 1698 if connecting => (DropReason::Auth, password_hint(options)),
        3159 => (
            DropReason::Tls,
            "the server asks for TLS: set tls = { mode = \"verify-identity\", ca = ... }"
                .to_owned(),
        ),
        1275 | 1524 => (
            DropReason::Auth,
            format!(
                "the server does not let {user} log in in that way: give it another on the server"
            ),
        ),
        1130 | 1129 => {
            (DropReason::Auth, format!("create {user}@'<this host>' on the server, or FLUSH HOSTS"))
        }
        1820 | 1862 | 3118 | 4151 => {
            (DropReason::Auth, format!("unlock {user} or give it a new password on the server"))
        }
        1251 | 2059 | 2061 => (
            DropReason::Auth,
            "this account's way to log in needs TLS: set tls = { mode = \"required\" } or more"
                .to_owned(),
        ),
        1045 | 1227 | 1142 | 1044 | 1290 => {
            (DropReason::Grant, grant_hint(user, peer, stage, &error.message))
        }
        1040 | 1203 => (DropReason::Connect, "raise max_connections on the server".to_owned()),
        1381 => (DropReason::Server, "set log_bin on the server, and restart it".to_owned()),
        1053 | 1317 | 1927 | 3169 => return Failure::closed(options, &problem),
        4052 => (DropReason::SameId, same_id_hint(options)),
        1236 => dump_refused(options, &error.message),
        _ => (DropReason::Protocol, "the server's error log says more".to_owned()),
    };
    Failure::new(options, reason, problem, hint)
}

fn password_hint(options: &LiveOptions) -> String {
    let user = &options.url.user;
    let mut hint = format!(
        "the password, or the host it is used from, is not that of any account {user}: check \
         password_file or password_env of node {} (for a url on the command line without them, \
         the variable MYSQL_PWD), and on the server: SELECT user, host FROM \
         mysql.user WHERE user = '{user}'",
        options.node
    );
    if options.tls.identity.is_none() {
        hint += "; an account of REQUIRE SSL or X509, and a server of require_secure_transport, \
                 want tls, X509 with cert and key";
    }
    hint
}

/// A statement that mends it, to be copied.
fn grant_hint(user: &str, peer: &Peer, stage: Stage, message: &str) -> String {
    let needed = match peer.mariadb {
        // Who registers as a replica is told no more than that he may not.
        _ if stage == Stage::Streaming => "REPLICATION SLAVE",
        Some(true) => "REPLICATION SLAVE, BINLOG MONITOR, SLAVE MONITOR",
        _ => "REPLICATION SLAVE, REPLICATION CLIENT",
    };
    let account = match peer.account.as_deref().and_then(|account| account.rsplit_once('@')) {
        Some((user, host)) => format!("{}@{}", quoted(user), quoted(host)),
        None => format!("{}@'<this host>'", quoted(user)),
    };
    let grants = missing_privilege(message).unwrap_or(needed);
    format!("on the server: GRANT {grants} ON *.* TO {account}")
}

/// The privilege that a server asks for, by its own name; SUPER is more than anybody needs.
///
/// # Source
/// Error 1227 of MySQL 9.7 and MariaDB 10.11: `you need (at least one of) the SUPER, REPLICATION
/// CLIENT privilege(s)`.
fn missing_privilege(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("(at least one of) the ")?;
    let (names, _) = rest.split_once(" privilege")?;
    names.split(", ").find(|name| *name != "SUPER")
}

fn quoted(name: &str) -> String {
    format!("'{}'", name.replace('\'', "''"))
}

pub(super) fn same_id_hint(options: &LiveOptions) -> String {
    let id = options.replica_server_id;
    format!(
        "another replica, or another twinlog, uses server id {id}: end it, or set \
         watch.replica_server_id to ids that nothing else uses"
    )
}

/// Error 1236 stands for all that a server has against a replica; only its text tells.
fn dump_refused(options: &LiveOptions, message: &str) -> (DropReason, String) {
    let says = |text: &str| message.contains(text);
    if says("purged") || says("Could not find first log file") || says("too old") {
        let hint = "what comes next is not on the server any more: the stream goes on with the \
                    oldest file that is; scan a copy of the others if there is one, and keep \
                    binlogs longer (binlog_expire_logs_seconds)";
        return (DropReason::Purged, hint.to_owned());
    }
    if says("more GTIDs than") || says("not in the master's binlog") || says("diverged") {
        return (DropReason::Behind, BEHIND_HINT.to_owned());
    }
    if says("same server_uuid/server_id") {
        return (DropReason::SameId, same_id_hint(options));
    }
    (DropReason::Protocol, "the server's error log says more".to_owned())
}
