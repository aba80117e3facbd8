//! Accounts with what the documentation asks for, and with less.

use crate::{
    reader::{options, refused},
    support::lab::{Lab, Server},
    watch::Watch,
};
use serde_json::Value;
use twinlog::feed::live::DropReason;

/// What docs/configuration.md names, in its order.
fn needed(server: Server) -> &'static [&'static str] {
    match server {
        Server::MariaDb => &["REPLICATION SLAVE", "BINLOG MONITOR", "SLAVE MONITOR"],
        Server::MySql => &["REPLICATION SLAVE", "REPLICATION CLIENT"],
    }
}

fn on_both(lab: &Lab, sql: &str) {
    for node in ["a", "b"] {
        lab.sql(node, &format!("SET sql_log_bin = 0; {sql}"));
    }
}

/// Two transactions that clash by a unique key alone, of one value on both.
fn clash(lab: &Lab, key: u32) {
    lab.stop_replication();
    for (node, id) in [("a", 10 * key + 1), ("b", 10 * key + 2)] {
        lab.sql(node, &format!("INSERT INTO t.u VALUES ({id}, {key})"));
    }
}

/// Nobody is stopped any more, and both have the same.
fn mend(lab: &Lab) {
    on_both(lab, "DELETE FROM t.u");
    lab.idempotent();
    lab.start_replication();
    lab.settle();
    on_both(lab, "DELETE FROM t.u");
    lab.strict();
}

fn conflict(watch: &Watch) -> Option<Value> {
    let told = watch.told();
    told.into_iter().rfind(|of| of["kind"] == "write_conflict" && of["index"] == "e")
}

/// With all of them, and no more: what can be asked is asked, and keys are learned.
pub(crate) fn least(lab: &Lab) {
    lab.sql("a", "CREATE TABLE t.u (id INT PRIMARY KEY, e INT, UNIQUE KEY e (e))");
    lab.settle();
    let all = needed(lab.server()).join(", ");
    on_both(lab, "CREATE USER lean@'127.0.0.1' IDENTIFIED BY 'lean'");
    on_both(lab, &format!("GRANT {all} ON *.* TO lean@'127.0.0.1'"));
    on_both(lab, "GRANT SELECT ON t.* TO lean@'127.0.0.1'");
    let mut watch = Watch::start(lab, "lean", "lean", "lean");
    watch.until_connected();
    clash(lab, 1);
    watch.until("a conflict by a key that no log names", |watch| conflict(watch).is_some());
    lab.start_replication();
    watch.until("that replication is stopped", |watch| {
        conflict(watch).is_some_and(|of| of["outcome"] == "stopped")
    });
    for node in ["a", "b"] {
        watch.until("the server's files", |watch| {
            watch.metric(&format!("server_oldest_file_number{{stream=\"{node}\"}}")) == 1.0
        });
    }
    let log = watch.log();
    assert!(!log.contains("GRANT") && !log.contains("cannot ask"), "{log}");
    drop(watch);
    mend(lab);
}

/// Without one of them: the statement that grants it.
pub(crate) fn too_few(lab: &Lab) {
    let (server, all) = (lab.server(), needed(lab.server()));
    on_both(lab, "CREATE USER poor@'127.0.0.1' IDENTIFIED BY 'poor'");
    if all.len() > 1 {
        on_both(lab, &format!("GRANT {} ON *.* TO poor@'127.0.0.1'", all[1..].join(", ")));
    }
    let account = "ON *.* TO 'poor'@'127.0.0.1'";
    let follows = format!("GRANT REPLICATION SLAVE {account}");
    refused("no dump", options(lab, "poor", Some("poor")), DropReason::Grant, &[&follows]);

    for missing in &all[1..] {
        on_both(lab, &format!("REVOKE {missing} ON *.* FROM poor@'127.0.0.1'"));
    }
    on_both(lab, &format!("GRANT {} ON *.* TO poor@'127.0.0.1'", all[0]));
    let mut watch = Watch::start(lab, "poor", "poor", "poor");
    watch.until_connected();
    let files = match server {
        Server::MariaDb => format!("GRANT BINLOG MONITOR {account}"),
        Server::MySql => format!("GRANT REPLICATION CLIENT {account}"),
    };
    watch.until("what the files need", |watch| {
        let log = watch.log();
        log.contains("cannot ask for its binlog files") && log.contains(&files)
    });
    assert!(watch.log().contains("the account sees no tables"), "{}", watch.log());
    // Without SELECT the unique key is not known; the primary key is in the log.
    lab.stop_replication();
    for node in ["a", "b"] {
        lab.sql(node, &format!("INSERT INTO t.u VALUES (77, {})", lab.node(node).server_id));
    }
    let applier = match server {
        Server::MariaDb => format!("GRANT SLAVE MONITOR {account}"),
        Server::MySql => format!("GRANT REPLICATION CLIENT {account}"),
    };
    watch.until("what the applier's error needs", |watch| {
        let log = watch.log();
        let asked = log.split_once("cannot ask whether replication has stopped there");
        asked.is_some_and(|(_, rest)| rest.contains(&applier))
    });
    drop(watch);
    mend(lab);
}
