//! Connections, made and asked with a time limit.

use super::{
    LiveOptions,
    failure::{DropReason, Failure, Stage},
};
use crate::config::{PasswordSource, Secret, TlsMode};
use mysql_async::{ClientIdentity, Conn, Opts, OptsBuilder, SslOpts, prelude::Queryable};
use std::{future::Future, time::Duration};

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
    /// Known once the server's version is.
    pub(super) mariadb: Option<bool>,
}

impl<'a> Session<'a> {
    pub(super) async fn open(options: &'a LiveOptions) -> Result<Self, Failure> {
        let failed = |error| Failure::from_client(options, Stage::Connecting, None, &error);
        let opts = client_options(options)?;
        let conn = within(options, "no connection", Conn::new(opts)).await?.map_err(failed)?;
        Ok(Session { options, conn, mariadb: None })
    }

    /// Runs statements that return nothing.
    pub(super) async fn set(&mut self, statement: &str) -> Result<(), Failure> {
        let (options, mariadb) = (self.options, self.mariadb);
        let done = within(options, "no answer", self.conn.query_drop(statement)).await?;
        done.map_err(|error| Failure::from_client(options, Stage::Asking, mariadb, &error))
    }

    /// Asks for one value; empty where the server has none.
    pub(super) async fn value(&mut self, statement: &str) -> Result<String, Failure> {
        let rows = self.rows::<Option<String>>(statement).await?;
        Ok(rows.into_iter().next().flatten().unwrap_or_default())
    }

    /// Asks for rows.
    pub(super) async fn rows<T>(&mut self, statement: &str) -> Result<Vec<T>, Failure>
    where
        T: mysql_async::prelude::FromRow + Send + 'static,
    {
        self.rows_within(statement, ANSWER_SECONDS).await
    }

    /// Asks for rows about all tables, of which a server can have many.
    pub(super) async fn rows_of_catalog<T>(&mut self, statement: &str) -> Result<Vec<T>, Failure>
    where
        T: mysql_async::prelude::FromRow + Send + 'static,
    {
        self.rows_within(statement, CATALOG_SECONDS).await
    }

    async fn rows_within<T>(&mut self, statement: &str, seconds: u64) -> Result<Vec<T>, Failure>
    where
        T: mysql_async::prelude::FromRow + Send + 'static,
    {
        let (options, mariadb) = (self.options, self.mariadb);
        let rows = self.conn.query::<T, _>(statement);
        let rows = within_seconds(options, "no answer", seconds, rows).await?;
        rows.map_err(|error| Failure::from_client(options, Stage::Asking, mariadb, &error))
    }
}

/// Waits for an answer as long as servers are given.
pub(super) async fn within<T>(
    options: &LiveOptions,
    what: &str,
    answer: impl Future<Output = T>,
) -> Result<T, Failure> {
    within_seconds(options, what, ANSWER_SECONDS, answer).await
}

async fn within_seconds<T>(
    options: &LiveOptions,
    what: &str,
    seconds: u64,
    answer: impl Future<Output = T>,
) -> Result<T, Failure> {
    tokio::time::timeout(Duration::from_secs(seconds), answer)
        .await
        .map_err(|_| Failure::timeout(options, what, seconds))
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
        .ssl_opts(tls_options(options));
    Ok(builder.into())
}

fn tls_options(options: &LiveOptions) -> Option<SslOpts> {
    let tls = SslOpts::default();
    let tls = match options.tls.mode {
        TlsMode::Off => return None,
        TlsMode::Required => {
            tls.with_danger_accept_invalid_certs(true).with_danger_skip_domain_validation(true)
        }
        TlsMode::VerifyCa => tls.with_danger_skip_domain_validation(true),
        TlsMode::VerifyIdentity => tls,
    };
    let tls = match &options.tls.identity {
        None => tls,
        Some((cert, key)) => tls.with_client_identity(Some(ClientIdentity::new(
            cert.clone().into(),
            key.clone().into(),
        ))),
    };
    Some(match &options.tls.ca {
        None => tls,
        Some(ca) => tls.with_root_certs(vec![ca.clone().into()]).with_disable_built_in_roots(true),
    })
}
