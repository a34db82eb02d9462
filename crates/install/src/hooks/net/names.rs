//! Names of hosts: libc asks servers, through sockets of its own. A thread of the pool makes the
//! call, with copies of its arguments.

use std::ffi::{CStr, CString, c_char, c_int};

use libc::{addrinfo, sockaddr, socklen_t};

use crate::caller::Call;
use crate::next::{self, next};
use crate::pool::{self, AssertSend};
use crate::raw::{errno, give, set_errno};
use crate::symbols::Symbol;

/// Copies a text, or returns `None` for a null pointer.
pub(super) unsafe fn copied(text: *const c_char) -> Option<CString> {
    // SAFETY: the caller's promise: null, or a text that ends in a zero.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_owned())
}

fn pointer(text: &Option<CString>) -> *const c_char {
    text.as_ref().map_or(std::ptr::null(), |text| text.as_ptr())
}

/// The list of addresses, freed unless the caller takes it.
struct Found(*mut addrinfo);

impl Drop for Found {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: getaddrinfo made the list, and no code has taken it.
            unsafe { libc::freeaddrinfo(self.0) };
        }
    }
}

/// getaddrinfo(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn getaddrinfo(
    node: *const c_char,
    service: *const c_char,
    hints: *const addrinfo,
    result: *mut *mut addrinfo,
) -> c_int {
    let real: next::GetAddrInfo = next!(getaddrinfo);
    let Some(call) = Call::begin(Symbol::getaddrinfo) else {
        // SAFETY: the caller's promise, handed on.
        return unsafe { real(node, service, hints, result) };
    };
    // SAFETY: the caller's promise. The job reads four numbers of the copied hints, and none of
    // their addresses.
    let (node, service, hints) =
        unsafe { (copied(node), copied(service), AssertSend::new(hints.as_ref().copied())) };
    let looked_up = pool::run_cancellable(&call, move || {
        let hints = hints.take();
        let hints = hints.as_ref().map_or(std::ptr::null(), |hints| hints as *const addrinfo);
        let mut found = Found(std::ptr::null_mut());
        // SAFETY: the job owns all arguments. Of the hints it reads four numbers.
        let outcome = unsafe { real(pointer(&node), pointer(&service), hints, &mut found.0) };
        if outcome != 0 {
            found.0 = std::ptr::null_mut();
        }
        // SAFETY: `found` is a list that libc has made for the job alone.
        unsafe { AssertSend::new((outcome, errno(), found)) }
    });
    match looked_up.map(AssertSend::take) {
        Ok((0, _, mut found)) => {
            // SAFETY: the caller's promise.
            unsafe { *result = std::mem::replace(&mut found.0, std::ptr::null_mut()) };
            0
        }
        Ok((outcome, number, _)) => {
            set_errno(number);
            outcome
        }
        Err(error) => {
            give(error);
            libc::EAI_SYSTEM
        }
    }
}

/// getnameinfo(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn getnameinfo(
    address: *const sockaddr,
    len: socklen_t,
    host: *mut c_char,
    host_len: socklen_t,
    service: *mut c_char,
    service_len: socklen_t,
    flags: c_int,
) -> c_int {
    let real: next::GetNameInfo = next!(getnameinfo);
    let size = len as usize;
    let fits = !address.is_null() && size <= size_of::<libc::sockaddr_storage>();
    let Some(call) = fits.then(|| Call::begin(Symbol::getnameinfo)).flatten() else {
        // SAFETY: the caller's promise, handed on.
        return unsafe { real(address, len, host, host_len, service, service_len, flags) };
    };
    let mut storage = std::mem::MaybeUninit::<libc::sockaddr_storage>::zeroed();
    // SAFETY: `size` bytes are readable, and fit. Zeros are a valid address.
    let storage = unsafe {
        address.cast::<u8>().copy_to_nonoverlapping(storage.as_mut_ptr().cast(), size);
        storage.assume_init()
    };
    let room = |at: *mut c_char, len: socklen_t| (!at.is_null()).then(|| vec![0u8; len as usize]);
    let (mut names, mut services) = (room(host, host_len), room(service, service_len));
    let looked_up = pool::run_cancellable(&call, move || {
        let start = |room: &mut Option<Vec<u8>>| match room {
            Some(room) => (room.as_mut_ptr().cast::<c_char>(), room.len() as socklen_t),
            None => (std::ptr::null_mut(), 0),
        };
        let ((name, name_len), (port, port_len)) = (start(&mut names), start(&mut services));
        // SAFETY: the job owns all arguments.
        let outcome = unsafe {
            real((&raw const storage).cast(), len, name, name_len, port, port_len, flags)
        };
        (outcome, errno(), names, services)
    });
    match looked_up {
        Ok((outcome, number, names, services)) => {
            if outcome != 0 {
                set_errno(number);
                return outcome;
            }
            for (from, to) in [(names, host), (services, service)] {
                if let Some(from) = from {
                    // SAFETY: the caller's promise: as much room.
                    unsafe { from.as_ptr().copy_to_nonoverlapping(to.cast(), from.len()) };
                }
            }
            0
        }
        Err(error) => {
            give(error);
            libc::EAI_SYSTEM
        }
    }
}
