//! JSON as text, as the server shows it.

use super::{Scalar, Sink, diff::patched, walk};
use crate::binlog::{bytes::Short, decimal};
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

/// Decodes a binary JSON value.
///
/// # Output
/// At most twelve times as long as `bytes`, and 64: a control character takes six, a number in an
/// array eight for three.
///
/// # Errors
/// [`Short`] for what no server writes; never panics.
///
/// # Source
/// Opaque values are in the packed forms of `my_time_packed_to_binary` and `decimal2bin`.
pub(in crate::binlog) fn decode_json(bytes: &[u8]) -> Result<JsonText, Short> {
    let mut writer = Writer::default();
    walk(bytes, &mut writer)?;
    Ok(JsonText { text: writer.text, is_exact: !writer.is_inexact })
}

/// Decodes a binary JSON value that these diffs have been applied to.
///
/// # Errors
/// As [`decode_json`], and for diffs that do not apply.
pub(in crate::binlog) fn text_of_diffs(before: &[u8], diffs: &[u8]) -> Result<JsonText, Short> {
    let mut writer = Writer::default();
    patched(before, diffs)?.tell(&mut writer)?;
    Ok(JsonText { text: writer.text, is_exact: !writer.is_inexact })
}

#[derive(Default)]
struct Writer {
    text: String,
    is_inexact: bool,
    /// Containers that have begun: whether it is an object, and the values so far.
    open: Vec<(bool, usize)>,
}

impl Writer {
    /// Writes what stands between two values; in an object, between a value and a key.
    fn separate(&mut self, is_key: bool) {
        if let Some((is_object, count)) = self.open.last_mut()
            && *is_object == is_key
        {
            if *count > 0 {
                self.text.push_str(", ");
            }
            *count += 1;
        }
    }

    /// A string with the escapes that the server writes.
    fn quoted(&mut self, text: &str) {
        self.text.push('"');
        for character in text.chars() {
            match character {
                '"' => self.text.push_str("\\\""),
                '\\' => self.text.push_str("\\\\"),
                '\u{8}' => self.text.push_str("\\b"),
                '\t' => self.text.push_str("\\t"),
                '\n' => self.text.push_str("\\n"),
                '\u{c}' => self.text.push_str("\\f"),
                '\r' => self.text.push_str("\\r"),
                control if control < ' ' => {
                    let _ = write!(self.text, "\\u{:04x}", control as u32);
                }
                other => self.text.push(other),
            }
        }
        self.text.push('"');
    }

    fn plain(&mut self, value: impl std::fmt::Display) {
        let _ = write!(self.text, "{value}");
    }

    /// A value of an SQL type, by the type's number.
    fn opaque(&mut self, kind: u8, data: &[u8]) -> Result<(), Short> {
        let packed = || data.try_into().map(i64::from_le_bytes).map_err(|_| Short);
        match kind {
            246 => {
                let [precision, scale, digits @ ..] = data else { return Err(Short) };
                self.plain(decimal::decode(*precision, *scale, digits).map_err(|_| Short)?);
            }
            10 => self.quoted(datetime(packed()?).split(' ').next().unwrap_or_default()),
            7 | 12 => self.quoted(&datetime(packed()?)),
            11 => self.quoted(&time(packed()?)),
            _ => self.quoted(&format!("base64:type{kind}:{}", base64(data))),
        }
        Ok(())
    }
}

impl<'a> Sink<'a> for Writer {
    fn scalar(&mut self, value: Scalar<'a>) -> Result<(), Short> {
        self.separate(false);
        match value {
            Scalar::Null => self.text.push_str("null"),
            Scalar::Bool(value) => self.plain(value),
            Scalar::Int(value) => self.plain(value),
            Scalar::UInt(value) => self.plain(value),
            Scalar::Double(value) => self.plain(double(value)),
            Scalar::String(text) => self.quoted(text),
            Scalar::Opaque(kind, data) => {
                self.is_inexact = true;
                self.opaque(kind, data)?;
            }
        }
        Ok(())
    }

    fn open(&mut self, is_object: bool, _: usize) -> Result<(), Short> {
        self.separate(false);
        self.text.push(if is_object { '{' } else { '[' });
        self.open.push((is_object, 0));
        Ok(())
    }

    fn key(&mut self, key: &'a str) -> Result<(), Short> {
        self.separate(true);
        self.quoted(key);
        self.text.push_str(": ");
        Ok(())
    }

    fn close(&mut self) -> Result<(), Short> {
        let (is_object, _) = self.open.pop().ok_or(Short)?;
        self.text.push(if is_object { '}' } else { ']' });
        Ok(())
    }
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
