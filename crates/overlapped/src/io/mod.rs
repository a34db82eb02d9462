//! Pipes, copying and standard streams with std's names, blocking only the calling tasklet.
//!
//! | here | as in std, and |
//! |---|---|
//! | [`pipe`], [`PipeReader`], [`PipeWriter`] | any number of tasklets may wait on one end |
//! | [`copy`] | between this library's streams the bytes go as by `transfer` |
//! | [`stdin`], [`stdout`], [`stderr`] | a descriptor shared with other processes keeps its mode |
//! | [`transfer`], [`transfer_up_to`] | not in std: between descriptors, in the kernel if it can |
//!
//! All other items are std's own, so that a change of the import is enough: `use overlapped::io`
//! instead of `use std::io`.

mod copy;
pub mod raw;
mod stdio;

pub use std::io::*;

pub use crate::pipe::{
    PipeReader, PipeWriter, Side, TransferError, pipe, transfer, transfer_up_to,
};
pub use copy::copy;
pub use stdio::{Stderr, StderrLock, Stdin, StdinLock, Stdout, StdoutLock, stderr, stdin, stdout};
