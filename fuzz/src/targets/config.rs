//! The configuration, and the ownership rules in it.

use twinlog::{
    config::{Config, MysqlUrl, parse_duration, table_pattern},
    engine::Ownership,
    model::RuleValue,
};

/// Input: the text of a file; bytes that are no text are replaced.
pub fn config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = (text.parse::<MysqlUrl>(), parse_duration(&text), table_pattern(&text));
    let config = match Config::parse(&text, "twinlog.toml") {
        Ok(config) => config,
        Err(error) => {
            assert!(error.to_string().starts_with("twinlog.toml"), "{error}");
            return;
        }
    };
    let rules = Ownership::new(config.ownership.clone(), config.unlisted);
    let rules = rules.expect("a configuration that was read has rules that compile");
    for table in ["shop.orders", "a.b", "shop.customers", "."] {
        let place = rules.rule_of(table);
        assert!(place.is_none_or(|place| place < config.ownership.len()));
        let column = rules.column_of(table);
        for value in [RuleValue::Int(i128::MIN), RuleValue::Int(7), RuleValue::Text("eu-1".into())]
        {
            if let Some(owner) = rules.owner(table, column.map(|_| &value)) {
                assert!(owner.nodes.iter().all(|node| node.at() < config.nodes.len()));
            }
        }
    }
}
