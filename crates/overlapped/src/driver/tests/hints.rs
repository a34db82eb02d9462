//! The ring's hint that completions are due can be stale. The kernel queues work for the ring's
//! thread and then sets the hint; the thread may have run the work in between.

use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use super::support::{PATIENCE, everywhere};
use crate::driver::uring::Uring;
use crate::driver::{Driver, PortChoice};
use crate::sched::here;
use crate::task::Config;
use crate::time::sleep;

const PAUSE: Duration = Duration::from_millis(50);

/// Returns the hint's offset from the beginning of a ring's memory, and its value.
fn hint() -> (usize, u32) {
    const IORING_SQ_TASKRUN: u32 = 4;
    // In `io_uring_params`, the queue's offsets begin at byte 40; the fifth is that of its flags.
    let mut params = [0u32; 30];
    // SAFETY: zeroes are valid parameters, in memory of their size; the kernel fills them in. The
    // descriptor, if there is one, is closed and in no other use.
    unsafe {
        let fd = libc::syscall(libc::SYS_io_uring_setup, 1, params.as_mut_ptr());
        assert!(fd >= 0, "rings were opened before");
        libc::close(fd as i32);
    }
    (params[14] as usize, IORING_SQ_TASKRUN)
}

/// Sets the hint, as the kernel does when it is late.
fn make_stale(uring: &Uring) {
    let (offset, bit) = hint();
    let (length, access) = (4096, libc::PROT_READ | libc::PROT_WRITE);
    let fd = uring.ring_fd().as_raw_fd();
    // SAFETY: the mapping is new. It covers the ring's first page, which holds the flags, and all
    // accesses to them are atomic. Any value of the bit is right: it is a hint.
    unsafe {
        let start = libc::mmap(std::ptr::null_mut(), length, access, libc::MAP_SHARED, fd, 0);
        assert_ne!(start, libc::MAP_FAILED);
        let flags = start.byte_add(offset).cast::<u32>();
        std::sync::atomic::AtomicU32::from_ptr(flags)
            .fetch_or(bit, std::sync::atomic::Ordering::SeqCst);
        libc::munmap(start, length);
    }
}

/// Makes a driver whose waits spin before they sleep, because the last ones were short.
fn make_watchful(driver: &mut Driver) {
    for _ in 0..3 {
        driver.notifier().notify();
        driver.wait(Some(PAUSE), &mut Vec::new()).unwrap();
    }
}

#[test]
fn a_stale_hint_counts_as_work_only_once() {
    everywhere(|harness| {
        let Driver::Uring(uring) = &harness.driver else { return };
        make_stale(uring);
        assert!(harness.driver.has_work(), "{}: the hint may be true", harness.kind);
        for _ in 0..4 {
            harness.turn(Duration::ZERO);
        }
        assert!(!harness.driver.has_work(), "{}: the hint has been checked", harness.kind);
    });
}

#[test]
fn a_stale_hint_does_not_end_all_waits() {
    everywhere(|harness| {
        make_watchful(&mut harness.driver);
        if let Driver::Uring(uring) = &harness.driver {
            make_stale(uring);
        }
        let (began, mut waits) = (Instant::now(), 0);
        while began.elapsed() < PAUSE {
            harness.driver.wait(Some(PAUSE), &mut Vec::new()).unwrap();
            waits += 1;
        }
        assert!(waits < 10, "{}: {waits} waits, and nothing came", harness.kind);
    });
}

/// Returns the processor time of the calling thread.
fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for the result, and lives through the call.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) }, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Measures the processor time of an idle scheduler with a stale hint.
fn idle_with_stale_hint() -> Duration {
    let here = here().expect("in a scheduler");
    make_watchful(&mut here.driver().borrow_mut());
    if let Driver::Uring(uring) = &*here.driver().borrow() {
        make_stale(uring);
    }
    let before = processor_time();
    sleep(PAUSE);
    processor_time() - before
}

#[test]
fn an_idle_scheduler_sleeps_in_spite_of_a_stale_hint() {
    let (tx, rx) = std::sync::mpsc::channel();
    // This runs on a thread of its own, which is left behind if it does not end.
    std::thread::spawn(move || {
        let run = Config::new()
            .port(PortChoice::Uring)
            .run(|| (0..20).map(|_| idle_with_stale_hint()).max().unwrap_or_default());
        tx.send(run)
    });
    match rx.recv_timeout(PATIENCE).expect("the run does not end") {
        Ok(most) => assert!(most < PAUSE / 5, "{most:?} of {PAUSE:?} idle"),
        Err(error) => eprintln!("SKIPPED: no io_uring here: {error}"),
    }
}
