//! libc's own functions, for what a system call cannot do.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::atomic::AtomicPtr;
use std::sync::atomic::Ordering::Relaxed;

use libc::{addrinfo, sockaddr, socklen_t};

pub(crate) type GetAddrInfo = unsafe extern "C" fn(
    *const c_char,
    *const c_char,
    *const addrinfo,
    *mut *mut addrinfo,
) -> c_int;
pub(crate) type GetNameInfo = unsafe extern "C" fn(
    *const sockaddr,
    socklen_t,
    *mut c_char,
    socklen_t,
    *mut c_char,
    socklen_t,
    c_int,
) -> c_int;

/// A function's address, looked up once.
pub(crate) struct Next(AtomicPtr<c_void>);

impl Next {
    pub(crate) const fn new() -> Next {
        Next(AtomicPtr::new(std::ptr::null_mut()))
    }

    /// Returns the next function of that name after this crate's: libc's, or that of a library
    /// which has replaced it.
    pub(crate) fn get(&self, name: &CStr, version: Option<&CStr>) -> *mut c_void {
        let known = self.0.load(Relaxed);
        if !known.is_null() {
            return known;
        }
        // SAFETY: names that end in zeros.
        let found = unsafe {
            let versioned = version.map_or(std::ptr::null_mut(), |version| {
                libc::dlvsym(libc::RTLD_NEXT, name.as_ptr(), version.as_ptr())
            });
            match versioned.is_null() {
                true => libc::dlsym(libc::RTLD_NEXT, name.as_ptr()),
                false => versioned,
            }
        };
        if found.is_null() {
            // The libc lacks it: then the program that calls it could not have been loaded.
            std::process::abort();
        }
        self.0.store(found, Relaxed);
        found
    }
}

/// Looks up the next function of that name, as the type that is asked for.
macro_rules! next {
    ($name:ident) => {
        $crate::next::next!($name, None)
    };
    ($name:ident, $version:expr) => {{
        static NEXT: $crate::next::Next = $crate::next::Next::new();
        const NAME: &std::ffi::CStr = match std::ffi::CStr::from_bytes_with_nul(
            concat!(stringify!($name), "\0").as_bytes(),
        ) {
            Ok(name) => name,
            Err(_) => panic!(),
        };
        let found = NEXT.get(NAME, $version);
        // SAFETY: the type is the manual page's.
        unsafe { std::mem::transmute::<*mut std::ffi::c_void, _>(found) }
    }};
}
pub(crate) use next;
