//! Statements logged as text: what they do to transactions and tables.

use super::{
    definition::definitions,
    words::{self, Token, Tokens},
    xa::xa_step,
};
use crate::model::{StatementKind, XaStep};
use sqlparser::{
    ast::{FromTable, ObjectName, Statement as Sql, TableFactor, TableWithJoins},
    dialect::MySqlDialect,
    keywords::Keyword,
    parser::Parser,
    tokenizer::{Token as SqlToken, Tokenizer},
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
    /// `XA COMMIT` or `XA ROLLBACK` of what was prepared: a transaction of its own. `None` where
    /// its name cannot be read.
    Xa(Option<XaStep>),
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
    meaning_of(schema, text, false)
}

/// [`meaning`]; `has_settings` of what follows `SET STATEMENT`, which cannot stand there again.
fn meaning_of(schema: &str, text: &str, has_settings: bool) -> Meaning {
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
            step => Meaning::Xa(xa_step(step, bare)),
        },
        "INSERT" | "UPDATE" | "DELETE" | "REPLACE" | "LOAD" | "WITH" | "CALL" | "SELECT" | "DO" => {
            Meaning::Work(StatementKind::Rows(written_tables(schema, bare)))
        }
        "CREATE" if is_create_select(bare) => {
            Meaning::Work(StatementKind::Rows(written_tables(schema, bare)))
        }
        "SET" if word() == "STATEMENT" => match after_settings(bare).filter(|_| !has_settings) {
            Some(statement) => meaning_of(schema, statement, true),
            None => Meaning::Work(StatementKind::Definition(Vec::new())),
        },
        _ => Meaning::Work(definitions(schema, bare)),
    }
}

/// The statement in MariaDB's `SET STATEMENT name = value, ... FOR statement`.
fn after_settings(text: &str) -> Option<&str> {
    let mut tokens = Tokens(text);
    tokens.find(|token| token.is("FOR"))?;
    Some(tokens.0)
}

/// `CREATE TABLE ... SELECT` in statement format; in row format its rows follow as row events and
/// MySQL adds `START TRANSACTION`.
fn is_create_select(text: &str) -> bool {
    let mut words = Tokens(text).filter_map(|token| match token {
        Token::Word(word) => Some(word),
        _ => None,
    });
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

/// What the parser makes of a statement, and whether it came to the end of it; `None` also for one
/// that is too long for it.
///
/// The parser bounds its own recursion, but not its output's: each operator of a chain such as
/// `a OR b OR c` is a level of it, and a hundred thousand levels overflow the stack when they are
/// freed. Each `INTERVAL` before another doubles the time that it takes (both measured on 0.59).
pub(super) fn parse(text: &str) -> Option<(Sql, bool)> {
    const TEXT_BYTES_MAX: usize = 64 << 10;
    const TOKENS_MAX: usize = 20_000;
    const INTERVALS_MAX: usize = 8;
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let tokens = Tokenizer::new(&MySqlDialect {}, text).tokenize().ok()?;
    let is_interval = |token: &&SqlToken| match token {
        SqlToken::Word(word) => word.keyword == Keyword::INTERVAL,
        _ => false,
    };
    let intervals = tokens.iter().filter(is_interval).count();
    if tokens.len() > TOKENS_MAX || intervals > INTERVALS_MAX {
        return None;
    }
    let mut parser = Parser::new(&MySqlDialect {}).with_recursion_limit(50).with_tokens(tokens);
    let statement = parser.parse_statement().ok()?;
    let ended = matches!(parser.peek_token().token, SqlToken::EOF | SqlToken::SemiColon);
    Some((statement, ended))
}

/// The text after comments and opening brackets; the inside of an executable comment is text.
fn skip_comments(mut text: &str) -> &str {
    loop {
        text = words::skip_comments(text);
        match text.strip_prefix('(') {
            Some(rest) => text = rest,
            None => return text,
        }
    }
}

/// The tables a statement writes, as (schema, name); empty when they cannot be told.
///
/// They stand before the values and conditions, which may be megabytes: only what comes before
/// these is read.
fn written_tables(schema: &str, text: &str) -> Vec<(String, String)> {
    let verb = match Tokens(text).next() {
        Some(Token::Word(word)) => word.to_ascii_uppercase(),
        _ => return Vec::new(),
    };
    let statement = match verb.as_str() {
        "INSERT" | "REPLACE" => return inserted_table(schema, text).into_iter().collect(),
        "LOAD" => return load_data_table(schema, text),
        "CREATE" => return created_table(schema, text).into_iter().collect(),
        "UPDATE" => parse(&format!("{} SET a = 1", before_any(text, &["SET"]))),
        "DELETE" => parse(before_any(text, &["WHERE", "ORDER", "LIMIT", "RETURNING"])),
        _ => return Vec::new(),
    };
    let mut names: Vec<&ObjectName> = Vec::new();
    match statement.as_ref().map(|(statement, _)| statement) {
        Some(Sql::Update { table, .. }) => add_tables(table, &mut names),
        Some(Sql::Delete(delete)) if !delete.tables.is_empty() => names.extend(&delete.tables),
        Some(Sql::Delete(delete)) => {
            let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
            from.iter().for_each(|table| add_tables(table, &mut names));
        }
        _ => {}
    }
    names.into_iter().filter_map(|name| resolve(schema, name)).collect()
}

/// The text before the first of these keywords that stands in no brackets.
fn before_any<'a>(text: &'a str, keywords: &[&str]) -> &'a str {
    let (mut tokens, mut depth) = (Tokens(text), 0_usize);
    loop {
        let end = text.len() - tokens.0.len();
        match tokens.next() {
            None => return text,
            Some(Token::Symbol('(')) => depth += 1,
            Some(Token::Symbol(')')) => depth = depth.saturating_sub(1),
            Some(token) if depth == 0 && keywords.iter().any(|keyword| token.is(keyword)) => {
                return &text[..end];
            }
            Some(_) => {}
        }
    }
}

/// The table in `INSERT [IGNORE ...] [INTO] name`.
fn inserted_table(schema: &str, text: &str) -> Option<(String, String)> {
    const BEFORE: [&str; 5] = ["LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "IGNORE", "INTO"];
    let mut tokens = Tokens(text).skip(1).peekable();
    while tokens.next_if(|token| BEFORE.iter().any(|word| token.is(word))).is_some() {}
    named(schema, tokens)
}

/// The table in `CREATE [OR REPLACE] TABLE [IF NOT EXISTS] name`.
fn created_table(schema: &str, text: &str) -> Option<(String, String)> {
    let mut tokens = Tokens(text).peekable();
    tokens.find(|token| token.is("TABLE"))?;
    while tokens.next_if(|token| ["IF", "NOT", "EXISTS"].iter().any(|w| token.is(w))).is_some() {}
    named(schema, tokens)
}

/// The name that comes next, with its schema or without.
fn named<'a>(
    schema: &str,
    mut tokens: std::iter::Peekable<impl Iterator<Item = Token<'a>>>,
) -> Option<(String, String)> {
    let identifier = |tokens: &mut std::iter::Peekable<_>| match tokens.next()? {
        Token::Word(word) => Some(str::to_owned(word)),
        Token::Name(name) => Some(name),
        Token::Text | Token::Symbol(_) => None,
    };
    let first = identifier(&mut tokens)?;
    match tokens.next_if_eq(&Token::Symbol('.')) {
        Some(_) => Some((first, identifier(&mut tokens)?)),
        None => Some((schema.to_owned(), first)),
    }
}

fn add_tables<'a>(from: &'a TableWithJoins, names: &mut Vec<&'a ObjectName>) {
    let joined = from.joins.iter().map(|join| &join.relation);
    for factor in std::iter::once(&from.relation).chain(joined) {
        if let TableFactor::Table { name, .. } = factor {
            names.push(name);
        }
    }
}

pub(super) fn resolve(schema: &str, name: &ObjectName) -> Option<(String, String)> {
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
    use crate::model::Xid;

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
        assert_eq!(rows("insert low_priority ignore t (a) values ((((("), ["db.t"]);
        assert_eq!(rows("insert `x` . `t`(a) select 1"), ["x.t"]);
        assert_eq!(rows("update t set a = (select 1) where set = 2"), ["db.t"]);
        assert_eq!(rows("update t as x left join v on x.a = v.a set x.a=1"), ["db.t", "db.v"]);
        assert_eq!(rows("delete x from t x join u where x.a = u.a order by 1"), ["db.x"]);
        assert_eq!(rows("CREATE OR REPLACE TABLE IF NOT EXISTS x.t AS SELECT 1"), ["x.t"]);
        assert_eq!(rows("insert 'x' values (1)"), Vec::<String>::new(), "it cannot be told");
    }

    /// What overflowed the stack, or took for ever: chains and nests of all kinds, as text that a
    /// server may log.
    #[test]
    fn no_length_of_a_statement_is_too_much() {
        let many = |text: &str| text.repeat(200_000);
        for text in [
            format!("DELETE FROM t WHERE id=1{}", many(" OR id=1")),
            format!("UPDATE t SET a=1{}", many("+1")),
            format!("INSERT INTO t VALUES (1){}", many(",(-1)")),
            format!("INSERT INTO t SELECT 1{}", many(" UNION SELECT 1")),
            format!("INSERT INTO t SELECT {}1", many("INTERVAL ")),
            format!("UPDATE t SET a={}1", many("(")),
        ] {
            assert_eq!(rows(&text), ["db.t"], "{}", &text[..30]);
        }
        for text in [
            format!("UPDATE t JOIN u ON 1{} SET a=1", many(" OR 1")),
            format!("UPDATE t JOIN u ON {}1 SET a=1", "INTERVAL ".repeat(30)),
            format!("UPDATE t JOIN u ON 1{} SET a=1", " OR 1".repeat(9_000)),
            format!("DELETE FROM t USING {}", many("(")),
            format!("CREATE TABLE t (a int DEFAULT (1{}))", many("+1")),
            format!("ALTER TABLE t ADD COLUMN a int DEFAULT ({}1)", "INTERVAL ".repeat(30)),
            format!("CREATE TABLE t SELECT {}1", "INTERVAL ".repeat(30)),
        ] {
            meaning("db", &text);
        }
        for nested in ["", "(", ";", "/**/"] {
            let text = many(&format!("SET STATEMENT a=1 FOR {nested}"));
            let unknown = Meaning::Work(StatementKind::Definition(Vec::new()));
            assert_eq!(meaning("db", &text), unknown);
        }
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
            let told = meaning("db", text);
            assert!(!matches!(told, Meaning::Work(StatementKind::Rows(_))), "{text}: {told:?}");
        }
    }

    #[test]
    fn a_definition_is_told_behind_settings_and_comments() {
        let tables = |text| match meaning("db", text) {
            Meaning::Work(StatementKind::Definition(tables)) => tables,
            other => panic!("{text}: {other:?}"),
        };
        let name = |text| tables(text).into_iter().map(|t| t.name).next().flatten();
        for text in [
            "# Dumb\nDROP TABLE t",
            "/* app:1 */ -- x\n TRUNCATE t;",
            "SET STATEMENT max_statement_time=1, lock_wait_timeout=2 FOR ALTER TABLE t FORCE",
            "ALTER/**/TABLE t FORCE",
        ] {
            assert_eq!(name(text).as_deref(), Some("t"), "{text}");
        }
        assert!(tables("SET STATEMENT a=1").is_empty());
        assert!(tables("SET STATEMENT a=1 FOR SET STATEMENT a=1 FOR DROP TABLE t").is_empty());
        assert_eq!(rows("SET STATEMENT a=1 FOR DELETE FROM t"), ["db.t"]);
    }

    #[test]
    fn control_statements_are_told_from_work() {
        let xid = Xid { format: 1, global: b"g".to_vec(), branch: Vec::new() };
        for (text, want) in [
            ("BEGIN", Meaning::Begin),
            ("COMMIT", Meaning::Commit),
            ("ROLLBACK", Meaning::Rollback),
            ("ROLLBACK TO `s`", Meaning::Inside),
            ("SAVEPOINT `s`", Meaning::Inside),
            ("XA START X'67',X'',1", Meaning::Inside),
            ("XA COMMIT X'67',X'',1", Meaning::Xa(Some(XaStep::Commits(xid.clone())))),
            ("XA ROLLBACK X'67',X'',1", Meaning::Xa(Some(XaStep::RollsBack(xid)))),
            ("XA COMMIT 'g'", Meaning::Xa(None)),
            ("XA COMMIT X'6',X'',1", Meaning::Xa(None)),
            ("# Dumb\nCREATE VIEW v AS SELECT 1", Meaning::Work(StatementKind::Other)),
            ("TRUNCATE", Meaning::Work(StatementKind::Definition(Vec::new()))),
        ] {
            assert_eq!(meaning("db", text), want, "{text}");
        }
    }
}
