//! A growing window over a byte stream, cut into events.

use crate::binlog::{
    ReadError,
    event::{HEADER_BYTES, kind},
};
use std::io::{self, Read};

/// Bytes of the magic number.
const MAGIC_BYTES: usize = 4;

/// Bytes of a file's first event at most, which describes the format: servers write some 250.
const FIRST_EVENT_BYTES_MAX: u32 = 1 << 16;

/// Bytes asked of the stream at once.
const CHUNK_BYTES: usize = 1 << 20;

/// Reads a file's bytes and hands them out event by event.
///
/// Reads, and does not map: a file that its server truncates under a mapping would kill the
/// process, and the copy costs a few percent.
pub(super) struct Window<R> {
    input: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Offset in the file of `buffer[start]`.
    offset: u64,
}

/// What ends reading early.
pub(super) enum WindowError {
    Io(io::Error),
    Read(ReadError),
}

impl From<ReadError> for WindowError {
    fn from(error: ReadError) -> Self {
        WindowError::Read(error)
    }
}

impl From<io::Error> for WindowError {
    fn from(error: io::Error) -> Self {
        WindowError::Io(error)
    }
}

impl<R: Read> Window<R> {
    pub(super) fn new(input: R) -> Self {
        Window { input, buffer: vec![0; CHUNK_BYTES], start: 0, end: 0, offset: 0 }
    }

    /// A window over an input that stands at this offset of its file.
    pub(super) fn at(input: R, offset: u64) -> Self {
        Window { offset, ..Window::new(input) }
    }

    /// Offset of the next byte.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next `count` bytes, fewer at the end of the input.
    fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        while self.end - self.start < count {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            // Grow with what really comes: a length that lies must not cost its worth in memory.
            let room = self.end + CHUNK_BYTES.max(self.end);
            if self.buffer.len() < room.min(count.max(CHUNK_BYTES)) {
                self.buffer.resize(room.min(count.max(CHUNK_BYTES)), 0);
            }
            match self.input.read(&mut self.buffer[self.end..]) {
                Ok(0) => break,
                Ok(read) => self.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(&self.buffer[self.start..self.end.min(self.start + count)])
    }

    fn consume(&mut self, count: usize) {
        self.start += count;
        self.offset += count as u64;
    }

    /// Takes the magic number that opens every binlog file.
    pub(super) fn magic(&mut self) -> Result<(), WindowError> {
        let found = self.peek(MAGIC_BYTES)?.to_vec();
        self.consume(found.len());
        check_magic(&found)
    }

    /// The first event, of an input from which nothing was taken; it stays there.
    pub(super) fn first_event(&mut self) -> Result<Vec<u8>, WindowError> {
        let magic = self.peek(MAGIC_BYTES)?.to_vec();
        check_magic(&magic)?;
        let head = self.peek(MAGIC_BYTES + HEADER_BYTES)?;
        let size = head.get(MAGIC_BYTES + 9..MAGIC_BYTES + 13).map_or(0, little_endian);
        if !(HEADER_BYTES as u32..=FIRST_EVENT_BYTES_MAX).contains(&size) {
            return Err(WindowError::Read(match size {
                0 => ReadError::Truncated,
                size => ReadError::EventBytes(size),
            }));
        }
        let bytes = self.peek(MAGIC_BYTES + size as usize)?;
        let event = bytes.get(MAGIC_BYTES..MAGIC_BYTES + size as usize);
        Ok(event.ok_or(ReadError::Truncated)?.to_vec())
    }

    /// Whether another file begins here, where files come one after the other; then its offsets
    /// count from here.
    ///
    /// A magic number could also be the time of an event in 2028. A format description follows it
    /// in a plain file; in an encrypted one, a byte that as an event's type no server writes.
    pub(super) fn enters_file(&mut self) -> Result<bool, WindowError> {
        let head = self.peek(MAGIC_BYTES + HEADER_BYTES + 2)?;
        let enters = match head.get(..MAGIC_BYTES) {
            Some(b"\xfebin") => {
                head.get(8) == Some(&kind::FORMAT_DESCRIPTION) && head.get(23..25) == Some(&[4, 0])
            }
            Some(b"\xfdbin") => head.get(4) == Some(&1),
            _ => false,
        };
        if enters {
            self.offset = 0;
        }
        Ok(enters)
    }

    /// The next event with its offset; `None` at the end of the input.
    pub(super) fn event(&mut self) -> Result<Option<(u64, &[u8])>, WindowError> {
        let offset = self.offset;
        let header = self.peek(HEADER_BYTES)?;
        if header.is_empty() {
            return Ok(None);
        }
        let Some(size) = header.get(9..13).filter(|_| header.len() == HEADER_BYTES) else {
            return Err(WindowError::Read(ReadError::Truncated));
        };
        let size = little_endian(size);
        let bytes = size as usize;
        if bytes < HEADER_BYTES {
            return Err(WindowError::Read(ReadError::EventBytes(size)));
        }
        if self.peek(bytes)?.len() < bytes {
            return Err(WindowError::Read(ReadError::Truncated));
        }
        let at = self.start;
        self.consume(bytes);
        Ok(Some((offset, &self.buffer[at..at + bytes])))
    }
}

fn check_magic(found: &[u8]) -> Result<(), WindowError> {
    match found {
        b"\xfebin" => Ok(()),
        b"\xfdbin" => Err(WindowError::Read(ReadError::Encrypted)),
        [] => Err(WindowError::Read(ReadError::Empty)),
        _ => Err(format_error("the file is no binlog (it does not begin with fe 62 69 6e)")),
    }
}

fn little_endian(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u32::from(*byte))
}

fn format_error(message: &str) -> WindowError {
    WindowError::Read(ReadError::Format(message.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lying_length_costs_no_more_than_the_input() {
        let mut input = b"\xfebin".to_vec();
        input.extend([0; 9]);
        input.extend(0xffff_fff0_u32.to_le_bytes());
        input.extend([0; 100]);
        let mut window = Window::new(input.as_slice());
        assert!(window.magic().is_ok());
        assert!(matches!(window.event(), Err(WindowError::Read(ReadError::Truncated))));
        assert!(window.buffer.len() <= 2 * CHUNK_BYTES);
    }
}
