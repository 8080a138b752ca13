//! Files that tests send.

use super::pattern::{PIECE, Pattern};
use std::{
    fs::File,
    io::{self, Seek, SeekFrom, Write},
};

/// Files larger than this are sparse.
const DENSE: u64 = 1 << 20;

/// The number of parts of a sparse file that are not zeros.
const ISLANDS: u64 = 16;

/// Creates a temporary file of `size` bytes, rewound. Files of different seeds have
/// different content.
pub fn of_size(size: u64, seed: u64) -> io::Result<File> {
    let pattern = Pattern::new(seed);
    let mut file = tempfile::tempfile()?;
    if size <= DENSE {
        file.write_all(&pattern.to_vec(size as usize))?;
    } else {
        file.set_len(size)?;
        for island in 0..=ISLANDS {
            // The last one ends at the end of the file.
            let start = (size - PIECE as u64) / ISLANDS * island;
            file.seek(SeekFrom::Start(start))?;
            file.write_all(pattern.at(start, PIECE))?;
        }
    }
    file.rewind()?;
    Ok(file)
}
