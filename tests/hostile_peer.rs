//! Peers that are no servers: whatever stands where a master should be, a watch that starts says so
//! by the node's name, and neither dies of it nor hangs nor grows.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::disallowed_methods, reason = "a test that waits has a deadline")]

#[path = "support/random.rs"]
mod random;

use random::Random;
use std::{
    fs::{self, File},
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    process::{Child, Command},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

/// How long a watch may take to say what is wrong: an answer has ten seconds.
const DEADLINE: Duration = Duration::from_secs(60);

/// More than a watch takes without servers, and less than a packet without an end.
const RESIDENT_KIB_MAX: u64 = 200 << 10;

/// What a peer does with its connection of that number.
type Peer = fn(u64, TcpStream) -> std::io::Result<()>;

const PEERS: [(&str, Peer); 9] = [
    ("ends at once", |_, _| Ok(())),
    ("sends random bytes", |number, mut to| {
        let mut random = Random(number);
        let bytes: Vec<u8> = (0..500).map(|_| random.below(256) as u8).collect();
        to.write_all(&bytes)
    }),
    ("sends random packets", |number, mut to| {
        let mut random = Random(number);
        for sequence in 0..4 {
            let count = random.below(90);
            let bytes: Vec<u8> = (0..count).map(|_| random.below(256) as u8).collect();
            send(&mut to, sequence, &bytes)?;
        }
        until_closed(to)
    }),
    ("greets and goes", |_, mut to| send(&mut to, 0, &greeting())),
    ("cuts its greeting short", |number, mut to| {
        let greeting = greeting();
        let end = number as usize * 7 % greeting.len();
        send(&mut to, 0, &greeting[..end])?;
        until_closed(to)
    }),
    ("greets, and answers at random", |number, mut to| {
        send(&mut to, 0, &greeting())?;
        let mut random = Random(number);
        for sequence in [2, 4, 1, 1] {
            let _ = to.read(&mut [0; 4096])?;
            let count = random.below(60);
            let bytes: Vec<u8> = (0..count).map(|_| random.below(256) as u8).collect();
            send(&mut to, sequence, &bytes)?;
        }
        until_closed(to)
    }),
    ("lets in, and answers anything with OK", |_, mut to| {
        send(&mut to, 0, &greeting())?;
        let _ = to.read(&mut [0; 4096])?;
        send(&mut to, 2, OK)?;
        loop {
            if to.read(&mut [0; 4096])? == 0 {
                return Ok(());
            }
            send(&mut to, 1, OK)?;
        }
    }),
    ("lets in, and answers with rows without end", |_, mut to| {
        send(&mut to, 0, &greeting())?;
        let _ = to.read(&mut [0; 4096])?;
        send(&mut to, 2, OK)?;
        let _ = to.read(&mut [0; 4096])?;
        send(&mut to, 1, &[1])?;
        let column = b"\x03def\0\0\0\x01x\0\x0c\x3f\0\xff\xff\0\0\xfd\0\0\0\0\0";
        send(&mut to, 2, column)?;
        send(&mut to, 3, &[254, 0, 0, 2, 0])?;
        let mut sequence = 4_u8;
        let row = [&[0xfc, 0xff, 0x0f][..], &[b'x'; 0x0fff]].concat();
        loop {
            send(&mut to, sequence, &row)?;
            sequence = sequence.wrapping_add(1);
        }
    }),
    ("says nothing", |_, to| until_closed(to)),
];

const OK: &[u8] = &[0, 0, 0, 2, 0, 0, 0];

fn send(to: &mut TcpStream, sequence: u8, packet: &[u8]) -> std::io::Result<()> {
    let mut bytes = (packet.len() as u32).to_le_bytes().to_vec();
    bytes[3] = sequence;
    bytes.extend(packet);
    to.write_all(&bytes)
}

fn until_closed(mut from: TcpStream) -> std::io::Result<()> {
    while from.read(&mut [0; 4096])? > 0 {}
    Ok(())
}

/// The first packet of a server that wants a native password.
fn greeting() -> Vec<u8> {
    let mut packet = vec![10];
    packet.extend(b"8.4.0\0");
    packet.extend(7_u32.to_le_bytes());
    packet.extend(b"12345678\0");
    packet.extend(0xffff_u16.to_le_bytes());
    packet.extend([45, 2, 0]);
    // All capabilities but TLS and compression, and EOF packets as they were.
    packet.extend(0x008f_u16.to_le_bytes());
    packet.push(21);
    packet.extend([0; 10]);
    packet.extend(b"123456789012\0mysql_native_password\0");
    packet[25] &= !0x08;
    packet[24] &= !0x20;
    packet
}

/// Listens, and has each connection treated so.
fn listen(peer: Peer, count: Arc<AtomicU64>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let number = count.fetch_add(1, SeqCst);
            // The watch has enough of it at some time.
            std::thread::spawn(move || peer(number, client));
        }
    });
    port
}

/// A watch of two such peers; ended with the test.
struct Watch(Child, tempfile::TempDir);

impl Watch {
    fn start(ports: [u16; 2]) -> Watch {
        let dir = tempfile::TempDir::with_prefix("twinlog-peer-").unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("password"), "secret").unwrap();
        fs::set_permissions(path("password"), fs::Permissions::from_mode(0o600)).unwrap();
        let mut config = "[watch]\nlisten = \"127.0.0.1:0\"\n".to_owned();
        for ((id, name), port) in [(1, "a"), (2, "b")].into_iter().zip(ports) {
            config += &format!(
                "[nodes.{name}]\nurl = \"mysql://twinlog@127.0.0.1:{port}\"\n\
                 password_file = \"{}\"\nserver_ids = [{id}]\n",
                path("password").display(),
            );
        }
        fs::write(path("twinlog.toml"), config).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_twinlog"))
            .args(["watch", "--config"])
            .arg(path("twinlog.toml"))
            .stdout(File::create(path("findings")).unwrap())
            .stderr(File::create(path("log")).unwrap())
            .spawn()
            .unwrap();
        Watch(child, dir)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.1.path().join("log")).unwrap()
    }

    /// The most memory so far; none where it has ended.
    fn resident_kib(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().trim_end_matches(" kB").parse().ok()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_is_no_server_is_told_by_its_name() {
    for (what, peer) in PEERS {
        let connections = Arc::new(AtomicU64::new(0));
        let mut watch = Watch::start([(); 2].map(|()| listen(peer, connections.clone())));
        let (begun, mut most) = (Instant::now(), 0);
        // It ends and says why, or has tried three times and says that it waits.
        let code = loop {
            most = most.max(watch.resident_kib().unwrap_or_default());
            if let Some(status) = watch.0.try_wait().unwrap() {
                break Some(status.code().unwrap_or_else(|| panic!("{what}: {status}")));
            }
            if connections.load(SeqCst) >= 6 && watch.log().contains("hint: ") {
                break None;
            }
            assert!(begun.elapsed() < DEADLINE, "{what}: {}", watch.log());
            std::thread::sleep(Duration::from_millis(5));
        };
        let log = watch.log();
        println!("{what}: exit code {code:?}, {} MiB", most >> 10);
        // 2: what it answers of itself is not what the configuration says.
        assert!(matches!(code, None | Some(2 | 3)), "{what}: {code:?}: {log}");
        let names = ["node a", "node b", "nodes.a", "nodes.b"];
        assert!(names.iter().any(|name| log.contains(name)), "{what}: {log}");
        assert!(log.contains("hint: "), "{what}: {log}");
        assert!(log.lines().all(|line| line.len() < 4000), "{what}: {log}");
        assert!(most < RESIDENT_KIB_MAX, "{what}: {most} KiB");
    }
}
