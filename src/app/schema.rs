//! Keys and columns of all tables, asked of the configured servers.

use crate::{
    config::{Config, NodeConfig, SchemaFile, warn_if_exposed},
    feed::{
        FeedError,
        live::{LiveOptions, LivePlans, LiveStart, table_schemas},
    },
};

/// Why the servers' schemas could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// Wrong configuration.
    #[error("{0}")]
    Usage(String),
    /// A server that cannot be asked.
    #[error(transparent)]
    Feed(#[from] FeedError),
}

/// Asks every node of the configuration for its tables.
///
/// # Errors
/// A node without a `url`, and a server that cannot be asked.
pub async fn read_schema(config: &Config) -> Result<SchemaFile, SchemaError> {
    if config.nodes.is_empty() {
        let problem = format!("{}: there are no nodes to ask", config.origin);
        return Err(SchemaError::Usage(format!("{problem}\n  hint: name them as [nodes.NAME]")));
    }
    let mut schema = SchemaFile::default();
    for of in &config.nodes {
        let options = live_options_of(config, of, LivePlans::none()).map_err(SchemaError::Usage)?;
        schema.nodes.insert(of.name.clone(), table_schemas(&options).await?);
    }
    Ok(schema)
}

/// How a configured server is reached.
pub(super) fn live_options_of(
    config: &Config,
    of: &NodeConfig,
    plans: LivePlans,
) -> Result<LiveOptions, String> {
    let url = of.url.clone().ok_or_else(|| {
        format!(
            "{}: nodes.{} has no url\n  hint: url = \"mysql://twinlog@host:3306\"",
            config.origin, of.name
        )
    })?;
    if let Some(password) = &of.password {
        let read = password.read();
        read.map_err(|error| format!("{}: nodes.{}: {error}", config.origin, of.name))?;
        password.file().inspect(|path| warn_if_exposed("password file", path));
    }
    if let Some((_, key)) = of.tls.as_ref().and_then(|tls| tls.identity.as_ref()) {
        warn_if_exposed("key", key);
    }
    let node = config.node(&of.name).expect("it is one of them");
    Ok(LiveOptions {
        node: of.name.clone(),
        url,
        password: of.password.clone(),
        tls: of.effective_tls(),
        replica_server_id: config.replica_server_id(node),
        start: LiveStart::Now,
        plans,
    })
}
