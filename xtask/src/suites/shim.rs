//! std itself, with the helpers that its own tests have beside it.
//!
//! The root of a crate of its own, which `scratch.rs` writes. It has no path that begins with
//! `crate`: tidy would take it for one of xtask.
#![allow(warnings)]

pub use std::*;

pub mod net {
    pub use std::net::*;
    pub mod test {
        pub use super::*;
        pub use super::super::net_tests::*;
    }
}

pub mod os {
    pub use std::os::*;
    pub mod unix {
        pub use std::os::unix::*;
        pub mod fs {
            pub use std::os::unix::fs::*;
            // The tests beside this module use its imports.
            pub use super::super::super::fs::{self, OpenOptions, Permissions};
            pub use super::super::super::io::{self, Read, Write};
        }
    }
}

/// Runs the body of a test.
#[track_caller]
pub fn within<T>(f: impl FnOnce() -> T) -> T {
    f()
}
