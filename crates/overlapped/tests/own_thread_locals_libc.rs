//! libc and tasklets with thread-locals of their own: pthread_self and the uses of its result,
//! mutexes, libraries that are opened, fork and exit.

mod own_locals;
mod support;

use std::ffi::{CStr, CString, c_int, c_void};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::ptr::null_mut;
use std::time::Duration;

use overlapped::task::in_tasklet;
use overlapped::time::sleep;
use overlapped::{Channel, run, yield_now};
use own_locals::{each, own, with_own_locals};

/// Returns the caller's stack, by pthread_getattr_np.
fn stack() -> std::ops::Range<usize> {
    // SAFETY: the attributes are written before they are read, and destroyed.
    unsafe {
        let mut attributes = MaybeUninit::uninit();
        assert_eq!(libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()), 0);
        let (mut low, mut len) = (null_mut(), 0);
        libc::pthread_attr_getstack(attributes.as_ptr(), &mut low, &mut len);
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        low.addr()..low.addr() + len
    }
}

#[test]
fn pthread_self_differs_and_knows_the_tasklets_stack() {
    with_own_locals(|| {
        // SAFETY: no conditions.
        let me = || unsafe { libc::pthread_self() };
        let mut all = each(10, move |_| {
            let (local, stack, before) = (0_u8, stack(), me());
            yield_now();
            assert_eq!(me(), before);
            assert!(stack.contains(&(&raw const local).addr()), "{stack:x?}");
            assert!(stack.len() < 256 << 10, "{stack:x?}");
            // SAFETY: the caller's own; 0 sends nothing.
            assert_eq!(unsafe { libc::pthread_kill(me(), 0) }, 0);
            before
        });
        all.push(me());
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 11);
    });
}

#[test]
fn the_processor_is_asked_for_and_the_number_is_the_threads() {
    with_own_locals(|| {
        // SAFETY: no conditions.
        let number = || unsafe { libc::gettid() };
        let thread = number();
        let told = each(10, move |_| {
            // SAFETY: no conditions.
            let processor = unsafe { libc::sched_getcpu() };
            // SAFETY: sysconf only reads.
            let count = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_CONF) } as c_int;
            ((0..count).contains(&processor), number() == thread)
        });
        assert_eq!(told, [(true, true); 10]);
    });
}

/// A mutex of C's kinds.
fn mutex(kind: c_int, robust: bool) -> Box<libc::pthread_mutex_t> {
    let mut mutex = Box::new(libc::PTHREAD_MUTEX_INITIALIZER);
    // SAFETY: the attributes are written before they are read; the box stays.
    unsafe {
        let mut attributes = MaybeUninit::uninit();
        libc::pthread_mutexattr_init(attributes.as_mut_ptr());
        libc::pthread_mutexattr_settype(attributes.as_mut_ptr(), kind);
        if robust {
            libc::pthread_mutexattr_setrobust(attributes.as_mut_ptr(), libc::PTHREAD_MUTEX_ROBUST);
        }
        assert_eq!(libc::pthread_mutex_init(&mut *mutex, attributes.as_ptr()), 0);
        libc::pthread_mutexattr_destroy(attributes.as_mut_ptr());
    }
    mutex
}

#[test]
fn a_mutex_that_records_its_owner_takes_all_tasklets_of_a_thread_for_one_owner() {
    with_own_locals(|| {
        for robust in [false, true] {
            for (kind, second) in [
                (libc::PTHREAD_MUTEX_ERRORCHECK, libc::EDEADLK),
                (libc::PTHREAD_MUTEX_RECURSIVE, 0),
            ] {
                let lock = Box::leak(mutex(kind, robust)) as *mut libc::pthread_mutex_t;
                let begun = Channel::new();
                let tell = begun.clone();
                // SAFETY: the mutex stays for ever.
                let holder = own(move || unsafe {
                    let first = libc::pthread_mutex_lock(lock);
                    tell.send(()).unwrap();
                    yield_now();
                    (first, libc::pthread_mutex_unlock(lock))
                });
                begun.recv().unwrap();
                // SAFETY: as above.
                let seen = own(move || unsafe {
                    let seen = libc::pthread_mutex_lock(lock);
                    if seen == 0 {
                        libc::pthread_mutex_unlock(lock);
                    }
                    seen
                });
                assert_eq!(seen.join().unwrap(), second, "kind {kind}, robust {robust}");
                assert_eq!(holder.join().unwrap(), (0, 0));
            }
        }
    });
}

#[test]
fn threads_that_a_tasklet_starts_and_joins_are_threads() {
    thread_local! { static N: std::cell::Cell<usize> = const { std::cell::Cell::new(3) }; }
    with_own_locals(|| {
        let sums = each(10, |n| {
            N.set(n);
            let thread = std::thread::spawn(move || {
                let before = N.replace(7);
                std::thread::scope(|s| s.spawn(|| N.get()).join().unwrap()) + before
            });
            yield_now();
            (thread.join().unwrap(), N.get() == n)
        });
        assert_eq!(sums, [(6, true); 10]);
    });
}

#[test]
fn identities_are_set_on_all_threads_from_a_tasklet_and_from_a_thread() {
    with_own_locals(|| {
        let beside = std::thread::spawn(|| std::thread::sleep(Duration::from_millis(50)));
        // SAFETY: what the process has already.
        let set = || unsafe { libc::setresgid(!0, libc::getegid(), !0) };
        assert_eq!(each(5, move |_| (set(), yield_now()).0), [0; 5]);
        let thread = std::thread::spawn(move || (0..100).map(|_| set()).sum::<c_int>());
        each(5, |_| while !std::hint::black_box(true) {});
        let waits = own(|| (0..20).for_each(|_| sleep(Duration::from_millis(1))));
        waits.join().unwrap();
        assert_eq!(thread.join().unwrap(), 0);
        beside.join().unwrap();
    });
}

/// Compiles a library of C.
fn library(folder: &Path, name: &str, text: &str) -> Option<CString> {
    let (from, to) = (folder.join(format!("{name}.c")), folder.join(format!("{name}.so")));
    std::fs::write(&from, text).unwrap();
    let mut compiler = support::compiler();
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&to).arg(&from);
    let built = compiler.status();
    if !built.is_ok_and(|status| status.success()) {
        println!("SKIPPED no C compiler for a library");
        return None;
    }
    Some(CString::new(to.as_os_str().as_bytes()).unwrap())
}

/// A function of a library.
fn function(library: *mut c_void, name: &CStr) -> extern "C" fn(c_int) -> c_int {
    // SAFETY: a library that is open, and a name.
    let found = unsafe { libc::dlsym(library, name.as_ptr()) };
    assert!(!found.is_null());
    // SAFETY: the libraries below have such functions only.
    unsafe { std::mem::transmute(found) }
}

fn open(path: &CStr) -> *mut c_void {
    // SAFETY: a path; the library's constructors do nothing.
    let library = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
    assert!(!library.is_null());
    library
}

// More memory than Arm gives a library in fixed places.
const ADDS: &str = "static __thread int sum = 40; volatile __thread char room[3000];
    int add(int n) { room[n] = 1; return sum += n; }";

#[test]
fn a_library_that_is_opened_while_tasklets_live_has_thread_locals_for_each() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = library(folder.path(), "adds", ADDS) else { return };
    with_own_locals(|| {
        for round in 0..3 {
            let opened = Channel::<usize>::new();
            let live: Vec<_> = (0..5)
                .map(|n| {
                    let opened = opened.clone();
                    own(move || {
                        let add = function(opened.recv().unwrap() as *mut c_void, c"add");
                        let first = add(n);
                        yield_now();
                        (first, add(n))
                    })
                })
                .collect();
            yield_now();
            let library = open(&path);
            let add = function(library, c"add");
            assert_eq!(add(1), 41, "round {round}");
            (0..5).for_each(|_| opened.send(library as usize).unwrap());
            for (n, one) in live.into_iter().enumerate() {
                let n = n as c_int;
                assert_eq!(one.join().unwrap(), (40 + n, 40 + 2 * n), "round {round}");
            }
            // Blocks are reused: nothing of the previous tasklet is left in them.
            let later = each(10, move |n| function(library, c"add")(n as c_int));
            assert_eq!(later, (0..10).map(|n| 40 + n).collect::<Vec<_>>());
            // SAFETY: no code uses it any more.
            assert_eq!(unsafe { libc::dlclose(library) }, 0);
        }
    });
}

const FIXED: &str = "__thread int sum __attribute__((tls_model(\"initial-exec\"))) = 40;
    int add(int n) { return sum += n; }";

#[test]
fn a_library_with_thread_locals_in_fixed_places_begins_with_zeros_in_those_that_live() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = library(folder.path(), "fixed", FIXED) else { return };
    with_own_locals(|| {
        let opened = Channel::<usize>::new();
        let theirs = opened.clone();
        let lives = own(move || function(theirs.recv().unwrap() as *mut c_void, c"add")(2));
        yield_now();
        let library = open(&path);
        assert_eq!(function(library, c"add")(2), 42);
        opened.send(library as usize).unwrap();
        assert_eq!(lives.join().unwrap(), 2, "as documented");
        let later = each(3, move |n| function(library, c"add")(n as c_int));
        assert_eq!(later, [40, 41, 42]);
    });
}

/// Forks. The child runs `f`, whose result is its exit code. Returns the child's status.
fn forked(f: impl FnOnce() -> c_int) -> c_int {
    // SAFETY: the child uses nothing that other threads of the parent may have locked.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        let status = f();
        // SAFETY: ends this process.
        unsafe { libc::_exit(status) };
    }
    let mut status = -1;
    // SAFETY: a child of ours and a place for its status.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    status
}

#[test]
fn a_child_of_fork_is_outside_and_may_begin_a_run_of_its_own() {
    with_own_locals(|| {
        let on_a_thread = std::thread::spawn(|| {
            with_own_locals(|| assert_eq!(own(forks).join().unwrap(), 7 << 8));
        });
        on_a_thread.join().unwrap();
        assert_eq!(own(forks).join().unwrap(), 7 << 8);
    });
    fn forks() -> c_int {
        forked(|| {
            assert!(!in_tasklet());
            let text = std::thread::spawn(|| format!("{:?}", std::thread::current().id()));
            assert!(!text.join().unwrap().is_empty());
            let sum = run(|| each(5, |n| (yield_now(), n).1).into_iter().sum::<usize>());
            assert_eq!(sum.unwrap(), 10);
            7
        })
    }
}

#[test]
fn a_tasklet_that_ends_in_a_child_of_fork_ends_the_child() {
    const NAME: &str = "a_tasklet_that_ends_in_a_child_of_fork_ends_the_child";
    if support::asked().is_some() {
        return with_own_locals(|| {
            own(|| {
                // SAFETY: the child does nothing.
                let child = unsafe { libc::fork() };
                if child > 0 {
                    let mut status = 0;
                    // SAFETY: a child of ours and a place for its status.
                    unsafe { libc::waitpid(child, &raw mut status, 0) };
                    println!("CHILD {}", status & 0x7f);
                }
            })
            .join()
            .unwrap();
        });
    }
    let said = support::said(&support::child(NAME, "child"));
    let expected = format!("CHILD {}", libc::SIGABRT);
    if said.contains("SKIPPED") {
        return println!("SKIPPED: {NAME}: no thread-locals of a tasklet's own");
    }
    assert!(said.contains(&expected) && said.contains("has ended in the child"), "{said}");
}

#[test]
fn exit_and_abort_end_the_process() {
    const NAME: &str = "exit_and_abort_end_the_process";
    struct Last;
    impl Drop for Last {
        fn drop(&mut self) {
            println!("DROPPED");
        }
    }
    thread_local! { static LAST: Last = const { Last }; }
    match support::asked().as_deref() {
        Some("abort") => with_own_locals(|| own(|| std::process::abort()).join().unwrap()),
        Some(_) => with_own_locals(|| {
            own(|| {
                LAST.with(|_| ());
                yield_now();
                std::process::exit(9);
            })
            .join()
            .unwrap()
        }),
        None => {
            let exits = support::child(NAME, "exit");
            let said = support::said(&exits);
            if said.contains("SKIPPED") {
                return println!("SKIPPED {said}");
            }
            // As on a thread, exit(3) runs the destructors of its caller.
            assert!(exits.status.code() == Some(9) && said.contains("DROPPED"), "{said}");
            assert_eq!(support::child(NAME, "abort").status.signal(), Some(libc::SIGABRT));
        }
    }
}

#[test]
fn a_locale_and_an_error_of_dlopen_do_not_outlive_the_tasklet() {
    with_own_locals(|| {
        // SAFETY: names that end with 0; a locale that is never freed.
        let changes = || unsafe {
            let locale = libc::newlocale(libc::LC_ALL_MASK, c"C".as_ptr(), null_mut());
            libc::uselocale(locale);
            libc::dlopen(c"/no/such/library".as_ptr(), libc::RTLD_NOW).is_null()
        };
        assert_eq!(each(20, move |_| changes()), [true; 20]);
        // SAFETY: null changes nothing.
        let clean = || unsafe {
            (libc::uselocale(null_mut()).addr() == usize::MAX, libc::dlerror().is_null())
        };
        assert_eq!(each(20, move |_| clean()), [(true, true); 20]);
    });
}
