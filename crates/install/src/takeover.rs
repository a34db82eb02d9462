//! The owner of each function in this process: this crate, or another object whose function of that
//! name is found first.

use std::ffi::CString;

use crate::hooks;
use crate::symbols::{Symbol, with_symbols};

macro_rules! addresses {
    ($($name:ident)*) => {
        /// Returns the address of this crate's function; in a shared library, of the first
        /// function of that name in the process, which may be another object's.
        fn ours(symbol: Symbol) -> usize {
            match symbol { $(Symbol::$name => hooks::$name as *const () as usize),* }
        }
    };
}

with_symbols!(addresses);

/// Tells whether the whole process finds this crate's function by that name.
pub(crate) fn is_ours(symbol: Symbol) -> bool {
    /// A value whose address is in the object that this crate is a part of.
    static HERE: u8 = 0;
    let found = found(symbol);
    let object = object_of(found);
    found == ours(symbol) && object.is_some() && object == object_of((&raw const HERE).addr())
}

/// Returns the address of the function that the process finds by that name, or 0.
pub(crate) fn found(symbol: Symbol) -> usize {
    let Ok(name) = CString::new(symbol.name()) else { return 0 };
    // SAFETY: the name ends in a zero; the handle is the special one for the whole process.
    unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) }.addr()
}

/// Returns the base address of the object, program or library, that an address is in.
fn object_of(address: usize) -> Option<usize> {
    let mut info = std::mem::MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: dladdr searches a list of objects for the address, and writes to the place; zeros are
    // a valid value.
    let (outcome, info) = unsafe {
        let address = std::ptr::without_provenance(address);
        (libc::dladdr(address, info.as_mut_ptr()), info.assume_init())
    };
    (outcome != 0).then(|| info.dli_fbase.addr())
}
