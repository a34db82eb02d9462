//! Removes temporary files of killed processes. They had names because the file system does not
//! support files without a name (`O_TMPFILE`), or because they were about to replace something.
//!
//! A temporary file is locked (flock) as long as its process works on it, which every process of
//! the machine sees, in any container. Its name contains the boot ID and so, on network file
//! systems, identifies the machine: files of another one are kept for a day.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use overlapped::time::Duration;
use rustix::fs::{
    AtFlags, FileType, FlockOperation, Mode, OFlags, RawDir, Stat, flock, openat, statat, unlinkat,
};
use rustix::io::Errno;

/// The time for which temporary files are kept whose process may still work on them.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Precedes the boot ID's first eight digits, a hyphen, and a random number of eight digits, all
/// hexadecimal.
pub(super) const MARK: &str = ".overlapped-";

const DIGITS: usize = 8;

/// Removes the temporary files of ended processes, and counts them.
pub(in crate::copy) fn remove_stale(folder: BorrowedFd<'_>, stopped: &AtomicBool) -> u64 {
    let mut memory = vec![MaybeUninit::uninit(); 32 << 10];
    let mut entries = RawDir::new(folder, &mut memory);
    let mut stale_removed = 0;
    while let Some(Ok(entry)) = entries.next() {
        if stopped.load(Relaxed) {
            break;
        }
        let name = entry.file_name();
        if let Some(boot) = boot_in(name.to_bytes()) {
            stale_removed += u64::from(remove_if_left(folder, name, boot));
        }
    }
    stale_removed
}

/// Returns the digits of the boot ID in the name of a temporary file.
fn boot_in(name: &[u8]) -> Option<&[u8]> {
    let rest = name.len().checked_sub(MARK.len() + 2 * DIGITS + 1)?;
    let numbers = name[rest..].strip_prefix(MARK.as_bytes())?;
    let (boot, random) = (&numbers[..DIGITS], &numbers[DIGITS + 1..]);
    let are_digits = boot.iter().chain(random).all(u8::is_ascii_hexdigit);
    (name[0] == b'.' && numbers[DIGITS] == b'-' && are_digits).then_some(boot)
}

/// Removes the file unless a process works on it, or may do so.
fn remove_if_left(folder: BorrowedFd<'_>, name: &CStr, boot: &[u8]) -> bool {
    let Ok(stat) = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) else { return false };
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    // Held until the removal: its process checks after locking whether the file still exists.
    let lock = match is_file.then(|| lock(folder, name)) {
        Some(Ok(file)) => Some(file),
        Some(Err(Errno::WOULDBLOCK)) => return false,
        // Links cannot be locked; nor can anything on some file systems.
        Some(Err(_)) | None => None,
    };
    // Some file systems report 0 links. With more than one, the file may be a finished copy that is
    // about to get another name as a hard link: its lock was held only until it got the first name.
    let is_left = lock.is_some() && boot == this_boot().as_bytes() && stat.st_nlink <= 1;
    (is_left || is_old(&stat)) && unlinkat(folder, name, AtFlags::empty()).is_ok()
}

fn lock(folder: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let open = |access| {
        let flags = OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        openat(folder, name, flags | access, Mode::empty())
    };
    // NFS locks only files that may be written; a temporary file may have its permissions already.
    let file = open(OFlags::RDWR).or_else(|_| open(OFlags::RDONLY))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    Ok(file)
}

fn is_old(stat: &Stat) -> bool {
    let changed = u64::try_from(stat.st_ctime).unwrap_or(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.is_ok_and(|now| now.as_secs().saturating_sub(changed) > DAY.as_secs())
}

/// Returns the first digits of the boot ID, which the kernel makes anew at each boot.
pub(super) fn this_boot() -> &'static str {
    static BOOT: OnceLock<String> = OnceLock::new();
    BOOT.get_or_init(|| {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        match boot.get(..DIGITS) {
            Some(digits) if digits.bytes().all(|digit| digit.is_ascii_hexdigit()) => digits.into(),
            _ => "0".repeat(DIGITS),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_names_of_temporary_files_are_recognised() {
        assert_eq!(boot_in(b".a.overlapped-0123abcd-89abcdef"), Some(&b"0123abcd"[..]));
        assert_eq!(boot_in(b".overlapped-0123abcd-89abcdef"), Some(&b"0123abcd"[..]));
        for name in [
            "",
            ".overlapped-",
            "a.overlapped-0123abcd-89abcdef",
            ".a.overlapped-0123abcd_89abcdef",
            ".a.overlapped-0123abcg-89abcdef",
            ".a.overlapped-0123abcd-89abcdef~",
            ".a.overlapped-89abcdef",
        ] {
            assert_eq!(boot_in(name.as_bytes()), None, "{name}");
        }
    }
}
