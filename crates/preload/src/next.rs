//! libc's own functions, for threads that are no tasklets.

use std::ffi::{CStr, c_void};

/// Returns the next function of that name after this library's.
///
/// Ends the process if there is none: then the program that calls it could not have been loaded.
#[cold]
pub(crate) fn next(name: &CStr) -> *mut c_void {
    // SAFETY: the name ends in a zero.
    let found = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) };
    if found.is_null() {
        std::process::abort();
    }
    found
}

/// Looks up libc's function of that name, as the type that is asked for.
macro_rules! real {
    ($name:ident) => {{
        const NAME: &std::ffi::CStr = match std::ffi::CStr::from_bytes_with_nul(
            concat!(stringify!($name), "\0").as_bytes(),
        ) {
            Ok(name) => name,
            Err(_) => panic!(),
        };
        // SAFETY: the type is the manual page's.
        unsafe { std::mem::transmute::<*mut std::ffi::c_void, _>($crate::next::next(NAME)) }
    }};
}
pub(crate) use real;
