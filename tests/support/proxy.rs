//! A TCP proxy between a watch and a master, that fails on demand.
#![allow(dead_code, unreachable_pub, reason = "not every test that compiles this uses it")]

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

/// How long a side that says nothing is waited for, before the mode is looked at again.
const LOOK: Duration = Duration::from_millis(20);
/// What is passed on at once.
const CHUNK_BYTES: usize = 16 * 1024;

/// What it does with connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    /// Passes everything on.
    Pass,
    /// Ends every connection at once.
    Refuse,
    /// Takes what is sent and passes nothing on; says nothing, ends nothing.
    Stall,
}

/// A proxy that runs; ended when dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    target: AtomicU16,
    mode: Mutex<Mode>,
    /// Connections of an older one are ended.
    generation: AtomicU64,
    /// From the server, a second; 0 is no limit.
    bytes_per_second: AtomicU64,
    /// From the server, in all.
    passed: AtomicU64,
    ended: AtomicBool,
}

/// Gives everybody who comes to `take`, on a thread of its own, until it has ended.
pub fn accept(
    listener: TcpListener,
    ended: impl Fn() -> bool + Send + 'static,
    take: impl Fn(TcpStream) + Send + 'static,
) {
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            if ended() {
                return;
            }
            take(client);
        }
    });
}

impl Proxy {
    /// Listens on loopback and passes on to a port there.
    pub fn start(target: u16) -> Proxy {
        Proxy::on("127.0.0.1:0", target).expect("a port")
    }

    /// The same on another address.
    pub fn on(address: &str, target: u16) -> std::io::Result<Proxy> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            target: AtomicU16::new(target),
            mode: Mutex::new(Mode::Pass),
            generation: AtomicU64::new(0),
            bytes_per_second: AtomicU64::new(0),
            passed: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        });
        let (accepting, ended) = (shared.clone(), shared.clone());
        accept(listener, move || ended.ended.load(SeqCst), move |client| accepting.take(client));
        Ok(Proxy { address, shared })
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Passes on to another port, as of a server that was started again.
    pub fn to(&self, target: u16) {
        self.shared.target.store(target, SeqCst);
    }

    /// Ends all connections, and every new one.
    pub fn cut(&self) {
        self.set(Mode::Refuse);
        self.shared.generation.fetch_add(1, SeqCst);
    }

    /// Ends all connections once; new ones are passed on.
    pub fn break_once(&self) {
        self.shared.generation.fetch_add(1, SeqCst);
    }

    /// Swallows what comes from now on, on connections old and new: half open, for ever.
    pub fn stall(&self) {
        self.set(Mode::Stall);
    }

    /// Passes on again; what was stalled is ended.
    pub fn pass(&self) {
        if *self.shared.mode.lock().expect("no panic") == Mode::Stall {
            self.shared.generation.fetch_add(1, SeqCst);
        }
        self.shared.bytes_per_second.store(0, SeqCst);
        self.set(Mode::Pass);
    }

    /// Lets the server send so much a second.
    pub fn throttle(&self, bytes_per_second: u64) {
        self.shared.bytes_per_second.store(bytes_per_second, SeqCst);
    }

    /// How many bytes of the server's have been passed on.
    pub fn passed(&self) -> u64 {
        self.shared.passed.load(SeqCst)
    }

    fn set(&self, mode: Mode) {
        *self.shared.mode.lock().expect("no panic") = mode;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, SeqCst);
        self.cut();
        // The listener looks up when somebody comes; where nobody can, it is gone already.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn mode(&self) -> Mode {
        *self.mode.lock().expect("no panic")
    }

    fn take(self: &Arc<Self>, client: TcpStream) {
        if self.mode() == Mode::Refuse {
            return;
        }
        let generation = self.generation.load(SeqCst);
        // A server that is down: the connection ends, as a refused one would.
        let Ok(server) = TcpStream::connect(("127.0.0.1", self.target.load(SeqCst))) else {
            return;
        };
        let (Ok(from), Ok(to)) = (client.try_clone(), server.try_clone()) else { return };
        let (up, down) = (self.clone(), self.clone());
        std::thread::spawn(move || up.pump(from, to, generation, false));
        std::thread::spawn(move || down.pump(server, client, generation, true));
    }

    /// Passes on what one side sends, until either ends or it is told to.
    fn pump(&self, mut from: TcpStream, mut to: TcpStream, generation: u64, is_down: bool) {
        let mut bytes = vec![0; CHUNK_BYTES];
        let mut swallows = false;
        from.set_read_timeout(Some(LOOK)).expect("a timeout");
        while self.generation.load(SeqCst) == generation {
            let limit = self.bytes_per_second.load(SeqCst);
            let most = match is_down && limit > 0 {
                true => usize::try_from(limit / 20).expect("small").clamp(1, CHUNK_BYTES),
                false => CHUNK_BYTES,
            };
            let read = match from.read(&mut bytes[..most]) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if is_timeout(&error) => continue,
                Err(_) => break,
            };
            // What was swallowed once is missing: that connection is good for nothing more.
            swallows |= self.mode() == Mode::Stall;
            if swallows {
                continue;
            }
            if to.write_all(&bytes[..read]).is_err() {
                break;
            }
            if is_down {
                self.passed.fetch_add(read as u64, SeqCst);
            }
            if is_down && limit > 0 {
                std::thread::sleep(Duration::from_secs_f64(read as f64 / limit as f64));
            }
        }
        // The other side may have gone already.
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}
