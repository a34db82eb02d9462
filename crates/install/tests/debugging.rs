//! Reports of calls that cannot be taken over: pinned threads, raw system calls, their objects.
//!
//! Filters and limits hold for a whole process, so each test is a process of its own.
#![allow(missing_docs)]
mod support;

use std::ffi::c_int;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use overlapped_install::{Builder, Options, WhyNot, report, run, spawn};
use rustix::thread::{Timespec, nanosleep};
use support::ms;

const CHILD: &str = "OVERLAPPED_TEST_CHILD";

/// Runs a test of this program in a process of its own.
fn child(name: &str, environment: &[(&str, &str)]) -> (Output, String) {
    let mut command = support::again();
    command.args([name, "--exact", "--nocapture", "--test-threads=1"]).env(CHILD, "1");
    let output = command.envs(environment.iter().copied()).output().unwrap();
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    (output, String::from_utf8_lossy(&text).into_owned())
}

/// Returns true in the child. In the parent, runs the child, checks its result, and returns false.
fn is_child(name: &str, environment: &[(&str, &str)]) -> bool {
    if std::env::var_os(CHILD).is_some() {
        return true;
    }
    let (output, said) = child(name, environment);
    // The child's libtest may have begun the line.
    let skipped = said.lines().filter_map(|line| line.find("SKIPPED").map(|at| &line[at..]));
    skipped.for_each(|line| println!("{line}"));
    assert!(output.status.success(), "{said}");
    false
}

/// Installs, or prints the reason why it cannot be done.
fn installed(options: &Options) -> bool {
    // SAFETY: nothing in this program takes gettid(2) for its own identity.
    match unsafe { overlapped_install::install_with(options) } {
        Ok(_) => return true,
        Err(WhyNot::ThreadLocals(why)) => println!("SKIPPED: {why}"),
        Err(WhyNot::Trap(why)) => println!("SKIPPED: {why}"),
        Err(why) => panic!("{why}"),
    }
    false
}

/// Waits by a system call of its own, past libc.
#[inline(never)]
fn sleeps_past_libc(time: Duration) {
    let left = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() };
    // EINTR comes from the watchdog's question.
    let begin = Instant::now();
    while begin.elapsed() < time {
        drop(std::hint::black_box(nanosleep(&left)));
    }
}

/// Reads by a system call of its own, past libc.
#[inline(never)]
fn receives_past_libc(stream: &UnixStream) -> u8 {
    let mut byte = [0];
    let read = rustix::net::recv(stream, &mut byte[..], rustix::net::RecvFlags::empty());
    assert_eq!(read.unwrap().0, 1);
    std::hint::black_box(byte[0])
}

/// Makes a stream to which a thread writes after a while.
fn soon(byte: u8) -> UnixStream {
    let (mut a, b) = UnixStream::pair().unwrap();
    std::thread::spawn(move || {
        sleeps_past_libc(ms(50));
        a.write_all(&[byte]).unwrap();
    });
    b
}

#[test]
fn a_call_that_pins_its_thread_is_counted_with_its_name_and_a_backtrace() {
    const NAME: &str = "a_call_that_pins_its_thread_is_counted_with_its_name_and_a_backtrace";
    if !is_child(NAME, &[]) || !installed(&Options::new().stall_limit(ms(20)).quiet()) {
        return;
    }
    run(|| {
        let pins = Builder::new().name("pins").spawn(|| sleeps_past_libc(ms(500))).unwrap();
        pins.join().unwrap();
        // This wait blocks only the tasklet, so it pins no thread. The watchdog needs a while.
        support::wait_until("the watchdog reports the end of the stall", || {
            report().pinned().iter().any(|pinned| !pinned.lasts)
        });
    })
    .unwrap();
    let report = report();
    let is_it = |one: &&overlapped_install::Pinned| one.name.as_deref() == Some("pins");
    let pinned = report.pinned().iter().find(is_it).expect("noted");
    assert!(report.stalls() >= 1);
    assert!(matches!(pinned.call, None | Some("clock_nanosleep" | "nanosleep")), "{pinned}");
    assert!(pinned.time >= ms(20) && pinned.time < Duration::from_secs(60), "{pinned}");
    assert!(pinned.trace.contains("sleeps_past_libc"), "{pinned}");
    let said = report.to_string();
    assert!(said.contains("'pins' pinned its thread by"), "{said}");
}

#[test]
fn raw_calls_of_tasklets_are_named_with_place_and_backtrace_and_go_on() {
    const NAME: &str = "raw_calls_of_tasklets_are_named_with_place_and_backtrace_and_go_on";
    if !is_child(NAME, &[("OVERLAPPED_TRAP", "on")]) || !installed(&Options::new()) {
        return;
    }
    let outside = soon(1);
    run(move || {
        // Calls through libc, calls with nothing to wait for, and threads are not reported.
        assert_eq!(receives_by_std(&soon(2)), 2);
        let (mut a, b) = UnixStream::pair().unwrap();
        b.set_nonblocking(true).unwrap();
        assert!(rustix::net::recv(&b, &mut [0][..], rustix::net::RecvFlags::empty()).is_err());
        a.write_all(b"x").unwrap();
        std::thread::spawn(move || assert_eq!(receives_past_libc(&outside), 1)).join().unwrap();
        blocks_all_signals(|| assert_eq!(receives_past_libc(&soon(5)), 5));
        let mut program = Command::new("sh");
        let program = program.args(["-c", "read x; exit 7"]).stdin(Stdio::null());
        assert_eq!(
            program.status().unwrap().code(),
            Some(7),
            "it inherits the filter, and goes on"
        );
        assert!(report().raw_calls().is_empty(), "{}", report());
        // Calls past libc are reported.
        let raw = Builder::new()
            .name("raw")
            .spawn(|| [receives_past_libc(&soon(3)), receives_past_libc(&soon(4))]);
        assert_eq!(raw.unwrap().join().unwrap(), [3, 4]);
        assert_eq!(spawn(|| reads_by_stdio(soon(7))).join().unwrap(), 7);
        support::wait_until("both raw calls are reported", || report().raw_calls().len() >= 2);
    })
    .unwrap();
    let (report, program) = (report(), std::env::current_exe().unwrap());
    let raw = report.raw_calls().iter().find(|raw| raw.call == "recvfrom").expect("recvfrom");
    assert!(raw.object.contains(&*program.file_name().unwrap().to_string_lossy()), "{raw}");
    assert!(raw.count == 2 && raw.trace.contains("receives_past_libc"), "{raw}");
    assert!(raw.tasklet.as_ref().is_some_and(|(_, name)| name.as_deref() == Some("raw")), "{raw}");
    let inner = report.raw_calls().iter().find(|raw| raw.call == "read").expect("read");
    assert!(inner.object.contains("libc.so") && inner.trace.contains("reads_by_stdio"), "{inner}");
}

fn receives_by_std(mut stream: &UnixStream) -> u8 {
    let mut byte = [0];
    stream.read_exact(&mut byte).unwrap();
    byte[0]
}

unsafe extern "C" {
    fn fgetc_unlocked(stream: *mut libc::FILE) -> c_int;
}

/// Reads by stdio, whose system call is an instruction inside libc.
#[inline(never)]
fn reads_by_stdio(stream: UnixStream) -> c_int {
    // SAFETY: a descriptor that is given away, and a mode.
    unsafe {
        let file = libc::fdopen(stream.into_raw_fd(), c"r".as_ptr());
        let byte = fgetc_unlocked(file);
        libc::fclose(file);
        byte
    }
}

/// Calls `f` in a thread that blocks all signals, whose calls go on, too.
fn blocks_all_signals(f: impl FnOnce() + Send + 'static) {
    let blocked = std::thread::spawn(|| {
        // SAFETY: a set of this function's; the mask is this thread's.
        unsafe {
            let mut all = std::mem::zeroed();
            libc::sigfillset(&mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &all, std::ptr::null_mut());
        }
        f();
    });
    blocked.join().unwrap();
}

#[test]
fn a_variable_that_means_nothing_is_refused() {
    const NAME: &str = "a_variable_that_means_nothing_is_refused";
    if !is_child(NAME, &[("OVERLAPPED_TRAP", "yes please")]) {
        return;
    }
    // SAFETY: as above.
    let refused = unsafe { overlapped_install::install() }.unwrap_err();
    assert!(refused.to_string().contains("can be `on` or `off`"), "{refused}");
}

#[test]
fn calls_of_a_tasklet_that_cannot_wait_are_counted() {
    if !installed(&Options::new()) {
        return;
    }
    let could_not_wait = || {
        let report = report();
        let poll = report.symbols().iter().find(|symbol| symbol.name == "poll").unwrap();
        poll.could_not_wait
    };
    run(move || {
        let before = could_not_wait();
        overlapped::task::no_switch(|| {
            let (a, _b) = UnixStream::pair().unwrap();
            let mut asked = libc::pollfd { fd: a.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: one entry.
            assert_eq!(unsafe { libc::poll(&mut asked, 1, 1) }, 0);
        });
        assert_eq!(could_not_wait(), before + 1);
    })
    .unwrap();
}

#[test]
fn the_report_says_who_else_calls_the_system() {
    let report = report();
    let said = report.to_string();
    assert!(said.contains("libc's inner calls cannot be taken over"), "{said}");
    assert!(said.contains("this crate's among them"), "{said}");
}
