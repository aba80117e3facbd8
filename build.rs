//! Gives the program a word for the form of the engine's memory.
//!
//! The memory that `watch` keeps in its store is only read by an engine that writes it the same
//! way, and means the same by it. The sources tell that more surely than a number that somebody has
//! to remember to raise: see `app/memory.rs`.

use std::{fs, io, path::Path};

/// The engine, and what makes the hashes of keys and rows that it remembers.
const SOURCES: [&str; 3] = ["src/binlog", "src/engine", "src/model"];

fn main() -> io::Result<()> {
    let mut hash = 0xcbf2_9ce4_8422_2325;
    for dir in SOURCES {
        println!("cargo::rerun-if-changed={dir}");
        add(Path::new(dir), &mut hash)?;
    }
    println!("cargo::rustc-env=TWINLOG_MEMORY_FORM={hash:016x}");
    Ok(())
}

/// FNV-1a over all files, in the order of their names; tests are no part of the form.
fn add(path: &Path, hash: &mut u64) -> io::Result<()> {
    if path.is_dir() {
        let mut paths: Vec<_> =
            fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
        paths.retain(|path| path.file_stem().is_none_or(|name| name != "tests"));
        paths.sort();
        return paths.iter().try_for_each(|path| add(path, hash));
    }
    for byte in fs::read(path)? {
        *hash = (*hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    Ok(())
}
