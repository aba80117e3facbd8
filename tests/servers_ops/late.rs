//! Servers that are away when a watch starts: what it serves until they come.

use crate::{
    daemon::{Daemon, config, get, until},
    support::lab::{Lab, Server},
};

#[test]
fn mariadb_that_comes_late_is_told_meanwhile() {
    comes_late(Server::MariaDb);
}

#[test]
fn mysql_that_comes_late_is_told_meanwhile() {
    comes_late(Server::MySql);
}

fn comes_late(server: Server) {
    let mut lab = Lab::pair(server);
    let config = config(&lab, "");
    lab.stop();
    let mut daemon = Daemon::start(&lab, &config);
    until("it waits", || daemon.log().contains("waiting for it").then_some(()));
    let answer = |daemon: &Daemon, path: &str| get(daemon.address(), path).unwrap();
    assert_eq!(answer(&daemon, "/healthz").0, 200);
    let (code, why) = answer(&daemon, "/readyz");
    assert!(code == 503 && why.contains("not ready: a: waiting for its server"), "{code} {why}");
    assert_eq!(daemon.metric("twinlog_stream_connected{stream=\"a\"}"), 0.0);
    assert_eq!(daemon.metric("twinlog_open_findings{kind=\"write_conflict\"}"), 0.0);
    assert!(daemon.metric("twinlog_memory_limit_bytes") > 0.0);
    let (code, page) = answer(&daemon, "/");
    assert_eq!(code, 200, "{page}");
    for words in [
        "nothing is judged before the server of a answers",
        "waited for",
        "has not answered yet",
        "Not everything can be seen now",
        // Why, as the log says it.
        "is the server up",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    let (code, findings) = answer(&daemon, "/api/v1/findings");
    assert_eq!(code, 200, "{findings}");
    let (_, status) = answer(&daemon, "/api/v1/status");
    assert!(status.contains("\"waits_for\":\"a\""), "{status}");

    lab.restart();
    daemon.until_ready();
    let (_, page) = answer(&daemon, "/");
    assert!(!page.contains("waited for") && !page.contains("has not answered"), "{page}");
    let (_, status) = answer(&daemon, "/api/v1/status");
    assert!(status.contains("\"waits_for\":null"), "{status}");
    assert_eq!(daemon.metric("twinlog_stream_connected{stream=\"a\"}"), 1.0);
    daemon.end("after waiting");

    // Told to end while it waits.
    lab.stop();
    let mut daemon = Daemon::start(&lab, &config);
    until("it waits again", || {
        get(daemon.address(), "/readyz").filter(|(_, why)| why.contains("a: waiting"))
    });
    daemon.end("while it waits");
}
