//! Schema files: keys and columns of tables, as `twinlog schema` writes them and `scan --schema`
//! reads them.

use super::error::{ConfigError, ValueError};
use crate::model::{ColumnSchema, KeyPart, TableSchema, TableSchemas, UniqueSchema};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

/// The version of the format that is written, and the newest that is read.
pub const SCHEMA_VERSION: u64 = 1;

/// Unique keys of a table at most; servers allow 64.
const UNIQUE_KEYS_MAX: usize = 1024;

/// What several servers know of their tables.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SchemaFile {
    /// By the nodes' names.
    pub nodes: BTreeMap<String, TableSchemas>,
}

/// What every version has.
#[derive(Deserialize)]
struct Head {
    twinlog_schema: u64,
}

/// A file as it is written: a table once for all nodes that define it alike.
#[derive(Serialize, Deserialize)]
struct File {
    twinlog_schema: u64,
    nodes: Vec<String>,
    differ: Vec<String>,
    tables: Vec<TableEntry>,
}

#[derive(Serialize, Deserialize)]
struct TableEntry {
    table: String,
    nodes: Vec<String>,
    columns: Vec<ColumnEntry>,
    primary_key: Vec<PartEntry>,
    unique_keys: Vec<UniqueEntry>,
}

#[derive(Serialize, Deserialize)]
struct ColumnEntry {
    name: String,
    definition: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    collation: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    collation_id: Option<u16>,
}

#[derive(Serialize, Deserialize)]
struct PartEntry {
    column: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prefix: Option<u32>,
}

#[derive(Serialize, Deserialize)]
struct UniqueEntry {
    name: String,
    nullable: bool,
    columns: Vec<PartEntry>,
}

impl SchemaFile {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// A file that cannot be read, and all that [`SchemaFile::parse`] refuses.
    pub fn load(path: &Path) -> Result<SchemaFile, ConfigError> {
        let origin = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError {
            place: origin.clone(),
            message: format!("cannot be read: {error}"),
            hint: Some(WRITE.to_owned()),
        })?;
        SchemaFile::parse(&text, &origin)
    }

    /// Checks the text of a file; `origin` is its name in messages.
    ///
    /// # Errors
    /// What is no schema file, is of a later version, or contradicts itself. Never panics, and
    /// allocates no more than a few times the text's length.
    pub fn parse(text: &str, origin: &str) -> Result<SchemaFile, ConfigError> {
        let wrong = |what: String| ConfigError::new(origin, ValueError::new(what, WRITE));
        let head: Head = serde_json::from_str(text)
            .map_err(|error| wrong(format!("this is no schema file: {error}")))?;
        if head.twinlog_schema != SCHEMA_VERSION {
            return Err(wrong(format!(
                "schema version {}, and this twinlog reads version {SCHEMA_VERSION}",
                head.twinlog_schema
            )));
        }
        let file: File = serde_json::from_str(text)
            .map_err(|error| wrong(format!("this is no whole schema file: {error}")))?;
        let mut schema = SchemaFile::default();
        for node in file.nodes {
            schema.nodes.insert(node, TableSchemas::new());
        }
        for entry in file.tables {
            let (name, nodes) = (entry.table.clone(), entry.nodes.clone());
            let table = entry.read().map_err(|what| wrong(format!("table {name}: {what}")))?;
            let table = Arc::new(table);
            for node in nodes {
                let Some(tables) = schema.nodes.get_mut(&node) else {
                    return Err(wrong(format!("table {name}: node {node:?} is not in \"nodes\"")));
                };
                if tables.insert(name.clone(), table.clone()).is_some() {
                    return Err(wrong(format!("table {name}: it is there twice for node {node}")));
                }
            }
        }
        Ok(schema)
    }

    /// The text of a file; a table once for all nodes that define it alike.
    pub fn to_json(&self) -> String {
        let mut tables = Vec::new();
        for name in self.names() {
            let mut alike: Vec<(&Arc<TableSchema>, Vec<String>)> = Vec::new();
            for (node, table) in self.nodes.iter().filter_map(|(n, t)| Some((n, t.get(name)?))) {
                match alike.iter_mut().find(|(known, _)| *known == table) {
                    Some((_, nodes)) => nodes.push(node.clone()),
                    None => alike.push((table, vec![node.clone()])),
                }
            }
            let entries = alike.into_iter();
            tables.extend(entries.map(|(table, nodes)| TableEntry::new(name, nodes, table)));
        }
        let file = File {
            twinlog_schema: SCHEMA_VERSION,
            nodes: self.nodes.keys().cloned().collect(),
            differ: self.differing().map(str::to_owned).collect(),
            tables,
        };
        serde_json::to_string_pretty(&file).expect("names and numbers become JSON")
    }

    /// Tables that the nodes which have them define in several ways.
    pub fn differing(&self) -> impl Iterator<Item = &str> {
        self.names().into_iter().filter(|name| self.agreed(name).is_none())
    }

    /// What a node knows of its tables; of a node that the file does not name, what all nodes that
    /// it names agree on.
    pub fn tables_of(&self, node: &str) -> TableSchemas {
        let agreed = || {
            let names = self.names().into_iter();
            let agreed = names.filter_map(|name| Some((name.to_owned(), self.agreed(name)?)));
            agreed.collect()
        };
        self.nodes.get(node).cloned().unwrap_or_else(agreed)
    }

    fn names(&self) -> BTreeSet<&str> {
        self.nodes.values().flat_map(|tables| tables.keys().map(String::as_str)).collect()
    }

    /// The one way in which all nodes that have a table define it.
    fn agreed(&self, name: &str) -> Option<Arc<TableSchema>> {
        let mut all = self.nodes.values().filter_map(|tables| tables.get(name));
        let first = all.next()?;
        all.all(|table| table == first).then(|| first.clone())
    }
}

const WRITE: &str = "write it with: twinlog schema --config FILE > schema.json";

impl TableEntry {
    fn new(name: &str, nodes: Vec<String>, table: &TableSchema) -> Self {
        let column = |column: &ColumnSchema| ColumnEntry {
            name: column.name.clone(),
            definition: column.definition.clone(),
            collation: column.collation.clone(),
            collation_id: column.collation_id,
        };
        let part = |part: &KeyPart| PartEntry {
            column: part.column.map(|at| table.columns[usize::from(at)].name.clone()),
            prefix: part.prefix,
        };
        let unique = |key: &UniqueSchema| UniqueEntry {
            name: key.name.to_string(),
            nullable: key.is_nullable,
            columns: key.parts.iter().map(part).collect(),
        };
        TableEntry {
            table: name.to_owned(),
            nodes,
            columns: table.columns.iter().map(column).collect(),
            primary_key: table.primary_key.iter().map(part).collect(),
            unique_keys: table.unique_keys.iter().map(unique).collect(),
        }
    }

    fn read(self) -> Result<TableSchema, String> {
        let places: BTreeMap<&str, usize> = self
            .columns
            .iter()
            .enumerate()
            .map(|(at, column)| (column.name.as_str(), at))
            .collect();
        if places.len() < self.columns.len() {
            return Err("two columns have one name".to_owned());
        }
        if self.unique_keys.len() > UNIQUE_KEYS_MAX {
            return Err(format!("more than {UNIQUE_KEYS_MAX} unique keys"));
        }
        let part = |part: &PartEntry| {
            let column = match &part.column {
                None => None,
                Some(name) => {
                    let place = places.get(name.as_str()).and_then(|at| u16::try_from(*at).ok());
                    Some(place.ok_or_else(|| format!("a key names {name:?}, which is no column"))?)
                }
            };
            Ok(KeyPart { column, prefix: part.prefix })
        };
        let parts = |entries: &[PartEntry]| entries.iter().map(part).collect::<Result<_, String>>();
        let primary_key = parts(&self.primary_key)?;
        let unique = |key: &UniqueEntry| match key.columns.is_empty() {
            true => Err(format!("unique key {} has no columns", key.name)),
            false => Ok(UniqueSchema {
                name: key.name.as_str().into(),
                parts: parts(&key.columns)?,
                is_nullable: key.nullable,
            }),
        };
        let unique_keys = self.unique_keys.iter().map(unique).collect::<Result<_, _>>()?;
        let column = |column: ColumnEntry| ColumnSchema {
            name: column.name,
            definition: column.definition,
            collation: column.collation,
            collation_id: column.collation_id,
        };
        let columns = self.columns.into_iter().map(column).collect();
        Ok(TableSchema { columns, primary_key, unique_keys })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(key: &str) -> Arc<TableSchema> {
        let column = |name: &str, definition: &str| ColumnSchema {
            name: name.into(),
            definition: definition.into(),
            collation: Some("latin1_swedish_ci".into()),
            collation_id: Some(8),
        };
        let part = |column, prefix| KeyPart { column, prefix };
        Arc::new(TableSchema {
            columns: vec![column("id", "char(3)"), column("v", "varchar(20)")],
            primary_key: vec![part(Some(0), None)],
            unique_keys: vec![
                UniqueSchema {
                    name: key.into(),
                    parts: vec![part(Some(1), Some(10)), part(Some(0), None)],
                    is_nullable: true,
                },
                UniqueSchema {
                    name: "e".into(),
                    parts: vec![part(None, None)],
                    is_nullable: false,
                },
            ],
        })
    }

    #[test]
    fn what_is_written_is_read_and_nodes_that_differ_are_told_apart() {
        let mut schema = SchemaFile::default();
        for (node, key) in [("a", "u"), ("b", "u"), ("c", "w")] {
            let tables = schema.nodes.entry(node.into()).or_default();
            tables.insert("s.t".into(), table(key));
            tables.insert("s.same".into(), table("x"));
        }
        schema.nodes.insert("empty".into(), TableSchemas::new());
        let text = schema.to_json();
        assert_eq!(SchemaFile::parse(&text, "f").expect("it is one"), schema);
        assert_eq!(schema.differing().collect::<Vec<_>>(), ["s.t"]);
        assert_eq!(text.matches("\"table\": \"s.t\"").count(), 2);
        assert_eq!(text.matches("\"table\": \"s.same\"").count(), 1);
        assert_eq!(schema.tables_of("c")["s.t"], table("w"));
        let of_stranger = schema.tables_of("d");
        assert_eq!(of_stranger.keys().collect::<Vec<_>>(), ["s.same"]);
        for end in 0..text.len() {
            SchemaFile::parse(&text[..end], "f").expect_err("it is cut off");
        }
    }

    #[test]
    fn what_is_no_schema_is_refused_with_what_to_do() {
        let with = |tables: &str| {
            let head = r#""twinlog_schema":1,"nodes":["a"],"differ":[]"#;
            format!("{{{head},\"tables\":[{tables}]}}")
        };
        let entry = |nodes: &str, columns: &str, unique: &str| {
            format!(
                r#"{{"table":"s.t","nodes":[{nodes}],"columns":[{columns}],"primary_key":[],
                "unique_keys":[{unique}]}}"#
            )
        };
        let id = r#"{"name":"id","definition":"int"}"#;
        let key =
            |columns: &str| format!(r#"{{"name":"u","nullable":false,"columns":[{columns}]}}"#);
        for (text, what) in [
            ("[nodes.a]".to_owned(), "no schema file"),
            ("{}".to_owned(), "no schema file"),
            (r#"{"twinlog_schema":2}"#.to_owned(), "reads version 1"),
            (r#"{"twinlog_schema":1}"#.to_owned(), "no whole schema file"),
            (with(&entry(r#""b""#, id, "")), "\"b\" is not in"),
            (with(&entry(r#""a","a""#, id, "")), "there twice"),
            (with(&entry(r#""a""#, &format!("{id},{id}"), "")), "one name"),
            (with(&entry(r#""a""#, id, &key(r#"{"column":"x"}"#))), "no column"),
            (with(&entry(r#""a""#, id, &key(""))), "has no columns"),
        ] {
            let error = SchemaFile::parse(&text, "file.json").expect_err(&text).to_string();
            assert!(error.contains(what) && error.contains("file.json"), "{text}: {error}");
            assert!(error.contains("hint: write it with"), "{error}");
        }
        assert!(SchemaFile::parse(&with(&entry(r#""a""#, id, "")), "f").is_ok());
    }
}
