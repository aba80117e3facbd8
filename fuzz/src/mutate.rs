//! Mutations of seeds, by chance that replays.
//!
//! libFuzzer's own kinds, without its coverage: for a few thousand runs in an ordinary test that
//! must say the same every time. Crates that bring such an engine bring a second one beside
//! libFuzzer's, with a corpus of its own.

/// SplitMix64: small, and the same everywhere.
pub struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// From 0 to below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// Numbers at which lengths and counts go wrong.
const NUMBERS: [u64; 14] = [
    0,
    1,
    0x7f,
    0x80,
    0xfa,
    0xfb,
    0xfc,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    u64::MAX,
];

/// Bytes of an input at most.
pub const INPUT_BYTES_MAX: usize = 64 << 10;

/// One to eight changes of one of the seeds.
pub fn mutated(seeds: &[Vec<u8>], chance: &mut Chance) -> Vec<u8> {
    let mut bytes = seeds[chance.below(seeds.len())].clone();
    for _ in 0..=chance.below(8) {
        let at = chance.below(bytes.len() + 1);
        let end = at + chance.below((bytes.len() - at).min(64) + 1);
        match chance.below(9) {
            0 => flip(&mut bytes, at, chance),
            1 => overwrite(&mut bytes, at, &[chance.next() as u8]),
            2 | 3 => {
                let width = [1, 2, 4, 8][chance.below(4)];
                let mut number = NUMBERS[chance.below(NUMBERS.len())].to_le_bytes();
                if chance.below(4) == 0 {
                    number[..width].reverse();
                }
                overwrite(&mut bytes, at, &number[..width]);
            }
            4 => drop(bytes.drain(at..end)),
            5 => {
                let copied = bytes[at..end].repeat(1 + chance.below(4));
                let to = chance.below(bytes.len() + 1);
                bytes.splice(to..to, copied);
            }
            6 => {
                let other = &seeds[chance.below(seeds.len())];
                let from = chance.below(other.len());
                let until = from + chance.below(other.len() - from + 1);
                bytes.splice(at..end, other[from..until].iter().copied());
            }
            7 => bytes.truncate(at),
            _ => {
                let count = chance.below(9);
                let random: Vec<u8> = (0..count).map(|_| chance.next() as u8).collect();
                bytes.splice(at..at, random);
            }
        }
        bytes.truncate(INPUT_BYTES_MAX);
    }
    bytes
}

fn flip(bytes: &mut [u8], at: usize, chance: &mut Chance) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << chance.below(8);
    }
}

fn overwrite(bytes: &mut [u8], at: usize, with: &[u8]) {
    for (byte, with) in bytes[at..].iter_mut().zip(with) {
        *byte = *with;
    }
}
