//! The queries of the Grafana dashboards, as a Prometheus takes them.
//!
//! The files are read as they are shipped: `panels[].targets[].expr`, and the panels inside of
//! collapsed rows. Grafana's variables are replaced as in [`VARIABLES`], so that what comes out is
//! plain PromQL over every twinlog that is scraped.
#![allow(dead_code, unreachable_pub, reason = "not every test that compiles this uses it")]

use std::path::{Path, PathBuf};

use serde_json::Value;

/// What Grafana's variables stand for in a test. No name is the beginning of a later one.
const VARIABLES: [(&str, &str); 6] = [
    ("$__rate_interval", "1m"),
    ("$__range", "1h"),
    ("$job", ".*"),
    ("$instance", ".*"),
    ("$from", ".*"),
    ("$to", ".*"),
];

/// Panels without data on a pair that has broken no rule, and why. Each with the dashboard's name.
pub const EMPTY_WHILE_ALL_IS_WELL: [(&str, u64, &str); 2] = [
    ("twinlog-overview", 13, "tables are known from the first conflict on"),
    ("twinlog-overview", 14, "tables are known from the first violation on"),
];

/// A panel that asks something.
#[derive(Clone, Debug)]
pub struct Panel {
    /// The file's name without `.json`.
    pub dashboard: String,
    /// The panel as the file has it.
    pub json: Value,
}

impl Panel {
    pub fn id(&self) -> u64 {
        self.json["id"].as_u64().unwrap_or_default()
    }

    /// A name for messages: `twinlog-pair 13: $from to $to`.
    pub fn name(&self) -> String {
        let title = self.json["title"].as_str().unwrap_or_default();
        format!("{} {}: {title}", self.dashboard, self.id())
    }

    /// Whether it has data only once a rule was broken.
    pub fn is_empty_while_all_is_well(&self) -> bool {
        let is_this = |(dashboard, id, _): &(&str, u64, &str)| {
            *dashboard == self.dashboard && *id == self.id()
        };
        EMPTY_WHILE_ALL_IS_WELL.iter().any(is_this)
    }

    /// Its queries, variables replaced.
    pub fn queries(&self) -> Vec<String> {
        let targets = self.json["targets"].as_array().into_iter().flatten();
        targets.filter_map(|target| target["expr"].as_str()).map(replace).collect()
    }
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards/grafana")
}

/// The dashboards: their names and what the files hold.
pub fn dashboards() -> Vec<(String, Value)> {
    let entries = std::fs::read_dir(directory()).expect("dashboards/grafana");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).expect("a dashboard");
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        (name, serde_json::from_str(&text).expect("a dashboard is JSON"))
    };
    paths.iter().map(read).collect()
}

/// Every panel of every dashboard, rows left out.
pub fn panels() -> Vec<Panel> {
    let mut panels = Vec::new();
    for (dashboard, json) in dashboards() {
        let mut waiting: Vec<&Value> = json["panels"].as_array().into_iter().flatten().collect();
        waiting.reverse();
        while let Some(panel) = waiting.pop() {
            waiting.extend(panel["panels"].as_array().into_iter().flatten().rev());
            if panel["type"] != "row" {
                panels.push(Panel { dashboard: dashboard.clone(), json: panel.clone() });
            }
        }
    }
    panels
}

/// Every query with the name of its panel, variables replaced.
pub fn queries() -> Vec<(String, String)> {
    queries_of(panels())
}

/// The same, without the panels that have no data before a rule was broken: each has data once every
/// node has written and its copy was read.
pub fn queries_while_all_is_well() -> Vec<(String, String)> {
    queries_of(panels().into_iter().filter(|panel| !panel.is_empty_while_all_is_well()))
}

fn queries_of(panels: impl IntoIterator<Item = Panel>) -> Vec<(String, String)> {
    let mut queries = Vec::new();
    for panel in panels {
        queries.extend(panel.queries().into_iter().map(|query| (panel.name(), query)));
    }
    queries
}

fn replace(expr: &str) -> String {
    VARIABLES.iter().fold(expr.to_owned(), |expr, (name, value)| expr.replace(name, value))
}
