//! Values in numbered places, in blocks of one size.
//!
//! A vector that grows moves everything, and holds the old and the new while it does; it never
//! shrinks. Here nothing moves, and a block goes when its last value does.

use serde::{Deserialize, Deserializer, Serialize};

const SLOTS: usize = 256;

/// Places are used again after a removal.
#[derive(Serialize, Deserialize)]
pub(super) struct Pool<T> {
    blocks: Vec<Block<T>>,
    /// The blocks that are not full, the last one first to be filled.
    room: Vec<u32>,
    /// The block that was emptied last, so that one value that comes and goes costs no memory.
    #[serde(skip, default = "Vec::new")]
    spare: Vec<T>,
    len: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
struct Block<T> {
    /// No capacity while the block is empty; a slot that is not used holds what it held last.
    #[serde(deserialize_with = "slots")]
    slots: Vec<T>,
    used: [u64; SLOTS / 64],
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Pool { blocks: Vec::new(), room: Vec::new(), spare: Vec::new(), len: 0 }
    }
}

fn slots<'de, T: Deserialize<'de>, D: Deserializer<'de>>(of: D) -> Result<Vec<T>, D::Error> {
    let mut slots = Vec::deserialize(of)?;
    if !slots.is_empty() {
        slots.reserve_exact(SLOTS.saturating_sub(slots.len()));
    }
    Ok(slots)
}

impl<T> Block<T> {
    fn is_used(&self, slot: usize) -> bool {
        self.used[slot / 64] >> (slot % 64) & 1 == 1
    }

    /// The first slot that is free; `None` when all are used.
    fn free(&self) -> Option<usize> {
        let at = self.used.iter().position(|word| *word != u64::MAX)?;
        Some(64 * at + self.used[at].trailing_ones() as usize)
    }
}

impl<T> Pool<T> {
    /// Number of values.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of the values. Free places are used before there are new blocks, so what is allocated
    /// is never more than the most that this was, and a block.
    pub(super) fn bytes(&self) -> usize {
        self.len * size_of::<T>()
            + self.blocks.capacity() * size_of::<Block<T>>()
            + self.room.capacity() * size_of::<u32>()
    }

    /// Takes a value in; gives its place.
    pub(super) fn insert(&mut self, value: T) -> u32 {
        let at = self.room.last().copied().unwrap_or_else(|| {
            self.blocks.push(Block { slots: Vec::new(), used: [0; SLOTS / 64] });
            let at = self.blocks.len() as u32 - 1;
            self.room.push(at);
            at
        });
        let block = &mut self.blocks[at as usize];
        if block.slots.capacity() == 0 {
            block.slots = std::mem::take(&mut self.spare);
            block.slots.reserve_exact(SLOTS);
        }
        let slot = block.free().expect("a block that has room has a free slot");
        match block.slots.get_mut(slot) {
            Some(free) => *free = value,
            None => block.slots.push(value),
        }
        block.used[slot / 64] |= 1 << (slot % 64);
        if block.free().is_none() {
            self.room.pop();
        }
        self.len += 1;
        at * SLOTS as u32 + slot as u32
    }

    /// Frees a place. Its value stays until it is used again, or the block goes.
    pub(super) fn free(&mut self, place: u32) {
        let (at, slot) = (place as usize / SLOTS, place as usize % SLOTS);
        let block = &mut self.blocks[at];
        assert!(block.is_used(slot), "a place is freed once");
        if block.free().is_none() {
            self.room.push(at as u32);
        }
        block.used[slot / 64] &= !(1 << (slot % 64));
        self.len -= 1;
        if block.used.iter().all(|word| *word == 0) {
            block.slots.clear();
            self.spare = std::mem::take(&mut block.slots);
        }
    }

    /// The value at a place that is in use.
    pub(super) fn get(&self, place: u32) -> &T {
        &self.blocks[place as usize / SLOTS].slots[place as usize % SLOTS]
    }

    pub(super) fn get_mut(&mut self, place: u32) -> &mut T {
        &mut self.blocks[place as usize / SLOTS].slots[place as usize % SLOTS]
    }

    /// The places in use, ascending.
    pub(super) fn places(&self) -> impl Iterator<Item = u32> {
        self.blocks.iter().enumerate().flat_map(|(at, block)| {
            let used = (0..block.slots.len()).filter(|slot| block.is_used(*slot));
            used.map(move |slot| (at * SLOTS + slot) as u32)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_used_again_and_blocks_go() {
        let mut pool = Pool::default();
        for n in 0..1_000_u32 {
            assert_eq!(pool.insert(n), n);
        }
        for n in (0..1_000).filter(|n| n % 10 != 3) {
            pool.free(n);
        }
        assert_eq!(pool.places().collect::<Vec<_>>(), (3..1_000).step_by(10).collect::<Vec<_>>());
        assert!(pool.places().all(|place| *pool.get(place) == place));
        for n in 0..900 {
            assert!(pool.insert(n) < 1_024, "no new block while there is room");
        }
        assert_eq!(pool.len(), 1_000);
        for place in pool.places().collect::<Vec<_>>() {
            pool.free(place);
        }
        assert_eq!((pool.len(), pool.places().count()), (0, 0));
        assert!(pool.blocks.iter().all(|block| block.slots.capacity() == 0));
    }
}
