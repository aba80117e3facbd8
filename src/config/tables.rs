//! Table patterns: globs over `schema.table`.

use super::cursor::Cursor;
use super::error::{ConfigError, ValueError};
use globset::{Glob, GlobBuilder};

const EXAMPLE: &str = r#"a list of table patterns, such as ["shop.orders", "crm.*"]"#;

/// Compiles a table pattern, to be matched against `schema.table` as one text.
///
/// `*` stands for any number of characters, dots too; `?` for one; `[ab]` for one of these;
/// `{x,y}` for either; `\` takes the next character as it is. Upper and lower case differ.
///
/// # Errors
/// A pattern that is no glob, or that leaves out the schema or the table.
pub fn table_pattern(pattern: &str) -> Result<Glob, ValueError> {
    if pattern.trim() != pattern {
        let message = format!("{pattern:?} begins or ends with white space");
        return Err(ValueError::new(message, format!("write {:?}", pattern.trim())));
    }
    match pattern.split_once('.') {
        Some(("", _)) | Some((_, "")) | None => {
            let message = format!("{pattern:?} is no pattern for schema.table");
            return Err(ValueError::new(message, missing_part(pattern)));
        }
        Some(_) => {}
    }
    GlobBuilder::new(pattern).backslash_escape(true).build().map_err(|error| {
        let hint = r"use *, ?, [ab] and {x,y}; \ before one of these takes it as it is";
        ValueError::new(format!("{pattern:?} is no glob: {}", error.kind()), hint)
    })
}

/// What to write instead of a pattern that has only one part.
fn missing_part(pattern: &str) -> String {
    match pattern.trim_matches('.') {
        "" | "*" => r#"write schema.table; all tables are "*.*""#.into(),
        name if name.chars().all(|c| c.is_alphanumeric() || c == '_') => {
            format!(r#"write schema.table, such as "{name}.*" or "*.{name}""#)
        }
        _ => r#"write schema.table, such as "shop.orders" or "crm.*""#.into(),
    }
}

/// Reads the list under `tables`.
pub(super) fn read_patterns(cursor: &Cursor<'_>) -> Result<Vec<String>, ConfigError> {
    let mut patterns: Vec<String> = Vec::new();
    for element in cursor.list(EXAMPLE)? {
        let glob = element.parsed(r#"a table pattern, such as "crm.*""#, table_pattern)?;
        if patterns.iter().any(|p| p == glob.glob()) {
            let message = format!("{:?} is listed twice", glob.glob());
            return Err(element.place.error(message, "list each pattern once"));
        }
        patterns.push(glob.glob().to_owned());
    }
    Ok(patterns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_schema_and_table_as_one_text() {
        let matches = |pattern: &str, table: &str| {
            table_pattern(pattern).unwrap().compile_matcher().is_match(table)
        };
        assert!(matches("crm.a_*", "crm.a_orders"));
        assert!(matches("crm.*", "crm.odd.name"));
        assert!(matches("*.*", "crm.path/like"));
        assert!(matches("{crm,shop}.t?", "shop.t1"));
        assert!(matches(r"crm.\*", "crm.*"));
        assert!(!matches(r"crm.\*", "crm.x"));
        assert!(!matches("crm.a_*", "CRM.a_orders"));
        assert!(!matches("crm.a_*", "xcrm.a_orders"));
    }
}
