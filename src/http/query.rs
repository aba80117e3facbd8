//! What an address asks for.

use crate::{
    model::{FindingKind, Severity, State},
    report::page::{Filter, RANGES},
    store::After,
};
use axum::extract::{Query, rejection::QueryRejection};
use globset::GlobBuilder;
use serde::Deserialize;

/// The part of an address behind the question mark.
#[derive(Deserialize, Default, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    kind: Option<String>,
    state: Option<String>,
    severity: Option<String>,
    table: Option<String>,
    group: Option<String>,
    after: Option<String>,
    pub(super) limit: Option<usize>,
    range: Option<String>,
}

/// What an address asks for, or why that is not to be read.
pub(super) type AskedOrNot = Result<Query<Asked>, QueryRejection>;

/// The same with the mistake for a person.
pub(super) fn asked(asked: AskedOrNot) -> Result<Asked, String> {
    asked.map(|Query(asked)| asked).map_err(|mistake| mistake.body_text())
}

impl Asked {
    /// The filter, with `states` where none are named.
    ///
    /// # Errors
    /// What is no word, and which there are.
    pub(super) fn filter(&self, states: &[State]) -> Result<Filter, String> {
        let kinds = words(self.kind.as_deref(), "kind", FindingKind::parse, || {
            FindingKind::ALL.iter().map(|kind| kind.as_str()).collect()
        })?;
        let states = match self.state.as_deref() {
            None | Some("") => states.to_vec(),
            Some("all") => Vec::new(),
            named => words(named, "state", State::parse, || {
                vec!["open", "acknowledged", "healed", "all"]
            })?,
        };
        let severity = words(self.severity.as_deref(), "severity", Severity::parse, || {
            vec!["info", "warning", "critical"]
        })?;
        let table = self.table.clone().filter(|table| !table.is_empty());
        if let Some(table) = &table {
            glob(table)?;
        }
        if let Some(after) = &self.after {
            place(after).ok_or_else(|| format!("after={after}: take it from the page before"))?;
        }
        let group = self.group.clone().filter(|group| !group.is_empty());
        let severity = severity.into_iter().min();
        let range = self.range.as_deref();
        let range = RANGES.iter().map(|of| of.0).find(|word| Some(*word) == range);
        Ok(Filter { kinds, states, severity, table, group, range, after: self.after.clone() })
    }
}

fn words<T>(
    text: Option<&str>,
    name: &str,
    parse: fn(&str) -> Option<T>,
    known: impl Fn() -> Vec<&'static str>,
) -> Result<Vec<T>, String> {
    let words = text.unwrap_or_default().split(',').filter(|word| !word.is_empty());
    words
        .map(|word| {
            parse(word)
                .ok_or_else(|| format!("{name}={word} is none; there are {}", known().join(", ")))
        })
        .collect()
}

/// A pattern over `schema.table`, as everywhere in twinlog.
pub(super) fn glob(pattern: &str) -> Result<globset::GlobMatcher, String> {
    let glob = GlobBuilder::new(pattern).literal_separator(false).build();
    glob.map(|glob| glob.compile_matcher())
        .map_err(|error| format!("table={pattern} is no pattern: {}", error.kind()))
}

/// A place in the list, in an address.
pub(super) fn place(text: &str) -> Option<After> {
    let (last_seen, id) = text.split_once('.')?;
    let is_id = id.bytes().all(|byte| byte.is_ascii_hexdigit());
    Some(After { last_seen: last_seen.parse().ok()?, id: id.to_owned() }).filter(|_| is_id)
}

/// The same as text.
pub(super) fn place_text(after: &After) -> String {
    format!("{}.{}", after.last_seen, after.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_asks_in_known_words() {
        let asked = |kind: &str, state: &str| Asked {
            kind: Some(kind.to_owned()),
            state: Some(state.to_owned()),
            ..Asked::default()
        };
        let filter = asked("divergence,write_conflict", "all").filter(&[State::Open]).unwrap();
        assert_eq!(filter.kinds, [FindingKind::Divergence, FindingKind::WriteConflict]);
        assert_eq!(filter.states, []);
        assert_eq!(asked("", "").filter(&[State::Healed]).unwrap().states, [State::Healed]);
        let error = asked("conflict", "").filter(&[]).unwrap_err();
        assert!(error.starts_with("kind=conflict is none; there are "), "{error}");
        let table = Asked { table: Some("shop.[".to_owned()), ..Asked::default() };
        assert!(table.filter(&[]).unwrap_err().contains("is no pattern"));
        let after = Asked { after: Some("x.y".to_owned()), ..Asked::default() };
        assert!(after.filter(&[]).is_err());
    }

    #[test]
    fn a_place_survives_the_address() {
        let after = After { last_seen: -5, id: "0af".to_owned() };
        assert_eq!(place(&place_text(&after)), Some(after));
        assert_eq!(place("1.<script>"), None);
    }
}
