//! Names of hosts, by the functions that preceded getaddrinfo. As in `names`, a thread of the pool
//! makes the call.
//!
//! Each tasklet has an answer of its own, where libc has one for each process. It stays until the
//! tasklet's next query.

use std::cell::RefCell;
use std::ffi::{CString, c_char, c_int, c_void};

use libc::{hostent, socklen_t};

use super::names::copied;
use crate::caller::Call;
use crate::next::next;
use crate::pool::{self, AssertSend};
use crate::raw::give;
use crate::symbols::Symbol;

type ByName = unsafe extern "C" fn(*const c_char) -> *mut hostent;
type ByName2 = unsafe extern "C" fn(*const c_char, c_int) -> *mut hostent;
type ByAddress = unsafe extern "C" fn(*const c_void, socklen_t, c_int) -> *mut hostent;
type ByNameR = unsafe extern "C" fn(
    *const c_char,
    c_int,
    *mut hostent,
    *mut c_char,
    usize,
    *mut *mut hostent,
    *mut c_int,
) -> c_int;
type ByAddressR = unsafe extern "C" fn(
    *const c_void,
    socklen_t,
    c_int,
    *mut hostent,
    *mut c_char,
    usize,
    *mut *mut hostent,
    *mut c_int,
) -> c_int;

unsafe extern "C" {
    fn __h_errno_location() -> *mut c_int;
}

/// An answer, with the memory that it points into.
struct Answer {
    entry: hostent,
    memory: Vec<u8>,
}

thread_local! {
    static ANSWER: RefCell<Option<OwnedAnswer>> = const { RefCell::new(None) };
}

/// An answer that the caller reads through a pointer, so no reference to it is held here.
struct OwnedAnswer(*mut Answer);

impl Drop for OwnedAnswer {
    fn drop(&mut self) {
        // SAFETY: the pointer is of a box, which only this frees.
        drop(unsafe { Box::from_raw(self.0) });
    }
}

/// A query that owns its memory.
enum Query {
    Name(CString, c_int),
    Address(Vec<u8>, c_int),
}

impl Query {
    /// Asks libc. Returns the answer, or the number for h_errno.
    fn ask(&self) -> Result<AssertSend<Box<Answer>>, c_int> {
        const ROOM: usize = 1 << 10;
        const ROOM_MAX: usize = 1 << 20;
        // SAFETY: zeros are a valid entry; it is read only after the call has filled it.
        let entry: hostent = unsafe { std::mem::zeroed() };
        let mut answer = Box::new(Answer { entry, memory: vec![0; ROOM] });
        loop {
            let (mut found, mut number) = (std::ptr::null_mut(), 0);
            let place = &raw mut answer.entry;
            let (memory, room) = (answer.memory.as_mut_ptr().cast(), answer.memory.len());
            let (found_at, number_at) = (&raw mut found, &raw mut number);
            let outcome = match self {
                Query::Name(name, family) => {
                    let real: ByNameR = next!(gethostbyname2_r);
                    let name = name.as_ptr();
                    // SAFETY: the memory belongs to the query and to the answer.
                    unsafe { real(name, *family, place, memory, room, found_at, number_at) }
                }
                Query::Address(bytes, family) => {
                    let real: ByAddressR = next!(gethostbyaddr_r);
                    let (bytes, len) = (bytes.as_ptr().cast(), bytes.len() as socklen_t);
                    // SAFETY: as above.
                    unsafe { real(bytes, len, *family, place, memory, room, found_at, number_at) }
                }
            };
            match outcome {
                libc::ERANGE if room < ROOM_MAX => answer.memory = vec![0; room * 4],
                // SAFETY: the entry points into the answer's own memory.
                0 if !found.is_null() => return Ok(unsafe { AssertSend::new(answer) }),
                _ => return Err(number),
            }
        }
    }

    /// Runs the query on a thread of the pool.
    fn run_on_pool(self, call: &Call) -> *mut hostent {
        const TRY_AGAIN: c_int = 2;
        let number = match pool::run_cancellable(call, move || self.ask()) {
            Ok(Ok(answer)) => {
                let answer = Box::into_raw(answer.take());
                // The previous answer is freed, as the caller expects (gethostbyname(3)). If the
                // destructor of a thread-local calls after this one's, the answer is leaked.
                drop(ANSWER.try_with(|place| place.replace(Some(OwnedAnswer(answer)))));
                // SAFETY: the answer is kept until the tasklet asks again, or ends.
                return unsafe { &raw mut (*answer).entry };
            }
            Ok(Err(number)) => number,
            Err(error) => {
                give(error);
                TRY_AGAIN
            }
        };
        // SAFETY: the location is the calling thread's own.
        unsafe { *__h_errno_location() = number };
        std::ptr::null_mut()
    }
}

/// gethostbyname(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn gethostbyname(name: *const c_char) -> *mut hostent {
    let real: ByName = next!(gethostbyname);
    // SAFETY: the caller's promise, handed on.
    match Call::begin(Symbol::gethostbyname).zip(unsafe { copied(name) }) {
        Some((call, name)) => Query::Name(name, libc::AF_INET).run_on_pool(&call),
        // SAFETY: as above.
        None => unsafe { real(name) },
    }
}

/// gethostbyname2(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn gethostbyname2(name: *const c_char, family: c_int) -> *mut hostent {
    let real: ByName2 = next!(gethostbyname2);
    // SAFETY: the caller's promise, handed on.
    match Call::begin(Symbol::gethostbyname2).zip(unsafe { copied(name) }) {
        Some((call, name)) => Query::Name(name, family).run_on_pool(&call),
        // SAFETY: as above.
        None => unsafe { real(name, family) },
    }
}

/// gethostbyaddr(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn gethostbyaddr(
    address: *const c_void,
    len: socklen_t,
    family: c_int,
) -> *mut hostent {
    let real: ByAddress = next!(gethostbyaddr);
    let fits = !address.is_null() && len as usize <= size_of::<libc::in6_addr>();
    match fits.then(|| Call::begin(Symbol::gethostbyaddr)).flatten() {
        Some(call) => {
            // SAFETY: the caller's promise: `len` bytes.
            let bytes = unsafe { std::slice::from_raw_parts(address.cast(), len as usize) };
            Query::Address(bytes.to_vec(), family).run_on_pool(&call)
        }
        // SAFETY: the caller's promise, handed on.
        None => unsafe { real(address, len, family) },
    }
}

/// The memory into which a reentrant function writes its answer.
#[derive(Clone, Copy)]
struct Buffers {
    entry: *mut hostent,
    memory: *mut c_char,
    room: usize,
    found: *mut *mut hostent,
    number: *mut c_int,
}

/// Makes a call that writes into the caller's memory. In a tasklet a thread makes it, and the
/// caller waits for its end in every case.
///
/// # Safety
/// The memory is the caller's, which leaves it alone until this returns.
unsafe fn run_to_end(
    symbol: Symbol,
    buffers: Buffers,
    ask: impl FnOnce(Buffers) -> c_int + Send + 'static,
) -> c_int {
    let Some(call) = Call::begin(symbol) else { return ask(buffers) };
    // SAFETY: the caller's promise.
    let buffers = unsafe { AssertSend::new(buffers) };
    pool::run_to_end(&call, move || ask(buffers.take()))
}

/// gethostbyname_r(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn gethostbyname_r(
    name: *const c_char,
    entry: *mut hostent,
    memory: *mut c_char,
    room: usize,
    found: *mut *mut hostent,
    number: *mut c_int,
) -> c_int {
    let symbol = Symbol::gethostbyname_r;
    let buffers = Buffers { entry, memory, room, found, number };
    // SAFETY: the caller's promise, handed on.
    unsafe { by_name(symbol, (name, libc::AF_INET), buffers) }
}

/// gethostbyname2_r(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn gethostbyname2_r(
    name: *const c_char,
    family: c_int,
    entry: *mut hostent,
    memory: *mut c_char,
    room: usize,
    found: *mut *mut hostent,
    number: *mut c_int,
) -> c_int {
    let buffers = Buffers { entry, memory, room, found, number };
    // SAFETY: the caller's promise, handed on.
    unsafe { by_name(Symbol::gethostbyname2_r, (name, family), buffers) }
}

unsafe fn by_name(symbol: Symbol, asked: (*const c_char, c_int), buffers: Buffers) -> c_int {
    let real: ByNameR = next!(gethostbyname2_r);
    // SAFETY: the caller's promise: a text, which stays until the call returns.
    let asked = unsafe { AssertSend::new(asked) };
    let ask = move |to: Buffers| {
        let (name, family) = asked.take();
        // SAFETY: the caller's promise; it waits for the end.
        unsafe { real(name, family, to.entry, to.memory, to.room, to.found, to.number) }
    };
    // SAFETY: the caller's promise, handed on.
    unsafe { run_to_end(symbol, buffers, ask) }
}

/// gethostbyaddr_r(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn gethostbyaddr_r(
    address: *const c_void,
    len: socklen_t,
    family: c_int,
    entry: *mut hostent,
    memory: *mut c_char,
    room: usize,
    found: *mut *mut hostent,
    number: *mut c_int,
) -> c_int {
    let real: ByAddressR = next!(gethostbyaddr_r);
    let buffers = Buffers { entry, memory, room, found, number };
    // SAFETY: the caller's promise: an address, which stays until the call returns.
    let asked = unsafe { AssertSend::new(address) };
    let ask = move |to: Buffers| {
        let address = asked.take();
        // SAFETY: the caller's promise; it waits for the end.
        unsafe { real(address, len, family, to.entry, to.memory, to.room, to.found, to.number) }
    };
    // SAFETY: the caller's promise, handed on.
    unsafe { run_to_end(Symbol::gethostbyaddr_r, buffers, ask) }
}
