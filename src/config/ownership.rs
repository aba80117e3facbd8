//! `[[ownership]]`: who may write which table, or which rows of it.

use super::NodeConfig;
use super::cursor::{Cursor, Section, one_of};
use super::error::ConfigError;
use super::rows::read_rows;
use super::tables::read_patterns;
use crate::model::{NodeIndex, Operation, OwnershipRule, RuleBody};

const KEYS: [&str; 5] = ["tables", "owner", "rows", "class", "operations"];

/// The nodes that rules may name.
#[derive(Clone, Copy)]
pub(super) struct Known<'n>(pub(super) &'n [NodeConfig]);

impl Known<'_> {
    /// The node of a name that stands at a cursor.
    pub(super) fn find(self, cursor: &Cursor<'_>, name: &str) -> Result<NodeIndex, ConfigError> {
        let place = self.0.iter().position(|node| node.name == name);
        place.map(|place| NodeIndex(place as u8)).ok_or_else(|| {
            let names: Vec<&str> = self.0.iter().map(|node| node.name.as_str()).collect();
            let hint = match names.as_slice() {
                [] => "there are no nodes yet; add [nodes.NAME] for each".into(),
                names => format!("write {}, or add [nodes.{name}]", one_of(names)),
            };
            cursor.place.error(format!("no node is called {name:?}"), hint)
        })
    }
}

/// Reads all rules, in the order of the file.
pub(super) fn read_rules(
    cursor: &Cursor<'_>,
    nodes: Known<'_>,
) -> Result<Vec<OwnershipRule>, ConfigError> {
    let mut rules: Vec<OwnershipRule> = Vec::new();
    for element in cursor.list("[[ownership]] with two brackets, once for each rule")? {
        let table = element.table(&KEYS, "[[ownership]], a table for each rule")?;
        let rule = read_rule(&table, nodes)?;
        refuse_unreachable(&table, &rule, &rules)?;
        rules.push(rule);
    }
    Ok(rules)
}

/// Refuses a pattern that an earlier rule has: the first rule decides, so this one never would.
fn refuse_unreachable(
    table: &Section<'_>,
    rule: &OwnershipRule,
    earlier: &[OwnershipRule],
) -> Result<(), ConfigError> {
    for (number, other) in (1..).zip(earlier) {
        if let Some(pattern) = rule.tables.iter().find(|pattern| other.tables.contains(pattern)) {
            let message = format!("{pattern:?} is in ownership[{number}].tables already");
            let hint = "the first rule whose tables match decides; keep one of the two";
            return Err(table.need("tables", "tables")?.place.error(message, hint));
        }
    }
    Ok(())
}

fn read_rule(table: &Section<'_>, nodes: Known<'_>) -> Result<OwnershipRule, ConfigError> {
    let tables = read_patterns(&table.need("tables", r#"tables = ["schema.table"]"#)?)?;
    let bodies = [table.get("owner"), table.get("rows"), table.get("class")];
    let body = match bodies {
        [Some(owner), None, None] => RuleBody::Owners(read_owners(&owner, nodes)?),
        [None, Some(rows), None] => RuleBody::Rows(read_rows(&rows, nodes)?),
        [None, None, Some(class)] => {
            class.word(&[("local", RuleBody::Local), ("shared", RuleBody::Shared)])?
        }
        bodies => return Err(not_one_body(table, &bodies)),
    };
    let operations = table.get("operations");
    if let (Some(operations), RuleBody::Shared) = (&operations, &body) {
        let hint = r#"class = "shared" allows all operations; take operations out"#;
        return Err(operations.place.error("there is nothing to check", hint));
    }
    let operations = operations.map(|cursor| read_operations(&cursor)).transpose()?;
    Ok(OwnershipRule { tables, body, operations: operations.unwrap_or_default() })
}

fn not_one_body(table: &Section<'_>, bodies: &[Option<Cursor<'_>>]) -> ConfigError {
    let there: Vec<&str> = ["owner", "rows", "class"]
        .into_iter()
        .zip(bodies)
        .filter_map(|(key, body)| body.as_ref().map(|_| key))
        .collect();
    match there.as_slice() {
        [] => table.place.error(
            "does not say who owns its tables",
            r#"add one of: owner = "NODE", rows = { ... }, class = "local" or "shared""#,
        ),
        keys => table.place.error(
            format!("says it twice: {}", keys.join(" and ")),
            "keep exactly one of owner, rows and class",
        ),
    }
}

fn read_owners(cursor: &Cursor<'_>, nodes: Known<'_>) -> Result<Vec<NodeIndex>, ConfigError> {
    let example = r#"a node's name or a list of them, such as "a" or ["a", "b"]"#;
    let mut owners = Vec::new();
    for element in cursor.one_or_more(example)? {
        let name = element.text(example)?;
        let owner = nodes.find(&element, name)?;
        if owners.contains(&owner) {
            return Err(element.place.error(format!("{name:?} is listed twice"), "list it once"));
        }
        owners.push(owner);
    }
    Ok(owners)
}

fn read_operations(cursor: &Cursor<'_>) -> Result<Vec<Operation>, ConfigError> {
    let words = [
        ("insert", Operation::Insert),
        ("update", Operation::Update),
        ("delete", Operation::Delete),
    ];
    let mut operations = Vec::new();
    let example = r#"a list of "insert", "update" and "delete"; left out, all are checked"#;
    for element in cursor.list(example)? {
        let operation = element.word(&words)?;
        if operations.contains(&operation) {
            let message = format!("{:?} is listed twice", operation.as_str());
            return Err(element.place.error(message, "list it once"));
        }
        operations.push(operation);
    }
    Ok(operations)
}
