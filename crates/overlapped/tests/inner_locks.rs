//! The library's inner locks are its own. A program may replace the symbol `syscall`, so that std's
//! locks wait in tasklets; that function is never called in the middle of the library's code.
#![cfg(all(target_os = "linux", target_arch = "x86_64", not(miri)))]

mod support;

use std::arch::asm;
use std::ffi::c_long;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;

use overlapped::sync::{Event, Mutex, Semaphore, mpsc};
use overlapped::task::{self, in_tasklet, unblock};
use overlapped::time::Duration;
use overlapped::{Config, spawn, yield_now};

/// Calls of futex(2) by tasklets, and by others.
static BY_TASKLETS: AtomicUsize = AtomicUsize::new(0);
static BY_OTHERS: AtomicUsize = AtomicUsize::new(0);

/// The function that std calls for its locks, in place of the C library's.
///
/// # Safety
/// The same as for syscall(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syscall(
    number: c_long,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> c_long {
    if number == libc::SYS_futex {
        let counter = if in_tasklet() { &BY_TASKLETS } else { &BY_OTHERS };
        counter.fetch_add(1, SeqCst);
    }
    let result: isize;
    // SAFETY: the caller's promise; the kernel changes no other registers.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
        );
        if (-4095..0).contains(&result) {
            *libc::__errno_location() = -result as i32;
            return -1;
        }
    }
    result as c_long
}

#[test]
fn code_that_replaces_std_s_locks_is_not_called_by_the_library() {
    let values = support::rounds(20_000, 200_000);
    let (tx, rx) = mpsc::channel();
    let (back, seen) = mpsc::channel();
    let (permits, mutex) = (Arc::new(Semaphore::new(1)), Arc::new(Mutex::new(0)));
    let over = Arc::new(AtomicBool::new(false));
    let helpers: Vec<_> = (0..3)
        .map(|_| {
            let (tx, permits) = (tx.clone(), Arc::clone(&permits));
            let (mutex, over) = (Arc::clone(&mutex), Arc::clone(&over));
            thread::spawn(move || {
                while !over.load(SeqCst) {
                    let _ = tx.send(());
                    drop(permits.acquire());
                    *mutex.lock().unwrap() += 1;
                    let event = Arc::new(Event::new());
                    event.set();
                }
            })
        })
        .collect();
    Config::new()
        .threads(2)
        .run(move || {
            let jobs = spawn(|| while unblock(|| ()).is_ok() && !task::is_killed() {});
            let placed = task::place_on(1, {
                let (permits, mutex) = (Arc::clone(&permits), Arc::clone(&mutex));
                move || {
                    for _ in 0..values {
                        drop(permits.acquire());
                        *mutex.lock().unwrap() += 1;
                        back.send(()).unwrap();
                    }
                }
            });
            for _ in 0..values {
                rx.recv().unwrap();
                seen.recv_timeout(Duration::from_secs(60)).unwrap();
                *mutex.lock().unwrap() += 1;
                yield_now();
            }
            placed.unwrap().join().unwrap();
            over.store(true, SeqCst);
            jobs.kill();
        })
        .unwrap();
    helpers.into_iter().for_each(|helper| helper.join().unwrap());
    let lock = std::sync::Mutex::new(());
    thread::scope(|s| {
        let guard = lock.lock().unwrap();
        s.spawn(|| drop(lock.lock()));
        while BY_OTHERS.load(SeqCst) == 0 {
            thread::yield_now();
        }
        drop(guard);
    });
    assert_eq!(BY_TASKLETS.load(SeqCst), 0, "calls out of the library's code");
}
