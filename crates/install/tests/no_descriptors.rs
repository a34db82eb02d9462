//! Calls in a process that has no descriptor left.
#![allow(missing_docs)]
mod support;

use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use overlapped_install::spawn;
use support::{ms, run_in_tasklet};

fn asked(fd: &impl AsRawFd) -> libc::pollfd {
    libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 }
}

#[test]
fn poll_and_select_wait_if_no_descriptor_is_left() {
    // SAFETY: a limit that the process may have.
    unsafe {
        let few = libc::rlimit { rlim_cur: 64, rlim_max: 64 };
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &few), 0);
    }
    run_in_tasklet(|| {
        let (mut a, b) = UnixStream::pair().unwrap();
        let (_c, d) = UnixStream::pair().unwrap();
        let mut all: Vec<OwnedFd> = Vec::new();
        while let Ok(fd) = b.try_clone() {
            all.push(fd.into());
        }
        let sender = spawn(move || {
            for _ in 0..2 {
                std::thread::sleep(ms(30));
                a.write_all(b"x").unwrap();
            }
            a
        });
        let mut two = [asked(&d), asked(&b)];
        // SAFETY: two entries; a set of one; a byte of room.
        unsafe {
            assert_eq!(libc::poll(two.as_mut_ptr(), 2, 60_000), 1);
            assert_eq!(two.map(|one| one.revents), [0, libc::POLLIN]);
            assert_eq!(libc::recv(b.as_raw_fd(), [0_u8].as_mut_ptr().cast(), 1, 0), 1);
            let mut set = std::mem::zeroed();
            libc::FD_SET(d.as_raw_fd(), &mut set);
            libc::FD_SET(b.as_raw_fd(), &mut set);
            let null = std::ptr::null_mut();
            let most = b.as_raw_fd().max(d.as_raw_fd()) + 1;
            assert_eq!(libc::select(most, &mut set, null, null, null.cast()), 1);
            assert!(libc::FD_ISSET(b.as_raw_fd(), &set));
        }
        sender.join().unwrap();
    });
}
