//! Locks of C's.
#![allow(missing_docs)]
mod support;

use std::cell::{Cell, UnsafeCell};
use std::mem::MaybeUninit;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::Instant;

use overlapped_install::{scope, spawn};
use support::{ms, run_in_tasklet, until_waits};

struct CMutex(UnsafeCell<libc::pthread_mutex_t>);

// SAFETY: a mutex of C's is shared by design.
unsafe impl Sync for CMutex {}
// SAFETY: as above; it is not moved while locked.
unsafe impl Send for CMutex {}

impl CMutex {
    fn new(kind: libc::c_int) -> CMutex {
        let mut mutex = MaybeUninit::uninit();
        // SAFETY: initialised before it is used.
        unsafe {
            let mut attributes = MaybeUninit::uninit();
            libc::pthread_mutexattr_init(attributes.as_mut_ptr());
            libc::pthread_mutexattr_settype(attributes.as_mut_ptr(), kind);
            libc::pthread_mutex_init(mutex.as_mut_ptr(), attributes.as_ptr());
            CMutex(UnsafeCell::new(mutex.assume_init()))
        }
    }

    fn lock(&self) -> libc::c_int {
        // SAFETY: a mutex.
        unsafe { libc::pthread_mutex_lock(self.0.get()) }
    }

    fn try_lock(&self) -> libc::c_int {
        // SAFETY: a mutex.
        unsafe { libc::pthread_mutex_trylock(self.0.get()) }
    }

    fn unlock(&self) -> libc::c_int {
        // SAFETY: a mutex.
        unsafe { libc::pthread_mutex_unlock(self.0.get()) }
    }
}

const KINDS: [libc::c_int; 3] =
    [libc::PTHREAD_MUTEX_NORMAL, libc::PTHREAD_MUTEX_RECURSIVE, libc::PTHREAD_MUTEX_ERRORCHECK];

#[test]
fn every_kind_of_mutex_keeps_tasklets_of_one_thread_apart() {
    for kind in KINDS {
        let mutex = CMutex::new(kind);
        let count = Cell::new(0);
        run_in_tasklet(|| {
            scope(|s| {
                for _ in 0..10 {
                    s.spawn(|| {
                        assert_eq!(mutex.lock(), 0);
                        let before = count.get();
                        thread::yield_now();
                        count.set(before + 1);
                        assert_eq!(mutex.unlock(), 0);
                    });
                }
            });
        });
        assert_eq!(count.get(), 10, "{kind}");
    }
}

#[test]
fn every_kind_of_mutex_keeps_threads_and_tasklets_apart() {
    for kind in KINDS {
        let mutex = Arc::new((CMutex::new(kind), AtomicU32::new(0)));
        let add = |mutex: &(CMutex, AtomicU32)| {
            for _ in 0..20 {
                assert_eq!(mutex.0.lock(), 0);
                let before = mutex.1.load(Relaxed);
                thread::sleep(std::time::Duration::from_micros(200));
                mutex.1.store(before + 1, Relaxed);
                assert_eq!(mutex.0.unlock(), 0);
            }
        };
        let theirs = mutex.clone();
        let thread = thread::spawn(move || add(&theirs));
        run_in_tasklet(|| scope(|s| (0..3).for_each(|_| drop(s.spawn(|| add(&mutex))))));
        thread.join().unwrap();
        assert_eq!(mutex.1.load(Relaxed), 80, "{kind}");
    }
}

#[test]
fn a_recursive_mutex_lets_its_owner_in_again_and_nobody_else() {
    run_in_tasklet(|| {
        let mutex = Rc::new(CMutex::new(libc::PTHREAD_MUTEX_RECURSIVE));
        assert_eq!((mutex.lock(), mutex.lock(), mutex.try_lock()), (0, 0, 0));
        let theirs = mutex.clone();
        let other = spawn(move || {
            let first = theirs.try_lock();
            (first, theirs.lock(), theirs.unlock())
        });
        until_waits(other.id());
        for _ in 0..3 {
            thread::yield_now();
            assert!(!other.is_finished());
            assert_eq!(mutex.unlock(), 0);
        }
        assert_eq!(other.join().unwrap(), (libc::EBUSY, 0, 0));
    });
}

#[test]
fn a_mutex_that_checks_for_errors_says_edeadlk_to_its_owner() {
    run_in_tasklet(|| {
        let mutex = CMutex::new(libc::PTHREAD_MUTEX_ERRORCHECK);
        assert_eq!(mutex.lock(), 0);
        assert_eq!((mutex.lock(), mutex.try_lock()), (libc::EDEADLK, libc::EBUSY));
        assert_eq!(mutex.unlock(), 0);
    });
}

fn in_ms(clock: libc::clockid_t, count: i64) -> libc::timespec {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes to `now`.
    unsafe { libc::clock_gettime(clock, &mut now) };
    let nanoseconds = now.tv_nsec + count * 1_000_000;
    libc::timespec {
        tv_sec: now.tv_sec + nanoseconds / 1_000_000_000,
        tv_nsec: nanoseconds % 1_000_000_000,
    }
}

#[test]
fn a_timed_lock_says_etimedout() {
    run_in_tasklet(|| {
        let mutex = CMutex::new(libc::PTHREAD_MUTEX_NORMAL);
        assert_eq!(mutex.lock(), 0);
        let begin = Instant::now();
        let end = in_ms(libc::CLOCK_REALTIME, 30);
        // SAFETY: a mutex, and a time.
        let outcome = unsafe { libc::pthread_mutex_timedlock(mutex.0.get(), &end) };
        assert_eq!(outcome, libc::ETIMEDOUT);
        assert!(begin.elapsed() >= ms(20));
        mutex.unlock();
    });
}

struct CCond(UnsafeCell<libc::pthread_cond_t>);

// SAFETY: a condition variable of C's is shared by design.
unsafe impl Sync for CCond {}
// SAFETY: as above.
unsafe impl Send for CCond {}

#[test]
fn a_condition_variable_is_signalled_by_tasklets_and_threads() {
    let cond = CCond(UnsafeCell::new(libc::PTHREAD_COND_INITIALIZER));
    let shared = Arc::new((CMutex::new(libc::PTHREAD_MUTEX_NORMAL), cond, AtomicU32::new(0)));
    struct Shared(Arc<(CMutex, CCond, AtomicU32)>);
    impl Shared {
        /// Counts itself, and waits until all have done so.
        fn meet(&self, all: u32) {
            let (mutex, cond, count) = &*self.0;
            mutex.lock();
            // SAFETY: the mutex is locked.
            unsafe {
                count.fetch_add(1, Relaxed);
                libc::pthread_cond_broadcast(cond.0.get());
                while count.load(Relaxed) < all {
                    assert_eq!(libc::pthread_cond_wait(cond.0.get(), mutex.0.get()), 0);
                }
            }
            mutex.unlock();
        }
    }
    let threads = [(); 3].map(|()| {
        let theirs = Shared(shared.clone());
        thread::spawn(move || {
            let theirs = theirs;
            theirs.meet(13);
        })
    });
    run_in_tasklet(|| {
        scope(|s| (0..10).for_each(|_| drop(s.spawn(|| Shared(shared.clone()).meet(13)))))
    });
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn a_condition_variables_limit_says_etimedout_and_locks_again() {
    run_in_tasklet(|| {
        let (mutex, mut cond) =
            (CMutex::new(libc::PTHREAD_MUTEX_NORMAL), libc::PTHREAD_COND_INITIALIZER);
        mutex.lock();
        let end = in_ms(libc::CLOCK_REALTIME, 30);
        // SAFETY: the mutex is locked.
        let outcome = unsafe { libc::pthread_cond_timedwait(&mut cond, mutex.0.get(), &end) };
        assert_eq!(outcome, libc::ETIMEDOUT);
        assert_eq!((mutex.try_lock(), mutex.unlock()), (libc::EBUSY, 0));
    });
}

#[test]
fn a_semaphore_is_posted_by_tasklets_and_threads() {
    struct Semaphore(UnsafeCell<libc::sem_t>);
    // SAFETY: shared by design.
    unsafe impl Sync for Semaphore {}
    // SAFETY: as above.
    unsafe impl Send for Semaphore {}
    let mut made = MaybeUninit::uninit();
    // SAFETY: initialised.
    let made = unsafe {
        libc::sem_init(made.as_mut_ptr(), 0, 0);
        made.assume_init()
    };
    let semaphore = Arc::new(Semaphore(UnsafeCell::new(made)));
    let theirs = semaphore.clone();
    let thread = thread::spawn(move || {
        let theirs = theirs;
        for _ in 0..50 {
            // SAFETY: a semaphore.
            unsafe { libc::sem_post(theirs.0.get()) };
            thread::yield_now();
        }
    });
    run_in_tasklet(|| {
        scope(|s| {
            for _ in 0..20 {
                s.spawn(|| {
                    for _ in 0..5 {
                        // SAFETY: a semaphore.
                        assert_eq!(unsafe { libc::sem_wait(semaphore.0.get()) }, 0);
                    }
                });
            }
            s.spawn(|| {
                for _ in 0..50 {
                    // SAFETY: a semaphore.
                    unsafe { libc::sem_post(semaphore.0.get()) };
                    thread::sleep(ms(1));
                }
            });
        });
        // SAFETY: a semaphore.
        unsafe {
            let end = in_ms(libc::CLOCK_REALTIME, 20);
            assert_eq!(libc::sem_timedwait(semaphore.0.get(), &end), -1);
        }
        assert_eq!(std::io::Error::last_os_error().raw_os_error(), Some(libc::ETIMEDOUT));
    });
    thread.join().unwrap();
}

#[test]
fn a_lock_for_readers_and_writers_and_a_barrier() {
    struct Lock(UnsafeCell<libc::pthread_rwlock_t>);
    let lock = Lock(UnsafeCell::new(libc::PTHREAD_RWLOCK_INITIALIZER));
    let count = Cell::new(0);
    let mut barrier = MaybeUninit::uninit();
    // SAFETY: initialised, for ten.
    let barrier = unsafe {
        libc::pthread_barrier_init(barrier.as_mut_ptr(), std::ptr::null(), 10);
        UnsafeCell::new(barrier.assume_init())
    };
    run_in_tasklet(|| {
        scope(|s| {
            for number in 0..10 {
                let (lock, count, barrier) = (&lock, &count, &barrier);
                // SAFETY: a lock and a barrier.
                s.spawn(move || unsafe {
                    libc::pthread_barrier_wait(barrier.get());
                    let is_writer = number % 2 == 0;
                    match is_writer {
                        true => libc::pthread_rwlock_wrlock(lock.0.get()),
                        false => libc::pthread_rwlock_rdlock(lock.0.get()),
                    };
                    let before = count.get();
                    thread::yield_now();
                    assert_eq!(count.get(), before);
                    count.set(before + u32::from(is_writer));
                    assert_eq!(libc::pthread_rwlock_unlock(lock.0.get()), 0);
                });
            }
        });
    });
    assert_eq!(count.get(), 5);
}
