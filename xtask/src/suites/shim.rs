//! std itself, with what its own tests have beside it.
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
            // What the tests beside it take from its imports.
            pub use crate::fs::{self, OpenOptions, Permissions};
            pub use crate::io::{self, Read, Write};
        }
    }
}

/// A test's body.
#[track_caller]
pub fn within<T>(f: impl FnOnce() -> T) -> T {
    f()
}
