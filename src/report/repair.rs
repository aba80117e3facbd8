//! Repair scripts as text and JSON.

use serde_json::{Value, json};
use std::fmt::Write;

/// What makes the masters equal again in the rows of some findings.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Repair {
    /// One for each node that has to change.
    pub scripts: Vec<Script>,
    /// Findings that no script covers, and why.
    pub refused: Vec<Refusal>,
}

/// What is to be run on one node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Script {
    /// The node.
    pub node: String,
    /// The rows that change, in the order of the findings.
    pub rows: Vec<RowRepair>,
}

/// How one row is made equal to the winner's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RowRepair {
    /// The finding's id.
    pub finding: String,
    /// `schema.table`.
    pub table: String,
    /// The key, as JSON.
    pub key: String,
    /// Whose row stays.
    pub winner: String,
    /// Why it is that node's.
    pub why: String,
    /// Where the winner's row was read.
    pub source: String,
    /// False where the logs allow that the row does not differ.
    pub is_certain: bool,
    /// The statements.
    pub statements: Vec<String>,
    /// The winner has no such row.
    pub deletes: bool,
}

/// A finding that is not repaired.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// The finding's id.
    pub finding: String,
    /// `schema.table` and key, where there are such.
    pub row: String,
    /// Why.
    pub reason: String,
}

/// The session in which the literals mean what they say: nothing is logged; text is UTF-8 with
/// backslash escapes, times are in UTC; values that do not fit are errors, 0 is no request for the
/// next number, and dates that the winner holds are taken whatever they are.
const HEAD: &str = "\
SET SESSION sql_log_bin = 0;
SET NAMES utf8mb4;
SET SESSION time_zone = '+00:00';
SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES';
SET SESSION foreign_key_checks = 0;
START TRANSACTION;
";

const TAIL: &str = "
COMMIT;
SET SESSION foreign_key_checks = 1;
SET SESSION sql_log_bin = 1;
";

impl Script {
    /// The script as a file for the server's own client.
    pub fn sql(&self) -> String {
        let node = &self.node;
        let mut text = format!(
            "-- A repair by twinlog. Read it, then run it by hand on {node}, and on no other\n\
             -- node: it makes these rows of {node} what they are on the winner. Nothing of it is\n\
             -- logged, so nothing of it is replicated; the account needs the right to set\n\
             -- sql_log_bin. Stop writes to these rows first: it knows them as the binlogs had\n\
             -- them, and overwrites what came later. Triggers of these tables fire. Foreign keys\n\
             -- are off: rows that refer to a deleted row stay, nothing is cascaded. Where the\n\
             -- server says that a column is generated (3105 or 1906), make it again with\n\
             -- --generated.\n\n"
        );
        text.push_str(HEAD);
        for row in &self.rows {
            let _ = write!(
                text,
                "\n-- finding {}\n-- {} {}\n-- winner {}: {}\n-- its row: {}\n",
                comment(&row.finding),
                comment(&row.table),
                comment(&row.key),
                comment(&row.winner),
                comment(&row.why),
                comment(&row.source)
            );
            if !row.is_certain {
                text.push_str(
                    "-- POSSIBLE: the logs allow that the row does not differ; compare\n",
                );
            }
            for statement in &row.statements {
                let _ = writeln!(text, "{statement}");
            }
        }
        text.push_str(TAIL);
        text
    }
}

/// Text that stays in its comment, and that no terminal obeys.
fn comment(text: &str) -> String {
    let is_break = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    text.chars().map(|c| if is_break(c) { '\u{fffd}' } else { c }).collect()
}

impl Repair {
    /// All scripts one after the other, with the refusals as comments at the end.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for script in &self.scripts {
            let _ = writeln!(text, "-- ===== for node {} =====", script.node);
            text.push_str(&script.sql());
            text.push('\n');
        }
        if !self.refused.is_empty() {
            let _ = writeln!(text, "-- ===== not repaired =====");
        }
        for refused in &self.refused {
            let reason = refused.reason.lines().map(comment).collect::<Vec<_>>().join("\n--   ");
            let _ = writeln!(
                text,
                "-- finding {}: {}\n--   {reason}",
                comment(&refused.finding),
                comment(&refused.row)
            );
        }
        text
    }

    /// The scripts and refusals as one JSON object.
    pub fn to_json(&self) -> Value {
        let row = |row: &RowRepair| {
            json!({
                "finding": row.finding,
                "table": row.table,
                "key": serde_json::from_str::<Value>(&row.key).unwrap_or(Value::Null),
                "winner": row.winner,
                "why": row.why,
                "source": row.source,
                "certainty": if row.is_certain { "exact" } else { "possible" },
                "statements": row.statements,
            })
        };
        let scripts = self.scripts.iter().map(|script| {
            let rows: Vec<Value> = script.rows.iter().map(row).collect();
            json!({"node": script.node, "sql": script.sql(), "rows": rows})
        });
        let refused = self.refused.iter().map(|refused| {
            json!({"finding": refused.finding, "row": refused.row, "reason": refused.reason})
        });
        json!({
            "scripts": scripts.collect::<Vec<_>>(),
            "refused": refused.collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_cannot_become_a_statement() {
        let row = RowRepair {
            finding: "0123".into(),
            table: "s.t\nDROP TABLE x;".into(),
            key: "{\"id\":1}".into(),
            winner: "a".into(),
            why: "--winner".into(),
            source: "a-bin.000001:4".into(),
            is_certain: true,
            statements: vec!["DELETE FROM `s`.`t` WHERE `id` = 1;".into()],
            deletes: false,
        };
        let script = Script { node: "b".into(), rows: vec![row] };
        let refused = Refusal { finding: "4".into(), row: "s.t".into(), reason: "x\ny\r;".into() };
        let repair = Repair { scripts: vec![script], refused: vec![refused] };
        let statements: Vec<String> = repair
            .text()
            .lines()
            .filter(|line| !line.starts_with("--") && !line.is_empty())
            .map(str::to_owned)
            .collect();
        assert_eq!(statements.len(), 6 + 1 + 3, "{statements:#?}");
        assert_eq!(statements[0], "SET SESSION sql_log_bin = 0;");
        assert_eq!(statements[9], "SET SESSION sql_log_bin = 1;");
    }
}
