//! The extra cost of a hooked call over libc's own, outside tasklets and inside. Both are called in
//! turns, a hundred times each, and the cost is the median of the differences.

use std::ffi::{CStr, c_int, c_void};
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::Instant;

type Recv = unsafe extern "C" fn(c_int, *mut c_void, usize, c_int) -> isize;
type OnMutex = unsafe extern "C" fn(*mut libc::pthread_mutex_t) -> c_int;

/// Measures the extra nanoseconds of a call, times `n`: figures are given for `n` calls.
pub(crate) fn more(world: &str, case: &str, n: u64) -> Result<f64, String> {
    let case = case.to_owned();
    let measure = move || match case.as_str() {
        "recv" => recv(n),
        "recursive" => mutex(libc::PTHREAD_MUTEX_RECURSIVE, n),
        _ => mutex(libc::PTHREAD_MUTEX_NORMAL, n),
    };
    match world {
        "threads" => measure(),
        _ => overlapped_install::run(measure).map_err(|why| why.to_string())?,
    }
}

/// Finds libc's own function.
fn libcs(name: &CStr) -> Result<*mut c_void, String> {
    // SAFETY: both names end in a zero, and the library stays loaded: nothing is closed.
    let found = unsafe {
        let libc = libc::dlopen(c"libc.so.6".as_ptr(), libc::RTLD_NOW | libc::RTLD_NOLOAD);
        libc::dlsym(libc, name.as_ptr())
    };
    if found.is_null() { Err(format!("libc has no {name:?}")) } else { Ok(found) }
}

/// Measures a call that finds no data and returns an error.
fn recv(n: u64) -> Result<f64, String> {
    let (a, _b) = UnixStream::pair().map_err(|error| error.to_string())?;
    // SAFETY: the type is that of recv(2), the function that was looked up.
    let theirs = unsafe { std::mem::transmute::<*mut c_void, Recv>(libcs(c"recv")?) };
    let call = |recv: Recv| {
        let mut byte = 0_u8;
        // SAFETY: the pointer is to one byte, which outlives the call.
        let count = unsafe { recv(a.as_raw_fd(), (&raw mut byte).cast(), 1, libc::MSG_DONTWAIT) };
        assert_eq!(count, -1);
    };
    Ok(in_turns(n, || call(libc::recv), || call(theirs)))
}

fn mutex(kind: c_int, n: u64) -> Result<f64, String> {
    let mut mutex = libc::PTHREAD_MUTEX_INITIALIZER;
    let mutex = &raw mut mutex;
    let mut attributes = MaybeUninit::uninit();
    // SAFETY: both pointers are to live locals; the attributes are initialised before they are
    // used, and the mutex is not in use yet.
    unsafe {
        libc::pthread_mutexattr_init(attributes.as_mut_ptr());
        libc::pthread_mutexattr_settype(attributes.as_mut_ptr(), kind);
        libc::pthread_mutex_init(mutex, attributes.as_ptr());
    }
    // SAFETY: the type is that of both functions that were looked up.
    let [lock, unlock] = unsafe {
        [c"pthread_mutex_lock", c"pthread_mutex_unlock"]
            .map(libcs)
            .map(|found| found.map(|found| std::mem::transmute::<*mut c_void, OnMutex>(found)))
    };
    let (lock, unlock) = (lock?, unlock?);
    let call = |lock: OnMutex, unlock: OnMutex| {
        // SAFETY: the mutex is initialised, outlives the calls, and does not move.
        unsafe {
            lock(mutex);
            unlock(mutex);
        }
    };
    Ok(in_turns(
        n,
        || call(libc::pthread_mutex_lock, libc::pthread_mutex_unlock),
        || call(lock, unlock),
    ))
}

/// Returns the median of the differences, times `n`.
fn in_turns(n: u64, ours: impl Fn(), theirs: impl Fn()) -> f64 {
    const AT_A_TIME: u32 = 100;
    let time = |call: &dyn Fn()| {
        let start = Instant::now();
        (0..AT_A_TIME).for_each(|_| call());
        start.elapsed().as_nanos() as f64 / f64::from(AT_A_TIME)
    };
    let rounds = (n / u64::from(2 * AT_A_TIME)).max(11);
    let mut differences: Vec<_> = (0..rounds).map(|_| time(&ours) - time(&theirs)).collect();
    differences.sort_by(f64::total_cmp);
    differences[differences.len() / 2] * n as f64
}
