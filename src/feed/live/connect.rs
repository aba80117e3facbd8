//! Connections, made and asked with a time limit.

use super::{
    LiveOptions,
    failure::{DropReason, Failure, Stage},
};
use crate::config::{PasswordSource, Secret, TlsMode};
use futures_util::FutureExt;
use mysql_async::{
    ClientIdentity, Conn, Error, Opts, OptsBuilder, Row, ServerError, SslOpts, Value,
    prelude::{FromRow, Queryable},
};
use std::{future::Future, panic::AssertUnwindSafe, path::Path, time::Duration};

/// Seconds that a server has to accept a connection, and to answer a question.
const ANSWER_SECONDS: u64 = 10;

/// Seconds that it has to look through all its tables.
const CATALOG_SECONDS: u64 = 120;

/// The longest packet of the protocol's own limit: an event can be longer than the server's
/// `max_allowed_packet`.
const PACKET_BYTES_MAX: usize = 1 << 30;

/// A connection that knows whose it is, so that its errors can say so.
pub(super) struct Session<'a> {
    pub(super) options: &'a LiveOptions,
    pub(super) conn: Conn,
    pub(super) peer: Peer,
}

/// What is known of the other side of a connection, for what its errors mean.
#[derive(Clone, Default)]
pub(super) struct Peer {
    /// Known once the server's version is.
    pub(super) mariadb: Option<bool>,
    /// `user@host` of the account as the server has it; asked together with the version.
    pub(super) account: Option<String>,
}

impl<'a> Session<'a> {
    /// Connects and logs in.
    ///
    /// A refused password is tried once more. The client library with `mysql_common` up to 0.37
    /// cuts a last byte of zero off every challenge that a server switches to another way of
    /// logging in with. That byte is a terminator, but for ed25519 and parsec, where it is the end
    /// of a random challenge: once in 256 times the right answer is refused, and for parsec the
    /// library panics (mended for later versions in its pull requests 193 and 194). Another
    /// connection gets another challenge.
    pub(super) async fn open(options: &'a LiveOptions) -> Result<Self, Failure> {
        let failed =
            |error| Failure::from_client(options, Stage::Connecting, &Peer::default(), &error);
        let opts = client_options(options)?;
        let connect = || within(options, "no connection", Conn::new(opts.clone()));
        let conn = match connect().await {
            Ok(Err(Error::Server(ServerError { code: 1045, .. })))
            | Err(Failure { reason: DropReason::Protocol, .. })
                if options.password.is_some() =>
            {
                connect().await
            }
            other => other,
        };
        Ok(Session { options, conn: conn?.map_err(failed)?, peer: Peer::default() })
    }

    /// Runs statements that return nothing.
    pub(super) async fn set(&mut self, statement: &str) -> Result<(), Failure> {
        let (options, peer) = (self.options, &self.peer);
        let done = within(options, "no answer", self.conn.query_drop(statement)).await?;
        done.map_err(|error| Failure::from_client(options, Stage::Asking, peer, &error))
    }

    /// Asks for one value; empty where the server has none.
    pub(super) async fn value(&mut self, statement: &str) -> Result<String, Failure> {
        let rows = self.rows::<Option<String>>(statement).await?;
        Ok(rows.into_iter().next().flatten().unwrap_or_default())
    }

    /// Asks for rows.
    pub(super) async fn rows<T: FromRow>(&mut self, statement: &str) -> Result<Vec<T>, Failure> {
        self.rows_within(statement, ANSWER).await
    }

    /// Asks for rows about all tables, of which a server can have many.
    pub(super) async fn rows_of_catalog<T: FromRow>(
        &mut self,
        statement: &str,
    ) -> Result<Vec<T>, Failure> {
        self.rows_within(statement, CATALOG).await
    }

    async fn rows_within<T: FromRow>(
        &mut self,
        statement: &str,
        limit: Limit,
    ) -> Result<Vec<T>, Failure> {
        let rows = self.answer(statement, limit).await?.map_err(|error| {
            Failure::from_client(self.options, Stage::Asking, &self.peer, &error)
        })?;
        let rows: Result<Vec<T>, _> = rows.into_iter().map(T::from_row_opt).collect();
        rows.map_err(|_| no_answer(self.options, "it answers other columns than were asked for"))
    }

    /// The first rows of a list, or what the server has against telling it.
    pub(super) async fn first_rows(
        &mut self,
        statement: &str,
    ) -> Result<Result<Vec<Row>, mysql_async::Error>, Failure> {
        self.answer(statement, ANSWER).await
    }

    async fn answer(
        &mut self,
        statement: &str,
        limit: Limit,
    ) -> Result<Result<Vec<Row>, mysql_async::Error>, Failure> {
        let conn = &mut self.conn;
        let rows = async {
            let mut result = conn.query_iter(statement).await?;
            let (mut rows, mut bytes) = (Vec::new(), 0);
            while let Some(row) = result.next().await? {
                bytes += row_bytes(&row);
                if bytes > limit.bytes {
                    return Ok(None);
                }
                rows.push(row);
            }
            Ok(Some(rows))
        };
        match within_seconds(self.options, "no answer", limit.seconds, rows).await? {
            Ok(Some(rows)) => Ok(Ok(rows)),
            Ok(None) => {
                let problem = format!("an answer of more than {} MiB", limit.bytes >> 20);
                Err(no_answer(self.options, &problem))
            }
            Err(error) => Ok(Err(error)),
        }
    }
}

/// What an answer may take.
#[derive(Clone, Copy)]
struct Limit {
    seconds: u64,
    bytes: usize,
}

const ANSWER: Limit = Limit { seconds: ANSWER_SECONDS, bytes: 64 << 20 };

/// A server can have many tables, and has to look through all of them.
const CATALOG: Limit = Limit { seconds: CATALOG_SECONDS, bytes: 1 << 30 };

/// About what a row takes.
fn row_bytes(row: &Row) -> usize {
    let bytes = |at| match row.as_ref(at) {
        Some(Value::Bytes(bytes)) => bytes.capacity() + size_of::<Value>(),
        _ => size_of::<Value>(),
    };
    (0..row.len()).map(bytes).sum::<usize>() + size_of::<Row>()
}

fn no_answer(options: &LiveOptions, problem: &str) -> Failure {
    let hint = "is this a MySQL or MariaDB server, and is there a proxy in between?";
    Failure::new(options, DropReason::Protocol, problem, hint)
}

/// Waits for an answer as long as servers are given.
pub(super) async fn within<T>(
    options: &LiveOptions,
    what: &str,
    answer: impl Future<Output = T>,
) -> Result<T, Failure> {
    within_seconds(options, what, ANSWER_SECONDS, answer).await
}

/// The client library may panic on an answer that is none; its connection is not used after that.
async fn within_seconds<T>(
    options: &LiveOptions,
    what: &str,
    seconds: u64,
    answer: impl Future<Output = T>,
) -> Result<T, Failure> {
    let answer = AssertUnwindSafe(answer).catch_unwind();
    let answer = tokio::time::timeout(Duration::from_secs(seconds), answer).await;
    answer
        .map_err(|_| Failure::timeout(options, what, seconds))?
        .map_err(|_| no_answer(options, "the server sent what is no answer"))
}

fn client_options(options: &LiveOptions) -> Result<Opts, Failure> {
    let url = &options.url;
    let socket = match &url.socket {
        None => None,
        Some(path) => Some(path.to_str().map(str::to_owned).ok_or_else(|| {
            let hint = "name the socket by a path of plain letters";
            Failure::new(options, DropReason::Connect, "the socket's path is no UTF-8", hint)
        })?),
    };
    let password = options.password.as_ref().map(PasswordSource::read).transpose();
    let password = password.map_err(|error| {
        let (problem, hint) = error.parts();
        Failure::new(options, DropReason::Auth, problem, hint)
    })?;
    let builder = OptsBuilder::default()
        .ip_or_hostname(url.host.clone())
        .tcp_port(url.port)
        .socket(socket)
        // Else a loopback address would become the socket, and another account with it.
        .prefer_socket(false)
        .user(Some(url.user.clone()))
        .pass(password.as_ref().map(Secret::expose))
        .max_allowed_packet(Some(PACKET_BYTES_MAX))
        .wait_timeout(Some(28_800))
        .tcp_keepalive(Some(std::time::Duration::from_secs(30)))
        .stmt_cache_size(Some(0))
        .ssl_opts(tls_options(options)?);
    Ok(builder.into())
}

/// The name that a certificate is compared with where none is asked for.
///
/// The client library up to 0.37.1 forgives a wrong name only where the text of the error has this
/// word in it (its issue 404), and the text repeats the name that was asked for. By then the chain
/// up to the authority has been verified. `tests/servers_connect` sees to it that this stays so.
const ANY_NAME: &str = "NotValidForName";

fn tls_options(options: &LiveOptions) -> Result<Option<SslOpts>, Failure> {
    let tls = SslOpts::default();
    let tls = match options.tls.mode {
        TlsMode::Off => return Ok(None),
        TlsMode::Required => {
            tls.with_danger_accept_invalid_certs(true).with_danger_skip_domain_validation(true)
        }
        TlsMode::VerifyCa => tls
            .with_danger_skip_domain_validation(true)
            .with_danger_tls_hostname_override(Some(ANY_NAME)),
        TlsMode::VerifyIdentity => tls,
    };
    let tls = match &options.tls.identity {
        None => tls,
        Some((cert, key)) => {
            let (cert, key) = (pem(options, "tls.cert", cert)?, pem(options, "tls.key", key)?);
            tls.with_client_identity(Some(ClientIdentity::new(cert.into(), key.into())))
        }
    };
    Ok(Some(match &options.tls.ca {
        None => tls,
        Some(ca) => tls
            .with_root_certs(vec![pem(options, "tls.ca", ca)?.into()])
            .with_disable_built_in_roots(true),
    }))
}

/// Reads a file for every connection, so that a new one is taken without a restart.
fn pem(options: &LiveOptions, key: &str, path: &Path) -> Result<Vec<u8>, Failure> {
    let refuse = |problem: &str| {
        let problem = format!("{key} {}: {problem}", path.display());
        let hint =
            "name a PEM file that this user may read; it is looked at again at every attempt";
        Failure::new(options, DropReason::Tls, problem, hint)
    };
    let bytes = std::fs::read(path).map_err(|error| refuse(&error.to_string()))?;
    let is_pem = bytes.windows(10).any(|window| window == b"-----BEGIN");
    is_pem.then_some(bytes).ok_or_else(|| refuse("there is no PEM in it"))
}
