//! Column values: from row images and canonical keys to what people and rules read, and from row
//! images to canonical keys.
//!
//! No bytes make these functions panic: every length is checked against what is left before it is
//! used, and what no server writes is an error that names no value.

use serde_json::Number;
use thiserror::Error;

use super::{
    charset,
    collation::{Fold, fold},
    decimal, temporal,
};
use crate::model::{Column, ColumnType, RuleValue, Table};

/// Why bytes are no value of a column's type.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ValueError {
    /// The bytes end inside the value.
    #[error("a value of {needed} bytes has only {left} left")]
    Truncated {
        /// Bytes of the value.
        needed: usize,
        /// Bytes that are left.
        left: usize,
    },
    /// The column's type has a width or a precision that no server allows.
    #[error("the table map describes a column type that does not exist")]
    Type,
    /// The bytes stand for nothing, such as 1.2 million microseconds.
    #[error("the bytes are no value of the column's type")]
    Malformed,
    /// A key names a column that its table does not have.
    #[error("the key names column {place} of a table with {columns}")]
    Column {
        /// Its place, counted from 1.
        place: usize,
        /// Columns of the table.
        columns: usize,
    },
    /// A key is followed by bytes that belong to none of its columns.
    #[error("{left} bytes follow the last column of a key")]
    Trailing {
        /// Bytes that are left.
        left: usize,
    },
}

/// A column's value, decoded.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// A signed integer.
    Int(i64),
    /// An unsigned integer.
    UInt(u64),
    /// FLOAT.
    Float(f32),
    /// DOUBLE.
    Double(f64),
    /// DECIMAL as the server prints it: `-0.50`.
    Decimal(String),
    /// DATE, TIME, DATETIME or TIMESTAMP as the server prints it, with all digits of the column's
    /// fraction: `2026-11-23 18:00:00.123456`. A TIMESTAMP is in UTC.
    Time(String),
    /// YEAR: 0, or 1901 to 2155.
    Year(u16),
    /// BIT.
    Bit {
        /// Width of the column.
        bits: u8,
        /// The bits as a number.
        value: u64,
    },
    /// ENUM: place of the label, from 1; 0 is the server's empty value for what is no label.
    Enum(u16),
    /// SET: one bit per label, the first label lowest.
    Set(u64),
    /// Text, decoded from its character set. CHAR stands without its trailing spaces.
    Text(String),
    /// BINARY at its full width, VARBINARY, BLOB, binary JSON, geometry, vectors, and text whose
    /// bytes are none in its character set.
    Bytes(Vec<u8>),
}

/// How a value ends in a row image.
#[derive(Clone, Copy)]
enum Extent {
    /// After so many bytes.
    Fixed(usize),
    /// By a little endian length of so many bytes in front.
    Prefixed(usize),
}

impl Extent {
    #[inline]
    fn of(kind: &ColumnType) -> Result<Extent, ValueError> {
        Ok(match *kind {
            ColumnType::Int { bytes: bytes @ (1..=4 | 8), .. } => Extent::Fixed(bytes.into()),
            ColumnType::Year => Extent::Fixed(1),
            ColumnType::Float | ColumnType::OldTimestamp => Extent::Fixed(4),
            ColumnType::Double | ColumnType::OldDateTime => Extent::Fixed(8),
            ColumnType::Decimal { precision, scale } => {
                Extent::Fixed(decimal::width(precision, scale)?)
            }
            ColumnType::Date | ColumnType::OldTime => Extent::Fixed(3),
            ColumnType::Time { fraction } => Extent::Fixed(3 + temporal::fraction_bytes(fraction)?),
            ColumnType::DateTime { fraction } => {
                Extent::Fixed(5 + temporal::fraction_bytes(fraction)?)
            }
            ColumnType::Timestamp { fraction } => {
                Extent::Fixed(4 + temporal::fraction_bytes(fraction)?)
            }
            ColumnType::Bit { bits: bits @ 1..=64 } => Extent::Fixed(bits.div_ceil(8).into()),
            ColumnType::Enum { bytes: bytes @ 1..=2 }
            | ColumnType::Set { bytes: bytes @ 1..=8 } => Extent::Fixed(bytes.into()),
            ColumnType::String { bytes_max, .. } => {
                Extent::Prefixed(if bytes_max > 255 { 2 } else { 1 })
            }
            ColumnType::Blob { length_bytes: bytes @ 1..=4, .. }
            | ColumnType::Json { length_bytes: bytes @ 1..=4 }
            | ColumnType::Geometry { length_bytes: bytes @ 1..=4 }
            | ColumnType::Vector { length_bytes: bytes @ 1..=4 } => Extent::Prefixed(bytes.into()),
            ColumnType::Null => Extent::Fixed(0),
            _ => return Err(ValueError::Type),
        })
    }
}

/// The first `len` bytes, and the rest.
#[inline]
fn split(bytes: &[u8], len: usize) -> Result<(&[u8], &[u8]), ValueError> {
    bytes.split_at_checked(len).ok_or(ValueError::Truncated { needed: len, left: bytes.len() })
}

/// Exactly `N` bytes.
fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], ValueError> {
    bytes.try_into().map_err(|_| ValueError::Truncated { needed: N, left: bytes.len() })
}

/// A little endian number of at most eight bytes.
#[inline]
fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

/// The value at the start of `bytes` without its length, and the bytes it takes with it.
#[inline]
fn payload(extent: Extent, bytes: &[u8]) -> Result<(&[u8], usize), ValueError> {
    match extent {
        Extent::Fixed(len) => Ok((split(bytes, len)?.0, len)),
        Extent::Prefixed(prefix) => {
            let (length, rest) = split(bytes, prefix)?;
            let length =
                usize::try_from(little_endian(length)).map_err(|_| ValueError::Malformed)?;
            Ok((split(rest, length)?.0, prefix + length))
        }
    }
}

/// Decodes the value at the start of `bytes`.
///
/// # Input
/// A row image from the place where a value that is not NULL begins.
///
/// # Output
/// The value, and the bytes it takes. Text takes at most three times its bytes, BINARY at most the
/// column's width.
///
/// # Errors
/// [`ValueError::Truncated`], [`ValueError::Type`] and [`ValueError::Malformed`]; never panics.
///
/// # Example
/// ```
/// use twinlog::{binlog::value::{decode_value, Value}, model::ColumnType};
///
/// let mediumint = ColumnType::Int { bytes: 3, unsigned: false };
/// assert_eq!(decode_value(&mediumint, b"\xfd\xff\xff..."), Ok((Value::Int(-3), 3)));
/// ```
pub fn decode_value(kind: &ColumnType, bytes: &[u8]) -> Result<(Value, usize), ValueError> {
    let (payload, consumed) = payload(Extent::of(kind)?, bytes)?;
    Ok((value(kind, payload)?, consumed))
}

/// Decodes a value whose bytes, without a length, are `payload`.
///
/// # Errors
/// As [`decode_value`]; never panics.
pub(super) fn decode_content(kind: &ColumnType, payload: &[u8]) -> Result<Value, ValueError> {
    value(kind, payload)
}

/// Appends the canonical form of the value at the start of `bytes` to `out`; see
/// [`RowKey`](crate::model::RowKey) for that form.
///
/// # Input
/// As [`decode_value`].
///
/// # Output
/// The bytes that the value takes in the row image. Nothing is allocated but for `out` to grow,
/// and on an error `out` is as it was.
///
/// # Errors
/// [`ValueError::Truncated`] and [`ValueError::Type`]; never panics. Bytes that stand for nothing
/// are taken as they are.
#[inline]
pub fn canonicalize(
    kind: &ColumnType,
    bytes: &[u8],
    out: &mut Vec<u8>,
) -> Result<usize, ValueError> {
    let extent = Extent::of(kind)?;
    let (payload, consumed) = payload(extent, bytes)?;
    match (kind, extent) {
        (&ColumnType::Int { unsigned, .. }, _) => {
            out.extend_from_slice(&extended(payload, unsigned).to_le_bytes());
        }
        (_, Extent::Prefixed(_)) => {
            let length = u32::try_from(payload.len()).map_err(|_| ValueError::Malformed)?;
            out.extend_from_slice(&length.to_le_bytes());
            out.extend_from_slice(payload);
        }
        (_, Extent::Fixed(_)) => out.extend_from_slice(payload),
    }
    Ok(consumed)
}

/// Decodes the columns of a key, in key order.
///
/// # Input
/// The canonical bytes of a key of this table, and the places of the key's columns: as
/// [`RowKey`](crate::model::RowKey) has both.
///
/// # Output
/// Each column's name and value. A column whose name is not known is called by its place in the
/// table, counted from 1 as the servers' own tools count: `#3`.
///
/// # Errors
/// As [`decode_value`], [`ValueError::Column`] and [`ValueError::Trailing`]; never panics.
pub fn decode_key(
    table: &Table,
    key: &[u16],
    canonical: &[u8],
) -> Result<Vec<(String, Value)>, ValueError> {
    let mut columns = Vec::with_capacity(key.len());
    for part in KeyParts::new(table, key, canonical) {
        let (place, column, payload) = part?;
        let name = column.name.clone().unwrap_or_else(|| format!("#{}", place + 1));
        columns.push((name, value(&column.kind, payload)?));
    }
    Ok(columns)
}

/// Appends a key's canonical form to `out` with its text folded: equal for keys that the columns'
/// collations take for equal.
///
/// # Output
/// The weakest fold of its columns.
///
/// # Errors
/// As [`decode_key`]; never panics.
pub(super) fn fold_key(
    table: &Table,
    key: &[u16],
    canonical: &[u8],
    out: &mut Vec<u8>,
) -> Result<Fold, ValueError> {
    let mut weakest = Fold::Same;
    for part in KeyParts::new(table, key, canonical) {
        let (_, column, payload) = part?;
        match column.kind {
            ColumnType::String { collation, .. } | ColumnType::Blob { collation, .. } => {
                let start = out.len();
                out.extend_from_slice(&[0; 4]);
                let fold = fold(collation, payload, out);
                if fold == Fold::Same {
                    out.truncate(start + 4);
                    out.extend_from_slice(payload);
                }
                weakest = weaker(weakest, fold);
                let length = u32::try_from(out.len() - start - 4);
                let length = length.map_err(|_| ValueError::Malformed)?.to_le_bytes();
                out[start..start + 4].copy_from_slice(&length);
            }
            ColumnType::Json { .. } | ColumnType::Geometry { .. } | ColumnType::Vector { .. } => {
                out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
                out.extend_from_slice(payload);
            }
            _ => out.extend_from_slice(payload),
        }
    }
    Ok(weakest)
}

fn weaker(one: Fold, other: Fold) -> Fold {
    match (one, other) {
        (Fold::Unsure, _) | (_, Fold::Unsure) => Fold::Unsure,
        (Fold::Exact, _) | (_, Fold::Exact) => Fold::Exact,
        (Fold::Same, Fold::Same) => Fold::Same,
    }
}

/// The columns of a key in its canonical bytes: place, column, and bytes without their length.
struct KeyParts<'a> {
    table: &'a Table,
    key: std::slice::Iter<'a, u16>,
    rest: &'a [u8],
}

impl<'a> KeyParts<'a> {
    fn new(table: &'a Table, key: &'a [u16], canonical: &'a [u8]) -> Self {
        KeyParts { table, key: key.iter(), rest: canonical }
    }

    fn part(&mut self, place: usize) -> Result<(usize, &'a Column, &'a [u8]), ValueError> {
        let columns = &self.table.columns;
        let wrong = ValueError::Column { place: place + 1, columns: columns.len() };
        let column = columns.get(place).ok_or(wrong)?;
        let extent = match (&column.kind, Extent::of(&column.kind)?) {
            (ColumnType::Int { .. }, _) => Extent::Fixed(8),
            (_, Extent::Prefixed(_)) => Extent::Prefixed(4),
            (_, fixed) => fixed,
        };
        let (payload, consumed) = payload(extent, self.rest)?;
        self.rest = split(self.rest, consumed)?.1;
        Ok((place, column, payload))
    }
}

impl<'a> Iterator for KeyParts<'a> {
    type Item = Result<(usize, &'a Column, &'a [u8]), ValueError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.key.next() {
            Some(place) => Some(self.part(usize::from(*place))),
            None => {
                let left = std::mem::take(&mut self.rest).len();
                (left > 0).then_some(Err(ValueError::Trailing { left }))
            }
        }
    }
}

/// Reads a column for a row ownership rule: integers of every kind and YEAR as a number, text
/// decoded, and everything else as a type that no rule can judge.
///
/// # Input
/// As [`decode_value`].
///
/// # Output
/// [`RuleValue::Unsupported`] also for bytes that cannot be decoded. An ENUM is unsupported too:
/// its number depends on the order of labels that the rule does not name.
pub fn rule_value(kind: &ColumnType, bytes: &[u8]) -> RuleValue {
    match decode_value(kind, bytes) {
        Ok((Value::Int(number), _)) => RuleValue::Int(number.into()),
        Ok((Value::UInt(number), _)) => RuleValue::Int(number.into()),
        Ok((Value::Year(year), _)) => RuleValue::Int(year.into()),
        Ok((Value::Text(text), _)) => RuleValue::Text(text),
        Ok((Value::Null, _)) => RuleValue::Null,
        _ => RuleValue::Unsupported,
    }
}

/// A little endian integer of one to eight bytes as 64 bits, sign or zero extended.
#[inline]
fn extended(bytes: &[u8], unsigned: bool) -> u64 {
    let number = little_endian(bytes);
    let negative = bytes.last().is_some_and(|&high| high & 0x80 != 0);
    if negative && !unsigned && bytes.len() < 8 {
        number | u64::MAX << (8 * bytes.len())
    } else {
        number
    }
}

/// The value of a column whose bytes, without a length, are `payload`; an integer may stand in
/// more bytes than its column has.
fn value(kind: &ColumnType, payload: &[u8]) -> Result<Value, ValueError> {
    Ok(match *kind {
        ColumnType::Null => Value::Null,
        ColumnType::Int { unsigned: true, .. } => Value::UInt(extended(payload, true)),
        ColumnType::Int { unsigned: false, .. } => {
            Value::Int(extended(payload, false).cast_signed())
        }
        ColumnType::Year => {
            let [since_1900] = array(payload)?;
            Value::Year(if since_1900 == 0 { 0 } else { 1900 + u16::from(since_1900) })
        }
        ColumnType::Float => Value::Float(f32::from_le_bytes(array(payload)?)),
        ColumnType::Double => Value::Double(f64::from_le_bytes(array(payload)?)),
        ColumnType::Decimal { precision, scale } => {
            Value::Decimal(decimal::decode(precision, scale, payload)?)
        }
        ColumnType::Date => Value::Time(temporal::date(array(payload)?)),
        ColumnType::OldTime => Value::Time(temporal::old_time(array(payload)?)?),
        ColumnType::OldDateTime => Value::Time(temporal::old_datetime(array(payload)?)?),
        ColumnType::OldTimestamp => Value::Time(temporal::old_timestamp(array(payload)?)?),
        ColumnType::Time { fraction } => Value::Time(temporal::time(payload, fraction)?),
        ColumnType::DateTime { fraction } => Value::Time(temporal::datetime(payload, fraction)?),
        ColumnType::Timestamp { fraction } => Value::Time(temporal::timestamp(payload, fraction)?),
        ColumnType::Bit { bits } => {
            let value = payload.iter().fold(0, |value, &byte| value << 8 | u64::from(byte));
            Value::Bit { bits, value }
        }
        ColumnType::Enum { .. } => {
            Value::Enum(u16::try_from(little_endian(payload)).map_err(|_| ValueError::Malformed)?)
        }
        ColumnType::Set { .. } => Value::Set(little_endian(payload)),
        ColumnType::String { bytes_max, fixed, collation } => {
            let width = if fixed { usize::from(bytes_max) } else { 0 };
            text_or_bytes(collation, payload, width)
        }
        ColumnType::Blob { collation, .. } => text_or_bytes(collation, payload, 0),
        ColumnType::Json { .. } | ColumnType::Geometry { .. } | ColumnType::Vector { .. } => {
            Value::Bytes(payload.to_vec())
        }
    })
}

/// Text where the bytes are such; else bytes, filled up with zeros to `width` where the column is,
/// or may be, BINARY.
///
/// The row image leaves out BINARY's trailing zeros. A column without a collation may be CHAR or
/// BINARY; what is no text in it is taken for BINARY.
fn text_or_bytes(collation: Option<u16>, bytes: &[u8], width: usize) -> Value {
    if let Some(text) = charset::decode_text(collation, bytes) {
        return Value::Text(text);
    }
    let mut bytes = bytes.to_vec();
    if matches!(collation, None | Some(charset::BINARY)) && bytes.len() < width {
        bytes.resize(width, 0);
    }
    Value::Bytes(bytes)
}

impl Value {
    /// The value in a finding's JSON: integers, YEAR, BIT, ENUM and SET as numbers, FLOAT and
    /// DOUBLE as the shortest number that reads back the same, text, DECIMAL and times as strings,
    /// bytes as `0x` and lower-case digits.
    ///
    /// A FLOAT or DOUBLE that is no number, which no server stores, is a string: `NaN`, `inf`.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Value::Null => serde_json::Value::Null,
            Value::Int(number) => (*number).into(),
            Value::UInt(number) => (*number).into(),
            Value::Year(year) => (*year).into(),
            Value::Bit { value, .. } => (*value).into(),
            Value::Enum(place) => (*place).into(),
            Value::Set(labels) => (*labels).into(),
            // As f64 the nearest FLOAT to 0.1 is 0.10000000149011612: go by its shortest digits.
            Value::Float(number) => float(number.to_string()),
            Value::Double(number) => float(number.to_string()),
            Value::Text(text) | Value::Decimal(text) | Value::Time(text) => text.as_str().into(),
            Value::Bytes(bytes) => hex(bytes).into(),
        }
    }
}

/// A number from its shortest digits.
fn float(digits: String) -> serde_json::Value {
    match digits.parse().ok().and_then(Number::from_f64) {
        Some(number) => serde_json::Value::Number(number),
        None => digits.into(),
    }
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or_default();
    let digits = bytes.iter().flat_map(|&byte| [digit(byte >> 4), digit(byte & 15)]);
    ['0', 'x'].into_iter().chain(digits).collect()
}
