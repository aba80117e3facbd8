//! Writes the seeds of a target into a directory, as a corpus to begin with.
//!
//! usage: seeds TARGET DIRECTORY

use std::{fs, path::PathBuf};
use twinlog_fuzz::seeds;

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(target), Some(directory)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: seeds TARGET DIRECTORY");
        std::process::exit(2);
    };
    let directory = PathBuf::from(directory);
    fs::create_dir_all(&directory)?;
    let found = seeds::found(&target).into_iter().map(|(_, seed)| seed);
    for (number, seed) in seeds::of(&target).into_iter().chain(found).enumerate() {
        fs::write(directory.join(format!("seed-{number:04}")), seed)?;
    }
    Ok(())
}
