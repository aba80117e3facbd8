//! `twinlog.toml` -> a checked [`Config`].
//!
//! **Architecture invariant.** A [`Config`] that exists can be acted on: every node it names is
//! there, every pattern is a glob, every rule decides. Every message names file, line, key and
//! what is allowed, and none repeats a secret. `config` depends on `model` only.

mod changes;
mod cursor;
mod duration;
mod error;
mod nearest;
mod nodes;
mod ownership;
mod password;
mod rows;
mod schema;
mod size;
mod suppress;
mod tables;
mod url;
mod watch;

#[cfg(test)]
mod tests;

pub use changes::Changes;
pub use duration::{parse_duration, parse_long_duration};
pub use error::{ConfigError, ValueError};
pub use nodes::{NodeConfig, TlsConfig, TlsMode};
pub use password::{PasswordError, PasswordSource, Secret, warn_if_exposed};
pub use schema::{SCHEMA_VERSION, SchemaFile};
pub use suppress::Suppression;
pub use tables::table_pattern;
pub use url::MysqlUrl;
pub use watch::{Evidence, ListenTls, Start, WatchConfig};

use crate::model::{NODES_MAX, NodeIndex, OwnershipRule, Unlisted};
use cursor::{Cursor, Place, Section, one_of};
use std::{path::Path, time::Duration};

const KEYS: [&str; 6] = ["nodes", "ownership", "divergence", "suppress", "defaults", "watch"];
const DEFAULTS_KEYS: [&str; 4] =
    ["unlisted_tables", "shared_key_window", "near_conflict_window", "group_limit"];

/// A checked configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// The file it came from, for messages; empty for the defaults.
    pub origin: String,
    /// All nodes, sorted by name; empty where a scan goes without a configuration.
    pub nodes: Vec<NodeConfig>,
    /// Ownership rules in the order of the file; a `NodeIndex` is a place in `nodes`.
    pub ownership: Vec<OwnershipRule>,
    /// What a write to a table that no rule lists means.
    pub unlisted: Unlisted,
    /// How long a handover is remembered; zero turns `shared_key` findings off.
    pub shared_key_window: Duration,
    /// How close a handover has to be for a `near_conflict`; zero turns these off.
    pub near_conflict_window: Duration,
    /// Rows of one group of findings that are told one by one, at least 1.
    pub group_limit: u64,
    /// Table patterns, and the columns that are not compared in them.
    pub ignore_columns: Vec<(Vec<String>, Vec<String>)>,
    /// Findings that are counted apart.
    pub suppress: Vec<Suppression>,
    /// What only the daemon needs.
    pub watch: WatchConfig,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            origin: String::new(),
            nodes: Vec::new(),
            ownership: Vec::new(),
            unlisted: Unlisted::Shared,
            shared_key_window: Duration::from_secs(600),
            near_conflict_window: Duration::from_secs(1),
            group_limit: 1000,
            ignore_columns: Vec::new(),
            suppress: Vec::new(),
            watch: WatchConfig::default(),
        }
    }
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// A file that cannot be read, and all that [`Config::parse`] refuses.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        let origin = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError {
            place: origin.clone(),
            message: format!("cannot be read: {error}"),
            hint: None,
        })?;
        Config::parse(&text, &origin)
    }

    /// Checks the text of a file; `origin` is its name in messages.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place. Never panics.
    pub fn parse(text: &str, origin: &str) -> Result<Config, ConfigError> {
        let place = Place::start(origin, text);
        let table = toml::de::DeTable::parse(text).map_err(|error| no_toml(&error, &place))?;
        let root = Section::root(place.clone(), table.get_ref());
        root.only(&KEYS)?;
        let mut config = Config { origin: origin.to_owned(), ..Config::default() };
        if let Some(nodes) = root.get("nodes") {
            config.nodes = nodes::read_nodes(&nodes.free_table("[nodes.NAME] for each node")?)?;
        }
        let known = ownership::Known(&config.nodes);
        if let Some(rules) = root.get("ownership") {
            config.ownership = ownership::read_rules(&rules, known)?;
        }
        if let Some(suppress) = root.get("suppress") {
            config.suppress = suppress::read_suppressions(&suppress, known)?;
        }
        if let Some(divergence) = root.get("divergence") {
            config.ignore_columns = suppress::read_ignored_columns(&divergence)?;
        }
        if let Some(watch) = root.get("watch") {
            config.watch = watch::read_watch(&watch, &config.nodes)?;
        }
        if let Some(defaults) = root.get("defaults") {
            config.read_defaults(&defaults)?;
        }
        Ok(config)
    }

    fn read_defaults(&mut self, cursor: &Cursor<'_>) -> Result<(), ConfigError> {
        let table = cursor.table(&DEFAULTS_KEYS, "a table, [defaults]")?;
        if let Some(unlisted) = table.get("unlisted_tables") {
            let words =
                [("shared", Unlisted::Shared), ("warn", Unlisted::Warn), ("deny", Unlisted::Deny)];
            self.unlisted = unlisted.word(&words)?;
        }
        let example = "a duration as a string, such as \"10m\"; \"0s\" turns it off";
        if let Some(window) = table.get("shared_key_window") {
            self.shared_key_window = window.parsed(example, parse_duration)?;
        }
        if let Some(window) = table.get("near_conflict_window") {
            self.near_conflict_window = window.parsed(example, parse_duration)?;
        }
        if let Some(limit) = table.get("group_limit") {
            self.group_limit = limit.integer(1, i64::MAX as u64, "a number of rows")?;
        }
        Ok(())
    }

    /// Settles the nodes of a scan, by their names on the command line.
    ///
    /// Nodes of the configuration stay as they are, also those that have no binlogs in this scan.
    /// Where it names none, the nodes are created; then there can be no rules that number them.
    ///
    /// # Errors
    /// A name that is none, one that the configuration does not know, or too many.
    pub fn with_scan_nodes(mut self, names: &[&str]) -> Result<Config, ConfigError> {
        if let Some(error) = names.iter().find_map(|name| nodes::check_name(name).err()) {
            return Err(ConfigError::new("", error));
        }
        if self.nodes.is_empty() {
            let names: std::collections::BTreeSet<&str> = names.iter().copied().collect();
            if names.len() > NODES_MAX {
                let message = format!("{} nodes; a ring has at most {}", names.len(), NODES_MAX);
                return Err(ConfigError::new("", ValueError { message, hint: None }));
            }
            self.nodes = names.into_iter().map(NodeConfig::named).collect();
        }
        match names.iter().find(|name| self.node(name).is_none()) {
            None => Ok(self),
            Some(name) => {
                let known: Vec<&str> = self.nodes.iter().map(|node| node.name.as_str()).collect();
                let hint = format!("write {}, or add [nodes.{name}]", one_of(&known));
                let what = ValueError::new(format!("no node is called {name:?}"), hint);
                Err(ConfigError::new(self.origin, what))
            }
        }
    }

    /// The node of that name.
    pub fn node(&self, name: &str) -> Option<NodeIndex> {
        self.nodes.iter().position(|node| node.name == name).map(|place| NodeIndex(place as u8))
    }

    /// The replica server id with which a node's binlog is read.
    pub fn replica_server_id(&self, node: NodeIndex) -> u32 {
        self.watch.replica_server_id.saturating_add(u32::from(node.0))
    }
}

/// What the TOML parser says, with its line. Its message holds nothing of the file.
fn no_toml(error: &toml::de::Error, place: &Place<'_>) -> ConfigError {
    let place = place.at(error.span().map_or(0, |span| span.start));
    let hint = match error.message() {
        "duplicate key" => "a key or [table] can be in the file once; join the two",
        _ => "the file is read as TOML: key = \"string\", key = 1, key = [1, 2], [table]",
    };
    place.error(format!("no valid TOML: {}", error.message()), hint)
}
