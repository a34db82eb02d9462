//! The ring itself: set-up, what the kernel can do, and the one system call.
//!
//! A ring belongs to the thread that opened it (SINGLE_ISSUER), and its completions are produced
//! only inside that thread's own `enter` (DEFER_TASKRUN): nothing is written to memory of ours
//! behind our back except the results of operations. Linux 6.1 is the first kernel that can do
//! this; older ones get the poll backend rather than a second way through this file.
//!
//! The ring's own descriptor is registered, which saves a lookup per call. A registered
//! descriptor keeps the ring open, so it is unregistered before the ring is closed.

use std::io;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use io_uring::squeue::Entry;
use io_uring::types::{SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring, Probe, cqueue, opcode};

use crate::driver::choose::{Opcodes, PortConfig};

/// The maximum numbers of workers for blocking operations: for those on files, which end, and for
/// all others, which may never end. The kernel's defaults are 4 per CPU, and the process limit. On
/// a small machine, eight opens that wait for ever would stop every other create and stat.
const WORKERS: [u32; 2] = [32, 64];

/// The kernel refuses times that overflow its clock.
const LONG: Duration = Duration::from_secs(1 << 30);

/// The opcodes that a port cannot do without, by name.
const NEEDED: [(u8, &str); 3] = [
    (opcode::PollAdd::CODE, "POLL_ADD"),
    (opcode::AsyncCancel::CODE, "ASYNC_CANCEL"),
    (opcode::Read::CODE, "READ"),
];

/// The opcodes that are used if the kernel has them.
pub(in crate::driver) const USED: [(u8, &str); 23] = [
    (opcode::Accept::CODE, "ACCEPT"),
    (opcode::Connect::CODE, "CONNECT"),
    (opcode::Recv::CODE, "RECV"),
    (opcode::Send::CODE, "SEND"),
    (opcode::RecvMsg::CODE, "RECVMSG"),
    (opcode::SendMsg::CODE, "SENDMSG"),
    (opcode::Read::CODE, "READ"),
    (opcode::Write::CODE, "WRITE"),
    (opcode::Splice::CODE, "SPLICE"),
    (opcode::Readv::CODE, "READV"),
    (opcode::Writev::CODE, "WRITEV"),
    (opcode::Fsync::CODE, "FSYNC"),
    (opcode::Ftruncate::CODE, "FTRUNCATE"),
    (opcode::OpenAt::CODE, "OPENAT"),
    (opcode::OpenAt2::CODE, "OPENAT2"),
    (opcode::Statx::CODE, "STATX"),
    (opcode::RenameAt::CODE, "RENAMEAT"),
    (opcode::UnlinkAt::CODE, "UNLINKAT"),
    (opcode::MkDirAt::CODE, "MKDIRAT"),
    (opcode::LinkAt::CODE, "LINKAT"),
    (opcode::SymlinkAt::CODE, "SYMLINKAT"),
    (opcode::PollAdd::CODE, "POLL_ADD"),
    (opcode::AsyncCancel::CODE, "ASYNC_CANCEL"),
];

/// The work that waits for an `enter`, as the queues' memory shows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hints {
    /// Entries to submit.
    pub(super) queued: u32,
    /// Completions did not fit into the ring and wait in the kernel.
    pub(super) overflow: bool,
    /// Completions may wait for the next `enter` to produce them. It can be stale: true although
    /// there is nothing, until an `enter` that finds something.
    pub(super) taskrun: bool,
}

pub(in crate::driver) struct Ring {
    /// Taken down by hand: see [`Ring::drop`].
    io: ManuallyDrop<IoUring>,
    /// The process that opened it. A child of fork(2) must not touch it.
    process: u32,
    /// The descriptor as `enter` wants it: registered index or plain number.
    enter_fd: RawFd,
    enter_flags: u32,
    /// Opcodes that the kernel lacks, or that a test takes away.
    missing: Opcodes,
    /// Rings belong to their thread.
    thread: PhantomData<*const ()>,
}

impl Ring {
    /// Opens a ring. The error is the kernel's own, or `Unsupported` and names what is missing.
    pub(in crate::driver) fn open(config: &PortConfig) -> io::Result<Ring> {
        let io = build(config)?;
        let mut probe = Probe::new();
        io.submitter().register_probe(&mut probe)?;
        check(&io, &probe)?;
        let mut missing = config.without;
        for (code, _) in USED {
            if !probe.is_supported(code) {
                missing = missing.with(code);
            }
        }
        // A limit that cannot be set leaves the kernel's own in place.
        let _ = io.submitter().register_iowq_max_workers(&mut { WORKERS });
        let mut enter_flags = 0;
        if io.params().is_feature_no_iowait() {
            enter_flags |= EnterFlags::NO_IOWAIT.bits();
        }
        let mut enter_fd = io.as_raw_fd();
        if let Ok(index) = register_fd(enter_fd, &mut RegisterFd::any(enter_fd)) {
            enter_fd = index;
            enter_flags |= EnterFlags::REGISTERED_RING.bits();
        }
        let (io, process) = (ManuallyDrop::new(io), std::process::id());
        Ok(Ring { io, process, enter_fd, enter_flags, missing, thread: PhantomData })
    }

    pub(in crate::driver) fn missing(&self) -> Opcodes {
        self.missing
    }

    pub(in crate::driver) fn params(&self) -> &io_uring::Parameters {
        self.io.params()
    }

    /// Returns the descriptor to which other threads send messages.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the ring's own descriptor, open as long as the ring is.
        unsafe { BorrowedFd::borrow_raw(self.io.as_raw_fd()) }
    }

    /// Tells whether this is a copy that fork(2) made.
    pub(super) fn is_foreign(&self) -> bool {
        self.process != std::process::id()
    }

    /// Queues `entry` for the next `enter`. Returns false if the queue is full.
    ///
    /// # Safety
    /// The same as for [`Driver::submit`](crate::driver::Driver::submit): memory and descriptor in
    /// `entry` stay valid until its completion has been taken.
    #[inline]
    pub(super) unsafe fn push(&mut self, entry: &Entry) -> bool {
        // SAFETY: the caller's promise.
        unsafe { self.io.submission().push(entry) }.is_ok()
    }

    #[inline]
    pub(super) fn hints(&self) -> Hints {
        // SAFETY: `self` is not shared between threads, and the queue's view ends here, so no
        // other one exists.
        let queue = unsafe { self.io.submission_shared() };
        let (queued, overflow) = (queue.len() as u32, queue.cq_overflow());
        Hints { queued, overflow, taskrun: queue.taskrun() }
    }

    /// Tells whether completions can be taken without a system call.
    #[inline]
    pub(super) fn has_completions(&self) -> bool {
        // SAFETY: as in `hints`, for the other queue.
        !unsafe { self.io.completion_shared() }.is_empty()
    }

    /// Returns the completions to take. Those that are taken make room for the kernel when the view
    /// ends.
    #[inline]
    pub(super) fn completions(&mut self) -> cqueue::CompletionQueue<'_> {
        self.io.completion()
    }

    /// Submits `submit` entries and nothing else: no completion is produced.
    pub(super) fn submit(&mut self, submit: u32) -> io::Result<u32> {
        // SAFETY: without EXT_ARG a null argument is what the kernel expects.
        unsafe { self.enter(submit, 0, 0, std::ptr::null(), 0) }
    }

    /// Submits `submit` entries and produces due completions. With `sleep`, waits for the first
    /// one, for at most `timeout`.
    pub(super) fn submit_and_get(
        &mut self,
        submit: u32,
        sleep: bool,
        timeout: Option<Duration>,
    ) -> io::Result<u32> {
        let flags = EnterFlags::GETEVENTS.bits();
        let Some(timeout) = timeout.filter(|_| sleep) else {
            // SAFETY: without EXT_ARG a null argument is what the kernel expects.
            return unsafe { self.enter(submit, sleep.into(), flags, std::ptr::null(), 0) };
        };
        let timeout = Timespec::from(timeout.min(LONG));
        let args = SubmitArgs::new().timespec(&timeout);
        let flags = flags | EnterFlags::EXT_ARG.bits();
        let (pointer, size) = ((&raw const args).cast(), size_of_val(&args));
        // SAFETY: with EXT_ARG the kernel expects an `io_uring_getevents_arg`, which `SubmitArgs`
        // is, and its size; it and the time it points to outlive the call.
        unsafe { self.enter(submit, 1, flags, pointer, size) }
    }

    /// # Safety
    /// `arg` and `size` are what `flags` make the kernel expect.
    #[inline]
    unsafe fn enter(
        &mut self,
        submit: u32,
        complete: u32,
        flags: u32,
        arg: *const libc::c_void,
        size: usize,
    ) -> io::Result<u32> {
        // The crate's own `enter` remembers a registered descriptor only within one borrow.
        // SAFETY: the descriptor is the ring's; the entries' memory was promised at `push`;
        // `arg` was promised by the caller.
        let result = unsafe {
            libc::syscall(
                libc::SYS_io_uring_enter,
                self.enter_fd,
                submit,
                complete,
                flags | self.enter_flags,
                arg,
                size,
            )
        };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as u32) }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // In a child of fork(2) the ring's memory is not mapped (DONTFORK), and its addresses may
        // be used for something else by now, which unmapping would hit. So the memory is left
        // alone.
        if self.is_foreign() {
            return;
        }
        if self.enter_fd != self.io.as_raw_fd() {
            let mut argument = RegisterFd { offset: self.enter_fd as u32, reserved: 0, data: 0 };
            let _ = unregister_fd(self.io.as_raw_fd(), &mut argument);
        }
        // SAFETY: `io` is not used again.
        unsafe { ManuallyDrop::drop(&mut self.io) };
    }
}

fn build(config: &PortConfig) -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    builder
        .dontfork()
        .setup_clamp()
        .setup_cqsize(config.cq_entries.max(config.entries))
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_submit_all()
        .setup_taskrun_flag();
    let plain = builder.clone();
    // Linux 6.6 and later do without the indirection; earlier ones refuse the flag.
    match builder.setup_no_sqarray().build(config.entries) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => plain.build(config.entries),
        other => other,
    }
}

/// Returns an error that names a missing feature, if one is missing that has no substitute.
fn check(io: &IoUring, probe: &Probe) -> io::Result<()> {
    let params = io.params();
    let features = [
        (params.is_feature_nodrop(), "NODROP"),
        (params.is_feature_submit_stable(), "SUBMIT_STABLE"),
        (params.is_feature_rw_cur_pos(), "RW_CUR_POS"),
        (params.is_feature_fast_poll(), "FAST_POLL"),
        (params.is_feature_ext_arg(), "EXT_ARG"),
    ];
    let missing: Vec<&str> = features
        .into_iter()
        .chain(NEEDED.map(|(code, name)| (probe.is_supported(code), name)))
        .filter_map(|(there, name)| (!there).then_some(name))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let text = format!("io_uring lacks {}", missing.join(", "));
    Err(io::Error::new(io::ErrorKind::Unsupported, text))
}

/// `io_uring_rsrc_update`, as (un)registering a ring descriptor takes it.
#[repr(C)]
struct RegisterFd {
    offset: u32,
    reserved: u32,
    data: u64,
}

impl RegisterFd {
    /// Makes the argument that registers `fd` at any free index.
    fn any(fd: RawFd) -> RegisterFd {
        RegisterFd { offset: u32::MAX, reserved: 0, data: fd as u64 }
    }
}

/// Registers the ring `fd`. Returns the index under which it is known from now on
/// (io_uring_register(2)).
fn register_fd(fd: RawFd, argument: &mut RegisterFd) -> io::Result<RawFd> {
    const IORING_REGISTER_RING_FDS: u32 = 20;
    register(fd, IORING_REGISTER_RING_FDS, argument)?;
    Ok(argument.offset as RawFd)
}

fn unregister_fd(fd: RawFd, argument: &mut RegisterFd) -> io::Result<()> {
    const IORING_UNREGISTER_RING_FDS: u32 = 21;
    register(fd, IORING_UNREGISTER_RING_FDS, argument)
}

pub(super) fn register<T>(fd: RawFd, code: u32, argument: &mut T) -> io::Result<()> {
    let argument = std::ptr::from_mut(argument);
    // SAFETY: the codes take an array of `io_uring_rsrc_update`, here of one, or one submission
    // entry without memory of its own; read and written during the call only.
    let result = unsafe { libc::syscall(libc::SYS_io_uring_register, fd, code, argument, 1) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
