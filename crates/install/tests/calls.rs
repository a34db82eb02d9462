//! Calls of C's that std does not make, and std's rarer ones.
#![allow(missing_docs)]
mod support;

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;

use overlapped_install::spawn;
use support::{ms, overlap, path, run_in_tasklet, until_a_thread_is_in, until_waits};

fn pollfd(stream: &impl AsRawFd, events: i16) -> libc::pollfd {
    libc::pollfd { fd: stream.as_raw_fd(), events, revents: 0 }
}

#[test]
fn poll_waits_for_one_of_several() {
    run_in_tasklet(|| {
        let (mut a, b) = UnixStream::pair().unwrap();
        let (_c, d) = UnixStream::pair().unwrap();
        // The writer first runs when the poll waits. Its handle keeps `a` open.
        let _writer = spawn(move || {
            a.write_all(b"x").unwrap();
            a
        });
        // One descriptor occurs twice.
        let mut asked =
            [pollfd(&d, libc::POLLIN), pollfd(&b, libc::POLLIN), pollfd(&b, libc::POLLPRI)];
        // SAFETY: three entries.
        assert_eq!(unsafe { libc::poll(asked.as_mut_ptr(), 3, 60_000) }, 1);
        assert_eq!(asked.map(|one| one.revents), [0, libc::POLLIN, 0]);
        // At once, and at the limit.
        // SAFETY: as above.
        assert_eq!(unsafe { libc::poll(asked.as_mut_ptr(), 1, 0) }, 0);
        let ticks = support::ticks(|| {
            // SAFETY: as above.
            assert_eq!(unsafe { libc::poll(asked.as_mut_ptr(), 1, 50) }, 0);
        });
        assert!(ticks > 0);
    });
}

#[test]
fn select_waits_and_says_how_much_time_is_left() {
    run_in_tasklet(|| {
        let (mut a, b) = UnixStream::pair().unwrap();
        // This tasklet first runs when the select waits.
        spawn(move || a.write_all(b"x").unwrap());
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

#[test]
fn a_fifo_is_opened_when_its_other_end_is() {
    run_in_tasklet(|| {
        let path = path("fifo");
        let name = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: a path.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        let theirs = path.clone();
        let reader = spawn(move || std::fs::read(theirs).unwrap());
        until_waits(reader.id());
        std::fs::write(&path, b"through").unwrap();
        assert_eq!(reader.join().unwrap(), b"through");
        std::fs::remove_file(path).unwrap();
    });
}

#[test]
fn a_fifo_that_is_full_blocks_its_writer_alone() {
    run_in_tasklet(|| {
        let path = path("full");
        let bytes: Vec<u8> = (0..400_000_u32).map(|number| (number / 7) as u8).collect();
        let name = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: a path.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        let theirs = path.clone();
        let turns = support::Turns::default();
        let seen = turns.clone();
        // A thread, so that it would run even if the writer blocked its own thread.
        let reader = std::thread::spawn(move || {
            let mut fifo = std::fs::File::open(theirs).unwrap();
            seen.wait_for(12, support::LONG);
            let mut all = Vec::new();
            fifo.read_to_end(&mut all).unwrap();
            all
        });
        let mut fifo = std::fs::File::options().write(true).open(&path).unwrap();
        let ticks = turns.count_during(|| {
            let halves = [0, 200_000].map(|at| io::IoSlice::new(&bytes[at..at + 200_000]));
            let done = fifo.write_vectored(&halves).unwrap();
            assert!(done == 400_000, "a blocking pipe takes all: {done}");
            fifo.write_all(b"end").unwrap();
        });
        assert!(ticks > 10, "{ticks}");
        drop(fifo);
        assert_eq!(reader.join().unwrap(), [&bytes[..], b"end"].concat());
        std::fs::remove_file(path).unwrap();
    });
}

#[test]
fn locks_of_files_wait_for_a_neighbour() {
    run_in_tasklet(|| {
        let path = path("flock");
        let first = std::fs::File::create(&path).unwrap();
        first.lock().unwrap();
        let second = std::fs::File::open(&path).unwrap();
        let waiting = spawn(move || second.lock().unwrap());
        until_waits(waiting.id());
        until_a_thread_is_in(libc::SYS_flock);
        assert!(!waiting.is_finished());
        first.unlock().unwrap();
        waiting.join().unwrap();
        std::fs::remove_file(path).unwrap();
    });
}

#[test]
fn locks_of_records_wait_for_a_neighbour() {
    fn lock(file: &std::fs::File, kind: libc::c_int) -> io::Result<()> {
        // SAFETY: zeros are a valid lock, of the whole file.
        let mut record: libc::flock = unsafe { std::mem::zeroed() };
        record.l_type = kind as libc::c_short;
        // SAFETY: a record, borrowed for the call.
        match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLKW, &raw mut record) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }
    run_in_tasklet(|| {
        let path = path("record");
        let open = || {
            let mut options = std::fs::File::options();
            options.create(true).truncate(false).read(true).write(true).open(&path).unwrap()
        };
        let (first, second) = (open(), open());
        lock(&first, libc::F_WRLCK).unwrap();
        let waiting = spawn(move || lock(&second, libc::F_WRLCK).unwrap());
        until_waits(waiting.id());
        assert!(!waiting.is_finished());
        lock(&first, libc::F_UNLCK).unwrap();
        waiting.join().unwrap();
        std::fs::remove_file(&path).unwrap();
    });
}

#[test]
fn files_are_written_read_and_copied() {
    run_in_tasklet(|| {
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
        // The reader of the socket is another tasklet; std would ask for sendfile.
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
    run_in_tasklet(|| {
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
    run_in_tasklet(|| {
        let ticks = support::ticks(|| {
            let mut child = support::sleep_program("0.1").spawn().unwrap();
            // SAFETY: zeros are a valid answer.
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
    run_in_tasklet(|| {
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
    run_in_tasklet(|| {
        let (mut a, b) = UnixStream::pair().unwrap();
        spawn(move || {
            for byte in 0..10u8 {
                a.write_all(&[byte]).unwrap();
                std::thread::sleep(ms(1));
            }
        });
        let mut bytes = [0u8; 10];
        // SAFETY: the buffer is borrowed for the call.
        let count =
            unsafe { libc::recv(b.as_raw_fd(), bytes.as_mut_ptr().cast(), 10, libc::MSG_WAITALL) };
        assert_eq!((count, bytes), (10, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]));
    });
}

#[test]
fn the_librarys_own_calls_block_such_a_tasklet_as_any_other() {
    use std::os::fd::AsFd;
    run_in_tasklet(|| {
        let path = path("own");
        let file = std::fs::File::options();
        let mut file = file.clone();
        let file = file.create(true).truncate(true).read(true).write(true).open(&path).unwrap();
        // The port makes these calls by libc's names, inside its own work.
        // SAFETY: bytes that are there for good, and a buffer of the frame's.
        unsafe {
            let written = overlapped::os::fd::raw::write(file.as_fd(), b"hello".as_ptr(), 5, None);
            assert_eq!(written.unwrap(), 5);
            let mut bytes = [0; 8];
            let read =
                overlapped::os::fd::raw::read(file.as_fd(), bytes.as_mut_ptr(), 8, None).unwrap();
            assert_eq!(read, 0, "at the end");
        }
        overlapped::fs::write(&path, b"once more").unwrap();
        assert_eq!(overlapped::fs::read(&path).unwrap(), b"once more");
        overlapped::fs::File::open(&path).unwrap().sync_all().unwrap();
        std::fs::remove_file(&path).unwrap();
        let listener = overlapped::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let client = spawn(move || {
            let mut client = overlapped::net::TcpStream::connect(address).unwrap();
            client.write_all(b"hello").unwrap();
        });
        let mut all = Vec::new();
        listener.accept().unwrap().0.read_to_end(&mut all).unwrap();
        assert_eq!(all, b"hello");
        client.join().unwrap();
    });
}

#[test]
fn what_a_file_or_a_pipe_has_is_moved_to_who_waits_for_it() {
    run_in_tasklet(|| {
        let path = path("moved");
        std::fs::write(&path, vec![7; 1_000_000]).unwrap();
        let file = std::fs::File::open(&path).unwrap();
        let (a, mut b) = UnixStream::pair().unwrap();
        let reader = spawn(move || {
            let mut all = Vec::new();
            b.read_to_end(&mut all).unwrap();
            all.len()
        });
        let mut offset = 10;
        // SAFETY: descriptors, and an offset.
        let moved =
            unsafe { libc::sendfile(a.as_raw_fd(), file.as_raw_fd(), &mut offset, 1_000_000) };
        assert_eq!((moved, offset), (999_990, 1_000_000));
        drop(a);
        assert_eq!(reader.join().unwrap(), 999_990);
        std::fs::remove_file(&path).unwrap();

        let (rx, mut tx) = io::pipe().unwrap();
        let (mut out, end) = io::pipe().unwrap();
        let null = std::ptr::null_mut();
        let (from, to) = (rx.as_raw_fd(), end.as_raw_fd());
        // SAFETY: descriptors.
        let splice = move |flags| unsafe { libc::splice(from, null, to, null, 100, flags) };
        assert_eq!(splice(libc::SPLICE_F_NONBLOCK), -1);
        assert_eq!(io::Error::last_os_error().raw_os_error(), Some(libc::EAGAIN));
        let writer = spawn(move || {
            until_a_thread_is_in(libc::SYS_splice);
            tx.write_all(b"hello").unwrap();
            tx
        });
        assert_eq!(splice(0), 5);
        let mut bytes = [0; 5];
        out.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"hello");
        drop(writer.join().unwrap());
        assert_eq!(splice(0), 0, "the end");
        drop((rx, end));
    });
}

#[test]
fn a_name_is_looked_up_by_the_old_functions() {
    #[repr(C)]
    struct Entry {
        name: *const libc::c_char,
        aliases: *const *const libc::c_char,
        family: libc::c_int,
        len: libc::c_int,
        addresses: *const *const [u8; 4],
    }
    unsafe extern "C" {
        fn gethostbyname(name: *const libc::c_char) -> *const Entry;
        fn gethostbyname_r(
            name: *const libc::c_char,
            entry: *mut Entry,
            memory: *mut u8,
            room: usize,
            found: *mut *const Entry,
            number: *mut libc::c_int,
        ) -> libc::c_int;
    }
    run_in_tasklet(|| {
        // SAFETY: names; an entry and memory for it; what is looked at has been filled.
        unsafe {
            let entry = gethostbyname(c"127.0.0.3".as_ptr());
            assert_eq!(((*entry).family, (*entry).len), (libc::AF_INET, 4));
            assert_eq!(**(*entry).addresses, [127, 0, 0, 3]);
            assert!(gethostbyname(c"no-such-name.invalid".as_ptr()).is_null());
            let mut place: Entry = std::mem::zeroed();
            let (mut memory, mut found, mut number) = ([0; 1024], std::ptr::null(), 0);
            let memory = memory.as_mut_ptr();
            let name = c"127.0.0.4".as_ptr();
            let asked = gethostbyname_r(name, &mut place, memory, 1024, &mut found, &mut number);
            assert_eq!((asked, found == &raw const place), (0, true));
            assert_eq!(**place.addresses, [127, 0, 0, 4]);
            assert_eq!(libc::system(c"exit 3".as_ptr()), 3 << 8);
            let stream = libc::popen(c"exit 4".as_ptr(), c"r".as_ptr());
            assert_eq!(libc::pclose(stream), 4 << 8);
        }
    });
}

#[test]
fn message_queues_wait_and_their_limits_are_moments() {
    run_in_tasklet(|| {
        let name = std::ffi::CString::new(format!("/overlapped-calls-{}", std::process::id()));
        let name = name.unwrap();
        // SAFETY: a name, attributes and buffers, borrowed for the calls.
        unsafe {
            let mut attributes: libc::mq_attr = std::mem::zeroed();
            (attributes.mq_maxmsg, attributes.mq_msgsize) = (1, 8);
            let flags = libc::O_CREAT | libc::O_RDWR | libc::O_CLOEXEC;
            let queue = libc::mq_open(name.as_ptr(), flags, 0o600, &raw mut attributes);
            if queue < 0 {
                println!("SKIPPED: no message queues: {}", io::Error::last_os_error());
                return;
            }
            libc::mq_unlink(name.as_ptr());
            let receive = move |limit: *const libc::timespec| {
                let mut bytes = [0 as libc::c_char; 8];
                let null = std::ptr::null_mut();
                let place = bytes.as_mut_ptr();
                match libc::mq_timedreceive(queue, place, 8, null, limit) {
                    -1 => Err(io::Error::last_os_error().raw_os_error()),
                    count => Ok((count, bytes[0])),
                }
            };
            let mut now = std::mem::zeroed();
            libc::clock_gettime(libc::CLOCK_REALTIME, &mut now);
            assert_eq!(receive(&now), Err(Some(libc::ETIMEDOUT)));
            let malformed = libc::timespec { tv_sec: 1, tv_nsec: -1 };
            assert_eq!(receive(&malformed), Err(Some(libc::EINVAL)));
            let receiver = spawn(move || [receive(std::ptr::null()), receive(std::ptr::null())]);
            until_waits(receiver.id());
            for byte in [b"a", b"b"] {
                assert_eq!(libc::mq_send(queue, byte.as_ptr().cast(), 1, 0), 0);
            }
            let letters = [b'a', b'b'].map(|letter| Ok((1, letter as libc::c_char)));
            assert_eq!(receiver.join().unwrap(), letters);
            libc::mq_close(queue);
        }
    });
}

#[test]
fn a_tasklet_whose_calls_never_wait_lets_its_neighbours_run() {
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    let over = std::sync::Arc::new(AtomicBool::new(false));
    support::run_in_tasklet(|| {
        let theirs = over.clone();
        let sleeper = overlapped_install::spawn(move || {
            std::thread::sleep(support::ms(20));
            theirs.store(true, Relaxed);
        });
        let begin = std::time::Instant::now();
        let (mut here, mut there) = std::os::unix::net::UnixStream::pair().unwrap();
        while !over.load(Relaxed) && begin.elapsed() < support::ms(10_000) {
            std::io::Write::write_all(&mut here, b"x").unwrap();
            std::io::Read::read_exact(&mut there, &mut [0]).unwrap();
        }
        assert!(over.load(Relaxed), "{:?}", begin.elapsed());
        sleeper.join().unwrap();
    });
}

#[test]
fn sendfile_to_a_socket_sends_all_and_its_neighbours_run() {
    use std::os::fd::AsRawFd;
    const SIZE: usize = 1 << 20;
    let path = path("sendfile");
    let bytes: Vec<u8> = (0..SIZE).map(|at| (at / 7) as u8).collect();
    std::fs::write(&path, &bytes).unwrap();
    let file = std::fs::File::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    support::run_in_tasklet(|| {
        let (here, mut there) = std::os::unix::net::UnixStream::pair().unwrap();
        let reader = overlapped_install::spawn(move || {
            let mut got = Vec::new();
            std::io::Read::read_to_end(&mut there, &mut got).unwrap();
            got
        });
        let mut offset = 100_i64;
        let place = &raw mut offset;
        // SAFETY: descriptors, and an offset of this frame.
        let sent = unsafe {
            [
                libc::sendfile(here.as_raw_fd(), file.as_raw_fd(), place, 1000),
                libc::sendfile(here.as_raw_fd(), file.as_raw_fd(), place, 2 * SIZE),
                libc::sendfile(here.as_raw_fd(), file.as_raw_fd(), place, 9),
                libc::sendfile(here.as_raw_fd(), file.as_raw_fd(), std::ptr::null_mut(), 50),
                libc::sendfile(here.as_raw_fd(), file.as_raw_fd(), std::ptr::null_mut(), 50),
            ]
        };
        drop(here);
        assert_eq!(sent, [1000, SIZE as isize - 1100, 0, 50, 50]);
        assert_eq!(offset, SIZE as i64);
        assert_eq!(reader.join().unwrap(), [&bytes[100..], &bytes[..100]].concat());
    });
}

#[test]
fn many_wait_for_one_descriptor_by_poll() {
    run_in_tasklet(|| {
        let (mut a, b) = UnixStream::pair().unwrap();
        let b = std::rc::Rc::new(b);
        let waiters: Vec<_> = (0..700)
            .map(|number| {
                let b = b.clone();
                spawn(move || {
                    // Two entries need an epoll instance within the port's. The kernel allows 500
                    // of these for one descriptor.
                    let mut two = [pollfd(&*b, libc::POLLIN), pollfd(&*b, libc::POLLIN)];
                    let count = if number % 2 == 0 { 1 } else { 2 };
                    // SAFETY: `count` entries.
                    unsafe { libc::poll(two.as_mut_ptr(), count, 60_000) }
                })
            })
            .collect();
        // The waiters begin in their order.
        until_waits(waiters.last().unwrap().id());
        a.write_all(b"x").unwrap();
        for (number, waiter) in waiters.into_iter().enumerate() {
            assert_eq!(waiter.join().unwrap(), if number % 2 == 0 { 1 } else { 2 });
        }
    });
}

#[test]
fn arguments_that_the_kernel_refuses_are_an_error_at_once() {
    let errno = || io::Error::last_os_error().raw_os_error();
    run_in_tasklet(|| {
        // SAFETY: a new descriptor.
        let event = unsafe { OwnedFd::from_raw_fd(libc::eventfd(0, 0)) };
        let mut buf = [0_u8; 4];
        let (reader, writer) = io::pipe().unwrap();
        let slice = libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: 4 };
        let slices = vec![slice; 1025];
        // A wait would end with another error.
        let results = overlapped::time::timeout(ms(5000), || {
            // SAFETY: four writable bytes, fewer than an eventfd has, and 1,025 times the same.
            unsafe {
                [
                    (libc::read(event.as_raw_fd(), buf.as_mut_ptr().cast(), 4), errno()),
                    (libc::readv(reader.as_raw_fd(), slices.as_ptr(), 1025), errno()),
                    (libc::writev(writer.as_raw_fd(), slices.as_ptr(), 1025), errno()),
                ]
            }
        });
        assert_eq!(results, [(-1, Some(libc::EINVAL)); 3]);
    });
}
