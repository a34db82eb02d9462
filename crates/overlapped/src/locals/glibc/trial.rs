//! The trial of a block before any tasklet gets one. Code on it must find the state of a new
//! thread, and its destructors must run.

use std::cell::Cell;
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::block::{Block, run_destructors};
use super::layout::Layout;
use super::retire::retire;

/// Destructors that have run: of a thread-local, of a key's value.
static DESTROYED: AtomicUsize = AtomicUsize::new(0);
/// A value that differs from zero, which a block that was merely cleared would have.
const INITIAL: usize = 0x1357_9bdf;

struct Probe(Cell<usize>);

impl Drop for Probe {
    fn drop(&mut self) {
        DESTROYED.fetch_add(1, Relaxed);
    }
}

thread_local! {
    static PLAIN: Cell<usize> = const { Cell::new(INITIAL) };
    static PROBE: Probe = const { Probe(Cell::new(INITIAL)) };
}

extern "C" fn destroy(_: *mut c_void) {
    DESTROYED.fetch_add(0x100, Relaxed);
}

/// The first unexpected finding on the block, if any.
type Found = Result<(), &'static str>;

/// Tries a block twice: when it is new, and when it is used again. The caller is on its thread's
/// own block.
pub(super) fn pass(layout: &Layout) -> Result<(), String> {
    PLAIN.set(1);
    let found = match Block::new(layout) {
        None => Err("no memory"),
        Some(Err(refusal)) => Err(refusal),
        Some(Ok(block)) => {
            let found = rounds(layout, &block);
            retire(layout, block);
            found
        }
    };
    PLAIN.set(INITIAL);
    found.map_err(|what| format!("a second set of thread-locals was tried out: {what}"))
}

fn rounds(layout: &Layout, block: &Block) -> Found {
    let mut key = 0;
    // SAFETY: `destroy` is a function of the right type that stays.
    if unsafe { libc::pthread_key_create(&mut key, Some(destroy)) } != 0 {
        return Err("no key is free");
    }
    let mut found = Ok(());
    for round in 0..2 {
        if round > 0 {
            block.renew(layout);
        }
        // The stack is only read.
        let stack = 0x10_0000..0x18_0000;
        block.enter(layout, stack.clone());
        DESTROYED.store(0, Relaxed);
        let mut seen = Err("the code on it did not run");
        // SAFETY: the caller is on the thread's own block; `look` returns, and does not switch.
        unsafe {
            block.run(|| {
                seen = look(layout, key, (stack.start, stack.len()));
                run_destructors(layout);
            });
        }
        let home = match (PLAIN.get(), DESTROYED.load(Relaxed)) {
            (1, 0x101) => Ok(()),
            (1, _) => Err("destructors did not run"),
            _ => Err("a thread-local of the thread changed"),
        };
        found = found.and(seen).and(home);
    }
    // SAFETY: the key was made above, and no block has values for it any more.
    unsafe { libc::pthread_key_delete(key) };
    found
}

/// Examines the block that the caller is on.
#[inline(never)]
fn look(layout: &Layout, key: libc::pthread_key_t, stack: (usize, usize)) -> Found {
    // SAFETY: no conditions.
    if unsafe { libc::pthread_self() } as usize != layout.descriptor(super::pointer::read()) {
        return Err("pthread_self is another one");
    }
    // SAFETY: the address is that of the caller's own errno.
    if unsafe { *libc::__errno_location() } != 0 {
        return Err("errno is not 0");
    }
    if PLAIN.get() != INITIAL || PROBE.with(|probe| probe.0.get()) != INITIAL {
        return Err("a thread-local is not initial");
    }
    PLAIN.set(2);
    PROBE.with(|probe| probe.0.set(2));
    // SAFETY: the key lives; the value is never dereferenced.
    let value = unsafe {
        if !libc::pthread_getspecific(key).is_null() {
            return Err("a key has a value");
        }
        libc::pthread_setspecific(key, (&raw const DESTROYED).cast());
        libc::pthread_getspecific(key)
    };
    if value.is_null() {
        return Err("a key keeps no value");
    }
    // SAFETY: the attributes are written before they are read, and destroyed.
    let told = unsafe {
        let mut attributes = MaybeUninit::uninit();
        if libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) != 0 {
            return Err("pthread_getattr_np fails");
        }
        let (mut low, mut len) = (std::ptr::null_mut(), 0);
        libc::pthread_attr_getstack(attributes.as_ptr(), &mut low, &mut len);
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        (low as usize, len)
    };
    if told != stack {
        return Err("pthread_getattr_np tells another stack");
    }
    // malloc makes its cache for this block, which the second round and the end must find.
    drop(std::hint::black_box(Box::new([0_u8; 100])));
    Ok(())
}
