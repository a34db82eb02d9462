//! The table in docs/install.md: the effect of each call on other tasklets, found by making it.
//!
//! The thread of the calling tasklet has a second one, and a plain thread ends the wait. If the
//! second tasklet ran meanwhile, the call is COOPERATIVE; if not, it STALLS; a call that has
//! nothing to wait for is IMMEDIATE. `OVERLAPPED_UPDATE=1` writes the table anew.
#![allow(missing_docs)]
mod support;

use std::ffi::c_int;
use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Condvar, LazyLock, Mutex, Once, RwLock, mpsc};
use std::thread;

use support::c::{CMutex, CSemaphore, Shared};
use support::{Turns, ms, run_in_tasklet};

unsafe extern "C-unwind" {
    fn pthread_once(control: *mut c_int, routine: extern "C-unwind" fn()) -> c_int;
    fn mtx_lock(mutex: *mut libc::pthread_mutex_t) -> c_int;
    fn mtx_unlock(mutex: *mut libc::pthread_mutex_t) -> c_int;
}

/// The turns of the second tasklet.
static TURNS: LazyLock<Turns> = LazyLock::new(Turns::default);

/// Waits until the second tasklet has run, or for as long as suffices to find that it does not.
fn let_run() {
    TURNS.wait_for(1, ms(300));
}

/// Ends a wait from outside.
fn soon(f: impl FnOnce() + Send + 'static) {
    thread::spawn(move || {
        let_run();
        f();
    });
}

/// Runs `hold` in a thread, and returns once `hold` has reported that it holds its object. It does
/// not wait as a tasklet would, since that is measured afterwards.
fn held(hold: impl FnOnce(&AtomicBool) + Send + 'static) {
    let holds = Arc::new(AtomicBool::new(false));
    let theirs = holds.clone();
    thread::spawn(move || hold(&theirs));
    while !holds.load(SeqCst) {
        std::hint::spin_loop();
    }
}

/// Reports that the object is held, and goes on holding it.
fn go_on(holds: &AtomicBool) {
    holds.store(true, SeqCst);
    let_run();
}

struct Row {
    call: &'static str,
    /// True if the call has something to wait for.
    waits: bool,
    make: Box<dyn FnOnce()>,
}

fn waits(call: &'static str, make: impl FnOnce() + 'static) -> Row {
    Row { call, waits: true, make: Box::new(make) }
}

fn immediate(call: &'static str, make: impl FnOnce() + 'static) -> Row {
    Row { call, waits: false, make: Box::new(make) }
}

fn sockets() -> Vec<Row> {
    let (a, b) = UnixStream::pair().unwrap();
    let (c, d) = UnixStream::pair().unwrap();
    let (mut rx, tx) = std::io::pipe().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let other_address = other.local_addr().unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let own = socket.local_addr().unwrap();
    vec![
        waits("`TcpListener::accept`", move || {
            soon(move || drop(TcpStream::connect(address)));
            listener.accept().unwrap();
        }),
        waits("`TcpStream::connect`", move || {
            TcpStream::connect(other_address).unwrap();
            drop(other);
        }),
        waits("`UnixStream`, `TcpStream`: `read`", move || {
            soon(move || drop((&a).write(b"x")));
            (&b).read_exact(&mut [0]).unwrap();
        }),
        waits("`UnixStream`, `TcpStream`: `write` of more than there is room for", move || {
            soon(move || drop((&d).read_exact(&mut vec![0; 1 << 20])));
            (&c).write_all(&vec![0; 1 << 20]).unwrap();
        }),
        waits("`UdpSocket::recv_from`", move || {
            soon(move || drop(UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"x", own)));
            socket.recv_from(&mut [0]).unwrap();
        }),
        waits("`std::io::pipe`: `read`", move || {
            soon(move || drop((&tx).write(b"x")));
            rx.read_exact(&mut [0]).unwrap();
        }),
        waits("`ToSocketAddrs` of a name", || {
            drop(std::net::ToSocketAddrs::to_socket_addrs("localhost:7"));
        }),
        immediate("`TcpListener::bind`, `set_nonblocking`, `local_addr` …", || {
            TcpListener::bind("127.0.0.1:0").unwrap().set_nonblocking(true).unwrap();
        }),
    ]
}

fn threads() -> Vec<Row> {
    let mutex = Arc::new(Mutex::new(()));
    let lock = Arc::new(RwLock::new(()));
    let pair = Arc::new((Mutex::new(false), Condvar::new()));
    let barrier = Arc::new(Barrier::new(2));
    vec![
        waits("`thread::sleep`", || thread::sleep(ms(60))),
        waits("`thread::yield_now`", thread::yield_now),
        waits("`Mutex::lock`", move || {
            let theirs = mutex.clone();
            held(move |holds| {
                let _held = theirs.lock().unwrap();
                go_on(holds);
            });
            drop(mutex.lock().unwrap());
        }),
        waits("`RwLock::read`, `write`", move || {
            let theirs = lock.clone();
            held(move |holds| {
                let _held = theirs.write().unwrap();
                go_on(holds);
            });
            drop(lock.read().unwrap());
        }),
        waits("`Condvar::wait`", move || {
            let theirs = pair.clone();
            soon(move || {
                *theirs.0.lock().unwrap() = true;
                theirs.1.notify_one();
            });
            let ready = pair.0.lock().unwrap();
            drop(pair.1.wait_while(ready, |ready| !*ready).unwrap());
        }),
        waits("`Barrier::wait`", move || {
            let theirs = barrier.clone();
            soon(move || {
                theirs.wait();
            });
            barrier.wait();
        }),
        waits("`Once::call_once`, `LazyLock`, `OnceLock`", || {
            static ONCE: Once = Once::new();
            held(|holds| ONCE.call_once(|| go_on(holds)));
            ONCE.call_once(|| unreachable!());
        }),
        waits("`mpsc::Receiver::recv`", || {
            let (sender, receiver) = mpsc::channel();
            soon(move || sender.send(()).unwrap());
            receiver.recv().unwrap();
        }),
        waits("`thread::park`", || {
            let me = thread::current();
            soon(move || me.unpark());
            thread::park();
        }),
        waits("`JoinHandle::join`, `thread::scope`", || {
            thread::spawn(|| thread::sleep(ms(60))).join().unwrap();
        }),
        waits("`Child::wait`, `Command::status`, `output`", || {
            assert!(support::sleep_program("0.06").status().unwrap().success());
        }),
    ]
}

fn files() -> Vec<Row> {
    let (file, locked) = (support::path("file"), support::path("locked"));
    vec![
        waits("`File::lock`", move || {
            // SAFETY: a descriptor's number. (File::lock calls it, but needs rustc 1.89.)
            let lock =
                |file: &std::fs::File| unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX) };
            let held = std::fs::File::create(&locked).unwrap();
            assert_eq!(lock(&held), 0);
            soon(move || drop(held));
            assert_eq!(lock(&std::fs::File::open(&locked).unwrap()), 0);
            std::fs::remove_file(locked).unwrap();
        }),
        immediate("`fs::metadata`, `read_dir`, `rename`, `remove_file` …", move || {
            std::fs::File::create(&file).unwrap();
            std::fs::metadata(&file).unwrap();
            std::fs::remove_file(file).unwrap();
        }),
    ]
}

fn c() -> Vec<Row> {
    fn readable() -> std::os::unix::net::UnixStream {
        let (a, b) = UnixStream::pair().unwrap();
        soon(move || drop(a));
        b
    }
    vec![
        waits("C: `poll`, `ppoll`, `select`, `pselect`", || {
            let b = readable();
            let mut asked = libc::pollfd { fd: b.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: one entry.
            assert_eq!(unsafe { libc::poll(&mut asked, 1, -1) }, 1);
        }),
        waits("C: `fread`, `fgets`, `getline`, `getc`, on a pipe, a socket or a terminal", || {
            let b = readable();
            // SAFETY: an open descriptor, which the stream closes; a buffer of one byte.
            unsafe {
                let stream = libc::fdopen(b.into_raw_fd(), c"r".as_ptr());
                let mut byte = 0u8;
                assert_eq!(libc::fread((&raw mut byte).cast(), 1, 1, stream), 0);
                libc::fclose(stream);
            }
        }),
        // libc's inner calls use no symbol that can be taken over.
        waits("C: stdio that writes (`fputs`, `printf`, `fflush`), if the pipe is full", || {
            let (mut rx, tx) = std::io::pipe().unwrap();
            soon(move || drop(rx.read_exact(&mut vec![0; 1 << 20])));
            let bytes = vec![0u8; 1 << 20];
            // SAFETY: an open descriptor, which the stream closes; bytes.
            unsafe {
                let stream = libc::fdopen(tx.into_raw_fd(), c"w".as_ptr());
                assert_eq!(libc::fwrite(bytes.as_ptr().cast(), 1, 1 << 20, stream), 1 << 20);
                libc::fclose(stream);
            }
        }),
        // As above.
        waits("C: `scanf`, `getwc`, `getc_unlocked` and similar calls, if they wait", || {
            let b = readable();
            // SAFETY: an open descriptor, which the stream closes.
            unsafe {
                let stream = libc::fdopen(b.into_raw_fd(), c"r".as_ptr());
                assert_eq!(fgetc_unlocked(stream), libc::EOF);
                libc::fclose(stream);
            }
        }),
        // SAFETY: a command.
        waits("C: `system`, `pclose`", || unsafe {
            assert_eq!(libc::system(c"sleep 0.06".as_ptr()), 0);
        }),
        // SAFETY: a name.
        waits("C: `gethostbyname`, `gethostbyaddr`, reentrant or not", || unsafe {
            assert!(!gethostbyname(c"localhost".as_ptr()).is_null());
        }),
        waits("C: `sendfile`, `splice` and `tee` of pipes and files", || {
            let ((rx, tx), (_out, end)) = (std::io::pipe().unwrap(), std::io::pipe().unwrap());
            soon(move || drop(tx));
            let null = std::ptr::null_mut();
            // SAFETY: descriptors.
            let moved =
                unsafe { libc::splice(rx.as_raw_fd(), null, end.as_raw_fd(), null, 100, 0) };
            assert_eq!(moved, 0);
        }),
        waits("C: `mq_send`, `mq_receive`, also timed", queue),
        waits("C: `sigwait`, `sigtimedwait`, `sigwaitinfo`", || {
            let limit = libc::timespec { tv_sec: 0, tv_nsec: 60_000_000 };
            // SAFETY: an empty set, and a time.
            unsafe {
                let mut set = std::mem::zeroed();
                libc::sigemptyset(&mut set);
                assert_eq!(libc::sigtimedwait(&set, std::ptr::null_mut(), &limit), -1);
            }
        }),
        waits("C: `pause`, `sigpause`, `sigsuspend`", || {
            extern "C" fn handler(_: libc::c_int) {}
            // SAFETY: a handler that does nothing; a signal to this thread.
            unsafe {
                libc::signal(libc::SIGURG, handler as *const () as usize);
                let me = libc::syscall(libc::SYS_gettid);
                soon(move || {
                    libc::syscall(libc::SYS_tgkill, libc::getpid(), me, libc::SIGURG);
                });
                assert_eq!(libc::pause(), -1);
            }
        }),
    ]
}

/// Makes a mutex that a thread holds for a while.
fn held_mutex() -> &'static CMutex {
    static MUTEX: CMutex = CMutex::new(libc::PTHREAD_MUTEX_INITIALIZER);
    held(|holds| {
        MUTEX.lock();
        go_on(holds);
        MUTEX.unlock();
    });
    &MUTEX
}

fn threads_of_c() -> Vec<Row> {
    extern "C-unwind" fn nothing() {}
    extern "C-unwind" fn goes_on() {
        // SAFETY: the flag of `held`, which lives while this runs.
        go_on(unsafe { &*HOLDS.load(SeqCst) });
    }
    static HOLDS: AtomicPtr<AtomicBool> = AtomicPtr::new(std::ptr::null_mut());
    vec![
        waits("C: `pthread_mutex_lock`, `pthread_cond_wait`, `pthread_rwlock_rdlock`", || {
            let mutex = held_mutex();
            assert_eq!((mutex.lock(), mutex.unlock()), (0, 0));
        }),
        waits("C: `mtx_lock`, `cnd_wait`, `thrd_join`, `thrd_sleep`", || {
            let mutex = held_mutex();
            // SAFETY: a mutex.
            unsafe { assert_eq!((mtx_lock(mutex.get()), mtx_unlock(mutex.get())), (0, 0)) };
        }),
        waits("C: `sem_wait`, `sem_timedwait`", || {
            let semaphore = Arc::new(CSemaphore::from_value(0));
            let theirs = semaphore.clone();
            soon(move || assert_eq!(theirs.post(), 0));
            assert_eq!(semaphore.wait(), 0);
        }),
        waits("C: `pthread_once`, `call_once`, while another tasklet runs it", || {
            static ONCE: Shared<c_int> = Shared::new(0);
            held(|holds| {
                HOLDS.store((&raw const *holds).cast_mut(), SeqCst);
                // SAFETY: a word for these calls alone.
                unsafe { pthread_once(ONCE.get(), goes_on) };
            });
            // SAFETY: as above.
            assert_eq!(unsafe { pthread_once(ONCE.get(), nothing) }, 0);
        }),
        waits("C: `pthread_barrier_wait`", || {
            let mut barrier = MaybeUninit::uninit();
            // SAFETY: initialised, for two.
            let barrier = Arc::new(unsafe {
                libc::pthread_barrier_init(barrier.as_mut_ptr(), std::ptr::null(), 2);
                Shared::new(barrier.assume_init())
            });
            let theirs = barrier.clone();
            soon(move || {
                // SAFETY: a barrier.
                unsafe { libc::pthread_barrier_wait(theirs.get()) };
            });
            // SAFETY: as above.
            unsafe { libc::pthread_barrier_wait(barrier.get()) };
        }),
        waits("C: `pthread_spin_lock`", || {
            static SPIN: Shared<libc::pthread_spinlock_t> = Shared::new(1);
            // SAFETY: a spin lock; initialised before it is used.
            unsafe { libc::pthread_spin_init(SPIN.get(), 0) };
            held(|holds| {
                // SAFETY: as above.
                unsafe { libc::pthread_spin_lock(SPIN.get()) };
                go_on(holds);
                // SAFETY: as above.
                unsafe { libc::pthread_spin_unlock(SPIN.get()) };
            });
            // SAFETY: as above.
            unsafe { assert_eq!(libc::pthread_spin_lock(SPIN.get()), 0) };
        }),
    ]
}

unsafe extern "C" {
    fn gethostbyname(name: *const libc::c_char) -> *mut libc::c_void;
    fn fgetc_unlocked(stream: *mut libc::FILE) -> c_int;
}

/// Receives from a message queue that stays empty for a while.
fn queue() {
    let name = std::ffi::CString::new(format!("/overlapped-{}", std::process::id())).unwrap();
    let mut byte = [0u8; 8];
    // SAFETY: a name, attributes and a buffer, borrowed for the calls.
    unsafe {
        let mut attributes: libc::mq_attr = std::mem::zeroed();
        (attributes.mq_maxmsg, attributes.mq_msgsize) = (1, 8);
        let flags = libc::O_CREAT | libc::O_RDWR | libc::O_CLOEXEC;
        let queue = libc::mq_open(name.as_ptr(), flags, 0o600, &raw mut attributes);
        if queue < 0 {
            println!("SKIPPED: no message queues: {}", std::io::Error::last_os_error());
            return thread::sleep(ms(1)); // The row is what it would be with queues.
        }
        libc::mq_unlink(name.as_ptr());
        soon(move || assert_eq!(libc::mq_send(queue, c"x".as_ptr(), 1, 0), 0));
        let place = byte.as_mut_ptr().cast();
        assert_eq!(libc::mq_receive(queue, place, 8, std::ptr::null_mut()), 1);
        libc::mq_close(queue);
    }
}

#[test]
fn the_table_in_the_documentation_says_what_each_call_does() {
    let lines = run_in_tasklet(|| {
        let rows = [sockets(), threads(), files(), threads_of_c(), c()];
        let say = |row: Row| {
            let ticks = TURNS.count_during(row.make);
            let word = match (ticks, row.waits) {
                (1.., _) => "COOPERATIVE",
                (0, true) => "STALLS",
                (0, false) => "IMMEDIATE",
            };
            format!("| {} | {word} |\n", row.call)
        };
        rows.into_iter().flatten().map(say).collect::<String>()
    });
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/install.md");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    const HEAD: &str = "| call | |\n|---|---|\n";
    let (before, rest) = text.split_once(HEAD).expect("the table begins");
    let (table, after) = rest.split_once("\n\n").expect("the table ends");
    if std::env::var_os("OVERLAPPED_UPDATE").is_some() {
        let text = format!("{before}{HEAD}{lines}\n{after}");
        std::fs::write(path, text).unwrap();
        return;
    }
    assert_eq!(format!("{table}\n"), lines, "OVERLAPPED_UPDATE=1 writes the table");
}
