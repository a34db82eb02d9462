//! Calls of C's that std does not make, and std's rarer ones.
#![allow(missing_docs)]
mod rig;

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use overlapped_install::spawn;
use rig::{ms, overlap, within};

fn pollfd(stream: &impl AsRawFd, events: i16) -> libc::pollfd {
    libc::pollfd { fd: stream.as_raw_fd(), events, revents: 0 }
}

#[test]
fn poll_waits_for_one_of_several() {
    within(|| {
        let (mut a, b) = UnixStream::pair().unwrap();
        let (_c, d) = UnixStream::pair().unwrap();
        spawn(move || {
            std::thread::sleep(ms(20));
            a.write_all(b"x").unwrap();
            std::thread::sleep(ms(20));
        });
        // One of them twice, and one that is none.
        let mut asked =
            [pollfd(&d, libc::POLLIN), pollfd(&b, libc::POLLIN), pollfd(&b, libc::POLLPRI)];
        // SAFETY: three entries.
        assert_eq!(unsafe { libc::poll(asked.as_mut_ptr(), 3, 60_000) }, 1);
        assert_eq!(asked.map(|one| one.revents), [0, libc::POLLIN, 0]);
        // At once, and at the limit.
        // SAFETY: as above.
        assert_eq!(unsafe { libc::poll(asked.as_mut_ptr(), 1, 0) }, 0);
        let ticks = rig::ticks(|| {
            // SAFETY: as above.
            assert_eq!(unsafe { libc::poll(asked.as_mut_ptr(), 1, 50) }, 0);
        });
        assert!(ticks > 0);
    });
}

#[test]
fn select_waits_and_says_how_much_time_is_left() {
    within(|| {
        let (mut a, b) = UnixStream::pair().unwrap();
        spawn(move || {
            std::thread::sleep(ms(20));
            a.write_all(b"x").unwrap();
        });
        let fd = b.as_raw_fd();
        // SAFETY: a set of one, and a time.
        unsafe {
            let mut set = std::mem::zeroed();
            libc::FD_SET(fd, &mut set);
            let mut limit = libc::timeval { tv_sec: 60, tv_usec: 0 };
            let null = std::ptr::null_mut();
            assert_eq!(libc::select(fd + 1, &mut set, null, null, &mut limit), 1);
            assert!(libc::FD_ISSET(fd, &set));
            assert!(limit.tv_sec < 60);
            let mut limit = libc::timeval { tv_sec: 0, tv_usec: 30_000 };
            libc::FD_ZERO(&mut set);
            assert_eq!(libc::select(fd + 1, &mut set, null, null, &mut limit), 0);
            assert_eq!((limit.tv_sec, limit.tv_usec), (0, 0));
        }
    });
}

#[test]
fn epoll_waits() {
    overlap(|_| {
        let (mut a, b) = UnixStream::pair().unwrap();
        let ender = spawn(move || {
            std::thread::sleep(ms(100));
            a.write_all(b"x").unwrap();
            a
        });
        // SAFETY: an epoll, and an event.
        unsafe {
            let epoll = OwnedFd::from_raw_fd(libc::epoll_create1(libc::EPOLL_CLOEXEC));
            let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 7 };
            let (fd, all) = (epoll.as_raw_fd(), libc::EPOLL_CTL_ADD);
            assert_eq!(libc::epoll_ctl(fd, all, b.as_raw_fd(), &mut event), 0);
            let mut found = libc::epoll_event { events: 0, u64: 0 };
            assert_eq!(libc::epoll_wait(fd, &mut found, 1, 60_000), 1);
            assert_eq!({ found.u64 }, 7);
        }
        drop(ender.join().unwrap());
    });
}

fn path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("overlapped-install-{}-{name}", std::process::id()))
}

#[test]
fn a_fifo_is_opened_when_its_other_end_is() {
    within(|| {
        let path = path("fifo");
        let name = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: a path.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        let theirs = path.clone();
        let reader = spawn(move || std::fs::read(theirs).unwrap());
        std::thread::sleep(ms(20));
        std::fs::write(&path, b"through").unwrap();
        assert_eq!(reader.join().unwrap(), b"through");
        std::fs::remove_file(path).unwrap();
    });
}

#[test]
fn locks_of_files_wait_for_a_neighbour() {
    within(|| {
        let path = path("flock");
        let first = std::fs::File::create(&path).unwrap();
        first.lock().unwrap();
        let second = std::fs::File::open(&path).unwrap();
        let waiting = spawn(move || second.lock().unwrap());
        std::thread::sleep(ms(20));
        assert!(!waiting.is_finished());
        first.unlock().unwrap();
        waiting.join().unwrap();
        std::fs::remove_file(path).unwrap();
    });
}

#[test]
fn locks_of_records_wait_for_a_neighbour() {
    fn lock(file: &std::fs::File, kind: libc::c_int) -> io::Result<()> {
        // SAFETY: zeros are a whole file.
        let mut record: libc::flock = unsafe { std::mem::zeroed() };
        record.l_type = kind as libc::c_short;
        // SAFETY: a record, lent for the call.
        match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLKW, &raw mut record) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }
    within(|| {
        let path = path("record");
        let open = || {
            let mut options = std::fs::File::options();
            options.create(true).truncate(false).read(true).write(true).open(&path).unwrap()
        };
        let (first, second) = (open(), open());
        lock(&first, libc::F_WRLCK).unwrap();
        let waiting = spawn(move || lock(&second, libc::F_WRLCK).unwrap());
        std::thread::sleep(ms(20));
        assert!(!waiting.is_finished());
        lock(&first, libc::F_UNLCK).unwrap();
        waiting.join().unwrap();
        std::fs::remove_file(&path).unwrap();
    });
}

#[test]
fn files_are_written_read_and_copied() {
    within(|| {
        let path = path("file");
        let bytes: Vec<u8> = (0..300_000u32).map(|number| number as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let file = std::fs::File::options().read(true).write(true).open(&path).unwrap();
        file.sync_all().unwrap();
        let mut middle = vec![0; 1000];
        file.read_exact_at(&mut middle, 1234).unwrap();
        assert_eq!(middle, bytes[1234..2234]);
        file.write_all_at(b"end", 300_000).unwrap();
        file.set_len(300_001).unwrap();
        assert_eq!(std::fs::read(&path).unwrap().len(), 300_001);
        // To a socket, whose reader is a neighbour: std would ask for sendfile.
        let (mut a, mut b) = UnixStream::pair().unwrap();
        let reader = spawn(move || {
            let mut all = Vec::new();
            b.read_to_end(&mut all).unwrap();
            all
        });
        let mut source = std::fs::File::open(&path).unwrap();
        assert_eq!(io::copy(&mut source, &mut a).unwrap(), 300_001);
        drop(a);
        assert_eq!(reader.join().unwrap()[..300_000], bytes);
        std::fs::remove_file(path).unwrap();
    });
}

#[test]
fn a_copy_from_socket_to_pipe_waits_for_both() {
    within(|| {
        let (mut a, b) = UnixStream::pair().unwrap();
        let (mut rx, tx) = io::pipe().unwrap();
        let copier = spawn(move || {
            let (mut b, mut tx) = (b, tx);
            io::copy(&mut b, &mut tx).unwrap()
        });
        let reader = spawn(move || {
            let mut all = Vec::new();
            rx.read_to_end(&mut all).unwrap();
            all.len()
        });
        for _ in 0..10 {
            a.write_all(&[1; 50_000]).unwrap();
            std::thread::sleep(ms(1));
        }
        drop(a);
        assert_eq!((copier.join().unwrap(), reader.join().unwrap()), (500_000, 500_000));
    });
}

#[test]
fn waitid_leaves_a_child_to_be_waited_for() {
    within(|| {
        let ticks = rig::ticks(|| {
            let mut child = rig::sleep_program("0.1").spawn().unwrap();
            // SAFETY: zeros are an answer.
            let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
            let options = libc::WEXITED | libc::WNOWAIT;
            // SAFETY: a child of this process, and room for the answer.
            assert_eq!(unsafe { libc::waitid(libc::P_PID, child.id(), &mut info, options) }, 0);
            assert!(child.wait().unwrap().success());
        });
        assert!(ticks > 5, "{ticks}");
    });
}

#[test]
fn names_of_hosts_are_looked_up_by_another_thread() {
    within(|| {
        let before = waits("getaddrinfo");
        let found = std::net::ToSocketAddrs::to_socket_addrs("localhost:7").unwrap();
        assert!(found.count() > 0);
        assert_eq!(waits("getaddrinfo"), before + 1);
        let missing = std::net::ToSocketAddrs::to_socket_addrs("no-such-name.invalid:7");
        assert!(missing.is_err());
    });
}

fn waits(name: &str) -> u64 {
    let report = overlapped_install::report();
    report.symbols().iter().find(|symbol| symbol.name == name).map_or(0, |symbol| symbol.waits)
}

#[test]
fn recv_with_waitall_fills_the_buffer() {
    within(|| {
        let (mut a, b) = UnixStream::pair().unwrap();
        spawn(move || {
            for byte in 0..10u8 {
                a.write_all(&[byte]).unwrap();
                std::thread::sleep(ms(1));
            }
        });
        let mut bytes = [0u8; 10];
        // SAFETY: the buffer is lent for the call.
        let count =
            unsafe { libc::recv(b.as_raw_fd(), bytes.as_mut_ptr().cast(), 10, libc::MSG_WAITALL) };
        assert_eq!((count, bytes), (10, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]));
    });
}
