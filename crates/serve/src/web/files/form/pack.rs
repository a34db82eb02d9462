//! Packing: contents that are made smaller on the way.
//!
//! All at once, in a job of the pool, with windows no larger than the contents may be: so a job
//! needs a few MiB, whatever it packs. At these levels a megabyte of source text took 5 to 25 ms
//! with zstd, 50 to 70 with gzip and 150 to 190 with brotli, on a processor that others used, too.

use std::io::{self, Write};

use super::Coding;

/// The level of brotli, between 0 and 11.
const BROTLI_LEVEL: u32 = 5;
/// A window of 2^20 bytes.
const BROTLI_WINDOW: u32 = 20;
const BROTLI_BUFFER: usize = 16 << 10;
/// The level of zstd, between 1 and 22: a window of at most 2 MiB.
const ZSTD_LEVEL: i32 = 3;
/// The level of gzip, between 1 and 9.
const GZIP_LEVEL: u32 = 5;

/// `content` in a coding.
pub(crate) fn pack(content: &[u8], coding: Coding) -> io::Result<Vec<u8>> {
    match coding {
        Coding::Identity => Ok(content.to_vec()),
        Coding::Brotli | Coding::PackedBrotli => {
            let (level, window) = (BROTLI_LEVEL, BROTLI_WINDOW);
            let mut packed = Vec::new();
            let mut packer =
                brotli::CompressorWriter::new(&mut packed, BROTLI_BUFFER, level, window);
            packer.write_all(content)?;
            packer.flush()?;
            drop(packer);
            Ok(packed)
        }
        Coding::Zstd | Coding::PackedZstd => zstd::bulk::compress(content, ZSTD_LEVEL),
        Coding::Gzip | Coding::PackedGzip => {
            let level = flate2::Compression::new(GZIP_LEVEL);
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), level);
            packer.write_all(content)?;
            packer.finish()
        }
    }
}
