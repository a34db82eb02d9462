//! One block: its fields when a tasklet begins on it, and the destructors when the tasklet ends.
//!
//! The work of glibc for a new thread (`allocate_stack`, `start_thread`) and at its end is done
//! here for a tasklet, field by field:
//!
//! | field | a new thread's | here |
//! |---|---|---|
//! | header (x86-64) | its own address; random words of its creator | the same |
//! | thread-locals | initial values | the same, but for libc's own: see [`Block::renew`] |
//! | thread number | its own | its thread's |
//! | list of threads | enters it | linked to itself, since fork(2) unlinks it in the child |
//! | robust mutexes | an empty list, registered | an empty list, not registered |
//! | stack | its own | the tasklet's: `pthread_getattr_np` tells the truth |
//! | area of rseq(2) | registered | marked as not registered, so sched_getcpu(3) asks the kernel |
//! | getaddrinfo's state, locale | new, the process's | the same |

use std::ffi::c_void;
use std::ops::Range;
use std::ptr::null_mut;

use super::layout::{DTV, DtvEntry, KEYS_IN_TABLE, Key, LIBC_MAX, Layout, Value};
use super::pointer;
use super::setxid::set_home;

/// A block that no thread is on. A block that is dropped is forgotten, not freed, since references
/// into it may still be alive.
pub(crate) struct Block(pub(super) usize);

/// The value that the kernel writes to an area of rseq(2) that is not registered.
const NO_PROCESSOR: u32 = u32::MAX;
/// <locale.h>: the locale of the process.
const LC_GLOBAL_LOCALE: usize = usize::MAX;
/// `PTHREAD_DESTRUCTOR_ITERATIONS`.
const ROUNDS_MAX: usize = 4;

impl Block {
    /// Allocates a new block; `None` if no memory is left.
    pub(super) fn new(layout: &Layout) -> Option<Result<Block, &'static str>> {
        // SAFETY: pthread_create makes the same call. Null makes the function allocate the block,
        // which is the caller's.
        let pointer = unsafe { (layout.allocate)(null_mut()) } as usize;
        if pointer == 0 {
            return None;
        }
        let block = Block(pointer);
        if !block.is_laid_as_expected(layout) {
            return Some(Err("this glibc is not as expected: the block has another size"));
        }
        // SAFETY: all places lie in the new block, by what `layout` knows of it. Thread-locals that
        // come later must find zeros there.
        unsafe {
            block.at::<u8>(layout.fixed.0).write_bytes(0, layout.fixed.1);
            (layout.initialise)(pointer as *mut c_void, true);
            block.write_header(layout);
            let table = block.descriptor(layout) + layout.specific;
            *(table as *mut usize) = table - layout.first_table_len();
            *block.at::<usize>(layout.resolver_pointer) =
                block.descriptor(layout) + layout.resolver;
            pointer::with(pointer, || (layout.initialise_ctype)());
        }
        Some(Ok(block))
    }

    /// Tells whether glibc's allocation begins where it should, so that all writes lie inside it.
    fn is_laid_as_expected(&self, layout: &Layout) -> bool {
        let place = match cfg!(target_arch = "x86_64") {
            true => self.0 + layout.descriptor_len,
            false => self.0 - layout.descriptor_len - size_of::<usize>(),
        };
        // SAFETY: glibc stores there the address that malloc returned.
        let allocated = unsafe { *(place as *const usize) };
        let first = match cfg!(target_arch = "x86_64") {
            true => self.0 - layout.fixed.1,
            false => place,
        };
        allocated <= first && first - allocated <= layout.align + layout.descriptor_len
    }

    #[cfg(target_arch = "x86_64")]
    unsafe fn write_header(&self, layout: &Layout) {
        let home = pointer::read();
        // SAFETY: the caller's new block, and the calling thread's.
        unsafe {
            *self.at::<usize>(0) = self.0;
            *self.at::<usize>(16) = self.0;
            for range in super::layout::COPIED {
                let from = (home + range.start) as *const u8;
                self.at::<u8>(range.start as isize).copy_from_nonoverlapping(from, range.len());
            }
            // The block says that the process has other threads, so that libc's locks really lock.
            *self.at::<u32>(24) = 1;
        }
        let _ = layout;
    }

    #[cfg(target_arch = "aarch64")]
    unsafe fn write_header(&self, layout: &Layout) {
        // The block says that the process has other threads, so that libc's locks really lock.
        // SAFETY: the caller's new block.
        unsafe { *(self.descriptor(layout) as *mut u32) = 1 };
    }

    fn at<T>(&self, offset: isize) -> *mut T {
        self.0.wrapping_add_signed(offset) as *mut T
    }

    fn descriptor(&self, layout: &Layout) -> usize {
        layout.descriptor(self.0)
    }

    /// Gives the thread-locals their initial values again: what glibc does for a thread on a stack
    /// that another one has left. libc's own stay, as if the thread went on, since nothing exported
    /// frees what they hold; [`run_destructors`] has put back those that matter.
    pub(super) fn renew(&self, layout: &Layout) {
        let mut kept = [0_u8; LIBC_MAX];
        let (place, len) = (self.at::<u8>(layout.libc.0), layout.libc.1);
        // SAFETY: no code is on the block or has references into it, since its last tasklet has
        // ended. The dtv has as many entries as the one before the first says; each holds an
        // address from malloc, or null.
        unsafe {
            kept.as_mut_ptr().copy_from_nonoverlapping(place, len);
            let dtv = *self.at::<*mut DtvEntry>(DTV as isize);
            let entries = (*dtv.sub(1)).place;
            for entry in 1..=entries {
                let opened_later = (*dtv.add(entry)).to_free;
                if !opened_later.is_null() {
                    libc::free(opened_later);
                }
            }
            dtv.write_bytes(0, entries + 1);
            (layout.initialise)(self.0 as *mut c_void, true);
            place.copy_from_nonoverlapping(kept.as_ptr(), len);
        }
    }

    /// Makes the block one of the calling thread's, for a tasklet with this stack.
    pub(super) fn enter(&self, layout: &Layout, stack: Range<usize>) {
        let (me, home) = (self.descriptor(layout), layout.descriptor(pointer::read()));
        let at = |offset: usize| (me + offset) as *mut usize;
        // SAFETY: the accesses are to fields of the two descriptors.
        unsafe {
            *at(layout.tid).cast::<i32>() = *((home + layout.tid) as *const i32);
            for link in [layout.list, layout.list + 8] {
                *at(link) = me + layout.list;
            }
            let head = me + layout.robust_head;
            *at(layout.robust_head - 8) = head;
            *at(layout.robust_head) = head;
            *at(layout.robust_head + 8) = *((home + layout.robust_head + 8) as *const usize);
            *at(layout.robust_head + 16) = 0;
            *at(layout.stack) = stack.start;
            *at(layout.stack + 8) = stack.len();
            if let Some(rseq) = layout.rseq {
                *self.at::<u32>(rseq) = 0;
                *self.at::<u32>(rseq + 4) = NO_PROCESSOR;
            }
        }
    }

    /// Calls `f` on the block, with errno set to 0.
    ///
    /// # Safety
    /// The caller is on its thread's own block, which `enter` was called on. `f` does not unwind.
    #[inline(always)]
    pub(crate) unsafe fn run(&self, f: impl FnOnce()) {
        // SAFETY: the caller's promise.
        unsafe {
            let home = pointer::read();
            pointer::with(self.0, || {
                set_home(home);
                *libc::__errno_location() = 0;
                f();
                set_home(0);
            });
        }
    }
}

/// Runs what a thread runs at its end, in the same order, for a caller on a tasklet's block: the
/// destructors of thread-locals, then those of the values of pthread_setspecific.
pub(super) fn run_destructors(layout: &Layout) {
    // SAFETY: glibc makes the same call at a thread's end.
    unsafe { (layout.run_destructors)() };
    let me = layout.descriptor(pointer::read());
    let tables = (me + layout.specific) as *const [*mut [Value; KEYS_IN_TABLE]; KEYS_IN_TABLE];
    for _ in 0..ROUNDS_MAX {
        if !destroy_values(layout, tables) {
            break;
        }
    }
    let of_process: libc::locale_t = std::ptr::without_provenance_mut(LC_GLOBAL_LOCALE);
    // SAFETY: libc's state must be that of a new thread: the locale, and the error of dlopen.
    unsafe {
        libc::uselocale(of_process);
        libc::dlerror();
    }
}

/// Takes out and destroys every value. Returns whether there was one.
fn destroy_values(
    layout: &Layout,
    tables: *const [*mut [Value; KEYS_IN_TABLE]; KEYS_IN_TABLE],
) -> bool {
    let mut found = false;
    for first in 0..KEYS_IN_TABLE {
        // SAFETY: the block's tables, which only the code on it uses; a destructor may add one.
        let table = unsafe { (*tables)[first] };
        if table.is_null() {
            continue;
        }
        for second in 0..KEYS_IN_TABLE {
            // SAFETY: as above. The keys' table is libc's and has a place for each value; a key
            // that is deleted meanwhile is read as libc itself reads it.
            unsafe {
                let value = &raw mut (*table)[second];
                let data = std::mem::replace(&mut (*value).data, null_mut());
                if data.is_null() {
                    continue;
                }
                found = true;
                let key: Key = layout.keys.add(first * KEYS_IN_TABLE + second).read();
                if let Some(destroy) = key.destructor
                    && key.sequence == (*value).sequence
                {
                    destroy(data);
                }
            }
        }
    }
    found
}
