//! The canonical bytes of open keys, for people: written once, read only where there is a finding.

use serde::{Deserialize, Serialize};

/// Bytes of a chunk; every key fits into one.
const CHUNK: usize = 1 << 16;

/// Addresses count these, so that 32 bits reach 16 GiB.
const UNIT: usize = 4;

/// Keys' bytes, one after the other in chunks; a chunk goes when its last key does.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct KeyBytes {
    chunks: Vec<Chunk>,
    /// Chunks that are empty.
    free: Vec<usize>,
    /// The chunk that is being filled.
    filling: usize,
    /// Chunks that are allocated.
    allocated: usize,
}

#[derive(Default, Serialize, Deserialize)]
struct Chunk {
    #[serde(with = "serde_bytes")]
    bytes: Vec<u8>,
    keys: u32,
}

impl KeyBytes {
    /// Keeps a key's bytes; gives their address and length. Servers bound keys to 3072 bytes: what
    /// is past the length, or past the addresses, is not kept.
    pub(super) fn keep(&mut self, bytes: &[u8]) -> (u32, u16) {
        let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        let has_room = |chunk: &Chunk| chunk.bytes.len() + usize::from(length) <= CHUNK;
        if length > 0 && !self.chunks.get(self.filling).is_some_and(has_room) {
            let Some(next) = self.next_chunk() else { return (0, 0) };
            self.filling = next;
        }
        let Some(chunk) = self.chunks.get_mut(self.filling).filter(|_| length > 0) else {
            return (0, 0);
        };
        let address = (self.filling * CHUNK + chunk.bytes.len()) / UNIT;
        chunk.bytes.extend_from_slice(&bytes[..usize::from(length)]);
        chunk.bytes.resize(chunk.bytes.len().next_multiple_of(UNIT), 0);
        chunk.keys += 1;
        (address as u32, length)
    }

    /// An empty chunk; `None` when there are no addresses left.
    fn next_chunk(&mut self) -> Option<usize> {
        let next = self.free.pop().or_else(|| {
            let next = self.chunks.len();
            ((next + 1) * CHUNK / UNIT <= 1 << 32).then(|| self.chunks.push(Chunk::default()))?;
            Some(next)
        })?;
        self.chunks[next].bytes.reserve_exact(CHUNK);
        self.allocated += 1;
        Some(next)
    }

    /// The bytes of a key that is kept.
    pub(super) fn get(&self, (address, length): (u32, u16)) -> &[u8] {
        let start = address as usize * UNIT;
        let chunk = self.chunks.get(start / CHUNK).map_or(&[][..], |chunk| &chunk.bytes);
        chunk.get(start % CHUNK..start % CHUNK + usize::from(length)).unwrap_or_default()
    }

    /// Bytes of the chunks.
    pub(super) fn bytes(&self) -> usize {
        let places =
            self.chunks.capacity() * size_of::<Chunk>() + self.free.capacity() * size_of::<usize>();
        self.allocated * CHUNK + places
    }

    /// Lets a key's bytes go.
    pub(super) fn release(&mut self, (address, length): (u32, u16)) {
        if length == 0 {
            return;
        }
        let at = address as usize * UNIT / CHUNK;
        let chunk = &mut self.chunks[at];
        chunk.keys -= 1;
        if chunk.keys == 0 && at == self.filling {
            chunk.bytes.clear();
        } else if chunk.keys == 0 {
            chunk.bytes = Vec::new();
            self.allocated -= 1;
            self.free.push(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_kept_and_let_go() {
        let mut kept = KeyBytes::default();
        let key = |n: usize| vec![n as u8; n % 3_000];
        let places: Vec<_> = (0..1_000).map(|n| kept.keep(&key(n))).collect();
        for (n, place) in places.iter().enumerate() {
            assert_eq!(kept.get(*place), key(n));
        }
        places.iter().for_each(|place| kept.release(*place));
        let held: usize = kept.chunks.iter().map(|chunk| chunk.bytes.len()).sum();
        assert_eq!(held, 0);
        let chunks = kept.chunks.len();
        for n in 0..1_000 {
            kept.keep(&key(n));
        }
        assert_eq!(kept.chunks.len(), chunks, "chunks are used again");
        assert_eq!(kept.keep(&[7; 100_000]).1, u16::MAX, "what no server makes is cut");
    }
}
