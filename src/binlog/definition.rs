//! Which tables a definition statement makes, changes or empties.
//!
//! A parser reads what it knows in full. It knows little of what is MySQL's and MariaDB's own, so
//! the rest is scanned: in their grammar the names of tables stand at plain places. Where neither
//! tells the tables, the answer is that they cannot be told.

use super::{
    statement::{parse, resolve},
    words::{Token, Tokens},
};
use crate::model::{Definition, DefinitionEffect, StatementKind};
use DefinitionEffect::{Changes, Creates, Empties};
use sqlparser::ast::Statement as Sql;
use sqlparser::ast::{AlterTableOperation, ObjectName, ObjectType, RenameTableNameKind};
use std::iter::Peekable;

/// Statements that are logged and change no row and no table.
const HARMLESS: [&str; 10] = [
    "GRANT",
    "REVOKE",
    "FLUSH",
    "ANALYZE",
    "OPTIMIZE",
    "REPAIR",
    "SET",
    "INSTALL",
    "UNINSTALL",
    "USE",
];

/// What is made, altered and dropped, other than tables and what belongs to one.
const NO_TABLES: [&str; 27] = [
    "VIEW",
    "TRIGGER",
    "PROCEDURE",
    "FUNCTION",
    "EVENT",
    "USER",
    "ROLE",
    "SERVER",
    "TABLESPACE",
    "LOGFILE",
    "UNDO",
    "PACKAGE",
    "LIBRARY",
    "RESOURCE",
    "REFERENCE",
    "INSTANCE",
    "CATALOG",
    "PREPARE",
    "JSON",
    "MATERIALIZED",
    "AGGREGATE",
    "DEFINER",
    "ALGORITHM",
    "SQL",
    "TEMPORARY",
    "MASKING",
    "STATISTICS",
];

/// What a statement does that is no plain write of rows.
pub(super) fn definitions(schema: &str, text: &str) -> StatementKind {
    let kind = parsed(schema, text).or_else(|| scanned(schema, text));
    match kind {
        // Bytes of another character set than UTF-8, and so no name that a table map has.
        Some(StatementKind::Definition(tables)) if tables.iter().any(is_mangled) => {
            StatementKind::Definition(Vec::new())
        }
        kind => kind.unwrap_or(StatementKind::Definition(Vec::new())),
    }
}

fn is_mangled(definition: &Definition) -> bool {
    let mangled = |name: &str| name.contains(char::REPLACEMENT_CHARACTER);
    mangled(&definition.schema) || definition.name.as_deref().is_some_and(mangled)
}

/// What the parser tells of a statement that it reads to the end.
fn parsed(schema: &str, text: &str) -> Option<StatementKind> {
    if text.contains("/*!") || text.contains("/*M!") {
        // To the parser, what the server executes is a comment.
        return None;
    }
    let Some((statement, true)) = parse(text) else { return None };
    let mut tables: Vec<(&ObjectName, DefinitionEffect)> = Vec::new();
    match &statement {
        Sql::CreateTable(create) if create.temporary => return Some(StatementKind::Other),
        Sql::CreateTable(create) => {
            tables.push((&create.name, if create.or_replace { Empties } else { Creates }));
        }
        Sql::AlterTable { name, operations, .. } => {
            tables.push((name, Changes));
            for operation in operations {
                if let AlterTableOperation::RenameTable { table_name } = operation {
                    let (RenameTableNameKind::As(name) | RenameTableNameKind::To(name)) =
                        table_name;
                    tables.push((name, Changes));
                }
            }
        }
        Sql::CreateIndex(create) => tables.push((&create.table_name, Changes)),
        Sql::Drop { temporary: true, .. } => return Some(StatementKind::Other),
        Sql::Drop { object_type: ObjectType::Table | ObjectType::Sequence, names, .. } => {
            tables.extend(names.iter().map(|name| (name, Empties)));
        }
        Sql::Drop { object_type: ObjectType::Index, table: Some(name), .. } => {
            tables.push((name, Changes));
        }
        Sql::Truncate { table_names, .. } => {
            tables.extend(table_names.iter().map(|target| (&target.name, Empties)));
        }
        Sql::RenameTable(renames) => {
            for rename in renames {
                tables.extend([(&rename.old_name, Changes), (&rename.new_name, Changes)]);
            }
        }
        _ => return None,
    }
    let told = tables.into_iter().map(|(name, effect)| {
        let (schema, name) = resolve(schema, name)?;
        Some(Definition { schema, name: Some(name), effect })
    });
    Some(StatementKind::Definition(told.collect::<Option<_>>()?))
}

/// What the words of a statement tell; `None` when they do not.
fn scanned(schema: &str, text: &str) -> Option<StatementKind> {
    let mut scan = Scan { schema, tokens: Tokens(text).peekable(), tables: Vec::new() };
    while scan.takes_symbol('(') {}
    let Some(Token::Word(verb)) = scan.tokens.next() else { return None };
    let verb = verb.to_ascii_uppercase();
    match verb.as_str() {
        verb if HARMLESS.contains(&verb) => return Some(StatementKind::Other),
        "TRUNCATE" => {
            scan.takes("TABLE");
            scan.table(Empties)?;
        }
        "CREATE" | "ALTER" | "DROP" | "RENAME" => {
            let replaces = scan.takes("OR") && scan.takes("REPLACE");
            match scan.object()? {
                Object::NoTable => return Some(StatementKind::Other),
                Object::Database if verb == "DROP" => {
                    scan.skip_if_exists();
                    let (name, _) = scan.name()?;
                    scan.tables.push(Definition { schema: name, name: None, effect: Empties });
                }
                Object::Database => return Some(StatementKind::Other),
                Object::Index => {
                    scan.skip_past("ON")?;
                    scan.table(Changes)?;
                }
                Object::Table if verb == "DROP" => scan.list(Empties)?,
                Object::Table if verb == "RENAME" => scan.renames()?,
                Object::Table if verb == "ALTER" => {
                    scan.table(Changes)?;
                    if scan.switches_keys() {
                        return Some(StatementKind::Other);
                    }
                    scan.alterations()?;
                }
                Object::Table => scan.table(if replaces { Empties } else { Creates })?,
            }
        }
        _ => return None,
    }
    Some(StatementKind::Definition(scan.tables))
}

/// What a statement makes, alters, drops or renames.
enum Object {
    Table,
    Index,
    Database,
    NoTable,
}

struct Scan<'a> {
    schema: &'a str,
    tokens: Peekable<Tokens<'a>>,
    tables: Vec<Definition>,
}

impl<'a> Scan<'a> {
    /// The first word that says what the statement is about, past `UNIQUE`, `IGNORE` and the like.
    fn object(&mut self) -> Option<Object> {
        // No statement has so many words before it.
        const WORDS_MAX: usize = 8;
        for token in self.tokens.by_ref().take(WORDS_MAX) {
            let Token::Word(word) = token else { continue };
            match word.to_ascii_uppercase().as_str() {
                "TABLE" | "TABLES" | "SEQUENCE" => return Some(Object::Table),
                "INDEX" | "KEY" => return Some(Object::Index),
                "DATABASE" | "SCHEMA" => return Some(Object::Database),
                other if NO_TABLES.contains(&other) => return Some(Object::NoTable),
                _ => {}
            }
        }
        None
    }

    fn takes(&mut self, keyword: &str) -> bool {
        self.tokens.next_if(|token| token.is(keyword)).is_some()
    }

    fn takes_symbol(&mut self, symbol: char) -> bool {
        self.tokens.next_if_eq(&Token::Symbol(symbol)).is_some()
    }

    fn skip_past(&mut self, keyword: &str) -> Option<()> {
        self.tokens.by_ref().find(|token| token.is(keyword)).map(drop)
    }

    /// Passes `IF EXISTS` or `IF NOT EXISTS`; IF is a reserved word.
    fn skip_if_exists(&mut self) {
        if self.takes("IF") {
            self.takes("NOT");
            self.takes("EXISTS");
        }
    }

    fn identifier(&mut self) -> Option<String> {
        match self.tokens.next()? {
            Token::Word(word) => Some(word.to_owned()),
            Token::Name(name) => Some(name),
            Token::Text | Token::Symbol(_) => None,
        }
    }

    /// A name, or two with a dot between: (the first, the second).
    fn name(&mut self) -> Option<(String, Option<String>)> {
        let first = self.identifier()?;
        let second = if self.takes_symbol('.') { Some(self.identifier()?) } else { None };
        Some((first, second))
    }

    /// The name of a table, which the statement does this to.
    fn table(&mut self, effect: DefinitionEffect) -> Option<()> {
        self.skip_if_exists();
        let (schema, name) = match self.name()? {
            (schema, Some(name)) => (schema, name),
            (name, None) => (self.schema.to_owned(), name),
        };
        self.tables.push(Definition { schema, name: Some(name), effect });
        Some(())
    }

    fn list(&mut self, effect: DefinitionEffect) -> Option<()> {
        self.table(effect)?;
        while self.takes_symbol(',') {
            self.table(effect)?;
        }
        Some(())
    }

    /// `a [WAIT n | NOWAIT] TO b, c TO d`
    fn renames(&mut self) -> Option<()> {
        loop {
            self.table(Changes)?;
            self.skip_past("TO")?;
            self.table(Changes)?;
            if !self.takes_symbol(',') {
                return Some(());
            }
        }
    }

    /// `ENABLE KEYS` or `DISABLE KEYS` and no more: dumps are full of these.
    fn switches_keys(&mut self) -> bool {
        let mut ahead = self.tokens.clone();
        let verb = ahead.next();
        let switches = verb.is_some_and(|verb| verb.is("ENABLE") || verb.is("DISABLE"));
        let end = |token: Option<Token<'_>>| token.is_none_or(|token| token == Token::Symbol(';'));
        switches && ahead.next().is_some_and(|keys| keys.is("KEYS")) && end(ahead.next())
    }

    /// The other tables that an ALTER TABLE names: a new name, partitions that come and go.
    fn alterations(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        let mut before: Option<Token<'a>> = None;
        while let Some(token) = self.tokens.next() {
            match &token {
                Token::Symbol('(') => depth += 1,
                Token::Symbol(')') => depth = depth.saturating_sub(1),
                token if depth > 0 || !matches!(token, Token::Word(_)) => {}
                token if token.is("RENAME") && !self.renames_a_part() => {
                    let _ = self.takes("TO") || self.takes("AS") || self.takes_symbol('=');
                    self.table(Changes)?;
                }
                // EXCHANGE PARTITION p WITH TABLE t, CONVERT PARTITION p TO TABLE t, and
                // CONVERT TABLE t TO PARTITION.
                token if token.is("TABLE") => {
                    let named = |word| before.as_ref().is_some_and(|before| before.is(word));
                    if named("WITH") || named("TO") || named("CONVERT") {
                        self.table(Changes)?;
                    }
                }
                _ => {}
            }
            before = Some(token);
        }
        Some(())
    }

    /// `RENAME COLUMN`, `INDEX` or the like, of what belongs to the table.
    fn renames_a_part(&mut self) -> bool {
        let parts = ["COLUMN", "INDEX", "KEY", "CONSTRAINT", "PARTITION"];
        let next = self.tokens.peek();
        next.is_some_and(|next| parts.iter().any(|part| next.is(part)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `-` for no table, `?` for those that cannot be told; else `schema.table` with what becomes
    /// of it: `+` made, `~` changed, `0` emptied.
    fn spell(kind: &StatementKind) -> String {
        let StatementKind::Definition(tables) = kind else { return "-".to_owned() };
        let spell = |definition: &Definition| {
            let effect = match definition.effect {
                Creates => '+',
                Changes => '~',
                Empties => '0',
            };
            let name = definition.name.as_deref().unwrap_or("*");
            format!("{}.{name}{effect}", definition.schema)
        };
        match tables.is_empty() {
            true => "?".to_owned(),
            false => tables.iter().map(spell).collect::<Vec<_>>().join(" "),
        }
    }

    #[track_caller]
    fn check(cases: &[(&str, &str)]) {
        for (text, want) in cases {
            assert_eq!(spell(&definitions("db", text)), *want, "{text}");
            let scanned = scanned("db", text);
            let scanned = scanned.as_ref().map_or("?".to_owned(), spell);
            assert_eq!(scanned, *want, "scanned: {text}");
            if let Some(parsed) = parsed("db", text) {
                assert_eq!(spell(&parsed), *want, "parsed: {text}");
            }
        }
    }

    #[test]
    fn tables_that_are_made_and_altered_are_told() {
        check(&[
            ("CREATE TABLE t.x(id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(20), b BLOB)", "t.x+"),
            ("create table if not exists `t` (`on` int) ENGINE=InnoDB", "db.t+"),
            ("CREATE TABLE `a``b`.`c.d` LIKE `e`.`f`", "a`b.c.d+"),
            ("CREATE OR REPLACE TABLE t (a int)", "db.t0"),
            ("CREATE TEMPORARY TABLE t (a int)", "-"),
            ("CREATE /*!40005 TEMPORARY */ TABLE t (a int)", "-"),
            (
                "CREATE TABLE `z` (\n  `id` int(11) NOT NULL,\n  `v` varchar(9) DEFAULT NULL\n)",
                "db.z+",
            ),
            ("CREATE TABLE t (a int PRIMARY KEY) START TRANSACTION", "db.t+"),
            ("CREATE TABLE t (a int) /*!50100 PARTITION BY HASH (a) PARTITIONS 4 */", "db.t+"),
            ("CREATE TABLE t (a timestamp) WITH SYSTEM VERSIONING", "db.t+"),
            ("CREATE SEQUENCE IF NOT EXISTS s START WITH 1 CACHE 1000", "db.s+"),
            ("alter table y add column c int default 7, algorithm=copy", "db.y~"),
            ("ALTER ONLINE IGNORE TABLE IF EXISTS x.y FORCE, LOCK=NONE", "x.y~"),
            ("ALTER TABLE t RENAME TO u", "db.t~ db.u~"),
            ("ALTER TABLE t ADD COLUMN a INT, RENAME u.v, ENGINE=InnoDB", "db.t~ u.v~"),
            ("ALTER TABLE t RENAME COLUMN a TO b, RENAME INDEX i TO j", "db.t~"),
            (
                "ALTER TABLE t COMMENT 'rename to u', ADD COLUMN `rename` INT DEFAULT (a + b)",
                "db.t~",
            ),
            ("ALTER TABLE t TRUNCATE PARTITION p0", "db.t~"),
            ("ALTER TABLE t DROP PARTITION p0, p1", "db.t~"),
            ("ALTER TABLE t EXCHANGE PARTITION p0 WITH TABLE x.u WITHOUT VALIDATION", "db.t~ x.u~"),
            ("ALTER TABLE t CONVERT PARTITION p0 TO TABLE u", "db.t~ db.u~"),
            ("ALTER TABLE t CONVERT TABLE u TO PARTITION p0 VALUES LESS THAN (9)", "db.t~ db.u~"),
            ("/*!40000 ALTER TABLE `t` DISABLE KEYS */", "-"),
            ("ALTER TABLE t ENABLE KEYS, ADD COLUMN a INT", "db.t~"),
            ("CREATE UNIQUE INDEX IF NOT EXISTS i USING BTREE ON x.t (a(10) DESC)", "x.t~"),
            ("CREATE FULLTEXT INDEX `on` ON `t`(`a`)", "db.t~"),
            ("DROP INDEX `PRIMARY` ON t", "db.t~"),
            ("DROP INDEX IF EXISTS i ON `x` . `t` LOCK=NONE", "x.t~"),
        ]);
    }

    #[test]
    fn tables_that_are_emptied_dropped_and_renamed_are_told() {
        check(&[
            ("truncate table y", "db.y0"),
            ("TRUNCATE `x`.`y`", "x.y0"),
            ("TRUNCATE TABLE `db`.`memory` /* generated by server */", "db.memory0"),
            ("DROP TABLE `d1`,`d2` /* generated by server */", "db.d10 db.d20"),
            ("DROP TABLE IF EXISTS `d1`,`x`.`d2` /* generated by server */", "db.d10 x.d20"),
            ("DROP TABLES IF EXISTS a, b RESTRICT", "db.a0 db.b0"),
            ("DROP /*!40005 TEMPORARY */ TABLE IF EXISTS `t`", "-"),
            ("DROP TEMPORARY TABLE IF EXISTS `x`.`t`", "-"),
            ("DROP SEQUENCE IF EXISTS s", "db.s0"),
            ("DROP DATABASE IF EXISTS `x y`", "x y.*0"),
            ("drop schema x", "x.*0"),
            ("rename table z to zz", "db.z~ db.zz~"),
            ("RENAME TABLES IF EXISTS a WAIT 5 TO x.b, `b` TO a", "db.a~ x.b~ db.b~ db.a~"),
            ("RENAME TABLE `t` TO `_t_old`, `_t_new` TO `t`", "db.t~ db._t_old~ db._t_new~ db.t~"),
        ]);
    }

    #[test]
    fn what_defines_no_table_is_told() {
        for text in [
            "CREATE DATABASE t",
            "CREATE OR REPLACE DATABASE t CHARACTER SET utf8mb4",
            "ALTER DATABASE t COLLATE utf8mb4_bin",
            "CREATE OR REPLACE ALGORITHM=UNDEFINED DEFINER=`root`@`localhost` SQL SECURITY \
             DEFINER VIEW `vv` AS select 1 as one",
            "CREATE DEFINER=`root`@`localhost` TRIGGER t.tr AFTER INSERT ON t.x FOR EACH ROW \
             INSERT INTO t.aud(w) VALUES(1)",
            "/*!50003 CREATE*/ /*!50017 DEFINER=`root`@`%`*/ /*!50003 TRIGGER t BEFORE INSERT ON u",
            "CREATE DEFINER=`r`@`%` PROCEDURE p() BEGIN DROP TABLE t; END",
            "CREATE FUNCTION f RETURNS STRING SONAME 'udf.so'",
            "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO TRUNCATE TABLE t",
            "DROP VIEW IF EXISTS v, w",
            "DROP TRIGGER t.tr",
            "DROP PROCEDURE IF EXISTS p",
            "create user if not exists u1@localhost",
            "CREATE USER 'u'@'%' IDENTIFIED WITH 'caching_sha2_password' AS '$A$005$table'",
            "drop user u1@localhost",
            "RENAME USER a TO b",
            "ALTER USER a PASSWORD EXPIRE",
            "CREATE ROLE table_owner",
            "CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (HOST 'h')",
            "CREATE SPATIAL REFERENCE SYSTEM 4120 NAME 'x'",
            "ALTER TABLESPACE ts ADD DATAFILE 'f'",
            "GRANT SELECT ON t.* TO u",
            "analyze table y",
            "OPTIMIZE NO_WRITE_TO_BINLOG TABLE y",
            "flush tables",
            "SET PASSWORD FOR u = 'x'",
        ] {
            assert_eq!(definitions("db", text), StatementKind::Other, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_told_is_not_guessed() {
        for text in [
            "",
            "DROP",
            "DROP TABLE",
            "DROP TABLE a,",
            "RENAME TABLE a",
            "CREATE INDEX i",
            "ALTER TABLE",
            "ALTER TABLE t RENAME TO",
            "CREATE SOMETHING NEW",
            "FROBNICATE TABLE t",
            "TRUNCATE TABLE `\u{fffd}`",
        ] {
            assert_eq!(spell(&definitions("db", text)), "?", "{text}");
        }
    }

    #[test]
    fn no_text_panics() {
        for text in [
            "ALTER TABLE `a``b`.t /*!50100 RENAME */ TO \"x\\\"y\", CONVERT TABLE u TO PARTITION p",
            "/*!50003 CREATE*/ OR REPLACE é TABLE IF NOT EXISTS `é`.é (a int COMMENT '') -- x",
            "RENAME TABLES IF EXISTS a WAIT 5 TO x.b, `b` TO a /* generated by server */",
        ] {
            for (at, _) in text.char_indices() {
                definitions("db", &text[..at]);
                definitions("db", &text[at..]);
            }
        }
    }
}
