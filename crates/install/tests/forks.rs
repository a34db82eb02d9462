//! Children of fork(2).
#![allow(missing_docs)]
mod support;

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use overlapped_install::spawn;
use support::run_in_tasklet;

const WAIT: libc::c_int = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
const WAKE: libc::c_int = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;

#[test]
fn a_child_of_fork_spends_no_wake_on_its_parents_tasklets() {
    static WORD: AtomicU32 = AtomicU32::new(0);
    // SAFETY: the word is static.
    let wake = || unsafe { libc::syscall(libc::SYS_futex, WORD.as_ptr(), WAKE, 1) };
    let waits = || {
        let report = overlapped_install::report();
        let of = |name| report.symbols().iter().find(|symbol| symbol.name == name);
        of("syscall").map_or(0, |symbol| symbol.waits)
    };
    run_in_tasklet(|| {
        let before = waits();
        let waiter = spawn(|| {
            while WORD.load(SeqCst) == 0 {
                // SAFETY: as above.
                unsafe { libc::syscall(libc::SYS_futex, WORD.as_ptr(), WAIT, 0, 0) };
            }
        });
        while waits() == before {
            std::thread::yield_now();
        }
        // SAFETY: the child makes system calls only, and ends.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let woken = wake();
            // SAFETY: it ends.
            unsafe { libc::_exit(if woken == 0 { 7 } else { 1 }) };
        }
        let mut status = 0;
        // SAFETY: a place for the status.
        let reaped = unsafe { libc::waitpid(child, &mut status, 0) };
        let was_waiting = !waiter.is_finished();
        WORD.store(1, SeqCst);
        let woken = wake();
        waiter.join().unwrap();
        assert_eq!((reaped, libc::WIFEXITED(status), libc::WEXITSTATUS(status)), (child, true, 7));
        assert_eq!((was_waiting, woken), (true, 1));
    });
}

#[test]
fn a_child_of_fork_keeps_no_pipe_open_that_a_tasklet_writes_to() {
    use std::io::{Read, Write};
    use std::os::fd::AsRawFd;
    run_in_tasklet(|| {
        let (mut rx, tx) = std::io::pipe().unwrap();
        let number = tx.as_raw_fd();
        let writer = spawn(move || {
            let mut tx = tx;
            tx.write_all(&[1; 1 << 20]).unwrap_err();
        });
        // The writer waits for room.
        support::until_waits(writer.id());
        // SAFETY: the child makes system calls only, and ends.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: the child makes system calls only, until it is killed.
            unsafe {
                libc::syscall(libc::SYS_close, number);
                loop {
                    // pause(2) does not exist on 64-bit Arm.
                    let none = std::ptr::null::<u8>();
                    libc::syscall(libc::SYS_ppoll, none, 0_usize, none, none, 0_usize);
                }
            }
        }
        writer.kill();
        writer.join().unwrap();
        let mut all = Vec::new();
        // The tasklet reads to the end, which comes while the child lives.
        let read = overlapped::time::timeout(support::ms(5000), || rx.read_to_end(&mut all));
        // SAFETY: the child, and no status.
        unsafe {
            libc::kill(child, libc::SIGKILL);
            libc::waitpid(child, std::ptr::null_mut(), 0);
        }
        read.unwrap();
        assert!(!all.is_empty());
    });
}
