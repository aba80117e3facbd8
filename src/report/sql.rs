//! Statements that make a row what an image says, for a person to run by hand. Nothing here, or
//! anywhere in twinlog, runs them.

use super::terminal::{clean, is_odd};
use crate::binlog::{
    evidence::{Cell, TableFacts},
    value::Value,
};
use std::fmt::Write;

/// What a row is to become.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum RowWanted<'a> {
    /// There is to be no such row.
    Absent,
    /// The row is to have these values, a cell a column.
    Present(&'a [Cell]),
}

/// The statements that make one row what is wanted, whatever it is now.
///
/// # Input
/// `key` are the places of the key's columns, and `key_cells` an image that has their values;
/// `generated` are columns that the server computes by itself: they are left out.
///
/// # Output
/// A DELETE; or an UPDATE and an INSERT that does nothing where there is such a row. Not a REPLACE
/// nor an ON DUPLICATE KEY UPDATE: where another row has a value of a unique key, these would
/// delete or change that one, and these fail.
///
/// # Errors
/// Why the row cannot be made exactly so, for a person; names no value.
pub fn row_statements(
    of: &TableFacts,
    key: &[usize],
    key_cells: &[Cell],
    wanted: RowWanted<'_>,
    generated: &[String],
) -> Result<Vec<String>, String> {
    let table = format!("{}.{}", identifier(&of.table.schema)?, identifier(&of.table.name)?);
    let mut terms = Vec::new();
    for column in key {
        let cell = key_cells.get(*column).unwrap_or(&Cell::NotLogged);
        terms.push(format!("{} = {}", name(of, *column)?, key_literal(of, *column, cell)?));
    }
    if terms.is_empty() {
        return Err("the finding names no key".to_owned());
    }
    let row = terms.join(" AND ");
    let RowWanted::Present(cells) = wanted else {
        return Ok(vec![format!("DELETE FROM {table} WHERE {row};")]);
    };
    let (mut names, mut literals) = (Vec::new(), Vec::new());
    for (column, cell) in cells.iter().enumerate() {
        if generated.iter().any(|name| name.eq_ignore_ascii_case(&of.name(column))) {
            continue;
        }
        names.push(name(of, column)?);
        literals.push(literal(of, column, cell)?);
    }
    let sets = names.iter().zip(&literals).map(|(name, literal)| format!("{name} = {literal}"));
    let sets = sets.collect::<Vec<_>>().join(", ");
    let (names, literals) = (names.join(", "), literals.join(", "));
    Ok(vec![
        format!("UPDATE {table} SET {sets} WHERE {row};"),
        format!(
            "INSERT INTO {table} ({names}) SELECT {literals} FROM DUAL\n  WHERE NOT EXISTS (SELECT \
             1 FROM {table} WHERE {row});"
        ),
    ])
}

/// A name in backticks, for which there is no other notation.
fn identifier(name: &str) -> Result<String, String> {
    match name.chars().any(is_odd) {
        true => Err(format!("the name {} holds control characters", clean(name))),
        false => Ok(format!("`{}`", name.replace('`', "``"))),
    }
}

fn name(of: &TableFacts, column: usize) -> Result<String, String> {
    match of.table.columns.get(column).and_then(|column| column.name.as_deref()) {
        Some(name) => identifier(name),
        None => Err("the log does not name the columns (binlog_row_metadata=FULL does)".to_owned()),
    }
}

/// A value so that the server stores it exactly, under the session's settings of
/// [`super::Repair`].
fn literal(of: &TableFacts, column: usize, cell: &Cell) -> Result<String, String> {
    let refuse = |why: &str| Err(format!("column {}: {why}", of.name(column)));
    Ok(match cell {
        Cell::NotLogged => {
            return refuse("the image leaves it out (binlog_row_image=FULL does not)");
        }
        Cell::Undecoded(_) => return refuse("the log holds what is no value of its type"),
        Cell::Json(json) if !json.is_exact => {
            return refuse(
                "its JSON holds SQL values, such as a DECIMAL or a date, that JSON text cannot \
                 express",
            );
        }
        Cell::Json(json) => format!("CAST({} AS JSON)", text(&json.text)),
        Cell::Null | Cell::Value(Value::Null) => "NULL".to_owned(),
        // A string of bytes goes into a column of text as it is.
        Cell::Recoded(_, bytes) => hex(bytes),
        Cell::Value(Value::Enum(0)) => {
            return refuse("it holds the empty value of an ENUM, which is none of its labels");
        }
        Cell::Value(value @ (Value::Enum(_) | Value::Set(_))) => match of.label(column, value) {
            Some(label) => text(&label),
            None => value.to_json().to_string(),
        },
        Cell::Value(value) => plain_literal(value),
    })
}

/// A key's value, to be compared with the column: text in the column's own collation, so that an
/// index serves.
fn key_literal(of: &TableFacts, column: usize, cell: &Cell) -> Result<String, String> {
    match cell {
        Cell::Recoded(value, _) => Ok(text(value)),
        cell => literal(of, column, cell),
    }
}

fn plain_literal(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Int(number) => number.to_string(),
        Value::UInt(number) | Value::Set(number) => number.to_string(),
        Value::Year(number) | Value::Enum(number) => number.to_string(),
        // A literal is a DOUBLE: the one next to a FLOAT's shortest digits is not the FLOAT, and
        // no row would be found by it.
        Value::Float(number) => format!("{:e}", f64::from(*number)),
        Value::Double(number) => format!("{number:e}"),
        Value::Decimal(digits) => digits.clone(),
        Value::Time(shown) => text(shown),
        Value::Bit { value, .. } => format!("b'{value:b}'"),
        Value::Text(value) => text(value),
        Value::Bytes(bytes) => hex(bytes),
    }
}

/// Text in quotes; in hex where it holds characters that a terminal, or a client on the way, might
/// take for something else.
fn text(value: &str) -> String {
    let odd = |c: char| is_odd(c) && !matches!(c, '\n' | '\r' | '\t');
    if value.chars().any(odd) {
        return format!("_utf8mb4 {}", hex(value.as_bytes()));
    }
    let mut quoted = String::with_capacity(value.len() + 2);
    quoted.push('\'');
    for character in value.chars() {
        match character {
            '\'' => quoted.push_str("''"),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            other => quoted.push(other),
        }
    }
    quoted.push('\'');
    quoted
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2 + 3);
    text.push_str("X'");
    for byte in bytes {
        let _ = write!(text, "{byte:02X}");
    }
    text.push('\'');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        binlog::evidence::{ColumnFacts, JsonText},
        model::{Column, ColumnType, Table, TableId},
    };
    use std::sync::Arc;

    fn facts(names: &[Option<&str>]) -> TableFacts {
        let column = |name: &Option<&str>| Column {
            name: name.map(str::to_owned),
            kind: ColumnType::Int { bytes: 8, unsigned: false },
        };
        let table = Table {
            id: TableId(0),
            schema: "s".into(),
            name: "a`b".into(),
            columns: names.iter().map(column).collect(),
            primary_key: vec![0],
            unique_keys: Vec::new(),
            shape: 0,
        };
        let labels = vec!["x".to_owned(), "it's".to_owned()];
        let column = ColumnFacts { labels, is_compressed: false };
        TableFacts { table: Arc::new(table), columns: vec![column; names.len()] }
    }

    #[test]
    fn a_row_is_updated_or_inserted_and_no_other_row_touched() {
        let facts = facts(&[Some("id"), Some("v"), Some("g")]);
        let cells = [
            Cell::Value(Value::Int(-7)),
            Cell::Value(Value::Text("it's \\ a\nline".into())),
            Cell::Null,
        ];
        let made = row_statements(&facts, &[0], &cells, RowWanted::Present(&cells), &["G".into()])
            .unwrap();
        assert_eq!(
            made,
            [
                "UPDATE `s`.`a``b` SET `id` = -7, `v` = 'it''s \\\\ a\\nline' WHERE `id` = -7;",
                "INSERT INTO `s`.`a``b` (`id`, `v`) SELECT -7, 'it''s \\\\ a\\nline' FROM DUAL\n  \
                 WHERE NOT EXISTS (SELECT 1 FROM `s`.`a``b` WHERE `id` = -7);",
            ]
        );
        let gone = row_statements(&facts, &[0], &cells, RowWanted::Absent, &[]).unwrap();
        assert_eq!(gone, ["DELETE FROM `s`.`a``b` WHERE `id` = -7;"]);
    }

    #[test]
    fn literals_are_exact() {
        let facts = facts(&[Some("id")]);
        for (cell, expected) in [
            (Cell::Value(Value::UInt(u64::MAX)), "18446744073709551615"),
            (Cell::Value(Value::Float(0.1)), "1.0000000149011612e-1"),
            (Cell::Value(Value::Double(-0.1)), "-1e-1"),
            (Cell::Value(Value::Decimal("-0.50".into())), "-0.50"),
            (Cell::Value(Value::Bit { bits: 10, value: 5 }), "b'101'"),
            (Cell::Value(Value::Enum(2)), "'it''s'"),
            (Cell::Value(Value::Enum(9)), "9"),
            (Cell::Value(Value::Set(0)), "''"),
            (Cell::Value(Value::Set(3)), "'x,it''s'"),
            (Cell::Value(Value::Bytes(vec![])), "X''"),
            (Cell::Recoded("é".into(), vec![0xe9]), "X'E9'"),
            (Cell::Value(Value::Text("\u{1b}[2J".into())), "_utf8mb4 X'1B5B324A'"),
            (Cell::Json(JsonText { text: "{}".into(), is_exact: true }), "CAST('{}' AS JSON)"),
        ] {
            assert_eq!(literal(&facts, 0, &cell).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn what_cannot_be_made_exactly_is_refused() {
        let named = facts(&[Some("id")]);
        let inexact = JsonText { text: "1.50".into(), is_exact: false };
        for cell in [
            Cell::NotLogged,
            Cell::Undecoded(vec![1]),
            Cell::Value(Value::Enum(0)),
            Cell::Json(inexact),
        ] {
            assert!(literal(&named, 0, &cell).unwrap_err().starts_with("column id: "));
        }
        let unnamed = facts(&[None]);
        let cells = [Cell::Value(Value::Int(1))];
        assert!(row_statements(&unnamed, &[0], &cells, RowWanted::Absent, &[]).is_err());
        assert!(row_statements(&named, &[], &cells, RowWanted::Absent, &[]).is_err());
        let odd = facts(&[Some("\u{9b}2J")]);
        let refused = row_statements(&odd, &[0], &cells, RowWanted::Absent, &[]).unwrap_err();
        assert!(refused.contains("\\u{9b}2J"), "{refused}");
    }
}
