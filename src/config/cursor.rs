//! A walk over the parsed file that knows at every step where it is.
//!
//! Walked by hand rather than derived with serde, because serde loses the place: it names
//! neither the element of a list nor what a value that may have two shapes should have been.

use super::error::{ConfigError, ValueError};
use super::nearest::nearest;
use toml::de::{DeTable, DeValue};

/// Where a value stands: the file, the offset in its text, and the dotted key.
#[derive(Clone, Debug)]
pub(super) struct Place<'t> {
    origin: &'t str,
    text: &'t str,
    offset: usize,
    key: String,
}

impl<'t> Place<'t> {
    pub(super) fn start(origin: &'t str, text: &'t str) -> Self {
        Place { origin, text, offset: 0, key: String::new() }
    }

    pub(super) fn at(&self, offset: usize) -> Self {
        Place { offset, ..self.clone() }
    }

    /// The place of `key` in this table; keys that TOML would quote are quoted.
    fn child(&self, key: &str, offset: usize) -> Self {
        let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let key = match !key.is_empty() && key.chars().all(bare) {
            true => key.to_owned(),
            false => format!("{key:?}"),
        };
        let dot = if self.key.is_empty() { "" } else { "." };
        Place { offset, key: format!("{}{dot}{key}", self.key), ..self.clone() }
    }

    /// The place of an element of this list, counted from 1.
    fn element(&self, number: usize, offset: usize) -> Self {
        Place { offset, key: format!("{}[{number}]", self.key), ..self.clone() }
    }

    pub(super) fn line(&self) -> usize {
        let before = self.text.as_bytes().iter().take(self.offset);
        before.filter(|byte| **byte == b'\n').count() + 1
    }

    /// An error here.
    pub(super) fn fail(&self, what: ValueError) -> ConfigError {
        let colon = if self.key.is_empty() { "" } else { ": " };
        ConfigError::new(format!("{}:{}{colon}{}", self.origin, self.line(), self.key), what)
    }

    /// An error here, with a hint.
    pub(super) fn error(&self, message: impl Into<String>, hint: impl Into<String>) -> ConfigError {
        self.fail(ValueError::new(message, hint))
    }
}

/// A value of the file, and its place.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'t> {
    pub(super) place: Place<'t>,
    value: &'t DeValue<'t>,
}

/// A table of the file, and its place.
#[derive(Clone, Debug)]
pub(super) struct Section<'t> {
    pub(super) place: Place<'t>,
    table: &'t DeTable<'t>,
}

impl<'t> Cursor<'t> {
    /// An error that names what was found, but no string: it may be a url with a password.
    fn wrong_type(&self, wanted: &str) -> ConfigError {
        let found = match self.value {
            DeValue::String(_) => "a string".into(),
            DeValue::Integer(integer) => format!("the integer {integer}"),
            DeValue::Float(float) => format!("the float {float}"),
            DeValue::Boolean(boolean) => format!("the boolean {boolean}"),
            DeValue::Datetime(date) => format!("the date or time {date}"),
            DeValue::Array(_) => "a list".into(),
            DeValue::Table(_) => "a table".into(),
        };
        self.place.error(format!("is {found}"), format!("write {wanted}"))
    }

    /// This value as a table that may have these keys and no others.
    pub(super) fn table(&self, known: &[&str], example: &str) -> Result<Section<'t>, ConfigError> {
        let section = self.free_table(example)?;
        section.only(known)?;
        Ok(section)
    }

    /// This value as a table whose keys are the user's own words.
    pub(super) fn free_table(&self, example: &str) -> Result<Section<'t>, ConfigError> {
        match self.value {
            DeValue::Table(table) => Ok(Section { place: self.place.clone(), table }),
            _ => Err(self.wrong_type(example)),
        }
    }

    /// This value as a list of at least one element.
    pub(super) fn list(&self, example: &str) -> Result<Vec<Cursor<'t>>, ConfigError> {
        let DeValue::Array(array) = self.value else { return Err(self.wrong_type(example)) };
        if array.is_empty() {
            return Err(self.place.error("is an empty list", format!("write {example}")));
        }
        let element = |(i, value): (usize, &'t toml::Spanned<DeValue<'t>>)| Cursor {
            place: self.place.element(i + 1, value.span().start),
            value: value.get_ref(),
        };
        Ok(array.iter().enumerate().map(element).collect())
    }

    /// This value's elements when it is a list, else itself.
    pub(super) fn one_or_more(&self, example: &str) -> Result<Vec<Cursor<'t>>, ConfigError> {
        match self.value {
            DeValue::Array(_) => self.list(example),
            _ => Ok(vec![self.clone()]),
        }
    }

    /// This value as a string.
    pub(super) fn text(&self, example: &str) -> Result<&'t str, ConfigError> {
        self.value.as_str().ok_or_else(|| self.wrong_type(example))
    }

    /// This value as a string that is not blank.
    pub(super) fn words(&self, example: &str) -> Result<&'t str, ConfigError> {
        let text = self.text(example)?;
        match text.trim().is_empty() {
            true => Err(self.place.error("is empty", format!("write {example}"))),
            false => Ok(text),
        }
    }

    /// This value's text, whether it is a string or a date.
    pub(super) fn text_or_date(&self, example: &str) -> Result<String, ConfigError> {
        match self.value {
            DeValue::Datetime(date) => Ok(date.to_string()),
            _ => self.text(example).map(str::to_owned),
        }
    }

    /// True when this value is a string.
    pub(super) fn is_text(&self) -> bool {
        self.value.is_str()
    }

    /// This value as an integer from `min` to `max`.
    pub(super) fn integer<T>(&self, min: T, max: T, example: &str) -> Result<T, ConfigError>
    where
        T: Copy + Into<i128> + TryFrom<i128> + std::fmt::Display,
    {
        let Some(integer) = self.value.as_integer() else { return Err(self.wrong_type(example)) };
        let (min_wide, max_wide) = (min.into(), max.into());
        i128::from_str_radix(integer.as_str(), integer.radix())
            .ok()
            .filter(|n| (min_wide..=max_wide).contains(n))
            .and_then(|n| T::try_from(n).ok())
            .ok_or_else(|| {
                let message = format!("{integer} is out of range");
                self.place.error(message, format!("write {example}, from {min} to {max}"))
            })
    }

    /// This value through a parser of text.
    pub(super) fn parsed<T>(
        &self,
        example: &str,
        parse: impl Fn(&str) -> Result<T, ValueError>,
    ) -> Result<T, ConfigError> {
        parse(self.text(example)?).map_err(|what| self.place.fail(what))
    }

    /// This value as one of a closed set of words.
    pub(super) fn word<T: Clone>(&self, words: &[(&str, T)]) -> Result<T, ConfigError> {
        let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let allowed = one_of(&all);
        let text = self.text(&allowed)?;
        let found = words.iter().find(|(word, _)| *word == text);
        found
            .map(|(_, value)| value.clone())
            .ok_or_else(|| self.place.error(format!("no such word: {text:?}"), did_you(text, &all)))
    }
}

impl<'t> Section<'t> {
    pub(super) fn root(place: Place<'t>, table: &'t DeTable<'t>) -> Self {
        Section { place, table }
    }

    /// Refuses keys other than these.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), ConfigError> {
        let unknown = self.entries().into_iter().find(|(name, _)| !known.contains(name));
        let Some((name, cursor)) = unknown else { return Ok(()) };
        // The value stays untold: it may be a secret in the wrong place.
        let hint = match name {
            "password" => "use password_file or password_env; no secret stands in this file".into(),
            _ => did_you(name, known),
        };
        Err(cursor.place.error("unknown key", hint))
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<Cursor<'t>> {
        self.entries().into_iter().find(|(name, _)| *name == key).map(|(_, cursor)| cursor)
    }

    /// The value of a key that must be there.
    pub(super) fn need(&self, key: &str, example: &str) -> Result<Cursor<'t>, ConfigError> {
        let missing = || self.place.error(format!("{key} is missing"), format!("add {example}"));
        self.get(key).ok_or_else(missing)
    }

    /// All keys and values, in the order of the file.
    pub(super) fn entries(&self) -> Vec<(&'t str, Cursor<'t>)> {
        let entry = |(key, value): (
            &'t toml::Spanned<toml::de::DeString<'t>>,
            &'t toml::Spanned<DeValue<'t>>,
        )| {
            let name: &'t str = key.get_ref().as_ref();
            let place = self.place.child(name, key.span().start);
            (name, Cursor { place, value: value.get_ref() })
        };
        let mut entries: Vec<_> = self.table.iter().map(entry).collect();
        entries.sort_by_key(|(_, cursor)| cursor.place.offset);
        entries
    }
}

/// `"a", "b" or "c"`.
pub(super) fn one_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => "nothing".into(),
    }
}

/// The word that was probably meant, or all of them.
pub(super) fn did_you(word: &str, known: &[&str]) -> String {
    match nearest(word, known) {
        Some(near) => format!("did you mean {near:?}? allowed: {}", known.join(", ")),
        None => format!("allowed: {}", known.join(", ")),
    }
}
