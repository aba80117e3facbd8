//! Nonsense on the wire: real masters behind a proxy that makes something else of what they send.
//! The watch neither dies nor hangs nor grows, says what came and where, goes on, and in the end
//! has found what a scan of the logs finds.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::disallowed_methods, reason = "a test that waits has a deadline")]

#[allow(dead_code, reason = "the faults' tests use all of it")]
#[path = "../servers_faults/bench.rs"]
mod bench;
#[path = "../support/mod.rs"]
mod support;

use bench::{Bench, DEADLINE};
use std::{
    fs,
    time::{Duration, Instant},
};
use support::{
    garbler::{Garbler, Sent, Tamper, kind, sum},
    lab::{Lab, LabOptions, Server},
    random::Random,
};

/// The most memory that a watch may take: the client library makes room for as much as an event
/// says that it has. What is more than 1 GiB is address space alone.
const RESIDENT_KIB_MAX: u64 = 1300 << 10;

/// The same where no length lies.
const USUAL_KIB_MAX: u64 = 400 << 10;

/// Streams that get each kind of nonsense; the next kind begins at another of their places.
const STREAMS: u64 = 4;

/// Nonsense that cannot be taken for what a master says.
type Nonsense = (&'static str, fn(u64) -> Tamper);

/// From which packet of a stream on it comes: the beginning, the format description, later.
fn from(stream: u64) -> u64 {
    stream * 3 % 11
}

/// What is made of a packet at one place in each stream; then the connection ends.
fn once(stream: u64, make: impl Fn(&mut Random, &[u8]) -> Sent + Send + 'static) -> Tamper {
    let mut random = Random(stream);
    Box::new(move |number, packet| match number.cmp(&from(stream)) {
        std::cmp::Ordering::Less => Sent::AsIs,
        std::cmp::Ordering::Equal => make(&mut random, packet),
        std::cmp::Ordering::Greater => Sent::End,
    })
}

fn bytes(random: &mut Random, count: usize) -> Vec<u8> {
    (0..count).map(|_| random.below(256) as u8).collect()
}

const NONSENSE: [Nonsense; 11] = [
    ("flipped bits", |stream| {
        let mut random = Random(stream);
        Box::new(move |_, packet| {
            let mut packet = packet.to_vec();
            if packet.is_empty() || !random.percent(20) {
                return Sent::AsIs;
            }
            let at = random.below(packet.len());
            packet[at] ^= 1 << random.below(8);
            Sent::Packet(packet)
        })
    }),
    ("random events", |stream| {
        once(stream, |random, _| {
            let count = random.below(300);
            Sent::Packet([vec![0], bytes(random, count)].concat())
        })
    }),
    ("random packets", |stream| {
        once(stream, |random, _| {
            let count = random.below(60);
            Sent::Packet(bytes(random, count))
        })
    }),
    ("no packets", |stream| once(stream, |random, _| Sent::Raw(bytes(random, 100)))),
    ("events cut short", |stream| {
        once(stream, |random, packet| Sent::Packet(packet[..random.below(packet.len())].to_vec()))
    }),
    ("packets cut short", |stream| {
        once(stream, |_, packet| {
            let length = (packet.len() as u32).to_le_bytes();
            Sent::Raw([&length[..3], &[1], &packet[..packet.len() / 2]].concat())
        })
    }),
    ("lengths that lie", |stream| {
        once(stream, |random, packet| {
            let mut packet = packet.to_vec();
            let lies = [0, 1, 18, 19, 20, 22, u32::MAX, 1 << 31, packet.len() as u32];
            if let Some(length) = packet.get_mut(10..14) {
                length.copy_from_slice(&lies[random.below(lies.len())].to_le_bytes());
            }
            Sent::Packet(packet)
        })
    }),
    ("checksums that lie", |stream| {
        once(stream, |_, packet| {
            let mut packet = packet.to_vec();
            *packet.last_mut().unwrap() ^= 0x80;
            Sent::Packet(packet)
        })
    }),
    ("errors", |stream| {
        once(stream, |random, _| {
            let code = [1105_u16, 1064, 2013, 0, 65535, 3546][random.below(6)].to_le_bytes();
            let text = bytes(random, 100_000);
            Sent::Packet([&[255], &code[..], b"#HY000", &text].concat())
        })
    }),
    ("ends", |stream| once(stream, |_, _| Sent::Packet(vec![254, 0, 0, 2, 0]))),
    ("packets out of order", |stream| {
        once(stream, |_, packet| {
            let length = (packet.len() as u32).to_le_bytes();
            Sent::Raw([&length[..3], &[200], packet].concat())
        })
    }),
];

/// What a master could say, and does not: with checksums that fit.
const LIES: [Nonsense; 4] = [
    ("row events without table maps", |_| {
        Box::new(|_, packet| match kind(packet) {
            TABLE_MAP => lie(packet, |event| event[4] = IGNORABLE),
            _ => Sent::AsIs,
        })
    }),
    ("table maps that lie", |stream| {
        let mut random = Random(stream);
        Box::new(move |_, packet| match kind(packet) {
            TABLE_MAP => lie(packet, |event| {
                let at = 19 + random.below(event.len() - 23);
                event[at] = random.below(256) as u8;
            }),
            _ => Sent::AsIs,
        })
    }),
    ("GTIDs that lie", |stream| {
        let mut random = Random(stream);
        Box::new(move |_, packet| match kind(packet) {
            33 | 34 | 42 | 162 => lie(packet, |event| {
                let at = 19 + random.below(event.len() - 23);
                event[at] = random.below(256) as u8;
            }),
            _ => Sent::AsIs,
        })
    }),
    ("anything", |stream| {
        let mut random = Random(stream);
        Box::new(move |_, packet| match packet.len() {
            25.. if random.percent(30) => lie(packet, |event| {
                let at = random.below(event.len() - 4);
                // A length that lies is another kind of nonsense.
                if !(9..13).contains(&at) {
                    event[at] = random.below(256) as u8;
                }
            }),
            _ => Sent::AsIs,
        })
    }),
];

const TABLE_MAP: u8 = 19;
const IGNORABLE: u8 = 28;
const HEARTBEAT: u8 = 27;

fn lie(packet: &[u8], make: impl FnOnce(&mut [u8])) -> Sent {
    let mut packet = packet.to_vec();
    make(&mut packet[1..]);
    sum(&mut packet);
    Sent::Packet(packet)
}

#[test]
fn mariadb_nonsense_loses_nothing() {
    nonsense_loses_nothing(Server::MariaDb, &[]);
}

#[test]
fn mysql_nonsense_loses_nothing() {
    nonsense_loses_nothing(Server::MySql, &[]);
}

fn nonsense_loses_nothing(server: Server, options: &[&str]) {
    let (mut bench, garbler) = start(server, options);
    for (nth, (what, make)) in (0..).zip(NONSENSE) {
        garbler.tamper(move |stream| make(stream + nth * STREAMS));
        let dropped = drops(&bench);
        bench.proxies[0].break_once();
        let keys = bench.clash(|_| ());
        until(&mut bench, what, |_| garbler.streams() > STREAMS);
        garbler.behave();
        bench.proxies[0].break_once();
        bench.until_told(keys);
        let drops = drops(&bench) - dropped;
        println!("{what}: {} streams, {drops} drops", garbler.streams());
        assert!(drops >= STREAMS as f64, "{what}: {drops} drops are counted");
        alive(&bench, what);
    }
    let log = bench.log();
    for said in ["checksum mismatch in a", "what is no event, after a-bin.0", "sync, after a-bin.0"]
    {
        assert!(log.contains(said), "{said}: {log}");
    }
    assert!(log.lines().all(|line| line.len() < 4000), "{log}");
    assert_eq!(bench.gaps("a").len() + bench.gaps("b").len(), 0, "{:#?}", bench.found());
    bench.equals_scan();
    heartbeats_without_end(&mut bench, &garbler);
    bench.equals_scan();
    packets_without_end(&mut bench, &garbler);
    bench.equals_scan();
}

/// The proxy is told to pass on to the garbler.
fn start(server: Server, options: &[&str]) -> (Bench, Garbler) {
    let options = options.iter().map(|option| (*option).to_owned()).collect();
    let lab = Lab::start(server, LabOptions { options, ..LabOptions::default() });
    let mut bench = Bench::with(lab, "");
    let garbler = Garbler::start(bench.lab.node("a").port);
    bench.proxies[0].to(garbler.port());
    bench.proxies[0].break_once();
    let keys = bench.clash(|_| ());
    bench.until_told(keys);
    (bench, garbler)
}

/// A connection that is never silent and never tells anything: it ends with the fault, and nothing
/// is lost.
fn heartbeats_without_end(bench: &mut Bench, garbler: &Garbler) {
    garbler.tamper(|_| {
        Box::new(|number, packet| match number {
            0..5 => Sent::AsIs,
            _ if kind(packet) == HEARTBEAT => Sent::Endless(packet.to_vec()),
            _ => Sent::AsIs,
        })
    });
    let before = garbler.sent();
    bench.proxies[0].break_once();
    bench.until("heartbeats", |_| garbler.sent() > before + 500_000);
    let keys = bench.clash(|_| ());
    alive(bench, "heartbeats");
    garbler.behave();
    bench.proxies[0].break_once();
    bench.until_told(keys);
}

/// A packet that has no end is given up where the protocol's longest ends.
fn packets_without_end(bench: &mut Bench, garbler: &Garbler) {
    garbler.tamper(|_| {
        Box::new(|number, _| match number {
            0..3 => Sent::AsIs,
            _ => Sent::Endless(vec![0; 0x00ff_ffff]),
        })
    });
    let before = drops(bench);
    bench.proxies[0].break_once();
    let keys = bench.clash(|_| ());
    // One for the break, one for the packet: it is too long, or on a busy machine takes too long.
    until(bench, "packets without end", |bench| drops(bench) >= before + 2.0);
    garbler.behave();
    bench.proxies[0].break_once();
    bench.until_told(keys);
    let most = resident_kib(bench, "VmHWM");
    println!("packets without end: {} MiB at most", most >> 10);
    assert!(most < 2500 << 10, "{most} KiB");
}

#[test]
fn mariadb_nonsense_in_answers_loses_nothing() {
    nonsense_in_answers_loses_nothing(Server::MariaDb);
}

#[test]
fn mysql_nonsense_in_answers_loses_nothing() {
    nonsense_in_answers_loses_nothing(Server::MySql);
}

/// The same from the greeting on, and in what the server answers when it is asked.
fn nonsense_in_answers_loses_nothing(server: Server) {
    let (mut bench, garbler) = start(server, &[]);
    for (nth, (what, make)) in (0..).zip(NONSENSE) {
        garbler.tamper_with_all(move |stream| make(stream + nth * STREAMS));
        bench.proxies[0].break_once();
        let keys = bench.clash(|_| ());
        until(&mut bench, what, |_| garbler.streams() > STREAMS);
        garbler.behave();
        bench.proxies[0].break_once();
        until(&mut bench, what, |bench| {
            let told = bench.conflicts();
            keys.iter().all(|key| told.contains(&u64::from(*key)))
        });
        println!("{what}: {} connections", garbler.streams());
        alive(&bench, what);
    }
    bench.equals_scan();
}

#[test]
fn mariadb_lies_are_survived() {
    lies_are_survived(Server::MariaDb);
}

#[test]
fn mysql_lies_are_survived() {
    lies_are_survived(Server::MySql);
}

/// What a lie makes of the findings nobody can tell; the watch goes on, and what comes after it is
/// judged.
fn lies_are_survived(server: Server) {
    let (mut bench, garbler) = start(server, &[]);
    for (what, make) in LIES {
        garbler.tamper(make);
        bench.proxies[0].break_once();
        bench.clash(|_| ());
        bench.clash(|_| ());
        until(&mut bench, what, |_| garbler.packets() >= 3);
        garbler.behave();
        bench.proxies[0].break_once();
        goes_on(&mut bench, what);
        println!("{what}: {} packets in {} streams", garbler.packets(), garbler.streams());
        alive(&bench, what);
    }
}

/// Sooner or later what is written is judged again: where the server lacks what it is said to have
/// sent, after ten tries.
fn goes_on(bench: &mut Bench, what: &str) {
    for _ in 0..6 {
        let keys = bench.clash(|_| ());
        let deadline = Instant::now() + Duration::from_secs(15);
        while Instant::now() < deadline {
            let told = bench.conflicts();
            if keys.iter().all(|key| told.contains(&u64::from(*key))) {
                return;
            }
            assert!(bench.watch.try_wait().unwrap().is_none(), "{what}: {}", bench.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    panic!("{what}: nothing is judged any more\n{}", bench.log());
}

fn until(bench: &mut Bench, what: &str, done: impl Fn(&Bench) -> bool) {
    let deadline = Instant::now() + 2 * DEADLINE;
    while !done(bench) {
        assert!(bench.watch.try_wait().unwrap().is_none(), "{what}: {}", bench.log());
        assert!(Instant::now() < deadline, "{what}: {}", bench.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn drops(bench: &Bench) -> f64 {
    let reasons = twinlog::feed::live::DropReason::ALL;
    reasons.iter().map(|reason| bench.drops("a", reason.as_str())).sum()
}

/// Looks at the most memory since this was asked last, and forgets it.
fn alive(bench: &Bench, what: &str) {
    let most = resident_kib(bench, "VmHWM");
    println!("{what}: {} MiB at most", most >> 10);
    let lies = ["flipped bits", "random events", "lengths that lie", "anything"].contains(&what);
    let max = if lies { RESIDENT_KIB_MAX } else { USUAL_KIB_MAX };
    assert!(most < max, "{what}: {most} KiB");
    forget_peak(bench);
}

fn forget_peak(bench: &Bench) {
    fs::write(format!("/proc/{}/clear_refs", bench.watch.id()), "5").unwrap();
}

fn resident_kib(bench: &Bench, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", bench.watch.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
}
