//! A form of JSON that is equal for equal documents.
//!
//! The server's binary form is not: a document that was changed in place has gaps where the same
//! document, written anew, has none, and offsets are of 2 or 4 bytes by its length then.

use super::{Scalar, Sink, diff::patched, walk};
use crate::binlog::bytes::Short;

/// Appends the canonical form of a document.
///
/// # Output
/// At most four times as long as `bytes`, and 16. Integers are equal whatever their width and sign;
/// a DOUBLE equals no integer. Objects' keys stand in the server's order, which is one for all
/// documents of the same keys.
///
/// # Errors
/// [`Short`] for what no server writes, and `out` is as it was; never panics.
pub(in crate::binlog) fn canonical(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Short> {
    let start = out.len();
    let told = walk(bytes, &mut Canonical(out));
    if told.is_err() {
        out.truncate(start);
    }
    told
}

/// Appends the canonical form of a document that these diffs have been applied to.
///
/// # Errors
/// As [`canonical`], and for diffs that do not apply.
pub(in crate::binlog) fn canonical_of_diffs(
    before: &[u8],
    diffs: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Short> {
    patched(before, diffs)?.tell(&mut Canonical(out))
}

struct Canonical<'o>(&'o mut Vec<u8>);

impl Canonical<'_> {
    fn counted(&mut self, bytes: &[u8]) -> Result<(), Short> {
        let count = u32::try_from(bytes.len()).map_err(|_| Short)?;
        self.0.extend(count.to_le_bytes());
        self.0.extend(bytes);
        Ok(())
    }

    fn tagged(&mut self, tag: u8, value: u64) {
        self.0.push(tag);
        self.0.extend(value.to_le_bytes());
    }
}

impl<'a> Sink<'a> for Canonical<'_> {
    fn scalar(&mut self, value: Scalar<'a>) -> Result<(), Short> {
        match value {
            Scalar::Null => self.0.push(b'n'),
            Scalar::Bool(value) => self.0.push(if value { b't' } else { b'f' }),
            Scalar::Int(value) => self.tagged(b'i', value.cast_unsigned()),
            Scalar::UInt(value) => {
                self.tagged(if i64::try_from(value).is_ok() { b'i' } else { b'u' }, value);
            }
            Scalar::Double(value) => self.tagged(b'd', value.to_bits()),
            Scalar::String(text) => {
                self.0.push(b's');
                self.counted(text.as_bytes())?;
            }
            Scalar::Opaque(kind, data) => {
                self.0.extend([b'o', kind]);
                self.counted(data)?;
            }
        }
        Ok(())
    }

    fn open(&mut self, is_object: bool, count: usize) -> Result<(), Short> {
        self.0.push(if is_object { b'{' } else { b'[' });
        self.0.extend(u32::try_from(count).map_err(|_| Short)?.to_le_bytes());
        Ok(())
    }

    fn key(&mut self, key: &'a str) -> Result<(), Short> {
        self.counted(key.as_bytes())
    }

    fn close(&mut self) -> Result<(), Short> {
        Ok(())
    }
}
