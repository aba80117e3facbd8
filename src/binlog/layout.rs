//! Table maps, compiled: how to step over each column of a row image.

use super::bytes::{Bytes, Short};
use crate::model::{Column, ColumnType, Table, TableId};
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3;

/// How many bytes a column takes in a row image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// Always as many.
    Fixed(u16),
    /// A length of so many bytes (1 to 4), little endian, and then as many.
    Counted(u8),
}

/// A table map, compiled once and used for every row event that refers to it.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) table: Arc<Table>,
    pub(crate) steps: Vec<Step>,
    /// Per column its place in the primary key, or [`NOT_IN_KEY`].
    pub(crate) key_place: Vec<u8>,
    /// The column that a row ownership rule asks for.
    pub(crate) rule_column: Option<usize>,
}

/// A column outside the primary key.
pub(crate) const NOT_IN_KEY: u8 = u8::MAX;

/// Why a table map cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum LayoutError {
    #[error("the table map ends too early")]
    Short(#[from] Short),
    #[error("column type {0} is not known")]
    Type(u8),
}

// The wire types of `enum_field_types`, by number.
mod wire {
    pub(super) const TINY: u8 = 1;
    pub(super) const SHORT: u8 = 2;
    pub(super) const LONG: u8 = 3;
    pub(super) const FLOAT: u8 = 4;
    pub(super) const DOUBLE: u8 = 5;
    pub(super) const NULL: u8 = 6;
    pub(super) const TIMESTAMP: u8 = 7;
    pub(super) const LONGLONG: u8 = 8;
    pub(super) const INT24: u8 = 9;
    pub(super) const DATE: u8 = 10;
    pub(super) const TIME: u8 = 11;
    pub(super) const DATETIME: u8 = 12;
    pub(super) const YEAR: u8 = 13;
    pub(super) const NEWDATE: u8 = 14;
    pub(super) const VARCHAR: u8 = 15;
    pub(super) const BIT: u8 = 16;
    pub(super) const TIMESTAMP2: u8 = 17;
    pub(super) const DATETIME2: u8 = 18;
    pub(super) const TIME2: u8 = 19;
    /// MariaDB's compressed columns.
    pub(super) const BLOB_COMPRESSED: u8 = 140;
    pub(super) const VARCHAR_COMPRESSED: u8 = 141;
    pub(super) const VECTOR: u8 = 242;
    pub(super) const JSON: u8 = 245;
    pub(super) const NEWDECIMAL: u8 = 246;
    pub(super) const ENUM: u8 = 247;
    pub(super) const SET: u8 = 248;
    pub(super) const BLOB: u8 = 252;
    pub(super) const VAR_STRING: u8 = 253;
    pub(super) const STRING: u8 = 254;
    pub(super) const GEOMETRY: u8 = 255;
}

/// The collation id of binary strings.
const BINARY: u16 = 63;

impl Layout {
    /// Compiles the body of a table map event, without the table id and flags.
    ///
    /// `mariadb` says which family's server logged it; `rule_column` names the column that a row
    /// ownership rule asks for, given `schema.table`.
    ///
    /// # Errors
    /// [`LayoutError`]; never panics, and allocates no more than a few times the event's length.
    ///
    /// # Source
    /// `Table_map_event` in MySQL's rows_event.h, `Table_map_log_event` in MariaDB's.
    pub(crate) fn compile(
        body: &[u8],
        mariadb: bool,
        rule_column: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Layout, LayoutError> {
        let mut bytes = Bytes(body);
        let schema = name(&mut bytes)?;
        let table = name(&mut bytes)?;
        let count = usize::try_from(bytes.lenenc()?).map_err(|_| Short)?;
        let types = bytes.take(count)?;
        let mut metadata = Bytes(bytes.lenenc_bytes()?);
        let kinds: Result<Vec<_>, _> =
            types.iter().map(|kind| column_type(*kind, &mut metadata)).collect();
        let mut columns: Vec<Column> =
            kinds?.into_iter().map(|kind| Column { name: None, kind }).collect();
        bytes.take(count.div_ceil(8))?;
        let primary_key = read_optional_metadata(bytes, types, mariadb, &mut columns)?;
        Ok(Self::of(schema, table, columns, primary_key, rule_column))
    }

    fn of(
        schema: String,
        name: String,
        columns: Vec<Column>,
        primary_key: Vec<u16>,
        rule_column: &dyn Fn(&str) -> Option<String>,
    ) -> Layout {
        let steps: Vec<Step> = columns.iter().map(|column| step(&column.kind)).collect();
        let mut key_place = vec![NOT_IN_KEY; columns.len()];
        for (place, column) in primary_key.iter().enumerate() {
            key_place[usize::from(*column)] = place as u8;
        }
        let id = table_id(&schema, &name);
        let (unique_keys, shape) = (Vec::new(), shape(&steps));
        let table = Table { id, schema, name, columns, primary_key, unique_keys, shape };
        let wanted = rule_column(&table.full_name());
        let rule_column = wanted.and_then(|wanted| {
            let same = |name: &String| name.eq_ignore_ascii_case(&wanted);
            table.columns.iter().position(|column| column.name.as_ref().is_some_and(same))
        });
        Layout { table: Arc::new(table), steps, key_place, rule_column }
    }
}

/// The identity of a table: see [`TableId`].
fn table_id(schema: &str, name: &str) -> TableId {
    let mut hash = Xxh3::new();
    hash.update(schema.as_bytes());
    hash.update(&[0]);
    hash.update(name.as_bytes());
    TableId(hash.digest128())
}

/// A hash of how a row image is laid out.
fn shape(steps: &[Step]) -> u32 {
    let mut hash = Xxh3::new();
    for step in steps {
        let (kind, bytes) = match *step {
            Step::Fixed(bytes) => (0, bytes),
            Step::Counted(bytes) => (1, u16::from(bytes)),
        };
        hash.update(&[kind]);
        hash.update(&bytes.to_le_bytes());
    }
    hash.digest() as u32
}

/// A name: a length byte, the text, a NUL.
fn name(bytes: &mut Bytes<'_>) -> Result<String, Short> {
    let count = usize::from(bytes.u8()?);
    let text = bytes.take(count)?;
    bytes.u8()?;
    Ok(String::from_utf8_lossy(text).into_owned())
}

fn column_type(kind: u8, metadata: &mut Bytes<'_>) -> Result<ColumnType, LayoutError> {
    let int = |bytes| ColumnType::Int { bytes, unsigned: false };
    Ok(match kind {
        wire::TINY => int(1),
        wire::SHORT => int(2),
        wire::INT24 => int(3),
        wire::LONG => int(4),
        wire::LONGLONG => int(8),
        wire::YEAR => ColumnType::Year,
        wire::NULL => ColumnType::Null,
        wire::DATE | wire::NEWDATE => ColumnType::Date,
        wire::TIME => ColumnType::OldTime,
        wire::DATETIME => ColumnType::OldDateTime,
        wire::TIMESTAMP => ColumnType::OldTimestamp,
        wire::FLOAT | wire::DOUBLE => match metadata.u8()? {
            4 => ColumnType::Float,
            _ => ColumnType::Double,
        },
        wire::TIMESTAMP2 => ColumnType::Timestamp { fraction: fraction(metadata)? },
        wire::DATETIME2 => ColumnType::DateTime { fraction: fraction(metadata)? },
        wire::TIME2 => ColumnType::Time { fraction: fraction(metadata)? },
        wire::NEWDECIMAL => decimal(metadata.u8()?, metadata.u8()?)?,
        wire::BIT => {
            let (bits, bytes) = (metadata.u8()?, metadata.u8()?);
            let bits = u16::from(bytes) * 8 + u16::from(bits);
            let bits = u8::try_from(bits).ok().filter(|bits| *bits <= 64);
            ColumnType::Bit { bits: bits.ok_or(LayoutError::Type(kind))? }
        }
        wire::VARCHAR | wire::VAR_STRING => {
            ColumnType::String { bytes_max: metadata.u16()?, fixed: false, collation: None }
        }
        wire::VARCHAR_COMPRESSED => {
            let bytes_max = metadata.u16()?;
            ColumnType::String { bytes_max, fixed: false, collation: Some(BINARY) }
        }
        wire::STRING | wire::ENUM | wire::SET => {
            string(metadata.u8()?, metadata.u8()?).ok_or(LayoutError::Type(kind))?
        }
        wire::BLOB | wire::BLOB_COMPRESSED => {
            let collation = (kind == wire::BLOB_COMPRESSED).then_some(BINARY);
            ColumnType::Blob { length_bytes: length_bytes(kind, metadata)?, collation }
        }
        wire::JSON => ColumnType::Json { length_bytes: length_bytes(kind, metadata)? },
        wire::GEOMETRY => ColumnType::Geometry { length_bytes: length_bytes(kind, metadata)? },
        wire::VECTOR => ColumnType::Vector { length_bytes: length_bytes(kind, metadata)? },
        other => return Err(LayoutError::Type(other)),
    })
}

fn fraction(metadata: &mut Bytes<'_>) -> Result<u8, LayoutError> {
    let digits = metadata.u8()?;
    if digits <= 6 { Ok(digits) } else { Err(LayoutError::Type(wire::TIME2)) }
}

fn length_bytes(kind: u8, metadata: &mut Bytes<'_>) -> Result<u8, LayoutError> {
    let bytes = metadata.u8()?;
    if (1..=4).contains(&bytes) { Ok(bytes) } else { Err(LayoutError::Type(kind)) }
}

fn decimal(precision: u8, scale: u8) -> Result<ColumnType, LayoutError> {
    match scale <= precision && precision <= 65 {
        true => Ok(ColumnType::Decimal { precision, scale }),
        false => Err(LayoutError::Type(wire::NEWDECIMAL)),
    }
}

/// CHAR, BINARY, ENUM and SET: the real type, and the length with two of its bits in the type.
///
/// # Source
/// `Field_string::do_save_field_metadata` in MySQL's sql/field.cc.
fn string(first: u8, second: u8) -> Option<ColumnType> {
    if first & 0x30 != 0x30 {
        let bytes_max = u16::from(second) | u16::from((first & 0x30) ^ 0x30) << 4;
        return Some(ColumnType::String { bytes_max, fixed: true, collation: None });
    }
    match first {
        wire::ENUM if matches!(second, 1 | 2) => Some(ColumnType::Enum { bytes: second }),
        wire::SET if matches!(second, 1..=8) => Some(ColumnType::Set { bytes: second }),
        wire::STRING => {
            let bytes_max = u16::from(second);
            Some(ColumnType::String { bytes_max, fixed: true, collation: None })
        }
        _ => None,
    }
}

/// How to step over a column of that type.
fn step(kind: &ColumnType) -> Step {
    let fraction_bytes = |digits: u8| u16::from(digits.div_ceil(2));
    match *kind {
        ColumnType::Int { bytes, .. } | ColumnType::Enum { bytes } | ColumnType::Set { bytes } => {
            Step::Fixed(bytes.into())
        }
        ColumnType::Year => Step::Fixed(1),
        ColumnType::Float | ColumnType::OldTimestamp => Step::Fixed(4),
        ColumnType::Double | ColumnType::OldDateTime => Step::Fixed(8),
        ColumnType::Decimal { precision, scale } => {
            Step::Fixed(digit_bytes(precision - scale) + digit_bytes(scale))
        }
        ColumnType::Date | ColumnType::OldTime => Step::Fixed(3),
        ColumnType::Time { fraction } => Step::Fixed(3 + fraction_bytes(fraction)),
        ColumnType::DateTime { fraction } => Step::Fixed(5 + fraction_bytes(fraction)),
        ColumnType::Timestamp { fraction } => Step::Fixed(4 + fraction_bytes(fraction)),
        ColumnType::Bit { bits } => Step::Fixed(u16::from(bits.div_ceil(8))),
        ColumnType::String { bytes_max, .. } => Step::Counted(if bytes_max < 256 { 1 } else { 2 }),
        ColumnType::Blob { length_bytes, .. }
        | ColumnType::Json { length_bytes }
        | ColumnType::Geometry { length_bytes }
        | ColumnType::Vector { length_bytes } => Step::Counted(length_bytes),
        ColumnType::Null => Step::Fixed(0),
    }
}

/// Bytes of packed decimal digits: 9 in 4 bytes, fewer in as few as hold them.
fn digit_bytes(digits: u8) -> u16 {
    const REST: [u16; 9] = [0, 1, 1, 2, 2, 3, 3, 4, 4];
    u16::from(digits / 9) * 4 + REST[usize::from(digits % 9)]
}

/// Reads the optional metadata into the columns; gives the primary key's columns.
///
/// # Source
/// `Optional_metadata_field_type` in MySQL's rows_event.h; the same numbers in MariaDB 10.5.
fn read_optional_metadata(
    mut bytes: Bytes<'_>,
    types: &[u8],
    mariadb: bool,
    columns: &mut [Column],
) -> Result<Vec<u16>, Short> {
    let mut primary_key = Vec::new();
    while !bytes.is_empty() {
        let kind = bytes.u8()?;
        let mut field = Bytes(bytes.lenenc_bytes()?);
        match kind {
            1 => read_signedness(field.0, types, columns),
            2 => read_default_collation(&mut field, mariadb, columns)?,
            3 => {
                for column in columns.iter_mut().filter(|c| is_text(&c.kind, mariadb)) {
                    set_collation(column, field.lenenc()?);
                }
            }
            4 => {
                for column in columns.iter_mut() {
                    let name = field.lenenc_bytes()?;
                    column.name = Some(String::from_utf8_lossy(name).into_owned());
                }
            }
            8 => {
                while !field.is_empty() {
                    primary_key.push(key_column(field.lenenc()?, columns)?);
                }
            }
            9 => {
                // A key of column prefixes: rows with equal prefixes clash, and the hash of whole
                // values would not show it. The table counts as one without a known key.
                let mut whole = true;
                while !field.is_empty() {
                    primary_key.push(key_column(field.lenenc()?, columns)?);
                    whole &= field.lenenc()? == 0;
                }
                if !whole {
                    primary_key.clear();
                }
            }
            _ => {}
        }
    }
    // Keys have at most 16 columns on MySQL, 32 on MariaDB.
    primary_key.truncate(usize::from(NOT_IN_KEY));
    Ok(primary_key)
}

fn key_column(number: u64, columns: &[Column]) -> Result<u16, Short> {
    u16::try_from(number).ok().filter(|at| usize::from(*at) < columns.len()).ok_or(Short)
}

/// One bit per numeric column, the first in the highest bit.
fn read_signedness(bits: &[u8], types: &[u8], columns: &mut [Column]) {
    let numeric = |kind: &u8| {
        use wire::*;
        matches!(*kind, TINY | SHORT | INT24 | LONG | LONGLONG | NEWDECIMAL | FLOAT | DOUBLE)
    };
    let places = types.iter().zip(columns).filter(|(kind, _)| numeric(kind));
    for (at, (_, column)) in places.enumerate() {
        let byte = bits.get(at / 8).copied().unwrap_or(0);
        if let ColumnType::Int { unsigned, .. } = &mut column.kind {
            *unsigned = byte >> (7 - at % 8) & 1 == 1;
        }
    }
}

/// A default for all text columns, then exceptions as (place among them, collation).
fn read_default_collation(
    field: &mut Bytes<'_>,
    mariadb: bool,
    columns: &mut [Column],
) -> Result<(), Short> {
    let default = field.lenenc()?;
    let text = columns.iter_mut().filter(|column| is_text(&column.kind, mariadb));
    let mut text: Vec<&mut Column> = text.collect();
    for column in &mut text {
        set_collation(column, default);
    }
    while !field.is_empty() {
        let place = usize::try_from(field.lenenc()?).map_err(|_| Short)?;
        let collation = field.lenenc()?;
        set_collation(text.get_mut(place).ok_or(Short)?, collation);
    }
    Ok(())
}

/// The columns that have a collation in the metadata; a BLOB underneath counts as one.
///
/// # Source
/// Measured: MariaDB 10.11 counts geometry, MySQL 9.7 does not, and counts vectors.
fn is_text(kind: &ColumnType, mariadb: bool) -> bool {
    match kind {
        ColumnType::String { .. } | ColumnType::Blob { .. } | ColumnType::Vector { .. } => true,
        ColumnType::Geometry { .. } => mariadb,
        _ => false,
    }
}

fn set_collation(column: &mut Column, number: u64) {
    if let ColumnType::String { collation, .. } | ColumnType::Blob { collation, .. } =
        &mut column.kind
    {
        *collation = u16::try_from(number).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns of GEOMETRY, VECTOR and VARCHAR, with the collations in the metadata's long form.
    fn collation_of_the_last(mariadb: bool, collations: &[u8]) -> Result<ColumnType, LayoutError> {
        let mut body = vec![1, b's', 0, 1, b't', 0, 3];
        body.extend([wire::GEOMETRY, wire::VECTOR, wire::VARCHAR]);
        body.extend([4, 4, 4, 20, 0]);
        body.push(0);
        body.extend([3, collations.len() as u8]);
        body.extend(collations);
        let layout = Layout::compile(&body, mariadb, &|_| None)?;
        Ok(layout.table.columns[2].kind.clone())
    }

    #[test]
    fn geometry_has_a_collation_on_mariadb_and_vectors_have_one() {
        let latin1 = Ok(ColumnType::String { bytes_max: 20, fixed: false, collation: Some(8) });
        assert_eq!(collation_of_the_last(true, &[63, 63, 8]), latin1);
        assert_eq!(collation_of_the_last(false, &[63, 8]), latin1);
        assert_eq!(collation_of_the_last(true, &[63, 8]), Err(LayoutError::Short(Short)));
    }
}
