//! Binlogs on standard input: files, one after the other, as `cat` or `zcat` gives them.

use super::{
    BinlogFile, FeedError,
    error::window_error,
    heads::described_by,
    packed::{AnyWindow, unpacked},
    window::WindowError,
};
use crate::binlog::{ReadError, event};
use std::io::{self, IsTerminal};

/// What the command line calls it.
pub const STANDARD_INPUT: &str = "-";

/// What its files are called: by their places, since nothing says what they were named.
const BASE_NAME: &str = "stdin";

/// Standard input, with binlogs on it. It can be read once.
pub struct StandardInput {
    pub(super) window: AnyWindow,
    /// The server that wrote its first file.
    pub server_id: u32,
}

impl StandardInput {
    /// Looks at the head of what comes on standard input.
    ///
    /// # Errors
    /// It is a terminal, or what comes is no binlog, or a relay log.
    pub fn open(node: &str) -> Result<Self, FeedError> {
        if io::stdin().is_terminal() {
            return Err(FeedError::Source {
                node: node.to_owned(),
                path: STANDARD_INPUT.into(),
                problem: "standard input is a terminal".to_owned(),
                hint: format!(
                    "pipe binlogs into it: zcat /backup/bin.0*.gz | twinlog scan {node}=- ..."
                ),
            });
        }
        StandardInput::new(node, io::stdin())
    }

    fn new(node: &str, input: impl io::Read + Send + 'static) -> Result<Self, FeedError> {
        let file = nth_file(1);
        let mut window = unpacked(input).map_err(|source| FeedError::Io {
            node: node.to_owned(),
            path: file.path.clone(),
            source,
        })?;
        let fail = |offset, error| window_error(node, &file, offset, error, false);
        let first = match window.first_event() {
            Err(WindowError::Read(ReadError::Empty)) => {
                return Err(FeedError::Source {
                    node: node.to_owned(),
                    path: file.path,
                    problem: "nothing came".to_owned(),
                    hint: "did the command before the pipe fail?".to_owned(),
                });
            }
            first => first.map_err(|error| fail(0, error))?,
        };
        let server_id = described_by(&first).map_err(|error| fail(4, error.into()))?;
        if event::is_relay_log(&first) {
            return Err(FeedError::Source {
                node: node.to_owned(),
                path: file.path,
                problem: "these are relay logs".to_owned(),
                hint: format!("give them as files or by their directory: {node}=DIRECTORY"),
            });
        }
        Ok(StandardInput { window, server_id })
    }
}

/// The file of that place, from 1.
pub(super) fn nth_file(place: usize) -> BinlogFile {
    let name = format!("{BASE_NAME}.{place:06}");
    BinlogFile { path: "standard input".into(), name, bytes: 0 }
}

/// Which file of standard input has that name, if it is one of them.
pub fn place_on_standard_input(file: &str) -> Option<usize> {
    let place: usize = file.strip_prefix(BASE_NAME)?.strip_prefix('.')?.parse().ok()?;
    (nth_file(place).name == file).then_some(place)
}

/// Says that a later file is another server's.
pub(super) fn other_server(found: u32, known: &[u32]) -> ReadError {
    let known: Vec<String> = known.iter().map(u32::to_string).collect();
    ReadError::Format(format!(
        "what follows was logged by server id {found}, and not by {}",
        known.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_by_their_places() {
        assert_eq!(nth_file(12).name, "stdin.000012");
        assert_eq!(place_on_standard_input("stdin.000012"), Some(12));
        for other in ["stdin.12", "stdin", "a-bin.000012", "stdin.0000x2"] {
            assert_eq!(place_on_standard_input(other), None, "{other}");
        }
    }
}
