//! Auto traits and variance of every public type that has a counterpart in std, beside std's.
//!
//! For each pair of types the table compares which of `Send`, `Sync`, `Unpin`, `UnwindSafe` and
//! `RefUnwindSafe` either has, with values that have all of them, no `Sync`, none of them, and so
//! on. Differences are listed with their reasons. A difference that is not listed fails, and so
//! does a listed difference that no longer exists.

use std::cell::Cell;
use std::marker::{PhantomData, PhantomPinned};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::rc::Rc;

/// Tells whether a type has a trait: if it has, the method of the type itself is found first.
macro_rules! has {
    ($type:ty, $trait:ident) => {{
        struct Probe<T: ?Sized>(PhantomData<T>);
        #[allow(dead_code, reason = "not used where the type has the trait")]
        trait Lacks {
            const HAS: bool = false;
        }
        impl<T: ?Sized> Lacks for Probe<T> {}
        #[allow(dead_code, reason = "not used where the type lacks the trait")]
        impl<T: ?Sized + $trait> Probe<T> {
            const HAS: bool = true;
        }
        Probe::<$type>::HAS
    }};
}

const TRAITS: [&str; 5] = ["Send", "Sync", "Unpin", "UnwindSafe", "RefUnwindSafe"];

macro_rules! traits_of {
    ($type:ty) => {
        [
            has!($type, Send),
            has!($type, Sync),
            has!($type, Unpin),
            has!($type, UnwindSafe),
            has!($type, RefUnwindSafe),
        ]
    };
}

type Pair = (&'static str, [bool; 5], [bool; 5]);

/// Compares the traits of the types of these names, this library's and std's.
macro_rules! pairs {
    ($($type:ty),* $(,)?) => {
        vec![$((
            stringify!($type),
            {
                use ours::*;
                traits_of!($type)
            },
            {
                use theirs::*;
                traits_of!($type)
            },
        )),*]
    };
}

mod ours {
    pub(crate) use overlapped::fs::{
        DirBuilder, DirEntry, File, FileType, Metadata, OpenOptions, ReadDir, TryLockError,
    };
    pub(crate) use overlapped::io::{
        PipeReader, PipeWriter, Stderr, StderrLock, Stdin, StdinLock, Stdout, StdoutLock,
    };
    pub(crate) use overlapped::net::{Incoming, TcpListener, TcpStream, UdpSocket};
    pub(crate) use overlapped::os::unix::net::{
        Incoming as UnixIncoming, UnixDatagram, UnixListener, UnixStream,
    };
    pub(crate) use overlapped::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
    pub(crate) use overlapped::sync::mpsc::{
        IntoIter, Iter, Receiver, Sender, SyncSender, TryIter,
    };
    pub(crate) use overlapped::sync::{
        Barrier, BarrierWaitResult, Condvar, LazyLock, Mutex, MutexGuard, OnceLock, RwLock,
        RwLockReadGuard, RwLockWriteGuard, WaitTimeoutResult,
    };
    pub(crate) use overlapped::thread::{
        Builder, JoinHandle, Scope, ScopedJoinHandle, Thread, ThreadId,
    };
    pub(crate) use overlapped::time::Instant;
}

mod theirs {
    pub(crate) use std::fs::{
        DirBuilder, DirEntry, File, FileType, Metadata, OpenOptions, ReadDir, TryLockError,
    };
    pub(crate) use std::io::{
        PipeReader, PipeWriter, Stderr, StderrLock, Stdin, StdinLock, Stdout, StdoutLock,
    };
    pub(crate) use std::net::{Incoming, TcpListener, TcpStream, UdpSocket};
    pub(crate) use std::os::unix::net::{
        Incoming as UnixIncoming, UnixDatagram, UnixListener, UnixStream,
    };
    pub(crate) use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
    pub(crate) use std::sync::mpsc::{IntoIter, Iter, Receiver, Sender, SyncSender, TryIter};
    pub(crate) use std::sync::{
        Barrier, BarrierWaitResult, Condvar, LazyLock, Mutex, MutexGuard, OnceLock, RwLock,
        RwLockReadGuard, RwLockWriteGuard, WaitTimeoutResult,
    };
    pub(crate) use std::thread::{Builder, JoinHandle, Scope, ScopedJoinHandle, Thread, ThreadId};
    pub(crate) use std::time::Instant;
}

/// All traits; not `Sync`; neither `Send` nor `Sync`; not unwind safe; not `Unpin`.
type Plain = u8;
type Unshared = Cell<u8>;
type Local = Rc<()>;
type Unsafe = &'static mut Cell<u8>;
type Pinned = PhantomPinned;

/// The reason why a type's traits differ.
const STAYS: &str = "tasklets stay on their thread, and so does what spawns and joins them";
const NEED_NOT_SEND: &str = "a closure's result need not be `Send`; the handle is, if it is";
const MORE: &str =
    "more than std's: what a panic may have left half done is not reached through it";

/// The types whose traits differ.
const DIFFERENT: &[(&str, &[&str], &str)] = &[
    ("Scope<'static, 'static>", &["Send", "Sync"], STAYS),
    ("ScopedJoinHandle<'static, Plain>", &["Send", "Sync"], STAYS),
    ("ScopedJoinHandle<'static, Unsafe>", &["Send", "Sync"], STAYS),
    ("ScopedJoinHandle<'static, Pinned>", &["Send", "Sync"], STAYS),
    ("JoinHandle<Local>", &["Send", "Sync"], NEED_NOT_SEND),
    ("JoinHandle<Plain>", &["UnwindSafe", "RefUnwindSafe"], MORE),
    ("JoinHandle<Unshared>", &["UnwindSafe", "RefUnwindSafe"], MORE),
    ("JoinHandle<Local>", &["UnwindSafe", "RefUnwindSafe"], MORE),
    ("JoinHandle<Unsafe>", &["UnwindSafe", "RefUnwindSafe"], MORE),
    ("JoinHandle<Pinned>", &["UnwindSafe", "RefUnwindSafe"], MORE),
];

#[test]
fn auto_traits_are_stds() {
    let pairs: Vec<Pair> = pairs![
        DirBuilder,
        DirEntry,
        File,
        FileType,
        Metadata,
        OpenOptions,
        ReadDir,
        TryLockError,
        PipeReader,
        PipeWriter,
        Stderr,
        StderrLock<'static>,
        Stdin,
        StdinLock<'static>,
        Stdout,
        StdoutLock<'static>,
        Incoming<'static>,
        TcpListener,
        TcpStream,
        UdpSocket,
        UnixIncoming<'static>,
        UnixDatagram,
        UnixListener,
        UnixStream,
        Child,
        ChildStderr,
        ChildStdin,
        ChildStdout,
        Command,
        Barrier,
        BarrierWaitResult,
        Condvar,
        WaitTimeoutResult,
        Instant,
        Builder,
        Thread,
        ThreadId,
        Scope<'static, 'static>,
        Mutex<Plain>,
        Mutex<Unshared>,
        Mutex<Local>,
        Mutex<Unsafe>,
        Mutex<Pinned>,
        MutexGuard<'static, Plain>,
        MutexGuard<'static, Unshared>,
        MutexGuard<'static, Local>,
        MutexGuard<'static, Unsafe>,
        MutexGuard<'static, Pinned>,
        RwLock<Plain>,
        RwLock<Unshared>,
        RwLock<Local>,
        RwLock<Unsafe>,
        RwLock<Pinned>,
        RwLockReadGuard<'static, Plain>,
        RwLockReadGuard<'static, Unshared>,
        RwLockReadGuard<'static, Local>,
        RwLockReadGuard<'static, Unsafe>,
        RwLockReadGuard<'static, Pinned>,
        RwLockWriteGuard<'static, Plain>,
        RwLockWriteGuard<'static, Unshared>,
        RwLockWriteGuard<'static, Local>,
        RwLockWriteGuard<'static, Unsafe>,
        RwLockWriteGuard<'static, Pinned>,
        OnceLock<Plain>,
        OnceLock<Unshared>,
        OnceLock<Local>,
        OnceLock<Unsafe>,
        OnceLock<Pinned>,
        LazyLock<Plain>,
        LazyLock<Unshared>,
        LazyLock<Local>,
        LazyLock<Unsafe>,
        LazyLock<Pinned>,
        Sender<Plain>,
        Sender<Unshared>,
        Sender<Local>,
        Sender<Unsafe>,
        Sender<Pinned>,
        SyncSender<Plain>,
        SyncSender<Unshared>,
        SyncSender<Local>,
        SyncSender<Unsafe>,
        SyncSender<Pinned>,
        Receiver<Plain>,
        Receiver<Unshared>,
        Receiver<Local>,
        Receiver<Unsafe>,
        Receiver<Pinned>,
        Iter<'static, Plain>,
        Iter<'static, Local>,
        Iter<'static, Unsafe>,
        TryIter<'static, Plain>,
        TryIter<'static, Local>,
        TryIter<'static, Unsafe>,
        IntoIter<Plain>,
        IntoIter<Local>,
        IntoIter<Unsafe>,
        IntoIter<Pinned>,
        JoinHandle<Plain>,
        JoinHandle<Unshared>,
        JoinHandle<Local>,
        JoinHandle<Unsafe>,
        JoinHandle<Pinned>,
        ScopedJoinHandle<'static, Plain>,
        ScopedJoinHandle<'static, Local>,
        ScopedJoinHandle<'static, Unsafe>,
        ScopedJoinHandle<'static, Pinned>,
    ];
    let each = |(name, traits, _): &(&'static str, &'static [&'static str], _)| {
        let name = *name;
        traits.iter().map(move |what| (name, *what))
    };
    let mut listed: Vec<_> = DIFFERENT.iter().flat_map(each).collect();
    let mut wrong = Vec::new();
    for (name, ours, theirs) in &pairs {
        for (i, what) in TRAITS.iter().enumerate().filter(|(i, _)| ours[*i] != theirs[*i]) {
            match listed.iter().position(|known| known == &(*name, *what)) {
                Some(known) => drop(listed.remove(known)),
                None => wrong.push(format!("{name}: {what} here {}, std {}", ours[i], theirs[i])),
            }
        }
    }
    assert!(wrong.is_empty(), "{} pairs:\n{}", pairs.len(), wrong.join("\n"));
    assert!(listed.is_empty(), "no difference any more: {listed:?}");
}

/// This library's types are covariant in the same parameters as std's: each line compiles for both.
/// Types that must be invariant have a cell, and the compile_fail example of `overlapped::Channel`.
macro_rules! covariant {
    ($($name:ident: $long:ty => $short:ty;)*) => {
        mod covariant_here {
            #![allow(dead_code, reason = "compiled is enough")]
            use super::ours::*;
            $(fn $name<'long: 'short, 'short>(value: $long) -> $short { value })*
        }
        mod covariant_in_std {
            #![allow(dead_code, reason = "compiled is enough")]
            use super::theirs::*;
            $(fn $name<'long: 'short, 'short>(value: $long) -> $short { value })*
        }
    };
}

covariant! {
    read_guard: RwLockReadGuard<'long, &'long str> => RwLockReadGuard<'short, &'short str>;
    write_guard: RwLockWriteGuard<'long, u8> => RwLockWriteGuard<'short, u8>;
    mutex_guard: MutexGuard<'long, u8> => MutexGuard<'short, u8>;
    stdin: StdinLock<'long> => StdinLock<'short>;
    stdout: StdoutLock<'long> => StdoutLock<'short>;
    stderr: StderrLock<'long> => StderrLock<'short>;
    incoming: Incoming<'long> => Incoming<'short>;
    unix_incoming: UnixIncoming<'long> => UnixIncoming<'short>;
    iter: Iter<'long, u8> => Iter<'short, u8>;
    try_iter: TryIter<'long, u8> => TryIter<'short, u8>;
}

/// Passes a guard of `'static` for a shorter one, as a caller does.
#[test]
fn a_read_guard_is_covariant_in_its_value() {
    use overlapped::sync::{RwLock, RwLockReadGuard};
    fn first<'a>(guard: RwLockReadGuard<'static, &'static str>) -> RwLockReadGuard<'a, &'a str> {
        guard
    }
    static LOCK: RwLock<&'static str> = RwLock::new("static");
    assert_eq!(*first(LOCK.read().unwrap()), "static");
    assert!(LOCK.try_write().is_ok());
}
