//! The state that a switch must keep, and the faults that a stack must catch: errno, and frames
//! without probes.

mod support;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use overlapped::time::sleep;
use overlapped::{Builder, Channel, run_until, spawn, yield_now};

fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

fn set_errno(value: i32) {
    // SAFETY: the place is the calling thread's own.
    unsafe { *libc::__errno_location() = value };
}

#[test]
fn s8_a_switch_keeps_errno() {
    const TASKLETS: usize = 10;
    let switches = support::rounds(100_000, 1_000_000);
    let checks = Rc::new(Cell::new(0));
    run_until(|| {
        // Causes failing system calls, in a tasklet and in the scheduler's own waits.
        spawn(|| {
            loop {
                let _ = std::fs::File::open("no such file");
                sleep(Duration::from_millis(1));
            }
        });
        let partner = Channel::<()>::new();
        let echo = partner.clone();
        spawn(move || while echo.recv().is_ok() {});
        let tasklets = [(); TASKLETS].map(|()| {
            let (partner, checks) = (partner.clone(), checks.clone());
            spawn(move || {
                let mine = 1 + checks.get() as i32;
                checks.set(checks.get() + 1);
                for round in 0..switches / TASKLETS {
                    // Each round has its own value, because a value left over from the previous
                    // round would go unnoticed.
                    let value = mine * 1_000_000 + round as i32;
                    set_errno(value);
                    match round % 1_000 {
                        0 => sleep(Duration::from_micros(10)),
                        1..=9 => partner.send(()).unwrap(),
                        _ => yield_now(),
                    }
                    assert_eq!(errno(), value, "in round {round}");
                    checks.set(checks.get() + 1);
                }
            })
        });
        tasklets.into_iter().for_each(|tasklet| tasklet.join().unwrap());
    })
    .unwrap();
    support::report(
        "S8",
        checks.get() - TASKLETS,
        "switches between different errno, 0 mismatches",
    );
}

/// Moves the stack pointer down by `frame` bytes again and again, and touches only the lowest byte
/// of each frame, as nested calls of C without stack probes do.
#[cfg(target_arch = "x86_64")]
fn sink(frame: usize) -> ! {
    // SAFETY: it never comes back: it ends in the guard, by a signal that ends the process.
    unsafe {
        std::arch::asm!(
            "2:",
            "sub rsp, {frame}",
            "mov byte ptr [rsp], 1",
            "jmp 2b",
            frame = in(reg) frame,
            options(noreturn),
        )
    }
}

/// As above.
#[cfg(target_arch = "aarch64")]
fn sink(frame: usize) -> ! {
    // SAFETY: as above.
    unsafe {
        std::arch::asm!(
            "2:",
            "sub sp, sp, {frame}",
            "strb wzr, [sp]",
            "b 2b",
            frame = in(reg) frame,
            options(noreturn),
        )
    }
}

#[test]
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn s2_frames_without_probes_do_not_jump_the_guard() {
    use std::os::unix::process::ExitStatusExt;
    const NAME: &str = "s2_frames_without_probes_do_not_jump_the_guard";
    if let Some(kib) = support::asked() {
        let frame = kib.parse::<usize>().unwrap() * 1024;
        // A tasklet that jumps over its guard lands in a neighbour's stack. The fault then occurs
        // in another tasklet's guard.
        return run_until(|| {
            let _neighbours = [(); 64].map(|()| spawn(overlapped::task::pause));
            yield_now();
            let culprit = Builder::new().name("culprit").spawn(move || sink(frame)).unwrap();
            drop(culprit.join());
        })
        .unwrap();
    }
    let step = support::rounds(8, 1);
    let mut checks = 0;
    for kib in (4..=60).step_by(step) {
        let output = support::child(NAME, &kib.to_string());
        let said = support::said(&output);
        assert_eq!(output.status.signal(), Some(libc::SIGSEGV), "{kib} KiB: {said}");
        assert!(said.contains("'culprit'"), "{kib} KiB: the tasklet is not named: {said}");
        checks += 1;
    }
    support::report("S2", checks, "sizes of frames without probes, each caught and named");
}
