//! Tables as a binlog describes them, and rows named by their keys.

use serde::{Deserialize, Serialize};
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3;

/// A table's identity across streams: the XXH3-128 of `schema NUL name`.
///
/// Names are taken as logged; servers with different `lower_case_table_names` are not folded.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct TableId(pub u128);

impl TableId {
    /// The identity of the table of that name, whether a table map or a statement names it.
    pub fn of(schema: &str, name: &str) -> TableId {
        let mut hash = Xxh3::new();
        hash.update(schema.as_bytes());
        hash.update(&[0]);
        hash.update(name.as_bytes());
        TableId(hash.digest128())
    }
}

/// How a column's values are stored in a row image, and what they mean.
///
/// # Source
/// `enum_field_types` and `Table_map_event` in MySQL's libs/mysql/binlog/event/rows_event.h;
/// the `unsigned`, `charset` and label facts come from the optional metadata.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ColumnType {
    /// TINYINT to BIGINT: 1, 2, 3, 4 or 8 bytes, little endian.
    Int {
        /// Bytes in the image.
        bytes: u8,
        /// UNSIGNED, where the metadata says so.
        unsigned: bool,
    },
    /// One byte; 0 is the year 0, n is 1900 + n.
    Year,
    /// IEEE 754 single.
    Float,
    /// IEEE 754 double.
    Double,
    /// Packed base-10⁹ digits.
    Decimal {
        /// Digits in all.
        precision: u8,
        /// Digits after the point.
        scale: u8,
    },
    /// Three bytes: day, month, year in bits.
    Date,
    /// TIME of 5.5 and before: three bytes, decimal HHMMSS.
    OldTime,
    /// DATETIME of 5.5 and before: eight bytes, decimal.
    OldDateTime,
    /// TIMESTAMP of 5.5 and before: four bytes, seconds.
    OldTimestamp,
    /// TIME with a fraction of 0 to 6 digits, offset-binary big endian.
    Time {
        /// Digits of the fraction.
        fraction: u8,
    },
    /// DATETIME with a fraction of 0 to 6 digits.
    DateTime {
        /// Digits of the fraction.
        fraction: u8,
    },
    /// TIMESTAMP with a fraction of 0 to 6 digits, seconds since the epoch in UTC.
    Timestamp {
        /// Digits of the fraction.
        fraction: u8,
    },
    /// Big endian bits.
    Bit {
        /// Width in bits, 1 to 64.
        bits: u8,
    },
    /// Index into the labels, from 1.
    Enum {
        /// Bytes in the image, 1 or 2.
        bytes: u8,
    },
    /// Bit set over the labels.
    Set {
        /// Bytes in the image, 1 to 8.
        bytes: u8,
    },
    /// CHAR, VARCHAR, BINARY, VARBINARY: a length of 1 or 2 bytes, then the bytes.
    String {
        /// The most bytes a value can have; above 255 the length takes 2 bytes.
        bytes_max: u16,
        /// CHAR or BINARY: trailing spaces or zero bytes are not in the image.
        fixed: bool,
        /// Collation id; 63 is binary. `None` where the metadata does not say.
        collation: Option<u16>,
    },
    /// BLOB and TEXT: a length of 1 to 4 bytes, then the bytes.
    Blob {
        /// Bytes of the length.
        length_bytes: u8,
        /// Collation id; 63 is binary. `None` where the metadata does not say.
        collation: Option<u16>,
    },
    /// MySQL's binary JSON.
    Json {
        /// Bytes of the length.
        length_bytes: u8,
    },
    /// SRID and WKB.
    Geometry {
        /// Bytes of the length.
        length_bytes: u8,
    },
    /// MySQL 9 VECTOR: packed single floats.
    Vector {
        /// Bytes of the length.
        length_bytes: u8,
    },
    /// The type of a column that is always NULL; no bytes.
    Null,
}

/// One column of a table.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Column {
    /// Its name, where `binlog_row_metadata=FULL` carries it or the server's schema is known.
    pub name: Option<String>,
    /// Its storage.
    pub kind: ColumnType,
}

/// A table as one table map event describes it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Table {
    /// Identity across streams.
    pub id: TableId,
    /// Database.
    pub schema: String,
    /// Name within it.
    pub name: String,
    /// Columns in order.
    pub columns: Vec<Column>,
    /// Places of the primary key's columns in `columns`, in key order; empty when neither the log
    /// nor a schema names one.
    pub primary_key: Vec<u16>,
    /// Its other unique keys of whole columns; the log names none, so they come from the server or
    /// a schema file.
    pub unique_keys: Vec<UniqueKey>,
    /// A hash of how row images are laid out and which columns are not compared: images of two
    /// streams can be compared only where it is the same.
    pub shape: u32,
}

/// A unique key other than the primary one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UniqueKey {
    /// Its name.
    pub name: Arc<str>,
    /// Places of its columns in the table's `columns`, in key order.
    pub columns: Vec<u16>,
}

impl Table {
    /// `schema.name`, as messages and the JSON field `table` spell it.
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }
}

/// A row, by its primary key or by a unique one.
///
/// `bytes` is the canonical form, column after column in key order: integers as 8 bytes little
/// endian, sign or zero extended; strings and blobs as a 4-byte little endian length and the
/// bytes of the image; every other type as its fixed bytes of the image.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RowKey {
    /// The table, as the stream that showed the row describes it.
    #[serde(with = "super::shared")]
    pub table: Arc<Table>,
    /// The key's place in the table's `unique_keys`; `None` is the primary key.
    pub index: Option<u16>,
    /// Canonical key bytes.
    #[serde(with = "serde_bytes")]
    pub bytes: Box<[u8]>,
}

impl RowKey {
    /// Places of the key's columns in the table's `columns`, in key order.
    pub fn columns(&self) -> &[u16] {
        match self.index {
            None => &self.table.primary_key,
            Some(index) => {
                let key = self.table.unique_keys.get(usize::from(index));
                key.map_or(&[], |key| &key.columns)
            }
        }
    }
}
