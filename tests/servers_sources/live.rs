//! Servers whose logs are read up to the moment at which the scan began.

use crate::{
    run::{conflict_on, explain, files, scan, scan_of_files, server, spawn, twinlog, twinlog_with},
    support::{lab::Lab, proxy::Proxy, watcher::Watcher},
};
use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};
use twinlog::feed::live::DropReason;

pub(crate) fn gives_what_files_give(lab: &Lab) {
    let of_files = scan_of_files(lab);
    let [a, b] = [server(lab, "a"), server(lab, "b")];
    let live = scan(&[&a, &b]);
    assert_eq!(live.code, Some(1), "{}", live.stderr);
    assert_eq!(live.findings(), of_files.findings());
    let mixed = scan(&[&files(lab, "a"), &b]);
    assert_eq!(mixed.findings(), of_files.findings());
    // A finding of it is explained by the servers, and by their files.
    let conflict = conflict_on(&live, 1);
    for sources in [[a.clone(), b.clone()], [files(lab, "a"), files(lab, "b")]] {
        let [a, b] = sources.each_ref();
        let explained = explain(&live, &conflict, &[a, b]);
        explained.assert_says(0, &[]);
        let written = ["\"v\":\"a\"", "\"v\":\"b\""];
        assert!(written.iter().all(|v| explained.stdout.contains(v)), "{}", explained.stdout);
    }
    let report = lab.dir().join("live.html");
    let report_to = report.to_str().unwrap();
    let ran = twinlog(&["scan", "--kind", "write_conflict", "--report", report_to, &a, &b]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    let html = fs::read_to_string(report).unwrap();
    assert!(html.contains(&lab.url("a")) && !html.contains("kB on disk"), "{html}");
}

pub(crate) fn takes_the_password_that_is_configured(lab: &Lab) {
    let (password, config) = (lab.dir().join("password"), lab.dir().join("scan.toml"));
    fs::write(&password, Lab::PASSWORD).unwrap();
    let node = |name| format!("[nodes.{name}]\npassword_file = {:?}\n", password.to_str().unwrap());
    fs::write(&config, node("a") + &node("b")).unwrap();
    let [a, b] = [server(lab, "a"), files(lab, "b")];
    let arguments = ["scan", "--config", config.to_str().unwrap(), &a, &b];
    let ran = twinlog_with(None, &arguments);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    // The server says another id than the configuration.
    fs::write(&config, node("a") + "server_ids = [77]\n" + &node("b")).unwrap();
    let words = ["node a: the server has server id 1", "[77]", "hint: is the url another node's?"];
    twinlog_with(None, &arguments).assert_says(2, &words);
}

pub(crate) fn is_refused_in_words(lab: &Lab) {
    let [a, b] = [server(lab, "a"), files(lab, "b")];
    let words = ["node a: mysql://twinlog@127.0.0.1", "error 1045", "hint:", "MYSQL_PWD"];
    twinlog_with(None, &["scan", &a, &b]).assert_says(3, &words);
    let secret = a.replace("twinlog@", "twinlog:s3cret@");
    let refused = twinlog(&["scan", &secret, &b]);
    refused.assert_says(2, &["node a: the url has a password in it", "hint:"]);
    assert!(!refused.stderr.contains("s3cret"));
    let away = format!("a=mysql://twinlog@127.0.0.1:{}", Proxy::start(0).port());
    twinlog(&["scan", &away, &b]).assert_says(3, &["node a: mysql://", "is the server up"]);
    let both = twinlog(&["scan", &a, &files(lab, "a"), &b]);
    both.assert_says(2, &["node a: its server and another source", "hint: give its server alone"]);
    let twice = server(lab, "a").replacen("a=", "b=", 1);
    twinlog(&["scan", &a, &twice]).assert_says(2, &["nodes a and b both have server id 1"]);
}

/// Masters that never stop writing: it ends all the same, with all that was there when it began.
pub(crate) fn ends_where_it_began_while_masters_write(lab: &Lab) {
    let before = scan_of_files(lab);
    lab.sql("a", "CREATE TABLE t.load_a (id INT AUTO_INCREMENT PRIMARY KEY, v INT)");
    lab.sql("a", "CREATE TABLE t.load_b (id INT AUTO_INCREMENT PRIMARY KEY, v INT)");
    lab.settle();
    let ended = AtomicBool::new(false);
    let began = Instant::now();
    let scans = thread::scope(|scope| {
        for node in ["a", "b"] {
            let insert = format!("INSERT INTO t.load_{node} (v) VALUES (1);").repeat(50);
            let ended = &ended;
            scope.spawn(move || {
                while !ended.load(SeqCst) {
                    lab.sql(node, &insert);
                }
            });
        }
        let scans = [0; 3].map(|_| scan(&[&server(lab, "a"), &server(lab, "b")]));
        ended.store(true, SeqCst);
        scans
    });
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    // One ends a moment before the other: that is said, and is no finding about a row.
    let rows = |told: Vec<String>| -> Vec<String> {
        told.into_iter().filter(|told| !told.contains("blind_spot")).collect()
    };
    for live in scans {
        assert_eq!(live.code, Some(1), "{}", live.stderr);
        assert_eq!(rows(live.told()), rows(before.told()), "{}", live.stderr);
    }
    lab.settle();
}

/// A watch of the same servers: neither takes the other's stream.
pub(crate) fn leaves_a_watch_alone(lab: &Lab) {
    let mut watcher = Watcher::start(lab, "[nodes.a]\n[nodes.b]\n");
    let connected = |node: &str| format!("twinlog_stream_connected{{stream=\"{node}\"}}");
    let follows = |watcher: &Watcher| {
        ["a", "b"].iter().all(|node| watcher.metric(&connected(node)) == Some(1.0))
    };
    watcher.wait_for("it follows both", follows);
    let of_files = scan_of_files(lab);
    for _ in 0..3 {
        let live = scan(&[&server(lab, "a"), &server(lab, "b")]);
        assert_eq!(live.findings(), of_files.findings(), "{}", live.stderr);
    }
    watcher.wait_for("it still does", follows);
    for node in ["a", "b"] {
        for reason in DropReason::ALL {
            let series = format!(
                "twinlog_stream_reconnects_total{{reason=\"{}\",stream=\"{node}\"}}",
                reason.as_str()
            );
            assert_eq!(watcher.metric(&series), Some(0.0), "{series}");
        }
    }
}

/// Enough for a connection to be cut in the middle.
fn write_much(lab: &Lab) {
    let insert = "INSERT INTO t.much (v) VALUES (REPEAT('x', 20000));".repeat(200);
    let table = "CREATE TABLE IF NOT EXISTS t.much (id INT AUTO_INCREMENT PRIMARY KEY, v TEXT);";
    lab.sql("a", &format!("{table}{insert}"));
    lab.settle();
}

/// A server behind a proxy that lets a megabyte pass in a second.
fn slow(lab: &Lab, node: &str) -> (Proxy, String) {
    let proxy = Proxy::start(lab.node(node).port);
    proxy.throttle(1 << 20);
    let url = format!("{node}=mysql://twinlog@127.0.0.1:{}", proxy.port());
    (proxy, url)
}

fn until_passed(proxy: &Proxy, bytes: u64) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while proxy.passed() < bytes {
        assert!(Instant::now() < deadline, "{} bytes", proxy.passed());
        thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn goes_on_after_a_broken_connection(lab: &Lab) {
    write_much(lab);
    let of_files = scan_of_files(lab);
    let (proxy, a) = slow(lab, "a");
    let running = spawn(&["scan", "--format", "ndjson", &a, &server(lab, "b")]);
    for bytes in [1_000_000, 2_000_000] {
        until_passed(&proxy, bytes);
        proxy.break_once();
    }
    let live = running.join().unwrap();
    assert_eq!(live.code, Some(1), "{}", live.stderr);
    assert_eq!(live.findings(), of_files.findings());
}

/// A connection that is lost for good: what was not covered is said, and is exit code 3.
pub(crate) fn says_how_far_it_came(lab: &Lab) {
    let (proxy, a) = slow(lab, "a");
    let running = spawn(&["scan", "--format", "ndjson", &a, &server(lab, "b")]);
    until_passed(&proxy, 1_000_000);
    let password = |password| {
        let account = "twinlog@'127.0.0.1'";
        lab.sql(
            "a",
            &format!("SET sql_log_bin = 0; ALTER USER {account} IDENTIFIED BY '{password}'"),
        );
    };
    password("another");
    proxy.break_once();
    let live = running.join().unwrap();
    password(Lab::PASSWORD);
    live.assert_says(
        3,
        &["error 1045", "a was read up to a-bin.0", "nothing after this place was verified"],
    );
    // What was read before is judged.
    assert!(live.told().iter().any(|told| told.contains("write_conflict")), "{}", live.stdout);
}

/// What was purged before the scan is a beginning like any other.
pub(crate) fn begins_where_the_server_does(lab: &Lab) {
    for node in ["a", "b"] {
        lab.sql(node, "FLUSH BINARY LOGS");
    }
    lab.sql("a", "INSERT INTO t.x VALUES (100, 'new')");
    lab.settle();
    for node in ["a", "b"] {
        let last = lab.binlogs(node).pop().unwrap();
        let last = last.file_name().unwrap().to_str().unwrap().to_owned();
        // A file that somebody is still sent is kept.
        let deadline = Instant::now() + Duration::from_secs(60);
        while lab.binlogs(node).len() > 1 {
            assert!(Instant::now() < deadline, "{:?}", lab.binlogs(node));
            lab.sql(node, &format!("PURGE BINARY LOGS TO '{last}'"));
            thread::sleep(Duration::from_millis(50));
        }
    }
    let live = scan(&[&server(lab, "a"), &server(lab, "b")]);
    assert_eq!(live.code, Some(0), "{}\n{}", live.stdout, live.stderr);
    assert!(
        live.stderr.contains("a: 1 originals") && live.stderr.contains("no findings"),
        "{}",
        live.stderr
    );
}

/// Without GTIDs it ends at a place of the log.
pub(crate) fn servers_without_gtids_end_at_a_place(lab: &Lab) {
    gives_what_files_give(lab);
    goes_on_after_a_broken_connection(lab);
    ends_where_it_began_while_masters_write(lab);
}
