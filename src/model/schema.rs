//! Tables as their server defines them: what no log says, or not every log.

use super::ColumnType;
use std::{collections::BTreeMap, sync::Arc};

/// What is known of a server's tables, by `schema.table`.
pub type TableSchemas = BTreeMap<String, Arc<TableSchema>>;

/// A table's columns and keys at one moment, from the server or a schema file.
///
/// # Invariants
/// The places in keys are places in `columns`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TableSchema {
    /// Columns in order.
    pub columns: Vec<ColumnSchema>,
    /// The primary key's parts in key order; empty when the table has none.
    pub primary_key: Vec<KeyPart>,
    /// The other unique keys, by name.
    pub unique_keys: Vec<UniqueSchema>,
}

/// A column as its server defines it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ColumnSchema {
    /// Its name.
    pub name: String,
    /// Its type with all that belongs to it, as the server writes it: `bigint(20) unsigned`.
    pub definition: String,
    /// Name of its collation; none where it is no text.
    pub collation: Option<String>,
    /// The number of that collation on the server; 63 for binary strings.
    pub collation_id: Option<u16>,
}

/// One column of a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyPart {
    /// Its place in the table's columns; `None` for an expression.
    pub column: Option<u16>,
    /// Characters, or bytes of a binary column, that the key takes of it; `None` for all.
    pub prefix: Option<u32>,
}

/// A unique key other than the primary one, as its server defines it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UniqueSchema {
    /// Its name.
    pub name: Arc<str>,
    /// Its parts in key order.
    pub parts: Vec<KeyPart>,
    /// Some column of it may be NULL; rows with a NULL in it never clash.
    pub is_nullable: bool,
}

impl TableSchema {
    /// The places of a key's columns; `None` where a part is a prefix or an expression, so that
    /// whole values do not tell whether two rows clash.
    pub fn whole_columns(parts: &[KeyPart]) -> Option<Vec<u16>> {
        let whole = |part: &KeyPart| part.column.filter(|_| part.prefix.is_none());
        parts.iter().map(whole).collect()
    }
}

impl ColumnSchema {
    /// Whether numbers in it have no sign.
    pub fn is_unsigned(&self) -> bool {
        // ZEROFILL makes a column unsigned, and servers write both words.
        self.definition.to_ascii_lowercase().split(' ').any(|word| word == "unsigned")
    }

    /// Whether a log's column of this kind can be this column. An unknown type fits all.
    pub fn fits(&self, kind: &ColumnType) -> bool {
        use ColumnType::*;
        let end = self.definition.find(|c: char| !c.is_ascii_alphanumeric());
        let word = self.definition[..end.unwrap_or(self.definition.len())].to_ascii_lowercase();
        let integer = |width| matches!(kind, Int { bytes, .. } if *bytes == width);
        match word.as_str() {
            "tinyint" => integer(1),
            "smallint" => integer(2),
            "mediumint" => integer(3),
            "int" | "integer" => integer(4),
            "bigint" => integer(8),
            "decimal" | "numeric" => matches!(kind, Decimal { .. }),
            "float" => matches!(kind, Float),
            "double" => matches!(kind, Double),
            "date" => matches!(kind, Date),
            "time" => matches!(kind, Time { .. } | OldTime),
            "datetime" => matches!(kind, DateTime { .. } | OldDateTime),
            "timestamp" => matches!(kind, Timestamp { .. } | OldTimestamp),
            "year" => matches!(kind, Year),
            "char" | "binary" => matches!(kind, String { fixed: true, .. }),
            "varchar" | "varbinary" => matches!(kind, String { fixed: false, .. }),
            "tinytext" | "text" | "mediumtext" | "tinyblob" | "blob" | "mediumblob"
            | "longblob" => matches!(kind, Blob { .. }),
            "enum" => matches!(kind, Enum { .. }),
            "set" => matches!(kind, Set { .. }),
            "bit" => matches!(kind, Bit { .. }),
            // LONGTEXT is what MariaDB makes of JSON, too.
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(definition: &str) -> ColumnSchema {
        let definition = definition.to_owned();
        ColumnSchema { name: "c".into(), definition, collation: None, collation_id: None }
    }

    #[test]
    fn a_definition_says_what_the_log_may_show() {
        let int = |bytes| ColumnType::Int { bytes, unsigned: false };
        assert!(column("bigint(20) unsigned").fits(&int(8)));
        assert!(column("bigint(20) unsigned zerofill").is_unsigned());
        assert!(!column("bigint unsigned").fits(&int(4)));
        assert!(!column("enum('unsigned')").is_unsigned());
        assert!(column("varchar(20)").fits(&ColumnType::String {
            bytes_max: 80,
            fixed: false,
            collation: None
        }));
        assert!(!column("varchar(20)").fits(&ColumnType::Year));
        assert!(column("uuid").fits(&ColumnType::Year), "an unknown type fits all");
        assert!(column("").fits(&ColumnType::Year));
    }

    #[test]
    fn a_key_of_prefixes_or_expressions_has_no_whole_columns() {
        let part = |column, prefix| KeyPart { column, prefix };
        let whole = |parts: &[KeyPart]| TableSchema::whole_columns(parts);
        assert_eq!(whole(&[part(Some(2), None), part(Some(0), None)]), Some(vec![2, 0]));
        assert_eq!(whole(&[part(Some(2), None), part(Some(0), Some(10))]), None);
        assert_eq!(whole(&[part(None, None)]), None);
    }
}
