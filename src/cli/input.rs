//! Files that a person names, read whole and bounded; `-` is standard input.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::ensure;

/// The text of a file of at most `most` bytes.
pub(super) fn text(file: &Path, most: u64) -> anyhow::Result<String> {
    let mut text = String::new();
    let input: Box<dyn Read> =
        if file == Path::new("-") { Box::new(std::io::stdin()) } else { Box::new(File::open(file)?) };
    input.take(most + 1).read_to_string(&mut text)?;
    ensure!(text.len() as u64 <= most, "it is longer than {} MiB", most >> 20);
    Ok(text)
}
