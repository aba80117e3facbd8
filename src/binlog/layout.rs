//! Table maps, compiled: how to step over each column of a row image.

use super::{
    bytes::{Bytes, Short},
    metadata::{name_collations_of_mariadb, read_optional_metadata},
    plan::{BINARY, Described, TablePlan},
    wire,
};
use crate::model::{BlindSpotReason, Column, ColumnType, Table, TableId};
use std::sync::Arc;
use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

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
    /// Per column the slot in which the walker notes where it stands, or [`NO_SLOT`].
    pub(crate) slots: Vec<u32>,
    /// How many columns have a slot.
    pub(crate) slot_count: usize,
    /// The primary key; `None` where none is known.
    pub(crate) primary: Option<KeyPlan>,
    /// The table's `unique_keys`, at the same places.
    pub(crate) uniques: Vec<KeyPlan>,
    /// The column that a row ownership rule asks for, and its slot.
    pub(crate) rule: Option<(usize, u32)>,
    /// Per column whether it is left out of comparison; empty where none is.
    pub(crate) ignored: Vec<bool>,
    /// Per column what its bytes are; empty where all are their content.
    pub(crate) contents: Vec<Content>,
    /// It has times of the format before 5.6, whose width the log does not tell for sure.
    pub(crate) has_old_times: bool,
    /// What cannot be judged on rows of this table.
    pub(crate) notes: Vec<(BlindSpotReason, String)>,
    /// The schema that is known does not fit; a later one may.
    pub(crate) is_stale: bool,
}

/// What a column's bytes are to its content: equal content may be logged as other bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Content {
    /// The content itself.
    Itself,
    /// MySQL's binary JSON, which shows how the document came about.
    Json,
    /// MariaDB's compressed column, which shows how it was compressed.
    Compressed,
}

/// A column that the walker only steps over.
pub(crate) const NO_SLOT: u32 = u32::MAX;

/// How a key is put together and hashed.
#[derive(Debug)]
pub(crate) struct KeyPlan {
    /// Places of its columns in the table, in key order.
    pub(crate) columns: Vec<u16>,
    /// Their slots.
    pub(crate) slots: Vec<u32>,
    /// What sets its hashes apart from those of other keys and tables.
    pub(crate) seed: u64,
    /// It has text, which its collation may take for equal to other text.
    pub(crate) has_text: bool,
    /// A column of it may be NULL.
    pub(crate) is_nullable: bool,
}

/// Why a table map cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum LayoutError {
    #[error("the table map ends too early")]
    Short(#[from] Short),
    #[error("column type {0} is not known")]
    Type(u8),
    #[error("{0} columns, more than a table can have")]
    Columns(usize),
}

/// Columns of a table at most, in both servers (`MAX_FIELDS`).
const COLUMNS_MAX: usize = 4096;

impl Layout {
    /// Whether an image that has all columns is hashed as it stands.
    pub(crate) fn is_plain(&self) -> bool {
        self.ignored.is_empty() && self.contents.is_empty()
    }

    /// What a column's bytes are.
    pub(crate) fn content(&self, column: usize) -> Content {
        self.contents.get(column).copied().unwrap_or(Content::Itself)
    }

    /// Compiles the body of a table map event, without the table id and flags.
    ///
    /// `mariadb` says which family's server logged it; `plan` gives what is to be known beside it,
    /// by `schema.table`.
    ///
    /// # Errors
    /// [`LayoutError`]; never panics, and allocates no more than a few times the event's length.
    ///
    /// # Source
    /// `Table_map_event` in MySQL's rows_event.h, `Table_map_log_event` in MariaDB's.
    pub(crate) fn compile(
        body: &[u8],
        mariadb: bool,
        plan: &dyn Fn(&str) -> TablePlan,
    ) -> Result<Layout, LayoutError> {
        let mut bytes = Bytes(body);
        let schema = name(&mut bytes)?;
        let table = name(&mut bytes)?;
        let count = usize::try_from(bytes.lenenc()?).map_err(|_| Short)?;
        if count > COLUMNS_MAX {
            return Err(LayoutError::Columns(count));
        }
        let types = bytes.take(count)?;
        let mut metadata = Bytes(bytes.lenenc_bytes()?);
        let kinds: Result<Vec<_>, _> =
            types.iter().map(|kind| column_type(*kind, &mut metadata)).collect();
        let mut columns: Vec<Column> =
            kinds?.into_iter().map(|kind| Column { name: None, kind }).collect();
        bytes.take(count.div_ceil(8))?;
        let metadata = read_optional_metadata(bytes, types, mariadb, &mut columns)?;
        let contents = contents(types);
        let plan = plan(&format!("{schema}.{table}"));
        let mut described = Described::by_log(columns, metadata.primary_key);
        if let Some(known) = &plan.known {
            described.complete(known, metadata.has_signs);
        }
        if mariadb {
            name_collations_of_mariadb(&mut described.columns);
        }
        Ok(Self::of(schema, table, described, contents, &plan))
    }

    fn of(
        schema: String,
        name: String,
        described: Described,
        contents: Vec<Content>,
        plan: &TablePlan,
    ) -> Layout {
        let ignored = ignored(&described, plan);
        let has_names = described.has_names();
        let Described { columns, mut primary_key, unique_keys, mut notes, is_stale } = described;
        if !has_names && !plan.ignore_columns.is_empty() {
            let detail = "the log does not name the columns that are not to be compared";
            notes.push((BlindSpotReason::NoColumn, detail.to_owned()));
        }
        // Keys have at most 16 columns on MySQL, 32 on MariaDB.
        primary_key.truncate(KEY_COLUMNS_MAX);
        let id = TableId::of(&schema, &name);
        let seed = id.0 as u64;
        let mut slots = Slots(vec![NO_SLOT; columns.len()], 0);
        let primary = (!primary_key.is_empty())
            .then(|| KeyPlan::new(&primary_key, seed, false, &columns, &mut slots));
        let uniques = unique_keys.iter().map(|(key, is_nullable)| {
            let seed = xxh3_64_with_seed(key.name.as_bytes(), seed);
            KeyPlan::new(&key.columns, seed, *is_nullable, &columns, &mut slots)
        });
        let uniques = uniques.collect();
        let rule = plan.rule_column.as_ref().and_then(|wanted| {
            let column = columns.iter().position(|column| is_named(column, wanted))?;
            Some((column, slots.of(column)))
        });
        let steps: Vec<Step> = columns.iter().map(|column| step(&column.kind)).collect();
        let unique_keys = unique_keys.into_iter().map(|(key, _)| key).collect();
        let shape = shape(&steps, &ignored);
        let has_old_times = columns.iter().any(|column| is_old_time(&column.kind));
        let table = Table { id, schema, name, columns, primary_key, unique_keys, shape };
        let (table, Slots(slots, slot_count)) = (Arc::new(table), slots);
        Layout {
            table,
            steps,
            slots,
            slot_count,
            primary,
            uniques,
            rule,
            ignored,
            contents,
            has_old_times,
            notes,
            is_stale,
        }
    }
}

/// Columns of a key at most.
const KEY_COLUMNS_MAX: usize = 32;

/// Slots as they are given out, and how many were.
struct Slots(Vec<u32>, usize);

impl Slots {
    fn of(&mut self, column: usize) -> u32 {
        let slot = &mut self.0[column];
        if *slot == NO_SLOT {
            *slot = self.1 as u32;
            self.1 += 1;
        }
        *slot
    }
}

impl KeyPlan {
    fn new(
        key: &[u16],
        seed: u64,
        is_nullable: bool,
        columns: &[Column],
        slots: &mut Slots,
    ) -> Self {
        let is_text = |column: &u16| match columns[usize::from(*column)].kind {
            ColumnType::String { collation, .. } | ColumnType::Blob { collation, .. } => {
                collation != Some(BINARY)
            }
            _ => false,
        };
        let has_text = key.iter().any(is_text);
        let slots = key.iter().map(|column| slots.of(usize::from(*column))).collect();
        KeyPlan { columns: key.to_vec(), slots, seed, has_text, is_nullable }
    }
}

/// Whether it is a time of the format before 5.6.
pub(crate) fn is_old_time(kind: &ColumnType) -> bool {
    use ColumnType::{OldDateTime, OldTime, OldTimestamp};
    matches!(kind, OldDateTime | OldTime | OldTimestamp)
}

fn is_named(column: &Column, wanted: &str) -> bool {
    column.name.as_ref().is_some_and(|name| name.eq_ignore_ascii_case(wanted))
}

/// Per column whether it is left out of comparison; empty where none is.
fn ignored(described: &Described, plan: &TablePlan) -> Vec<bool> {
    let ignored = |column: &Column| plan.ignore_columns.iter().any(|name| is_named(column, name));
    let columns: Vec<bool> = described.columns.iter().map(ignored).collect();
    if columns.contains(&true) { columns } else { Vec::new() }
}

/// Per column what its bytes are; empty where all are their content.
fn contents(types: &[u8]) -> Vec<Content> {
    let content = |kind: &u8| match *kind {
        wire::JSON => Content::Json,
        wire::BLOB_COMPRESSED | wire::VARCHAR_COMPRESSED => Content::Compressed,
        _ => Content::Itself,
    };
    let contents: Vec<Content> = types.iter().map(content).collect();
    let all_themselves = contents.iter().all(|content| *content == Content::Itself);
    if all_themselves { Vec::new() } else { contents }
}

/// A hash of how the columns of a row image are laid out, and which of them are not compared.
fn shape(steps: &[Step], ignored: &[bool]) -> u32 {
    let mut hash = Xxh3::new();
    for step in steps {
        let (kind, bytes) = match *step {
            Step::Fixed(bytes) => (0, bytes),
            Step::Counted(bytes) => (1, u16::from(bytes)),
        };
        hash.update(&[kind]);
        hash.update(&bytes.to_le_bytes());
    }
    for column in ignored {
        hash.update(&[u8::from(*column)]);
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
        wire::VARCHAR | wire::VAR_STRING | wire::VARCHAR_COMPRESSED => {
            ColumnType::String { bytes_max: metadata.u16()?, fixed: false, collation: None }
        }
        wire::STRING | wire::ENUM | wire::SET => {
            string(metadata.u8()?, metadata.u8()?).ok_or(LayoutError::Type(kind))?
        }
        wire::BLOB | wire::BLOB_COMPRESSED => {
            ColumnType::Blob { length_bytes: length_bytes(kind, metadata)?, collation: None }
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
        let layout = Layout::compile(&body, mariadb, &|_| TablePlan::default())?;
        Ok(layout.table.columns[2].kind.clone())
    }

    #[test]
    fn what_no_server_writes_is_refused() {
        let compile = |body: &[u8]| {
            let layout = Layout::compile(body, false, &|_| TablePlan::default());
            layout.map(|layout| layout.steps.len())
        };
        let head = b"\x01s\0\x01t\0";
        let wide = |count: usize| {
            let types = vec![wire::LONG; count];
            let count = (count as u16).to_le_bytes();
            [&head[..], &[252], &count, &types, &[0], &vec![0; types.len().div_ceil(8)]].concat()
        };
        assert_eq!(compile(&wide(4096)), Ok(4096));
        assert_eq!(compile(&wide(4097)), Err(LayoutError::Columns(4097)));
        let signs = [1, 1, 0];
        let once = [&head[..], &[1, wire::LONG, 0, 0], &signs].concat();
        assert_eq!(compile(&once), Ok(1));
        assert_eq!(compile(&[&once[..], &signs].concat()), Err(LayoutError::Short(Short)));
    }

    #[test]
    fn geometry_has_a_collation_on_mariadb_and_vectors_have_one() {
        let latin1 = Ok(ColumnType::String { bytes_max: 20, fixed: false, collation: Some(8) });
        assert_eq!(collation_of_the_last(true, &[63, 63, 8]), latin1);
        assert_eq!(collation_of_the_last(false, &[63, 8]), latin1);
        assert_eq!(collation_of_the_last(true, &[63, 8]), Err(LayoutError::Short(Short)));
    }
}
