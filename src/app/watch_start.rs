//! What a watch does before it judges: which servers there are, who they are, and whether they can
//! be followed.

use super::{
    judge::{Known, table_plans},
    memory::Beginning,
    schema::live_options_of,
    watch::WatchError,
};
use crate::{
    config::{Config, ListenTls, NodeConfig, PasswordSource, Secret, Start, warn_if_exposed},
    feed::live::{LiveOptions, LivePlans, LiveStart, PlansSender, ServerFacts, table_schemas},
    http::Tls,
    model::{Node, Nodes},
};
use rustix::process::{Resource, getrlimit, setrlimit};
use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};
use tokio::sync::Notify;
use tracing::{debug, info, warn};

/// How long a server is left alone that was asked for its tables.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Allows as many open files as the system lets us have: connections of strangers must not take
/// those that streams and store need.
pub(super) fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        debug!("the limit of open files stays: {error}");
    }
}

/// How each node is followed, and where other plans for its tables go.
///
/// # Errors
/// Wrong configuration.
pub(super) fn live_options(
    config: &Config,
    known: &[Known],
) -> Result<(Vec<LiveOptions>, Vec<PlansSender>), WatchError> {
    if config.nodes.len() < 2 {
        let problem = format!("{}: watch needs two or more nodes", config.origin);
        return Err(WatchError::Usage(format!("{problem}\n  hint: name them as [nodes.NAME]")));
    }
    let options = |(of, known): (&NodeConfig, &Known)| {
        let (replace, plans) = LivePlans::new(table_plans(config, known.clone())?);
        let mut options = live_options_of(config, of, plans).map_err(WatchError::Usage)?;
        options.start = match &config.watch.start {
            Start::Now => LiveStart::Now,
            Start::Earliest => LiveStart::Earliest,
            Start::At(places) => match places.get(&of.name) {
                Some((file, position)) => LiveStart::At { file: file.clone(), position: *position },
                None => LiveStart::Now,
            },
        };
        Ok((options, replace))
    };
    let options = config.nodes.iter().zip(known).map(options);
    Ok(options.collect::<Result<Vec<_>, WatchError>>()?.into_iter().unzip())
}

/// Followed from where an earlier run has come to.
pub(super) fn resumed(mut options: Vec<LiveOptions>, beginning: &Beginning) -> Vec<LiveOptions> {
    for options in &mut options {
        if let Some(place) = beginning.places.get(&options.node) {
            options.start = LiveStart::Resume(place.point.clone());
        }
    }
    options
}

/// Says in the log what a server is, and what of its settings hides something.
pub(super) fn report_facts(node: &str, facts: &ServerFacts, tables: usize) {
    info!(
        node,
        version = facts.version,
        server_id = facts.server_id,
        row_image = facts.row_image,
        row_metadata = facts.row_metadata,
        tables,
        "connected"
    );
    if facts.binlog_format != "ROW" {
        warn!(
            node,
            "binlog_format={}: rows written by statements are blind spots", facts.binlog_format
        );
    }
    if tables == 0 {
        warn!(
            node,
            "the account sees no tables, so unique keys are not known: on the server, GRANT \
             SELECT on the tables that are written"
        );
    }
    if facts.row_metadata != "FULL" {
        warn!(
            node,
            "binlog_row_metadata={}: the log names no keys; they are taken from the tables as they \
             are now, where the account sees them. Set binlog_row_metadata=FULL",
            facts.row_metadata
        );
    }
}

/// Learns a node's ids from its server.
///
/// # Errors
/// Wrong configuration.
pub(super) fn learn(node: &mut Node, facts: &ServerFacts) -> Result<(), WatchError> {
    if !node.server_ids.is_empty() && !node.server_ids.contains(&facts.server_id) {
        return Err(WatchError::Usage(format!(
            "nodes.{}: the server has server id {}, but the configuration gives it {:?}\n  \
             hint: is the url another node's?",
            node.name, facts.server_id, node.server_ids
        )));
    }
    if !node.server_ids.contains(&facts.server_id) {
        node.server_ids.push(facts.server_id);
    }
    if let Some(uuid) = facts.server_uuid.filter(|uuid| !node.server_uuids.contains(uuid)) {
        node.server_uuids.push(uuid);
    }
    Ok(())
}

/// Refuses nodes that are one server, and ids that are taken.
///
/// # Errors
/// Wrong configuration.
pub(super) fn check_ids(nodes: &Nodes, config: &Config) -> Result<(), WatchError> {
    for (node, of) in nodes.iter() {
        for id in &of.server_ids {
            let owner = nodes.by_server_id(*id);
            if owner != Some(node) {
                let other = owner.map_or("?", |owner| nodes[owner].name.as_str());
                return Err(WatchError::Usage(format!(
                    "nodes {other} and {} are the same server, or share server id {id}\n  \
                     hint: every master needs a server_id of its own",
                    of.name
                )));
            }
            if nodes.indices().any(|any| config.replica_server_id(any) == *id) {
                return Err(WatchError::Usage(format!(
                    "{}: watch.replica_server_id: {id} is the server id of {}\n  \
                     hint: choose a number that no server of the ring has",
                    config.origin, of.name
                )));
            }
        }
    }
    Ok(())
}

/// Asks a server for its tables again whenever they are found to have changed, now and then.
pub(super) async fn keep_known(options: LiveOptions, known: Known, stale: Arc<Notify>) {
    loop {
        stale.notified().await;
        match table_schemas(&options).await {
            Ok(tables) => {
                let count = tables.len();
                *known.write().unwrap_or_else(PoisonError::into_inner) = tables;
                info!(node = options.node, tables = count, "asked for its tables again");
            }
            Err(error) => warn!(node = options.node, "cannot ask for its tables: {error}"),
        }
        tokio::time::sleep(ASK_AGAIN_AFTER).await;
    }
}

/// The certificate that the listener shows, if it has one.
///
/// # Errors
/// Files that cannot be used.
pub(super) fn listen_tls(config: &Config) -> Result<Option<Arc<Tls>>, WatchError> {
    let is_open = !config.watch.listen.ip().is_loopback();
    match &config.watch.tls {
        ListenTls::Files { certificate, key } => {
            warn_if_exposed("key", key);
            let tls = Tls::load(certificate, key);
            tls.map(|tls| Some(Arc::new(tls))).map_err(|error| WatchError::Usage(error.to_string()))
        }
        ListenTls::Off if is_open && config.watch.token_file.is_some() => {
            warn!(
                "watch.tls is \"off\" and watch.listen is not loopback: the token and all pages \
                 cross the network in the clear, unless a proxy in front of twinlog speaks TLS"
            );
            Ok(None)
        }
        ListenTls::Off | ListenTls::None => Ok(None),
    }
}

/// The token that pages ask for, if there is one.
///
/// # Errors
/// A file that cannot be read.
pub(super) fn token(config: &Config) -> Result<Option<Secret>, WatchError> {
    let Some(path) = &config.watch.token_file else {
        if !config.watch.listen.ip().is_loopback() {
            warn!(
                "watch.listen is not loopback and there is no watch.token_file: the pages are \
                 closed, metrics and health checks are open"
            );
        }
        return Ok(None);
    };
    warn_if_exposed("token file", path);
    let token = PasswordSource::File(path.clone()).read();
    token.map(Some).map_err(|error| WatchError::Usage(format!("watch.token_file: {error}")))
}
