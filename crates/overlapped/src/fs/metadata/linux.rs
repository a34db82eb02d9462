//! `std::os::linux::fs::MetadataExt`.
#![expect(deprecated, reason = "the trait's first method returns a deprecated type")]

use std::os::linux::fs::MetadataExt;
use std::os::unix::fs::MetadataExt as Unix;

use super::{Metadata, RawStat};

impl MetadataExt for Metadata {
    fn as_raw_stat(&self) -> &RawStat {
        self.raw.get_or_init(|| {
            // SAFETY: this is a C struct of integers, for which all bits zero is a value.
            let mut stat: RawStat = unsafe { std::mem::zeroed() };
            // The types of the fields differ from processor to processor.
            stat.st_dev = self.dev();
            stat.st_ino = self.ino();
            stat.st_mode = self.mode();
            stat.st_nlink = self.nlink() as _;
            stat.st_uid = self.uid();
            stat.st_gid = self.gid();
            stat.st_rdev = self.rdev();
            stat.st_size = self.size() as _;
            stat.st_blksize = self.blksize() as _;
            stat.st_blocks = self.blocks() as _;
            (stat.st_atime, stat.st_atime_nsec) = (self.atime() as _, self.atime_nsec() as _);
            (stat.st_mtime, stat.st_mtime_nsec) = (self.mtime() as _, self.mtime_nsec() as _);
            (stat.st_ctime, stat.st_ctime_nsec) = (self.ctime() as _, self.ctime_nsec() as _);
            Box::new(stat)
        })
    }

    fn st_dev(&self) -> u64 {
        self.dev()
    }
    fn st_ino(&self) -> u64 {
        self.ino()
    }
    fn st_mode(&self) -> u32 {
        self.mode()
    }
    fn st_nlink(&self) -> u64 {
        self.nlink()
    }
    fn st_uid(&self) -> u32 {
        self.uid()
    }
    fn st_gid(&self) -> u32 {
        self.gid()
    }
    fn st_rdev(&self) -> u64 {
        self.rdev()
    }
    fn st_size(&self) -> u64 {
        self.size()
    }
    fn st_atime(&self) -> i64 {
        self.atime()
    }
    fn st_atime_nsec(&self) -> i64 {
        self.atime_nsec()
    }
    fn st_mtime(&self) -> i64 {
        self.mtime()
    }
    fn st_mtime_nsec(&self) -> i64 {
        self.mtime_nsec()
    }
    fn st_ctime(&self) -> i64 {
        self.ctime()
    }
    fn st_ctime_nsec(&self) -> i64 {
        self.ctime_nsec()
    }
    fn st_blksize(&self) -> u64 {
        self.blksize()
    }
    fn st_blocks(&self) -> u64 {
        self.blocks()
    }
}
