//! The optional metadata of a table map: signs, collations, names and the primary key.

use super::{
    bytes::{Bytes, Short},
    collation::of_mariadb,
    wire,
};
use crate::model::{Column, ColumnType};

/// What the optional metadata says beside the columns themselves.
#[derive(Default)]
pub(super) struct Metadata {
    pub(super) primary_key: Vec<u16>,
    /// It says which numbers have a sign.
    pub(super) has_signs: bool,
}

/// Reads the optional metadata into the columns.
///
/// # Errors
/// Fields that end too early, and a field that comes twice.
///
/// # Source
/// `Optional_metadata_field_type` in MySQL's rows_event.h; the same numbers in MariaDB 10.5.
pub(super) fn read_optional_metadata(
    mut bytes: Bytes<'_>,
    types: &[u8],
    mariadb: bool,
    columns: &mut [Column],
) -> Result<Metadata, Short> {
    let mut metadata = Metadata::default();
    let mut seen = 0_u64;
    while !bytes.is_empty() {
        let kind = bytes.u8()?;
        let mut field = Bytes(bytes.lenenc_bytes()?);
        // Servers write each once; a thousand of one would be read a thousand times.
        let bit = 1_u64.checked_shl(kind.into()).unwrap_or(0);
        if seen & bit != 0 {
            return Err(Short);
        }
        seen |= bit;
        match kind {
            1 => {
                read_signedness(field.0, types, columns);
                metadata.has_signs = true;
            }
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
                    metadata.primary_key.push(key_column(field.lenenc()?, columns)?);
                }
            }
            9 => {
                // A key of column prefixes: rows with equal prefixes clash, and the hash of whole
                // values would not show it. The table counts as one without a known key.
                let mut whole = true;
                while !field.is_empty() {
                    metadata.primary_key.push(key_column(field.lenenc()?, columns)?);
                    whole &= field.lenenc()? == 0;
                }
                if !whole {
                    metadata.primary_key.clear();
                }
            }
            _ => {}
        }
    }
    Ok(metadata)
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

/// Gives MariaDB's collations the numbers that they are known by here.
pub(super) fn name_collations_of_mariadb(columns: &mut [Column]) {
    for collation in columns.iter_mut().filter_map(collation_of) {
        *collation = collation.map(of_mariadb);
    }
}

fn set_collation(column: &mut Column, number: u64) {
    if let Some(collation) = collation_of(column) {
        *collation = u16::try_from(number).ok();
    }
}

fn collation_of(column: &mut Column) -> Option<&mut Option<u16>> {
    match &mut column.kind {
        ColumnType::String { collation, .. } | ColumnType::Blob { collation, .. } => {
            Some(collation)
        }
        _ => None,
    }
}
