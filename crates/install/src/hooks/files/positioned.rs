//! Reads and writes at a position: an attempt that the page cache can satisfy, then the port.

use std::ffi::{c_int, c_void};
use std::mem::ManuallyDrop;
use std::os::fd::FromRawFd;
use std::os::unix::fs::FileExt;

use libc::iovec;
use overlapped::fs::File;

use crate::caller::Call;
use crate::errors::file_count_or_error;
use crate::raw::{AGAIN, FAULT, INVALID, Outcome, call, give, give_int};
use crate::slices::{slice_mut, slices_of};
use crate::symbols::Symbol;

/// Borrows a descriptor as the library's file, for a call.
pub(crate) fn file(fd: c_int) -> ManuallyDrop<File> {
    // SAFETY: the descriptor is not closed when the value is dropped.
    ManuallyDrop::new(unsafe { File::from_raw_fd(fd) })
}

/// Performs an operation of the library as a call of libc's. Returns `None` if the caller is no
/// tasklet of this crate.
fn on_file(
    symbol: Symbol,
    fd: c_int,
    operation: impl FnOnce(&File) -> std::io::Result<()>,
    in_place: impl FnOnce() -> Outcome,
) -> Option<Outcome> {
    let call = (fd >= 0).then(|| Call::begin(symbol)).flatten()?;
    call.count();
    Some(file_count_or_error(operation(&file(fd)).map(|()| 0), in_place))
}

/// Reads in a tasklet.
unsafe fn read_at(call: &Call, fd: c_int, slices: (*const iovec, c_int), offset: i64) -> Outcome {
    let (first, count) = slices;
    // To preadv2, −1 means the descriptor's own position.
    let Ok(position) = u64::try_from(offset) else { return INVALID };
    // SAFETY: the caller's promise, handed on.
    match unsafe { call!(preadv2, fd, first, count, offset, 0, libc::RWF_NOWAIT) } {
        AGAIN => {}
        other if other >= 0 => return other,
        // This includes files and kernels without such an attempt.
        // SAFETY: as above.
        _ => return unsafe { call!(preadv, fd, first, count, offset, 0) },
    }
    // SAFETY: the kernel has checked them: `count` slices of the caller's.
    let slices = unsafe { slices_of(first, count) };
    let Some(slice) = slices.iter().find(|slice| slice.iov_len > 0) else { return 0 };
    // SAFETY: as above.
    let buf = unsafe { slice_mut(slice.iov_base, slice.iov_len) };
    call.count();
    // SAFETY: as above.
    let in_place = || unsafe { call!(preadv, fd, first, count, offset, 0) };
    file_count_or_error(file(fd).read_at(buf, position), in_place)
}

/// Writes in a tasklet, as [`read_at`] reads: only the first of several slices.
unsafe fn write_at(call: &Call, fd: c_int, slices: (*const iovec, c_int), offset: i64) -> Outcome {
    let Ok(position) = u64::try_from(offset) else { return INVALID };
    // SAFETY: the caller's promise: `count` readable slices.
    let slices = unsafe { slices_of(slices.0, slices.1) };
    let Some(slice) = slices.iter().find(|slice| slice.iov_len > 0) else { return 0 };
    if slice.iov_base.is_null() {
        return FAULT;
    }
    call.count();
    // SAFETY: the caller's promise: the buffer is readable; it is only read from.
    let buf = unsafe { slice_mut(slice.iov_base, slice.iov_len) };
    // SAFETY: as above.
    let in_place = || unsafe { call!(pwrite64, fd, slice.iov_base, slice.iov_len, offset) };
    file_count_or_error(file(fd).write_at(buf, position), in_place)
}

macro_rules! positioned {
    ($($name:ident $vector:ident $by:ident $kernel:ident $kernel_vector:ident;)*) => {$(
        /// Does what its manual page says.
        #[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
        pub(crate) unsafe extern "C" fn $name(
            fd: c_int,
            buf: *const c_void,
            len: usize,
            offset: i64,
        ) -> isize {
            let slice = iovec { iov_base: buf.cast_mut(), iov_len: len };
            give(match Call::begin(Symbol::$name).filter(|_| fd >= 0) {
                // SAFETY: the caller's promise, handed on.
                Some(call) => unsafe { $by(&call, fd, (&slice, 1), offset) },
                // SAFETY: as above.
                None => unsafe { call!($kernel, fd, buf, len, offset) },
            })
        }

        /// Does what its manual page says.
        #[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
        pub(crate) unsafe extern "C" fn $vector(
            fd: c_int,
            slices: *const iovec,
            count: c_int,
            offset: i64,
        ) -> isize {
            give(match Call::begin(Symbol::$vector).filter(|_| fd >= 0) {
                // SAFETY: the caller's promise, handed on.
                Some(call) => unsafe { $by(&call, fd, (slices, count), offset) },
                // SAFETY: as above.
                None => unsafe { call!($kernel_vector, fd, slices, count, offset, 0) },
            })
        }
    )*};
}

// Files have 64-bit offsets on this crate's systems, whatever the name.
positioned! {
    pread preadv read_at pread64 preadv;
    pread64 preadv64 read_at pread64 preadv;
    pwrite pwritev write_at pwrite64 pwritev;
    pwrite64 pwritev64 write_at pwrite64 pwritev;
}

/// pread(2) as fortified C calls it: `room` is the size of the buffer.
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn __pread_chk(
    fd: c_int,
    buf: *const c_void,
    len: usize,
    offset: i64,
    room: usize,
) -> isize {
    crate::hooks::must_fit(len, room);
    // SAFETY: the caller's promise, handed on.
    unsafe { pread(fd, buf, len, offset) }
}

/// pread64(3) as fortified C calls it: see [`__pread_chk`].
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn __pread64_chk(
    fd: c_int,
    buf: *const c_void,
    len: usize,
    offset: i64,
    room: usize,
) -> isize {
    // SAFETY: the caller's promise, handed on.
    unsafe { __pread_chk(fd, buf, len, offset, room) }
}

/// fsync(2).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) extern "C" fn fsync(fd: c_int) -> c_int {
    // SAFETY: a descriptor's number.
    let kernel = || unsafe { call!(fsync, fd) };
    give_int(on_file(Symbol::fsync, fd, File::sync_all, kernel).unwrap_or_else(kernel))
}

/// fdatasync(2).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) extern "C" fn fdatasync(fd: c_int) -> c_int {
    // SAFETY: a descriptor's number.
    let kernel = || unsafe { call!(fdatasync, fd) };
    give_int(on_file(Symbol::fdatasync, fd, File::sync_data, kernel).unwrap_or_else(kernel))
}

fn set_len(symbol: Symbol, fd: c_int, len: i64) -> c_int {
    // SAFETY: a descriptor's number.
    let kernel = || unsafe { call!(ftruncate, fd, len) };
    let size = u64::try_from(len).ok();
    let outcome = size.and_then(|size| on_file(symbol, fd, |file| file.set_len(size), kernel));
    give_int(outcome.unwrap_or_else(kernel))
}

/// ftruncate(2).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) extern "C" fn ftruncate(fd: c_int, len: i64) -> c_int {
    set_len(Symbol::ftruncate, fd, len)
}

/// ftruncate(2).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) extern "C" fn ftruncate64(fd: c_int, len: i64) -> c_int {
    set_len(Symbol::ftruncate64, fd, len)
}
