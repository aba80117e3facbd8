//! Live streams of real servers: what they deliver is what their files hold, through every kind
//! of interruption.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::{path::Path, process::Command, sync::Arc, time::Duration};

use support::lab::{Lab, Server};
use tokio::{runtime::Runtime, sync::mpsc, time::timeout};
use twinlog::{
    binlog::TablePlan,
    config::{MysqlUrl, PasswordSource, TlsConfig, TlsMode},
    feed::{
        FeedError, FeedItem, FileFeed,
        live::{
            DropReason, LiveEvent, LiveOptions, LivePlans, LiveStart, StreamStatus, follow,
            server_facts,
        },
        resolve_source,
    },
    model::{GtidSet, Transaction},
};

/// How long anything here may take before the test has failed.
const DEADLINE: Duration = Duration::from_secs(90);

const TABLES: &str = "CREATE DATABASE shop;
    CREATE TABLE shop.item (id INT PRIMARY KEY, v VARCHAR(20));
    CREATE TABLE shop.big (id INT PRIMARY KEY, v LONGBLOB);";

fn secret(text: &str) -> PasswordSource {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    PasswordSource::Given(PasswordSource::File(file.path().into()).read().unwrap())
}

fn options(lab: &Lab, node: &str, start: LiveStart) -> LiveOptions {
    LiveOptions {
        node: node.to_owned(),
        url: lab.url(node).parse().unwrap(),
        password: Some(secret(Lab::PASSWORD)),
        tls: TlsConfig::default(),
        replica_server_id: 4_294_900_001,
        start,
        plans: LivePlans::none(),
    }
}

/// What a stream has delivered.
#[derive(Default)]
struct Seen {
    begin: Option<GtidSet>,
    transactions: Vec<Transaction>,
    connected: Vec<(String, u64)>,
    caught_up: usize,
    drops: Vec<(DropReason, FeedError)>,
    gaps: Vec<GtidSet>,
    lost: bool,
}

/// A stream that is being followed.
struct Following {
    runtime: Runtime,
    receiver: mpsc::Receiver<LiveEvent>,
    status: Arc<StreamStatus>,
    seen: Seen,
}

impl Following {
    fn start(options: LiveOptions) -> Following {
        let runtime = Runtime::new().unwrap();
        let (send, receiver) = mpsc::channel(1);
        let status = Arc::new(StreamStatus::default());
        runtime.spawn(follow(options, send, status.clone()));
        Following { runtime, receiver, status, seen: Seen::default() }
    }

    /// Receives until something has been seen.
    fn until(&mut self, what: &str, done: impl Fn(&Seen) -> bool) {
        let (receiver, seen) = (&mut self.receiver, &mut self.seen);
        let received = self.runtime.block_on(async {
            let receive = async {
                while !done(seen) {
                    seen.take(receiver.recv().await.expect("following goes on"));
                }
            };
            timeout(DEADLINE, receive).await
        });
        let (begin, count) = (&seen.begin, seen.transactions.len());
        let drops = &seen.drops;
        assert!(received.is_ok(), "{what}: begin {begin:?}, {count} transactions, {drops:?}");
    }

    /// Receives until the server has nothing more.
    fn until_caught_up(&mut self) {
        let before = self.seen.caught_up;
        self.until("a heartbeat", |seen| seen.caught_up > before);
    }

    /// Receives all that a settled node has logged, and compares it with its files.
    fn equals_files(&mut self, lab: &Lab, node: &str) {
        let begin = self.seen.begin.clone().expect("a baseline");
        assert!(self.seen.gaps.is_empty(), "{:?}", self.seen.gaps);
        let (_, mut logged) = from_files(node, lab.binlog_dir(node));
        logged.retain(|tx| !begin.contains(&tx.gtid.unwrap()));
        let count = logged.len();
        self.until("all transactions", |seen| seen.transactions.len() >= count);
        self.until_caught_up();
        assert_eq!(gtids(&self.seen.transactions), gtids(&logged));
        for (seen, logged) in self.seen.transactions.iter().zip(&logged) {
            assert!(seen == logged, "{:?}\n{:?}", seen.coordinates, logged.coordinates);
        }
        assert_eq!(self.status.transactions(), count as u64);
    }
}

impl Seen {
    fn take(&mut self, event: LiveEvent) {
        match event {
            LiveEvent::Connected { file, position, .. } => self.connected.push((file, position)),
            LiveEvent::Item(FeedItem::Begin(set)) => {
                assert!(self.begin.replace(set).is_none(), "a second beginning");
                assert!(self.transactions.is_empty(), "a transaction before the beginning");
            }
            LiveEvent::Item(FeedItem::Transaction(tx)) => self.transactions.push(*tx),
            LiveEvent::Item(FeedItem::Standing { .. }) => {}
            LiveEvent::Item(FeedItem::Gap { missing, .. }) => self.gaps.push(missing),
            LiveEvent::Plans(number) => assert_eq!(number, 0, "nobody replaced them"),
            LiveEvent::Changed(facts) => panic!("another server: {facts:?}"),
            LiveEvent::Lost => self.lost = true,
            LiveEvent::CaughtUp => self.caught_up += 1,
            LiveEvent::Disconnected { reason, error } => self.drops.push((reason, error)),
        }
    }
}

fn gtids(transactions: &[Transaction]) -> Vec<String> {
    transactions.iter().map(|tx| tx.gtid.unwrap().to_string()).collect()
}

fn from_files(node: &str, directory: &Path) -> (GtidSet, Vec<Transaction>) {
    let files = resolve_source(node, directory).unwrap();
    let (mut begin, mut transactions) = (None, Vec::new());
    let deliver = |item, _| {
        match item {
            FeedItem::Begin(set) => begin = Some(set),
            FeedItem::Transaction(tx) => transactions.push(*tx),
            FeedItem::Standing { .. } => {}
            FeedItem::Gap { detail, .. } => panic!("a gap: {detail}"),
        }
        true
    };
    FileFeed::new(node, Arc::new(|_| TablePlan::default())).run(&files, deliver).unwrap();
    (begin.unwrap(), transactions)
}

fn write(lab: &Lab, round: u32) {
    for (node, id) in [("a", 2 * round), ("b", 2 * round + 1)] {
        lab.sql(
            node,
            &format!(
                "INSERT INTO shop.item VALUES ({id}, 'one'), ({}, 'two');
                 UPDATE shop.item SET v = CONCAT(v, '!') WHERE id = {id};
                 BEGIN; DELETE FROM shop.item WHERE id = {id};
                 INSERT INTO shop.item VALUES ({}, NULL); COMMIT;",
                id + 1000,
                id + 2000
            ),
        );
    }
}

#[test]
fn mariadb_from_now() {
    from_now(Server::MariaDb);
}

#[test]
fn mysql_from_now() {
    from_now(Server::MySql);
}

fn from_now(server: Server) {
    let lab = Lab::pair(server);
    lab.sql("a", TABLES);
    lab.settle();
    write(&lab, 1);
    lab.settle();
    let mut streams =
        ["a", "b"].map(|node| (node, Following::start(options(&lab, node, LiveStart::Now))));
    for (_, stream) in &mut streams {
        stream.until_caught_up();
        assert_eq!(stream.seen.transactions.len(), 0);
        assert!(stream.seen.begin.as_ref().is_some_and(|set| !set.is_empty()));
    }
    write(&lab, 2);
    lab.sql("a", "FLUSH BINARY LOGS; CREATE TABLE shop.more (id INT PRIMARY KEY)");
    write(&lab, 3);
    lab.sql("b", "FLUSH BINARY LOGS");
    lab.sql("b", "FLUSH BINARY LOGS");
    lab.sql("a", "INSERT INTO shop.big VALUES (1, REPEAT('x', 20000000))");
    lab.settle();
    lab.sql("b", "UPDATE shop.big SET v = CONCAT(v, 'y')");
    write(&lab, 4);
    if server == Server::MySql {
        lab.sql("a", "SET gtid_next = 'AUTOMATIC:tag'; INSERT INTO shop.more VALUES (1)");
        let compressed = "SET binlog_transaction_compression = ON;
            INSERT INTO shop.big VALUES (2, REPEAT('z', 5000)); DELETE FROM shop.big WHERE id = 2";
        lab.sql("a", compressed);
    }
    lab.settle();
    for (node, stream) in &mut streams {
        stream.equals_files(&lab, node);
        assert!(stream.seen.drops.is_empty(), "{:?}", stream.seen.drops);
        let (file, offset) = stream.status.position();
        let on_disk = std::fs::metadata(lab.binlog_dir(node).join(&file)).unwrap().len();
        assert_eq!(offset, on_disk, "{file}");
    }
    // A lost connection is resumed with all that has been seen by now, tagged GTIDs included.
    let (_, stream) = &mut streams[0];
    assert_eq!(kill_dumps(&lab, "a"), 1);
    write(&lab, 5);
    lab.settle();
    stream.equals_files(&lab, "a");
    assert_eq!(stream.seen.drops.len(), 1);
}

#[test]
fn mariadb_reports_what_the_server_no_longer_has() {
    reports_what_is_gone(Server::MariaDb);
}

#[test]
fn mysql_reports_what_the_server_no_longer_has() {
    reports_what_is_gone(Server::MySql);
}

fn reports_what_is_gone(server: Server) {
    let lab = Lab::pair(server);
    lab.sql("a", TABLES);
    lab.settle();
    let mut stream = Following::start(options(&lab, "a", LiveStart::Now));
    stream.until_caught_up();
    // More than fits between server and reader, and nobody reads.
    for id in 1..6 {
        lab.sql("a", &format!("INSERT INTO shop.big VALUES ({id}, REPEAT('x', 20000000))"));
    }
    lab.sql("a", "FLUSH BINARY LOGS");
    lab.settle();
    assert_eq!(kill_dumps(&lab, "a"), 1);
    let last = resolve_source("a", lab.binlog_dir("a")).unwrap().pop().unwrap().name;
    let purged = (0..100).any(|_| {
        lab.sql("a", &format!("PURGE BINARY LOGS TO '{last}'"));
        std::thread::sleep(Duration::from_millis(100));
        lab.sql("a", "SHOW BINARY LOGS").lines().count() == 1
    });
    assert!(purged, "the files stay");
    let has = |reason| move |seen: &Seen| seen.drops.iter().any(|(drop, _)| *drop == reason);
    stream.until("a purge", has(DropReason::Purged));
    let read = stream.seen.transactions.len();
    assert!(read < 5, "{read}");
    // What is missing is named exactly, and nothing else is lost, or comes twice.
    write(&lab, 7);
    lab.settle();
    let (left_from, left) = from_files("a", lab.binlog_dir("a"));
    stream.until("what is left", |seen| seen.transactions.len() == read + left.len());
    stream.until_caught_up();
    let mut known = stream.seen.begin.clone().unwrap();
    for tx in &stream.seen.transactions[..read] {
        let gtid = tx.gtid.unwrap();
        match gtid.source.is_ordered() {
            true => known.add_up_to(&gtid),
            false => assert!(known.add(&gtid)),
        }
    }
    assert_eq!(stream.seen.gaps, [left_from.minus(&known)]);
    assert_eq!(stream.seen.transactions[read..], left);
    // A second loss of the connection is no second gap.
    assert_eq!(kill_dumps(&lab, "a"), 1);
    write(&lab, 8);
    lab.settle();
    let (_, left) = from_files("a", lab.binlog_dir("a"));
    stream.until("the rest", |seen| seen.transactions.len() == read + left.len());
    stream.until_caught_up();
    assert_eq!(stream.seen.transactions[read..], left);
    assert_eq!(stream.seen.gaps.len(), 1);
    drop(stream);

    let mut stream = Following::start(options(&lab, "a", LiveStart::Now));
    stream.until_caught_up();
    // A second one of the same server id takes the stream away, and says so.
    let mut second = Following::start(options(&lab, "a", LiveStart::Now));
    // It asks for the log once somebody has taken where it begins.
    second.until("the beginning", |seen| seen.begin.is_some());
    stream.until("another replica", has(DropReason::SameId));
    let text = stream.seen.drops[0].1.to_string();
    assert!(text.contains("uses server id 4294900001"), "{text}");
    drop(second);
    stream.until_caught_up();
    write(&lab, 1);
    lab.settle();
    stream.equals_files(&lab, "a");
    lab.sql(
        "a",
        match server {
            Server::MariaDb => "RESET MASTER",
            Server::MySql => "RESET BINARY LOGS AND GTIDS",
        },
    );
    // The connection stays, and shows nothing of it; the server says the same numbers again.
    stream.until("a reset", has(DropReason::Reset));
    stream.until("the end", |seen| seen.lost);
    assert!(!has(DropReason::Purged)(&stream.seen), "{:?}", stream.seen.drops);
}

#[test]
fn mariadb_from_the_earliest_file_and_from_coordinates() {
    from_files_on(Server::MariaDb);
}

#[test]
fn mysql_from_the_earliest_file_and_from_coordinates() {
    from_files_on(Server::MySql);
}

fn from_files_on(server: Server) {
    let lab = Lab::pair(server);
    lab.sql("a", TABLES);
    lab.settle();
    for round in 1..5 {
        write(&lab, round);
        lab.sql("a", "FLUSH BINARY LOGS");
    }
    write(&lab, 5);
    lab.settle();
    // The first file goes, so that the stream does not begin with an empty set.
    let names: Vec<_> = resolve_source("a", lab.binlog_dir("a")).unwrap();
    let purge = format!("PURGE BINARY LOGS TO '{}'", names[1].name);
    let gone = |lab: &Lab| !lab.sql("a", "SHOW BINARY LOGS").contains(&names[0].name);
    // A file that the other node still reads is left alone: until then, ask again.
    let waited = (0..900).any(|_| {
        lab.sql("a", &purge);
        gone(&lab) || {
            std::thread::sleep(Duration::from_millis(100));
            false
        }
    });
    assert!(waited, "the first file stays");
    let (begin, logged) = from_files("a", lab.binlog_dir("a"));
    assert!(!begin.is_empty());

    let mut stream = Following::start(options(&lab, "a", LiveStart::Earliest));
    stream.until_caught_up();
    assert_eq!(stream.seen.begin, Some(begin.clone()));
    stream.equals_files(&lab, "a");
    // What comes after a lost connection is asked for by GTID, though files began it.
    kill_dumps(&lab, "a");
    write(&lab, 6);
    lab.settle();
    stream.equals_files(&lab, "a");
    assert_eq!(stream.seen.drops.len(), 1);

    for at in [4, logged.len() / 2, logged.len() - 1] {
        let (before, first) = (&logged[..at], &logged[at].coordinates);
        let start = LiveStart::At { file: first.file.to_string(), position: first.start };
        let mut stream = Following::start(options(&lab, "a", start));
        stream.until_caught_up();
        let began = stream.seen.begin.clone().unwrap();
        for tx in before {
            assert!(began.contains(&tx.gtid.unwrap()), "{began} before {first:?}");
        }
        assert_eq!(stream.seen.transactions.first(), Some(&logged[at]));
        stream.equals_files(&lab, "a");
    }
}

/// Ends all connections of that account, as an operator would.
fn kill_dumps(lab: &Lab, node: &str) -> usize {
    let ids = "SELECT id FROM information_schema.processlist WHERE user = 'twinlog'";
    let ids = lab.sql(node, ids);
    ids.lines().filter(|id| lab.try_sql(node, &format!("KILL {id}")).is_ok()).count()
}

#[test]
fn mariadb_goes_on_after_interruptions() {
    goes_on(Server::MariaDb);
}

#[test]
fn mysql_goes_on_after_interruptions() {
    goes_on(Server::MySql);
}

fn goes_on(server: Server) {
    let mut lab = Lab::pair(server);
    lab.sql("a", TABLES);
    lab.settle();
    let mut stream = Following::start(options(&lab, "a", LiveStart::Now));
    stream.until("the beginning", |seen| seen.begin.is_some());
    // Nobody receives meanwhile, so the connection ends inside one of the large transactions.
    let large = "INSERT INTO shop.big SELECT COALESCE(MAX(id), 0) + 1, REPEAT('x', 8000000)
        FROM shop.big AS other;";
    for round in 1..4 {
        lab.sql("a", large);
        lab.sql("a", large);
        write(&lab, round);
        assert!(kill_dumps(&lab, "a") > 0);
        let drops = stream.seen.drops.len();
        stream.until("a lost connection", |seen| seen.drops.len() > drops);
    }
    lab.settle();
    stream.equals_files(&lab, "a");

    lab.sql("a", large);
    let port = lab.node("a").port;
    let killed = Command::new("kill").args(["-9", &lab.node("a").pid.to_string()]).status();
    assert!(killed.unwrap().success());
    let drops = stream.seen.drops.len();
    stream.until("a lost server", |seen| seen.drops.len() > drops);
    lab.kill();
    lab.restart();
    assert_eq!(lab.node("a").port, port, "the port was taken by another process");
    write(&lab, 5);
    lab.settle();
    stream.equals_files(&lab, "a");
    assert!(stream.status.connections() > 4);
    let reasons = [DropReason::ServerClosed, DropReason::Connect, DropReason::Io];
    for (reason, error) in &stream.seen.drops {
        assert!(reasons.contains(reason), "{reason:?}: {error}");
    }
}

/// A baseline taken while the server commits: what follows joins on, whatever the moment.
#[test]
fn mariadb_begins_exactly_while_it_writes() {
    begins_exactly(Server::MariaDb);
}

#[test]
fn mysql_begins_exactly_while_it_writes() {
    begins_exactly(Server::MySql);
}

fn begins_exactly(server: Server) {
    let lab = Lab::pair(server);
    lab.sql("a", TABLES);
    lab.settle();
    let begins = std::thread::scope(|scope| {
        let writers = ["a", "b"].map(|node| {
            let lab = &lab;
            scope.spawn(move || {
                let base = if node == "a" { 0 } else { 1_000_000 };
                let rows = (base..base + 4000)
                    .map(|id| format!("INSERT INTO shop.item VALUES ({id}, 'x');\n"));
                lab.sql(node, &rows.collect::<String>());
            })
        });
        let mut streams = Vec::new();
        while !writers.iter().all(|writer| writer.is_finished()) && streams.len() < 12 {
            let mut stream = Following::start(options(&lab, "a", LiveStart::Now));
            stream.until("some transactions", |seen| {
                seen.begin.is_some() && (seen.transactions.len() >= 20 || seen.caught_up > 1)
            });
            streams.push(stream.seen);
        }
        streams
    });
    lab.settle();
    let (_, logged) = from_files("a", lab.binlog_dir("a"));
    let logged = gtids(&logged);
    for seen in begins.iter().filter(|seen| !seen.transactions.is_empty()) {
        let begin = seen.begin.as_ref().unwrap();
        let delivered = gtids(&seen.transactions);
        let first = logged.iter().position(|gtid| *gtid == delivered[0]).unwrap();
        assert_eq!(delivered, logged[first..first + delivered.len()]);
        for (at, gtid) in logged.iter().enumerate() {
            let set: GtidSet = gtid.parse().unwrap();
            let gtid_in_begin = set.minus(begin).is_empty();
            assert_eq!(gtid_in_begin, at < first, "{gtid} and {begin}");
        }
    }
    assert!(begins.iter().any(|seen| seen.transactions.len() >= 20), "nothing was written");
}

#[test]
fn mariadb_says_what_is_wrong() {
    says_what_is_wrong(Server::MariaDb);
}

#[test]
fn mysql_says_what_is_wrong() {
    says_what_is_wrong(Server::MySql);
}

fn says_what_is_wrong(server: Server) {
    let lab = Lab::pair(server);
    lab.sql("a", "SET sql_log_bin = 0; CREATE USER poor@'127.0.0.1' IDENTIFIED BY 'twinlog'");
    let first_drop = |options: LiveOptions| {
        let mut stream = Following::start(options);
        stream.until("a lost connection", |seen| !seen.drops.is_empty());
        let (reason, error) = stream.seen.drops.remove(0);
        (reason, error.to_string())
    };
    let good = || options(&lab, "a", LiveStart::Now);

    let wrong = LiveOptions { password: Some(secret("hunter2")), ..good() };
    let (reason, text) = first_drop(wrong.clone());
    assert_eq!(reason, DropReason::Auth);
    let url = format!("node a: mysql://twinlog@127.0.0.1:{}: error 1045", lab.node("a").port);
    assert!(text.starts_with(&url) && text.contains("hint: the password"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
    let runtime = Runtime::new().unwrap();
    let text = runtime.block_on(server_facts(&wrong)).unwrap_err().to_string();
    assert!(text.starts_with(&url), "{text}");

    let poor: MysqlUrl = lab.url("a").replace("twinlog@", "poor@").parse().unwrap();
    let (reason, text) = first_drop(LiveOptions { url: poor, ..good() });
    assert_eq!(reason, DropReason::Grant, "{text}");
    assert!(text.contains("GRANT REPLICATION SLAVE") && text.contains("'poor'"), "{text}");

    let (reason, text) = first_drop(LiveOptions { replica_server_id: 1, ..good() });
    assert_eq!(reason, DropReason::Server);
    assert!(text.contains("server id 1 is the server's own"), "{text}");

    let start = LiveStart::At { file: "a-bin.000077".to_owned(), position: 4 };
    let (reason, text) = first_drop(LiveOptions { start, ..good() });
    assert_eq!(reason, DropReason::Purged, "{text}");

    let nowhere = "mysql://twinlog@127.0.0.1:1".parse().unwrap();
    let (reason, text) = first_drop(LiveOptions { url: nowhere, ..good() });
    assert_eq!(reason, DropReason::Connect, "{text}");

    let required = TlsConfig { mode: TlsMode::Required, ..TlsConfig::default() };
    let encrypted = LiveOptions { tls: required, ..good() };
    if server == Server::MariaDb {
        let (reason, text) = first_drop(encrypted);
        assert_eq!(reason, DropReason::Tls, "{text}");
    } else {
        Following::start(encrypted).until_caught_up();
        let verified = TlsConfig { mode: TlsMode::VerifyCa, ..TlsConfig::default() };
        let (reason, text) = first_drop(LiveOptions { tls: verified, ..good() });
        assert_eq!(reason, DropReason::Tls, "{text}");
        let ca = Some(lab.node("a").datadir.join("ca.pem"));
        let verified = TlsConfig { mode: TlsMode::VerifyCa, ca, identity: None };
        // The server's own certificate names no host.
        Following::start(LiveOptions { tls: verified, ..good() }).until_caught_up();
    }
}

#[test]
fn facts_over_tcp_and_socket() {
    for server in Server::ALL {
        let lab = Lab::pair(server);
        let runtime = Runtime::new().unwrap();
        let over_tcp = options(&lab, "a", LiveStart::Now);
        let facts = runtime.block_on(server_facts(&over_tcp)).unwrap();
        assert!(facts.version.starts_with(lab.version()), "{facts:?}");
        assert_eq!(facts.is_mariadb, server == Server::MariaDb);
        assert_eq!(facts.server_id, 1);
        assert_eq!(facts.server_uuid, (server == Server::MySql).then_some([0xaa; 16]));
        assert!(facts.log_bin && facts.log_replica_updates);
        let words = [&facts.binlog_format, &facts.row_image, &facts.row_metadata, &facts.checksum];
        assert_eq!(
            words,
            [
                "ROW",
                "FULL",
                "FULL",
                if server == Server::MySql { "CRC32" } else { &*facts.checksum }
            ]
        );
        assert_eq!(facts.gtid_mode.as_deref(), (server == Server::MySql).then_some("ON"));

        let socket = lab.node("a").socket.display().to_string();
        let url = format!("mysql://root@localhost?socket={socket}").parse().unwrap();
        let over_socket = LiveOptions { url, password: None, ..over_tcp };
        assert_eq!(runtime.block_on(server_facts(&over_socket)).unwrap(), facts);
        Following::start(over_socket).until_caught_up();
    }
}
