//! Rows of a transaction with their values, by column.

use super::labels::ColumnFacts;
use crate::{
    binlog::{
        compressed::expand_column,
        json::{JsonText, decode_json, text_of_diffs},
        value::{Value, ValueError, canonicalize, decode_content, decode_value},
    },
    model::{ColumnType, Operation, Table},
};
use serde_json::Map;
use std::sync::Arc;

/// A table with what the log says of its columns.
#[derive(Clone, PartialEq, Debug)]
pub struct TableFacts {
    /// The table.
    pub table: Arc<Table>,
    /// As many as the table's columns.
    pub columns: Vec<ColumnFacts>,
}

/// What an image says of one column.
#[derive(Clone, PartialEq, Debug)]
pub enum Cell {
    /// The image leaves the column out: nothing is known of it.
    NotLogged,
    /// SQL NULL.
    Null,
    /// A value; text is in UTF-8 in the column, too.
    Value(Value),
    /// Text that the column holds in another character set: the text, and the column's bytes.
    Recoded(String, Vec<u8>),
    /// MySQL's JSON. MariaDB's is text.
    Json(JsonText),
    /// Bytes that are no value of the column's type.
    Undecoded(Vec<u8>),
}

/// One change of one row.
#[derive(Clone, PartialEq, Debug)]
pub struct Change {
    /// Whose row.
    pub of: Arc<TableFacts>,
    /// What happened.
    pub operation: Operation,
    /// The row before, a cell a column; `None`: there was none.
    pub before: Option<Vec<Cell>>,
    /// The row after; `None`: it is gone.
    pub after: Option<Vec<Cell>>,
    /// The statement that did it, where the log has its text.
    pub statement: Option<Arc<str>>,
}

/// A row as a finding names it.
#[derive(Clone, PartialEq, Debug)]
pub struct RowOf {
    /// `schema.table`.
    pub table: String,
    /// Key columns by name (`#n` where the log names none) with their values, as
    /// [`Value::to_json`] writes them.
    pub key: Map<String, serde_json::Value>,
}

impl TableFacts {
    /// A column's name; `#n`, counted from 1, where the log names none.
    pub fn name(&self, column: usize) -> String {
        let name = self.table.columns.get(column).and_then(|column| column.name.clone());
        name.unwrap_or_else(|| format!("#{}", column + 1))
    }

    /// The place of a column of that name.
    pub fn place(&self, name: &str) -> Option<usize> {
        (0..self.table.columns.len()).find(|column| self.name(*column) == name)
    }

    /// A cell for people and scripts: labels for ENUM and SET, where the log has them; BIT as hex
    /// at its full width; everything else as [`Value::to_json`]. `None` where the image leaves the
    /// column out, as against JSON's null for NULL.
    pub fn shown(&self, column: usize, cell: &Cell) -> Option<serde_json::Value> {
        Some(match cell {
            Cell::NotLogged => return None,
            Cell::Null => serde_json::Value::Null,
            Cell::Value(value @ (Value::Enum(_) | Value::Set(_))) => {
                self.label(column, value).map_or_else(|| value.to_json(), Into::into)
            }
            Cell::Value(Value::Bit { bits, value }) => {
                let digits = usize::from(bits.div_ceil(8)) * 2;
                format!("0x{value:0digits$x}").into()
            }
            Cell::Value(value) => value.to_json(),
            Cell::Recoded(text, _) => text.as_str().into(),
            Cell::Json(json) => json.text.as_str().into(),
            Cell::Undecoded(bytes) => Value::Bytes(bytes.clone()).to_json(),
        })
    }

    /// The label of an ENUM, or the labels of a SET with commas between; `None` where the log does
    /// not say.
    pub fn label(&self, column: usize, value: &Value) -> Option<String> {
        let labels = &self.columns.get(column)?.labels;
        match value {
            Value::Enum(place) => labels.get(usize::from(*place).checked_sub(1)?).cloned(),
            Value::Set(bits) => {
                let known = labels.iter().take(64).enumerate();
                let set = known.filter(|(at, _)| bits >> at & 1 == 1);
                let set: Vec<&str> = set.map(|(_, label)| label.as_str()).collect();
                let all = bits.count_ones() as usize == set.len() && !labels.is_empty();
                all.then(|| set.join(","))
            }
            _ => None,
        }
    }
}

impl Cell {
    /// Bytes that it takes in memory.
    fn bytes(&self) -> usize {
        size_of::<Cell>()
            + match self {
                Cell::Value(Value::Decimal(text) | Value::Time(text) | Value::Text(text)) => {
                    text.len()
                }
                Cell::Value(Value::Bytes(bytes)) | Cell::Undecoded(bytes) => bytes.len(),
                Cell::Recoded(text, bytes) => text.len() + bytes.len(),
                Cell::Json(json) => json.text.len(),
                Cell::NotLogged | Cell::Null | Cell::Value(_) => 0,
            }
    }
}

impl Change {
    /// Bytes that its values take in memory.
    pub(super) fn bytes(&self) -> usize {
        [&self.before, &self.after].into_iter().flatten().flatten().map(Cell::bytes).sum()
    }

    /// Whether it is a change of this row, before it or after it, to the letter.
    pub(super) fn is_of(&self, row: &RowOf) -> bool {
        self.any_has(row, |cell, wanted| cell == wanted)
    }

    /// Whether it may be a change of this row: text without regard to case and trailing spaces,
    /// which many a collation has none for either.
    pub(super) fn is_like(&self, row: &RowOf) -> bool {
        self.any_has(row, is_like)
    }

    fn any_has(
        &self,
        row: &RowOf,
        same: fn(&serde_json::Value, &serde_json::Value) -> bool,
    ) -> bool {
        let mut images = [&self.before, &self.after].into_iter().flatten();
        row.table == self.of.table.full_name() && images.any(|cells| self.has_by(cells, row, same))
    }

    /// Whether an image has the key's values; see [`super::EvidenceReader::new`] for text.
    pub fn has(&self, cells: &[Cell], row: &RowOf) -> bool {
        self.has_by(cells, row, is_like)
    }

    fn has_by(
        &self,
        cells: &[Cell],
        row: &RowOf,
        same: fn(&serde_json::Value, &serde_json::Value) -> bool,
    ) -> bool {
        let is_same = |(name, wanted): (&String, &serde_json::Value)| {
            let cell = self.of.place(name).and_then(|at| key_json(cells.get(at)?));
            cell.is_some_and(|cell| same(&cell, wanted))
        };
        !row.key.is_empty() && row.key.iter().all(is_same)
    }
}

fn is_like(cell: &serde_json::Value, wanted: &serde_json::Value) -> bool {
    let fold = |text: &str| text.trim_end_matches(' ').to_lowercase();
    match (cell.as_str(), wanted.as_str()) {
        (Some(cell), Some(wanted)) => cell == wanted || fold(cell) == fold(wanted),
        _ => cell == wanted,
    }
}

/// A cell as a finding's key has it.
fn key_json(cell: &Cell) -> Option<serde_json::Value> {
    match cell {
        Cell::Value(value) => Some(value.to_json()),
        Cell::Recoded(text, _) => Some(text.as_str().into()),
        _ => None,
    }
}

/// Decodes the value at the start of `bytes`; gives the bytes it takes.
///
/// # Errors
/// Bytes that end inside it, or a type that does not exist; never panics.
pub(super) fn decode_cell(
    kind: &ColumnType,
    is_compressed: bool,
    bytes: &[u8],
) -> Result<(Cell, usize), ValueError> {
    let (value, taken) = match decode_value(kind, bytes) {
        Ok(decoded) => decoded,
        Err(ValueError::Malformed) => {
            let taken = canonicalize(kind, bytes, &mut Vec::new())?;
            return Ok((Cell::Undecoded(payload(kind, bytes, taken).to_vec()), taken));
        }
        Err(error) => return Err(error),
    };
    let raw = payload(kind, bytes, taken);
    if is_compressed {
        let mut expanded = Vec::new();
        return Ok(match expand_column(raw, &mut expanded) {
            Some(()) => (cell_of(kind, decode_content(kind, &expanded)?, &expanded), taken),
            None => (Cell::Undecoded(raw.to_vec()), taken),
        });
    }
    Ok((cell_of(kind, value, raw), taken))
}

/// A value's cell; `raw` are its bytes without the length.
fn cell_of(kind: &ColumnType, value: Value, raw: &[u8]) -> Cell {
    match value {
        Value::Null => Cell::Null,
        Value::Text(text) if text.as_bytes() != raw => Cell::Recoded(text, raw.to_vec()),
        Value::Bytes(bytes) if matches!(kind, ColumnType::Json { .. }) => match decode_json(raw) {
            Ok(json) => Cell::Json(json),
            Err(_) => Cell::Undecoded(bytes),
        },
        value => Cell::Value(value),
    }
}

/// What became of a document by the diffs that stand at the start of `bytes`, and the bytes that
/// these take; [`Cell::NotLogged`] where the document is not known, or they do not fit.
///
/// # Errors
/// Bytes that end inside the diffs.
pub(super) fn decode_diffs(
    kind: &ColumnType,
    before: Option<&[u8]>,
    bytes: &[u8],
) -> Result<(Cell, usize), ValueError> {
    let taken = canonicalize(kind, bytes, &mut Vec::new())?;
    let diffs = payload(kind, bytes, taken);
    let text = before.and_then(|before| text_of_diffs(before, diffs).ok());
    Ok((text.map_or(Cell::NotLogged, Cell::Json), taken))
}

/// The bytes of a value without the length in front.
pub(super) fn payload<'a>(kind: &ColumnType, bytes: &'a [u8], taken: usize) -> &'a [u8] {
    let prefix = match *kind {
        ColumnType::String { bytes_max, .. } => 1 + usize::from(bytes_max > 255),
        ColumnType::Blob { length_bytes, .. }
        | ColumnType::Json { length_bytes }
        | ColumnType::Geometry { length_bytes }
        | ColumnType::Vector { length_bytes } => length_bytes.into(),
        _ => 0,
    };
    bytes.get(prefix..taken).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn another_spelling_is_like_and_another_value_is_not() {
        for (cell, wanted, like) in [
            (json!("Ada"), json!("ada  "), true),
            (json!("ada"), json!(" ada"), false),
            (json!(7), json!(7), true),
            (json!(7), json!("7"), false),
            (json!(null), json!(null), true),
        ] {
            assert_eq!(is_like(&cell, &wanted), like, "{cell} {wanted}");
        }
    }
}
