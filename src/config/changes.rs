//! What another configuration changes for a watch that runs: what it takes at once, what waits for
//! a restart, and each of it in a line for people.

use super::{Config, ListenTls, NodeConfig, Start, Suppression};
use crate::model::{Endpoint, NodeIndex, OwnershipRule, RowOwnership, RuleBody, Unlisted};
use std::{collections::BTreeSet, fmt::Display, time::Duration};

/// What differs between two configurations, one line each. No line holds a secret: a
/// configuration holds none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Changes {
    /// What is taken at once.
    pub taken: Vec<String>,
    /// What waits for a restart, and stays as it was until then.
    pub waiting: Vec<String>,
}

impl Config {
    /// The configuration with which a running watch goes on when its file says `new`.
    ///
    /// # Output
    /// A configuration of the same nodes, at the same places; and what it changes, or would.
    pub fn reloaded(&self, new: &Config) -> (Config, Changes) {
        let mut changes = Changes::default();
        let mut next = self.clone();
        self.waits(new, &mut changes.waiting);
        let listens_as_before =
            self.watch.listen == new.watch.listen && self.watch.tls == new.watch.tls;
        let taken = &mut changes.taken;
        if names(&self.nodes) == names(&new.nodes) {
            self.compare_rules(new, taken);
            self.compare_suppressions(new, taken);
            next.ownership.clone_from(&new.ownership);
            next.suppress.clone_from(&new.suppress);
        } else if self.ownership != new.ownership || self.suppress != new.suppress {
            // They name nodes by their places.
            let line = "ownership and suppress: they go with the nodes";
            changes.waiting.push(line.to_owned());
        }
        self.compare_ignored(new, taken);
        self.compare_limits(new, taken);
        next.ignore_columns.clone_from(&new.ignore_columns);
        next.unlisted = new.unlisted;
        next.shared_key_window = new.shared_key_window;
        next.near_conflict_window = new.near_conflict_window;
        next.group_limit = new.group_limit;
        next.watch.missing_after = new.watch.missing_after;
        next.watch.retention = new.watch.retention;
        next.watch.evidence = new.watch.evidence;
        // With the old listener a new token might cross the network in the clear.
        let shown = |watch: &super::WatchConfig| {
            watch.token_file.as_ref().map_or("none".to_owned(), |path| path.display().to_string())
        };
        let (old_token, new_token) = (shown(&self.watch), shown(&new.watch));
        if listens_as_before {
            compare("watch.token_file", old_token, new_token, taken);
            next.watch.token_file.clone_from(&new.watch.token_file);
        } else {
            compare("watch.token_file", old_token, new_token, &mut changes.waiting);
        }
        (next, changes)
    }

    /// What is asked, opened and listened on when a watch starts.
    fn waits(&self, new: &Config, lines: &mut Vec<String>) {
        for name in names(&self.nodes).difference(&names(&new.nodes)) {
            lines.push(format!("nodes.{name}: removed"));
        }
        for name in names(&new.nodes).difference(&names(&self.nodes)) {
            lines.push(format!("nodes.{name}: added"));
        }
        for old in &self.nodes {
            if let Some(new) = new.nodes.iter().find(|new| new.name == old.name) {
                compare_node(old, new, lines);
            }
        }
        let (old, new) = (&self.watch, &new.watch);
        compare("watch.listen", old.listen, new.listen, lines);
        compare("watch.tls", listen_tls(&old.tls), listen_tls(&new.tls), lines);
        let path = |store: &Option<std::path::PathBuf>| {
            store.as_ref().map_or("none".to_owned(), |path| path.display().to_string())
        };
        compare("watch.store", path(&old.store), path(&new.store), lines);
        compare("watch.memory", old.memory, new.memory, lines);
        compare("watch.findings_max", old.findings_max, new.findings_max, lines);
        let rates = (old.findings_per_minute, new.findings_per_minute);
        compare("watch.findings_per_minute", rates.0, rates.1, lines);
        compare("watch.start", start(&old.start), start(&new.start), lines);
        let (old, new) = (old.replica_server_id, new.replica_server_id);
        compare("watch.replica_server_id", old, new, lines);
    }

    fn compare_limits(&self, new: &Config, lines: &mut Vec<String>) {
        let of = |name: &str| format!("defaults.{name}");
        compare(&of("unlisted_tables"), unlisted(self.unlisted), unlisted(new.unlisted), lines);
        let mut windows = |name: &str, old: Duration, new: Duration| {
            if old != new {
                lines.push(format!("{name}: {old:?} -> {new:?}"));
            }
        };
        windows(&of("shared_key_window"), self.shared_key_window, new.shared_key_window);
        windows(&of("near_conflict_window"), self.near_conflict_window, new.near_conflict_window);
        windows("watch.missing_after", self.watch.missing_after, new.watch.missing_after);
        windows("watch.retention", self.watch.retention, new.watch.retention);
        compare(&of("group_limit"), self.group_limit, new.group_limit, lines);
        if self.watch.evidence != new.watch.evidence {
            let (old, new) = (self.watch.evidence.as_str(), new.watch.evidence.as_str());
            lines.push(format!("watch.evidence: {old} -> {new}"));
        }
    }

    /// Rules are told apart by their tables: no two have the same.
    fn compare_rules(&self, new: &Config, lines: &mut Vec<String>) {
        let named = |number: usize, rule: &OwnershipRule| {
            format!("ownership rule {number} [{}]", rule.tables.join(", "))
        };
        let place = |rules: &[OwnershipRule], rule: &OwnershipRule| {
            rules.iter().position(|of| of.tables == rule.tables)
        };
        for (number, rule) in (1..).zip(&self.ownership) {
            if place(&new.ownership, rule).is_none() {
                lines.push(format!("{}: removed", named(number, rule)));
            }
        }
        for (number, rule) in (1..).zip(&new.ownership) {
            let name = named(number, rule);
            let Some(old_at) = place(&self.ownership, rule) else {
                lines.push(format!("{name}: added, {}", self.rule_text(rule)));
                continue;
            };
            let old = &self.ownership[old_at];
            if old != rule {
                lines.push(format!("{name}: {} -> {}", self.rule_text(old), self.rule_text(rule)));
            }
            if old_at + 1 != number {
                lines.push(format!("{name}: was rule {}", old_at + 1));
            }
        }
    }

    fn compare_suppressions(&self, new: &Config, lines: &mut Vec<String>) {
        let named = |of: &Suppression| {
            let tables = match of.tables.is_empty() {
                true => "all tables".to_owned(),
                false => of.tables.join(", "),
            };
            let origin = of.origin.map(|node| format!(" of {}", self.name(node)));
            format!("suppress {} [{tables}]{}", of.kind, origin.unwrap_or_default())
        };
        let is_one = |x: &Suppression, y: &Suppression| {
            (&x.kind, &x.tables, x.origin) == (&y.kind, &y.tables, y.origin)
        };
        for old in &self.suppress {
            if !new.suppress.iter().any(|of| is_one(of, old)) {
                lines.push(format!("{}: removed", named(old)));
            }
        }
        for of in &new.suppress {
            match self.suppress.iter().find(|old| is_one(of, old)) {
                _ if self.suppress.contains(of) => {}
                None => lines.push(format!("{}: added, until {}", named(of), of.until)),
                Some(old) if old.until != of.until => {
                    lines.push(format!("{}: until {} -> {}", named(of), old.until, of.until));
                }
                Some(_) => lines.push(format!("{}: another reason", named(of))),
            }
        }
    }

    fn compare_ignored(&self, new: &Config, lines: &mut Vec<String>) {
        let named =
            |tables: &[String]| format!("divergence [{}] ignore_columns", tables.join(", "));
        for (tables, columns) in &self.ignore_columns {
            if !new.ignore_columns.iter().any(|(of, _)| of == tables) {
                lines.push(format!("{}: {} -> none", named(tables), columns.join(", ")));
            }
        }
        for of @ (tables, columns) in &new.ignore_columns {
            if !self.ignore_columns.contains(of) {
                let old = self.ignore_columns.iter().find(|(old, _)| old == tables);
                let old = old.map_or("none".to_owned(), |(_, columns)| columns.join(", "));
                lines.push(format!("{}: {old} -> {}", named(tables), columns.join(", ")));
            }
        }
    }

    fn name(&self, node: NodeIndex) -> &str {
        self.nodes.get(node.at()).map_or("?", |node| node.name.as_str())
    }

    /// What a rule says, for people.
    fn rule_text(&self, rule: &OwnershipRule) -> String {
        let body = match &rule.body {
            RuleBody::Owners(owners) => {
                format!("owner {}", joined(owners.iter().map(|node| self.name(*node))))
            }
            RuleBody::Rows(rows) => format!("rows by {} {}", rows.column, self.rows_text(&rows.by)),
            RuleBody::Local => "class local".to_owned(),
            RuleBody::Shared => "class shared".to_owned(),
        };
        match rule.operations.is_empty() {
            true => body,
            false => {
                format!("{body}, only {}", joined(rule.operations.iter().map(|of| of.as_str())))
            }
        }
    }

    fn rows_text(&self, by: &RowOwnership) -> String {
        let owned = |node: &NodeIndex, what: String| format!("{} {what}", self.name(*node));
        match by {
            RowOwnership::Modulo { modulo, owners } => {
                let owners = owners.iter().enumerate();
                let text = owners.map(|(remainder, node)| owned(node, remainder.to_string()));
                format!("modulo {modulo}: {}", joined(text))
            }
            RowOwnership::Values(values) => {
                joined(values.iter().map(|(node, value)| owned(node, super::rows::show(value))))
            }
            RowOwnership::Ranges(ranges) => {
                let end = |end: Endpoint| end.map_or(String::new(), |n| n.to_string());
                let text = |(node, from, to): &(NodeIndex, Endpoint, Endpoint)| {
                    owned(node, format!("{}..{}", end(*from), end(*to)))
                };
                joined(ranges.iter().map(text))
            }
        }
    }
}

fn joined<T: AsRef<str>>(words: impl Iterator<Item = T>) -> String {
    let mut text = String::new();
    for word in words {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(word.as_ref());
    }
    text
}

fn names(nodes: &[NodeConfig]) -> BTreeSet<&str> {
    nodes.iter().map(|node| node.name.as_str()).collect()
}

fn compare<T: Display + PartialEq>(name: &str, old: T, new: T, lines: &mut Vec<String>) {
    if old != new {
        lines.push(format!("{name}: {old} -> {new}"));
    }
}

fn compare_node(old: &NodeConfig, new: &NodeConfig, lines: &mut Vec<String>) {
    let of = |what: &str| format!("nodes.{}.{what}", old.name);
    if old.url != new.url {
        let url = |node: &NodeConfig| node.url.as_ref().map_or("none".into(), ToString::to_string);
        compare(&of("url"), url(old), url(new), lines);
    }
    let rest = [
        ("password_file or password_env", old.password != new.password),
        ("server_ids", old.server_ids != new.server_ids),
        ("server_uuids", old.server_uuids != new.server_uuids),
        ("tls", old.tls != new.tls),
    ];
    let changed = rest.into_iter().filter(|(_, changed)| *changed);
    lines.extend(changed.map(|(what, _)| format!("{}: changed", of(what))));
}

fn unlisted(unlisted: Unlisted) -> &'static str {
    match unlisted {
        Unlisted::Shared => "shared",
        Unlisted::Warn => "warn",
        Unlisted::Deny => "deny",
    }
}

fn listen_tls(tls: &ListenTls) -> String {
    match tls {
        ListenTls::None => "none".to_owned(),
        ListenTls::Off => "off".to_owned(),
        ListenTls::Files { certificate, key } => {
            format!("{} with {}", certificate.display(), key.display())
        }
    }
}

fn start(start: &Start) -> String {
    match start {
        Start::Now => "now".to_owned(),
        Start::Earliest => "earliest".to_owned(),
        Start::At(places) => {
            joined(places.iter().map(|(node, (file, offset))| format!("{node} at {file}:{offset}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODES: &str = "[nodes.a]\nserver_ids = [1]\n[nodes.b]\nserver_ids = [2]\n";

    fn config(text: &str) -> Config {
        Config::parse(text, "twinlog.toml").unwrap()
    }

    fn changes(old: &str, new: &str) -> Changes {
        let (old, new) = (config(&format!("{NODES}{old}")), config(&format!("{NODES}{new}")));
        let (next, changes) = old.reloaded(&new);
        assert_eq!(next.reloaded(&new).1.taken, [""; 0], "it is taken once");
        if changes.waiting.is_empty() {
            assert_eq!(next, new);
        }
        changes
    }

    fn taken(old: &str, new: &str) -> Vec<String> {
        let changes = changes(old, new);
        assert_eq!(changes.waiting, [""; 0]);
        changes.taken
    }

    #[test]
    fn nothing_changed_is_nothing() {
        let text =
            "[[ownership]]\ntables = [\"s.*\"]\nowner = \"a\"\n[watch]\nretention = \"3d\"\n";
        assert_eq!(changes(text, text), Changes::default());
    }

    #[test]
    fn rules_are_told_one_by_one() {
        let old = "[[ownership]]\ntables = [\"crm.*\"]\nowner = \"a\"\n\
                   [[ownership]]\ntables = [\"shop.*\"]\nowner = \"a\"\n\
                   [[ownership]]\ntables = [\"ops.*\"]\nclass = \"local\"\n";
        let new = "[[ownership]]\ntables = [\"crm.*\"]\nowner = \"a\"\n\
                   [[ownership]]\ntables = [\"shop.*\"]\nowner = [\"a\", \"b\"]\n\
                   operations = [\"insert\"]\n\
                   [[ownership]]\ntables = [\"geo.*\"]\n\
                   rows = { column = \"id\", modulo = 2, remainders = { a = 1, b = 0 } }\n";
        assert_eq!(
            taken(old, new),
            [
                "ownership rule 3 [ops.*]: removed",
                "ownership rule 2 [shop.*]: owner a -> owner a, b, only insert",
                "ownership rule 3 [geo.*]: added, rows by id modulo 2: b 0, a 1",
            ]
        );
        let rule = |tables, by: &str| format!("[[ownership]]\ntables = [\"{tables}\"]\n{by}\n");
        let (x, y) = (rule("s.x", "owner = \"a\""), rule("s.y", "class = \"shared\""));
        assert_eq!(
            taken(&format!("{x}{y}"), &format!("{y}{x}")),
            ["ownership rule 1 [s.y]: was rule 2", "ownership rule 2 [s.x]: was rule 1"]
        );
        let ranges =
            rule("s.x", "rows = { column = \"n\", ranges = { a = \"..5\", b = \"5..\" } }");
        let values = rule("s.x", "rows = { column = \"r\", values = { a = [\"eu-*\", 7] } }");
        assert_eq!(
            taken(&ranges, &values),
            ["ownership rule 1 [s.x]: rows by n a ..5, b 5.. -> rows by r a \"eu-*\", a 7"]
        );
    }

    #[test]
    fn suppressions_columns_and_limits_are_told() {
        let suppress = |until, why| {
            format!(
                "[[suppress]]\nkind = \"write_conflict\"\ntables = [\"s.x\"]\norigin = \"a\"\n\
                 until = \"{until}\"\nwhy = \"{why}\"\n"
            )
        };
        let (old, later) = (suppress("2027-01-31", "x"), suppress("2027-02-28", "x"));
        let named = "suppress write_conflict [s.x] of a";
        assert_eq!(taken("", &old), [format!("{named}: added, until 2027-01-31")]);
        assert_eq!(taken(&old, ""), [format!("{named}: removed")]);
        assert_eq!(taken(&old, &later), [format!("{named}: until 2027-01-31 -> 2027-02-28")]);
        let another = suppress("2027-01-31", "y");
        assert_eq!(taken(&old, &another), [format!("{named}: another reason")]);
        let columns =
            |columns| format!("[[divergence]]\ntables = [\"s.x\"]\nignore_columns = [{columns}]\n");
        let named = "divergence [s.x] ignore_columns";
        let (one, two) = (columns("\"at\""), columns("\"at\", \"by\""));
        assert_eq!(taken("", &one), [format!("{named}: none -> at")]);
        assert_eq!(taken(&one, &two), [format!("{named}: at -> at, by")]);
        assert_eq!(taken(&two, ""), [format!("{named}: at, by -> none")]);
        let new = "[defaults]\nunlisted_tables = \"deny\"\nshared_key_window = \"1m\"\n\
                   near_conflict_window = \"0s\"\ngroup_limit = 7\n\
                   [watch]\nmissing_after = \"1m\"\nretention = \"1d\"\nevidence = \"full\"\n\
                   token_file = \"/t\"\n";
        assert_eq!(
            taken("", new),
            [
                "defaults.unlisted_tables: shared -> deny",
                "defaults.shared_key_window: 600s -> 60s",
                "defaults.near_conflict_window: 1s -> 0ns",
                "watch.missing_after: 300s -> 60s",
                "watch.retention: 2592000s -> 86400s",
                "defaults.group_limit: 1000 -> 7",
                "watch.evidence: keys -> full",
                "watch.token_file: none -> /t",
            ]
        );
    }

    #[test]
    fn what_a_start_decides_waits() {
        let new = "[watch]\nlisten = \"127.0.0.1:1\"\nstore = \"x.db\"\nstart = \"earliest\"\n\
                   replica_server_id = 77\ntoken_file = \"/t\"\n\
                   memory = \"512MiB\"\nfindings_max = 7\nfindings_per_minute = 8\n";
        let changes = changes("", new);
        assert_eq!(
            changes.waiting,
            [
                "watch.listen: 127.0.0.1:9477 -> 127.0.0.1:1",
                "watch.store: none -> x.db",
                "watch.memory: 1073741824 -> 536870912",
                "watch.findings_max: 1000000 -> 7",
                "watch.findings_per_minute: 20000 -> 8",
                "watch.start: now -> earliest",
                "watch.replica_server_id: 4294900001 -> 77",
                // A token with the old listener might go in the clear.
                "watch.token_file: none -> /t",
            ]
        );
        assert_eq!(changes.taken, [""; 0]);
        let old = config(
            "[nodes.a]\nurl = \"mysql://t@10.0.0.1\"\n[nodes.b]\nserver_ids = [2]\n\
             [[ownership]]\ntables = [\"s.x\"]\nowner = \"b\"\n",
        );
        let new = config(
            "[nodes.a]\nurl = \"mysql://t@10.0.0.9\"\nserver_ids = [1]\n[nodes.aa]\n[nodes.b]\n\
             server_ids = [2]\n[[ownership]]\ntables = [\"s.x\"]\nowner = \"b\"\n\
             [defaults]\ngroup_limit = 3\n",
        );
        let (next, changes) = old.reloaded(&new);
        assert_eq!(
            changes.waiting,
            [
                "nodes.aa: added",
                "nodes.a.url: mysql://t@10.0.0.1:3306 -> mysql://t@10.0.0.9:3306",
                "nodes.a.server_ids: changed",
                "ownership and suppress: they go with the nodes",
            ]
        );
        assert_eq!(changes.taken, ["defaults.group_limit: 1000 -> 3"]);
        // The places of nodes are the old ones.
        assert_eq!((next.ownership, next.nodes), (old.ownership, old.nodes));
        assert_eq!(next.group_limit, 3);
    }
}
