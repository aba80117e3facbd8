//! Plain bytes of a file, or of standard input, that may be packed.

use super::{BinlogFile, FeedError, window::Window};
use std::{
    fs::File,
    io::{self, BufReader, Chain, Cursor, Read},
};

/// A stream's bytes, wherever they come from.
pub(super) type AnyWindow = Window<Box<dyn Read + Send>>;

/// Opens a file; its name says how it is packed.
pub(super) fn open(node: &str, file: &BinlogFile) -> Result<AnyWindow, FeedError> {
    let io = |source| FeedError::Io { node: node.to_owned(), path: file.path.clone(), source };
    let plain = File::open(&file.path).map_err(io)?;
    let input: Box<dyn Read + Send> = match file.path.extension().and_then(|e| e.to_str()) {
        Some("gz") => Box::new(flate2::read::MultiGzDecoder::new(plain)),
        Some("zst") => Box::new(zstd::Decoder::new(plain).map_err(io)?),
        _ => Box::new(plain),
    };
    Ok(Window::new(input))
}

/// Unpacks an input of which no name says how it is packed: its first bytes do.
///
/// # Source
/// RFC 1952, section 2.3.1 (gzip), and RFC 8878, section 3.1.1 (Zstandard).
pub(super) fn unpacked(mut input: impl Read + Send + 'static) -> io::Result<AnyWindow> {
    let mut first = Vec::new();
    input.by_ref().take(4).read_to_end(&mut first)?;
    let kind = first.clone();
    let whole: Chain<Cursor<Vec<u8>>, _> = Cursor::new(first).chain(input);
    let plain: Box<dyn Read + Send> = match kind.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(flate2::read::MultiGzDecoder::new(BufReader::new(whole))),
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(zstd::Decoder::new(whole)?),
        _ => Box::new(whole),
    };
    Ok(Window::new(plain))
}
