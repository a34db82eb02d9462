//! Standard error.

use windows_sys::Win32::Storage::FileSystem::WriteFile;
use windows_sys::Win32::System::Console::{GetStdHandle, STD_ERROR_HANDLE};

/// Writes `bytes` to standard error, without a lock or memory of std's: the caller may be the
/// handler of an overflow. An error cannot be reported anywhere.
pub(crate) fn write_to_stderr(bytes: &[u8]) {
    let (len, mut written) = (u32::try_from(bytes.len()).unwrap_or(u32::MAX), 0);
    // SAFETY: the bytes are valid for reads of `len`, and there is a place for the count. A handle
    // that is missing is an error.
    unsafe {
        let handle = GetStdHandle(STD_ERROR_HANDLE);
        WriteFile(handle, bytes.as_ptr(), len, &raw mut written, std::ptr::null_mut());
    }
}
