//! Statements logged as text: what they do to transactions and tables.

use crate::model::StatementKind;
use sqlparser::{
    ast::{FromTable, ObjectName, Statement as Sql, TableFactor, TableObject, TableWithJoins},
    dialect::MySqlDialect,
    parser::Parser,
    tokenizer::Token,
};

/// What a query event means for the transaction around it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Meaning {
    /// Opens a transaction.
    Begin,
    /// Ends it for good.
    Commit,
    /// Ends it without effect.
    Rollback,
    /// `XA PREPARE`, `XA COMMIT` or `XA ROLLBACK`: ends a transaction of its own.
    XaEnd,
    /// Neither writes nor ends anything: savepoints, `XA START`, `XA END`.
    Inside,
    /// Does something to rows or tables.
    Work(StatementKind),
}

/// Tells what a query event means.
///
/// The server logs the control statements in fixed spellings, so these are compared as words; only
/// what may write rows is given to a parser.
pub(crate) fn meaning(schema: &str, text: &str) -> Meaning {
    let bare = skip_comments(text);
    let mut words = bare.split(|c: char| c.is_ascii_whitespace() || c == ';' || c == '(');
    let mut word = || words.find(|word| !word.is_empty()).unwrap_or("").to_ascii_uppercase();
    match word().as_str() {
        "BEGIN" => Meaning::Begin,
        "START" => Meaning::Begin,
        "COMMIT" => Meaning::Commit,
        "ROLLBACK" if word() == "TO" => Meaning::Inside,
        "ROLLBACK" => Meaning::Rollback,
        "SAVEPOINT" | "RELEASE" => Meaning::Inside,
        "XA" => match word().as_str() {
            "START" | "BEGIN" | "END" => Meaning::Inside,
            _ => Meaning::XaEnd,
        },
        "INSERT" | "UPDATE" | "DELETE" | "REPLACE" | "LOAD" | "WITH" | "CALL" | "SELECT" => {
            Meaning::Work(StatementKind::Rows(written_tables(schema, bare)))
        }
        "CREATE" if is_create_select(bare) => {
            Meaning::Work(StatementKind::Rows(written_tables(schema, bare)))
        }
        "CREATE" if word() != "OR" => Meaning::Work(StatementKind::Other),
        "GRANT" | "REVOKE" | "FLUSH" | "ANALYZE" | "OPTIMIZE" | "SET" => {
            Meaning::Work(StatementKind::Other)
        }
        _ => Meaning::Work(StatementKind::Definition(Vec::new())),
    }
}

/// `CREATE TABLE ... SELECT` in statement format; in row format its rows follow as row events and
/// MySQL adds `START TRANSACTION`.
fn is_create_select(text: &str) -> bool {
    let mut words = Words(text);
    words.next();
    let mut word = words.next();
    if word.is_some_and(|word| word.eq_ignore_ascii_case("OR")) {
        words.next();
        word = words.next();
    }
    if !word.is_some_and(|word| word.eq_ignore_ascii_case("TABLE")) {
        return false;
    }
    if let Some((Sql::CreateTable(create), true)) = parse(text) {
        return create.query.is_some();
    }
    let (mut select, mut before) = (false, "");
    for word in words {
        if before.eq_ignore_ascii_case("START") && word.eq_ignore_ascii_case("TRANSACTION") {
            return false;
        }
        select |= word.eq_ignore_ascii_case("SELECT");
        before = word;
    }
    select
}

/// The words of a statement outside quotes and comments; the inside of an executable comment is
/// text.
struct Words<'a>(&'a str);

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let in_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        loop {
            self.0 = skip_comments(self.0);
            let first = self.0.chars().next()?;
            let length = match first {
                '\'' | '"' | '`' => quoted_bytes(self.0, first),
                _ if in_word(first) => self.0.find(|c| !in_word(c)).unwrap_or(self.0.len()),
                _ => first.len_utf8(),
            };
            let (word, rest) = self.0.split_at(length);
            self.0 = rest;
            if in_word(first) {
                return Some(word);
            }
        }
    }
}

/// How long the quoted text is that a statement begins with, in bytes. A doubled quote inside
/// reads as two texts.
fn quoted_bytes(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote != '`' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// What the parser makes of a statement, and whether it came to the end of it.
fn parse(text: &str) -> Option<(Sql, bool)> {
    // The parser's recursion is bounded; its input here is as long as an event may be.
    const TEXT_MAX: usize = 1 << 20;
    if text.len() > TEXT_MAX {
        return None;
    }
    let parser = Parser::new(&MySqlDialect {}).with_recursion_limit(50);
    let mut parser = parser.try_with_sql(text).ok()?;
    let statement = parser.parse_statement().ok()?;
    let ended = matches!(parser.peek_token().token, Token::EOF | Token::SemiColon);
    Some((statement, ended))
}

/// The text after comments and opening brackets; the inside of an executable comment is text.
fn skip_comments(mut text: &str) -> &str {
    loop {
        text = text.trim_start_matches(|c: char| c.is_whitespace() || c == '(');
        if let Some(rest) = text.strip_prefix("/*!") {
            text = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        } else if let Some(rest) = text.strip_prefix("/*") {
            text = rest.split_once("*/").map_or("", |(_, after)| after);
        } else if text.starts_with('#') || text.starts_with("-- ") {
            text = text.split_once('\n').map_or("", |(_, after)| after);
        } else {
            return text;
        }
    }
}

/// The tables a statement writes, as (schema, name); empty when they cannot be told.
fn written_tables(schema: &str, text: &str) -> Vec<(String, String)> {
    let Some((statement, _)) = parse(text) else { return load_data_table(schema, text) };
    let mut names: Vec<&ObjectName> = Vec::new();
    match &statement {
        Sql::Insert(insert) => {
            if let TableObject::TableName(name) = &insert.table {
                names.push(name);
            }
        }
        Sql::Update { table, .. } => add_tables(table, &mut names),
        Sql::Delete(delete) if !delete.tables.is_empty() => names.extend(&delete.tables),
        Sql::Delete(delete) => {
            let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
            from.iter().for_each(|table| add_tables(table, &mut names));
        }
        Sql::CreateTable(create) => names.push(&create.name),
        _ => {}
    }
    names.into_iter().filter_map(|name| resolve(schema, name)).collect()
}

fn add_tables<'a>(from: &'a TableWithJoins, names: &mut Vec<&'a ObjectName>) {
    let joined = from.joins.iter().map(|join| &join.relation);
    for factor in std::iter::once(&from.relation).chain(joined) {
        if let TableFactor::Table { name, .. } = factor {
            names.push(name);
        }
    }
}

fn resolve(schema: &str, name: &ObjectName) -> Option<(String, String)> {
    let mut parts = name.0.iter().rev().filter_map(|part| part.as_ident()).map(|i| i.value.clone());
    let table = parts.next()?;
    Some((parts.next().unwrap_or_else(|| schema.to_owned()), table))
}

/// `LOAD DATA ... INTO TABLE name`, which the parser does not know in MySQL's form.
fn load_data_table(schema: &str, text: &str) -> Vec<(String, String)> {
    let upper = text.to_ascii_uppercase();
    let Some(at) = upper.find("INTO TABLE ").filter(|_| upper.starts_with("LOAD")) else {
        return Vec::new();
    };
    let rest = text.get(at + "INTO TABLE ".len()..).unwrap_or("").trim_start();
    let end = rest.find(|c: char| c.is_whitespace() || c == '(' || c == ';').unwrap_or(rest.len());
    let plain = |name: &str| name.trim_matches('`').to_owned();
    match rest[..end].split_once('.') {
        Some((schema, table)) => vec![(plain(schema), plain(table))],
        None => vec![(schema.to_owned(), plain(&rest[..end]))],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<String> {
        match meaning("db", text) {
            Meaning::Work(StatementKind::Rows(tables)) => {
                tables.into_iter().map(|(schema, table)| format!("{schema}.{table}")).collect()
            }
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn tables_of_statements_are_told() {
        assert_eq!(rows("insert into t values (1)"), ["db.t"]);
        assert_eq!(rows("/* app */ REPLACE INTO `x`.`t` SET a=1"), ["x.t"]);
        assert_eq!(rows("update t join u using (id) set t.a=1"), ["db.t", "db.u"]);
        assert_eq!(rows("delete from x.t where id=1"), ["x.t"]);
        assert_eq!(rows("LOAD DATA INFILE 'f' INTO TABLE `t` FIELDS TERMINATED BY ','"), ["db.t"]);
        assert_eq!(rows("insert into t values ((((("), Vec::<String>::new(), "it cannot be told");
    }

    #[test]
    fn tables_made_from_a_query_are_told_from_empty_ones() {
        for text in [
            "CREATE  TABLE t SELECT 1",
            "create table t as select * from u",
            "CREATE OR\tREPLACE TABLE t (a int) SELECT 1 AS a",
            "CREATE TABLE IF NOT EXISTS t (a int) ENGINE=InnoDB IGNORE SELECT 1 AS a",
            "CREATE TABLE t (a int) PARTITION BY HASH (a) PARTITIONS 4 SELECT 1 AS a",
            "CREATE TABLE t /*!50100 select */ 1 from",
        ] {
            let told = meaning("db", text);
            assert!(matches!(told, Meaning::Work(StatementKind::Rows(_))), "{text}: {told:?}");
        }
        for text in [
            "CREATE TABLE u (id int, is_selected tinyint)",
            "CREATE TABLE u (id int COMMENT 'select', `select` int)",
            "CREATE TABLE u (id int COMMENT 'it''s \\' select') NO SENSE /* select */ -- select",
            "CREATE TABLE u (a int) START  TRANSACTION SELECT",
            "CREATE TEMPORARY TABLE u SELECT 1",
            "CREATE VIEW v AS SELECT 1",
        ] {
            assert_eq!(meaning("db", text), Meaning::Work(StatementKind::Other), "{text}");
        }
    }

    #[test]
    fn control_statements_are_told_from_work() {
        for (text, want) in [
            ("BEGIN", Meaning::Begin),
            ("COMMIT", Meaning::Commit),
            ("ROLLBACK", Meaning::Rollback),
            ("ROLLBACK TO `s`", Meaning::Inside),
            ("SAVEPOINT `s`", Meaning::Inside),
            ("XA START X'67',X'',1", Meaning::Inside),
            ("XA COMMIT X'67',X'',1", Meaning::XaEnd),
            ("# Dumb\nCREATE TABLE t (a int)", Meaning::Work(StatementKind::Other)),
            (
                "CREATE OR REPLACE TABLE t (a int)",
                Meaning::Work(StatementKind::Definition(Vec::new())),
            ),
            ("TRUNCATE t", Meaning::Work(StatementKind::Definition(Vec::new()))),
        ] {
            assert_eq!(meaning("db", text), want, "{text}");
        }
    }
}
