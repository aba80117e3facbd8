//! MySQL's binary JSON: walked once, and told to who wants it as text, in canonical form, or as a
//! tree.

mod canonical;
mod diff;
mod text;
mod tree;

pub(super) use canonical::{canonical, canonical_of_diffs};
pub use text::JsonText;
pub(super) use text::{decode_json, text_of_diffs};

use super::bytes::{Bytes, Short};

/// Levels of nesting; the server's own bound.
const DEPTH_MAX: usize = 100;

/// A value that holds no others.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Scalar<'a> {
    Null,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Double(f64),
    String(&'a str),
    /// A value of an SQL type, by the type's number.
    Opaque(u8, &'a [u8]),
}

/// Who is told a document's values, in order.
trait Sink<'a> {
    fn scalar(&mut self, value: Scalar<'a>) -> Result<(), Short>;
    /// An object or array of so many values begins.
    fn open(&mut self, is_object: bool, count: usize) -> Result<(), Short>;
    /// The key of the value that comes next.
    fn key(&mut self, key: &'a str) -> Result<(), Short>;
    /// The innermost object or array ends.
    fn close(&mut self) -> Result<(), Short>;
}

/// Tells a binary document.
///
/// # Errors
/// [`Short`] for what no server writes; never panics. What is told is bounded by the length of
/// `bytes`, though containers may name one value twice.
///
/// # Source
/// The comment at the head of MySQL's sql-common/json_binary.h.
fn walk<'a>(bytes: &'a [u8], sink: &mut impl Sink<'a>) -> Result<(), Short> {
    let Some((kind, value)) = bytes.split_first() else {
        // What an INSERT IGNORE leaves.
        return sink.scalar(Scalar::Null);
    };
    Walker { sink, left: bytes.len() }.value(*kind, value, DEPTH_MAX)
}

struct Walker<'s, S> {
    sink: &'s mut S,
    /// Bytes that may still be told: each value takes some, and no two the same.
    left: usize,
}

/// Offsets and counts of 2 bytes in small containers, 4 in large ones.
#[derive(Clone, Copy)]
struct Width(usize);

impl Width {
    fn number(self, bytes: &mut Bytes<'_>) -> Result<usize, Short> {
        usize::try_from(bytes.uint(self.0)?).map_err(|_| Short)
    }
}

impl<'a, S: Sink<'a>> Walker<'_, S> {
    fn spend(&mut self, bytes: usize) -> Result<(), Short> {
        self.left = self.left.checked_sub(bytes).ok_or(Short)?;
        Ok(())
    }

    /// Tells a value whose bytes begin at `bytes`.
    fn value(&mut self, kind: u8, bytes: &'a [u8], depth: usize) -> Result<(), Short> {
        self.spend(1)?;
        let mut cursor = Bytes(bytes);
        let scalar = match kind {
            0 | 2 => return self.container(bytes, kind == 0, Width(2), depth),
            1 | 3 => return self.container(bytes, kind == 1, Width(4), depth),
            4 => match cursor.u8()? {
                0 => Scalar::Null,
                1 => Scalar::Bool(true),
                2 => Scalar::Bool(false),
                _ => return Err(Short),
            },
            5 => Scalar::Int(cursor.u16()?.cast_signed().into()),
            6 => Scalar::UInt(cursor.u16()?.into()),
            7 => Scalar::Int(cursor.u32()?.cast_signed().into()),
            8 => Scalar::UInt(cursor.u32()?.into()),
            9 => Scalar::Int(cursor.u64()?.cast_signed()),
            10 => Scalar::UInt(cursor.u64()?),
            11 => Scalar::Double(f64::from_bits(cursor.u64()?)),
            12 => Scalar::String(self.text(&mut cursor)?),
            15 => {
                let kind = cursor.u8()?;
                let count = varlen(&mut cursor)?;
                self.spend(count)?;
                Scalar::Opaque(kind, cursor.take(count)?)
            }
            _ => return Err(Short),
        };
        self.sink.scalar(scalar)
    }

    fn text(&mut self, cursor: &mut Bytes<'a>) -> Result<&'a str, Short> {
        let count = varlen(cursor)?;
        self.spend(count)?;
        std::str::from_utf8(cursor.take(count)?).map_err(|_| Short)
    }

    fn container(
        &mut self,
        bytes: &'a [u8],
        is_object: bool,
        width: Width,
        depth: usize,
    ) -> Result<(), Short> {
        let depth = depth.checked_sub(1).ok_or(Short)?;
        let mut cursor = Bytes(bytes);
        let (count, size) = (width.number(&mut cursor)?, width.number(&mut cursor)?);
        let bytes = bytes.get(..size).ok_or(Short)?;
        let key_entries = if is_object { count } else { 0 };
        let keys = cursor.take(key_entries.checked_mul(width.0 + 2).ok_or(Short)?)?;
        let values = cursor.take(count.checked_mul(1 + width.0).ok_or(Short)?)?;
        let (mut keys, mut values) = (Bytes(keys), Bytes(values));
        self.sink.open(is_object, count)?;
        for _ in 0..count {
            if is_object {
                let (from, length) = (width.number(&mut keys)?, usize::from(keys.u16()?));
                let key = bytes.get(from..from.checked_add(length).ok_or(Short)?).ok_or(Short)?;
                self.spend(length)?;
                self.sink.key(std::str::from_utf8(key).map_err(|_| Short)?)?;
            }
            let kind = values.u8()?;
            let place = values.take(width.0)?;
            // Small values stand in place of their offset.
            let inlined = matches!(kind, 4..=6) || width.0 == 4 && matches!(kind, 7 | 8);
            let value = match inlined {
                true => place,
                false => bytes.get(width.number(&mut Bytes(place))?..).ok_or(Short)?,
            };
            self.value(kind, value, depth)?;
        }
        self.sink.close()
    }
}

/// A length of up to five bytes, seven bits in each, the lowest first.
fn varlen(bytes: &mut Bytes<'_>) -> Result<usize, Short> {
    let mut length = 0_usize;
    for shift in [0, 7, 14, 21, 28] {
        let byte = bytes.u8()?;
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(length);
        }
    }
    Err(Short)
}
