//! What a server knows of its tables: columns and keys, from `information_schema`.

use super::{FeedError, LiveOptions, connect::Session, failure::Failure};
use crate::model::{ColumnSchema, KeyPart, TableSchema, TableSchemas, UniqueSchema};
use mysql_async::{Row, Value};
use std::{collections::BTreeMap, sync::Arc};

/// The collation id of binary strings.
const BINARY: u16 = 63;

/// Databases of the servers themselves.
const NOT_OF_USERS: &str =
    "TABLE_SCHEMA NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema')";

/// Asks a server for keys and columns of all tables that the account may see: those on which it
/// has some privilege, such as SELECT.
///
/// # Errors
/// [`FeedError::Server`]: it cannot be reached, refuses the account, or does not answer.
///
/// # Source
/// `information_schema` of MySQL 9.7 and MariaDB 10.11. MariaDB tells the numbers of its newer
/// collations only together with a character set.
pub async fn table_schemas(options: &LiveOptions) -> Result<TableSchemas, FeedError> {
    let schemas = async {
        let mut session = Session::open(options).await?;
        session.facts().await?;
        tables_of(&mut session).await
    };
    schemas.await.map_err(|failure: Failure| failure.error)
}

/// The same, over a session that knows its server.
pub(super) async fn tables_of(session: &mut Session<'_>) -> Result<TableSchemas, Failure> {
    let collations = session.collations(session.peer.mariadb == Some(true)).await?;
    let statement = format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES \
         WHERE TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') AND {NOT_OF_USERS}"
    );
    let tables = session.catalog(&statement).await?;
    let statement = format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, COLLATION_NAME \
         FROM information_schema.COLUMNS WHERE {NOT_OF_USERS} \
         ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION"
    );
    let columns = session.catalog(&statement).await?;
    let statement = format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, COLUMN_NAME, SUB_PART, NULLABLE \
         FROM information_schema.STATISTICS WHERE NON_UNIQUE = 0 AND {NOT_OF_USERS} \
         ORDER BY TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX"
    );
    let keys = session.catalog(&statement).await?;
    Ok(put_together(&tables, &columns, &keys, &collations))
}

impl Session<'_> {
    async fn catalog(&mut self, statement: &str) -> Result<Vec<Cells>, Failure> {
        let rows = self.rows_of_catalog::<Row>(statement).await?;
        Ok(rows.into_iter().map(cells).collect())
    }

    /// Numbers of collations by their names.
    async fn collations(&mut self, is_mariadb: bool) -> Result<BTreeMap<String, u16>, Failure> {
        let all = "SELECT COLLATION_NAME, ID FROM information_schema.COLLATIONS";
        let mut rows = self.catalog(all).await?;
        if is_mariadb {
            let full = "SELECT FULL_COLLATION_NAME, ID \
                        FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY";
            // Before 10.10 there are no such columns, and no such collations.
            rows.extend(self.catalog(full).await.unwrap_or_default());
        }
        let number = |row: &Cells| Some((text(row, 0)?, text(row, 1)?.parse().ok()?));
        Ok(rows.iter().filter_map(number).collect())
    }
}

/// A row of text.
type Cells = Vec<Option<String>>;

fn cells(row: Row) -> Cells {
    let cell = |value: Value| match value {
        Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Value::Int(number) => Some(number.to_string()),
        Value::UInt(number) => Some(number.to_string()),
        _ => None,
    };
    row.unwrap_raw().into_iter().map(|value| value.and_then(cell)).collect()
}

fn text(row: &Cells, at: usize) -> Option<String> {
    row.get(at).cloned().flatten()
}

fn put_together(
    tables: &[Cells],
    columns: &[Cells],
    keys: &[Cells],
    collations: &BTreeMap<String, u16>,
) -> TableSchemas {
    let full_name = |row: &Cells| Some(format!("{}.{}", text(row, 0)?, text(row, 1)?));
    let mut schemas: BTreeMap<String, TableSchema> =
        tables.iter().filter_map(|row| Some((full_name(row)?, TableSchema::default()))).collect();
    for row in columns {
        let table = full_name(row).and_then(|name| schemas.get_mut(&name));
        let (Some(table), Some(name)) = (table, text(row, 2)) else { continue };
        let definition = text(row, 3).unwrap_or_default();
        let collation = text(row, 4);
        let collation_id = match &collation {
            Some(collation) => collations.get(collation).copied(),
            None => is_binary(&definition).then_some(BINARY),
        };
        table.columns.push(ColumnSchema { name, definition, collation, collation_id });
    }
    for row in keys {
        let Some(name) = full_name(row) else { continue };
        let Some(table) = schemas.get_mut(&name) else { continue };
        if add_key_part(table, row).is_none() {
            // It was changed between two questions: better no schema than half of two.
            schemas.remove(&name);
        }
    }
    schemas.retain(|_, table| !table.columns.is_empty());
    schemas.into_iter().map(|(name, table)| (name, Arc::new(table))).collect()
}

/// Adds a column to a key; `None` where the table has no such column.
fn add_key_part(table: &mut TableSchema, row: &Cells) -> Option<()> {
    let key = text(row, 2)?;
    let column = match text(row, 3) {
        None => None,
        Some(name) => {
            let same = |column: &ColumnSchema| column.name == name;
            Some(u16::try_from(table.columns.iter().position(same)?).ok()?)
        }
    };
    let part = KeyPart { column, prefix: text(row, 4).and_then(|prefix| prefix.parse().ok()) };
    if key.eq_ignore_ascii_case("PRIMARY") {
        table.primary_key.push(part);
        return Some(());
    }
    let is_nullable = text(row, 5).is_some_and(|word| word == "YES");
    match table.unique_keys.iter_mut().find(|known| *known.name == *key) {
        Some(known) => {
            known.parts.push(part);
            known.is_nullable |= is_nullable;
        }
        None => {
            let parts = vec![part];
            table.unique_keys.push(UniqueSchema { name: key.into(), parts, is_nullable });
        }
    }
    Some(())
}

/// Whether a column without a collation holds strings all the same.
fn is_binary(definition: &str) -> bool {
    let word = definition.split('(').next().unwrap_or_default().to_ascii_lowercase();
    matches!(word.as_str(), "binary" | "varbinary") || word.ends_with("blob")
}
