//! std, with this library's types in the place of its own.
//!
//! The root of a crate of its own, which `scratch.rs` writes. It has no path that begins with
//! `crate`: tidy would take it for one of xtask.
#![allow(warnings)]

pub use std::*;

pub mod net {
    pub use overlapped::net::{Incoming, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
    pub use std::net::*;
    pub mod test {
        pub use super::*;
        pub use super::super::net_tests::*;
    }
}

pub mod fs {
    pub use overlapped::fs::{
        DirBuilder, DirEntry, File, FileType, Metadata, OpenOptions, ReadDir, TryLockError,
        canonicalize, copy, create_dir, create_dir_all, exists, hard_link, metadata, read, read_dir,
        read_link, read_to_string, remove_dir, remove_dir_all, remove_file, rename,
        set_permissions, soft_link, symlink_metadata, write,
    };
    pub use std::fs::*;
}

pub mod io {
    pub use overlapped::io::{
        PipeReader, PipeWriter, Stderr, StderrLock, Stdin, StdinLock, Stdout, StdoutLock, copy,
        pipe, stderr, stdin, stdout,
    };
    pub use std::io::*;
}

pub mod process {
    pub use overlapped::process::{
        Child, ChildStderr, ChildStdin, ChildStdout, Command, exit, id,
    };
    pub use std::process::*;
}

pub mod thread {
    pub use overlapped::thread::{
        Builder, JoinHandle, Scope, ScopedJoinHandle, Thread, ThreadId, current, park,
        park_timeout, scope, sleep, spawn, yield_now,
    };
    pub use std::thread::*;
}

pub mod time {
    pub use overlapped::time::Instant;
    pub use std::time::*;
}

pub mod sync {
    pub use overlapped::sync::{
        Barrier, BarrierWaitResult, Condvar, LazyLock, Mutex, MutexGuard, OnceLock, RwLock,
        RwLockReadGuard, RwLockWriteGuard, WaitTimeoutResult,
    };
    pub use std::sync::*;
    pub mod poison {
        pub use overlapped::sync::{
            Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard,
        };
        pub use std::sync::{LockResult, PoisonError, TryLockError, TryLockResult};
    }
    pub mod mpsc {
        pub use overlapped::sync::mpsc::{
            IntoIter, Iter, Receiver, Sender, SyncSender, TryIter, channel, sync_channel,
        };
        pub use std::sync::mpsc::*;
    }
}

pub mod os {
    pub use std::os::*;
    pub mod unix {
        pub use std::os::unix::*;
        pub mod fs {
            pub use overlapped::os::unix::fs::{chown, chroot, fchown, lchown, symlink};
            pub use std::os::unix::fs::*;
            // The tests beside this module use its imports.
            pub use super::super::super::fs::{self, OpenOptions, Permissions};
            pub use super::super::super::io::{self, Read, Write};
        }
        pub mod net {
            pub use overlapped::os::unix::net::{Incoming, UnixDatagram, UnixListener, UnixStream};
            pub use std::os::unix::net::*;
        }
        pub mod process {
            pub use overlapped::os::unix::process::CommandExt;
            pub use std::os::unix::process::*;
        }
    }
}

/// Runs the body of a test as a program of its own: tasklets that it has spawned end with it, as
/// threads do.
#[track_caller]
pub fn within<T>(f: impl FnOnce() -> T) -> T {
    match overlapped::run_until(f) {
        Ok(value) => value,
        Err(error) => panic!("overlapped::run_until: {error}"),
    }
}
