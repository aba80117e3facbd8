//! No secret and no row's value is where it does not belong, with words that cannot be there by
//! chance: in the log at its most talkative, in metrics, and in what strangers get.

use crate::{
    daemon::{Daemon, Output, ask, config, get, until},
    support::lab::{Lab, Server},
};
use serde_json::Value;
use std::{fs, net::TcpStream};

const PASSWORD: &str = "Passw0rd-XYZZY";
const WRONG: &str = "Passw0rd-GRUE";
const TOKEN: &str = "Token-WIBBLE";
/// In a column that is no key, in statements, and in a key.
const VALUE: &str = "Value-PLUGH";
const KEY: &str = "Key-FROBOZZ";

/// The account that reads; and its password in a file, or in the environment.
fn configured(lab: &Lab) -> std::path::PathBuf {
    let rights = match lab.server() {
        Server::MariaDb => "REPLICATION SLAVE, BINLOG MONITOR, SLAVE MONITOR, SELECT",
        Server::MySql => "REPLICATION SLAVE, REPLICATION CLIENT, SELECT",
    };
    lab.sql("a", &format!("CREATE USER spy@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'"));
    lab.sql("a", &format!("GRANT {rights} ON *.* TO spy@'127.0.0.1'"));
    lab.settle();
    let (password, token) = (lab.dir().join("a.password"), lab.dir().join("token"));
    fs::write(&password, PASSWORD).unwrap();
    fs::write(&token, TOKEN).unwrap();
    let path = config(lab, "");
    let node = |name: &str, password: String| {
        let port = lab.node(name).port;
        let tls = if lab.server() == Server::MySql { "required" } else { "off" };
        format!(
            "[nodes.{name}]\nurl = \"mysql://spy@127.0.0.1:{port}\"\n{password}\n\
             tls = {{ mode = \"{tls}\" }}\n"
        )
    };
    let text = format!(
        "{}{}[[ownership]]\ntables = [\"t.*\"]\n\
         rows = {{ column = \"v\", values = {{ a = [\"{VALUE}-a\"], b = [\"{VALUE}-b\"] }} }}\n\
         [watch]\nstart = \"earliest\"\nstore = \"{}\"\nlisten = \"0.0.0.0:0\"\ntls = \"off\"\n\
         token_file = \"{}\"\n",
        node("a", format!("password_file = \"{}\"", password.display())),
        node("b", "password_env = \"SPY\"".to_owned()),
        lab.dir().join("twinlog.db").display(),
        token.display(),
    );
    fs::write(&path, text).unwrap();
    path
}

/// What may hold no row's value, and no key.
fn assert_clean(what: &str, text: &str) {
    for secret in [PASSWORD, WRONG, TOKEN, VALUE, KEY] {
        let at = text.find(secret).map(|at| &text[at.saturating_sub(200)..at + secret.len()]);
        assert_eq!(at, None, "{what}");
    }
}

#[test]
fn neither_secrets_nor_values_are_where_they_do_not_belong() {
    for server in Server::ALL {
        look_everywhere(&Lab::pair(server));
    }
}

fn look_everywhere(lab: &Lab) {
    lab.sql("a", "CREATE DATABASE t");
    lab.sql("a", "CREATE TABLE t.x (k VARCHAR(40) PRIMARY KEY, v VARCHAR(40), n INT)");
    lab.settle();
    let path = configured(lab);
    let mut daemon = Daemon::with(lab, &path, &Output::File, |command| {
        command.args(["--verbose", "--log-format", "json"]).env("SPY", PASSWORD);
    });
    daemon.until_ready();
    // All kinds of findings, and what a server says of a row that it cannot apply.
    lab.sql("a", &format!("INSERT INTO t.x VALUES ('{KEY}-1', '{VALUE}-b', 1)"));
    lab.settle();
    let text = format!("INSERT INTO t.x VALUES ('{KEY}-2', '{VALUE}-a', 2)");
    lab.sql("b", &format!("SET SESSION binlog_format = STATEMENT; {text}"));
    lab.sql("a", &format!("ALTER TABLE t.x COMMENT '{VALUE}', ALTER n SET DEFAULT 4"));
    lab.settle();
    lab.stop_replication();
    for node in ["a", "b"] {
        lab.sql(node, &format!("INSERT INTO t.x VALUES ('{KEY}-3', '{VALUE}-{node}', 3)"));
        lab.sql(node, &format!("UPDATE t.x SET v = '{VALUE}-{node}' WHERE k = '{KEY}-1'"));
    }
    lab.start_replication();
    let stopped = lab.try_settle().unwrap_err();
    assert!(stopped.contains("1062"), "{stopped}");
    let has = |kind: &str| {
        until(&format!("{kind}: {}", daemon.log()), || {
            daemon.told().iter().any(|of| of["kind"] == kind).then_some(())
        });
    };
    ["write_conflict", "row_ownership", "blind_spot"].into_iter().for_each(has);
    let id = daemon.told().iter().find(|of| of["kind"] == "write_conflict").unwrap()["id"].clone();

    // Refused, with a password that was just read; and a file that has one where none belongs.
    fs::write(lab.dir().join("a.password"), WRONG).unwrap();
    let dumps = "SELECT id FROM information_schema.processlist WHERE user = 'spy'";
    for id in lab.sql("a", dumps).lines() {
        let _ = lab.try_sql("a", &format!("KILL {id}"));
    }
    until("it is refused", || daemon.log().contains("error 1045").then_some(()));
    let good = fs::read_to_string(&path).unwrap();
    fs::write(&path, good.replace("mysql://spy@", &format!("mysql://spy:{PASSWORD}@"))).unwrap();
    daemon.signal("HUP");
    until("it refuses the file", || daemon.log().contains("stays as it was").then_some(()));
    fs::write(&path, &good).unwrap();
    fs::write(lab.dir().join("a.password"), PASSWORD).unwrap();
    daemon.until_ready();

    strangers_see_nothing(&daemon, id.as_str().unwrap());
    keys_are_all_that_a_page_shows(&daemon, id.as_str().unwrap());
    daemon.end("with secrets");
    let log = daemon.log();
    assert_clean("the log", &log);
    assert!(log.lines().count() > 10, "{log}");
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).expect(line);
        for field in ["timestamp", "level", "message"] {
            assert!(line[field].is_string(), "{field}: {line}");
        }
    }
    assert!(log.contains("\"node\":\"a\""), "{log}");
    // What is told holds keys, and nothing else of a row.
    let told = fs::read_to_string(lab.dir().join("findings.ndjson")).unwrap();
    assert!(told.contains(KEY), "{told}");
    for secret in [PASSWORD, WRONG, TOKEN, VALUE] {
        assert!(!told.contains(secret), "{secret}: {told}");
    }
}

/// Every route, as the source has it.
fn routes(id: &str) -> Vec<String> {
    let source = include_str!("../../src/http/mod.rs");
    let paths = source.split(".route(\"").skip(1).filter_map(|rest| rest.split('"').next());
    let routes: Vec<String> = paths.map(|path| path.replace("{id}", id)).collect();
    assert!(routes.len() >= 14, "{routes:?}");
    routes
}

fn strangers_see_nothing(daemon: &Daemon, id: &str) {
    let mut open = Vec::new();
    for path in routes(id) {
        let (code, page) = get(daemon.address(), &path).unwrap();
        assert_clean(&path, &page);
        if code == 200 {
            open.push(path);
        }
    }
    open.sort();
    // The form that takes the token, and what it looks like, hold nothing of this watch.
    let door = ["/login", "/static/page.js", "/static/style.css"];
    let health = ["/healthz", "/metrics", "/readyz"];
    let mut expected: Vec<String> = health.iter().chain(&door).map(ToString::to_string).collect();
    expected.sort();
    assert_eq!(open, expected);
    let (_, metrics) = get(daemon.address(), "/metrics").unwrap();
    assert!(metrics.contains("twinlog_findings_total"), "{metrics}");
}

/// With the token, and `evidence = "keys"`.
fn keys_are_all_that_a_page_shows(daemon: &Daemon, id: &str) {
    for path in routes(id) {
        // Its answer does not end.
        if path == "/events" {
            continue;
        }
        let connection = TcpStream::connect(daemon.address()).unwrap();
        let token = format!("Authorization: Bearer {TOKEN}\r\n");
        let (_, page) = ask(connection, &path, &token).unwrap();
        for secret in [PASSWORD, WRONG, TOKEN, VALUE] {
            assert!(!page.contains(secret), "{path}: {secret}: {page}");
        }
        if path == "/" {
            assert!(page.contains(KEY), "{page}");
        }
    }
}
