//! `OpenOptions`, and the opening itself.
//!
//! An open may wait for ever: a FIFO waits for its other side, and a device may wait for anything.
//! Such opens have threads of their own (`offload`): they keep their meaning, and hold up no other
//! open. All other opens go to the ring. A path that is in the kernel's cache of names is opened at
//! once, in place. If other tasklets are ready, which may open files, too, the ring opens for all
//! of them in one call:
//!
//! ```text
//! O_EXCL, O_DIRECTORY, O_PATH, O_NONBLOCK? ──yes──────────────────▶ ring: never waits for ever
//!      │ no
//! creates, empties, in /dev? ──no─▶ open with O_NONBLOCK, from the cache ─┬─ a file ─▶ done
//!      │ yes                                        │ not in it           └─ a FIFO or a device,
//!      ◀────────────────────────────────────────────┘                 held ─▶ thread of its own
//! the kernel's cache of names ── a FIFO or a device ──────────────▶ thread of its own
//!      │ not in it      └─────── anything else, nothing ──────────▶ ring
//!      ▼
//! O_CREAT: try it with O_EXCL ── made ─▶ done
//!      │ there is something
//! ring: stat ── a FIFO or a device ───────────────────────────────▶ thread of its own
//!      └─────── anything else ────────────────────────────────────▶ ring
//! ```
//!
//! The checks before the open only affect speed, except in one case that the ring gets wrong. The
//! ring first tries an open with `O_NONBLOCK`. So if a FIFO replaces a file between the check and
//! the open, the open does not wait for the FIFO's other side.

use std::ffi::{CStr, CString};
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use super::File;
use super::owned_operation::{Base, OwnedOperation, c_path, stat};
use crate::op::{Fs, Op};
use crate::sys::descriptor;
use crate::sys::errno;
use crate::sys::file::O_PATH;
use crate::sys::file::nonblocking::{
    Cached, FileKind, Opened, cached, from_cache, open_cached, opened,
};
use crate::sys::file::{mode_may_wait, open_again, open_interruptible};
use crate::task::blocking::{begin_call, begin_disk_call, in_place, on_interruptible_thread};
use crate::task::in_tasklet;
use crate::task::wait::perform;

/// Options for opening a file; the counterpart of `std::fs::OpenOptions`. std's `OpenOptionsExt`
/// for Unix works on it, too.
///
/// ```
/// use std::io::Write;
/// use overlapped::fs::OpenOptions;
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("log");
/// overlapped::run(|| {
///     let mut log = OpenOptions::new().append(true).create(true).open(&path)?;
///     writeln!(log, "another line")
/// }).unwrap().unwrap();
/// ```
#[derive(Clone)]
pub struct OpenOptions {
    read: bool,
    write: bool,
    append: bool,
    truncate: bool,
    create: bool,
    create_new: bool,
    custom_flags: i32,
    mode: u32,
}

impl Default for OpenOptions {
    fn default() -> OpenOptions {
        OpenOptions::new()
    }
}

/// Opening of files, beside the options that it uses.
impl File {
    /// Opens a file to read from it.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn open<P: AsRef<Path>>(path: P) -> io::Result<File> {
        OpenOptions::new().read(true).open(path)
    }

    /// Opens a file to write to it. A missing file is created, an existing one is emptied.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn create<P: AsRef<Path>>(path: P) -> io::Result<File> {
        OpenOptions::new().write(true).create(true).truncate(true).open(path)
    }

    /// Creates a file and opens it to read and write.
    ///
    /// # Errors
    /// `AlreadyExists` if the path exists; those of open(2).
    pub fn create_new<P: AsRef<Path>>(path: P) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create_new(true).open(path)
    }

    /// Returns options for other ways to open a file.
    #[must_use]
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }
}

impl OpenOptions {
    /// Returns options that ask for nothing.
    #[must_use]
    pub fn new() -> OpenOptions {
        OpenOptions {
            read: false,
            write: false,
            append: false,
            truncate: false,
            create: false,
            create_new: false,
            custom_flags: 0,
            mode: 0o666,
        }
    }

    /// Asks for read access.
    pub fn read(&mut self, read: bool) -> &mut Self {
        self.read = read;
        self
    }

    /// Asks for write access.
    pub fn write(&mut self, write: bool) -> &mut Self {
        self.write = write;
        self
    }

    /// Asks for write access at the file's end, wherever that is by then.
    pub fn append(&mut self, append: bool) -> &mut Self {
        self.append = append;
        self
    }

    /// Empties the file first.
    pub fn truncate(&mut self, truncate: bool) -> &mut Self {
        self.truncate = truncate;
        self
    }

    /// Creates the file if it is missing.
    pub fn create(&mut self, create: bool) -> &mut Self {
        self.create = create;
        self
    }

    /// Creates the file, and fails if the path exists.
    pub fn create_new(&mut self, create_new: bool) -> &mut Self {
        self.create_new = create_new;
        self
    }

    /// Opens the file. A FIFO waits for its other side, as in std, and blocks only the calling
    /// tasklet.
    ///
    /// # Errors
    /// Those of open(2); `InvalidInput` for flags that make no sense together, as std.
    pub fn open<P: AsRef<Path>>(&self, path: P) -> io::Result<File> {
        self.open_at(path.as_ref())
    }

    fn open_at(&self, path: &Path) -> io::Result<File> {
        let path = c_path(path)?;
        let flags = libc::O_CLOEXEC
            | self.access()?
            | self.creation()?
            | self.custom_flags & !libc::O_ACCMODE;
        let (fd, kind) = open(path, flags, self.mode)?;
        Ok(File::new(fd, kind))
    }

    fn access(&self) -> io::Result<i32> {
        match (self.read, self.write, self.append) {
            (true, false, false) => Ok(libc::O_RDONLY),
            (false, true, false) => Ok(libc::O_WRONLY),
            (true, true, false) => Ok(libc::O_RDWR),
            (false, _, true) => Ok(libc::O_WRONLY | libc::O_APPEND),
            (true, _, true) => Ok(libc::O_RDWR | libc::O_APPEND),
            (false, false, false) if self.create || self.create_new || self.truncate => {
                Err(invalid(NEEDS_WRITE))
            }
            (false, false, false) => {
                Err(invalid("must specify at least one of read, write, or append access"))
            }
        }
    }

    fn creation(&self) -> io::Result<i32> {
        let makes = self.truncate || self.create || self.create_new;
        match (self.write, self.append) {
            (true, false) => {}
            (false, false) if makes => {
                return Err(invalid(NEEDS_WRITE));
            }
            (_, true) if self.truncate && !self.create_new => {
                return Err(invalid(NEEDS_WRITE));
            }
            (false, false) | (_, true) => {}
        }
        Ok(match (self.create, self.truncate, self.create_new) {
            (false, false, false) => 0,
            (true, false, false) => libc::O_CREAT,
            (false, true, false) => libc::O_TRUNC,
            (true, true, false) => libc::O_CREAT | libc::O_TRUNC,
            (_, _, true) => libc::O_CREAT | libc::O_EXCL,
        })
    }
}

impl fmt::Debug for OpenOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenOptions")
            .field("read", &self.read)
            .field("write", &self.write)
            .field("append", &self.append)
            .field("truncate", &self.truncate)
            .field("create", &self.create)
            .field("create_new", &self.create_new)
            .field("custom_flags", &self.custom_flags)
            .field("mode", &format_args!("0o{:06o}", self.mode))
            .finish()
    }
}

impl OpenOptionsExt for OpenOptions {
    fn mode(&mut self, mode: u32) -> &mut Self {
        self.mode = mode;
        self
    }

    fn custom_flags(&mut self, flags: i32) -> &mut Self {
        self.custom_flags = flags;
        self
    }
}

/// The text of std 1.96.
const NEEDS_WRITE: &str = "creating or truncating a file requires write or append access";

fn invalid(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// The name of the wait, for dumps.
const WAITS: &str = "an open that may wait for ever";

/// The folder of devices. Opening one in non-blocking mode first, and closing it, has an effect on
/// many of them.
const DEVICES: &[u8] = b"/dev/";

/// Flags with which no open waits for another process.
const NEVER_WAITS: i32 = libc::O_DIRECTORY | O_PATH | libc::O_NONBLOCK;

/// Opens a file: open(2), blocking the calling tasklet only. Returns the file's kind if it is
/// known.
fn open(path: CString, flags: i32, mode: u32) -> io::Result<(OwnedFd, Option<FileKind>)> {
    let is_exclusive = flags & libc::O_CREAT != 0 && flags & libc::O_EXCL != 0;
    if !in_tasklet() || is_exclusive || flags & NEVER_WAITS != 0 {
        return open_disk(path, flags, mode).map(|fd| (fd, None));
    }
    if !begin_call() {
        return open_now(path, flags, mode).map(|fd| (fd, None));
    }
    let changes_nothing = flags & (libc::O_CREAT | libc::O_TRUNC) == 0;
    if changes_nothing && !path.as_bytes().starts_with(DEVICES) {
        match open_from_cache(&path, flags)? {
            Opened::File(fd, kind) => return Ok((fd, Some(kind))),
            Opened::Early(early) => return open_waiting(early, path, flags).map(|fd| (fd, None)),
            Opened::Failed(code) => return Err(errno::error(code)),
            Opened::Unknown => {}
        }
    }
    open_asking(path, flags, mode).map(|fd| (fd, None))
}

/// Opens a path that is in the kernel's cache of names: in place, or, if other tasklets are ready
/// that may open files, too, in one call of the ring for all of them.
fn open_from_cache(path: &CStr, flags: i32) -> io::Result<Opened> {
    let how = from_cache(flags);
    let op = Op::Fs(Fs::OpenCached { path: path.as_ptr(), how: &raw const how });
    let call = begin_disk_call(&op);
    if !(call.may_wait && call.port_does && call.others_are_ready) {
        return in_place(|| open_cached(path, flags));
    }
    // SAFETY: path and `how` lie in this frame, and in the caller's, until `perform` returns.
    let result = match unsafe { perform(&op, None) } {
        // SAFETY: a successful open's result is a new descriptor that no other code knows.
        Ok(fd) => Ok(unsafe { descriptor::from_value(fd) }),
        Err(error) => Err(error.raw_os_error().ok_or(error)?),
    };
    Ok(opened(result, flags))
}

/// Opens a FIFO or a device for reading that another call has opened `early`, without waiting.
pub(super) fn open_held(early: OwnedFd, path: &Path) -> io::Result<File> {
    let fd = open_waiting(early, c_path(path)?, libc::O_CLOEXEC | libc::O_RDONLY)?;
    Ok(File::new(fd, None))
}

/// Opens a FIFO or a device, and waits for its other side. `early` stays open meanwhile: a process
/// that waits for a reader or a writer may have met it already.
fn open_waiting(early: OwnedFd, path: CString, flags: i32) -> io::Result<OwnedFd> {
    let early = Arc::new(early);
    // A weak share: a job that has not begun when its waiter leaves must not keep it open.
    let theirs = Arc::downgrade(&early);
    let opened = on_interruptible_thread(WAITS, move |interruptible| match theirs.upgrade() {
        Some(early) => open_again(&early, &path, flags, interruptible),
        None => Err(errno::cancelled()),
    });
    match opened.unwrap_or_else(|| Err(io::ErrorKind::WouldBlock.into()))? {
        Some(fd) => Ok(fd),
        None => Ok(Arc::into_inner(early).expect("the job has ended and is forgotten")),
    }
}

/// Opens a path after a check whether the open may wait for ever.
fn open_asking(path: CString, flags: i32, mode: u32) -> io::Result<OwnedFd> {
    let follow = flags & libc::O_NOFOLLOW == 0;
    let known = match cached(Base::Here.raw(), &path, follow) {
        Cached::Found(stat) => Some(stat.mode.into()),
        Cached::Failed(_) => None,
        Cached::Unknown => {
            if flags & libc::O_CREAT != 0 {
                match open_disk(path.clone(), flags | libc::O_EXCL, mode) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    result => return result,
                }
            }
            stat(Base::Here, path.clone(), follow).ok().map(|stat| stat.mode.into())
        }
    };
    if !known.is_some_and(mode_may_wait) {
        return open_disk(path, flags, mode);
    }
    let opened = on_interruptible_thread(WAITS, move |interruptible| {
        open_interruptible(&path, flags, mode, interruptible)
    });
    opened.unwrap_or_else(|| Err(io::ErrorKind::WouldBlock.into()))
}

fn open_disk(path: CString, flags: i32, mode: u32) -> io::Result<OwnedFd> {
    let opened = OwnedOperation::Open { path, flags, mode }.run()?.opened;
    Ok(opened.expect("an open that has succeeded has opened something"))
}

/// Opens a path for a caller that may not wait: files as usual, anything else with one attempt.
fn open_now(path: CString, flags: i32, mode: u32) -> io::Result<OwnedFd> {
    let stat = stat(Base::Here, path.clone(), true);
    if !stat.is_ok_and(|stat| mode_may_wait(stat.mode.into())) {
        return open_disk(path, flags, mode);
    }
    let fd = open_disk(path, flags | libc::O_NONBLOCK, mode).map_err(|error| {
        if errno::says_no_peer(&error) { io::ErrorKind::WouldBlock.into() } else { error }
    })?;
    descriptor::set_nonblocking(std::os::fd::AsFd::as_fd(&fd), false)?;
    Ok(fd)
}
