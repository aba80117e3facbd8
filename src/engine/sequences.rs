//! Open transactions of one source, by their sequence numbers.

use super::open::OpenId;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, ops::Range};

const BLOCK: u64 = 32;

/// Sequence numbers are mostly dense: blocks of 32 take 5 bytes a transaction.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Sequences(BTreeMap<u64, Box<Block>>);

#[derive(Serialize, Deserialize)]
struct Block {
    /// Bit n: the n-th number of the block is open.
    open: u32,
    ids: [OpenId; BLOCK as usize],
}

impl Block {
    fn get(&self, nth: u64) -> Option<&OpenId> {
        (self.open >> nth & 1 == 1).then(|| &self.ids[nth as usize])
    }
}

/// Bytes of a block: itself, and its share of a tree whose nodes stand half full.
const BLOCK_BYTES: usize = size_of::<Block>() + 40;

impl Sequences {
    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.0.len() * BLOCK_BYTES
    }

    pub(super) fn get(&self, sequence: &u64) -> Option<&OpenId> {
        self.0.get(&(sequence / BLOCK))?.get(sequence % BLOCK)
    }

    /// The lowest one.
    pub(super) fn first(&self) -> Option<OpenId> {
        let (_, block) = self.0.first_key_value()?;
        block.get(u64::from(block.open.trailing_zeros())).copied()
    }

    /// The highest number; 0 where there is none.
    pub(super) fn last_number(&self) -> u64 {
        let last = self.0.last_key_value();
        last.map_or(0, |(at, block)| {
            at * BLOCK + u64::from(block.open.checked_ilog2().unwrap_or(0))
        })
    }

    /// Adds a transaction, in the place of one with the same number.
    pub(super) fn insert(&mut self, sequence: u64, id: OpenId) {
        let new = || Box::new(Block { open: 0, ids: [id; BLOCK as usize] });
        let block = self.0.entry(sequence / BLOCK).or_insert_with(new);
        block.open |= 1 << (sequence % BLOCK);
        block.ids[(sequence % BLOCK) as usize] = id;
    }

    /// Removes a transaction, if it is the one with the number.
    pub(super) fn remove(&mut self, sequence: u64, id: OpenId) {
        let Some(block) = self.0.get_mut(&(sequence / BLOCK)) else { return };
        if block.get(sequence % BLOCK) == Some(&id) {
            block.open &= !(1 << (sequence % BLOCK));
        }
        if block.open == 0 {
            self.0.remove(&(sequence / BLOCK));
        }
    }

    /// Those of a range of numbers, ascending.
    pub(super) fn range(&self, numbers: Range<u64>) -> impl Iterator<Item = OpenId> {
        let blocks = match numbers.is_empty() {
            true => 0..0,
            false => numbers.start / BLOCK..(numbers.end - 1) / BLOCK + 1,
        };
        self.0.range(blocks).flat_map(move |(at, block)| {
            let open = (0..BLOCK).filter(|nth| block.open >> nth & 1 == 1);
            let numbers = numbers.clone();
            open.filter(move |nth| numbers.contains(&(at * BLOCK + nth)))
                .map(|nth| block.ids[nth as usize])
        })
    }
}
