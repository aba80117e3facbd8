//! A TCP proxy that sends a watch nonsense in place of what a master sends.
#![allow(dead_code, unreachable_pub, reason = "not every test that compiles this uses it")]

use super::proxy::accept;
use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
};

/// What becomes of a packet.
pub enum Sent {
    /// It goes on as it is.
    AsIs,
    /// Another one is sent in its place.
    Packet(Vec<u8>),
    /// These bytes are sent, which need not be a packet.
    Raw(Vec<u8>),
    /// The connection ends.
    End,
    /// This packet is sent again and again, until the other side has enough.
    Endless(Vec<u8>),
}

/// Decides on the packets of one stream, by their number in it; they come without their headers.
pub type Tamper = Box<dyn FnMut(u64, &[u8]) -> Sent + Send>;

/// Makes a [`Tamper`] for each connection, by its number.
type Make = Arc<dyn Fn(u64) -> Tamper + Send + Sync>;

/// A garbler that runs; ended when dropped.
pub struct Garbler {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    target: u16,
    make: Mutex<Option<Make>>,
    /// Of whole connections, and not of the stream alone.
    is_whole: AtomicBool,
    /// Streams that were tampered with, and packets in them.
    streams: AtomicU64,
    packets: AtomicU64,
    /// Bytes that were sent to the watch.
    sent: AtomicU64,
    ended: AtomicBool,
}

impl Garbler {
    /// Listens on loopback and passes on to a port there, until it is told to do worse.
    pub fn start(target: u16) -> Garbler {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            target,
            make: Mutex::new(None),
            is_whole: AtomicBool::new(false),
            streams: AtomicU64::new(0),
            packets: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        });
        let (accepting, ended) = (shared.clone(), shared.clone());
        accept(
            listener,
            move || ended.ended.load(SeqCst),
            move |client| {
                let shared = accepting.clone();
                std::thread::spawn(move || shared.serve(&client));
            },
        );
        Garbler { address, shared }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Tampers with every stream that begins from now on.
    pub fn tamper(&self, make: impl Fn(u64) -> Tamper + Send + Sync + 'static) {
        self.shared.is_whole.store(false, SeqCst);
        self.set(make);
    }

    /// Tampers with every connection that begins from now on, from the server's greeting on.
    pub fn tamper_with_all(&self, make: impl Fn(u64) -> Tamper + Send + Sync + 'static) {
        self.shared.is_whole.store(true, SeqCst);
        self.set(make);
    }

    fn set(&self, make: impl Fn(u64) -> Tamper + Send + Sync + 'static) {
        self.shared.streams.store(0, SeqCst);
        self.shared.packets.store(0, SeqCst);
        *self.shared.make.lock().expect("no panic") = Some(Arc::new(make));
    }

    /// Leaves the streams that begin from now on alone.
    pub fn behave(&self) {
        *self.shared.make.lock().expect("no panic") = None;
    }

    /// Streams that were tampered with, of this kind of nonsense.
    pub fn streams(&self) -> u64 {
        self.shared.streams.load(SeqCst)
    }

    /// Packets of these that were not sent as they were.
    pub fn packets(&self) -> u64 {
        self.shared.packets.load(SeqCst)
    }

    /// Bytes sent to the watch.
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(SeqCst)
    }
}

impl Drop for Garbler {
    fn drop(&mut self) {
        self.shared.ended.store(true, SeqCst);
        // The listener looks up when somebody comes.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn serve(self: Arc<Self>, client: &TcpStream) {
        let Ok(server) = TcpStream::connect(("127.0.0.1", self.target)) else { return };
        let clone = |stream: &TcpStream| stream.try_clone().expect("another handle");
        let is_stream = Arc::new(AtomicBool::new(false));
        let (mut from, mut to, asked) = (clone(client), clone(&server), is_stream.clone());
        std::thread::spawn(move || {
            while let Some((header, payload)) = packet(&mut from) {
                if header[3] == 0 && matches!(payload.first(), Some(&(DUMP | DUMP_GTID))) {
                    asked.store(true, SeqCst);
                }
                if to.write_all(&header).and_then(|()| to.write_all(&payload)).is_err() {
                    break;
                }
            }
            end(&from, &to);
        });
        let (mut from, mut to) = (clone(&server), clone(client));
        // It may have ended before all was sent, as it should.
        let _ = self.pass(&mut from, &mut to, &is_stream);
        end(&from, &to);
    }

    fn pass(
        &self,
        from: &mut TcpStream,
        to: &mut TcpStream,
        is_stream: &AtomicBool,
    ) -> std::io::Result<()> {
        let mut tamper: Option<Option<Tamper>> = None;
        let mut number = 0;
        while let Some((header, payload)) = packet(from) {
            let mut sent = Sent::AsIs;
            if is_stream.load(SeqCst) || self.is_whole.load(SeqCst) {
                let tamper = tamper.get_or_insert_with(|| {
                    let make = self.make.lock().expect("no panic").clone();
                    make.map(|make| make(self.streams.fetch_add(1, SeqCst)))
                });
                if let Some(tamper) = tamper {
                    sent = tamper(number, &payload);
                    number += 1;
                }
            }
            if !matches!(sent, Sent::AsIs) {
                self.packets.fetch_add(1, SeqCst);
            }
            match sent {
                Sent::AsIs => self.send(to, &[&header, &payload])?,
                Sent::Packet(other) => {
                    let mut header = header;
                    header[..3].copy_from_slice(&(other.len() as u32).to_le_bytes()[..3]);
                    self.send(to, &[&header, &other])?;
                }
                Sent::Raw(bytes) => self.send(to, &[&bytes])?,
                Sent::End => return Ok(()),
                Sent::Endless(packet) => {
                    let mut header = header;
                    header[..3].copy_from_slice(&(packet.len() as u32).to_le_bytes()[..3]);
                    loop {
                        self.send(to, &[&header, &packet])?;
                        header[3] = header[3].wrapping_add(1);
                    }
                }
            }
        }
        Ok(())
    }

    fn send(&self, to: &mut TcpStream, parts: &[&[u8]]) -> std::io::Result<()> {
        let bytes = parts.concat();
        to.write_all(&bytes)?;
        self.sent.fetch_add(bytes.len() as u64, SeqCst);
        Ok(())
    }
}

const DUMP: u8 = 0x12;
const DUMP_GTID: u8 = 0x1e;

/// The next packet of the protocol, header and payload; none where the stream ends.
fn packet(from: &mut TcpStream) -> Option<([u8; 4], Vec<u8>)> {
    let mut header = [0; 4];
    from.read_exact(&mut header).ok()?;
    let mut payload = vec![0; u32::from_le_bytes([header[0], header[1], header[2], 0]) as usize];
    from.read_exact(&mut payload).ok()?;
    Some((header, payload))
}

fn end(one: &TcpStream, other: &TcpStream) {
    // Either may have ended already.
    let _ = (one.shutdown(Shutdown::Both), other.shutdown(Shutdown::Both));
}

/// Gives an event packet a checksum that fits what was made of it.
pub fn sum(packet: &mut [u8]) {
    if let Some((event, sum)) = packet.get_mut(1..).and_then(<[u8]>::split_last_chunk_mut::<4>) {
        *sum = crc32fast::hash(event).to_le_bytes();
    }
}

/// The type of the event in a packet.
pub fn kind(packet: &[u8]) -> u8 {
    packet.get(5).copied().unwrap_or_default()
}
