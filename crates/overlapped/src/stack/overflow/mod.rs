//! The report of stack overflows: one line that names the tasklet, before the process dies.
//!
//! `by_signal` finds the overflow on Unix, `by_exception` on Windows. What they call here neither
//! allocates nor locks nor formats. There is no way back: an opt-out is a process that never calls
//! [`install`].

#[cfg(unix)]
mod alt;
#[cfg(windows)]
mod by_exception;
#[cfg(unix)]
mod by_signal;

use crate::sys::terminal::write_to_stderr;

#[cfg(unix)]
pub(crate) use crate::sys::signal::alternate_stack::Installed;
#[cfg(unix)]
pub(crate) use alt::{alt_stack_to_write_on, ensure_alt_stack};
#[cfg(windows)]
pub(crate) use by_exception::{Installed, alt_stack_to_write_on, ensure_alt_stack, install};
#[cfg(unix)]
pub(crate) use by_signal::install;

/// The tasklet whose guard was hit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OverflowingTasklet {
    /// The address of `name_len` bytes, of which the first 256 are shown; null if it has no name.
    pub(crate) name: *const u8,
    pub(crate) name_len: usize,
    pub(crate) id: u64,
    /// The bytes that its frames could use.
    pub(crate) usable: usize,
    /// The same with the guard: the size that `Builder::stack_size` sets.
    pub(crate) stack_size: usize,
}

/// The function that finds the tasklet in whose guard an address lies.
pub(crate) type Lookup = fn(fault: usize) -> Option<OverflowingTasklet>;

/// Writes the line. One `write`, so that lines of several threads do not mix.
fn report(overflowing_tasklet: &OverflowingTasklet) {
    let mut line = ReportLine { bytes: [0; 512], len: 0 };
    line.text(b"overlapped: tasklet ");
    if !overflowing_tasklet.name.is_null() && overflowing_tasklet.name_len > 0 {
        // SAFETY: `install` demands that `lookup` returns readable names.
        let name = unsafe {
            std::slice::from_raw_parts(
                overflowing_tasklet.name,
                overflowing_tasklet.name_len.min(NAME_MAX),
            )
        };
        line.text(b"'");
        line.text(name);
        line.text(b"' ");
    }
    line.text(b"(id ");
    line.number(overflowing_tasklet.id);
    line.text(b") overflowed its stack: it has used all ");
    line.number(overflowing_tasklet.usable as u64 / 1024);
    line.text(b" KiB (");
    line.number(overflowing_tasklet.stack_size as u64 / 1024);
    line.text(b" with the guard); give it more with Builder::stack_size");
    line.write();
}

const NAME_MAX: usize = 256;

/// A line that grows in place; text that does not fit is cut.
struct ReportLine {
    bytes: [u8; 512],
    len: usize,
}

impl ReportLine {
    fn byte(&mut self, byte: u8) {
        // The last place is for the newline.
        if self.len < self.bytes.len() - 1 {
            self.bytes[self.len] = byte;
            self.len += 1;
        }
    }

    /// Appends a name. Control characters are shown as `?`: a name must not write a line of its
    /// own.
    fn text(&mut self, text: &[u8]) {
        for byte in text {
            self.byte(if byte.is_ascii_control() { b'?' } else { *byte });
        }
    }

    fn number(&mut self, mut number: u64) {
        let mut digits = [0; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.text(&digits[at..]);
    }

    fn write(mut self) {
        self.bytes[self.len] = b'\n';
        // Whatever the error is (closed, full and non-blocking), the process is about to die.
        write_to_stderr(&self.bytes[..=self.len]);
    }
}
