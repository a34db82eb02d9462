//! Locks of C's: their owners, and the rarer kinds.
#![allow(missing_docs)]
mod support;

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr::null_mut;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread;

use overlapped_install::{scope, spawn};
use support::c::{Attributes, CMutex, Shared};
use support::{ms, run_in_tasklet, until_waits, wait_until};

const NORMAL: c_int = libc::PTHREAD_MUTEX_NORMAL;
const RECURSIVE: c_int = libc::PTHREAD_MUTEX_RECURSIVE;
const CHECKING: c_int = libc::PTHREAD_MUTEX_ERRORCHECK;

#[test]
fn a_mutex_that_checks_for_errors_is_unlocked_by_its_owner_alone() {
    run_in_tasklet(|| {
        let mutex = Arc::new(CMutex::with_attributes(CHECKING, Attributes::default()));
        let theirs = mutex.clone();
        assert_eq!(mutex.lock(), 0);
        assert_eq!(spawn(move || theirs.unlock()).join().unwrap(), libc::EPERM);
        assert_eq!((mutex.lock(), mutex.unlock(), mutex.unlock()), (libc::EDEADLK, 0, libc::EPERM));
    });
}

#[test]
fn what_the_thread_has_locked_its_tasklets_have_not() {
    for kind in [RECURSIVE, CHECKING] {
        let mutex = Arc::new(CMutex::with_attributes(kind, Attributes::default()));
        let theirs = mutex.clone();
        assert_eq!(mutex.lock(), 0);
        run_in_tasklet(move || {
            assert_eq!((theirs.try_lock(), theirs.unlock()), (libc::EBUSY, libc::EPERM));
            // A tasklet of the library alone.
            let mutex = Arc::new(CMutex::with_attributes(kind, Attributes::default()));
            let (native, is_tried) = (mutex.clone(), Rc::new(Cell::new(false)));
            let tried = is_tried.clone();
            let holder = overlapped::spawn(move || {
                assert_eq!(native.lock(), 0);
                while !tried.get() {
                    overlapped::yield_now();
                }
                assert_eq!(native.unlock(), 0);
            });
            overlapped::yield_now();
            assert_eq!(mutex.try_lock(), libc::EBUSY);
            is_tried.set(true);
            // `lock` begins to wait before the holder runs again.
            assert_eq!((mutex.lock(), mutex.unlock()), (0, 0));
            holder.join().unwrap();
        });
        assert_eq!((mutex.try_lock() == 0, mutex.unlock()), (kind == RECURSIVE, 0));
    }
}

#[test]
fn a_writer_is_told_that_it_waits_for_itself_and_its_neighbours_wait_for_it() {
    run_in_tasklet(|| {
        let lock = Arc::new(Shared::new(libc::PTHREAD_RWLOCK_INITIALIZER));
        // SAFETY: a lock.
        unsafe {
            assert_eq!(libc::pthread_rwlock_wrlock(lock.get()), 0);
            assert_eq!(libc::pthread_rwlock_wrlock(lock.get()), libc::EDEADLK);
            assert_eq!(libc::pthread_rwlock_rdlock(lock.get()), libc::EDEADLK);
            assert_eq!(libc::pthread_rwlock_tryrdlock(lock.get()), libc::EBUSY);
        }
        let theirs = lock.clone();
        // SAFETY: as above.
        let reader = spawn(move || unsafe {
            let locked = libc::pthread_rwlock_rdlock(theirs.get());
            (locked, libc::pthread_rwlock_unlock(theirs.get()))
        });
        until_waits(reader.id());
        // SAFETY: as above.
        assert_eq!(unsafe { libc::pthread_rwlock_unlock(lock.get()) }, 0);
        assert_eq!(reader.join().unwrap(), (0, 0));
        // SAFETY: as above.
        unsafe {
            assert_eq!(libc::pthread_rwlock_trywrlock(lock.get()), 0);
            assert_eq!(libc::pthread_rwlock_unlock(lock.get()), 0);
        }
    });
}

#[test]
fn mutexes_that_raise_priorities_are_refused_in_tasklets_alone() {
    for kind in [NORMAL, RECURSIVE, CHECKING] {
        let mutex =
            CMutex::with_attributes(kind, Attributes { ceiling: true, ..Attributes::default() });
        // A ceiling needs a right to raise priorities.
        if mutex.lock() == 0 {
            assert_eq!(mutex.unlock(), 0);
        }
        let tried = run_in_tasklet(|| (mutex.lock(), mutex.try_lock()));
        assert_eq!(tried, (libc::ENOTSUP, libc::ENOTSUP), "{kind}");
    }
}

#[test]
fn mutexes_that_inherit_or_are_shared_let_one_in() {
    let inherits = Attributes { inherits: true, ..Attributes::default() };
    let shared = Attributes { shared: true, ..Attributes::default() };
    for requested in [inherits, shared] {
        let (mutex, count) = (CMutex::with_attributes(NORMAL, requested), Cell::new(0));
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
        assert_eq!(count.get(), 10, "{requested:?}");
    }
}

#[test]
fn an_owner_is_its_thread_to_everything_else() {
    extern "C" fn note(_: c_int) {
        NOTED.fetch_add(1, SeqCst);
    }
    static NOTED: AtomicU32 = AtomicU32::new(0);
    run_in_tasklet(|| {
        let mutex = CMutex::with_attributes(RECURSIVE, Attributes::default());
        assert_eq!(mutex.lock(), 0);
        // SAFETY: plain calls; the attributes and the set are written before they are read.
        unsafe {
            let me = libc::pthread_self();
            let mut attributes = MaybeUninit::uninit();
            assert_eq!(libc::pthread_getattr_np(me, attributes.as_mut_ptr()), 0);
            libc::pthread_attr_destroy(attributes.as_mut_ptr());
            let mut set: libc::cpu_set_t = std::mem::zeroed();
            assert_eq!(libc::pthread_getaffinity_np(me, size_of_val(&set), &mut set), 0);
            let (mut policy, mut priority) = (0, std::mem::zeroed());
            assert_eq!(libc::pthread_getschedparam(me, &mut policy, &mut priority), 0);
            libc::signal(libc::SIGUSR2, note as *const () as usize);
            assert_eq!(libc::raise(libc::SIGUSR2), 0);
            assert_eq!(libc::pthread_kill(me, libc::SIGUSR2), 0);
            let from_outside = thread::spawn(move || libc::pthread_kill(me, libc::SIGUSR2));
            assert_eq!(from_outside.join().unwrap(), 0);
            let child = libc::fork();
            if child == 0 {
                // The child inherits the locked mutex.
                let outcome = [mutex.lock(), mutex.unlock(), mutex.unlock(), mutex.try_lock()];
                libc::_exit(c_int::from(outcome != [0; 4]));
            }
            let mut status = 0;
            assert_eq!(libc::waitpid(child, &mut status, 0), child);
            assert_eq!(status, 0);
        }
        assert_eq!(mutex.unlock(), 0);
        wait_until("both timers and the signal are noted", || NOTED.load(SeqCst) >= 3);
    });
}

unsafe extern "C-unwind" {
    fn pthread_once(control: *mut c_int, routine: extern "C-unwind" fn()) -> c_int;
    fn call_once(flag: *mut c_int, routine: extern "C-unwind" fn());
}

#[test]
fn a_routine_that_runs_once_may_wait_while_neighbours_and_threads_wait_for_its_end() {
    static ONCE: Shared<c_int> = Shared::new(0);
    static FLAG: Shared<c_int> = Shared::new(0);
    static RUNS: AtomicU32 = AtomicU32::new(0);
    extern "C-unwind" fn routine() {
        thread::sleep(ms(20));
        RUNS.fetch_add(1, SeqCst);
    }
    // SAFETY: words for these calls alone.
    let both = || unsafe {
        assert_eq!(pthread_once(ONCE.get(), routine), 0);
        assert!(RUNS.load(SeqCst) >= 1);
        call_once(FLAG.get(), routine);
        assert_eq!(RUNS.load(SeqCst), 2);
    };
    let begin = Arc::new(std::sync::Barrier::new(2));
    let theirs = begin.clone();
    let thread = thread::spawn(move || {
        theirs.wait();
        both();
    });
    run_in_tasklet(|| {
        begin.wait();
        scope(|s| (0..10).for_each(|_| drop(s.spawn(both))));
    });
    thread.join().unwrap();
}

#[test]
fn a_routine_that_unwinds_is_run_again_by_the_next() {
    static ONCE: Shared<c_int> = Shared::new(0);
    static RUNS: AtomicU32 = AtomicU32::new(0);
    extern "C-unwind" fn routine() {
        thread::yield_now();
        if RUNS.fetch_add(1, SeqCst) == 0 {
            panic!("as it should");
        }
    }
    run_in_tasklet(|| {
        // SAFETY: a word for this call alone.
        let call = || unsafe { pthread_once(ONCE.get(), routine) };
        let tasklets = [(); 5].map(|()| spawn(call));
        let ended = tasklets.into_iter().filter_map(|one| one.join().ok()).count();
        assert_eq!((ended, RUNS.load(SeqCst)), (4, 2));
    });
}

unsafe extern "C" {
    fn mtx_init(mutex: *mut libc::pthread_mutex_t, kind: c_int) -> c_int;
    fn mtx_lock(mutex: *mut libc::pthread_mutex_t) -> c_int;
    fn mtx_trylock(mutex: *mut libc::pthread_mutex_t) -> c_int;
    fn mtx_unlock(mutex: *mut libc::pthread_mutex_t) -> c_int;
    fn cnd_init(cond: *mut libc::pthread_cond_t) -> c_int;
    fn cnd_wait(cond: *mut libc::pthread_cond_t, mutex: *mut libc::pthread_mutex_t) -> c_int;
    fn cnd_broadcast(cond: *mut libc::pthread_cond_t) -> c_int;
    fn thrd_create(
        thread: *mut libc::pthread_t,
        routine: extern "C" fn(*mut c_void) -> c_int,
        argument: *mut c_void,
    ) -> c_int;
    fn thrd_join(thread: libc::pthread_t, value: *mut c_int) -> c_int;
    fn thrd_sleep(span: *const libc::timespec, left: *mut libc::timespec) -> c_int;
}

#[test]
fn the_names_of_c11_do_the_same() {
    const MTX_RECURSIVE: c_int = 1;
    const THRD_BUSY: c_int = 1;
    extern "C" fn routine(argument: *mut c_void) -> c_int {
        thread::sleep(ms(20));
        argument.addr() as c_int + 1
    }
    static MUTEX: Shared<libc::pthread_mutex_t> = Shared::new(libc::PTHREAD_MUTEX_INITIALIZER);
    static COND: Shared<libc::pthread_cond_t> = Shared::new(libc::PTHREAD_COND_INITIALIZER);
    run_in_tasklet(|| {
        // SAFETY: initialised here, and used by these calls alone.
        unsafe {
            assert_eq!((mtx_init(MUTEX.get(), MTX_RECURSIVE), cnd_init(COND.get())), (0, 0));
            assert_eq!((mtx_lock(MUTEX.get()), mtx_lock(MUTEX.get())), (0, 0));
            assert_eq!(spawn(|| mtx_trylock(MUTEX.get())).join().unwrap(), THRD_BUSY);
            assert_eq!((mtx_unlock(MUTEX.get()), mtx_unlock(MUTEX.get())), (0, 0));
        }
        let met = Cell::new(0);
        scope(|s| {
            for _ in 0..5 {
                // SAFETY: as above.
                s.spawn(|| unsafe {
                    mtx_lock(MUTEX.get());
                    met.set(met.get() + 1);
                    cnd_broadcast(COND.get());
                    while met.get() < 5 {
                        assert_eq!(cnd_wait(COND.get(), MUTEX.get()), 0);
                    }
                    mtx_unlock(MUTEX.get());
                });
            }
        });
        let ticks = support::ticks(|| {
            let (mut thread, mut value) = (0, 0);
            let span = libc::timespec { tv_sec: 0, tv_nsec: 20_000_000 };
            // SAFETY: a thread, which is joined; a time.
            unsafe {
                assert_eq!(thrd_create(&mut thread, routine, null_mut()), 0);
                assert_eq!(thrd_join(thread, &mut value), 0);
                assert_eq!(thrd_sleep(&span, null_mut()), 0);
            }
            assert_eq!(value, 1);
        });
        assert!(ticks > 0);
    });
}

#[test]
fn a_spin_lock_held_across_a_wait_lets_the_neighbours_run() {
    let lock: Shared<libc::pthread_spinlock_t> = Shared::new(0);
    let count = Cell::new(0);
    // SAFETY: initialised.
    assert_eq!(unsafe { libc::pthread_spin_init(lock.get(), 0) }, 0);
    run_in_tasklet(|| {
        scope(|s| {
            for _ in 0..5 {
                // SAFETY: a spin lock.
                s.spawn(|| unsafe {
                    assert_eq!(libc::pthread_spin_lock(lock.get()), 0);
                    let before = count.get();
                    thread::sleep(ms(2));
                    count.set(before + 1);
                    assert_eq!(libc::pthread_spin_unlock(lock.get()), 0);
                });
            }
        });
    });
    assert_eq!(count.get(), 5);
}

#[test]
fn a_static_of_cpps_is_made_once_although_making_waits() {
    // SAFETY: names that end in zeros; the functions have these types in the Itanium C++ ABI, which
    // this library implements.
    unsafe {
        let library = libc::dlopen(c"libstdc++.so.6".as_ptr(), libc::RTLD_NOW);
        if library.is_null() {
            println!("SKIPPED: libstdc++ is not installed");
            return;
        }
        type Acquire = unsafe extern "C" fn(*mut u64) -> c_int;
        type Release = unsafe extern "C" fn(*mut u64);
        let acquire = libc::dlsym(library, c"__cxa_guard_acquire".as_ptr());
        let release = libc::dlsym(library, c"__cxa_guard_release".as_ptr());
        let acquire = std::mem::transmute::<*mut c_void, Acquire>(acquire);
        let release = std::mem::transmute::<*mut c_void, Release>(release);
        let (guard, made) = (Shared::new(0_u64), Cell::new(0));
        run_in_tasklet(|| {
            scope(|s| {
                for _ in 0..5 {
                    s.spawn(|| {
                        if acquire(guard.get()) == 1 {
                            thread::yield_now();
                            made.set(made.get() + 1);
                            release(guard.get());
                        }
                        assert_eq!(made.get(), 1);
                    });
                }
            });
        });
    }
}

#[test]
fn every_tasklet_counts_at_a_barrier_however_many_there_are() {
    const ALL: u32 = 600;
    let mut barrier = MaybeUninit::uninit();
    // SAFETY: initialised.
    let barrier = unsafe {
        libc::pthread_barrier_init(barrier.as_mut_ptr(), std::ptr::null(), ALL + 1);
        Arc::new(Shared::new(barrier.assume_init()))
    };
    let theirs = barrier.clone();
    let wait = move |barrier: &Shared<libc::pthread_barrier_t>| {
        // SAFETY: a barrier.
        u32::from(match unsafe { libc::pthread_barrier_wait(barrier.get()) } {
            libc::PTHREAD_BARRIER_SERIAL_THREAD => true,
            other => other != 0,
        })
    };
    let thread = thread::spawn(move || (0..5).map(|_| wait(&theirs)).sum::<u32>());
    let serial = Cell::new(0);
    run_in_tasklet(|| {
        scope(|s| {
            for _ in 0..ALL {
                s.spawn(|| {
                    for _ in 0..5 {
                        let one = wait(&barrier);
                        serial.set(serial.get() + one);
                    }
                });
            }
        });
    });
    assert_eq!(serial.get() + thread.join().unwrap(), 5);
}
