//! What is wrong with a configuration, and where.

use std::fmt;

/// What is wrong with one value, by somebody who does not know where it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ValueError {
    /// What is wrong; names the value, unless it may hold a secret.
    pub message: String,
    /// What is allowed.
    pub hint: Option<String>,
}

impl ValueError {
    pub(super) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        ValueError { message: message.into(), hint: Some(hint.into()) }
    }
}

/// What is wrong with a configuration.
///
/// Printed as `file:line: key: what is wrong`, then a line `hint: what is allowed`. Elements of
/// lists are counted from 1, as findings count the rules.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigError {
    /// `file:line: key`, as much of it as is known; empty when the file is not to blame.
    pub place: String,
    /// What is wrong.
    pub message: String,
    /// What is allowed, or what to do.
    pub hint: Option<String>,
}

impl ConfigError {
    pub(super) fn new(place: impl Into<String>, what: ValueError) -> Self {
        ConfigError { place: place.into(), message: what.message, hint: what.hint }
    }
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "\nhint: {hint}"))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let colon = if self.place.is_empty() { "" } else { ": " };
        write!(f, "{}{colon}{}", self.place, self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "\nhint: {hint}"))
    }
}

impl std::error::Error for ValueError {}

impl std::error::Error for ConfigError {}
