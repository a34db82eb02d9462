//! The filter: a program of the kernel's packet filter that examines numbers and arguments, and
//! stops calls that may wait.

use libc::{sock_filter, sock_fprog};
use std::ffi::c_long;
use std::os::fd::{FromRawFd, OwnedFd};

use super::message::ROOM;
use crate::raw::{Outcome, call};

/// The first kernel that lets a stopped call go on.
const SINCE: &str = "it needs Linux 5.5";

/// The condition on which a call is stopped, by its numeric arguments.
#[derive(Clone, Copy)]
enum When {
    Always,
    /// No bit of these is set in the argument, so the call may wait.
    Clear(u32, i32),
    /// The argument is not zero, so the call has a limit other than zero.
    NotZero(u32),
    /// The argument, without the bits beyond the first mask, is one of these commands.
    Command(u32, u32, &'static [u32]),
}

use When::{Always, Clear, Command, NotZero};

const NO_WAIT: i32 = libc::MSG_DONTWAIT;
const FUTEX_WAITS: &[u32] = &[0, 6, 9, 11, 13]; // WAIT, LOCK_PI, WAIT_BITSET, …
const FLOCK_WAITS: &[u32] = &[libc::LOCK_SH as u32, libc::LOCK_EX as u32];
const FCNTL_WAITS: &[u32] = &[libc::F_SETLKW as u32, libc::F_OFD_SETLKW as u32];

/// Calls that may wait, on every processor.
const CALLS: &[(c_long, When)] = &[
    (libc::SYS_read, Always),
    (libc::SYS_readv, Always),
    (libc::SYS_write, Always),
    (libc::SYS_writev, Always),
    (libc::SYS_preadv2, Clear(5, libc::RWF_NOWAIT)),
    (libc::SYS_pwritev2, Clear(5, libc::RWF_NOWAIT)),
    (libc::SYS_recvfrom, Clear(3, NO_WAIT)),
    (libc::SYS_recvmsg, Clear(2, NO_WAIT)),
    (libc::SYS_recvmmsg, Clear(3, NO_WAIT)),
    (libc::SYS_sendto, Clear(3, NO_WAIT)),
    (libc::SYS_sendmsg, Clear(2, NO_WAIT)),
    (libc::SYS_sendmmsg, Clear(3, NO_WAIT)),
    (libc::SYS_accept, Always),
    (libc::SYS_accept4, Always),
    (libc::SYS_connect, Always),
    (libc::SYS_ppoll, Always),
    (libc::SYS_pselect6, Always),
    (libc::SYS_epoll_pwait, NotZero(3)),
    (libc::SYS_epoll_pwait2, Always),
    (libc::SYS_nanosleep, Always),
    (libc::SYS_clock_nanosleep, Always),
    (libc::SYS_wait4, Clear(2, libc::WNOHANG)),
    (libc::SYS_waitid, Clear(3, libc::WNOHANG)),
    (libc::SYS_futex, Command(1, 127, FUTEX_WAITS)),
    (libc::SYS_flock, Command(1, u32::MAX, FLOCK_WAITS)),
    (libc::SYS_fcntl, Command(1, u32::MAX, FCNTL_WAITS)),
    (libc::SYS_rt_sigtimedwait, Always),
    (libc::SYS_rt_sigsuspend, Always),
    (libc::SYS_splice, Always),
    (libc::SYS_sendfile, Always),
];

/// Calls that 64-bit Arm does not have.
#[cfg(target_arch = "x86_64")]
const OLD_CALLS: &[(c_long, When)] = &[
    (libc::SYS_poll, NotZero(2)),
    (libc::SYS_select, Always),
    (libc::SYS_epoll_wait, NotZero(3)),
    (libc::SYS_pause, Always),
];
#[cfg(target_arch = "aarch64")]
const OLD_CALLS: &[(c_long, When)] = &[];

/// The processor as the kernel's audit names it.
#[cfg(target_arch = "x86_64")]
const PROCESSOR: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const PROCESSOR: u32 = 0xc000_00b7;

/// Offsets in what the filter reads (`struct seccomp_data`); of each argument, the lower half.
const NUMBER_AT: u32 = 0;
const PROCESSOR_AT: u32 = 4;
const ARGUMENTS_AT: u32 = 16;

const ALLOW: sock_filter = give(libc::SECCOMP_RET_ALLOW);
const STOP: sock_filter = give(libc::SECCOMP_RET_USER_NOTIF);

const fn instruction(code: u32, k: u32, (yes, no): (u8, u8)) -> sock_filter {
    sock_filter { code: code as u16, jt: yes, jf: no, k }
}

const fn give(k: u32) -> sock_filter {
    instruction(libc::BPF_RET | libc::BPF_K, k, (0, 0))
}

const fn load(at: u32) -> sock_filter {
    instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, at, (0, 0))
}

/// Skips `yes` instructions if the loaded value is `k`, else `no` instructions.
const fn if_equal(k: u32, yes: u8, no: u8) -> sock_filter {
    instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, k, (yes, no))
}

const fn argument(number: u32) -> sock_filter {
    load(ARGUMENTS_AT + 8 * number)
}

impl When {
    /// Returns instructions that end in going on or stopping, in every case.
    fn program(self) -> Vec<sock_filter> {
        match self {
            Always => vec![STOP],
            Clear(number, bits) => {
                const JUMP: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
                vec![argument(number), instruction(JUMP, bits as u32, (1, 0)), STOP, ALLOW]
            }
            NotZero(number) => vec![argument(number), if_equal(0, 1, 0), STOP, ALLOW],
            Command(number, mask, commands) => {
                const AND: u32 = libc::BPF_ALU | libc::BPF_AND | libc::BPF_K;
                let mut program = vec![argument(number), instruction(AND, mask, (0, 0))];
                for (at, &command) in commands.iter().enumerate() {
                    let to_stop = commands.len() - at;
                    program.push(if_equal(command, to_stop as u8, 0));
                }
                program.extend([ALLOW, STOP]);
                program
            }
        }
    }
}

/// Returns the whole program.
fn program() -> Vec<sock_filter> {
    let mut program = vec![load(PROCESSOR_AT), if_equal(PROCESSOR, 1, 0), ALLOW, load(NUMBER_AT)];
    for &(number, when) in CALLS.iter().chain(OLD_CALLS) {
        let of_call = when.program();
        program.push(if_equal(number as u32, 0, of_call.len() as u8));
        program.extend(of_call);
    }
    program.push(ALLOW);
    program
}

/// Checks that the kernel has what the filter needs.
///
/// # Errors
/// The text names what the kernel lacks, and the remedy.
pub(super) fn available() -> Result<(), String> {
    let action = libc::SECCOMP_RET_USER_NOTIF;
    // SAFETY: the number is borrowed for the call.
    let outcome = unsafe { call!(seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const action) };
    if outcome != 0 {
        let error = std::io::Error::from_raw_os_error(-outcome as i32);
        return Err(format!(
            "seccomp cannot report calls to another thread here ({error}): {SINCE}, and if a \
             container refuses seccomp(2), a profile that allows it (`--security-opt \
             seccomp=unconfined`)"
        ));
    }
    let mut sizes =
        libc::seccomp_notif_sizes { seccomp_notif: 0, seccomp_notif_resp: 0, seccomp_data: 0 };
    // SAFETY: the kernel fills the structure.
    let outcome = unsafe { call!(seccomp, libc::SECCOMP_GET_NOTIF_SIZES, 0, &raw mut sizes) };
    let fits =
        usize::from(sizes.seccomp_notif) <= ROOM && usize::from(sizes.seccomp_notif_resp) <= ROOM;
    if outcome != 0 || !fits {
        return Err(format!("seccomp's messages have an unknown layout here: {SINCE}"));
    }
    Ok(())
}

/// The reason why a thread has no filter of its own.
pub(super) enum AttachError {
    /// A filter holds already: that of the thread which started this one.
    AlreadyFiltered,
    /// The text says why, with the remedy.
    Why(String),
}

/// Puts the calling thread, and all that it starts, under the filter, for good; returns the
/// descriptor that reports its calls.
pub(super) fn attach() -> Result<OwnedFd, AttachError> {
    const BUSY: Outcome = -(libc::EBUSY as Outcome);
    const DENIED: Outcome = -(libc::EACCES as Outcome);
    let mut program = program();
    let program = sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    let attach = || {
        let (what, flags) = (libc::SECCOMP_SET_MODE_FILTER, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER);
        // SAFETY: the program is borrowed for the call.
        unsafe { call!(seccomp, what, flags, &raw const program) }
    };
    let mut outcome = attach();
    if outcome == DENIED {
        // Without root's rights the kernel demands that programs started later gain none.
        // SAFETY: this changes the calling thread, which is to be debugged.
        unsafe { call!(prctl, libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
        outcome = attach();
    }
    match outcome {
        BUSY => Err(AttachError::AlreadyFiltered),
        error if error < 0 => {
            let error = std::io::Error::from_raw_os_error(-error as i32);
            Err(AttachError::Why(format!("seccomp refuses the filter: {error}; {SINCE}")))
        }
        // SAFETY: it was made just now.
        fd => Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the filter as the kernel would.
    fn outcome(number: c_long, arguments: [u64; 6]) -> u32 {
        let program = program();
        let word = |at: u32| match at {
            NUMBER_AT => number as u32,
            PROCESSOR_AT => PROCESSOR,
            at => arguments[(at - ARGUMENTS_AT) as usize / 8] as u32,
        };
        let (mut at, mut loaded) = (0, 0);
        loop {
            let one = &program[at];
            at += 1;
            let code = u32::from(one.code);
            let is = match code & 0xf0 {
                libc::BPF_JEQ => loaded == one.k,
                _ => loaded & one.k != 0,
            };
            match code & 0x07 {
                libc::BPF_LD => loaded = word(one.k),
                libc::BPF_ALU => loaded &= one.k,
                libc::BPF_JMP => at += usize::from(if is { one.jt } else { one.jf }),
                _ => return one.k,
            }
        }
    }

    #[test]
    fn calls_that_may_wait_are_stopped_and_no_others() {
        let stops = |number, arguments| outcome(number, arguments) == libc::SECCOMP_RET_USER_NOTIF;
        let none = [0; 6];
        for number in [libc::SYS_read, libc::SYS_accept4, libc::SYS_nanosleep, libc::SYS_splice] {
            assert!(stops(number, none), "{number}");
        }
        for number in [libc::SYS_close, libc::SYS_mmap, libc::SYS_io_uring_enter, 4096] {
            assert!(!stops(number, none), "{number}");
        }
        assert!(stops(libc::SYS_recvfrom, none));
        assert!(stops(libc::SYS_recvfrom, [0, 0, 0, libc::MSG_PEEK as u64, 0, 0]));
        assert!(!stops(libc::SYS_recvfrom, [0, 0, 0, NO_WAIT as u64, 0, 0]));
        let futex = |operation: i32| [0, operation as u64, 0, 0, 0, 0];
        for operation in [libc::FUTEX_WAIT, libc::FUTEX_WAIT_BITSET, libc::FUTEX_LOCK_PI] {
            assert!(stops(libc::SYS_futex, futex(operation | libc::FUTEX_PRIVATE_FLAG)));
        }
        assert!(!stops(libc::SYS_futex, futex(libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG)));
        assert!(stops(libc::SYS_epoll_pwait, [0, 0, 0, -1_i64 as u64, 0, 0]));
        assert!(!stops(libc::SYS_epoll_pwait, none));
        let flock = |operation: i32| stops(libc::SYS_flock, [0, operation as u64, 0, 0, 0, 0]);
        assert!(flock(libc::LOCK_EX) && !flock(libc::LOCK_EX | libc::LOCK_NB));
        assert!(!flock(libc::LOCK_UN));
        assert!(stops(libc::SYS_fcntl, [0, libc::F_SETLKW as u64, 0, 0, 0, 0]));
        assert!(!stops(libc::SYS_fcntl, [0, libc::F_GETFL as u64, 0, 0, 0, 0]));
    }
}
