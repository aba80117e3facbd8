//! Thousands of connections that mean no good, while conflicts happen and Prometheus asks.

use crate::{
    daemon::{Daemon, config, get, until},
    support::lab::{Lab, Server},
};
use rustix::process::{Resource, getrlimit, setrlimit};
use std::{
    collections::VecDeque,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpSocket, TcpStream},
    runtime::Runtime,
    time::timeout,
};

/// Connections that are held open, where the limit of open files allows so many.
const HELD: usize = 10_000;
/// Open files that are left to the rest of the test.
const LEFT: usize = 500;
/// How many are opened at the same time.
const TELLERS: usize = 20;
/// Addresses that they come from; one of them is the honest one's.
const ADDRESSES: usize = 100;
/// What each of them says, in turn, and no more.
const SAYS: [&[u8]; 7] = [
    b"",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"\x00\xff\x00\xffno request at all\r\n\r\n",
    b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\ntoken=",
    b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\nGET /metrics HTTP/1.1\r\nHost: localhost\r\n\
      \r\nGET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
];

/// Strangers, until this is dropped.
pub(crate) struct Crowd {
    opened: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Crowd {
    /// Opens as many connections as may be, and then new ones in the place of the oldest, as fast
    /// as it goes. Nothing is ever read.
    pub(crate) fn gather(address: SocketAddr, says: &'static [&'static [u8]]) -> Crowd {
        let (opened, over) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (opening, ends) = (opened.clone(), over.clone());
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        setrlimit(Resource::Nofile, limit).unwrap();
        let allowed = limit.current.map_or(usize::MAX, |files| files as usize);
        let held = HELD.min(allowed.saturating_sub(LEFT));
        let gathering = async move {
            let tellers = (0..TELLERS).map(|_| {
                let (opening, ends) = (opening.clone(), ends.clone());
                async move {
                    let mut crowd = VecDeque::new();
                    while !ends.load(Ordering::Relaxed) {
                        if crowd.len() >= held / TELLERS {
                            crowd.pop_front();
                        }
                        // Where it fails there is no room, which these may come to feel.
                        let number = opening.load(Ordering::Relaxed);
                        if let Some(stream) = stranger(address, number, says).await {
                            crowd.push_back(stream);
                            opening.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
            futures_util::future::join_all(tellers).await;
        };
        let thread = thread::spawn(|| Runtime::new().unwrap().block_on(gathering));
        println!("{held} connections are held");
        let crowd = Crowd { opened, over, thread: Some(thread) };
        until("they come", || (crowd.opened() >= held).then_some(()));
        crowd
    }

    pub(crate) fn opened(&self) -> usize {
        self.opened.load(Ordering::Relaxed)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn stranger(address: SocketAddr, number: usize, says: &[&[u8]]) -> Option<TcpStream> {
    let connect = async {
        let socket = match address {
            SocketAddr::V4(_) => {
                let socket = TcpSocket::new_v4().ok()?;
                let from = Ipv4Addr::new(127, 0, 0, (1 + number % ADDRESSES) as u8);
                socket.bind((IpAddr::from(from), 0).into()).ok()?;
                socket
            }
            SocketAddr::V6(_) => TcpSocket::new_v6().ok()?,
        };
        let mut stream = socket.connect(address).await.ok()?;
        stream.write_all(says[number % says.len()]).await.ok()?;
        Some(stream)
    };
    timeout(Duration::from_secs(1), connect).await.ok().flatten()
}

/// Resident memory of a process, in MiB.
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

/// Asks for the metrics, and wants them in the time that Prometheus would give.
fn scrape(address: SocketAddr) -> Duration {
    let since = Instant::now();
    let (code, metrics) = get(address, "/metrics").unwrap_or_default();
    assert_eq!(code, 200, "after {:?}: {metrics}", since.elapsed());
    assert!(metrics.contains("twinlog_build_info"), "{metrics}");
    since.elapsed()
}

#[test]
fn strangers_stop_neither_detection_nor_metrics() {
    let lab = Lab::pair(Server::MariaDb);
    lab.sql("a", "CREATE DATABASE t; CREATE TABLE t.x (id INT PRIMARY KEY, v VARCHAR(9))");
    lab.settle();
    lab.stop_replication();
    let mut daemon = Daemon::start(&lab, &config(&lab, ""));
    daemon.until_ready();
    let (address, before) = (daemon.address(), resident(daemon.pid()));
    let crowd = Crowd::gather(address, &SAYS);
    let (mut found, mut scraped) = (Duration::ZERO, Duration::ZERO);
    for id in 1..=10 {
        for node in ["a", "b"] {
            lab.sql(node, &format!("INSERT INTO t.x VALUES ({id}, '{node}')"));
        }
        let since = Instant::now();
        daemon.until_conflict(id);
        found = found.max(since.elapsed());
        for _ in 0..10 {
            scraped = scraped.max(scrape(address));
        }
    }
    let (opened, after) = (crowd.opened(), resident(daemon.pid()));
    println!(
        "{opened} connections; a conflict was told after {found:?} at most, metrics came after \
         {scraped:?}; {before} MiB before, {after} MiB after"
    );
    assert!(found < Duration::from_secs(5), "{found:?}");
    assert!(scraped < Duration::from_secs(5), "{scraped:?}");
    assert!(after < before + 100, "{before} MiB, then {after} MiB");
    daemon.end("thousands of connections");
}
