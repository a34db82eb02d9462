//! Signal handlers of the program interrupt calls in a tasklet as they do in a thread; and waits
//! for signals.
#![allow(missing_docs)]
mod support;

use std::ffi::c_int;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;

use overlapped_install::spawn;
use support::c::CSemaphore;
use support::{LONG, Turns, ms, path};

/// The lock that lets one test run at a time, since the handlers belong to the process.
static ONE: Mutex<()> = Mutex::new(());

static HANDLED: AtomicU32 = AtomicU32::new(0);

extern "C" fn handler(_: c_int) {
    HANDLED.fetch_add(1, SeqCst);
}

fn action(handler: usize, flags: c_int) -> libc::sigaction {
    // SAFETY: zeros are a valid action.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    action
}

fn install(signal: c_int, handler: usize, flags: c_int) {
    // SAFETY: a handler that counts.
    let done = unsafe { libc::sigaction(signal, &action(handler, flags), std::ptr::null_mut()) };
    assert_eq!(done, 0);
}

fn handles(signal: c_int, flags: c_int) {
    install(signal, handler as *const () as usize, flags);
}

/// A thread of this process to which signals are sent.
#[derive(Clone, Copy)]
struct Target(libc::c_long);

impl Target {
    fn me() -> Target {
        // SAFETY: no conditions.
        Target(unsafe { libc::syscall(libc::SYS_gettid) })
    }

    fn send(self, signal: c_int) {
        let process = std::process::id() as libc::c_long;
        // SAFETY: a thread of this process that runs.
        let sent = unsafe { libc::syscall(libc::SYS_tgkill, process, self.0, signal) };
        assert_eq!(sent, 0);
    }
}

fn result(outcome: isize) -> String {
    match outcome {
        -1 => format!("{}", io::Error::last_os_error()),
        outcome => format!("{outcome}"),
    }
}

/// A byte of room.
fn room() -> Box<[u8; 1]> {
    Box::new([0])
}

/// A call that waits, with another way to end it than a signal.
struct Case {
    name: &'static str,
    /// Run on the thread that makes the call.
    call: Box<dyn FnOnce() -> String>,
    end: Box<dyn FnOnce() + Send>,
}

fn case(
    name: &'static str,
    call: impl FnOnce() -> String + 'static,
    end: impl FnOnce() + Send + 'static,
) -> Case {
    Case { name, call: Box::new(call), end: Box::new(end) }
}

fn limit(fd: &impl AsRawFd) {
    let limit = libc::timeval { tv_sec: 60, tv_usec: 0 };
    let (place, len) = ((&raw const limit).cast(), size_of_val(&limit) as u32);
    let (level, option) = (libc::SOL_SOCKET, libc::SO_RCVTIMEO);
    // SAFETY: an option of the type that it has.
    assert_eq!(unsafe { libc::setsockopt(fd.as_raw_fd(), level, option, place, len) }, 0);
}

/// Returns calls that are restarted after a handler with `SA_RESTART`.
fn restarted() -> Vec<Case> {
    let (rx, tx) = io::pipe().unwrap();
    let (a, b) = UnixStream::pair().unwrap();
    let (c, d) = UnixStream::pair().unwrap();
    let (e, f) = UnixStream::pair().unwrap();
    let place = path("listener");
    let listener = UnixListener::bind(&place).unwrap();
    let locked = path("lock");
    let (held, wanted) =
        (std::fs::File::create(&locked).unwrap(), std::fs::File::open(&locked).unwrap());
    // SAFETY: a descriptor's number.
    assert_eq!(unsafe { libc::flock(held.as_raw_fd(), libc::LOCK_EX) }, 0);
    let fifo = path("fifo");
    let name = std::ffi::CString::new(fifo.to_str().unwrap()).unwrap();
    // SAFETY: a path.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    let child = support::sleep_program("1000").spawn().unwrap();
    let pid = child.id() as c_int;
    vec![
        case(
            "read",
            // SAFETY: a byte of room.
            move || result(unsafe { libc::read(rx.as_raw_fd(), room().as_mut_ptr().cast(), 1) }),
            move || drop((&tx).write(b"x")),
        ),
        case(
            "recv",
            // SAFETY: a byte of room.
            move || result(unsafe { libc::recv(b.as_raw_fd(), room().as_mut_ptr().cast(), 1, 0) }),
            move || drop((&a).write(b"x")),
        ),
        case(
            "write",
            move || {
                let fill = [0u8; 1 << 12];
                // A call that does not wait gets no signal that could end it.
                c.set_nonblocking(true).unwrap();
                while (&c).write(&fill).is_ok() {}
                c.set_nonblocking(false).unwrap();
                // SAFETY: bytes of the frame's.
                result(unsafe { libc::send(c.as_raw_fd(), fill.as_ptr().cast(), 1 << 12, 0) })
            },
            move || drop((&d).read_exact(&mut vec![0; 1 << 18])),
        ),
        case(
            "accept",
            move || {
                let null = std::ptr::null_mut();
                // SAFETY: no address is wanted.
                let new =
                    unsafe { libc::accept4(listener.as_raw_fd(), null, null.cast(), 0) } as isize;
                if new < 0 {
                    return result(new);
                }
                // SAFETY: it was made just now.
                drop(unsafe { OwnedFd::from_raw_fd(new as c_int) });
                "accepted".into()
            },
            move || drop(UnixStream::connect(place)),
        ),
        case(
            "flock",
            // SAFETY: a descriptor's number.
            move || result(unsafe { libc::flock(wanted.as_raw_fd(), libc::LOCK_EX) } as isize),
            move || drop(held),
        ),
        case(
            "open",
            move || {
                // SAFETY: a path.
                let fd = unsafe { libc::open(name.as_ptr(), libc::O_RDONLY) } as isize;
                if fd < 0 {
                    return result(fd);
                }
                // SAFETY: it was opened just now.
                drop(unsafe { OwnedFd::from_raw_fd(fd as c_int) });
                "opened".into()
            },
            move || {
                // It opens both ends and leaks them: an open that comes now or later need not wait.
                let mut options = std::fs::File::options();
                std::mem::forget(options.read(true).write(true).open(fifo).unwrap());
            },
        ),
        case(
            "waitpid",
            move || {
                let mut status = 0;
                // SAFETY: a child of this process, and room for its status.
                let waited = unsafe { libc::waitpid(pid, &mut status, 0) } as isize;
                if waited < 0 { result(waited) } else { format!("{}", status & 0x7f) }
            },
            move || {
                let mut child = child;
                child.kill().unwrap();
            },
        ),
        case(
            "lock of records",
            {
                let path = path("record");
                let open = || {
                    let mut options = std::fs::File::options();
                    options.create(true).truncate(false).read(true).write(true);
                    options.open(&path).unwrap()
                };
                let (held, wanted) = (open(), open());
                set_lock(&held, libc::F_WRLCK);
                let held = Arc::new(Mutex::new(Some(held)));
                HELD.lock().unwrap().push(held);
                move || result(set_lock(&wanted, libc::F_WRLCK))
            },
            || {
                let held = HELD.lock().unwrap().pop().unwrap();
                held.lock().unwrap().take();
            },
        ),
        {
            let semaphore = Arc::new(CSemaphore::from_value(0));
            let theirs = semaphore.clone();
            case(
                "sem_wait",
                move || result(semaphore.wait() as isize),
                move || assert_eq!(theirs.post(), 0),
            )
        },
        case("nothing, a second socket", move || drop_both(e, f), || ()),
    ]
}

/// Files whose locks are held.
static HELD: Mutex<Vec<Arc<Mutex<Option<std::fs::File>>>>> = Mutex::new(Vec::new());

fn drop_both(a: UnixStream, b: UnixStream) -> String {
    drop((a, b));
    "dropped".into()
}

fn set_lock(file: &std::fs::File, kind: c_int) -> isize {
    // SAFETY: zeros are a valid lock, of the whole file.
    let mut record: libc::flock = unsafe { std::mem::zeroed() };
    record.l_type = kind as libc::c_short;
    // SAFETY: a record, borrowed for the call.
    unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLKW, &raw mut record) as isize }
}

fn in_a_minute(clock: libc::clockid_t) -> libc::timespec {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a place for the time.
    assert_eq!(unsafe { libc::clock_gettime(clock, &mut now) }, 0);
    libc::timespec { tv_sec: now.tv_sec + 60, ..now }
}

/// Returns calls that are never restarted.
fn never_restarted() -> Vec<Case> {
    let (a, b) = UnixStream::pair().unwrap();
    let (c, d) = UnixStream::pair().unwrap();
    limit(&b);
    let name = path("listener");
    let listener = UnixListener::bind(name).unwrap();
    limit(&listener);
    let minute = libc::timespec { tv_sec: 60, tv_nsec: 0 };
    vec![
        case(
            "recv with a limit",
            move || {
                let _a = a;
                // SAFETY: a byte of room.
                result(unsafe { libc::recv(b.as_raw_fd(), room().as_mut_ptr().cast(), 1, 0) })
            },
            || (),
        ),
        case(
            "accept with a limit",
            move || {
                let null = std::ptr::null_mut();
                // SAFETY: no address is wanted.
                result(unsafe { libc::accept(listener.as_raw_fd(), null, null.cast()) } as isize)
            },
            || (),
        ),
        case(
            "poll",
            move || {
                let _c = c;
                let mut asked =
                    libc::pollfd { fd: d.as_raw_fd(), events: libc::POLLIN, revents: 0 };
                // SAFETY: one entry.
                result(unsafe { libc::poll(&mut asked, 1, 60_000) } as isize)
            },
            || (),
        ),
        case(
            "select",
            || {
                let (null, mut limit) =
                    (std::ptr::null_mut(), libc::timeval { tv_sec: 60, tv_usec: 0 });
                // SAFETY: no sets, and a time.
                result(unsafe { libc::select(0, null, null, null, &mut limit) } as isize)
            },
            || (),
        ),
        case(
            "epoll_wait",
            || {
                // SAFETY: a new descriptor; room for an event.
                unsafe {
                    let epoll = OwnedFd::from_raw_fd(libc::epoll_create1(libc::EPOLL_CLOEXEC));
                    let mut event = libc::epoll_event { events: 0, u64: 0 };
                    result(libc::epoll_wait(epoll.as_raw_fd(), &mut event, 1, 60_000) as isize)
                }
            },
            || (),
        ),
        case(
            "nanosleep",
            move || {
                let mut left = libc::timespec { tv_sec: -1, tv_nsec: 0 };
                // SAFETY: times, borrowed for the call.
                let slept = unsafe { libc::nanosleep(&minute, &mut left) };
                format!("{} {}", result(slept as isize), (1..=60).contains(&(left.tv_sec + 1)))
            },
            || (),
        ),
        case(
            "clock_nanosleep",
            move || {
                let null = std::ptr::null_mut();
                // SAFETY: a time, borrowed for the call.
                let slept =
                    unsafe { libc::clock_nanosleep(libc::CLOCK_MONOTONIC, 0, &minute, null) };
                format!("{slept}")
            },
            || (),
        ),
        case(
            "sem_timedwait",
            || {
                let semaphore = CSemaphore::from_value(0);
                let moment = in_a_minute(libc::CLOCK_REALTIME);
                // SAFETY: a semaphore, and a time.
                result(unsafe { libc::sem_timedwait(semaphore.get(), &moment) } as isize)
            },
            || (),
        ),
        case(
            "sem_clockwait",
            || {
                let (semaphore, clock) = (CSemaphore::from_value(0), libc::CLOCK_MONOTONIC);
                let moment = in_a_minute(clock);
                // SAFETY: a semaphore, and a time.
                result(unsafe { sem_clockwait(semaphore.get(), clock, &moment) } as isize)
            },
            || (),
        ),
        // SAFETY: a number.
        case("sleep", || format!("{}", unsafe { libc::sleep(60) } > 0), || ()),
        // SAFETY: no arguments.
        case("pause", || result(unsafe { libc::pause() } as isize), || ()),
        // SAFETY: a mask, of no signals.
        case("sigpause", || result(unsafe { sigpause(0) } as isize), || ()),
        // SAFETY: a signal.
        case("sigpause", || result(unsafe { __xpg_sigpause(libc::SIGUSR1) } as isize), || ()),
        // SAFETY: no signal.
        case("no sigpause", || result(unsafe { __xpg_sigpause(1000) } as isize), || ()),
        case(
            "sigsuspend",
            || {
                // SAFETY: an empty set.
                unsafe {
                    let mut set = std::mem::zeroed();
                    libc::sigemptyset(&mut set);
                    result(libc::sigsuspend(&set) as isize)
                }
            },
            || (),
        ),
    ]
}

/// Returns calls that libc repeats by itself after every handler.
fn repeated() -> Vec<Case> {
    // SAFETY: texts that end in zeros.
    let stream = unsafe { libc::popen(c"sleep 0.2; exit 4".as_ptr(), c"r".as_ptr()) };
    assert!(!stream.is_null());
    vec![
        case(
            "system",
            // SAFETY: a text that ends in a zero.
            || result(unsafe { libc::system(c"sleep 0.2; exit 3".as_ptr()) } as isize >> 8),
            || (),
        ),
        case(
            "pclose",
            // SAFETY: opened above, and closed once.
            move || result(unsafe { libc::pclose(stream) } as isize >> 8),
            || (),
        ),
        case(
            "getaddrinfo",
            || {
                let mut found = std::ptr::null_mut();
                // SAFETY: a text that ends in a zero, and a place.
                let outcome = unsafe {
                    let null = std::ptr::null();
                    libc::getaddrinfo(c"localhost".as_ptr(), null, null.cast(), &mut found)
                };
                if outcome == 0 {
                    // SAFETY: found above, and freed once.
                    unsafe { libc::freeaddrinfo(found) };
                }
                result(outcome as isize)
            },
            || (),
        ),
    ]
}

/// Makes each call, and sends signals to the thread meanwhile. If `ends` is true, the signals must
/// end it; else its other end comes after a few of them.
fn results(signal: c_int, ends: bool, cases: fn() -> Vec<Case>) -> Vec<String> {
    let target = Target::me();
    let make = |case: Case| {
        let is_over = Arc::new(AtomicBool::new(false));
        let theirs = is_over.clone();
        let end = case.end;
        let sender = thread::spawn(move || {
            let mut sent = 0;
            while !theirs.load(SeqCst) && (ends || sent < 5) {
                thread::sleep(ms(10));
                target.send(signal);
                sent += 1;
            }
            end();
        });
        let said = (case.call)();
        is_over.store(true, SeqCst);
        sender.join().unwrap();
        format!("{}: {said}", case.name)
    };
    cases().into_iter().map(make).collect()
}

fn compare(flags: c_int, ends: bool, cases: fn() -> Vec<Case>) -> Vec<String> {
    let _one = ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    support::install();
    handles(libc::SIGUSR1, flags);
    let thread = thread::spawn(move || results(libc::SIGUSR1, ends, cases)).join().unwrap();
    let before = HANDLED.load(SeqCst);
    let tasklet =
        thread::spawn(move || support::run_in_tasklet(|| results(libc::SIGUSR1, ends, cases)));
    let tasklet = tasklet.join().unwrap();
    assert!(HANDLED.load(SeqCst) > before);
    assert_eq!(tasklet, thread);
    tasklet
}

#[test]
fn a_handler_ends_calls_with_eintr() {
    for said in compare(0, true, restarted) {
        assert!(said.contains("os error 4") || said.starts_with("nothing"), "{said}");
    }
}

#[test]
fn a_handler_with_sa_restart_lets_calls_that_restart_go_on() {
    for said in compare(libc::SA_RESTART, false, restarted) {
        assert!(!said.contains("os error 4"), "{said}");
    }
}

#[test]
fn calls_that_libc_repeats_go_on() {
    for flags in [0, libc::SA_RESTART] {
        let said = compare(flags, false, repeated);
        assert_eq!(said, ["system: 3", "pclose: 4", "getaddrinfo: 0"]);
    }
}

#[test]
fn every_handler_ends_calls_that_never_restart() {
    for flags in [0, libc::SA_RESTART] {
        for said in compare(flags, true, never_restarted) {
            assert!(!said.contains(": 0"), "{said}");
        }
    }
}

#[test]
fn a_signal_that_came_before_a_wait_does_not_end_it() {
    let _one = ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    support::install();
    handles(libc::SIGUSR1, 0);
    support::run_in_tasklet(|| {
        for _ in 0..50 {
            let (mut a, b) = UnixStream::pair().unwrap();
            let neighbour = spawn(move || {
                a.write_all(b"x").unwrap();
                a
            });
            // SAFETY: a signal that is handled.
            assert_eq!(unsafe { libc::raise(libc::SIGUSR1) }, 0);
            // SAFETY: a byte of room.
            let count = unsafe { libc::recv(b.as_raw_fd(), room().as_mut_ptr().cast(), 1, 0) };
            assert_eq!(count, 1, "{}", io::Error::last_os_error());
            drop(neighbour.join().unwrap());
        }
    });
}

#[test]
fn a_handler_interrupts_every_tasklet_of_its_thread_and_no_other() {
    let _one = ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    support::install();
    handles(libc::SIGUSR1, 0);
    let wait = || {
        spawn(|| {
            // SAFETY: no arguments.
            result(unsafe { libc::pause() } as isize)
        })
    };
    let (to_main, main) = std::sync::mpsc::channel();
    let (all_end, all_ended) = std::sync::mpsc::channel();
    let elsewhere = thread::spawn(move || {
        support::run_in_tasklet(move || {
            let waiter = wait();
            support::until_waits(waiter.id());
            to_main.send(()).unwrap();
            all_ended.recv().unwrap();
            let went_on = !waiter.is_finished();
            Target::me().send(libc::SIGUSR1);
            (went_on, waiter.join().unwrap())
        })
    });
    main.recv().unwrap();
    support::run_in_tasklet(|| {
        let waiters: Vec<_> = (0..10).map(|_| wait()).collect();
        waiters.iter().for_each(|waiter| support::until_waits(waiter.id()));
        Target::me().send(libc::SIGUSR1);
        for waiter in waiters {
            assert!(waiter.join().unwrap().contains("os error 4"));
        }
    });
    all_end.send(()).unwrap();
    let (went_on, ended) = elsewhere.join().unwrap();
    assert!(went_on, "another thread's tasklet");
    assert!(ended.contains("os error 4"));
}

#[test]
fn a_handler_is_told_as_the_program_has_set_it() {
    let _one = ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    extern "C" fn other(_: c_int) {}
    let (first, second) = (handler as *const () as usize, other as *const () as usize);
    let signal = libc::SIGUSR2;
    install(signal, first, 0);
    support::install();
    let now = || {
        let mut now = action(0, 0);
        // SAFETY: a place for the action.
        assert_eq!(unsafe { libc::sigaction(signal, std::ptr::null(), &mut now) }, 0);
        (now.sa_sigaction, now.sa_flags & (libc::SA_RESTART | libc::SA_SIGINFO))
    };
    assert_eq!(now(), (first, 0), "installed before");
    let mut old = action(0, 0);
    // SAFETY: a handler, and places.
    unsafe {
        let new = action(second, libc::SA_RESTART);
        assert_eq!(libc::sigaction(signal, &new, &mut old), 0);
        assert_eq!(old.sa_sigaction, first);
        assert_eq!(now(), (second, libc::SA_RESTART));
        assert_eq!(libc::signal(signal, first), second);
        assert_eq!(now(), (first, libc::SA_RESTART));
        assert_eq!(siginterrupt(signal, 1), 0);
        assert_eq!(now(), (first, 0));
        assert_eq!(libc::signal(signal, libc::SIG_IGN), first);
        assert_eq!(now(), (libc::SIG_IGN, 0));
        assert_eq!(libc::signal(signal, libc::SIG_DFL), libc::SIG_IGN);
        assert_eq!(siginterrupt(signal, 0), 0);
        // An invalid action changes nothing.
        assert_eq!(libc::signal(libc::SIGKILL, first), libc::SIG_ERR);
        assert_eq!(libc::signal(1000, first), libc::SIG_ERR);
    }
}

unsafe extern "C" {
    fn siginterrupt(signal: c_int, interrupts: c_int) -> c_int;
    fn sigpause(mask: c_int) -> c_int;
    fn __xpg_sigpause(signal: c_int) -> c_int;
    fn __sigpause(signal_or_mask: c_int, is_signal: c_int) -> c_int;
    fn sem_clockwait(
        semaphore: *mut libc::sem_t,
        clock: libc::clockid_t,
        moment: *const libc::timespec,
    ) -> c_int;
}

#[test]
fn a_handlers_own_calls_do_not_wait() {
    let _one = ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    static FILE: AtomicU32 = AtomicU32::new(0);
    extern "C" fn writes(_: c_int) {
        // SAFETY: bytes that are there for good.
        unsafe { libc::write(FILE.load(SeqCst) as c_int, b"x".as_ptr().cast(), 1) };
        HANDLED.fetch_add(1, SeqCst);
    }
    support::install();
    install(libc::SIGUSR2, writes as *const () as usize, libc::SA_RESTART);
    support::run_in_tasklet(|| {
        let path = path("written");
        let file = std::fs::File::create(&path).unwrap();
        FILE.store(file.as_raw_fd() as u32, SeqCst);
        let ticks = support::ticks(|| {
            for _ in 0..100 {
                let before = HANDLED.load(SeqCst);
                // SAFETY: a signal that is handled.
                assert_eq!(unsafe { libc::raise(libc::SIGUSR2) }, 0);
                assert_eq!(HANDLED.load(SeqCst), before + 1);
            }
        });
        assert_eq!(ticks, 0, "a neighbour ran inside the handler");
        assert_eq!(std::fs::read(&path).unwrap().len(), 100);
    });
}

fn set(signals: &[c_int]) -> libc::sigset_t {
    // SAFETY: zeros are a valid set, which is emptied.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        for &signal in signals {
            libc::sigaddset(&mut set, signal);
        }
        set
    }
}

/// Runs `f` in a tasklet of a thread that blocks SIGUSR1 and SIGUSR2.
fn held_off(f: impl FnOnce() + Send + 'static) {
    let _one = ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    support::install();
    thread::spawn(|| {
        let held = set(&[libc::SIGUSR1, libc::SIGUSR2]);
        // SAFETY: a set.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &held, std::ptr::null_mut()) };
        support::run_in_tasklet(f);
    })
    .join()
    .unwrap();
}

#[test]
fn waits_for_signals_block_the_tasklet_alone() {
    held_off(|| {
        let me = Target::me();
        let both = set(&[libc::SIGUSR1, libc::SIGUSR2]);
        let turns = Turns::default();
        let send_soon = |signal| {
            let seen = turns.clone();
            thread::spawn(move || {
                seen.wait_for(5, LONG);
                me.send(signal);
            })
        };
        for signal in [libc::SIGUSR1, libc::SIGUSR2] {
            let ticks = turns.count_during(|| {
                send_soon(signal);
                let mut got = 0;
                // SAFETY: a set, and a place.
                assert_eq!(unsafe { libc::sigwait(&both, &mut got) }, 0);
                assert_eq!(got, signal);
            });
            assert!(ticks > 3, "{ticks}");
            turns.count_during(|| {
                send_soon(signal);
                // SAFETY: a set, and a place, for which zeros are valid.
                unsafe {
                    let mut info: libc::siginfo_t = std::mem::zeroed();
                    assert_eq!(libc::sigwaitinfo(&both, &mut info), signal);
                    assert_eq!((info.si_signo, info.si_code), (signal, libc::SI_USER));
                    assert_eq!(info.si_pid(), libc::getpid());
                }
            });
        }
        let limit = libc::timespec { tv_sec: 0, tv_nsec: 30_000_000 };
        let ticks = support::ticks(|| {
            // SAFETY: a set, and a time.
            let none = unsafe { libc::sigtimedwait(&both, std::ptr::null_mut(), &limit) };
            assert_eq!(none, -1);
            assert_eq!(io::Error::last_os_error().raw_os_error(), Some(libc::EAGAIN));
        });
        assert!(ticks > 3, "{ticks}");
    });
}

#[test]
fn sigsuspend_and_similar_calls_deliver_signals_that_the_thread_blocks() {
    held_off(|| {
        handles(libc::SIGUSR1, libc::SA_RESTART);
        let me = Target::me();
        let none = set(&[]);
        for name in ["sigsuspend", "ppoll", "sigpause", "__xpg_sigpause", "mask", "signal"] {
            let before = HANDLED.load(SeqCst);
            let turns = Turns::default();
            let seen = turns.clone();
            let ticks = turns.count_during(|| {
                thread::spawn(move || {
                    seen.wait_for(5, LONG);
                    me.send(libc::SIGUSR1);
                });
                // SAFETY: a set; no descriptors.
                let ended = unsafe {
                    match name {
                        "sigsuspend" => libc::sigsuspend(&none),
                        "sigpause" => sigpause(0),
                        "__xpg_sigpause" => __xpg_sigpause(libc::SIGUSR1),
                        "mask" => __sigpause(0, 0),
                        "signal" => __sigpause(libc::SIGUSR1, 1),
                        _ => libc::ppoll(std::ptr::null_mut(), 0, std::ptr::null(), &none),
                    }
                };
                assert_eq!(ended, -1);
                assert_eq!(io::Error::last_os_error().raw_os_error(), Some(libc::EINTR));
                assert_eq!(HANDLED.load(SeqCst), before + 1);
            });
            assert!(ticks > 3, "{name}: {ticks}");
        }
    });
}
