//! What is to be known of a table beside its table map: from the configuration, and from its
//! server's schema.

use crate::model::{BlindSpotReason, Column, ColumnType, TableSchema, UniqueKey};
use std::sync::Arc;

/// What the walker has to know of a table beside its table map.
#[derive(Clone, Debug, Default)]
pub struct TablePlan {
    /// The column that a row ownership rule asks for.
    pub rule_column: Option<String>,
    /// Columns that are not compared.
    pub ignore_columns: Vec<String>,
    /// The table as its server defines it, where that is known.
    pub known: Option<Arc<TableSchema>>,
}

/// Gives the plan of a table, by `schema.table`.
pub type TablePlans = Arc<dyn Fn(&str) -> TablePlan + Send + Sync>;

/// The collation id of binary strings.
pub(super) const BINARY: u16 = 63;

/// A table as its log and its schema describe it together.
pub(super) struct Described {
    pub(super) columns: Vec<Column>,
    pub(super) primary_key: Vec<u16>,
    /// Unique keys of whole columns, and whether a column of them may be NULL.
    pub(super) unique_keys: Vec<(UniqueKey, bool)>,
    /// What cannot be judged on the table's rows.
    pub(super) notes: Vec<(BlindSpotReason, String)>,
    pub(super) is_stale: bool,
}

impl Described {
    /// A table as the log alone describes it.
    pub(super) fn by_log(columns: Vec<Column>, primary_key: Vec<u16>) -> Self {
        let (unique_keys, notes) = (Vec::new(), Vec::new());
        Described { columns, primary_key, unique_keys, notes, is_stale: false }
    }

    /// Adds what the schema knows and the log does not say. What the log says wins; a schema that
    /// does not fit to it is of another time, and only noted.
    pub(super) fn complete(&mut self, known: &TableSchema, log_has_signs: bool) {
        if let Some(why) = self.why_stale(known) {
            let detail = format!("{why}: the schema is of another time, and was not used");
            self.notes.push((BlindSpotReason::StaleSchema, detail));
            self.is_stale = true;
            return;
        }
        let log_has_names = self.has_names();
        for (column, known) in self.columns.iter_mut().zip(&known.columns) {
            column.name.get_or_insert_with(|| known.name.clone());
            match &mut column.kind {
                ColumnType::Int { unsigned, .. } if !log_has_signs => {
                    *unsigned = known.is_unsigned();
                }
                ColumnType::String { collation, .. } | ColumnType::Blob { collation, .. } => {
                    *collation = collation.or(known.collation_id);
                }
                _ => {}
            }
        }
        // A log that carries names carries the key, too, where there is one.
        if !log_has_names {
            self.primary_key = TableSchema::whole_columns(&known.primary_key).unwrap_or_default();
        }
        for key in &known.unique_keys {
            let name = key.name.clone();
            match TableSchema::whole_columns(&key.parts) {
                Some(columns) => {
                    self.unique_keys.push((UniqueKey { name, columns }, key.is_nullable));
                }
                None => {
                    let detail = format!(
                        "unique key {name} is of column prefixes or expressions: clashes on it \
                         are not seen"
                    );
                    self.notes.push((BlindSpotReason::NoKey, detail));
                }
            }
        }
    }

    /// Whether the columns' names are known.
    pub(super) fn has_names(&self) -> bool {
        self.columns.first().is_some_and(|column| column.name.is_some())
    }

    fn why_stale(&self, known: &TableSchema) -> Option<String> {
        let (log, schema) = (self.columns.len(), known.columns.len());
        let hidden = self.columns.get(schema..).unwrap_or_default();
        if log < schema || !hidden.iter().all(is_hidden) {
            return Some(format!("{schema} columns in the schema, {log} in the log"));
        }
        let differs = self.columns.iter().zip(&known.columns).position(|(column, known)| {
            let renamed = |name: &String| !name.eq_ignore_ascii_case(&known.name);
            column.name.as_ref().is_some_and(renamed) || !known.fits(&column.kind)
        })?;
        Some(format!("column {} is another in the schema than in the log", differs + 1))
    }
}

/// Whether MariaDB logs the column and `information_schema` does not list it: of tables with system
/// versioning, and with unique keys of BLOB or TEXT. They come last.
fn is_hidden(column: &Column) -> bool {
    let is_hidden = |name: &String| {
        matches!(name.as_str(), "row_start" | "row_end") || name.starts_with("DB_ROW_HASH_")
    };
    column.name.as_ref().is_some_and(is_hidden)
}
