//! Cases that kill a process, or use up its mappings: each test runs itself again as a child.

use std::cell::Cell;
use std::ops::Range;
use std::os::unix::process::ExitStatusExt;
use std::process::Output;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::overflow::{
    OverflowingTasklet, alt_stack_to_write_on, ensure_alt_stack, install,
};
use super::super::{GUARD, Guards, Pool, SIZE_DEFAULT, Stack, StackConfig, TakeError};
use super::case;
use corosensei::Coroutine;

thread_local! {
    static GUARD_NOW: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

/// A lookup like the scheduler's.
fn lookup(fault: usize) -> Option<OverflowingTasklet> {
    let (start, end) = GUARD_NOW.get();
    let name = "parser\n7";
    let overflowing_tasklet = OverflowingTasklet {
        name: name.as_ptr(),
        name_len: name.len(),
        id: 4711,
        usable: 192 << 10,
        stack_size: 256 << 10,
    };
    (start..end).contains(&fault).then_some(overflowing_tasklet)
}

fn run_on(guard: Range<usize>) {
    GUARD_NOW.set((guard.start, guard.end));
}

fn install_here() {
    // SAFETY: `lookup` reads a const-initialised thread-local and returns a static name.
    unsafe { install(lookup).unwrap() };
}

fn pool(guards: Guards) -> Pool {
    Pool::new(StackConfig { size: SIZE_DEFAULT, guards, max: 100_000 })
}

fn child(test: &str, case: &str) -> Output {
    super::child(module_path!(), test, case)
}

#[track_caller]
fn assert_died(output: &Output, named: bool) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(libc::SIGSEGV), "{:?} {text}", output.status);
    let line = "overlapped: tasklet 'parser?7' (id 4711) overflowed its stack: it has used all \
                192 KiB (256 with the guard); give it more with Builder::stack_size\n";
    assert_eq!(text.matches(line).count(), usize::from(named), "{text}");
}

fn write_to(address: usize) {
    // SAFETY: it is only called with guard addresses, in a child that is to die of it.
    unsafe { std::ptr::with_exposed_provenance_mut::<u8>(address).write_volatile(1) };
}

#[inline(never)]
fn recurse(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 64]);
    if depth == u64::MAX { 0 } else { recurse(depth + 1) + frame[63] }
}

#[test]
fn recursion_in_a_tasklet_dies_by_sigsegv_and_names_it() {
    let test = "recursion_in_a_tasklet_dies_by_sigsegv_and_names_it";
    let Some(case) = case() else {
        for case in ["auto", "mprotect", "locked", "foreign thread"] {
            assert_died(&child(test, case), true);
        }
        return;
    };
    install_here();
    install_here();
    let overflow = move |guards| {
        ensure_alt_stack();
        let mut pool = pool(guards);
        let _neighbour = pool.take(None).unwrap();
        let stack = pool.take(None).unwrap();
        run_on(stack.guard());
        let mut coroutine = Coroutine::<(), (), u64, Stack>::with_stack(stack, |_, ()| recurse(0));
        coroutine.resume(());
    };
    match case.as_str() {
        "auto" => overflow(Guards::Auto),
        "mprotect" => overflow(Guards::Mprotect),
        "locked" => {
            // The kernel refuses guard marks in locked memory; without the right to lock any, this
            // is the first case again.
            // SAFETY: the call only concerns where pages are kept.
            unsafe { libc::mlockall(libc::MCL_FUTURE | libc::MCL_ONFAULT) };
            overflow(Guards::Auto);
        }
        _ => {
            // A thread without an alternate stack, as C makes them.
            let before = libc::stack_t {
                ss_sp: std::ptr::null_mut(),
                ss_flags: libc::SS_DISABLE,
                ss_size: 0,
            };
            // SAFETY: no handler is running; std does not count on its alternate stack.
            unsafe { libc::sigaltstack(&before, std::ptr::null_mut()) };
            overflow(Guards::Auto);
        }
    }
}

#[test]
fn a_frame_that_jumps_up_to_60_kib_below_the_stack_is_caught() {
    let test = "a_frame_that_jumps_up_to_60_kib_below_the_stack_is_caught";
    let Some(case) = case() else {
        for kib in [0, 4, 8, 16, 32, 48, 60, 64] {
            for guards in ["auto", "mprotect"] {
                assert_died(&child(test, &format!("{kib} {guards}")), true);
            }
        }
        return;
    };
    install_here();
    let (kib, guards) = case.split_once(' ').unwrap();
    let mut pool = pool(if guards == "auto" { Guards::Auto } else { Guards::Mprotect });
    let _below = pool.take(None).unwrap();
    let stack = pool.take(None).unwrap();
    run_on(stack.guard());
    let below = kib.parse::<usize>().unwrap() * 1024;
    write_to(stack.usable().start - below.clamp(1, GUARD));
}

#[test]
fn a_trimmed_stack_and_a_reused_stack_still_have_their_guard() {
    let test = "a_trimmed_stack_and_a_reused_stack_still_have_their_guard";
    if case().is_none() {
        return assert_died(&child(test, "child"), true);
    }
    install_here();
    let mut pool = pool(Guards::Auto);
    let stacks: Vec<Stack> = (0..100).map(|_| pool.take(None).unwrap()).collect();
    stacks.into_iter().for_each(|stack| pool.give(stack));
    pool.trim();
    pool.trim();
    let stack = (0..100).map(|_| pool.take(None).unwrap()).last().unwrap();
    run_on(stack.guard());
    write_to(stack.guard().start);
}

#[test]
fn another_tasklets_guard_is_not_blamed_on_this_one() {
    let test = "another_tasklets_guard_is_not_blamed_on_this_one";
    if case().is_none() {
        return assert_died(&child(test, "child"), false);
    }
    install_here();
    let mut pool = pool(Guards::Auto);
    let (mine, other) = (pool.take(None).unwrap(), pool.take(None).unwrap());
    run_on(mine.guard());
    write_to(other.guard().start);
}

/// A one-shot handler that repairs nothing: the second fault is the end.
extern "C" fn returning(_signal: i32) {
    if HITS.fetch_add(1, Ordering::Relaxed) > 0 {
        // SAFETY: _exit is async-signal-safe.
        unsafe { libc::_exit(72) };
    }
}

static HITS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn full(signal: i32, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the handler was given a valid siginfo.
    let address = unsafe { (*info).si_addr().addr() };
    leave(signal, address == 8);
}

extern "C" fn plain(signal: i32) {
    leave(signal, true);
}

/// Exits with 70 if the signals blocked now are `signal` and SIGUSR1, as the mask demands.
fn leave(signal: i32, well: bool) {
    // SAFETY: all-zero is a valid set, and the calls only read the thread's mask.
    let blocked = unsafe {
        let mut mask: libc::sigset_t = std::mem::zeroed();
        libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &mut mask);
        libc::sigismember(&mask, signal) == 1 && libc::sigismember(&mask, libc::SIGUSR1) == 1
    };
    // SAFETY: _exit is async-signal-safe.
    unsafe { libc::_exit(if well && blocked { 70 } else { 71 }) };
}

#[test]
fn other_faults_go_to_the_predecessor() {
    let test = "other_faults_go_to_the_predecessor";
    let Some(case) = case() else {
        for case in ["full", "plain"] {
            assert_eq!(child(test, case).status.code(), Some(70), "{case}");
        }
        for case in ["default", "ignore", "std", "default sent", "once"] {
            let output = child(test, case);
            assert_eq!(output.status.signal(), Some(libc::SIGSEGV), "{case}: {output:?}");
        }
        assert!(child(test, "ignore sent").status.success());
        let output = child(test, "std overflow");
        assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{output:?}");
        return;
    };
    // SAFETY: all-zero is a valid sigaction; the handlers have the signatures their flags say.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaddset(&mut action.sa_mask, libc::SIGUSR1);
        match case.split(' ').next().unwrap() {
            "full" => {
                action.sa_sigaction = full as *const () as usize;
                action.sa_flags = libc::SA_SIGINFO;
            }
            "plain" => action.sa_sigaction = plain as *const () as usize,
            "once" => {
                action.sa_sigaction = returning as *const () as usize;
                action.sa_flags = libc::SA_RESETHAND;
            }
            "ignore" => action.sa_sigaction = libc::SIG_IGN,
            _ => {}
        }
        if !case.starts_with("std") {
            libc::sigaction(libc::SIGSEGV, &action, std::ptr::null_mut());
        }
    }
    install_here();
    if case.ends_with("sent") {
        // SAFETY: raise has no preconditions.
        unsafe { libc::raise(libc::SIGSEGV) };
    } else if case == "std overflow" {
        std::hint::black_box(recurse(0));
    } else {
        write_to(8);
    }
}

#[test]
fn with_mprotect_tasklets_beyond_the_limit_wait_and_recover() {
    let test = "with_mprotect_tasklets_beyond_the_limit_wait_and_recover";
    if case().is_none() {
        let output = child(test, "child");
        return assert!(output.status.success(), "{output:?}");
    }
    let mut pool = pool(Guards::Mprotect);
    let mut stacks = Vec::new();
    let error = loop {
        match pool.take(None) {
            Ok(stack) => stacks.push(stack),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, TakeError::Limit), "{error:?}");
    assert!((10_000..50_000).contains(&stacks.len()), "{}", stacks.len());
    // The rest of the program still can map memory and start threads.
    std::thread::spawn(|| vec![1u8; 1 << 24].len()).join().unwrap();
    pool.give(stacks.pop().unwrap());
    let stack = pool.take(None).unwrap();
    assert!(matches!(pool.take(None), Err(TakeError::Limit)));
    pool.give(stack);
    stacks.into_iter().for_each(|stack| pool.give(stack));
    drop(pool);
    // The mappings are free for another pool.
    let mut pool = self::pool(Guards::Mprotect);
    let stacks: Vec<Stack> = (0..10_000).map(|_| pool.take(None).unwrap()).collect();
    stacks.into_iter().for_each(|stack| pool.give(stack));
}

fn alternate_stack() -> libc::stack_t {
    let mut now = libc::stack_t { ss_sp: std::ptr::null_mut(), ss_flags: 0, ss_size: 0 };
    // SAFETY: null changes nothing.
    unsafe { libc::sigaltstack(std::ptr::null(), &mut now) };
    now
}

#[test]
fn a_watched_thread_has_a_stack_for_a_handler_that_writes_much() {
    let ours = std::thread::spawn(|| {
        let before = alternate_stack();
        ensure_alt_stack();
        let room = alt_stack_to_write_on();
        assert!(alternate_stack().ss_size >= 32 * 1024);
        drop(room);
        assert_eq!(alternate_stack().ss_sp, before.ss_sp, "std's is there again");
    });
    ours.join().unwrap();
    let seen = std::thread::spawn(|| {
        let watched = crate::Config::new().stall_limit(std::time::Duration::from_secs(10));
        watched.run(|| alternate_stack().ss_size).unwrap()
    });
    assert!(seen.join().unwrap() >= 32 * 1024);
}

#[test]
fn a_thread_without_an_alternate_stack_gets_one_until_it_ends() {
    let read = alternate_stack;
    let ours = std::thread::spawn(move || {
        let before = read();
        ensure_alt_stack();
        let sufficient = before.ss_flags & libc::SS_DISABLE == 0;
        assert!(!sufficient || read().ss_sp == before.ss_sp);
        let none =
            libc::stack_t { ss_sp: std::ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
        // SAFETY: no handler is running; std's own is restored below.
        unsafe { libc::sigaltstack(&none, std::ptr::null_mut()) };
        ensure_alt_stack();
        let ours = read();
        assert_eq!(ours.ss_flags, 0);
        assert!(ours.ss_size >= 32 * 1024);
        ensure_alt_stack();
        assert_eq!(read().ss_sp, ours.ss_sp);
        // SAFETY: it is what std installed for this thread and takes away at its end.
        unsafe { libc::sigaltstack(&before, std::ptr::null_mut()) };
    });
    ours.join().unwrap();
}
