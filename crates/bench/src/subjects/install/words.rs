//! The server of `crates/install/examples/server.rs`, line by line, over any stream.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};

/// Counts words. Each line is a word, and the answer is the word with its count.
pub(super) fn count(
    stream: impl Read,
    mut answers: impl Write,
    mut words: impl FnMut(&str) -> u64,
) -> io::Result<()> {
    for line in BufReader::new(stream).lines() {
        let line = line?;
        let count = words(&line);
        answers.write_all(format!("{line} {count}\n").as_bytes())?;
    }
    Ok(())
}

/// Adds one to the count of a word, and returns it.
pub(super) fn more(words: &mut HashMap<String, u64>, line: &str) -> u64 {
    let count = words.entry(line.to_owned()).or_default();
    *count += 1;
    *count
}
