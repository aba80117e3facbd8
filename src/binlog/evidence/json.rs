//! MySQL's binary JSON, decoded to text as the server shows it.

use crate::binlog::{
    bytes::{Bytes, Short},
    decimal,
};
use std::fmt::Write;

/// A JSON column's value as text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JsonText {
    /// As `SELECT` shows it; a DOUBLE may be written in another way with the same value.
    pub text: String,
    /// False where it holds values that JSON text cannot express, such as a DECIMAL or a date:
    /// reading the text back gives another type.
    pub is_exact: bool,
}

/// Levels of nesting; the server's own bound.
const DEPTH_MAX: usize = 100;

/// Bytes of text per byte of binary at most: a control character takes six, a time stamp fewer.
/// Containers may name one value twice, so that without a bound few bytes could be much text.
const GROWTH_MAX: usize = 12;

/// Decodes a binary JSON value.
///
/// # Output
/// At most twelve times as long as `bytes`, and 64.
///
/// # Errors
/// [`Short`] for what no server writes; never panics.
///
/// # Source
/// The comment at the head of MySQL's sql-common/json_binary.h; opaque values are in the packed
/// forms of `my_time_packed_to_binary` and `decimal2bin`.
pub(super) fn decode_json(bytes: &[u8]) -> Result<JsonText, Short> {
    let Some((kind, value)) = bytes.split_first() else {
        // What an INSERT IGNORE leaves.
        return Ok(JsonText { text: "null".to_owned(), is_exact: true });
    };
    let bytes_max = bytes.len().saturating_mul(GROWTH_MAX).saturating_add(64);
    let mut writer = Writer { text: String::new(), is_exact: true, bytes_max };
    writer.value(*kind, value, DEPTH_MAX)?;
    Ok(JsonText { text: writer.text, is_exact: writer.is_exact })
}

struct Writer {
    text: String,
    is_exact: bool,
    bytes_max: usize,
}

/// Offsets and counts of 2 bytes in small containers, 4 in large ones.
#[derive(Clone, Copy)]
struct Width(usize);

impl Width {
    fn number(self, bytes: &mut Bytes<'_>) -> Result<usize, Short> {
        usize::try_from(bytes.uint(self.0)?).map_err(|_| Short)
    }
}

impl Writer {
    fn put(&mut self, text: &str) -> Result<(), Short> {
        if self.text.len() + text.len() > self.bytes_max {
            return Err(Short);
        }
        self.text.push_str(text);
        Ok(())
    }

    /// Writes a value whose bytes begin at `bytes`.
    fn value(&mut self, kind: u8, bytes: &[u8], depth: usize) -> Result<(), Short> {
        let mut cursor = Bytes(bytes);
        match kind {
            0 | 2 => self.container(bytes, kind == 0, Width(2), depth),
            1 | 3 => self.container(bytes, kind == 1, Width(4), depth),
            4 => match cursor.u8()? {
                0 => self.put("null"),
                1 => self.put("true"),
                2 => self.put("false"),
                _ => Err(Short),
            },
            5 => self.put(&cursor.u16()?.cast_signed().to_string()),
            6 => self.put(&cursor.u16()?.to_string()),
            7 => self.put(&cursor.u32()?.cast_signed().to_string()),
            8 => self.put(&cursor.u32()?.to_string()),
            9 => self.put(&cursor.u64()?.cast_signed().to_string()),
            10 => self.put(&cursor.u64()?.to_string()),
            11 => self.put(&double(f64::from_bits(cursor.u64()?))),
            12 => {
                let count = varlen(&mut cursor)?;
                let text = std::str::from_utf8(cursor.take(count)?).map_err(|_| Short)?;
                self.quoted(text)
            }
            15 => {
                self.is_exact = false;
                let kind = cursor.u8()?;
                let count = varlen(&mut cursor)?;
                self.opaque(kind, cursor.take(count)?)
            }
            _ => Err(Short),
        }
    }

    fn container(
        &mut self,
        bytes: &[u8],
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
        self.put(if is_object { "{" } else { "[" })?;
        for at in 0..count {
            if at > 0 {
                self.put(", ")?;
            }
            if is_object {
                let (from, length) = (width.number(&mut keys)?, usize::from(keys.u16()?));
                let key = bytes.get(from..from.checked_add(length).ok_or(Short)?).ok_or(Short)?;
                self.quoted(std::str::from_utf8(key).map_err(|_| Short)?)?;
                self.put(": ")?;
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
        self.put(if is_object { "}" } else { "]" })
    }

    /// A string with the escapes that the server writes.
    fn quoted(&mut self, text: &str) -> Result<(), Short> {
        self.put("\"")?;
        let mut buffer = [0; 4];
        for character in text.chars() {
            match character {
                '"' => self.put("\\\"")?,
                '\\' => self.put("\\\\")?,
                '\u{8}' => self.put("\\b")?,
                '\t' => self.put("\\t")?,
                '\n' => self.put("\\n")?,
                '\u{c}' => self.put("\\f")?,
                '\r' => self.put("\\r")?,
                control if control < ' ' => self.put(&format!("\\u{:04x}", control as u32))?,
                other => self.put(other.encode_utf8(&mut buffer))?,
            }
        }
        self.put("\"")
    }

    /// A value of an SQL type, by the type's number.
    fn opaque(&mut self, kind: u8, data: &[u8]) -> Result<(), Short> {
        let packed = || data.try_into().map(i64::from_le_bytes).map_err(|_| Short);
        match kind {
            246 => {
                let [precision, scale, digits @ ..] = data else { return Err(Short) };
                let digits = decimal::decode(*precision, *scale, digits).map_err(|_| Short)?;
                self.put(&digits)
            }
            10 => {
                let text = datetime(packed()?);
                self.quoted(text.split(' ').next().unwrap_or_default())
            }
            7 | 12 => self.quoted(&datetime(packed()?)),
            11 => self.quoted(&time(packed()?)),
            _ => {
                let text = format!("base64:type{kind}:{}", base64(data));
                self.quoted(&text)
            }
        }
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

/// A DOUBLE so that it reads back as one: with a point or an exponent.
fn double(number: f64) -> String {
    let size = number.abs();
    if number == 0.0 || (1e-5..1e15).contains(&size) {
        format!("{number:?}")
    } else {
        format!("{number:e}")
    }
}

/// Year × 13 + month, day, hour, minute, second in 5, 5, 6 and 6 bits; 24 bits of microseconds.
fn datetime(packed: i64) -> String {
    let packed = packed.unsigned_abs();
    let (micros, seconds) = (packed & 0xff_ffff, packed >> 24);
    let (days, clock) = (seconds >> 17, seconds & 0x1_ffff);
    let (months, day) = (days >> 5, days & 31);
    let (hour, minute, second) = (clock >> 12, clock >> 6 & 63, clock & 63);
    format!(
        "{:04}-{:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06}",
        months / 13,
        months % 13
    )
}

fn time(packed: i64) -> String {
    let sign = if packed < 0 { "-" } else { "" };
    let packed = packed.unsigned_abs();
    let (micros, clock) = (packed & 0xff_ffff, packed >> 24);
    let (hour, minute, second) = (clock >> 12 & 0x3ff, clock >> 6 & 63, clock & 63);
    format!("{sign}{hour:02}:{minute:02}:{second:02}.{micros:06}")
}

fn base64(data: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in data.chunks(3) {
        let bits =
            (0..3).fold(0_u32, |bits, at| bits << 8 | chunk.get(at).map_or(0, |b| (*b).into()));
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at) & 63) as usize];
            let _ = text.write_char(if at > chunk.len() { '=' } else { char::from(digit) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> Result<String, Short> {
        decode_json(bytes).map(|json| json.text)
    }

    #[test]
    fn scalars_and_containers() {
        assert_eq!(text(b""), Ok("null".into()));
        assert_eq!(text(b"\x04\x01"), Ok("true".into()));
        assert_eq!(text(b"\x05\xff\xff"), Ok("-1".into()));
        assert_eq!(text(b"\x0c\x03a\"\n"), Ok("\"a\\\"\\n\"".into()));
        assert_eq!(text(b"\x0b\0\0\0\0\0\0\xf0\x3f"), Ok("1.0".into()));
        // {"a": 7, "b": [null, "x"]}
        let object = b"\x00\x02\0\x22\0\x12\0\x01\0\x13\0\x01\0\x05\x07\0\x02\x14\0ab\
                       \x02\0\x0c\0\x04\0\0\x0c\x0a\0\x01x\0\0";
        assert_eq!(text(object), Ok("{\"a\": 7, \"b\": [null, \"x\"]}".into()));
        for end in 1..object.len() - 2 {
            assert_eq!(text(&object[..end]), Err(Short), "cut at {end}");
        }
    }

    #[test]
    fn opaque_values_are_in_the_servers_notation_and_not_exact() {
        let decimal = b"\x0f\xf6\x05\x05\x02\x80\x01\x32";
        let json = decode_json(decimal).unwrap();
        assert_eq!((json.text.as_str(), json.is_exact), ("1.50", false));
        assert_eq!(text(b"\x0f\xfd\x02hi"), Ok("\"base64:type253:aGk=\"".into()));
        let packed: i64 =
            ((((2026 * 13 + 11) << 5 | 23) << 17) | (18 << 12 | 7 << 6 | 5)) << 24 | 42;
        let with = |kind: u8| [&[15, kind, 8][..], &packed.to_le_bytes()].concat();
        assert_eq!(text(&with(12)), Ok("\"2026-11-23 18:07:05.000042\"".into()));
        assert_eq!(text(&with(10)), Ok("\"2026-11-23\"".into()));
    }

    #[test]
    fn containers_that_name_a_value_twice_do_not_grow_without_bound() {
        // Each of 40 arrays holds the next one twice: 2^40 values.
        let mut bytes = vec![2];
        for _ in 0..40 {
            bytes.extend([2, 0, 0xff, 0x00, 2, 10, 0, 2, 10, 0]);
        }
        bytes.resize(2000, 0);
        assert_eq!(text(&bytes), Err(Short));
        // An array that holds itself.
        assert_eq!(text(&[2, 1, 0, 7, 0, 2, 0, 0]), Err(Short));
    }

    #[test]
    fn no_bytes_panic() {
        let mut seed = 1_u64;
        for _ in 0..100_000 {
            let mut bytes = Vec::new();
            for _ in 0..seed % 40 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let byte = (seed >> 56) as u8;
                bytes.push(if seed & 1 == 0 { byte % 16 } else { byte });
            }
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let _ = decode_json(&bytes);
        }
    }
}
