//! What a table map says of columns beyond their layout: labels of ENUM and SET.

use crate::{
    binlog::{
        bytes::{Bytes, Short},
        charset,
    },
    model::{ColumnType, Table},
};

/// What the log says of a column beyond its type.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ColumnFacts {
    /// Labels of an ENUM or SET, in order; empty where the log does not carry them.
    pub labels: Vec<String>,
    /// A compressed column of MariaDB: the image holds the compressed bytes. They are expanded.
    pub is_compressed: bool,
}

/// The types of MariaDB's compressed columns.
const COMPRESSED: [u8; 2] = [140, 141];

/// Reads the facts of all columns from the body of a table map event, without the table id and
/// flags, that `table` was compiled from.
///
/// # Errors
/// [`Short`]; never panics, and allocates no more than a few times the event's length.
///
/// # Source
/// `Optional_metadata_field_type` in MySQL's rows_event.h: 5 and 6 are the labels of SET and ENUM
/// columns, 10 and 11 their collations, as 2 and 3 are those of text.
pub(super) fn column_facts(body: &[u8], table: &Table) -> Result<Vec<ColumnFacts>, Short> {
    let mut bytes = Bytes(body);
    for _ in 0..2 {
        let name = usize::from(bytes.u8()?);
        bytes.take(name + 1)?;
    }
    let count = usize::try_from(bytes.lenenc()?).map_err(|_| Short)?;
    let types = bytes.take(count)?;
    let facts = |kind| ColumnFacts { is_compressed: COMPRESSED.contains(kind), labels: Vec::new() };
    let mut columns: Vec<ColumnFacts> = types.iter().map(facts).collect();
    bytes.lenenc_bytes()?;
    bytes.take(count.div_ceil(8))?;

    let places = |wanted: fn(&ColumnType) -> bool| -> Vec<usize> {
        let kinds = table.columns.iter().take(count).enumerate();
        kinds.filter(|(_, column)| wanted(&column.kind)).map(|(at, _)| at).collect()
    };
    let sets = places(|kind| matches!(kind, ColumnType::Set { .. }));
    let enums = places(|kind| matches!(kind, ColumnType::Enum { .. }));
    let both = places(|kind| matches!(kind, ColumnType::Set { .. } | ColumnType::Enum { .. }));
    let mut labels: Vec<Vec<&[u8]>> = vec![Vec::new(); count];
    let mut collations = vec![None; count];
    while !bytes.is_empty() {
        let kind = bytes.u8()?;
        let mut field = Bytes(bytes.lenenc_bytes()?);
        match kind {
            5 => read_labels(&mut field, &sets, &mut labels)?,
            6 => read_labels(&mut field, &enums, &mut labels)?,
            10 => read_default(&mut field, &both, &mut collations)?,
            11 => {
                for at in &both {
                    collations[*at] = u16::try_from(field.lenenc()?).ok();
                }
            }
            _ => {}
        }
    }
    for (at, column) in columns.iter_mut().enumerate() {
        let text = |bytes: &&[u8]| charset::decode_text(collations[at], bytes);
        // All or none: a label left out would shift those after it.
        column.labels = labels[at].iter().map(text).collect::<Option<_>>().unwrap_or_default();
    }
    Ok(columns)
}

/// Per column a count, and so many labels.
fn read_labels<'a>(
    field: &mut Bytes<'a>,
    places: &[usize],
    labels: &mut [Vec<&'a [u8]>],
) -> Result<(), Short> {
    for at in places {
        for _ in 0..field.lenenc()? {
            labels[*at].push(field.lenenc_bytes()?);
        }
    }
    Ok(())
}

/// A default collation, then exceptions as (place among the columns concerned, collation).
fn read_default(
    field: &mut Bytes<'_>,
    places: &[usize],
    collations: &mut [Option<u16>],
) -> Result<(), Short> {
    let default = u16::try_from(field.lenenc()?).ok();
    for at in places {
        collations[*at] = default;
    }
    while !field.is_empty() {
        let place = usize::try_from(field.lenenc()?).map_err(|_| Short)?;
        let at = *places.get(place).ok_or(Short)?;
        collations[at] = u16::try_from(field.lenenc()?).ok();
    }
    Ok(())
}
