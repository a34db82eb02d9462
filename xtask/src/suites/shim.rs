//! std itself, with the helpers that its own tests have beside it.
#![allow(warnings)]

pub use std::*;

pub mod net {
    pub use std::net::*;
    pub mod test {
        pub use super::*;
        pub use crate::net_tests::*;
    }
}

pub mod os {
    pub use std::os::*;
    pub mod unix {
        pub use std::os::unix::*;
        pub mod fs {
            pub use std::os::unix::fs::*;
            // The tests beside this module use its imports.
            pub use crate::fs::{self, OpenOptions, Permissions};
            pub use crate::io::{self, Read, Write};
        }
    }
}

/// Runs the body of a test.
#[track_caller]
pub fn within<T>(f: impl FnOnce() -> T) -> T {
    f()
}
