//! `[[suppress]]` and `[[divergence]]`: what is known and not to be told.

use super::cursor::Cursor;
use super::error::{ConfigError, ValueError};
use super::ownership::Known;
use super::tables::read_patterns;
use crate::model::{FindingKind, NodeIndex};

/// Kinds that findings will have and the model does not know yet.
const LATER_KINDS: [&str; 3] = ["divergence", "ddl_conflict", "missing_copy"];

/// Findings that are counted apart instead of told, up to a date.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Suppression {
    /// The kind's word, as in findings.
    pub kind: String,
    /// Table patterns; empty means all tables, and findings that are about none.
    pub tables: Vec<String>,
    /// Only what this node began; `None` means every origin.
    pub origin: Option<NodeIndex>,
    /// The last day, in UTC, on which it holds.
    pub until: jiff::civil::Date,
    /// Why, for whoever reads the file next.
    pub why: String,
}

/// Reads all suppressions.
pub(super) fn read_suppressions(
    cursor: &Cursor<'_>,
    nodes: Known<'_>,
) -> Result<Vec<Suppression>, ConfigError> {
    let example = "[[suppress]] with two brackets, once for each";
    cursor.list(example)?.iter().map(|element| read_suppression(element, nodes)).collect()
}

fn read_suppression(cursor: &Cursor<'_>, nodes: Known<'_>) -> Result<Suppression, ConfigError> {
    let table = cursor
        .table(&["kind", "tables", "origin", "until", "why"], "[[suppress]], a table for each")?;
    let kinds = FindingKind::ALL.map(FindingKind::as_str);
    let kinds: Vec<(&str, &str)> = kinds.into_iter().chain(LATER_KINDS).map(|k| (k, k)).collect();
    let kind = table.need("kind", r#"the kind of finding, such as kind = "write_conflict""#)?;
    let until = table.need("until", r#"the last day it holds, such as until = "2027-01-31""#)?;
    let until = until
        .text_or_date(r#"a date, such as "2027-01-31""#)
        .and_then(|text| parse_date(&text).map_err(|what| until.place.fail(what)))?;
    let why = table.need("why", r#"why = "a reason for whoever reads this next""#)?;
    let origin = table.get("origin");
    let origin = origin.map(|origin| nodes.find(&origin, origin.text("a node's name")?));
    Ok(Suppression {
        kind: kind.word(&kinds)?.to_owned(),
        tables: table.get("tables").map_or(Ok(Vec::new()), |tables| read_patterns(&tables))?,
        origin: origin.transpose()?,
        until,
        why: why.words("a reason for whoever reads this next")?.to_owned(),
    })
}

fn parse_date(text: &str) -> Result<jiff::civil::Date, ValueError> {
    // jiff would take the date out of a date with a time; nobody should have to guess which day.
    let plain = text.len() == "2027-01-31".len();
    text.parse().ok().filter(|_| plain).ok_or_else(|| {
        let hint = r#"write year-month-day, such as "2027-01-31""#;
        ValueError::new(format!("no date: {text:?}"), hint)
    })
}

/// Table patterns, and the columns that are not compared in them.
type IgnoredColumns = (Vec<String>, Vec<String>);

/// Reads all `[[divergence]]`.
pub(super) fn read_ignored_columns(
    cursor: &Cursor<'_>,
) -> Result<Vec<IgnoredColumns>, ConfigError> {
    let mut ignored = Vec::new();
    for element in cursor.list("[[divergence]] with two brackets, once for each")? {
        let table =
            element.table(&["tables", "ignore_columns"], "[[divergence]], a table for each")?;
        let tables = read_patterns(&table.need("tables", r#"tables = ["schema.table"]"#)?)?;
        let columns = table.need("ignore_columns", r#"ignore_columns = ["COLUMN"]"#)?;
        let columns = columns.list(r#"a list of columns, such as ["updated_at"]"#)?;
        let name = |column: &Cursor<'_>| column.words("a column's name").map(str::to_owned);
        ignored.push((tables, columns.iter().map(name).collect::<Result<_, _>>()?));
    }
    Ok(ignored)
}
