//! From a violating commit to a notification: real masters, a real `twinlog watch`, Prometheus with
//! the repository's own rules, Alertmanager, and a webhook that says when it was told.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::disallowed_methods, reason = "a test that waits has a deadline")]

#[path = "../support/mod.rs"]
mod support;
mod webhook;

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command},
    time::{Duration, Instant},
};

use serde_json::Value;
use support::{
    dashboards,
    lab::{Lab, LabOptions, Server},
    monitoring::{Monitoring, root},
};
use webhook::{Notice, Webhook};

/// How long anything may take that is not measured.
const DEADLINE: Duration = Duration::from_secs(60);
/// From one scrape to the next, and from one evaluation to the next.
const INTERVAL: Duration = Duration::from_secs(1);
/// What is allowed beside one scrape and one evaluation: the client that commits, the log on its
/// way, the store (0.1 s), and Alertmanager, on a machine that does other things, too.
const SLACK: Duration = Duration::from_secs(2);

/// What an alert may take.
const LIMIT: Duration = Duration::from_secs(INTERVAL.as_secs() * 2 + SLACK.as_secs());

const TABLES: &str = "CREATE DATABASE shop; CREATE DATABASE crm;
    CREATE TABLE shop.account (id INT PRIMARY KEY, balance INT NOT NULL);
    CREATE TABLE shop.orders (id INT PRIMARY KEY, what VARCHAR(40) NOT NULL);
    CREATE TABLE crm.a_leads (id INT PRIMARY KEY, name VARCHAR(40) NOT NULL);
    INSERT INTO shop.account VALUES (1, 100);";

const RULES: &str = "
    [[ownership]]
    tables = [\"crm.a_*\"]
    owner = \"a\"

    [[ownership]]
    tables = [\"shop.orders\"]
    rows = { column = \"id\", modulo = 2, remainders = { a = 1, b = 0 } }
";

/// A watch that runs; killed with the test.
struct Watch(Child);

impl Watch {
    fn start(lab: &Lab, listen: &str) -> Watch {
        let path = |name: &str| lab.dir().join(name);
        let node = |node: &str| {
            let socket = lab.node(node).socket.display().to_string();
            format!("[nodes.{node}]\nurl = \"mysql://root@localhost?socket={socket}\"\n")
        };
        let store = path("twinlog.db").display().to_string();
        let watch =
            format!("[watch]\nlisten = \"{listen}\"\nstart = \"earliest\"\nstore = \"{store}\"\n");
        fs::write(path("watch.toml"), format!("{}{}{RULES}{watch}", node("a"), node("b"))).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_twinlog"))
            .args(["watch", "--config"])
            .arg(path("watch.toml"))
            .stdout(File::create(path("findings.ndjson")).unwrap())
            .stderr(File::create(path("watch.log")).unwrap())
            .spawn()
            .unwrap();
        Watch(child)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The body of a page, where it answers with 200. HTTP/1.0: the body ends with the connection.
fn get(address: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.lines().next()?.contains(" 200 ").then(|| body.to_owned())
}

/// What a page of Prometheus' API holds in `data`.
fn ask(monitoring: &Monitoring, path: &str) -> Value {
    let body = get(monitoring.prometheus(), path).expect("Prometheus answers");
    serde_json::from_str::<Value>(&body).unwrap()["data"].take()
}

/// The series of an expression.
fn query(monitoring: &Monitoring, expr: &str) -> Vec<Value> {
    let hex = |byte: u8| format!("%{byte:02X}");
    let expr: String = expr.bytes().map(hex).collect();
    let data = ask(monitoring, &format!("/api/v1/query?query={expr}"));
    data["result"].as_array().expect("a vector").clone()
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !done() {
        assert!(Instant::now() < deadline, "not within {DEADLINE:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Does something, and measures how long until the webhook is told.
fn measure(
    webhook: &Webhook,
    what: &str,
    status: &str,
    name: &str,
    labels: &[(&str, &str)],
    act: impl FnOnce(),
) -> Notice {
    let from = Instant::now();
    act();
    let notice = webhook.wait(DEADLINE, status, name, labels);
    let took = notice.at - from;
    println!("{what}: {name} {status} after {:.2} s", took.as_secs_f64());
    assert!(took <= LIMIT, "{name} took {took:?}, at most {LIMIT:?}");
    notice
}

/// Two masters, a watch on them and a Prometheus that has scraped it.
fn start(lab: &Lab, webhook: &Webhook) -> (Watch, Monitoring, String) {
    lab.idempotent();
    lab.sql("a", TABLES);
    lab.settle();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let listen = free.to_string();
    let watch = Watch::start(lab, &listen);
    until("the watch is ready", || get(&listen, "/readyz").is_some());
    let monitoring = Monitoring::start(&lab.dir().join("monitoring"), &listen, &webhook.url);
    until("Prometheus has evaluated its rules on a scrape", || {
        !query(&monitoring, "twinlog:findings:new5m").is_empty()
    });
    (watch, monitoring, listen)
}

/// Every query of Grafana's dashboards has data, before anything was broken but where the list of
/// panels says that it cannot, and afterwards everywhere.
fn assert_dashboards_have_data(monitoring: &Monitoring, queries: Vec<(String, String)>) {
    assert!(queries.len() > 20, "{queries:#?}");
    for (panel, expr) in queries {
        until(&format!("{panel} has data: {expr}"), || !query(monitoring, &expr).is_empty());
    }
}

/// What a notification says to a person.
fn assert_explains(notice: &Notice, table: &str) {
    let description = notice.annotation("description");
    assert!(description.contains(table), "{description}");
    assert!(!description.contains("error expanding"), "{description}");
    let runbook = notice.annotation("runbook_url");
    let (_, page) = runbook.split_once("/blob/main/").unwrap();
    assert!(root(page).is_file(), "{page}");
}

/// Every violation of the demo is alerted, in time, and nothing else is.
fn violations(lab: &Lab, webhook: &Webhook) {
    let fires = |what: &str, name: &str, labels: &[(&str, &str)], act: &dyn Fn()| {
        measure(webhook, what, "firing", name, labels, act)
    };
    let kind = |kind: &'static str| [("kind", kind), ("severity", "critical")];
    let notice = fires(
        "a table that another node owns",
        "TwinlogOwnershipViolation",
        &kind("table_ownership"),
        &|| drop(lab.sql("b", "INSERT INTO crm.a_leads VALUES (2, 'Eve')")),
    );
    assert_explains(&notice, "crm.a_leads (1)");
    let notice = fires(
        "a row that another node owns",
        "TwinlogOwnershipViolation",
        &kind("row_ownership"),
        &|| drop(lab.sql("a", "INSERT INTO shop.orders VALUES (4, 'even, but by a')")),
    );
    assert_explains(&notice, "shop.orders (1)");
    lab.settle();
    lab.stop_replication();
    lab.sql("a", "INSERT INTO shop.account VALUES (7, 10)");
    let conflict = kind("write_conflict");
    let notice = fires("a key inserted on both sides", "TwinlogWriteConflict", &conflict, &|| {
        drop(lab.sql("b", "INSERT INTO shop.account VALUES (7, 20)"));
    });
    assert_explains(&notice, "shop.account (1)");
    // Before the copies come there is no divergence.
    let table = [("table", "shop.account"), ("severity", "critical")];
    let notice = fires("replication goes on", "TwinlogDivergenceOpen", &table, &|| {
        lab.start_replication();
    });
    assert_explains(&notice, "differ between the masters");
    lab.settle();
}

/// Kills the watch and starts it again: no alert ends, and none begins.
fn restart(
    lab: &Lab,
    webhook: &Webhook,
    monitoring: &Monitoring,
    watch: Watch,
    listen: &str,
) -> Watch {
    let firing = || -> BTreeSet<String> {
        let alerts = query(monitoring, "ALERTS{alertstate=\"firing\"}");
        alerts.iter().map(|alert| alert["metric"].to_string()).collect()
    };
    let (before, told) = (firing(), webhook.notices().len());
    assert_eq!(before.len(), 3, "two ownership violations and a conflict: {before:?}");
    drop(watch);
    let watch = Watch::start(lab, listen);
    until("the watch is ready again", || get(listen, "/readyz").is_some());
    // It reads its logs again from the beginning; the store knows what was told.
    let scraped = "changes(process_start_time_seconds[2m]) > 0
        and time() - process_start_time_seconds > 4";
    until("a few scrapes and evaluations have seen the new process", || {
        !query(monitoring, scraped).is_empty()
    });
    assert_eq!(firing(), before);
    assert_eq!(webhook.notices().len(), told, "{:#?}", &webhook.notices()[told..]);
    watch
}

#[test]
fn every_violation_reaches_the_webhook_in_time_and_a_healed_one_is_resolved() {
    let lab = Lab::pair(Server::MariaDb);
    let webhook = Webhook::start();
    let (watch, monitoring, listen) = start(&lab, &webhook);
    assert_dashboards_have_data(&monitoring, dashboards::queries_while_all_is_well());
    violations(&lab, &webhook);
    assert_dashboards_have_data(&monitoring, dashboards::queries());
    let told = webhook.notices();
    let fired: BTreeSet<_> = told.iter().map(|notice| notice.label("alertname")).collect();
    let expected = ["TwinlogDivergenceOpen", "TwinlogOwnershipViolation", "TwinlogWriteConflict"];
    assert_eq!(fired, BTreeSet::from(expected), "{told:#?}");

    let table = [("table", "shop.account")];
    measure(&webhook, "a write heals it", "resolved", "TwinlogDivergenceOpen", &table, || {
        drop(lab.sql("a", "UPDATE shop.account SET balance = 30 WHERE id = 7"));
    });

    let _watch = restart(&lab, &webhook, &monitoring, watch, &listen);

    let open = || query(&monitoring, "ALERTS{alertname=\"TwinlogDisconnected\"}");
    assert!(open().is_empty());
    lab.sql("b", "SHUTDOWN");
    // It fires after two minutes; promtool's tests show that it does.
    until("TwinlogDisconnected is pending for b, and b alone", || {
        let open = open();
        let is_b = |alert: &Value| {
            alert["metric"]["stream"] == "b" && alert["metric"]["alertstate"] == "pending"
        };
        open.len() == 1 && is_b(&open[0])
    });
    assert_rules_are_healthy(&monitoring);
}

/// No rule failed to be evaluated, on what a real watch serves.
fn assert_rules_are_healthy(monitoring: &Monitoring) {
    let data = ask(monitoring, "/api/v1/rules");
    let groups = data["groups"].as_array().unwrap().iter();
    let rules: Vec<&Value> = groups.flat_map(|group| group["rules"].as_array().unwrap()).collect();
    assert!(rules.len() > 20, "{data:#}");
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{rule:#}");
    }
}

/// The statements of a runbook that only ask, with what follows them.
fn statements(page: &Path) -> Vec<String> {
    let text = fs::read_to_string(page).unwrap();
    let blocks = text.split("```sql\n").skip(1).filter_map(|rest| rest.split("```").next());
    let lines = blocks.flat_map(str::lines).map(str::trim);
    let asks = lines.filter(|line| line.starts_with("SELECT") || line.starts_with("SHOW"));
    asks.filter(|line| !line.contains("TABLE")).map(str::to_owned).collect()
}

#[test]
fn the_runbooks_statements_run_on_both_servers() {
    let pages = fs::read_dir(root("docs/runbooks")).unwrap();
    let all: BTreeSet<String> = pages.flat_map(|page| statements(&page.unwrap().path())).collect();
    assert!(all.len() > 10, "{all:?}");
    for (server, others) in [(Server::MariaDb, "-- MySQL"), (Server::MySql, "-- MariaDB")] {
        let lab = Lab::start(server, LabOptions { nodes: 1, ..LabOptions::default() });
        for statement in all.iter().filter(|statement| !statement.contains(others)) {
            let sql = statement.split("--").next().unwrap().trim().trim_end_matches("\\G");
            if let Err(message) = lab.try_sql("a", sql) {
                panic!("{server:?}: {statement}: {message}");
            }
        }
    }
}
