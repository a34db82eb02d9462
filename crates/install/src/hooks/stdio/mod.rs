//! C's stdio, as far as it reads bytes. libc calls read(2) by no symbol that can be replaced, so
//! the wait comes before its functions. A tasklet takes what is in the stream's buffer, in steps;
//! if the buffer is empty, it waits for the descriptor.
//!
//! ```text
//! lock the stream ─▶ in its buffer ──▶ libc's own function, for those bytes: it need not read
//!                       │ nothing
//!                    readable ──▶ getc, ungetc: libc reads what is there
//!                       │ no
//!                    unlock, wait, again
//! ```
//!
//! **A stream's lock** is never held during a wait in this module. libc records its owner as a
//! thread control block, and each tasklet has its own. So another tasklet that wanted the lock
//! inside libc would block the thread, and with it the holder.
//! While the program itself holds a stream, by flockfile(3), calls block the thread as libc's do.
//! Lines stay whole nevertheless: tasklets read a stream one after the other. A thread that reads
//! the same stream may come between the steps.
//!
//! **Left to libc**: files on disks, descriptors in non-blocking mode, streams without descriptors;
//! scanf(3), wide characters, `…_unlocked`; all functions that write.

mod stream;

use std::ffi::{c_char, c_int, c_void};

use libc::FILE;

use super::must_fit;
use super::pthread::ALL;
use crate::caller::{Call, adjust_locked_streams};
use crate::next::next;
use crate::symbols::Symbol;
use crate::table::wake;

use stream::{Fill, Locked, OfStream, Reading, Unlock, begin};

type Read = unsafe extern "C" fn(*mut c_void, usize, usize, *mut FILE) -> usize;
type Gets = unsafe extern "C" fn(*mut c_char, c_int, *mut FILE) -> *mut c_char;
type GetDelim = unsafe extern "C" fn(*mut *mut c_char, *mut usize, c_int, *mut FILE) -> isize;

unsafe extern "C" {
    static stdin: *mut FILE;
}

/// fread(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn fread(
    buf: *mut c_void,
    size: usize,
    count: usize,
    stream: *mut FILE,
) -> usize {
    let real: Read = next!(fread);
    let all = size.saturating_mul(count);
    // SAFETY: the caller's promise.
    let (reading, _locked) = unsafe { begin(Symbol::fread, stream, |unread| unread.len() >= all) };
    let Some(reading) = reading else {
        // SAFETY: the caller's promise, handed on.
        return unsafe { real(buf, size, count, stream) };
    };
    let mut done = 0;
    while done < all {
        let Fill::Ready(locked) = reading.fill_buffer() else { break };
        let len = locked.unread().len().min(all - done);
        // SAFETY: the caller's promise: there is room for all.
        done += unsafe { real(buf.byte_add(done), 1, len, stream) };
    }
    if all == 0 { 0 } else { done / size }
}

/// fread(3) as fortified C calls it.
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn __fread_chk(
    buf: *mut c_void,
    room: usize,
    size: usize,
    count: usize,
    stream: *mut FILE,
) -> usize {
    must_fit(size.saturating_mul(count), room);
    // SAFETY: the caller's promise, handed on.
    unsafe { fread(buf, size, count, stream) }
}

/// fgets(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn fgets(
    buf: *mut c_char,
    size: c_int,
    stream: *mut FILE,
) -> *mut c_char {
    let real: Gets = next!(fgets);
    let all = usize::try_from(size).unwrap_or(0).saturating_sub(1);
    let is_enough = |unread: &[u8]| unread.len() >= all || unread.contains(&b'\n');
    // SAFETY: the caller's promise.
    let (reading, _locked) = unsafe { begin(Symbol::fgets, stream, is_enough) };
    let Some(reading) = reading else {
        // SAFETY: the caller's promise, handed on.
        return unsafe { real(buf, size, stream) };
    };
    let mut done = 0;
    while done < all {
        let locked = match reading.fill_buffer() {
            Fill::Ready(locked) => locked,
            Fill::End if done > 0 => break,
            Fill::End | Fill::Error => return std::ptr::null_mut(),
        };
        let before = locked.unread().len();
        let len = before.min(all - done);
        // SAFETY: the caller's promise: there is room for all, and a zero.
        unsafe { real(buf.add(done), len as c_int + 1, stream) };
        done += before - locked.unread().len();
        // SAFETY: written just now.
        if done > 0 && unsafe { *buf.add(done - 1) } as u8 == b'\n' {
            break;
        }
    }
    buf
}

/// fgets(3) as fortified C calls it.
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn __fgets_chk(
    buf: *mut c_char,
    room: usize,
    size: c_int,
    stream: *mut FILE,
) -> *mut c_char {
    must_fit(usize::try_from(size).unwrap_or(0), room);
    // SAFETY: the caller's promise, handed on.
    unsafe { fgets(buf, size, stream) }
}

/// A line of the caller's, allocated by malloc, which grows.
struct Line {
    text: *mut *mut c_char,
    room: *mut usize,
    len: usize,
}

impl Line {
    /// Makes room for `more` bytes and a zero; returns false if there is no memory.
    ///
    /// # Safety
    /// The pointers are arguments of getline(3).
    unsafe fn make_room(&self, more: usize) -> bool {
        const LEAST: usize = 120;
        let Some(needed) = self.len.checked_add(more).and_then(|len| len.checked_add(1)) else {
            return false;
        };
        // SAFETY: the caller's promise: null, or memory of malloc's of that size.
        unsafe {
            let room = if (*self.text).is_null() { 0 } else { *self.room };
            if needed > room {
                let wanted = needed.max(room.saturating_mul(2)).max(LEAST);
                let grown = libc::realloc((*self.text).cast(), wanted).cast::<c_char>();
                if grown.is_null() {
                    return false;
                }
                (*self.text, *self.room) = (grown, wanted);
            }
        }
        true
    }
}

/// getdelim(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn getdelim(
    text: *mut *mut c_char,
    room: *mut usize,
    end: c_int,
    stream: *mut FILE,
) -> isize {
    let real: GetDelim = next!(getdelim);
    let read: Read = next!(fread);
    let is_enough = |unread: &[u8]| unread.contains(&(end as u8));
    // SAFETY: the caller's promise.
    let (reading, _locked) = unsafe { begin(Symbol::getdelim, stream, is_enough) };
    let Some(reading) = reading.filter(|_| !text.is_null() && !room.is_null()) else {
        // SAFETY: the caller's promise, handed on.
        return unsafe { real(text, room, end, stream) };
    };
    let mut line = Line { text, room, len: 0 };
    // SAFETY: the caller's promise: memory of malloc's; the copied bytes are in the stream's
    // buffer.
    unsafe {
        if !line.make_room(0) {
            return -1;
        }
        while let Fill::Ready(locked) = reading.fill_buffer() {
            let unread = locked.unread();
            let found = unread.iter().position(|byte| *byte == end as u8);
            let len = found.map_or(unread.len(), |place| place + 1);
            if !line.make_room(len) {
                return -1;
            }
            line.len += read((*text).add(line.len).cast(), 1, len, stream);
            (*text).add(line.len).write(0);
            if found.is_some() {
                break;
            }
        }
    }
    if line.len == 0 { -1 } else { line.len as isize }
}

/// getdelim(3), as a macro of glibc calls it.
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn __getdelim(
    text: *mut *mut c_char,
    room: *mut usize,
    end: c_int,
    stream: *mut FILE,
) -> isize {
    // SAFETY: the caller's promise, handed on.
    unsafe { getdelim(text, room, end, stream) }
}

/// getline(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn getline(
    text: *mut *mut c_char,
    room: *mut usize,
    stream: *mut FILE,
) -> isize {
    // SAFETY: the caller's promise, handed on.
    unsafe { getdelim(text, room, c_int::from(b'\n'), stream) }
}

/// fgetc(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn fgetc(stream: *mut FILE) -> c_int {
    let real: OfStream = next!(fgetc);
    // SAFETY: the caller's promise.
    let (reading, _locked) = unsafe { begin(Symbol::fgetc, stream, |unread| !unread.is_empty()) };
    match reading.as_ref().map(Reading::fill_buffer) {
        // SAFETY: the caller's promise, handed on.
        None | Some(Fill::Ready(_)) => unsafe { real(stream) },
        Some(Fill::End | Fill::Error) => libc::EOF,
    }
}

/// getc(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn getc(stream: *mut FILE) -> c_int {
    // SAFETY: the caller's promise, handed on.
    unsafe { fgetc(stream) }
}

/// getc(3), as a macro of glibc calls it.
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
#[allow(non_snake_case)] // libc's name, also where it is not exported.
pub(crate) unsafe extern "C" fn _IO_getc(stream: *mut FILE) -> c_int {
    // SAFETY: the caller's promise, handed on.
    unsafe { fgetc(stream) }
}

/// getchar(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn getchar() -> c_int {
    // SAFETY: the stream is libc's own.
    unsafe { fgetc(stdin) }
}

/// flockfile(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn flockfile(stream: *mut FILE) {
    let real: Unlock = next!(flockfile);
    match Call::begin_lock(Symbol::flockfile) {
        // SAFETY: the caller's promise. The stream stays locked.
        Some(call) => std::mem::forget(unsafe { Locked::new(&call, stream) }),
        // SAFETY: as above.
        None => unsafe { real(stream) },
    }
    adjust_locked_streams(1);
}

/// ftrylockfile(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn ftrylockfile(stream: *mut FILE) -> c_int {
    let real: OfStream = next!(ftrylockfile);
    // SAFETY: the caller's promise, handed on.
    let outcome = unsafe { real(stream) };
    if outcome == 0 {
        adjust_locked_streams(1);
    }
    outcome
}

/// funlockfile(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn funlockfile(stream: *mut FILE) {
    let real: Unlock = next!(funlockfile);
    let address = stream.addr();
    adjust_locked_streams(-1);
    // SAFETY: the caller's promise, handed on.
    unsafe { real(stream) };
    wake(address, 1, ALL);
}
