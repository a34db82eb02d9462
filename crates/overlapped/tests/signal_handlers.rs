//! `interrupt_waits` in a signal handler does nothing that a handler must not do.
#![allow(missing_docs)]
mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ffi::c_int;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use overlapped::net::UdpSocket;
use overlapped::signal::{Restart, interrupt_waits, interruptible};

/// Counts what is allocated and freed in a handler.
struct Counts;

static IN_HANDLER: AtomicU32 = AtomicU32::new(0);

thread_local! {
    static HANDLES: Cell<bool> = const { Cell::new(false) };
}

fn count() {
    if HANDLES.get() {
        IN_HANDLER.fetch_add(1, SeqCst);
    }
}

// SAFETY: the system's.
unsafe impl GlobalAlloc for Counts {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count();
        // SAFETY: handed on.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counts = Counts;

static HANDLED: AtomicU32 = AtomicU32::new(0);

extern "C" fn handler(_: c_int) {
    HANDLES.set(true);
    assert!(interrupt_waits(Restart::No));
    HANDLES.set(false);
    HANDLED.fetch_add(1, SeqCst);
}

fn handle(signal: c_int) {
    // SAFETY: a handler that does what handlers may.
    let before = unsafe { libc::signal(signal, handler as *const () as usize) };
    assert_ne!(before, libc::SIG_ERR);
}

#[test]
fn a_handler_neither_allocates_nor_frees_while_it_ends_waits() {
    const ROUNDS: u32 = 100;
    handle(libc::SIGUSR1);
    overlapped::run(|| {
        // SAFETY: no conditions.
        let me = unsafe { libc::syscall(libc::SYS_gettid) };
        let process = std::process::id() as libc::c_long;
        for round in 0..ROUNDS {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let sender = thread::spawn(move || {
                // Sometimes the signal comes before the wait; then it is sent once more.
                let before = HANDLED.load(SeqCst);
                while HANDLED.load(SeqCst) < before + 1 + round % 3 {
                    thread::sleep(Duration::from_millis(1));
                    // SAFETY: a thread of this process, as long as this one is not joined.
                    unsafe { libc::syscall(libc::SYS_tgkill, process, me, libc::SIGUSR1) };
                }
            });
            loop {
                let wait = || socket.set_read_timeout(Some(Duration::from_millis(50)));
                wait().unwrap();
                let ended = interruptible(Restart::Yes, || socket.recv(&mut [0])).unwrap_err();
                if ended.kind() == ErrorKind::Interrupted || sender.is_finished() {
                    break;
                }
            }
            sender.join().unwrap();
        }
    })
    .unwrap();
    assert!(HANDLED.load(SeqCst) >= ROUNDS);
    assert_eq!(IN_HANDLER.load(SeqCst), 0);
}

#[test]
fn outside_a_scheduler_interrupt_waits_returns_false() {
    assert!(!interrupt_waits(Restart::No));
}

#[test]
fn a_port_that_cannot_be_notified_ends_the_process_without_a_panic() {
    const NAME: &str = "a_port_that_cannot_be_notified_ends_the_process_without_a_panic";
    if support::asked().is_some() {
        handle(libc::SIGUSR1);
        let ended = overlapped::run(|| {
            // As programs do that become daemons.
            // SAFETY: what this process has open is used no more.
            unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
            // SAFETY: a signal that is handled.
            unsafe { libc::raise(libc::SIGUSR1) };
            // The readiness port gets no error.
            std::process::abort();
        });
        unreachable!("{ended:?}");
    }
    let ended = support::child(NAME, "");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(!ended.status.success());
    assert!(!said.contains("panicked"), "{said}");
    assert!(!said.contains("panic"), "{said}");
}
